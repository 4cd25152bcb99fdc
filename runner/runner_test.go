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
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/listener"
	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/record/recordtest"
	"github.com/supervisor-checks/supervisor-checks/runner"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
	"github.com/supervisor-checks/supervisor-checks/supervisor/supervisortest"
)

// bench is a listener under a supervisord, in fake time.
type bench struct {
	*supervisortest.Server
	t      *testing.T
	log    *buffer
	stop   context.CancelCauseFunc
	result chan error
}

type checkFunc func(context.Context, supervisor.Process) checks.Result

func (checkFunc) Name() string { return "test" }
func (f checkFunc) Run(ctx context.Context, p supervisor.Process) checks.Result {
	return f(ctx, p)
}

// buffer is a log that can be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// inBubble runs a test against a listener with one check under a supervisord,
// Python's unless a flavour is given, with those processes. configure may be nil.
func inBubble(t *testing.T, check checkFunc, programs []supervisortest.Program, configure func(*runner.Config), test func(b *bench), flavour ...supervisor.Flavour) {
	t.Helper()
	flavour = append(flavour, supervisor.Python)
	synctest.Test(t, func(t *testing.T) {
		b := &bench{
			Server: supervisortest.NewServer(flavour[0], programs...),
			t:      t,
			log:    new(buffer),
			result: make(chan error, 1),
		}
		stdin, stdout := b.Listener()
		dir := t.TempDir()
		os.Chmod(dir, 0o700)
		cfg := runner.Config{
			Name:     "bench",
			Groups:   []string{"web"},
			Checks:   []checks.Check{check},
			Server:   b.Config(),
			StateDir: dir,
			Log:      slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
			Stdin:    stdin,
			Stdout:   stdout,
		}
		if configure != nil {
			configure(&cfg)
		}
		cfg.Sinks = append(cfg.Sinks, recordtest.Sink(t))
		ctx, stop := context.WithCancelCause(t.Context())
		b.stop = stop
		go func() { b.result <- runner.Run(ctx, cfg) }()
		synctest.Wait()
		test(b)
		stop(nil)
		b.Close()
		stdin.Close()
		stdout.Close()
		time.Sleep(time.Minute) // for whatever still goes on
	})
}

// tick sends a tick and returns when nothing happens any more without time
// going by.
func (b *bench) tick() {
	b.t.Helper()
	if err := b.Tick(5 * time.Second); err != nil {
		b.t.Errorf("Tick: %v", err)
	}
	synctest.Wait()
}

// wait lets time go by.
func (b *bench) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// end waits for the listener to end and returns how long it took and its error.
func (b *bench) end() (time.Duration, error) {
	begun := time.Now()
	err := <-b.result
	return time.Since(begun), err
}

func (b *bench) wantLog(want string) {
	b.t.Helper()
	if !strings.Contains(b.log.String(), want) {
		b.t.Errorf("the log lacks %q:\n%s", want, b.log)
	}
}

func (b *bench) wantNotInLog(text string) {
	b.t.Helper()
	if strings.Contains(b.log.String(), text) {
		b.t.Errorf("the log has %q:\n%s", text, b.log)
	}
}

func (b *bench) wantStarts(namespec string, want int) {
	b.t.Helper()
	if got := b.Starts(namespec); got != want {
		b.t.Errorf("%s was started %d times, want %d; the log:\n%s", namespec, got, want, b.log)
	}
}

// web returns processes of the group web.
func web(names ...string) []supervisortest.Program {
	var programs []supervisortest.Program
	for _, name := range names {
		programs = append(programs, supervisortest.Program{Group: "web", Name: name, StartTakes: time.Second})
	}
	return programs
}

func pass(context.Context, supervisor.Process) checks.Result { return checks.Pass() }
func fail(context.Context, supervisor.Process) checks.Result {
	return checks.Fail(errors.New("it is broken"))
}

// failFirst fails processes by their pids, once each.
func failFirst(names ...string) checkFunc {
	var mu sync.Mutex
	failed := make(map[string]bool)
	return func(_ context.Context, p supervisor.Process) checks.Result {
		mu.Lock()
		defer mu.Unlock()
		if slices.Contains(names, p.Name) && !failed[p.Name] {
			failed[p.Name] = true
			return checks.Fail(errors.New("it is broken"))
		}
		return checks.Pass()
	}
}

func TestFailingProcessIsRestarted(t *testing.T) {
	inBubble(t, failFirst("a"), web("a", "b"), nil, func(b *bench) {
		b.tick()
		b.wait(5 * time.Second)
		b.tick()
		b.wantStarts("web:a", 2)
		b.wantStarts("web:b", 1)
		for _, line := range []string{
			`level=WARN msg="web:a unhealthy: test: it is broken"`,
			`level=WARN msg="web:a is restarted (pid 5000001): test: it is broken"`,
			`level=INFO msg="web:a runs again with pid 5000003 (was 5000001), restarted in 1.`,
			`level=INFO msg="web:a healthy again: test (was unhealthy)"`,
			`level=DEBUG msg="web:b healthy: test (took 0s)"`,
		} {
			b.wantLog(line)
		}
	})
}

