// Package redis probes Redis, and what speaks its protocol, with
// github.com/redis/go-redis.
package redis

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/supervisor-checks/supervisor-checks/internal/readlimit"
	"github.com/supervisor-checks/supervisor-checks/probes"
)

// Config configures a probe of Redis.
type Config struct {
	// Name is what the probe is called. "" means the address.
	Name string

	// URL is redis://USER:PASSWORD@HOST:PORT/DB, rediss:// for TLS or unix:///PATH. It
	// is required, unless there is an Address.
	URL string

	// Address is HOST:PORT instead, with the next three beside it.
	Address            string
	Username, Password string
	DB                 int

	// TLS, if not nil, has the connection be encrypted, and says what is trusted.
	TLS *probes.TLS

	// Timeout bounds a look. 0 means probes.DefaultTimeout.
	Timeout time.Duration
}

// mostInLook is how many bytes a server may send in a look, and announce.
const mostInLook = 64 << 10

// Probe pings Redis, over one connection that stays until something is wrong.
type Probe struct {
	name    string
	timeout time.Duration
	options redis.Options

	turn   chan struct{} // to use the rest
	client *redis.Client // nil where there is none
	conn   net.Conn      // which it uses
	limit  *readlimit.Limit
}

// New returns the probe that cfg describes, or a *probes.ConfigError.
func New(cfg Config) (*Probe, error) {
	options := &redis.Options{Network: "tcp", Addr: cfg.Address, Username: cfg.Username, Password: cfg.Password, DB: cfg.DB}
	switch {
	case cfg.URL != "" && cfg.Address+cfg.Username+cfg.Password != "":
		return nil, &probes.ConfigError{Probe: "redis", Field: "url", Err: errors.New("is of no use with address, username or password: give one of them")}
	case cfg.URL != "" && cfg.DB != 0:
		return nil, &probes.ConfigError{Probe: "redis", Field: "db", Err: errors.New("is of no use with url, which ends in it: redis://HOST:PORT/DB")}
	case cfg.URL != "":
		parsed, err := redis.ParseURL(cfg.URL)
		if err != nil { // whose text may hold a password
			return nil, &probes.ConfigError{Probe: "redis", Field: "url", Err: errors.New("is none of redis://USER:PASSWORD@HOST:PORT/DB, rediss:// and unix:///PATH")}
		}
		options = parsed
	default:
		if host, port, err := net.SplitHostPort(cfg.Address); err != nil || host == "" || port == "" {
			return nil, &probes.ConfigError{Probe: "redis", Field: "address", Err: fmt.Errorf("%q is not HOST:PORT", cfg.Address)}
		}
	}
	if cfg.DB < 0 {
		return nil, &probes.ConfigError{Probe: "redis", Field: "db", Err: fmt.Errorf("%d is less than 0", cfg.DB)}
	}
	if cfg.Timeout < 0 {
		return nil, &probes.ConfigError{Probe: "redis", Field: "timeout", Err: fmt.Errorf("%v is less than 0", cfg.Timeout)}
	}
	if cfg.TLS != nil {
		host, _, _ := net.SplitHostPort(options.Addr)
		config, err := probes.TLSConfig("redis", *cfg.TLS, host)
		if err != nil {
			return nil, err
		}
		options.TLSConfig = config
	}
	quiet()
	return &Probe{
		name: cmp.Or(cfg.Name, options.Addr), timeout: cmp.Or(cfg.Timeout, probes.DefaultTimeout), turn: make(chan struct{}, 1),
		options: redis.Options{ // and nothing else that a URL may say, such as a number of connections
			Network: options.Network, Addr: options.Addr, Username: options.Username, Password: options.Password, DB: options.DB,
			ClientName: options.ClientName, DisableIdentity: true, TLSConfig: options.TLSConfig, Protocol: 2,
			PoolSize: 1, PipelinePoolSize: -1, MaxRetries: -1, DialerRetries: 1, ReadTimeout: -1, WriteTimeout: -1, ConnMaxIdleTime: -1,
		},
	}, nil
}

// quiet has the library write nothing to standard error, where it would have it be what
// the server sends. The library knows no other way than one for the whole program.
var quiet = sync.OnceFunc(logging.Disable)

// Name returns the name.
func (p *Probe) Name() string { return p.name }

// Check pings.
func (p *Probe) Check(ctx context.Context) error {
	ctx, cancel := probes.WithTimeout(ctx, p.timeout)
	defer cancel()
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return probes.Because(ctx, p.look(ctx))
}

func (p *Probe) look(ctx context.Context) error {
	if p.client != nil {
		p.limit.Renew()
		if err := p.ping(ctx); err == nil || ctx.Err() != nil {
			return err
		} // it may have been closed meanwhile, which says nothing of a new one
	}
	if err := p.connect(ctx); err != nil {
		return err
	}
	return p.ping(ctx)
}

// connect dials, and gives the connection to a client of its own: one that dials by
// itself goes on with that after the look, and answers others with what it has found.
func (p *Probe) connect(ctx context.Context) error {
	conn, err := new(net.Dialer).DialContext(ctx, p.options.Network, p.options.Addr)
	if err != nil {
		return err
	}
	limit := readlimit.New(mostInLook)
	plain := limit.Conn(conn)
	if p.options.TLSConfig != nil {
		encrypted := tls.Client(plain, p.options.TLSConfig)
		if err := encrypted.HandshakeContext(ctx); err != nil {
			conn.Close()
			return err
		}
		plain = encrypted
	}
	options := p.options
	options.Dialer = func(context.Context, string, string) (net.Conn, error) { return &guard{Conn: plain, limit: limit}, nil }
	p.client, p.conn, p.limit = redis.NewClient(&options), conn, limit
	return nil
}

// ping pings over the connection, which an error or the end of ctx is the end of.
func (p *Probe) ping(ctx context.Context) error {
	conn := p.conn
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	answer, err := p.client.Ping(ctx).Result()
	if err == nil && answer != "PONG" {
		err = fmt.Errorf("it answers PING with %.40q", answer)
	}
	if err != nil {
		p.end()
	}
	return err
}

func (p *Probe) end() {
	p.conn.Close() // first, so that TLS has no leave to take
	p.client.Close()
	p.client, p.conn = nil, nil
}

// Close closes its connection.
func (p *Probe) Close() error {
	p.turn <- struct{}{}
	defer func() { <-p.turn }()
	if p.client != nil {
		p.end()
	}
	return nil
}
