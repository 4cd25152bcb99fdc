// Package postgres probes PostgreSQL, with github.com/jackc/pgx.
package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/supervisor-checks/supervisor-checks/probes"
)

// Config configures a probe of PostgreSQL.
type Config struct {
	// Name is what the probe is called. "" means the address.
	Name string

	// DSN is postgres://USER:PASSWORD@HOST:PORT/DB?sslmode=verify-full or, as libpq has
	// it, "host=… dbname=…". What it does not say is taken from PGHOST and the like. It
	// is required.
	DSN string

	// Password, if not "", takes the place of that of DSN.
	Password string

	// TLS, if not nil, takes the place of what DSN says of TLS.
	TLS *probes.TLS

	// Query, if not "", is asked for after the ping, and must give a row.
	Query string

	// Timeout bounds a look. 0 means probes.DefaultTimeout.
	Timeout time.Duration
}

// Probe pings PostgreSQL, over one connection that stays.
type Probe struct {
	name, query string
	timeout     time.Duration
	pool        *pgxpool.Pool
}

// New returns the probe that cfg describes, or a *probes.ConfigError.
func New(cfg Config) (*Probe, error) {
	refuse := func(field string, err error) error {
		return &probes.ConfigError{Probe: "postgres", Field: field, Err: err}
	}
	if cfg.DSN == "" {
		return nil, refuse("dsn", errors.New("is required: postgres://USER@HOST:PORT/DB"))
	}
	parsed, err := pgxpool.ParseConfig(cfg.DSN)
	if err != nil { // whose text may hold a part of a password
		return nil, refuse("dsn", errors.New("is neither postgres://USER@HOST:PORT/DB nor host=HOST dbname=DB, or names files or an sslmode that cannot be used"))
	}
	if cfg.Timeout < 0 {
		return nil, refuse("timeout", fmt.Errorf("%v is less than 0", cfg.Timeout))
	}
	c := parsed.ConnConfig
	if cfg.Password != "" {
		c.Password = cfg.Password
	}
	if cfg.TLS != nil {
		if c.TLSConfig, err = probes.TLSConfig("postgres", *cfg.TLS, c.Host); err != nil {
			return nil, err
		}
		c.Fallbacks = nil
	}
	c.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol // which poolers take, too
	parsed.MaxConns, parsed.MinConns = 1, 0
	pool, err := pgxpool.NewWithConfig(context.Background(), parsed)
	if err != nil {
		return nil, refuse("dsn", errors.New("cannot be used"))
	}
	return &Probe{cmp.Or(cfg.Name, net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))), cfg.Query, cmp.Or(cfg.Timeout, probes.DefaultTimeout), pool}, nil
}

// Name returns the name.
func (p *Probe) Name() string { return p.name }

// Check pings, and asks the query if there is one.
func (p *Probe) Check(ctx context.Context) error {
	ctx, cancel := probes.WithTimeout(ctx, p.timeout)
	defer cancel()
	err := p.look(ctx)
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) { // whose text has the user and the database besides
		err = connect.Unwrap()
	}
	return probes.Because(ctx, err)
}

func (p *Probe) look(ctx context.Context) error {
	if p.query == "" {
		return p.pool.Ping(ctx)
	}
	rows, err := p.pool.Query(ctx, p.query)
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
func (p *Probe) Close() { p.pool.Close() }
