package runner_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/runner"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
	"github.com/supervisor-checks/supervisor-checks/supervisor/supervisortest"
)

// randomPolicy is a policy with any of what there is.
func randomPolicy(random *rand.Rand) runner.Policy {
	sometimes := func(set func()) {
		if random.IntN(2) == 0 {
			set()
		}
	}
	var p runner.Policy
	sometimes(func() { p.FailureThreshold = runner.Threshold{Failures: 2, Of: 2 + random.IntN(3)} })
	sometimes(func() { p.SuccessThreshold = 2 })
	sometimes(func() { p.StartPeriod = 10 * time.Second })
	sometimes(func() {
		p.RestartLimit = runner.RestartLimit{Restarts: 1 + random.IntN(4), Within: 5 * time.Minute}
	})
	sometimes(func() { p.Backoff = runner.Backoff{Initial: 5 * time.Second, Max: 30 * time.Second} })
	sometimes(func() { p.MaxUnavailable = runner.Share{Number: 1 + random.IntN(3)} })
	sometimes(func() { p.PanicThreshold = 60 })
	sometimes(func() { p.Jitter = 10 * time.Second })
	sometimes(func() { p.Revive = []supervisor.State{supervisor.Fatal, supervisor.Exited} })
	sometimes(func() { p.Evidence.Keep = true })
	return p
}

// sequences is how many random ones a test goes through: SEQUENCES, or 12.
func sequences(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv("SEQUENCES")
	if text == "" {
		return 12
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestNoProcessIsLost runs random policies under a supervisord whose connections
// are cut, which is slow or fails itself, whose processes fail their checks and
// their starts, and with listeners that are told to end and started anew. No
// process is told to stop without an entry in the journal, and when the faults are
// over all processes run.
func TestNoProcessIsLost(t *testing.T) {
	for seed := range sequences(t) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 2))
			flavour := []supervisor.Flavour{supervisor.Python, supervisor.Go}[seed%2]
			var calm atomic.Bool
			var mu sync.Mutex // of random
			chance := func(percent int) bool {
				mu.Lock()
				defer mu.Unlock()
				return !calm.Load() && random.IntN(100) < percent
			}
			check := func(_ context.Context, p supervisor.Process) checks.Result {
				if chance(15) {
					return checks.Fail(errors.New("it is broken"))
				}
				return checks.Pass()
			}
			var programs []supervisortest.Program
			for i := range 6 {
				programs = append(programs, supervisortest.Program{
					Group: "web", Name: fmt.Sprint("p", i), StartTakes: time.Second, StopTakes: time.Duration(i) * time.Second,
					Fails: func(int) bool { return chance(20) }, Startup: time.Second / 2,
				})
			}
			policy := randomPolicy(random)
			var cfg runner.Config
			inBubble(t, check, programs, func(c *runner.Config) {
				c.Policy = policy
				cfg = *c
			}, func(b *bench) {
				b.Intercept(func(c supervisortest.Call) supervisortest.Fate {
					if c.Method == "supervisor.stopProcess" {
						if found, _ := filepath.Glob(filepath.Join(cfg.StateDir, "*", strings.ReplaceAll(c.Args[0], ":", "%3A")+".intent.v1.json")); len(found) == 0 {
							b.t.Errorf("%s is told to stop, and the journal does not say so", c.Args[0])
						}
					}
					switch {
					case chance(5):
						return supervisortest.Fate{LoseCall: true}
					case chance(5):
						return supervisortest.Fate{LoseReply: true}
					case chance(5):
						return supervisortest.Fate{Status: 500, Type: "text/plain", Body: "oh no"}
					case chance(5):
						return supervisortest.Fate{Truncate: true}
					case chance(20):
						return supervisortest.Fate{Delay: 2 * time.Second}
					}
					return supervisortest.Fate{}
				})
				for range 8 {
					b.ticks(time.Minute)
					if chance(50) {
						b.again(cfg)
					}
				}
				calm.Store(true)
				b.ticks(10 * time.Minute)
				for i := range programs {
					p := b.Process(fmt.Sprint("web:p", i))
					if p.State != supervisor.Running {
						b.t.Errorf("%s is %v; the log\n%s", p.Namespec(), p.State, b.log)
					}
				}
				if entries, _ := filepath.Glob(filepath.Join(cfg.StateDir, "*", "*.intent.v1.json")); len(entries) > 0 {
					b.t.Errorf("the journal has %q; the log\n%s", entries, b.log)
				}
			}, flavour)
		})
	}
}

