// Package e2e has the end-to-end tests: our programs as event listeners of a
// real supervisord, each under every supervisord there is.
package e2e

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/realsupervisord"
	"github.com/supervisor-checks/supervisor-checks/record/recordtest"
	"github.com/supervisor-checks/supervisor-checks/sinks"
	"github.com/supervisor-checks/supervisor-checks/sinks/sqlite"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// bin is the folder of our programs and of an example; self is the test binary, the worker,
// and a script that checks one.
var bin, self string

func TestMain(m *testing.M) {
	role := ""
	if len(os.Args) > 1 {
		role = os.Args[1]
	}
	switch role {
	case "worker":
		worker()
	case "hoard":
		hoard()
	case "":
		if name := os.Getenv("SUPERVISOR_CHECK_NAME"); name != "" {
			if err := knock(name); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			return
		}
		fallthrough
	default:
		os.Exit(withPrograms(m))
	}
}

func withPrograms(m *testing.M) int {
	var err error
	if self, err = os.Executable(); err != nil {
		panic(err)
	}
	if bin, err = os.MkdirTemp("", "e2e-bin-"); err != nil {
		panic(err)
	}
	defer os.RemoveAll(bin)
	build := exec.Command("go", "build", "-o", bin+"/", "../../cmd/...", "../../examples/heartbeat_worker")
	build.Stdout, build.Stderr = os.Stdout, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build our programs:", err)
		return 1
	}
	return m.Run()
}

// host is a supervisord with our listeners.
type host struct {
	*realsupervisord.Daemon
	t      *testing.T
	path   string // of the program
	client *supervisor.Client
}

// underEach runs a test under each of Python's supervisords. config may name
// what fill knows.
func underEach(t *testing.T, config string, test func(h *host), files ...realsupervisord.File) {
	t.Parallel()
	for _, path := range realsupervisord.Find(t) {
		t.Run(strings.Trim(strings.ReplaceAll(path, "/", "_"), "_"), func(t *testing.T) {
			t.Parallel()
			test(newHost(t, path, realsupervisord.Start(t, path, fill(t, config), files...)))
		})
	}
}

func newHost(t *testing.T, path string, d *realsupervisord.Daemon) *host {
	h := &host{Daemon: d, t: t, path: path, client: d.Client()}
	t.Cleanup(func() {
		if t.Failed() {
			h.logs()
		}
		h.Stop()
		h.wantValidRecords()
		if strings.Contains(h.Log(), "DATA RACE") {
			t.Error("there is a data race:")
			h.logs()
		}
	})
	return h
}

// wantValidRecords requires of all records that our listeners have kept that they are what
// their schemas say.
func (h *host) wantValidRecords() {
	h.t.Helper()
	err := filepath.WalkDir(h.Dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Base(path) != "history.db" {
			return err
		}
		ctx := context.Background() // that of the test has ended
		history, err := sqlite.Open(ctx, path)
		if err != nil {
			return err
		}
		defer history.Close()
		return history.Find(ctx, sinks.Filter{}, recordtest.Valid)
	})
	if err != nil {
		h.t.Error(err)
	}
}

// fill replaces in a configuration {bin}, {self}, for a port that is free,
// {port1}, {port2} and so on, and for three in a row, whose last digits are 1 to
// 3, {tens}.
func fill(t *testing.T, config string) string {
	t.Helper()
	pairs := []string{"{bin}", bin, "{self}", self}
	if strings.Contains(config, "{tens}") {
		pairs = append(pairs, "{tens}", strconv.Itoa(ports(t, 1, 3)/10))
	}
	for n := 1; strings.Contains(config, port(n)); n++ {
		pairs = append(pairs, port(n), strconv.Itoa(ports(t, rand.IntN(10), 1)))
	}
	return strings.NewReplacer(pairs...).Replace(config)
}

// port is what fill replaces by the nth port.
func port(n int) string { return fmt.Sprintf("{port%d}", n) }

// taken are the ports that tests have been given, each to one of them: a worker
// lets go of its own while it is restarted.
var taken sync.Map

// ports returns the first of n free ports in a row, with this last digit. They
// are below those that systems give to outgoing connections: one of these might
// have it when a worker is restarted.
func ports(t *testing.T, digit, n int) int {
	t.Helper()
next:
	for range 1000 {
		first := 10000 + 10*rand.IntN(2000) + digit
		for port := first; port < first+n; port++ {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				continue next
			}
			l.Close()
			if _, is := taken.LoadOrStore(port, true); is {
				continue next
			}
		}
		return first
	}
	t.Fatal("no ports are free")
	return 0
}

// logs shows what supervisord and the listeners have logged.
func (h *host) logs() {
	h.t.Logf("supervisord:\n%s", h.Log())
	paths, _ := filepath.Glob(filepath.Join(h.Dir, "*.err"))
	for _, path := range paths {
		text, _ := os.ReadFile(path)
		h.t.Logf("%s:\n%s", filepath.Base(path), text)
	}
}