// TestGoSupervisord has the flavour that answers faults and calls what has
// stopped BACKOFF.
func TestGoSupervisord(t *testing.T) {
	inBubble(t, failFirst("a"), web("a", "b"), func(cfg *runner.Config) { cfg.Groups = nil }, func(b *bench) {
		b.tick()
		b.wait(5 * time.Second)
		b.wantStarts("web:a", 2)
		b.wantStarts("web:b", 1)
		b.wantNotInLog("level=ERROR")
	}, supervisor.Go)
}

func TestHostileNames(t *testing.T) {
	names := []string{"100%d", "a b", "<b>&amp;", `"quoted" 'both'`, "größe-日本", "-dash", `a\b`, "..", "dir+1", strings.Repeat("long", 60)}
	inBubble(t, failFirst(names...), web(names...), nil, func(b *bench) {
		b.tick()
		b.wait(5 * time.Second)
		for _, name := range names {
			b.wantStarts("web:"+name, 2)
		}
		b.wantNotInLog("level=ERROR")
		b.wantNotInLog("%!")
	})
}

// TestQuiet has nothing but two lines for a day in which all is well.
func TestQuiet(t *testing.T) {
	info := new(buffer)
	inBubble(t, pass, web("a", "b"), func(cfg *runner.Config) {
		cfg.Log = slog.New(slog.NewTextHandler(info, nil))
	}, func(b *bench) {
		for range 24 * 60 {
			if err := b.Tick(time.Minute); err != nil {
				b.t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		if got := strings.Count(info.String(), "\n"); got != 1 {
			b.t.Errorf("%d lines for a quiet day:\n%s", got, info)
		}
	})
}

func TestAcknowledgesAtOnce(t *testing.T) {
	hang := func(ctx context.Context, _ supervisor.Process) checks.Result {
		<-ctx.Done()
		return checks.Unsure(ctx.Err())
	}
	inBubble(t, hang, web("a"), nil, func(b *bench) {
		begun := time.Now()
		for range 20 {
			b.tick()
		}
		if took := time.Since(begun); took != 0 {
			b.t.Errorf("20 ticks took %v, want none to wait for the checks", took)
		}
	})
}

func TestConcurrencyIsBounded(t *testing.T) {
	for _, tt := range []struct{ configured, processes, want int }{
		{configured: 3, processes: 4, want: 3},
		{configured: 0, processes: runner.DefaultConcurrency + 1, want: runner.DefaultConcurrency},
	} {
		var mu sync.Mutex
		var now, most, runs int
		check := func(context.Context, supervisor.Process) checks.Result {
			mu.Lock()
			now++
			runs++
			most = max(most, now)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			now--
			mu.Unlock()
			return checks.Pass()
		}
		var names []string
		for i := range tt.processes {
			names = append(names, fmt.Sprint("p", i))
		}
		inBubble(t, check, web(names...), func(cfg *runner.Config) { cfg.Concurrency = tt.configured }, func(b *bench) {
			b.tick()
			b.wait(2 * time.Second)
			if most != tt.want || runs != tt.processes {
				t.Errorf("%d processes were checked, %d at once, want %d and %d; the log\n%s", runs, most, tt.processes, tt.want, b.log)
			}
			b.wantLog(fmt.Sprintf("up to %d processes at once", tt.want))
		})
	}
}

// TestHangingProcessDoesNotBlindUs leaves a process whose checks go on out of
// rounds, and goes on with the others.
func TestHangingProcessDoesNotBlindUs(t *testing.T) {
	var mu sync.Mutex
	runs := make(map[string]int)
	check := func(_ context.Context, p supervisor.Process) checks.Result {
		mu.Lock()
		runs[p.Name]++
		mu.Unlock()
		if p.Name == "slow" {
			time.Sleep(12 * time.Second)
		}
		return checks.Pass()
	}
	counters := new(runner.Counters)
	inBubble(t, check, web("slow", "fast"), func(c *runner.Config) { c.Counters = counters }, func(b *bench) {
		for range 4 {
			b.tick()
			b.wait(5 * time.Second)
		}
		mu.Lock()
		defer mu.Unlock()
		if runs["slow"] != 2 || runs["fast"] != 4 {
			t.Errorf("in four ticks fast was checked %d times and slow %d times, want 4 and 2", runs["fast"], runs["slow"])
		}
		if ticks, rounds, left := counters.Ticks.Load(), counters.Rounds.Load(), counters.LeftOut.Load(); ticks != 4 || rounds != 4 || left != 2 {
			t.Errorf("counted %d ticks, %d rounds, left out %d times; want 4, 4, 2", ticks, rounds, left)
		}
		if got := strings.Count(b.log.String(), "web:slow is left out"); got != 1 {
			t.Errorf("told %d times that slow is left out, want once", got)
		}
	})
}

// TestRestartsDoNotWaitForEachOther restarts what fails at once although
// another process takes 12 s to stop and a third one is still being checked.
func TestRestartsDoNotWaitForEachOther(t *testing.T) {
	check := func(ctx context.Context, p supervisor.Process) checks.Result {
		switch {
		case p.Name == "hangs":
			time.Sleep(time.Minute)
		case p.PID <= 5000003:
			return checks.Fail(errors.New("it is broken"))
		}
		return checks.Pass()
	}
	programs := web("stubborn", "quick", "hangs")
	programs[0].StopTakes, programs[0].StopWait = 12*time.Second, 20*time.Second
	inBubble(t, check, programs, nil, func(b *bench) {
		b.tick()
		b.wait(2 * time.Second)
		b.wantStarts("web:quick", 2)
		for range 3 {
			b.tick()
			b.wait(5 * time.Second)
		}
		b.wantStarts("web:stubborn", 2)
		if got := b.Process("web:stubborn").State; got != supervisor.Running {
			t.Errorf("the one that takes 12 s to stop is %v", got)
		}
	})
}

func TestUnknownDoesNotRestart(t *testing.T) {
	tests := []struct {
		name  string
		check checkFunc
		log   string
	}{
		{"a check that cannot tell", func(context.Context, supervisor.Process) checks.Result {
			return checks.Unsure(errors.New("no port in the name"))
		}, `level=WARN msg="web:a unknown: test: no port in the name"`},
		{"a check that panics", func(context.Context, supervisor.Process) checks.Result {
			panic("oh no")
		}, `level=WARN msg="web:a unknown: test: the check panicked: oh no"`},
		{"the zero result", func(context.Context, supervisor.Process) checks.Result {
			return checks.Result{}
		}, `level=WARN msg="web:a unknown: test: the check gave no reason"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, tt.check, web("a"), nil, func(b *bench) {
				for range 65 * 12 { // an hour and five minutes
					b.tick()
					b.wait(5 * time.Second)
				}
				b.wantStarts("web:a", 1)
				b.wantLog(tt.log)
				if got := strings.Count(b.log.String(), "level=WARN"); got != 2 {
					t.Errorf("told %d times in an hour and five minutes, want when it began and once more", got)
				}
			})
		})
	}
}

func TestUnhealthyBeatsUnknown(t *testing.T) {
	unsure := checkFunc(func(context.Context, supervisor.Process) checks.Result { return checks.Unsure(errors.New("?")) })
	inBubble(t, failFirst("a"), web("a"), func(cfg *runner.Config) {
		cfg.Checks = append([]checks.Check{checks.Func("first", func(context.Context, supervisor.Process) error { return nil }), named{"unsure", unsure}}, cfg.Checks...)
	}, func(b *bench) {
		b.tick()
		b.wait(5 * time.Second)
		b.wantStarts("web:a", 2)
	})
}

type named struct {
	name string
	checkFunc
}

func (n named) Name() string { return n.name }

// TestSupervisordCannotBeAsked tells of trouble when it begins, when it
// changes and when it ends, and not at each tick.
func TestSupervisordCannotBeAsked(t *testing.T) {
	inBubble(t, pass, web("a"), nil, func(b *bench) {
		b.Intercept(func(supervisortest.Call) supervisortest.Fate { return supervisortest.Fate{Status: 500} })
		for range 10 {
			b.tick()
			b.wait(5 * time.Second)
		}
		b.Intercept(func(supervisortest.Call) supervisortest.Fate { return supervisortest.Fate{Status: 401} })
		b.tick()
		b.Intercept(nil)
		b.tick()
		for text, want := range map[string]int{
			"level=ERROR": 2, "HTTP 500": 1, "401 Unauthorized: supervisord does not hand its credentials": 1, "the trouble has ended": 1,
		} {
			if got := strings.Count(b.log.String(), text); got != want {
				t.Errorf("the log has %q %d times, want %d:\n%s", text, got, want, b.log)
			}
		}
	})
}

// TestSlowSupervisord has one round at a time wait for supervisord's answer.
func TestSlowSupervisord(t *testing.T) {
	counters := new(runner.Counters)
	inBubble(t, pass, web("a"), func(c *runner.Config) { c.Counters = counters }, func(b *bench) {
		var lists atomic.Int32
		b.Intercept(func(c supervisortest.Call) supervisortest.Fate {
			if c.Method != "supervisor.getAllProcessInfo" {
				return supervisortest.Fate{}
			}
			lists.Add(1)
			return supervisortest.Fate{Delay: 12 * time.Second}
		})
		for range 3 {
			b.tick()
			b.wait(5 * time.Second)
		}
		if lists.Load() != 1 {
			t.Errorf("asked %d times, want once", lists.Load())
		}
		b.tick()
		if lists.Load() != 2 {
			t.Errorf("asked %d times when the answer had come, want twice", lists.Load())
		}
		if ticks, coalesced, rounds := counters.Ticks.Load(), counters.Coalesced.Load(), counters.Rounds.Load(); ticks != 4 || coalesced != 2 || rounds != 1 {
			t.Errorf("counted %d ticks, %d coalesced, %d rounds, want 4, 2, 1", ticks, coalesced, rounds)
		}
	})
}

func TestShuttingDownEndsOnlyTheRound(t *testing.T) {
	inBubble(t, fail, web("a"), nil, func(b *bench) {
		b.Shutdown()
		b.tick()
		b.wait(5 * time.Second)
		b.tick()
		b.wantStarts("web:a", 1)
		b.wantLog("no round: supervisord is shutting down")
		b.wantNotInLog("level=ERROR")
	})
}

func TestEnding(t *testing.T) {
	hang := func(ctx context.Context, _ supervisor.Process) checks.Result {
		<-ctx.Done()
		return checks.Fail(ctx.Err()) // which is not about the process
	}
	deaf := func(context.Context, supervisor.Process) checks.Result {
		time.Sleep(10 * time.Second)
		return checks.Fail(errors.New("too late"))
	}
	always := func(check checkFunc) func() checkFunc { return func() checkFunc { return check } }
	stubborn := web("a")
	stubborn[0].StopTakes = 4 * time.Second
	ways := map[string]func(b *bench){
		"SIGTERM": func(b *bench) { b.stop(errors.New("told to by SIGTERM")) },
		"EOF":     func(b *bench) { b.Hangup() },
	}
	tests := []struct {
		name     string
		check    func() checkFunc
		programs []supervisortest.Program
		wait     time.Duration // after the tick
		within   time.Duration
		starts   int
	}{
		{name: "idle", check: always(pass), programs: web("a"), wait: time.Second, starts: 1},
		{name: "in the middle of a check", check: always(hang), programs: web("a"), wait: time.Second, starts: 1},
		{name: "in the middle of a check that does not listen", check: always(deaf), programs: web("a"), wait: time.Second, within: time.Second, starts: 1},
		{name: "in the middle of a restart, while it stops", check: always(fail), programs: stubborn, wait: time.Second, within: 3500 * time.Millisecond, starts: 2}, // three seconds, and a pause between two looks
		{name: "in the middle of a restart, while it starts", check: func() checkFunc { return failFirst("a") }, programs: stubborn, wait: 4500 * time.Millisecond, within: 250 * time.Millisecond, starts: 2},
	}
	for _, tt := range tests {
		for way, end := range ways {
			t.Run(way+" "+tt.name, func(t *testing.T) {
				inBubble(t, tt.check(), tt.programs, nil, func(b *bench) {
					b.tick()
					b.wait(tt.wait)
					end(b)
					took, err := b.end()
					if err != nil || took > tt.within {
						t.Errorf("Run: %v after %v, want nil within %v", err, took, tt.within)
					}
					b.wait(20 * time.Second)
					if tt.starts == 1 {
						b.wantNotInLog("unhealthy") // a check that was cut short says nothing
					}
					b.wantStarts("web:a", tt.starts)
					if got := b.Process("web:a").State; got != supervisor.Running {
						t.Errorf("web:a is %v", got)
					}
				})
			})
		}
	}
}

func TestEndsWhenSupervisordForgetsIt(t *testing.T) {
	inBubble(t, pass, web("a"), nil, func(b *bench) {
		b.tick()
		if took, err := b.end(); !errors.Is(err, listener.ErrSilent) || took != 15*time.Second {
			t.Errorf("Run: %v after %v, want ErrSilent after three periods", err, took)
		}
	})
}

func TestSelection(t *testing.T) {
	programs := []supervisortest.Program{
		{Group: "web", Name: "a"}, {Group: "web", Name: "b"}, {Group: "db", Name: "a"}, {Name: "single"},
		{Name: "lis", Listener: true},
		{Name: "ours", Command: "/opt/bin/supervisor_tcp_check -n x -p 80"},
		{Name: "wrapped", Command: `sh -c "exec env A=1 /opt/bin/supervisor_http_check -n x"`},
	}
	tests := []struct {
		name              string
		groups, processes []string
		self              string
		want              []string
	}{
		{name: "a group", groups: []string{"web"}, want: []string{"web:a", "web:b"}},
		{name: "two groups", groups: []string{"web", "db"}, want: []string{"db:a", "web:a", "web:b"}},
		{name: "a bare name", processes: []string{"single"}, want: []string{"single"}},
		{name: "a bare name that is in a group", processes: []string{"a"}},
		{name: "a name in a group", processes: []string{"db:a"}, want: []string{"db:a"}},
		{name: "a whole group as a process", processes: []string{"web:*"}, want: []string{"web:a", "web:b"}},
		{name: "a whole group, briefly", processes: []string{"web:"}, want: []string{"web:a", "web:b"}},
		{name: "a process beats groups", groups: []string{"web"}, processes: []string{"db:a", "single"}, want: []string{"db:a", "single"}},
		{name: "nothing: all but listeners", want: []string{"db:a", "single", "web:a", "web:b"}},
		{name: "a listener that is named", processes: []string{"lis"}, want: []string{"lis"}},
		{name: "never ourselves", processes: []string{"lis", "single"}, self: "lis", want: []string{"single"}},
		{name: "never ourselves, by group", groups: []string{"web"}, self: "web:b", want: []string{"web:a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.self != "" {
				group, name := supervisor.SplitNamespec(tt.self)
				t.Setenv("SUPERVISOR_GROUP_NAME", group)
				t.Setenv("SUPERVISOR_PROCESS_NAME", name)
			}
			var mu sync.Mutex
			var got []string
			check := func(_ context.Context, p supervisor.Process) checks.Result {
				mu.Lock()
				defer mu.Unlock()
				got = append(got, p.Namespec())
				return checks.Pass()
			}
			inBubble(t, check, programs, func(cfg *runner.Config) { cfg.Groups, cfg.Processes = tt.groups, tt.processes }, func(b *bench) {
				b.tick()
				slices.Sort(got)
				if !slices.Equal(got, tt.want) {
					t.Errorf("checked %q, want %q", got, tt.want)
				}
				if tt.want == nil {
					b.wantLog(`no process matches`)
				}
				if len(tt.groups)+len(tt.processes) == 0 {
					b.wantLog(`level=WARN msg="neither -g nor -N was given: every process is watched: web:a, web:b, db:a, single; ` +
						`left out: lis (it looks like an event listener (priority -1)), ours (its command runs supervisor_tcp_check), ` +
						`wrapped (its command runs supervisor_http_check)"`)
				}
			})
		})
	}
}

