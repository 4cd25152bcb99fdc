package probes_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/probes"
)

func ptr(f float64) *float64 { return &f }

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
		{"a redirect", probes.HTTPConfig{URL: server.URL + "/moved", ExpectJSON: []probes.JSON{ok}}, ""},
		{"a redirect that is expected", probes.HTTPConfig{URL: server.URL + "/moved", ExpectStatus: "302"}, ""},
		{"a redirect that is not followed", probes.HTTPConfig{URL: server.URL + "/moved", MaxRedirects: -1}, "302 Found"},
		{"redirects without end", probes.HTTPConfig{URL: server.URL + "/round"}, "after 5 redirects: 302 Found"},
		{"a redirect to what is none", probes.HTTPConfig{URL: server.URL + "/nowhere"}, "302 Found: it redirects to what is no address"},
		{"a login", probes.HTTPConfig{URL: server.URL + "/login", Username: "me", Password: "sesame"}, ""},
		{"a login in the address", probes.HTTPConfig{URL: strings.Replace(server.URL, "://", "://me:sesame@", 1) + "/login"}, ""},
		{"a wrong login", probes.HTTPConfig{URL: server.URL + "/login", Username: "me", Password: "other"}, "401 Unauthorized"},
		{"too slow", probes.HTTPConfig{URL: server.URL + "/slow", Timeout: 200 * time.Millisecond}, "no answer within 200ms"},
		{"slower than it should be", probes.HTTPConfig{URL: server.URL, MaxLatency: 1}, "it took "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := probes.NewHTTP(tt.cfg)
			if err != nil {
				t.Fatal(err)
			}
			got := checked(t, p)
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
	p, err := probes.NewHTTP(probes.HTTPConfig{URL: server.URL, Username: "me", Password: "sesame", Header: http.Header{"X-Token": {"sesame"}}})
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
		tt.cfg.URL = server.URL
		p, err := probes.NewHTTP(tt.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if got := checked(t, p); !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" || strings.Contains(got, "BEGIN") {
			t.Errorf("%s: %s\nwant %s", tt.name, got, tt.want)
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
	p, err := probes.NewHTTP(probes.HTTPConfig{URL: "http://" + address})
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
		{func() (any, error) { return probes.NewGitHub(probes.StatuspageConfig{Tolerate: "all"}) }, `github: tolerate: "all" is none of none, minor, major, critical`},
	} {
		_, err := tt.make()
		var bad *probes.ConfigError
		if !errors.As(err, &bad) || !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%v\nwant %s", err, tt.want)
		}
	}
}
