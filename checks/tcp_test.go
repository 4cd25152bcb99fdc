package checks

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// listen accepts connections at address and hangs up, until the test ends. It
// returns the port.
func listen(t *testing.T, network, address string, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	if a, ok := l.Addr().(*net.TCPAddr); ok {
		return strconv.Itoa(a.Port)
	}
	return ""
}

func hangUp(net.Conn) {}

// shutPort returns a port at which nothing listens. It is bound, so that
// nothing else will.
func shutPort(t *testing.T) string {
	return strconv.Itoa(boundPort(t, -1))
}

// fullPort returns a port whose listener takes no more connections.
func fullPort(t *testing.T) string {
	port := boundPort(t, 0)
	for {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		unix.SetNonblock(fd, true)
		unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, 100) // which asks before it gives up, however late it is
		if n == 0 && err == nil {
			return strconv.Itoa(port)
		}
	}
}

// boundPort binds a port and, unless backlog is negative, listens without ever
// accepting.
func boundPort(t *testing.T, backlog int) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if backlog >= 0 {
		if err := unix.Listen(fd, backlog); err != nil {
			t.Fatal(err)
		}
	}
	address, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return address.(*unix.SockaddrInet4).Port
}

func needIPv6(t *testing.T) {
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skipf("NOT TESTED, this machine has no IPv6: %v", err)
	}
	l.Close()
}

func TestTCP(t *testing.T) {
	open := listen(t, "tcp4", "127.0.0.1:0", hangUp)
	shut := shutPort(t)
	socket := filepath.Join(t.TempDir(), "s")
	listen(t, "unix", socket, hangUp)

	tests := []struct {
		name    string
		cfg     TCPConfig
		process string
		status  Status
		err     error
		text    string // part of the error
	}{
		{"open", TCPConfig{Port: open}, "web", Healthy, nil, ""},
		{"open, by name", TCPConfig{Port: open, Host: "localhost"}, "web", Healthy, nil, ""},
		{"open, port in the name", TCPConfig{Port: `web_(\d+)`}, "web_" + open, Healthy, nil, ""},
		{"shut", TCPConfig{Port: shut}, "web", Unhealthy, syscall.ECONNREFUSED, "connection refused"},
		{"full", TCPConfig{Port: fullPort(t), Timeout: 50 * time.Millisecond}, "web", Unhealthy, context.DeadlineExceeded, " within 50ms: "},
		{"no port in the name", TCPConfig{Port: `web_(\d+)`, Retries: 9}, "web", Unknown, ErrNoPort, "does not match"},
		{"unix socket", TCPConfig{UnixSocket: socket}, "web", Healthy, nil, ""},
		{"no unix socket", TCPConfig{UnixSocket: socket + "x"}, "web", Unhealthy, syscall.ENOENT, "no such file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := NewTCP(tt.cfg)
			if err != nil {
				t.Fatal(err)
			}
			r := c.Run(t.Context(), supervisor.Process{Name: tt.process})
			if r.Status != tt.status || !errors.Is(r.Err, tt.err) || !strings.Contains(text(r.Err), tt.text) {
				t.Errorf("got %v, %v, want %v, %v", r.Status, r.Err, tt.status, tt.err)
			}
			if got := r.Metrics["latency_seconds"]; (got > 0) != (tt.status != Unknown) {
				t.Errorf("latency_seconds is %v", got)
			}
		})
	}
}

func TestTCPOverIPv6(t *testing.T) {
	needIPv6(t)
	port := listen(t, "tcp6", "[::1]:0", hangUp)
	for host, want := range map[string]Status{"::1": Healthy, "127.0.0.1": Unhealthy} {
		c, err := NewTCP(TCPConfig{Port: port, Host: host})
		if err != nil {
			t.Fatal(err)
		}
		if r := c.Run(t.Context(), web); r.Status != want {
			t.Errorf("%s: got %v, %v, want %v", host, r.Status, r.Err, want)
		}
	}
}

func TestTCPCutShortIsUnknown(t *testing.T) {
	c, err := NewTCP(TCPConfig{Port: fullPort(t), Retries: 9})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if r := c.Run(ctx, web); r.Status != Unknown || text(r.Err) != "cut short: context canceled" {
		t.Errorf("got %v, %v", r.Status, r.Err)
	}
}

func TestNewTCPRefuses(t *testing.T) {
	tests := []struct {
		name string
		cfg  TCPConfig
		want string
	}{
		{"no port", TCPConfig{}, "tcp: port: is required: a number, or a regular expression with one group such as `web_(\\d+)`"},
		{"port too high", TCPConfig{Port: "65536"}, `tcp: port: "65536" is not between 1 and 65535`},
		{"host with a port", TCPConfig{Port: "80", Host: "localhost:80"}, `tcp: host: "localhost:80" is neither a host name nor an IP address`},
		{"host that is a URL", TCPConfig{Port: "80", Host: "http://a"}, `tcp: host: "http://a" is neither a host name nor an IP address`},
		{"negative timeout", TCPConfig{Port: "80", Timeout: -time.Second}, "tcp: timeout: -1s is not more than 0"},
		{"port and unix socket", TCPConfig{Port: "80", UnixSocket: "/x"}, "tcp: port: is of no use with unix-socket: give one of them"},
		{"host and unix socket", TCPConfig{Host: "a", UnixSocket: "/x"}, "tcp: host: is of no use with unix-socket: give one of them"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewTCP(tt.cfg)
			if text(err) != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
			if bad := (*ConfigError)(nil); !errors.As(err, &bad) {
				t.Errorf("%T is not a *ConfigError", err)
			}
		})
	}
}
