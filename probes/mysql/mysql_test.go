package mysql_test

import (
	"cmp"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/realservers"
	"github.com/supervisor-checks/supervisor-checks/probes"
	"github.com/supervisor-checks/supervisor-checks/probes/mysql"
)

// open has looks without a time of their own take as long as they need on a busy machine.
func open(t *testing.T, cfg mysql.Config) *mysql.Probe {
	t.Helper()
	cfg.Timeout = cmp.Or(cfg.Timeout, 30*time.Second)
	p, err := mysql.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// look requires the text of an error to hold something, and nothing for "".
func look(t *testing.T, name string, p *mysql.Probe, want string) {
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

func TestMariaDB(t *testing.T) {
	t.Parallel()
	s := realservers.MariaDB(t, "sesame", nil)
	for _, tt := range []struct {
		name string
		cfg  mysql.Config
		want string
	}{
		{"an address", mysql.Config{DSN: "probe:sesame@tcp(" + s.Address + ")/"}, ""},
		{"a password apart", mysql.Config{DSN: "probe@tcp(" + s.Address + ")/", Password: "sesame"}, ""},
		{"a query", mysql.Config{DSN: "probe:sesame@tcp(" + s.Address + ")/", Query: "SELECT 1"}, ""},
		{"a query that gives nothing", mysql.Config{DSN: "probe:sesame@tcp(" + s.Address + ")/", Query: "SELECT 1 FROM dual WHERE false"}, "the query gives no row"},
		{"a query that fails after a row", mysql.Config{DSN: "probe:sesame@tcp(" + s.Address + ")/", Query: "SELECT 1 UNION ALL SELECT (SELECT 1 UNION SELECT 2)"}, "Subquery returns more than 1 row"},
		{"two queries, of which the second fails", mysql.Config{DSN: "probe:sesame@tcp(" + s.Address + ")/?multiStatements=true", Query: "SELECT 1; SELECT (SELECT 1 UNION SELECT 2)"}, "Subquery returns more than 1 row"},
		{"a query that is none", mysql.Config{DSN: "probe:sesame@tcp(" + s.Address + ")/", Query: "SELEKT"}, "You have an error in your SQL syntax"},
		{"a wrong password", mysql.Config{DSN: "probe:secret7@tcp(" + s.Address + ")/"}, "Access denied for user 'probe'"},
		{"a database that there is none of", mysql.Config{DSN: "probe:sesame@tcp(" + s.Address + ")/none"}, "Access denied for user 'probe'"},
		{"TLS where there is none", mysql.Config{DSN: "probe:sesame@tcp(" + s.Address + ")/", TLS: &probes.TLS{}}, "TLS requested but server does not support TLS"},
	} {
		look(t, tt.name, open(t, tt.cfg), tt.want)
	}
	front := realservers.NewFront(t, s.Address)
	realservers.Lose(t, open(t, mysql.Config{DSN: "probe:sesame@tcp(" + front.Address + ")/", Timeout: 500 * time.Millisecond}), front)
	p := open(t, mysql.Config{DSN: "probe:sesame@tcp(" + front.Address + ")/"})
	for range 3 {
		look(t, "it was started anew", p, "")
		front.Drop()
	}
	realservers.Put(t, open(t, mysql.Config{DSN: "probe:sesame@tcp(" + s.Address + ")/", Timeout: time.Second}), s, "sesame")
}

func TestMariaDBTLS(t *testing.T) {
	t.Parallel()
	certificates := realservers.NewCertificates(t, 24*time.Hour)
	s := realservers.MariaDB(t, "sesame", certificates)
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
		look(t, tt.name, open(t, mysql.Config{DSN: "probe:sesame@tcp(" + s.Address + ")/", TLS: tt.tls}), tt.want)
	}
}

func TestNonsense(t *testing.T) {
	const timeout = 300 * time.Millisecond
	realservers.Nonsense(t, timeout, func(address string) realservers.Probe {
		return open(t, mysql.Config{DSN: "probe:sesame@tcp(" + address + ")/", Timeout: timeout})
	},
		realservers.Answer{Name: "a greeting of 16 MiB", Once: "\xfe\xff\xff\x00", Over: strings.Repeat("\x0a", 32<<10)},
		realservers.Answer{Name: "an error", Once: "\x09\x00\x00\x00\xff\x10\x04nobody"},
	)
}

func TestSilent(t *testing.T) {
	t.Parallel()
	realservers.Silent(t, func(address string) (*mysql.Probe, error) {
		return mysql.New(mysql.Config{DSN: "probe@tcp(" + address + ")/"})
	})
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		cfg  mysql.Config
		want string
	}{
		{mysql.Config{}, "mysql: dsn: is required: USER@tcp(HOST:PORT)/DB or USER@unix(/PATH)/DB"},
		{mysql.Config{DSN: "me:sesame@http(x)"}, "mysql: dsn: is required: USER@tcp(HOST:PORT)/DB or USER@unix(/PATH)/DB"},
		{mysql.Config{DSN: "me@tcp(x:1)/", Timeout: -1}, "mysql: timeout: -1ns is less than 0"},
		{mysql.Config{DSN: "me@tcp(x:1)/", TLS: &probes.TLS{CAFile: "/no"}}, "mysql: ca_file: open /no: no such file or directory"},
	} {
		_, err := mysql.New(tt.cfg)
		var bad *probes.ConfigError
		if !errors.As(err, &bad) || err.Error() != tt.want {
			t.Errorf("%v\nwant %s", err, tt.want)
		}
	}
}
