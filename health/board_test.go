package health_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/supervisor-checks/supervisor-checks/health"
	"github.com/supervisor-checks/supervisor-checks/record"
)

// TestBoard knows of processes what the newest results of their checks say, as long as
// these are new enough.
func TestBoard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := health.NewBoard(nil)
		news := make(chan struct{}, 1)
		b.Tell(news)
		want := func(text string) {
			t.Helper()
			if got := describe(b.Check(t.Context())); got != text {
				t.Errorf("%s\nwant %s", got, text)
			}
		}
		result := func(process, check, status, reason string) {
			b.Write(t.Context(), record.Record{Kind: record.CheckResult, Process: process, PID: 12, Check: check, Status: status, Reason: reason, Seconds: 0.5})
		}
		want("supervisord unknown: it has not been asked yet what processes there are")
		b.Round(5*time.Second, nil)
		want("supervisord unhealthy: no process that is watched should run")
		checks := []health.Checked{{Name: "http", Period: 5 * time.Second}, {Name: "night", Period: 5 * time.Second, Rests: true}, {Name: "hourly", Period: time.Hour}}
		round := func() {
			b.Round(5*time.Second, []health.Process{{Name: "web:b", PID: 12, Running: true, Checks: checks}, {Name: "web:a", State: "FATAL", Checks: checks}, {Name: "web:c", State: "STOPPED", Stopped: true}})
		}
		round()
		select {
		case <-news:
		default:
			t.Error("nobody was told")
		}
		want("supervisord healthy; state unhealthy: it is FATAL; http unknown: it has not been looked at yet; hourly unknown: it has not been looked at yet")
		result("web:b", "http", "healthy", "")
		result("web:b", "hourly", "unhealthy", "500")
		b.Write(t.Context(), record.Record{Kind: record.Transition, Process: "web:b", Check: "http", Status: "unhealthy"})
		want("supervisord healthy; state unhealthy: it is FATAL; http healthy; hourly unhealthy: 500")
		time.Sleep(15 * time.Second)
		want("supervisord healthy; state unhealthy: it is FATAL; http healthy; hourly unhealthy: 500")
		time.Sleep(time.Second)
		want("supervisord stale: it was healthy 16s ago, and has not been looked at since; state unhealthy: it is FATAL; http stale: it was healthy 16s ago, and has not been looked at since; hourly unhealthy: 500")
		round()
		result("web:b", "http", "unknown", "no port")
		b.Drain("web:b", "http fails")
		want("supervisord healthy; state unhealthy: it is FATAL; drain unhealthy: draining: http fails; http unknown: no port; hourly unhealthy: 500")
		b.Drain("web:b", "")
		want("supervisord healthy; state unhealthy: it is FATAL; http unknown: no port; hourly unhealthy: 500")
		b.Round(5*time.Second, []health.Process{{Name: "web:a", Running: true, Checks: checks[:1]}})
		want("supervisord healthy; http unknown: it has not been looked at yet")
		round()
		want("supervisord healthy; state unhealthy: it is FATAL; http unknown: it has not been looked at yet; hourly unknown: it has not been looked at yet")
	})
}

// TestBoardOfStopped leaves out what somebody has stopped, as it was wanted, unless nothing
// is left; what does not run for another reason is unhealthy, and what runs without a check
// that is made now is healthy as long as it is known to run.
func TestBoardOfStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := health.NewBoard(nil)
		want := func(text string, processes ...health.Process) {
			t.Helper()
			if processes != nil {
				b.Round(5*time.Second, processes)
			}
			if got := describe(b.Check(t.Context())); got != text {
				t.Errorf("%s\nwant %s", got, text)
			}
		}
		stopped := health.Process{Name: "web:a", State: "STOPPED", Stopped: true}
		ours := health.Process{Name: "web:b", State: "STOPPED"}
		rests := health.Process{Name: "web:c", PID: 1, Running: true, Checks: []health.Checked{{Name: "http", Period: 5 * time.Second, Rests: true}}}
		want("supervisord unhealthy: no process that is watched should run", stopped)
		want("supervisord healthy; state unhealthy: it is STOPPED", stopped, ours)
		want("supervisord healthy; state healthy", stopped, rests)
		time.Sleep(16 * time.Second)
		want("supervisord stale: it was healthy 16s ago, and has not been looked at since; state stale: it was healthy 16s ago, and has not been looked at since")
	})
}

// TestBoardOfAnotherRun forgets what was found of the run before, as soon as it knows of
// another.
func TestBoardOfAnotherRun(t *testing.T) {
	b := health.NewBoard(nil)
	round := func(pid int) {
		b.Round(time.Minute, []health.Process{{Name: "web:a", PID: pid, Running: true, Checks: []health.Checked{{Name: "http", Period: time.Minute}}}})
	}
	want := func(text string) {
		t.Helper()
		if got := describe(b.Check(t.Context())[1:]); got != text {
			t.Errorf("%s, want %s", got, text)
		}
	}
	result := func(pid int) {
		b.Write(t.Context(), record.Record{Kind: record.CheckResult, Process: "web:a", PID: pid, Check: "http", Status: "healthy"})
	}
	const unknown = "http unknown: it has not been looked at yet"
	round(1)
	pending := func() {
		b.Write(t.Context(), record.Record{Kind: record.CheckResult, Process: "web:a", PID: 1, Check: "http", Status: "unknown", Pending: true, Reason: "not yet"})
	}
	pending()
	want("http unknown: not yet")
	result(1)
	want("http healthy")
	pending()
	want("http healthy")
	round(1)
	want("http healthy")
	round(2) // it has died and was started by supervisord
	want(unknown)
	result(2)
	for _, action := range []string{record.Stopping, record.Halting, record.Running} {
		want("http healthy")
		b.Write(t.Context(), record.Record{Kind: record.Restart, Process: "web:b", Action: action})
		b.Write(t.Context(), record.Record{Kind: record.Restart, Process: "web:a", Action: record.Verified})
		want("http healthy")
		b.Write(t.Context(), record.Record{Kind: record.Restart, Process: "web:a", Action: action})
		want(unknown)
		result(2)
	}
}
