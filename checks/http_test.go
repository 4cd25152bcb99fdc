package checks

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/httpcheck"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// answer reads a request without a body and sends answer.
func answer(answer string) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			io.WriteString(conn, answer)
		}
	}
}

const ok200 = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func portOf(t *testing.T, rawURL string) string {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Port()
}

// writeCA writes the certificate of s to a file.
func writeCA(t *testing.T, s *httptest.Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(path, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestHTTP(t *testing.T) {
	up := listen(t, "tcp4", "127.0.0.1:0", answer(ok200))
	down := listen(t, "tcp4", "127.0.0.1:0", answer("HTTP/1.1 503 Service Unavailable\r\n\r\n"))
	silent := listen(t, "tcp4", "127.0.0.1:0", func(conn net.Conn) { io.Copy(io.Discard, conn) })
	rude := listen(t, "tcp4", "127.0.0.1:0", hangUp)
	socket := filepath.Join(t.TempDir(), "s")
	listen(t, "unix", socket, answer(ok200))

	tests := []struct {
		name    string
		cfg     HTTPConfig
		process string
		status  Status
		err     error
		text    string // part of the error
		code    float64
	}{
		{"200", HTTPConfig{Port: up}, "web", Healthy, nil, "", 200},
		{"port in the name", HTTPConfig{Port: `web_(\d+)`}, "web_" + up, Healthy, nil, "", 200},
		{"URL with percent signs", HTTPConfig{Port: up, URL: "/a%2Fb?q=%20%s"}, "web", Healthy, nil, "", 200},
		{"the right body", HTTPConfig{Port: up, ExpectBody: "^ok$"}, "web", Healthy, nil, "", 200},
		{"the wrong body", HTTPConfig{Port: up, ExpectBody: "^up$"}, "web", Unhealthy, nil, "the body does not match `^up$`: \"ok\"", 200},
		{"503", HTTPConfig{Port: down}, "web", Unhealthy, nil, "503 Service Unavailable", 503},
		{"expected 503", HTTPConfig{Port: down, ExpectStatus: "500-599"}, "web", Healthy, nil, "", 503},
		{"refused", HTTPConfig{Port: shutPort(t)}, "web", Unhealthy, syscall.ECONNREFUSED, "connection refused", 0},
		{"too slow", HTTPConfig{Port: silent, Timeout: 50 * time.Millisecond}, "web", Unhealthy, context.DeadlineExceeded, "no answer within 50ms", 0},
		{"hung up", HTTPConfig{Port: rude}, "web", Unhealthy, nil, "", 0},
		{"no port in the name", HTTPConfig{Port: `web_(\d+)`, Retries: 9}, "web", Unknown, ErrNoPort, "does not match", 0},
		{"unix socket", HTTPConfig{UnixSocket: socket}, "web", Healthy, nil, "", 200},
		{"no unix socket", HTTPConfig{UnixSocket: socket + "x"}, "web", Unhealthy, syscall.ENOENT, "no such file", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := NewHTTP(tt.cfg)
			if err != nil {
				t.Fatal(err)
			}
			r := c.Run(t.Context(), supervisor.Process{Name: tt.process})
			if r.Status != tt.status || tt.err != nil && !errors.Is(r.Err, tt.err) || !strings.Contains(text(r.Err), tt.text) {
				t.Errorf("got %v, %v, want %v, %v %s", r.Status, r.Err, tt.status, tt.err, tt.text)
			}
			if code, found := r.Metrics["status_code"]; code != tt.code || found != (tt.code != 0) {
				t.Errorf("status_code is %v, want %v", code, tt.code)
			}
			if got := r.Metrics["latency_seconds"]; (got > 0) != (tt.status != Unknown) {
				t.Errorf("latency_seconds is %v", got)
			}
		})
	}
}

func TestHTTPOverIPv6(t *testing.T) {
	needIPv6(t)
	c, err := NewHTTP(HTTPConfig{Port: listen(t, "tcp6", "[::1]:0", answer(ok200)), Host: "::1"})
	if err != nil {
		t.Fatal(err)
	}
	if r := c.Run(t.Context(), web); r.Status != Healthy {
		t.Error(r.Err)
	}
}

func TestHTTPS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.TLS.ServerName)
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	port, ca := portOf(t, server.URL), writeCA(t, server) // for 127.0.0.1 and example.com

	tests := []struct {
		name   string
		cfg    HTTPConfig
		status Status
		text   string
	}{
		{"our CA", HTTPConfig{CAFile: ca}, Healthy, ""},
		{"our CA, by the Host header", HTTPConfig{CAFile: ca, Header: http.Header{"Host": {"example.com:1"}}, ExpectBody: "^example.com$"}, Healthy, ""},
		{"our CA, another host", HTTPConfig{CAFile: ca, Header: http.Header{"Host": {"example.org"}}}, Unhealthy, "TLS handshake: tls: failed to verify certificate: x509: certificate is valid for"},
		{"the system's CAs", HTTPConfig{}, Unhealthy, "TLS handshake: tls: failed to verify certificate: x509: "},
		{"insecure", HTTPConfig{Insecure: true}, Healthy, ""},
		{"our CA, by a name", HTTPConfig{CAFile: ca, ServerName: "example.com", ExpectBody: "^example.com$"}, Healthy, ""},
		{"our CA, by another name", HTTPConfig{CAFile: ca, ServerName: "example.org"}, Unhealthy, "TLS handshake: tls: failed to verify certificate: x509: certificate is valid for"},
		{"valid for long enough", HTTPConfig{CAFile: ca, CertMinValidity: 14 * 24 * time.Hour}, Healthy, ""},
		{"not valid for long enough", HTTPConfig{CAFile: ca, CertMinValidity: 200 * 365 * 24 * time.Hour}, Unhealthy, "the certificate of the server is valid for "},
		{"not valid for long enough, and not verified", HTTPConfig{Insecure: true, CertMinValidity: 200 * 365 * 24 * time.Hour}, Unhealthy, ", less than 73000d"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Scheme, tt.cfg.Port = "https", port
			c, err := NewHTTP(tt.cfg)
			if err != nil {
				t.Fatal(err)
			}
			r := c.Run(t.Context(), web)
			if r.Status != tt.status || !strings.Contains(text(r.Err), tt.text) {
				t.Errorf("got %v, %v, want %v, %s", r.Status, r.Err, tt.status, tt.text)
			}
			if left := time.Duration(r.Metrics["cert_validity_seconds"]) * time.Second; r.Status == Healthy && time.Until(server.Certificate().NotAfter)-left > time.Minute {
				t.Errorf("the certificate is valid for %v, until %v", left, server.Certificate().NotAfter)
			}
		})
	}
}

