package postgres_test

import (
	"cmp"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/realservers"
	"github.com/supervisor-checks/supervisor-checks/probes"
	"github.com/supervisor-checks/supervisor-checks/probes/postgres"
)

// open has looks without a time of their own take as long as they need on a busy machine.
func open(t *testing.T, cfg postgres.Config) *postgres.Probe {
	t.Helper()
	cfg.Timeout = cmp.Or(cfg.Timeout, 30*time.Second)
	p, err := postgres.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// look requires the text of an error to hold something, and nothing for "".
func look(t *testing.T, name string, p *postgres.Probe, want string) {
	t.Helper()
	err := p.Check(t.Context())
	text := ""
	if err != nil {
		text = err.Error()
	}
	if !strings.Contains(text, want) || want == "" && text != "" || strings.Contains(text, "secret7") || strings.Contains(text, "sesame") {
		t.Errorf("%s: %s\nwant %s", name, text, want)
	}
}

func TestPostgreSQL(t *testing.T) {
	t.Parallel()
	s := realservers.PostgreSQL(t, "sesame", nil)
	for _, tt := range []struct {
		name string
		cfg  postgres.Config
		want string
	}{
		{"an address", postgres.Config{DSN: "postgres://postgres:sesame@" + s.Address + "/postgres"}, ""},
		{"words", postgres.Config{DSN: "host=127.0.0.1 port=" + s.Port + " user=postgres dbname=postgres", Password: "sesame"}, ""},
		{"a query", postgres.Config{DSN: "postgres://postgres:sesame@" + s.Address + "/postgres", Query: "SELECT 1"}, ""},
		{"a query that gives nothing", postgres.Config{DSN: "postgres://postgres:sesame@" + s.Address + "/postgres", Query: "SELECT 1 WHERE false"}, "the query gives no row"},
		{"a query that fails after a row", postgres.Config{DSN: "postgres://postgres:sesame@" + s.Address + "/postgres", Query: "SELECT 1/(3-g) FROM generate_series(1,5) g"}, "division by zero"},
		{"two queries, of which the second fails", postgres.Config{DSN: "postgres://postgres:sesame@" + s.Address + "/postgres", Query: "SELECT 1; SELECT 1/0"}, "division by zero"},
		{"a query that is none", postgres.Config{DSN: "postgres://postgres:sesame@" + s.Address + "/postgres", Query: "SELEKT"}, "syntax error"},
		{"a wrong password", postgres.Config{DSN: "postgres://postgres:secret7@" + s.Address + "/postgres"}, "password authentication failed for user"},
		{"a database that there is none of", postgres.Config{DSN: "postgres://postgres:sesame@" + s.Address + "/none"}, `database "none" does not exist`},
		{"TLS where there is none", postgres.Config{DSN: "postgres://postgres:sesame@" + s.Address + "/postgres", TLS: &probes.TLS{}}, "server refused TLS connection"},
	} {
		look(t, tt.name, open(t, tt.cfg), tt.want)
	}
	front := realservers.NewFront(t, s.Address)
	dsn := "postgres://postgres:sesame@" + front.Address + "/postgres?sslmode=disable"
	realservers.Lose(t, open(t, postgres.Config{DSN: dsn, Timeout: 500 * time.Millisecond}), front)
	p := open(t, postgres.Config{DSN: dsn})
	for range 3 {
		look(t, "it was started anew", p, "")
		front.Drop()
	}
	realservers.Put(t, open(t, postgres.Config{DSN: "postgres://postgres:sesame@" + s.Address + "/postgres?sslmode=disable", Timeout: time.Second}), s, "sesame")
}

// A first host that is not there, or is silent, does not hide the next.
func TestPostgreSQLHosts(t *testing.T) {
	t.Parallel()
	certificates := realservers.NewCertificates(t, 24*time.Hour)
	s := realservers.PostgreSQL(t, "sesame", certificates)
	front := realservers.NewFront(t, s.Address)
	front.Lose()
	_, silent, _ := net.SplitHostPort(front.Address)
	words := " user=postgres password=sesame dbname=postgres sslmode="
	tls := &probes.TLS{CAFile: certificates.CA} // whose certificate is not for localhost
	for _, tt := range []struct {
		name string
		cfg  postgres.Config
	}{
		{"refused", postgres.Config{DSN: "host=localhost,127.0.0.1 port=1," + s.Port + words + "require"}},
		{"refused, with TLS", postgres.Config{DSN: "host=localhost,127.0.0.1 port=1," + s.Port + words + "prefer", TLS: tls}},
		{"refused, with TLS in place of none", postgres.Config{DSN: "host=localhost,127.0.0.1 port=1," + s.Port + words + "disable", TLS: tls}},
		{"silent", postgres.Config{DSN: "host=127.0.0.1,127.0.0.1 port=" + silent + "," + s.Port + words + "require", Timeout: time.Second}},
	} {
		p := open(t, tt.cfg)
		for begun := time.Now(); tt.cfg.Timeout > 0 && p.Check(t.Context()) != nil && time.Since(begun) < 30*time.Second; { // a busy machine may need more time
		}
		look(t, tt.name, p, "")
	}
}

func TestNonsense(t *testing.T) {
	const timeout = 300 * time.Millisecond
	const ready = "R\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00\x05I"
	realservers.Nonsense(t, timeout, func(address string) realservers.Probe {
		return open(t, postgres.Config{DSN: "postgres://postgres:sesame@" + address + "/postgres?sslmode=disable", Timeout: timeout})
	},
		realservers.Answer{Name: "an error of 512 MiB", Once: "E\x20\x00\x00\x00", Over: strings.Repeat("S", 32<<10)},
		realservers.Answer{Name: "settings without end", Over: "S\x00\x00\x20\x00" + strings.Repeat("x", 4<<10) + "\x00" + strings.Repeat("y", 4<<10-6) + "\x00"},
		realservers.Answer{Name: "notices without end", Once: ready, Over: "N\x00\x01\x00\x00" + "M" + strings.Repeat("x", 1<<16-7) + "\x00\x00"},
		realservers.Answer{Name: "a welcome and an end", Once: ready, Ends: true},
	)
}

func TestPostgreSQLTLS(t *testing.T) {
	t.Parallel()
	certificates := realservers.NewCertificates(t, 24*time.Hour)
	s := realservers.PostgreSQL(t, "sesame", certificates)
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
		look(t, tt.name, open(t, postgres.Config{DSN: "postgres://postgres:sesame@" + s.Address + "/postgres", TLS: tt.tls}), tt.want)
	}
}

func TestSilent(t *testing.T) {
	t.Parallel()
	realservers.Silent(t, func(address string) (*postgres.Probe, error) {
		return postgres.New(postgres.Config{DSN: "postgres://postgres@" + address})
	})
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		cfg  postgres.Config
		want string
	}{
		{postgres.Config{}, "postgres: dsn: is required: postgres://USER@HOST:PORT/DB"},
		{postgres.Config{DSN: "postgres://me:sesame@x:y/z"}, "postgres: dsn: is neither postgres://USER@HOST:PORT/DB nor host=HOST dbname=DB, or names files or an sslmode that cannot be used"},
		{postgres.Config{DSN: "postgres://x", Timeout: -1}, "postgres: timeout: -1ns is less than 0"},
		{postgres.Config{DSN: "postgres://x", TLS: &probes.TLS{CAFile: "/no"}}, "postgres: ca_file: open /no: no such file or directory"},
	} {
		_, err := postgres.New(tt.cfg)
		var bad *probes.ConfigError
		if !errors.As(err, &bad) || err.Error() != tt.want {
			t.Errorf("%v\nwant %s", err, tt.want)
		}
	}
}
