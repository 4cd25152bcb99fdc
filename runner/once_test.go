package runner_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/runner"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
	"github.com/supervisor-checks/supervisor-checks/supervisor/supervisortest"
)

// rounds is a check that counts rounds, and tells its runs in which they are.
type rounds struct {
	begun atomic.Int32
	saw   []supervisor.Process // in the newest round
	run   func(round int, p supervisor.Process) checks.Result
}

type roundKey struct{}

func (*rounds) Name() string { return "rounds" }

func (r *rounds) StartRound(ctx context.Context, watched []supervisor.Process) context.Context {
	r.saw = slices.Clone(watched)
	return context.WithValue(ctx, roundKey{}, int(r.begun.Add(1)))
}

func (r *rounds) Run(ctx context.Context, p supervisor.Process) checks.Result {
	round, _ := ctx.Value(roundKey{}).(int)
	return r.run(round, p)
}

func TestEachRoundIsStarted(t *testing.T) {
	var ran []string
	check := &rounds{run: func(round int, p supervisor.Process) checks.Result {
		ran = append(ran, fmt.Sprintf("%s in %d", p.Name, round))
		return checks.Pass()
	}}
	programs := append(web("a"), supervisortest.Program{Group: "web", Name: "b", Stopped: true}, supervisortest.Program{Name: "other"})
	inBubble(t, pass, programs, func(cfg *runner.Config) { cfg.Checks = append(cfg.Checks, check) }, func(b *bench) {
		b.tick()
		b.wait(5 * time.Second)
		b.tick()
		if want := []string{"a in 1", "a in 2"}; !slices.Equal(ran, want) {
			t.Errorf("it ran for %q, want %q", ran, want)
		}
		if len(check.saw) != 2 || check.saw[0].Name != "a" || check.saw[1].Name != "b" {
			t.Errorf("the round began with %v, want a and b of web, which does not run", check.saw)
		}
	})
}

// TestSkipped has checks that are not made where we are: nothing follows, and nothing is healthy
// because of them.
func TestSkipped(t *testing.T) {
	result := checks.Skip(errors.New("only in develop"))
	failing := false
	var cfg runner.Config
	check := checks.Func("test", func(context.Context, supervisor.Process) error {
		if failing {
			return errors.New("refused")
		}
		return nil
	})
	inBubble(t, pass, web("a"), func(c *runner.Config) {
		c.Checks = []checks.Check{&rounds{run: func(int, supervisor.Process) checks.Result { return result }}}
		c.Policy.FailureThreshold = runner.Threshold{Failures: 2}
		cfg = *c
	}, func(b *bench) {
		once := func(with ...checks.Check) checks.Status {
			b.t.Helper()
			cfg := cfg
			cfg.Checks = append(slices.Clone(cfg.Checks), with...)
			report, err := runner.Once(b.t.Context(), cfg)
			if err != nil {
				b.t.Fatal(err)
			}
			return report.Status()
		}
		for _, skipped := range []bool{false, true, false, true} {
			result = checks.Fail(errors.New("refused"))
			if skipped {
				result = checks.Skip(errors.New("only in develop"))
			}
			b.tick()
			b.wait(5 * time.Second)
		}
		b.wantStarts("web:a", 2) // the two failures are in a row
		for line := range strings.Lines(b.log.String()) {
			if strings.Contains(line, "only in develop") && !strings.Contains(line, "level=DEBUG") {
				b.t.Errorf("it is no news, and logged: %s", line)
			}
		}
		result = checks.Skip(errors.New("only in develop"))
		if got := once(); got != checks.Skipped {
			b.t.Errorf("alone: %v", got)
		}
		if got := once(check); got != checks.Healthy {
			b.t.Errorf("beside what is healthy: %v", got)
		}
		failing = true
		if got := once(check); got != checks.Unhealthy {
			b.t.Errorf("beside what is unhealthy: %v", got)
		}
	})
}

type panickingRound struct{ checkFunc }

func (panickingRound) StartRound(context.Context, []supervisor.Process) context.Context {
	panic("oh no")
}