// The configuration is asked for when there are new processes, and not each
// round.
func TestConfigurationIsAskedForWhenItChanges(t *testing.T) {
	inBubble(t, pass, web("a"), func(cfg *runner.Config) { cfg.Groups = nil }, func(b *bench) {
		want := func(want int) {
			t.Helper()
			got := 0
			for _, call := range b.Calls() {
				if call.Method == "supervisor.getAllConfigInfo" {
					got++
				}
			}
			if got != want {
				t.Errorf("it was asked for %d times, want %d", got, want)
			}
		}
		for range 3 {
			b.tick()
			b.wait(5 * time.Second)
			want(1)
		}
		b.Add(web("b")[0])
		for range 3 {
			b.tick()
			b.wait(5 * time.Second)
			want(2)
		}
	})
}

func TestSelectorThatMatchesNothing(t *testing.T) {
	inBubble(t, pass, web("a"), func(cfg *runner.Config) { cfg.Processes = []string{"web:a", "web:b"} }, func(b *bench) {
		count := func(want int) {
			t.Helper()
			if got := strings.Count(b.log.String(), `no process matches \"web:b\"`); got != want {
				t.Errorf("warned %d times, want %d", got, want)
			}
		}
		for range 3 {
			b.tick()
		}
		count(1)
		b.Add(supervisortest.Program{Group: "web", Name: "b"})
		b.tick()
		b.wantLog(`there is a process now that matches \"web:b\"`)
		b.Remove("web:b")
		b.tick()
		b.tick()
		count(2)
	})
}

