package checks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// logHost is a process with logs, and a check of them.
type logHost struct {
	t     *testing.T
	p     supervisor.Process
	check *Log
	now   time.Time
}

// floodLines are as much as is read at once.
var floodLines = strings.Repeat(strings.Repeat("x", 8191)+"\n", maxLook/8192)

const nothingYet = "cannot tell yet: its log is read from now on"

// newLogHost has a process whose logs are empty files.
func newLogHost(t *testing.T, cfg LogConfig) *logHost {
	t.Helper()
	dir := t.TempDir()
	h := &logHost{t: t, now: time.Unix(1e9, 0)}
	h.p = supervisor.Process{Group: "web", Name: "a", PID: 34, Started: time.Unix(1e9-60, 0),
		StdoutLog: filepath.Join(dir, "out"), StderrLog: filepath.Join(dir, "err")}
	cfg.Now = func() time.Time { return h.now }
	var err error
	if h.check, err = NewLog(cfg); err != nil {
		t.Fatal(err)
	}
	h.out("")
	h.err("")
	return h
}

// add appends to a file as supervisord does.
func (h *logHost) add(path, text string) {
	h.t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(text)
		f.Close()
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *logHost) out(text string) { h.t.Helper(); h.add(h.p.StdoutLog, text) }
func (h *logHost) err(text string) { h.t.Helper(); h.add(h.p.StderrLog, text) }

// rotate renames a log and its backups, of which it keeps some, and leaves a new
// log to whoever writes next.
func (h *logHost) rotate(path string, keep int) {
	h.t.Helper()
	for n := keep - 1; n >= 0; n-- {
		if err := os.Rename(backup(path, n), backup(path, n+1)); err != nil && !errors.Is(err, os.ErrNotExist) {
			h.t.Fatal(err)
		}
	}
}

func (h *logHost) truncate(path string) {
	h.t.Helper()
	if err := os.Truncate(path, 0); err != nil {
		h.t.Fatal(err)
	}
}

// looks requires what a look comes to.
func (h *logHost) looks(want Status, matches int, reason string) Result {
	h.t.Helper()
	got := h.check.Run(h.t.Context(), h.p)
	said := ""
	if got.Err != nil {
		said = got.Err.Error()
	}
	if n, there := got.Metrics["matches"]; got.Status != want || n != float64(matches) || said != reason || there != (h.p.PID != 0) {
		h.t.Errorf("%v, %v, %q, want %v, %d, %q", got.Status, got.Metrics, said, want, matches, reason)
	}
	if errors.Is(got.Err, ErrNotYet) != strings.HasPrefix(reason, nothingYet) {
		h.t.Errorf("%v is %v", got.Err, ErrNotYet)
	}
	return got
}

