package runner_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/runner"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
	"github.com/supervisor-checks/supervisor-checks/supervisor/supervisortest"
)

// with makes a configuration's policy p.
func with(p runner.Policy) func(*runner.Config) {
	return func(cfg *runner.Config) { cfg.Policy = p }
}

// tickThenSilence sends the one tick that there will be for an hour.
func (b *bench) tickThenSilence() {
	b.t.Helper()
	if err := b.Tick(time.Hour); err != nil {
		b.t.Errorf("Tick: %v", err)
	}
	synctest.Wait()
}

// ticks sends ticks, five seconds apart, for so long.
func (b *bench) ticks(d time.Duration) {
	b.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		b.tick()
		b.wait(5 * time.Second)
	}
}

// wantOnce requires that the log has a text once.
func (b *bench) wantOnce(text string) {
	b.t.Helper()
	if got := strings.Count(b.log.String(), text); got != 1 {
		b.t.Errorf("the log has %q %d times, want once:\n%s", text, got, b.log)
	}
}

// starts records when processes are started.
type starts struct {
	mu  sync.Mutex
	all map[string][]time.Time
}

// watch lets a server note starts, by namespec.
func (b *bench) watch() *starts {
	s := &starts{all: make(map[string][]time.Time)}
	b.Intercept(func(c supervisortest.Call) supervisortest.Fate {
		if c.Method == "supervisor.startProcess" {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.all[c.Args[0]] = append(s.all[c.Args[0]], time.Now())
		}
		return supervisortest.Fate{}
	})
	return s
}

func (s *starts) of(namespec string) []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all[namespec])
}

func (s *starts) count() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, at := range s.all {
		n += len(at)
	}
	return n
}

func TestFailureThreshold(t *testing.T) {
	inBubble(t, fail, web("a"), with(runner.Policy{FailureThreshold: runner.Threshold{Failures: 3}}), func(b *bench) {
		b.ticks(10 * time.Second)
		b.wantStarts("web:a", 1)
		b.ticks(5 * time.Second)
		b.wantStarts("web:a", 2)
		for _, line := range []string{
			`level=WARN msg="web:a unhealthy: test: it is broken (1 of 3)"`,
			`level=WARN msg="web:a unhealthy: test: it is broken (2 of 3)"`,
			`level=WARN msg="web:a unhealthy: test: it is broken (3 of 3)"`,
			`level=WARN msg="web:a is restarted (pid 5000001): test: it is broken"`,
		} {
			b.wantOnce(line)
		}
	})
}

func TestSuccessThreshold(t *testing.T) {
	var broken atomic.Bool
	broken.Store(true)
	check := func(context.Context, supervisor.Process) checks.Result {
		if broken.Load() {
			return checks.Fail(errors.New("it is broken"))
		}
		return checks.Pass()
	}
	inBubble(t, check, web("a"), with(runner.Policy{SuccessThreshold: 3, Action: runner.Action{Kind: runner.ActionAlert}}), func(b *bench) {
		b.tick()
		broken.Store(false)
		b.ticks(15 * time.Second)
		b.wantOnce(`level=INFO msg="web:a healthy: test (1 of 3 successes)"`)
		b.wantOnce(`level=INFO msg="web:a healthy: test (2 of 3 successes)"`)
		b.wantOnce(`level=INFO msg="web:a healthy again: test (was unhealthy) (3 of 3 successes)"`)
	})
}

// TestStartPeriod has a process that needs 20 s to work, and is restarted by
// somebody in between.
func TestStartPeriod(t *testing.T) {
	check := func(_ context.Context, p supervisor.Process) checks.Result {
		if p.Uptime < 20*time.Second {
			return checks.Fail(errors.New("it begins"))
		}
		return checks.Pass()
	}
	inBubble(t, check, web("a"), with(runner.Policy{StartPeriod: 30 * time.Second}), func(b *bench) {
		b.ticks(time.Minute)
		b.Exit("web:a", true)
		b.ticks(time.Minute)
		b.wantStarts("web:a", 2) // and the second one is supervisord's own
		b.wantLog(`web:a unhealthy: test: it begins (does not count within 30s of its start)`)
	})
	inBubble(t, fail, web("a"), with(runner.Policy{StartPeriod: 30 * time.Second}), func(b *bench) {
		b.ticks(25 * time.Second)
		b.wantStarts("web:a", 1)
		b.ticks(10 * time.Second)
		b.wantStarts("web:a", 2)
	})
}

func TestRestartLimit(t *testing.T) {
	for _, then := range []runner.Then{runner.ThenAlert, runner.ThenIgnore, runner.ThenStop} {
		t.Run(string(then), func(t *testing.T) {
			policy := runner.Policy{RestartLimit: runner.RestartLimit{Restarts: 3, Within: 10 * time.Minute}, RestartLimitThen: then}
			inBubble(t, fail, web("a"), with(policy), func(b *bench) {
				s := b.watch()
				b.ticks(9 * time.Minute)
				if got := len(s.of("web:a")); got != 3 {
					b.t.Fatalf("restarted %d times, want 3; the log:\n%s", got, b.log)
				}
				switch then {
				case runner.ThenStop:
					b.wantOnce(`level=ERROR msg="web:a GIVEN UP: the restart limit of 3/10m is reached: it is stopped for good (pid 5000004): test: it is broken"`)
					b.wantOnce(`level=WARN msg="web:a has stopped after`)
					b.ticks(time.Hour)
					if got := b.Process("web:a").State; got != supervisor.Stopped || len(s.of("web:a")) != 3 {
						b.t.Errorf("it is %v, and was started %d times; want STOPPED", got, len(s.of("web:a")))
					}
					b.Operator(supervisortest.OperatorStart, "web:a")
					b.ticks(10 * time.Second)
					b.wantLog("restarted (pid 5000005)")
				case runner.ThenAlert:
					b.wantOnce(`level=ERROR msg="web:a GIVEN UP: the restart limit of 3/10m is reached; it is left as it is until `)
				case runner.ThenIgnore:
					b.wantOnce(`level=WARN msg="web:a GIVEN UP: the restart limit of 3/10m is reached; it is left as it is until `)
				}
				if then != runner.ThenStop {
					b.ticks(10 * time.Minute)
					if got := len(s.of("web:a")); got < 5 || got > 6 {
						b.t.Errorf("restarted %d times in 19 minutes, want 6 at most", got)
					}
				}
			})
		})
	}
}

func TestBackoff(t *testing.T) {
	policy := runner.Policy{Backoff: runner.Backoff{Initial: 10 * time.Second, Factor: 3, Max: time.Minute, ResetAfter: 2 * time.Minute}}
	var broken atomic.Bool
	broken.Store(true)
	check := func(context.Context, supervisor.Process) checks.Result {
		if broken.Load() {
			return checks.Fail(errors.New("it is broken"))
		}
		return checks.Pass()
	}
	inBubble(t, check, web("a"), with(policy), func(b *bench) {
		s := b.watch()
		begun := time.Now()
		b.ticks(4 * time.Minute)
		var pauses []string
		for _, at := range s.of("web:a") {
			pauses = append(pauses, at.Sub(begun).Round(time.Second).String())
			begun = at
		}
		// each restart takes one second more
		if got, want := strings.Join(pauses, " "), "0s 11s 31s 1m1s 1m1s 1m1s"; got != want {
			b.t.Errorf("pauses %s, want %s", got, want)
		}
		b.wantLog(`web:a not restarted now: the pause after restart 1 is 10s, until `)
		broken.Store(false)
		b.ticks(3 * time.Minute)
		broken.Store(true)
		before := len(s.of("web:a"))
		b.ticks(20 * time.Second)
		if got := len(s.of("web:a")) - before; got != 2 {
			b.t.Errorf("restarted %d times in 20 s after it was stable, want 2, as at the beginning", got)
		}
	})
}