func TestOnlyRunningProcessesAreChecked(t *testing.T) {
	programs := web("a")
	programs[0].Stopped = true
	inBubble(t, fail, programs, nil, func(b *bench) {
		b.tick()
		b.wantStarts("web:a", 0)
		b.wantNotInLog("unhealthy")
	})
}

// TestChangesDuringACheck has somebody act on a process while its check, which
// will fail, goes on.
func TestChangesDuringACheck(t *testing.T) {
	tests := []struct {
		name   string
		act    func(b *bench)
		starts int
	}{
		{"restarted by somebody else", func(b *bench) { b.Exit("web:a", true) }, 2},
		{"stopped by the operator", func(b *bench) { b.Operator(supervisortest.OperatorStop, "web:a") }, 1},
		{"ended", func(b *bench) { b.Exit("web:a", false) }, 1},
		{"gone", func(b *bench) { b.Remove("web:a") }, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			check := func(context.Context, supervisor.Process) checks.Result {
				time.Sleep(4 * time.Second)
				return checks.Fail(errors.New("no answer"))
			}
			inBubble(t, check, web("a"), nil, func(b *bench) {
				b.tick()
				b.wait(2 * time.Second)
				tt.act(b)
				b.wait(2 * time.Minute)
				b.wantStarts("web:a", tt.starts)
				b.wantLog("level=INFO msg=\"web:a not restarted: ")
			})
		})
	}
}

