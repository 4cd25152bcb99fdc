package runner

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/internal/control"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
	"github.com/supervisor-checks/supervisor-checks/supervisor/supervisortest"
)

// TestReloadRenumbers takes the first of two checks of a name out of the file: the second keeps its own
// failures, and not those of the first.
func TestReloadRenumbers(t *testing.T) {
	broken := false
	first := checks.Func("http", func(context.Context, supervisor.Process) error { return errors.New("the first") })
	second := checks.Func("http", func(context.Context, supervisor.Process) error {
		if broken {
			return errors.New("the second, for the first time")
		}
		return nil
	})
	rules := []Rule{{Check: first, FailureThreshold: Threshold{Failures: 3}}, {Check: second, FailureThreshold: Threshold{Failures: 3}}}
	watch := func(rules []Rule) []Watch { return []Watch{{Processes: []string{"web:a"}, Rules: rules}} }
	talk(t, Policy{}, func(t *testing.T, srv *supervisortest.Server, r *runner, tick func()) {
		reload := func(rules []Rule) {
			r.Reload = func() ([]Watch, error) { return watch(rules), nil }
			if a := r.answer(t.Context(), control.Request{Command: control.Reload, Selector: "*"}); a.Error != "" {
				t.Fatal(a.Error)
			}
		}
		reload(rules)
		tick()
		tick() // the first has failed 2 of 3, the second none
		reload(rules[1:])
		broken = true
		tick()
		if got := srv.Starts("web:a"); got != 1 {
			t.Errorf("restarted after one failure of a check whose threshold is 3 (%d starts)", got)
		}
	})
}

// TestReloaded is told of watches that have taken the place of others, and not of those that
// are refused.
func TestReloaded(t *testing.T) {
	check := checks.Func("http", func(context.Context, supervisor.Process) error { return nil })
	watch := Watch{Processes: []string{"web:a"}, Rules: []Rule{{Check: check}}}
	talk(t, Policy{}, func(t *testing.T, _ *supervisortest.Server, r *runner, _ func()) {
		told := 0
		r.Reloaded = func() { told++ }
		reload := func(w Watch) error {
			r.Reload = func() ([]Watch, error) { return []Watch{w}, nil }
			return r.reload()
		}
		refused := watch
		refused.Policy.UnlessDown = []string{"db"} // of which nobody knows
		if err := reload(refused); err == nil || told != 0 {
			t.Errorf("error %v, told %d times", err, told)
		}
		if err := reload(watch); err != nil || told != 1 {
			t.Errorf("error %v, told %d times", err, told)
		}
	})
}

// TestReloadReorders has two checks of a name change places: each keeps its failures.
func TestReloadReorders(t *testing.T) {
	first := checks.Func("http", func(context.Context, supervisor.Process) error { return errors.New("the first") })
	second := checks.Func("http", func(context.Context, supervisor.Process) error { return nil })
	rules := []Rule{{Check: first, FailureThreshold: Threshold{Failures: 9}}, {Check: second, FailureThreshold: Threshold{Failures: 9}}}
	talk(t, Policy{}, func(t *testing.T, srv *supervisortest.Server, r *runner, tick func()) {
		reload := func(rules ...Rule) control.Answer {
			r.Reload = func() ([]Watch, error) { return []Watch{{Processes: []string{"web:a"}, Rules: rules}}, nil }
			return r.answer(t.Context(), control.Request{Command: control.Reload, Selector: "*"})
		}
		reload(rules...)
		tick()
		tick()
		if a := reload(rules[1], rules[0]); a.Processes[0].Rules[0].Failures != "0 of 9" {
			t.Errorf("the check that has never failed counts as %+v", a.Processes[0].Rules[0])
		}
	})
}