func TestPanicAtTheBeginningOfARound(t *testing.T) {
	inBubble(t, pass, web("a"), func(cfg *runner.Config) {
		cfg.Checks = []checks.Check{panickingRound{failFirst("a")}}
	}, func(b *bench) {
		b.tick()
		b.wait(5 * time.Second)
		b.wantStarts("web:a", 2)
		b.wantLog(`level=ERROR msg="the check test panicked: oh no"`)
	})
}

// What only needs another round is no news, and forgets nothing.
func TestNotYet(t *testing.T) {
	results := []checks.Result{
		checks.Unsure(fmt.Errorf("%w: first look", checks.ErrNotYet)),
		checks.Pass(),
		checks.Unsure(errors.New("hidden")),
		checks.Unsure(fmt.Errorf("%w: a while", checks.ErrNotYet)),
		checks.Unsure(errors.New("hidden")),
		checks.Pass(),
	}
	check := func(context.Context, supervisor.Process) checks.Result {
		next := results[0]
		results = results[1:]
		return next
	}
	inBubble(t, check, web("a"), nil, func(b *bench) {
		for _, want := range []int{0, 0, 1, 1, 1, 2} { // transitions so far
			b.tick()
			b.wait(5 * time.Second)
			got := 0
			for _, text := range []string{`level=WARN msg="web:a unknown: test: hidden"`, `level=INFO msg="web:a healthy again: test (was unknown)"`} {
				got += strings.Count(b.log.String(), text)
			}
			if got != want {
				t.Errorf("%d lines of %d so far; the log:\n%s", got, want, b.log)
			}
		}
		b.wantStarts("web:a", 1)
		b.wantLog("level=DEBUG")
		b.wantLog("cannot tell yet: a while")
	})
}

func TestOnceRunsNoMoreChecksAtOnceThanConfigured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := supervisortest.NewServer(supervisor.Python, web("a", "b", "c", "d", "e")...)
		defer srv.Close()
		check := checks.Func("slow", func(context.Context, supervisor.Process) error {
			time.Sleep(time.Second)
			return nil
		})
		begun := time.Now()
		report, err := runner.Once(t.Context(), runner.Config{Groups: []string{"web"}, Checks: []checks.Check{check}, Server: srv.Config(), Concurrency: 2})
		if err != nil || report.Status() != checks.Healthy {
			t.Errorf("got %v, error %v", report, err)
		}
		if took, want := time.Since(begun), 3*time.Second; took != want {
			t.Errorf("five checks of a second, two at once, took %v, want %v", took, want)
		}
	})
}

func TestOnceLooksTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := supervisortest.NewServer(supervisor.Python, web("a", "b")...)
		defer srv.Close()
		var plain atomic.Int32
		check := &rounds{run: func(round int, p supervisor.Process) checks.Result {
			time.Sleep(time.Duration(round) * 100 * time.Millisecond)
			if round == 1 && p.Name == "a" {
				return checks.Unsure(fmt.Errorf("%w: first look", checks.ErrNotYet))
			}
			return checks.Fail(fmt.Errorf("found in round %d", round))
		}}
		begun := time.Now()
		report, err := runner.Once(t.Context(), runner.Config{
			Groups: []string{"web"},
			Checks: []checks.Check{checks.Func("plain", func(context.Context, supervisor.Process) error { plain.Add(1); return nil }), check},
			Server: srv.Config(),
		})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, row := range report.Rows {
			got = append(got, fmt.Sprintf("%s %s %v %v", row.Process.Name, row.Check, row.Result.Err, row.Took))
		}
		want := []string{"a plain <nil> 0s", "a rounds found in round 2 300ms", "b plain <nil> 0s", "b rounds found in round 1 100ms"}
		if !slices.Equal(got, want) || plain.Load() != 2 {
			t.Errorf("got %q, want %q; the other check ran %d times, want 2", got, want, plain.Load())
		}
		if took := time.Since(begun); took != 1300*time.Millisecond {
			t.Errorf("it took %v, want a second and what the checks take", took)
		}
	})
}