// line is a line of the log as a person reads it.
var line = regexp.MustCompile(`(?m)^time=\S+ level=(\w+) msg="((?:[^"\\]|\\.)*)"`)

// sentences are the beginnings of what is said, with the processes or groups, of
// each decision.
var sentences = []struct {
	action string
	says   *regexp.Regexp
}{
	{"counted", regexp.MustCompile(`^(\S+) unhealthy: test: it is broken \((\d+ of \d+(?: in the last \d+)?)\)$`)},
	{"excused", regexp.MustCompile(`^(\S+) unhealthy: test: it is broken \((does not count within \S+ of its start)\)$`)},
	{"succeeded", regexp.MustCompile(`^(\S+) healthy(?: again)?: test(?: \(was \w+\))? \((\d+ of \d+ successes)\)$`)},
	{record.Stopping, regexp.MustCompile(`^(\S+) is restarted \(pid \d+\): test: it is broken()`)},
	{record.Starting, regexp.MustCompile(`^(\S+) has stopped (?:after \S+ )?and is started$()`)},
	{record.Running, regexp.MustCompile(`^(\S+) runs (?:again )?with pid (\d+)`)},
	{record.Verified, regexp.MustCompile(`^(\S+) works again, \S+ after its restart began$()`)},
	{record.Doubtful, regexp.MustCompile(`^(\S+) does not work \S+ after its restart began: (.*)$`)},
	{record.Held, regexp.MustCompile(`^(\S+) not restarted now: (.*): test: it is broken$`)},
	{record.GivenUp, regexp.MustCompile(`^(\S+) GIVEN UP: (.*): test: it is broken$`)},
	{record.Panicked, regexp.MustCompile(`^group (\S+): (\d+ of \d+ fail test at once, so that the cause is probably shared):`)},
	{record.Calmed, regexp.MustCompile(`^group (\S+): no longer so many fail at once$()`)},
	{record.Helped, regexp.MustCompile(`^group (\S+): restarting \S+ has helped: the others are restarted, too$()`)},
	{record.NoHelp, regexp.MustCompile(`^group (\S+): restarting \S+ has not helped: (.*)$`)},
}

// TestDecisionsAreInTheLog rebuilds all decisions of runs from the lines of the
// log at info level, and compares them with what the sinks were told.
func TestDecisionsAreInTheLog(t *testing.T) {
	seen := make(map[string]int)
	for seed := range sequences(t) {
		random := rand.New(rand.NewPCG(seed, 3))
		policy := randomPolicy(random)
		policy.Revive, policy.Evidence = nil, runner.Evidence{}
		var mu sync.Mutex
		chance := 10
		check := func(context.Context, supervisor.Process) checks.Result {
			mu.Lock()
			defer mu.Unlock()
			if random.IntN(100) < chance {
				return checks.Fail(errors.New("it is broken"))
			}
			return checks.Pass()
		}
		var told []string
		stops := make(map[string]int) // that supervisord was asked for
		info := new(buffer)
		inBubble(t, check, many(5), func(cfg *runner.Config) {
			cfg.Policy = policy
			cfg.Log = slog.New(slog.NewTextHandler(info, nil))
			cfg.Sinks = []record.Sink{sinkFunc(func(r record.Record) error {
				if decision := decisionOf(r); decision != "" {
					told = append(told, decision)
				}
				return nil
			})}
		}, func(b *bench) {
			for range 6 {
				b.ticks(time.Minute)
				mu.Lock()
				chance = []int{10, 50, 95}[random.IntN(3)]
				mu.Unlock()
			}
			b.stop(errors.New("enough"))
			b.end()
			for _, c := range b.Calls() {
				if c.Method == "supervisor.stopProcess" {
					stops[c.Args[0]]++
				}
			}
		})
		var read []string
		for _, m := range line.FindAllStringSubmatch(info.String(), -1) {
			text := strings.ReplaceAll(m[2], `\"`, `"`)
			for _, s := range sentences {
				if f := s.says.FindStringSubmatch(text); f != nil {
					read = append(read, fmt.Sprintf("%s %s %s", s.action, f[1], f[2]))
					seen[s.action]++
					if s.action == record.Stopping {
						stops[f[1]]--
					}
				}
			}
		}
		if diff := cmp.Diff(told, read); diff != "" {
			t.Fatalf("seed %d: the lines say otherwise (-decided +read)\n%s", seed, diff)
		}
		for namespec, more := range stops {
			if more != 0 {
				t.Errorf("seed %d: supervisord was told to stop %s %d times more than the lines say", seed, namespec, more)
			}
		}
	}
	for _, s := range sentences {
		if seen[s.action] == 0 {
			t.Errorf("no run had a line of %q", s.action)
		}
	}
}

