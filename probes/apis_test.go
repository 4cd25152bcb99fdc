package probes_test

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/supervisor-checks/supervisor-checks/internal/realservers"
	"github.com/supervisor-checks/supervisor-checks/probes"
)

// The first three are what go-philae's handler answers, as measured; its errors are Go
// structs.
const (
	philaeNone      = `{"healthy":true,"probes":[],"error":null}` + "\n"
	philaeHealthy   = `{"healthy":true,"probes":[{"name":"ok","healthy":true,"comment":"took 1.104689ms","error":null,"duration":1104689}],"error":null}` + "\n"
	philaeUnhealthy = `{"healthy":false,"probes":[{"name":"ok","healthy":true,"comment":"took 1.1ms","error":null,"duration":1104689},{"name":"db","healthy":false,"comment":"error","error":{"Message_":"probe check failed","Cause_":null,"Underlying_":{"Op":"dial","Net":"tcp","Err":{"Syscall":"connect","Err":111}},"File":"/go/prober.go","Line":168},"duration":12}],"error":{}}` + "\n"
	oursUnhealthy   = `{"healthy":false,"status":"unhealthy","probes":[{"name":"db","healthy":false,"comment":"","error":"refused","duration":12},{"name":"queue","healthy":false,"comment":"","error":null,"duration":1}],"error":"two are down"}`
)

// deepPhilae is an answer of 300 kB with errors in errors.
func deepPhilae(depth int) string {
	deep := strings.Repeat(`{"Underlying_":`, depth) + `null` + strings.Repeat("}", depth)
	var list []string
	for n := range 300_000 / len(deep) {
		list = append(list, fmt.Sprintf(`{"name":"deep%d","healthy":false,"comment":"error","error":%s}`, n, deep))
	}
	return `{"healthy":false,"probes":[` + strings.Join(list, ",") + `],"error":{}}`
}

