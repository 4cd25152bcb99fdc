package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// speak runs supervisor_checks, requires its exit status, and returns what it
// prints.
func (h *host) speak(status int, args ...string) string {
	h.t.Helper()
	cmd := exec.Command(filepath.Join(bin, "supervisor_checks"), append(args, "--state-dir", filepath.Join(h.Dir, "state"))...)
	out, err := cmd.CombinedOutput()
	if got := cmd.ProcessState.ExitCode(); got != status {
		h.t.Fatalf("supervisor_checks %s: exit status %d, want %d, error %v\n%s", strings.Join(args, " "), got, status, err, out)
	}
	return string(out)
}

// says waits until supervisor_checks prints something.
func (h *host) says(want string, args ...string) {
	h.t.Helper()
	expression := regexp.MustCompile(want)
	var got string
	for deadline := time.Now().Add(time.Minute); !expression.MatchString(got); {
		if time.Now().After(deadline) {
			h.t.Fatalf("supervisor_checks %s does not say %q, but\n%s", strings.Join(args, " "), want, got)
		}
		cmd := exec.Command(filepath.Join(bin, "supervisor_checks"), append(args, "--state-dir", filepath.Join(h.Dir, "state"))...)
		out, _ := cmd.CombinedOutput() // there may be no listener yet
		got = string(out)
	}
}

// explained is what explain prints of a process, with a check that it has.
func explained(process, listener, check, would, restarts string) string {
	return `(?m)^` + regexp.QuoteMeta(process) + `  RUNNING, pid \d+, watched by ` + listener + `\n(  .*\n)*  ` + check + ` +\S+Z.*\n(  .*\n)*  would be ` + would + `\n  restarts ` + restarts
}

// TestSpokenTo speaks to a listener of workers that do not work.
func TestSpokenTo(t *testing.T) {
	config := `
[program:web]
command=/bin/sleep 1000
process_name=web_%(process_num)d
numprocs=2
[program:solo]
command=/bin/sleep 1000
` + listener("lis", `supervisor_tcp_check -n tcp -g web -N solo -N web:* -p 9 -r 0 --restart-limit 1/1h`, -2, "autorestart=true")
	underEach(t, config, func(h *host) {
		h.until("each is restarted once", 30*time.Second, func() bool {
			return strings.Count(h.log("lis"), "runs again with pid") == 3
		})
		h.says(`(?m)^lis +\d+ +\S+ +3 +watches solo, web:\* \(tcp\); restarts what fails, restart-limit 1/1h then alert$`, "listeners")
		h.says(explained("solo", "lis", "tcp +unhealthy +1 of 1", "held, else restarted: tcp; the restart limit of 1/1h is reached", "1 of 1/1h, the last at"), "explain", "solo")
		h.says(`"would": "held, else restarted: tcp; the restart limit of 1/1h is reached"`, "explain", "web:web_0", "--output", "json")
		h.speak(0, "pause", "web:*", "--for", "30m")
		h.says(`lis: actions on web:\* are paused until `, "explain", "web:*")

		// Nothing of that is lost with the listener.
		before := h.running("lis")
		syscall.Kill(before.PID, syscall.SIGKILL)
		h.restarted(before, time.Minute)
		h.says(explained("web:web_0", "lis", "tcp +unhealthy +1 of 1", `held, else restarted: tcp; paused until .*`, `1 of 1/1h.*\n  paused until \S+Z`), "explain")

		web, solo := h.process("web:web_0"), h.process("solo")
		h.speak(0, "reset", "solo")
		h.speak(0, "reset", "web:*")
		h.restarted(solo, time.Minute)
		h.speak(0, "resume", "web:*")
		h.restarted(web, time.Minute)
		if got := h.speak(3, "explain", "nobody"); !strings.Contains(got, `no listener watches "nobody"`) {
			h.t.Errorf("it says %s", got)
		}
		if got := h.speak(2, "pause", "web:*"); !strings.Contains(got, "--for says for how long") {
			h.t.Errorf("it says %s", got)
		}
		if got := h.speak(3, "explain", "--listener", "none"); !strings.Contains(got, `no listener called "none" runs with its state in `) {
			h.t.Errorf("it says %s", got)
		}
	})
}

