package kafka_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/supervisor-checks/supervisor-checks/internal/realservers"
	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/record/recordtest"
	"github.com/supervisor-checks/supervisor-checks/sinks"
	"github.com/supervisor-checks/supervisor-checks/sinks/kafka"
)

// everything is a record of each kind, with what there may be.
func everything() (all []record.Record) {
	matches := false
	for _, r := range []record.Record{
		{Kind: record.CheckResult, Host: "h", Process: "web:1", Check: "memory", Status: "unhealthy", Reason: "größer <als>\x01", Seconds: 0.25, Metrics: map[string]float64{"rss_bytes": 1e9}, PID: 7, Pending: true},
		{Kind: record.Transition, Host: "h", Process: "web:1", Check: "memory", Status: "unhealthy", Before: "healthy", Count: "2 of 3"},
		{Kind: record.Restart, Host: "h", Process: "web:1", Action: record.Stopping, Evidence: &record.Evidence{Parts: map[string]string{"stderr": "x\ny"}, Folder: "/e"}, Until: time.Unix(5, 0).UTC()},
		{Kind: record.Group, Host: "h", Group: "web", Action: record.Panicked, Why: "3 of 4"},
		{Kind: record.ProbeResult, Host: "h", Probe: "site", Status: "unhealthy", URL: "https://x:443/", StatusCode: 503, Regex: "ok", MatchesRegex: &matches},
		{Kind: record.Listener, Host: "h", Listener: "checks", Action: record.Dropped, Sink: "s", Dropped: 3},
	} {
		r.Stamp()
		r.Extra = map[string]json.RawMessage{"new": json.RawMessage(`{"a":[1,null]}`)}
		all = append(all, r)
	}
	return recordtest.Must(all...)
}

func TestWriterRoundTrip(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	for _, compression := range append([]string{""}, kafka.Compressions...) {
		t.Run(compression, func(t *testing.T) {
			t.Parallel()
			c := &cluster{t: t, brokers: c.brokers, fake: c.fake}
			cfg := c.config(c.topic(1))
			cfg.Compression = compression
			want := everything()
			if err := newWriter(t, cfg).WriteBatch(t.Context(), want); err != nil {
				t.Fatal(err)
			}
			keys := []string{"h/web:1", "h/web:1", "h/web:1", "h/web", "h/site", "h/checks"}
			for i, m := range c.read(cfg.Topic, len(want)) {
				var got record.Record
				if err := json.Unmarshal(m.Value, &got); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want[i], got); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
				headers := fmt.Sprintf("%s", m.Headers)
				if wantHeaders := fmt.Sprintf("[{type %s} {version 1}]", want[i].Kind); headers != wantHeaders || string(m.Key) != keys[i] {
					t.Errorf("headers %s, key %s; want %s, %s", headers, m.Key, wantHeaders, keys[i])
				}
				if !m.Timestamp.Equal(want[i].Time.Truncate(time.Millisecond)) {
					t.Errorf("time %v, want %v", m.Timestamp, want[i].Time)
				}
			}
		})
	}
}

