package kafka_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/realservers"
	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/sinks/kafka"
)

var sharedCluster *realservers.KafkaCluster

// shared is the real Kafka that all tests share; nil for none.
func shared() *realservers.KafkaCluster { return sharedCluster }

// TestMain starts a real Kafka where there is what it needs, or is a consumer that a test
// kills.
func TestMain(m *testing.M) {
	if to := os.Getenv("KAFKA_TEST_CONSUMER"); to != "" {
		beKilled(to)
	}
	os.Exit(realservers.WithKafka(1, func(c *realservers.KafkaCluster) int {
		sharedCluster = c
		return m.Run()
	}))
}

// beKilled is a consumer that writes the ids of what it reads to a file, until it is
// killed.
func beKilled(path string) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		panic(err)
	}
	c, err := kafka.NewConsumer(kafka.ConsumerConfig{
		Config: kafka.Config{Brokers: []string{os.Getenv("KAFKA_TEST_BROKER")}, Topic: os.Getenv("KAFKA_TEST_TOPIC")}, Group: os.Getenv("KAFKA_TEST_GROUP"), Batch: 20, Session: 6 * time.Second,
		To: &keeper{before: func(_ context.Context, batch []record.Record) error {
			text := ""
			for _, r := range batch {
				text += r.ID + "\n"
			}
			_, err := f.WriteString(text)
			return err
		}},
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(c.Run(context.Background()))
	os.Exit(1)
}

func pool(t *testing.T, ca string) *x509.CertPool {
	t.Helper()
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	p := x509.NewCertPool()
	p.AppendCertsFromPEM(pem)
	return p
}
