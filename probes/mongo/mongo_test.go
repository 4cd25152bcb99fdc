package mongo_test

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/supervisor-checks/supervisor-checks/internal/realservers"
	"github.com/supervisor-checks/supervisor-checks/probes"
	"github.com/supervisor-checks/supervisor-checks/probes/mongo"
)

// open has looks without a time of their own take as long as they need on a busy machine.
func open(t *testing.T, cfg mongo.Config) *mongo.Probe {
	t.Helper()
	cfg.Timeout = cmp.Or(cfg.Timeout, 30*time.Second)
	p, err := mongo.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// look requires the text of an error to hold something, and nothing for "".
func look(t *testing.T, name string, p *mongo.Probe, want string) error {
	t.Helper()
	begun := time.Now()
	err := p.Check(t.Context())
	for want != "" && errors.Is(err, context.DeadlineExceeded) && !strings.Contains(err.Error(), want) && time.Since(begun) < 30*time.Second { // a busy machine may leave the driver no time to say why
		err = p.Check(t.Context())
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	if !strings.Contains(text, want) || want == "" && text != "" {
		t.Errorf("%s: %s\nwant %s", name, text, want)
	}
	for _, secret := range []string{"secret7", "sesame", "mongodb://"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s: %s is in the text: %s", name, secret, text)
		}
	}
	if took := time.Since(begun); took > time.Minute {
		t.Errorf("%s: it took %v", name, took)
	}
	return err
}

func TestMongo(t *testing.T) {
	t.Parallel()
	s := newServer(t, "sesame", nil)
	for _, tt := range []struct {
		name string
		cfg  mongo.Config
		want string
	}{
		{"a URI", mongo.Config{URI: "mongodb://probe:sesame@" + s.address}, ""},
		{"a password apart", mongo.Config{URI: "mongodb://probe:secret7@" + s.address, Password: "sesame"}, ""},
		{"a password apart, and none in the URI", mongo.Config{URI: "mongodb://probe@" + s.address, Password: "sesame"}, ""},
		{"a wrong password", mongo.Config{URI: "mongodb://probe:secret7@" + s.address}, "(AuthenticationFailed) Authentication failed."},
		{"a user that there is none of", mongo.Config{URI: "mongodb://other:sesame@" + s.address}, "(AuthenticationFailed) Authentication failed."},
		{"no user", mongo.Config{URI: "mongodb://" + s.address}, "Command ping requires authentication"},
		{"TLS where there is none", mongo.Config{URI: "mongodb://probe:sesame@" + s.address, TLS: &probes.TLS{}}, s.address + ": "},
	} {
		before := s.pings.Load()
		err := look(t, tt.name, open(t, tt.cfg), tt.want)
		if (err == nil) != (s.pings.Load() == before+1) {
			t.Errorf("%s: %v with %d pings", tt.name, err, s.pings.Load()-before)
		}
	}
}

func TestMongoFails(t *testing.T) {
	t.Parallel()
	s := newServer(t, "sesame", nil)
	front := realservers.NewFront(t, s.address)
	realservers.Lose(t, open(t, mongo.Config{URI: "mongodb://probe:sesame@" + front.Address, Timeout: 500 * time.Millisecond}), front)
	realservers.Put(t, open(t, mongo.Config{URI: "mongodb://probe:sesame@" + front.Address, Timeout: time.Second}), front, "sesame")
}

// A server that is started anew is healthy at once, whatever its old connections say.
func TestMongoRestarts(t *testing.T) {
	t.Parallel()
	s := newServer(t, "sesame", nil)
	front := realservers.NewFront(t, s.address)
	p := open(t, mongo.Config{URI: "mongodb://probe:sesame@" + front.Address})
	for range 3 {
		look(t, "it was started", p, "")
		front.Drop()
	}
}

func TestMongoRefuses(t *testing.T) {
	t.Parallel()
	s := newServer(t, "", nil)
	front := realservers.NewFront(t, s.address)
	front.Kill()
	begun := time.Now()
	err := look(t, "a server that is not there", open(t, mongo.Config{URI: "mongodb://" + front.Address}), "connect: connection refused")
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("it is no ECONNREFUSED: %#v", err)
	}
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	look(t, "two that are not", open(t, mongo.Config{URI: "mongodb://127.0.0.1:1," + front.Address + "/?replicaSet=rs"}), "127.0.0.1:1: ")
}

