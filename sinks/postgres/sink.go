package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/sinks"
)

// week is what a partition has. It begins on Monday, as time itself does for package time.
const week = 7 * 24 * time.Hour

// partition is the layout of the name of a partition, which has its first day.
const partition = "records_20060102"

// expireEvery is how often a Sink looks for partitions that are too old.
const expireEvery = time.Hour

// lockWithin bounds how long readers can keep an old partition from being dropped until it is tried
// again, and others wait behind that.
const lockWithin = "2s"

// columns are those of the table.
var columns = []string{"id", "time", "kind", "host", "supervisord", "listener", "grp", "process", "pid", "check_name", "status", "action", "reason", "seconds", "probe", "url", "status_code", "record"}

// Sink is a sinks.Writer. A batch is one COPY, and one into a temporary table where some of
// its records are there already. A database without a schema is given one; with another
// than is needed each batch is an error that wraps sinks.ErrSchema, until somebody runs
// supervisor_checks migrate-db, or updates this program. A Sink does not raise a schema
// by itself, for other hosts may still need the older one.
type Sink struct {
	cfg    Config
	config *pgx.ConnConfig

	conn    *pgx.Conn // nil where there is none
	known   map[time.Time]bool
	expired time.Time // when that was looked for last
}

// New returns the Sink that cfg describes. It connects with the first batch: a server that
// is away is an error of WriteBatch, for that passes.
func New(cfg Config) (*Sink, error) {
	c, err := cfg.parse()
	if err != nil {
		return nil, err
	}
	return &Sink{cfg: cfg, config: c, known: make(map[time.Time]bool)}, nil
}

// row is a record as a row of the table.
type row struct {
	index  int // in its batch
	week   time.Time
	values []any
}

// WriteBatch writes the records that are not there yet.
func (s *Sink) WriteBatch(ctx context.Context, batch []record.Record) error {
	var rejected, refused []sinks.Rejected
	rows := make([]row, 0, len(batch))
	for i := range batch {
		if r, err := rowOf(&batch[i]); err != nil {
			rejected = append(rejected, sinks.Rejected{Index: i, Err: err})
		} else {
			r.index = i
			rows = append(rows, r)
		}
	}
	var err error
	if len(rows) > 0 {
		if refused, err = s.write(ctx, rows); err != nil {
			s.hangUp() // the next connection may lead to a server that can
			return err
		}
		s.expire(ctx)
	}
	if rejected = append(rejected, refused...); rejected == nil {
		return nil
	}
	slices.SortFunc(rejected, func(a, b sinks.Rejected) int { return cmp.Compare(a.Index, b.Index) })
	return &sinks.RejectedError{Records: rejected}
}

// rowOf returns the row of a record, or why there can be none.
func rowOf(r *record.Record) (row, error) {
	var id pgtype.UUID
	if err := id.Scan(r.ID); err != nil {
		return row{}, fmt.Errorf("its id %q is no UUID", r.ID)
	}
	if year := r.Time.UTC().Year(); year < 1970 || year > 9999 {
		return row{}, fmt.Errorf("its time %v is not between the years 1970 and 9999", r.Time)
	}
	if r.StatusCode < math.MinInt32 || r.StatusCode > math.MaxInt32 {
		return row{}, fmt.Errorf("its status code %d is out of range", r.StatusCode)
	}
	text, err := r.AppendJSON(nil)
	if err != nil {
		return row{}, err
	}
	return row{week: r.Time.UTC().Truncate(week), values: []any{
		id, r.Time, string(r.Kind), orNull(r.Host), orNull(r.Supervisord), orNull(r.Listener), orNull(r.Group), orNull(r.Process), numberOrNull(r.PID),
		orNull(r.Check), orNull(r.Status), orNull(r.Action), orNull(r.Reason), r.Seconds, orNull(r.Probe), orNull(r.URL), numberOrNull(r.StatusCode), text,
	}}, nil
}

// orNull is a text as JSON has it, too: what is no UTF-8 is replaced.
func orNull(text string) any {
	if text == "" {
		return nil
	}
	return strings.ToValidUTF8(text, "\ufffd")
}

func numberOrNull(n int) any {
	if n == 0 {
		return nil
	}
	return int64(n)
}

// write writes rows, and returns those that the server will never take.
func (s *Sink) write(ctx context.Context, rows []row) (refused []sinks.Rejected, err error) {
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	for range 2 {
		if err = s.partition(ctx, rows); err != nil {
			return nil, fmt.Errorf("make a partition: %w", err)
		}
		refused = nil
		if err = s.sift(ctx, rows, &refused); !unpartitioned(err) {
			break
		}
		clear(s.known) // somebody has dropped one
	}
	if err != nil {
		return nil, fmt.Errorf("write records: %w", err)
	}
	return refused, nil
}

