package supervisor_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/supervisor-checks/supervisor-checks/supervisor"
	"github.com/supervisor-checks/supervisor-checks/supervisor/supervisortest"
)

func newClient(t *testing.T, cfg supervisor.Config) *supervisor.Client {
	t.Helper()
	c, err := supervisor.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// wantUnreachable expects err to be an UnreachableError of that text, which
// names the address itself.
func wantUnreachable(t *testing.T, err error, address, text string) *supervisor.UnreachableError {
	t.Helper()
	var unreachable *supervisor.UnreachableError
	if !errors.As(err, &unreachable) {
		t.Fatalf("got %v, want an UnreachableError", err)
	}
	if want := "no answer from supervisord at " + address + ": " + text; err.Error() != want {
		t.Errorf("got error\n%s, want\n%s", err, want)
	}
	return unreachable
}

func TestNewClient(t *testing.T) {
	neither := func(shown string) string {
		return "the address of supervisord, " + shown + ", is neither unix:///PATH nor http://HOST:PORT"
	}
	const notShown = "which is not shown since it may hold a password"
	tests := []struct{ name, url, address, err string }{
		{"a unix socket", "unix:///run/supervisor.sock", "unix:///run/supervisor.sock", ""},
		{"a unix socket with signs that mean something in a URL", "unix:///run/a#b?c%20d.sock", "unix:///run/a#b?c%20d.sock", ""},
		{"a port", "http://127.0.0.1:9001", "http://127.0.0.1:9001", ""},
		{"behind TLS and a path", "https://example.org/sv/RPC2", "https://example.org/sv/RPC2", ""},
		{"with credentials", "http://user:secret@localhost:9001", "http://localhost:9001", ""},
		{"nothing", "", "", "supervisord's address is not known: SUPERVISOR_SERVER_URL is not set; " +
			"if this is an event listener, give supervisord.conf a [unix_http_server] section with a file= and restart supervisord; " +
			"else pass --server-url unix:///run/supervisor.sock"},
		{"a path", "/run/supervisor.sock", "", neither(`"/run/supervisor.sock"`)},
		{"a host and a port", "localhost:9001", "", neither(`"localhost:9001"`)},
		{"a unix socket with a slash too few", "unix://run/supervisor.sock", "", neither(`"unix://run/supervisor.sock"`)},
		{"a unix socket without a path", "unix://", "", neither(`"unix://"`)},
		{"no host", "http:///RPC2", "", neither(`"http:///RPC2"`)},
		{"another scheme with a password", "ftp://user:secret@host", "", neither(notShown)},
		{"no URL", "://", "", neither(`"://"`)},
		{"no URL, with a password", "http://user:secret@[::1", "", neither(notShown)},
		{"no URL, with a password that must be escaped", "http://user:secret%@host", "", neither(notShown)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := supervisor.NewClient(supervisor.Config{URL: tt.url})
			if got := fmt.Sprint(err); tt.err != "" && got != tt.err {
				t.Errorf("got error\n%s, want\n%s", got, tt.err)
			}
			if tt.err != "" {
				return
			}
			if err != nil || c.Address() != tt.address {
				t.Errorf("got address %q, error %v, want %q", c.Address(), err, tt.address)
			}
		})
	}
	if _, err := supervisor.NewClient(supervisor.Config{}); !errors.Is(err, supervisor.ErrNoURL) {
		t.Errorf("got %v, want ErrNoURL", err)
	}
}

const (
	refusedAdvice = "connect: connection refused: nobody listens there: is supervisord running, with [unix_http_server] or [inet_http_server]?"
	missingAdvice = "connect: no such file or directory: is supervisord running, and is this the file= of its [unix_http_server]?"
)

// unixSocket returns a path that a socket can have, in a folder that others may enter.
func unixSocket(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sv")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "s")
}

