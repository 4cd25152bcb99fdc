// Package kafka takes records to a topic of Kafka, and from there to where they are kept.
package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/supervisor-checks/supervisor-checks/sinks"
)

// Mechanisms are the ways to show a password.
var Mechanisms = []string{"plain", "scram-sha-256", "scram-sha-512"}

// Compressions are the ways to compress what is sent.
var Compressions = []string{"none", "gzip", "snappy", "lz4", "zstd"}

// Config says where a topic is.
type Config struct {
	// Brokers are some of the cluster's, each HOST:PORT. One is required.
	Brokers []string

	// Topic is required.
	Topic string

	// TLS, if not nil, is for brokers that are spoken to with TLS. A ServerName that is
	// not given is the broker's host.
	TLS *tls.Config

	// SASL, if not nil, says who we are.
	SASL *SASL

	// Compression is one of Compressions. "" means "none".
	Compression string

	// Format is what messages are. What it leaves out is not sent.
	Format sinks.Format

	// CreateTopic says that a topic that is not there is created, with so many
	// partitions, and so many copies of each. 0 means what the brokers have for that.
	CreateTopic bool
	Partitions  int
	Replication int
}

// SASL says who we are. All fields are required.
type SASL struct {
	Mechanism          string // one of Mechanisms
	Username, Password string
}

// ConfigError says what is wrong with a field of a Config.
type ConfigError struct {
	Field string // in lower case: "sasl.mechanism"
	Err   error
}

func (e *ConfigError) Error() string { return fmt.Sprintf("kafka: %s: %v", e.Field, e.Err) }

func (e *ConfigError) Unwrap() error { return e.Err }

func wrong(field, format string, args ...any) error {
	return &ConfigError{field, fmt.Errorf(format, args...)}
}

// Limits of what is waited for, and of what is in memory.
const (
	dialTimeout = 5 * time.Second
	tries       = 6 // of a record that brokers do not take for now, in some seconds
	maxBuffered = 32 << 20
)

// options are those of a client, whose last word is kept in said.
func (c *Config) options(said *said) ([]kgo.Opt, error) {
	if len(c.Brokers) == 0 {
		return nil, wrong("brokers", "are missing: name one or more, each as HOST:PORT")
	}
	for i, b := range c.Brokers {
		if host, port, err := net.SplitHostPort(b); err != nil || host == "" || port == "" {
			return nil, wrong(fmt.Sprintf("brokers[%d]", i), "%q is not HOST:PORT", b)
		}
	}
	if c.Topic == "" {
		return nil, wrong("topic", "is missing")
	}
	if c.Partitions < 0 || c.Replication < 0 || int(int32(c.Partitions)) != c.Partitions || int(int16(c.Replication)) != c.Replication {
		return nil, wrong("create_topic", "%d partitions with %d copies of each is not possible", c.Partitions, c.Replication)
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...), kgo.ClientID("supervisor-checks"), kgo.WithLogger(said), kgo.DisableClientMetrics(),
		kgo.DialTimeout(dialTimeout), kgo.MetadataMinAge(500 * time.Millisecond), kgo.MetadataMaxAge(time.Minute),
		kgo.RetryBackoffFn(backoff), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordRetries(tries), kgo.MaxBufferedBytes(maxBuffered),
	}
	if c.TLS != nil {
		opts = append(opts, kgo.DialTLSConfig(c.TLS))
	}
	switch c.Compression {
	case "", "none":
		opts = append(opts, kgo.ProducerBatchCompression(kgo.NoCompression()))
	case "gzip":
		opts = append(opts, kgo.ProducerBatchCompression(kgo.GzipCompression()))
	case "snappy":
		opts = append(opts, kgo.ProducerBatchCompression(kgo.SnappyCompression()))
	case "lz4":
		opts = append(opts, kgo.ProducerBatchCompression(kgo.Lz4Compression()))
	case "zstd":
		opts = append(opts, kgo.ProducerBatchCompression(kgo.ZstdCompression()))
	default:
		return nil, wrong("compression", "%q is none of %v", c.Compression, Compressions)
	}
	if s := c.SASL; s != nil {
		switch {
		case !slices.Contains(Mechanisms, s.Mechanism):
			return nil, wrong("sasl.mechanism", "%q is none of %v", s.Mechanism, Mechanisms)
		case s.Username == "":
			return nil, wrong("sasl.username", "is missing")
		case s.Password == "":
			return nil, wrong("sasl.password", "is missing")
		}
		auth := scram.Auth{User: s.Username, Pass: s.Password}
		switch s.Mechanism {
		case "plain":
			opts = append(opts, kgo.SASL(plain.Auth{User: s.Username, Pass: s.Password}.AsMechanism()))
		case "scram-sha-256":
			opts = append(opts, kgo.SASL(auth.AsSha256Mechanism()))
		case "scram-sha-512":
			opts = append(opts, kgo.SASL(auth.AsSha512Mechanism()))
		}
	}
	if err := kgo.ValidateOpts(opts...); err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return opts, nil
}

// backoff is how long a client waits after so many failures, from 0.1 s to 2 s, more or
// less.
func backoff(failures int) time.Duration {
	d := min(100*time.Millisecond<<min(failures-1, 5), 2*time.Second)
	return d*3/4 + rand.N(d/2)
}

// create creates a topic if it is not there, and who we are may do so: if not, somebody
// else may have.
func (c *Config) create(ctx context.Context, client *kgo.Client, topic string, partitions int) error {
	orDefault := func(n int) int {
		if n == 0 {
			return -1
		}
		return n
	}
	_, err := kadm.NewClient(client).CreateTopic(ctx, int32(orDefault(partitions)), int16(orDefault(c.Replication)), nil, topic)
	if err == nil || errors.Is(err, kerr.TopicAlreadyExists) || errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.ClusterAuthorizationFailed) {
		return nil
	}
	return fmt.Errorf("create topic %q: %w", topic, err)
}

// said remembers the last error that a client has told of, since what it returns after
// trying again and again is only that there is no more time.
type said struct {
	mu  sync.Mutex
	err error
}

// Level is that of what may be an error.
func (*said) Level() kgo.LogLevel { return kgo.LogLevelInfo }

// Log remembers an error.
func (s *said) Log(_ kgo.LogLevel, _ string, keyvals ...any) {
	for i := 0; i+1 < len(keyvals); i += 2 {
		if err, is := keyvals[i+1].(error); is && keyvals[i] == "err" && !late(err) {
			s.mu.Lock()
			s.err = err
			s.mu.Unlock()
		}
	}
}

// forget begins anew.
func (s *said) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = nil
}

// because returns err, or what was said before where err is only that time is over, with
// what there is to be done about it. topic is what it is about.
func (s *said) because(err error, topic string) error {
	if late(err) {
		s.mu.Lock()
		last := s.err
		s.mu.Unlock()
		if last == nil {
			return fmt.Errorf("no broker has answered in time: %w", err)
		}
		err = last
	}
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
		return fmt.Errorf("there is no topic %q: create it, or set create_topic: %w", topic, err)
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		return fmt.Errorf("the broker does not accept this username and password: %w", err)
	case errors.Is(err, kerr.UnsupportedSaslMechanism):
		return fmt.Errorf("the broker has no such sasl mechanism: %w", err)
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return fmt.Errorf("this user may not use the topic %q: %w", topic, err)
	}
	return err
}

// late reports whether an error is that there was no more time.
func late(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed)
}
