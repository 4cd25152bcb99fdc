package checks_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

func TestUptime(t *testing.T) {
	c, err := checks.NewUptime(checks.UptimeConfig{Max: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		uptime time.Duration
		pid    int
		status checks.Status
		text   string
	}{
		{time.Hour, 7, checks.Healthy, ""},
		{time.Hour + 2*time.Second, 7, checks.Unhealthy, "has run for 1h0m2s, longer than 1h0m0s"},
		{0, 0, checks.Unknown, "the process does not run"},
	} {
		r := c.Run(t.Context(), supervisor.Process{Name: "a", PID: tt.pid, Uptime: tt.uptime})
		if r.Status != tt.status || tt.text != "" && r.Err.Error() != tt.text || tt.pid != 0 && r.Metrics["uptime_seconds"] != tt.uptime.Seconds() {
			t.Errorf("%v: %+v", tt.uptime, r)
		}
	}
}

// TestUptimeJitter gives each run its own limit, for as long as it lasts.
func TestUptimeJitter(t *testing.T) {
	c, err := checks.NewUptime(checks.UptimeConfig{Max: time.Hour, Jitter: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	due := make(map[time.Duration]int)
	for i := range 200 {
		p := supervisor.Process{Group: "web", Name: fmt.Sprint("web_", i), PID: 100 + i, Started: time.Unix(1e9, 0)}
		for p.Uptime = 0; c.Run(t.Context(), p).Status == checks.Healthy; p.Uptime += time.Minute {
		}
		if p.Uptime <= time.Hour || p.Uptime > 2*time.Hour+time.Minute {
			t.Errorf("%s is due after %v", p.Name, p.Uptime)
		}
		due[p.Uptime.Truncate(10*time.Minute)]++
	}
	for at, n := range due {
		if n > 80 {
			t.Errorf("%d of 200 are due at %v", n, at)
		}
	}
	if len(due) < 6 {
		t.Errorf("all are due at %v", due)
	}
}

func TestBadUptime(t *testing.T) {
	for _, tt := range []struct {
		cfg  checks.UptimeConfig
		text string
	}{
		{checks.UptimeConfig{}, "uptime: max: 0s is not more than 0"},
		{checks.UptimeConfig{Max: 1, Jitter: -1}, "uptime: jitter: -1ns is less than 0"},
	} {
		if _, err := checks.NewUptime(tt.cfg); err == nil || err.Error() != tt.text {
			t.Errorf("%+v: %v, want %s", tt.cfg, err, tt.text)
		}
	}
}
