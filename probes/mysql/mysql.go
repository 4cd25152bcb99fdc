// Package mysql probes MySQL and MariaDB, with github.com/go-sql-driver/mysql.
package mysql

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/supervisor-checks/supervisor-checks/probes"
)

// Config configures a probe of MySQL or MariaDB.
type Config struct {
	// Name is what the probe is called. "" means the address.
	Name string

	// DSN is USER:PASSWORD@tcp(HOST:PORT)/DB or USER@unix(/PATH)/DB. It is required.
	DSN string

	// Password, if not "", takes the place of that of DSN.
	Password string

	// TLS, if not nil, has the connection be encrypted, and says what is trusted.
	TLS *probes.TLS

	// Query, if not "", is asked for after the ping, and must give a row.
	Query string

	// Timeout bounds a look. 0 means probes.DefaultTimeout.
	Timeout time.Duration
}

// Probe pings the server, over one connection that stays.
type Probe struct {
	name, query string
	timeout     time.Duration
	db          *sql.DB
}

// New returns the probe that cfg describes, or a *probes.ConfigError.
func New(cfg Config) (*Probe, error) {
	refuse := func(field string, err error) error {
		return &probes.ConfigError{Probe: "mysql", Field: field, Err: err}
	}
	parsed, err := mysql.ParseDSN(cfg.DSN)
	if err != nil || cfg.DSN == "" { // whose text may hold a part of a password
		return nil, refuse("dsn", errors.New("is required: USER@tcp(HOST:PORT)/DB or USER@unix(/PATH)/DB"))
	}
	if cfg.Timeout < 0 {
		return nil, refuse("timeout", fmt.Errorf("%v is less than 0", cfg.Timeout))
	}
	if cfg.Password != "" {
		parsed.Passwd = cfg.Password
	}
	if cfg.TLS != nil {
		host := parsed.Addr
		if h, _, err := net.SplitHostPort(parsed.Addr); err == nil {
			host = h
		}
		if parsed.TLS, err = probes.TLSConfig("mysql", *cfg.TLS, host); err != nil {
			return nil, err
		}
	}
	timeout := cmp.Or(cfg.Timeout, probes.DefaultTimeout)
	parsed.Timeout, parsed.ReadTimeout, parsed.WriteTimeout = timeout, timeout, timeout
	parsed.Logger = log.New(io.Discard, "", 0) // which would be standard error
	connector, err := mysql.NewConnector(parsed)
	if err != nil {
		return nil, refuse("dsn", errors.New("cannot be used"))
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	return &Probe{cmp.Or(cfg.Name, parsed.Addr), cfg.Query, timeout, db}, nil
}

// Name returns the name.
func (p *Probe) Name() string { return p.name }

// Check pings, and asks the query if there is one.
func (p *Probe) Check(ctx context.Context) error {
	ctx, cancel := probes.WithTimeout(ctx, p.timeout)
	defer cancel()
	return probes.Because(ctx, p.look(ctx))
}

func (p *Probe) look(ctx context.Context) error {
	if p.query == "" {
		return p.db.PingContext(ctx)
	}
	rows, err := p.db.QueryContext(ctx, p.query)
	if err != nil {
		return err
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return err
		}
		return errors.New("the query gives no row")
	}
	return nil
}

// Close closes its connection.
func (p *Probe) Close() error { return p.db.Close() }