func TestWriterKeepsTheOrderOfAProcess(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	topic := c.topic(4)
	w := newWriter(t, c.config(topic))
	all := results(3000)
	for batch := range slices.Chunk(all, 70) {
		if err := w.WriteBatch(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	checkOrder(t, c.read(topic, len(all)), false)
}

// checkOrder fails where records of a process are not in the order of their pids, or are
// in several partitions; they may be there again.
func checkOrder(t *testing.T, all []*kgo.Record, again bool) {
	t.Helper()
	highest := make(map[string]int)
	partition := make(map[string]int32)
	seen := make(map[string]bool)
	for _, m := range all {
		var r record.Record
		if err := json.Unmarshal(m.Value, &r); err != nil {
			t.Fatal(err)
		}
		if p, is := partition[r.Process]; is && p != m.Partition {
			t.Fatalf("%s is in partitions %d and %d", r.Process, p, m.Partition)
		}
		partition[r.Process] = m.Partition
		if seen[r.ID] && again {
			continue
		}
		seen[r.ID] = true
		if last, is := highest[r.Process]; is && r.PID <= last {
			t.Fatalf("%s: %d after %d", r.Process, r.PID, last)
		}
		highest[r.Process] = r.PID
	}
}

func TestWriterWithoutABroker(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	w := newWriter(t, kafka.Config{Brokers: []string{l.Addr().String()}, Topic: "x"})
	for limit := time.Second; ; limit *= 4 { // a busy machine may take longer to dial
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		begun := time.Now()
		err := w.WriteBatch(ctx, results(3))
		cancel()
		if took := time.Since(begun); took > limit+20*time.Second {
			t.Errorf("it took %v", took)
		}
		if err != nil && strings.Contains(err.Error(), "connection refused") {
			return
		}
		if err == nil || limit > 10*time.Second {
			t.Fatalf("error %v, want that the connection is refused", err)
		}
	}
}

func TestWriterWithoutATopic(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	w := newWriter(t, c.config(name(t)))
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	if err := w.WriteBatch(ctx, results(1)); err == nil || !strings.Contains(err.Error(), "create it, or set create_topic") {
		t.Errorf("error %v, want what to do", err)
	}
}

func TestWriterCreatesTheTopic(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	cfg := c.config(name(t))
	cfg.CreateTopic, cfg.Partitions, cfg.Replication = true, 3, 1
	for range 2 { // the second finds it
		if err := newWriter(t, cfg).WriteBatch(t.Context(), results(10)); err != nil {
			t.Fatal(err)
		}
	}
	topics, err := c.admin().ListTopics(t.Context(), cfg.Topic)
	if err != nil || len(topics[cfg.Topic].Partitions) != 3 {
		t.Errorf("%v, error %v, want 3 partitions", topics, err)
	}
	cfg.Topic, cfg.Replication = name(t), 7
	if err := newWriter(t, cfg).WriteBatch(t.Context(), results(1)); !errors.Is(err, kerr.InvalidReplicationFactor) {
		t.Errorf("more copies than brokers: error %v", err)
	}
}

func TestWriterRejects(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	topic := c.topic(1, "max.message.bytes=4000")
	w := newWriter(t, c.config(topic))
	batch := results(100) // which are together too long, too
	batch[3].Reason = strings.Repeat("x", 10_000)
	batch[50].Reason = strings.Repeat("x", 2_000_000)
	batch[70].Metrics = map[string]float64{"x": math.NaN()}
	err := w.WriteBatch(t.Context(), batch)
	var rejected *sinks.RejectedError
	var got []int
	if errors.As(err, &rejected) {
		for _, r := range rejected.Records {
			got = append(got, r.Index)
		}
	}
	if want := []int{3, 50, 70}; !slices.Equal(got, want) {
		t.Fatalf("rejected %v, want %v; error %v", got, want, err)
	}
	there := make(map[string]bool)
	for _, m := range c.read(topic, 97) {
		var r record.Record
		json.Unmarshal(m.Value, &r)
		there[r.ID] = true
	}
	if len(there) != 97 {
		t.Errorf("%d of the others are there", len(there))
	}
}

func TestWriterShowsWhoItIs(t *testing.T) {
	t.Parallel()
	for _, mechanism := range kafka.Mechanisms {
		t.Run(mechanism, func(t *testing.T) {
			t.Parallel()
			c, brokers := newCluster(t, kfake.EnableSASL(), kfake.Superuser(strings.ToUpper(mechanism), "me", "sesame")).with("sasl")
			cfg := kafka.Config{Brokers: brokers, Topic: name(t)}
			cfg.CreateTopic = true
			for _, tt := range []struct {
				name, password string
				wrong          string
			}{{"right password", "sesame", ""}, {"wrong password", "hidden", "does not accept this username and password"}, {"none", "", ""}} {
				cfg.SASL = &kafka.SASL{Mechanism: mechanism, Username: "me", Password: tt.password}
				if tt.password == "" {
					cfg.SASL = nil
				}
				ctx, cancel := context.WithTimeout(t.Context(), within)
				if c.fake != nil && tt.wrong != "" { // which would only end the connection
					defer c.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.SASLAuthenticate}, TopLevel: true, Err: kerr.SaslAuthenticationFailed, Count: -1}).Remove()
				}
				err := newWriter(t, cfg).WriteBatch(ctx, results(1))
				cancel()
				if (err == nil) != (tt.name == "right password") || err != nil && (!strings.Contains(err.Error(), tt.wrong) || strings.Contains(err.Error(), "hidden") || strings.Contains(err.Error(), "deadline")) {
					t.Errorf("%s: error %v, want %s", tt.name, err, tt.wrong)
				}
			}
		})
	}
}

