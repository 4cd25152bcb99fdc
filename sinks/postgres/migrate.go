package postgres

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/supervisor-checks/supervisor-checks/sinks"
)

// schema is the version of the schema that this program knows, and versions the table that
// has the one of a database.
const (
	schema   = 1
	versions = "supervisor_checks_version"
)

// Advisory locks of a database.
const (
	migrating = 0x7375_7065_7201 + iota
	partitioning
	expiring
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate gives a database the schema that this program knows, and returns the versions
// before and after. One that is newer is left alone, and the error wraps sinks.ErrSchema.
// Of several at once one does it, and the others wait.
func Migrate(ctx context.Context, cfg Config) (from, to int64, err error) {
	c, err := cfg.parse()
	if err != nil {
		return 0, 0, err
	}
	return cfg.migrate(ctx, c)
}

func (cfg *Config) migrate(ctx context.Context, c *pgx.ConnConfig) (from, to int64, err error) {
	c = c.Copy()
	c.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { cfg.Log.Warn("postgres: " + n.Message) }
	c.RuntimeParams["client_min_messages"] = "warning"
	db := stdlib.OpenDB(*c)
	defer db.Close()
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return 0, 0, err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithTableName(versions), goose.WithSessionLocker(turn{}), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return 0, 0, err
	}
	if err := db.PingContext(ctx); err != nil {
		return 0, 0, fmt.Errorf("connect: %w", plain(err))
	}
	done, err := provider.Up(ctx)
	if err != nil {
		if code(err) != "" { // it is not that the server is away
			err = fmt.Errorf("%w: %w: run supervisor_checks migrate-db as a user who may create tables, in a schema of their own if there are others of these names", sinks.ErrSchema, err)
		}
		return 0, 0, fmt.Errorf("migrate: %w", err)
	}
	if to, err = provider.GetDBVersion(ctx); err != nil {
		return 0, 0, fmt.Errorf("migrate: %w", err)
	}
	if err := fits(to, schema); err != nil {
		return to, to, err
	}
	return to - int64(len(done)), to, nil
}

// turn lets one migrate at a time. Others wait in a line, where goose's own asks every second.
type turn struct{}

func (turn) SessionLock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", int64(migrating))
	return err
}

func (turn) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "SELECT pg_advisory_unlock($1)", int64(migrating))
	return err
}

// fits returns an error unless the version of a database is the one that is known.
func fits(version, known int64) error {
	switch {
	case version < known:
		return fmt.Errorf("%w: it has version %d, and %d is needed: run supervisor_checks migrate-db, and update those who use an older one", sinks.ErrSchema, version, known)
	case version > known:
		return fmt.Errorf("%w: it has version %d, and only %d is known: somebody has run a newer supervisor_checks migrate-db: update this program", sinks.ErrSchema, version, known)
	}
	return nil
}
