package redis_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/realservers"
	"github.com/supervisor-checks/supervisor-checks/probes"
	"github.com/supervisor-checks/supervisor-checks/probes/redis"
)

func open(t *testing.T, cfg redis.Config) *redis.Probe {
	t.Helper()
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
		{"TLS where there is none", redis.Config{Address: s.Address, Password: "sesame", TLS: &probes.TLS{}, Timeout: time.Second}, ""},
	} {
		err := open(t, tt.cfg).Check(t.Context())
		text := ""
		if err != nil {
			text = err.Error()
		}
		if text != tt.want && !(tt.cfg.TLS != nil && text != "") || strings.Contains(text, "secret7") || strings.Contains(text, "sesame") {
			t.Errorf("%s: %s\nwant %s", tt.name, text, tt.want)
		}
	}
	realservers.Put(t, open(t, redis.Config{URL: "redis://:sesame@" + s.Address}), s, "sesame")
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

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		cfg  redis.Config
		want string
	}{
		{redis.Config{}, `redis: address: "" is not HOST:PORT`},
		{redis.Config{URL: "http://:sesame@x"}, "redis: url: is none of redis://USER:PASSWORD@HOST:PORT/DB, rediss:// and unix:///PATH"},
		{redis.Config{URL: "redis://x", Password: "sesame"}, "redis: url: is of no use with address, username or password: give one of them"},
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
