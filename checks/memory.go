package checks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/supervisor-checks/supervisor-checks/internal/proc"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// MemoryMetric is what Memory counts.
type MemoryMetric string

// The metrics of memory.
const (
	RSS MemoryMetric = "rss" // resident: all of its memory that is in RAM
	PSS MemoryMetric = "pss" // proportional: what it shares counts in parts
	USS MemoryMetric = "uss" // unique: what it shares does not count
)

// MemoryConfig configures a memory check.
type MemoryConfig struct {
	// Max is how much memory a process may use, in bytes. It is required, or
	// else MaxPercent.
	Max uint64

	// MaxPercent is how much memory a process may use, in percent of the
	// machine's or of what the control group of the process may have, whichever
	// is less.
	MaxPercent float64

	// Cumulative counts the children of the process and theirs, too.
	Cumulative bool

	// Metric is what is counted. "" means RSS. The others are for processes
	// that share much, such as the children of a preforking server; they are
	// only there on Linux, cost much more, and take the right to trace the
	// process: root and its own user have it.
	Metric MemoryMetric
}

// Memory checks that a process of this machine, and of this pid namespace, does
// not use too much memory.
type Memory struct {
	cfg MemoryConfig
}

// NewMemory returns the check that cfg describes, or a *ConfigError.
func NewMemory(cfg MemoryConfig) (*Memory, error) {
	cfg.Metric = cmp.Or(cfg.Metric, RSS)
	switch {
	case cfg.Max == 0 && cfg.MaxPercent == 0:
		return nil, refuse("memory", "max-rss", "is required, and more than 0")
	case cfg.Max != 0 && cfg.MaxPercent != 0:
		return nil, refuse("memory", "max-rss", "is either a size or a percentage")
	case cfg.Max == 0 && !(cfg.MaxPercent > 0 && cfg.MaxPercent <= 100):
		return nil, refuse("memory", "max-rss", "%v %% is not between 0 and 100 %%", cfg.MaxPercent)
	case cfg.Metric != RSS && cfg.Metric != PSS && cfg.Metric != USS:
		return nil, refuse("memory", "metric", "%q is none of rss, pss, uss", string(cfg.Metric))
	}
	return &Memory{cfg}, nil
}

// Name returns "memory".
func (c *Memory) Name() string { return "memory" }

// StartRound lets the runs of a round share one look at the process table.
func (c *Memory) StartRound(ctx context.Context, _ []supervisor.Process) context.Context {
	if c.cfg.Cumulative {
		var table *proc.Table
		ctx, table = withTable(ctx)
		table.RSS = table.RSS || c.cfg.Metric == RSS
	}
	return ctx
}

// Run compares the memory of p, the metric rss_bytes (pss_bytes, uss_bytes),
// with the limit. More is Unhealthy. A zombie uses none, and a child that ends
// meanwhile does not count. A process that has ended, or that the system does
// not let us look at, is Unknown.
func (c *Memory) Run(ctx context.Context, p supervisor.Process) Result {
	if p.PID == 0 {
		return Unsure(errors.New("the process does not run"))
	}
	used, children, err := c.measure(ctx, p.PID)
	if err != nil {
		return Unsure(err)
	}
	limit, of, err := c.limit(p.PID)
	if err != nil {
		return Unsure(err)
	}
	r := Pass()
	if used > limit {
		whose := "uses"
		if children == 1 {
			whose = "uses with its child"
		} else if children > 1 {
			whose = fmt.Sprintf("uses with its %d children", children)
		}
		r = Fail(fmt.Errorf("%s %s of memory (%s), %s more than %s%s",
			whose, size(used), c.cfg.Metric, size(used-limit), size(limit), of))
	}
	r.Metrics = map[string]float64{string(c.cfg.Metric) + "_bytes": float64(used)}
	return r
}

// measure returns how much memory the process pid uses, with how many children.
func (c *Memory) measure(ctx context.Context, pid int) (bytes uint64, children int, err error) {
	if !c.cfg.Cumulative {
		bytes, err = c.count(pid)
		return bytes, 0, err
	}
	_, table := withTable(ctx)
	if c.cfg.Metric == RSS && !table.RSS { // outside of a round
		table = &proc.Table{RSS: true}
	}
	look, err := table.Tree(pid)
	if err != nil {
		return 0, 0, err
	}
	for i, stat := range look.Tree {
		one := stat.RSS
		if c.cfg.Metric != RSS {
			one, err = c.count(stat.PID)
		}
		switch {
		case err == nil:
			bytes += one
		case i > 0 && errors.Is(err, proc.ErrGone):
		default:
			return 0, 0, err
		}
	}
	return bytes, len(look.Tree) - 1, nil
}

// count returns the memory of one process.
func (c *Memory) count(pid int) (uint64, error) {
	if c.cfg.Metric == RSS {
		return proc.RSS(pid)
	}
	shares, err := proc.ReadShares(pid)
	if c.cfg.Metric == PSS {
		return shares.PSS, err
	}
	return shares.USS, err
}

// limit returns what the process pid may use, and in words what that is a part
// of.
func (c *Memory) limit(pid int) (bytes uint64, of string, err error) {
	if c.cfg.Max != 0 {
		return c.cfg.Max, "", nil
	}
	limit, err := proc.MemoryLimit(pid)
	if err != nil {
		return 0, "", err
	}
	whose := "the machine's"
	if limit.Cgroup {
		whose = "its control group's"
	}
	return uint64(float64(limit.Bytes) * c.cfg.MaxPercent / 100), fmt.Sprintf(", which is %v %% of %s", c.cfg.MaxPercent, whose), nil
}

// size writes a number of bytes as people read it: "1.5 GiB".
func size(bytes uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	n := float64(bytes)
	for len(units) > 1 && n >= 1024 {
		n /= 1024
		units = units[1:]
	}
	text := fmt.Sprintf("%.1f", n)
	return strings.TrimSuffix(text, ".0") + " " + units[0]
}
