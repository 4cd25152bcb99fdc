package swift_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	library "github.com/ncw/swift/v2"
	"github.com/ncw/swift/v2/swifttest"

	"github.com/supervisor-checks/supervisor-checks/internal/realservers"
	"github.com/supervisor-checks/supervisor-checks/probes"
	"github.com/supervisor-checks/supervisor-checks/probes/swift"
)

// open has looks without a time of their own take as long as they need on a busy machine.
func open(t *testing.T, cfg swift.Config) *swift.Probe {
	t.Helper()
	cfg.Timeout = cmp.Or(cfg.Timeout, 30*time.Second)
	p, err := swift.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// look requires the text of an error to hold something, and nothing for "".
func look(t *testing.T, name string, p *swift.Probe, want string) error {
	t.Helper()
	begun := time.Now()
	err := p.Check(t.Context())
	text := ""
	if err != nil {
		text = err.Error()
	}
	if !strings.Contains(text, want) || want == "" && text != "" || strings.Contains(text, "secret7") || strings.Contains(text, swifttest.TEST_ACCOUNT) || strings.Contains(text, "://") {
		t.Errorf("%s: %s\nwant %s", name, text, want)
	}
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("%s: it took %v", name, took)
	}
	return err
}

// v1 is the library's server, behind a front.
func v1(t *testing.T) (*swifttest.SwiftServer, *realservers.Front) {
	t.Helper()
	s, err := swifttest.NewSwiftServer("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	front := realservers.NewFront(t, s.Listener.Addr().String())
	s.AuthURL, s.URL = "http://"+front.Address+"/v1.0", "http://"+front.Address+"/v1"
	return s, front
}

func TestV1(t *testing.T) {
	t.Parallel()
	s, _ := v1(t)
	good := swift.Config{AuthURL: s.AuthURL, Username: swifttest.TEST_ACCOUNT, Key: swifttest.TEST_ACCOUNT}
	user := library.Connection{AuthUrl: s.AuthURL, UserName: swifttest.TEST_ACCOUNT, ApiKey: swifttest.TEST_ACCOUNT}
	if err := user.ContainerCreate(t.Context(), "backups", nil); err != nil {
		t.Fatal(err)
	}
	look(t, "an account", open(t, good), "")
	container, none, key, name := good, good, good, good
	container.Container, none.Container, key.Key, name.Username = "backups", "none", "secret7", "somebody"
	look(t, "a container", open(t, container), "")
	if err := look(t, "a container that there is none of", open(t, none), "Container Not Found"); !errors.Is(err, library.ContainerNotFound) {
		t.Errorf("%#v", err)
	}
	if err := look(t, "a wrong key", open(t, key), "Authorization Failed"); !errors.Is(err, library.AuthorizationFailed) {
		t.Errorf("%#v", err)
	}
	look(t, "a user that there is none of", open(t, name), "Authorization Failed")
}

func TestV1Fails(t *testing.T) {
	t.Parallel()
	s, front := v1(t)
	p := open(t, swift.Config{AuthURL: s.AuthURL, Username: swifttest.TEST_ACCOUNT, Key: swifttest.TEST_ACCOUNT, Timeout: time.Second})
	realservers.Lose(t, open(t, swift.Config{AuthURL: s.AuthURL, Username: swifttest.TEST_ACCOUNT, Key: swifttest.TEST_ACCOUNT, Timeout: 500 * time.Millisecond}), front)
	realservers.Put(t, p, front, swifttest.TEST_ACCOUNT)
	if err := look(t, "it is not there", p, "connect: connection refused"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%#v", err)
	}
}

// keystone is a token endpoint of version 3, with an account of Swift beside it.
type keystone struct {
	*httptest.Server
	mu      sync.Mutex
	tokens  int    // that were given
	token   string // that is good
	looks   int
	account func(http.ResponseWriter) // answers in place of the account
}

func newKeystone(t *testing.T, certificates *realservers.Certificates) *keystone {
	t.Helper()
	k := new(keystone)
	routes := http.NewServeMux()
	routes.HandleFunc("POST /v3/auth/tokens", func(w http.ResponseWriter, r *http.Request) {
		type named struct{ Name string }
		var asked struct {
			Auth struct {
				Identity struct {
					Methods  []string
					Password struct {
						User struct {
							Name, Password string
							Domain         named
						}
					}
				}
				Scope struct {
					Project struct {
						Name   string
						Domain named
					}
				}
			}
		}
		err := json.NewDecoder(r.Body).Decode(&asked)
		user, project := asked.Auth.Identity.Password.User, asked.Auth.Scope.Project
		if err != nil || user.Name != "probe" || user.Password != "sesame" || user.Domain.Name != "people" || project.Name != "files" || project.Domain.Name != "work" {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, `{"error":{"code":401,"message":"not with %s, %s"}}`, user.Password, strings.Repeat("never ", 1000))
			return
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		k.tokens++
		k.token = fmt.Sprintf("token%d", k.tokens)
		w.Header().Set("X-Subject-Token", k.token)
		w.WriteHeader(http.StatusCreated)
		json.NewEncoder(w).Encode(map[string]any{"token": map[string]any{
			"expires_at": time.Now().Add(time.Hour).UTC().Format(time.RFC3339),
			"catalog": []any{map[string]any{"type": "object-store", "endpoints": []any{
				map[string]any{"interface": "public", "region": "north", "url": k.URL + "/swift/north"},
				map[string]any{"interface": "public", "region": "south", "url": k.URL + "/swift/south"},
			}}},
		}})
	})
	routes.HandleFunc("HEAD /swift/north", func(w http.ResponseWriter, r *http.Request) {
		k.mu.Lock()
		defer k.mu.Unlock()
		switch {
		case r.Header.Get("X-Auth-Token") != k.token:
			w.WriteHeader(http.StatusUnauthorized)
		case k.account != nil:
			k.account(w)
		default:
			k.looks++
			for _, name := range []string{"Bytes-Used", "Container-Count", "Object-Count"} {
				w.Header().Set("X-Account-"+name, "7")
			}
			w.WriteHeader(http.StatusNoContent)
		}
	})
	if certificates == nil {
		k.Server = httptest.NewServer(routes)
	} else {
		k.Server = httptest.NewUnstartedServer(routes)
		pair, err := tls.LoadX509KeyPair(certificates.Cert, certificates.Key)
		if err != nil {
			t.Fatal(err)
		}
		k.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
		k.StartTLS()
	}
	t.Cleanup(k.Close)
	return k
}

func (k *keystone) config() swift.Config {
	return swift.Config{AuthURL: k.URL + "/v3", Username: "probe", Key: "sesame", Domain: "people", Tenant: "files", TenantDomain: "work"}
}

// do changes something of k.
func (k *keystone) do(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f()
}

func TestV3(t *testing.T) {
	t.Parallel()
	k := newKeystone(t, nil)
	p := open(t, k.config())
	for range 3 {
		look(t, "it is up", p, "")
	}
	k.do(func() {
		if k.tokens != 1 || k.looks != 3 {
			t.Errorf("%d tokens for %d looks, want 1 for 3", k.tokens, k.looks)
		}
		k.token = "another"
	})
	look(t, "its token is refused", p, "")
	k.do(func() {
		if k.tokens != 2 || k.looks != 4 {
			t.Errorf("%d tokens for %d looks, want 2 for 4", k.tokens, k.looks)
		}
		k.account = func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) }
	})
	look(t, "the account cannot be had", p, "HTTP Error: 503")
	k.do(func() {
		k.account = func(w http.ResponseWriter) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(http.StatusFound)
		}
	})
	look(t, "it redirects", p, "it redirects: 302 Found")
	k.do(func() { k.account = func(w http.ResponseWriter) { w.WriteHeader(http.StatusOK) } })
	look(t, "it is no account", p, "Bad Header 'X-Account-Bytes-Used'")

	cfg := k.config()
	cfg.Key = "secret7"
	look(t, "a wrong key, which is in the answer", open(t, cfg), "Authorization Failed")
	cfg = k.config()
	cfg.Region = "south"
	look(t, "a region without the account", open(t, cfg), swift.ErrNoAccount.Error())
	cfg.Region = "west"
	look(t, "a region that there is none of", open(t, cfg), "Response didn't have storage url and auth token")
}

