package checks

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/duration"
	"github.com/supervisor-checks/supervisor-checks/internal/proc"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// cpuShortest is the shortest time that is measured: the system counts in ticks of
// 10 ms.
const cpuShortest = 10 * time.Millisecond

// CPUConfig configures a CPU check.
type CPUConfig struct {
	// MaxPercent is how much processor time a process may use, in percent of
	// one processor: two threads that never wait use 200. It is required.
	MaxPercent float64

	// Interval is for how long it may use more than that. 0 is for no longer
	// than from one round to the next.
	Interval time.Duration

	// Cumulative counts the children of the process and theirs, too.
	Cumulative bool
}

// CPU checks that a process of this machine, and of this pid namespace, does not
// use too much processor time for too long.
type CPU struct {
	cfg  CPUConfig
	look func(ctx context.Context, pid int) (proc.Look, error)

	mu   sync.Mutex
	last map[string]*cpuSample // by namespec
}

// cpuSample is what is known of a process from the round before.
type cpuSample struct {
	proc.Look
	pace pace
	over time.Time // when the first interval over the limit began; zero if none did
}

// NewCPU returns the check that cfg describes, or a *ConfigError.
func NewCPU(cfg CPUConfig) (*CPU, error) {
	switch {
	case !(cfg.MaxPercent > 0):
		return nil, refuse("cpu", "max-cpu-percent", "%v is not more than 0", cfg.MaxPercent)
	case math.IsInf(cfg.MaxPercent, 0):
		return nil, refuse("cpu", "max-cpu-percent", "%v is not a number of percent", cfg.MaxPercent)
	case cfg.Interval < 0:
		return nil, refuse("cpu", "interval", "%v is less than 0", cfg.Interval)
	}
	look := lookAlone
	if cfg.Cumulative {
		look = lookAtTree
	}
	return &CPU{cfg: cfg, look: look, last: make(map[string]*cpuSample)}, nil
}

// Name returns "cpu".
func (c *CPU) Name() string { return "cpu" }

func (c *CPU) remembers() {}

// StartRound lets the runs of a round share one look at the process table, and
// forgets processes that there are no more.
func (c *CPU) StartRound(ctx context.Context, watched []supervisor.Process) context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	forget(c.last, watched)
	if c.cfg.Cumulative {
		ctx, _ = withTable(ctx)
	}
	return ctx
}

// Run compares the processor time that p has used since the round before, the
// metric cpu_percent, with MaxPercent. A process that has used more for longer
// than Interval, from the start of the first round it did, is Unhealthy.
//
// It is Unknown, with ErrPending, while it has used more for a shorter time, and,
// with ErrNotYet, the first time that this run of the process is looked at. So it is
// after a gap, when the last look is longer ago than four minutes and than four times
// the longest time between two of the last looks: what the process did then, while
// nobody looked, does not count. A process that has ended, or that the system does
// not let us look at, is Unknown.
func (c *CPU) Run(ctx context.Context, p supervisor.Process) Result {
	if p.PID == 0 {
		return Unsure(errors.New("the process does not run"))
	}
	look, err := c.look(ctx, p.PID)
	if err != nil {
		return Unsure(err)
	}
	now := &cpuSample{Look: look}
	before, gap := c.replace(p.Namespec(), now)
	switch {
	case before == nil:
		return Unsure(fmt.Errorf("%w: processor time is measured from one round to the next", ErrNotYet))
	case before == now:
		return Unsure(fmt.Errorf("%w: no time has passed since the last look", ErrNotYet))
	case gap > 0:
		return Unsure(fmt.Errorf("%w: processor time is measured from now on, after %s without a look", ErrNotYet, duration.Short(gap.Round(time.Second))))
	}
	elapsed := now.At.Sub(before.At)
	percent := 100 * cpuTime(before.Look, now.Tree).Seconds() / elapsed.Seconds()
	r := Pass()
	if percent > c.cfg.MaxPercent {
		if now.over = before.over; now.over.IsZero() {
			now.over = before.At
		}
		lasted := now.At.Sub(now.over)
		uses := fmt.Sprintf("uses %.1f %% of a processor, more than %v %%, for", percent, c.cfg.MaxPercent)
		if lasted > c.cfg.Interval {
			r = Fail(fmt.Errorf("%s %s", uses, duration.Short(lasted.Round(100*time.Millisecond))))
		} else { // from round to round only numbers differ, so that a log need not repeat it
			r = Unsure(fmt.Errorf("%w: %s %.1f s of %.1f s that it may", ErrPending, uses, lasted.Seconds(), c.cfg.Interval.Seconds()))
		}
	}
	r.Metrics = map[string]float64{"cpu_percent": percent}
	return r
}

// replace remembers a look at a process, and returns the one before at the same run:
// nil if there was none, and now itself if that is so short ago that the next look is to
// be compared with that one, too.
func (c *CPU) replace(namespec string, now *cpuSample) (before *cpuSample, gap time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before = c.last[namespec]
	switch {
	case before == nil:
	case before.Tree[0].PID != now.Tree[0].PID || before.Tree[0].Start != now.Tree[0].Start:
		now.pace, before = before.pace.next(), nil
	case now.At.Sub(before.At) < cpuShortest:
		return now, 0
	default:
		now.pace = before.pace
	}
	gap = now.pace.look(now.At)
	c.last[namespec] = now
	return before, gap
}

func lookAlone(_ context.Context, pid int) (proc.Look, error) { return proc.Alone(pid) }

func lookAtTree(ctx context.Context, pid int) (proc.Look, error) {
	_, table := withTable(ctx)
	return table.Tree(pid)
}

// cpuTime returns how much processor time a tree of processes has used since an
// earlier look at it.
//
// What children used that have ended since is what their parents, or theirs, are
// charged with for them, less what was seen of it before. A child that was there
// before, but was not seen, counts from now on: nobody knows when it used what it
// has.
func cpuTime(before proc.Look, now []proc.Stat) time.Duration {
	type run struct {
		pid   int
		start uint64
	}
	earlier := make(map[run]proc.Stat, len(before.Tree))
	parents := make(map[int]int, len(before.Tree))
	for _, stat := range before.Tree {
		earlier[run{stat.PID, stat.Start}] = stat
		parents[stat.PID] = stat.Parent
	}
	var living time.Duration
	charged := make(map[int]time.Duration, len(now)) // for children that have ended, by pid
	for _, stat := range now {
		key := run{stat.PID, stat.Start}
		was, seen := earlier[key]
		if !seen && stat.Start < before.Clock {
			was = stat
		}
		delete(earlier, key)
		living += max(0, stat.CPU-was.CPU)
		charged[stat.PID] = max(0, stat.ChildrenCPU-was.ChildrenCPU)
	}
	for _, gone := range earlier {
		known := gone.CPU + gone.ChildrenCPU
		for pid, there := gone.Parent, true; there; pid, there = parents[pid] {
			if left, lives := charged[pid]; lives {
				charged[pid] = max(0, left-known)
				break
			}
		}
	}
	for _, ended := range charged {
		living += ended
	}
	return living
}
