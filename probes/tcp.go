package probes

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/httpcheck"
	"github.com/supervisor-checks/supervisor-checks/internal/tlsfiles"
)

// TCPConfig configures a probe of a TCP server.
type TCPConfig struct {
	// Name is what the probe is called. "" means the address.
	Name string

	// Address is HOST:PORT. It is required, unless there is a UnixSocket.
	Address string

	// UnixSocket is the path of a stream socket to dial instead.
	UnixSocket string

	// TLS, if not nil, has a TLS handshake be a part of it.
	TLS *TLS

	// CertMinValidity is for how long the server's certificates must still be valid.
	CertMinValidity time.Duration

	// Timeout bounds all of it, name lookup included. 0 means DefaultTimeout.
	Timeout time.Duration
}

// TCP connects to a server, and closes the connection.
type TCP struct {
	cfg              TCPConfig
	network, address string
	tls              *tlsfiles.Client // nil for none
}

// NewTCP returns the probe that cfg describes, or a *ConfigError.
func NewTCP(cfg TCPConfig) (*TCP, error) {
	p := &TCP{cfg: cfg, network: "tcp", address: cfg.Address}
	host, port, err := net.SplitHostPort(cfg.Address)
	switch {
	case cfg.UnixSocket != "" && cfg.Address != "":
		return nil, refuse("tcp", "unix_socket", "is of no use with address: give one of them")
	case cfg.UnixSocket != "":
		p.network, p.address = "unix", cfg.UnixSocket
	case err != nil || host == "" || port == "":
		return nil, refuse("tcp", "address", "%q is not HOST:PORT", cfg.Address)
	}
	if cfg.Timeout < 0 {
		return nil, refuse("tcp", "timeout", "%v is less than 0", cfg.Timeout)
	}
	switch {
	case cfg.TLS == nil && cfg.CertMinValidity != 0:
		return nil, refuse("tcp", "cert_min_validity", "needs tls")
	case cfg.CertMinValidity < 0:
		return nil, refuse("tcp", "cert_min_validity", "%v is less than 0", cfg.CertMinValidity)
	case cfg.TLS != nil && host == "" && cfg.TLS.ServerName == "" && !cfg.TLS.Insecure:
		return nil, refuse("tcp", "server_name", "is required with unix_socket: the name that the server's certificate must be for")
	}
	if cfg.TLS != nil {
		if p.tls, err = openTLS("tcp", *cfg.TLS, host); err != nil {
			return nil, err
		}
	}
	p.cfg.Name, p.cfg.Timeout = cmp.Or(cfg.Name, p.address), cmp.Or(cfg.Timeout, DefaultTimeout)
	return p, nil
}

// TLSConfig reads the files of a probe of that kind, or returns a *ConfigError. host is
// the name that the server's certificate must be for where they name none. What is shown
// to a server is read again when the files have changed, and what is trusted, unless there
// is neither name.
func TLSConfig(kind string, files TLS, host string) (*tls.Config, error) {
	client, err := openTLS(kind, files, host)
	if err != nil {
		return nil, err
	}
	return client.Lasting(), nil
}

func openTLS(kind string, files TLS, host string) (*tlsfiles.Client, error) {
	files.ServerName = cmp.Or(files.ServerName, host)
	client, err := files.Open()
	var bad *tlsfiles.Error
	if errors.As(err, &bad) {
		return nil, &ConfigError{kind, field(bad.Field), bad.Err}
	}
	return client, err
}

// Name returns the name.
func (p *TCP) Name() string { return p.cfg.Name }

// Check connects.
func (p *TCP) Check(ctx context.Context) error {
	ctx, cancel := WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	return Because(ctx, p.look(ctx))
}

func (p *TCP) look(ctx context.Context) error {
	conn, err := new(net.Dialer).DialContext(ctx, p.network, p.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if p.tls == nil {
		return nil
	}
	secured := tls.Client(conn, p.tls.Config())
	if err := secured.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	_, err = httpcheck.ValidFor(secured.ConnectionState(), p.cfg.CertMinValidity)
	return err
}
