package availability_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/supervisor-checks/supervisor-checks/internal/availability"
	"github.com/supervisor-checks/supervisor-checks/record"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }

func result(seconds int, check, status string) record.Record {
	return record.Record{Kind: record.CheckResult, Time: at(seconds), Process: "web:a", Supervisord: supervisord, Check: check, Status: status, Listener: "lis"}
}

// supervisord is not in what a listener says when it begins.
const supervisord = "supervisor"

func listener(seconds int, action string) record.Record {
	return record.Record{Kind: record.Listener, Time: at(seconds), Action: action, Listener: "lis"}
}

func ofOther(r record.Record) record.Record {
	r.Listener = "other"
	return r
}

func Test(t *testing.T) {
	const second = time.Second
	restart := record.Record{Kind: record.Restart, Supervisord: supervisord, Process: "web:a", Action: record.Running, PID: 7, NewPID: 8}
	revived := record.Record{Kind: record.Restart, Supervisord: supervisord, Process: "web:a", Action: record.Running, NewPID: 8}
	for name, tt := range map[string]struct {
		records []record.Record
		until   int
		want    availability.Summary
	}{
		"healthy all the time": {
			[]record.Record{result(0, "tcp", "healthy"), result(60, "tcp", "healthy")}, 100,
			availability.Summary{Status: "healthy", Since: at(0), Healthy: 100 * second},
		},
		"an outage, with a restart": {
			[]record.Record{result(0, "tcp", "healthy"), result(60, "tcp", "unhealthy"), restart, result(80, "tcp", "healthy")}, 100,
			availability.Summary{Status: "healthy", Since: at(80), Healthy: 80 * second, Unhealthy: 20 * second, Outages: 1, Recovered: 1, Recovery: 20 * second, LongestRecovery: 20 * second, Restarts: 1},
		},
		"two outages, the second goes on": {
			[]record.Record{result(0, "tcp", "unhealthy"), result(10, "tcp", "healthy"), result(20, "tcp", "unhealthy")}, 30,
			availability.Summary{Status: "unhealthy", Since: at(20), Healthy: 10 * second, Unhealthy: 20 * second, Outages: 2, Recovered: 1, Recovery: 10 * second, LongestRecovery: 10 * second},
		},
		"as bad as the worst of two checks": {
			[]record.Record{result(0, "tcp", "healthy"), result(0, "http", "unhealthy"), result(10, "tcp", "healthy"), result(20, "http", "healthy")}, 30,
			availability.Summary{Status: "healthy", Since: at(20), Healthy: 10 * second, Unhealthy: 20 * second, Outages: 1, Recovered: 1, Recovery: 20 * second, LongestRecovery: 20 * second},
		},
		"unknown is neither": {
			[]record.Record{result(0, "tcp", "unhealthy"), result(10, "tcp", "unknown"), result(30, "tcp", "healthy")}, 40,
			availability.Summary{Status: "healthy", Since: at(30), Healthy: 10 * second, Unhealthy: 10 * second, Unknown: 20 * second, Outages: 1, Recovered: 1, Recovery: 30 * second, LongestRecovery: 30 * second},
		},
		"nobody has looked for long": {
			[]record.Record{result(0, "tcp", "healthy"), result(7200, "tcp", "healthy")}, 14400,
			availability.Summary{Status: "unknown", Since: at(7200), Healthy: 20 * time.Minute},
		},
		"the listener was away": {
			[]record.Record{result(0, "tcp", "healthy"), listener(10, record.Ended), listener(70, record.Started), result(80, "tcp", "healthy")}, 90,
			availability.Summary{Status: "healthy", Since: at(0), Healthy: 20 * second},
		},
		"the listener was killed": {
			[]record.Record{result(0, "tcp", "healthy"), result(10, "tcp", "healthy"), listener(70, record.Started), result(80, "tcp", "healthy")}, 90,
			availability.Summary{Status: "healthy", Since: at(0), Healthy: 20 * second},
		},
		"a check that nobody makes any more": {
			[]record.Record{result(0, "http", "unhealthy"), result(0, "tcp", "healthy"), result(500, "tcp", "healthy"), result(700, "tcp", "healthy")}, 800,
			availability.Summary{Status: "healthy", Since: at(700), Healthy: 100 * second, Unhealthy: 700 * second, Outages: 1, Recovered: 1, Recovery: 700 * second, LongestRecovery: 700 * second},
		},
		"two listeners with checks of one name": {
			[]record.Record{result(0, "tcp", "unhealthy"), ofOther(result(5, "tcp", "healthy")), result(10, "tcp", "unhealthy")}, 15,
			availability.Summary{Status: "unhealthy", Since: at(0), Unhealthy: 15 * second, Outages: 1},
		},
		"one of two listeners ends, whose check failed": {
			[]record.Record{result(0, "tcp", "unhealthy"), ofOther(result(0, "http", "healthy")), listener(10, record.Ended)}, 30,
			availability.Summary{Status: "healthy", Since: at(10), Healthy: 20 * second, Unhealthy: 10 * second, Outages: 1, Recovered: 1, Recovery: 10 * second, LongestRecovery: 10 * second},
		},
		"records dropped are nothing": {
			[]record.Record{result(0, "tcp", "healthy"), {Kind: record.Listener, Action: record.Dropped, Time: at(5), Listener: "lis"}}, 30,
			availability.Summary{Status: "healthy", Since: at(0), Healthy: 30 * second},
		},
		"what was started is no restart": {[]record.Record{result(0, "tcp", "healthy"), revived}, 0, availability.Summary{Status: "healthy", Since: at(0)}},
	} {
		t.Run(name, func(t *testing.T) {
			var l availability.Log
			for _, r := range tt.records {
				l.Add(r)
			}
			tt.want.Name, tt.want.Supervisord = "web:a", supervisord
			if diff := cmp.Diff([]availability.Summary{tt.want}, l.Summaries(at(tt.until))); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestEachHasItsOwn(t *testing.T) {
	var l availability.Log
	for _, r := range []record.Record{
		{Kind: record.ProbeResult, Probe: "a", Status: "healthy"},
		{Kind: record.CheckResult, Process: "b", Host: "h2", Status: "healthy"},
		{Kind: record.CheckResult, Process: "b", Host: "h1", Status: "healthy"}, // of the one that is known next
		{Kind: record.CheckResult, Process: "b", Host: "h1", Supervisord: "r", Status: "unhealthy"},
		{Kind: record.CheckResult, Process: "b", Host: "h1", Supervisord: "s", Status: "unknown"},
		{Kind: record.Group, Group: "g"},
	} {
		l.Add(r)
	}
	got := ""
	for _, s := range l.Summaries(time.Time{}) {
		got += s.Name + " " + s.Host + s.Supervisord + " " + s.Status + "\n"
	}
	if want := "b h1r unhealthy\nb h1s unknown\nb h2 healthy\na  healthy\n"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestFigures(t *testing.T) {
	s := availability.Summary{Healthy: 3 * time.Second, Unhealthy: time.Second, Unknown: time.Hour, Recovered: 2, Recovery: 3 * time.Second}
	if got, is := s.Availability(); got != 0.75 || !is {
		t.Errorf("%v, %v", got, is)
	}
	if got := s.MeanRecovery(); got != 1500*time.Millisecond {
		t.Errorf("%v", got)
	}
	s = availability.Summary{Unknown: time.Hour}
	if got, is := s.Availability(); is || s.MeanRecovery() != 0 {
		t.Errorf("%v, %v", got, s.MeanRecovery())
	}
}
