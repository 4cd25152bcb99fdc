// Package postgres keeps records in PostgreSQL 12 or newer, with github.com/jackc/pgx.
//
// They are in the table records of the first schema of the search path: columns for what is
// asked for, and the whole record as jsonb. A partition has a week of them, from Monday in
// UTC. With one for each day a question without limits of time would lock more tables and
// indexes after three years than a server has room for by default; with one for each month a
// retention of a week would keep six. There is no partition for all other times: it would
// have to be searched before each new one is made, and would never be dropped.
//
// The view supervisor_probe_events, which is called probe_events as well where nothing else
// is, has the columns of Uptimer's table of that name.
package postgres

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// connectWithin bounds the connection to one host, where the DSN does not.
const connectWithin = 5 * time.Second

// Config says where records are.
type Config struct {
	// DSN is postgres://USER:PASSWORD@HOST:PORT/DB?sslmode=verify-full or, as libpq has
	// it, "host=… dbname=…". What it does not say is taken from PGHOST and the like. It
	// is required. The user of a Sink must own the tables.
	DSN string

	// Password, if not "", takes the place of that of DSN.
	Password string

	// TLS, if not nil, takes the place of what DSN says of TLS. A ServerName of "" means
	// the host.
	TLS *tls.Config

	// Retention is how long a Sink keeps records: a partition is dropped when all of it
	// is older. 0 means for ever.
	Retention time.Duration

	// Now is the clock of Retention. nil means time.Now.
	Now func() time.Time

	// Log is told what does not keep records from being written. nil means nobody.
	Log *slog.Logger
}

// parse returns how to connect. No error holds a part of the DSN.
func (cfg *Config) parse() (*pgx.ConnConfig, error) {
	if cfg.DSN == "" {
		return nil, errors.New("the DSN is missing: postgres://USER@HOST:PORT/DB")
	}
	c, err := pgx.ParseConfig(cfg.DSN)
	if err != nil { // whose text may hold a part of a password
		return nil, errors.New("is neither postgres://USER@HOST:PORT/DB nor host=HOST dbname=DB, or names files or an sslmode that cannot be used")
	}
	if cfg.Retention < 0 {
		return nil, fmt.Errorf("retention %v is less than 0", cfg.Retention)
	}
	c.Password = cmp.Or(cfg.Password, c.Password)
	c.ConnectTimeout = cmp.Or(c.ConnectTimeout, connectWithin)
	c.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe // which poolers take, too
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "supervisor-checks"
	}
	if cfg.TLS != nil {
		encrypt(c, cfg.TLS)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// encrypt has each host be tried once, with TLS.
func encrypt(c *pgx.ConnConfig, with *tls.Config) {
	all := append([]*pgconn.FallbackConfig{{Host: c.Host, Port: c.Port}}, c.Fallbacks...)
	all = slices.CompactFunc(all, func(a, b *pgconn.FallbackConfig) bool { return a.Host == b.Host && a.Port == b.Port })
	for _, host := range all {
		host.TLSConfig = with.Clone()
		host.TLSConfig.ServerName = cmp.Or(with.ServerName, host.Host)
	}
	c.TLSConfig, c.Fallbacks = all[0].TLSConfig, all[1:]
}

// connect returns a connection to a database whose schema is ours, or which has none.
func connect(ctx context.Context, c *pgx.ConnConfig) (conn *pgx.Conn, version int64, err error) {
	if conn, err = pgx.ConnectConfig(ctx, c); err != nil {
		return nil, 0, fmt.Errorf("connect: %w", plain(err))
	}
	err = conn.QueryRow(ctx, "SELECT coalesce(max(version_id) FILTER (WHERE is_applied), 0) FROM "+versions).Scan(&version)
	if code(err) == undefinedTable {
		version, err = 0, nil
	}
	if err == nil && version != 0 {
		err = fits(version, schema)
	}
	if err != nil {
		end(conn)
		return nil, 0, fmt.Errorf("look at the schema: %w", err)
	}
	return conn, version, nil
}

// plain takes the user and the database from the text of an error of connecting.
func plain(err error) error {
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) && connect.Unwrap() != nil {
		return connect.Unwrap()
	}
	return err
}

// endWithin bounds the leave that is taken of a server.
const endWithin = time.Second

// end takes leave of the server, without waiting for it.
func end(conn *pgx.Conn) {
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), endWithin)
		defer cancel()
		conn.Close(ctx)
	}()
}

// Codes of PostgreSQL's errors.
const (
	uniqueViolation = "23505"
	checkViolation  = "23514"
	undefinedTable  = "42P01"
)

// code is that of an error of the server, or "".
func code(err error) string {
	var server *pgconn.PgError
	if errors.As(err, &server) {
		return server.Code
	}
	return ""
}
