// Package realsupervisord runs a real supervisord for tests, Python's or the Go
// one.
package realsupervisord

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

const (
	startWithin = time.Minute // until it answers
	stopWithin  = time.Minute // its processes have ten seconds by default
	poll        = 20 * time.Millisecond
)

// template is what every configuration begins with. The programs' output goes
// nowhere unless their sections say otherwise.
const template = `[unix_http_server]
file=%s

[supervisord]
nodaemon=true
logfile=/dev/null
logfile_maxbytes=0
loglevel=debug
pidfile=%%(here)s/supervisord.pid
childlogdir=%%(here)s

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

`

// goTemplate is what every configuration of the Go supervisord begins with. It
// logs where its listeners do, to whom it leaves its standard error.
const goTemplate = `[unix_http_server]
file=%s

[supervisord]
logfile=/dev/stdout

`

// Find returns the paths of the supervisords to test with: those in SUPERVISORDS,
// separated by colons, or else the one in PATH. It skips the test when there is
// none.
func Find(t testing.TB) []string {
	t.Helper()
	paths := slices.DeleteFunc(filepath.SplitList(os.Getenv("SUPERVISORDS")), func(path string) bool { return path == "" })
	if len(paths) > 0 {
		return paths
	}
	path, err := exec.LookPath("supervisord")
	if err != nil {
		t.Skip("NOT TESTED with a real supervisord: there is none in PATH; apt-get install supervisor, or set SUPERVISORDS to the path of one")
	}
	return []string{path}
}

// FindGo returns the path of the Go supervisord to test with, GOSUPERVISORD. It
// skips the test when there is none.
func FindGo(t testing.TB) string {
	t.Helper()
	path := os.Getenv("GOSUPERVISORD")
	if path == "" {
		t.Skip("NOT TESTED with the Go supervisord: set GOSUPERVISORD to the path of one, which tools/go-supervisord builds")
	}
	return path
}

// Daemon is a supervisord that runs until the end of the test at the latest.
type Daemon struct {
	URL string // unix://…
	Dir string // of its configuration, and its programs' working directory

	t     testing.TB
	cmd   *exec.Cmd
	ended chan struct{}
}

// File is one that is beside the configuration when supervisord is started.
type File struct{ Name, Text string }

// Start starts the supervisord at path and returns when it answers. config is
// appended to a configuration that has [unix_http_server], [supervisord] and
// [rpcinterface:supervisor] already; a section that it names again is added to:
// "[supervisord]\nidentifier=mine".
func Start(t testing.TB, path, config string, files ...File) *Daemon {
	t.Helper()
	return start(t, path, template, config, files)
}

// StartGo is Start for the Go supervisord, whose configuration has
// [unix_http_server] and [supervisord]. It tells listeners nothing: {url} in
// config stands for its URL. It tells programs to stop by the signals that
// their sections name, and kills those that name none. Its programs and
// listeners do not outlive it, and its log has what listeners write to their
// standard error.
func StartGo(t testing.TB, path, config string) *Daemon {
	t.Helper()
	return start(t, path, goTemplate, config, nil)
}

func start(t testing.TB, path, template, config string, files []File) *Daemon {
	t.Helper()
	sockets, err := os.MkdirTemp("", "sv") // the path of a socket must be short, which t.TempDir is not
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(sockets) })
	socket := filepath.Join(sockets, "s")
	d := &Daemon{URL: "unix://" + socket, Dir: t.TempDir(), t: t, ended: make(chan struct{})}
	file := filepath.Join(d.Dir, "supervisord.conf")
	config = fmt.Sprintf(template, socket) + strings.ReplaceAll(config, "{url}", d.URL)
	for _, f := range append(files, File{filepath.Base(file), config}) {
		if err := os.WriteFile(filepath.Join(d.Dir, f.Name), []byte(f.Text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log, err := os.Create(d.logFile())
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	d.cmd = exec.Command(path, "-c", file)
	d.cmd.Dir = d.Dir
	d.cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	d.cmd.Stdout, d.cmd.Stderr = log, log
	d.cmd.SysProcAttr = ownGroup()
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		d.cmd.Wait()
		close(d.ended)
	}()
	t.Cleanup(d.Stop)
	d.awaitAnswer()
	return d
}

func (d *Daemon) awaitAnswer() {
	d.t.Helper()
	client := d.Client()
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	deadline := time.After(startWithin)
	for {
		if _, err := client.PID(d.t.Context()); err == nil || errors.Is(err, supervisor.ErrUnauthorized) {
			return
		}
		select {
		case <-ticker.C:
		case <-d.ended:
			d.t.Fatalf("%s ended: %s", d.cmd.Path, d.Log())
		case <-deadline:
			d.t.Fatalf("%s did not answer within %v: %s", d.cmd.Path, startWithin, d.Log())
		}
	}
}

// Client returns a client for it.
func (d *Daemon) Client() *supervisor.Client {
	d.t.Helper()
	client, err := supervisor.NewClient(supervisor.Config{URL: d.URL})
	if err != nil {
		d.t.Fatal(err)
	}
	return client
}

// PID returns its process id.
func (d *Daemon) PID() int { return d.cmd.Process.Pid }

// Log returns what it has logged so far, at level debug.
func (d *Daemon) Log() string {
	log, err := os.ReadFile(d.logFile())
	if err != nil {
		d.t.Error(err)
	}
	return string(log)
}

func (d *Daemon) logFile() string { return filepath.Join(d.Dir, "supervisord.log") }

// Stop tells it to stop its programs and end, and returns when it has.
func (d *Daemon) Stop() {
	d.t.Helper()
	d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.ended:
	case <-time.After(stopWithin):
		d.t.Errorf("%s did not end within %v: %s", d.cmd.Path, stopWithin, d.Log())
		d.Kill()
	}
}

// Kill kills it, and returns when it has ended. The programs of Python's live on
// until the end of the test.
func (d *Daemon) Kill() {
	d.t.Helper()
	d.cmd.Process.Signal(syscall.SIGSTOP) // so that it starts no more
	children := d.children()
	d.t.Cleanup(func() {
		for pid := range children { // each leads a process group
			if err := syscall.Kill(-pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				d.t.Errorf("kill process %d, which supervisord has left: %v", pid, err)
			}
		}
	})
	d.cmd.Process.Kill()
	<-d.ended
}

// Child returns the process id of its child whose command line has that text,
// or 0 if there is none.
func (d *Daemon) Child(text string) int {
	d.t.Helper()
	for pid, command := range d.children() {
		if strings.Contains(command, text) {
			return pid
		}
	}
	return 0
}

// children returns the command lines of its programs and listeners by process
// id.
func (d *Daemon) children() map[int]string {
	d.t.Helper()
	table, err := exec.Command("ps", "-A", "-ww", "-o", "ppid=,pid=,args=").Output()
	if err != nil {
		d.t.Errorf("find the children of supervisord: %v", err)
	}
	children := make(map[int]string)
	for line := range strings.Lines(string(table)) {
		var parent, pid int
		if _, err := fmt.Sscan(line, &parent, &pid); err == nil && parent == d.PID() {
			children[pid] = strings.Join(strings.Fields(line)[2:], " ")
		}
	}
	return children
}