func TestMongoMembers(t *testing.T) {
	t.Parallel()
	s := newServer(t, "", nil, bson.E{Key: "setName", Value: "rs"}, bson.E{Key: "secondary", Value: true},
		bson.E{Key: "isWritablePrimary", Value: false}, bson.E{Key: "ismaster", Value: false})
	s.hello = append(s.hello, bson.E{Key: "hosts", Value: bson.A{s.address, "127.0.0.1:1"}}, bson.E{Key: "me", Value: s.address})
	look(t, "a secondary, and a primary is asked for", open(t, mongo.Config{URI: "mongodb://" + s.address + "/?replicaSet=rs", Timeout: time.Second}), "ReplicaSetNoPrimary")
	look(t, "one of two, which is a secondary, will do", open(t, mongo.Config{URI: "mongodb://127.0.0.1:1," + s.address + "/?replicaSet=rs&readPreference=nearest"}), "")
	look(t, "another replica set", open(t, mongo.Config{URI: "mongodb://" + s.address + "/?replicaSet=other", Timeout: time.Second}), "server selection")
}

func TestMongoTLS(t *testing.T) {
	t.Parallel()
	certificates := realservers.NewCertificates(t, 24*time.Hour)
	s := newServer(t, "sesame", certificates)
	for _, tt := range []struct {
		name string
		tls  *probes.TLS
		want string
	}{
		{"trusted", &probes.TLS{CAFile: certificates.CA}, ""},
		{"any", &probes.TLS{Insecure: true}, ""},
		{"not trusted", &probes.TLS{}, "x509: certificate signed by unknown authority"},
		{"another name", &probes.TLS{CAFile: certificates.CA, ServerName: "other.test"}, "x509: certificate is valid for db.test, not other.test"},
		{"no TLS where there is some", nil, s.address + ": "},
	} {
		look(t, tt.name, open(t, mongo.Config{URI: "mongodb://probe:sesame@" + s.address, TLS: tt.tls}), tt.want)
	}
}

func TestMongoHeedsItsContext(t *testing.T) {
	t.Parallel()
	front := realservers.NewFront(t, newServer(t, "", nil).address)
	p := open(t, mongo.Config{URI: "mongodb://" + front.Address})
	front.Hang()
	defer front.Go()
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("somebody wants no more of it")
	time.AfterFunc(50*time.Millisecond, func() { cancel(reason) })
	begun := time.Now()
	if err := p.Check(ctx); !errors.Is(err, reason) || time.Since(begun) > 20*time.Second {
		t.Errorf("%v after %v", err, time.Since(begun))
	}
}

func TestNonsense(t *testing.T) {
	const timeout = 300 * time.Millisecond
	realservers.Nonsense(t, timeout, func(address string) realservers.Probe {
		return open(t, mongo.Config{URI: "mongodb://" + address, Timeout: timeout})
	}, realservers.Answer{Name: "a message of 47 MiB", Once: "\x00\x00\xf0\x02", Over: strings.Repeat("\x01", 32<<10)})
}

// The DNS is asked by a look, and not by New.
func TestMongoSRV(t *testing.T) {
	t.Parallel()
	p := open(t, mongo.Config{URI: "mongodb+srv://probe:secret7@db.invalid/?srvMaxHosts=2", Timeout: 2 * time.Second})
	look(t, "a name that there is none of", p, " ") // whatever the DNS says here
	if p.Name() != "db.invalid" {
		t.Error(p.Name())
	}
}

func TestSilent(t *testing.T) {
	t.Parallel()
	realservers.Silent(t, func(address string) (*mongo.Probe, error) {
		return mongo.New(mongo.Config{URI: "mongodb://" + address})
	})
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		cfg  mongo.Config
		want string
	}{
		{mongo.Config{}, "mongo: uri: is neither mongodb://USER:PASSWORD@HOST:PORT/?OPTIONS nor mongodb+srv://USER:PASSWORD@HOST/?OPTIONS"},
		{mongo.Config{URI: "mongodb://me:ses@me@x"}, "mongo: uri: is neither mongodb://USER:PASSWORD@HOST:PORT/?OPTIONS nor mongodb+srv://USER:PASSWORD@HOST/?OPTIONS"},
		{mongo.Config{URI: "mongodb+srv://me:sesame@x:1"}, "mongo: uri: is neither mongodb://USER:PASSWORD@HOST:PORT/?OPTIONS nor mongodb+srv://USER:PASSWORD@HOST/?OPTIONS"},
		{mongo.Config{URI: "mongodb://x", Password: "sesame"}, "mongo: password: there is no user in uri that it belongs to"},
		{mongo.Config{URI: "mongodb+srv://x", Password: "sesame"}, "mongo: password: there is no user in uri that it belongs to"},
		{mongo.Config{URI: "mongodb://x", Timeout: -1}, "mongo: timeout: -1ns is less than 0"},
		{mongo.Config{URI: "mongodb://x", TLS: &probes.TLS{CAFile: "/no"}}, "mongo: ca_file: open /no: no such file or directory"},
	} {
		_, err := mongo.New(tt.cfg)
		var bad *probes.ConfigError
		if !errors.As(err, &bad) || err.Error() != tt.want {
			t.Errorf("%v\nwant %s", err, tt.want)
		}
	}
}
