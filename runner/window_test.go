package runner_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/runner"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// TestTrialInTheWindow has the process of a trial come up when its check rests: nobody knows whether
// that has helped.
func TestTrialInTheWindow(t *testing.T) {
	begun := time.Now()
	inBubble(t, pass, web("a", "b", "c", "d"), func(c *runner.Config) {
		begun = time.Now()
		c.Checks, c.Groups = nil, nil
		c.Watches = []runner.Watch{{Processes: []string{"web:*"}, Policy: runner.Policy{PanicThreshold: 50}, Rules: []runner.Rule{
			{Check: named{"database", func(context.Context, supervisor.Process) checks.Result { return checks.Fail(errors.New("no database")) }},
				NotDuring: func(now time.Time) bool {
					since := now.Sub(begun)
					return since >= 1200*time.Millisecond && since < time.Minute
				}},
		}}}
	}, func(b *bench) {
		b.ticks(2 * time.Minute)
		starts := 0
		for _, name := range []string{"a", "b", "c", "d"} {
			starts += b.Starts("web:"+name) - 1
		}
		if starts > 4 {
			b.t.Errorf("%d restarts of a group whose database is down, of which panic_threshold lets one at a time be tried:\n%s", starts, b.log)
		}
	})
}

// TestTrialOfLog has a trial for a check that cannot tell at its first look at a new run: it takes
// another one to say whether that has helped.
func TestTrialOfLog(t *testing.T) {
	for _, name := range []string{"log", "any"} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			seen := make(map[int]bool)
			log := checks.Check(named{"log", func(_ context.Context, p supervisor.Process) checks.Result {
				mu.Lock()
				defer mu.Unlock()
				if !seen[p.PID] {
					seen[p.PID] = true
					return checks.Unsure(fmt.Errorf("%w: its log is read from now on", checks.ErrNotYet)) // as Log.Run does
				}
				return checks.Fail(errors.New("too many connections"))
			}})
			if name == "any" {
				log = checks.Any(checks.Func("http", func(context.Context, supervisor.Process) error { return errors.New("503") }), log)
			}
			inBubble(t, pass, web("a", "b", "c", "d"), func(c *runner.Config) {
				c.Checks, c.Groups = nil, nil
				c.Watches = []runner.Watch{{Processes: []string{"web:*"}, Policy: runner.Policy{PanicThreshold: 50, Backoff: runner.Backoff{Initial: time.Minute, Factor: 1, Max: time.Minute}}, Rules: []runner.Rule{
					{Check: log, FailureThreshold: runner.Threshold{Failures: 3}}}}}
			}, func(b *bench) {
				b.ticks(30 * time.Second)
				starts := 0
				for _, name := range []string{"a", "b", "c", "d"} {
					starts += b.Starts("web:"+name) - 1
				}
				if starts > 1 {
					b.t.Errorf("%s: %d of 4 restarted within 30 s, want one as a trial:\n%s", name, starts, b.log)
				}
			})
		})
	}
}

// TestToldAgainAfterWindow tells anew what holds a process when its check has rested.
func TestToldAgainAfterWindow(t *testing.T) {
	begun := time.Now()
	inBubble(t, pass, web("a"), func(c *runner.Config) {
		begun = time.Now()
		c.Checks, c.Groups = nil, nil
		c.Watches = []runner.Watch{{Processes: []string{"web:*"}, Policy: runner.Policy{RestartLimit: runner.RestartLimit{Restarts: 1, Within: 10 * time.Hour}}, Rules: []runner.Rule{
			{Check: named{"night", fail}, NotDuring: func(now time.Time) bool {
				since := now.Sub(begun)
				return since >= time.Minute && since < 30*time.Minute
			}},
		}}}
	}, func(b *bench) {
		b.ticks(40 * time.Minute)
		if got := strings.Count(b.log.String(), "GIVEN UP"); got < 2 {
			b.t.Errorf("GIVEN UP is told %d times, before the window; after it nothing says why it is not restarted", got)
		}
	})
}

