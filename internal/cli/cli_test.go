package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/internal/show"
	"github.com/supervisor-checks/supervisor-checks/runner"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
	"github.com/supervisor-checks/supervisor-checks/supervisor/supervisortest"
)

// Where this program has an option that supervisor_checks does not have, a
// beginning means what it means there.
func TestLongOptions(t *testing.T) {
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	for _, name := range []string{"url", "username", "password", "timeout", "help", "headers", "port"} {
		f.String(name, "", "")
	}
	for _, name := range []string{"unix-socket", "password-file", "host", "expect-status", "expect-body", "port-range"} {
		f.String(name, "", "")
		added(f, name)
	}
	for _, test := range []struct{ name, want string }{
		{"timeout", "timeout"},
		{"time", "timeout"},
		{"t", "timeout"},
		{"timeouts", ""},
		{"Time", ""},
		{"pass", "password"},
		{"password", "password"},
		{"password-", "password-file"},
		{"port", "port"},
		{"h", "headers help"},
		{"he", "headers help"},
		{"hel", "help"},
		{"ho", "host"},
		{"u", "url username"},
		{"un", "unix-socket"},
		{"expect", "expect-body expect-status"},
		{"expect-s", "expect-status"},
	} {
		got := longOptions(f, test.name)
		if want := strings.Fields(test.want); !slices.Equal(got, want) {
			t.Errorf("--%s may be %q, want %q", test.name, got, want)
		}
	}
}

// Without an address the first socket that somebody listens on is taken, and
// one that is left over only where there is no such.
func TestOnceFindsTheSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "x") // shorter than t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	missing, stale, stale2, live := filepath.Join(dir, "missing"), filepath.Join(dir, "stale"), filepath.Join(dir, "stale2"), filepath.Join(dir, "live")
	folder := filepath.Join(dir, "folder", "missing")
	for _, path := range []string{stale, stale2, live} {
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		if path != live {
			l.(*net.UnixListener).SetUnlinkOnClose(false)
			l.Close()
			continue
		}
		server := supervisortest.NewServer(supervisor.Python, supervisortest.Program{Group: "web", Name: "a"})
		t.Cleanup(server.Close)
		go server.Serve(l)
	}
	usual := sockets
	t.Cleanup(func() { sockets = usual })
	t.Setenv("SUPERVISOR_SERVER_URL", "")
	passing := checks.Func("x", func(context.Context, supervisor.Process) error { return nil })
	for _, test := range []struct {
		name    string
		sockets []string
		status  int
		want    string // part of the error
	}{
		{"none", []string{missing, folder}, exitUnknown, "supervisord's address is not known, and there is no " + missing + ", no " + folder + ": pass --server-url unix:///PATH"},
		{"one", []string{missing, live}, exitOK, ""},
		{"one after one that is left over", []string{missing, stale, live}, exitOK, ""},
		{"one that is left over", []string{missing, stale, missing}, exitUnknown, stale},
		{"two that are left over", []string{stale, stale2}, exitUnknown, stale + ":"},
	} {
		t.Run(test.name, func(t *testing.T) {
			sockets = test.sockets
			cfg := runner.Config{Name: "x", Checks: []checks.Check{passing}, Log: slog.New(slog.DiscardHandler), StateDir: dir}
			status, err := once(t.Context(), cfg, "table", streams{out: io.Discard})
			if status != test.status || (err != nil) != (test.want != "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %d, %v, want %d, %s", status, err, test.status, test.want)
			}
		})
	}
}

// What a check refuses is named as the option that it came from.
func TestOptionOfAField(t *testing.T) {
	p := newProgram("x", "", "")
	p.section("", func(f *pflag.FlagSet) {
		retryOptions(f, new(duration), new(number))
		f.String("host", "", "")
	})
	for field, want := range map[string]string{
		"timeout":     "-t/--timeout",
		"retries":     "-r/--num-retries",
		"host":        "--host",
		"unheard-of":  "--unheard-of",
		"num-retries": "-r/--num-retries",
	} {
		if got := p.option(field); got != want {
			t.Errorf("%s: %q, want %q", field, got, want)
		}
	}
}

