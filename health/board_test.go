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
			b.Write(t.Context(), record.Record{Kind: record.CheckResult, Process: process, Check: check, Status: status, Reason: reason, Seconds: 0.5})
		}
		want("")
		checks := []health.Checked{{Name: "http", Period: 5 * time.Second}, {Name: "night", Period: 5 * time.Second, Rests: true}, {Name: "hourly", Period: time.Hour}}
		round := func() {
			b.Round([]health.Process{{Name: "web:b", Running: true, Checks: checks}, {Name: "web:a", State: "FATAL", Checks: checks}, {Name: "web:c", State: "STOPPED", Stopped: true}})
		}
		round()
		select {
		case <-news:
		default:
			t.Error("nobody was told")
		}
		want("state unhealthy: it is FATAL; http unknown: it has not been looked at yet; hourly unknown: it has not been looked at yet")
		result("web:b", "http", "healthy", "")
		result("web:b", "hourly", "unhealthy", "500")
		b.Write(t.Context(), record.Record{Kind: record.Transition, Process: "web:b", Check: "http", Status: "unhealthy"})
		want("state unhealthy: it is FATAL; http healthy; hourly unhealthy: 500")
		time.Sleep(15 * time.Second)
		want("state unhealthy: it is FATAL; http healthy; hourly unhealthy: 500")
		time.Sleep(time.Second)
		want("state unhealthy: it is FATAL; http stale: it was healthy 16s ago, and has not been looked at since; hourly unhealthy: 500")
		result("web:b", "http", "unknown", "no port")
		b.Drain("web:b", "http fails")
		want("state unhealthy: it is FATAL; drain unhealthy: draining: http fails")
		b.Drain("web:b", "")
		want("state unhealthy: it is FATAL; http unknown: no port; hourly unhealthy: 500")
		b.Round([]health.Process{{Name: "web:a", Running: true, Checks: checks[:1]}})
		want("http unknown: it has not been looked at yet")
		round()
		want("state unhealthy: it is FATAL; http unknown: it has not been looked at yet; hourly unknown: it has not been looked at yet")
	})
}
