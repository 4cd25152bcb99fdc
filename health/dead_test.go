package health_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/health"
	"github.com/supervisor-checks/supervisor-checks/internal/testdisk"
)

// source is a source of results that change.
type source struct {
	mu  sync.Mutex
	all []health.Result
}

func (s *source) set(all ...health.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = all
}

// folder is a gate with a folder and a source, which a test has look.
type folder struct {
	*testing.T
	*source
	dir  string
	gate *health.Gate

	troubles chan string
}

func (s *source) Check(context.Context) []health.Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}

func newFolder(t *testing.T) *folder {
	t.Helper()
	return newFolderAt(t, t.TempDir(), health.GateConfig{Name: "x"})
}

func newFolderAt(t *testing.T, dir string, cfg health.GateConfig) *folder {
	t.Helper()
	f := &folder{T: t, source: new(source), dir: dir, troubles: make(chan string, 10)}
	cfg.Folder, cfg.Sources, cfg.LookTime = dir, []health.Source{f.source}, time.Millisecond
	now := time.Now()
	cfg.Now = func() time.Time { return now } // so that nothing is stale on a busy machine
	cfg.Trouble = func(err error) { f.troubles <- fmt.Sprint(err) }
	gate, err := health.NewGate(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f.gate = gate
	run(t, gate)
	return f
}

// until waits until the gate answers with a status and the files are those.
func (f *folder) until(status int, files ...string) {
	f.Helper()
	var got int
	var names []string
	for begun := time.Now(); time.Since(begun) < 10*time.Second; time.Sleep(time.Millisecond) {
		got, _ = ask(f.gate, "GET")
		names = nil
		entries, err := os.ReadDir(f.dir)
		if err != nil {
			f.Fatal(err)
		}
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), ".dead") {
				names = append(names, e.Name())
			}
		}
		if got == status && fmt.Sprint(names) == fmt.Sprint(files) {
			return
		}
	}
	f.Fatalf("%d with files %v, want %d with %v", got, names, status, files)
}

// remains has the gate look some times, and that is as it was.
func (f *folder) remains(status int, files ...string) {
	f.Helper()
	for range 20 {
		f.until(status, files...)
		time.Sleep(time.Millisecond)
	}
}

// says waits until the gate answers with a text.
func (f *folder) says(want string) {
	f.Helper()
	var got string
	for begun := time.Now(); time.Since(begun) < 10*time.Second; time.Sleep(time.Millisecond) {
		if _, got = ask(f.gate, "GET"); got == want {
			return
		}
	}
	f.Fatalf("it says %q, want %q", got, want)
}

func healthy(name string) health.Result { return health.Result{Name: name, Status: health.Healthy} }

func unhealthy(name string) health.Result { return health.Result{Name: name, Status: health.Unhealthy} }

// TestDeadOnDiskWithoutRoom has a gate that cannot write what is dead be shut all the
// same, say why, and be open when all is healthy.
func TestDeadOnDiskWithoutRoom(t *testing.T) {
	for name, tt := range map[string]struct {
		make func(*testing.T, string) func()
		text string
	}{
		"full":      {testdisk.Full, "no space left on device"},
		"read-only": {testdisk.ReadOnly, "read-only file system"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFolder(t)
			end := tt.make(t, f.dir)
			f.set(unhealthy("db"))
			f.until(503)
			if text := <-f.troubles; !strings.Contains(text, tt.text) {
				t.Errorf("told of %q", text)
			}
			f.set(healthy("db"))
			f.until(200)
			if text := <-f.troubles; text != "<nil>" {
				t.Errorf("told of %q", text)
			}
			f.set(unhealthy("db"))
			<-f.troubles
			end() // somebody has made room
			f.until(503, "db.dead")
			if text := <-f.troubles; text != "<nil>" {
				t.Errorf("told of %q", text)
			}
		})
	}
}

