package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/realsupervisord"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
	"github.com/supervisor-checks/supervisor-checks/supervisor/supervisortest"
)

// underGo runs a test under the Go supervisord. config may name what fill
// knows, and {url}.
func underGo(t *testing.T, config string, test func(h *host)) {
	t.Parallel()
	path := realsupervisord.FindGo(t)
	test(newHost(t, path, realsupervisord.StartGo(t, path, fill(t, config))))
}

// goWorker returns the section of a worker. The Go supervisord tells it no
// names, and would kill it where it says nothing of signals.
func goWorker(group, name, args string, environment ...string) string {
	names := []string{"SUPERVISOR_GROUP_NAME=" + group, "SUPERVISOR_PROCESS_NAME=" + name}
	return fmt.Sprintf(`
[program:%s]
command={self} worker %s
stopsignal=TERM
environment=%s
`, name, args, strings.Join(append(names, environment...), ","))
}

// goListener returns the section of a listener.
func goListener(name, command string) string {
	return fmt.Sprintf(`
[eventlistener:%s]
command={bin}/%s --state-dir %%(here)s/state --server-url {url}
events=TICK_5
`, name, command)
}

// TestGoSlowStop has a process end, when it is told to stop, about when the
// listener would believe that it has not been told: supervisord 0.7 says RUNNING
// of it until then, and EXITED afterwards.
func TestGoSlowStop(t *testing.T) {
	config := goWorker("slow", "slow", "", "WORKER_STOPS=2300ms") +
		goListener("lis", "supervisor_file_check -n f -N slow -t 2 -d .")
	underGo(t, config, func(h *host) {
		slow := h.running("slow")
		h.spoil(slow.PID)
		h.restarted(slow, 30*time.Second)
		h.until("the journal is empty", time.Minute, func() bool { return h.intents() == 0 })
	})
}

// TestGoOperator has an operator stop a process, and another one be restarted
// twice afterwards: the first one stays stopped.
func TestGoOperator(t *testing.T) {
	config := "[group:web]\nprograms=stopped,bad\n" + goWorker("web", "stopped", "") + goWorker("web", "bad", "") +
		goListener("lis", "supervisor_file_check -n f -g web -t 2 -d .")
	underGo(t, config, func(h *host) {
		stopped := h.running("web:stopped")
		if err := h.client.Stop(h.t.Context(), "web:stopped"); err != nil && !strings.Contains(err.Error(), "fail to stop") {
			h.t.Fatal(err)
		}
		h.until("it has stopped", time.Minute, func() bool { return h.process("web:stopped").PID == 0 })
		for range 2 {
			bad := h.running("web:bad")
			h.spoil(bad.PID)
			h.restarted(bad, 30*time.Second)
		}
		if now := h.process("web:stopped"); now.PID != 0 || !now.Started.Equal(stopped.Started) {
			h.t.Errorf("it was started: %+v", now)
		}
	})
}

// TestGoEnds ends supervisord while a restart is under way: it kills what it
// runs, listeners included.
func TestGoEnds(t *testing.T) {
	config := goWorker("slow", "slow", "", "WORKER_STOPS=2s") +
		goListener("lis", "supervisor_file_check -n f -N slow -t 2 -d .")
	for name, end := range map[string]func(*host){
		"when it is told to": func(h *host) { h.Stop() },
		"when it is killed":  func(h *host) { h.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			underGo(t, config, func(h *host) {
				slow, lis := h.running("slow").PID, h.Child("supervisor_file_check")
				if lis == 0 {
					h.t.Fatal("there is no listener")
				}
				h.spoil(slow)
				h.until("a restart begins", time.Minute, func() bool { return h.intents() > 0 })
				end(h)
				for _, pid := range []int{slow, lis} {
					h.until(fmt.Sprintf("process %d ends", pid), 12*time.Second, func() bool { return gone(pid) })
				}
			})
		})
	}
}

// gone reports whether a process has ended, be it that nobody has noticed.
func gone(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err != nil && syscall.Kill(pid, 0) != nil || strings.Contains(string(status), "State:\tZ")
}

