package bench

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/sinks"
)

// records measures what it costs to have records, without a server to take them.
func records(f *figures, _ string) {
	const many, burst = 100_000, sinks.DefaultLength / 2
	made := checkResults(many)
	queue := func(to sinks.Writer, cfg sinks.QueueConfig) *sinks.Queue {
		cfg.Name, cfg.To, cfg.Linger = "figures", to, time.Millisecond
		return must(sinks.NewQueue(cfg))
	}
	drained := func(q *sinks.Queue) {
		for q.Stats().Waiting > 0 {
			time.Sleep(time.Millisecond)
		}
	}

	q := queue(writes(nil), sinks.QueueConfig{Folder: f.t.TempDir()})
	var took time.Duration
	for at := 0; at < many; at += burst {
		begun := time.Now()
		for _, r := range made[at : at+burst] {
			q.Write(context.Background(), r)
		}
		took += time.Since(begun)
		drained(q)
	}
	f.absolute("a record is handed to a sink", float64(took.Nanoseconds())/many/1000, "µs", 1)
	if allocated := testing.AllocsPerRun(1000, func() { q.Write(context.Background(), made[0]) }); allocated > 0 {
		f.t.Errorf("it takes %v allocations", allocated)
	}
	q.Close()

	file := must(sinks.NewFile(sinks.FileConfig{Path: filepath.Join(f.t.TempDir(), "lines"), MaxBytes: 1 << 30}))
	q = queue(file, sinks.QueueConfig{Folder: f.t.TempDir(), Length: many})
	begun := time.Now()
	for _, r := range made {
		q.Write(context.Background(), r)
	}
	drained(q)
	f.absolute("100,000 records are in a file of JSON lines", float64(time.Since(begun).Milliseconds()), "ms", 2000)
	q.Close()

	away := errors.New("away")
	q = queue(writes(away), sinks.QueueConfig{Folder: f.t.TempDir()})
	for i := range made {
		made[i].Kind = record.Transition // which goes to disk at once
	}
	begun = time.Now()
	for _, r := range made {
		q.Write(context.Background(), r)
	}
	f.absolute("100,000 transitions wait on disk", float64(time.Since(begun).Milliseconds()), "ms", 1000)
	q.Close()
}

// writes is a sinks.Writer that does nothing, or has an error.
func writes(err error) sinks.Writer { return writer{err} }

type writer struct{ err error }

func (w writer) WriteBatch(context.Context, []record.Record) error { return w.err }
func (w writer) Close() error                                      { return nil }
