package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/sinks"
)

// Reader is a sinks.Reader, of a user who may SELECT. Its methods may be called by several
// goroutines at once.
type Reader struct{ config *pgx.ConnConfig }

// Open returns the Reader that cfg describes. It connects with each Find, whose error wraps
// sinks.ErrSchema where there is no schema, or another than is needed.
func Open(cfg Config) (*Reader, error) {
	c, err := cfg.parse()
	if err != nil {
		return nil, err
	}
	return &Reader{c}, nil
}

// Find reads in a transaction that sees nothing of what is written meanwhile, and does not
// hold what it reads in memory.
func (r *Reader) Find(ctx context.Context, filter sinks.Filter, f func(record.Record) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, version, err := connect(ctx, r.config)
	if err != nil {
		return err
	}
	defer end(conn)
	if version == 0 {
		return fmt.Errorf("%w: there is none: run supervisor_checks migrate-db, or a listener with this sink", sinks.ErrSchema)
	}
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	if err != nil {
		return fmt.Errorf("find records: %w", err)
	}
	query, args := queryOf(filter)
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("find records: %w", err)
	}
	defer rows.Close()
	defer cancel() // so that Close does not read all the rest
	for rows.Next() {
		var text []byte
		if err := rows.Scan(&text); err != nil {
			return fmt.Errorf("find records: %w", err)
		}
		var found record.Record
		if err := json.Unmarshal(text, &found); err != nil {
			return fmt.Errorf("read a record: %w", err)
		}
		if err := f(found); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("find records: %w", err)
	}
	return nil
}

// Close has nothing to end.
func (r *Reader) Close() error { return nil }

// queryOf is the question that a filter asks.
func queryOf(filter sinks.Filter) (query string, args []any) {
	var all []string
	where := func(condition string, arg any) {
		args = append(args, arg)
		all = append(all, strings.ReplaceAll(condition, "?", fmt.Sprintf("$%d", len(args))))
	}
	if !filter.Since.IsZero() {
		where("time >= ?", filter.Since)
	}
	if !filter.Until.IsZero() {
		where("time < ?", filter.Until)
	}
	if filter.Host != "" {
		where("host = ?", filter.Host)
	}
	if len(filter.About) > 0 {
		const about = "(process %[1]s OR process IS NULL AND coalesce(probe, grp) %[1]s OR kind = 'listener')"
		if strings.ContainsAny(strings.Join(filter.About, ""), "*?") {
			where(fmt.Sprintf(about, "LIKE ANY (?)"), likes(filter.About))
		} else {
			where(fmt.Sprintf(about, "= ANY (?)"), filter.About) // for which there are indexes
		}
	}
	if len(filter.Kinds) > 0 {
		var kinds []string
		for _, kind := range filter.Kinds {
			kinds = append(kinds, string(kind))
		}
		where("kind = ANY (?)", kinds)
	}
	if len(filter.Statuses) > 0 {
		where("status = ANY (?)", filter.Statuses)
	}
	if len(filter.Actions) > 0 {
		where("action = ANY (?)", filter.Actions)
	}
	query = "SELECT record, time, id FROM records"
	if all != nil {
		query += " WHERE " + strings.Join(all, " AND ")
	}
	if filter.Limit > 0 {
		args = append(args, filter.Limit)
		query += fmt.Sprintf(" ORDER BY time DESC, id DESC LIMIT $%d", len(args))
	}
	return "SELECT record FROM (" + query + ") found ORDER BY time, id", args
}

// likes are patterns as LIKE has them.
func likes(patterns []string) (all []string) {
	like := strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`, `*`, `%`, `?`, `_`)
	for _, p := range patterns {
		all = append(all, like.Replace(p))
	}
	return all
}

var (
	_ sinks.Reader = (*Reader)(nil)
	_ sinks.Writer = (*Sink)(nil)
)
