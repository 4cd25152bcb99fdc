package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// writers write a line after the other to a log that is renamed after four of them.
// One writes ERROR thrice, in one file of the log after the other, when there is a
// file bad-PID, and both do when they start.
const writers = `
[program:%[1]s]
command=sh -c 'echo ERROR at the start; n=0; while sleep 0.1; do echo it goes on and on; if [ -e bad-$$ ] && [ $n -lt 3 ]; then n=$((n+1)); echo ERROR $n; sleep 0.5; fi; done'
stopsignal=TERM
stdout_logfile=%%(here)s/%[1]s.log
stdout_logfile_maxbytes=80
stdout_logfile_backups=30
`

// testLog has a listener restart a process because of what is in its log, once.
func testLog(h *host, log func() string) {
	// What the writers write when they start is there when the listener looks first.
	var lis int
	h.until("the listener runs", time.Minute, func() bool {
		lis = h.Child("supervisor_checks")
		return lis != 0
	})
	freeze(h, lis)
	h.until("the logs have been renamed once", time.Minute, func() bool {
		return exists(filepath.Join(h.Dir, "bad.log.1")) && exists(filepath.Join(h.Dir, "good.log.1"))
	})
	syscall.Kill(lis, syscall.SIGCONT)
	bad, good := h.running("bad"), h.running("good")
	h.says(`(?m)^bad +RUNNING, .*\n +log +healthy `, "explain")
	h.spoil(bad.PID)
	h.restarted(bad, 30*time.Second)
	h.until("it works again", time.Minute, func() bool { return strings.Contains(log(), "bad works again") })
	again := h.running("bad")
	h.says(`(?m)^bad +RUNNING, .*\n +log +healthy `, "explain")
	h.until("the log has been renamed thrice", time.Minute, func() bool { return exists(filepath.Join(h.Dir, "bad.log.3")) })
	if want := regexp.MustCompile("bad unhealthy: log: `\\^ERROR` 3 times within 1m, last in the stdout log: .*ERROR 3"); !want.MatchString(log()) {
		h.t.Errorf("it does not say %q, but\n%s", want, log())
	}
	if now := h.process("bad"); !now.SameRun(again) {
		h.t.Errorf("it is restarted once more: %+v", now)
	}
	if now := h.process("good"); !now.SameRun(good) {
		h.t.Errorf("good was touched: %+v", now)
	}
}

// logFile writes a file with a check of logs.
func logFile(t *testing.T) (path string) {
	path = filepath.Join(t.TempDir(), "checks.yaml")
	const file = `
name: lis
watch:
  - processes: [bad, good]
    checks:
      - log: {pattern: '^ERROR', times: 3, within: 1m, stream: stdout}
        failure_threshold: 1
        period: 500ms
`
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestLog restarts a process because of its log.
func TestLog(t *testing.T) {
	config := fmt.Sprintf(writers, "bad") + fmt.Sprintf(writers, "good") + listener("lis", "supervisor_checks run --config "+logFile(t), -2)
	underEach(t, config, func(h *host) { testLog(h, func() string { return h.log("lis") }) })
}

// TestGoLog does under the Go supervisord.
func TestGoLog(t *testing.T) {
	config := fmt.Sprintf(writers, "bad") + fmt.Sprintf(writers, "good") + `
[eventlistener:lis]
command={bin}/supervisor_checks run --config ` + logFile(t) + ` --state-dir %(here)s/state
environment=SUPERVISOR_SERVER_URL={url}
events=TICK_5
`
	underGo(t, config, func(h *host) { testLog(h, h.Log) })
}
