package record_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/record"
)

func TestLog(t *testing.T) {
	about := record.Record{Time: time.Unix(0, 0), Process: "web:a", PID: 7, Check: "http", Seconds: 1.5}
	with := func(change func(*record.Record)) record.Record {
		r := about
		change(&r)
		return r
	}
	tests := []struct {
		record record.Record
		want   string
	}{
		{with(func(r *record.Record) { r.Kind, r.Status = record.CheckResult, "healthy" }),
			`level=DEBUG msg="web:a healthy: http (took 1.5s)" process=web:a check=http pid=7`},
		{with(func(r *record.Record) { r.Kind, r.Status, r.Reason = record.CheckResult, "unhealthy", "503" }),
			`level=DEBUG msg="web:a unhealthy: http: 503 (took 1.5s)" process=web:a check=http pid=7`},
		{with(func(r *record.Record) {
			r.Kind, r.Status, r.Metrics = record.CheckResult, "healthy", map[string]float64{"cpu_percent": 1.5, "age_seconds": 2}
		}),
			`level=DEBUG msg="web:a healthy: http (took 1.5s, age_seconds 2, cpu_percent 1.5)" process=web:a check=http pid=7`},
		{with(func(r *record.Record) {
			r.Kind, r.Action, r.NewPID, r.Seconds = record.Restart, record.Running, 8, 0
		}),
			`level=INFO msg="web:a runs again with pid 8 (was 7)" process=web:a check=http pid=7 new_pid=8`},
		{with(func(r *record.Record) { r.Kind, r.Action, r.Seconds = record.Restart, record.Starting, 0 }),
			`level=INFO msg="web:a has stopped and is started" process=web:a check=http pid=7`},
		{with(func(r *record.Record) {
			r.Kind, r.Status, r.Before, r.Count, r.Reason = record.Transition, "unhealthy", "healthy", "2 of 3", "503"
		}),
			`level=WARN msg="web:a unhealthy: http: 503 (2 of 3)" process=web:a check=http pid=7`},
		{with(func(r *record.Record) {
			r.Kind, r.Status, r.Before, r.Reason = record.Transition, "unhealthy", "healthy", "503"
		}),
			`level=WARN msg="web:a unhealthy: http: 503" process=web:a check=http pid=7`},
		{with(func(r *record.Record) {
			r.Kind, r.Status, r.Before, r.Reason = record.Transition, "unknown", "unknown", "no port"
		}),
			`level=WARN msg="web:a still unknown: http: no port" process=web:a check=http pid=7`},
		{record.Record{Time: about.Time, Kind: record.Transition, Probe: "db", Status: "unhealthy", Before: "healthy", Reason: "refused"}, `level=WARN msg="probe db unhealthy: refused"`},
		{record.Record{Time: about.Time, Kind: record.Transition, Probe: "db", Status: "healthy", Before: "unhealthy"}, `level=INFO msg="probe db healthy again (was unhealthy)"`},
		{record.Record{Time: about.Time, Kind: record.ProbeResult, Probe: "db", Status: "healthy", Seconds: 0.25}, `level=DEBUG msg="probe db healthy (took 250ms)"`},
		{record.Record{Time: about.Time, Kind: record.Listener, Listener: "lis", Action: record.Started, Why: "watches web:*"}, `level=INFO msg="listener lis begins: it watches web:*"`},
		{record.Record{Time: about.Time, Kind: record.Listener, Action: record.Ended, Why: "SIGTERM"}, `level=INFO msg="listener ends: SIGTERM"`},
		{record.Record{Time: about.Time, Kind: record.Listener, Action: record.Dropped, Sink: "pg", Dropped: 7, Why: "there was no room"}, `level=ERROR msg="listener: 7 records for pg were dropped: there was no room"`},
		{with(func(r *record.Record) { r.Kind, r.Status, r.Before = record.Transition, "healthy", "unknown" }),
			`level=INFO msg="web:a healthy again: http (was unknown)" process=web:a check=http pid=7`},
		{with(func(r *record.Record) { r.Kind, r.Action, r.Reason = record.Restart, record.Stopping, "503" }),
			`level=WARN msg="web:a is restarted (pid 7): http: 503" process=web:a check=http pid=7`},
		{with(func(r *record.Record) { r.Kind, r.Action = record.Restart, record.Starting }),
			`level=INFO msg="web:a has stopped after 1.5s and is started" process=web:a check=http pid=7`},
		{with(func(r *record.Record) { r.Kind, r.Action, r.NewPID = record.Restart, record.Running, 8 }),
			`level=INFO msg="web:a runs again with pid 8 (was 7), restarted in 1.5s" process=web:a check=http pid=7 new_pid=8`},
		{with(func(r *record.Record) { r.Kind, r.Action = record.Restart, record.Resumed }),
			`level=WARN msg="web:a was being restarted (pid 7) when a listener was killed, and is finished now" process=web:a check=http pid=7`},
		{with(func(r *record.Record) { r.Kind, r.Action, r.Reason = record.Restart, record.Retrying, "start: FATAL" }),
			`level=ERROR msg="web:a: restart: start: FATAL" process=web:a check=http pid=7`},
		{with(func(r *record.Record) {
			r.Kind, r.Action, r.Reason = record.Restart, record.LeftOpen, "told to end while it is STOPPING"
		}),
			`level=WARN msg="web:a is left in the middle of its restart: told to end while it is STOPPING" process=web:a check=http pid=7`},
		{with(func(r *record.Record) { r.Kind, r.Action, r.Reason = record.Restart, record.Skipped, "gone" }),
			`level=INFO msg="web:a not restarted: gone" process=web:a check=http pid=7`},
		{with(func(r *record.Record) { r.Kind, r.Action, r.Reason = record.Restart, record.Failed, "disk full" }),
			`level=ERROR msg="web:a not restarted: disk full" process=web:a check=http pid=7`},
		{with(func(r *record.Record) { r.Kind, r.Action, r.Reason = record.Restart, record.DryRun, "503" }),
			`level=WARN msg="web:a would be restarted (pid 7), but this is a dry run: http: 503" process=web:a check=http pid=7`},
	}
	for _, tt := range tests {
		var log bytes.Buffer
		sink := record.Log(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
		if err := sink.Write(t.Context(), tt.record); err != nil {
			t.Error(err)
		}
		_, got, _ := strings.Cut(strings.TrimSpace(log.String()), " ")
		if got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}