func TestDryRun(t *testing.T) {
	var dir string
	inBubble(t, fail, web("a"), func(cfg *runner.Config) {
		cfg.DryRun = true
		dir = cfg.StateDir
	}, func(b *bench) {
		for range 12 {
			b.tick()
			b.wait(5 * time.Second)
		}
		b.wantStarts("web:a", 1)
		const want = `level=WARN msg="web:a would be restarted (pid 5000001), but this is a dry run: test: it is broken"`
		if got := strings.Count(b.log.String(), want); got != 1 {
			t.Errorf("told %d times in a minute, want once:\n%s", got, b.log)
		}
		if files, _ := filepath.Glob(filepath.Join(dir, "*", "*")); len(files) > 0 {
			t.Errorf("it has left %q", files)
		}
	})
	err := runner.Run(t.Context(), runner.Config{DryRun: true, StateDir: "/dev/null/nothing", Checks: []checks.Check{checkFunc(pass)},
		Server: supervisor.Config{URL: "http://x"}, Stdin: strings.NewReader(""), Stdout: io.Discard})
	var refused *runner.ConfigError
	if !errors.As(err, &refused) {
		t.Errorf("a state folder that cannot be used: %v, want it refused as without a dry run", err)
	}
}

// TestStateDirectory tells of one that cannot be used.
func TestStateDirectory(t *testing.T) {
	foreign := t.TempDir()
	os.Chmod(foreign, 0o777)
	t.Setenv("STATE_DIRECTORY", foreign)
	t.Setenv("HOME", t.TempDir())
	log := new(buffer)
	inBubble(t, pass, nil, func(cfg *runner.Config) {
		cfg.StateDir, cfg.DryRun = "", true
		cfg.Log = slog.New(slog.NewTextHandler(log, nil))
	}, func(b *bench) {
		b.log = log
		b.wantLog("its state is not in $STATE_DIRECTORY, " + foreign + ", which cannot be used")
	})
}

