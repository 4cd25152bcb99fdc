package runner_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/runner"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
	"github.com/supervisor-checks/supervisor-checks/supervisor/supervisortest"
)

// failing is a check that always fails, and knows of whom it was asked.
type failing struct {
	name  string
	mu    sync.Mutex
	asked []string
}

func (f *failing) Name() string { return f.name }
func (f *failing) Run(_ context.Context, p supervisor.Process) checks.Result {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Contains(f.asked, p.Namespec()) {
		f.asked = append(f.asked, p.Namespec())
		slices.Sort(f.asked)
	}
	return checks.Fail(errors.New("it is broken"))
}

// TestWatches has rules of several watches add up, each with its own thresholds and
// action, and patterns that leave out.
func TestWatches(t *testing.T) {
	slow, quick, loud := &failing{name: "slow"}, &failing{name: "quick"}, &failing{name: "loud"}
	programs := append(many(3), supervisortest.Program{Group: "db", Name: "db"})
	inBubble(t, pass, programs, func(c *runner.Config) {
		c.Checks, c.Groups = nil, nil
		c.Watches = []runner.Watch{
			{Processes: []string{"web:*", "!web:p2"}, Rules: []runner.Rule{
				{Check: slow, FailureThreshold: runner.Threshold{Failures: 4}},
				{Check: loud, Action: runner.Action{Kind: runner.ActionAlert}},
			}},
			{Processes: []string{"*:p?", "d*"}, Rules: []runner.Rule{{Check: quick, FailureThreshold: runner.Threshold{Failures: 2}}},
				Policy: runner.Policy{RestartLimit: runner.RestartLimit{Restarts: 1, Within: time.Hour}}, Decided: []string{"RestartLimit"}},
		}
	}, func(b *bench) {
		b.ticks(time.Minute)
		for namespec, want := range map[string]int{"web:p0": 2, "web:p1": 2, "web:p2": 2, "db": 2} { // the limit is that of all
			b.wantStarts(namespec, want)
		}
		b.wantOnce(`msg="web:p0 ALERT (pid 1001): loud: it is broken"`)
		b.wantOnce(`msg="web:p0 is restarted (pid 1001): quick: it is broken"`)
		b.wantOnce(`msg="web:p0 unhealthy: slow: it is broken (1 of 4)" process=web:p0 check=slow pid=1001`)
		b.wantLog("web:p2 GIVEN UP")
		if got, want := fmt.Sprint(slow.asked, quick.asked, loud.asked), "[web:p0 web:p1] [db web:p0 web:p1 web:p2] [web:p0 web:p1]"; got != want {
			b.t.Errorf("asked of %s, want %s", got, want)
		}
	})
}

// TestAlertsGoOn looks at what only alerts also while something else is wrong.
func TestAlertsGoOn(t *testing.T) {
	bad, loud := &failing{name: "bad"}, &failing{name: "loud"}
	inBubble(t, pass, web("a"), func(c *runner.Config) {
		c.Checks, c.Groups = nil, nil
		c.Watches = []runner.Watch{{Rules: []runner.Rule{{Check: bad}, {Check: loud, Action: runner.Action{Kind: runner.ActionAlert}}},
			Policy: runner.Policy{RestartLimit: runner.RestartLimit{Restarts: 1, Within: time.Hour}}}}
	}, func(b *bench) {
		b.ticks(5 * time.Second)
		b.wantOnce(`web:a ALERT (pid 1001): loud: it is broken`)
	})
}

// TestAlertsAreNoReasonToDoubt that a process works again.
func TestAlertsAreNoReasonToDoubt(t *testing.T) {
	loud := &failing{name: "loud"}
	inBubble(t, failFirst("a"), web("a"), func(c *runner.Config) {
		mends := c.Checks[0]
		c.Checks, c.Groups = nil, nil
		c.Watches = []runner.Watch{{Rules: []runner.Rule{{Check: loud, Action: runner.Action{Kind: runner.ActionAlert}}, {Check: mends}},
			Policy: runner.Policy{MaxUnavailable: runner.Share{Number: 1}}}}
	}, func(b *bench) {
		b.tickThenSilence()
		b.wait(5 * time.Second)
		b.wantOnce("web:a works again")
	})
}

