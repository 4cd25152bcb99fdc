package cli

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/runner"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
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

// What a check refuses is named as the option that it came from.
func TestOptionOfAField(t *testing.T) {
	p := newProgram("x", "", "")
	p.section("", func(f *pflag.FlagSet) {
		retryOptions(f, new(duration), new(number))
		f.String("host", "", "")
	})
	for field, want := range map[string]string{
		"timeout":     "argument -t/--timeout",
		"retries":     "argument -r/--num-retries",
		"host":        "argument --host",
		"unheard-of":  "argument --unheard-of",
		"num-retries": "argument -r/--num-retries",
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
			"PROCESS  CHECK  STATUS  TOOK  WHY\n",
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
				"solo           -      unknown    -     not checked: it is FATAL\n",
		},
		{
			"what is not watched, and what is not there",
			runner.Report{
				LeftOut:   []runner.LeftOut{{Process: supervisor.Process{Group: "pool", Name: "pool"}, Reason: "its command runs x"}},
				Unmatched: []string{"web:*"},
			},
			"PROCESS  CHECK  STATUS  TOOK  WHY\n" +
				"not watched: pool: its command runs x\n" +
				"no process matches web:*\n",
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
				"no process matches a\\nb\n",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got bytes.Buffer
			printReport(&got, test.report)
			if diff := cmp.Diff(test.want, got.String()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
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
