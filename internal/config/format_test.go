package config_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/supervisor-checks/supervisor-checks/internal/config"
	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/record/uptimer"
	"github.com/supervisor-checks/supervisor-checks/sinks/kafka"
)

// TestRecordFormat has sinks be given what probes of URLs find as events of Uptimer's, and
// nothing else.
func TestRecordFormat(t *testing.T) {
	var body []byte
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { body, _ = io.ReadAll(r.Body) }))
	defer hook.Close()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "events"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	lines := filepath.Join(t.TempDir(), "lines")
	file, err := config.Read("f", []byte(`sinks:
  - {name: lines, file: {path: "`+lines+`", format: uptimer}}
  - {name: hook, webhook: {url: "`+hook.URL+`", format: uptimer}}
  - {name: bus, kafka: {brokers: ["`+cluster.ListenAddrs()[0]+`"], topic: events, format: uptimer}}
`), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	batch := []record.Record{
		{Kind: record.CheckResult, Process: "web:a", Check: "http", Status: "healthy"},
		{Kind: record.ProbeResult, Probe: "site", Status: "healthy", URL: "https://example.com/", StatusCode: 200, Seconds: 0.25},
		{Kind: record.ProbeResult, Probe: "db", Status: "healthy"},
	}
	for i := range batch {
		batch[i].Stamp()
	}
	event, err := uptimer.Encode(&batch[1])
	if err != nil {
		t.Fatal(err)
	}
	for i := range file.Sinks {
		w, err := file.Sinks[i].Writer()
		if err != nil {
			t.Fatal(err)
		}
		if err := w.WriteBatch(t.Context(), batch); err != nil {
			t.Errorf("%s: %v", file.Sinks[i].Name, err)
		}
		if err := w.WriteBatch(t.Context(), batch[:1]); err != nil { // of which there is nothing to write
			t.Errorf("%s: %v", file.Sinks[i].Name, err)
		}
		w.Close()
	}
	if text, err := os.ReadFile(lines); string(text) != string(event)+"\n" {
		t.Errorf("the file has %s, error %v", text, err)
	}
	if string(body) != "["+string(event)+"]" {
		t.Errorf("the hook was sent %s", body)
	}
	values := make(chan string, 10)
	bus, err := file.Sinks[2].Kafka.Config()
	if err != nil {
		t.Fatal(err)
	}
	to, err := file.Sinks[0].Writer()
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	consumer, err := kafka.NewConsumer(kafka.ConsumerConfig{Config: bus, To: to, Decode: func(text []byte) (record.Record, error) {
		values <- string(text)
		return uptimer.Decode(text)
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- consumer.Run(ctx) }()
	if got := <-values; got != string(event) {
		t.Errorf("the topic has %s", got)
	}
	cancel()
	<-done
}
