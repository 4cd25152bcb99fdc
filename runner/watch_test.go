package runner_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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
		b.wantOnce(`msg="web:p0 ALERT (pid 5000001): loud: it is broken"`)
		b.wantOnce(`msg="web:p0 is restarted (pid 5000001): quick: it is broken"`)
		b.wantOnce(`msg="web:p0 unhealthy: slow: it is broken (1 of 4)" process=web:p0 check=slow pid=5000001`)
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
		b.wantOnce(`web:a ALERT (pid 5000001): loud: it is broken`)
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

// TestAlertsBeginAnew after a process was well.
func TestAlertsBeginAnew(t *testing.T) {
	var broken atomic.Bool
	check := func(context.Context, supervisor.Process) checks.Result {
		if broken.Load() {
			return checks.Fail(errors.New("it is broken"))
		}
		return checks.Pass()
	}
	inBubble(t, check, web("a"), with(runner.Policy{Action: runner.Action{Kind: runner.ActionAlert}}), func(b *bench) {
		for i := range 4 {
			broken.Store(i%2 == 0)
			b.ticks(30 * time.Second)
		}
		if got := strings.Count(b.log.String(), "web:a ALERT"); got != 2 {
			b.t.Errorf("%d alerts, want one each time; the log\n%s", got, b.log)
		}
	})
}

