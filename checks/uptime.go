package checks

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// UptimeConfig configures a check of how long a process has run.
type UptimeConfig struct {
	// Max is for how long a process may run. It is required.
	Max time.Duration

	// Jitter is a time up to which each run of a process may last longer: how much
	// longer is another for each, so that not all are due at once.
	Jitter time.Duration
}

// Uptime checks that a process has not run for too long, by supervisord's clock. It
// is for processes that are to be restarted now and then.
type Uptime struct {
	cfg UptimeConfig
}

// NewUptime returns the check that cfg describes, or a *ConfigError.
func NewUptime(cfg UptimeConfig) (*Uptime, error) {
	switch {
	case cfg.Max <= 0:
		return nil, refuse("uptime", "max", "%v is not more than 0", cfg.Max)
	case cfg.Jitter < 0:
		return nil, refuse("uptime", "jitter", "%v is less than 0", cfg.Jitter)
	}
	return &Uptime{cfg}, nil
}

// Name returns "uptime".
func (c *Uptime) Name() string { return "uptime" }

// Run compares how long p has run, the metric uptime_seconds, with the limit. More is
// Unhealthy. A process that does not run is Unknown.
func (c *Uptime) Run(_ context.Context, p supervisor.Process) Result {
	if p.PID == 0 {
		return Unsure(errors.New("the process does not run"))
	}
	limit := c.cfg.Max
	if c.cfg.Jitter > 0 { // the same for all looks at a run
		hash := fnv.New64a()
		fmt.Fprint(hash, p.Namespec(), p.PID, p.Started.Unix())
		limit += time.Duration(hash.Sum64() % uint64(c.cfg.Jitter))
	}
	r := Pass()
	if p.Uptime > limit {
		r = Fail(fmt.Errorf("has run for %v, longer than %v", p.Uptime.Round(time.Second), limit.Round(time.Second)))
	}
	r.Metrics = map[string]float64{"uptime_seconds": p.Uptime.Seconds()}
	return r
}
