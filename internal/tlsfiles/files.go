package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync"
	"time"
)

// keyPair is a certificate with its key, in files that somebody renews.
type keyPair struct {
	certFile, keyFile string

	mu   sync.Mutex
	last *tls.Certificate // that could be read
}

// load returns what is in the files, or what was there while they do not go together.
func (p *keyPair) load() (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pair, err := tls.LoadX509KeyPair(p.certFile, p.keyFile)
	if err == nil {
		p.last = &pair
	}
	return p.last, err
}

// show returns the certificate for a server that asks for one, and whether it has
// expired.
func (p *keyPair) show(asked *tls.CertificateRequestInfo) (pair *tls.Certificate, expired bool) {
	pair, _ = p.load()
	if asked.SupportsCertificate(pair) != nil {
		return new(tls.Certificate), false // which is none
	}
	return pair, pair.Leaf != nil && time.Now().After(pair.Leaf.NotAfter)
}

// authorities are the certificates in a file that somebody may replace.
type authorities struct {
	file string

	mu   sync.Mutex
	read os.FileInfo
	last *x509.CertPool
}

// load returns what is in the file, or what was there while that is of no use.
func (a *authorities) load() (*x509.CertPool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	info, err := os.Stat(a.file)
	if err == nil && a.read != nil && os.SameFile(info, a.read) && info.Size() == a.read.Size() && info.ModTime().Equal(a.read.ModTime()) {
		return a.last, nil
	}
	pem, err := os.ReadFile(a.file)
	if err != nil {
		return a.last, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return a.last, fmt.Errorf("there is no PEM certificate in %s", a.file)
	}
	a.read, a.last = info, pool
	return pool, nil
}
