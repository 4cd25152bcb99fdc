package cli

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/internal/scripttest"
	"github.com/supervisor-checks/supervisor-checks/internal/show"
	"github.com/supervisor-checks/supervisor-checks/runner"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// nastyReport is one with names and reasons of all kinds.
func nastyReport() runner.Report {
	at := time.Date(2026, 11, 26, 5, 0, 0, 0, time.UTC)
	row := func(group, name, check string, took time.Duration, result checks.Result) runner.Row {
		return runner.Row{Process: supervisor.Process{Group: group, Name: name, PID: 7, State: supervisor.Running}, Check: check, Result: result, Time: at, Took: took}
	}
	memory := checks.Pass()
	memory.Metrics = map[string]float64{"rss_bytes": 45 << 20}
	http := checks.Fail(errors.New("dial tcp 127.0.0.1:8001: connect: connection refused (after 3 tries)"))
	http.Metrics = map[string]float64{"latency_seconds": 0.000012}
	return runner.Report{
		Rows: []runner.Row{
			row("web", "web_8001", "http", 1234567*time.Nanosecond, http),
			row("web", "web_8001", "memory", time.Millisecond, memory),
			row("web", "web_8002", "http", 15*time.Second, checks.Fail(errors.New("503"))),
			row("日本語", "ワーカー", "memory", 0, memory),
			row("e\u0301te\u0301", "größer", "memory", time.Millisecond, checks.Unsure(errors.New("process 7: 許可がありません、許可がありません、許可がありません、許可がありません、許可がありません"))),
			row("a name that is as long as a name of a process should never be", "but who knows", "tcp", time.Millisecond, checks.Pass()),
			row("esc\x1b[2J", "it's=50%|\u202e", "script", time.Second, checks.Fail(errors.New("exit status 1: a|b\r\n\x1b]0;title\a"))),
			row("solo", "solo", "", 0, checks.Unsure(errors.New("not checked: it is FATAL"))),
		},
		LeftOut:   []runner.LeftOut{{Process: supervisor.Process{Group: "pool", Name: "pool"}, Reason: "it looks like an event listener (priority -1), which nobody wants to be restarted by another one"}},
		Unmatched: []string{"cron:*"},
	}
}

func TestGolden(t *testing.T) {
	report := nastyReport()
	short := runner.Report{Rows: append(report.Rows[:1:1], report.Rows[2])}
	for _, test := range []struct {
		file   string
		report runner.Report
		err    error
		format string
		screen show.Screen
	}{
		{"once-piped.txt", report, nil, "table", show.Screen{}},
		{"once-80.txt", report, nil, "table", show.Screen{Width: 80}},
		{"once-120.txt", report, nil, "table", show.Screen{Width: 120}},
		{"once-40.txt", report, nil, "table", show.Screen{Width: 40}},
		{"once-120-colour.txt", report, nil, "table", show.Screen{Width: 120, Colour: true}},
		{"once-short-80.txt", short, nil, "table", show.Screen{Width: 80}},
		{"once.yaml", report, nil, "yaml", show.Screen{}},
		{"once-error.yaml", runner.Report{}, errors.New("no answer: is it there?"), "yaml", show.Screen{}},
		{"once.nagios", report, nil, "nagios", show.Screen{}},
		{"once-healthy.nagios", runner.Report{Rows: report.Rows[1:2]}, nil, "nagios", show.Screen{}},
		{"once-unmatched.nagios", runner.Report{Rows: report.Rows[1:2], Unmatched: report.Unmatched}, nil, "nagios", show.Screen{}},
		{"once-error.nagios", runner.Report{}, errors.New("no answer: is it there?"), "nagios", show.Screen{}},
		{"once-nothing.nagios", runner.Report{}, nil, "nagios", show.Screen{}},
	} {
		var got bytes.Buffer
		if err := page(test.report, test.err).Print(&got, test.format, test.screen); err != nil {
			t.Errorf("%s: %v", test.file, err)
			continue
		}
		scripttest.Golden(t, filepath.Join("golden", test.file), got.String())
	}
}