// TestAnyIsVerifiedLater has a process be restarted for checks of which one must pass: that one of them cannot
// tell yet does not make it work.
func TestAnyIsVerifiedLater(t *testing.T) {
	var mu sync.Mutex
	started := make(map[int]time.Time)
	seen := make(map[int]bool)
	http := checks.Func("http", func(_ context.Context, p supervisor.Process) error {
		mu.Lock()
		defer mu.Unlock()
		if started[p.PID].IsZero() {
			started[p.PID] = time.Now()
		}
		if p.PID >= 5000003 && time.Since(started[p.PID]) > 20*time.Second { // a new run answers after 20 s
			return nil
		}
		return errors.New("refused")
	})
	cpu := named{"cpu", func(_ context.Context, p supervisor.Process) checks.Result {
		mu.Lock()
		defer mu.Unlock()
		if !seen[p.PID] {
			seen[p.PID] = true
			return checks.Unsure(fmt.Errorf("%w: first look", checks.ErrNotYet))
		}
		return checks.Fail(errors.New("busy"))
	}}
	for _, c := range []checks.Check{http, checks.Any(http, cpu)} {
		clear(started)
		clear(seen)
		inBubble(t, pass, web("a", "b"), func(cfg *runner.Config) {
			cfg.Checks, cfg.Groups = nil, nil
			cfg.Watches = []runner.Watch{{Processes: []string{"web:*"}, Policy: runner.Policy{MaxUnavailable: runner.Share{Number: 1}},
				Rules: []runner.Rule{{Check: c, FailureThreshold: runner.Threshold{Failures: 2}, StartPeriod: 30 * time.Second}}}}
		}, func(b *bench) {
			b.ticks(90 * time.Second)
			var shown []string
			for line := range strings.Lines(b.log.String()) {
				if !strings.Contains(line, "DEBUG") {
					shown = append(shown, line)
				}
			}
			text := strings.Join(shown, "")
			if strings.Contains(text, "web:b works again, 1.2s") || !strings.Contains(text, "web:b works again") {
				b.t.Errorf("%s: a process that answers after 20 s works after 1.2 s:\n%s", c.Name(), text)
			}
		})
	}
}

// TestVerifiedByNobody does not say that a process works again which no check has looked at.
func TestVerifiedByNobody(t *testing.T) {
	begun := time.Now()
	inBubble(t, pass, web("a"), func(c *runner.Config) {
		begun = time.Now()
		c.Checks, c.Groups = nil, nil
		c.Watches = []runner.Watch{{Processes: []string{"web:*"}, Policy: runner.Policy{MaxUnavailable: runner.Share{Number: 1}}, Rules: []runner.Rule{
			{Check: named{"night", fail}, NotDuring: func(now time.Time) bool { return now.Sub(begun) >= 5500*time.Millisecond }},
		}}}
	}, func(b *bench) {
		b.ticks(30 * time.Second)
		if strings.Contains(b.log.String(), "works again") || strings.Contains(b.log.String(), "succeed") {
			b.t.Errorf("no check has looked at the new run:\n%s", b.log)
		}
		b.t.Log(b.log)
	})
}

// logged gives a process a log.
type logged struct {
	checks.Check
	path string
}

func (z logged) Run(ctx context.Context, p supervisor.Process) checks.Result {
	p.StdoutLog = z.path
	return z.Check.Run(ctx, p)
}

func zzAppend(path, text string) {
	f, _ := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	f.WriteString(text)
	f.Close()
}

// TestLogAfterWindow does not restart a process for what was written while its rule rested.
func TestLogAfterWindow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	zzAppend(path, "")
	log, err := checks.NewLog(checks.LogConfig{Pattern: "ERROR"})
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	inBubble(t, pass, web("a"), func(c *runner.Config) {
		begun = time.Now()
		c.Checks, c.Groups = nil, nil
		c.Watches = []runner.Watch{{Processes: []string{"web:*"}, Rules: []runner.Rule{
			{Check: logged{log, path}, FailureThreshold: runner.Threshold{Failures: 3}, NotDuring: func(now time.Time) bool {
				since := now.Sub(begun)
				return since >= time.Minute && since < 3*time.Hour
			}},
		}}}
	}, func(b *bench) {
		b.ticks(time.Minute)
		b.ticks(30 * time.Second)
		zzAppend(path, "ERROR of the nightly job\n") // two hours and a half before the end of the window
		b.ticks(3 * time.Hour)
		b.wantStarts("web:a", 1)
	})
}

