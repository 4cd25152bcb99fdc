package kafka_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/supervisor-checks/supervisor-checks/internal/realservers"
	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/record/recordtest"
	"github.com/supervisor-checks/supervisor-checks/sinks"
	"github.com/supervisor-checks/supervisor-checks/sinks/kafka"
)

// within is how long a test waits for what must come.
const within = 60 * time.Second

// cluster is a Kafka for a test.
type cluster struct {
	t       testing.TB
	brokers []string
	fake    *kfake.Cluster // nil for a real one
	real    *realservers.KafkaCluster

	certificates *realservers.Certificates
}

// newCluster is the Kafka of $KAFKA_BROKERS, or the one that all tests share when there is
// what a real one needs, or a fake one.
func newCluster(t testing.TB, opts ...kfake.Opt) *cluster {
	t.Helper()
	if list := os.Getenv("KAFKA_BROKERS"); list != "" {
		return &cluster{t: t, brokers: strings.Split(list, ",")}
	}
	if real := shared(); real != nil {
		return &cluster{t: t, brokers: real.Brokers, real: real}
	}
	return fake(t, opts...)
}

// with returns the brokers for those who say who they are, "sasl", or use TLS, "tls".
func (c *cluster) with(what string) (*cluster, []string) {
	c.t.Helper()
	switch {
	case c.fake != nil:
		return c, c.brokers
	case c.real == nil:
		c.t.Skip("NOT TESTED with $KAFKA_BROKERS, whose users and certificates are not known")
	case what == "sasl":
		return c, c.real.SASL
	}
	c.certificates = c.real.Certificates
	return c, c.real.TLS
}

// fake is a fake Kafka, for what a real one cannot do at will.
func fake(t testing.TB, opts ...kfake.Opt) *cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(time.Second)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &cluster{t: t, brokers: c.ListenAddrs(), fake: c}
}

// faultsOnly is a fake Kafka. With a real one the test is left out.
func faultsOnly(t testing.TB, opts ...kfake.Opt) *cluster {
	t.Helper()
	if os.Getenv("KAFKA_BROKERS") != "" || shared() != nil {
		t.Skip("NOT TESTED with a real Kafka: what goes wrong here only a fake one does at will")
	}
	return fake(t, opts...)
}

// name is one that nobody else has.
func name(t testing.TB) string {
	return strings.NewReplacer("/", ".", "#", ".").Replace(t.Name()) + "-" + rand.Text()[:8]
}

// topic creates one.
func (c *cluster) topic(partitions int, configs ...string) string {
	c.t.Helper()
	topic := name(c.t)
	c.create(topic, partitions, configs...)
	return topic
}

func (c *cluster) create(topic string, partitions int, configs ...string) {
	c.t.Helper()
	settings := make(map[string]*string)
	for _, one := range configs {
		key, value, _ := strings.Cut(one, "=")
		settings[key] = &value
	}
	admin := c.admin()
	if _, err := admin.CreateTopic(c.t.Context(), int32(partitions), -1, settings, topic); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { admin.DeleteTopics(context.Background(), topic) })
}

// admin is for questions, until the end of the test.
func (c *cluster) admin() *kadm.Client {
	client, err := kgo.NewClient(kgo.SeedBrokers(c.brokers...))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(client.Close)
	return kadm.NewClient(client)
}

// committed is where a group is in a topic, in all of its partitions together.
func (c *cluster) committed(group, topic string) (sum int64) {
	offsets, err := c.admin().FetchOffsets(c.t.Context(), group)
	if err != nil {
		return 0
	}
	for _, p := range offsets[topic] {
		sum += max(p.At, 0)
	}
	return sum
}

// config is that of a topic.
func (c *cluster) config(topic string) kafka.Config {
	return kafka.Config{Brokers: c.brokers, Topic: topic}
}