func TestNobodyListens(t *testing.T) {
	missing, left := unixSocket(t), unixSocket(t)
	unix, err := net.ListenUnix("unix", &net.UnixAddr{Name: left, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	unix.SetUnlinkOnClose(false)
	unix.Close()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tcp.Close()
	tests := []struct {
		name, url, address, text string
		is                       error
	}{
		{"no socket", "unix://" + missing, "unix://" + missing, missingAdvice, fs.ErrNotExist},
		{"a socket that was left", "unix://" + left, "unix://" + left, refusedAdvice, syscall.ECONNREFUSED},
		{"a port, with a password", "http://user:secret@" + tcp.Addr().String(),
			"http://" + tcp.Addr().String(), refusedAdvice, syscall.ECONNREFUSED},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := newClient(t, supervisor.Config{URL: tt.url}).PID(t.Context())
			unreachable := wantUnreachable(t, err, tt.address, tt.text)
			if !errors.Is(err, tt.is) || !unreachable.NotSent {
				t.Errorf("is %v: %t, not sent: %t, want both", tt.is, errors.Is(err, tt.is), unreachable.NotSent)
			}
		})
	}
}

// TestForbiddenSocket calls a supervisord whose socket is another user's. Root
// may open any socket, so for root the test runs itself as nobody.
func TestForbiddenSocket(t *testing.T) {
	const forbidden = "SUPERVISOR_TEST_FORBIDDEN_SOCKET"
	socket := os.Getenv(forbidden)
	if socket == "" {
		socket = unixSocket(t)
		l, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if err := os.Chmod(socket, 0); err != nil {
			t.Fatal(err)
		}
		if os.Geteuid() == 0 {
			cmd := exec.Command(os.Args[0], "-test.run=^TestForbiddenSocket$", "-test.v")
			cmd.Env = append(os.Environ(), forbidden+"="+socket)
			out, err := cmd.CombinedOutput()
			switch {
			case err != nil:
				t.Errorf("as nobody: %v\n%s", err, out)
			case strings.Contains(string(out), "--- SKIP"):
				t.Skipf("NOT TESTED: %s", out)
			}
			return
		}
	} else if err := syscall.Setuid(65534); err != nil {
		t.Skipf("NOT TESTED: root cannot become nobody: %v", err)
	}
	me, err := user.LookupId(strconv.Itoa(os.Geteuid()))
	if err != nil {
		t.Fatal(err)
	}
	_, err = newClient(t, supervisor.Config{URL: "unix://" + socket}).PID(t.Context())
	wantUnreachable(t, err, "unix://"+socket, "connect: permission denied: user "+me.Username+" may not open the socket: "+
		"set chmod= or chown= in [unix_http_server], or user= in the [eventlistener] section")
	if !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v, want fs.ErrPermission", err)
	}
}

