// Package tlsfiles makes configurations of TLS clients of what is in files, and goes on
// doing so when somebody renews them.
package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
)

// Files is what a TLS client trusts, and what it shows.
type Files struct {
	CAFile     string // PEM, instead of the system's certificates
	CertFile   string // PEM, what is shown to the server, which those above it may follow
	KeyFile    string // and its key
	ServerName string // that the server's certificate must be for; "" means the host that is dialed
	Insecure   bool   // any certificate will do
}

// Error says which of the files will not do. Its text never holds what is in one.
type Error struct {
	Field string // as on a command line: "ca-file"
	Err   error
	With  string // another of them that the text of Err names
}

func (e *Error) Error() string { return e.Field + ": " + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// Client is a TLS client with what is in its files now or, while that is of no use, what
// was there before.
type Client struct {
	files Files
	pair  *keyPair     // nil for none to be shown
	roots *authorities // nil for the system's
}

// Open reads the files, or returns an *Error.
func (f Files) Open() (*Client, error) {
	c := &Client{files: f}
	switch {
	case f.CertFile != "" && f.KeyFile == "":
		return nil, &Error{"cert-file", errors.New("needs key-file"), "key-file"}
	case f.CertFile == "" && f.KeyFile != "":
		return nil, &Error{"key-file", errors.New("needs cert-file"), "cert-file"}
	case f.CertFile != "":
		c.pair = &keyPair{certFile: f.CertFile, keyFile: f.KeyFile}
		if _, err := c.pair.load(); err != nil {
			return nil, &Error{Field: "cert-file", Err: err}
		}
	}
	switch {
	case f.CAFile == "":
		return c, nil
	case f.Insecure:
		return nil, &Error{"ca-file", errors.New("is of no use with insecure: give one of them"), "insecure"}
	}
	c.roots = &authorities{file: f.CAFile}
	if _, err := c.roots.load(); err != nil {
		return nil, &Error{Field: "ca-file", Err: err}
	}
	return c, nil
}

// Config returns the configuration of one connection. Its ServerName is "" where that is
// the host that is dialed.
func (c *Client) Config() *tls.Config {
	made := &tls.Config{InsecureSkipVerify: c.files.Insecure, ServerName: c.files.ServerName}
	if c.pair != nil {
		made.GetClientCertificate = func(asked *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, _ := c.Show(asked)
			return pair, nil
		}
	}
	if c.roots != nil {
		made.RootCAs, _ = c.roots.load()
	}
	return made
}

// Lasting returns a configuration for any number of connections, for who makes one only
// once. It trusts what is in CAFile at each of them, unless ServerName is "": it cannot
// know whom it talks to then, and trusts what is there now.
func (c *Client) Lasting() *tls.Config {
	made := c.Config()
	if c.roots == nil || made.ServerName == "" {
		return made
	}
	made.InsecureSkipVerify = true // and see for ourselves
	made.VerifyConnection = func(state tls.ConnectionState) error {
		asked := x509.VerifyOptions{DNSName: c.files.ServerName, Intermediates: x509.NewCertPool()}
		asked.Roots, _ = c.roots.load()
		for _, above := range state.PeerCertificates[1:] {
			asked.Intermediates.AddCert(above)
		}
		if _, err := state.PeerCertificates[0].Verify(asked); err != nil {
			return &tls.CertificateVerificationError{UnverifiedCertificates: state.PeerCertificates, Err: err}
		}
		return nil
	}
	return made
}

// Show returns the certificate for a server that asks for one, and whether it has
// expired.
func (c *Client) Show(asked *tls.CertificateRequestInfo) (pair *tls.Certificate, expired bool) {
	return c.pair.show(asked)
}