// TestReloadChangedCheck sets the address of a check right: its failures at the wrong one do not count any
// more.
func TestReloadChangedCheck(t *testing.T) {
	wrong := checks.Func("http", func(context.Context, supervisor.Process) error { return errors.New("404 of the wrong address") })
	right := checks.Func("http", func(context.Context, supervisor.Process) error { return errors.New("one slow answer") })
	talk(t, Policy{}, func(t *testing.T, srv *supervisortest.Server, r *runner, tick func()) {
		reload := func(c checks.Check) {
			r.Reload = func() ([]Watch, error) {
				return []Watch{{Processes: []string{"web:a"}, Rules: []Rule{{Check: c, FailureThreshold: Threshold{Failures: 3}}}}}, nil
			}
			if a := r.answer(t.Context(), control.Request{Command: control.Reload, Selector: "*"}); a.Error != "" {
				t.Fatal(a.Error)
			}
		}
		reload(wrong)
		tick()
		tick()
		reload(right)
		tick()
		if got := srv.Starts("web:a"); got != 1 {
			t.Errorf("restarted after one failure of the check as it is now, threshold 3 (%d starts)", got)
		}
	})
}

// TestReloadDuringRestart takes an entry out of the file while one of its processes restarts: the hook after
// that is run all the same, as the one before it was.
func TestReloadDuringRestart(t *testing.T) {
	dir := t.TempDir()
	bad := checks.Func("bad", func(_ context.Context, p supervisor.Process) error {
		if p.PID < 5000005 {
			return errors.New("x")
		}
		return nil
	})
	ok := checks.Func("ok", func(context.Context, supervisor.Process) error { return nil })
	talk(t, Policy{}, func(t *testing.T, srv *supervisortest.Server, r *runner, tick func()) {
		entry := Watch{Processes: []string{"web:a"}, Rules: []Rule{{Check: bad}}, Policy: Policy{Hooks: Hooks{BeforeRestart: []string{"touch", dir + "/before"}, AfterRestart: []string{"touch", dir + "/after"}}}}
		other := Watch{Processes: []string{"web:b"}, Rules: []Rule{{Check: ok}}}
		load := func(w ...Watch) {
			r.Reload = func() ([]Watch, error) { return w, nil }
			r.answer(t.Context(), control.Request{Command: control.Reload, Selector: "*"})
		}
		load(entry, other)
		srv.Intercept(func(c supervisortest.Call) supervisortest.Fate {
			if c.Method == "supervisor.startProcess" {
				load(other)
			}
			return supervisortest.Fate{}
		})
		tick()
		tick()
		for range 20 {
			tick()
		}
		_, before := os.Stat(dir + "/before")
		_, after := os.Stat(dir + "/after")
		if before == nil && after != nil {
			t.Errorf("before_restart was run, after_restart never: starts %d, owed %v", srv.Starts("web:a"), r.engine.subjects["web:a"])
		}
	})
}

// TestReloadPeriod brings a period, which begins at once and not with the next tick.
func TestReloadPeriod(t *testing.T) {
	count := &counter{name: "quick"}
	talk(t, Policy{}, func(t *testing.T, srv *supervisortest.Server, r *runner, tick func()) {
		if err := srv.Tick(time.Hour); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		r.Reload = func() ([]Watch, error) {
			return []Watch{{Processes: []string{"web:b"}, Rules: []Rule{{Check: count, Period: 10 * time.Second, Action: Action{Kind: ActionAlert}}}}}, nil
		}
		if a := r.answer(t.Context(), control.Request{Command: control.Reload, Selector: "*"}); a.Error != "" {
			t.Fatal(a.Error)
		}
		time.Sleep(30 * time.Minute)
		synctest.Wait() // a look that is due now may be under way
		if count.runs < 100 {
			t.Errorf("a rule with a period of 10 s ran %d times in the 30 minutes after the reload", count.runs)
		}
	})
}

