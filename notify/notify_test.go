package notify

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// supervised makes this process one that supervisord runs as web:w, with a
// folder of its own, and returns that and the path of its notification file.
func supervised(t *testing.T) (root, path string) {
	t.Helper()
	t.Setenv("SUPERVISOR_GROUP_NAME", "web")
	t.Setenv("SUPERVISOR_PROCESS_NAME", "w")
	root = t.TempDir()
	return root, filepath.Join(root, "web-w-"+strconv.Itoa(os.Getpid()))
}

func open(t *testing.T, root string) *File {
	t.Helper()
	f, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func stat(t *testing.T, path string) os.FileInfo {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func isThere(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// mustNotify sends a heartbeat.
func mustNotify(t *testing.T, f *File) {
	t.Helper()
	if sent, err := f.Notify(); !sent || err != nil {
		t.Fatalf("Notify() = %v, %v", sent, err)
	}
}

// entries returns the names of what is in the folder root.
func entries(t *testing.T, root string) []string {
	t.Helper()
	found, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range found {
		names = append(names, entry.Name())
	}
	return names
}

func TestOpenCreatesAnEmptyFileWithoutRights(t *testing.T) {
	root, path := supervised(t)
	open(t, root)
	if info := stat(t, path); info.Mode() != 0 || info.Size() != 0 {
		t.Errorf("the file has mode %v and %d bytes", info.Mode(), info.Size())
	}
	if names := entries(t, root); len(names) != 1 {
		t.Errorf("there is more than the file: %q", names)
	}
}

func TestNotifyTurnsTheModeOverAndMovesTheCtime(t *testing.T) {
	root, path := supervised(t)
	f := open(t, root)
	before := ctime(t, path)
	for _, want := range []os.FileMode{1, 0, 1, 0} {
		mustNotify(t, f)
		if got := stat(t, path).Mode(); got != want {
			t.Errorf("the mode is %v, want %v", got, want)
		}
	}
	// The clock of the file system may be coarse: beat until it has moved on.
	for give := time.Now().Add(5 * time.Second); !ctime(t, path).After(before); {
		if time.Now().After(give) {
			t.Fatal("the ctime does not move")
		}
		mustNotify(t, f)
	}
}

func TestNotifyCreatesTheFileAgain(t *testing.T) {
	tests := []struct {
		name    string
		disturb func(t *testing.T, root, path string)
	}{
		{"after a clean-up", func(t *testing.T, _, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}},
		{"after another File of this process", func(t *testing.T, root, _ string) { open(t, root) }},
		{"after another File of this process was closed", func(t *testing.T, root, _ string) {
			if err := open(t, root).Close(); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root, path := supervised(t)
			f := open(t, root)
			mustNotify(t, f)
			tt.disturb(t, root, path)
			mustNotify(t, f)
			if !f.inPlace() {
				t.Error("the file in place is not that of the File")
			}
			mustNotify(t, f)
			if mode := stat(t, path).Mode(); mode != 1 {
				t.Errorf("the heartbeat after that left mode %v, want 1", mode)
			}
		})
	}
}

func TestNotifyAfterTheFolderIsGone(t *testing.T) {
	root, _ := supervised(t)
	root = filepath.Join(root, "gone")
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	f := open(t, root)
	if err := os.RemoveAll(root); err != nil {
		t.Fatal(err)
	}
	if sent, err := f.Notify(); sent || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Notify() = %v, %v", sent, err)
	}
}

func TestClose(t *testing.T) {
	root, path := supervised(t)
	f := open(t, root)
	if err := f.Close(); err != nil || isThere(path) {
		t.Errorf("Close() = %v, and the file is there: %v", err, isThere(path))
	}
	if sent, err := f.Notify(); sent || !errors.Is(err, os.ErrClosed) {
		t.Errorf("Notify() = %v, %v, want os.ErrClosed", sent, err)
	}
	if err := f.Close(); err != nil {
		t.Errorf("second Close() = %v", err)
	}
}

func TestCloseLeavesWhatIsNotItsOwn(t *testing.T) {
	root, path := supervised(t)
	first := open(t, root)
	second := open(t, root)
	if err := first.Close(); err != nil || !isThere(path) {
		t.Errorf("Close() = %v, and the file of the other is there: %v", err, isThere(path))
	}
	mustNotify(t, second)
}

func TestNotSupervised(t *testing.T) {
	tests := []struct{ name, group, process string }{
		{"no group", "", "w"},
		{"no name", "web", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("SUPERVISOR_GROUP_NAME", tt.group)
			t.Setenv("SUPERVISOR_PROCESS_NAME", tt.process)
			if _, _, err := Identity(); err != ErrNotSupervised {
				t.Errorf("Identity: %v", err)
			}
			f := open(t, filepath.Join(t.TempDir(), "missing"))
			if sent, err := f.Notify(); sent || err != nil {
				t.Errorf("Notify() = %v, %v", sent, err)
			}
			if err := f.Close(); err != nil {
				t.Errorf("Close() = %v", err)
			}
		})
	}
}

func TestNilFile(t *testing.T) {
	var f *File
	if sent, err := f.Notify(); sent || err != nil {
		t.Errorf("Notify() = %v, %v", sent, err)
	}
	if err := f.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
}

func TestOpenReplacesAStaleFileOfOurs(t *testing.T) {
	root, path := supervised(t)
	if err := os.WriteFile(path, []byte("stale"), 0o001); err != nil {
		t.Fatal(err)
	}
	f := open(t, root)
	if !f.inPlace() || stat(t, path).Size() != 0 {
		t.Error("the stale file is still in place")
	}
}

func TestOpenRefuses(t *testing.T) {
	tests := []struct {
		name  string
		plant func(path string) error
		want  string // PATH stands for the path
	}{
		{"a symbolic link", func(path string) error { return os.Symlink("/etc/passwd", path) }, "notify: PATH is not a regular file; remove it"},
		{"a dangling link", func(path string) error { return os.Symlink("nowhere", path) }, "notify: PATH is not a regular file; remove it"},
		{"a folder", func(path string) error { return os.Mkdir(path, 0o700) }, "notify: PATH is not a regular file; remove it"},
		{"a pipe", func(path string) error { return syscall.Mkfifo(path, 0o600) }, "notify: PATH is not a regular file; remove it"},
		{"a file of somebody else", func(path string) error {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				return err
			}
			return os.Chown(path, 12345, 12345)
		}, "notify: PATH belongs to user 12345; remove it"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root, path := supervised(t)
			err := tt.plant(path)
			if errors.Is(err, os.ErrPermission) && os.Geteuid() != 0 {
				t.Skip("NOT TESTED: it takes root to give a file away")
			}
			if err != nil {
				t.Fatal(err)
			}
			before := stat(t, path)
			want := strings.ReplaceAll(tt.want, "PATH", path)
			if _, err := Open(root); text(err) != want {
				t.Errorf("Open: %v\nwant %s", err, want)
			}
			if err := Beat(root, "web", "w", os.Getpid()); text(err) != want {
				t.Errorf("Beat: %v\nwant %s", err, want)
			}
			if !os.SameFile(before, stat(t, path)) {
				t.Error("it was replaced")
			}
			if names := entries(t, root); len(names) != 1 {
				t.Errorf("something was left behind: %q", names)
			}
		})
	}
}

