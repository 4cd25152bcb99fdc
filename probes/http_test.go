package probes_test

import (
	"cmp"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/supervisor-checks/supervisor-checks/probes"
)

func ptr(f float64) *float64 { return &f }

// patience is the time of looks that end before it, on a busy machine, too.
const patience = 30 * time.Second

// checked is the text of a probe's error.
func checked(t *testing.T, p probes.Probe) string {
	t.Helper()
	if err := p.Check(t.Context()); err != nil {
		return err.Error()
	}
	return ""
}

func TestHTTP(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Version", "v7")
		switch r.URL.Path {
		case "/json":
			io.WriteString(w, `{"status":"ok","queue":{"length":17,"big":123456789012345678901},"nodes":[{"up":true},{"up":true}],"empty":null}`)
		case "/bad":
			w.WriteHeader(http.StatusInternalServerError)
			io.WriteString(w, `{"status":"broken"}`)
		case "/moved":
			http.Redirect(w, r, "/json?moved", http.StatusFound)
		case "/round":
			http.Redirect(w, r, "/round", http.StatusFound)
		case "/nowhere":
			w.Header().Set("Location", "gopher://x")
			w.WriteHeader(http.StatusFound)
		case "/two":
			io.WriteString(w, `{"status":"ok"} {"status":"down"}`)
		case "/hard":
			w.WriteHeader(http.StatusInternalServerError)
			io.WriteString(w, strings.Repeat("a", 50_000))
		case "/header":
			w.Header().Set("X-Long", strings.Repeat("a", 50_000))
		case "/numbers":
			io.WriteString(w, `{"three":3,"tenth":0.1,"third":0.3,"big":9007199254740993}`)
		case "/token":
			if _, password, is := r.BasicAuth(); !is || password != "sesame" {
				w.WriteHeader(http.StatusUnauthorized)
			}
		case "/login":
			if user, password, _ := r.BasicAuth(); user != "me" || password != "sesame" {
				w.WriteHeader(http.StatusUnauthorized)
			}
		case "/slow":
			select {
			case <-r.Context().Done():
			case <-time.After(time.Minute):
			}
		default:
			fmt.Fprintf(w, "%s %s %s", r.Method, r.Host, r.Header.Get("X-Token"))
		}
	}))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	ok := probes.JSON{Path: "$.status", Equals: "ok"}
	type level int
	type word string
	numbers := func(j ...probes.JSON) probes.HTTPConfig {
		return probes.HTTPConfig{URL: server.URL + "/numbers", ExpectJSON: j}
	}
	for _, tt := range []struct {
		name string
		cfg  probes.HTTPConfig
		want string
	}{
		{"an answer", probes.HTTPConfig{URL: server.URL}, ""},
		{"what is sent", probes.HTTPConfig{URL: server.URL + "/x", Method: "PUT", Body: "b", Header: http.Header{"X-Token": {"t"}}, ExpectBody: "^PUT " + host + " t$"}, ""},
		{"a bad status", probes.HTTPConfig{URL: server.URL + "/bad"}, "500 Internal Server Error"},
		{"all that does not hold is named", probes.HTTPConfig{URL: server.URL + "/bad", ExpectBody: "fine", ExpectHeader: map[string]string{"x-version": "^v8$"}, ExpectJSON: []probes.JSON{ok}},
			"500 Internal Server Error; the header X-Version does not match `^v8$`: \"v7\"; the body does not match `fine`: \"{\\\"status\\\":\\\"broken\\\"}\"; $.status is \"broken\", not \"ok\""},
		{"all holds", probes.HTTPConfig{URL: server.URL + "/json", ExpectStatus: "200", ExpectBody: "queue", ExpectHeader: map[string]string{"X-Version": "v7"}, MaxLatency: time.Minute, ExpectJSON: []probes.JSON{
			ok, {Path: "$.queue.length", LessThan: ptr(18), GreaterThan: ptr(16)}, {Path: "$.nodes[*].up", Equals: true}, {Path: "$.none", Absent: true},
			{Path: "$.status", Matches: "^o", NotEquals: "bad"}, {Path: "$.queue.length", Equals: 17},
		}}, ""},
		{"a number that is too great", probes.HTTPConfig{URL: server.URL + "/json", ExpectJSON: []probes.JSON{{Path: "$.queue.length", LessThan: ptr(17)}}}, "$.queue.length is 17, not less than 17"},
		{"a number that is too small", probes.HTTPConfig{URL: server.URL + "/json", ExpectJSON: []probes.JSON{{Path: "$.queue.big", GreaterThan: ptr(1e30)}}}, "$.queue.big is 123456789012345678901, not more than 1e+30"},
		{"a number that is none", probes.HTTPConfig{URL: server.URL + "/json", ExpectJSON: []probes.JSON{{Path: "$.status", LessThan: ptr(1)}}}, `$.status is "ok", not less than 1`},
		{"one of several", probes.HTTPConfig{URL: server.URL + "/json", ExpectJSON: []probes.JSON{{Path: "$.nodes[*].up", Equals: false}}}, "$.nodes[*].up is true, not false"},
		{"nothing there", probes.HTTPConfig{URL: server.URL + "/json", ExpectJSON: []probes.JSON{{Path: "$.none", Equals: 1}}}, "there is no $.none"},
		{"something there", probes.HTTPConfig{URL: server.URL + "/json", ExpectJSON: []probes.JSON{{Path: "$.empty", Absent: true}}}, "$.empty is null, and should not be there"},
		{"a value that should be another", probes.HTTPConfig{URL: server.URL + "/json", ExpectJSON: []probes.JSON{{Path: "$.status", NotEquals: "ok"}}}, `$.status is "ok"`},
		{"a text that does not match", probes.HTTPConfig{URL: server.URL + "/json", ExpectJSON: []probes.JSON{{Path: "$.status", Matches: "^x"}}}, "$.status is \"ok\", which does not match `^x`"},
		{"no JSON", probes.HTTPConfig{URL: server.URL, ExpectJSON: []probes.JSON{ok}}, "the body is not JSON"},
		{"values of any type", numbers(probes.JSON{Path: "$.three", Equals: uint8(3)}, probes.JSON{Path: "$.three", Equals: float32(3)}, probes.JSON{Path: "$.tenth", Equals: float32(0.1)}, probes.JSON{Path: "$.big", Equals: json.Number("9007199254740993")}), ""},
		{"a value of a small type", numbers(probes.JSON{Path: "$.three", NotEquals: int32(3)}), "$.three is 3"},
		{"a value of a type of its own", numbers(probes.JSON{Path: "$.three", NotEquals: level(3)}), "$.three is 3"},
		{"a text of a type of its own", probes.HTTPConfig{URL: server.URL + "/json", ExpectJSON: []probes.JSON{{Path: "$.status", NotEquals: word("ok")}}}, `$.status is "ok"`},
		{"a number of many digits", numbers(probes.JSON{Path: "$.big", Equals: json.Number("9007199254740992")}), "$.big is 9007199254740993, not 9007199254740992"},
		{"a fraction that is not less than itself", numbers(probes.JSON{Path: "$.tenth", LessThan: ptr(0.1)}), "$.tenth is 0.1, not less than 0.1"},
		{"a fraction that is not more than itself", numbers(probes.JSON{Path: "$.third", GreaterThan: ptr(0.3)}), "$.third is 0.3, not more than 0.3"},
		{"more than one document", probes.HTTPConfig{URL: server.URL + "/two", ExpectJSON: []probes.JSON{ok}}, "the body is more than one document in JSON"},
		{"an expression that takes too long", probes.HTTPConfig{URL: server.URL + "/hard", ExpectBody: "(?:a{0,200}x?){4}b", Timeout: 200 * time.Millisecond}, "500 Internal Server Error; no answer within 200ms"},
		{"an expression for a header that takes too long", probes.HTTPConfig{URL: server.URL + "/header", ExpectHeader: map[string]string{"X-Long": "(?:a{0,200}x?){4}b"}, Timeout: 200 * time.Millisecond}, "no answer within 200ms"},
		{"a redirect", probes.HTTPConfig{URL: server.URL + "/moved", ExpectJSON: []probes.JSON{ok}}, ""},
		{"a redirect that is expected", probes.HTTPConfig{URL: server.URL + "/moved", ExpectStatus: "302"}, ""},
		{"a redirect that is expected, with another header", probes.HTTPConfig{URL: server.URL + "/moved", ExpectStatus: "302,200", ExpectHeader: map[string]string{"Location": "^https:"}}, "the header Location does not match `^https:`: \"/json?moved\""},
		{"a redirect that is not followed", probes.HTTPConfig{URL: server.URL + "/moved", MaxRedirects: -1}, "302 Found"},
		{"redirects without end", probes.HTTPConfig{URL: server.URL + "/round"}, "after 5 redirects: 302 Found"},
		{"a redirect to what is none", probes.HTTPConfig{URL: server.URL + "/nowhere"}, "302 Found: it redirects to what is no address"},
		{"a login", probes.HTTPConfig{URL: server.URL + "/login", Username: "me", Password: "sesame"}, ""},
		{"a login in the address", probes.HTTPConfig{URL: strings.Replace(server.URL, "://", "://me:sesame@", 1) + "/login"}, ""},
		{"a token in the address", probes.HTTPConfig{URL: strings.Replace(server.URL, "://", "://:sesame@", 1) + "/token"}, ""},
		{"a wrong login", probes.HTTPConfig{URL: server.URL + "/login", Username: "me", Password: "other"}, "401 Unauthorized"},
		{"too slow", probes.HTTPConfig{URL: server.URL + "/slow", Timeout: 200 * time.Millisecond}, "no answer within 200ms"},
		{"slower than it should be", probes.HTTPConfig{URL: server.URL, MaxLatency: 1}, "it took "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Timeout = cmp.Or(tt.cfg.Timeout, patience)
			p, err := probes.NewHTTP(tt.cfg)
			if err != nil {
				t.Fatal(err)
			}
			got, took := "", time.Hour
			for begun := time.Now(); took > 2*time.Second || got == "no answer within 200ms" && got != tt.want; { // the machine may have other things to do
				if time.Since(begun) > patience {
					t.Errorf("it took %v", took)
					break
				}
				look := time.Now()
				got = checked(t, p)
				took = time.Since(look)
			}
			if got != tt.want && !(tt.cfg.MaxLatency == 1 && strings.HasPrefix(got, tt.want)) || strings.Contains(got, "sesame") {
				t.Errorf("%s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestHTTPSecretsStay with the host that they are for.
func TestHTTPSecretsStay(t *testing.T) {
	var seen http.Header
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Header }))
	defer other.Close()
	server := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusFound))
	defer server.Close()
	p, err := probes.NewHTTP(probes.HTTPConfig{URL: server.URL, Username: "me", Password: "sesame", Header: http.Header{"X-Token": {"sesame"}}, Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	if got := checked(t, p); got != "" || seen == nil || seen.Get("Authorization") != "" || seen.Get("X-Token") != "" {
		t.Errorf("%s; the other host got %v", got, seen)
	}
}

func TestHTTPS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	server.StartTLS()
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600)
	for _, tt := range []struct {
		name string
		cfg  probes.HTTPConfig
		want string
	}{
		{"trusted", probes.HTTPConfig{TLS: probes.TLS{CAFile: ca}}, ""},
		{"not trusted", probes.HTTPConfig{}, "TLS handshake: tls: failed to verify certificate: x509: "},
		{"another name", probes.HTTPConfig{TLS: probes.TLS{CAFile: ca, ServerName: "example.org"}}, "TLS handshake: tls: failed to verify certificate: x509: certificate is valid for "},
		{"any", probes.HTTPConfig{TLS: probes.TLS{Insecure: true}}, ""},
		{"ends too soon", probes.HTTPConfig{TLS: probes.TLS{CAFile: ca}, CertMinValidity: 1e6 * time.Hour}, "the certificate of the server is valid for "},
	} {
		tt.cfg.URL, tt.cfg.Timeout = server.URL, patience
		p, err := probes.NewHTTP(tt.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if got := checked(t, p); !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" || strings.Contains(got, "BEGIN") {
			t.Errorf("%s: %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

// TestRedirectsKeepTheCertificate that was asked for.
func TestRedirectsKeepTheCertificate(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer plain.Close()
	server := httptest.NewTLSServer(http.RedirectHandler(plain.URL, http.StatusFound))
	defer server.Close()
	left := time.Until(server.Certificate().NotAfter)
	for _, tt := range []struct {
		least time.Duration
		want  string
	}{
		{0, ""},
		{time.Hour, "302 Found: it redirects to http, where there is no certificate"},
		{left + time.Hour, "the certificate of the server is valid for "},
	} {
		p, err := probes.NewHTTP(probes.HTTPConfig{URL: server.URL, TLS: probes.TLS{Insecure: true}, CertMinValidity: tt.least, Timeout: patience})
		if err != nil {
			t.Fatal(err)
		}
		if got := checked(t, p); !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%v: %s\nwant %s", tt.least, got, tt.want)
		}
	}
}

// TestCauses are kept.
func TestCauses(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String() // which accepts, and says nothing
	p, err := probes.NewHTTP(probes.HTTPConfig{URL: "http://" + address, Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := p.Check(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	listener.Close()
	if err := p.Check(t.Context()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("error %v", err)
	}
}

func refuseJSON(j probes.JSON) func() (any, error) {
	return func() (any, error) {
		return probes.NewHTTP(probes.HTTPConfig{URL: "http://x", ExpectJSON: []probes.JSON{j}})
	}
}

// TestBecause has the errors of all probes be fit for a log.
func TestBecause(t *testing.T) {
	cause := fmt.Errorf("%w: \x1b[2J\n%s", syscall.ECONNREFUSED, strings.Repeat("x", 1000))
	if err := probes.Because(t.Context(), cause); !errors.Is(err, syscall.ECONNREFUSED) || len(err.Error()) > 400 || strings.ContainsAny(err.Error(), "\x1b\n") {
		t.Errorf("%q", err)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := probes.WithTimeout(t.Context(), time.Second)
		defer cancel()
		end, _ := ctx.Deadline()
		var late *probes.TimeoutError
		if err := probes.Because(ahead{ctx, end.Add(-time.Second)}, os.ErrDeadlineExceeded); !errors.As(err, &late) || late.After != time.Second {
			t.Errorf("a client that is ahead of the context: %v", err)
		}
		if err := probes.Because(ctx, nil); err != nil {
			t.Error(err)
		}
	})
}

// ahead is a context whose time is over, and that does not say so yet.
type ahead struct {
	context.Context
	end time.Time
}

func (a ahead) Deadline() (time.Time, bool) { return a.end, true }

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		make func() (any, error)
		want string
	}{
		{func() (any, error) { return probes.NewHTTP(probes.HTTPConfig{}) }, "http: url: is required: http://HOST/PATH or https://HOST/PATH"},
		{func() (any, error) { return probes.NewHTTP(probes.HTTPConfig{URL: "ftp://me:sesame@x"}) }, "http: url: is neither http://HOST/PATH nor https://HOST/PATH"},
		{func() (any, error) { return probes.NewHTTP(probes.HTTPConfig{URL: "http://x", Timeout: -1}) }, "http: timeout: -1ns is less than 0"},
		{func() (any, error) { return probes.NewHTTP(probes.HTTPConfig{URL: "http://x", ExpectStatus: "ok"}) }, "http: expect_status: "},
		{func() (any, error) {
			return probes.NewHTTP(probes.HTTPConfig{URL: "http://x", ExpectJSON: []probes.JSON{{Path: "status"}}})
		}, `http: expect_json: "status" is no path such as $.status: `},
		{func() (any, error) {
			return probes.NewHTTP(probes.HTTPConfig{URL: "http://x", ExpectJSON: []probes.JSON{{Path: "$.a", Absent: true, Equals: 1}}})
		}, "http: expect_json: $.a: what is absent cannot be anything else"},
		{func() (any, error) {
			return probes.NewHTTP(probes.HTTPConfig{URL: "http://x", TLS: probes.TLS{Insecure: true}})
		}, "http: insecure: needs the scheme https"},
		{func() (any, error) { return probes.NewTCP(probes.TCPConfig{Address: "x"}) }, `tcp: address: "x" is not HOST:PORT`},
		{func() (any, error) { return probes.NewTCP(probes.TCPConfig{Address: "x:1", UnixSocket: "/s"}) }, "tcp: unix_socket: is of no use with address: give one of them"},
		{func() (any, error) {
			return probes.NewTCP(probes.TCPConfig{Address: "x:1", TLS: &probes.TLS{CAFile: "/no"}})
		}, "tcp: ca_file: open /no: no such file or directory"},
		{func() (any, error) { return probes.NewTCP(probes.TCPConfig{Address: "x:1", CertMinValidity: 1}) }, "tcp: cert_min_validity: needs tls"},
		{func() (any, error) {
			return probes.NewTCP(probes.TCPConfig{Address: "x:1", TLS: &probes.TLS{}, CertMinValidity: -1})
		}, "tcp: cert_min_validity: -1ns is less than 0"},
		{func() (any, error) {
			return probes.NewTCP(probes.TCPConfig{UnixSocket: "/s", TLS: &probes.TLS{}})
		}, "tcp: server_name: is required with unix_socket: the name that the server's certificate must be for"},
		{func() (any, error) { return probes.NewHTTP(probes.HTTPConfig{URL: "http://x", MaxLatency: -1}) }, "http: max_latency: -1ns is less than 0"},
		{func() (any, error) { return probes.NewHTTP(probes.HTTPConfig{URL: "https://x", CertMinValidity: -1}) }, "http: cert_min_validity: -1ns is less than 0"},
		{refuseJSON(probes.JSON{Path: "$.a", Equals: []string{"x"}}), "http: expect_json: $.a: a []string is neither a string, a number nor a bool"},
		{refuseJSON(probes.JSON{Path: "$.a", NotEquals: math.Inf(1)}), "http: expect_json: $.a: +Inf is not a number"},
		{refuseJSON(probes.JSON{Path: "$.a", LessThan: ptr(math.NaN())}), "http: expect_json: $.a: NaN is no limit"},
		{func() (any, error) { return probes.NewDocker(probes.HTTPConfig{URL: "unix://docker.sock"}) }, "docker: url: is not unix:///PATH alone, without unix_socket"},
		{func() (any, error) { return probes.NewDNS(probes.DNSConfig{Host: "10.0.0.1"}) }, `dns: host: "10.0.0.1" is an address: there is nothing to look up`},
		{func() (any, error) { return probes.NewDNS(probes.DNSConfig{Host: "a..b"}) }, `dns: host: "a..b" is not a name`},
		{func() (any, error) { return probes.NewDNS(probes.DNSConfig{Host: "x", Expect: []string{"y"}}) }, `dns: expect: "y" is not an address`},
		{func() (any, error) { return probes.NewDNS(probes.DNSConfig{}) }, "dns: host: is required: the name that is looked up"},
		{func() (any, error) { return probes.NewDNS(probes.DNSConfig{Host: "x", Type: "SRV"}) }, `dns: type: "SRV" is none of A, AAAA, CNAME, MX, NS, TXT`},
		{func() (any, error) {
			return probes.NewPhilae(probes.PhilaeConfig{HTTPConfig: probes.HTTPConfig{URL: "http://x", ExpectStatus: "200"}})
		}, "philae: expect_status: is settled: an http probe can have others"},
		{func() (any, error) {
			return probes.NewElasticsearch(probes.ElasticsearchConfig{HTTPConfig: probes.HTTPConfig{URL: "http://x"}, Status: "red"})
		}, `elasticsearch: status: "red" is neither green nor yellow`},
		{func() (any, error) { return probes.NewEtcd(probes.HTTPConfig{}) }, "etcd: url: is required: http://HOST:PORT"},
		{func() (any, error) { return probes.NewStatusIO(probes.StatusIOConfig{}) }, `statusio: page: "" is not the id of a page`},
		{func() (any, error) { return probes.NewGitHub(probes.StatuspageConfig{Tolerate: "all"}) }, `github: tolerate: "all" is none of none, maintenance, minor, major, critical`},
	} {
		_, err := tt.make()
		var bad *probes.ConfigError
		if !errors.As(err, &bad) || !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%v\nwant %s", err, tt.want)
		}
	}
}
