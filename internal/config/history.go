package config

import (
	"context"
	"time"

	"github.com/supervisor-checks/supervisor-checks/sinks"
	"github.com/supervisor-checks/supervisor-checks/sinks/sqlite"
)

// Retention is how much a database keeps.
type Retention struct {
	MaxAge   *Positive `key:"max_age" doc:"How old records become. 30d where it is not given."`
	MaxBytes *Size     `key:"max_bytes" doc:"About how large the file becomes: then the oldest results go, and what is not a result last. 256MiB where it is not given."`
}

func (r *Retention) database(path string) (sinks.Writer, error) {
	cfg := sqlite.Config{Path: path, MaxAge: time.Duration(orZero(r.MaxAge))}
	if r.MaxBytes != nil {
		cfg.MaxBytes = int64(r.MaxBytes.Bytes)
	}
	return sqlite.New(cfg)
}

// leastBytes is what the smallest database may have.
const leastBytes = 1 << 20

func (r *Retention) check(report func(key, format string, args ...any)) {
	if r.MaxBytes != nil && r.MaxBytes.Bytes < leastBytes {
		report("max_bytes", "is less than 1MiB")
	}
}

// History is the database that there is by default.
type History struct {
	Path string `key:"path" doc:"The file, which several listeners may share. history.db in /var/lib/supervisor-checks for root, or else in the state folder, where it is not given."`
	Retention
}

func (h *History) check(report func(key, format string, args ...any)) {
	if *h == (History{}) {
		report("", "says nothing: leave it out for what there is by default, or write off")
	}
	h.Retention.check(report)
}

// Off tells whether there is to be none.
func (h *History) Off() bool { return h != nil && *h == History{} }

// Sink is the history as a sink, with the path that it has where none is given.
func (h *History) Sink(path string) Sink {
	s := Sink{Name: "history", SinkKind: SinkKind{SQLite: &SinkSQLite{Path: path}}}
	if h != nil {
		s.SQLite.Retention = h.Retention
		if h.Path != "" {
			s.SQLite.Path = h.Path
		}
	}
	return s
}

// SinkSQLite is a database in a file.
type SinkSQLite struct {
	Path string `key:"path" need:"true" doc:"The file, which several listeners may share."`
	Retention
}

func (s *SinkSQLite) open(ctx context.Context) (sinks.Reader, error) { return sqlite.Open(ctx, s.Path) }

func (s *SinkSQLite) write() (sinks.Writer, error) { return s.database(s.Path) }