func TestNamesThatNoFileCanHave(t *testing.T) {
	for _, name := range []string{"a/b", "../a", "a\x00"} {
		if path := Path("/run", "web", name, 1); path != "" {
			t.Errorf("%q: path %q", name, path)
		}
		if path := Path("/run", name, "w", 1); path != "" {
			t.Errorf("%q as the group: path %q", name, path)
		}
		if err := Beat(t.TempDir(), "web", name, 1); err == nil {
			t.Errorf("%q: Beat did not fail", name)
		}
	}
	t.Setenv("SUPERVISOR_GROUP_NAME", "web")
	t.Setenv("SUPERVISOR_PROCESS_NAME", "a/b")
	if _, err := Open(t.TempDir()); text(err) != `notify: "web" and "a/b" cannot be part of a file name` {
		t.Errorf("Open: %v", err)
	}
}

func TestPath(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	tests := []struct{ root, group, name, want string }{
		{"/run/beats", "web", "w_1", "/run/beats/web-w_1-42"},
		{"/run/beats/", "..", "..", "/run/beats/..-..-42"},
		{"", "web", "w", filepath.Join(os.Getenv("TMPDIR"), "web-w-42")},
	}
	for _, tt := range tests {
		if got := Path(tt.root, tt.group, tt.name, 42); got != tt.want {
			t.Errorf("Path(%q, %q, %q, 42) = %q, want %q", tt.root, tt.group, tt.name, got, tt.want)
		}
	}
}

