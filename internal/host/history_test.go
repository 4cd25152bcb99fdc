package host

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/availability"
	"github.com/supervisor-checks/supervisor-checks/internal/show"
	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/sinks"
)

// TestReadmeShowsHistory makes sure that the README shows what is printed.
func TestReadmeShowsHistory(t *testing.T) {
	at := func(seconds int) time.Time {
		return time.Date(2026, 11, 26, 12, 33, seconds, 0, time.UTC)
	}
	const web, reason = "web:web_8001", "503 Service Unavailable"
	step := func(seconds int, action string, took float64) record.Record {
		return record.Record{Kind: record.Restart, Host: "web7", Time: at(seconds), Process: web, PID: 4711, NewPID: 4712, Check: "http", Reason: reason, Action: action, Seconds: took}
	}
	happened := historyTable([]record.Record{
		{Kind: record.Transition, Host: "web7", Time: at(46), Process: web, PID: 4711, Check: "http", Status: "unhealthy", Before: "healthy", Count: "3 of 3", Reason: reason},
		step(46, record.Stopping, 0), step(47, record.Starting, 0.108), step(48, record.Running, 1.232), step(50, record.Verified, 3.1),
	}, sinks.Filter{Limit: 1000}, "")
	summed := summaryTable([]availability.Summary{
		{Name: web, Status: "healthy", Since: at(50), Healthy: 604745 * time.Second, Unhealthy: 55 * time.Second, Outages: 3, Recovered: 3, Recovery: 55 * time.Second, LongestRecovery: 31 * time.Second, Restarts: 2},
		{Name: "db", Probe: true, Status: "healthy", Since: time.Date(2026, 11, 20, 3, 0, 12, 0, time.UTC), Healthy: time.Hour},
	})
	var printed strings.Builder
	for _, one := range []struct {
		command string
		table   show.Table
	}{{"history --process web:web_8001", happened}, {"summary --since 7d", summed}} {
		printed.WriteString("$ supervisor_checks " + one.command + "\n")
		if err := (&show.Page{Table: one.table}).Print(&printed, "table", show.Screen{}); err != nil {
			t.Fatal(err)
		}
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(readme), "<!-- history and summary -->\n```\n")
	block, _, _ = strings.Cut(block, "```\n")
	if block != printed.String() {
		t.Errorf("the README shows\n%s\nand printed is\n%s", block, &printed)
	}
}
