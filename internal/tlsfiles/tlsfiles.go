// Package tlsfiles makes configurations of TLS clients of what is in files.
package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
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

// Config reads the files, or returns an *Error.
func (f Files) Config() (*tls.Config, error) {
	made := &tls.Config{InsecureSkipVerify: f.Insecure, ServerName: f.ServerName}
	switch {
	case f.CertFile != "" && f.KeyFile == "":
		return nil, &Error{"cert-file", errors.New("needs key-file"), "key-file"}
	case f.CertFile == "" && f.KeyFile != "":
		return nil, &Error{"key-file", errors.New("needs cert-file"), "cert-file"}
	case f.CertFile != "":
		pair, err := tls.LoadX509KeyPair(f.CertFile, f.KeyFile)
		if err != nil {
			return nil, &Error{Field: "cert-file", Err: err}
		}
		made.Certificates = []tls.Certificate{pair}
	}
	switch {
	case f.CAFile == "":
		return made, nil
	case f.Insecure:
		return nil, &Error{"ca-file", errors.New("is of no use with insecure: give one of them"), "insecure"}
	}
	pem, err := os.ReadFile(f.CAFile)
	if err != nil {
		return nil, &Error{Field: "ca-file", Err: err}
	}
	made.RootCAs = x509.NewCertPool()
	if !made.RootCAs.AppendCertsFromPEM(pem) {
		return nil, &Error{Field: "ca-file", Err: fmt.Errorf("there is no PEM certificate in %s", f.CAFile)}
	}
	return made, nil
}