func TestRoot(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	missing := filepath.Join(first, "missing")
	tests := []struct{ name, tmpdir, temp, tmp, want string }{
		{"TMPDIR before TEMP", first, second, "", first},
		{"TEMP before TMP", "", second, first, second},
		{"TMP alone", "", "", first, first},
		{"a TMPDIR that is missing", missing, second, "", second},
		{"a TMPDIR that takes no files", "/proc/self", second, "", second},
		{"none of them", "", "", "", "/tmp"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("TMPDIR", tt.tmpdir)
			t.Setenv("TEMP", tt.temp)
			t.Setenv("TMP", tt.tmp)
			if got := Root(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if names := entries(t, second); len(names) != 0 {
				t.Errorf("something was left behind: %q", names)
			}
			if python := exec.Command("python3", "-c", "import tempfile; print(tempfile.gettempdir())"); havePython {
				out, err := python.Output()
				if got := strings.TrimSpace(string(out)); err != nil || got != tt.want {
					t.Errorf("Python says %s, %v, want %s", got, err, tt.want)
				}
			}
		})
	}
}

func TestBeat(t *testing.T) {
	root, path := t.TempDir(), ""
	for range 3 {
		if err := Beat(root, "web", "w", 42); err != nil {
			t.Fatal(err)
		}
		path = filepath.Join(root, "web-w-42")
		if mode := stat(t, path).Mode(); mode != 0 {
			t.Errorf("the mode is %v", mode)
		}
	}
	if names := entries(t, root); len(names) != 1 {
		t.Errorf("there is more than the file: %q", names)
	}
}

// Whoever looks while the file is created again and again always finds one.
func TestTheFileIsNeverMissing(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "web-w-42")
	if err := Beat(root, "web", "w", 42); err != nil {
		t.Fatal(err)
	}
	var beats sync.WaitGroup
	beats.Go(func() {
		for range 500 {
			if err := Beat(root, "web", "w", 42); err != nil {
				t.Error(err)
			}
		}
	})
	done := make(chan struct{})
	go func() { beats.Wait(); close(done) }()
	for {
		select {
		case <-done:
			return
		default:
			if _, err := os.Lstat(path); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestNotifyAtOnceFromManyGoroutines(t *testing.T) {
	root, path := supervised(t)
	f := open(t, root)
	var beats sync.WaitGroup
	for range 8 {
		beats.Go(func() {
			for range 50 {
				if sent, err := f.Notify(); !sent || err != nil {
					t.Errorf("Notify() = %v, %v", sent, err)
				}
			}
		})
	}
	beats.Wait()
	if mode := stat(t, path).Mode(); mode != 0 {
		t.Errorf("after 400 heartbeats the mode is %v, want 0", mode)
	}
}

var havePython = func() bool {
	_, err := exec.LookPath("python3")
	return err == nil
}()

func needPython(t *testing.T) {
	if !havePython {
		t.Skip("NOT TESTED: there is no python3")
	}
}

func TestPythonJudgesOurHeartbeat(t *testing.T) {
	needPython(t)
	root, path := supervised(t)
	mustNotify(t, open(t, root))
	out, err := exec.Command("python3", "testdata/age.py", path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if age, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64); err != nil || age < 0 || age > 60 {
		t.Errorf("Python takes it to be %s seconds old, %v", out, err)
	}
}

func TestPythonWorkerHasTheSamePath(t *testing.T) {
	needPython(t)
	root, _ := supervised(t)
	t.Setenv("TMPDIR", root)
	worker := exec.Command("python3", "testdata/worker.py")
	out, err := worker.Output()
	if err != nil {
		t.Fatal(err)
	}
	path := Path("", "web", "w", worker.Process.Pid)
	if got := strings.TrimSpace(string(out)); got != path {
		t.Errorf("Python's path is %s, want %s", got, path)
	}
	// It left its file behind, as one that was killed: we take its place.
	if err := Beat("", "web", "w", worker.Process.Pid); err != nil {
		t.Error(err)
	}
}
