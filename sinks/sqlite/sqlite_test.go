package sqlite_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/supervisor-checks/supervisor-checks/internal/testdisk"
	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/record/recordtest"
	"github.com/supervisor-checks/supervisor-checks/sinks"
	"github.com/supervisor-checks/supervisor-checks/sinks/sqlite"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// stamped is a record at a time.
func stamped(r record.Record, at time.Time) record.Record {
	r.Time = at
	r.Stamp()
	return r
}

func newDB(t *testing.T, cfg sqlite.Config) *sqlite.DB {
	t.Helper()
	if cfg.Path == "" {
		cfg.Path = filepath.Join(t.TempDir(), "sub", "history.db")
	}
	if cfg.Now == nil {
		cfg.Now = func() time.Time { return noon }
	}
	d, err := sqlite.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func put(t *testing.T, d *sqlite.DB, batch ...record.Record) {
	t.Helper()
	if err := d.WriteBatch(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
}

// found is what a filter finds.
func found(t *testing.T, path string, filter sinks.Filter) (all []record.Record) {
	t.Helper()
	r, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Find(t.Context(), filter, func(r record.Record) error {
		all = append(all, r)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// names are what those are about, and when, in seconds after noon.
func names(all []record.Record) string {
	var texts []string
	for _, r := range all {
		texts = append(texts, fmt.Sprintf("%s@%g", r.About(), r.Time.Sub(noon).Seconds()))
	}
	return strings.Join(texts, " ")
}

func TestDBKeepsAll(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b?%#", "history.db")
	d := newDB(t, sqlite.Config{Path: path})
	yes := true
	want := []record.Record{
		{Kind: record.CheckResult, Host: "h", Process: "web:a", Check: "tcp", Status: "healthy", Metrics: map[string]float64{"latency_seconds": 0.25}, Seconds: 1},
		{Kind: record.Transition, Process: "web:a", Check: "tcp", Status: "unhealthy", Before: "healthy", Reason: "'; DROP TABLE records; -- \x01 ü"},
		{Kind: record.Restart, Process: "web:a", Action: record.Stopping, Evidence: &record.Evidence{Parts: map[string]string{"stderr": "x\ny"}}},
		{Kind: record.Group, Group: "web", Action: record.Panicked},
		{Kind: record.ProbeResult, Probe: "db", Status: "unknown", URL: "http://x/", MatchesRegex: &yes},
		{Kind: record.Listener, Action: record.Started, Extra: map[string]json.RawMessage{"new": json.RawMessage(`{"a":1}`)}},
	}
	for i := range want {
		want[i] = stamped(want[i], noon.Add(time.Duration(i)*time.Second))
	}
	put(t, d, recordtest.Must(want...)...)
	put(t, d, want[2:]...) // for the second time
	if diff := cmp.Diff(want, found(t, path, sinks.Filter{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has %v, error %v", info.Mode(), err)
	}
}

func TestFind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	d := newDB(t, sqlite.Config{Path: path})
	at := func(seconds int, r record.Record) record.Record {
		return stamped(r, noon.Add(time.Duration(seconds)*time.Second))
	}
	put(t, d,
		at(3, record.Record{Kind: record.Transition, Host: "h1", Process: "web:a", Status: "unhealthy"}),
		at(1, record.Record{Kind: record.CheckResult, Host: "h1", Process: "web:a", Status: "healthy"}),
		at(2, record.Record{Kind: record.CheckResult, Host: "h2", Process: "web:b[1]", Status: "unhealthy"}),
		at(4, record.Record{Kind: record.Restart, Host: "h1", Process: "web:a", Action: record.Running}),
		at(5, record.Record{Kind: record.ProbeResult, Host: "h1", Probe: "db", Status: "healthy"}),
		at(6, record.Record{Kind: record.Group, Host: "h1", Group: "web", Action: record.Panicked}),
		at(7, record.Record{Kind: record.Listener, Host: "h3"}),
	)
	for name, tt := range map[string]struct {
		filter sinks.Filter
		want   string
	}{
		"all":           {sinks.Filter{}, "web:a@1 web:b[1]@2 web:a@3 web:a@4 db@5 web@6 @7"},
		"since":         {sinks.Filter{Since: noon.Add(4 * time.Second)}, "web:a@4 db@5 web@6 @7"},
		"until":         {sinks.Filter{Until: noon.Add(3 * time.Second)}, "web:a@1 web:b[1]@2"},
		"host":          {sinks.Filter{Host: "h2"}, "web:b[1]@2"},
		"kinds":         {sinks.Filter{Kinds: []record.Kind{record.Restart, record.Group}}, "web:a@4 web@6"},
		"statuses":      {sinks.Filter{Statuses: []string{"unhealthy"}}, "web:b[1]@2 web:a@3"},
		"actions":       {sinks.Filter{Actions: []string{record.Running, record.Panicked}}, "web:a@4 web@6"},
		"a pattern":     {sinks.Filter{About: []string{"web:*"}}, "web:a@1 web:b[1]@2 web:a@3 web:a@4 @7"},
		"two patterns":  {sinks.Filter{About: []string{"d?", "web"}}, "db@5 web@6 @7"},
		"with brackets": {sinks.Filter{About: []string{"web:b[1]"}}, "web:b[1]@2 @7"},
		"the newest":    {sinks.Filter{Limit: 2}, "web@6 @7"},
		"several":       {sinks.Filter{About: []string{"web:a"}, Statuses: []string{"healthy", "unhealthy"}, Since: noon.Add(2 * time.Second), Limit: 5}, "web:a@3"},
		"nothing":       {sinks.Filter{About: []string{"x"}}, "@7"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := names(found(t, path, tt.filter)); got != tt.want {
				t.Errorf("%s\nwant %s", got, tt.want)
			}
		})
	}
	r, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	enough := errors.New("enough")
	if err := r.Find(t.Context(), sinks.Filter{}, func(record.Record) error { return enough }); err != enough {
		t.Errorf("it ended with %v", err)
	}
}

// TestRetention has what is old go, then the oldest results, and others only after those.
func TestRetention(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	now := noon
	cfg := sqlite.Config{Path: path, MaxAge: time.Hour, Now: func() time.Time { return now }}
	d := newDB(t, cfg)
	put(t, d, stamped(record.Record{Kind: record.Restart, Process: "old"}, noon.Add(-59*time.Minute)), stamped(record.Record{Kind: record.CheckResult, Process: "new"}, noon))
	if got := names(found(t, path, sinks.Filter{})); got != "old@-3540 new@0" {
		t.Errorf("%s", got)
	}
	now = noon.Add(time.Hour)
	put(t, d)
	if got := names(found(t, path, sinks.Filter{})); got != "new@0" {
		t.Errorf("%s after an hour", got)
	}

	cfg.MaxAge, cfg.MaxBytes = 24*time.Hour, 2<<20
	d = newDB(t, cfg)
	padding := strings.Repeat("x", 3000)
	var first record.Record
	for i := range 40 {
		var batch []record.Record
		now = now.Add(10 * time.Minute) // when it looks
		for j := range 50 {
			kind := record.CheckResult
			if j == 0 {
				kind = record.Restart
			}
			batch = append(batch, stamped(record.Record{Kind: kind, Process: fmt.Sprint(i), Reason: padding}, now))
		}
		if i == 0 {
			first = batch[0]
		}
		put(t, d, batch...)
	}
	shrunk := func() { // for which it takes two seconds of a batch at most
		t.Helper()
		for begun := time.Now(); ; put(t, d) {
			info, err := os.Stat(path)
			if err == nil && info.Size() <= 3<<20 {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if time.Since(begun) > 30*time.Second {
				t.Fatalf("the file has %d bytes", info.Size())
			}
		}
	}
	shrunk()
	if got := found(t, path, sinks.Filter{Kinds: []record.Kind{record.Restart}}); len(got) != 40 || got[0].ID != first.ID {
		t.Errorf("%d of 40 restarts are left", len(got))
	}
	results := found(t, path, sinks.Filter{Kinds: []record.Kind{record.CheckResult}})
	if n := len(results); n == 0 || n > 1000 || results[0].Process == "0" || results[n-1].Process != "39" {
		t.Errorf("%d results are left", n)
	}

	var restarts []record.Record
	for i := range 1000 {
		restarts = append(restarts, stamped(record.Record{Kind: record.Restart, Process: fmt.Sprint("r", i), Reason: padding}, now))
	}
	now = now.Add(10 * time.Minute)
	put(t, d, restarts...)
	shrunk()
	if n := len(found(t, path, sinks.Filter{Kinds: []record.Kind{record.Restart}})); n == 0 || n >= 1000 {
		t.Errorf("%d restarts are left", n)
	}
}

// TestRemoved has somebody remove the file: another is begun. Then another program puts it
// aside, and begins one: that is the one from there on.
func TestRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	d := newDB(t, sqlite.Config{Path: path})
	restart := func(name string) record.Record {
		return stamped(record.Record{Kind: record.Restart, Process: name}, noon)
	}
	put(t, d, restart("before"))
	for _, part := range []string{"", "-wal", "-shm"} {
		os.Remove(path + part)
	}
	put(t, d, restart("after"))
	if got := names(found(t, path, sinks.Filter{})); got != "after@0" {
		t.Errorf("%s", got)
	}
	for _, part := range []string{"", "-wal", "-shm"} {
		os.Rename(path+part, path+".aside"+part)
	}
	put(t, newDB(t, sqlite.Config{Path: path}), restart("of another"))
	put(t, d, restart("again"))
	if got := names(found(t, path, sinks.Filter{})); got != "of another@0 again@0" {
		t.Errorf("%s", got)
	}
}

// TestSeveralWriters write at once, and none loses or doubles a record.
func TestSeveralWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			d, err := sqlite.New(sqlite.Config{Path: path})
			if err != nil {
				t.Error(err)
				return
			}
			defer d.Close()
			for j := range 25 {
				r := record.Record{Kind: record.CheckResult, Process: fmt.Sprintf("%d:%d", i, j)}
				r.Stamp()
				for d.WriteBatch(context.Background(), []record.Record{r}) != nil && t.Context().Err() == nil {
				}
			}
		})
	}
	wg.Wait()
	seen := make(map[string]int)
	for _, r := range found(t, path, sinks.Filter{}) {
		seen[r.Process]++
	}
	if len(seen) != 100 {
		t.Errorf("there are %d of 100 records", len(seen))
	}
}

func TestPoison(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	d := newDB(t, sqlite.Config{Path: path})
	var batch []record.Record
	for i := range 1000 {
		batch = append(batch, stamped(record.Record{Kind: record.Kinds[i%len(record.Kinds)], Process: fmt.Sprint(i)}, noon))
	}
	batch[7].ID = "7"
	batch[8].ID = ""
	batch[9].Extra = map[string]json.RawMessage{"x": json.RawMessage("{")}
	err := d.WriteBatch(t.Context(), batch)
	var rejected *sinks.RejectedError
	if !errors.As(err, &rejected) || len(rejected.Records) != 3 || rejected.Records[0].Index != 7 || rejected.Records[1].Index != 8 || rejected.Records[2].Index != 9 {
		t.Errorf("%v", err)
	}
	if n := len(found(t, path, sinks.Filter{})); n != 997 {
		t.Errorf("there are %d of 997 records", n)
	}
}

func TestOtherFiles(t *testing.T) {
	r := stamped(record.Record{Kind: record.Restart, Process: "web:a"}, noon)
	t.Run("of a newer program", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "history.db")
		put(t, newDB(t, sqlite.Config{Path: path}), r)
		sqlTo(t, path, "PRAGMA user_version = 2")
		err := newDB(t, sqlite.Config{Path: path}).WriteBatch(t.Context(), []record.Record{r})
		want := path + ": the schema of the database does not fit this program: it has version 2, and this program knows 1: install a newer one, or give another path"
		if !errors.Is(err, sinks.ErrSchema) || err.Error() != want {
			t.Errorf("%v\nwant %s", err, want)
		}
		if _, err := sqlite.Open(t.Context(), path); !errors.Is(err, sinks.ErrSchema) {
			t.Errorf("reading it: %v", err)
		}
	})
	t.Run("of something else", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "cookies.db")
		sqlTo(t, path, "CREATE TABLE cookies (a)")
		err := newDB(t, sqlite.Config{Path: path}).WriteBatch(t.Context(), []record.Record{r})
		if !errors.Is(err, sinks.ErrSchema) {
			t.Errorf("%v", err)
		}
	})
	t.Run("not there", func(t *testing.T) {
		if _, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "x")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v", err)
		}
	})
	t.Run("a link", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "history.db")
		if err := os.Symlink("elsewhere", path); err != nil {
			t.Fatal(err)
		}
		if err := newDB(t, sqlite.Config{Path: path}).WriteBatch(t.Context(), []record.Record{r}); err == nil || !strings.HasSuffix(err.Error(), "is a symbolic link: name what it points to") {
			t.Errorf("%v", err)
		}
	})
}

