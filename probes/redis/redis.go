// Package redis probes Redis, and what speaks its protocol, with
// github.com/redis/go-redis.
package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/redis/go-redis/v9"

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

// Probe pings Redis, over one connection that stays.
type Probe struct {
	name    string
	timeout time.Duration
	client  *redis.Client
}

// New returns the probe that cfg describes, or a *probes.ConfigError.
func New(cfg Config) (*Probe, error) {
	options := &redis.Options{Addr: cfg.Address, Username: cfg.Username, Password: cfg.Password, DB: cfg.DB}
	switch {
	case cfg.URL != "" && cfg.Address+cfg.Username+cfg.Password != "":
		return nil, &probes.ConfigError{Probe: "redis", Field: "url", Err: errors.New("is of no use with address, username or password: give one of them")}
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
	if cfg.Timeout < 0 {
		return nil, &probes.ConfigError{Probe: "redis", Field: "timeout", Err: fmt.Errorf("%v is less than 0", cfg.Timeout)}
	}
	if cfg.TLS != nil {
		host, _, _ := net.SplitHostPort(options.Addr)
		tls, err := probes.TLSConfig("redis", *cfg.TLS, host)
		if err != nil {
			return nil, err
		}
		options.TLSConfig = tls
	}
	options.PoolSize, options.MaxRetries, options.ContextTimeoutEnabled, options.DisableIdentity = 1, -1, true, true
	options.DialerRetries = 1
	return &Probe{cmp.Or(cfg.Name, options.Addr), cmp.Or(cfg.Timeout, probes.DefaultTimeout), redis.NewClient(options)}, nil
}

// Name returns the name.
func (p *Probe) Name() string { return p.name }

// Check pings.
func (p *Probe) Check(ctx context.Context) error {
	ctx, cancel := probes.WithTimeout(ctx, p.timeout)
	defer cancel()
	err := p.client.Ping(ctx).Err()
	if errors.Is(err, io.EOF) { // of a connection that was closed meanwhile: it says nothing of a new one
		err = p.client.Ping(ctx).Err()
	}
	return probes.Because(ctx, err)
}

// Close closes its connection.
func (p *Probe) Close() error { return p.client.Close() }
