// Package sqlite keeps records in a file, with SQLite (modernc.org/sqlite, which needs no C).
package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/sinks"
)

// Defaults of a Config.
const (
	DefaultMaxAge   = 30 * 24 * time.Hour
	DefaultMaxBytes = 256 << 20
)

// Config configures a DB.
type Config struct {
	// Path is the file. It is required, and made with its folder where it is missing: for
	// its owner only.
	Path string

	// MaxAge is how old records become. 0 means DefaultMaxAge.
	MaxAge time.Duration

	// MaxBytes is about how large the file becomes: then the oldest results of checks and
	// probes go, and others when there are no such. 0 means DefaultMaxBytes.
	MaxBytes int64

	// Now is the clock. nil means time.Now.
	Now func() time.Time
}

// DB is a sinks.Writer. Several may have the same file, in several programs, and a record
// that they are given again is there once.
type DB struct {
	cfg    Config
	db     *sql.DB     // nil until it is needed
	file   os.FileInfo // which it is of
	pruned time.Time
	since  int // how many records were written since then
}

// What is kept within bounds is looked at this often, or after so many records.
const (
	pruneTime    = 10 * time.Minute
	pruneRecords = 10_000
	pruneAtOnce  = 500
	pruneLimit   = 2 * time.Second
)

// busyTime is how long another program may write.
const busyTime = 5 * time.Second

// New returns a DB. The file is opened, or made, with the first batch.
func New(cfg Config) (*DB, error) {
	if cfg.Path == "" {
		return nil, errors.New("sqlite: the path of the file is missing")
	}
	if cfg.MaxAge < 0 || cfg.MaxBytes < 0 {
		return nil, errors.New("sqlite: a limit is less than 0")
	}
	cfg.MaxAge, cfg.MaxBytes = cmp.Or(cfg.MaxAge, DefaultMaxAge), cmp.Or(cfg.MaxBytes, DefaultMaxBytes)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &DB{cfg: cfg}, nil
}

// The columns are what is searched for; record has all, in JSON.
const (
	schemaVersion = 1
	schema        = `
CREATE TABLE records (
	id     BLOB NOT NULL PRIMARY KEY, -- the 16 bytes of the UUID
	time   INTEGER NOT NULL,          -- microseconds since 1970, in UTC
	kind   TEXT NOT NULL,
	host   TEXT NOT NULL,
	about  TEXT NOT NULL,             -- the process, probe or group
	status TEXT NOT NULL,
	action TEXT NOT NULL,
	record TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX records_about ON records (about, time);
CREATE INDEX records_kind ON records (kind, time);
PRAGMA user_version = 1`
)

// dsn is how package sql is told to open the file.
func dsn(path string, options ...string) string {
	values := url.Values{"_busy_timeout": {fmt.Sprint(busyTime.Milliseconds())}}
	for i := 0; i < len(options); i += 2 {
		values.Set(options[i], options[i+1])
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + values.Encode()
}

// open opens the file, and makes it where it is missing.
func (d *DB) open(ctx context.Context) error {
	if d.db != nil {
		if there, err := os.Stat(d.cfg.Path); err == nil && os.SameFile(there, d.file) {
			return nil
		}
		d.Close() // somebody has removed it, or put it aside
	}
	if err := os.MkdirAll(filepath.Dir(d.cfg.Path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(d.cfg.Path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		if errors.Is(err, unix.ELOOP) {
			return fmt.Errorf("%s is a symbolic link: name what it points to", d.cfg.Path)
		}
		return err
	}
	d.file, err = f.Stat()
	f.Close()
	if err != nil {
		return err
	}
	db, err := sql.Open("sqlite", dsn(d.cfg.Path, "_auto_vacuum", "INCREMENTAL", "_journal_mode", "WAL", "_synchronous", "NORMAL", "_txlock", "immediate", "_pragma", "cache_size(-512)")) // in KiB
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	if err := prepare(ctx, db); err != nil {
		db.Close()
		return err
	}
	d.db = db
	return nil
}

// prepare makes the schema where there is none.
func prepare(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	version, err := versionOf(ctx, tx)
	if err != nil || version == schemaVersion {
		return err
	}
	if _, err := tx.ExecContext(ctx, schema); err != nil {
		return err
	}
	return tx.Commit()
}

// versionOf returns the version of the schema, 0 for an empty database. Another than
// ours is an error.
func versionOf(ctx context.Context, tx *sql.Tx) (version int, err error) {
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return 0, err
	}
	var tables int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master").Scan(&tables); err != nil {
		return 0, err
	}
	switch {
	case version == schemaVersion, version == 0 && tables == 0:
		return version, nil
	case version == 0:
		return 0, fmt.Errorf("%w: it is a database of something else: give another path", sinks.ErrSchema)
	}
	return 0, fmt.Errorf("%w: it has version %d, and this program knows %d: install a newer one, or give another path", sinks.ErrSchema, version, schemaVersion)
}

// WriteBatch implements sinks.Writer.
func (d *DB) WriteBatch(ctx context.Context, batch []record.Record) error {
	rejected, err := d.write(ctx, batch)
	if damaged(err) {
		err = d.putAside(ctx, err)
	}
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", d.cfg.Path, err)
	case len(rejected) > 0:
		return &sinks.RejectedError{Records: rejected}
	}
	return nil
}