func TestLog(t *testing.T) {
	for _, test := range []struct {
		name string
		cfg  LogConfig
		run  func(h *logHost)
	}{
		{"what was there before does not count", LogConfig{}, func(h *logHost) {
			h.out("ERROR old\nERROR half")
			h.looks(Unknown, 0, nothingYet)
			h.looks(Healthy, 0, "")
			h.out(" a line\nfine\n")
			h.looks(Healthy, 0, "")
		}},
		{"one line is enough", LogConfig{}, func(h *logHost) {
			h.looks(Unknown, 0, nothingYet)
			h.out("fine\nERROR 1\r\nfine\n")
			h.looks(Unhealthy, 1, "`ERROR` once within 5m, last in the stdout log: \"ERROR 1\"")
		}},
		{"several lines in one look and in several", LogConfig{Times: 3}, func(h *logHost) {
			h.looks(Unknown, 0, nothingYet)
			h.out("ERROR 1\nERROR 2\n")
			h.looks(Healthy, 2, "")
			h.out("fine\n")
			h.looks(Healthy, 2, "")
			h.err("ERROR 3 ERROR\n")
			h.looks(Unhealthy, 3, "`ERROR` 3 times within 5m, last in the stderr log: \"ERROR 3 ERROR\"")
			h.looks(Unhealthy, 3, "`ERROR` 3 times within 5m, last in the stderr log: \"ERROR 3 ERROR\"")
		}},
		{"lines become too old", LogConfig{Times: 2, Within: time.Minute}, func(h *logHost) {
			h.looks(Unknown, 0, nothingYet)
			h.out("ERROR 1\n")
			h.looks(Healthy, 1, "")
			h.now = h.now.Add(time.Minute)
			h.out("ERROR 2\n")
			h.looks(Unhealthy, 2, "`ERROR` 2 times within 1m, last in the stdout log: \"ERROR 2\"")
			h.now = h.now.Add(time.Second)
			h.looks(Healthy, 1, "")
			h.now = h.now.Add(time.Minute)
			h.looks(Healthy, 0, "")
		}},
		{"as many looks as times are remembered", LogConfig{Times: 2}, func(h *logHost) {
			h.looks(Unknown, 0, nothingYet)
			for range 5 {
				h.out("ERROR\n")
				h.check.Run(h.t.Context(), h.p)
			}
			h.looks(Unhealthy, 5, "`ERROR` 5 times within 5m, last in the stdout log: \"ERROR\"")
		}},
		{"many looks", LogConfig{Times: 3, Within: time.Hour}, func(h *logHost) {
			h.looks(Unknown, 0, nothingYet)
			for range 400 {
				h.out("ERROR\n")
				h.check.Run(h.t.Context(), h.p)
				h.now = h.now.Add(5 * time.Second)
			}
			if n := len(h.check.last["web:a"].found); n > 3+101 {
				h.t.Errorf("it remembers %d looks", n)
			}
			h.looks(Unhealthy, 400, "`ERROR` 400 times within 1h, last in the stdout log: \"ERROR\"")
			for range 14 {
				h.now = h.now.Add(4 * time.Minute)
				h.check.Run(h.t.Context(), h.p)
			}
			h.now = h.now.Add(4*time.Minute - 15*time.Second)
			h.looks(Unhealthy, 3, "`ERROR` 3 times within 1h, last in the stdout log: \"ERROR\"")
			h.now = h.now.Add(10 * time.Second)
			h.looks(Healthy, 1, "")
		}},
		{"after a gap", LogConfig{}, func(h *logHost) {
			h.looks(Unknown, 0, nothingYet)
			h.now = h.now.Add(time.Minute)
			h.out("fi")
			h.looks(Healthy, 0, "")
			h.now = h.now.Add(2 * time.Hour)
			h.out("ERROR of the night\n")
			h.err("ERROR of the night\n")
			h.looks(Unknown, 0, nothingYet+", after 2h without a look")
			h.now = h.now.Add(time.Minute)
			h.looks(Healthy, 0, "")
			h.out("ERROR\n")
			h.looks(Unhealthy, 1, "`ERROR` once within 5m, last in the stdout log: \"ERROR\"")
		}},
		{"after a gap, with lines from before it", LogConfig{Times: 2, Within: time.Hour}, func(h *logHost) {
			h.looks(Unknown, 0, nothingYet)
			h.out("ERROR 1\n")
			h.looks(Healthy, 1, "")
			h.now = h.now.Add(30 * time.Minute)
			h.out("ERROR of whoever\n")
			h.looks(Unknown, 1, nothingYet+", after 30m without a look")
			h.out("ERROR 2\n")
			h.looks(Unhealthy, 2, "`ERROR` 2 times within 1h, last in the stdout log: \"ERROR 2\"")
		}},
		{"after a gap, of a log that is not there then", LogConfig{Stream: StdoutLog}, func(h *logHost) {
			h.looks(Unknown, 0, nothingYet)
			h.now = h.now.Add(time.Hour)
			os.Remove(h.p.StdoutLog)
			h.looks(Unknown, 0, "its stdout log is not there: stat "+h.p.StdoutLog+": no such file or directory: run this where supervisord runs, in the same container")
			h.out("ERROR\n")
			h.looks(Unknown, 0, nothingYet)
		}},
		{"another run", LogConfig{}, func(h *logHost) {
			h.looks(Unknown, 0, nothingYet)
			h.out("ERROR 1\n")
			h.looks(Unhealthy, 1, "`ERROR` once within 5m, last in the stdout log: \"ERROR 1\"")
			h.out("ERROR of the old run, or of the new one\n")
			h.p.PID, h.p.Started = 35, h.now
			h.looks(Unknown, 0, nothingYet)
			h.looks(Healthy, 0, "")
			h.err("ERROR of the new run\n")
			h.looks(Unhealthy, 1, "`ERROR` once within 5m, last in the stderr log: \"ERROR of the new run\"")
		}},
		{"the same pid again", LogConfig{}, func(h *logHost) {
			h.looks(Unknown, 0, nothingYet)
			h.out("ERROR\n")
			h.p.Started = h.now
			h.looks(Unknown, 0, nothingYet)
		}},
		{"stderr alone", LogConfig{Stream: StderrLog}, func(h *logHost) {
			os.Remove(h.p.StdoutLog)
			h.looks(Unknown, 0, nothingYet)
			h.out("ERROR\n")
			h.looks(Healthy, 0, "")
			h.err("ERROR\n")
			h.looks(Unhealthy, 1, "`ERROR` once within 5m, last in the stderr log: \"ERROR\"")
		}},
		{"stdout alone", LogConfig{Stream: StdoutLog}, func(h *logHost) {
			h.looks(Unknown, 0, nothingYet)
			h.err("ERROR\n")
			h.looks(Healthy, 0, "")
			h.out("ERROR\n")
			h.looks(Unhealthy, 1, "`ERROR` once within 5m, last in the stdout log: \"ERROR\"")
		}},
		{"stderr goes to stdout's", LogConfig{}, func(h *logHost) {
			h.p.StderrLog = ""
			h.looks(Unknown, 0, nothingYet)
			h.out("ERROR\n")
			h.looks(Unhealthy, 1, "`ERROR` once within 5m, last in the stdout log: \"ERROR\"")
		}},
		{"both are one file", LogConfig{Times: 2}, func(h *logHost) {
			h.p.StderrLog = h.p.StdoutLog
			h.looks(Unknown, 0, nothingYet)
			h.out("ERROR\n")
			h.looks(Healthy, 1, "")
		}},
		{"stderr goes to stdout's, but it alone is wanted", LogConfig{Stream: StderrLog}, func(h *logHost) {
			h.p.StderrLog = ""
			h.looks(Unknown, 0, "supervisord keeps no stderr log of it: give it a stderr_logfile or, with redirect_stderr, read that of stdout")
		}},
		{"no log at all", LogConfig{}, func(h *logHost) {
			h.p.StdoutLog, h.p.StderrLog = "", ""
			h.looks(Unknown, 0, "supervisord keeps no log of it in a file: give it a stdout_logfile")
		}},
		{"what the Go supervisord says", LogConfig{Stream: StdoutLog}, func(h *logHost) {
			h.p.StdoutLog = "AUTO"
			h.looks(Unknown, 0, `its stdout log is "AUTO", which is no full path: give it a stdout_logfile that begins with /`)
		}},
		{"a log that is not there", LogConfig{Stream: StderrLog}, func(h *logHost) {
			os.Remove(h.p.StderrLog)
			h.looks(Unknown, 0, "its stderr log is not there: stat "+h.p.StderrLog+": no such file or directory: run this where supervisord runs, in the same container")
			h.err("ERROR before the first look\n")
			h.looks(Unknown, 0, nothingYet)
			h.looks(Healthy, 0, "")
		}},
		{"one of two that is not there", LogConfig{}, func(h *logHost) {
			os.Remove(h.p.StderrLog)
			missing := "its stderr log is not there: stat " + h.p.StderrLog + ": no such file or directory: run this where supervisord runs, in the same container"
			h.looks(Unknown, 0, missing)
			h.looks(Unknown, 0, missing)
			h.out("ERROR\n")
			h.looks(Unhealthy, 1, "`ERROR` once within 5m, last in the stdout log: \"ERROR\"")
		}},
		{"a pipe", LogConfig{Stream: StdoutLog}, func(h *logHost) {
			os.Remove(h.p.StdoutLog)
			if err := syscall.Mkfifo(h.p.StdoutLog, 0o600); err != nil {
				h.t.Fatal(err)
			}
			h.looks(Unknown, 0, "its stdout log is "+h.p.StdoutLog+", which is not a file of its own: give it a stdout_logfile")
		}},
		{"a device", LogConfig{Stream: StderrLog}, func(h *logHost) {
			h.p.StderrLog = "/dev/null"
			h.looks(Unknown, 0, "its stderr log is /dev/null, which is not a file of its own: give it a stderr_logfile")
		}},
		{"one of two that is no file", LogConfig{}, func(h *logHost) {
			h.p.StdoutLog = "/dev/null"
			h.looks(Unknown, 0, nothingYet)
			if r := h.looks(Healthy, 0, ""); r.Metrics["unread_logs"] != 1 {
				h.t.Errorf("metrics %v", r.Metrics)
			}
			h.err("ERROR\n")
			h.looks(Unhealthy, 1, "`ERROR` once within 5m, last in the stderr log: \"ERROR\"")
		}},
		{"two that are no files", LogConfig{}, func(h *logHost) {
			h.p.StdoutLog, h.p.StderrLog = "/dev/null", "/dev/zero"
			h.looks(Unknown, 0, "its stderr log is /dev/zero, which is not a file of its own: give it a stderr_logfile")
		}},
		{"one of two that is no file, and one that is not there", LogConfig{}, func(h *logHost) {
			h.p.StdoutLog = "/dev/null"
			os.Remove(h.p.StderrLog)
			h.looks(Unknown, 0, "its stderr log is not there: stat "+h.p.StderrLog+": no such file or directory: run this where supervisord runs, in the same container")
		}},
		{"a folder", LogConfig{Stream: StderrLog}, func(h *logHost) {
			h.p.StderrLog = h.t.TempDir()
			h.looks(Unknown, 0, "its stderr log is "+h.p.StderrLog+", which is not a file of its own: give it a stderr_logfile")
		}},
		{"a log that may not be read", LogConfig{Stream: StdoutLog}, func(h *logHost) {
			if os.Geteuid() == 0 {
				h.t.Skip("root may read everything")
			}
			os.Chmod(h.p.StdoutLog, 0)
			h.looks(Unknown, 0, "its stdout log may not be read: open "+h.p.StdoutLog+": permission denied: run this as root, or as the user who owns it")
		}},
		{"a process that does not run", LogConfig{}, func(h *logHost) {
			h.p.PID = 0
			h.looks(Unknown, 0, "the process does not run")
		}},
		{"a line across looks and files", LogConfig{}, func(h *logHost) {
			h.looks(Unknown, 0, nothingYet)
			h.out("fine\nER")
			h.looks(Healthy, 0, "")
			h.out("RO")
			h.rotate(h.p.StdoutLog, 3)
			h.out("R")
			h.looks(Healthy, 0, "")
			h.out(" after all\n")
			h.looks(Unhealthy, 1, "`ERROR` once within 5m, last in the stdout log: \"ERROR after all\"")
		}},
		{"renamed once", LogConfig{Times: 3}, func(h *logHost) {
			h.looks(Unknown, 0, nothingYet)
			h.out("ERROR 1\n")
			h.looks(Healthy, 1, "")
			h.out("ERROR 2\n")
			h.rotate(h.p.StdoutLog, 3)
			h.out("ERROR 3\n")
			h.looks(Unhealthy, 3, "`ERROR` 3 times within 5m, last in the stdout log: \"ERROR 3\"")
		}},
		{"renamed several times", LogConfig{Times: 100}, func(h *logHost) {
			h.looks(Unknown, 0, nothingYet)
			for range 5 {
				h.out("ERROR\n")
				h.rotate(h.p.StdoutLog, 10)
			}
			h.out("ERROR\n")
			h.looks(Healthy, 6, "")
		}},
		{"renamed more often than backups are kept", LogConfig{Times: 100}, func(h *logHost) {
			h.out("fine\n")
			h.looks(Unknown, 0, nothingYet)
			for range 5 {
				h.out("ERROR\n")
				h.rotate(h.p.StdoutLog, 2)
			}
			h.out("ERROR\n")
			for range 2 {
				if r := h.looks(Healthy, 1, ""); r.Metrics["lost_looks"] != 1 {
					h.t.Errorf("metrics %v", r.Metrics)
				}
			}
			for n := range 3 {
				h.rotate(h.p.StdoutLog, 2)
				h.out(fmt.Sprintf("ERROR %d\n", n))
			}
			if r := h.looks(Healthy, 2, ""); r.Metrics["lost_looks"] != 2 {
				h.t.Errorf("metrics %v", r.Metrics)
			}
		}},
		{"renamed, and nobody has written yet", LogConfig{Times: 100, Stream: StdoutLog}, func(h *logHost) {
			h.looks(Unknown, 0, nothingYet)
			h.out("ERROR\n")
			h.rotate(h.p.StdoutLog, 2)
			h.looks(Healthy, 1, "")
			h.add(backup(h.p.StdoutLog, 1), "ERROR of who still has it open\n")
			h.looks(Healthy, 2, "")
			h.out("")
			h.looks(Healthy, 2, "")
			h.add(backup(h.p.StdoutLog, 1), "ERROR of who still has it open\n")
			h.looks(Healthy, 3, "")
			h.out("ERROR\n")
			h.looks(Healthy, 4, "")
		}},
		{"seen while it is renamed", LogConfig{Times: 100, Stream: StdoutLog}, func(h *logHost) {
			h.looks(Unknown, 0, nothingYet)
			h.out("ERROR\n")
			h.rotate(h.p.StdoutLog, 1)
			h.out("ERROR\n")
			os.Rename(backup(h.p.StdoutLog, 1), backup(h.p.StdoutLog, 2)) // the next would be to rename the log
			h.looks(Healthy, 2, "")
			h.rotate(h.p.StdoutLog, 1)
			h.out("ERROR\n")
			h.looks(Healthy, 3, "")
		}},
		{"emptied", LogConfig{Times: 100}, func(h *logHost) {
			h.out("fine, and so on\n")
			h.looks(Unknown, 0, nothingYet)
			h.out("ERROR, but the li")
			h.looks(Healthy, 0, "")
			h.truncate(h.p.StdoutLog)
			h.out("ne\nERROR\n")
			h.looks(Healthy, 1, "")
			h.truncate(h.p.StdoutLog)
			h.looks(Healthy, 1, "")
		}},
		{"emptied, and longer than before", LogConfig{Times: 100}, func(h *logHost) {
			h.out("fine\n")
			h.looks(Unknown, 0, nothingYet)
			h.truncate(h.p.StdoutLog)
			h.out("ERROR\nERROR\n")
			h.looks(Healthy, 2, "")
		}},
		{"emptied behind the writer's back", LogConfig{}, func(h *logHost) { // supervisord does not append after it has renamed
			f, err := os.OpenFile(h.p.StdoutLog, os.O_WRONLY, 0)
			if err != nil {
				h.t.Fatal(err)
			}
			defer f.Close()
			f.WriteString(strings.Repeat("fine\n", 100_000))
			h.looks(Unknown, 0, nothingYet)
			h.truncate(h.p.StdoutLog)
			f.WriteString("ERROR\n")
			h.looks(Unhealthy, 1, "`ERROR` once within 5m, last in the stdout log: \"ERROR\"")
		}},
		{"removed, and made anew", LogConfig{Times: 100}, func(h *logHost) {
			h.out("fine\n")
			h.looks(Unknown, 0, nothingYet)
			os.Remove(h.p.StdoutLog)
			h.out("ERROR, in what may have the same inode\n")
			h.looks(Healthy, 1, "")
			os.Remove(h.p.StdoutLog)
			h.looks(Unknown, 1, "its stdout log is not there: stat "+h.p.StdoutLog+": no such file or directory: run this where supervisord runs, in the same container")
			h.out("ERROR\n")
			h.looks(Healthy, 2, "")
		}},
		{"a line that is too long", LogConfig{Times: 100}, func(h *logHost) {
			h.looks(Unknown, 0, nothingYet)
			h.out(strings.Repeat("x", maxLine-5) + "ERROR" + strings.Repeat("x", 3*maxLine))
			h.looks(Healthy, 0, "")
			h.out("ERROR\n" + strings.Repeat("x", maxLine-4) + "ERROR\nERROR\n")
			h.looks(Healthy, 2, "")
		}},
		{"bytes that are no text", LogConfig{Pattern: `^\x1b\[31mERR`}, func(h *logHost) {
			h.looks(Unknown, 0, nothingYet)
			h.out("\xff\xfe\x00\n\x1b[31mERR\xff\a\u202e\n")
			h.looks(Unhealthy, 1, "`^\\x1b\\[31mERR` once within 5m, last in the stdout log: \"\\x1b[31mERR\\xff\\a\\u202e\"")
		}},
		{"a line that is too long to be shown", LogConfig{}, func(h *logHost) {
			h.looks(Unknown, 0, nothingYet)
			h.out("ERROR" + strings.Repeat("x", 5000) + "\n")
			h.looks(Unhealthy, 1, "`ERROR` once within 5m, last in the stdout log: \"ERROR"+strings.Repeat("x", 195)+"…\"")
		}},
		{"a flood", LogConfig{Times: 1e9}, func(h *logHost) {
			h.looks(Unknown, 0, nothingYet)
			h.out("ERROR\n" + floodLines + "ERROR\n")
			if r := h.looks(Healthy, 1, ""); r.Metrics["skipped_bytes"] != 12 {
				h.t.Errorf("metrics %v", r.Metrics)
			}
			h.out("fine\n")
			if r := h.looks(Healthy, 1, ""); len(r.Metrics) != 1 {
				h.t.Errorf("metrics %v", r.Metrics)
			}
		}},
		{"a flood after half a line", LogConfig{Times: 1e9}, func(h *logHost) {
			h.looks(Unknown, 0, nothingYet)
			h.out("ERR")
			h.looks(Healthy, 0, "")
			h.out("left out" + "OR\n" + floodLines[3:])
			h.looks(Healthy, 0, "")
		}},
		{"a flood in several files", LogConfig{Times: 1e9}, func(h *logHost) {
			h.looks(Unknown, 0, nothingYet)
			h.out("ERROR\n" + floodLines)
			h.rotate(h.p.StdoutLog, 2)
			h.out("ERROR\n")
			if r := h.looks(Healthy, 1, ""); r.Metrics["skipped_bytes"] != 12 {
				h.t.Errorf("metrics %v", r.Metrics)
			}
			h.out("ERROR\n")
			h.looks(Healthy, 2, "")
		}},
		{"a flood that fills several files", LogConfig{Times: 1e9}, func(h *logHost) {
			h.looks(Unknown, 0, nothingYet)
			h.out("ERROR 1\n")
			h.rotate(h.p.StdoutLog, 3)
			h.out("ERROR 2\n" + floodLines + "ERROR 3\n")
			h.rotate(h.p.StdoutLog, 3)
			h.out("ERROR 4\n")
			if r := h.looks(Healthy, 2, ""); r.Metrics["skipped_bytes"] != 32 {
				h.t.Errorf("metrics %v", r.Metrics)
			}
		}},
		{"a backup that was removed", LogConfig{Times: 100}, func(h *logHost) {
			h.looks(Unknown, 0, nothingYet)
			for range 2 {
				h.out("ERROR\n")
				h.rotate(h.p.StdoutLog, 10)
			}
			h.out("ERROR\n")
			os.Remove(backup(h.p.StdoutLog, 1))
			h.looks(Healthy, 2, "")
		}},
		{"an empty log that was renamed", LogConfig{Times: 100}, func(h *logHost) {
			h.looks(Unknown, 0, nothingYet)
			h.out("ERROR\n")
			for range 2 {
				h.rotate(h.p.StdoutLog, 10)
				h.out("")
			}
			h.looks(Healthy, 1, "")
			h.out("ERROR\n")
			h.looks(Healthy, 2, "")
		}},
		{"a link", LogConfig{}, func(h *logHost) {
			os.Rename(h.p.StdoutLog, h.p.StdoutLog+".real")
			os.Symlink(h.p.StdoutLog+".real", h.p.StdoutLog)
			h.looks(Unknown, 0, nothingYet)
			h.out("ERROR\n")
			h.looks(Unhealthy, 1, "`ERROR` once within 5m, last in the stdout log: \"ERROR\"")
		}},
		{"a link of somebody else", LogConfig{Stream: StdoutLog}, func(h *logHost) {
			if os.Geteuid() != 0 {
				h.t.Skip("only root can give files away")
			}
			secret := filepath.Join(h.t.TempDir(), "secret")
			h.add(secret, "fine\n")
			h.looks(Unknown, 0, nothingYet)
			os.Remove(h.p.StdoutLog)
			if err := errors.Join(os.Symlink(secret, h.p.StdoutLog), os.Lchown(h.p.StdoutLog, 12345, 0)); err != nil {
				h.t.Fatal(err)
			}
			h.add(secret, "ERROR: the password is …\n")
			h.looks(Unknown, 0, "its stdout log is "+h.p.StdoutLog+", which is a link that belongs neither to root nor to us: give it a stdout_logfile that is the file itself")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.cfg.Pattern == "" {
				test.cfg.Pattern = "ERROR"
			}
			test.run(newLogHost(t, test.cfg))
		})
	}
}