// again runs another listener of the same configuration in the bubble.
func (b *bench) again(cfg runner.Config) {
	b.t.Helper()
	b.stop(errors.New("to be started anew"))
	if _, err := b.end(); err != nil {
		b.t.Error(err)
	}
	cfg.Stdin, cfg.Stdout = b.Listener()
	ctx, stop := context.WithCancelCause(b.t.Context())
	b.stop = stop
	go func() { b.result <- runner.Run(ctx, cfg) }()
	synctest.Wait()
}

// beside runs another listener of the same supervisord, and returns the server whose
// events it gets.
func (b *bench) beside(cfg runner.Config) *supervisortest.Server {
	other := supervisortest.NewServer(supervisor.Python)
	cfg.Stdin, cfg.Stdout = other.Listener()
	cfg.Name = "other"
	go runner.Run(b.t.Context(), cfg)
	return other
}

// TestCountsOutliveTheListener restarts the listener between two restarts.
func TestCountsOutliveTheListener(t *testing.T) {
	policy := runner.Policy{
		RestartLimit: runner.RestartLimit{Restarts: 3, Within: time.Hour},
		Backoff:      runner.Backoff{Initial: 20 * time.Second},
	}
	var cfg runner.Config
	inBubble(t, fail, web("a"), func(c *runner.Config) {
		c.Policy = policy
		cfg = *c
	}, func(b *bench) {
		s := b.watch()
		for range 12 {
			b.ticks(10 * time.Second)
			b.again(cfg)
		}
		at := s.of("web:a")
		if len(at) != 3 {
			b.t.Fatalf("restarted %d times, want 3: %v\n%s", len(at), at, b.log)
		}
		if first, second := at[1].Sub(at[0]), at[2].Sub(at[1]); first < 20*time.Second || second < 40*time.Second {
			b.t.Errorf("pauses %v and %v, want 20 s and 40 s at least", first, second)
		}
	})
}

// TestClockSetBack has the listener begin anew after the clock of the machine was
// set back by a year.
func TestClockSetBack(t *testing.T) {
	var cfg runner.Config
	inBubble(t, fail, web("a"), func(c *runner.Config) {
		c.Policy = runner.Policy{RestartLimit: runner.RestartLimit{Restarts: 2, Within: time.Minute}, Backoff: runner.Backoff{Initial: 20 * time.Second}}
		cfg = *c
	}, func(b *bench) {
		b.ticks(5 * time.Second)
		b.stop(errors.New("to be started anew"))
		b.wait(time.Second)
		all, _ := filepath.Glob(filepath.Join(cfg.StateDir, "*", "*.counters.v1.json"))
		if len(all) != 1 {
			b.t.Fatalf("files %q", all)
		}
		text, err := os.ReadFile(all[0])
		if err == nil {
			err = os.WriteFile(all[0], []byte(strings.ReplaceAll(string(text), "2000-01-01T", "2001-01-01T")), 0o600)
		}
		if err != nil {
			b.t.Fatal(err)
		}
		b.again(cfg)
		b.wantStarts("web:a", 2)
		b.ticks(30 * time.Second)
		b.wantStarts("web:a", 3)
	})
}

// downAtOnce tells how many processes were down at once at most, by what
// supervisord says whenever something changes.
func (b *bench) downAtOnce(ctx context.Context) *atomic.Int32 {
	var most atomic.Int32
	go b.Await(ctx, func() bool {
		down := int32(0)
		for i := range 50 {
			p := b.Process(fmt.Sprint("web:p", i))
			if p.Name != "" && p.State != supervisor.Running {
				down++
			}
		}
		if down > most.Load() {
			most.Store(down)
		}
		return false
	})
	return &most
}

// stopped returns which of the processes p0, p1, … do not run, of the first so many.
func (b *bench) stopped(n int) (namespecs []string) {
	for i := range n {
		if name := fmt.Sprint("web:p", i); b.Process(name).PID == 0 {
			namespecs = append(namespecs, name)
		}
	}
	return namespecs
}

// many returns processes p0, p1, …
func many(n int) []supervisortest.Program {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprint("p", i))
	}
	return web(names...)
}

// failRuns fails the first runs of so many processes, and the first three seconds
// of every other.
func failRuns(n int) checkFunc {
	return func(_ context.Context, p supervisor.Process) checks.Result {
		if p.PID <= 5000000+n {
			return checks.Fail(errors.New("it is broken"))
		}
		if p.Uptime < 3*time.Second {
			return checks.Fail(errors.New("it begins"))
		}
		return checks.Pass()
	}
}

// TestMaxUnavailable has all processes of a group fail at one tick: one after the
// other is restarted, without another tick, and the next only when the last works.
func TestMaxUnavailable(t *testing.T) {
	for _, tt := range []struct {
		share runner.Share
		most  int32
	}{{runner.Share{Number: 1}, 1}, {runner.Share{Percent: 25}, 5}, {runner.Share{Percent: 1}, 1}} {
		t.Run(tt.share.String(), func(t *testing.T) {
			inBubble(t, failRuns(20), many(20), with(runner.Policy{MaxUnavailable: tt.share}), func(b *bench) {
				most := b.downAtOnce(b.t.Context())
				b.tickThenSilence()
				b.wait(4 * time.Minute)
				for i := range 20 {
					b.wantStarts(fmt.Sprint("web:p", i), 2)
				}
				if got := most.Load(); got != tt.most {
					b.t.Errorf("%d were down at once, want %d", got, tt.most)
				}
				b.wantLog(fmt.Sprintf("not restarted now: no more than %d of web may be down at once: waits for web:", tt.most))
				b.wantLog(`works again, 4`)
			})
		})
	}
}

// TestPlaceIsFreed has the first restart of a group not help: its place is freed
// after a time.
func TestPlaceIsFreed(t *testing.T) {
	inBubble(t, fail, many(2), with(runner.Policy{
		MaxUnavailable: runner.Share{Number: 1}, Backoff: runner.Backoff{Initial: time.Hour, Max: time.Hour}},
	), func(b *bench) {
		b.tickThenSilence()
		b.wait(25 * time.Second)
		if got := b.Starts("web:p0") + b.Starts("web:p1"); got != 3 {
			b.t.Errorf("%d restarts, want one", got-2)
		}
		b.wait(40 * time.Second)
		b.wantStarts("web:p0", 2)
		b.wantStarts("web:p1", 2)
		b.wantLog(` does not work 31.2`)
	})
}

// TestTwoListenersShareThePlaces has two listeners restart processes of one group.
func TestTwoListenersShareThePlaces(t *testing.T) {
	var cfg runner.Config
	inBubble(t, failRuns(10), many(10), func(c *runner.Config) {
		c.Policy.MaxUnavailable = runner.Share{Number: 1}
		cfg = *c
	}, func(b *bench) {
		other := b.beside(cfg)
		defer other.Close()
		most := b.downAtOnce(b.t.Context())
		b.tick()
		other.Tick(5 * time.Second)
		for range 30 {
			b.wait(5 * time.Second)
			b.tick()
			other.Tick(5 * time.Second)
		}
		for i := range 10 {
			b.wantStarts(fmt.Sprint("web:p", i), 2)
		}
		if got := most.Load(); got != 1 {
			b.t.Errorf("%d were down at once, want 1", got)
		}
	})
}

