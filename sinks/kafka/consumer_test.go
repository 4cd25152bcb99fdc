package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/sinks"
	"github.com/supervisor-checks/supervisor-checks/sinks/kafka"
)

func TestConsumerWritesAndCommits(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	topic, group := c.topic(3), name(t)
	want := append(everything(), results(2000)...)
	c.produce(topic, want)
	c.produce(topic, want[:100]) // again
	kept := new(keeper)
	consumer := c.consume(kafka.ConsumerConfig{Config: c.config(topic), Group: group, To: kept, Batch: 100})
	eventually(t, "all are written", func() bool { return consumer.Stats().Written == uint64(len(want)+100) })
	if diff := cmp.Diff(ids(want), kept.ids()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, r := range everything() {
		if !slices.ContainsFunc(kept.order, func(k record.Record) bool {
			k.ID, k.Time = r.ID, r.Time
			return cmp.Equal(k, r)
		}) {
			t.Errorf("a %s is not what it was", r.Kind)
		}
	}
	lag := func(s kafka.Stats) (lag, committed int64) {
		for _, p := range s.Partitions {
			lag += p.Lag()
			committed += p.Committed
		}
		return lag, committed
	}
	eventually(t, "all are committed", func() bool {
		s := consumer.Stats()
		left, committed := lag(s)
		return left == 0 && committed == int64(len(want)+100) && len(s.Partitions) == 3
	})
	if got := c.committed(group, topic); got != int64(len(want)+100) {
		t.Errorf("committed %d, want %d", got, len(want)+100)
	}
	if s := consumer.Stats(); s.Consumed != s.Written || s.DeadLetters != 0 {
		t.Errorf("%+v", s)
	}
	begun := time.Now()
	consumer.stop()
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("it took %v to end", took)
	}
	if lines := consumer.log.has(""); lines != nil {
		t.Errorf("it was not quiet: %q", lines)
	}

	// Another goes on where it has ended, and knows how far behind it is.
	c.produce(topic, results(50))
	more := &keeper{before: func(context.Context, []record.Record) error { return errors.New("not now") }}
	consumer = c.consume(kafka.ConsumerConfig{Config: c.config(topic), Group: group, To: more})
	eventually(t, "it is behind", func() bool {
		left, committed := lag(consumer.Stats())
		return left == 50 && committed == int64(len(want)+100)
	})
}

