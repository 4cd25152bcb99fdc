// Package e2e has the end-to-end tests: our programs as event listeners of a
// real supervisord, each under every supervisord there is.
package e2e

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/realsupervisord"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// bin is the folder of our programs and of an example; self is the test binary, the worker.
var bin, self string

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "worker" {
		worker()
		return
	}
	os.Exit(withPrograms(m))
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

// underEach runs a test under each supervisord. config may name {bin}, {self},
// for a port that is free, {port1} to {port9}, and for three in a row, which
// differ in their last digit, {tens} and {ones} of the first.
func underEach(t *testing.T, config string, test func(h *host)) {
	t.Parallel()
	for _, path := range realsupervisord.Find(t) {
		t.Run(strings.Trim(strings.ReplaceAll(path, "/", "_"), "_"), func(t *testing.T) {
			t.Parallel()
			pairs := []string{"{bin}", bin, "{self}", self}
			for i, port := range freePorts(t, 9) {
				pairs = append(pairs, fmt.Sprintf("{port%d}", i+1), fmt.Sprint(port))
			}
			first := consecutivePorts(t, 3)
			pairs = append(pairs, "{tens}", fmt.Sprint(first/10), "{ones}", fmt.Sprint(first%10))
			d := realsupervisord.Start(t, path, strings.NewReplacer(pairs...).Replace(config))
			h := &host{Daemon: d, t: t, path: path, client: d.Client()}
			t.Cleanup(func() {
				if t.Failed() {
					h.logs()
				}
			})
			test(h)
		})
	}
}

// freePorts returns ports that nobody listens at, below those that systems
// give to outgoing connections: one of these might have it when a worker is
// restarted.
func freePorts(t *testing.T, n int) (ports []int) {
	t.Helper()
	for range 1000 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(20000)))
		if err != nil {
			continue
		}
		defer l.Close()
		if ports = append(ports, l.Addr().(*net.TCPAddr).Port); len(ports) == n {
			return ports
		}
	}
	t.Fatal("no ports are free")
	return nil
}

// consecutivePorts returns the first of n free ports that differ in their last
// digit only.
func consecutivePorts(t *testing.T, n int) int {
	t.Helper()
next:
	for range 100 {
		first := freePorts(t, 1)[0]
		if first%10+n > 10 {
			continue
		}
		for port := first; port < first+n; port++ {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				continue next
			}
			l.Close()
		}
		return first
	}
	t.Fatal("no consecutive ports are free")
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

// until waits for a condition.
func (h *host) until(what string, limit time.Duration, condition func() bool) {
	h.t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.After(limit); !condition(); {
		select {
		case <-ticker.C:
		case <-deadline:
			h.t.Fatalf("not within %v: %s", limit, what)
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
	h.until(namespec+" runs", 20*time.Second, func() bool {
		p = h.process(namespec)
		return p.State == supervisor.Running
	})
	return p
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

// TestEachCheckRestarts has each program restart the one of two processes that
// goes bad.
func TestEachCheckRestarts(t *testing.T) {
	config := fmt.Sprintf(workers, "http", 1, 2) + fmt.Sprintf(workers, "tcp", 3, 4) + fmt.Sprintf(workers, "file", 5, 6) +
		listener("l_http", `supervisor_http_check -n h -g http -u / -p 'http_(\d+)' -t 2 -r 0`, -2) +
		listener("l_tcp", `supervisor_tcp_check -n t -g tcp -p 'tcp_(\d+)' -t 2 -r 0`, -3) +
		listener("l_file", `supervisor_file_check -n f -g file -t 2 -d .`, -4)
	underEach(t, config, func(h *host) {
		var bad, good []supervisor.Process
		processes, err := h.client.Processes(h.t.Context())
		if err != nil {
			h.t.Fatal(err)
		}
		groups := make(map[string]bool)
		for _, p := range processes {
			if strings.HasPrefix(p.Group, "l_") {
				continue
			}
			p = h.running(p.Namespec())
			if groups[p.Group] {
				good = append(good, p)
				continue
			}
			groups[p.Group] = true
			bad = append(bad, p)
			h.spoil(p.PID)
		}
		for _, p := range bad {
			h.restarted(p, 30*time.Second)
			h.until("the log tells of "+p.Namespec(), 5*time.Second, func() bool {
				log := h.log("l_" + p.Group)
				return strings.Contains(log, p.Namespec()+" unhealthy: "+p.Group+": ") &&
					strings.Contains(log, fmt.Sprintf("%s is restarted (pid %d): ", p.Namespec(), p.PID)) &&
					strings.Contains(log, fmt.Sprintf("%s runs again with pid %d (was %d)", p.Namespec(), h.process(p.Namespec()).PID, p.PID))
			})
		}
		for _, p := range good {
			if now := h.process(p.Namespec()); !now.SameRun(p) {
				h.t.Errorf("%s was touched: %+v", p.Namespec(), now)
			}
		}
	})
}

// TestSlowStop has ticks come while a process takes 12 s to stop, and another
// one fail meanwhile.
func TestSlowStop(t *testing.T) {
	config := `
[group:web]
programs=slow,quick
[program:slow]
command={self} worker
environment=WORKER_STOPS=12s
stopwaitsecs=20
[program:quick]
command={self} worker
` + listener("lis", `supervisor_file_check -n f -g web -t 2 -d .`, -2)
	underEach(t, config, func(h *host) {
		slow, quick := h.running("web:slow"), h.running("web:quick")
		h.spoil(slow.PID)
		h.until("slow stops", 20*time.Second, func() bool { return h.process("web:slow").State == supervisor.Stopping })
		h.spoil(quick.PID)
		h.restarted(quick, 15*time.Second)
		if got := h.process("web:slow").State; got != supervisor.Stopping {
			h.t.Errorf("slow is %v when quick has been restarted, want it still STOPPING", got)
		}
		h.restarted(slow, 20*time.Second)
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
		h.until("slow stops", 20*time.Second, func() bool { return h.process("slow").State == supervisor.Stopping })
		begun := time.Now()
		h.Stop()
		if took := time.Since(begun); took > 8*time.Second {
			h.t.Errorf("supervisord took %v to stop", took)
		}
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
		h.until("slow stops", 20*time.Second, func() bool { return h.process("slow").State == supervisor.Stopping })
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
		h.until("the journal is empty", 10*time.Second, func() bool { return h.intents() == 0 })
		slow = h.running("slow")
		h.spoil(slow.PID)
		h.restarted(slow, 20*time.Second)
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
		h.until("the listener ends", 5*time.Second, func() bool {
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			return err != nil && syscall.Kill(pid, 0) != nil || strings.Contains(string(status), "State:\tZ")
		})
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
		h.until("slow stops", 20*time.Second, func() bool { return h.process("slow").State == supervisor.Stopping })
		if err := h.client.Stop(h.t.Context(), "lis"); err != nil {
			h.t.Fatal(err)
		}
		h.until("the listener has stopped", 12*time.Second, func() bool { return h.process("lis").State == supervisor.Stopped })
		h.restarted(slow, 5*time.Second)
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
		h.restarted(web, 20*time.Second)
		h.until("the log says what to set", 10*time.Second, func() bool {
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
