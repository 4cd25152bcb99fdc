package sinks_test

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/testdisk"
	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/sinks"
)

// processesIn are those of the records in a file of JSON lines; "-" for a line that is none.
func processesIn(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		return "none"
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		var r record.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			r.Process = "-"
		}
		names = append(names, r.Process)
	}
	return strings.Join(names, " ")
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "records.jsonl")
	now := time.Now()
	cfg := sinks.FileConfig{Path: path, MaxBytes: 300, MaxAge: time.Hour, Keep: 2, Now: func() time.Time { return now }}
	open := func() *sinks.File {
		t.Helper()
		f, err := sinks.NewFile(cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	f := open()
	write := func(names ...string) {
		t.Helper()
		var batch []record.Record
		for _, name := range names {
			batch = append(batch, result(name))
		}
		if err := f.WriteBatch(t.Context(), batch); err != nil {
			t.Error(err)
		}
	}
	want := func(names ...string) {
		t.Helper()
		for i, name := range names {
			if got := processesIn(t, path+[]string{"", ".1", ".2", ".3"}[i]); got != name {
				t.Errorf("file %d has %q, want %q", i, got, name)
			}
		}
	}
	write("a")
	write("b", "c")
	want("a b c", "none")
	write("d") // too long
	want("d", "a b c", "none")
	now = now.Add(time.Hour)
	write("e") // too old
	want("e", "d", "a b c", "none")
	now = now.Add(time.Hour)
	write("f")
	want("f", "e", "d", "none")

	now = time.Now()
	os.Rename(path, path+".moved") // by somebody else
	write("g")
	want("g", "e")
	f.Close()
	f = open()
	now = now.Add(59 * time.Minute)
	write("h")
	want("g h", "e")
	f.Close()
	now = now.Add(time.Minute) // an hour after the first record
	f = open()
	write("i")
	want("i", "g h", "e")
	f.Close()
	now = time.Now()
	os.WriteFile(path, []byte(`{"version":1,"proc`), 0o600) // the machine has crashed
	f = open()
	write("h")
	want("- h", "g h")

	bad := result("bad")
	bad.Metrics = map[string]float64{"x": math.NaN()}
	var rejected *sinks.RejectedError
	if err := f.WriteBatch(t.Context(), []record.Record{result("i"), bad, result("j")}); !errors.As(err, &rejected) || len(rejected.Records) != 1 || rejected.Records[0].Index != 1 {
		t.Errorf("error %v", err)
	}
	want("- h i j")
	for _, cfg := range []sinks.FileConfig{{}, {Path: path, MaxBytes: -1}} {
		if _, err := sinks.NewFile(cfg); err == nil {
			t.Errorf("%+v is accepted", cfg)
		}
	}

	// What cannot be opened now can be later.
	if f, err := sinks.NewFile(sinks.FileConfig{Path: dir}); err != nil || f.WriteBatch(t.Context(), []record.Record{result("a")}) == nil {
		t.Errorf("a folder is written to, error %v", err)
	}
	cfg.Path = filepath.Join(dir, "sub", "file")
	f = open()
	if err := f.WriteBatch(t.Context(), []record.Record{result("a")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	if err := os.Mkdir(filepath.Dir(cfg.Path), 0o700); err != nil {
		t.Fatal(err)
	}
	write("a")
	if got := processesIn(t, cfg.Path); got != "a" {
		t.Errorf("it has %q", got)
	}
}

// TestFileWithoutRoom is on a disk that has no room, and has some again.
func TestFileWithoutRoom(t *testing.T) {
	dir := t.TempDir()
	f, err := sinks.NewFile(sinks.FileConfig{Path: filepath.Join(dir, "x")})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	end := testdisk.Full(t, dir)
	if err := f.WriteBatch(t.Context(), []record.Record{result("a")}); err == nil {
		t.Error("it is written where there is no room")
	}
	end()
	if err := f.WriteBatch(t.Context(), []record.Record{result("a")}); err != nil {
		t.Error(err)
	}
	if got := processesIn(t, filepath.Join(dir, "x")); got != "a" {
		t.Errorf("it has %q", got)
	}
}

func BenchmarkFile(b *testing.B) {
	f, err := sinks.NewFile(sinks.FileConfig{Path: filepath.Join(b.TempDir(), "x")})
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	batch := make([]record.Record, 500)
	for i := range batch {
		batch[i] = result("web:a")
	}
	for b.Loop() {
		if err := f.WriteBatch(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(500*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