// TestDryRunKeepsItsPolicy says what would be done under limits as though it had been.
func TestDryRunKeepsItsPolicy(t *testing.T) {
	inBubble(t, fail, web("a"), func(cfg *runner.Config) {
		cfg.DryRun = true
		cfg.Policy = runner.Policy{FailureThreshold: runner.Threshold{Failures: 2}, RestartLimit: runner.RestartLimit{Restarts: 2, Within: time.Hour},
			RestartLimitThen: runner.ThenStop, Backoff: runner.Backoff{Initial: 20 * time.Second}}
	}, func(b *bench) {
		for range 24 {
			b.tick()
			b.wait(5 * time.Second)
		}
		b.wantStarts("web:a", 1)
		var told []string
		for _, m := range regexp.MustCompile(`msg="web:a (would be \w+|not restarted now: the pause after restart \d is \w+)`).FindAllStringSubmatch(b.log.String(), -1) {
			told = append(told, m[1])
		}
		want := []string{"would be restarted", "not restarted now: the pause after restart 1 is 20s", "would be restarted", "would be stopped"}
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("(-want +told)\n%s\n%s", diff, b.log)
		}
	})
}

// TestRestartThatCannotBegin tells so once, and does not touch the process.
func TestRestartThatCannotBegin(t *testing.T) {
	inBubble(t, fail, web("a"), nil, func(b *bench) {
		b.Intercept(func(c supervisortest.Call) supervisortest.Fate {
			return supervisortest.Fate{Fault: map[string]*supervisor.Fault{
				"supervisor.getProcessInfo": {Code: supervisor.FaultFailed, Text: "FAILED"},
			}[c.Method]}
		})
		for range 12 {
			b.tick()
			b.wait(5 * time.Second)
		}
		b.wantStarts("web:a", 1)
		if got := strings.Count(b.log.String(), `level=ERROR msg="web:a not restarted: supervisord refused: FAILED (fault 30)"`); got != 1 {
			t.Errorf("told %d times in a minute, want once:\n%s", got, b.log)
		}
	})
}

// TestLogThatNobodyReads stops taking lines at each point of a restart, as a
// pipe does that is full: nothing may wait for it.
func TestLogThatNobodyReads(t *testing.T) {
	for _, text := range []string{"unhealthy", "is restarted", "has stopped", "runs again"} {
		t.Run(text, func(t *testing.T) {
			blocked := &blockingLog{at: text, release: make(chan struct{})}
			inBubble(t, failFirst("a"), web("a"), func(cfg *runner.Config) {
				cfg.Log = slog.New(slog.NewTextHandler(blocked, nil))
				blocked.release = make(chan struct{}) // of the bubble
			}, func(b *bench) {
				for range 3 {
					b.tick()
					b.wait(5 * time.Second)
				}
				if got := b.Process("web:a").State; got != supervisor.Running || b.Starts("web:a") != 2 {
					t.Errorf("web:a is %v after %d starts, want RUNNING after 2", got, b.Starts("web:a"))
				}
				b.stop(nil)
				if took, err := b.end(); err != nil || took > 2*time.Second {
					t.Errorf("Run: %v after %v", err, took)
				}
				close(blocked.release)
			})
		})
	}
}