// TestPeriods has rules that are due at each tick, less often, and more often.
func TestPeriods(t *testing.T) {
	var mu sync.Mutex
	runs := make(map[string][]time.Time)
	counting := func(name string) checks.Check {
		return named{name, func(context.Context, supervisor.Process) checks.Result {
			mu.Lock()
			defer mu.Unlock()
			runs[name] = append(runs[name], time.Now())
			return checks.Pass()
		}}
	}
	inBubble(t, pass, web("a"), func(c *runner.Config) {
		c.Checks, c.Groups = nil, nil
		c.Watches = []runner.Watch{{Rules: []runner.Rule{
			{Check: counting("tick")}, {Check: counting("slow"), Period: 30 * time.Second}, {Check: counting("quick"), Period: time.Second},
		}}}
	}, func(b *bench) {
		b.ticks(2 * time.Minute)
		for name, want := range map[string][2]int{"tick": {24, 24}, "slow": {4, 4}, "quick": {115, 125}} {
			if got := len(runs[name]); got < want[0] || got > want[1] {
				b.t.Errorf("%s ran %d times in two minutes, want %d to %d", name, got, want[0], want[1])
			}
		}
		for i, at := range runs["quick"][1:] {
			if pause := at.Sub(runs["quick"][i]); pause < 800*time.Millisecond || pause > 1600*time.Millisecond {
				b.t.Errorf("quick ran %v after the run before", pause)
			}
		}
		before := len(runs["slow"])
		b.Operator(supervisortest.OperatorStop, "web:a") // a new run is looked at at once
		b.wait(2 * time.Second)
		b.Operator(supervisortest.OperatorStart, "web:a")
		b.wait(2 * time.Second)
		b.tick()
		if got := len(runs["slow"]); got != before+1 {
			b.t.Errorf("slow ran %d times after the process was started anew, want once", got-before)
		}
	})
	_, err := runner.Match(t.Context(), runner.Config{Server: supervisor.Config{URL: "http://x"},
		Watches: []runner.Watch{{Rules: []runner.Rule{{Check: counting("x"), Period: time.Millisecond}}}}})
	if err == nil || err.Error() != "period: 1ms is less than 100ms" {
		t.Errorf("a period of a millisecond: %v", err)
	}
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
			b.wantOnce("web:a ALERT (pid 5000001): " + name + ": it is broken")
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

// TestHooksOfTwoWatches adds up the hooks of two, and tells of one that both have.
func TestHooksOfTwoWatches(t *testing.T) {
	inBubble(t, pass, web("a"), nil, func(b *bench) {
		match := func(first, second runner.Watch) []string {
			for _, w := range []*runner.Watch{&first, &second} {
				w.Processes, w.Rules = []string{"web:*"}, []runner.Rule{{Check: checkFunc(pass)}}
			}
			m, err := runner.Match(b.t.Context(), runner.Config{Server: b.Config(), Watches: []runner.Watch{first, second}})
			if err != nil {
				b.t.Error(err)
			}
			return m.Contested
		}
		before := runner.Watch{Policy: runner.Policy{Hooks: runner.Hooks{BeforeRestart: []string{"true"}}}, Decided: []string{"Hooks.BeforeRestart"}}
		after := runner.Watch{Policy: runner.Policy{Hooks: runner.Hooks{AfterStop: []string{"true"}}}, Decided: []string{"Hooks.AfterStop"}}
		timeout := runner.Watch{Policy: runner.Policy{Hooks: runner.Hooks{Timeout: time.Second}}, Decided: []string{"Hooks.Timeout"}}
		for _, second := range []runner.Watch{after, timeout, before} {
			if got := match(before, second); got != nil {
				b.t.Errorf("%q", got)
			}
		}
		other := timeout
		other.Policy.Hooks.Timeout = time.Minute
		if got, want := match(timeout, other), "two entries match web:a and each has another hook_timeout: that of the first one counts"; !slices.Equal(got, []string{want}) {
			b.t.Errorf("%q", got)
		}
		other = before
		other.Policy.Hooks.BeforeRestart = []string{"false"}
		if got, want := match(before, other), "two entries match web:a and each has another before_restart: that of the first one counts"; !slices.Equal(got, []string{want}) {
			b.t.Errorf("%q", got)
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

// TestTickDuringARoundOfOurOwn has supervisord take as long to say which processes
// there are as there is between two rounds of our own: what is due at the ticks is not
// left out.
func TestTickDuringARoundOfOurOwn(t *testing.T) {
	var ticks atomic.Int32
	inBubble(t, pass, web("a"), func(c *runner.Config) {
		c.Checks, c.Groups = nil, nil
		c.Watches = []runner.Watch{{Processes: []string{"web:*"}, Rules: []runner.Rule{
			{Check: named{"tick", func(context.Context, supervisor.Process) checks.Result { ticks.Add(1); return checks.Pass() }}},
			{Check: named{"quick", pass}, Period: time.Second},
		}}}
	}, func(b *bench) {
		b.Intercept(func(c supervisortest.Call) supervisortest.Fate {
			if c.Method == "supervisor.getAllProcessInfo" {
				time.Sleep(2500 * time.Millisecond)
			}
			return supervisortest.Fate{}
		})
		b.ticks(2 * time.Minute)
		if got := ticks.Load(); got < 23 {
			b.t.Errorf("the rule that is due at each of 24 ticks ran %d times", got)
		}
	})
}

// TestNamesThatAreTaken are given to nobody else.
func TestNamesThatAreTaken(t *testing.T) {
	alert := runner.Action{Kind: runner.ActionAlert}
	inBubble(t, pass, web("a"), func(c *runner.Config) {
		c.Checks, c.Groups = nil, nil
		c.Watches = []runner.Watch{{Rules: []runner.Rule{
			{Check: &failing{name: "http"}, Name: "http 2", Action: alert}, {Check: &failing{name: "http"}, Action: alert}, {Check: &failing{name: "http"}, Action: alert},
		}}}
	}, func(b *bench) {
		b.tick()
		for _, name := range []string{"http", "http 2", "http 3"} {
			b.wantOnce("ALERT (pid 5000001): " + name + ": ")
		}
	})
}

// TestNotDuring leaves a rule out for some time: it is not looked at, nothing is done
// about what it has found before, and its failures are counted from the beginning after
// that.
func TestNotDuring(t *testing.T) {
	var asked []time.Duration
	var from, to time.Duration
	var watches []runner.Watch
	begun := time.Now()
	night := named{"night", func(context.Context, supervisor.Process) checks.Result {
		asked = append(asked, time.Since(begun))
		return checks.Fail(errors.New("it is broken"))
	}}
	inBubble(t, pass, web("a"), func(c *runner.Config) {
		begun, from, to = time.Now(), 12*time.Second, 41*time.Second
		c.Checks, c.Groups = nil, nil
		c.Watches = []runner.Watch{{Processes: []string{"web:*"}, Rules: []runner.Rule{
			{Check: night, FailureThreshold: runner.Threshold{Failures: 4}, NotDuring: func(now time.Time) bool {
				since := now.Sub(begun)
				return since >= from && since < to
			}},
			{Check: named{"day", pass}},
		}}}
		watches = c.Watches
	}, func(b *bench) {
		b.ticks(30 * time.Second)
		b.wantLog("web:a: night is not checked at this time: that it was unhealthy is forgotten")
		if n := len(asked); n != 3 {
			b.t.Errorf("asked %d times before and while it is left out: %v", n, asked)
		}
		if report, err := runner.Once(b.t.Context(), runner.Config{Server: b.Config(), Watches: watches}); err != nil || len(report.Rows) != 2 || !report.Rows[0].Rests || report.Rows[1].Rests || report.Status() != checks.Healthy {
			b.t.Errorf("Once: %+v, error %v", report, err)
		}
		b.wantStarts("web:a", 1)
		b.ticks(25 * time.Second)
		b.wantStarts("web:a", 1)
		b.ticks(10 * time.Second)
		b.wantStarts("web:a", 2) // after four more
	})
}

func TestCovers(t *testing.T) {
	for _, tt := range []struct {
		wide, narrow string
		want         bool
	}{
		{"*", "web:a", true},
		{"*", "web:*", true},
		{"*", "*:a", true},
		{"*", "web", true},
		{"web:*", "*", false},
		{"web:*", "web:a", true},
		{"web:*", "web:", true},
		{"web:*", "web", true},
		{"web:*", "we?:a", false},
		{"we?:*", "web:a*", true},
		{"we?:*", "we*:a", false},
		{"we*:*", "we?:a", true},
		{"web:a?", "web:a*", false},
		{"web:a*", "web:a?", true},
		{"web:a*", "web:a", true},
		{"web:a.c", "web:abc", false},
		{"web", "web:web", true},
		{"web:web", "web", true},
		{"w*", "w?", true},
		{"w*", "web:web", true},
		{"w*", "web:w*", false},
		{"w*", "w*", true},
		{"!web:*", "!web:a", true},
		{"a:b:c", "a:b", false},
		{"*", "", false},
	} {
		if got := runner.Covers(tt.wide, tt.narrow); got != tt.want {
			t.Errorf("%q covers %q: %v", tt.wide, tt.narrow, got)
		}
	}
}

// TestUnlessDown reports processes that fail while what they depend on is down, and does
// nothing about them; when that is back they have their start period, and all their
// failures, anew.
func TestUnlessDown(t *testing.T) {
	var down atomic.Bool
	var asked sync.Map
	configure := func(c *runner.Config) {
		c.Down = func(name string) bool {
			asked.Store(name, true)
			return name == "db" && down.Load()
		}
		c.Policy = runner.Policy{FailureThreshold: runner.Threshold{Failures: 2}, StartPeriod: 20 * time.Second, UnlessDown: []string{"cache", "db"},
			Revive: []supervisor.State{supervisor.Fatal}}
	}
	inBubble(t, fail, web("a"), configure, func(b *bench) {
		down.Store(true)
		b.ticks(time.Minute)
		b.wantStarts("web:a", 1)
		b.wantOnce("web:a not restarted now: db is down, which it depends on: ")
		down.Store(false)
		b.ticks(20 * time.Second) // which its start period takes
		b.wantStarts("web:a", 1)
		b.wantOnce("web:a: db is back, which it depends on: what it has failed meanwhile does not count")
		b.ticks(10 * time.Second)
		b.wantStarts("web:a", 2)
		if _, is := asked.Load("cache"); !is {
			b.t.Error("only one of them was asked for")
		}
	})
	inBubble(t, fail, web("a"), nil, func(b *bench) {
		err := runner.Run(b.t.Context(), runner.Config{Server: b.Config(), StateDir: b.t.TempDir(), Checks: []checks.Check{checkFunc(fail)}, Policy: runner.Policy{UnlessDown: []string{"db"}}})
		var bad *runner.ConfigError
		if !errors.As(err, &bad) || err.Error() != "unless-down: nobody knows how db is" {
			b.t.Errorf("error %v", err)
		}
	})
}

// TestExcludesNothing names patterns that leave nothing out.
func TestExcludesNothing(t *testing.T) {
	inBubble(t, pass, web("a", "canary"), nil, func(b *bench) {
		m, err := runner.Match(b.t.Context(), runner.Config{Server: b.Config(),
			Watches: []runner.Watch{{Processes: []string{"web:*", "!web:cannary"}, Rules: []runner.Rule{{Check: checkFunc(pass)}}}}})
		if err != nil || len(m.Idle) != 1 {
			b.t.Errorf("unmatched %q, error %v: web:canary is watched and restarted", m.Unmatched, err)
		}
	})
}

// TestRounds tells of those of ticks, with what is watched and what for.
func TestRounds(t *testing.T) {
	var mu sync.Mutex
	var told []string
	inBubble(t, pass, web("a", "b"), func(c *runner.Config) {
		c.Checks, c.Groups = nil, nil
		c.Watches = []runner.Watch{
			{Processes: []string{"web:*"}, Rules: []runner.Rule{{Check: named{"x", pass}}}},
			{Processes: []string{"web:b"}, Rules: []runner.Rule{{Check: named{"y", pass}, Period: time.Second}}},
		}
		c.Rounds = func(r runner.Round) {
			mu.Lock()
			defer mu.Unlock()
			for _, w := range r.Watched {
				for _, rule := range w.Rules {
					told = append(told, fmt.Sprintf("%v %s %s", r.Period, w.Process.Namespec(), rule.Name))
				}
			}
		}
	}, func(b *bench) {
		b.ticks(10 * time.Second)
		if got, want := fmt.Sprint(told), "[5s web:a x 5s web:b x 5s web:b y 5s web:a x 5s web:b x 5s web:b y]"; got != want {
			b.t.Errorf("%s, want %s", got, want)
		}
	})
}

// TestDrain takes a process out of service before it is restarted, and puts it back when
// it works.
func TestDrain(t *testing.T) {
	var mu sync.Mutex
	var told []string
	var begun time.Time
	ready := func(_ context.Context, p supervisor.Process) checks.Result {
		if p.PID < 5000002 || time.Since(begun) < 30*time.Second {
			return checks.Fail(errors.New("503"))
		}
		return checks.Pass()
	}
	inBubble(t, ready, web("a"), func(c *runner.Config) {
		begun = time.Now()
		c.Policy = runner.Policy{Drain: 15 * time.Second}
		c.Drain = func(process, why string) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, fmt.Sprintf("%v %s %q", time.Since(begun).Round(time.Second), process, why))
		}
	}, func(b *bench) {
		b.ticks(14 * time.Second)
		b.wantStarts("web:a", 1)
		b.wantOnce("web:a is taken out of service for 15s, and then restarted (pid 5000001): test: 503")
		b.ticks(45 * time.Second)
		b.wantStarts("web:a", 2)
		mu.Lock()
		defer mu.Unlock()
		if len(told) != 2 || told[0] != `0s web:a "test: 503"` || !strings.HasSuffix(told[1], ` web:a ""`) || told[1] < "30s" {
			b.t.Errorf("%q", told)
		}
	})
	inBubble(t, fail, web("a"), nil, func(b *bench) {
		err := runner.Run(b.t.Context(), runner.Config{Server: b.Config(), StateDir: b.t.TempDir(), Checks: []checks.Check{checkFunc(fail)}, Policy: runner.Policy{Drain: time.Second}})
		if err == nil || err.Error() != "drain: nobody takes processes out of service" {
			b.t.Errorf("error %v", err)
		}
	})
}

// TestDrainIsAsked asks again while a process drains: when it is paused, or what it depends on
// goes down, it is in service again and nothing is done about it.
func TestDrainIsAsked(t *testing.T) {
	var down atomic.Bool
	var drains atomic.Bool
	configure := func(c *runner.Config) {
		c.Down = func(string) bool { return down.Load() }
		c.Drain = func(_, why string) { drains.Store(why != "") }
		c.Policy = runner.Policy{Drain: time.Minute, UnlessDown: []string{"db"}}
	}
	inBubble(t, fail, web("a"), configure, func(b *bench) {
		b.ticks(5 * time.Second)
		if !drains.Load() {
			b.t.Error("it does not drain")
		}
		down.Store(true)
		b.ticks(90 * time.Second)
		b.wantStarts("web:a", 1)
		b.wantOnce("web:a not restarted now: db is down, which it depends on: ")
		if drains.Load() {
			b.t.Error("it drains still")
		}
		down.Store(false)
		b.ticks(90 * time.Second)
		b.wantStarts("web:a", 2)
	})
}

// TestBackBeforeDecision has what a process depends on be back between what it has failed and
// the decision, which waits for a slow check: it has its start period all the same.
func TestBackBeforeDecision(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	slow := func(context.Context, supervisor.Process) checks.Result {
		time.Sleep(4 * time.Second)
		return checks.Pass()
	}
	inBubble(t, fail, web("a"), func(c *runner.Config) {
		c.Down = func(string) bool { return down.Load() }
		c.Checks, c.Groups = nil, nil
		c.Watches = []runner.Watch{{Processes: []string{"web:*"}, Rules: []runner.Rule{
			{Check: named{"x", fail}, StartPeriod: 10 * time.Minute, FailureThreshold: runner.Threshold{Failures: 1}},
			{Check: named{"y", slow}, Action: runner.Action{Kind: runner.ActionAlert}},
		}, Policy: runner.Policy{UnlessDown: []string{"db"}}}}
	}, func(b *bench) {
		b.ticks(11 * time.Minute)
		b.wantStarts("web:a", 1)
		b.tick()
		b.wait(2 * time.Second)
		down.Store(false)
		b.wait(10 * time.Second)
		b.wantStarts("web:a", 1)
		b.ticks(9 * time.Minute)
		b.wantStarts("web:a", 1)
		b.ticks(2 * time.Minute)
		b.wantStarts("web:a", 2)
	})
}

// TestOurs says of processes that do not run whether that is ours: while they are being
// restarted, where they cannot be started, and where we have stopped them.
func TestOurs(t *testing.T) {
	var mu sync.Mutex
	told := make(map[string]bool)
	rounds := func(c *runner.Config) {
		c.Rounds = func(r runner.Round) {
			mu.Lock()
			defer mu.Unlock()
			for _, w := range r.Watched {
				told[w.Process.Namespec()] = w.Ours
			}
		}
	}
	want := func(b *bench, ours map[string]bool) {
		b.t.Helper()
		b.tick()
		b.wait(time.Second)
		mu.Lock()
		defer mu.Unlock()
		if fmt.Sprint(told) != fmt.Sprint(ours) {
			b.t.Errorf("ours are %v, want %v", told, ours)
		}
	}
	inBubble(t, failFirst("a"), web("a", "b"), func(c *runner.Config) {
		rounds(c)
		c.Policy = runner.Policy{Action: runner.Action{Kind: runner.ActionStop}}
	}, func(b *bench) {
		b.ticks(20 * time.Second)
		if b.Process("web:a").State != supervisor.Stopped {
			b.t.Error("it was not stopped")
		}
		if err := b.Operator(supervisortest.OperatorStop, "web:b"); err != nil {
			b.t.Fatal(err)
		}
		b.ticks(20 * time.Second)
		want(b, map[string]bool{"web:a": true, "web:b": false})
	})
	clear(told)
	programs := web("a", "b")
	programs[0].StopTakes, programs[0].StopWait = time.Minute, time.Hour
	inBubble(t, failFirst("a"), programs, rounds, func(b *bench) {
		b.ticks(20 * time.Second)
		want(b, map[string]bool{"web:a": true, "web:b": false})
	})
}