func TestWriterUsesTLS(t *testing.T) {
	t.Parallel()
	certificates := realservers.NewCertificates(t, time.Hour)
	pair, err := tls.LoadX509KeyPair(certificates.Cert, certificates.Key)
	if err != nil {
		t.Fatal(err)
	}
	c, brokers := newCluster(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}})).with("tls")
	if c.fake == nil {
		certificates = c.certificates
	}
	topic := name(t)
	for _, tt := range []struct {
		name string
		tls  *tls.Config
		err  string
	}{
		{"trusted", &tls.Config{RootCAs: pool(t, certificates.CA)}, ""},
		{"not trusted", &tls.Config{}, "certificate signed by unknown authority"},
		{"without TLS", nil, "TLS"},
	} {
		cfg := kafka.Config{Brokers: brokers, Topic: topic, CreateTopic: true, TLS: tt.tls}
		ctx, cancel := context.WithTimeout(t.Context(), within)
		err := newWriter(t, cfg).WriteBatch(ctx, results(1))
		cancel()
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: error %v, want %s", tt.name, err, tt.err)
		}
	}
}

// TestWriterEndsWithItsTime has a broker that hangs: what was begun is not sent any more,
// but for what the broker has already.
func TestWriterEndsWithItsTime(t *testing.T) {
	t.Parallel()
	c := faultsOnly(t, kfake.SeedTopics(2, "x"))
	release := make(chan struct{})
	c.fake.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.fake.SleepControl(func() { <-release })
		return nil, nil, false
	})
	w := newWriter(t, c.config("x"))
	all := results(6000)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	begun := time.Now()
	err := w.WriteBatch(ctx, all[:4000])
	if err == nil {
		t.Fatal("no error")
	}
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
	close(release)
	for batch := range slices.Chunk(all, 2000) {
		if err := w.WriteBatch(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	total := c.fake.PartitionInfo("x", 0).HighWatermark + c.fake.PartitionInfo("x", 1).HighWatermark
	checkOrder(t, c.read("x", int(total)), true)
	if total > 6000+4000 {
		t.Errorf("%d messages", total)
	}
}

func TestWriterSaysWhatTheBrokerSaid(t *testing.T) {
	t.Parallel()
	c := faultsOnly(t, kfake.SeedTopics(1, "x"))
	fault := c.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
	w := newWriter(t, c.config("x"))
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	if err := w.WriteBatch(ctx, results(10)); !errors.Is(err, kerr.NotEnoughReplicas) {
		t.Errorf("error %v, want %v", err, kerr.NotEnoughReplicas)
	}
	fault.Remove()
	if err := w.WriteBatch(ctx, results(10)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	c.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.TopicAuthorizationFailed})
	if err := w.WriteBatch(ctx, results(10)); err == nil || !strings.Contains(err.Error(), "this user may not use the topic") {
		t.Errorf("not let in: %v", err)
	}
}