// log returns what a listener has logged.
func (h *host) log(listener string) string {
	text, err := os.ReadFile(filepath.Join(h.Dir, listener+".err"))
	if err != nil {
		h.t.Fatal(err)
	}
	return string(text)
}

// until waits for a condition, and looks once more when the time is over: who waits may
// have been held up.
func (h *host) until(what string, limit time.Duration, condition func() bool) {
	h.t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(limit)
	for over := false; !condition(); {
		if over {
			h.t.Fatalf("not within %v: %s", limit, what)
		}
		select {
		case <-ticker.C:
		case <-deadline:
			over = true
		}
	}
}

func (h *host) process(namespec string) supervisor.Process {
	h.t.Helper()
	p, err := h.client.Process(h.t.Context(), namespec)
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

// running waits until a process runs, and returns it.
func (h *host) running(namespec string) supervisor.Process {
	h.t.Helper()
	var p supervisor.Process
	h.until(namespec+" runs", time.Minute, func() bool {
		p = h.process(namespec)
		return p.State == supervisor.Running
	})
	return p
}

// listens waits until a worker with its port in its name accepts connections, which it may
// not do yet when supervisord calls it RUNNING. Then there is a heartbeat of it, too.
func (h *host) listens(worker supervisor.Process) {
	h.t.Helper()
	h.until(worker.Namespec()+" listens", time.Minute, func() bool { return knock(worker.Name) == nil })
}

// start starts processes that supervisord does not start by itself.
func (h *host) start(processes []supervisor.Process) {
	h.t.Helper()
	for _, p := range processes {
		if err := h.client.Start(h.t.Context(), p.Namespec()); err != nil {
			h.t.Fatal(err)
		}
	}
}

// restarted waits until a process runs with another pid.
func (h *host) restarted(before supervisor.Process, limit time.Duration) {
	h.t.Helper()
	h.until(before.Namespec()+" is restarted", limit, func() bool {
		now := h.process(before.Namespec())
		return now.State == supervisor.Running && now.PID != before.PID
	})
}

// listener returns the section of a listener.
func listener(name, command string, priority int, more ...string) string {
	return fmt.Sprintf(`
[eventlistener:%s]
command={bin}/%s --state-dir %%(here)s/state
events=TICK_5
priority=%d
stdout_logfile=NONE
stderr_logfile=%%(here)s/%s.err
%s
`, name, command, priority, name, strings.Join(more, "\n"))
}

const workers = `
[group:%[1]s]
programs=%[1]s_{port%[2]d},%[1]s_{port%[3]d}
[program:%[1]s_{port%[2]d}]
command={self} worker {port%[2]d}
[program:%[1]s_{port%[3]d}]
command={self} worker {port%[3]d}
`

// TestSlowStop has ticks come while a process takes 12 s to stop, or longer, and another
// one fail meanwhile.
func TestSlowStop(t *testing.T) {
	config := `
[group:web]
programs=slow,quick
[program:slow]
command={self} worker
stopwaitsecs=100
[program:quick]
command={self} worker
` + listener("lis", `supervisor_file_check -n f -g web -t 2 -d .`, -2)
	underEach(t, config, func(h *host) {
		slow, quick := h.running("web:slow"), h.running("web:quick")
		letGo := h.hold(slow.PID)
		h.spoil(slow.PID)
		h.until("slow stops", time.Minute, func() bool { return h.process("web:slow").State == supervisor.Stopping })
		begun := time.Now()
		h.spoil(quick.PID)
		h.restarted(quick, time.Minute)
		h.until("12 s are over", time.Minute, func() bool { return time.Since(begun) >= 12*time.Second })
		if got := h.process("web:slow").State; got != supervisor.Stopping {
			h.t.Errorf("slow is %v when quick has been restarted, want it still STOPPING", got)
		}
		letGo()
		h.restarted(slow, time.Minute)
		for _, word := range []string{"overflow", "UNKNOWN", "rejected", "bad result"} {
			if strings.Contains(h.Log(), word) {
				h.t.Errorf("supervisord's log has the word %q", word)
			}
		}
	})
}

// TestShutdown stops supervisord while a restart is under way.
func TestShutdown(t *testing.T) {
	config := `
[program:slow]
command={self} worker
environment=WORKER_STOPS=2s
` + listener("lis", `supervisor_file_check -n f -N slow -t 2 -d .`, -2)
	underEach(t, config, func(h *host) {
		slow := h.running("slow")
		h.spoil(slow.PID)
		h.until("slow stops", time.Minute, func() bool { return h.process("slow").State == supervisor.Stopping })
		h.Stop()
		if strings.Contains(h.Log(), "killing 'lis'") {
			h.t.Error("supervisord had to kill the listener")
		}
	})
}

// TestReload has supervisord reload its configuration, and so restart itself
// and all its processes, while a restart is under way.
func TestReload(t *testing.T) {
	config := `
[program:slow]
command={self} worker
environment=WORKER_STOPS=2s
[program:other]
command={self} worker
` + listener("lis", `supervisor_file_check -n f -N slow -t 2 -d .`, -2)
	underEach(t, config, func(h *host) {
		slow, other, lis := h.running("slow"), h.running("other"), h.running("lis")
		h.spoil(slow.PID)
		h.until("slow stops", time.Minute, func() bool { return h.process("slow").State == supervisor.Stopping })
		reload := exec.Command(filepath.Join(filepath.Dir(h.path), "supervisorctl"), "-s", h.URL, "reload")
		if out, err := reload.CombinedOutput(); err != nil {
			h.t.Fatalf("reload: %v: %s", err, out)
		}
		for _, before := range []supervisor.Process{slow, other, lis} {
			h.until(before.Namespec()+" runs anew", 30*time.Second, func() bool {
				now, err := h.client.Process(h.t.Context(), before.Namespec())
				return err == nil && now.State == supervisor.Running && now.PID != before.PID
			})
		}
		h.until("the journal is empty", time.Minute, func() bool { return h.intents() == 0 })
		slow = h.running("slow")
		h.spoil(slow.PID)
		h.restarted(slow, time.Minute)
	})
}

// intents counts the restarts in the journal.
func (h *host) intents() int {
	paths, err := filepath.Glob(filepath.Join(h.Dir, "state", "*", "*.intent.v1.json"))
	if err != nil {
		h.t.Fatal(err)
	}
	return len(paths)
}

// TestSupervisordKilled has the listener end when supervisord is gone.
func TestSupervisordKilled(t *testing.T) {
	config := "[program:web]\ncommand={self} worker\n" + listener("lis", `supervisor_file_check -n f -N web -t 2 -d .`, -2)
	underEach(t, config, func(h *host) {
		pid := h.running("lis").PID
		h.running("web")
		h.Kill()
		h.until("the listener ends, sooner than it misses ticks", 12*time.Second, func() bool { return gone(pid) })
	})
}

// TestRestartOfTheListener stops the listener, as supervisorctl restart does,
// while it restarts a process: that one is started first.
func TestRestartOfTheListener(t *testing.T) {
	config := `
[program:slow]
command={self} worker
environment=WORKER_STOPS=3s
` + listener("lis", `supervisor_file_check -n f -N slow -t 2 -d .`, -2)
	underEach(t, config, func(h *host) {
		slow := h.running("slow")
		h.spoil(slow.PID)
		h.until("slow stops", time.Minute, func() bool { return h.process("slow").State == supervisor.Stopping })
		if err := h.client.Stop(h.t.Context(), "lis"); err != nil {
			h.t.Fatal(err)
		}
		h.until("the listener has stopped", time.Minute, func() bool { return h.process("lis").State == supervisor.Stopped })
		h.restarted(slow, time.Minute)
		if strings.Contains(h.Log(), "killing 'lis'") {
			h.t.Error("supervisord had to kill the listener")
		}
	})
}

// TestCredentials has a listener that was given supervisord's credentials and
// one that was not.
func TestCredentials(t *testing.T) {
	const secret = "s3cr3t-Passw0rd"
	config := "[unix_http_server]\nusername=lister\npassword=" + secret + `
[program:web]
command={self} worker
[program:other]
command={self} worker
` +
		listener("with", `supervisor_file_check -n w -N web -t 2 -d . --log-level debug`, -2,
			`environment=SUPERVISOR_USERNAME="lister",SUPERVISOR_PASSWORD="`+secret+`"`) +
		listener("without", `supervisor_file_check -n wo -N other -t 2 -d . --log-level debug`, -3)
	underEach(t, config, func(h *host) {
		var err error
		h.client, err = supervisor.NewClient(supervisor.Config{URL: h.URL, Username: "lister", Password: secret})
		if err != nil {
			h.t.Fatal(err)
		}
		web, without := h.running("web"), h.running("without")
		h.spoil(web.PID)
		h.restarted(web, time.Minute)
		h.until("the log says what to set", time.Minute, func() bool {
			return strings.Contains(h.log("without"), "401 Unauthorized: supervisord does not hand its credentials to listeners: "+
				"set SUPERVISOR_USERNAME and SUPERVISOR_PASSWORD in environment=")
		})
		if now := h.process("without"); !now.SameRun(without) {
			h.t.Errorf("the listener without credentials ended: %+v", now)
		}
		if logs := h.log("with") + h.log("without"); strings.Contains(logs, secret) {
			h.t.Error("the password is in a log")
		}
	})
}
