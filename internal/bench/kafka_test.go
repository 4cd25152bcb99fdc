package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/supervisor-checks/supervisor-checks/internal/realservers"
	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/sinks"
	"github.com/supervisor-checks/supervisor-checks/sinks/kafka"
)

// kafkaRecords is how many are sent at a time.
const kafkaRecords = 20_000

// kafkaSink measures how long it takes to send records to Kafka, by themselves and through
// a queue, against a bare loop that makes JSON
// of each and sends that.
func kafkaSink(f *figures, _ string) {
	for _, which := range kafkas() {
		addresses := startKafka(f.t, which)
		records := checkResults(kafkaRecords)
		direct, bare := alternate(5, writeBatches(f.t, addresses, records), bareProducer(f.t, addresses, records))
		f.compared(fmt.Sprintf("%d records to %s in batches of %d", kafkaRecords, which, sinks.DefaultBatch), direct, bare, 2)
		queued, bare := alternate(5, writeQueued(f.t, addresses, records), bareProducer(f.t, addresses, records))
		f.compared(fmt.Sprintf("the same through a queue to %s", which), queued, bare, 2)
	}
}

const (
	fakeKafka   = "a fake Kafka"
	apacheKafka = "Apache Kafka"
)

// kafkas are those there are.
func kafkas() []string {
	if os.Getenv(realservers.KafkaJars) != "" {
		return []string{fakeKafka, apacheKafka}
	}
	return []string{fakeKafka}
}

// startKafka returns the brokers of one of them.
func startKafka(t testing.TB, which string) []string {
	if which == apacheKafka {
		return realservers.Kafka(t, 1).Brokers
	}
	c := must(kfake.NewCluster(kfake.NumBrokers(1)))
	t.Cleanup(c.Close)
	return c.ListenAddrs()
}

// checkResults are so many, of a hundred processes.
func checkResults(count int) (all []record.Record) {
	for i := range count {
		r := record.Record{Kind: record.CheckResult, Host: "host7", Supervisord: "supervisor", Listener: "checks", Process: fmt.Sprintf("web:web_%d", i%100), PID: 1000 + i%100,
			Check: "http", Status: "healthy", Seconds: 0.0123, Metrics: map[string]float64{"latency_seconds": 0.0123}}
		r.Stamp()
		all = append(all, r)
	}
	return all
}

func kafkaConfig(brokers []string, topic string) kafka.Config {
	return kafka.Config{Brokers: brokers, Topic: topic, CreateTopic: true, Partitions: 4, Replication: 1}
}

// writeBatches writes records in batches.
func writeBatches(t testing.TB, brokers []string, records []record.Record) func() time.Duration {
	w := must(kafka.New(kafkaConfig(brokers, "direct")))
	t.Cleanup(func() { w.Close() })
	return func() time.Duration {
		begun := time.Now()
		for batch := range slices.Chunk(records, sinks.DefaultBatch) {
			if err := w.WriteBatch(context.Background(), batch); err != nil {
				t.Fatal(err)
			}
		}
		return time.Since(begun)
	}
}

// writeQueued has a queue write them.
func writeQueued(t testing.TB, brokers []string, records []record.Record) func() time.Duration {
	q := must(sinks.NewQueue(sinks.QueueConfig{Name: "kafka", To: must(kafka.New(kafkaConfig(brokers, "queued"))), Length: len(records), Linger: time.Millisecond}))
	t.Cleanup(func() { q.Close() })
	return func() time.Duration {
		want := q.Stats().Written + uint64(len(records))
		begun := time.Now()
		for _, r := range records {
			q.Write(context.Background(), r)
		}
		for q.Stats().Written < want {
			time.Sleep(time.Millisecond)
		}
		return time.Since(begun)
	}
}

// bareProducer makes JSON of each record, and sends it.
func bareProducer(t testing.TB, brokers []string, records []record.Record) func() time.Duration {
	must(0, must(kafka.New(kafkaConfig(brokers, "bare"))).WriteBatch(t.Context(), records[:1])) // which creates the topic
	client := must(kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DefaultProduceTopic("bare"), kgo.ProducerBatchCompression(kgo.NoCompression())))
	t.Cleanup(client.Close)
	return func() time.Duration {
		begun := time.Now()
		for _, r := range records {
			client.Produce(context.Background(), &kgo.Record{Key: []byte(r.Process), Value: must(json.Marshal(r))}, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Error(err)
				}
			})
		}
		if err := client.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		return time.Since(begun)
	}
}

// BenchmarkKafka sends kafkaRecords at each turn.
func BenchmarkKafka(b *testing.B) {
	for _, which := range kafkas() {
		brokers := startKafka(b, which)
		for name, sender := range map[string]func(testing.TB, []string, []record.Record) func() time.Duration{"batches": writeBatches, "queue": writeQueued, "bare": bareProducer} {
			b.Run(which+"/"+name, func(b *testing.B) {
				send := sender(b, brokers, checkResults(kafkaRecords))
				send()
				b.ResetTimer()
				for range b.N {
					send()
				}
				b.ReportMetric(float64(b.N)*kafkaRecords/b.Elapsed().Seconds(), "records/s")
			})
		}
	}
}
