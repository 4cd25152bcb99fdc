package redis_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/realservers"
	"github.com/supervisor-checks/supervisor-checks/probes"
	"github.com/supervisor-checks/supervisor-checks/probes/redis"
)

// open has looks without a time of their own take as long as they need on a busy machine.
func open(t *testing.T, cfg redis.Config) *redis.Probe {
	t.Helper()
	cfg.Timeout = cmp.Or(cfg.Timeout, 30*time.Second)
	p, err := redis.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func TestRedis(t *testing.T) {
	t.Parallel()
	s := realservers.Redis(t, "sesame", nil)
	for _, tt := range []struct {
		name string
		cfg  redis.Config
		want string
	}{
		{"an address", redis.Config{URL: "redis://:sesame@" + s.Address}, ""},
		{"a database", redis.Config{Address: s.Address, Password: "sesame", DB: 3}, ""},
		{"a user", redis.Config{Address: s.Address, Username: "default", Password: "sesame"}, ""},
		{"a wrong password", redis.Config{Address: s.Address, Password: "secret7"}, "WRONGPASS invalid username-password pair or user is disabled."},
		{"no password", redis.Config{Address: s.Address}, "NOAUTH Authentication required."},
		{"a database that there is none of", redis.Config{Address: s.Address, Password: "sesame", DB: 99}, "ERR DB index is out of range"},
		{"TLS where there is none", redis.Config{Address: s.Address, Password: "sesame", TLS: &probes.TLS{}, Timeout: 200 * time.Millisecond}, "no answer within 200ms"},
	} {
		err := open(t, tt.cfg).Check(t.Context())
		text := ""
		if err != nil {
			text = err.Error()
		}
		if text != tt.want || strings.Contains(text, "secret7") || strings.Contains(text, "sesame") {
			t.Errorf("%s: %s\nwant %s", tt.name, text, tt.want)
		}
	}
	front := realservers.NewFront(t, s.Address)
	realservers.Lose(t, open(t, redis.Config{Address: front.Address, Password: "sesame", Timeout: 500 * time.Millisecond}), front)
	p := open(t, redis.Config{Address: front.Address, Password: "sesame"})
	for range 3 {
		if err := p.Check(t.Context()); err != nil {
			t.Errorf("it was started anew: %v", err)
		}
		front.Drop()
	}
	front.Hang()
	defer front.Go()
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("somebody wants no more of it")
	time.AfterFunc(50*time.Millisecond, func() { cancel(reason) })
	begun := time.Now()
	if err := p.Check(ctx); !errors.Is(err, reason) || time.Since(begun) > 20*time.Second {
		t.Errorf("%v after %v", err, time.Since(begun))
	}
	realservers.Put(t, open(t, redis.Config{URL: "redis://:sesame@" + s.Address, Timeout: time.Second}), s, "sesame")
}

// Each look dials for itself, also after many that failed.
func TestEachLookDials(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	var dials atomic.Int32
	accept := func(l net.Listener, answer string) {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			dials.Add(1)
			go func() {
				defer conn.Close()
				io.WriteString(conn, answer)
				io.Copy(io.Discard, conn)
			}()
		}
	}
	go accept(l, "-LOADING\r\n-LOADING it is not ready\r\n")
	p := open(t, redis.Config{Address: address})
	failing := func() {
		t.Helper()
		for range 500 {
			if p.Check(t.Context()) == nil {
				t.Fatal("no error")
			}
		}
	}
	failing()
	if n := dials.Load(); n != 500 {
		t.Errorf("%d dials in 500 looks", n)
	}
	l.Close()
	failing()
	if l, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go accept(l, "-ERR unknown command\r\n+PONG\r\n")
	if err := p.Check(t.Context()); err != nil {
		t.Errorf("it is back: %v", err)
	}
}

