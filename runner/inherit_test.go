package runner_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/runner"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
	"github.com/supervisor-checks/supervisor-checks/supervisor/supervisortest"
)

// TestPlaceIsFreedByTheNextListener has a process that never starts again, and a listener that
// begins anew while it waits for that.
func TestPlaceIsFreedByTheNextListener(t *testing.T) {
	programs := many(2)
	programs[0].Startup = time.Second / 2
	programs[0].Fails = func(start int) bool { return start > 1 }
	var cfg runner.Config
	check := func(_ context.Context, p supervisor.Process) checks.Result {
		if p.Name == "p0" || p.PID == 5000002 && time.Now().After(time.Date(2000, 1, 1, 0, 2, 0, 0, time.UTC)) {
			return checks.Fail(errors.New("it is broken"))
		}
		return checks.Pass()
	}
	inBubble(t, check, programs, func(c *runner.Config) {
		c.Policy.MaxUnavailable = runner.Share{Number: 1}
		cfg = *c
	}, func(b *bench) {
		b.ticks(30 * time.Second)
		b.again(cfg)
		b.ticks(30 * time.Minute)
		b.wantStarts("web:p1", 2)
	})
}

// TestOthersDoNotWaitForOneThatCannotStart has the next listener finish what it can, and watch that.
func TestOthersDoNotWaitForOneThatCannotStart(t *testing.T) {
	programs := many(2)
	programs[0].Startup = time.Second / 2
	programs[0].Fails = func(start int) bool { return start > 1 }
	var cfg runner.Config
	inBubble(t, fail, programs, func(c *runner.Config) {
		c.Policy.Hooks.AfterRestart = []string{"true"}
		cfg = *c
	}, func(b *bench) {
		b.ticks(10 * time.Second)
		b.again(cfg)
		n := b.Starts("web:p1")
		b.ticks(10 * time.Minute)
		if got := b.Starts("web:p1"); got < n+5 {
			b.t.Errorf("web:p1 was restarted %d times in ten minutes, though it fails all the time", got-n)
		}
	})
}

// TestOwnRestartsAreNotInherited has a restart begin while the next listener still finishes
// that of another process: its hook is run once.
func TestOwnRestartsAreNotInherited(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out")
	programs := many(2)
	programs[0].StopTakes = 25 * time.Second
	programs[0].StopWait = 60 * time.Second
	programs[1].StopTakes = 40 * time.Second
	programs[1].StopWait = 60 * time.Second
	var cfg runner.Config
	var second atomic.Bool
	check := func(_ context.Context, p supervisor.Process) checks.Result {
		if p.PID == 5000001 || p.PID == 5000002 && second.Load() {
			return checks.Fail(errors.New("it is broken"))
		}
		return checks.Pass()
	}
	inBubble(t, check, programs, func(c *runner.Config) {
		c.Policy.Hooks.AfterRestart = []string{"sh", "-c", "echo $SUPERVISOR_CHECK_PROCESS $SUPERVISOR_CHECK_STATUS $SUPERVISOR_CHECK_REASON >> " + file}
		cfg = *c
	}, func(b *bench) {
		b.tick()
		b.wait(time.Second)
		b.again(cfg) // p0 is STOPPING; left open
		second.Store(true)
		b.ticks(2 * time.Minute)
		got, _ := os.ReadFile(file)
		if n := strings.Count(string(got), "web:p1"); n != 1 {
			t.Errorf("hook after restart of web:p1 run %d times", n)
		}
	})
}

// TestInheritedProcessIsGone has a process go while the next listener still finishes its
// restart: what becomes of that is told of the process.
func TestInheritedProcessIsGone(t *testing.T) {
	programs := many(2)
	programs[0].StopTakes, programs[0].StopWait = time.Minute, time.Minute
	var cfg runner.Config
	inBubble(t, failFirst("p0"), programs, func(c *runner.Config) { cfg = *c }, func(b *bench) {
		b.tick()
		b.wait(time.Second)
		b.again(cfg)
		b.ticks(5 * time.Second)
		b.Remove("web:p0")
		b.ticks(5 * time.Second)
		b.wantLog(`"of the restarts that a killed listener left, web:p0: supervisord no longer has it" process=web:p0`)
	})
}