// TestLogThatIsOurOwn does not read what we write.
func TestLogThatIsOurOwn(t *testing.T) {
	h := newLogHost(t, LogConfig{Pattern: "ERROR", Stream: StdoutLog})
	f, err := os.OpenFile(h.p.StdoutLog, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	before := os.Stdout
	os.Stdout = f
	defer func() { os.Stdout = before }()
	h.looks(Unknown, 0, "its stdout log is "+h.p.StdoutLog+", which is not a file of its own: give it a stdout_logfile")
}

func TestLogCutShort(t *testing.T) {
	h := newLogHost(t, LogConfig{Pattern: "ERROR", Stream: StdoutLog})
	h.looks(Unknown, 0, nothingYet)
	h.out("ERROR\n")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := h.check.Run(ctx, h.p); r.Status != Unknown || !errors.Is(r.Err, context.Canceled) {
		t.Errorf("%+v", r)
	}
	h.looks(Unhealthy, 1, "`ERROR` once within 5m, last in the stdout log: \"ERROR\"")
}

// TestLogUnchanged tells by what it costs to look at a log without news that it is
// not opened.
func TestLogUnchanged(t *testing.T) {
	h := newLogHost(t, LogConfig{Pattern: "ERROR", Stream: StdoutLog})
	h.out("fine\n")
	h.looks(Unknown, 0, nothingYet)
	if n := testing.AllocsPerRun(10, func() { h.check.Run(t.Context(), h.p) }); n > 6 {
		t.Errorf("it takes %v allocations", n)
	}
}

// TestLogRound forgets what is not watched any more.
func TestLogRound(t *testing.T) {
	h := newLogHost(t, LogConfig{Pattern: "ERROR"})
	other := h.p
	other.Name = "b"
	h.looks(Unknown, 0, nothingYet)
	h.check.Run(t.Context(), other)
	h.check.StartRound(t.Context(), []supervisor.Process{other})
	if len(h.check.last) != 1 || h.check.last["web:b"] == nil {
		t.Errorf("it remembers %v, want web:b alone", h.check.last)
	}
	h.looks(Unknown, 0, nothingYet)
}

// TestLogAtOnce looks at several processes at once, and twice at each, while they
// write and their logs are renamed.
func TestLogAtOnce(t *testing.T) {
	const lines = 100
	dir := t.TempDir()
	c, err := NewLog(LogConfig{Pattern: "^ERROR", Times: 1e9})
	if err != nil {
		t.Fatal(err)
	}
	var ps []supervisor.Process
	for n := range 4 {
		name := fmt.Sprint("web_", n)
		ps = append(ps, supervisor.Process{Group: "web", Name: name, PID: 100 + n, StdoutLog: filepath.Join(dir, name)})
	}
	var all sync.WaitGroup
	for _, p := range ps {
		h := &logHost{t: t, p: p}
		h.out("")
		c.Run(t.Context(), p)
		wrote := make(chan struct{})
		all.Go(func() {
			defer close(wrote)
			for i := range lines {
				h.out("ERROR\n")
				if i%4 == 0 {
					h.rotate(p.StdoutLog, 60)
				}
			}
		})
		for range 2 {
			all.Go(func() {
				for {
					select {
					case <-wrote:
						return
					default:
					}
					c.StartRound(t.Context(), ps)
					c.Run(t.Context(), p)
				}
			})
		}
	}
	all.Wait()
	for _, p := range ps {
		if r := c.Run(t.Context(), p); r.Metrics["matches"] != lines {
			t.Errorf("%s: %+v, want %d matches", p.Name, r, lines)
		}
	}
}

func TestLogConfigIsRefused(t *testing.T) {
	for _, test := range []struct {
		name string
		cfg  LogConfig
		want string
	}{
		{"no pattern", LogConfig{}, "log: pattern: is required: a regular expression such as `ERROR|panic:`"},
		{"no expression", LogConfig{Pattern: "("}, "log: pattern: error parsing regexp: missing closing ): `(`"},
		{"an empty line", LogConfig{Pattern: "x*"}, "log: pattern: `x*` matches an empty line: say what must be in it"},
		{"a negative number", LogConfig{Pattern: "x", Times: -1}, "log: times: -1 is less than 0"},
		{"a negative time", LogConfig{Pattern: "x", Within: -1}, "log: within: -1ns is less than 0"},
		{"another stream", LogConfig{Pattern: "x", Stream: "stdin"}, `log: stream: "stdin" is none of stdout, stderr, both`},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := NewLog(test.cfg)
			var refused *ConfigError
			if c != nil || !errors.As(err, &refused) || err.Error() != test.want {
				t.Errorf("got %v, error %v, want error %s", c, err, test.want)
			}
		})
	}
}