// TestDatabaseIsDown has a database fail that 20 workers depend on.
func TestDatabaseIsDown(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	check := func(context.Context, supervisor.Process) checks.Result {
		if down.Load() {
			return checks.Fail(errors.New("no database"))
		}
		return checks.Pass()
	}
	policy := runner.Policy{PanicThreshold: 50, Backoff: runner.Backoff{Initial: 10 * time.Second, Factor: 2, Max: 5 * time.Minute, ResetAfter: 10 * time.Minute}}
	inBubble(t, check, many(20), with(policy), func(b *bench) {
		s := b.watch()
		b.ticks(10 * time.Minute)
		// a trial takes half a minute until it is certain that it did not help; the pauses
		// between trials are 10, 20, 40, … s
		if got := s.count(); got < 3 || got > 8 {
			b.t.Errorf("%d restarts in ten minutes, want some trials only", got)
		}
		for i := range 20 {
			at := s.of(fmt.Sprint("web:p", i))
			for n := 1; n < len(at); n++ {
				if pause := policy.Backoff.Initial << (n - 1); at[n].Sub(at[n-1]) < pause {
					b.t.Errorf("p%d was restarted %v after its restart %d", i, at[n].Sub(at[n-1]), n)
				}
			}
		}
		b.wantOnce(`level=ERROR msg="group web: 20 of 20 fail test at once, so that the cause is probably shared: one is restarted as a trial, and the others only if that helps"`)
		b.wantLog(`level=ERROR msg="group web: restarting web:p0 has not helped: another trial is made after `)
		before := s.count()
		down.Store(false)
		b.ticks(time.Hour)
		if got := s.count(); got > before+1 { // a trial may be on its way
			b.t.Errorf("%d more restarts when the database was back", got-before)
		}
		for i := range 20 {
			if got := b.Process(fmt.Sprint("web:p", i)).State; got != supervisor.Running {
				b.t.Errorf("p%d is %v", i, got)
			}
		}
		b.wantOnce(`level=INFO msg="group web: no longer so many fail at once"`)
	})
}

// TestTrialHelps has all processes hang, which a restart helps against.
func TestTrialHelps(t *testing.T) {
	inBubble(t, failRuns(20), many(20), with(runner.Policy{PanicThreshold: 50}), func(b *bench) {
		b.tickThenSilence()
		b.wait(2 * time.Second)
		if got := b.Starts("web:p0") + b.Starts("web:p1") + b.Starts("web:p2"); got != 4 {
			b.t.Errorf("of the first three %d were started, want one as a trial", got-3)
		}
		b.wait(10 * time.Second)
		for i := range 20 {
			b.wantStarts(fmt.Sprint("web:p", i), 2)
		}
		b.wantOnce(`level=WARN msg="group web: restarting web:p0 has helped: the others are restarted, too"`)
	})
}

// TestFewFailing has less than the panic threshold fail.
func TestFewFailing(t *testing.T) {
	inBubble(t, failFirst("p0", "p1", "p2"), many(6), with(runner.Policy{PanicThreshold: 50}), func(b *bench) {
		b.tickThenSilence()
		b.wait(3 * time.Second)
		for i := range 3 {
			b.wantStarts(fmt.Sprint("web:p", i), 2)
		}
		b.wantNotInLog("probably shared")
	})
}

func TestJitter(t *testing.T) {
	inBubble(t, failRuns(20), many(20), with(runner.Policy{Jitter: time.Minute}), func(b *bench) {
		s := b.watch()
		b.tickThenSilence()
		b.wait(70 * time.Second)
		var all []time.Time
		for i := range 20 {
			b.wantStarts(fmt.Sprint("web:p", i), 2)
			all = append(all, s.of(fmt.Sprint("web:p", i))...)
		}
		slices.SortFunc(all, time.Time.Compare)
		if spread := all[len(all)-1].Sub(all[0]); spread < 20*time.Second || spread > time.Minute {
			b.t.Errorf("20 restarts are spread over %v, want about a minute", spread)
		}
	})
}

// TestJitterIsNotNeeded has processes work again before their turn comes.
func TestJitterIsNotNeeded(t *testing.T) {
	inBubble(t, failFirst("a"), web("a"), with(runner.Policy{Jitter: time.Hour}), func(b *bench) {
		b.tickThenSilence()
		b.wait(2 * time.Hour)
		b.wantStarts("web:a", 1)
	})
}

func TestRevive(t *testing.T) {
	programs := []supervisortest.Program{
		{Group: "web", Name: "fatal", StartTakes: time.Second, Fails: func(start int) bool { return start == 2 || start == 3 }},
		{Group: "web", Name: "exited", StartTakes: time.Second},
		{Group: "web", Name: "stopped", StartTakes: time.Second},
		{Group: "web", Name: "never", Stopped: true},
	}
	policy := runner.Policy{
		Revive:       []supervisor.State{supervisor.Fatal, supervisor.Exited},
		Backoff:      runner.Backoff{Initial: 20 * time.Second},
		RestartLimit: runner.RestartLimit{Restarts: 5, Within: time.Hour},
	}
	inBubble(t, pass, programs, with(policy), func(b *bench) {
		b.Exit("web:fatal", true) // whose start fails
		b.Exit("web:exited", false)
		b.Operator(supervisortest.OperatorStop, "web:stopped")
		b.wait(5 * time.Second)
		if got := b.Process("web:fatal").State; got != supervisor.Fatal {
			b.t.Fatalf("it is %v, want FATAL", got)
		}
		b.ticks(15 * time.Second)
		b.wantStarts("web:fatal", 3) // which fails, too
		b.ticks(15 * time.Second)
		for _, namespec := range []string{"web:fatal", "web:exited"} {
			if got := b.Process(namespec).State; got != supervisor.Running {
				b.t.Errorf("%s is %v, want RUNNING", namespec, got)
			}
		}
		b.wantStarts("web:fatal", 4)
		b.wantStarts("web:exited", 2)
		b.wantStarts("web:stopped", 1)
		b.wantStarts("web:never", 0)
		b.wantLog(`level=WARN msg="web:fatal is started: state: it is FATAL: Exited too quickly (process log may have details)"`)
		b.wantLog(`level=ERROR msg="web:fatal not started: start: it is FATAL: Exited too quickly`)
		b.wantLog(`level=INFO msg="web:fatal runs with pid `)
	})
}

// TestReviveGivesUp has a process that never comes to run.
func TestReviveGivesUp(t *testing.T) {
	programs := []supervisortest.Program{{Group: "web", Name: "a", Fails: func(start int) bool { return start > 1 }}}
	policy := runner.Policy{Revive: []supervisor.State{supervisor.Fatal}, RestartLimit: runner.RestartLimit{Restarts: 4, Within: 10 * time.Minute}}
	inBubble(t, pass, programs, with(policy), func(b *bench) {
		b.Exit("web:a", true)
		b.ticks(9 * time.Minute)
		b.wantStarts("web:a", 2+4)
		b.wantOnce("web:a GIVEN UP")
	})
}