// TestGoKills is TestKills, with fewer kills, for the Go supervisord. The events
// come from elsewhere: when a listener ends, supervisord 0.7 crashes.
func TestGoKills(t *testing.T) {
	kills := 5
	if text := os.Getenv("KILLS"); text != "" {
		all, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		kills = max(1, all/4)
	}
	names := []string{"a", "b", "c"}
	config := "[group:all]\nprograms=" + strings.Join(names, ",") + "\n"
	for _, name := range names {
		config += goWorker("all", name, "", "WORKER_STOPS=3s", "WORKER_RANDOM=1")
	}
	underGo(t, config, func(h *host) {
		events := supervisortest.NewServer(supervisor.Go)
		defer events.Close()
		go func() {
			for ticks := time.NewTicker(time.Second); ; {
				select {
				case <-ticks.C:
					events.Tick(5 * time.Second) // which may find no listener
				case <-h.t.Context().Done():
					ticks.Stop()
					return
				}
			}
		}()
		for _, name := range names {
			h.running("all:" + name)
		}
		bad := filepath.Join(h.Dir, "bad")
		if err := os.WriteFile(bad, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		kill := h.listenTo(events)
		inRestarts := 0
		for range kills {
			h.until("a restart begins", 60*time.Second, func() bool { return h.intents() > 0 })
			pause := time.NewTimer(time.Duration(rand.Int64N(int64(2 * time.Second))))
			<-pause.C
			if h.intents() > 0 {
				inRestarts++
			}
			kill()
			kill = h.listenTo(events)
		}
		os.Remove(bad)
		for _, name := range names {
			h.until(name+" runs, well", 120*time.Second, func() bool {
				p := h.process("all:" + name)
				return p.State == supervisor.Running && p.Uptime >= 2*time.Second && h.intents() == 0
			})
		}
		kill()
		if twice, _ := filepath.Glob(filepath.Join(h.Dir, "twice-*")); len(twice) > 0 {
			h.t.Errorf("there were two of %q", twice)
		}
		h.t.Logf("%d kills, %d of them in the middle of restarts; %d processes run, as before", kills, inRestarts, len(names))
		if inRestarts < kills/3 {
			h.t.Errorf("only %d of %d kills were in the middle of restarts", inRestarts, kills)
		}
	})
}

// listenTo starts a listener of these events that acts on h, and returns how to
// kill it.
func (h *host) listenTo(events *supervisortest.Server) (kill func()) {
	h.t.Helper()
	log, err := os.OpenFile(filepath.Join(h.Dir, "lis.err"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		h.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(bin, "supervisor_file_check"),
		"-n", "f", "-g", "all", "-t", "1", "-d", ".", "--state-dir", "state", "--server-url", h.URL)
	cmd.Dir, cmd.Stderr = h.Dir, log
	cmd.Stdin, cmd.Stdout = events.Listener()
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	var ended bool
	kill = func() {
		if !ended {
			ended = true
			cmd.Process.Kill()
			events.Hangup()
			cmd.Wait()
		}
	}
	h.t.Cleanup(kill)
	return kill
}

// TestGoExampleConfiguration runs examples/supervisord-go/supervisord.conf, with
// other paths and ports, and has one of its workers go bad.
func TestGoExampleConfiguration(t *testing.T) {
	config := example(t, "supervisord-go", [][2]string{
		{"logfile=/var/log/supervisord.log\n", ""}, // the test has its own
		{"file=/run/supervisor.sock\n", ""},
		{"unix:///run/supervisor.sock", "{url} --state-dir %(here)s/state"},
		{"/usr/local/bin/web --port 800%(process_num)d", "{self} worker {tens}%(process_num)d"},
		{"web_800%(process_num)d", "web_{tens}%(process_num)d"},
		{"/usr/local/bin/", "{bin}/"},
		{"-t 30 -x", "-t 30 -x -d ."},
	})
	underGo(t, config, func(h *host) {
		var err error
		h.client, err = supervisor.NewClient(supervisor.Config{URL: h.URL, Username: "listener", Password: "change-me"})
		if err != nil {
			h.t.Fatal(err)
		}
		processes, err := h.client.Processes(h.t.Context())
		if err != nil || len(processes) != 3 {
			h.t.Fatal(processes, err)
		}
		bad := h.running(processes[0].Namespec())
		h.spoil(bad.PID)
		h.restarted(bad, 40*time.Second)
		h.until("it is healthy again", time.Minute, func() bool {
			return strings.Contains(h.Log(), bad.Namespec()+" healthy again: http (was unhealthy)\" listener=web_http")
		})
		if watches := "watches web:* (file)"; !strings.Contains(h.Log(), watches) {
			h.t.Errorf("no listener %s", watches)
		}
	})
}

// TestGoOneListener has one listener do what a file says, also when that is read anew.
func TestGoOneListener(t *testing.T) {
	file := filepath.Join(t.TempDir(), "checks.yaml")
	write := func(maxAge string) {
		text := "name: all\nserver: {url: '${SV_URL}'}\ndefaults: {failure_threshold: 1}\nwatch:\n" +
			"  - processes: ['web:*', '!web:canary']\n    checks:\n      - file: {max_age: " + maxAge + ", root: ., fail_on_error: true}\n" +
			"      - all: [{memory: {max: 1TiB}}, {script: {command: [test, '%(namespec)s', '!=', 'web:canary']}}]\n" +
			"  - processes: web:canary\n    checks: [{uptime: {max: 1h}}]\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("30s")
	config := "[group:web]\nprograms=a,b,canary\n" + goWorker("web", "a", "") + goWorker("web", "b", "") + goWorker("web", "canary", "") + `
[eventlistener:checks]
command={bin}/supervisor_checks run --config ` + file + ` --state-dir %(here)s/state
events=TICK_5
environment=SV_URL={url}
`
	underGo(t, config, func(h *host) {
		a, b, canary := h.running("web:a"), h.running("web:b"), h.running("web:canary")
		h.spoil(canary.PID, link)
		h.spoil(a.PID, link)
		h.restarted(a, 40*time.Second)
		h.until("it works again", time.Minute, func() bool { return strings.Contains(h.Log(), "web:a works again") })
		for _, p := range []supervisor.Process{b, canary} {
			if now := h.process(p.Namespec()); !now.SameRun(p) {
				h.t.Errorf("%s was touched: %+v", p.Namespec(), now)
			}
		}
		byHand := func(command string) (string, error) {
			cmd := exec.Command(filepath.Join(bin, "supervisor_checks"), command, "--config", file)
			cmd.Dir, cmd.Env = h.Dir, append(os.Environ(), "SV_URL="+h.URL)
			out, err := cmd.CombinedOutput()
			return string(out), err
		}
		if out, err := byHand("validate"); err != nil || !strings.Contains(out, "is valid: it watches 3 processes.") {
			h.t.Errorf("validate: %v\n%s", err, out)
		}
		if out, err := byHand("once"); err != nil || !strings.Contains(out, "memory and script") {
			h.t.Errorf("once: %v\n%s", err, out)
		}
		write("1h")
		if err := syscall.Kill(h.Child("supervisor_checks"), syscall.SIGHUP); err != nil {
			h.t.Fatal(err)
		}
		h.until("it is reloaded", time.Minute, func() bool { return strings.Contains(h.Log(), "reloaded: watches web:*, !web:canary; web:canary") })
	})
}