// TestOtherActions has programs signalled, started when they are FATAL, and asked
// for their stacks, and supervisord end.
func TestOtherActions(t *testing.T) {
	config := `
[program:signalled]
command=/bin/sh -c "trap 'touch signal' USR1; while :; do sleep 0.1; done"
[program:fatal]
command=/bin/sh -c "test -e well && exec sleep 1000"
startretries=0
[program:stacks]
command={self} worker {port1}
stderr_logfile=%(here)s/stacks.log
` + listener("signals", `supervisor_tcp_check -n s -N signalled -p {port2} -r 0 --action signal:USR1 --backoff 2s`, -2) +
		listener("revives", `supervisor_memory_check -n r -N fatal -m 1GiB --revive FATAL --backoff 1s,1`, -3) +
		listener("asks", `supervisor_tcp_check -n a -N stacks -p {port1} -r 0 --start-period 20 --evidence-dir %(here)s/evidence --evidence-signal QUIT --evidence-pause 6`, -4)
	underEach(t, config, func(h *host) {
		stacks := h.running("stacks")
		h.says(`(?m)^stacks +RUNNING, .*\n +tcp +healthy `, "explain")
		h.spoil(stacks.PID, closed)

		h.until("it is signalled", 30*time.Second, func() bool {
			_, err := os.Stat(filepath.Join(h.Dir, "signal"))
			return err == nil
		})
		h.until("it is FATAL", 30*time.Second, func() bool { return h.process("fatal").State == supervisor.Fatal })
		h.until("the start that fails is told", 30*time.Second, func() bool {
			return strings.Contains(h.log("revives"), "fatal not started: start: it is FATAL: Exited too quickly")
		})
		if err := os.WriteFile(filepath.Join(h.Dir, "well"), nil, 0o600); err != nil {
			h.t.Fatal(err)
		}
		h.running("fatal")

		h.restarted(stacks, time.Minute)
		h.until("the log tells that it runs again", time.Minute, func() bool {
			return strings.Contains(h.log("asks"), fmt.Sprintf("stacks runs again with pid %d (was %d)", h.process("stacks").PID, stacks.PID))
		})
		found, _ := filepath.Glob(filepath.Join(h.Dir, "evidence", "*-stacks", "stderr.txt"))
		if len(found) != 1 {
			h.t.Fatalf("evidence: %q", found)
		}
		if text, err := os.ReadFile(found[0]); !strings.Contains(string(text), "goroutine ") || err != nil {
			h.t.Errorf("there are no stacks, error %v:\n%s", err, text)
		}
	})
}

// TestActionShutdown has supervisord end because a program does not work.
func TestActionShutdown(t *testing.T) {
	config := "[program:main]\ncommand=/bin/sleep 1000\n" +
		listener("lis", `supervisor_tcp_check -n s -N main -p {port1} -r 0 --failure-threshold 2 --action shutdown`, -2)
	underEach(t, config, func(h *host) {
		h.until("supervisord has ended", 60*time.Second, func() bool {
			_, err := h.client.PID(h.t.Context())
			return err != nil
		})
		h.until("the log tells why", time.Minute, func() bool {
			return strings.Contains(h.log("lis"), "main fails: supervisord is told to end: tcp: ")
		})
	})
}

// TestSharedCause has a database fail that all workers need, which fail their
// checks then.
func TestSharedCause(t *testing.T) {
	config := `
[program:web]
command=/bin/sleep 1000
process_name=web_%(process_num)02d
numprocs=20
` + listener("lis", `supervisor_tcp_check -n db -g web --unix-socket %(here)s/db -r 0 --panic-threshold 50% --backoff 10s`, -2)
	config = strings.ReplaceAll(config, "50% ", "50%% ")
	underEach(t, config, func(h *host) {
		starts := func() int { // since all fail at once: the first tick may find one of them running
			_, log, _ := strings.Cut(h.log("lis"), "one is restarted as a trial")
			return strings.Count(log, "is restarted (pid ")
		}
		h.until("a trial has not helped", 90*time.Second, func() bool {
			return strings.Contains(h.log("lis"), "has not helped: another trial is made after")
		})
		if got := starts(); got != 1 {
			h.t.Errorf("%d restarts, want one", got)
		}
		db := exec.Command(self, "worker", "0") // whose socket is the database
		db.Dir, db.Env = h.Dir, append(os.Environ(), "SUPERVISOR_PROCESS_NAME=db", "SUPERVISOR_GROUP_NAME=db")
		if err := db.Start(); err != nil {
			h.t.Fatal(err)
		}
		h.t.Cleanup(func() {
			db.Process.Kill()
			db.Wait()
		})
		h.until("it listens", time.Minute, func() bool {
			return os.Symlink("db.sock", filepath.Join(h.Dir, "db")) == nil || exists(filepath.Join(h.Dir, "db"))
		})
		h.until("all are well", 60*time.Second, func() bool {
			return strings.Contains(h.log("lis"), "group web: no longer so many fail at once") && strings.Count(h.log("lis"), "healthy again: tcp") == 20
		})
		if got := starts(); got > 2 { // another trial may have been on its way
			h.t.Errorf("%d restarts, want one or two", got)
		}
	})
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