// TestWriterFollowsTheLeader moves partitions while they are written to.
func TestWriterFollowsTheLeader(t *testing.T) {
	t.Parallel()
	c := faultsOnly(t, kfake.NumBrokers(3), kfake.SeedTopics(3, "x"))
	w := newWriter(t, c.config("x"))
	all := results(4000)
	i := 0
	for batch := range slices.Chunk(all, 200) {
		for p := range int32(3) {
			if err := c.fake.MoveTopicPartition("x", p, int32(i+int(p))%3); err != nil {
				t.Fatal(err)
			}
		}
		i++
		if err := w.WriteBatch(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	checkOrder(t, c.read("x", len(all)), false)
}

// TestWriterOutlivesTheBroker ends the broker, and starts it again where it was, while a
// Queue writes.
func TestWriterOutlivesTheBroker(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := faultsOnly(t, kfake.SeedTopics(2, "x"), kfake.DataDir(dir), kfake.SyncWrites())
	_, port, _ := net.SplitHostPort(c.brokers[0])
	var number int
	fmt.Sscan(port, &number)
	q, err := sinks.NewQueue(sinks.QueueConfig{Name: "k", To: newWriter(t, c.config("x")), Batch: 50, Linger: time.Millisecond, Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	all := results(1500)
	for i, r := range all {
		q.Write(t.Context(), r)
		switch i {
		case 500:
			eventually(t, "some are written", func() bool { return q.Stats().Written > 100 })
			c.fake.Close()
		case 1000:
			eventually(t, "it is noticed", func() bool { return q.Stats().Waiting > 400 })
			eventually(t, "it is started again", func() bool {
				again, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(number), kfake.DataDir(dir))
				if err != nil {
					return false
				}
				t.Cleanup(again.Close)
				c.fake = again
				return true
			})
		}
	}
	eventually(t, "all are written", func() bool { return q.Stats().Written == uint64(len(all)) })
	total := c.fake.PartitionInfo("x", 0).HighWatermark + c.fake.PartitionInfo("x", 1).HighWatermark
	messages := c.read("x", int(total))
	checkOrder(t, messages, true)
	there := make(map[string]bool)
	for _, m := range messages {
		var r record.Record
		json.Unmarshal(m.Value, &r)
		there[r.ID] = true
	}
	if len(there) != len(all) {
		t.Errorf("%d are there, want %d", len(there), len(all))
	}
}

func TestConfigIsRefused(t *testing.T) {
	t.Parallel()
	good := kafka.Config{Brokers: []string{"x:1"}, Topic: "t"}
	for _, tt := range []struct {
		change func(*kafka.Config)
		want   string
	}{
		{func(*kafka.Config) {}, ""},
		{func(c *kafka.Config) { c.Brokers = nil }, "kafka: brokers: are missing: name one or more, each as HOST:PORT"},
		{func(c *kafka.Config) { c.Brokers = []string{"x:1", "y"} }, `kafka: brokers[1]: "y" is not HOST:PORT`},
		{func(c *kafka.Config) { c.Topic = "" }, "kafka: topic: is missing"},
		{func(c *kafka.Config) { c.Compression = "zip" }, `kafka: compression: "zip" is none of [none gzip snappy lz4 zstd]`},
		{func(c *kafka.Config) { c.Replication = -1 }, "kafka: create_topic: 0 partitions with -1 copies of each is not possible"},
		{func(c *kafka.Config) { c.SASL = &kafka.SASL{Mechanism: "x", Username: "u", Password: "p"} }, `kafka: sasl.mechanism: "x" is none of [plain scram-sha-256 scram-sha-512]`},
		{func(c *kafka.Config) { c.SASL = &kafka.SASL{Mechanism: "plain", Password: "p"} }, "kafka: sasl.username: is missing"},
		{func(c *kafka.Config) { c.SASL = &kafka.SASL{Mechanism: "plain", Username: "u"} }, "kafka: sasl.password: is missing"},
	} {
		cfg := good
		tt.change(&cfg)
		got := ""
		w, err := kafka.New(cfg)
		if err != nil {
			got = err.Error()
		} else {
			w.Close()
		}
		if got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
		_, err = kafka.NewConsumer(kafka.ConsumerConfig{Config: cfg, To: new(keeper)})
		if (err == nil) != (tt.want == "") || err != nil && err.Error() != tt.want {
			t.Errorf("of a consumer: got %v, want %s", err, tt.want)
		}
	}
}

// TestBrokerIsKilled kills one of three real brokers while records go through them.
func TestBrokerIsKilled(t *testing.T) {
	t.Parallel()
	real := realservers.Kafka(t, 3)
	c := &cluster{t: t, brokers: real.Brokers}
	topic := c.topic(6)
	q, err := sinks.NewQueue(sinks.QueueConfig{Name: "k", To: newWriter(t, c.config(topic)), Linger: time.Millisecond, Batch: 50})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	kept := new(keeper)
	c.consume(kafka.ConsumerConfig{Config: c.config(topic), Group: name(t), To: kept})
	all := results(6000)
	for i, r := range all {
		if i == 2000 {
			eventually(t, "some are read", func() bool { return len(kept.ids()) > 0 })
			real.Kill(1)
		}
		q.Write(t.Context(), r)
	}
	eventually(t, "all are written", func() bool { return q.Stats().Written == uint64(len(all)) })
	eventually(t, "all are read", func() bool { return slices.Equal(kept.ids(), ids(all)) })
	highest := make(map[string]int)
	seen := make(map[string]bool)
	for _, r := range kept.order {
		if seen[r.ID] {
			continue
		}
		if seen[r.ID] = true; r.PID < highest[r.Process] {
			t.Fatalf("%s: %d after %d", r.Process, r.PID, highest[r.Process])
		}
		highest[r.Process] = r.PID
	}
}
