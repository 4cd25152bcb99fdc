package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/sinks"
)

// Reader is a sinks.Reader of a file that a DB writes, at the same time or before.
type Reader struct {
	path string
	db   *sql.DB
}

// Open opens a file for reading. The error wraps fs.ErrNotExist where there is none, and
// sinks.ErrSchema where it is another's.
func Open(ctx context.Context, path string) (*Reader, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", dsn(path, "mode", "ro"))
	if err != nil {
		return nil, err
	}
	r := &Reader{path, db}
	if err := r.look(ctx); err != nil {
		db.Close()
		if errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%w: read it as the user of the listener", err)
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// look makes sure that it is a database of ours.
func (r *Reader) look(ctx context.Context) error {
	f, err := os.Open(r.path)
	if err != nil { // which SQLite says less of
		return errors.Unwrap(err)
	}
	f.Close()
	tx, err := r.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback()
	version, err := versionOf(ctx, tx)
	if err == nil && version == 0 {
		err = fmt.Errorf("%w: it is empty", sinks.ErrSchema)
	}
	return err
}

// Find implements sinks.Reader.
func (r *Reader) Find(ctx context.Context, filter sinks.Filter, f func(record.Record) error) error {
	query, args := query(filter)
	rows, err := r.db.QueryContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("%s: %w", r.path, err)
	}
	defer rows.Close()
	for rows.Next() {
		var text []byte
		if err := rows.Scan(&text); err != nil {
			return fmt.Errorf("%s: %w", r.path, err)
		}
		var found record.Record
		if err := json.Unmarshal(text, &found); err != nil {
			return fmt.Errorf("%s: %w", r.path, err)
		}
		if err := f(found); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("%s: %w", r.path, err)
	}
	return nil
}

// query finds what a filter wants.
func query(filter sinks.Filter) (string, []any) {
	var where []string
	var args []any
	add := func(condition string, values ...any) {
		where = append(where, condition)
		args = append(args, values...)
	}
	if filter.Kinds == nil {
		filter.Kinds = record.Kinds // so that there is an index
	}
	add("kind IN " + list(&args, filter.Kinds))
	if !filter.Since.IsZero() {
		add("time >= ?", filter.Since.UnixMicro())
	}
	if !filter.Until.IsZero() {
		add("time < ?", filter.Until.UnixMicro())
	}
	if filter.Host != "" {
		add("host = ?", filter.Host)
	}
	if filter.Statuses != nil {
		add("status IN " + list(&args, filter.Statuses))
	}
	if filter.Actions != nil {
		add("action IN " + list(&args, filter.Actions))
	}
	if filter.About != nil {
		patterns := make([]any, len(filter.About))
		for i, p := range filter.About {
			patterns[i] = strings.ReplaceAll(p, "[", "[[]") // which begins a set
		}
		add("("+strings.Repeat("about GLOB ? OR ", len(patterns))+"kind = 'listener')", patterns...)
	}
	from := "FROM records WHERE " + strings.Join(where, " AND ")
	if filter.Limit > 0 {
		from = "FROM (SELECT record, time, id " + from + " ORDER BY time DESC, id DESC LIMIT ?)"
		args = append(args, filter.Limit)
	}
	return "SELECT record " + from + " ORDER BY time, id", args
}

// list writes a list of parameters, and adds their values to args.
func list[T ~string](args *[]any, values []T) string {
	for _, v := range values {
		*args = append(*args, string(v))
	}
	return "(" + strings.TrimPrefix(strings.Repeat(", ?", len(values)), ", ") + ")"
}

// Close implements sinks.Reader.
func (r *Reader) Close() error { return r.db.Close() }
