// Package postgres probes PostgreSQL, with github.com/jackc/pgx.
package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/supervisor-checks/supervisor-checks/internal/readlimit"
	"github.com/supervisor-checks/supervisor-checks/probes"
)

// Config configures a probe of PostgreSQL.
type Config struct {
	// Name is what the probe is called. "" means the address.
	Name string

	// DSN is postgres://USER:PASSWORD@HOST:PORT/DB?sslmode=verify-full or, as libpq has
	// it, "host=… dbname=…". What it does not say is taken from PGHOST and the like. It
	// is required. Of several hosts the first that will do is asked.
	DSN string

	// Password, if not "", takes the place of that of DSN.
	Password string

	// TLS, if not nil, takes the place of what DSN says of TLS.
	TLS *probes.TLS

	// Query, if not "", is asked in place of the ping. It is read to the end, and must
	// give a row and no error.
	Query string

	// Timeout bounds a look. 0 means probes.DefaultTimeout.
	Timeout time.Duration
}

// A server sends this much in a look, and in one message, at most.
const (
	mostInLook    = 4 << 20
	mostInMessage = 1 << 20
)

// closeWithin bounds the leave that is taken of a server.
const closeWithin = time.Second

// Probe pings PostgreSQL, over one connection that stays until something is wrong.
type Probe struct {
	name, query string
	timeout     time.Duration
	config      *pgx.ConnConfig

	turn  chan struct{} // to use the rest
	conn  *pgx.Conn     // nil where there is none
	limit *readlimit.Limit
}

// New returns the probe that cfg describes, or a *probes.ConfigError.
func New(cfg Config) (*Probe, error) {
	refuse := func(field string, err error) error {
		return &probes.ConfigError{Probe: "postgres", Field: field, Err: err}
	}
	if cfg.DSN == "" {
		return nil, refuse("dsn", errors.New("is required: postgres://USER@HOST:PORT/DB"))
	}
	c, err := pgx.ParseConfig(cfg.DSN)
	if err != nil { // whose text may hold a part of a password
		return nil, refuse("dsn", errors.New("is neither postgres://USER@HOST:PORT/DB nor host=HOST dbname=DB, or names files or an sslmode that cannot be used"))
	}
	if cfg.Timeout < 0 {
		return nil, refuse("timeout", fmt.Errorf("%v is less than 0", cfg.Timeout))
	}
	if cfg.Password != "" {
		c.Password = cfg.Password
	}
	if cfg.TLS != nil {
		if err := encrypt(c, *cfg.TLS); err != nil {
			return nil, err
		}
	}
	timeout := cmp.Or(cfg.Timeout, probes.DefaultTimeout)
	if hosts := len(slices.CompactFunc(slices.Concat(first(c), c.Fallbacks), same)); hosts > 1 { // so that a silent one leaves time for the next
		c.ConnectTimeout = min(cmp.Or(c.ConnectTimeout, timeout), timeout/time.Duration(hosts))
	}
	c.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol // which poolers take, too
	c.MaxProtocolMessageBodyLen = mostInMessage
	return &Probe{
		name: cmp.Or(cfg.Name, net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))), query: cfg.Query, timeout: timeout,
		config: c, turn: make(chan struct{}, 1),
	}, nil
}

// first is the host that is tried before the fallbacks.
func first(c *pgx.ConnConfig) []*pgconn.FallbackConfig {
	return []*pgconn.FallbackConfig{{Host: c.Host, Port: c.Port, TLSConfig: c.TLSConfig}}
}

// same tells whether both are one host, with TLS and without.
func same(a, b *pgconn.FallbackConfig) bool { return a.Host == b.Host && a.Port == b.Port }

// encrypt has each host be tried once, with TLS for its name.
func encrypt(c *pgx.ConnConfig, files probes.TLS) error {
	hosts := slices.CompactFunc(slices.Concat(first(c), c.Fallbacks), same)
	for _, h := range hosts {
		var err error
		if h.TLSConfig, err = probes.TLSConfig("postgres", files, h.Host); err != nil {
			return err
		}
	}
	c.TLSConfig, c.Fallbacks = hosts[0].TLSConfig, hosts[1:]
	return nil
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
	err := p.look(ctx)
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) { // whose text has the user and the database besides
		err = connect.Unwrap()
	}
	return probes.Because(ctx, err)
}

func (p *Probe) look(ctx context.Context) (err error) {
	if p.conn != nil {
		p.limit.Renew()
		if err = p.ask(ctx); err == nil || ctx.Err() != nil {
			return err
		} // it may have been closed meanwhile, which says nothing of a new one
	}
	if err = p.connect(ctx); err != nil {
		return err
	}
	return p.ask(ctx)
}

func (p *Probe) connect(ctx context.Context) (err error) {
	limit, config := readlimit.New(mostInLook), p.config.Copy()
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := p.config.DialFunc(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return limit.Conn(conn), nil
	}
	p.limit = limit
	p.conn, err = pgx.ConnectConfig(ctx, config)
	return err
}

// ask asks over the connection, which an error is the end of.
func (p *Probe) ask(ctx context.Context) error {
	err := p.answer(ctx)
	if err != nil {
		go end(p.conn)
		p.conn = nil
	}
	return err
}

func (p *Probe) answer(ctx context.Context) error {
	if p.query == "" {
		return p.conn.Ping(ctx)
	}
	rows, err := p.conn.Query(ctx, p.query)
	if err != nil {
		return err
	}
	found := rows.Next()
	for rows.Next() {
	}
	rows.Close() // which reads what further queries give
	if rows.Err() == nil && !found {
		return errors.New("the query gives no row")
	}
	return rows.Err()
}

// end takes leave of the server.
func end(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	conn.Close(ctx)
}

// Close closes its connection.
func (p *Probe) Close() {
	p.turn <- struct{}{}
	defer func() { <-p.turn }()
	if p.conn != nil {
		end(p.conn)
		p.conn = nil
	}
}