func TestActions(t *testing.T) {
	calls := func(b *bench, method string) (n int) {
		for _, c := range b.Calls() {
			if c.Method == method {
				n++
			}
		}
		return n
	}
	t.Run("alert", func(t *testing.T) {
		inBubble(t, fail, web("a"), with(runner.Policy{Action: runner.Action{Kind: runner.ActionAlert}}), func(b *bench) {
			b.ticks(time.Minute)
			b.wantStarts("web:a", 1)
			b.wantOnce(`level=ERROR msg="web:a ALERT (pid 5000001): test: it is broken"`)
			b.ticks(time.Hour)
			if got := strings.Count(b.log.String(), "ALERT"); got != 2 {
				b.t.Errorf("alerted %d times in an hour, want 2", got)
			}
		})
	})
	t.Run("stop", func(t *testing.T) {
		inBubble(t, fail, web("a"), with(runner.Policy{Action: runner.Action{Kind: runner.ActionStop}}), func(b *bench) {
			b.ticks(time.Minute)
			b.wantStarts("web:a", 1)
			if got := b.Process("web:a").State; got != supervisor.Stopped {
				b.t.Errorf("it is %v, want STOPPED", got)
			}
			b.wantOnce(`level=ERROR msg="web:a is stopped for good (pid 5000001): test: it is broken"`)
		})
	})
	t.Run("signal", func(t *testing.T) {
		policy := runner.Policy{Action: runner.Action{Kind: runner.ActionSignal, Signal: "USR1"}, FailureThreshold: runner.Threshold{Failures: 2}}
		inBubble(t, fail, web("a"), with(policy), func(b *bench) {
			b.ticks(30 * time.Second)
			b.wantStarts("web:a", 1)
			if got := calls(b, "supervisor.signalProcess"); got != 3 { // at each second failure
				b.t.Errorf("%d signals, want 3", got)
			}
			b.wantLog(`level=WARN msg="web:a is sent signal USR1 (pid 5000001): test: it is broken"`)
		})
	})
	t.Run("exec", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "out")
		policy := runner.Policy{
			Action: runner.Action{Kind: runner.ActionExec, Command: []string{"sh", "-c", `echo "$SUPERVISOR_CHECK_PROCESS $SUPERVISOR_CHECK_GROUP $SUPERVISOR_CHECK_NAME ` +
				`$SUPERVISOR_CHECK_PID $SUPERVISOR_CHECK_CHECK $SUPERVISOR_CHECK_REASON $SUPERVISOR_CHECK_HOOK $SUPERVISOR_CHECK_LISTENER" >> ` + file + `; echo done; exit 3`}},
			Backoff: runner.Backoff{Initial: time.Hour, Max: time.Hour},
		}
		inBubble(t, fail, web("a"), with(policy), func(b *bench) {
			b.ticks(time.Minute)
			b.wantStarts("web:a", 1)
			b.wantOnce(`level=WARN msg="web:a: a program is run about it (pid 5000001): sh: it exited with status 3 (it says: done): test: it is broken"`)
			got, err := os.ReadFile(file)
			if want := "web:a web a 5000001 test it is broken action bench\n"; string(got) != want || err != nil {
				b.t.Errorf("it was told %q, error %v; want %q", got, err, want)
			}
		})
	})
	t.Run("shutdown", func(t *testing.T) {
		inBubble(t, fail, web("a"), with(runner.Policy{Action: runner.Action{Kind: runner.ActionShutdown}}), func(b *bench) {
			b.ticks(time.Minute)
			if got := calls(b, "supervisor.shutdown"); got != 1 {
				b.t.Errorf("%d calls of shutdown, want 1", got)
			}
			b.wantOnce(`level=ERROR msg="web:a fails: supervisord is told to end: test: it is broken"`)
		})
	})
}

func TestHooks(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "out")
	hook := func(name, rest string) []string {
		return []string{"sh", "-c", `echo "` + name + ` $SUPERVISOR_CHECK_HOOK $SUPERVISOR_CHECK_PROCESS $SUPERVISOR_CHECK_PID $SUPERVISOR_CHECK_NEW_PID $SUPERVISOR_CHECK_STATUS" >> ` + file + "; " + rest}
	}
	inBubble(t, fail, many(1), with(runner.Policy{Hooks: runner.Hooks{
		BeforeRestart: hook("1", "echo hello; exit 9"), AfterStop: hook("2", "true"), AfterRestart: hook("3", "true"),
	}}), func(b *bench) {
		b.tickThenSilence()
		b.wait(time.Minute)
		got, _ := os.ReadFile(file)
		want := "1 before-restart web:p0 5000001 0 \n2 after-stop web:p0 5000001 0 \n3 after-restart web:p0 5000001 5000002 unhealthy\n"
		if string(got) != want {
			b.t.Errorf("the hooks were told\n%swant\n%s", got, want)
		}
		b.wantOnce(`level=ERROR msg="web:p0: the hook before-restart: sh: it exited with status 9 (it says: hello)"`)
	})
	t.Run("veto", func(t *testing.T) {
		veto := filepath.Join(dir, "veto")
		os.WriteFile(veto, nil, 0o600)
		inBubble(t, failFirst("a"), web("a"), with(runner.Policy{
			Hooks:        runner.Hooks{BeforeRestart: []string{"sh", "-c", "test ! -e " + veto + " || exit 75"}},
			RestartLimit: runner.RestartLimit{Restarts: 1, Within: time.Hour},
		}), func(b *bench) {
			b.tickThenSilence()
			b.wait(5 * time.Second)
			b.wantStarts("web:a", 1)
			b.wantOnce(`level=WARN msg="web:a not restarted now: the hook before it says no: test: it is broken"`)
		})
		inBubble(t, fail, web("a"), with(runner.Policy{
			Hooks:        runner.Hooks{BeforeRestart: []string{"sh", "-c", "test ! -e " + veto + " || exit 75"}},
			RestartLimit: runner.RestartLimit{Restarts: 1, Within: time.Hour},
		}), func(b *bench) {
			b.ticks(20 * time.Second)
			b.wantStarts("web:a", 1)
			os.Remove(veto)
			b.ticks(20 * time.Second) // what was vetoed does not count
			b.wantStarts("web:a", 2)
		})
	})
}

func TestEvidence(t *testing.T) {
	dir := t.TempDir()
	var told []record.Record
	var mu sync.Mutex
	programs := web("a")
	programs[0].Stderr, programs[0].Stdout = strings.Repeat("x", 5000)+"the end", "out"
	programs[0].Spawn = os.Getppid
	inBubble(t, failFirst("a"), programs, func(cfg *runner.Config) {
		cfg.Policy.Evidence = runner.Evidence{Dir: dir, Signal: "QUIT"}
		cfg.Sinks = []record.Sink{sinkFunc(func(r record.Record) error {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, r)
			return nil
		})}
	}, func(b *bench) {
		b.tickThenSilence()
		b.wait(10 * time.Second)
		b.wantStarts("web:a", 2)
		folders, err := filepath.Glob(filepath.Join(dir, "*-"+fmt.Sprint(os.Getppid())+"-web%3Aa"))
		if len(folders) != 1 || err != nil {
			b.t.Fatalf("folders %q, error %v; the log\n%s", folders, err, b.log)
		}
		for name, want := range map[string]string{
			"result": "web:a (pid ", "stderr": "xthe end", "stdout": "out", "status": "VmRSS:", "threads": " (sleeping)", "descriptors": "0 ", "tree": " KiB, ", "signal": "sent signal QUIT",
		} {
			got, err := os.ReadFile(filepath.Join(folders[0], name+".txt"))
			if !strings.Contains(string(got), want) || err != nil {
				b.t.Errorf("%s is %q, error %v, want %q in it", name, got, err, want)
			}
			if name == "stderr" && len(got) != 4096 {
				b.t.Errorf("stderr has %d bytes, want the last 4096", len(got))
			}
		}
		mu.Lock()
		defer mu.Unlock()
		i := slices.IndexFunc(told, func(r record.Record) bool { return r.Evidence != nil })
		if i < 0 || told[i].Action != record.Stopping || told[i].Evidence.Folder != folders[0] || told[i].Evidence.Parts["stdout"] != "out" {
			b.t.Errorf("no record has the evidence: %+v", told)
		}
		b.wantLog("evidence in " + folders[0])
	})
}

