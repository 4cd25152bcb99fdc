package checks

import (
	"context"
	"errors"
	"fmt"

	"github.com/supervisor-checks/supervisor-checks/internal/proc"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// Countable is what Count counts of a process.
type Countable string

// What there is to count.
const (
	Descriptors Countable = "fds"      // open files, connections and the like
	Threads     Countable = "threads"  // of the process itself
	Children    Countable = "children" // and theirs, too
)

// CountConfig configures a check of a number.
type CountConfig struct {
	// Of is what is counted. It is required.
	Of Countable

	// Max is how many there may be. It is required, and more than 0.
	Max int
}

// Count checks that a process of this machine, and of this pid namespace, does not
// have too many of something.
type Count struct {
	cfg CountConfig
}

// NewCount returns the check that cfg describes, or a *ConfigError.
func NewCount(cfg CountConfig) (*Count, error) {
	switch {
	case cfg.Of != Descriptors && cfg.Of != Threads && cfg.Of != Children:
		return nil, refuse("count", "of", "%q is none of fds, threads, children", string(cfg.Of))
	case cfg.Max < 1:
		return nil, refuse(string(cfg.Of), "max", "%d is less than 1", cfg.Max)
	}
	return &Count{cfg}, nil
}

// Name returns what is counted: "fds".
func (c *Count) Name() string { return string(c.cfg.Of) }

// StartRound lets the runs of a round share one look at the process table.
func (c *Count) StartRound(ctx context.Context, _ []supervisor.Process) context.Context {
	if c.cfg.Of == Children {
		ctx, _ = withTable(ctx)
	}
	return ctx
}

// Run counts, which is a metric of the check's name. More than Max is Unhealthy. A
// process that has ended, or that the system does not let us look at, is Unknown.
func (c *Count) Run(ctx context.Context, p supervisor.Process) Result {
	if p.PID == 0 {
		return Unsure(errors.New("the process does not run"))
	}
	n, what, err := c.count(ctx, p.PID)
	if err != nil {
		return Unsure(err)
	}
	r := Pass()
	if n > c.cfg.Max {
		r = Fail(fmt.Errorf("has %d %s, more than %d", n, what, c.cfg.Max))
	}
	r.Metrics = map[string]float64{c.Name(): float64(n)}
	return r
}

func (c *Count) count(ctx context.Context, pid int) (n int, what string, err error) {
	switch c.cfg.Of {
	case Descriptors:
		n, err = proc.Descriptors(pid)
		return n, "open descriptors", err
	case Threads:
		n, err = proc.Threads(pid)
		return n, "threads", err
	}
	_, table := withTable(ctx)
	look, err := table.Tree(pid)
	return len(look.Tree) - 1, "children", err
}
