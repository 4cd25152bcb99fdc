package checks_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// writeScript writes a program with that text.
func writeScript(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestScript(t *testing.T) {
	later := writeScript(t, "#!/bin/sh\n")
	shell := func(text string) []string { return []string{"sh", "-c", text} }
	for _, name := range []string{"SERVER_URL", "USERNAME", "PASSWORD", "PROCESS_NAME", "GROUP_NAME"} {
		t.Setenv("SUPERVISOR_"+name, "the listener's")
	}
	for _, tt := range []struct {
		name    string
		command []string
		before  func()
		status  checks.Status
		err     string
	}{
		{"success", shell("echo fine"), nil, checks.Healthy, ""},
		{"a failure", shell("exit 1"), nil, checks.Unhealthy, "it exited with status 1"},
		{"a failure that says why", shell("echo first; echo; echo 'queue is full' >&2; echo; exit 2"), nil, checks.Unhealthy, "it exited with status 2: queue is full"},
		{"a failure that says too much", shell("head -c 1000 /dev/zero | tr '\\0' a; exit 2"), nil, checks.Unhealthy, "it exited with status 2: " + strings.Repeat("a", 290)},
		{"a failure that says why at the end of too much", shell("head -c 70000 /dev/zero | tr '\\0' a; echo; echo 'queue is full'; exit 2"), nil, checks.Unhealthy, "it exited with status 2: queue is full"},
		{"a failure that would move the cursor", shell("printf '\\033[2Jx'; exit 2"), nil, checks.Unhealthy, `it exited with status 2: \x1b[2Jx`},
		{"a signal", shell("kill -9 $$"), nil, checks.Unhealthy, "it was ended by signal 9 (killed)"},
		{"too slow", shell("sleep 60"), nil, checks.Unhealthy, "it took too long and was killed after 300ms"},
		{"cannot tell, as a monitoring plugin", shell("echo no answer; exit 3"), nil, checks.Unknown, "cannot tell: it exited with status 3: no answer"},
		{"not executable, as a shell", shell("exit 126"), nil, checks.Unknown, "cannot tell: it exited with status 126"},
		{"not found, as a shell", shell("no-such-program"), nil, checks.Unknown, "cannot tell: it exited with status 127: "},
		{"no longer there", []string{later}, func() { os.Remove(later) }, checks.Unknown, "cannot tell: it cannot be run: "},
		{"no program", []string{writeScript(t, "\x00\x01")}, nil, checks.Unknown, "cannot tell: it cannot be run: "},
		{"arguments", []string{"sh", "-c", `test "$1 $2 $3 $4 $5" = "web_1 web web:web_1 7 50%%" && test "$6" = '$HOME'`, "sh", "%(process_name)s", "%(group_name)s", "%(namespec)s", "%(pid)s", "50%%", "$HOME"}, nil, checks.Healthy, ""},
		{"variables", shell(`test "$SUPERVISOR_CHECK_PROCESS $SUPERVISOR_CHECK_GROUP $SUPERVISOR_CHECK_NAME $SUPERVISOR_CHECK_PID" = "web:web_1 web web_1 7" && test -n "$PATH"`), nil, checks.Healthy, ""},
		{"the listener's own variables", shell(`test -z "$SUPERVISOR_USERNAME$SUPERVISOR_PASSWORD$SUPERVISOR_PROCESS_NAME$SUPERVISOR_GROUP_NAME" && test -n "$SUPERVISOR_SERVER_URL"`), nil, checks.Healthy, ""},
		{"nothing to read", shell("test -z \"$(cat)\""), nil, checks.Healthy, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			timeout := 30 * time.Second
			if tt.name == "too slow" {
				timeout = 300 * time.Millisecond
			}
			c, err := checks.NewScript(checks.ScriptConfig{Command: tt.command, Timeout: timeout})
			if err != nil {
				t.Fatal(err)
			}
			if tt.before != nil {
				tt.before()
			}
			r := c.Run(t.Context(), supervisor.Process{Group: "web", Name: "web_1", PID: 7})
			text := ""
			if r.Err != nil {
				text = r.Err.Error()
			}
			if r.Status != tt.status || !strings.HasPrefix(text, tt.err) || len(text) > 500 {
				t.Errorf("%v: %s", r.Status, text)
			}
		})
	}
}

// TestScriptElsewhere does not run what is for other environments.
func TestScriptElsewhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "created")
	for environment, want := range map[string]checks.Status{"develop": checks.Healthy, "production": checks.Skipped, "": checks.Skipped} {
		os.Remove(path)
		c, err := checks.NewScript(checks.ScriptConfig{Command: []string{"touch", path}, OnlyIn: []string{"develop"}, Environment: environment})
		if err != nil {
			t.Fatal(err)
		}
		r := c.Run(t.Context(), supervisor.Process{Name: "a"})
		if _, err := os.Stat(path); r.Status != want || (r.Err == nil) != (want == checks.Healthy) || (err == nil) != (want == checks.Healthy) {
			t.Errorf("in %q: %+v, and the file that it creates: %v", environment, r, err)
		}
	}
}

