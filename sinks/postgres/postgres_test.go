package postgres_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/sinks"
	"github.com/supervisor-checks/supervisor-checks/sinks/postgres"
)

func TestConfigIsRefused(t *testing.T) {
	const dsn = "is neither postgres://USER@HOST:PORT/DB nor host=HOST dbname=DB, or names files or an sslmode that cannot be used"
	for _, tt := range []struct {
		name string
		cfg  postgres.Config
		want string
	}{
		{"nothing", postgres.Config{}, "the DSN is missing: postgres://USER@HOST:PORT/DB"},
		{"a port that is none", postgres.Config{DSN: "postgres://me:sesame@h:port/db"}, dsn},
		{"a password with a sign", postgres.Config{DSN: "postgres://me:se%same@h/db"}, dsn},
		{"a file that is not there", postgres.Config{DSN: "postgres://me:sesame@h/db?sslmode=verify-full&sslrootcert=/no"}, dsn},
		{"a retention below zero", postgres.Config{DSN: "postgres://me@h/db", Retention: -time.Hour}, "retention -1h0m0s is less than 0"},
	} {
		_, sinkErr := postgres.New(tt.cfg)
		_, readerErr := postgres.Open(tt.cfg)
		_, _, migrateErr := postgres.Migrate(t.Context(), tt.cfg)
		for _, err := range []error{sinkErr, readerErr, migrateErr} {
			if err == nil || err.Error() != tt.want {
				t.Errorf("%s: error %v, want %s", tt.name, err, tt.want)
			}
		}
	}
}

// TestServerIsAway has no error before there is something to write, and no secret in it.
func TestServerIsAway(t *testing.T) {
	cfg := postgres.Config{DSN: "postgres://me7:sesame@127.0.0.1:1/db7?sslmode=disable"}
	s, err := postgres.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r, err := postgres.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	_, _, migrateErr := postgres.Migrate(t.Context(), cfg)
	for _, err := range []error{s.WriteBatch(t.Context(), results(1)), r.Find(t.Context(), sinks.Filter{}, func(record.Record) error { return nil }), migrateErr} {
		if err == nil || errors.Is(err, sinks.ErrSchema) || !strings.Contains(err.Error(), "connection refused") || !strings.HasPrefix(err.Error(), "connect: ") {
			t.Errorf("error %v", err)
		} else if strings.Contains(err.Error(), "sesame") || strings.Contains(err.Error(), "me7") {
			t.Errorf("the error has too much: %v", err)
		}
	}
}

func encrypted(d *database, ca string) {
	text, err := os.ReadFile(ca)
	if err != nil {
		d.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(text)
	dsn := "host=127.0.0.1,127.0.0.1 port=1," + d.server.Port + " user=postgres dbname=" + d.admin.Config().Database + " sslmode="
	for _, tt := range []struct {
		name string
		cfg  postgres.Config
		want string
	}{
		{"as the DSN says", postgres.Config{DSN: dsn + "verify-full sslrootcert=" + ca}, ""},
		{"in place of what it says", postgres.Config{DSN: dsn + "disable", TLS: &tls.Config{RootCAs: trusted}}, ""},
		{"not trusted", postgres.Config{DSN: dsn + "prefer", TLS: &tls.Config{}}, "x509: certificate signed by unknown authority"},
		{"another name", postgres.Config{DSN: dsn + "prefer", TLS: &tls.Config{RootCAs: trusted, ServerName: "other.test"}}, "not other.test"},
	} {
		tt.cfg.Password = "sesame"
		sink, err := postgres.New(tt.cfg)
		if err != nil {
			d.Fatal(err)
		}
		defer sink.Close()
		err = sink.WriteBatch(d.Context(), results(1))
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			d.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
	}
}