// decisionOf writes a record as TestDecisionsAreInTheLog reads it, or "" for what is
// no decision.
func decisionOf(r record.Record) string {
	switch {
	case r.Kind == record.CheckResult, r.Kind == record.Listener:
		return ""
	case r.Kind == record.Transition && strings.HasPrefix(r.Count, "does not"):
		return fmt.Sprintf("excused %s %s", r.Process, r.Count)
	case r.Kind == record.Transition && strings.HasSuffix(r.Count, "successes"):
		return fmt.Sprintf("succeeded %s %s", r.Process, r.Count)
	case r.Kind == record.Transition && r.Count != "":
		return fmt.Sprintf("counted %s %s", r.Process, r.Count)
	case r.Kind == record.Transition:
		return ""
	case r.Kind == record.Group:
		why := r.Why
		return fmt.Sprintf("%s %s %s", r.Action, r.Group, why)
	}
	about := r.Why
	switch r.Action {
	case record.Running:
		about = fmt.Sprint(r.NewPID)
	case record.Stopping, record.Starting, record.Verified:
		about = ""
	case record.Skipped, record.Retrying, record.LeftOpen:
		return ""
	}
	return fmt.Sprintf("%s %s %s", r.Action, r.Process, about)
}

// TestPauseOutlivesTheListener has it in the file of a listener that was killed.
func TestPauseOutlivesTheListener(t *testing.T) {
	asProcess(t, "bench")
	var cfg runner.Config
	inBubble(t, fail, web("a"), func(c *runner.Config) {
		c.Policy.RestartLimit = runner.RestartLimit{Restarts: 3, Within: time.Hour}
		cfg = *c
	}, func(b *bench) {
		b.ticks(5 * time.Second)
		found, err := filepath.Glob(filepath.Join(cfg.StateDir, "*", "bench.counters.v1.json"))
		if len(found) != 1 || err != nil {
			b.t.Fatalf("counters %q, error %v", found, err)
		}
		text, err := os.ReadFile(found[0])
		if err != nil {
			b.t.Fatal(err)
		}
		until := time.Now().Add(time.Minute).Format(time.RFC3339)
		text = []byte(strings.Replace(string(text), `"pauses":null`, `"pauses":[{"selector":"web:*","until":"`+until+`"}]`, 1))
		if err := os.WriteFile(found[0], text, 0o600); err != nil {
			b.t.Fatal(err)
		}
		b.again(cfg)
		before := b.Starts("web:a")
		b.ticks(50 * time.Second)
		b.wantStarts("web:a", before)
		b.wantLog(`level=WARN msg="actions on web:* are paused until `)
		b.wantLog(` (actions paused until 00:01:05Z)`)
		b.ticks(30 * time.Second)
		b.wantStarts("web:a", before+2) // of three in an hour one was before
	})
}

// asProcess makes this program the process of that name, under supervisord.
func asProcess(t *testing.T, name string) {
	t.Setenv("SUPERVISOR_GROUP_NAME", name)
	t.Setenv("SUPERVISOR_PROCESS_NAME", name)
}

// TestCountersThatCannotBeRead has nonsense in the file, a newer version beside it,
// and times in the future.
func TestCountersThatCannotBeRead(t *testing.T) {
	asProcess(t, "bench")
	for name, tt := range map[string]struct{ text, says string }{
		"nonsense":   {"{", `level=ERROR msg="limits and pauses begin anew, since they cannot be read: `},
		"the future": {`{"processes":{"web:a":{"restarts":["2100-01-01T00:00:00Z"],"backoff":1,"last":"2100-01-01T00:00:00Z"}},"pauses":null}`, "GIVEN UP"},
	} {
		t.Run(name, func(t *testing.T) {
			var cfg runner.Config
			inBubble(t, fail, web("a"), func(c *runner.Config) {
				c.Policy.RestartLimit = runner.RestartLimit{Restarts: 1, Within: time.Hour}
				cfg = *c
			}, func(b *bench) {
				folders, err := filepath.Glob(filepath.Join(cfg.StateDir, "*"))
				if len(folders) != 1 || err != nil {
					b.t.Fatal(folders, err)
				}
				os.WriteFile(filepath.Join(folders[0], "bench.counters.v1.json"), []byte(tt.text), 0o600)
				os.WriteFile(filepath.Join(folders[0], "bench.counters.v2.json"), []byte("?"), 0o600)
				b.again(cfg)
				b.ticks(61 * time.Minute)
				b.wantLog(tt.says)
				b.wantLog("bench.counters.v2.json is of another version; the limits and pauses in it are left to that")
				if got := b.Starts("web:a"); got < 2 || got > 3 {
					b.t.Errorf("started %d times in an hour, want two or three", got)
				}
			})
		})
	}
}