func TestCredentials(t *testing.T) {
	const unauthorized = "401 Unauthorized: supervisord does not hand its credentials to listeners: " +
		"set SUPERVISOR_USERNAME and SUPERVISOR_PASSWORD in environment= of the [eventlistener] section, " +
		"or pass --server-username and --server-password-file"
	const refused = `401 Unauthorized: supervisord refuses user "user" with the password that it was given: ` +
		"compare them with username= and password= in [inet_http_server] of supervisord.conf"
	var header string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header = r.Header.Get("Authorization")
		if user, password, _ := r.BasicAuth(); user != "us:er" && password != "sécret:" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "text/xml")
		fmt.Fprint(w, "<methodResponse><params><param><value><int>42</int></value></param></params></methodResponse>")
	}))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	tests := []struct {
		name    string
		cfg     supervisor.Config
		header  string
		address string // "" means that they are accepted
		text    string
	}{
		{"none", supervisor.Config{URL: server.URL}, "", server.URL, unauthorized},
		{"wrong ones", supervisor.Config{URL: server.URL, Username: "user", Password: "secret"}, "Basic dXNlcjpzZWNyZXQ=", server.URL, refused},
		{"wrong ones in the URL", supervisor.Config{URL: "http://user:secret@" + host}, "Basic dXNlcjpzZWNyZXQ=", "http://" + host, refused},
		{"wrong ones for a socket", supervisor.Config{URL: "unix:///s", Username: "user", Password: "secret", Dial: func(context.Context) (net.Conn, error) {
			return net.Dial("tcp", host)
		}}, "Basic dXNlcjpzZWNyZXQ=", "unix:///s", strings.Replace(refused, "inet_", "unix_", 1)},
		{"right ones", supervisor.Config{URL: server.URL, Username: "user", Password: "sécret:"}, "Basic dXNlcjpzw6ljcmV0Og==", "", ""},
		{"right ones in the URL", supervisor.Config{URL: "http://user:s%C3%A9cret:@" + host}, "Basic dXNlcjpzw6ljcmV0Og==", "", ""},
		{"right ones beside wrong ones in the URL",
			supervisor.Config{URL: "http://a:b@" + host, Username: "user", Password: "sécret:"}, "Basic dXNlcjpzw6ljcmV0Og==", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pid, err := newClient(t, tt.cfg).PID(t.Context())
			if header != tt.header {
				t.Errorf("sent %q, want %q", header, tt.header)
			}
			if tt.address == "" {
				if err != nil || pid != 42 {
					t.Errorf("got %d, %v, want 42", pid, err)
				}
				return
			}
			wantUnreachable(t, err, tt.address, tt.text)
			if !errors.Is(err, supervisor.ErrUnauthorized) {
				t.Errorf("got %v, want ErrUnauthorized", err)
			}
		})
	}
}

const address = "http://supervisortest" // of every supervisortest.Server

// fated runs a test with a client of a supervisord, of whose calls becomes fate.
func fated(t *testing.T, fate supervisortest.Fate, test func(*testing.T, *supervisortest.Server, *supervisor.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := supervisortest.NewServer(supervisor.Python, supervisortest.Program{Name: "worker"})
		defer s.Close()
		s.Intercept(func(supervisortest.Call) supervisortest.Fate { return fate })
		test(t, s, newClient(t, s.Config()))
	})
}

