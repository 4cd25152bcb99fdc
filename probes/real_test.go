package probes_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/realservers"
	"github.com/supervisor-checks/supervisor-checks/probes"
)

func TestRealEtcd(t *testing.T) {
	t.Parallel()
	s := realservers.Etcd(t)
	p, err := probes.NewEtcd(probes.HTTPConfig{URL: "http://" + s.Address, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	realservers.Put(t, p, s, "")
}

func TestRealNginx(t *testing.T) {
	t.Parallel()
	s := realservers.Nginx(t, nil)
	p, err := probes.NewHTTP(probes.HTTPConfig{URL: "http://" + s.Address, ExpectBody: "^ok", Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	down, err := probes.NewHTTP(probes.HTTPConfig{URL: "http://" + s.Address + "/down", Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	if got := checked(t, down); got != "503 Service Unavailable" {
		t.Error(got)
	}
	tcp, err := probes.NewTCP(probes.TCPConfig{Address: s.Address, Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	if got := checked(t, tcp); got != "" {
		t.Error(got)
	}
	realservers.Put(t, p, s, "")
}

func TestRealNginxTLS(t *testing.T) {
	t.Parallel()
	certificates := realservers.NewCertificates(t, 24*time.Hour)
	s := realservers.Nginx(t, certificates)
	trusted := probes.TLS{CAFile: certificates.CA}
	for _, tt := range []struct {
		name string
		cfg  probes.HTTPConfig
		want string
	}{
		{"trusted", probes.HTTPConfig{TLS: trusted, CertMinValidity: 20 * time.Hour}, ""},
		{"ends too soon", probes.HTTPConfig{TLS: trusted, CertMinValidity: 30 * time.Hour}, "the certificate of the server is valid for "},
		{"not trusted", probes.HTTPConfig{}, "TLS handshake: tls: failed to verify certificate: x509: certificate signed by unknown authority"},
		{"another name", probes.HTTPConfig{TLS: probes.TLS{CAFile: certificates.CA, ServerName: "other.test"}}, "TLS handshake: tls: failed to verify certificate: x509: certificate is valid for db.test, not other.test"},
	} {
		tt.cfg.URL, tt.cfg.Timeout = "https://"+s.Address, patience
		p, err := probes.NewHTTP(tt.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if got := checked(t, p); !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s: %s\nwant %s", tt.name, got, tt.want)
		}
	}
	tcp, err := probes.NewTCP(probes.TCPConfig{Address: s.Address, TLS: &trusted, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	realservers.Put(t, tcp, s, "")
}

func TestSilent(t *testing.T) {
	t.Parallel()
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() {
		realservers.Silent(t, func(address string) (*probes.HTTP, error) {
			return probes.NewHTTP(probes.HTTPConfig{URL: "http://" + address})
		})
	})
	all.Go(func() {
		realservers.Silent(t, func(address string) (*probes.TCP, error) {
			return probes.NewTCP(probes.TCPConfig{Address: address, TLS: &probes.TLS{}})
		})
	})
}