func TestConsumerBuriesPoison(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	cfg := c.config(c.topic(2))
	cfg.CreateTopic, cfg.Replication = true, 1
	const each = 1000
	var want []record.Record
	w := newWriter(t, cfg)
	version := func(r record.Record) string { return fmt.Sprintf(`{"id":%q,"version":99,"kind":%q}`, r.ID, r.Kind) }
	for n, one := range everything() {
		var batch []record.Record
		for i := range each {
			r := one
			r.Stamp()
			r.PID = i
			if i == each/2 {
				r.Reason = "reject me"
			} else {
				want = append(want, r)
			}
			batch = append(batch, r)
		}
		if err := w.WriteBatch(t.Context(), batch[:each/3]); err != nil {
			t.Fatal(err)
		}
		c.raw(cfg.Topic, []string{"no JSON", version(one), `{}`, "", `{"id":7,"kind":"x"}`, "[]"}[n])
		if err := w.WriteBatch(t.Context(), batch[each/3:]); err != nil {
			t.Fatal(err)
		}
	}
	kept := &keeper{before: func(_ context.Context, batch []record.Record) error {
		var rejected sinks.RejectedError
		for i, r := range batch {
			if r.Reason == "reject me" {
				rejected.Records = append(rejected.Records, sinks.Rejected{Index: i, Err: errors.New("it says so itself")})
			}
		}
		if rejected.Records != nil {
			return &rejected
		}
		return nil
	}}
	consumer := c.consume(kafka.ConsumerConfig{Config: cfg, Group: name(t), To: kept})
	eventually(t, "all are somewhere", func() bool {
		s := consumer.Stats()
		return s.Written == uint64(len(want)) && s.DeadLetters == 12
	})
	if diff := cmp.Diff(ids(want), kept.ids()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	reasons := make(map[string]int)
	for _, m := range c.read(cfg.Topic+kafka.DeadLettersSuffix, 12) {
		headers := make(map[string]string)
		for _, h := range m.Headers {
			headers[h.Key] = string(h.Value)
		}
		if headers[kafka.TopicHeader] != cfg.Topic || headers[kafka.PartitionHeader] == "" || headers[kafka.OffsetHeader] == "" || headers[kafka.ReasonHeader] == "" {
			t.Errorf("headers %v", headers)
		}
		if strings.Contains(string(m.Value), "reject me") && (headers[kafka.TypeHeader] == "" || headers[kafka.ReasonHeader] != "it says so itself") {
			t.Errorf("headers %v of one that was rejected", headers)
		}
		reasons[headers[kafka.ReasonHeader]]++
	}
	if reasons["it says so itself"] != 6 || reasons["record of version 99: this program knows version 1"] != 1 {
		t.Errorf("reasons %v", reasons)
	}
	if len(consumer.log.has("will never be written")) == 0 {
		t.Error("it was not told")
	}
}

func TestConsumerWaitsForThePlaceOfDeadLetters(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	topic, group := c.topic(1), name(t)
	c.raw(topic, "no JSON")
	c.raw(topic, strings.Repeat("x", 990_000)) // which has no room for headers
	consumer := c.consume(kafka.ConsumerConfig{Config: c.config(topic), Group: group, To: new(keeper)})
	eventually(t, "it is told", func() bool {
		return consumer.log.has("create it, or set create_topic") != nil
	})
	if got := c.committed(group, topic); got != 0 {
		t.Errorf("committed %d", got)
	}
	c.create(topic+kafka.DeadLettersSuffix, 1, "max.message.bytes=500000")
	eventually(t, "it goes on", func() bool { return consumer.Stats().DeadLetters == 2 })
	for i, m := range c.read(topic+kafka.DeadLettersSuffix, 2) {
		if cut := fmt.Sprint(m.Headers[len(m.Headers)-1].Key == kafka.CutHeader, len(m.Value)); cut != []string{"false 7", "true 0"}[i] {
			t.Errorf("%d: %s", i, cut)
		}
	}
}

func TestConsumerWaitsForTheWriter(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	topic, group := c.topic(2), name(t)
	want := results(300)
	c.produce(topic, want)
	var works atomic.Bool
	var tries atomic.Int32
	kept := &keeper{before: func(context.Context, []record.Record) error {
		if !works.Load() {
			return fmt.Errorf("no database, try %d", tries.Add(1))
		}
		return nil
	}}
	consumer := c.consume(kafka.ConsumerConfig{Config: c.config(topic), Group: group, To: kept})
	eventually(t, "it tries again", func() bool { return tries.Load() > 2 })
	begun := time.Now()
	consumer.stop()
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("it took %v to end", took)
	}
	if lines := consumer.log.has("no database"); len(lines) != 1 {
		t.Errorf("it was told %d times: %q", len(lines), lines)
	}
	if got := c.committed(group, topic); got != 0 {
		t.Errorf("committed %d, and nothing is written", got)
	}
	if err := consumer.Err(); err == nil || !strings.Contains(err.Error(), "no database") {
		t.Errorf("Err: %v", err)
	}
	tries.Store(0)
	consumer = c.consume(kafka.ConsumerConfig{Config: c.config(topic), Group: group, To: kept})
	eventually(t, "it tries again", func() bool { return tries.Load() > 0 })
	works.Store(true)
	eventually(t, "all are written", func() bool { return slices.Equal(kept.ids(), ids(want)) })
	eventually(t, "it says so", func() bool { return consumer.log.has("records are written again") != nil })
	if err := consumer.Err(); err != nil {
		t.Errorf("Err: %v", err)
	}
}

// TestConsumerEndsInTime has a Writer that takes long: what it has begun is not committed.
func TestConsumerEndsInTime(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	topic, group := c.topic(1), name(t)
	c.produce(topic, results(10))
	begins := make(chan struct{}, 1)
	kept := &keeper{before: func(ctx context.Context, _ []record.Record) error {
		begins <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}}
	consumer := c.consume(kafka.ConsumerConfig{Config: c.config(topic), Group: group, To: kept})
	<-begins
	begun := time.Now()
	consumer.stop()
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("it took %v to end", took)
	}
	if got := c.committed(group, topic); got != 0 {
		t.Errorf("committed %d, and nothing is written", got)
	}
}