func TestBadAnswers(t *testing.T) {
	const noInterface = "it does not offer the supervisor interface (%s): add [rpcinterface:supervisor] with " +
		"supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface to supervisord.conf and restart supervisord"
	const notXMLRPC = "the answer is not XML-RPC"
	value := func(v string) supervisortest.Fate {
		return supervisortest.Fate{Status: 200, Type: "text/xml", Body: "<methodResponse><params><param><value>" + v + "</value></param></params></methodResponse>"}
	}
	tests := []struct {
		name  string
		fate  supervisortest.Fate
		text  string
		is    error
		calls int // 2 where a call that changes nothing is made again
	}{
		{"no [rpcinterface:supervisor]", supervisortest.Fate{Fault: &supervisor.Fault{Code: 1, Text: "UNKNOWN_METHOD"}},
			fmt.Sprintf(noInterface, "supervisor.getAllProcessInfo"), supervisor.ErrNoInterface, 1},
		{"an error within supervisord", supervisortest.Fate{Status: 500, Type: "text/plain", Body: "Traceback"},
			"HTTP 500: supervisord failed within; its own log says why", nil, 1},
		{"no such page", supervisortest.Fate{Status: 404, Type: "text/html", Body: "<html>"},
			notXMLRPC + ": HTTP 404: is this supervisord's address?", supervisor.ErrNotXMLRPC, 1},
		{"another web page", supervisortest.Fate{Status: 200, Type: "text/html; charset=utf-8", Body: "<html>Supervisor Status</html>"},
			notXMLRPC + ` but "text/html": is this supervisord's address, with no path or with /RPC2?`, supervisor.ErrNotXMLRPC, 1},
		{"text that is not XML", supervisortest.Fate{Status: 200, Type: "text/xml", Body: "none"},
			notXMLRPC + ": EOF", supervisor.ErrNotXMLRPC, 2},
		{"a lost call", supervisortest.Fate{LoseCall: true}, "EOF", nil, 2},
		{"a lost answer", supervisortest.Fate{LoseReply: true}, "EOF", nil, 2},
		{"half an answer", supervisortest.Fate{Truncate: true}, "the answer broke off: unexpected EOF", nil, 2},
		{"no answer in time", supervisortest.Fate{Delay: time.Hour}, "it took longer than 15s", nil, 1},

		{"a number for a list", value("<int>1</int>"),
			notXMLRPC + ": error: type mismatch - can't unmarshal slice to int", supervisor.ErrNotXMLRPC, 1},
		{"a list of numbers", value("<array><data><value><int>1</int></value></data></array>"),
			notXMLRPC + ": error: type mismatch - can't unmarshal struct to int", supervisor.ErrNotXMLRPC, 1},
		{"a list without its data", value("<array><value/></array>"),
			notXMLRPC + ": invalid xml", supervisor.ErrNotXMLRPC, 1},
		{"words for a number", value("<array><data><value><struct><member><name>pid</name><value><int>one</int></value></member></struct></value></data></array>"),
			notXMLRPC + `: strconv.ParseInt: parsing "one": invalid syntax`, supervisor.ErrNotXMLRPC, 1},
		{"lists in lists in lists", value(strings.Repeat("<array><data><value>", 100_000)),
			notXMLRPC + ": error: type mismatch - can't unmarshal struct to slice", supervisor.ErrNotXMLRPC, 1},
		{"a fault that is none", supervisortest.Fate{Status: 200, Type: "text/xml", Body: "<fault><value><int>1</int></value></fault>"},
			notXMLRPC + ": error: type mismatch - can't unmarshal struct to int", supervisor.ErrNotXMLRPC, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fated(t, tt.fate, func(t *testing.T, s *supervisortest.Server, c *supervisor.Client) {
				_, err := c.Processes(t.Context())
				unreachable := wantUnreachable(t, err, address, tt.text)
				if tt.is != nil && !errors.Is(err, tt.is) {
					t.Errorf("got %v, want %v", err, tt.is)
				}
				if got := len(s.Calls()); got != tt.calls || unreachable.NotSent {
					t.Errorf("%d calls, not sent: %t, want %d and false", got, unreachable.NotSent, tt.calls)
				}
			})
		})
	}
}

func TestMissingMembers(t *testing.T) {
	const body = "<methodResponse><params><param><value><struct>" +
		"<member><name>name</name><value>worker</value></member>" +
		"<member><name>unheard of</name><value><nil/></value></member>" +
		"</struct></value></param></params></methodResponse>"
	fated(t, supervisortest.Fate{Status: 200, Type: "text/xml", Body: body},
		func(t *testing.T, _ *supervisortest.Server, c *supervisor.Client) {
			got, err := c.Process(t.Context(), "worker")
			if want := (supervisor.Process{Name: "worker"}); err != nil || got != want {
				t.Errorf("got %+v, %v, want %+v", got, err, want)
			}
		})
}

func TestOnlyWhatChangesNothingIsTriedTwice(t *testing.T) {
	calls := []struct {
		name string
		call func(context.Context, *supervisor.Client) error
		want int
	}{
		{"Processes", func(ctx context.Context, c *supervisor.Client) error { _, err := c.Processes(ctx); return err }, 2},
		{"Process", func(ctx context.Context, c *supervisor.Client) error { _, err := c.Process(ctx, "worker"); return err }, 2},
		{"Programs", func(ctx context.Context, c *supervisor.Client) error { _, err := c.Programs(ctx); return err }, 2},
		{"Identifier", func(ctx context.Context, c *supervisor.Client) error { _, err := c.Identifier(ctx); return err }, 2},
		{"PID", func(ctx context.Context, c *supervisor.Client) error { _, err := c.PID(ctx); return err }, 2},
		{"Flavour", func(ctx context.Context, c *supervisor.Client) error { _, err := c.Flavour(ctx); return err }, 2},
		{"Stop", func(ctx context.Context, c *supervisor.Client) error { return c.Stop(ctx, "worker") }, 1},
		{"Start", func(ctx context.Context, c *supervisor.Client) error { return c.Start(ctx, "worker") }, 1},
	}
	for _, tt := range calls {
		t.Run(tt.name, func(t *testing.T) {
			fated(t, supervisortest.Fate{Truncate: true}, func(t *testing.T, s *supervisortest.Server, c *supervisor.Client) {
				wantUnreachable(t, tt.call(t.Context(), c), address, "the answer broke off: unexpected EOF")
				if got := len(s.Calls()); got != tt.want {
					t.Errorf("%d calls, want %d", got, tt.want)
				}
			})
		})
	}
}

func TestSecondTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := supervisortest.NewServer(supervisor.Python)
		defer s.Close()
		s.Intercept(func(c supervisortest.Call) supervisortest.Fate {
			return supervisortest.Fate{Truncate: c.Number == 1}
		})
		if got, err := newClient(t, s.Config()).PID(t.Context()); got != 5000000 || err != nil {
			t.Errorf("got %d, %v, want 5000000", got, err)
		}
	})
}

func TestTimeouts(t *testing.T) {
	cause := errors.New("told to end")
	tests := []struct {
		name   string
		answer string // before supervisord falls silent
		cfg    supervisor.Config
		ending time.Duration // after which the caller gives up
		took   time.Duration
		text   string
	}{
		{"no answer", "", supervisor.Config{}, time.Hour, 15 * time.Second, "it took longer than 15s"},
		{"no answer, and less patience", "", supervisor.Config{Timeout: time.Second}, time.Hour, time.Second, "it took longer than 1s"},
		{"half a header", "HTTP/1.1 200 OK\r\nContent-", supervisor.Config{}, time.Hour, 15 * time.Second, "it took longer than 15s"},
		{"half an answer", "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 100\r\n\r\n<?xml",
			supervisor.Config{}, time.Hour, 15 * time.Second, "it took longer than 15s"},
		{"the caller gives up", "", supervisor.Config{}, time.Second, time.Second, "told to end"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tt.cfg.URL = address
				tt.cfg.Dial = func(context.Context) (net.Conn, error) {
					client, server := net.Pipe()
					go func() {
						defer server.Close()
						if _, err := http.ReadRequest(bufio.NewReader(server)); err != nil {
							return
						}
						io.WriteString(server, tt.answer)
						io.Copy(io.Discard, server)
					}()
					return client, nil
				}
				ctx, cancel := context.WithTimeoutCause(t.Context(), tt.ending, cause)
				defer cancel()
				begun := time.Now()
				_, err := newClient(t, tt.cfg).PID(ctx)
				if took := time.Since(begun); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				wantUnreachable(t, err, address, tt.text)
				if ctx.Err() != nil && !errors.Is(err, cause) {
					t.Errorf("got %v, want %v", err, cause)
				}
			})
		})
	}
}

func TestEachCallHasAConnectionOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := supervisortest.NewServer(supervisor.Python)
		defer s.Close()
		cfg, dials := s.Config(), 0
		dial := cfg.Dial
		cfg.Dial = func(ctx context.Context) (net.Conn, error) {
			dials++
			return dial(ctx)
		}
		c := newClient(t, cfg)
		for want := 1; want <= 3; want++ {
			if _, err := c.PID(t.Context()); err != nil || dials != want {
				t.Fatalf("%d connections, error %v, want %d", dials, err, want)
			}
		}
	})
}

func TestNoConnectionInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, supervisor.Config{URL: address, Dial: func(context.Context) (net.Conn, error) {
			<-t.Context().Done()
			return nil, t.Context().Err()
		}})
		_, err := c.PID(t.Context())
		wantUnreachable(t, err, address, "it took longer than 15s")
	})
}