// TestHookIsOwed has a listener end between the hook before a restart and the one
// after it, and somebody else restart the process meanwhile.
func TestHookIsOwed(t *testing.T) {
	dir := t.TempDir()
	note := func(name string) []string {
		return []string{"sh", "-c", "echo $SUPERVISOR_CHECK_HOOK $SUPERVISOR_CHECK_PROCESS $SUPERVISOR_CHECK_STATUS >> " + filepath.Join(dir, name)}
	}
	hooks := runner.Hooks{BeforeRestart: note("before"), AfterRestart: note("after")}
	wantAfter := func(b *bench, want string) {
		b.t.Helper()
		if got, err := os.ReadFile(filepath.Join(dir, "after")); string(got) != want {
			b.t.Errorf("the hook after was told %q, error %v, want %q", got, err, want)
		}
	}
	var cfg runner.Config
	inBubble(t, failFirst("a"), []supervisortest.Program{{Group: "web", Name: "a", StartTakes: 20 * time.Second}}, func(c *runner.Config) {
		c.Policy.Hooks = hooks
		cfg = *c
	}, func(b *bench) {
		b.tick()
		b.wait(5 * time.Second) // it is STARTING
		b.again(cfg)
		wantAfter(b, "")
		b.tickThenSilence()
		b.wait(time.Minute)
		wantAfter(b, "after-restart web:a healthy\n")
		b.again(cfg)
		b.wait(time.Minute)
		wantAfter(b, "after-restart web:a healthy\n") // once
	})
	os.Remove(filepath.Join(dir, "after"))
	inBubble(t, failFirst("a"), web("a"), func(c *runner.Config) { c.Policy.Hooks = hooks }, func(b *bench) {
		b.Intercept(func(c supervisortest.Call) supervisortest.Fate {
			if c.Method == "supervisor.getProcessInfo" && exists(filepath.Join(dir, "before")) && b.Starts("web:a") == 1 {
				b.Exit("web:a", true) // as soon as the hook before was run
			}
			return supervisortest.Fate{}
		})
		os.Remove(filepath.Join(dir, "before"))
		b.tickThenSilence()
		b.wait(time.Minute)
		b.wantStarts("web:a", 2)
		b.wantLog("web:a not restarted: somebody else acted on it")
		wantAfter(b, "after-restart web:a healthy\n")
	})
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// TestHookAtTheEnd has a listener told to end while a hook hangs: the process that
// was stopped is started before.
func TestHookAtTheEnd(t *testing.T) {
	srv := supervisortest.NewServer(supervisor.Python, web("a")...)
	defer srv.Close()
	stdin, stdout := srv.Listener()
	ctx, stop := context.WithCancel(t.Context())
	dir := t.TempDir()
	os.Chmod(dir, 0o700)
	file := filepath.Join(dir, "hook")
	done := make(chan error, 1)
	go func() {
		done <- runner.Run(ctx, runner.Config{
			Groups: []string{"web"}, Checks: []checks.Check{failFirst("a")}, Server: srv.Config(), StateDir: dir,
			Stdin: stdin, Stdout: stdout, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
			Policy: runner.Policy{Hooks: runner.Hooks{AfterStop: []string{"sh", "-c", "touch " + file + "; sleep 3000"}}},
		})
	}()
	srv.Tick(5 * time.Second)
	for begun := time.Now(); ; {
		if _, err := os.Stat(file); err == nil {
			break
		}
		if time.Since(begun) > 10*time.Second {
			t.Fatal("the hook was not run")
		}
		time.Sleep(time.Millisecond)
	}
	begun := time.Now()
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took > 15*time.Second {
		t.Errorf("it took %v to end", took)
	}
	if got := srv.Starts("web:a"); got != 2 {
		t.Errorf("it was started %d times, want 2", got)
	}
	stdin.Close()
	stdout.Close()
}