func TestTLS(t *testing.T) {
	t.Parallel()
	certificates := realservers.NewCertificates(t, 24*time.Hour)
	k := newKeystone(t, certificates)
	for _, tt := range []struct {
		name string
		tls  probes.TLS
		want string
	}{
		{"trusted", probes.TLS{CAFile: certificates.CA}, ""},
		{"any", probes.TLS{Insecure: true}, ""},
		{"not trusted", probes.TLS{}, "x509: certificate signed by unknown authority"},
		{"another name", probes.TLS{CAFile: certificates.CA, ServerName: "other.test"}, "x509: certificate is valid for db.test, not other.test"},
	} {
		cfg := k.config()
		cfg.TLS = tt.tls
		look(t, tt.name, open(t, cfg), tt.want)
	}
	cfg := k.config()
	cfg.AuthURL = strings.Replace(cfg.AuthURL, "https:", "http:", 1)
	look(t, "no TLS where there is some", open(t, cfg), "Bad Request")
}

func TestNonsense(t *testing.T) {
	quiet(t)
	const timeout = 300 * time.Millisecond
	x := strings.Repeat("x", 32<<10)
	packed := func(text string) string {
		var out bytes.Buffer
		z := gzip.NewWriter(&out)
		io.WriteString(z, text)
		z.Close()
		return out.String()
	}
	bomb := packed(`{"token":"`) + strings.Repeat(packed(strings.Repeat("x", 1<<20)), 128)
	const ok = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	for _, version := range []string{"/v1.0", "/v3"} {
		realservers.Nonsense(t, timeout, func(address string) realservers.Probe {
			return open(t, swift.Config{AuthURL: "http://" + address + version, Username: "probe", Key: "sesame", Timeout: timeout})
		},
			realservers.Answer{Name: "a header without end", Once: ok + "X-A: ", Over: x},
			realservers.Answer{Name: "headers without end", Once: ok, Over: "X-A: " + x + "\r\n"},
			realservers.Answer{Name: "a body without end", Once: ok + "\r\n" + `{"token":"`, Over: x},
			realservers.Answer{Name: "a body that unpacks to 128 MiB", Once: ok + fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n", len(bomb)) + bomb},
		)
	}
}

// quiet requires that nothing is written to the log until the test ends.
func quiet(t *testing.T) {
	var said bytes.Buffer
	log.SetOutput(&said)
	t.Cleanup(func() {
		log.SetOutput(os.Stderr)
		if said.Len() > 0 {
			t.Errorf("%.1000s", said.String())
		}
	})
}

// A server that speaks first is one of something else.
func TestSpeaksFirst(t *testing.T) {
	quiet(t)
	for _, encrypted := range []bool{false, true} {
		certificates := realservers.NewCertificates(t, time.Hour)
		pair, err := tls.LoadX509KeyPair(certificates.Cert, certificates.Key)
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		cfg := swift.Config{AuthURL: "http://" + l.Addr().String() + "/v1.0", Username: "probe", Key: "sesame"}
		if encrypted {
			l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}})
			cfg.AuthURL, cfg.TLS.CAFile = "https://"+l.Addr().String()+"/v1.0", certificates.CA
		}
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer conn.Close()
					io.WriteString(conn, "220 mail.test ESMTP\r\n")
					io.Copy(io.Discard, conn)
				}()
			}
		}()
		p := open(t, cfg)
		for range 200 {
			look(t, "it speaks of mail", p, `malformed HTTP status code "mail.test"`)
		}
	}
}

