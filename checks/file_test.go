package checks

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/supervisor-checks/supervisor-checks/notify"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// worker is a process that has been up for a day, with our own pid.
func worker() supervisor.Process {
	return supervisor.Process{Group: "web", Name: "w", PID: os.Getpid(), State: supervisor.Running, Uptime: 24 * time.Hour}
}

func newFile(t *testing.T, cfg FileConfig) *File {
	t.Helper()
	c, err := NewFile(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// beat sends a heartbeat for p under root and returns its path and time.
func beat(t *testing.T, root string, p supervisor.Process) (path string, at time.Time) {
	t.Helper()
	if err := notify.Beat(root, p.Group, p.Name, p.PID); err != nil {
		t.Fatal(err)
	}
	path = notify.Path(root, p.Group, p.Name, p.PID)
	return path, changed(t, path)
}

func changed(t *testing.T, path string) time.Time {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return time.Unix(st.Ctim.Unix())
}

func TestFileJudgesTheAge(t *testing.T) {
	root := t.TempDir()
	path, at := beat(t, root, worker())
	tests := []struct {
		name   string
		age    time.Duration
		status Status
		text   string
	}{
		{"new", 0, Healthy, ""},
		{"as old as may be", 10 * time.Second, Healthy, ""},
		{"a little too old", 10*time.Second + time.Millisecond, Unhealthy, "the last heartbeat is 10.001s old, more than 10s: " + path},
		{"from the future", -time.Hour, Healthy, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			now := func() time.Time { return at.Add(tt.age) }
			for _, cfg := range []FileConfig{{Root: root}, {Path: path}, {Path: path, Root: "/nowhere"}} {
				cfg.MaxAge, cfg.Now = 10*time.Second, now
				r := newFile(t, cfg).Run(t.Context(), worker())
				if r.Status != tt.status || text(r.Err) != tt.text {
					t.Errorf("got %v, %v, want %v, %s", r.Status, r.Err, tt.status, tt.text)
				}
				if got, want := r.Metrics["age_seconds"], max(tt.age, 0).Seconds(); got != want {
					t.Errorf("age_seconds is %v, want %v", got, want)
				}
			}
		})
	}
}

func TestFileTakesTheCtimeOfWhateverIsThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "beat")
	if err := os.Mkdir(path, 0); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	if r := newFile(t, FileConfig{MaxAge: time.Minute, Path: path}).Run(t.Context(), worker()); r.Status != Healthy {
		t.Errorf("a folder whose mtime alone is old: %v, %v", r.Status, r.Err)
	}
}

func TestFileThatCannotBeJudged(t *testing.T) {
	root := t.TempDir()
	target, _ := beat(t, root, worker())
	link := filepath.Join(root, "link")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(root, "missing")
	tests := []struct {
		name string
		path string
		err  error
		text string
	}{
		{"missing", missing, ErrNoHeartbeat, "no heartbeat: there is no " + missing + ": the process never sent one, sends it under another pid, or has another TMPDIR than this check (set it, or -d, to the same folder)"},
		{"a symbolic link", link, nil, link + " is a symbolic link, which anybody could have put there"},
		{"below a file", target + "/x", syscall.ENOTDIR, "lstat " + target + "/x: not a directory"},
		{"with a NUL", "/a\x00b", syscall.EINVAL, "lstat /a\x00b: invalid argument"},
		{"with percent signs", "/%s/%d", ErrNoHeartbeat, "no heartbeat: there is no /%s/%d: the process never sent one, sends it under another pid, or has another TMPDIR than this check (set it, or -d, to the same folder)"},
	}
	for _, tt := range tests {
		for fail, status := range map[bool]Status{false: Unknown, true: Unhealthy} {
			t.Run(fmt.Sprintf("%s, FailOnError %v", tt.name, fail), func(t *testing.T) {
				c := newFile(t, FileConfig{MaxAge: time.Minute, Path: tt.path, FailOnError: fail})
				r := c.Run(t.Context(), worker())
				if r.Status != status || text(r.Err) != tt.text || tt.err != nil && !errors.Is(r.Err, tt.err) {
					t.Errorf("got %v, %v\nwant %v, %s", r.Status, r.Err, status, tt.text)
				}
			})
		}
	}
}

func TestFileGivesANewProcessTimeForItsFirstHeartbeat(t *testing.T) {
	c := newFile(t, FileConfig{MaxAge: time.Minute, Root: t.TempDir(), FailOnError: true})
	for uptime, want := range map[time.Duration]Status{time.Minute: Unknown, time.Minute + 1: Unhealthy} {
		p := worker()
		p.Uptime = uptime
		if r := c.Run(t.Context(), p); r.Status != want || !errors.Is(r.Err, ErrNoHeartbeat) {
			t.Errorf("up for %v: got %v, %v, want %v", uptime, r.Status, r.Err, want)
		}
	}
}

