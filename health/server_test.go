package health_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/health"
	"github.com/supervisor-checks/supervisor-checks/internal/realservers"
)

// serve serves until the end of the test, and returns the address.
func serve(t *testing.T, cfg health.ServerConfig) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	address, done := make(chan net.Addr, 1), make(chan error, 1)
	go func() { done <- health.Serve(ctx, cfg, func(a net.Addr) { address <- a }) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("it does not end")
		}
	})
	select {
	case a := <-address:
		return a.String()
	case err := <-done:
		t.Fatal(err)
	}
	return ""
}

func TestServe(t *testing.T) {
	var ready atomic.Bool
	mux := http.NewServeMux()
	mux.Handle("/livez", health.Live())
	mux.Handle("/readyz", health.Ready(ready.Load))
	address := serve(t, health.ServerConfig{Address: ":0", Handler: mux})
	if !strings.HasPrefix(address, "127.0.0.1:") {
		t.Errorf("it listens at %s", address)
	}
	for _, tt := range []struct {
		path   string
		ready  bool
		status int
		body   string
	}{
		{"/livez", false, 200, "ok\n"},
		{"/readyz", false, 503, "there was no round of checks just now\n"},
		{"/readyz", true, 200, "ok\n"},
	} {
		ready.Store(tt.ready)
		if status, header, body := get(t, "GET", "http://"+address+tt.path); status != tt.status || body != tt.body || header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %q", tt.path, status, body)
		}
	}
	long, _ := http.NewRequest("GET", "http://"+address+"/livez", nil)
	long.Header.Set("X", strings.Repeat("x", 64<<10))
	resp, err := http.DefaultClient.Do(long)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a header of 64 KiB: %d", resp.StatusCode)
	}
}

// TestServeLimits has more connections than there may be, which say nothing: who comes
// then waits until one of them has been given up.
func TestServeLimits(t *testing.T) {
	address := serve(t, health.ServerConfig{Address: "127.0.0.1:0", Handler: health.Live(), MaxConnections: 2})
	for range 2 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, "GET / HT")
	}
	begun := time.Now()
	status, _, _ := get(t, "GET", "http://"+address)
	if took := time.Since(begun); status != 200 || took < time.Second || took > 15*time.Second {
		t.Errorf("%d after %v", status, took)
	}
}

// TestServeTLS has the certificate be renewed while it serves.
func TestServeTLS(t *testing.T) {
	first, second := realservers.NewCertificates(t, time.Hour), realservers.NewCertificates(t, time.Hour)
	address := serve(t, health.ServerConfig{Address: "127.0.0.1:0", Handler: health.Live(), CertFile: first.Cert, KeyFile: first.Key})
	trusts := func(c *realservers.Certificates) bool {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: pool})
		if err == nil {
			conn.Close()
		}
		return err == nil
	}
	if !trusts(first) || trusts(second) {
		t.Error("it does not show its certificate")
	}
	old, _ := os.ReadFile(second.CA)
	for _, pair := range [][2]string{{second.Key, first.Key}, {second.Cert, first.Cert}} {
		text, _ := os.ReadFile(pair[0])
		os.WriteFile(pair[1], text, 0o600)
	}
	later := time.Now().Add(time.Minute)
	os.Chtimes(first.Cert, later, later)
	if !trusts(second) {
		t.Errorf("it does not show the renewed certificate of %d bytes", len(old))
	}
	os.WriteFile(first.Cert, nil, 0o600)
	if !trusts(second) {
		t.Error("a certificate that cannot be read takes the place of the one that could")
	}
	if err := health.Serve(t.Context(), health.ServerConfig{Address: "127.0.0.1:0", Handler: health.Live(), CertFile: "/no", KeyFile: "/no"}, nil); err == nil {
		t.Error("it begins without its certificate")
	}
	if err := health.Serve(t.Context(), health.ServerConfig{Address: "x", Handler: health.Live()}, nil); err == nil || err.Error() != `"x" is not HOST:PORT` {
		t.Errorf("error %v", err)
	}
}