// TestHookThatIsCutShortIsOwed has the listener end during the hook after a restart: the next
// one runs it.
func TestHookThatIsCutShortIsOwed(t *testing.T) {
	dir := t.TempDir()
	begun, done := filepath.Join(dir, "begun"), filepath.Join(dir, "done")
	var stop context.CancelCauseFunc
	var cfg runner.Config
	inBubble(t, failFirst("a"), web("a"), func(c *runner.Config) {
		c.Policy.Hooks.AfterRestart = []string{"sh", "-c", "test -e " + begun + " && touch " + done + " && exit; touch " + begun + "; exec sleep 3000"}
		cfg = *c
		endDuringHook(c, io.Discard, "the hook after-restart is run", begun, &stop)
	}, func(b *bench) {
		stop = b.stop
		b.tickThenSilence()
		b.wait(10 * time.Second)
		b.again(cfg)
		b.wait(30 * time.Second)
		if !exists(done) {
			t.Errorf("the hook was not run by the next listener\n%s", b.log)
		}
	})
}

// TestStableTimeOutlivesTheListener has a process be well for a day before the listener begins
// anew.
func TestStableTimeOutlivesTheListener(t *testing.T) {
	var cfg runner.Config
	var broken atomic.Bool
	broken.Store(true)
	check := func(context.Context, supervisor.Process) checks.Result {
		if broken.Load() {
			return checks.Fail(errors.New("it is broken"))
		}
		return checks.Pass()
	}
	inBubble(t, check, web("a"), func(c *runner.Config) {
		c.Policy.Backoff = runner.Backoff{Initial: 10 * time.Second, Factor: 10, Max: time.Hour, ResetAfter: time.Minute}
		cfg = *c
	}, func(b *bench) {
		s := b.watch()
		b.ticks(5 * time.Minute)
		broken.Store(false)
		b.ticks(2 * time.Hour)
		b.again(cfg)
		b.ticks(30 * time.Second)
		broken.Store(true)
		before := len(s.of("web:a"))
		b.ticks(30 * time.Second)
		if got := len(s.of("web:a")) - before; got != 2 {
			t.Errorf("%d restarts in 30 s after two hours of health, want 2", got)
		}
	})
}

// TestStoppedProcessesKeepTheirPlaces has a listener that has stopped a process for good begin
// anew: another listener still knows of its place.
func TestStoppedProcessesKeepTheirPlaces(t *testing.T) {
	var cfg runner.Config
	inBubble(t, fail, many(4), func(c *runner.Config) {
		c.Policy = runner.Policy{MaxUnavailable: runner.Share{Number: 1}, Action: runner.Action{Kind: runner.ActionStop}}
		cfg = *c
	}, func(b *bench) {
		b.ticks(10 * time.Second)
		b.again(cfg)
		b.ticks(10 * time.Second)
		other := b.beside(cfg)
		defer other.Close()
		for range 20 {
			b.tick()
			other.Tick(5 * time.Second)
			b.wait(5 * time.Second)
		}
		if down := b.stopped(4); len(down) != 1 {
			b.t.Errorf("stopped are %q, want one; the log\n%s", down, b.log)
		}
	})
}

// TestSignalledCounts has the evidence signal end the process, and supervisord start
// it: that was a restart of ours.
func TestSignalledCounts(t *testing.T) {
	inBubble(t, fail, web("a"), with(runner.Policy{Evidence: runner.Evidence{Signal: "QUIT"}, RestartLimit: runner.RestartLimit{Restarts: 1, Within: time.Hour}}), func(b *bench) {
		b.Intercept(func(c supervisortest.Call) supervisortest.Fate {
			if c.Method == "supervisor.signalProcess" {
				return supervisortest.Fate{Then: func() { b.Exit("web:a", true) }}
			}
			return supervisortest.Fate{}
		})
		b.ticks(time.Minute)
		b.wantStarts("web:a", 2)
		b.wantOnce("GIVEN UP")
	})
}

// TestSignalledCountsForTheNext has the listener end after it has sent the signal.
func TestSignalledCountsForTheNext(t *testing.T) {
	var cfg runner.Config
	inBubble(t, fail, web("a"), func(c *runner.Config) {
		c.Policy = runner.Policy{Evidence: runner.Evidence{Signal: "QUIT", Pause: time.Minute}, RestartLimit: runner.RestartLimit{Restarts: 1, Within: time.Hour}}
		cfg = *c
	}, func(b *bench) {
		b.tick()
		b.wait(2 * time.Second)
		b.again(cfg)
		b.ticks(10 * time.Second)
		b.wantOnce("GIVEN UP")
	})
}