// TestDescribe says of rules that all alert that they do.
func TestDescribe(t *testing.T) {
	plans, err := newPlans([]Watch{{Processes: []string{"web:b"}, Rules: []Rule{{Check: &counter{name: "x"}, Action: Action{Kind: ActionAlert}}}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := plans.describe(); strings.Contains(got, "restarts what fails") {
		t.Errorf("every rule only alerts: %q", got)
	}
}

// TestReloadWithCheckInFlight takes an entry out of the file while a check of it goes on: what that finds is
// about nobody any more.
func TestReloadWithCheckInFlight(t *testing.T) {
	slow := checks.Func("slow", func(context.Context, supervisor.Process) error {
		time.Sleep(3 * time.Second)
		return errors.New("timed out")
	})
	ok := checks.Func("ok", func(context.Context, supervisor.Process) error { return nil })
	talk(t, Policy{}, func(t *testing.T, srv *supervisortest.Server, r *runner, tick func()) {
		load := func(w ...Watch) {
			r.Reload = func() ([]Watch, error) { return w, nil }
			r.answer(t.Context(), control.Request{Command: control.Reload, Selector: "*"})
		}
		other := Watch{Processes: []string{"web:b"}, Rules: []Rule{{Check: ok}}}
		load(Watch{Processes: []string{"web:a"}, Rules: []Rule{{Check: slow, FailureThreshold: Threshold{Failures: 3}}}}, other)
		if err := srv.Tick(5 * time.Second); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		load(other)
		time.Sleep(20 * time.Second)
		if got := srv.Starts("web:a"); got != 1 {
			t.Errorf("a process that is no longer in the file was restarted after one failure of three (%d starts)", got)
		}
	})
}

// TestReloadActionInFlight has a rule only alert while its check goes on: there is no restart, and none
// is counted.
func TestReloadActionInFlight(t *testing.T) {
	slow := checks.Func("slow", func(context.Context, supervisor.Process) error {
		time.Sleep(3 * time.Second)
		return errors.New("timed out")
	})
	talk(t, Policy{}, func(t *testing.T, srv *supervisortest.Server, r *runner, tick func()) {
		load := func(a Action) {
			r.Reload = func() ([]Watch, error) {
				return []Watch{{Processes: []string{"web:a"}, Rules: []Rule{{Check: slow, Action: a}}, Policy: Policy{RestartLimit: RestartLimit{Restarts: 5, Within: time.Hour}}}}, nil
			}
			r.answer(t.Context(), control.Request{Command: control.Reload, Selector: "*"})
		}
		load(Action{})
		if err := srv.Tick(5 * time.Second); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		load(Action{Kind: ActionAlert})
		time.Sleep(8 * time.Second)
		a := r.answer(t.Context(), control.Request{Command: control.Explain, Selector: "*"})
		if got := srv.Starts("web:a"); got != 1 || a.Processes[0].Restarts != 0 {
			t.Errorf("starts %d, counted as restarts: %d", got, a.Processes[0].Restarts)
		}
	})
}

// TestFindingOfARemovedCheck forgets what a check finds that a reload has removed meanwhile.
func TestFindingOfARemovedCheck(t *testing.T) {
	slow := checks.Func("slow", func(context.Context, supervisor.Process) error {
		time.Sleep(3 * time.Second)
		return errors.New("timed out")
	})
	ok := checks.Func("ok", func(context.Context, supervisor.Process) error { return nil })
	talk(t, Policy{}, func(t *testing.T, srv *supervisortest.Server, r *runner, tick func()) {
		load := func(c ...checks.Check) {
			var rules []Rule
			for _, c := range c {
				rules = append(rules, Rule{Check: c, FailureThreshold: Threshold{Failures: 9}})
			}
			r.Reload = func() ([]Watch, error) { return []Watch{{Processes: []string{"web:a"}, Rules: rules}}, nil }
			r.answer(t.Context(), control.Request{Command: control.Reload, Selector: "*"})
		}
		load(slow, ok)
		if err := srv.Tick(5 * time.Second); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		load(ok)
		time.Sleep(3 * time.Second)
		for range 100 {
			tick()
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if f := r.findings[finding{"web:a", "slow"}]; f != nil {
			t.Errorf("a check that there is no more is kept as %+v", *f)
		}
	})
}
