// Package swift probes OpenStack Swift, and what speaks its protocol, with
// github.com/ncw/swift.
package swift

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ncw/swift/v2"

	"github.com/supervisor-checks/supervisor-checks/probes"
)

// Config configures a probe of Swift.
type Config struct {
	// Name is what the probe is called. "" means the host of AuthURL.
	Name string

	// AuthURL is where tokens are got: https://HOST/auth/v1.0, or https://HOST:5000/v3 of
	// Keystone. It is required, and so are the next two.
	AuthURL string

	// Username and Key are the user and the password.
	Username, Key string

	// AuthVersion is 1, 2 or 3. 0 means the v1, v2 or v3 in AuthURL.
	AuthVersion int

	// Tenant or TenantID is the project, and Domain or DomainID that of the user, and
	// TenantDomain or TenantDomainID that of the project where it is another. Version 1
	// has none of them, and version 2 no domains.
	Tenant, TenantID             string
	Domain, DomainID             string
	TenantDomain, TenantDomainID string

	// Region is which one is asked. "" means the first. Version 1 has none.
	Region string

	// Container, if not "", is what is asked for. Otherwise it is the account.
	Container string

	// TLS is for https.
	TLS probes.TLS

	// Timeout bounds a look. 0 means probes.DefaultTimeout.
	Timeout time.Duration
}

// Probe asks Swift for the account, or a container, with a token that is got again when
// it is refused. Each request has a connection of its own. Proxies in the environment are
// not used, and redirects not followed.
type Probe struct {
	name, container string
	timeout         time.Duration
	turn            chan struct{} // to use connection
	connection      *swift.Connection
}

// New returns the probe that cfg describes, or a *probes.ConfigError.
func New(cfg Config) (*Probe, error) {
	refuse := func(field, format string, args ...any) (*Probe, error) {
		return nil, &probes.ConfigError{Probe: "swift", Field: field, Err: fmt.Errorf(format, args...)}
	}
	u, err := url.Parse(cfg.AuthURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil { // which may hold a password
		return refuse("auth_url", "is neither http://HOST/PATH nor https://HOST/PATH")
	}
	version := cfg.AuthVersion
	for v := 3; v > 0 && version == 0; v-- {
		if strings.Contains(u.Path, fmt.Sprintf("v%d", v)) {
			version = v
		}
	}
	v2, v3 := cfg.Tenant+cfg.TenantID+cfg.Region, cfg.Domain+cfg.DomainID+cfg.TenantDomain+cfg.TenantDomainID
	switch {
	case version < 0 || version > 3:
		return refuse("auth_version", "%d is none of 1, 2, 3", version)
	case version == 0:
		return refuse("auth_version", "is required: there is no v1, v2 or v3 in auth_url")
	case cfg.Username == "":
		return refuse("username", "is required")
	case cfg.Key == "":
		return refuse("key", "is required")
	case version == 1 && v2 != "":
		return refuse("auth_version", "1 has neither tenant nor region")
	case version < 3 && v3 != "":
		return refuse("auth_version", "%d has no domains", version)
	case strings.Contains(cfg.Container, "/"):
		return refuse("container", "%q has a /, which no container has", cfg.Container)
	case cfg.Timeout < 0:
		return refuse("timeout", "%v is less than 0", cfg.Timeout)
	case u.Scheme == "http" && cfg.TLS != probes.TLS{}:
		return refuse("tls", "is of no use without https")
	}
	tls, err := probes.TLSConfig("swift", cfg.TLS, "") // the name is that of each host
	if err != nil {
		return nil, err
	}
	timeout := cmp.Or(cfg.Timeout, probes.DefaultTimeout)
	return &Probe{
		name: cmp.Or(cfg.Name, u.Host), container: cfg.Container, timeout: timeout, turn: make(chan struct{}, 1),
		connection: &swift.Connection{
			AuthUrl: cfg.AuthURL, AuthVersion: version, UserName: cfg.Username, ApiKey: cfg.Key, Tenant: cfg.Tenant, TenantId: cfg.TenantID,
			Domain: cfg.Domain, DomainId: cfg.DomainID, TenantDomain: cfg.TenantDomain, TenantDomainId: cfg.TenantDomainID, Region: cfg.Region,
			Transport: direct{transport(tls, 2*timeout)}, UserAgent: "supervisor-checks", Retries: 1, // with a new token, or a new connection
			ConnectTimeout: 2 * timeout, Timeout: 2 * timeout, // which the context ends before
		},
	}, nil
}

// direct refuses redirects, which would be followed with the key.
type direct struct{ *http.Transport }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := d.Transport.RoundTrip(r)
	if err == nil && resp.StatusCode/100 == 3 {
		resp.Body.Close()
		return nil, fmt.Errorf("it redirects: %s", resp.Status)
	}
	return resp, err
}

// ErrNoAccount is the error of a look where Swift does not have the account.
var ErrNoAccount = errors.New("account not found")

// Name returns the name.
func (p *Probe) Name() string { return p.name }

// Check asks. errors.Is finds ErrNoAccount, or the library's AuthorizationFailed and
// ContainerNotFound.
func (p *Probe) Check(ctx context.Context) error {
	ctx, cancel := probes.WithTimeout(ctx, p.timeout)
	defer cancel()
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	var err error
	if p.container == "" {
		if _, _, err = p.connection.Account(ctx); errors.Is(err, swift.ContainerNotFound) { // which the library calls it here, too
			err = ErrNoAccount
		}
	} else {
		_, _, err = p.connection.Container(ctx, p.container)
	}
	return probes.Because(ctx, cause(err))
}

// cause is what is wrong, without the address and without what the server has written,
// which may be anything.
func cause(err error) error {
	var exchange *url.Error
	var answer *swift.Error
	switch {
	case errors.As(err, &exchange):
		return exchange.Err
	case errors.As(err, &answer):
		return answer
	}
	return err
}