// read returns so many messages of a topic, or fails, from the beginning.
func (c *cluster) read(topic string, count int) (all []*kgo.Record) {
	c.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.brokers...), kgo.ConsumeTopics(topic))
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(c.t.Context(), within)
	defer cancel()
	for len(all) < count {
		all = append(all, client.PollFetches(ctx).Records()...)
		if ctx.Err() != nil {
			c.t.Fatalf("%d messages in %s, want %d", len(all), topic, count)
		}
	}
	return all
}

// produce sends records.
func (c *cluster) produce(topic string, batch []record.Record) {
	c.t.Helper()
	if err := newWriter(c.t, c.config(topic)).WriteBatch(c.t.Context(), batch); err != nil {
		c.t.Fatal(err)
	}
}

// raw sends messages.
func (c *cluster) raw(topic string, values ...string) {
	c.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.brokers...), kgo.DefaultProduceTopic(topic))
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	for _, v := range values {
		if err := client.ProduceSync(c.t.Context(), &kgo.Record{Key: []byte("raw"), Value: []byte(v)}).FirstErr(); err != nil {
			c.t.Fatal(err)
		}
	}
}

func newWriter(t testing.TB, cfg kafka.Config) *kafka.Writer {
	t.Helper()
	w, err := kafka.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// results are so many results of checks, of ten processes.
func results(count int) (all []record.Record) {
	for i := range count {
		r := record.Record{Kind: record.CheckResult, Host: "h", Process: fmt.Sprintf("web:%d", i%10), Check: "http", Status: "healthy", PID: i}
		r.Stamp()
		all = append(all, r)
	}
	return recordtest.Must(all...)
}

func ids(all []record.Record) (ids []string) {
	for _, r := range all {
		ids = append(ids, r.ID)
	}
	slices.Sort(ids)
	return ids
}

// keeper is a sinks.Writer that keeps records by their id.
type keeper struct {
	before func(context.Context, []record.Record) error // if not nil

	mu      sync.Mutex
	records map[string]record.Record
	order   []record.Record
}

func (k *keeper) WriteBatch(ctx context.Context, batch []record.Record) error {
	var err error
	if k.before != nil {
		err = k.before(ctx, batch)
	}
	var rejected *sinks.RejectedError
	if r, is := err.(*sinks.RejectedError); is {
		rejected = r
	} else if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.records == nil {
		k.records = make(map[string]record.Record)
	}
	for i, r := range batch {
		if rejected != nil && slices.ContainsFunc(rejected.Records, func(r sinks.Rejected) bool { return r.Index == i }) {
			continue
		}
		k.records[r.ID] = r
		k.order = append(k.order, r)
	}
	return err
}

func (k *keeper) Close() error { return nil }

// ids are those that are kept.
func (k *keeper) ids() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Sorted(maps.Keys(k.records))
}

// consumer runs one until the end of the test, or stop.
type consumer struct {
	*kafka.Consumer
	log  *logged
	stop func() // and wait
}

func (c *cluster) consume(cfg kafka.ConsumerConfig) *consumer {
	c.t.Helper()
	if cfg.Brokers == nil {
		cfg.Brokers = c.brokers
	}
	if cfg.Session == 0 {
		cfg.Session = 6 * time.Second
	}
	log := new(logged)
	cfg.Log = slog.New(slog.NewTextHandler(log, nil))
	made, err := kafka.NewConsumer(cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := made.Run(ctx); err != nil {
			c.t.Errorf("Run: %v", err)
		}
	}()
	stop := func() {
		cancel()
		select {
		case <-done:
		case <-time.After(within):
			c.t.Error("the consumer does not end")
		}
	}
	c.t.Cleanup(stop)
	return &consumer{made, log, stop}
}

// logged is a log.
type logged struct {
	mu    sync.Mutex
	lines []string
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(p))
	return len(p), nil
}

// has are the lines with a text.
func (l *logged) has(text string) (lines []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line, text) {
			lines = append(lines, line)
		}
	}
	return lines
}

// eventually waits until something is so.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}
