package host

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/control"
)

// listeners runs a listener for each answer, and returns their state folder.
func listeners(t *testing.T, answers ...control.Answer) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "host")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	serve(t, dir, answers...)
	return dir
}

// serve runs a listener for each answer, with their state in dir.
func serve(t *testing.T, dir string, answers ...control.Answer) {
	t.Helper()
	for _, a := range answers {
		folder := filepath.Join(dir, "supervisor")
		os.Mkdir(folder, 0o700)
		path := filepath.Join(folder, a.Listener.Name+control.Suffix)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- control.Serve(ctx, path, func(_ context.Context, r control.Request) control.Answer {
				if r.Command == control.Pause {
					a.Listener.Pauses = []control.Held{{Selector: r.Selector, Until: time.Unix(1e9, 0)}}
				}
				return a
			})
		}()
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
		for begun := time.Now(); time.Since(begun) < 10*time.Second; {
			if _, err := control.Ask(t.Context(), path, control.Request{}); !refused(err) {
				break
			}
		}
	}
}

// web is what a listener answers, now.
func web() control.Answer {
	return control.Answer{
		Listener: control.Listener{Name: "web", PID: 7, Started: time.Unix(1e9, 0), Watches: "web:*", Checks: []string{"http", "tcp"}, Policy: "restarts what fails",
			Groups: []control.Group{{Name: "web", Panic: "20 of 20 fail http at once"}}, Trouble: "no answer"},
		Processes: []control.Process{
			{Process: "web:a", State: "RUNNING", Restarts: 2, Limit: "5/10m", StartPeriod: 12, Would: "nothing yet: http has failed 1 of 3", Rules: []control.Rule{
				{Check: "http", Status: "unhealthy", Verdict: "healthy", Failures: "1 of 3", Reason: "503 \x1b[2J", Looked: time.Now().Add(-time.Hour)},
				{Check: "tcp", Status: "healthy", Verdict: "unhealthy", Failures: "3 of 3", Successes: "1 of 2", Looked: time.Now()},
			}},
			{Process: "web:b", State: "STOPPED", Would: "nothing: it is STOPPED", PausedUntil: time.Unix(1e9, 0)},
		},
	}
}

func TestPrinted(t *testing.T) {
	web := web()
	dir := listeners(t, web)
	// What a listener left that was killed.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "supervisor", "gone.sock"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	notes := "web: supervisord cannot be asked: no answer\nweb: group web: 20 of 20 fail http at once\n"
	for _, tt := range []struct{ args, out string }{
		{"listeners", "LISTENER PID SINCE PROCESSES DOES\n" +
			"web 7 2001-09-09T01:46:40Z 2 watches web:* (http, tcp); restarts what fails\n" + notes},
		{"explain", "CHECK STATUS FAILURES LOOKED WHY\n" +
			"web:a RUNNING, watched by web\n" +
			"http unhealthy 1 of 3 " + clock(web.Processes[0].Rules[0].Looked) + ", 1h0m ago" + ` 503 \x1b[2J; counts as healthy` + "\n" +
			"tcp healthy 3 of 3 " + clock(web.Processes[0].Rules[1].Looked) + " counts as unhealthy (1 of 2 successes)\n" +
			"would be nothing yet: http has failed 1 of 3; failures do not count for 12 s more\n" +
			"restarts 2 of 5/10m\n" +
			"\n" +
			"web:b STOPPED, watched by web\n" +
			"would be nothing: it is STOPPED\n" +
			"restarts 0\n" +
			"paused until 2001-09-09T01:46:40Z\n\n" + notes},
		{"pause web:* --for 1h", "web: paused web:a, web:b\n" +
			"web: supervisord cannot be asked: no answer\nweb: actions on web:* are paused until 2001-09-09T01:46:40Z\nweb: group web: 20 of 20 fail http at once\n"},
		{"version", "supervisor_checks 0.1.0\n"},
	} {
		var out, errs bytes.Buffer
		if status := Main(append(strings.Fields(tt.args), "--state-dir", dir), &out, &errs); status != 0 {
			t.Errorf("%s: exit status %d, %s", tt.args, status, &errs)
		}
		var lines []string
		for line := range strings.Lines(out.String()) {
			lines = append(lines, strings.Join(strings.Fields(line), " ")+"\n")
		}
		if got := strings.Join(lines, ""); got != tt.out {
			t.Errorf("%s prints\n%swant\n%s", tt.args, got, tt.out)
		}
	}
}

func TestRefused(t *testing.T) {
	empty := listeners(t)
	bad := listeners(t, control.Answer{Error: "that is bad", Listener: control.Listener{Name: "bad"}})
	good := listeners(t, web())
	for _, tt := range []struct {
		args   string
		dir    string
		status int
		err    string
	}{
		{"explain", empty, 3, "no listener runs with its state in " + empty},
		{"explain", bad, 1, "that is bad"},
		{"explain --listener none", good, 3, `no listener called "none" runs with its state in `},
		{"pause web:*", good, 2, "--for says for how long, as 30m"},
		{"pause web:* --for soon", good, 2, `--for: "soon" is neither whole seconds`},
		{"pause", good, 2, "usage: supervisor_checks pause PROCESS --for DURATION"},
		{"explain a b", good, 2, "usage: supervisor_checks explain [PROCESS]"},
		{"listeners --output xml", good, 2, `--output: "xml" is none of table, json, yaml`},
		{"explain --output cloudprober", good, 2, `--output: "cloudprober" is only for once; serve-probe has no other`},
		{"listeners --output studio", good, 2, `--output: "studio" is only for once`},
		{"explain --output csv", good, 2, `--output: "csv" is only for history and summary`},
		{"listeners --output nagios", good, 3, `--output: "nagios" is only for explain and once`},
		{"explain --output nagios --watch", good, 3, "--watch: not with --output nagios"},
		{"explain --watch=soon", good, 2, `--watch: "soon" is neither whole seconds`},
		{"explain --watch 5s", good, 2, "write --watch=5s for how often"},
		{"explain web:* --watch=0", good, 2, `--watch: "0" is not more than 0`},
		{"explain --output nagios", empty, 3, "no listener runs with its state in "},
		{"fly", good, 2, `there is no command "fly"`},
		{"explain", "/dev/null/x", 1, "the state folder cannot be used"},
	} {
		var out, errs bytes.Buffer
		status := Main(append(strings.Fields(tt.args), "--state-dir", tt.dir), &out, &errs)
		if status != tt.status || !strings.HasPrefix(errs.String(), "supervisor_checks: error: ") || !strings.Contains(errs.String(), tt.err) {
			t.Errorf("%s: exit status %d, want %d; it says %q, want %q", tt.args, status, tt.status, errs.String(), tt.err)
		}
	}
}