// TestCore has a gcore that writes what it is asked for, or fails.
func TestCore(t *testing.T) {
	bin, cores, evidence := t.TempDir(), t.TempDir(), t.TempDir()
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	for _, tt := range []struct{ script, want string }{
		{`echo "Saved corefile"; echo memory > "$2.$3"`, filepath.Join(cores, "")},
		{`echo "ptrace: Operation not permitted"; exit 1`, "it exited with status 1\nptrace: Operation not permitted\n"},
	} {
		if err := os.WriteFile(filepath.Join(bin, "gcore"), []byte("#!/bin/sh\n"+tt.script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		inBubble(t, failFirst("a"), web("a"), with(runner.Policy{Evidence: runner.Evidence{Dir: evidence, CoreDir: cores}}), func(b *bench) {
			b.tickThenSilence()
			b.wait(10 * time.Second)
			b.wantStarts("web:a", 2)
			all, _ := filepath.Glob(filepath.Join(evidence, "*", "core.txt"))
			if len(all) == 0 {
				b.t.Fatalf("nothing is said of the core; the log:\n%s", b.log)
			}
			slices.Sort(all)
			got, _ := os.ReadFile(all[len(all)-1])
			if !strings.Contains(string(got), tt.want) {
				b.t.Errorf("it says %q of the core, want %q", got, tt.want)
			}
		})
		os.RemoveAll(evidence)
		os.Mkdir(evidence, 0o700)
	}
	kept, err := filepath.Glob(filepath.Join(cores, "*-5000001-web%3Aa.5000001"))
	if len(kept) != 1 || err != nil {
		t.Errorf("cores %q, error %v", kept, err)
	}
	t.Setenv("PATH", t.TempDir())
	err = runner.Run(t.Context(), runner.Config{
		Checks: []checks.Check{checkFunc(pass)}, Policy: runner.Policy{Evidence: runner.Evidence{CoreDir: cores}}, Server: supervisor.Config{URL: "unix:///no/such"},
		Stdin: strings.NewReader(""), Stdout: new(buffer), StateDir: filepath.Join(t.TempDir(), "state"),
	})
	if want := "core-dir: gcore, which writes cores, is not there: install gdb"; err == nil || err.Error() != want {
		t.Errorf("without gcore: %v, want %s", err, want)
	}
}

type sinkFunc func(record.Record) error

func (f sinkFunc) Write(_ context.Context, r record.Record) error { return f(r) }

// TestEvidenceIsPruned keeps the newest only.
func TestEvidenceIsPruned(t *testing.T) {
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "not ours"), nil, 0o600)
	inBubble(t, fail, web("a"), with(runner.Policy{Evidence: runner.Evidence{Dir: dir, Max: 3}}), func(b *bench) {
		b.ticks(time.Minute)
		if b.Starts("web:a") < 8 {
			b.t.Fatalf("started %d times only", b.Starts("web:a"))
		}
		all, _ := os.ReadDir(dir)
		if len(all) != 4 {
			b.t.Errorf("%d entries, want 3 and the one that is not ours: %v", len(all), all)
		}
	})
}

// TestEvidenceDoesNotPrevent has a supervisord that does not answer what is asked
// for evidence, and a folder that is gone.
func TestEvidenceDoesNotPrevent(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "evidence")
	inBubble(t, failFirst("a"), web("a"), with(runner.Policy{Evidence: runner.Evidence{Dir: dir}}), func(b *bench) {
		os.Remove(dir)
		b.Intercept(func(c supervisortest.Call) supervisortest.Fate {
			if strings.Contains(c.Method, "tail") {
				return supervisortest.Fate{Delay: time.Hour}
			}
			return supervisortest.Fate{}
		})
		b.tickThenSilence()
		b.wait(10 * time.Second)
		b.wantStarts("web:a", 2)
		b.wantLog("keep the evidence of web:a: mkdir ")
	})
}

// TestSignalThatEndsTheProcess has the signal for evidence end the process, which
// supervisord does not start again by itself, or does.
func TestSignalThatEndsTheProcess(t *testing.T) {
	for _, again := range []bool{false, true} {
		t.Run(fmt.Sprint("started again by supervisord: ", again), func(t *testing.T) {
			inBubble(t, failFirst("a"), web("a"), with(runner.Policy{Evidence: runner.Evidence{Signal: "QUIT"}}), func(b *bench) {
				b.Intercept(func(c supervisortest.Call) supervisortest.Fate {
					if c.Method == "supervisor.signalProcess" {
						b.wait(time.Second)
						return supervisortest.Fate{Then: func() { b.Exit("web:a", again) }}
					}
					return supervisortest.Fate{}
				})
				b.tickThenSilence()
				b.wait(20 * time.Second)
				b.wantStarts("web:a", 2)
				if got := b.Process("web:a").State; got != supervisor.Running {
					b.t.Errorf("it is %v", got)
				}
				b.wantLog("web:a runs again with pid 5000002")
			})
		})
	}
}

func TestBadPolicies(t *testing.T) {
	tests := []struct {
		policy runner.Policy
		want   string
	}{
		{runner.Policy{FailureThreshold: runner.Threshold{Failures: 0, Of: 5}}, "failure-threshold: 0/5 is less than one failure"},
		{runner.Policy{FailureThreshold: runner.Threshold{Failures: 6, Of: 5}}, "failure-threshold: 6/5 is more failures than results"},
		{runner.Policy{FailureThreshold: runner.Threshold{Failures: 1, Of: 5000}}, "failure-threshold: 1/5000 is more than 1000 results"},
		{runner.Policy{SuccessThreshold: -1}, "success-threshold: -1 is less than one success"},
		{runner.Policy{StartPeriod: -1}, "start-period: -1ns is less than 0"},
		{runner.Policy{Jitter: -1}, "jitter: -1ns is less than 0"},
		{runner.Policy{RestartLimit: runner.RestartLimit{Restarts: 5}}, "restart-limit: 0s is not more than 0"},
		{runner.Policy{RestartLimit: runner.RestartLimit{Within: time.Hour}}, "restart-limit: 0 restarts are not between 1 and 1000"},
		{runner.Policy{RestartLimitThen: "stop"}, "restart-limit-then: is of no use without restart-limit"},
		{runner.Policy{Hooks: runner.Hooks{Timeout: 1}}, "hook-timeout: is of no use without before-restart, after-stop, after-restart or an action exec"},
		{runner.Policy{Evidence: runner.Evidence{Max: 1}}, "evidence-max: is of no use without evidence-dir or core-dir"},
		{runner.Policy{Evidence: runner.Evidence{Pause: 1}}, "evidence-pause: is of no use without evidence-signal"},
		{runner.Policy{RestartLimitThen: "x", RestartLimit: runner.RestartLimit{Restarts: 1, Within: 1}}, `restart-limit-then: "x" is none of stop, alert, ignore`},
		{runner.Policy{Backoff: runner.Backoff{Factor: 2}}, "backoff: the first pause, 0s, is not more than 0"},
		{runner.Policy{Backoff: runner.Backoff{Initial: 1, Factor: 0.5}}, "backoff: the factor, 0.5, is not between 1 and 100"},
		{runner.Policy{Backoff: runner.Backoff{Initial: 2, Max: 1}}, "backoff: the longest pause, 1ns, is shorter than the first, 2ns"},
		{runner.Policy{Backoff: runner.Backoff{Initial: 2, ResetAfter: -1}}, "backoff: -1ns after which it is reset is less than 0"},
		{runner.Policy{MaxUnavailable: runner.Share{Number: -1}}, "max-unavailable: -1 is not more than 0"},
		{runner.Policy{MaxUnavailable: runner.Share{Percent: -1}}, "max-unavailable: -1 % is not between 0 and 100 %"},
		{runner.Policy{MaxUnavailable: runner.Share{Number: 1, Percent: 1}}, "max-unavailable: is either a number or a percentage"},
		{runner.Policy{PanicThreshold: 100}, "panic-threshold: 100 % is not between 0 and 100 %, of which no group can fail more"},
		{runner.Policy{Revive: []supervisor.State{supervisor.Stopped}}, "revive: STOPPED is neither FATAL nor EXITED"},
		{runner.Policy{Action: runner.Action{Kind: "x"}}, `action: "x" is none of restart, alert, stop, signal:NAME, exec:COMMAND, shutdown`},
		{runner.Policy{Action: runner.Action{Kind: runner.ActionSignal, Signal: "X"}}, `action: signal "X" is none of HUP, INT, QUIT, KILL, USR1, USR2, TERM`},
		{runner.Policy{Action: runner.Action{Kind: runner.ActionExec}}, "action: exec names no program"},
		{runner.Policy{Hooks: runner.Hooks{Timeout: -1}}, "hook-timeout: -1ns is less than 0"},
		{runner.Policy{Evidence: runner.Evidence{Max: -1}}, "evidence-max: -1 is less than 0"},
		{runner.Policy{Evidence: runner.Evidence{Pause: -1}}, "evidence-pause: -1ns is less than 0"},
		{runner.Policy{Evidence: runner.Evidence{Signal: "X"}}, `evidence-signal: signal "X" is none of HUP, INT, QUIT, KILL, USR1, USR2, TERM`},
		{runner.Policy{Evidence: runner.Evidence{Dir: "/dev/null/x"}}, "evidence-dir: mkdir /dev/null: not a directory"},
	}
	for _, tt := range tests {
		stdin, stdout := strings.NewReader(""), new(buffer)
		err := runner.Run(t.Context(), runner.Config{
			Checks: []checks.Check{checkFunc(pass)}, Policy: tt.policy, Server: supervisor.Config{URL: "unix:///no/such"},
			Stdin: stdin, Stdout: stdout, StateDir: filepath.Join(t.TempDir(), "state"),
		})
		var config *runner.ConfigError
		var policy *runner.PolicyError
		if !errors.As(err, &config) || !errors.As(err, &policy) || err.Error() != tt.want {
			t.Errorf("got  %v\nwant %s", err, tt.want)
		}
		if stdout.String() != "" {
			t.Errorf("it said %q", stdout)
		}
	}
}