// TestAPIs has each probe that asks an API read what that says.
func TestAPIs(t *testing.T) {
	type answer struct {
		path   string // that is asked for
		status int
		body   string
		want   string // of the error
	}
	with := func(url string) probes.HTTPConfig { return probes.HTTPConfig{URL: url, Timeout: patience} }
	for _, tt := range []struct {
		name    string
		make    func(url string) (probes.Probe, error)
		answers []answer
	}{
		{"philae", func(url string) (probes.Probe, error) {
			return probes.NewPhilae(probes.PhilaeConfig{HTTPConfig: with(url)})
		}, []answer{
			{"/_health", 200, philaeNone, ""},
			{"/_health", 200, philaeHealthy, ""},
			{"/_health", 200, philaeUnhealthy, "db is down (probe check failed)"},
			{"/_health", 503, oursUnhealthy, "db is down (refused), queue is down"},
			{"/_health", 503, `{"healthy":false,"probes":[],"error":"it is stale"}`, "it is stale"},
			{"/_health", 503, `{"healthy":false}`, "it is not healthy, and does not say why"},
			{"/_health", 200, `{}`, "the answer is not that of a health endpoint"},
			{"/_health", 200, `<html>`, "the answer is not that of a health endpoint"},
			{"/_health", 404, `{"healthy":true}`, "404 Not Found"},
			{"/_health", 503, philaeHealthy, "it answers 503 Service Unavailable, and says that it is healthy"},
			{"/_health", 200, strings.Replace(philaeUnhealthy, `"healthy":false`, `"healthy":true`, 1), "db is down (probe check failed)"},
			{"/_health", 200, deepPhilae(9000), "deep0 is down, deep1 is down"},
			{"/_health", 200, deepPhilae(1000), "deep0 is down, deep1 is down, deep2 is down, deep3 is down, deep4 is down, deep5 is down, deep6 is down, deep7 is down, deep8 is down, deep9 is down, and 8 more are"},
			{"/_health", 200, `{"healthy":false,"error":{"Err":` + strings.Repeat(`{"Message_":"m","Err":`, 20) + `"end"` + strings.Repeat("}", 20) + `}}`, "m: m: m: m: m: m: m"},
		}},
		{"philae with a path and a question", func(url string) (probes.Probe, error) {
			return probes.NewPhilae(probes.PhilaeConfig{HTTPConfig: with(url + "/?full")})
		}, []answer{{"/_health", 200, philaeNone, ""}}},
		{"philae with a question", func(url string) (probes.Probe, error) {
			return probes.NewPhilae(probes.PhilaeConfig{HTTPConfig: with(url + "?full")})
		}, []answer{{"/_health", 200, philaeNone, ""}}},
		{"philae with a path", func(url string) (probes.Probe, error) {
			return probes.NewPhilae(probes.PhilaeConfig{HTTPConfig: with(url + "/ok")})
		}, []answer{{"/ok", 200, philaeNone, ""}}},
		{"docker at DOCKER_HOST", func(url string) (probes.Probe, error) {
			return probes.NewDocker(with(strings.Replace(url, "http://", "tcp://", 1)))
		}, []answer{{"/_ping", 200, "OK", ""}}},
		{"etcd", func(url string) (probes.Probe, error) { return probes.NewEtcd(with(url)) }, []answer{
			{"/health", 200, `{"health":"true"}`, ""},
			{"/health", 200, `{"health":"true","reason":""}`, ""},
			{"/health", 503, `{"health":"false","reason":"RAFT NO LEADER"}`, "it is not healthy: RAFT NO LEADER"},
			{"/health", 503, `{"health":"false"}`, "it is not healthy"},
			{"/health", 503, `{"health":"true"}`, "it answers 503 Service Unavailable, and says that it is healthy"},
			{"/health", 200, `ok`, `the answer is not that of etcd: "ok"`},
		}},
		{"elasticsearch", func(url string) (probes.Probe, error) {
			return probes.NewElasticsearch(probes.ElasticsearchConfig{HTTPConfig: with(url)})
		}, []answer{
			{"/", 200, `{"name":"n","cluster_name":"c","version":{"number":"8.1.0"},"tagline":"You Know, for Search"}`, ""},
			{"/", 503, `{}`, `503 Service Unavailable`},
			{"/", 401, `{"error":{}}`, `401 Unauthorized`},
			{"/", 200, `{}`, `the answer is not that of Elasticsearch: "{}"`},
		}},
		{"elasticsearch cluster", func(url string) (probes.Probe, error) {
			return probes.NewElasticsearch(probes.ElasticsearchConfig{HTTPConfig: with(url + "/"), Status: "yellow"})
		}, []answer{
			{"/_cluster/health", 200, `{"cluster_name":"c","status":"green"}`, ""},
			{"/_cluster/health", 200, `{"cluster_name":"c","status":"yellow"}`, ""},
			{"/_cluster/health", 200, `{"cluster_name":"c","status":"red"}`, "its cluster is red, not yellow"},
			{"/_cluster/health", 200, `{"status":"blue"}`, `the answer is not that of Elasticsearch: "{\"status\":\"blue\"}"`},
		}},
		{"nsq", func(url string) (probes.Probe, error) { return probes.NewNSQ(with(url)) }, []answer{
			{"/ping", 200, "OK", ""},
			{"/ping", 500, "NOK - no disk", "500 Internal Server Error"},
			{"/ping", 200, "hello", `it answers "hello", not OK: is that nsq?`},
		}},
		{"docker", func(url string) (probes.Probe, error) { return probes.NewDocker(with(url)) }, []answer{
			{"/_ping", 200, "OK", ""},
			{"/_ping", 500, "", "500 Internal Server Error"},
		}},
		{"github", func(url string) (probes.Probe, error) {
			return probes.NewGitHub(probes.StatuspageConfig{HTTPConfig: with(url)})
		}, []answer{
			{"/api/v2/status.json", 200, `{"page":{"id":"k"},"status":{"indicator":"none","description":"All Systems Operational"}}`, ""},
			{"/api/v2/status.json", 200, `{"status":{"indicator":"maintenance","description":"Maintenance"}}`, "it reports maintenance: Maintenance"},
			{"/api/v2/status.json", 200, `{"status":{"indicator":"minor","description":"Slow"}}`, "it reports minor: Slow"},
			{"/api/v2/status.json", 200, `{"status":{"indicator":"major","description":"Partial System Outage"}}`, "it reports major: Partial System Outage"},
			{"/api/v2/status.json", 200, `{}`, `the answer is not that of a status page: "{}"`},
		}},
		{"statuspage that may be worse", func(url string) (probes.Probe, error) {
			return probes.NewStatuspage(probes.StatuspageConfig{HTTPConfig: with(url), Tolerate: "minor"})
		}, []answer{
			{"/api/v2/status.json", 200, `{"status":{"indicator":"minor","description":"Slow"}}`, ""},
			{"/api/v2/status.json", 200, `{"status":{"indicator":"maintenance","description":"Maintenance"}}`, ""},
			{"/api/v2/status.json", 200, `{"status":{"indicator":"critical","description":"Down"}}`, "it reports critical: Down"},
		}},
		{"gitlab", func(url string) (probes.Probe, error) {
			return probes.NewGitLab(probes.StatusIOConfig{HTTPConfig: with(url)})
		}, []answer{
			{"/1.0/status/5b36dc6502d06804c08349f7", 200, `{"result":{"status_overall":{"updated":"x","status":"Operational","status_code":100}}}`, ""},
			{"/1.0/status/5b36dc6502d06804c08349f7", 200, `{"result":{"status_overall":{"status":"Degraded Performance","status_code":300}}}`, ""},
			{"/1.0/status/5b36dc6502d06804c08349f7", 200, `{"result":{"status_overall":{"status":"Service Disruption","status_code":500}}}`, "it reports 500: Service Disruption"},
			{"/1.0/status/5b36dc6502d06804c08349f7", 200, `{}`, `the answer is not that of status.io: "{}"`},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var next answer
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != next.path || r.Method != http.MethodGet {
					w.WriteHeader(http.StatusTeapot)
					return
				}
				w.WriteHeader(next.status)
				io.WriteString(w, next.body)
			}))
			p, err := tt.make(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			for _, next = range tt.answers {
				look := func() time.Duration {
					begun := time.Now()
					if got := checked(t, p); got != next.want {
						t.Errorf("%d %.200s: %s\nwant %s", next.status, next.body, got, next.want)
					}
					return time.Since(begun)
				}
				for begun, took := time.Now(), look(); took > probes.DefaultTimeout; took = look() { // the machine may have other things to do
					if time.Since(begun) > patience {
						t.Fatalf("it took %v", took)
					}
				}
			}
			server.Close()
			if got := checked(t, p); !strings.Contains(got, "connection refused") {
				t.Errorf("nobody listens: %s", got)
			}
		})
	}
}