func (s *Sink) connect(ctx context.Context) error {
	if s.conn != nil {
		return nil
	}
	conn, version, err := connect(ctx, s.config)
	if err != nil {
		return err
	}
	if version == 0 {
		if _, _, err := s.cfg.migrate(ctx, s.config); err != nil {
			end(conn)
			return err
		}
	}
	s.conn = conn
	return nil
}

// hangUp ends the connection.
func (s *Sink) hangUp() {
	if s.conn != nil {
		end(s.conn)
		s.conn = nil
	}
	clear(s.known)
}

// sift writes rows, and halves them as long as there is one among them that the server
// refuses.
func (s *Sink) sift(ctx context.Context, rows []row, refused *[]sinks.Rejected) error {
	err := s.copy(ctx, rows)
	switch {
	case err == nil || !bad(err):
		return err
	case len(rows) == 1:
		*refused = append(*refused, sinks.Rejected{Index: rows[0].index, Err: err})
		return nil
	}
	half := len(rows) / 2
	if err := s.sift(ctx, rows[:half], refused); err != nil {
		return err
	}
	return s.sift(ctx, rows[half:], refused)
}

// bad reports whether an error is about the data: that it is none, violates a constraint, or
// is beyond a limit such as the 2,704 bytes of a row of an index.
func bad(err error) bool {
	c := code(err)
	return (strings.HasPrefix(c, "22") || strings.HasPrefix(c, "23") || strings.HasPrefix(c, "54")) && !unpartitioned(err)
}

// unpartitioned reports whether an error is that a row has no partition.
func unpartitioned(err error) bool {
	var server *pgconn.PgError
	return errors.As(err, &server) && server.Code == checkViolation && server.ConstraintName == ""
}

// copy writes all rows, or none.
func (s *Sink) copy(ctx context.Context, rows []row) error {
	_, err := s.conn.CopyFrom(ctx, pgx.Identifier{"records"}, columns, source(rows))
	if code(err) != uniqueViolation {
		return err
	}
	return pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "CREATE TEMPORARY TABLE records_staged (LIKE records) ON COMMIT DROP"); err != nil {
			return err
		}
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{"pg_temp", "records_staged"}, columns, source(rows)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO records SELECT * FROM pg_temp.records_staged ON CONFLICT DO NOTHING")
		return err
	})
}

func source(rows []row) pgx.CopyFromSource {
	return pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) { return rows[i].values, nil })
}

// partition makes the partitions of rows that there are not.
func (s *Sink) partition(ctx context.Context, rows []row) error {
	for _, r := range rows {
		if s.known[r.week] {
			continue
		}
		err := pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error { return attach(ctx, tx, r.week) })
		if err != nil {
			return err
		}
		s.known[r.week] = true
	}
	return nil
}

// attach makes a partition, beside readers and writers of others.
func attach(ctx context.Context, tx pgx.Tx, from time.Time) error {
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", partitioning); err != nil {
		return err
	}
	name, there := from.Format(partition), false
	err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_inherits WHERE inhparent = 'records'::regclass AND inhrelid = to_regclass($1))", name).Scan(&there)
	if err != nil || there {
		return err
	}
	const bound = "2006-01-02 15:04:05+00"
	_, err = tx.Exec(ctx, fmt.Sprintf("CREATE TABLE %[1]s (LIKE records INCLUDING DEFAULTS INCLUDING STORAGE); ALTER TABLE records ATTACH PARTITION %[1]s FOR VALUES FROM ('%[2]s') TO ('%[3]s')",
		name, from.Format(bound), from.Add(week).Format(bound)))
	return err
}

// expire drops the partitions that are too old, now and then. What goes wrong is told, and
// tried again.
func (s *Sink) expire(ctx context.Context) {
	now := s.cfg.Now()
	if s.cfg.Retention == 0 || now.Sub(s.expired) < expireEvery {
		return
	}
	s.expired = now
	if err := s.dropBefore(ctx, now.Add(-s.cfg.Retention)); err != nil {
		s.cfg.Log.Warn(fmt.Sprintf("postgres: old records are not dropped now: %v", err))
		s.hangUp()
	}
}

func (s *Sink) dropBefore(ctx context.Context, end time.Time) error {
	rows, err := s.conn.Query(ctx, "SELECT relname::text FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = 'records'::regclass")
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, name := range names {
		from, err := time.Parse(partition, name)
		if err != nil || from.Add(week).After(end) { // or it is somebody else's
			continue
		}
		err = pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
			mine := false
			if err := tx.QueryRow(ctx, "SELECT pg_try_advisory_xact_lock($1)", expiring).Scan(&mine); err != nil || !mine {
				return err // another Sink does it
			}
			_, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '"+lockWithin+"'; DROP TABLE IF EXISTS "+name)
			return err
		})
		if err != nil {
			return fmt.Errorf("drop %s: %w", name, err)
		}
		delete(s.known, from)
	}
	return nil
}

// Close ends the connection.
func (s *Sink) Close() error {
	s.hangUp()
	return nil
}