// TestDeadAreKept leaves what it wrote before its end until it knows that it is healthy.
func TestDeadAreKept(t *testing.T) {
	f := newFolder(t)
	f.set(healthy("supervisord"), health.Result{Process: "web:a", Name: "http", Status: health.Unhealthy})
	f.until(503, "web:a.http.dead")
	f.set(health.Result{Name: "supervisord", Status: health.Unknown}) // as after a restart
	f.until(503, "supervisord.dead", "web:a.http.dead")
	f.remains(503, "supervisord.dead", "web:a.http.dead")
	f.set(healthy("supervisord"), health.Result{Process: "web:a", Name: "http", Status: health.Unknown})
	f.until(503, "web:a.http.dead")
	f.set(healthy("supervisord"), health.Result{Process: "web:a", Name: "http", Status: health.Healthy})
	f.until(200)
	f.set(unhealthy("gone"))
	f.until(503, "gone.dead")
	f.set(healthy("supervisord"))
	f.until(200)
}

// TestDeadOfOneFile has names that are the same as those of files, and long ones.
func TestDeadOfOneFile(t *testing.T) {
	f := newFolder(t)
	f.set(unhealthy("a/b"), health.Result{Name: "a_b", Status: health.Stale}, unhealthy("..."))
	f.until(503, "_.dead", "a_b.dead")
	path := filepath.Join(f.dir, "a_b.dead")
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	f.remains(503, "_.dead", "a_b.dead")
	if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
		t.Errorf("it was written again: error %v", err)
	}
	if text, _ := os.ReadFile(path); !strings.HasPrefix(string(text), "unhealthy; stale\n") {
		t.Errorf("the file has %q", text)
	}
	f.set(healthy("a/b"), unhealthy("a_b"))
	f.until(503, "a_b.dead")
	f.set(healthy("a/b"), healthy("a_b"))
	f.until(200)

	x, y := strings.Repeat("ä", 500), strings.Repeat("ä", 501)
	f.set(unhealthy(x), unhealthy(y))
	for begun := time.Now(); ; time.Sleep(time.Millisecond) {
		if files, _ := filepath.Glob(f.dir + "/*.dead"); len(files) == 2 {
			break
		} else if time.Since(begun) > 10*time.Second {
			t.Fatalf("files %q", files)
		}
	}
	f.set(healthy(x), healthy(y))
	f.until(200)
	if len(f.troubles) > 0 {
		t.Errorf("told of %q", <-f.troubles)
	}
}

// TestDeadOfTwo has two gates of one name share a folder, and a third one that only reads.
func TestDeadOfTwo(t *testing.T) {
	a := newFolder(t)
	b := newFolderAt(t, a.dir, health.GateConfig{Name: "x", Owner: "b"})
	c := newFolderAt(t, a.dir, health.GateConfig{Name: "x", Owner: "c", ReadOnly: true})
	a.set(unhealthy("db"))
	b.set(healthy("db"))
	c.set(healthy("db"))
	for _, f := range []*folder{a, b, c} {
		f.until(503, "db.dead")
	}
	for range 5 {
		a.remains(503, "db.dead")
	}
	c.set(unhealthy("cache"))
	c.remains(503, "db.dead")
	a.set(healthy("db"))
	a.until(200)
	b.until(200)
}

// TestDeadOfOthers counts files whose names ours would never have, and leaves them alone.
func TestDeadOfOthers(t *testing.T) {
	f := newFolder(t)
	f.set(unhealthy("db_x"))
	f.until(503, "db_x.dead")
	other := filepath.Join(f.dir, "db\tx.dead")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f.remains(503, "db\tx.dead", "db_x.dead")
	f.set(healthy("db_x"))
	f.until(503, "db\tx.dead")
	f.says("Server: x reports:\nThe db\tx is DEAD!\n")
	if len(f.troubles) > 0 {
		t.Errorf("told of %q", <-f.troubles)
	}
}
