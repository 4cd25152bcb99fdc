package bench

import (
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/supervisor-checks/supervisor-checks/internal/realservers"
	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/sinks"
	"github.com/supervisor-checks/supervisor-checks/sinks/postgres"
)

// postgreSQL measures what it costs to keep records in PostgreSQL, against COPY of rows
// that are made already into a table that is made alike.
func postgreSQL(f *figures, _ string) {
	const batches, size = 20, sinks.DefaultBatch
	server := realservers.PostgreSQL(f.t, "sesame", nil)
	dsn := "postgres://postgres:sesame@" + server.Address + "/postgres?sslmode=disable"
	sink := must(postgres.New(postgres.Config{DSN: dsn}))
	defer sink.Close()
	stamped := func() []record.Record {
		batch := make([]record.Record, size)
		for i := range batch {
			batch[i] = record.Record{Kind: record.CheckResult, Host: "web7.example.com", Supervisord: "supervisor", Listener: "checks", Group: "web", Process: fmt.Sprint("web:web_", i), PID: 1000 + i,
				Check: "http", Status: "unhealthy", Reason: "dial tcp 127.0.0.1:8001: connect: connection refused", Seconds: 0.0123, Metrics: map[string]float64{"latency_seconds": 0.0123}}
			batch[i].Stamp()
		}
		return batch
	}
	if err := sink.WriteBatch(f.t.Context(), stamped()); err != nil {
		f.t.Fatal(err)
	}
	conn := must(pgx.Connect(f.t.Context(), dsn))
	defer conn.Close(f.t.Context())
	must(conn.Exec(f.t.Context(), "CREATE TABLE bare (LIKE records INCLUDING ALL) PARTITION BY RANGE (time); CREATE TABLE bare_all PARTITION OF bare FOR VALUES FROM (MINVALUE) TO (MAXVALUE)"))
	columns := must(pgx.CollectRows(must(conn.Query(f.t.Context(), "SELECT column_name::text FROM information_schema.columns WHERE table_name = 'bare' ORDER BY ordinal_position")), pgx.RowTo[string]))
	var made [][]any
	rows := must(conn.Query(f.t.Context(), "SELECT "+strings.Replace(strings.Join(columns, ", "), ", record", ", record::text", 1)+" FROM records ORDER BY time, id"))
	for rows.Next() {
		made = append(made, must(rows.Values()))
	}
	rows.Close()
	if len(made) != size || columns[0] != "id" || columns[1] != "time" {
		f.t.Fatalf("%d rows of %q, error %v", len(made), columns, rows.Err())
	}
	ours, theirs := alternate(repetitions, func() (took time.Duration) {
		for range batches {
			batch := stamped()
			begun := time.Now()
			if err := sink.WriteBatch(f.t.Context(), batch); err != nil {
				f.t.Fatal(err)
			}
			took += time.Since(begun)
		}
		return took
	}, func() (took time.Duration) {
		for range batches {
			for i, r := range stamped() { // which have ids and times of their own
				made[i][0], made[i][1] = r.ID, r.Time
			}
			begun := time.Now()
			must(conn.CopyFrom(f.t.Context(), pgx.Identifier{"bare"}, columns, pgx.CopyFromRows(made)))
			took += time.Since(begun)
		}
		return took
	})
	f.t.Logf("%.0f rows a second, COPY %.0f", batches*size/ours.Seconds(), batches*size/theirs.Seconds())
	f.compared(fmt.Sprintf("writing %d records to PostgreSQL in batches of %d, against COPY of rows that are there", batches*size, size), ours, theirs, 2)
}