type blockingLog struct {
	at      string
	release chan struct{}
}

func (l *blockingLog) Write(p []byte) (int, error) {
	if strings.Contains(string(p), l.at) {
		<-l.release
	}
	return len(p), nil
}

// TestToldAtStart tells what is watched, or what is wrong, without waiting for
// a tick.
func TestToldAtStart(t *testing.T) {
	inBubble(t, pass, web("a"), func(cfg *runner.Config) { cfg.Groups = nil }, func(b *bench) {
		b.wantLog("neither -g nor -N was given: every process is watched: web:a")
	})
	inBubble(t, pass, nil, func(cfg *runner.Config) { cfg.DryRun = true }, func(b *bench) {
		b.wantLog("no process matches")
	})
}

// TestListenerResumes has a listener find what one before it left.
func TestListenerResumes(t *testing.T) {
	dir := t.TempDir()
	os.Chmod(dir, 0o700)
	synctest.Test(t, func(t *testing.T) {
		programs := web("a")
		programs[0].StopTakes = 20 * time.Second
		programs[0].StopWait = 30 * time.Second
		srv := supervisortest.NewServer(supervisor.Python, programs...)
		defer srv.Close()
		log := new(buffer)
		start := func(ctx context.Context, check checkFunc) chan error {
			stdin, stdout := srv.Listener()
			done := make(chan error, 1)
			go func() {
				done <- runner.Run(ctx, runner.Config{
					Groups: []string{"web"}, Checks: []checks.Check{check}, Server: srv.Config(), StateDir: dir,
					Stdin: stdin, Stdout: stdout, Log: slog.New(slog.NewTextHandler(log, nil)),
				})
				stdin.Close()
				stdout.Close()
			}()
			return done
		}
		ctx, stop := context.WithCancel(t.Context())
		first := start(ctx, fail)
		if err := srv.Tick(5 * time.Second); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		stop() // ten seconds are not enough to stop web:a
		if err := <-first; err != nil {
			t.Errorf("Run: %v", err)
		}
		if !strings.Contains(log.String(), "web:a is left in the middle of its restart: context canceled while it is STOPPING; the next listener sees to it that it runs") {
			t.Errorf("the log does not say what is open:\n%s", log)
		}
		ctx, stop = context.WithCancel(t.Context())
		second := start(ctx, pass)
		time.Sleep(time.Minute)
		if got := srv.Process("web:a").State; got != supervisor.Running || srv.Starts("web:a") != 2 {
			t.Errorf("web:a is %v after %d starts, want RUNNING after 2; the log:\n%s", got, srv.Starts("web:a"), log)
		}
		stop()
		<-second
	})
}

func TestSinks(t *testing.T) {
	sink := &memorySink{}
	inBubble(t, failFirst("a"), web("a"), func(cfg *runner.Config) { cfg.Sinks = []record.Sink{sink} }, func(b *bench) {
		b.tick()
		b.wait(5 * time.Second)
		b.stop(nil)
		b.end()
		var got []string
		for _, r := range sink.records {
			got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s", r.Kind, r.Status, r.Action)))
		}
		want := []string{"listener  started", "check_result unhealthy", "transition unhealthy", "restart  stopping", "restart  starting", "restart  running", "listener  ended"}
		if !slices.Equal(got, want) || !sink.closed {
			t.Errorf("got %q, closed %v, want %q", got, sink.closed, want)
		}
	})
}

func TestSlowSinkDoesNotHoldUsUp(t *testing.T) {
	sink := &memorySink{pause: time.Hour}
	counters := new(runner.Counters)
	inBubble(t, pass, web("a", "b", "c"), func(cfg *runner.Config) { cfg.Sinks, cfg.Counters = []record.Sink{sink}, counters }, func(b *bench) {
		for range 500 { // 1,500 records, and one of the start, for 1,024 places, and one that is being written
			b.tick()
		}
		if got := counters.DroppedRecords.Load(); got != 476 {
			t.Errorf("%d records are counted as dropped, want 476", got)
		}
		b.stop(nil)
		if took, _ := b.end(); took > 2*time.Second {
			t.Errorf("took %v to end", took)
		}
		b.wantLog("records dropped at the end")
		time.Sleep(2000 * time.Hour)
	})
}

type memorySink struct {
	records []record.Record
	pause   time.Duration
	closed  bool
}

func (s *memorySink) Write(_ context.Context, r record.Record) error {
	time.Sleep(s.pause)
	s.records = append(s.records, r)
	return nil
}