// TestWrittenBeforeItHappens has the counters in the state folder when supervisord is
// told to stop a process: the listener may be killed at that moment.
func TestWrittenBeforeItHappens(t *testing.T) {
	var dir string
	inBubble(t, failFirst("a"), web("a"), func(c *runner.Config) {
		dir = c.StateDir
		c.Policy.Backoff = runner.Backoff{Initial: time.Minute}
	}, func(b *bench) {
		b.Intercept(func(c supervisortest.Call) supervisortest.Fate {
			if c.Method == "supervisor.stopProcess" {
				files, _ := filepath.Glob(filepath.Join(dir, "*", "*.counters.v1.json"))
				var text []byte
				if len(files) == 1 {
					text, _ = os.ReadFile(files[0])
				}
				if !strings.Contains(string(text), `"backoff":1,"last":"2000-01-01T`) {
					b.t.Errorf("written is %s", text)
				}
			}
			return supervisortest.Fate{}
		})
		b.tickThenSilence()
		b.wait(10 * time.Second)
		b.wantStarts("web:a", 2)
	})
}

// TestLooksOutOfTurn are not taken for checks that are slow.
func TestLooksOutOfTurn(t *testing.T) {
	check := func(context.Context, supervisor.Process) checks.Result {
		time.Sleep(time.Second)
		return checks.Fail(errors.New("it is broken"))
	}
	inBubble(t, check, web("a"), with(runner.Policy{Backoff: runner.Backoff{Initial: 7 * time.Second, Factor: 1}}), func(b *bench) {
		b.ticks(5 * time.Minute)
		b.wantNotInLog("left out of rounds")
	})
}

// TestPauseAfterAKill has a listener end between the stop and the start of a restart:
// the pause after it is kept by the next one.
func TestPauseAfterAKill(t *testing.T) {
	programs := web("a")
	programs[0].StopTakes, programs[0].StopWait = 20*time.Second, time.Minute
	var cfg runner.Config
	inBubble(t, fail, programs, func(c *runner.Config) {
		c.Policy.Backoff = runner.Backoff{Initial: time.Minute}
		cfg = *c
	}, func(b *bench) {
		b.tick()
		b.wait(time.Second)
		b.again(cfg)
		b.ticks(45 * time.Second)
		b.wantStarts("web:a", 2)
		if got := b.Process("web:a").State; got != supervisor.Running {
			b.t.Errorf("it is %v %s", got, b.log)
		}
		b.ticks(50 * time.Second)
		b.wantStarts("web:a", 3)
	})
}

// TestOneTrialOfTwoListeners has all of a group fail, for two listeners.
func TestOneTrialOfTwoListeners(t *testing.T) {
	var cfg runner.Config
	inBubble(t, fail, many(6), func(c *runner.Config) {
		c.Policy.PanicThreshold = 50
		cfg = *c
	}, func(b *bench) {
		other := b.beside(cfg)
		defer other.Close()
		for range 5 {
			b.tick()
			other.Tick(5 * time.Second)
			b.wait(5 * time.Second)
		}
		restarts := -6
		for i := range 6 {
			restarts += b.Starts(fmt.Sprint("web:p", i))
		}
		if restarts != 1 {
			b.t.Errorf("%d restarts, want one trial; the log\n%s", restarts, b.log)
		}
	})
}

// TestCleanedUp has somebody remove the state folder of a running listener.
func TestCleanedUp(t *testing.T) {
	var cfg runner.Config
	inBubble(t, fail, web("a"), func(c *runner.Config) { cfg = *c }, func(b *bench) {
		b.ticks(5 * time.Second)
		os.RemoveAll(cfg.StateDir)
		b.ticks(10 * time.Second)
		if got := b.Starts("web:a"); got < 3 {
			b.t.Errorf("started %d times, want restarts as before; the log\n%s", got, b.log)
		}
	})
}

// TestAnotherSupervisord has supervisord be started anew after a process was stopped
// for good: that takes no place any more.
func TestAnotherSupervisord(t *testing.T) {
	var cfg runner.Config
	inBubble(t, failFirst("p0"), many(2), func(c *runner.Config) {
		c.Policy = runner.Policy{MaxUnavailable: runner.Share{Number: 1}, Action: runner.Action{Kind: runner.ActionStop}}
		cfg = *c
	}, func(b *bench) {
		b.ticks(5 * time.Second)
		b.wantLog("web:p0 has stopped")
		b.Intercept(func(c supervisortest.Call) supervisortest.Fate {
			if c.Method != "supervisor.getPID" {
				return supervisortest.Fate{}
			}
			return supervisortest.Fate{Status: 200, Type: "text/xml", Body: "<?xml version='1.0'?><methodResponse><params><param><value><int>2000</int></value></param></params></methodResponse>"}
		})
		cfg.Checks = []checks.Check{failFirst("p1")}
		b.again(cfg)
		b.ticks(10 * time.Second)
		b.wantLog("web:p1 has stopped")
	})
}