func TestFileOfAProcessThatHasNone(t *testing.T) {
	c := newFile(t, FileConfig{MaxAge: time.Minute, Root: t.TempDir(), FailOnError: true})
	tests := []struct {
		name string
		p    supervisor.Process
		want string
	}{
		{"stopped", supervisor.Process{Group: "web", Name: "w"}, "the process does not run"},
		{"a slash in its name", supervisor.Process{Group: "web", Name: "../w", PID: 1}, `"web:../w" cannot be part of a file name`},
		{"a NUL in its group", supervisor.Process{Group: "w\x00", Name: "w", PID: 1}, `"w\x00:w" cannot be part of a file name`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if r := c.Run(t.Context(), tt.p); r.Status != Unknown || text(r.Err) != tt.want {
				t.Errorf("got %v, %v, want unknown, %s", r.Status, r.Err, tt.want)
			}
		})
	}
}

func TestFileTrustsOnlyTheOwnersThatMayBeTheWorker(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: it takes root to become another user")
	}
	other := exec.Command("sleep", "60")
	other.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12345}}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Process.Kill(); other.Wait() })
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}

	path := filepath.Join(t.TempDir(), "beat")
	tests := []struct {
		name  string
		pid   int
		owner int
		want  Status
		text  string
	}{
		{"the user of the process", other.Process.Pid, 12345, Healthy, ""},
		{"ourselves, who are root", other.Process.Pid, 0, Healthy, ""},
		{"somebody else", other.Process.Pid, 12346, Unhealthy, path + " belongs to user 12346, who is neither the user of the process nor root nor ourselves"},
		{"the user of another process", os.Getpid(), 12345, Unhealthy, path + " belongs to user 12345, who is neither the user of the process nor root nor ourselves"},
		{"the user of a process that has ended", ended.Process.Pid, 12345, Unknown, fmt.Sprintf("cannot tell whether user 12345, who owns %s, is the user of the process: find process %d: process does not exist", path, ended.Process.Pid)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chown(path, tt.owner, tt.owner); err != nil {
				t.Fatal(err)
			}
			p := worker()
			p.PID = tt.pid
			r := newFile(t, FileConfig{MaxAge: time.Minute, Path: path, FailOnError: true}).Run(t.Context(), p)
			if r.Status != tt.want || text(r.Err) != tt.text {
				t.Errorf("got %v, %v\nwant %v, %s", r.Status, r.Err, tt.want, tt.text)
			}
		})
	}
}

// The worker is a Python program that sends heartbeats as NotificationFile of
// supervisor_checks does.
func TestFileJudgesAPythonWorker(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("NOT TESTED: there is no python3")
	}
	root := t.TempDir()
	python := exec.Command("python3", "../notify/testdata/worker.py", root)
	python.Env = append(os.Environ(), "SUPERVISOR_GROUP_NAME=web", "SUPERVISOR_PROCESS_NAME=w")
	python.Stderr = os.Stderr
	stdin, err := python.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := python.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := python.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if err := python.Wait(); err != nil {
			t.Error(err)
		}
	})
	answers := bufio.NewScanner(stdout)
	if !answers.Scan() {
		t.Fatal("the worker does not start")
	}
	path := answers.Text()

	p := worker()
	p.PID = python.Process.Pid
	now := changed(t, path)
	c := newFile(t, FileConfig{MaxAge: time.Minute, Root: root, FailOnError: true, Now: func() time.Time { return now }})
	if r := c.Run(t.Context(), p); r.Status != Healthy {
		t.Errorf("its first heartbeat: %v, %v", r.Status, r.Err)
	}
	now = now.Add(time.Minute + time.Nanosecond)
	if r := c.Run(t.Context(), p); r.Status != Unhealthy {
		t.Errorf("a minute without a heartbeat: %v, %v", r.Status, r.Err)
	}
	// The clock of the file system may be coarse: beat until it has moved on.
	for give := time.Now().Add(30 * time.Second); time.Now().Before(give); {
		if _, err := io.WriteString(stdin, "\n"); err != nil || !answers.Scan() {
			t.Fatalf("the worker sends no heartbeat: %v", err)
		}
		if r := c.Run(t.Context(), p); r.Status == Healthy {
			return
		}
	}
	t.Error("its second heartbeat does not count")
}

func TestNewFileRefuses(t *testing.T) {
	for age, want := range map[time.Duration]string{
		0:            "file: max-age: 0s is not more than 0",
		-time.Second: "file: max-age: -1s is not more than 0",
	} {
		_, err := NewFile(FileConfig{MaxAge: age})
		if bad := (*ConfigError)(nil); text(err) != want || !errors.As(err, &bad) {
			t.Errorf("got %T: %v, want %s", err, err, want)
		}
	}
}

func TestFileLooksInTheFolderOfPackageNotify(t *testing.T) {
	root := t.TempDir()
	t.Setenv("TMPDIR", root)
	c := newFile(t, FileConfig{MaxAge: time.Minute})
	if r := c.Run(t.Context(), worker()); !strings.Contains(text(r.Err), root) {
		t.Errorf("got %v, want a word of %s", r.Err, root)
	}
}