// TestPanicCountsAll has three of four workers hang, so that their checks of one
// round are not over when the next ones begin: there is one trial at a time.
func TestPanicCountsAll(t *testing.T) {
	check := func(ctx context.Context, p supervisor.Process) checks.Result {
		if p.Name == "p3" {
			return checks.Pass()
		}
		select {
		case <-time.After(7 * time.Second):
		case <-ctx.Done():
		}
		return checks.Fail(errors.New("it hangs"))
	}
	inBubble(t, check, many(4), with(runner.Policy{PanicThreshold: 50}), func(b *bench) {
		s := b.watch()
		b.ticks(35 * time.Second)
		if got := s.count(); got != 1 {
			b.t.Errorf("%d restarts in 35 s, want one trial", got)
		}
		b.wantNotInLog("no longer so many fail")
		b.ticks(10 * time.Minute)
		if got := s.count(); got < 3 || got > 8 {
			b.t.Errorf("%d restarts in ten minutes, want some trials", got)
		}
	})
}

// TestTrialDoesNotEndThePanic has a panic hang on one process, which is the trial.
func TestTrialDoesNotEndThePanic(t *testing.T) {
	check := func(_ context.Context, p supervisor.Process) checks.Result {
		if p.Name == "p0" {
			return checks.Pass()
		}
		return checks.Fail(errors.New("it is broken"))
	}
	inBubble(t, check, many(3), with(runner.Policy{PanicThreshold: 50}), func(b *bench) {
		s := b.watch()
		b.ticks(30 * time.Second)
		if got := s.count(); got != 1 {
			b.t.Errorf("%d restarts, want one trial", got)
		}
	})
}

// TestPanicWithActionStop does not stop a group of which all fail.
func TestPanicWithActionStop(t *testing.T) {
	inBubble(t, fail, many(4), with(runner.Policy{PanicThreshold: 50, Action: runner.Action{Kind: runner.ActionStop}}), func(b *bench) {
		b.ticks(9 * time.Second)
		b.wantOnce("is stopped for good")
		b.wantOnce("has not helped: another trial is made after")
	})
}

// TestVetoedTrial has the hook say no to one process: the trial is another one then.
func TestVetoedTrial(t *testing.T) {
	hook := []string{"sh", "-c", "test $SUPERVISOR_CHECK_NAME != p0 || exit 75"}
	inBubble(t, fail, many(4), with(runner.Policy{PanicThreshold: 50, Hooks: runner.Hooks{BeforeRestart: hook}}), func(b *bench) {
		b.ticks(12 * time.Second)
		b.wantStarts("web:p0", 1)
		b.wantStarts("web:p1", 2)
		b.wantStarts("web:p2", 1)
	})
}

// TestGroupOfOne does not panic.
func TestGroupOfOne(t *testing.T) {
	inBubble(t, fail, many(1), with(runner.Policy{PanicThreshold: 50}), func(b *bench) {
		b.ticks(9 * time.Second)
		b.wantStarts("web:p0", 2)
		b.wantNotInLog("group web")
	})
}

// TestDeploy has all processes of a group begin, which takes them a while.
func TestDeploy(t *testing.T) {
	check := func(_ context.Context, p supervisor.Process) checks.Result {
		if p.Uptime < 8*time.Second {
			return checks.Fail(errors.New("it begins"))
		}
		return checks.Pass()
	}
	inBubble(t, check, many(4), with(runner.Policy{PanicThreshold: 50, StartPeriod: time.Minute}), func(b *bench) {
		b.ticks(time.Minute)
		b.wantNotInLog("group web")
	})
}

// TestPartOfAGroup watches two of ten processes, which both fail: that is not more
// than half of the group.
func TestPartOfAGroup(t *testing.T) {
	inBubble(t, fail, many(10), func(cfg *runner.Config) {
		cfg.Processes = []string{"web:p0", "web:p1"}
		cfg.Policy.PanicThreshold = 50
	}, func(b *bench) {
		b.tickThenSilence()
		b.wait(3 * time.Second)
		b.wantStarts("web:p0", 2)
		b.wantStarts("web:p1", 2)
		b.wantNotInLog("group web")
	})
}

// TestOperatorStopsDuringEvidence is respected, though the process may end by itself.
func TestOperatorStopsDuringEvidence(t *testing.T) {
	inBubble(t, failFirst("a"), web("a"), with(runner.Policy{Evidence: runner.Evidence{Signal: "QUIT", Pause: 6 * time.Second}}), func(b *bench) {
		b.tickThenSilence()
		b.wait(3 * time.Second)
		b.Operator(supervisortest.OperatorStop, "web:a")
		b.wait(time.Hour)
		b.wantStarts("web:a", 1)
		if got := b.Process("web:a").State; got != supervisor.Stopped {
			b.t.Errorf("it is %v", got)
		}
	})
}

// TestReviveBeginsAnew has a process end once an hour: it was stable in between.
func TestReviveBeginsAnew(t *testing.T) {
	policy := runner.Policy{Revive: []supervisor.State{supervisor.Exited}, Backoff: runner.Backoff{Initial: 20 * time.Second, ResetAfter: time.Minute, Max: time.Hour}}
	inBubble(t, pass, web("a"), with(policy), func(b *bench) {
		for i := range 5 {
			b.ticks(time.Hour)
			b.Exit("web:a", false)
			b.ticks(10 * time.Second)
			b.wantStarts("web:a", i+2)
		}
		b.Exit("web:a", false) // which is the second one in a minute
		b.ticks(5 * time.Second)
		b.wantStarts("web:a", 6)
		b.ticks(20 * time.Second)
		b.wantStarts("web:a", 7)
	})
}