// What a server sends after its answer is not written to the log.
func TestSpeaksOn(t *testing.T) {
	quiet(t)
	ended := make(chan struct{}, 2) // of the token, and of the account
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nX-Storage-Url: http://%s/\r\nX-Auth-Token: token\r\n"+
			"X-Account-Bytes-Used: 7\r\nX-Account-Container-Count: 7\r\nX-Account-Object-Count: 7\r\nContent-Length: 0\r\n\r\n", r.Host)
		time.AfterFunc(20*time.Millisecond, func() { io.WriteString(conn, "nobody has asked") })
		io.Copy(io.Discard, conn)
		ended <- struct{}{}
	}))
	defer s.Close()
	look(t, "it is up", open(t, swift.Config{AuthURL: s.URL + "/v1.0", Username: "probe", Key: "sesame"}), "")
	<-ended
	<-ended
}

// What is dialed for a look ends with it.
func TestHandshakeEnds(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := open(t, swift.Config{AuthURL: "https://" + l.Addr().String() + "/v1.0", Username: "probe", Key: "sesame", Timeout: 100 * time.Millisecond})
	for begun := time.Now(); ; { // the machine may have other things to do
		look(t, "it is silent", p, "no answer within 100ms")
		soon := time.Now().Add(5 * time.Second)
		l.(*net.TCPListener).SetDeadline(soon)
		conn, err := l.Accept()
		if err == nil {
			conn.SetReadDeadline(soon)
			_, err = io.Copy(io.Discard, conn)
			conn.Close()
		}
		if err == nil {
			return
		}
		if time.Since(begun) > 30*time.Second {
			t.Fatalf("the connection stays: %v", err)
		}
	}
}