// TestRoundIntoTheWindow has a rule rest that a round comes to only in its window.
func TestRoundIntoTheWindow(t *testing.T) {
	begun := time.Now()
	var looked []time.Duration
	inBubble(t, pass, web("a"), func(c *runner.Config) {
		begun = time.Now()
		c.Checks, c.Groups = nil, nil
		c.Watches = []runner.Watch{{Processes: []string{"web:*"}, Rules: []runner.Rule{
			{Check: named{"slow", func(context.Context, supervisor.Process) checks.Result {
				time.Sleep(40 * time.Second) // as one with a timeout and retries
				return checks.Pass()
			}}},
			{Check: named{"night", func(context.Context, supervisor.Process) checks.Result {
				looked = append(looked, time.Since(begun))
				return checks.Fail(errors.New("the nightly job"))
			}}, NotDuring: func(now time.Time) bool { return now.Sub(begun) >= 15*time.Second }},
		}}}
	}, func(b *bench) {
		b.ticks(time.Minute)
		if len(looked) > 0 {
			b.t.Errorf("the window begins at 15s; looked at %v", looked)
		}
		b.wantStarts("web:a", 1)
	})
}

// TestOnceInWindow says nothing bad of a process whose rules all rest.
func TestOnceInWindow(t *testing.T) {
	inBubble(t, pass, web("a"), nil, func(b *bench) {
		report, err := runner.Once(b.t.Context(), runner.Config{Server: b.Config(), Watches: []runner.Watch{{Processes: []string{"web:*"},
			Rules: []runner.Rule{{Check: named{"night", pass}, NotDuring: func(time.Time) bool { return true }}}}}})
		if err != nil || report.Status() != checks.Healthy {
			b.t.Errorf("status %v, error %v", report.Status(), err)
		}
	})
}

// TestAnyWithLog does not count lines of days ago when a log is needed for the first time.
func TestAnyWithLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	zzAppend(path, "")
	now := time.Unix(1e9, 0)
	log, _ := checks.NewLog(checks.LogConfig{Pattern: "ERROR", Within: 5 * time.Minute, Now: func() time.Time { return now }})
	down := true
	http := checks.Func("http", func(context.Context, supervisor.Process) error {
		if down {
			return errors.New("refused")
		}
		return nil
	})
	c := checks.Any(http, log)
	p := supervisor.Process{Group: "web", Name: "a", PID: 1, Started: time.Unix(1, 0), StdoutLog: path}
	t.Log(c.Run(t.Context(), p)) // first look at both
	down = false
	for range 3 * 24 * 60 {
		now = now.Add(time.Minute)
		if now.Unix() == 1e9+600 {
			zzAppend(path, "ERROR long ago\n")
		}
		c.Run(t.Context(), p)
	}
	down = true
	if r := c.Run(t.Context(), p); r.Status == checks.Unhealthy {
		t.Errorf("with within 5m, a line of three days ago counts: %v", r.Err)
	}
}

// TestLogBehindAnother does not count lines that were written while the rule before it was waiting.
func TestLogBehindAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	zzAppend(path, "")
	log, _ := checks.NewLog(checks.LogConfig{Pattern: "ERROR"})
	broken := false
	inBubble(t, pass, web("a"), func(c *runner.Config) {
		c.Checks, c.Groups = nil, nil
		c.Watches = []runner.Watch{{Processes: []string{"web:*"}, Policy: runner.Policy{RestartLimit: runner.RestartLimit{Restarts: 1, Within: 24 * time.Hour}, RestartLimitThen: runner.ThenAlert},
			Rules: []runner.Rule{
				{FailureThreshold: runner.Threshold{Failures: 2}, Check: named{"http", func(context.Context, supervisor.Process) checks.Result {
					if broken {
						return checks.Fail(errors.New("x"))
					}
					return checks.Pass()
				}}},
				{Check: logged{log, path}, Action: runner.Action{Kind: runner.ActionSignal, Signal: "USR1"}},
			}}}
	}, func(b *bench) {
		b.ticks(30 * time.Second)
		broken = true
		b.ticks(time.Minute) // restarted once, then held by the limit
		zzAppend(path, "ERROR while it was broken\n")
		b.ticks(2 * time.Hour)
		broken = false
		b.ticks(time.Minute)
		b.wantNotInLog("ERROR while it was broken")
	})
}