func TestConsumersShareTheWork(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	topic, group := c.topic(6), name(t)
	want := results(3000)
	c.produce(topic, want[:1000])
	held, release := make(chan struct{}), make(chan struct{})
	hold := sync.OnceFunc(func() { close(held); <-release })
	a := &keeper{before: func(context.Context, []record.Record) error { hold(); return nil }}
	b := new(keeper)
	cfg := kafka.ConsumerConfig{Config: c.config(topic), Group: group, Batch: 50}
	cfg.To = a
	first := c.consume(cfg)
	<-held // in the middle of a batch
	cfg.To = b
	second := c.consume(cfg)
	time.AfterFunc(500*time.Millisecond, func() { close(release) })
	eventually(t, "they share the partitions", func() bool { return len(first.Stats().Partitions) == 3 && len(second.Stats().Partitions) == 3 })
	c.produce(topic, want[1000:2000])
	all := func() []string {
		both := append(a.ids(), b.ids()...)
		slices.Sort(both)
		return slices.Compact(both)
	}
	eventually(t, "all are written", func() bool { return slices.Equal(all(), ids(want[:2000])) })
	if len(a.ids()) == 0 || len(b.ids()) == 0 {
		t.Errorf("%d by one, %d by the other", len(a.ids()), len(b.ids()))
	}
	first.stop()
	c.produce(topic, want[2000:])
	eventually(t, "the other writes all", func() bool { return slices.Equal(all(), ids(want)) })
	eventually(t, "all are committed", func() bool { return c.committed(group, topic) == int64(len(want)) })
}

// TestConsumerLetsGo has two consumers of which one cannot write: it does not keep the
// other from its share, and what it has read comes again.
func TestConsumerLetsGo(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	topic, group := c.topic(4), name(t)
	want := results(1000)
	c.produce(topic, want)
	var works atomic.Bool
	var tries atomic.Int32
	a := &keeper{before: func(context.Context, []record.Record) error {
		if tries.Add(1); !works.Load() {
			return errors.New("no database")
		}
		return nil
	}}
	b := new(keeper)
	cfg := kafka.ConsumerConfig{Config: c.config(topic), Group: group, To: a}
	c.consume(cfg)
	eventually(t, "one tries", func() bool { return tries.Load() > 0 })
	cfg.To = b
	c.consume(cfg)
	eventually(t, "the other writes", func() bool { return len(b.ids()) > 0 })
	works.Store(true)
	eventually(t, "all are written", func() bool {
		both := append(a.ids(), b.ids()...)
		slices.Sort(both)
		return slices.Equal(slices.Compact(both), ids(want))
	})
	eventually(t, "all are committed", func() bool { return c.committed(group, topic) == int64(len(want)) })
}

// TestConsumerIsKilled kills one in the middle of its work, and has another go on.
func TestConsumerIsKilled(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	topic := c.topic(4)
	want := results(5000)
	c.produce(topic, want)
	path := t.TempDir() + "/ids"
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	group := name(t)
	cmd.Env = append(os.Environ(), "KAFKA_TEST_CONSUMER="+path, "KAFKA_TEST_BROKER="+c.brokers[0], "KAFKA_TEST_TOPIC="+topic, "KAFKA_TEST_GROUP="+group)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	written := func() []string {
		text, _ := os.ReadFile(path)
		return strings.Fields(string(text))
	}
	eventually(t, "some are written", func() bool { return len(written()) > 200 })
	cmd.Process.Kill()
	cmd.Wait()
	before := written()
	if len(before) >= len(want) {
		t.Fatalf("it was killed too late, after %d", len(before))
	}
	kept := new(keeper)
	c.consume(kafka.ConsumerConfig{Config: c.config(topic), Group: group, To: kept})
	eventually(t, "all are written", func() bool {
		both := append(kept.ids(), before...)
		slices.Sort(both)
		return slices.Equal(slices.Compact(both), ids(want))
	})
	if len(kept.ids()) == len(want) {
		t.Error("nothing was committed before")
	}
}