func TestNonsense(t *testing.T) {
	const timeout = 300 * time.Millisecond
	const hello = "-ERR unknown command\r\n"
	realservers.Nonsense(t, timeout, func(address string) realservers.Probe {
		return open(t, redis.Config{Address: address, Timeout: timeout})
	},
		realservers.Answer{Name: "another answer than PONG", Once: hello + "+I AM NOT REDIS\r\n"},
		realservers.Answer{Name: "a number", Once: hello + ":7\r\n"},
		realservers.Answer{Name: "a string of 1 TiB", Once: hello + "$1099511627776\r\n"},
		realservers.Answer{Name: "a string of 8 EiB", Once: hello + "$9223372036854775807\r\n"},
		realservers.Answer{Name: "a string of 70 KiB", Once: hello + "$71680\r\n" + strings.Repeat("x", 71680) + "\r\n"},
		realservers.Answer{Name: "many things", Once: "*2147483647\r\n"},
		realservers.Answer{Name: "many things of many things", Once: "*2\r\n+version\r\n", Over: "*60000\r\n"},
		realservers.Answer{Name: "attributes without end", Over: "|1\r\n"},
		realservers.Answer{Name: "many things after a string", Once: "*4\r\n$4\r\n*\r\n*\r\n$-1\r\n+b\r\n%99999999\r\n"},
		realservers.Answer{Name: "a line without end", Once: hello + "+", Over: strings.Repeat("x", 32<<10)},
	)
}

// What the library finds odd is not written to standard error, which is the log.
func TestQuiet(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-test.run=^TestNonsense$")
	var out bytes.Buffer
	cmd.Stderr = &out
	if err := cmd.Run(); err != nil || out.Len() > 0 {
		t.Errorf("%v\n%.1000s", err, out.String())
	}
}

func TestRedisTLS(t *testing.T) {
	t.Parallel()
	certificates := realservers.NewCertificates(t, 24*time.Hour)
	s := realservers.Redis(t, "sesame", certificates)
	for _, tt := range []struct {
		name string
		tls  *probes.TLS
		want string
	}{
		{"trusted", &probes.TLS{CAFile: certificates.CA}, ""},
		{"any", &probes.TLS{Insecure: true}, ""},
		{"not trusted", &probes.TLS{}, "x509: certificate signed by unknown authority"},
		{"another name", &probes.TLS{CAFile: certificates.CA, ServerName: "other.test"}, "x509: certificate is valid for db.test, not other.test"},
	} {
		err := open(t, redis.Config{Address: s.Address, Password: "sesame", TLS: tt.tls}).Check(t.Context())
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v\nwant %s", tt.name, err, tt.want)
		}
	}
	if err := open(t, redis.Config{URL: "rediss://:sesame@" + s.Address, TLS: &probes.TLS{CAFile: certificates.CA}}).Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSilent(t *testing.T) {
	t.Parallel()
	realservers.Silent(t, func(address string) (*redis.Probe, error) {
		return redis.New(redis.Config{Address: address})
	})
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		cfg  redis.Config
		want string
	}{
		{redis.Config{}, `redis: address: "" is not HOST:PORT`},
		{redis.Config{URL: "http://:sesame@x"}, "redis: url: is none of redis://USER:PASSWORD@HOST:PORT/DB, rediss:// and unix:///PATH"},
		{redis.Config{URL: "redis://x", Password: "sesame"}, "redis: url: is of no use with address, username or password: give one of them"},
		{redis.Config{URL: "redis://x", DB: 1}, "redis: db: is of no use with url, which ends in it: redis://HOST:PORT/DB"},
		{redis.Config{Address: "x:1", DB: -1}, "redis: db: -1 is less than 0"},
		{redis.Config{Address: "x:1", Timeout: -1}, "redis: timeout: -1ns is less than 0"},
		{redis.Config{Address: "x:1", TLS: &probes.TLS{CAFile: "/no"}}, "redis: ca_file: open /no: no such file or directory"},
	} {
		_, err := redis.New(tt.cfg)
		var bad *probes.ConfigError
		if !errors.As(err, &bad) || err.Error() != tt.want {
			t.Errorf("%v\nwant %s", err, tt.want)
		}
	}
}