func TestDuration(t *testing.T) {
	for _, test := range []struct {
		text string
		want time.Duration
		err  string
	}{
		{text: "30", want: 30 * time.Second},
		{text: "010", want: 10 * time.Second},
		{text: "08", want: 8 * time.Second},
		{text: " 5 ", want: 5 * time.Second},
		{text: "+5", want: 5 * time.Second},
		{text: "1_000", want: 1000 * time.Second},
		{text: "٣٠", want: 30 * time.Second},
		{text: "30s", want: 30 * time.Second},
		{text: "1.5s", want: 1500 * time.Millisecond},
		{text: "2m", want: 2 * time.Minute},
		{text: "1h30m", want: 90 * time.Minute},
		{text: "1ns", want: 1},
		{text: "8589934592", want: 1 << 33 * time.Second},
		{text: "8589934593", err: `"8589934593" is too long`},
		{text: "-8589934593", err: `"-8589934593" is too long`},
		{text: "0", err: `"0" is not more than 0`},
		{text: "0s", err: `"0s" is not more than 0`},
		{text: "-5", err: `"-5" is not more than 0`},
		{text: "-5s", err: `"-5s" is not more than 0`},
		{text: "1.5", err: `"1.5" is neither whole seconds, such as 30, nor a duration, such as 1.5s or 2m`},
		{text: "0x10", err: `"0x10" is neither whole seconds, such as 30, nor a duration, such as 1.5s or 2m`},
		{text: "1__0", err: `"1__0" is neither whole seconds, such as 30, nor a duration, such as 1.5s or 2m`},
		{text: "", err: `"" is neither whole seconds, such as 30, nor a duration, such as 1.5s or 2m`},
		{text: "1 s", err: `"1 s" is neither whole seconds, such as 30, nor a duration, such as 1.5s or 2m`},
	} {
		got := duration(7)
		err := got.Set(test.text)
		switch {
		case test.err != "":
			if err == nil || err.Error() != test.err || got != 7 {
				t.Errorf("%q: %v, error %v, want error %s", test.text, time.Duration(got), err, test.err)
			}
		case err != nil || time.Duration(got) != test.want:
			t.Errorf("%q: %v, error %v, want %v", test.text, time.Duration(got), err, test.want)
		}
	}
}