func sqlTo(t *testing.T, path, text string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(text); err != nil {
		t.Fatal(err)
	}
}

// TestDamage has a broken file be put aside by the first that sees it, and another be begun.
func TestDamage(t *testing.T) {
	for name, harm := range map[string]func(text []byte) []byte{
		"something else": func([]byte) []byte { return []byte(strings.Repeat("no database", 1000)) },
		"broken pages": func(text []byte) []byte {
			for i := 4096 + 100; i < len(text); i++ {
				text[i] = 0xee
			}
			return text
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "history.db")
			first := newDB(t, sqlite.Config{Path: path})
			put(t, first, stamped(record.Record{Kind: record.Restart, Process: "before"}, noon))
			first.Close()
			text, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(path, harm(text), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			r := stamped(record.Record{Kind: record.Restart, Process: "after"}, noon)
			one, other := newDB(t, sqlite.Config{Path: path}), newDB(t, sqlite.Config{Path: path})
			if err := one.WriteBatch(t.Context(), []record.Record{r}); err == nil || !strings.Contains(err.Error(), "it is damaged, and now "+path+".damaged-") {
				t.Errorf("%v", err)
			}
			put(t, one, r)
			put(t, other, r)
			if got := names(found(t, path, sinks.Filter{})); got != "after@0" {
				t.Errorf("%s", got)
			}
			if aside, _ := filepath.Glob(path + ".damaged-*Z"); len(aside) != 1 {
				t.Errorf("put aside are %v", aside)
			}
		})
	}
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	d := newDB(t, sqlite.Config{Path: filepath.Join(dir, "history.db")})
	first := stamped(record.Record{Kind: record.Restart, Process: "first"}, noon)
	put(t, d, first)
	d.Close()
	end := testdisk.Full(t, dir)
	second := stamped(record.Record{Kind: record.Restart, Process: "second"}, noon.Add(time.Second))
	if err := d.WriteBatch(t.Context(), []record.Record{second}); err == nil {
		t.Error("it has room on a full disk")
	}
	end()
	put(t, d, second)
	if got := names(found(t, filepath.Join(dir, "history.db"), sinks.Filter{})); got != "first@0 second@1" {
		t.Errorf("%s", got)
	}
}

func BenchmarkDB(b *testing.B) {
	d, err := sqlite.New(sqlite.Config{Path: filepath.Join(b.TempDir(), "history.db")})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	batch := make([]record.Record, 500)
	for b.Loop() {
		for i := range batch {
			batch[i] = record.Record{Kind: record.CheckResult, Host: "web7", Supervisord: "supervisor", Process: "web:web_8001", PID: 4711, Check: "http", Status: "healthy", Seconds: 0.0123, Metrics: map[string]float64{"latency_seconds": 0.0123}}
			batch[i].Stamp()
		}
		if err := d.WriteBatch(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*len(batch))/b.Elapsed().Seconds(), "records/s")
}