func (d *DB) write(ctx context.Context, batch []record.Record) (rejected []sinks.Rejected, err error) {
	if err := d.open(ctx); err != nil {
		return nil, err
	}
	tx, err := d.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	insert, err := tx.PrepareContext(ctx, "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING")
	if err != nil {
		return nil, err
	}
	defer insert.Close()
	for i := range batch {
		r := &batch[i]
		id, err := idOf(r)
		var text []byte
		if err == nil {
			text, err = r.AppendJSON(nil)
		}
		if err != nil {
			rejected = append(rejected, sinks.Rejected{Index: i, Err: err})
			continue
		}
		if _, err := insert.ExecContext(ctx, id, r.Time.UnixMicro(), string(r.Kind), r.Host, r.About(), r.Status, r.Action, string(text)); err != nil {
			return nil, err
		}
	}
	if err := tx.Commit(); err != nil {
		return nil, err
	}
	if d.since += len(batch); d.since >= pruneRecords || d.cfg.Now().Sub(d.pruned).Abs() >= pruneTime {
		// The batch is there, and this is tried again with the next one; unless the file is
		// damaged: then the batch must be in the next file, too.
		if err := d.prune(ctx); damaged(err) {
			return nil, err
		}
	}
	return rejected, nil
}

// idOf returns the 16 bytes of an id.
func idOf(r *record.Record) ([]byte, error) {
	id, err := hex.DecodeString(strings.ReplaceAll(r.ID, "-", ""))
	if err != nil || len(id) != 16 {
		return nil, fmt.Errorf("its id %q is no UUID", r.ID)
	}
	return id, nil
}

// prune deletes what is too old, and what there is too much of, as far as that goes in
// pruneLimit.
func (d *DB) prune(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pruneLimit)
	defer cancel()
	remove := func(where string, args ...any) (int64, error) {
		done, err := d.db.ExecContext(ctx, "DELETE FROM records WHERE id IN (SELECT id FROM records WHERE "+where+" LIMIT ?)", append(args, pruneAtOnce)...)
		if err != nil {
			return 0, err
		}
		return done.RowsAffected()
	}
	oldest := d.cfg.Now().Add(-d.cfg.MaxAge).UnixMicro()
	for _, kind := range record.Kinds {
		for deleted := int64(pruneAtOnce); deleted == pruneAtOnce; {
			var err error
			if deleted, err = remove("kind = ? AND time < ?", kind, oldest); err != nil {
				return fmt.Errorf("delete what is old: %w", err)
			}
		}
	}
	for {
		used, err := d.used(ctx)
		if err != nil {
			return err
		}
		if used <= d.cfg.MaxBytes {
			break
		}
		deleted := int64(0)
		for _, kinds := range dispensable {
			if deleted > 0 {
				break
			}
			var oldest sql.NullString
			if err := d.db.QueryRowContext(ctx, "SELECT kind, min(time) FROM (SELECT kind, min(time) AS time FROM records WHERE kind IN "+kinds+" GROUP BY kind)").Scan(&oldest, new(sql.NullInt64)); err != nil {
				return err
			}
			if deleted, err = remove("kind = ? ORDER BY time", oldest.String); err != nil {
				return fmt.Errorf("delete the oldest: %w", err)
			}
		}
		if deleted == 0 {
			break
		}
	}
	if err := d.shrink(ctx); err != nil {
		return err
	}
	d.pruned, d.since = d.cfg.Now(), 0
	return nil
}

// dispensable are the kinds that go first, and those after them.
var dispensable = []string{"('check_result', 'probe_result')", "('transition', 'restart', 'group', 'listener')"}

// used is how many bytes of the file are in use.
func (d *DB) used(ctx context.Context) (int64, error) {
	var pages, free, size int64
	err := d.db.QueryRowContext(ctx, "SELECT page_count, freelist_count, page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size").Scan(&pages, &free, &size)
	return (pages - free) * size, err
}

// shrink gives pages that are free back to the disk.
func (d *DB) shrink(ctx context.Context) error {
	rows, err := d.db.QueryContext(ctx, "PRAGMA incremental_vacuum") // which does a page for each row
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
	}
	return rows.Err()
}

// damaged tells whether an error says that the file is no database, or a broken one.
func damaged(err error) bool {
	var code *sqlite.Error
	if !errors.As(err, &code) {
		return false
	}
	primary := code.Code() & 0xff
	return primary == sqlite3.SQLITE_CORRUPT || primary == sqlite3.SQLITE_NOTADB
}

// putAside renames a file that is damaged, so that the next batch begins a new one. Where
// somebody else has done so there is nothing to do.
func (d *DB) putAside(ctx context.Context, cause error) error {
	d.Close()
	lock, err := os.OpenFile(d.cfg.Path+".lock", os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return errors.Join(cause, err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("%w: another program puts it aside", cause)
	}
	if sound(ctx, d.cfg.Path) {
		return cause
	}
	aside := d.cfg.Path + ".damaged-" + d.cfg.Now().UTC().Format("20060102T150405Z")
	for _, part := range []string{"-wal", "-shm", ""} {
		if err := os.Rename(d.cfg.Path+part, aside+part); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%w: it cannot be put aside: %w", cause, err)
		}
	}
	return fmt.Errorf("it is damaged, and now %s: a new one is begun: %w", aside, cause)
}

// sound tells whether a file is a database without fault.
func sound(ctx context.Context, path string) bool {
	db, err := sql.Open("sqlite", dsn(path))
	if err != nil {
		return false
	}
	defer db.Close()
	var found string
	err = db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&found)
	return err == nil && found == "ok" || err != nil && !damaged(err) // it cannot be told
}

// Close implements sinks.Writer.
func (d *DB) Close() error {
	if d.db == nil {
		return nil
	}
	err := d.db.Close()
	d.db = nil
	return err
}