func TestReportIsATable(t *testing.T) {
	row := func(group, name, check string, result checks.Result, took time.Duration) runner.Row {
		return runner.Row{Process: supervisor.Process{Group: group, Name: name}, Check: check, Result: result, Took: took}
	}
	for _, test := range []struct {
		name   string
		report runner.Report
		want   string
	}{
		{
			"nothing",
			runner.Report{},
			"PROCESS  CHECK  STATUS  TOOK  WHY\nno process was checked\n",
		},
		{
			"columns as wide as what they hold",
			runner.Report{Rows: []runner.Row{
				row("web", "a", "http", checks.Pass(), 1234567*time.Nanosecond),
				row("web", "long_name", "http", checks.Fail(errors.New("503 Service Unavailable")), 15*time.Second),
				row("solo", "solo", "", checks.Unsure(errors.New("not checked: it is FATAL")), 0),
			}},
			"PROCESS        CHECK  STATUS     TOOK  WHY\n" +
				"web:a          http   healthy    1ms\n" +
				"web:long_name  http   unhealthy  15s   503 Service Unavailable\n" +
				"solo           -      unknown    -     not checked: it is FATAL\n" +
				"3 processes: 1 unhealthy, 1 unknown, 1 healthy\n",
		},
		{
			"what is not watched, and what is not there",
			runner.Report{
				LeftOut:   []runner.LeftOut{{Process: supervisor.Process{Group: "pool", Name: "pool"}, Reason: "its command runs x"}},
				Unmatched: []string{"web:*"},
			},
			"PROCESS  CHECK  STATUS  TOOK  WHY\n" +
				"not watched: pool: its command runs x\n" +
				"no process matches web:*\n" +
				"no process was checked\n",
		},
		{
			"foreign bytes stay in their column",
			runner.Report{
				Rows:      []runner.Row{row("a\tb", "\x1b[2J", "http", checks.Fail(errors.New("\"C:\\x\"\r\nall is well\xff")), 0)},
				LeftOut:   []runner.LeftOut{{Process: supervisor.Process{Group: "x\ny", Name: "z"}, Reason: "r"}},
				Unmatched: []string{"a\nb"},
			},
			"PROCESS       CHECK  STATUS     TOOK  WHY\n" +
				`a\tb:\x1b[2J  http   unhealthy  0s    "C:\x"\r\nall is well\xff` + "\n" +
				"not watched: x\\ny:z: r\n" +
				"no process matches a\\nb\n" +
				"1 process: unhealthy\n",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got bytes.Buffer
			if err := page(test.report, nil).Print(&got, "table", show.Screen{}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got.String()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestReportIsJSON(t *testing.T) {
	at := time.Date(2026, 11, 21, 9, 0, 0, 500, time.UTC)
	hostile := "\x1b[2J\"\\</script>&\r\n\u009b\u202e\u2028\U000e0001\x7f\xff é"
	const escaped = `\u001b[2J\"\\</script>&\r\n\u009b\u202e\u2028\udb40\udc01\u007f\ufffd é`
	for _, test := range []struct {
		name   string
		report runner.Report
		want   string
	}{
		{
			"nothing",
			runner.Report{},
			`{
  "status": "unknown",
  "results": [],
  "not_watched": [],
  "unmatched": []
}
`,
		},
		{
			"unhealthy next to what does not run",
			runner.Report{Rows: []runner.Row{
				{
					Process: supervisor.Process{Group: "web", Name: "a", PID: 7, State: supervisor.Running}, Check: "memory", Time: at, Took: 1500 * time.Microsecond,
					Result: checks.Result{Status: checks.Unhealthy, Err: errors.New("too much"), Metrics: map[string]float64{"rss_bytes": 1 << 40, "age_seconds": 0.25}},
				},
				{Process: supervisor.Process{Group: "solo", Name: "solo"}, Time: at, Result: checks.Unsure(errors.New("not checked: it is FATAL"))},
			}},
			`{
  "status": "unhealthy",
  "results": [
    {
      "kind": "check_result",
      "time": "2026-11-21T09:00:00.0000005Z",
      "process": "web:a",
      "pid": 7,
      "check": "memory",
      "status": "unhealthy",
      "reason": "too much",
      "seconds": 0.0015,
      "metrics": {
        "age_seconds": 0.25,
        "rss_bytes": 1099511627776
      }
    },
    {
      "kind": "check_result",
      "time": "2026-11-21T09:00:00.0000005Z",
      "process": "solo",
      "status": "unknown",
      "reason": "not checked: it is FATAL"
    }
  ],
  "not_watched": [],
  "unmatched": []
}
`,
		},
		{
			"foreign bytes move no cursor",
			runner.Report{
				Rows: []runner.Row{{
					Process: supervisor.Process{Group: hostile, Name: hostile}, Check: "http", Time: at, Result: checks.Fail(errors.New(hostile)),
				}},
				LeftOut:   []runner.LeftOut{{Process: supervisor.Process{Group: hostile, Name: hostile}, Reason: hostile}},
				Unmatched: []string{hostile},
			},
			`{
  "status": "unhealthy",
  "results": [
    {
      "kind": "check_result",
      "time": "2026-11-21T09:00:00.0000005Z",
      "process": "` + escaped + `",
      "check": "http",
      "status": "unhealthy",
      "reason": "` + escaped + `"
    }
  ],
  "not_watched": [
    {
      "process": "` + escaped + `",
      "reason": "` + escaped + `"
    }
  ],
  "unmatched": [
    "` + escaped + `"
  ]
}
`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got bytes.Buffer
			if err := page(test.report, nil).Print(&got, "json", show.Screen{}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got.String()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			var found struct {
				Results []struct{ Reason string }
			}
			if err := json.Unmarshal(got.Bytes(), &found); err != nil {
				t.Error(err)
			}
			for i, row := range test.report.Rows {
				if want := strings.ToValidUTF8(row.Result.Err.Error(), "\ufffd"); found.Results[i].Reason != want {
					t.Errorf("read again, it is %q, want %q", found.Results[i].Reason, want)
				}
			}
		})
	}
}

// A report that nobody could read is not a good one.
func TestReportThatCannotBePrinted(t *testing.T) {
	var text bytes.Buffer
	notANumber := runner.Report{Rows: []runner.Row{{Check: "x", Result: checks.Result{Status: checks.Healthy, Metrics: map[string]float64{"x": math.NaN()}}}}}
	if err := page(notANumber, nil).Print(&text, "json", show.Screen{}); err == nil || text.Len() > 0 {
		t.Errorf("a metric that is not a number: error %v, %q", err, text.String())
	}
	closed, w := io.Pipe()
	closed.Close()
	for _, format := range show.Formats {
		if err := page(runner.Report{}, nil).Print(w, format, show.Screen{}); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("as %s to a pipe that nobody reads: %v", format, err)
		}
	}
}

// A program of this package is a function: with streams of its caller it leaves
// those of the process alone.
func TestStreamsOfTheCaller(t *testing.T) {
	var stdout, stderr bytes.Buffer
	status := TCP([]string{"-n", "x", "-p", "80", "--dry-run", "--server-url", "http://supervisord"},
		strings.NewReader(""), &stdout, &stderr)
	if status != exitOK || stdout.String() != "READY\n" || !strings.Contains(stderr.String(), "supervisord has closed the connection") {
		t.Errorf("exit status %d, output %q, log:\n%s", status, stdout.String(), stderr.String())
	}
}