func TestSilent(t *testing.T) {
	t.Parallel()
	realservers.Silent(t, func(address string) (*swift.Probe, error) {
		return swift.New(swift.Config{AuthURL: "http://" + address + "/v3", Username: "probe", Key: "sesame"})
	})
}

func TestNewRefuses(t *testing.T) {
	with := func(change func(*swift.Config)) swift.Config {
		cfg := swift.Config{AuthURL: "https://x/v1.0", Username: "me", Key: "sesame"}
		change(&cfg)
		return cfg
	}
	for _, tt := range []struct {
		cfg  swift.Config
		want string
	}{
		{swift.Config{}, "auth_url: is neither http://HOST/PATH nor https://HOST/PATH"},
		{with(func(c *swift.Config) { c.AuthURL = "https://me:sesame@x/v1.0" }), "auth_url: is neither http://HOST/PATH nor https://HOST/PATH"},
		{with(func(c *swift.Config) { c.AuthURL = "https://v1.test/auth" }), "auth_version: is required: there is no v1, v2 or v3 in auth_url"},
		{with(func(c *swift.Config) { c.AuthVersion = 4 }), "auth_version: 4 is none of 1, 2, 3"},
		{with(func(c *swift.Config) { c.Username = "" }), "username: is required"},
		{with(func(c *swift.Config) { c.Key = "" }), "key: is required"},
		{with(func(c *swift.Config) { c.Region = "north" }), "auth_version: 1 has neither tenant nor region"},
		{with(func(c *swift.Config) { c.AuthVersion, c.DomainID = 2, "1" }), "auth_version: 2 has no domains"},
		{with(func(c *swift.Config) { c.Container = "a/b" }), `container: "a/b" has a /, which no container has`},
		{with(func(c *swift.Config) { c.Timeout = -1 }), "timeout: -1ns is less than 0"},
		{with(func(c *swift.Config) { c.AuthURL, c.TLS.Insecure = "http://x/v1.0", true }), "tls: is of no use without https"},
		{with(func(c *swift.Config) { c.TLS.CAFile = "/no" }), "ca_file: open /no: no such file or directory"},
	} {
		_, err := swift.New(tt.cfg)
		var bad *probes.ConfigError
		if !errors.As(err, &bad) || err.Error() != "swift: "+tt.want {
			t.Errorf("%v\nwant swift: %s", err, tt.want)
		}
	}
}