func (s *memorySink) Close() error {
	s.closed = true
	return nil
}

func TestBadConfig(t *testing.T) {
	check := []checks.Check{checkFunc(pass)}
	server := supervisor.Config{URL: "http://127.0.0.1:9"}
	tests := []struct {
		name string
		cfg  runner.Config
		want string
	}{
		{"no checks", runner.Config{Server: server}, "no checks"},
		{"no address", runner.Config{Checks: check}, supervisor.ErrNoURL.Error()},
		{"a bad concurrency", runner.Config{Checks: check, Server: server, Concurrency: -1}, "concurrency -1 is less than 0"},
		{"half of the protocol", runner.Config{Checks: check, Server: server, Stdin: strings.NewReader("")}, "of Stdin and Stdout, only one is set"},
		{"a bad process", runner.Config{Checks: check, Server: server, Processes: []string{":a"}}, `process ":a": write NAME, GROUP:NAME or GROUP:*`},
		{"a bad group", runner.Config{Checks: check, Server: server, Groups: []string{"web:a"}}, `process group "web:a": write the name of a group`},
		{"a bad state folder", runner.Config{Checks: check, Server: server, StateDir: "/dev/null"}, "the state folder cannot be used: mkdir /dev/null: not a directory"},
	}
	t.Setenv("SUPERVISOR_SERVER_URL", "")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.cfg.Stdin == nil {
				tt.cfg.Stdin, tt.cfg.Stdout = strings.NewReader(""), io.Discard
			}
			err := runner.Run(t.Context(), tt.cfg)
			var config *runner.ConfigError
			if !errors.As(err, &config) || err.Error() != tt.want {
				t.Errorf("got %v, want the ConfigError %q", err, tt.want)
			}
		})
	}
}

// TestSlowProcessIsToldOfOnce has checks that always take longer than a round.
func TestSlowProcessIsToldOfOnce(t *testing.T) {
	check := func(context.Context, supervisor.Process) checks.Result {
		time.Sleep(6 * time.Second)
		return checks.Pass()
	}
	inBubble(t, check, web("slow"), nil, func(b *bench) {
		for range 100 {
			b.tick()
			b.wait(5 * time.Second)
		}
		if got := strings.Count(b.log.String(), "web:slow is left out"); got != 1 {
			t.Errorf("told %d times that slow is left out, want once", got)
		}
	})
}

// TestGoneProcessIsForgotten has processes come back under names that there were
// before: what was known of them is not true any more.
func TestGoneProcessIsForgotten(t *testing.T) {
	programs := []supervisortest.Program{{Name: "a", StopTakes: 2 * time.Second}, {Name: "b"}}
	check := func(ctx context.Context, p supervisor.Process) checks.Result {
		if p.Name == "a" {
			return fail(ctx, p)
		}
		return checks.Pass()
	}
	inBubble(t, check, programs, func(cfg *runner.Config) { cfg.Groups = nil }, func(b *bench) {
		const skipped = "a not restarted: supervisord no longer has it"
		for i := range 3 {
			b.tick()
			b.wait(time.Second)
			b.Remove("a")
			b.wait(4 * time.Second)
			if got := strings.Count(b.log.String(), skipped); got != i+1 {
				t.Errorf("%d lines %q, want %d:\n%s", got, skipped, i+1, b.log)
			}
			b.tick() // without it
			b.wait(5 * time.Second)
			b.Add(programs[0])
		}
		b.Remove("a")
		b.tick()
		b.wait(5 * time.Second)
		b.Add(supervisortest.Program{Name: "a", Listener: true})
		b.tick()
		b.wantLog(`every process is watched: b; left out: a (it looks like an event listener`)
	})
}

// TestSupervisordIsSlowAtFirst has the first round begin while supervisord has
// not yet answered what is asked at the start.
func TestSupervisordIsSlowAtFirst(t *testing.T) {
	inBubble(t, fail, web("a"), nil, func(b *bench) {
		b.stop(nil)
		b.end()
		b.Intercept(func(supervisortest.Call) supervisortest.Fate { return supervisortest.Fate{Delay: 10 * time.Second} })
		stdin, stdout := b.Listener()
		ctx, stop := context.WithCancel(b.t.Context())
		defer stop()
		dir := b.t.TempDir()
		os.Chmod(dir, 0o700)
		go func() {
			b.result <- runner.Run(ctx, runner.Config{
				Groups: []string{"web"}, Checks: []checks.Check{checkFunc(pass)}, Server: b.Config(), StateDir: dir,
				Log: slog.New(slog.NewTextHandler(b.log, nil)), Stdin: stdin, Stdout: stdout,
			})
		}()
		b.tick()
		b.wait(time.Second)
		stop()
		if took, err := b.end(); took > 2*time.Second || err != nil {
			t.Errorf("it took %v to end, error %v", took, err)
		}
		stdin.Close()
		stdout.Close()
	})
}