// TestNamesOfRules tells two checks of a name apart.
func TestNamesOfRules(t *testing.T) {
	a, c := &failing{name: "http"}, &failing{name: "http"}
	inBubble(t, pass, web("a"), func(cfg *runner.Config) {
		cfg.Checks, cfg.Groups = nil, nil
		alert := runner.Action{Kind: runner.ActionAlert}
		cfg.Watches = []runner.Watch{{Rules: []runner.Rule{{Check: a, Action: alert}, {Check: c, Action: alert}, {Check: c, Name: "ping", Action: alert}}}}
	}, func(b *bench) {
		b.tick()
		for _, name := range []string{"http", "http 2", "ping"} {
			b.wantOnce("web:a ALERT (pid 1001): " + name + ": it is broken")
		}
	})
}

// TestContested has two watches that say different things of one process.
func TestContested(t *testing.T) {
	limit := func(n int) runner.Policy {
		return runner.Policy{RestartLimit: runner.RestartLimit{Restarts: n, Within: time.Hour}}
	}
	configure := func(c *runner.Config) {
		rules := []runner.Rule{{Check: c.Checks[0]}}
		c.Checks, c.Groups = nil, nil
		c.Watches = []runner.Watch{{Processes: []string{"web:*"}, Rules: rules, Policy: limit(1), Decided: []string{"RestartLimit"}},
			{Processes: []string{"web:a"}, Rules: rules, Policy: limit(9), Decided: []string{"RestartLimit"}}}
	}
	inBubble(t, fail, web("a", "b"), configure, func(b *bench) {
		const want = "two entries match web:a and each has another restart_limit: that of the first one counts"
		b.ticks(time.Minute)
		b.wantOnce(want)
		b.wantStarts("web:a", 2)
		cfg := runner.Config{Checks: []checks.Check{checkFunc(fail)}, Server: b.Config()}
		configure(&cfg)
		m, err := runner.Match(b.t.Context(), cfg)
		if err != nil || m.Watched != 2 || !slices.Equal(m.Contested, []string{want}) {
			b.t.Errorf("Match: %+v, error %v", m, err)
		}
	})
}

// TestListenersAreNotMeant by a * in place of a group.
func TestListenersAreNotMeant(t *testing.T) {
	programs := append(web("a"), supervisortest.Program{Group: "lis", Name: "lis", Command: "/bin/supervisor_http_check"})
	for _, tt := range []struct {
		patterns []string
		want     int // processes
	}{{[]string{"*"}, 1}, {[]string{"l*", "web:a"}, 1}, {[]string{"*", "lis"}, 2}, {[]string{"*", "!web:*"}, 0}} {
		inBubble(t, pass, programs, nil, func(b *bench) {
			m, err := runner.Match(b.t.Context(), runner.Config{Server: b.Config(),
				Watches: []runner.Watch{{Processes: tt.patterns, Rules: []runner.Rule{{Check: checkFunc(pass)}}}}})
			if err != nil || m.Watched != tt.want {
				b.t.Errorf("%q watch %d, error %v, want %d; left out %v", tt.patterns, m.Watched, err, tt.want, m.LeftOut)
			}
		})
	}
}

// TestEvery looks by itself, and ends with its context.
func TestEvery(t *testing.T) {
	inBubble(t, fail, web("a"), nil, func(b *bench) {
		ctx, stop := context.WithCancel(b.t.Context())
		done := make(chan error)
		in, out := strings.NewReader(""), io.Discard
		go func() {
			done <- runner.Run(ctx, runner.Config{Every: 7 * time.Second, Groups: []string{"web"}, Checks: []checks.Check{checkFunc(fail)},
				Server: b.Config(), StateDir: b.t.TempDir() + "/state", Stdin: in, Stdout: out})
		}()
		b.wait(15 * time.Second)
		b.wantStarts("web:a", 4)
		stop()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
	})
}
