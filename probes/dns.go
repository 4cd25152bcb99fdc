package probes

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// DNSConfig configures a probe of a name server.
type DNSConfig struct {
	// Name is what the probe is called. "" means Host.
	Name string

	// Host is what is asked for. It is required.
	Host string

	// Type is the kind of record: A, AAAA, CNAME, MX, NS or TXT. "" means any address.
	Type string

	// Server is HOST:PORT of the name server. "" means those of the system.
	Server string

	// Expect are answers of which one must be there. None means that any will do.
	Expect []string

	// Timeout bounds all of it. 0 means DefaultTimeout.
	Timeout time.Duration
}

// DNS looks a name up.
type DNS struct {
	cfg      DNSConfig
	resolver *net.Resolver
}

// NewDNS returns the probe that cfg describes, or a *ConfigError.
func NewDNS(cfg DNSConfig) (*DNS, error) {
	types := []string{"", "A", "AAAA", "CNAME", "MX", "NS", "TXT"}
	switch {
	case cfg.Host == "":
		return nil, refuse("dns", "host", "is required: the name that is looked up")
	case !slices.Contains(types, cfg.Type):
		return nil, refuse("dns", "type", "%q is none of %s", cfg.Type, strings.Join(types[1:], ", "))
	case cfg.Timeout < 0:
		return nil, refuse("dns", "timeout", "%v is less than 0", cfg.Timeout)
	}
	p := &DNS{cfg: cfg, resolver: &net.Resolver{PreferGo: true}}
	p.cfg.Name, p.cfg.Timeout = cmp.Or(cfg.Name, cfg.Host), cmp.Or(cfg.Timeout, DefaultTimeout)
	if cfg.Server != "" {
		host, port, err := net.SplitHostPort(cfg.Server)
		if err != nil || host == "" || port == "" {
			return nil, refuse("dns", "server", "%q is not HOST:PORT", cfg.Server)
		}
		p.resolver.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, cfg.Server)
		}
	}
	return p, nil
}

// Name returns the name.
func (p *DNS) Name() string { return p.cfg.Name }

// Check looks the name up. No answer, and none that is expected, is an error.
func (p *DNS) Check(ctx context.Context) error {
	ctx, cancel := WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	answers, err := p.lookUp(ctx)
	switch {
	case err != nil:
		return Because(ctx, err)
	case len(answers) == 0:
		return errors.New("there is no such record")
	case p.cfg.Expect != nil && !slices.ContainsFunc(answers, func(a string) bool { return slices.Contains(p.cfg.Expect, a) }):
		return fmt.Errorf("it answers %s, not %s", strings.Join(answers, ", "), strings.Join(p.cfg.Expect, " or "))
	}
	return nil
}

func (p *DNS) lookUp(ctx context.Context) (answers []string, err error) {
	switch p.cfg.Type {
	case "CNAME":
		name, err := p.resolver.LookupCNAME(ctx, p.cfg.Host)
		return []string{name}, err
	case "MX":
		records, err := p.resolver.LookupMX(ctx, p.cfg.Host)
		for _, r := range records {
			answers = append(answers, r.Host)
		}
		return answers, err
	case "NS":
		records, err := p.resolver.LookupNS(ctx, p.cfg.Host)
		for _, r := range records {
			answers = append(answers, r.Host)
		}
		return answers, err
	case "TXT":
		return p.resolver.LookupTXT(ctx, p.cfg.Host)
	}
	network := map[string]string{"": "ip", "A": "ip4", "AAAA": "ip6"}[p.cfg.Type]
	addresses, err := p.resolver.LookupNetIP(ctx, network, p.cfg.Host)
	for _, a := range addresses {
		answers = append(answers, a.Unmap().String())
	}
	return answers, err
}
