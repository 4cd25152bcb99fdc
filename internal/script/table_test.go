package script_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/command"
	"github.com/supervisor-checks/supervisor-checks/internal/script"
)

// lines are what a script says of health in each protocol, with a metric where it can.
var lines = map[string]string{
	script.Exit:        "fine",
	script.Nagios:      "fine | m=1",
	script.Cloudprober: "m 1",
	script.JSON:        `{"status":"healthy","metrics":{"m":1}}`,
}

// behaviours are what scripts do until they end: $L is the line. Those that have something
// else behind the line, as others before it, have it the other way round for plugins, whose
// first line counts.
var behaviours = []struct {
	name, text, plugin string
	says               bool // the line is in the output
	last               bool // and nothing is behind it
}{
	{"is fast", `echo "$L"`, "", true, true},
	{"is slow", `sleep 0.05; echo "$L"`, "", true, true},
	{"says nothing", `:`, "", false, false},
	{"ends its line with the output", `printf '%s' "$L"`, "", true, true},
	{"ends its lines as Windows does", `printf 'head 1\r\n%s\r\n' "$L"`, `printf '%s\r\n' "$L"`, true, true},
	{"prints 10 MB", `yes 'some text' | head -c 10000000; echo; echo "$L"`, `echo "$L"; yes 'some text' | head -c 10000000`, true, true},
	{"prints 10 MB in one line", `head -c 10000000 /dev/zero; echo; echo "$L"`, `echo "$L"; head -c 10000000 /dev/zero`, true, true},
	{"prints what is no text", `printf '\000\377\376\033[2J\n'; echo "$L"`, `echo "$L"; printf '\000\377\376\033[2J'`, true, true},
	{"leaves a child behind that holds the output open", `sleep 3000 & echo "$L"`, "", true, true},
	{"leaves a daemon behind that holds the output open", `setsid sleep 5 & echo "$L"`, "", true, true},
	{"complains", `echo oops >&2; echo "$L"`, "", true, true},
	{"prints more behind what it says", `echo "$L"; echo 'and more'`, "", true, false},
}

// ends are how scripts end.
var ends = []struct {
	text   string
	status script.Status
	reason string
}{
	{"exit 0", script.Healthy, ""},
	{"exit 1", script.Unhealthy, "it exited with status 1"},
	{"exit 2", script.Unhealthy, "it exited with status 2"},
	{"exit 3", script.Unknown, "it exited with status 3"},
	{"exit 75", script.Unhealthy, "it exited with status 75"},
	{"exit 126", script.Unknown, "it exited with status 126"},
	{"no-such-program-at-all 2>/dev/null", script.Unknown, "it exited with status 127"},
	{"kill -KILL $$", script.Unhealthy, "it was ended by signal 9 (killed)"},
	{"kill -SEGV $$", script.Unhealthy, "it was ended by signal 11"},
	{"sleep 3000", script.Unhealthy, "it took too long and was killed after 3s"},
}

// aCase is a script, and what should come of it.
type aCase struct {
	name    string
	cfg     script.Config
	status  script.Status
	reason  string
	metric  bool
	outcome script.Outcome
}

// table makes every case there is.
func table(t *testing.T) (all []*aCase) {
	dir := t.TempDir()
	written := 0
	write := func(text string, mode os.FileMode) string {
		written++
		path := filepath.Join(dir, fmt.Sprint("script", written))
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for protocol, line := range lines {
		for _, b := range behaviours {
			for i, e := range ends {
				if strings.Contains(b.name, "10 MB") && (i%3 != 0 || strings.HasPrefix(e.text, "sleep")) { // which takes time
					continue
				}
				text := b.text
				if protocol == script.Nagios && b.plugin != "" {
					text = b.plugin
				}
				text += "\n" + e.text + "\n"
				c := &aCase{name: protocol + ": " + b.name + ": " + e.text, status: e.status, reason: e.reason, metric: b.says && protocol != script.Exit}
				c.cfg = script.Config{Protocol: protocol, Env: []string{"L=" + line}, Timeout: time.Minute}
				if len(all)%2 == 0 {
					c.cfg.Command = []string{"sh", "-c", strings.ReplaceAll(text, "%", "%%")}
				} else {
					c.cfg.Command = []string{write("#!/bin/sh\n"+text, 0o755)}
				}
				if strings.HasPrefix(e.text, "sleep") {
					c.cfg.Timeout = 3 * time.Second
				}
				if protocol == script.Nagios && e.text == "exit 1" {
					c.status, c.reason = script.Healthy, ""
				}
				if protocol == script.JSON && !b.last {
					c.metric = false
					switch {
					case e.status == script.Healthy && b.says:
						c.status, c.reason = script.Unknown, "its last line is no reply in JSON: and more"
					case e.status == script.Healthy:
						c.status, c.reason = script.Unknown, "it wrote no reply"
					case strings.HasPrefix(e.reason, "it exited"):
						c.status = script.Unknown
					}
				}
				all = append(all, c)
			}
		}
		for name, path := range map[string]string{
			"is missing":                              filepath.Join(dir, "missing"),
			"is not in PATH":                          "no-such-program-at-all",
			"is not executable":                       write("#!/bin/sh\n", 0o644),
			"has a wrong interpreter":                 write("#!/no/such/interpreter\n", 0o755),
			"has an interpreter as Windows writes it": write("#!/bin/sh\r\nexit 0\r\n", 0o755),
			"has no interpreter":                      write("exit 0\n", 0o755),
			"is empty":                                write("", 0o755),
			"is a folder":                             dir,
		} {
			all = append(all, &aCase{name: protocol + ": " + name, cfg: script.Config{Protocol: protocol, Command: []string{path}}, status: script.Unknown, reason: "it cannot be run: "})
		}
	}
	return all
}

// TestScriptsOfEveryKind runs them all at once, as far as they may.
func TestScriptsOfEveryKind(t *testing.T) {
	all := table(t)
	if len(all) < 400 {
		t.Fatalf("%d cases", len(all))
	}
	slices.SortStableFunc(all, func(a, b *aCase) int { return strings.Compare(b.reason, a.reason) }) // those that take long come first
	var running sync.WaitGroup
	for _, c := range all {
		s, err := script.New(c.cfg)
		if err != nil {
			t.Fatal(err)
		}
		running.Go(func() {
			for begun := time.Now(); ; {
				c.outcome = s.Run(t.Context(), script.Subject{Key: "a"})
				_, is := c.outcome.Metrics["m"]
				if is || !c.metric || !errors.Is(c.outcome.Err, command.ErrTimeout) || time.Since(begun) > 30*time.Second {
					return
				}
			}
		})
	}
	running.Wait()
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			o, text := c.outcome, ""
			if o.Err != nil {
				text = o.Err.Error()
			}
			if o.Status != c.status || !strings.HasPrefix(text, c.reason) || (text == "") != (c.reason == "") {
				t.Errorf("%v: %q\nwant %v: %q …", o.Status, text, c.status, c.reason)
			}
			if strings.ContainsAny(text, "\x00\n\r\x1b") || len(text) > 1500 {
				t.Errorf("this is no line: %q", text)
			}
			m, is := o.Metrics["m"]
			if is != c.metric || is && math.Abs(m-1) > 0 {
				t.Errorf("metrics %v, want m: %v", o.Metrics, c.metric)
			}
		})
	}
}
