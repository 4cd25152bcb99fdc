// Package mongo probes MongoDB, and what speaks its protocol, with
// go.mongodb.org/mongo-driver.
package mongo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/supervisor-checks/supervisor-checks/probes"
)

// Config configures a probe of MongoDB.
type Config struct {
	// Name is what the probe is called. "" means the hosts of URI.
	Name string

	// URI is mongodb://USER:PASSWORD@HOST:PORT,HOST:PORT/?OPTIONS or mongodb+srv://HOST.
	// It is required. The member that is asked is one that its readPreference allows:
	// the primary, where it says nothing.
	URI string

	// Password, if not "", takes the place of that of URI.
	Password string

	// TLS, if not nil, has connections be encrypted, and says what is trusted.
	TLS *probes.TLS

	// Timeout bounds a look. 0 means probes.DefaultTimeout.
	Timeout time.Duration
}

// Probe pings a member, over one connection that stays. The driver has another one to
// each member, to know what it is.
type Probe struct {
	name    string
	timeout time.Duration
	members *members
	connect func() (*mongo.Client, error)

	turn   chan struct{} // to use client
	client *mongo.Client // nil before the first look
}

// New returns the probe that cfg describes, or a *probes.ConfigError. It connects to
// nothing, and asks no DNS: the first look does.
func New(cfg Config) (*Probe, error) {
	refuse := func(field, format string, args ...any) (*Probe, error) {
		return nil, &probes.ConfigError{Probe: "mongo", Field: field, Err: fmt.Errorf(format, args...)}
	}
	hosts, user, ok := describe(cfg.URI)
	if !ok { // in the driver's words there may be a part of a password
		return refuse("uri", "is neither mongodb://USER:PASSWORD@HOST:PORT/?OPTIONS nor mongodb+srv://USER:PASSWORD@HOST/?OPTIONS")
	}
	if cfg.Password != "" && !user {
		return refuse("password", "there is no user in uri that it belongs to")
	}
	if cfg.Timeout < 0 {
		return refuse("timeout", "%v is less than 0", cfg.Timeout)
	}
	timeout := cmp.Or(cfg.Timeout, probes.DefaultTimeout)
	members := newMembers()
	ours := options.Client().SetServerMonitor(members.monitor()).SetServerMonitoringMode(options.ServerMonitoringModePoll).SetAppName("supervisor-checks").
		SetMaxPoolSize(1).SetConnectTimeout(timeout).SetServerSelectionTimeout(timeout - timeout/10) // so that it can say what there is instead
	if cfg.TLS != nil {
		tls, err := probes.TLSConfig("mongo", *cfg.TLS, "") // the name is that of each member
		if err != nil {
			return nil, err
		}
		ours.SetTLSConfig(tls)
	}
	connect := func() (*mongo.Client, error) {
		said := options.Client().ApplyURI(cfg.URI)
		var unknown *net.DNSError
		switch err := said.Validate(); {
		case errors.As(err, &unknown):
			return nil, unknown
		case err != nil:
			return nil, errors.New("the options in uri, or in the DNS, cannot be used")
		}
		if cfg.Password != "" && said.Auth != nil {
			said.Auth.Password, said.Auth.PasswordSet = cfg.Password, true
		}
		return mongo.Connect(said, ours)
	}
	return &Probe{
		name: cmp.Or(cfg.Name, hosts), timeout: timeout,
		members: members, connect: connect, turn: make(chan struct{}, 1),
	}, nil
}

// describe returns what a URI names. That of mongodb+srv is not read by the driver here,
// which would ask the DNS.
func describe(uri string) (hosts string, user, ok bool) {
	if strings.HasPrefix(uri, "mongodb+srv://") {
		u, err := url.Parse(uri)
		if err != nil {
			return "", false, false
		}
		return u.Host, u.User != nil, u.Host != "" && u.Port() == ""
	}
	said := options.Client().ApplyURI(uri)
	return strings.Join(said.Hosts, ","), said.Auth != nil, said.Validate() == nil
}

// Name returns the name.
func (p *Probe) Name() string { return p.name }

// Check pings. When no member can be reached it says why not of each, after half a
// second, as often as the driver tries.
func (p *Probe) Check(ctx context.Context) error {
	ctx, cancel := probes.WithTimeout(ctx, p.timeout)
	defer cancel()
	client, err := p.connected(ctx)
	if err != nil {
		return err
	}
	ctx, end := p.members.look(ctx)
	defer end()
	err = client.Ping(ctx, nil)
	if mongo.IsNetworkError(err) { // of a connection that was closed meanwhile: it says nothing of a new one
		err = client.Ping(ctx, nil)
	}
	return probes.Because(ctx, err)
}

// connected returns the client, which the first look makes. The driver asks the DNS for
// mongodb+srv without a context, so that is left behind, once, when ctx ends.
func (p *Probe) connected(ctx context.Context) (*mongo.Client, error) {
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if p.client != nil {
		defer func() { <-p.turn }()
		return p.client, nil
	}
	type made struct {
		client *mongo.Client
		err    error
	}
	done := make(chan made, 1)
	go func() {
		defer func() { <-p.turn }()
		client, err := p.connect()
		p.client = client
		done <- made{client, err}
	}()
	select {
	case m := <-done:
		return m.client, m.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Close closes its connections.
func (p *Probe) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), p.timeout)
	defer cancel()
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return errors.New("the DNS is still being asked")
	}
	defer func() { <-p.turn }()
	if p.client == nil {
		return nil
	}
	return p.client.Disconnect(ctx)
}
