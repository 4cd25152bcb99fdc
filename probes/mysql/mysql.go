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

	"github.com/supervisor-checks/supervisor-checks/internal/readlimit"
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

	// Query, if not "", is asked in place of the ping. It is read to the end, and must
	// give a row and no error.
	Query string

	// Timeout bounds a look. 0 means probes.DefaultTimeout.
	Timeout time.Duration
}

// mostInLook is how many bytes a server may send in a look.
const mostInLook = 4 << 20

// Probe pings the server, over one connection that stays.
type Probe struct {
	name, query string
	timeout     time.Duration
	turn        chan struct{} // to use the rest: with several in it db would dial by itself, for longer than a look
	db          *sql.DB
	limit       *readlimit.Limit
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
	parsed.Timeout, parsed.ReadTimeout, parsed.WriteTimeout = 2*timeout, 2*timeout, 2*timeout // which the context ends before
	limit := readlimit.New(mostInLook)
	parsed.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return limit.Conn(conn), nil
	}
	parsed.Logger = log.New(io.Discard, "", 0) // which would be standard error
	connector, err := mysql.NewConnector(parsed)
	if err != nil {
		return nil, refuse("dsn", errors.New("cannot be used"))
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	return &Probe{
		name: cmp.Or(cfg.Name, parsed.Addr), query: cfg.Query, timeout: timeout,
		turn: make(chan struct{}, 1), db: db, limit: limit,
	}, nil
}

// Name returns the name.
func (p *Probe) Name() string { return p.name }

// Check pings, or asks the query if there is one.
func (p *Probe) Check(ctx context.Context) error {
	ctx, cancel := probes.WithTimeout(ctx, p.timeout)
	defer cancel()
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	p.limit.Renew()
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
	found := rows.Next()
	for more := true; more; more = rows.NextResultSet() {
		for rows.Next() {
		}
	}
	if rows.Err() == nil && !found {
		return errors.New("the query gives no row")
	}
	return rows.Err()
}

// Close closes its connection.
func (p *Probe) Close() error { return p.db.Close() }
