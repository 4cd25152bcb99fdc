package host

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/control"
	"github.com/supervisor-checks/supervisor-checks/internal/scripttest"
	"github.com/supervisor-checks/supervisor-checks/internal/show"
)

// now is when the golden files are of.
var now = time.Date(2026, 11, 26, 3, 0, 10, 0, time.UTC)

// hosts are what the listeners of a host say.
var hosts = []control.Answer{
	{
		Listener: control.Listener{
			Name: "checks", Process: "checks", PID: 400, Started: now.Add(-9 * time.Hour), Supervisord: "unix:///run/supervisor.sock",
			Watches: "web:*, worker", Checks: []string{"http", "memory", "file"}, Policy: "restarts what fails 3 times, at most 5 times in 10m, pauses from 10s to 5m, 25% of a group at once",
			Pauses: []control.Held{{Selector: "web:web_8003", Until: now.Add(30 * time.Minute)}},
			Groups: []control.Group{{Name: "web", Panic: "20 of 20 fail http at once: one is restarted as a trial"}},
		},
		Processes: []control.Process{
			{
				Process: "web:web_8001", State: "RUNNING", PID: 4711, Restarts: 2, Limit: "5/10m", LastRestart: now.Add(-4 * time.Minute), Backoff: 20,
				Would: "restarted at the next look: http",
				Rules: []control.Rule{
					{Check: "http", Status: "unhealthy", Verdict: "unhealthy", Failures: "3 of 3", Successes: "0 of 1", Reason: "dial tcp 127.0.0.1:8001: connect: connection refused (after 3 tries)", Looked: now.Add(-5 * time.Second)},
					{Check: "memory", Status: "healthy", Verdict: "healthy", Failures: "0 of 3", Looked: now.Add(-5 * time.Second)},
				},
			},
			{
				Process: "web:web_8002", State: "RUNNING", PID: 4712, Limit: "5/10m", StartPeriod: 12.4,
				Would: "nothing yet: http has failed 1 of 3",
				Rules: []control.Rule{
					{Check: "http", Status: "unhealthy", Verdict: "healthy", Failures: "1 of 3 in the last 5", Reason: "503 Service Unavailable", Looked: now.Add(-time.Hour)},
					{Check: "memory", Status: "healthy", Verdict: "unhealthy", Failures: "3 of 3", Successes: "1 of 2", Looked: now},
				},
			},
			{Process: "web:web_8003", State: "STOPPED", PausedUntil: now.Add(30 * time.Minute), Would: "nothing: it is STOPPED"},
		},
	},
	{
		Listener: control.Listener{Name: "workers", PID: 401, Started: now.Add(-time.Hour), Watches: "ワーカー:*", Checks: []string{"file"}, Policy: "alerts", Trouble: "no answer from supervisord at unix:///run/supervisor.sock: connect: connection refused"},
		Processes: []control.Process{
			{
				Process: "ワーカー:日本語\x1b[2J|=", State: "RUNNING", PID: 4713, Would: "nothing: not known to fail 日本語のチェック", Rules: []control.Rule{
					{Check: "日本語のチェック", Status: "unknown", Verdict: "healthy", Failures: "0 of 1", Reason: "許可がありません\r\n" + "許可がありません許可がありません許可がありません許可がありません", Looked: now},
				},
			},
			{Process: "ワーカー:new", State: "STARTING", Would: "nothing: it has not been checked yet"},
		},
	},
}

func TestGolden(t *testing.T) {
	explain, list := processesTable(now, hosts), listenersTable(hosts)
	shown := []control.Answer{{Listener: control.Listener{Process: "checks"}, Processes: hosts[0].Processes[:1]}} // in the README
	healthy := []control.Answer{{Listener: control.Listener{Name: "x"}, Processes: []control.Process{
		{Process: "web:a", State: "RUNNING", Restarts: 1, Rules: hosts[0].Processes[0].Rules[1:]},
		hosts[0].Processes[2], // that somebody has stopped
	}}}
	for _, test := range []struct {
		file   string
		page   show.Page
		format string
		screen show.Screen
	}{
		{"explain-piped.txt", show.Page{Table: explain}, "table", show.Screen{}},
		{"explain-down.txt", show.Page{Table: processesTable(now, []control.Answer{{Listener: hosts[1].Listener}})}, "table", show.Screen{Width: 80}},
		{"explain-80.txt", show.Page{Table: explain}, "table", show.Screen{Width: 80}},
		{"explain-readme.txt", show.Page{Table: processesTable(now, shown)}, "table", show.Screen{Width: 80}},
		{"explain-120.txt", show.Page{Table: explain}, "table", show.Screen{Width: 120}},
		{"explain-120-colour.txt", show.Page{Table: explain}, "table", show.Screen{Width: 120, Colour: true}},
		{"explain.json", show.Page{Data: hosts}, "json", show.Screen{}},
		{"explain.yaml", show.Page{Data: hosts}, "yaml", show.Screen{}},
		{"explain.nagios", show.Page{Report: plugin(hosts, nil)}, "nagios", show.Screen{}},
		{"explain-unknown.nagios", show.Page{Report: plugin(hosts[1:], errors.New("a listener does not answer"))}, "nagios", show.Screen{}},
		{"explain-healthy.nagios", show.Page{Report: plugin(healthy, nil)}, "nagios", show.Screen{}},
		{"listeners-piped.txt", show.Page{Table: list}, "table", show.Screen{}},
		{"listeners-80.txt", show.Page{Table: list}, "table", show.Screen{Width: 80}},
		{"listeners-120.txt", show.Page{Table: list}, "table", show.Screen{Width: 120}},
	} {
		var got bytes.Buffer
		if err := test.page.Print(&got, test.format, test.screen); err != nil {
			t.Errorf("%s: %v", test.file, err)
			continue
		}
		scripttest.Golden(t, test.file, got.String())
	}
	for _, test := range []struct {
		answers []control.Answer
		want    int
	}{{hosts, 2}, {hosts[1:], 3}, {healthy, 0}, {nil, 3}} {
		if got := plugin(test.answers, nil).Exit(); got != test.want {
			t.Errorf("exit status %d, want %d, of %+v", got, test.want, test.answers)
		}
	}
}