func TestConsumerWithoutKafka(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().(*net.TCPAddr)
	l.Close()
	c := faultsOnly(t)
	kept := new(keeper)
	consumer := c.consume(kafka.ConsumerConfig{Config: kafka.Config{Brokers: []string{address.String()}, Topic: "x"}, To: kept})
	eventually(t, "it is told", func() bool { return consumer.log.has("connection refused") != nil })
	eventually(t, "Kafka starts", func() bool {
		late, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(address.Port), kfake.SeedTopics(2, "x"))
		if err != nil {
			return false
		}
		t.Cleanup(late.Close)
		c.brokers = late.ListenAddrs()
		return true
	})
	want := results(100)
	c.produce("x", want)
	eventually(t, "all are written", func() bool { return slices.Equal(kept.ids(), ids(want)) })
	eventually(t, "it says so", func() bool { return consumer.log.has("can be read from Kafka again") != nil })
	if lines := consumer.log.has("level=ERROR"); len(lines) != 1 {
		t.Errorf("told: %q", lines)
	}
	consumer.stop()
}

func TestConsumerWithoutATopic(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	cfg := c.config(name(t))
	kept := new(keeper)
	consumer := c.consume(kafka.ConsumerConfig{Config: cfg, Group: name(t), To: kept})
	eventually(t, "it is told", func() bool { return consumer.log.has("create it, or set create_topic") != nil })
	c.create(cfg.Topic, 2)
	c.produce(cfg.Topic, results(10))
	eventually(t, "it is read when it is there", func() bool { return len(kept.ids()) == 10 })

	cfg.Topic, cfg.CreateTopic, cfg.Replication = name(t), true, 1
	kept = new(keeper)
	consumer = c.consume(kafka.ConsumerConfig{Config: cfg, Group: name(t), To: kept})
	eventually(t, "it is created", func() bool {
		topics, err := c.admin().ListTopics(t.Context(), cfg.Topic)
		return err == nil && topics[cfg.Topic].Err == nil
	})
	c.produce(cfg.Topic, results(10))
	eventually(t, "it is read", func() bool { return len(kept.ids()) == 10 })
}

// TestConsumerOutlivesTrouble moves leaders and the group's coordinator, and has commits
// and fetches fail.
func TestConsumerOutlivesTrouble(t *testing.T) {
	t.Parallel()
	c := faultsOnly(t, kfake.NumBrokers(3), kfake.SeedTopics(4, "x"))
	kept := new(keeper)
	consumer := c.consume(kafka.ConsumerConfig{Config: c.config("x"), Group: "g", To: kept, Batch: 50})
	want := results(2000)
	i := 0
	for batch := range slices.Chunk(want, 100) {
		switch i++; i % 4 {
		case 0:
			c.fake.ShufflePartitionLeaders()
		case 1:
			c.fake.RehashCoordinators()
		case 2:
			c.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.NotCoordinator})
		case 3:
			c.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.NotLeaderForPartition})
		}
		c.produce("x", batch)
	}
	eventually(t, "all are written", func() bool { return slices.Equal(kept.ids(), ids(want)) })
	eventually(t, "all are committed", func() bool { return c.committed("g", "x") == int64(len(want)) })
	consumer.stop()
}

// TestConsumerTellsOfItsGroup has a user who may not use the group.
func TestConsumerTellsOfItsGroup(t *testing.T) {
	t.Parallel()
	c := faultsOnly(t, kfake.SeedTopics(1, "x"))
	fault := c.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, TopLevel: true, Err: kerr.GroupAuthorizationFailed, Count: -1})
	kept := new(keeper)
	consumer := c.consume(kafka.ConsumerConfig{Config: c.config("x"), Group: "g", To: kept})
	eventually(t, "it is told", func() bool { return consumer.log.has("group g gives us nothing to read") != nil })
	fault.Remove()
	c.produce("x", results(10))
	eventually(t, "it goes on", func() bool { return len(kept.ids()) == 10 })
	eventually(t, "it says so", func() bool { return consumer.log.has("gives us something to read again") != nil })
}