// TestScriptProtocols has what a script prints be in the result.
func TestScriptProtocols(t *testing.T) {
	for _, tt := range []struct {
		name    string
		cfg     checks.ScriptConfig
		status  checks.Status
		err     string
		metrics map[string]float64
	}{
		{"a plugin", checks.ScriptConfig{Protocol: "nagios", Command: []string{"sh", "-c", "echo 'CRITICAL - full | used=99%%'; exit 2"}}, checks.Unhealthy, "it exited with status 2: CRITICAL - full", map[string]float64{"used_percent": 99}},
		{"a plugin's warning", checks.ScriptConfig{Protocol: "nagios", Warning: "unknown", Command: []string{"sh", "-c", "echo WARNING; exit 1"}}, checks.Unknown, "cannot tell: it exited with status 1: WARNING", nil},
		{"a probe of cloudprober", checks.ScriptConfig{Protocol: "cloudprober", Command: []string{"echo", `rows{of="%(process_name)s"} 7`}}, checks.Healthy, "", map[string]float64{`rows{of="web_1"}`: 7}},
		{"a reply", checks.ScriptConfig{Protocol: "json", Command: []string{"echo", `{"status":"unknown","reason":"no route","metrics":{"a":1}}`}}, checks.Unknown, "cannot tell: no route", map[string]float64{"a": 1}},
		{"a reply that is not as expected", checks.ScriptConfig{Protocol: "json", ExpectJSON: []checks.ScriptJSON{{Path: "$.db", Equals: "ok"}}, Command: []string{"echo", `{"status":"healthy","db":1}`}}, checks.Unhealthy, `$.db is 1, not "ok": {"status":"healthy","db":1}`, nil},
		{"a server that cannot be started", checks.ScriptConfig{Protocol: "cloudprober-server", Command: []string{"/no/such"}}, checks.Unknown, "cannot tell: the server: it cannot be run: fork/exec /no/such: no such file or directory", nil},
	} {
		c, err := checks.NewScript(tt.cfg)
		if err != nil {
			t.Fatal(err)
		}
		r := c.Run(t.Context(), supervisor.Process{Group: "web", Name: "web_1", PID: 7})
		text := ""
		if r.Err != nil {
			text = r.Err.Error()
		}
		if r.Status != tt.status || text != tt.err || !maps.Equal(r.Metrics, tt.metrics) {
			t.Errorf("%s: got %v: %s, %v\nwant %v: %s, %v", tt.name, r.Status, text, r.Metrics, tt.status, tt.err, tt.metrics)
		}
		if err := c.Close(); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestScriptCutShortIsUnknown(t *testing.T) {
	c, err := checks.NewScript(checks.ScriptConfig{Command: []string{"sleep", "60"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if r := c.Run(ctx, supervisor.Process{Name: "a"}); r.Status != checks.Unknown {
		t.Errorf("%+v", r)
	}
}

// TestScriptLeavesNothingBehind has a script begin something and end before it.
func TestScriptLeavesNothingBehind(t *testing.T) {
	held := filepath.Join(t.TempDir(), "held")
	if err := syscall.Mkfifo(held, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := checks.NewScript(checks.ScriptConfig{Command: []string{"sh", "-c", "exec 3<>" + held + "; sleep 3000 & exit 1"}})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if r := c.Run(t.Context(), supervisor.Process{Name: "a"}); r.Status != checks.Unhealthy {
			t.Errorf("%+v", r)
		}
	}
	// Nobody has the pipe open any more once all have ended.
	for begun := time.Now(); ; time.Sleep(time.Millisecond) {
		f, err := os.OpenFile(held, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if errors.Is(err, syscall.ENXIO) {
			return
		}
		f.Close()
		if time.Since(begun) > 30*time.Second {
			t.Fatal("what the script has left behind lives")
		}
	}
}

func TestNewScriptRefuses(t *testing.T) {
	for _, tt := range []struct {
		cfg  checks.ScriptConfig
		want string
	}{
		{checks.ScriptConfig{}, "script: command: names no program"},
		{checks.ScriptConfig{Command: []string{"sh", "%(here)s"}}, `script: command: "%(here)s": after a % comes (process_name)s, (group_name)s, (namespec)s or (pid)s, or another %`},
		{checks.ScriptConfig{Command: []string{"sh", "100%"}}, `script: command: "%": after a % comes (process_name)s, (group_name)s, (namespec)s or (pid)s, or another %`},
		{checks.ScriptConfig{Command: []string{"sh"}, Timeout: -1}, "script: timeout: -1ns is less than 0"},
	} {
		_, err := checks.NewScript(tt.cfg)
		var bad *checks.ConfigError
		if !errors.As(err, &bad) || err.Error() != tt.want {
			t.Errorf("%v\nwant %s", err, tt.want)
		}
	}
}