// issued is a certificate and its key.
type issued struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue makes a certificate of 127.0.0.1 that is valid for a time from now, or was up
// to then. Its own key signs it where by is nil.
func issue(t *testing.T, name string, valid time.Duration, by *issued) *issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(valid),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	if by == nil {
		by = &issued{cert, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, by.cert, &key.PublicKey, by.key)
	if err == nil {
		cert, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	return &issued{cert, key}
}

// write writes the certificate and the key to two files.
func (i *issued) write(t *testing.T, certFile, keyFile string) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(i.key)
	if err == nil {
		err = os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600)
	}
	if err == nil {
		err = os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw}), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// serveTLS returns the port of a server that shows the certificate of one, and others
// after it.
func serveTLS(t *testing.T, client tls.ClientAuthType, one *issued, others ...*issued) (port string) {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) > 0 {
			c := r.TLS.PeerCertificates[0]
			if time.Now().After(c.NotAfter) { // as nginx does
				w.WriteHeader(http.StatusBadRequest)
			}
			io.WriteString(w, c.Subject.CommonName)
		}
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	shown := tls.Certificate{PrivateKey: one.key, Certificate: [][]byte{one.cert.Raw}}
	for _, other := range others {
		shown.Certificate = append(shown.Certificate, other.cert.Raw)
	}
	server.TLS = &tls.Config{Certificates: []tls.Certificate{shown}, ClientAuth: client}
	server.StartTLS()
	t.Cleanup(server.Close)
	return portOf(t, server.URL)
}