func TestNames(t *testing.T) {
	names := []string{
		"100%", "%s%d", "a<b", "a>b", `"quoted"`, "it's", "a&b", "&lt;", "größe", "日本", "🙂", "]]>", "<![CDATA[",
		" a  b ", "tab\tand\nline", "back\\slash",
	}
	for _, flavour := range []supervisor.Flavour{supervisor.Python, supervisor.Go} {
		for _, name := range names {
			t.Run(string(flavour)+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := supervisortest.NewServer(flavour, supervisortest.Program{Group: "web", Name: name})
					defer s.Close()
					c := newClient(t, s.Config())
					p, err := c.Process(t.Context(), "web:"+name)
					if err != nil || p.Name != name {
						t.Errorf("got %q, %v, want %q", p.Name, err, name)
					}
					all, err := c.Processes(t.Context())
					if diff := cmp.Diff([]supervisor.Process{p}, all); err != nil || diff != "" {
						t.Errorf("all of them (-want +got): %v\n%s", err, diff)
					}
				})
			})
		}
	}
}

func TestControlCharacters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := supervisortest.NewServer(supervisor.Python,
			supervisortest.Program{Name: "bell\aand\x1b[31mred\x00\x0b\uFFFE"}, supervisortest.Program{Name: "broken\xff"})
		defer s.Close()
		s.Intercept(func(c supervisortest.Call) supervisortest.Fate {
			if c.Method == "supervisor.stopProcess" {
				return supervisortest.Fate{Fault: &supervisor.Fault{Code: supervisor.FaultFailed, Text: "red \x1b[31m\n100%"}}
			}
			return supervisortest.Fate{}
		})
		c := newClient(t, s.Config())
		processes, err := c.Processes(t.Context())
		if err != nil || len(processes) != 2 {
			t.Fatalf("got %d processes, %v, want 2", len(processes), err)
		}
		for i, want := range []string{"bell\uFFFDand\uFFFD[31mred\uFFFD\uFFFD\uFFFD", "broken\uFFFD"} {
			if got := processes[i].Name; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		err = c.Stop(t.Context(), "worker")
		if want := `supervisord refused: red �[31m\n100% (fault 30)`; err == nil || err.Error() != want {
			t.Errorf("got error %v, want %s", err, want)
		}
	})
}

func TestFlavour(t *testing.T) {
	only := func(methods string) supervisortest.Fate {
		return supervisortest.Fate{Status: 200, Type: "text/xml",
			Body: "<methodResponse><params><param><value><array><data>" + methods + "</data></array></value></param></params></methodResponse>"}
	}
	tests := []struct {
		name    string
		flavour supervisor.Flavour
		fate    supervisortest.Fate // of system.listMethods
		want    supervisor.Flavour
		is      error
	}{
		{"Python's", supervisor.Python, supervisortest.Fate{}, supervisor.Python, nil},
		{"the Go one", supervisor.Go, supervisortest.Fate{}, supervisor.Go, nil},
		{"one without [rpcinterface:supervisor]", supervisor.Python, only("<value><string>system.listMethods</string></value>"),
			supervisor.Python, supervisor.ErrNoInterface},
		{"none", supervisor.Python, supervisortest.Fate{Status: 404}, "", supervisor.ErrNotXMLRPC},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := supervisortest.NewServer(tt.flavour)
				defer s.Close()
				s.Intercept(func(c supervisortest.Call) supervisortest.Fate {
					switch {
					case c.Method == "system.listMethods":
						return tt.fate
					case tt.is != nil:
						return supervisortest.Fate{Fault: &supervisor.Fault{Code: supervisor.FaultUnknownMethod, Text: "UNKNOWN_METHOD"}}
					}
					return supervisortest.Fate{}
				})
				got, err := newClient(t, s.Config()).Flavour(t.Context())
				if got != tt.want || !errors.Is(err, tt.is) {
					t.Errorf("got %q, %v, want %q, %v", got, err, tt.want, tt.is)
				}
			})
		})
	}
}

func TestGoOffersNoPrograms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := supervisortest.NewServer(supervisor.Go)
		defer s.Close()
		if _, err := newClient(t, s.Config()).Programs(t.Context()); err != supervisor.ErrNotOffered {
			t.Errorf("got %v, want ErrNotOffered", err)
		}
	})
}