// FuzzTail writes text to a log in pieces, each followed by what its byte says: a
// look, the log renamed, or both. What is read in pieces are the lines of the whole.
func FuzzTail(f *testing.F) {
	f.Add([]byte("a\nbc\n\nd"), []byte{1, 2, 0, 3, 2})
	f.Add([]byte("\r\n\x00x\n"+strings.Repeat("y", 2*maxLine)+"\nz\n"), []byte{200, 7, 255, 130, 2, 2})
	f.Fuzz(func(t *testing.T, text, steps []byte) {
		h := &logHost{t: t}
		path := filepath.Join(t.TempDir(), "log")
		h.add(path, "before")
		var tail tail
		if err := tail.toEnd(path); err != nil {
			t.Fatal(err)
		}
		var got, want []string
		match := func(line []byte) { got = append(got, string(line)) }
		look := func() {
			if skipped, err := tail.read(t.Context(), path, maxLook, match); skipped > 0 || err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(skipped, err)
			}
		}
		rest := text
		for _, step := range steps[:min(len(steps), 90)] {
			piece := rest[:min(len(rest), int(step>>2)*1021)]
			rest = rest[len(piece):]
			h.add(path, string(piece))
			if _, err := os.Stat(path); step&1 != 0 && err == nil {
				h.rotate(path, 99)
			}
			if step&2 != 0 {
				look()
			}
		}
		h.add(path, string(rest)+"\n")
		look()
		for line := range bytes.SplitSeq(bytes.ReplaceAll(text, []byte{0}, nil), []byte("\n")) {
			want = append(want, string(bytes.TrimSuffix(line[:min(len(line), maxLine)], []byte("\r"))))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-whole +pieces)\n%s", diff)
		}
	})
}