// TestDockerSocket asks the daemon at a socket.
func TestDockerSocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "OK") })}
	go server.Serve(l)
	defer server.Close()
	for _, cfg := range []probes.HTTPConfig{{UnixSocket: socket, Timeout: patience}, {URL: "unix://" + socket, Timeout: patience}} {
		p, err := probes.NewDocker(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if got := checked(t, p); got != "" || p.Name() != "docker" {
			t.Errorf("%s: %s", p.Name(), got)
		}
	}
}

func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p, err := probes.NewTCP(probes.TCPConfig{Address: l.Addr().String(), Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	if got := checked(t, p); got != "" || p.Name() != l.Addr().String() {
		t.Errorf("%s: %s", p.Name(), got)
	}
	secured, err := probes.NewTCP(probes.TCPConfig{Name: "tls", Address: l.Addr().String(), TLS: &probes.TLS{}, Timeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if got := checked(t, secured); got != "no answer within 200ms" {
		t.Error(got)
	}
	l.Close()
	if got := checked(t, p); !strings.Contains(got, "connection refused") {
		t.Error(got)
	}
}

// serveTLS answers handshakes with the certificate of one, and those of others after it.
func serveTLS(t *testing.T, shown *realservers.Certificates, besides ...*realservers.Certificates) (address string) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(shown.Cert, shown.Key)
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range besides {
		more, err := tls.LoadX509KeyPair(other.Cert, other.Key)
		if err != nil {
			t.Fatal(err)
		}
		pair.Certificate = append(pair.Certificate, more.Certificate...)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// TestCertificates has TCP and HTTP say the same of a server's.
func TestCertificates(t *testing.T) {
	good, gone := realservers.NewCertificates(t, 48*time.Hour), realservers.NewCertificates(t, -time.Minute)
	trusted, lax := probes.TLS{CAFile: good.CA}, probes.TLS{Insecure: true}
	mixed, expired := serveTLS(t, good, gone), serveTLS(t, gone)
	for _, tt := range []struct {
		name, address string
		tls           probes.TLS
		least         time.Duration
		want          string
	}{
		{"one that has expired beside what is trusted", mixed, trusted, 0, ""},
		{"the same, for long enough", mixed, trusted, 24 * time.Hour, ""},
		{"the same, not for long enough", mixed, trusted, 72 * time.Hour, "the certificate of the server is valid for "},
		{"not trusted", mixed, probes.TLS{}, 0, "TLS handshake: tls: failed to verify certificate: x509: "},
		{"any, which has expired", expired, lax, 0, ""},
		{"any, which should be valid", expired, lax, time.Hour, "the certificate of the server was valid until "},
		{"expired", expired, probes.TLS{CAFile: gone.CA}, 0, "TLS handshake: tls: failed to verify certificate: x509: "},
	} {
		tcp, err := probes.NewTCP(probes.TCPConfig{Address: tt.address, TLS: &tt.tls, CertMinValidity: tt.least, Timeout: patience})
		if err != nil {
			t.Fatal(err)
		}
		web, err := probes.NewHTTP(probes.HTTPConfig{URL: "https://" + tt.address, TLS: tt.tls, CertMinValidity: tt.least, Timeout: patience})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []probes.Probe{tcp, web} {
			if got := checked(t, p); !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
				t.Errorf("%s, %T: %s\nwant %s", tt.name, p, got, tt.want)
			}
		}
	}
}

// TestAuthoritiesAreReadAgain when their file is replaced.
func TestAuthoritiesAreReadAgain(t *testing.T) {
	before, after := realservers.NewCertificates(t, time.Hour), realservers.NewCertificates(t, 2*time.Hour)
	address, file := serveTLS(t, after), filepath.Join(t.TempDir(), "ca.pem")
	put := func(from string) {
		text, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(file+".new", text, 0o600)
		}
		if err == nil {
			err = os.Rename(file+".new", file)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	put(before.CA)
	tcp, err := probes.NewTCP(probes.TCPConfig{Address: address, TLS: &probes.TLS{CAFile: file}, Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	library, err := probes.TLSConfig("redis", probes.TLS{CAFile: file}, "127.0.0.1") // which keeps it
	if err != nil {
		t.Fatal(err)
	}
	other, err := probes.TLSConfig("redis", probes.TLS{CAFile: file}, "other.test")
	if err != nil {
		t.Fatal(err)
	}
	dial := func(cfg *tls.Config) probes.Probe {
		return probes.Func("library", func(context.Context) error {
			conn, err := tls.Dial("tcp", address, cfg)
			if err == nil {
				conn.Close()
			}
			return err
		})
	}
	for _, trusted := range []bool{false, true, false} {
		if put(before.CA); trusted {
			put(after.CA)
		}
		for _, p := range []probes.Probe{tcp, dial(library)} {
			if got := checked(t, p); (got == "") != trusted || !trusted && !strings.Contains(got, "unknown authority") {
				t.Errorf("trusted %v, %s: %s", trusted, p.Name(), got)
			}
		}
		if got := checked(t, dial(other)); trusted && !strings.Contains(got, "not other.test") {
			t.Errorf("another name: %s", got)
		}
	}
}

// TestDNS asks a name server that knows one name, and says by TCP what is too long.
func TestDNS(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	long, err := net.Listen("tcp", server.LocalAddr().String())
	if err != nil {
		t.Skip(err)
	}
	defer long.Close()
	lost := map[string]bool{}
	answer := func(packet []byte, cut bool) []byte {
		var m dnsmessage.Message
		if m.Unpack(packet) != nil || len(m.Questions) != 1 {
			return nil
		}
		q := m.Questions[0]
		m.Response, m.Additionals = true, nil
		say := func(all ...dnsmessage.ResourceBody) {
			for _, body := range all {
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class}, Body: body})
			}
		}
		name := dnsmessage.MustNewName
		switch n := q.Name.String(); {
		case n == "silent.test.":
			return nil
		case n == "lost.test." && !lost[n]:
			lost[n] = true
			return nil
		case n == "refused.test.":
			m.RCode = dnsmessage.RCodeRefused
		case n == "long.test." && cut:
			m.Truncated = true
		case n == "alias.test." && q.Type == dnsmessage.TypeA:
			say(&dnsmessage.CNAMEResource{CNAME: name("db.test.")}, &dnsmessage.AResource{A: [4]byte{10, 0, 0, 7}})
		case n == "alias.test.":
			say(&dnsmessage.CNAMEResource{CNAME: name("DB.test.")})
		case n != "db.test." && n != "long.test." && n != "lost.test.":
			m.RCode = dnsmessage.RCodeNameError
		case q.Type == dnsmessage.TypeA:
			say(&dnsmessage.AResource{A: [4]byte{10, 0, 0, 7}})
		case q.Type == dnsmessage.TypeAAAA:
			say(&dnsmessage.AAAAResource{AAAA: [16]byte{0xfd, 15: 7}})
		case q.Type == dnsmessage.TypeTXT:
			say(&dnsmessage.TXTResource{TXT: []string{"prim", "ary"}}, &dnsmessage.TXTResource{TXT: []string{"\x1b[2J"}})
		case q.Type == dnsmessage.TypeMX:
			say(&dnsmessage.MXResource{Pref: 1, MX: name("mx.test.")})
		}
		packed, _ := m.Pack()
		return packed
	}
	go func() {
		packet := make([]byte, 1500)
		for {
			n, from, err := server.ReadFrom(packet)
			if err != nil {
				return
			}
			server.WriteTo([]byte("what is no answer"), from)
			server.WriteTo(answer(packet[:n], true), from)
		}
	}()
	go func() {
		for {
			conn, err := long.Accept()
			if err != nil {
				return
			}
			packet := make([]byte, 1500)
			n, _ := conn.Read(packet)
			said := answer(packet[2:n], false)
			conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(said))), said...))
			conn.Close()
		}
	}()
	for _, tt := range []struct {
		cfg  probes.DNSConfig
		want string
	}{
		{probes.DNSConfig{Host: "db.test"}, ""},
		{probes.DNSConfig{Host: "db.test", Expect: []string{}}, ""},
		{probes.DNSConfig{Host: "db.test", Type: "A", Expect: []string{"10.0.0.8", "10.0.0.7"}}, ""},
		{probes.DNSConfig{Host: "db.test", Type: "A", Expect: []string{"10.0.0.8"}}, "it answers 10.0.0.7, not 10.0.0.8"},
		{probes.DNSConfig{Host: "db.test", Expect: []string{"FD00:0::7"}}, ""},
		{probes.DNSConfig{Host: "db.test", Type: "TXT", Expect: []string{"primary"}}, ""},
		{probes.DNSConfig{Host: "db.test", Type: "TXT", Expect: []string{"other"}}, "it answers primary, ?[2J, not other"},
		{probes.DNSConfig{Host: "db.test", Type: "MX", Expect: []string{"MX.test"}}, ""},
		{probes.DNSConfig{Host: "db.test", Type: "NS"}, "there is no such record"},
		{probes.DNSConfig{Host: "db.test", Type: "CNAME"}, "there is no such record"},
		{probes.DNSConfig{Host: "alias.test", Type: "CNAME", Expect: []string{"db.test."}}, ""},
		{probes.DNSConfig{Host: "alias.test", Type: "A", Expect: []string{"10.0.0.7"}}, ""},
		{probes.DNSConfig{Host: "long.test", Type: "A", Expect: []string{"10.0.0.7"}}, ""},
		{probes.DNSConfig{Host: "lost.test"}, ""},
		{probes.DNSConfig{Host: "localhost"}, "lookup localhost on "},
		{probes.DNSConfig{Host: "none.test."}, "lookup none.test. on "},
		{probes.DNSConfig{Host: "refused.test"}, "lookup refused.test on "},
		{probes.DNSConfig{Host: "silent.test.", Timeout: 300 * time.Millisecond}, "no answer within 300ms"},
		{probes.DNSConfig{Host: "localhost", Server: "127.0.0.1:1"}, "read udp "},
	} {
		tt.cfg.Server = cmp.Or(tt.cfg.Server, server.LocalAddr().String())
		p, err := probes.NewDNS(tt.cfg)
		if err != nil {
			t.Fatal(err)
		}
		got := checked(t, p)
		for begun := time.Now(); got == "no answer within 3s" && time.Since(begun) < patience; { // the machine may have other things to do
			got = checked(t, p)
		}
		if !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%+v: %s", tt.cfg, got)
		}
	}
	system, err := probes.NewDNS(probes.DNSConfig{Host: "localhost", Expect: []string{"127.0.0.1", "::1"}, Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	if got := checked(t, system); got != "" {
		t.Errorf("as the system does: %s", got)
	}
}
