package host

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/supervisor-checks/supervisor-checks/internal/config"
	"github.com/supervisor-checks/supervisor-checks/internal/realservers"
	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/sinks"
	"github.com/supervisor-checks/supervisor-checks/sinks/kafka"
)

// output is what a program prints while it runs.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func TestConsume(t *testing.T) {
	t.Parallel()
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "records"))
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	w, err := kafka.New(kafka.Config{Brokers: broker.ListenAddrs(), Topic: "records"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	var batch []record.Record
	for i := range 300 {
		r := record.Record{Kind: record.CheckResult, Host: "h", Process: fmt.Sprint("p", i%7), Status: "healthy"}
		r.Stamp()
		batch = append(batch, r)
	}
	if err := w.WriteBatch(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path, kept := filepath.Join(dir, "sinks.yaml"), filepath.Join(dir, "kept.jsonl")
	if err := os.WriteFile(path, fmt.Appendf(nil, "sinks:\n  - {name: bus, kafka: {brokers: [%q], topic: records}}\n  - {name: kept, file: {path: %q}}\n", broker.ListenAddrs()[0], kept), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var log output
	program := New().Command
	program.SetArgs([]string{"consume", "--from", "kafka", "--to", "kept", "--config", path, "--listen", ":0", "--group", "g"})
	program.SetErr(&log)
	done := make(chan error)
	go func() { done <- program.ExecuteContext(ctx) }()
	eventually := func(what string, is func() bool) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: not in time\n%s", what, log.String())
			}
		}
	}
	eventually("all are in the file", func() bool {
		text, _ := os.ReadFile(kept)
		return bytes.Count(text, []byte("\n")) == len(batch)
	})
	var address string
	eventually("it can be asked", func() bool {
		found := regexp.MustCompile(`tells at (\S+) how far`).FindStringSubmatch(log.String())
		if found != nil {
			address = found[1]
		}
		return found != nil
	})
	get := func(path string) string {
		resp, err := http.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		return fmt.Sprintf("%d %s", resp.StatusCode, text)
	}
	for _, want := range []string{"supervisor_consumer_written_records_total 300\n", `supervisor_consumer_lag_records{partition="1",topic="records"} 0` + "\n", "supervisor_consumer_dead_letters_total 0\n"} {
		eventually("metrics have "+want, func() bool { return strings.Contains(get("/metrics"), want) })
	}
	if got := get("/healthz"); got != "200 ok\n" {
		t.Errorf("healthz: %s", got)
	}
	broker.Close()
	eventually("it says that it is not well", func() bool { return strings.HasPrefix(get("/healthz"), "503 records cannot be read from Kafka") })
	begun := time.Now()
	stop()
	if err := <-done; err != nil {
		t.Errorf("it ends with %v", err)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("it took %v to end", took)
	}
}

// TestHostsToPostgreSQL has two hosts send what they record to Kafka, and consume write it to
// PostgreSQL: each record is there once.
func TestHostsToPostgreSQL(t *testing.T) {
	t.Parallel()
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "records"))
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	server := realservers.PostgreSQL(t, "sesame", nil)
	path := filepath.Join(t.TempDir(), "sinks.yaml")
	text := fmt.Sprintf("sinks:\n  - {name: bus, kafka: {brokers: [%q], topic: records}}\n  - {name: db, postgres: {dsn: \"postgres://postgres:sesame@%s/postgres?sslmode=disable\"}}\n", broker.ListenAddrs()[0], server.Address)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := config.Read(path, []byte(text), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, host := range []string{"host1", "host2"} {
		q, err := file.Sinks[0].Build(t.TempDir(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			r := record.Record{Kind: record.Kinds[i%len(record.Kinds)], Host: host, Process: fmt.Sprint("web:", i%7), Status: "healthy"}
			r.Stamp()
			q.Write(t.Context(), r)
			want = append(want, r.ID)
		}
		defer q.Close()
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var log output
	program := New().Command
	program.SetArgs([]string{"consume", "--from", "kafka", "--to", "postgres", "--config", path})
	program.SetErr(&log)
	done := make(chan error)
	go func() { done <- program.ExecuteContext(ctx) }()
	var got []string
	for deadline := time.Now().Add(60 * time.Second); len(got) < len(want); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d are there in time\n%s", len(got), len(want), log.String())
		}
		got = got[:0]
		reader, err := file.Sinks[1].Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		reader.Find(t.Context(), sinks.Filter{}, func(r record.Record) error { // which fails until there are tables
			got = append(got, r.ID)
			return nil
		})
		reader.Close()
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("there are %d records, and %d were sent, others or some twice", len(got), len(want))
	}
}

func TestConsumeIsRefused(t *testing.T) {
	t.Parallel()
	const file = `sinks:
  - {name: bus, kafka: {brokers: ["x:1"], topic: t}}
  - {name: a, file: {path: /tmp/a}}
  - {name: b, file: {path: /tmp/b}}
`
	for _, tt := range []struct {
		name, file string
		args       []string
		errs       string
	}{
		{"no place", file, nil, "--to says where records go"},
		{"none of that kind", file, []string{"--to", "webhook"}, `--to: the file has no sink that is called "webhook", or is of that kind`},
		{"several of that kind", file, []string{"--to", "file"}, "--to: the file has 2 sinks of the kind file: give the name of one"},
		{"from a file", file, []string{"--from", "a", "--to", "b"}, "--from: the sink a is not of the kind kafka"},
		{"to itself", file, []string{"--to", "bus"}, "--to: it is the sink that records come from"},
		{"dead letters to itself", file, []string{"--to", "a", "--dead-letter-topic", "t"}, `"t" is read itself: it must be another topic`},
		{"a wrong address", file, []string{"--to", "a", "--listen", "80"}, `--listen: "80" is not HOST:PORT, or :PORT`},
		{"a wrong file", "sinks: [{name: a, kafka: {topic: t}}]\n", []string{"--to", "a"}, `sinks[0].kafka: the key "brokers" is missing`},
	} {
		status, out, errs := does(t, tt.file, append([]string{"consume"}, tt.args...)...)
		if status != exitUsage || out != "" || !strings.Contains(errs, tt.errs) {
			t.Errorf("%s: exit status %d, printed %q and %q; want %s", tt.name, status, out, errs, tt.errs)
		}
	}
}