func TestHTTPSOfExpiredCertificates(t *testing.T) {
	const day = 24 * time.Hour
	root := issue(t, "root", 100*day, nil)
	leaf := issue(t, "leaf", 20*day+time.Hour/2, root)
	old := issue(t, "old", -time.Hour, nil)
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca")
	root.write(t, ca, filepath.Join(dir, "key"))

	for _, tt := range []struct {
		name   string
		port   string
		cfg    HTTPConfig
		status Status
		text   string
		left   time.Duration // within an hour
	}{
		{"an expired one, any will do", serveTLS(t, tls.NoClientCert, old), HTTPConfig{Insecure: true}, Healthy, "", -time.Hour},
		{"an expired one that must be valid", serveTLS(t, tls.NoClientCert, old), HTTPConfig{Insecure: true, CertMinValidity: 14 * day}, Unhealthy, "the certificate of the server was valid until ", -time.Hour},
		{"an expired one", serveTLS(t, tls.NoClientCert, issue(t, "leaf", -time.Hour, root)), HTTPConfig{CAFile: ca}, Unhealthy, "TLS handshake: tls: failed to verify certificate: x509: certificate has expired", 0},
		{"an expired one that is sent besides", serveTLS(t, tls.NoClientCert, leaf, old), HTTPConfig{CAFile: ca}, Healthy, "", 20 * day},
		{"an expired one that is sent besides, valid for long enough", serveTLS(t, tls.NoClientCert, leaf, old), HTTPConfig{CAFile: ca, CertMinValidity: 14 * day}, Healthy, "", 20 * day},
		{"an expired one that is sent besides, any will do", serveTLS(t, tls.NoClientCert, leaf, old), HTTPConfig{Insecure: true, CertMinValidity: 14 * day}, Healthy, "", 20 * day},
		{"valid, but not for long enough", serveTLS(t, tls.NoClientCert, leaf), HTTPConfig{CAFile: ca, CertMinValidity: 30*day + 12*time.Hour}, Unhealthy, ", less than 30d12h", 20 * day},
		{"one above it that is not valid for long enough", serveTLS(t, tls.NoClientCert, issue(t, "leaf", 300*day, root)), HTTPConfig{CAFile: ca, CertMinValidity: 200 * day}, Unhealthy, "the certificate of the server is valid for 99d23h59m more, ", 100 * day},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Scheme, tt.cfg.Port = "https", tt.port
			c, err := NewHTTP(tt.cfg)
			if err != nil {
				t.Fatal(err)
			}
			r := c.Run(t.Context(), web)
			if r.Status != tt.status || !strings.Contains(text(r.Err), tt.text) {
				t.Errorf("got %v, %v, want %v, %s", r.Status, r.Err, tt.status, tt.text)
			}
			left := time.Duration(r.Metrics["cert_validity_seconds"]) * time.Second
			if (left - tt.left).Abs() > time.Hour {
				t.Errorf("it is valid for %v, want %v", left, tt.left)
			}
		})
	}
}

