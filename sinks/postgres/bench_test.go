package postgres

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/supervisor-checks/supervisor-checks/internal/realservers"
	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/sinks"
)

// BenchmarkWriteBatch writes batches as a queue does, and BenchmarkCopy rows that are made
// already to a table that is made alike.
func BenchmarkWriteBatch(b *testing.B) {
	s := open(b)
	for b.Loop() {
		b.StopTimer()
		records := batch()
		b.StartTimer()
		if err := s.WriteBatch(b.Context(), records); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*sinks.DefaultBatch)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkCopy(b *testing.B) {
	s := open(b)
	if _, err := s.conn.Exec(b.Context(), "CREATE TABLE bare (LIKE records INCLUDING ALL) PARTITION BY RANGE (time); CREATE TABLE bare_all PARTITION OF bare FOR VALUES FROM (MINVALUE) TO (MAXVALUE)"); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		b.StopTimer()
		var rows [][]any
		for _, r := range batch() {
			made, err := rowOf(&r)
			if err != nil {
				b.Fatal(err)
			}
			rows = append(rows, made.values)
		}
		b.StartTimer()
		if _, err := s.conn.CopyFrom(b.Context(), pgx.Identifier{"bare"}, columns, pgx.CopyFromRows(rows)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*sinks.DefaultBatch)/b.Elapsed().Seconds(), "rows/s")
}

// open returns a Sink of a server of its own, which is connected.
func open(b *testing.B) *Sink {
	server := realservers.PostgreSQL(b, "sesame", nil)
	s, err := New(Config{DSN: "postgres://postgres:sesame@" + server.Address + "/postgres?sslmode=disable"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	if err := s.WriteBatch(b.Context(), batch()); err != nil {
		b.Fatal(err)
	}
	return s
}

// batch is one of the default size.
func batch() []record.Record {
	all := make([]record.Record, sinks.DefaultBatch)
	for i := range all {
		all[i] = record.Record{Kind: record.CheckResult, Host: "host", Process: "web:web_1", PID: i, Check: "http", Status: "unhealthy", Reason: "connection refused", Seconds: 0.01, Metrics: map[string]float64{"latency_seconds": 0.01}}
		all[i].Stamp()
	}
	return all
}