// TestReviveNeedsNoPlace starts what does not run while others are restarted.
func TestReviveNeedsNoPlace(t *testing.T) {
	policy := runner.Policy{Revive: []supervisor.State{supervisor.Exited}, MaxUnavailable: runner.Share{Number: 1}}
	inBubble(t, failFirst("p0"), []supervisortest.Program{{Group: "web", Name: "p0", StopTakes: 9 * time.Second}, {Group: "web", Name: "p1"}}, with(policy), func(b *bench) {
		b.tick()
		b.wait(time.Second)
		b.Exit("web:p1", false)
		b.tick()
		b.wait(2 * time.Second)
		b.wantStarts("web:p0", 1)
		b.wantStarts("web:p1", 2)
	})
}

// TestStopsForGoodTakePlaces has a policy that stops what fails leave the rest of a
// group running, also when another listener is asked.
func TestStopsForGoodTakePlaces(t *testing.T) {
	var cfg runner.Config
	inBubble(t, fail, many(4), func(c *runner.Config) {
		c.Policy = runner.Policy{MaxUnavailable: runner.Share{Number: 1}, Action: runner.Action{Kind: runner.ActionStop}}
		cfg = *c
	}, func(b *bench) {
		other := b.beside(cfg)
		defer other.Close()
		for range 20 {
			b.tick()
			other.Tick(5 * time.Second)
			b.wait(5 * time.Second)
		}
		first := b.stopped(4)
		if len(first) != 1 {
			b.t.Fatalf("stopped are %q, want one", first)
		}
		b.Operator(supervisortest.OperatorStart, first[0]) // somebody has mended it, or thinks so
		for range 5 {
			b.tick()
			b.wait(5 * time.Second)
		}
		if got := b.stopped(4); len(got) != 1 {
			b.t.Errorf("stopped are %q, want one", got)
		}
	})
}

// TestStopsForGoodOutliveTheListener has the listener begin anew after it has stopped
// one process.
func TestStopsForGoodOutliveTheListener(t *testing.T) {
	var cfg runner.Config
	inBubble(t, fail, many(3), func(c *runner.Config) {
		c.Policy = runner.Policy{MaxUnavailable: runner.Share{Number: 1}, Action: runner.Action{Kind: runner.ActionStop}}
		cfg = *c
	}, func(b *bench) {
		b.ticks(9 * time.Second)
		b.again(cfg)
		b.ticks(time.Minute)
		if down := b.stopped(3); len(down) != 1 {
			b.t.Errorf("stopped are %q, want one; the log\n%s", down, b.log)
		}
	})
}

// TestPlaceThatIsNotNeeded has the first process that waits for a place turn well:
// the next one gets it, without a further tick.
func TestPlaceThatIsNotNeeded(t *testing.T) {
	var looks atomic.Int32
	check := func(_ context.Context, p supervisor.Process) checks.Result {
		if p.PID > 5000003 || looks.Add(1) == 4 {
			return checks.Pass()
		}
		return checks.Fail(errors.New("it is broken"))
	}
	inBubble(t, check, many(3), with(runner.Policy{MaxUnavailable: runner.Share{Number: 1}}), func(b *bench) {
		b.tickThenSilence()
		b.wait(30 * time.Second)
		if got := b.Starts("web:p0") + b.Starts("web:p1") + b.Starts("web:p2"); got != 5 {
			b.t.Errorf("%d restarts, want two; the log\n%s", got-3, b.log)
		}
	})
}

// TestNoConclusionOfAStop: nothing follows what is stopped for good, or only sent a
// signal, and no later listener sees to it.
func TestNoConclusionOfAStop(t *testing.T) {
	for _, action := range []runner.Action{{Kind: runner.ActionStop}, {Kind: runner.ActionSignal, Signal: "USR1"}} {
		file := filepath.Join(t.TempDir(), "out")
		var cfg runner.Config
		inBubble(t, fail, many(1), func(c *runner.Config) {
			c.Policy = runner.Policy{MaxUnavailable: runner.Share{Number: 1}, Action: action, Hooks: runner.Hooks{AfterRestart: []string{"touch", file}}}
			cfg = *c
		}, func(b *bench) {
			b.tick()
			b.wait(5 * time.Second)
			b.again(cfg)
			b.wait(time.Minute)
			if _, err := os.Stat(file); err == nil {
				b.t.Errorf("%v: the hook after a restart was run; the log\n%s", action, b.log)
			}
			b.wantNotInLog("after its restart")
		})
	}
}