// TestHTTPSCertificatesAreRenewed replaces the files of a check.
func TestHTTPSCertificatesAreRenewed(t *testing.T) {
	dir := t.TempDir()
	ca, cert, key := filepath.Join(dir, "ca"), filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	first, second := issue(t, "first", time.Hour, nil), issue(t, "second", 2*time.Hour, nil)
	first.write(t, ca, filepath.Join(dir, "unused"))
	issue(t, "old", time.Hour, nil).write(t, cert, key)
	newCheck := func(port, body string) *HTTP {
		c, err := NewHTTP(HTTPConfig{Scheme: "https", Port: port, CAFile: ca, CertFile: cert, KeyFile: key, ExpectBody: body})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	asks, lax := serveTLS(t, tls.RequireAnyClientCert, first), serveTLS(t, tls.NoClientCert, first)
	other := serveTLS(t, tls.RequireAnyClientCert, second)
	shown, renewed, unasked, moved := newCheck(asks, "^old$"), newCheck(asks, "^new$"), newCheck(lax, ""), newCheck(other, "^new$")
	want := func(what string, c *HTTP, status Status, reason string) {
		t.Helper()
		if r := c.Run(t.Context(), web); r.Status != status || !strings.Contains(text(r.Err), reason) {
			t.Errorf("%s: %v, %v", what, r.Status, r.Err)
		}
	}
	want("at first", shown, Healthy, "")
	os.WriteFile(cert, []byte("half of"), 0o600)
	want("while it is written", shown, Healthy, "")
	issue(t, "new", -time.Minute, nil).write(t, cert, key)
	want("expired", shown, Unknown, ": the certificate in "+cert+" has expired, which the server has asked for")
	want("expired, and not asked for", unasked, Healthy, "")
	issue(t, "new", time.Hour, nil).write(t, cert, key)
	want("renewed", renewed, Healthy, "")
	want("of an authority that is not known yet", moved, Unhealthy, "failed to verify certificate")
	second.write(t, ca, filepath.Join(dir, "unused"))
	os.Chtimes(ca, time.Time{}, time.Unix(1e9, 0)) // for clocks that tick slowly
	want("of an authority that is known by now", moved, Healthy, "")
	os.Remove(ca)
	want("without the file", moved, Healthy, "")
}

// TestHTTPSShowsACertificate to a server that asks for one.
func TestHTTPSShowsACertificate(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.TLS.PeerCertificates[0].Subject.String())
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.StartTLS()
	t.Cleanup(server.Close)
	certFile := writeCA(t, server)
	key, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	keyFile := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := HTTPConfig{Scheme: "https", Port: portOf(t, server.URL), CAFile: certFile, ExpectBody: "O=Acme"}
	c, err := NewHTTP(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if r := c.Run(t.Context(), web); r.Status != Unhealthy || !strings.Contains(text(r.Err), "certificate required") {
		t.Errorf("without one: %+v", r)
	}
	cfg.CertFile, cfg.KeyFile = certFile, keyFile
	if c, err = NewHTTP(cfg); err != nil {
		t.Fatal(err)
	}
	if r := c.Run(t.Context(), web); r.Status != Healthy {
		t.Errorf("with one: %+v", r)
	}
}

func TestHTTPFollowsNeitherRedirectsNorProxies(t *testing.T) {
	var visits atomic.Int32
	elsewhere := listen(t, "tcp4", "127.0.0.1:0", func(conn net.Conn) {
		visits.Add(1)
		answer(ok200)(conn)
	})
	t.Setenv("http_proxy", "http://127.0.0.1:"+elsewhere)
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:"+elsewhere)
	redirect := listen(t, "tcp4", "127.0.0.1:0", answer("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:"+elsewhere+"/\r\n\r\n"))
	c, err := NewHTTP(HTTPConfig{Port: redirect, URL: "http://127.0.0.1:" + elsewhere + "/"})
	if err != nil {
		t.Fatal(err)
	}
	if r := c.Run(t.Context(), web); r.Status != Unhealthy || text(r.Err) != "302 Found" {
		t.Errorf("got %v, %v", r.Status, r.Err)
	}
	if n := visits.Load(); n != 0 {
		t.Errorf("%d requests went elsewhere", n)
	}
}

func TestHTTPCutShortIsUnknown(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	port := listen(t, "tcp4", "127.0.0.1:0", func(conn net.Conn) {
		cancel()
		io.Copy(io.Discard, conn)
	})
	c, err := NewHTTP(HTTPConfig{Port: port, Retries: 9})
	if err != nil {
		t.Fatal(err)
	}
	if r := c.Run(ctx, web); r.Status != Unknown || text(r.Err) != "cut short: context canceled" {
		t.Errorf("got %v, %v", r.Status, r.Err)
	}
}

func TestHTTPRetriesAnUnexpectedAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := []string{"HTTP/1.1 500 No\r\n\r\n", "garbage", ok200}
		tries := 0
		x, err := httpcheck.New(httpcheck.Config{
			Scheme: "http", Method: "GET", Timeout: time.Second, ExpectBody: "ok",
			Dial: func(context.Context, string, string) (net.Conn, error) {
				ours, theirs := net.Pipe()
				go func(try int) {
					answer(answers[try])(theirs)
					theirs.Close()
				}(tries)
				tries++
				return ours, nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		c := &HTTP{exchange: x, endpoint: endpoint{unixSocket: "/x"}, retries: 5}
		r := c.Run(t.Context(), web)
		if took := time.Since(start); r.Status != Healthy || tries != 3 || took != 9*time.Second {
			t.Errorf("got %v, %v after %d tries in %v, want healthy after 3 in 9s", r.Status, r.Err, tries, took)
		}
	})
}

func TestNewHTTPRefuses(t *testing.T) {
	noCertificate := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(noCertificate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	header := func(name string, values ...string) HTTPConfig {
		return HTTPConfig{Port: "80", Header: http.Header{name: values}}
	}
	const password = "pa55word"
	tests := []struct {
		name string
		cfg  HTTPConfig
		want string
	}{
		{"no port", HTTPConfig{}, "http: port: is required: a number, or a regular expression with one group such as `web_(\\d+)`"},
		{"port 0", HTTPConfig{Port: "0"}, `http: port: "0" is not between 1 and 65535`},
		{"port 70000", HTTPConfig{Port: "70000"}, `http: port: "70000" is not between 1 and 65535`},
		{"port -1", HTTPConfig{Port: "-1"}, `http: port: "-1" is not between 1 and 65535`},
		{"port without its backslash", HTTPConfig{Port: `web_d+`}, "http: port: `web_d+` is neither a number nor a regular expression with a group such as `web_(\\d+)`"},
		{"port and unix socket", HTTPConfig{Port: "80", UnixSocket: "/x"}, "http: port: is of no use with unix-socket: give one of them"},
		{"host", HTTPConfig{Port: "80", Host: "a b"}, `http: host: "a b" is neither a host name nor an IP address`},
		{"scheme", HTTPConfig{Port: "80", Scheme: "ftp"}, `http: scheme: "ftp" is neither http nor https`},
		{"method with a space", HTTPConfig{Port: "80", Method: "GET /"}, `http: method: "GET /" is not an HTTP method`},
		{"method with a line break", HTTPConfig{Port: "80", Method: "GET\r\n"}, `http: method: "GET\r\n" is not an HTTP method`},
		{"method beyond ASCII", HTTPConfig{Port: "80", Method: "É"}, `http: method: "É" is not an HTTP method`},
		{"URL with a space", HTTPConfig{Port: "80", URL: "/a b"}, `http: url: ' ' cannot be sent: write it as %20`},
		{"URL with a line break", HTTPConfig{Port: "80", URL: "/\n"}, `http: url: '\n' cannot be sent: write it as %0A`},
		{"URL beyond ASCII", HTTPConfig{Port: "80", URL: "/é"}, `http: url: 'é' cannot be sent: write it as %C3%A9`},
		{"URL with a user", HTTPConfig{Port: "80", URL: "http://jo:" + password + "@a/"}, "http: url: must not hold a user name or a password: they have settings of their own"},
		{"URL with a password that ends the host", HTTPConfig{Port: "80", URL: "http://jo:" + password + "#@a/"}, "http: url: is not a valid absolute URL; a path alone, such as /ping, will do"},
		{"URL without a host", HTTPConfig{Port: "80", URL: "http:///x"}, "http: url: is not a valid absolute URL; a path alone, such as /ping, will do"},
		{"header name with a space", header("X Y", password), `http: headers: "X Y" is not a header name`},
		{"header without a name", header("", password), `http: headers: "" is not a header name`},
		{"header value with a line break", header("X", password+"\r\nY: z"), "http: headers: the value of X holds a control character"},
		{"header value with a NUL", header("X", "\x00"), "http: headers: the value of X holds a control character"},
		{"Host with a path", header("Host", "a/b"), "http: headers: the value of Host is not a host with an optional port"},
		{"Host with a bad port", header("Host", "a:b"), "http: headers: the value of Host is not a host with an optional port"},
		{"Host beyond ASCII", header("Host", "é"), "http: headers: the value of Host is not a host with an optional port"},
		{"empty Host", header("Host", ""), "http: headers: the value of Host is not a host with an optional port"},
		{"two Hosts", header("Host", "a", "b"), "http: headers: the value of Host is not a host with an optional port"},
		{"Content-Length of another body", header("content-length", "5"), "http: headers: Content-Length is set from the body, which has 0 bytes"},
		{"Transfer-Encoding", header("Transfer-Encoding", "chunked"), "http: headers: Transfer-Encoding cannot be set: the body is sent in one piece"},
		{"Trailer", header("trailer", "X"), "http: headers: Trailer cannot be set: the body is sent in one piece"},
		{"JSON that is none", HTTPConfig{Port: "80", JSON: []byte(`{"a": ` + password)}, "http: json: is not valid JSON: invalid character 'p' looking for beginning of value"},
		{"empty JSON", HTTPConfig{Port: "80", JSON: []byte{}}, "http: json: is not valid JSON: unexpected end of JSON input"},
		{"password without a username", HTTPConfig{Port: "80", Password: password}, "http: password: needs a username"},
		{"negative timeout", HTTPConfig{Port: "80", Timeout: -time.Second}, "http: timeout: -1s is not more than 0"},
		{"status 600", HTTPConfig{Port: "80", ExpectStatus: "600"}, `http: expect-status: "600" is not a status code between 100 and 599`},
		{"status abc", HTTPConfig{Port: "80", ExpectStatus: "abc"}, `http: expect-status: "abc" is not a status code between 100 and 599`},
		{"status 300-200", HTTPConfig{Port: "80", ExpectStatus: "300-200"}, "http: expect-status: the range 300-200 runs backwards"},
		{"body pattern", HTTPConfig{Port: "80", ExpectBody: "(?=a)"}, "http: expect-body: error parsing regexp: invalid or unsupported Perl syntax: `(?=`"},
		{"CA file without https", HTTPConfig{Port: "80", CAFile: noCertificate}, "http: ca-file: needs the scheme https"},
		{"insecure without https", HTTPConfig{Port: "80", Insecure: true}, "http: insecure: needs the scheme https"},
		{"CA file and insecure", HTTPConfig{Port: "80", Scheme: "https", CAFile: noCertificate, Insecure: true}, "http: ca-file: is of no use with insecure: give one of them"},
		{"CA file that is not there", HTTPConfig{Port: "80", Scheme: "https", CAFile: "/no/ca"}, "http: ca-file: open /no/ca: no such file or directory"},
		{"CA file without a certificate", HTTPConfig{Port: "80", Scheme: "https", CAFile: noCertificate}, "http: ca-file: there is no PEM certificate in " + noCertificate},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewHTTP(tt.cfg)
			if text(err) != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
			if bad := (*ConfigError)(nil); !errors.As(err, &bad) {
				t.Errorf("%T is not a *ConfigError", err)
			}
			if strings.Contains(text(err), password) {
				t.Errorf("the password is in %q", err)
			}
		})
	}
}
