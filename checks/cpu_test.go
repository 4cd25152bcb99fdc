package checks

import (
	"context"
	"errors"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/proc"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// worked is a look at a process that has used so much processor time in all.
func worked(after, cpu time.Duration) cpuLook {
	return cpuLook{after: after, tree: []proc.Stat{{PID: 34, Start: 1, CPU: cpu}}}
}

type cpuLook struct {
	after time.Duration // since the first look
	tree  []proc.Stat
	err   error

	want    Status
	percent float64
	reason  string // what Err says; "" is for nil
}

func (l cpuLook) is(want Status, percent float64, reason string) cpuLook {
	l.want, l.percent, l.reason = want, percent, reason
	return l
}

const (
	afterGap  = "cannot tell yet: processor time is measured from now on, after "
	firstLook = "cannot tell yet: processor time is measured from one round to the next"
	pending   = "over its limit, but not yet for long enough: "
	seconds   = time.Second
)

func TestCPU(t *testing.T) {
	other := cpuLook{after: 10 * seconds, tree: []proc.Stat{{PID: 34, Start: 2, CPU: 9 * seconds}}}
	later := cpuLook{after: 15 * seconds, tree: []proc.Stat{{PID: 34, Start: 2, CPU: 9500 * time.Millisecond}}}
	for _, test := range []struct {
		name  string
		cfg   CPUConfig
		looks []cpuLook
	}{
		{"idle", CPUConfig{MaxPercent: 50}, []cpuLook{
			worked(0, 100*seconds).is(Unknown, 0, firstLook),
			worked(5*seconds, 100*seconds).is(Healthy, 0, ""),
		}},
		{"at the limit", CPUConfig{MaxPercent: 50}, []cpuLook{
			worked(0, 0).is(Unknown, 0, firstLook),
			worked(10*seconds, 5*seconds).is(Healthy, 50, ""),
		}},
		{"over it, for no time at all", CPUConfig{MaxPercent: 50}, []cpuLook{
			worked(0, 0).is(Unknown, 0, firstLook),
			worked(10*seconds, 6*seconds).is(Unhealthy, 60, "uses 60.0 % of a processor, more than 50 %, for 10s"),
		}},
		{"two threads", CPUConfig{MaxPercent: 150}, []cpuLook{
			worked(0, 0).is(Unknown, 0, firstLook),
			worked(5*seconds, 10*seconds).is(Unhealthy, 200, "uses 200.0 % of a processor, more than 150 %, for 5s"),
		}},
		{"over it, from the start of the first interval", CPUConfig{MaxPercent: 50, Interval: 12 * seconds}, []cpuLook{
			worked(0, 0).is(Unknown, 0, firstLook),
			worked(5*seconds, 0).is(Healthy, 0, ""),
			worked(10*seconds, 5*seconds).is(Unknown, 100, pending+"uses 100.0 % of a processor, more than 50 %, for 5.0 s of 12.0 s that it may"),
			worked(15*seconds, 10*seconds).is(Unknown, 100, pending+"uses 100.0 % of a processor, more than 50 %, for 10.0 s of 12.0 s that it may"),
			worked(20*seconds, 15*seconds).is(Unhealthy, 100, "uses 100.0 % of a processor, more than 50 %, for 15s"),
			worked(25*seconds, 20*seconds).is(Unhealthy, 100, "uses 100.0 % of a processor, more than 50 %, for 20s"),
		}},
		{"just as long as it may", CPUConfig{MaxPercent: 50, Interval: 10 * seconds}, []cpuLook{
			worked(0, 0).is(Unknown, 0, firstLook),
			worked(10*seconds, 10*seconds).is(Unknown, 100, pending+"uses 100.0 % of a processor, more than 50 %, for 10.0 s of 10.0 s that it may"),
		}},
		{"a rest in between", CPUConfig{MaxPercent: 50, Interval: 7 * seconds}, []cpuLook{
			worked(0, 0).is(Unknown, 0, firstLook),
			worked(5*seconds, 5*seconds).is(Unknown, 100, pending+"uses 100.0 % of a processor, more than 50 %, for 5.0 s of 7.0 s that it may"),
			worked(10*seconds, 5*seconds).is(Healthy, 0, ""),
			worked(15*seconds, 10*seconds).is(Unknown, 100, pending+"uses 100.0 % of a processor, more than 50 %, for 5.0 s of 7.0 s that it may"),
		}},
		{"the pid of another run", CPUConfig{MaxPercent: 50}, []cpuLook{
			worked(0, 0).is(Unknown, 0, firstLook),
			worked(5*seconds, 5*seconds).is(Unhealthy, 100, "uses 100.0 % of a processor, more than 50 %, for 5s"),
			other.is(Unknown, 0, firstLook),
			later.is(Healthy, 10, ""),
		}},
		{"no time between two looks", CPUConfig{MaxPercent: 50}, []cpuLook{
			worked(0, 0).is(Unknown, 0, firstLook),
			worked(0, 0).is(Unknown, 0, "cannot tell yet: no time has passed since the last look"),
			worked(5*seconds, 5*seconds).is(Unhealthy, 100, "uses 100.0 % of a processor, more than 50 %, for 5s"),
		}},
		{"no time between two looks, over it", CPUConfig{MaxPercent: 50, Interval: 7 * seconds}, []cpuLook{
			worked(0, 0).is(Unknown, 0, firstLook),
			worked(5*seconds, 5*seconds).is(Unknown, 100, pending+"uses 100.0 % of a processor, more than 50 %, for 5.0 s of 7.0 s that it may"),
			worked(5*seconds, 5*seconds).is(Unknown, 0, "cannot tell yet: no time has passed since the last look"),
			worked(10*seconds, 10*seconds).is(Unhealthy, 100, "uses 100.0 % of a processor, more than 50 %, for 10s"),
		}},
		{"twice in each round", CPUConfig{MaxPercent: 50, Interval: 8 * seconds}, []cpuLook{
			worked(0, 0).is(Unknown, 0, firstLook),
			worked(time.Millisecond, 0).is(Unknown, 0, "cannot tell yet: no time has passed since the last look"),
			worked(5*seconds, 5*seconds).is(Unknown, 100, pending+"uses 100.0 % of a processor, more than 50 %, for 5.0 s of 8.0 s that it may"),
			worked(5*seconds+time.Millisecond, 5*seconds).is(Unknown, 0, "cannot tell yet: no time has passed since the last look"),
			worked(10*seconds, 10*seconds).is(Unhealthy, 100, "uses 100.0 % of a processor, more than 50 %, for 10s"),
		}},
		{"after a gap", CPUConfig{MaxPercent: 50, Interval: time.Hour}, []cpuLook{
			worked(0, 0).is(Unknown, 0, firstLook),
			worked(60*seconds, 1*seconds).is(Healthy, 100.0/60, ""),
			worked(7260*seconds, 7200*seconds).is(Unknown, 0, afterGap+"2h without a look"),
			worked(7320*seconds, 7206*seconds).is(Healthy, 10, ""),
		}},
		{"over it before a gap and after it", CPUConfig{MaxPercent: 50, Interval: 90 * seconds}, []cpuLook{
			worked(0, 0).is(Unknown, 0, firstLook),
			worked(60*seconds, 60*seconds).is(Unknown, 100, pending+"uses 100.0 % of a processor, more than 50 %, for 60.0 s of 90.0 s that it may"),
			worked(360*seconds, 360*seconds).is(Unknown, 0, afterGap+"5m without a look"),
			worked(420*seconds, 420*seconds).is(Unknown, 100, pending+"uses 100.0 % of a processor, more than 50 %, for 60.0 s of 90.0 s that it may"),
			worked(480*seconds, 480*seconds).is(Unhealthy, 100, "uses 100.0 % of a processor, more than 50 %, for 2m"),
		}},
		{"a look that fails", CPUConfig{MaxPercent: 50}, []cpuLook{
			worked(0, 0).is(Unknown, 0, firstLook),
			cpuLook{after: 5 * seconds, err: proc.ErrHidden}.is(Unknown, 0, proc.ErrHidden.Error()),
			worked(10*seconds, 1*seconds).is(Healthy, 10, ""),
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := NewCPU(test.cfg)
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			for i, look := range test.looks {
				c.look = func(_ context.Context, pid int) (proc.Look, error) {
					if pid != 34 {
						t.Errorf("it looks at process %d", pid)
					}
					return proc.Look{Tree: look.tree, At: start.Add(look.after)}, look.err
				}
				got := c.Run(t.Context(), supervisor.Process{Group: "web", Name: "a", PID: 34})
				reason := ""
				if got.Err != nil {
					reason = got.Err.Error()
				}
				percent, measured := got.Metrics["cpu_percent"]
				if got.Status != look.want || math.Abs(percent-look.percent) > 0.001 || reason != look.reason {
					t.Errorf("look %d: %v, %v %%, %q, want %v, %v %%, %q", i, got.Status, percent, reason, look.want, look.percent, look.reason)
				}
				for _, is := range []error{ErrNotYet, ErrPending} {
					if errors.Is(got.Err, is) != strings.HasPrefix(look.reason, is.Error()) {
						t.Errorf("look %d: %v is %q: %t", i, got.Err, is, errors.Is(got.Err, is))
					}
				}
				if expected := look.want != Unknown || look.percent != 0; measured != expected {
					t.Errorf("look %d: the metrics are %v", i, got.Metrics)
				}
			}
		})
	}
}

func TestCPUOfChildren(t *testing.T) {
	const look = 100 // when the first look was
	parent := func(cpu, children time.Duration) proc.Stat {
		return proc.Stat{PID: 34, Start: 1, CPU: cpu, ChildrenCPU: children}
	}
	child := func(pid int, start uint64, cpu time.Duration) proc.Stat {
		return proc.Stat{PID: pid, Parent: 34, Start: start, CPU: cpu}
	}
	middle := func(children time.Duration) proc.Stat {
		return proc.Stat{PID: 35, Parent: 34, Start: 2, ChildrenCPU: children}
	}
	grandchild := func(cpu time.Duration) proc.Stat {
		return proc.Stat{PID: 36, Parent: 35, Start: 3, CPU: cpu}
	}
	for _, test := range []struct {
		name        string
		before, now []proc.Stat
		want        time.Duration
	}{
		{"the parent works", []proc.Stat{parent(1*seconds, 0)}, []proc.Stat{parent(3*seconds, 0)}, 2 * seconds},
		{"a child works", []proc.Stat{parent(0, 0), child(35, 2, 1*seconds)}, []proc.Stat{parent(0, 0), child(35, 2, 4*seconds)}, 3 * seconds},
		{"a child is new", []proc.Stat{parent(0, 0)}, []proc.Stat{parent(0, 0), child(35, look, 2*seconds)}, 2 * seconds},
		{"a child was not seen before", []proc.Stat{parent(0, 0)}, []proc.Stat{parent(1*seconds, 0), child(35, look-1, 3600*seconds)}, 1 * seconds},
		{"a child came and went", []proc.Stat{parent(0, 0)}, []proc.Stat{parent(0, 3*seconds)}, 3 * seconds},
		{"a child went that was known", []proc.Stat{parent(0, 0), child(35, 2, 5*seconds)}, []proc.Stat{parent(0, 6*seconds)}, 1 * seconds},
		{"a child went and another has its pid", []proc.Stat{parent(0, 0), child(35, 2, 5*seconds)}, []proc.Stat{parent(0, 6*seconds), child(35, look+7, 1*seconds)}, 2 * seconds},
		{"a child went that nobody waited for", []proc.Stat{parent(0, 0), child(35, 2, 5*seconds)}, []proc.Stat{parent(2*seconds, 0)}, 2 * seconds},
		{"one went that nobody waited for, and one that its parent waited for",
			[]proc.Stat{parent(0, 0), middle(0), grandchild(3600 * seconds)}, []proc.Stat{parent(0, 9*seconds), middle(0)}, 9 * seconds},
		{"a child went with its own", []proc.Stat{parent(0, 0), middle(1 * seconds), grandchild(5 * seconds)}, []proc.Stat{parent(0, 8*seconds)}, 2 * seconds},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := cpuTime(proc.Look{Clock: look, Tree: test.before}, test.now); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// A round forgets what is not watched any more.
func TestCPURound(t *testing.T) {
	c, err := NewCPU(CPUConfig{MaxPercent: 50, Cumulative: true})
	if err != nil {
		t.Fatal(err)
	}
	ps := []supervisor.Process{{Group: "a", Name: "a", PID: os.Getpid()}, {Group: "b", Name: "b", PID: os.Getpid()}}
	ctx := c.StartRound(t.Context(), ps)
	for _, p := range ps {
		if got := c.Run(ctx, p); !errors.Is(got.Err, ErrNotYet) {
			t.Errorf("%s: %+v", p.Name, got)
		}
	}
	c.StartRound(t.Context(), ps[1:])
	if len(c.last) != 1 || c.last["b"] == nil {
		t.Errorf("it remembers %v, want b alone", c.last)
	}
}

func TestCPUOfAProcessThatIsNotThere(t *testing.T) {
	c, err := NewCPU(CPUConfig{MaxPercent: 50})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Run(t.Context(), supervisor.Process{Name: "a"}); got.Status != Unknown || got.Err.Error() != "the process does not run" {
		t.Errorf("one that does not run: %+v", got)
	}
	if got := c.Run(t.Context(), supervisor.Process{Name: "a", PID: 1 << 22}); got.Status != Unknown || !errors.Is(got.Err, proc.ErrGone) {
		t.Errorf("one that has ended: %+v", got)
	}
}

func TestCPUConfigIsRefused(t *testing.T) {
	for _, test := range []struct {
		name string
		cfg  CPUConfig
		want string
	}{
		{"no limit", CPUConfig{}, "cpu: max-cpu-percent: 0 is not more than 0"},
		{"a negative limit", CPUConfig{MaxPercent: -1}, "cpu: max-cpu-percent: -1 is not more than 0"},
		{"no number", CPUConfig{MaxPercent: math.NaN()}, "cpu: max-cpu-percent: NaN is not more than 0"},
		{"infinity", CPUConfig{MaxPercent: math.Inf(1)}, "cpu: max-cpu-percent: +Inf is not a number of percent"},
		{"a negative interval", CPUConfig{MaxPercent: 1, Interval: -1}, "cpu: interval: -1ns is less than 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := NewCPU(test.cfg)
			var refused *ConfigError
			if c != nil || !errors.As(err, &refused) || err.Error() != test.want {
				t.Errorf("got %v, error %v, want error %s", c, err, test.want)
			}
		})
	}
}
