package probes_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

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

// TestAPIs has each probe that asks an API read what that says.
func TestAPIs(t *testing.T) {
	type answer struct {
		path   string // that is asked for
		status int
		body   string
		want   string // of the error
	}
	with := func(url string) probes.HTTPConfig { return probes.HTTPConfig{URL: url} }
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
		}},
		{"etcd", func(url string) (probes.Probe, error) { return probes.NewEtcd(with(url)) }, []answer{
			{"/health", 200, `{"health":"true"}`, ""},
			{"/health", 200, `{"health":"true","reason":""}`, ""},
			{"/health", 503, `{"health":"false","reason":"RAFT NO LEADER"}`, "it is not healthy: RAFT NO LEADER"},
			{"/health", 503, `{"health":"false"}`, "it is not healthy"},
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
			{"/api/v2/status.json", 200, `{"status":{"indicator":"maintenance","description":"Maintenance"}}`, ""},
			{"/api/v2/status.json", 200, `{"status":{"indicator":"minor","description":"Slow"}}`, "it reports minor: Slow"},
			{"/api/v2/status.json", 200, `{"status":{"indicator":"major","description":"Partial System Outage"}}`, "it reports major: Partial System Outage"},
			{"/api/v2/status.json", 200, `{}`, `the answer is not that of a status page: "{}"`},
		}},
		{"statuspage that may be worse", func(url string) (probes.Probe, error) {
			return probes.NewStatuspage(probes.StatuspageConfig{HTTPConfig: with(url), Tolerate: "minor"})
		}, []answer{
			{"/api/v2/status.json", 200, `{"status":{"indicator":"minor","description":"Slow"}}`, ""},
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
				begun := time.Now()
				if got := checked(t, p); got != next.want {
					t.Errorf("%d %s: %s\nwant %s", next.status, next.body, got, next.want)
				}
				if took := time.Since(begun); took > time.Second {
					t.Errorf("it took %v", took)
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
	p, err := probes.NewDocker(probes.HTTPConfig{UnixSocket: socket})
	if err != nil {
		t.Fatal(err)
	}
	if got := checked(t, p); got != "" || p.Name() != "docker" {
		t.Errorf("%s: %s", p.Name(), got)
	}
}

func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p, err := probes.NewTCP(probes.TCPConfig{Address: l.Addr().String()})
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

// TestDNS asks a name server that knows one name.
func TestDNS(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		packet := make([]byte, 1500)
		for {
			n, from, err := server.ReadFrom(packet)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(packet[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			m.Response, m.Additionals = true, nil
			header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}
			switch {
			case q.Name.String() == "silent.test.":
				continue
			case q.Name.String() != "db.test.":
				m.RCode = dnsmessage.RCodeNameError
			case q.Type == dnsmessage.TypeA:
				m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AResource{A: [4]byte{10, 0, 0, 7}}}}
			case q.Type == dnsmessage.TypeTXT:
				m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.TXTResource{TXT: []string{"primary"}}}}
			}
			answer, _ := m.Pack()
			server.WriteTo(answer, from)
		}
	}()
	for _, tt := range []struct {
		cfg  probes.DNSConfig
		want string
	}{
		{probes.DNSConfig{Host: "db.test"}, ""},
		{probes.DNSConfig{Host: "db.test", Type: "A", Expect: []string{"10.0.0.8", "10.0.0.7"}}, ""},
		{probes.DNSConfig{Host: "db.test", Type: "A", Expect: []string{"10.0.0.8"}}, "it answers 10.0.0.7, not 10.0.0.8"},
		{probes.DNSConfig{Host: "db.test", Type: "TXT", Expect: []string{"primary"}}, ""},
		{probes.DNSConfig{Host: "db.test", Type: "AAAA"}, "lookup db.test on "},
		{probes.DNSConfig{Host: "none.test."}, "lookup none.test. on "},
		{probes.DNSConfig{Host: "silent.test.", Timeout: 300 * time.Millisecond}, "no answer within 300ms"},
	} {
		tt.cfg.Server = server.LocalAddr().String()
		p, err := probes.NewDNS(tt.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if got := checked(t, p); !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%+v: %s", tt.cfg, got)
		}
	}
}
