package httpcheck

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// exchange returns the exchange of cfg, with what a caller must set filled in.
func exchange(t *testing.T, cfg Config) *Exchange {
	t.Helper()
	if cfg.Method == "" {
		cfg.Method = "GET"
	}
	cfg.Scheme = "http"
	cfg.UserAgent = "test"
	cfg.Timeout = time.Second
	x, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// against makes x talk to serve, which gets its end of each connection once the
// request has arrived.
func against(t *testing.T, x *Exchange, serve func(net.Conn)) {
	var served sync.WaitGroup
	t.Cleanup(served.Wait)
	x.dial = func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		served.Go(func() {
			defer theirs.Close()
			theirs.Read(make([]byte, 1<<16))
			serve(theirs)
		})
		return ours, nil
	}
}

func TestRequestIsSentAsConfigured(t *testing.T) {
	const ours = "Accept-Encoding: identity\r\nConnection: close\r\nUser-Agent: test\r\n"
	tests := []struct {
		name    string
		cfg     Config
		network string
		address string
		want    string
	}{
		{"plain GET", Config{URL: "/ping"}, "tcp", "127.0.0.1:8001",
			"GET /ping HTTP/1.1\r\nHost: 127.0.0.1:8001\r\n" + ours + "\r\n"},
		{"no URL", Config{}, "tcp", "127.0.0.1:8001",
			"GET / HTTP/1.1\r\nHost: 127.0.0.1:8001\r\n" + ours + "\r\n"},
		{"URL without a slash", Config{URL: "ping"}, "tcp", "127.0.0.1:8001",
			"GET /ping HTTP/1.1\r\nHost: 127.0.0.1:8001\r\n" + ours + "\r\n"},
		{"URL with percent signs, two slashes, a bad escape and a fragment", Config{URL: `//a%2Fb/..|{}?x=%20%zz%s"#f`}, "tcp", "127.0.0.1:8001",
			`GET //a%2Fb/..|{}?x=%20%zz%s"#f` + " HTTP/1.1\r\nHost: 127.0.0.1:8001\r\n" + ours + "\r\n"},
		{"absolute URL", Config{URL: "HTTP://example.com:81/x?y"}, "tcp", "127.0.0.1:8001",
			"GET HTTP://example.com:81/x?y HTTP/1.1\r\nHost: example.com:81\r\n" + ours + "\r\n"},
		{"OPTIONS *", Config{Method: "OPTIONS", URL: "*"}, "tcp", "127.0.0.1:8001",
			"OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1:8001\r\n" + ours + "\r\n"},
		{"GET *", Config{URL: "*"}, "tcp", "127.0.0.1:8001",
			"GET /* HTTP/1.1\r\nHost: 127.0.0.1:8001\r\n" + ours + "\r\n"},
		{"the usual port", Config{}, "tcp", "127.0.0.1:80",
			"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + ours + "\r\n"},
		{"IPv6", Config{}, "tcp", "[::1]:8001",
			"GET / HTTP/1.1\r\nHost: [::1]:8001\r\n" + ours + "\r\n"},
		{"IPv6 with a zone, the usual port", Config{}, "tcp", "[fe80::1%eth0]:80",
			"GET / HTTP/1.1\r\nHost: [fe80::1]\r\n" + ours + "\r\n"},
		{"unix socket", Config{}, "unix", "/run/x.sock",
			"GET / HTTP/1.1\r\nHost: localhost\r\n" + ours + "\r\n"},
		{"lower-case method", Config{Method: "get"}, "tcp", "127.0.0.1:8001",
			"get / HTTP/1.1\r\nHost: 127.0.0.1:8001\r\n" + ours + "\r\n"},
		{"POST without a body", Config{Method: "POST"}, "tcp", "127.0.0.1:8001",
			"POST / HTTP/1.1\r\nHost: 127.0.0.1:8001\r\nAccept-Encoding: identity\r\nConnection: close\r\nContent-Length: 0\r\nUser-Agent: test\r\n\r\n"},
		{"GET with a body", Config{Body: "a%d"}, "tcp", "127.0.0.1:8001",
			"GET / HTTP/1.1\r\nHost: 127.0.0.1:8001\r\nAccept-Encoding: identity\r\nConnection: close\r\nContent-Length: 3\r\nUser-Agent: test\r\n\r\na%d"},
		{"JSON rather than the body", Config{Method: "PUT", Body: "b", JSON: []byte(`{ "a":"é" }`)}, "tcp", "127.0.0.1:8001",
			"PUT / HTTP/1.1\r\nHost: 127.0.0.1:8001\r\nAccept-Encoding: identity\r\nConnection: close\r\nContent-Length: 12\r\nContent-Type: application/json\r\nUser-Agent: test\r\n\r\n" + `{ "a":"é" }`},
		{"JSON that is false to Python", Config{Body: "b", JSON: []byte(`0`)}, "tcp", "127.0.0.1:8001",
			"GET / HTTP/1.1\r\nHost: 127.0.0.1:8001\r\nAccept-Encoding: identity\r\nConnection: close\r\nContent-Length: 1\r\nContent-Type: application/json\r\nUser-Agent: test\r\n\r\n0"},
		{"basic authentication", Config{Username: "jo", Password: "pa%s"}, "tcp", "127.0.0.1:8001",
			"GET / HTTP/1.1\r\nHost: 127.0.0.1:8001\r\nAccept-Encoding: identity\r\nAuthorization: Basic am86cGElcw==\r\nConnection: close\r\nUser-Agent: test\r\n\r\n"},
		{"basic authentication with an empty password", Config{Username: "jo"}, "tcp", "127.0.0.1:8001",
			"GET / HTTP/1.1\r\nHost: 127.0.0.1:8001\r\nAccept-Encoding: identity\r\nAuthorization: Basic am86\r\nConnection: close\r\nUser-Agent: test\r\n\r\n"},
		{"the user's headers over ours, in any case", Config{
			URL: "http://example.com/", Username: "jo", JSON: []byte("{}"),
			Header: http.Header{
				"user-agent": {"mine"}, "HOST": {"h:1"}, "authorization": {"Bearer t"}, "content-type": {"x/y"},
				"accept-encoding": {"gzip"}, "connection": {"keep-alive"}, "content-length": {"2"}, "X-Two": {" a ", "b\tc"},
			}}, "tcp", "127.0.0.1:8001",
			"GET http://example.com/ HTTP/1.1\r\nHost: h:1\r\nAccept-Encoding: gzip\r\nAuthorization: Bearer t\r\nConnection: keep-alive\r\nContent-Length: 2\r\nContent-Type: x/y\r\nUser-Agent: mine\r\nX-Two: a\r\nX-Two: b\tc\r\n\r\n{}"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x := exchange(t, tt.cfg)
			if got := x.request(x.hostHeader(tt.network, tt.address)); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestAnswers(t *testing.T) {
	tests := []struct {
		name   string
		cfg    Config
		answer string // before the server closes the connection
		code   int
		want   string // the error; "" for none
	}{
		{"200", Config{}, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, ""},
		{"HTTP/1.0 without a reason", Config{}, "HTTP/1.0 200\r\n\r\n", 200, ""},
		{"200 after 100 and 103", Config{}, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", 200, ""},
		{"101 is final", Config{}, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", 101, "101 Switching Protocols"},
		{"truncated body that nobody reads", Config{}, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", 200, ""},
		{"truncated body", Config{ExpectBody: "abc"}, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", 200, "read the body: unexpected EOF"},
		{"HEAD has no body", Config{Method: "HEAD", ExpectBody: "^$"}, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", 200, ""},
		{"chunked body", Config{ExpectBody: "^abcd$"}, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n3\r\nbcd\r\n0\r\n\r\n", 200, ""},
		{"body up to the end of the connection", Config{ExpectBody: `"up"`}, "HTTP/1.0 200 OK\r\n\r\n{\"status\": \"up\"}", 200, ""},
		{"wrong body", Config{ExpectBody: "o[k]"}, "HTTP/1.0 200 OK\r\n\r\ndown\x1b[1m\n%s", 200, "the body does not match `o[k]`: \"down\\x1b[1m\\n%s\""},
		{"redirect", Config{}, "HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n", 302, "302 Found"},
		{"expected redirect", Config{ExpectStatus: "300-399"}, "HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n", 302, ""},
		{"503 with a reason of its own", Config{}, "HTTP/1.1 503 \x1b[2J\r\n\r\n", 503, "503 Service Unavailable"},
		{"unknown status", Config{}, "HTTP/1.1 299 Hm\r\n\r\n", 299, "299"},
		{"no answer", Config{}, "", 0, "the server closed the connection without an answer: EOF"},
		{"a header that breaks off", Config{}, "HTTP/1.1 200 OK\r\nX: y\r\n", 200, ""},
		{"a header that breaks off before a body", Config{ExpectBody: "."}, "HTTP/1.1 200 OK\r\nX: y\r\n", 200, "read the header: unexpected EOF"},
		{"a status line that does not end", Config{}, "HTTP/1.1 404 Not Found", 404, "404 Not Found"},
		{"half a status", Config{}, "HTTP/1.1 20", 0, `read the answer: malformed HTTP status code "20"`},
		{"a header line without a colon", Config{}, "HTTP/1.1 200 OK\r\nbad\x1bline\r\n\r\n", 200, ""},
		{"a length that is none", Config{}, "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", 200, ""},
		{"two lengths", Config{}, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 200, ""},
		{"an encoding that nobody knows", Config{}, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 200, ""},
		{"a bad header line before a body", Config{ExpectBody: "."}, "HTTP/1.1 200 OK\r\nbad\x1bline\r\n\r\nok", 200, `read the header: malformed MIME header: missing colon: "bad\x1bline"`},
		{"lines that end without a carriage return", Config{ExpectBody: "^ok$"}, "HTTP/1.0 200 OK\nX: y\n\nok", 200, ""},
		{"an empty line first", Config{}, "\r\nHTTP/1.1 200 OK\r\n\r\n", 0, `read the answer: malformed HTTP response ""`},
		{"garbage", Config{}, "SSH-2.0-OpenSSH\r\n\x1b[2J%s\r\n", 0, `read the answer: malformed HTTP response "SSH-2.0-OpenSSH"`},
		{"status that is no number", Config{}, "HTTP/1.1 abc OK\r\n\r\n", 0, `read the answer: malformed HTTP status code "abc"`},
		{"HTTP/2", Config{}, "HTTP/2.0 200 OK\r\n\r\n", 0, "read the answer: it is in HTTP/2.0, not HTTP/1"},
		{"long garbage", Config{}, strings.Repeat("é", 1000) + "\r\n", 0, `read the answer: malformed HTTP response "` + strings.Repeat("é", 258) + "…"},
		{"a header without end", Config{}, "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 200_000), 0, "the header of the answer is longer than 1048576 bytes"},
		{"interim answers without end", Config{}, strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 50_000), 0, "the header of the answer is longer than 1048576 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x := exchange(t, tt.cfg)
			x.timeout = 10 * time.Second
			against(t, x, func(conn net.Conn) { io.WriteString(conn, tt.answer) })
			answer, err := x.Do(t.Context(), "tcp", "127.0.0.1:1")
			if got := text(err); got != tt.want {
				t.Errorf("error %s\nwant  %s", got, tt.want)
			}
			if answer.StatusCode != tt.code {
				t.Errorf("status code %d, want %d", answer.StatusCode, tt.code)
			}
		})
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestBodyIsSearchedUpToItsCap(t *testing.T) {
	tests := []struct {
		name  string
		start int // of the text to find
		found bool
	}{
		{"the last bytes of the cap", MaxBody - 4, true},
		{"one byte beyond it", MaxBody - 3, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x := exchange(t, Config{ExpectBody: "good"})
			x.timeout = 10 * time.Second
			stopped := make(chan error, 1)
			against(t, x, func(conn net.Conn) {
				io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n"+strings.Repeat(".", tt.start)+"good")
				for { // and never an end
					if _, err := conn.Write(make([]byte, 4096)); err != nil {
						stopped <- err
						return
					}
				}
			})
			if _, err := x.Do(t.Context(), "tcp", "127.0.0.1:1"); (err == nil) != tt.found {
				t.Errorf("error %v, want found %v", err, tt.found)
			}
			<-stopped // because reading did
		})
	}
}

func TestJudgeGetsTheBodyAndWhetherItIsWhole(t *testing.T) {
	errBad := errors.New("bad \x1b[2J\nanswer")
	const cut = " …" // after a body that is not whole
	long := strings.Repeat(".", MaxBody)
	tests := []struct {
		name   string
		answer string
		body   string // what is to be judged, if anything
		called bool
		err    error // of the judge
		want   string
	}{
		{"with a length", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcde", "abc", true, nil, ""},
		{"in chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n3\r\nbcd\r\n0\r\n\r\n", "abcd", true, nil, ""},
		{"up to the end of the connection", "HTTP/1.0 200 OK\r\n\r\nabc", "abc", true, nil, ""},
		{"empty", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", true, nil, ""},
		{"as long as is read", "HTTP/1.0 200 OK\r\n\r\n" + long, long, true, nil, ""},
		{"longer", "HTTP/1.0 200 OK\r\n\r\n" + long + "x", long + cut, true, nil, ""},
		{"longer, and will not do", "HTTP/1.0 200 OK\r\n\r\n" + long + "x", long + cut, true, errBad, "bad ?[2J?answer"},
		{"truncated where we would cut it", "HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + long, "", false, nil, "read the body: unexpected EOF"},
		{"truncated", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc", "", false, nil, "read the body: unexpected EOF"},
		{"of another status", "HTTP/1.1 500 No\r\nContent-Length: 3\r\n\r\nabc", "", false, nil, "500 Internal Server Error"},
		{"that will not do", "HTTP/1.0 200 OK\r\n\r\nabc", "abc", true, errBad, "bad ?[2J?answer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			called := false
			x := exchange(t, Config{Judge: func(body []byte, whole bool) error {
				called = true
				want, isCut := strings.CutSuffix(tt.body, cut)
				if string(body) != want || whole == isCut {
					t.Errorf("%d bytes to judge, whole %v, want %d, %v", len(body), whole, len(want), !isCut)
				}
				return tt.err
			}})
			x.timeout = 10 * time.Second
			against(t, x, func(conn net.Conn) { io.WriteString(conn, tt.answer) })
			_, err := x.Do(t.Context(), "tcp", "127.0.0.1:1")
			if text(err) != tt.want || tt.err != nil && !errors.Is(err, tt.err) {
				t.Errorf("error %v, want %s", err, tt.want)
			}
			if called != tt.called {
				t.Errorf("judged is %v, want %v", called, tt.called)
			}
		})
	}
}

func TestServerThatClosesBeforeItHasReadTheRequest(t *testing.T) {
	tests := []struct{ name, answer, want string }{
		{"with an answer", "HTTP/1.1 413 Too Large\r\n\r\n", ""},
		{"without", "", "send the request: broken pipe"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x := exchange(t, Config{Method: "POST", Body: strings.Repeat("x", 1<<20), ExpectStatus: "413"})
			against(t, x, func(conn net.Conn) { io.WriteString(conn, tt.answer) }) // having read 64 KiB
			pipe := x.dial
			x.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := pipe(ctx, network, address)
				return closedForWriting{conn}, err
			}
			if _, err := x.Do(t.Context(), "tcp", "127.0.0.1:1"); text(err) != tt.want {
				t.Errorf("error %v, want %s", err, tt.want)
			}
		})
	}
}

// closedForWriting fails to write after 64 KiB, as to a peer that closed.
type closedForWriting struct{ net.Conn }

func (c closedForWriting) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b[:min(len(b), 1<<16)])
	if err == nil && n < len(b) {
		err = errors.New("broken pipe")
	}
	return n, err
}

func TestOneTimeoutBoundsTheWholeExchange(t *testing.T) {
	trickle := func(s string) func(net.Conn) {
		return func(conn net.Conn) {
			for _, b := range []byte(s) {
				if _, err := conn.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(400 * time.Millisecond)
			}
		}
	}
	tests := []struct {
		name  string
		cfg   Config
		serve func(net.Conn)
		want  string
	}{
		{"no answer", Config{}, func(conn net.Conn) { io.Copy(io.Discard, conn) }, "no answer within 1s"},
		{"header byte by byte", Config{}, trickle("HTTP/1.1 200 OK\r\n\r\n"), "no answer within 1s"},
		{"interim answers for ever", Config{}, func(conn net.Conn) {
			for {
				if _, err := io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
					return
				}
				time.Sleep(400 * time.Millisecond)
			}
		}, "no answer within 1s"},
		{"body byte by byte", Config{ExpectBody: "ok"}, func(conn net.Conn) {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
			trickle("ok, ok, ok")(conn)
		}, "no end of the body within 1s"},
		{"body without an end that is judged", Config{Judge: func([]byte, bool) error { return nil }}, func(conn net.Conn) {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\nok")
			io.Copy(io.Discard, conn)
		}, "no end of the body within 1s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := exchange(t, tt.cfg)
				against(t, x, tt.serve)
				answer, err := x.Do(t.Context(), "tcp", "127.0.0.1:1")
				if text(err) != tt.want || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error %v, want %s", err, tt.want)
				}
				if answer.Latency != time.Second {
					t.Errorf("it took %v, want 1s", answer.Latency)
				}
			})
		})
	}

	t.Run("body byte by byte that nobody reads", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			x := exchange(t, Config{})
			against(t, x, func(conn net.Conn) {
				io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
				trickle("ok, ok, ok")(conn)
			})
			if answer, err := x.Do(t.Context(), "tcp", "127.0.0.1:1"); err != nil || answer.Latency != 0 {
				t.Errorf("got %v after %v", err, answer.Latency)
			}
		})
	})

	t.Run("connection", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			x := exchange(t, Config{})
			x.dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			answer, err := x.Do(t.Context(), "tcp", "127.0.0.1:1")
			if want := "no connection within 1s"; text(err) != want || answer.Latency != time.Second {
				t.Errorf("got %v after %v, want %s", err, answer.Latency, want)
			}
		})
	})

	t.Run("TLS handshake", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			x, err := New(Config{Scheme: "https", Method: "GET", Timeout: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			against(t, x, func(conn net.Conn) { io.Copy(io.Discard, conn) })
			answer, err := x.Do(t.Context(), "tcp", "127.0.0.1:1")
			if want := "no TLS handshake within 1s"; text(err) != want || answer.Latency != time.Second {
				t.Errorf("got %v after %v, want %s", err, answer.Latency, want)
			}
		})
	})
}

func TestEndOfTheContextEndsAnExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shutdown := errors.New("shutting down")
		ctx, cancel := context.WithCancelCause(t.Context())
		x := exchange(t, Config{})
		against(t, x, func(conn net.Conn) {
			cancel(shutdown)
			io.Copy(io.Discard, conn)
		})
		if answer, err := x.Do(ctx, "tcp", "127.0.0.1:1"); err != shutdown || answer.Latency != 0 {
			t.Errorf("got %v after %v, want %v", err, answer.Latency, shutdown)
		}
	})
}

// TestNobodyWaitsForAVerdict has bodies judged for five seconds, of which one is allowed.
func TestNobodyWaitsForAVerdict(t *testing.T) {
	shutdown := errors.New("shutting down")
	for _, tt := range []struct {
		name   string
		status string
		end    error // of the context, while the body is judged
		want   string
	}{
		{"an answer that will do", "200 OK", nil, "no verdict on the body within 1s"},
		{"one that will not", "500 No", nil, "500 Internal Server Error; no verdict on the body within 1s"},
		{"the context ends", "200 OK", shutdown, "shutting down"},
		{"the context ends, of one that will not do", "500 No", shutdown, "500 Internal Server Error; shutting down"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				var judged atomic.Int32
				x := exchange(t, Config{Criteria: func(int, []byte, bool) []error {
					judged.Add(1)
					cancel(tt.end)
					time.Sleep(5 * time.Second)
					return []error{errors.New("too late")}
				}})
				if tt.end == nil {
					ctx, cancel = t.Context(), func(error) {}
				}
				against(t, x, func(conn net.Conn) { io.WriteString(conn, "HTTP/1.0 "+tt.status+"\r\n\r\nok") })
				_, err := x.Do(ctx, "tcp", "127.0.0.1:1")
				if text(err) != tt.want || tt.end != nil && !errors.Is(err, tt.end) || tt.end == nil && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error %v, want %s", err, tt.want)
				}
				if _, err := x.Do(t.Context(), "tcp", "127.0.0.1:1"); !errors.Is(err, context.DeadlineExceeded) || judged.Load() != 1 {
					t.Errorf("error %v while the last one is judged; judged %d", err, judged.Load())
				}
				time.Sleep(5 * time.Second)
			})
		})
	}
}

// TestVerdictAtTheEnd is none: the end of the context says more than that all holds.
func TestVerdictAtTheEnd(t *testing.T) {
	shutdown := errors.New("shutting down")
	ctx, cancel := context.WithCancelCause(t.Context())
	x := exchange(t, Config{Judge: func([]byte, bool) error { cancel(shutdown); return nil }})
	against(t, x, func(conn net.Conn) { io.WriteString(conn, "HTTP/1.0 200 OK\r\n\r\nok") })
	if _, err := x.Do(ctx, "tcp", "127.0.0.1:1"); err != shutdown {
		t.Errorf("error %v", err)
	}
}

func TestErrorsAreOnePrintableLine(t *testing.T) {
	cause := errors.New("certificate of \x1b[2J\r\n" + strings.Repeat("é", 1000))
	err := Printable(cause)
	if want := "certificate of ?[2J??" + strings.Repeat("é", 279) + "…"; err.Error() != want {
		t.Errorf("got  %q\nwant %q", err, want)
	}
	if !errors.Is(err, cause) {
		t.Error("the cause is lost")
	}
}