// BenchmarkLog compares a look at logs without news, and with one line, with what
// the check of memory takes.
func BenchmarkLog(b *testing.B) {
	p := supervisor.Process{Group: "web", Name: "a", PID: os.Getpid(), StdoutLog: filepath.Join(b.TempDir(), "out")}
	log, _ := NewLog(LogConfig{Pattern: "ERROR|panic:"})
	memory, _ := NewMemory(MemoryConfig{Max: 1 << 40})
	out, err := os.Create(p.StdoutLog)
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	out.WriteString(strings.Repeat("fine\n", 1000))
	log.Run(b.Context(), p)
	for _, bench := range []struct {
		name  string
		check Check
		text  string
	}{
		{"unchanged", log, ""},
		{"a line", log, "2026-01-01T00:00:00Z INFO a request came and was answered with 200 in 12 ms\n"},
		{"a MiB", log, strings.Repeat("2026-01-01T00:00:00Z INFO a request came and was answered with 200 in 12 ms\n", 1<<20/76)},
		{"memory", memory, ""},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(bench.text)))
			for b.Loop() {
				if bench.text != "" {
					b.StopTimer()
					out.WriteString(bench.text)
					b.StartTimer()
				}
				if r := bench.check.Run(b.Context(), p); r.Status != Healthy {
					b.Fatal(r)
				}
			}
		})
	}
}