// TestVerificationByWhoKnows has one check that never knows beside one that does.
func TestVerificationByWhoKnows(t *testing.T) {
	mute := named{"mute", func(context.Context, supervisor.Process) checks.Result {
		return checks.Unsure(errors.New("it may not look"))
	}}
	for _, tt := range []struct {
		name  string
		check checkFunc // of the one that does
		want  string
	}{
		{"it works", failFirst("p0"), `level=INFO msg="web:p0 works again`},
		{"the cause is not known to have gone", func(_ context.Context, p supervisor.Process) checks.Result {
			if p.PID == 5000001 {
				return checks.Fail(errors.New("it is broken"))
			}
			return checks.Unsure(errors.New("it cannot tell"))
		}, `after its restart began: test: it cannot tell"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, tt.check, many(1), func(cfg *runner.Config) {
				cfg.Policy.MaxUnavailable.Number = 1
				cfg.Checks = append(cfg.Checks, mute)
			}, func(b *bench) {
				b.tickThenSilence()
				b.wait(time.Minute)
				b.wantOnce(tt.want)
			})
		})
	}
}

// endDuringHook has a listener end while a hook runs: when the log has a line and
// there is a file that the hook makes. Time stands still while a program runs.
func endDuringHook(cfg *runner.Config, log io.Writer, line, file string, stop *context.CancelCauseFunc) {
	cfg.Log = slog.New(slog.NewTextHandler(writerFunc(func(text []byte) (int, error) {
		if bytes.Contains(text, []byte(line)) {
			go func() {
				for !exists(file) {
					runtime.Gosched()
				}
				(*stop)(errors.New("enough"))
			}()
		}
		return log.Write(text)
	}), nil))
}

// TestHookIsCutShort says so.
func TestHookIsCutShort(t *testing.T) {
	file := filepath.Join(t.TempDir(), "begun")
	hook := []string{"sh", "-c", "touch " + file + "; exec sleep 3000"}
	log := new(buffer)
	var stop context.CancelCauseFunc
	inBubble(t, fail, web("a"), func(cfg *runner.Config) {
		cfg.Policy.Hooks.BeforeRestart = hook
		endDuringHook(cfg, log, "is run: sh …", file, &stop)
	}, func(b *bench) {
		b.log, stop = log, b.stop
		b.tickThenSilence()
		b.wait(time.Second)
		b.end()
		b.wantOnce(`level=INFO msg="web:a: the hook before-restart is run: sh …"`)
		b.wantOnce(`level=ERROR msg="web:a: the hook before-restart is cut short, as this listener ends"`)
		b.wantStarts("web:a", 1)
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// TestWhatIsWanted is said by its name when it is not done.
func TestWhatIsWanted(t *testing.T) {
	for want, action := range map[string]runner.Action{
		"not stopped now: no more than 1 of web":         {Kind: runner.ActionStop},
		"not sent HUP now: the pause after":              {Kind: runner.ActionSignal, Signal: "HUP"},
		"not given to sleep … now: the pause after":      {Kind: runner.ActionExec, Command: []string{"sleep", "0"}},
		"not followed by a shutdown now: no more than 1": {Kind: runner.ActionShutdown},
		"not restarted now: no more than 1 of web":       {},
	} {
		inBubble(t, fail, many(2), func(cfg *runner.Config) {
			cfg.Policy = runner.Policy{MaxUnavailable: runner.Share{Number: 1}, Backoff: runner.Backoff{Initial: time.Hour}, Action: action}
		}, func(b *bench) {
			b.ticks(40 * time.Second)
			b.wantLog(want)
		})
	}
}

// TestUnverifiedTakesAPlace has the listener begin anew while it makes sure that a
// process works again.
func TestUnverifiedTakesAPlace(t *testing.T) {
	var cfg runner.Config
	inBubble(t, fail, many(2), func(c *runner.Config) {
		c.Policy.MaxUnavailable = runner.Share{Number: 1}
		cfg = *c
	}, func(b *bench) {
		b.ticks(9 * time.Second)
		b.again(cfg)
		b.ticks(10 * time.Second)
		if got := b.Starts("web:p0") + b.Starts("web:p1"); got != 3 {
			b.t.Errorf("%d restarts, want one", got-2)
		}
		b.ticks(time.Minute)
		if got := b.Starts("web:p0") + b.Starts("web:p1"); got < 4 {
			b.t.Errorf("%d restarts, want another one when there was time enough", got-2)
		}
	})
}

// TestStartThatNeverWorksFreesItsPlace has a process that does not come to run.
func TestStartThatNeverWorksFreesItsPlace(t *testing.T) {
	programs := many(2)
	for i := range programs {
		programs[i].Startup = time.Second / 2
		programs[i].Fails = func(start int) bool { return start > 1 }
	}
	inBubble(t, fail, programs, with(runner.Policy{MaxUnavailable: runner.Share{Number: 1}}), func(b *bench) {
		b.ticks(50 * time.Second)
		if p0, p1 := b.Process("web:p0").State, b.Process("web:p1").State; (p0 == supervisor.Running) == (p1 == supervisor.Running) {
			b.t.Errorf("they are %v and %v, want one to run", p0, p1)
		}
		b.ticks(30 * time.Second)
		b.wantLog("it does not run yet, and others may be restarted meanwhile")
		if p0, p1 := b.Starts("web:p0"), b.Starts("web:p1"); p0 == 1 || p1 == 1 {
			b.t.Errorf("they were started %d and %d times, want both to be restarted", p0, p1)
		}
	})
}

// TestTrialThatNeverStarts has a panic whose trial does not come to run: another one is
// made, and the others are not held for good.
func TestTrialThatNeverStarts(t *testing.T) {
	programs := many(4)
	for i := range programs {
		programs[i].Startup = time.Second / 2
	}
	var tried atomic.Pointer[string]
	for i := range programs {
		programs[i].Fails = func(start int) bool { // the first that is tried
			if start > 1 {
				tried.CompareAndSwap(nil, &programs[i].Name)
			}
			return start > 1 && *tried.Load() == programs[i].Name
		}
	}
	inBubble(t, failRuns(4), programs, with(runner.Policy{PanicThreshold: 50}), func(b *bench) {
		b.ticks(4 * time.Minute)
		b.wantLog("group web: restarting web:" + *tried.Load() + " has not helped: another trial is made after")
		for i := range programs {
			if name := programs[i].Name; name != *tried.Load() && b.Starts("web:"+name) != 2 {
				b.t.Errorf("%s was started %d times, want it to be restarted once", name, b.Starts("web:"+name))
			}
		}
	})
}

// TestDeafCheckAtTheEnd has a check that does not obey hold up nothing while a
// restart is verified.
func TestDeafCheckAtTheEnd(t *testing.T) {
	check := func(_ context.Context, p supervisor.Process) checks.Result {
		if p.PID != 5000001 {
			time.Sleep(10 * time.Minute)
		}
		return checks.Fail(errors.New("it is broken"))
	}
	inBubble(t, check, web("a"), with(runner.Policy{MaxUnavailable: runner.Share{Number: 1}}), func(b *bench) {
		b.tickThenSilence()
		b.wait(5 * time.Second)
		b.stop(errors.New("enough"))
		if took, _ := b.end(); took > 3*time.Second {
			b.t.Errorf("it took %v to end", took)
		}
		time.Sleep(time.Hour)
	})
}

// TestLateFindings has the dues of a round wait for a slow process, while later rounds go on: they
// say nothing of what has been stopped since.
func TestLateFindings(t *testing.T) {
	check := func(ctx context.Context, p supervisor.Process) checks.Result {
		switch p.Name {
		case "p0":
			return checks.Fail(errors.New("it is broken"))
		case "p1":
			if p.Uptime < 3*time.Second {
				select {
				case <-time.After(45 * time.Second):
				case <-ctx.Done():
				}
			}
		case "p2":
			if time.Now().After(time.Date(2000, 1, 1, 0, 2, 0, 0, time.UTC)) {
				return checks.Fail(errors.New("it is broken"))
			}
		}
		return checks.Pass()
	}
	inBubble(t, check, many(4), with(runner.Policy{PanicThreshold: 60, MaxUnavailable: runner.Share{Number: 1}, Action: runner.Action{Kind: runner.ActionStop}}), func(b *bench) {
		b.ticks(5 * time.Minute)
		if down := b.stopped(4); len(down) != 1 {
			b.t.Errorf("stopped are %q, want one; the log\n%s", down, b.log)
		}
	})
}

// TestWhatWeStoppedIsNotRevived has a process exit by itself when it is told to stop for good.
func TestWhatWeStoppedIsNotRevived(t *testing.T) {
	inBubble(t, fail, web("a"), with(runner.Policy{Action: runner.Action{Kind: runner.ActionStop}, Revive: []supervisor.State{supervisor.Exited}}), func(b *bench) {
		var once atomic.Bool
		b.Intercept(func(c supervisortest.Call) supervisortest.Fate {
			if c.Method == "supervisor.stopProcess" && !once.Swap(true) {
				b.Exit("web:a", false)
			}
			return supervisortest.Fate{}
		})
		b.ticks(30 * time.Second)
		b.wantStarts("web:a", 1)
	})
}

// TestEvidenceIsOfTheRunThatFailed has supervisord start a process anew during the hook before its
// restart: nobody sends it a signal.
func TestEvidenceIsOfTheRunThatFailed(t *testing.T) {
	dir := t.TempDir()
	var sig atomic.Int32
	inBubble(t, failFirst("a"), web("a"), func(c *runner.Config) {
		c.Policy.Hooks.BeforeRestart = []string{"touch", filepath.Join(dir, "before")}
		c.Policy.Evidence = runner.Evidence{Signal: "QUIT"}
	}, func(b *bench) {
		var once atomic.Bool
		b.Intercept(func(c supervisortest.Call) supervisortest.Fate {
			if exists(filepath.Join(dir, "before")) && !once.Swap(true) {
				b.Exit("web:a", true) // it ends by itself, and supervisord starts it, while the hook before runs
			}
			if c.Method == "supervisor.signalProcess" {
				sig.Store(int32(b.Process("web:a").PID))
			}
			return supervisortest.Fate{}
		})
		b.tickThenSilence()
		b.wait(20 * time.Second)
		if got := sig.Load(); got != 0 && got != 5000001 {
			t.Errorf("pid %d was sent QUIT, while 5000001 failed", got)
		}
		b.wantLog("web:a not restarted: somebody else acted on it: it is STARTING with pid 5000002 now")
		b.wantNotInLog("web:a is restarted")
	})
}
