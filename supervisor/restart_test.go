package supervisor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/supervisor-checks/supervisor-checks/supervisor"
	"github.com/supervisor-checks/supervisor-checks/supervisor/supervisortest"
)

// both runs a test against either flavour of supervisord, in fake time.
func both(t *testing.T, test func(t *testing.T, flavour supervisor.Flavour)) {
	for _, flavour := range []supervisor.Flavour{supervisor.Python, supervisor.Go} {
		t.Run(string(flavour), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, flavour) })
		})
	}
}

// bench is a supervisord with one process and what is needed to restart it.
type bench struct {
	*supervisortest.Server
	t         *testing.T
	dir       string
	client    *supervisor.Client
	restarter *supervisor.Restarter
	steps     []string
	onStop    func() // called when supervisord is about to be told to stop the process
}

const worker = "web:worker" // the process of a bench

func newBench(t *testing.T, flavour supervisor.Flavour, program supervisortest.Program) *bench {
	t.Helper()
	program.Group, program.Name = "web", "worker"
	b := &bench{Server: supervisortest.NewServer(flavour, program), t: t, dir: t.TempDir()}
	os.Chmod(b.dir, 0o700)
	t.Cleanup(b.Close)
	var err error
	if b.client, err = supervisor.NewClient(b.Config()); err != nil {
		t.Fatal(err)
	}
	if b.restarter, err = supervisor.NewRestarter(t.Context(), b.client, b.dir); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) process() supervisor.Process {
	b.t.Helper()
	p, err := b.client.Process(b.t.Context(), worker)
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

func (b *bench) tell(s supervisor.Step) {
	b.steps = append(b.steps, strings.TrimSpace(fmt.Sprintf("%s %v", s.Name, s.Err)))
	if s.Name == supervisor.StepStopping && b.onStop != nil {
		b.onStop()
	}
}

func (b *bench) restart(ctx context.Context) (supervisor.Process, error) {
	b.t.Helper()
	return b.restarter.Restart(ctx, b.process(), supervisor.Plan{Tell: b.tell})
}

// wantRestarted restarts the process and expects it to run anew, and no trace
// of it in the journal.
func (b *bench) wantRestarted() {
	b.t.Helper()
	before := b.process()
	ctx, cancel := context.WithTimeout(b.t.Context(), 24*time.Hour) // else a start that never comes is tried for ever
	defer cancel()
	after, err := b.restart(ctx)
	if err != nil {
		b.t.Fatalf("Restart: %v (steps %q)", err, b.steps)
	}
	if after.PID == before.PID || after.State != supervisor.Running {
		b.t.Errorf("Restart returned %v with pid %d, after pid %d", after.State, after.PID, before.PID)
	}
	if now := b.Process(worker); now.PID != after.PID || now.State != supervisor.Running {
		b.t.Errorf("the process is %v with pid %d, want RUNNING with pid %d", now.State, now.PID, after.PID)
	}
	b.wantJournal(0)
}

func (b *bench) wantJournal(want int) {
	b.t.Helper()
	if got := len(intents(b.t, b.dir)); got != want {
		b.t.Errorf("%d intents in the journal, want %d", got, want)
	}
}

func TestRestart(t *testing.T) {
	both(t, func(t *testing.T, flavour supervisor.Flavour) {
		b := newBench(t, flavour, supervisortest.Program{StartTakes: time.Second, StopTakes: 2 * time.Second})
		begun := time.Now()
		b.wantRestarted()
		if took := time.Since(begun); took < 3*time.Second || took > 3500*time.Millisecond {
			t.Errorf("took %v, want the 3 s of stopping and starting and little more", took)
		}
		if got := b.Starts(worker); got != 2 {
			t.Errorf("started %d times, want 2", got)
		}
	})
}

func TestRestartWithFaults(t *testing.T) {
	type fates = map[string]func(number int) supervisortest.Fate
	failed := &supervisor.Fault{Code: supervisor.FaultFailed, Text: "FAILED: unknown problem"}
	first := func(n int, fate supervisortest.Fate) func(int) supervisortest.Fate {
		return func(number int) supervisortest.Fate {
			if number <= n {
				return fate
			}
			return supervisortest.Fate{}
		}
	}
	after := func(n int, fate func(int) supervisortest.Fate) func(int) supervisortest.Fate {
		return func(number int) supervisortest.Fate {
			if number <= n {
				return supervisortest.Fate{}
			}
			return fate(number - n)
		}
	}
	tests := []struct {
		name    string
		program supervisortest.Program
		fates   fates
	}{
		{name: "stop that faults", fates: fates{"stopProcess": first(3, supervisortest.Fate{Fault: failed})}},
		{name: "start that faults twice then works", fates: fates{"startProcess": first(2, supervisortest.Fate{Fault: failed})}},
		{name: "reply of stop lost", fates: fates{"stopProcess": first(1, supervisortest.Fate{LoseReply: true})}},
		{name: "call of stop lost", fates: fates{"stopProcess": first(2, supervisortest.Fate{LoseCall: true})}},
		{name: "reply of start lost", fates: fates{"startProcess": first(1, supervisortest.Fate{LoseReply: true})}},
		{name: "call of start lost", fates: fates{"startProcess": first(4, supervisortest.Fate{LoseCall: true})}},
		{name: "both answers truncated", fates: fates{
			"stopProcess":  first(1, supervisortest.Fate{Truncate: true}),
			"startProcess": first(1, supervisortest.Fate{Truncate: true}),
		}},
		{name: "supervisord answers 500 for a while", fates: fates{
			"startProcess":   first(5, supervisortest.Fate{Status: 500, Body: "oops"}),
			"getProcessInfo": after(3, first(9, supervisortest.Fate{Status: 500})),
		}},
		{name: "every call takes 2 s", fates: fates{
			"stopProcess":    first(99, supervisortest.Fate{Delay: 2 * time.Second}),
			"startProcess":   first(99, supervisortest.Fate{Delay: 2 * time.Second}),
			"getProcessInfo": first(99, supervisortest.Fate{Delay: 2 * time.Second}),
		}},
		{name: "no call is answered in time for a while", fates: fates{
			"startProcess": first(2, supervisortest.Fate{Delay: time.Minute, LoseCall: true}),
		}},
		{name: "the process fails to start twice", program: supervisortest.Program{
			StartTakes: time.Second, Startup: 100 * time.Millisecond,
			Fails: func(start int) bool { return start == 2 || start == 3 },
		}},
		{name: "supervisord itself tries again", program: supervisortest.Program{
			StartTakes: time.Second, Startup: 100 * time.Millisecond, Retries: 3,
			Fails: func(start int) bool { return start == 2 || start == 3 },
		}},
		{name: "the process is killed in the end", program: supervisortest.Program{
			StopTakes: time.Hour, StopWait: 30 * time.Second,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			both(t, func(t *testing.T, flavour supervisor.Flavour) {
				b := newBench(t, flavour, tt.program)
				b.Intercept(func(c supervisortest.Call) supervisortest.Fate {
					if fate := tt.fates[strings.TrimPrefix(c.Method, "supervisor.")]; fate != nil {
						return fate(c.Number)
					}
					return supervisortest.Fate{}
				})
				b.wantRestarted()
			})
		})
	}
}

// TestSupervisordTriesItself leaves a process that fails to start to
// supervisord as long as that tries on its own.
func TestSupervisordTriesItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, supervisor.Python, supervisortest.Program{
			StartTakes: time.Second, Startup: 100 * time.Millisecond, Retries: 3,
			Fails: func(start int) bool { return start > 1 && start < 5 },
		})
		time.Sleep(2 * time.Second) // so that the runs differ in their second of start
		b.wantRestarted()
		if got, want := strings.Join(b.steps, ", "), "stopping <nil>, starting <nil>, running <nil>"; got != want {
			t.Errorf("steps %s, want %s", got, want)
		}
		if got := b.Starts(worker); got != 5 {
			t.Errorf("started %d times, want 5", got)
		}
	})
}

func TestStartThatNeverWorks(t *testing.T) {
	both(t, func(t *testing.T, flavour supervisor.Flavour) {
		b := newBench(t, flavour, supervisortest.Program{
			StartTakes: time.Second, Startup: 100 * time.Millisecond, Fails: func(start int) bool { return start > 1 },
		})
		ctx, cancel := context.WithCancelCause(t.Context())
		starts := 0
		time.AfterFunc(10*time.Minute, func() {
			starts = b.Starts(worker)
			cancel(errors.New("enough"))
		})
		_, err := b.restart(ctx)
		// Which of its states that meets depends on the goroutines' order.
		if err == nil || !regexp.MustCompile("^enough while it is (FATAL|STARTING|BACKOFF|EXITED); the next listener sees to it that it runs$").MatchString(err.Error()) {
			t.Errorf("Restart: %v, want it to go on until it is told to end", err)
		}
		// 0.5+1+2+4+8+16 s, then every 30 s
		if starts < 22 || starts > 30 {
			t.Errorf("started %d times in ten minutes, want about 25", starts)
		}
		b.wantJournal(1)
	})
}

func TestRestartOfAnotherRun(t *testing.T) {
	tests := []struct {
		name   string
		change func(b *bench)
	}{
		{"restarted by somebody else", func(b *bench) { b.Exit(worker, true) }},
		{"stopped by the operator", func(b *bench) { b.Operator(supervisortest.OperatorStop, worker) }},
		{"gone from the configuration", func(b *bench) { b.Remove(worker) }},
	}
	for _, tt := range tests {
		t.Run(tt.name+" before the restart", func(t *testing.T) {
			both(t, func(t *testing.T, flavour supervisor.Flavour) {
				b := newBench(t, flavour, supervisortest.Program{})
				p := b.process()
				time.Sleep(2 * time.Second)
				tt.change(b)
				time.Sleep(time.Second) // after which the Go supervisord calls it BACKOFF
				before, starts := b.Process(worker), b.Starts(worker)
				_, err := b.restarter.Restart(t.Context(), p, supervisor.Plan{Tell: b.tell})
				var changed *supervisor.ChangedError
				if !errors.As(err, &changed) {
					t.Errorf("Restart: %v, want a ChangedError", err)
				}
				if now := b.Process(worker); now != before || b.Starts(worker) != starts {
					t.Errorf("the process was touched: %+v, then %+v", before, now)
				}
				b.wantJournal(0)
			})
		})
	}
}

func TestOperatorActsDuringRestart(t *testing.T) {
	tests := []struct {
		name    string
		program supervisortest.Program
		at      string // the call after which the operator acts
		act     func(b *bench)
		want    supervisor.State
	}{
		{"stops it just before us", supervisortest.Program{}, "getAllConfigInfo",
			func(b *bench) { b.Operator(supervisortest.OperatorStop, worker) }, supervisor.Stopped},
		{"stops it while it fails to start", supervisortest.Program{
			StartTakes: 10 * time.Second, Startup: 9 * time.Second, Fails: func(start int) bool { return start > 1 },
		}, "startProcess", func(b *bench) { b.Operator(supervisortest.OperatorStop, worker) }, supervisor.Stopped},
		{"starts it before us", supervisortest.Program{StopTakes: 1050 * time.Millisecond}, "stopProcess",
			func(b *bench) { // between two looks
				time.AfterFunc(1051*time.Millisecond, func() { b.Operator(supervisortest.OperatorStart, worker) })
			}, supervisor.Running},
		{"takes it out of the configuration", supervisortest.Program{StopTakes: time.Second}, "stopProcess",
			func(b *bench) { b.Remove(worker) }, supervisor.Stopped},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, supervisor.Python, tt.program)
				time.Sleep(2 * time.Second)
				b.Intercept(func(c supervisortest.Call) supervisortest.Fate {
					if c.Method == "supervisor."+tt.at && c.Number == 1 {
						return supervisortest.Fate{Then: func() { tt.act(b) }}
					}
					return supervisortest.Fate{}
				})
				_, err := b.restart(t.Context())
				var changed *supervisor.ChangedError
				if !errors.As(err, &changed) {
					t.Errorf("Restart: %v, want a ChangedError", err)
				}
				time.Sleep(time.Minute)
				if got := b.Process(worker).State; got != tt.want {
					t.Errorf("a minute later it is %v, want %v", got, tt.want)
				}
				b.wantJournal(0)
			})
		})
	}
}

// TestToldToEnd ends a restart at each of its stages.
func TestToldToEnd(t *testing.T) {
	terminated := errors.New("terminated")
	tests := []struct {
		name     string
		after    time.Duration // of stopping, which takes 4 s, and starting, which takes 2 s
		fates    func(supervisortest.Call) supervisortest.Fate
		within   time.Duration
		intents  int
		err      error
		state    supervisor.State // when Restart has returned
		finished supervisor.State // and a minute later
	}{
		{name: "before it was told to stop", after: time.Second, fates: func(c supervisortest.Call) supervisortest.Fate {
			return supervisortest.Fate{Fault: refuse(c, "stopProcess")}
		}, within: 10 * time.Millisecond, intents: 0, err: terminated, state: supervisor.Running, finished: supervisor.Running},
		{name: "while it stops", after: time.Second,
			within: 4 * time.Second, intents: 1, err: terminated, state: supervisor.Starting, finished: supervisor.Running},
		{name: "while it starts", after: 5 * time.Second,
			within: time.Second, intents: 1, err: terminated, state: supervisor.Starting, finished: supervisor.Running},
		{name: "when it has run for long", after: time.Minute,
			within: 0, intents: 0, state: supervisor.Running, finished: supervisor.Running},
		{name: "and it cannot be started", after: 5 * time.Second, fates: func(c supervisortest.Call) supervisortest.Fate {
			return supervisortest.Fate{Fault: refuse(c, "startProcess")}
		}, within: supervisor.Grace, intents: 1, err: terminated, state: supervisor.Stopped, finished: supervisor.Stopped},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, supervisor.Python, supervisortest.Program{StopTakes: 4 * time.Second, StartTakes: 2 * time.Second})
				if tt.fates != nil {
					b.Intercept(tt.fates)
				}
				ctx, cancel := context.WithCancelCause(t.Context())
				begun := time.Now()
				time.AfterFunc(tt.after, func() { cancel(terminated) })
				_, err := b.restart(ctx)
				if !errors.Is(err, tt.err) {
					t.Errorf("Restart: %v, want %v", err, tt.err)
				}
				if took := time.Since(begun) - tt.after; took > tt.within {
					t.Errorf("took %v more, want at most %v", took, tt.within)
				}
				b.wantJournal(tt.intents)
				if got := b.Process(worker).State; got != tt.state {
					t.Errorf("left it %v, want %v", got, tt.state)
				}
				time.Sleep(time.Minute)
				if got := b.Process(worker).State; got != tt.finished {
					t.Errorf("a minute later it is %v, want %v", got, tt.finished)
				}
			})
		})
	}
}

// refuse faults the calls of one method.
func refuse(c supervisortest.Call, method string) *supervisor.Fault {
	if c.Method != "supervisor."+method {
		return nil
	}
	return &supervisor.Fault{Code: supervisor.FaultFailed, Text: "FAILED"}
}

func TestSupervisordShutsDown(t *testing.T) {
	for _, at := range []string{"getProcessInfo", "getAllConfigInfo"} {
		t.Run("at "+at, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, supervisor.Python, supervisortest.Program{})
				b.Intercept(func(c supervisortest.Call) supervisortest.Fate {
					return supervisortest.Fate{Then: func() {
						if c.Method == "supervisor."+at {
							b.Shutdown()
						}
					}}
				})
				if _, err := b.restart(t.Context()); !errors.Is(err, supervisor.ErrShuttingDown) {
					t.Errorf("Restart: %v, want ErrShuttingDown", err)
				}
				b.wantJournal(0)
			})
		})
	}
}

func TestOneRestartAtATime(t *testing.T) {
	both(t, func(t *testing.T, flavour supervisor.Flavour) {
		b := newBench(t, flavour, supervisortest.Program{StopTakes: time.Second, StartTakes: time.Second})
		other, err := supervisor.NewRestarter(t.Context(), b.client, b.dir) // of another listener
		if err != nil {
			t.Fatal(err)
		}
		p := b.process()
		time.AfterFunc(500*time.Millisecond, func() {
			if _, err := other.Restart(t.Context(), p, supervisor.Plan{}); !errors.Is(err, supervisor.ErrBusy) {
				t.Errorf("a second Restart meanwhile: %v, want ErrBusy", err)
			}
		})
		b.wantRestarted()
		var changed *supervisor.ChangedError
		if _, err := other.Restart(t.Context(), p, supervisor.Plan{}); !errors.As(err, &changed) {
			t.Errorf("a second Restart afterwards: %v, want a ChangedError", err)
		}
		if got := b.Starts(worker); got != 2 {
			t.Errorf("started %d times, want 2", got)
		}
	})
}

func TestManyRestartsShareOnePoller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, supervisor.Python, supervisortest.Program{})
		const many = 50
		for i := range many {
			b.Add(supervisortest.Program{Group: "many", Name: fmt.Sprintf("p%d", i), StopTakes: 5 * time.Second, StartTakes: 5 * time.Second})
		}
		before := len(b.Calls())
		done := make(chan error)
		for i := range many {
			p, err := b.client.Process(t.Context(), fmt.Sprintf("many:p%d", i))
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				_, err := b.restarter.Restart(t.Context(), p, supervisor.Plan{})
				done <- err
			}()
		}
		for range many {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		// two looks before, a stop and a start for each, one configuration, and
		// a snapshot every 100 ms for ten seconds
		if got, limit := len(b.Calls())-before, 4*many+1+110; got > limit {
			t.Errorf("%d calls for %d restarts of 10 s, want at most %d", got, many, limit)
		}
	})
}

// TestNewRunMeetsOurStop has the process crash and be started anew in the
// moment between our look and our stop: what we stop then, we start.
func TestNewRunMeetsOurStop(t *testing.T) {
	both(t, func(t *testing.T, flavour supervisor.Flavour) {
		b := newBench(t, flavour, supervisortest.Program{StartTakes: time.Second, StopTakes: time.Second})
		time.Sleep(5 * time.Second)
		b.onStop = func() { b.Exit(worker, true) }
		b.wantRestarted()
		if got := b.Starts(worker); got != 3 {
			t.Errorf("started %d times, want 3", got)
		}
	})
}

// TestPauseBeforeStop has somebody act in the pause after a stop that failed.
func TestPauseBeforeStop(t *testing.T) {
	failed := supervisortest.Fate{Fault: &supervisor.Fault{Code: supervisor.FaultFailed, Text: "FAILED"}}
	tests := []struct {
		name   string
		fate   supervisortest.Fate // of each stop
		act    func(b *bench)
		state  supervisor.State
		starts int
	}{
		{"refused, then restarted by supervisord", failed, func(b *bench) { b.Exit(worker, true) }, supervisor.Running, 2},
		{"refused, then stopped by the operator", failed,
			func(b *bench) { b.Operator(supervisortest.OperatorStop, worker) }, supervisor.Stopped, 1},
		{"lost, then stopped by the operator", supervisortest.Fate{LoseCall: true},
			func(b *bench) { b.Operator(supervisortest.OperatorStop, worker) }, supervisor.Stopped, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, supervisor.Python, supervisortest.Program{StartTakes: time.Second})
				time.Sleep(5 * time.Second)
				b.Intercept(func(c supervisortest.Call) supervisortest.Fate {
					if c.Method != "supervisor.stopProcess" {
						return supervisortest.Fate{}
					}
					if c.Number == 5 { // after which the pause is 8 s
						time.AfterFunc(6*time.Second, func() { tt.act(b) })
					}
					return tt.fate
				})
				_, err := b.restart(t.Context())
				var changed *supervisor.ChangedError
				if !errors.As(err, &changed) {
					t.Errorf("Restart: %v, want a ChangedError", err)
				}
				time.Sleep(time.Minute)
				if got := b.Process(worker).State; got != tt.state || b.Starts(worker) != tt.starts {
					t.Errorf("it is %v after %d starts, want %v after %d", got, b.Starts(worker), tt.state, tt.starts)
				}
				b.wantJournal(0)
			})
		})
	}
}

// TestEndedThenResumed tells a restart to end at a bad moment and has the next
// listener take it up.
func TestEndedThenResumed(t *testing.T) {
	late := func(number int) bool { return number > 5 } // after 15 s of refusals
	refused := supervisortest.Fate{Fault: &supervisor.Fault{Code: supervisor.FaultFailed, Text: "FAILED"}}
	type fates = func(c supervisortest.Call, end func()) supervisortest.Fate
	endAt := func(method string) fates {
		return func(c supervisortest.Call, end func()) supervisortest.Fate {
			if c.Method == "supervisor."+method {
				return supervisortest.Fate{Then: end}
			}
			return supervisortest.Fate{}
		}
	}
	tests := []struct {
		name      string
		flavour   supervisor.Flavour
		program   supervisortest.Program
		fates     fates
		meanwhile func(b *bench)
		state     supervisor.State
	}{
		{name: "a stop of 40 s, to a listener that comes while it goes on", flavour: supervisor.Go,
			program:   supervisortest.Program{StopTakes: 40 * time.Second, StopWait: time.Minute},
			fates:     endAt("stopProcess"),
			meanwhile: func(*bench) { time.Sleep(6 * time.Second) }, state: supervisor.Running},
		{name: "a stop of 40 s, to a listener that comes when it is over", flavour: supervisor.Go,
			program:   supervisortest.Program{StopTakes: 40 * time.Second, StopWait: time.Minute},
			fates:     endAt("stopProcess"),
			meanwhile: func(*bench) { time.Sleep(45 * time.Second) }, state: supervisor.Running},
		{name: "a process that the operator of a Go supervisord stops days later", flavour: supervisor.Go,
			program: supervisortest.Program{StartTakes: 2 * time.Second},
			fates:   endAt("startProcess"),
			meanwhile: func(b *bench) {
				time.Sleep(72 * time.Hour)
				b.Operator(supervisortest.OperatorStop, worker)
				time.Sleep(time.Minute)
			}, state: supervisor.Backoff},
		{name: "a stop of 20 s of which nothing was known", flavour: supervisor.Go,
			program: supervisortest.Program{StopTakes: 20 * time.Second, StopWait: time.Minute},
			fates:   endAt("stopProcess"), state: supervisor.Running},
		{name: "a stop of 20 s when supervisord did not tell its stopwaitsecs", flavour: supervisor.Python,
			program: supervisortest.Program{StopTakes: 20 * time.Second, StopWait: time.Minute},
			fates: func(c supervisortest.Call, end func()) supervisortest.Fate {
				if c.Method == "supervisor.getAllConfigInfo" {
					return supervisortest.Fate{Status: 500}
				}
				return endAt("stopProcess")(c, end)
			}, state: supervisor.Running},
		{name: "a stop that was refused for long", flavour: supervisor.Python,
			program: supervisortest.Program{StopTakes: 9 * time.Second},
			fates: func(c supervisortest.Call, end func()) supervisortest.Fate {
				if c.Method == "supervisor.stopProcess" && !late(c.Number) {
					return refused
				}
				return endAt("stopProcess")(c, end)
			}, state: supervisor.Running},
		{name: "a start that is refused after a late stop", flavour: supervisor.Python,
			program: supervisortest.Program{StopTakes: time.Second},
			fates: func(c supervisortest.Call, end func()) supervisortest.Fate {
				switch {
				case c.Method == "supervisor.stopProcess" && !late(c.Number):
					return refused
				case c.Method == "supervisor.startProcess":
					end()
					return refused
				}
				return supervisortest.Fate{}
			}, state: supervisor.Running},
		{name: "a start that fails afterwards", flavour: supervisor.Python,
			program: supervisortest.Program{StartTakes: 5 * time.Second, Startup: 4 * time.Second, Fails: func(start int) bool { return start == 2 }},
			fates:   endAt("startProcess"), state: supervisor.Running},
		{name: "a process that ends by itself days later", flavour: supervisor.Python,
			program: supervisortest.Program{StartTakes: 2 * time.Second},
			fates:   endAt("startProcess"),
			meanwhile: func(b *bench) {
				time.Sleep(72 * time.Hour)
				b.Exit(worker, false)
			}, state: supervisor.Exited},
		{name: "a stop that a busy supervisord carries out after we have ended", flavour: supervisor.Python,
			program: supervisortest.Program{StopTakes: time.Second, StopWait: 2 * time.Second},
			fates: func(c supervisortest.Call, end func()) supervisortest.Fate {
				if c.Method == "supervisor.stopProcess" {
					end()
					return supervisortest.Fate{Delay: supervisor.Grace + time.Second}
				}
				return supervisortest.Fate{}
			},
			meanwhile: func(*bench) { time.Sleep(5 * time.Second) }, state: supervisor.Running},
		{name: "a stop that a supervisord which is busy for half a minute carries out after we have ended", flavour: supervisor.Python,
			program: supervisortest.Program{StopTakes: time.Second, StopWait: 2 * time.Second},
			fates: func(c supervisortest.Call, end func()) supervisortest.Fate {
				switch {
				case c.Method == "supervisor.stopProcess":
					time.AfterFunc(20*time.Second, end)
					return supervisortest.Fate{Delay: 30 * time.Second}
				case c.Method == "supervisor.getProcessInfo" && c.Number > 2:
					return supervisortest.Fate{Delay: 15 * time.Second}
				}
				return supervisortest.Fate{}
			},
			meanwhile: func(*bench) { time.Sleep(5 * time.Second) }, state: supervisor.Running},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, tt.flavour, tt.program)
				time.Sleep(5 * time.Second)
				ctx, end := context.WithCancel(t.Context())
				b.Intercept(func(c supervisortest.Call) supervisortest.Fate { return tt.fates(c, end) })
				_, err := b.restart(ctx)
				var open *supervisor.OpenError
				if !errors.As(err, &open) || !errors.Is(err, context.Canceled) {
					t.Errorf("Restart: %v, want an OpenError", err)
				}
				b.wantJournal(1)
				b.Intercept(nil)
				if tt.meanwhile != nil {
					tt.meanwhile(b)
				}
				b.restarter.Resume(t.Context(), b.tell, func(supervisor.Process, error) {})
				time.Sleep(time.Hour)
				if got := b.Process(worker).State; got != tt.state {
					t.Errorf("an hour later it is %v, want %v; steps %q", got, tt.state, b.steps)
				}
				b.wantJournal(0)
			})
		})
	}
}

// TestAnswersAreHandedOutAtOnce has two restarts look at once, and supervisord slow to answer
// the second look: what it said to the first one is not kept back until it is old.
func TestAnswersAreHandedOutAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, supervisor.Python, supervisortest.Program{})
		b.Add(supervisortest.Program{Group: "web", Name: "other"})
		processes, err := b.client.Processes(t.Context())
		if err != nil || len(processes) != 2 {
			t.Fatal(processes, err)
		}
		begun := time.Now()
		var looks atomic.Int32
		var stops []time.Duration
		b.Intercept(func(c supervisortest.Call) supervisortest.Fate {
			switch {
			case c.Method == "supervisor.getProcessInfo" && looks.Add(1) == 2:
				return supervisortest.Fate{Delay: 10 * time.Second}
			case c.Method == "supervisor.stopProcess":
				stops = append(stops, time.Since(begun)) // ten seconds apart
			}
			return supervisortest.Fate{}
		})
		var both sync.WaitGroup
		for _, p := range processes {
			both.Go(func() {
				if _, err := b.restarter.Restart(t.Context(), p, supervisor.Plan{}); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		if len(stops) != 2 || stops[0] > time.Second || stops[1] < 10*time.Second {
			t.Errorf("stopped after %v, want one at once", stops)
		}
	})
}

// TestSnapshotWithoutOne has six restarts share a snapshot, of whose processes
// one is taken out of the configuration meanwhile.
func TestSnapshotWithoutOne(t *testing.T) {
	both(t, func(t *testing.T, flavour supervisor.Flavour) {
		b := newBench(t, flavour, supervisortest.Program{StopTakes: 2 * time.Second})
		const others = 5
		done := make(chan error)
		for i := range others {
			name := fmt.Sprint("p", i)
			b.Add(supervisortest.Program{Name: name, StopTakes: 2 * time.Second})
			p, err := b.client.Process(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				_, err := b.restarter.Restart(t.Context(), p, supervisor.Plan{})
				done <- err
			}()
		}
		var before atomic.Int32 // calls, when it was taken out
		time.AfterFunc(time.Second, func() {
			b.Remove(worker)
			before.Store(int32(len(b.Calls())))
		})
		_, err := b.restart(t.Context())
		var changed *supervisor.ChangedError
		if !errors.As(err, &changed) || changed.Now.PID != 0 {
			t.Errorf("Restart: %v, want a ChangedError", err)
		}
		calls := b.Calls()[before.Load():]
		calls = slices.DeleteFunc(calls, func(c supervisortest.Call) bool { return !slices.Contains(c.Args, worker) })
		if len(calls) != 1 || calls[0].Method != "supervisor.getProcessInfo" {
			t.Errorf("calls for what a snapshot did not have: %v, want one getProcessInfo", calls)
		}
		for range others {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		b.wantJournal(0)
	})
}

// TestSnapshotsLeaveSupervisordTime has six restarts wait for a slow stop under a
// supervisord that takes its time for a snapshot: it spends no more than a ninth
// of it on them.
func TestSnapshotsLeaveSupervisordTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const snapshot, stop = 100 * time.Millisecond, 9 * time.Second
		b := newBench(t, supervisor.Python, supervisortest.Program{StopTakes: stop})
		var snapshots atomic.Int32
		b.Intercept(func(c supervisortest.Call) supervisortest.Fate {
			if c.Method != "supervisor.getAllProcessInfo" {
				return supervisortest.Fate{}
			}
			snapshots.Add(1)
			return supervisortest.Fate{Delay: snapshot}
		})
		var all sync.WaitGroup
		for i := range 5 {
			name := fmt.Sprint("p", i)
			b.Add(supervisortest.Program{Name: name, StopTakes: stop})
			p := b.Process(name)
			all.Go(func() {
				if _, err := b.restarter.Restart(t.Context(), p, supervisor.Plan{}); err != nil {
					t.Error(err)
				}
			})
		}
		if _, err := b.restart(t.Context()); err != nil {
			t.Error(err)
		}
		all.Wait()
		if got, most := snapshots.Load(), int32(stop/(9*snapshot))+4; got < 5 || got > most {
			t.Errorf("%d snapshots in %v, want no more than %d", got, stop, most)
		}
	})
}

// TestStopThatDoesNotEnd tells once of a process that does not stop.
func TestStopThatDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, supervisor.Python, supervisortest.Program{StopTakes: time.Minute, StopWait: time.Hour})
		b.Intercept(func(c supervisortest.Call) supervisortest.Fate {
			if c.Method == "supervisor.getAllConfigInfo" {
				return supervisortest.Fate{Status: 500} // so that it is taken for 10 s
			}
			return supervisortest.Fate{}
		})
		b.wantRestarted()
		want := "stopping <nil>, retrying it has not stopped after 15s, and is STOPPING, starting <nil>, running <nil>"
		if got := strings.Join(b.steps, ", "); got != want {
			t.Errorf("steps %s, want %s", got, want)
		}
	})
}

// TestKilledAfterStoppingANewRun has a listener killed when its stop met a run
// that began after its look, and another take that up.
func TestKilledAfterStoppingANewRun(t *testing.T) {
	for _, tt := range []struct {
		name         string
		before, wait time.Duration // after a whole second and the look; after the stop
		stopTakes    time.Duration
	}{
		{name: "while that stops", stopTakes: 3 * time.Second},
		{name: "when that has stopped", wait: time.Second},
		{name: "which began in the next second", before: 999 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			both(t, func(t *testing.T, flavour supervisor.Flavour) {
				b := newBench(t, flavour, supervisortest.Program{StopTakes: tt.stopTakes, StartTakes: 500 * time.Millisecond})
				time.Sleep(5*time.Second + tt.before)
				b.writeIntent(b.process(), "")
				time.Sleep(2 * time.Millisecond)
				b.Exit(worker, true)
				time.Sleep(600 * time.Millisecond)
				b.client.Stop(t.Context(), worker) // whose answer the Go supervisord makes a fault
				time.Sleep(tt.wait)
				b.restarter.Resume(t.Context(), b.tell, func(supervisor.Process, error) {})
				time.Sleep(time.Hour)
				if got := b.Process(worker).State; got != supervisor.Running {
					t.Errorf("it is %v, want RUNNING; steps %q", got, b.steps)
				}
				b.wantJournal(0)
			})
		})
	}
}

// TestLateStop has supervisord carry out a stop after we have given up waiting
// for its answer: what that stops, we start.
func TestLateStop(t *testing.T) {
	t.Run("which meets a new run", func(t *testing.T) {
		both(t, func(t *testing.T, flavour supervisor.Flavour) {
			b := newBench(t, flavour, supervisortest.Program{StopTakes: time.Second})
			time.Sleep(5 * time.Second)
			b.onStop = func() { b.Exit(worker, true) }
			b.Intercept(func(c supervisortest.Call) supervisortest.Fate {
				if c.Method != "supervisor.stopProcess" || c.Number != 1 {
					return supervisortest.Fate{}
				}
				time.AfterFunc(time.Second, func() { b.Operator(supervisortest.OperatorStop, worker) }) // stands for the lost call
				return supervisortest.Fate{LoseCall: true}
			})
			b.wantRestarted()
		})
	})
	t.Run("after it was frozen", func(t *testing.T) {
		both(t, func(t *testing.T, flavour supervisor.Flavour) {
			b := newBench(t, flavour, supervisortest.Program{StopTakes: time.Second})
			time.Sleep(5 * time.Second)
			thaw := time.Now().Add(40 * time.Second)
			var frozen atomic.Bool
			b.Intercept(func(c supervisortest.Call) supervisortest.Fate {
				switch {
				case c.Method == "supervisor.stopProcess" && c.Number == 1:
					frozen.Store(true)
					return supervisortest.Fate{Delay: time.Until(thaw) + 50*time.Millisecond}
				case frozen.Load() && time.Now().Before(thaw):
					return supervisortest.Fate{Delay: time.Until(thaw)}
				}
				return supervisortest.Fate{}
			})
			b.wantRestarted()
		})
	})
}

// TestLateStopIsWrittenDown has a busy supervisord answer a stop late. A listener that is
// killed now must leave behind when that was: else the next one takes it for somebody
// else's.
func TestLateStopIsWrittenDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, supervisor.Python, supervisortest.Program{StopTakes: time.Second, StopWait: time.Second})
		time.Sleep(5 * time.Second)
		var carriedOut atomic.Int64
		var left struct{ At int64 }
		b.Intercept(func(c supervisortest.Call) supervisortest.Fate {
			switch {
			case c.Method == "supervisor.stopProcess":
				return supervisortest.Fate{Delay: 10 * time.Second, Then: func() { carriedOut.Store(time.Now().Unix()) }}
			case carriedOut.Load() != 0 && left.At == 0:
				text, err := os.ReadFile(intents(t, b.dir)[0])
				if err = errors.Join(err, json.Unmarshal(text, &left)); err != nil {
					t.Error(err)
				}
			}
			return supervisortest.Fate{}
		})
		b.wantRestarted()
		if left.At < carriedOut.Load() {
			t.Errorf("at %d the intent says that it was at %d", carriedOut.Load(), left.At)
		}
	})
}

// TestKilledWhileSupervisordIsBusy has a stop carried out after the next listener has come,
// and later than it would have been had supervisord not been busy.
func TestKilledWhileSupervisordIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, supervisor.Python, supervisortest.Program{})
		time.Sleep(5 * time.Second)
		b.writeIntent(b.process(), `,"unseen":true`)
		time.Sleep(time.Minute)
		time.AfterFunc(time.Second, func() { b.client.Stop(t.Context(), worker) })
		b.restarter.Resume(t.Context(), b.tell, func(p supervisor.Process, err error) { t.Errorf("%s: %v", p.Namespec(), err) })
		if got := b.Process(worker).State; got != supervisor.Running || b.Starts(worker) != 2 {
			t.Errorf("it is %v after %d starts, want RUNNING after 2; steps %q", got, b.Starts(worker), b.steps)
		}
		b.wantJournal(0)
	})
}

// TestLeftUnseen has a process not looked at any more when a listener ended: what a frozen
// supervisord may have stopped only when it went on is taken for ours, and nothing else.
func TestLeftUnseen(t *testing.T) {
	const unseen = `,"unseen":true`
	stop := func(b *bench) { b.Operator(supervisortest.OperatorStop, worker) }
	for _, tt := range []struct {
		name, more string
		happens    func(b *bench)
		ago        time.Duration
		want       supervisor.State
	}{
		{"stopped just now", unseen, stop, 30 * time.Second, supervisor.Running},
		{"stopped before that", unseen, stop, 90 * time.Second, supervisor.Stopped},
		{"stopped just now, and had been seen", "", stop, 30 * time.Second, supervisor.Stopped},
		{"ended by itself", unseen, func(b *bench) { b.Exit(worker, false) }, 30 * time.Second, supervisor.Exited},
		{"a new run, stopped just now", unseen, func(b *bench) {
			b.Exit(worker, true)
			time.Sleep(30 * time.Second)
			stop(b)
		}, 5 * time.Second, supervisor.Running},
		{"a new run, stopped after a while", unseen, func(b *bench) {
			b.Exit(worker, true)
			time.Sleep(time.Hour)
			stop(b)
		}, 5 * time.Second, supervisor.Stopped},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, supervisor.Python, supervisortest.Program{})
				time.Sleep(5 * time.Second)
				b.writeIntent(b.process(), tt.more)
				time.Sleep(time.Hour)
				tt.happens(b)
				time.Sleep(tt.ago)
				next, err := supervisor.NewRestarter(t.Context(), b.client, b.dir)
				if err != nil {
					t.Fatal(err)
				}
				next.Resume(t.Context(), b.tell, func(supervisor.Process, error) {})
				if got := b.Process(worker).State; got != tt.want {
					t.Errorf("it is %v, want %v; steps %q", got, tt.want, b.steps)
				}
				b.wantJournal(0)
			})
		})
	}
}

// TestUnseenIsWrittenDown has listeners end, or be killed, when the process has not been looked
// at since supervisord was told to stop it, and when it has.
func TestUnseenIsWrittenDown(t *testing.T) {
	for _, before := range []func(context.Context) error{nil, func(context.Context) error { return nil }} {
		for _, looks := range []int{0, 1} {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, supervisor.Python, supervisortest.Program{StopTakes: time.Minute, StopWait: time.Minute})
				time.Sleep(5 * time.Second)
				ctx, end := context.WithCancel(t.Context())
				var told atomic.Bool
				var after atomic.Int32
				b.Intercept(func(c supervisortest.Call) supervisortest.Fate {
					switch {
					case c.Method == "supervisor.stopProcess":
						if !b.unseen() {
							t.Errorf("call %d of %s: not written before that", c.Number, c.Method)
						}
						if c.Number == 1 {
							return supervisortest.Fate{Fault: &supervisor.Fault{Code: supervisor.FaultFailed, Text: "FAILED"}}
						}
						told.Store(true)
						return supervisortest.Fate{Then: end}
					case told.Load() && int(after.Add(1)) > looks:
						return supervisortest.Fate{LoseCall: true}
					}
					return supervisortest.Fate{}
				})
				_, err := b.restarter.Restart(ctx, b.process(), supervisor.Plan{Tell: b.tell, Before: before})
				if !errors.As(err, new(*supervisor.OpenError)) {
					t.Errorf("Restart: %v, want an OpenError", err)
				}
				if got := b.unseen(); got != (looks == 0) {
					t.Errorf("after %d looks it is unseen: %v", looks, got)
				}
			})
		}
	}
}

// unseen reports whether that is written in the intent.
func (b *bench) unseen() bool {
	b.t.Helper()
	text, err := os.ReadFile(intents(b.t, b.dir)[0])
	if err != nil {
		b.t.Error(err)
	}
	return strings.Contains(string(text), `"unseen":true`)
}

// TestResumeWithoutALook has a listener told to end before supervisord has answered it: it
// does not say of a process what it has not seen.
func TestResumeWithoutALook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, supervisor.Python, supervisortest.Program{})
		b.writeIntent(b.process(), "")
		b.Intercept(func(supervisortest.Call) supervisortest.Fate { return supervisortest.Fate{LoseCall: true} })
		ctx, end := context.WithTimeoutCause(t.Context(), time.Second, errors.New("it is told to"))
		defer end()
		told := ""
		b.restarter.Resume(ctx, b.tell, func(_ supervisor.Process, err error) { told = err.Error() })
		if want := "it is told to while it is UNKNOWN; the next listener sees to it that it runs"; told != want {
			t.Errorf("%q, want %q", told, want)
		}
		b.wantJournal(1)
	})
}

// quietStops makes the server stop the process as the Go supervisord 0.7 does:
// it says that it is RUNNING until it has EXITED.
func (b *bench) quietStops(takes time.Duration) { b.Intercept(b.quietStop(takes)) }

// quietStop returns what does that.
func (b *bench) quietStop(takes time.Duration) func(supervisortest.Call) supervisortest.Fate {
	var stopping atomic.Bool
	return func(c supervisortest.Call) supervisortest.Fate {
		if c.Method != "supervisor.stopProcess" {
			return supervisortest.Fate{}
		}
		if !stopping.Swap(true) {
			time.AfterFunc(takes, func() {
				b.Exit(worker, false)
				stopping.Store(false)
			})
		}
		return accepted
	}
}

// accepted is the answer to a stop or start that has no effect.
var accepted = supervisortest.Fate{Status: 200, Type: "text/xml",
	Body: "<methodResponse><params><param><value><boolean>1</boolean></value></param></params></methodResponse>"}

// TestQuietStop has the Go supervisord 0.7 take its time to stop a process.
func TestQuietStop(t *testing.T) {
	for takes := time.Duration(0); takes < 70*time.Second; takes += max(100*time.Millisecond, takes/10) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, supervisor.Go, supervisortest.Program{StartTakes: time.Second})
			time.Sleep(5 * time.Second)
			b.quietStops(takes)
			b.wantRestarted()
			if got := b.Starts(worker); got != 2 {
				t.Errorf("a stop that takes %v: started %d times, want 2; steps %q", takes, got, b.steps)
			}
		})
	}
}

// TestGoSupervisordIsRemembered has the Go supervisord 0.7 not say who it is any
// more, and take its time to stop a process.
func TestGoSupervisordIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, supervisor.Go, supervisortest.Program{StartTakes: time.Second})
		time.Sleep(5 * time.Second)
		b.wantRestarted()
		b.steps = nil
		time.Sleep(time.Hour)
		quietStop := b.quietStop(9 * time.Second)
		b.Intercept(func(c supervisortest.Call) supervisortest.Fate {
			if c.Method == "supervisor.getPID" {
				return supervisortest.Fate{Status: 500}
			}
			return quietStop(c)
		})
		b.wantRestarted()
		if got, want := strings.Join(b.steps, ", "), "stopping <nil>, starting <nil>, running <nil>"; got != want {
			t.Errorf("steps %s, want %s", got, want)
		}
	})
}

// TestToldToEndAfterAnAcceptedStop has supervisord say that it stops a process,
// and fall silent before it does: the next listener sees to it.
func TestToldToEndAfterAnAcceptedStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, supervisor.Python, supervisortest.Program{StartTakes: time.Second})
		time.Sleep(5 * time.Second)
		ctx, end := context.WithCancel(t.Context())
		var silent atomic.Bool
		b.Intercept(func(c supervisortest.Call) supervisortest.Fate {
			switch {
			case silent.Load():
				return supervisortest.Fate{LoseCall: true}
			case c.Method == "supervisor.stopProcess":
				return accepted
			}
			return supervisortest.Fate{}
		})
		_, err := b.restarter.Restart(ctx, b.process(), supervisor.Plan{Tell: func(s supervisor.Step) {
			if s.Name == supervisor.StepRetry { // in the pause before it is told once more
				silent.Store(true)
				end()
			}
		}})
		var open *supervisor.OpenError
		if !errors.As(err, &open) {
			t.Errorf("Restart: %v, want an OpenError", err)
		}
		b.wantJournal(1)
		if b.unseen() {
			t.Error("it was seen to run after its stop was accepted, and is written to be unseen")
		}
	})
}

// TestShutdownAfterLateStop has supervisord accept a stop, say that it is shutting
// down when it is told once more, and stop the process after all.
func TestShutdownAfterLateStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, supervisor.Python, supervisortest.Program{StartTakes: time.Second})
		time.Sleep(2 * time.Second)
		b.Intercept(func(c supervisortest.Call) supervisortest.Fate {
			switch {
			case c.Method != "supervisor.stopProcess":
			case c.Number == 1:
				time.AfterFunc(3*time.Second, func() { b.Operator(supervisortest.OperatorStop, worker) })
				return accepted
			default:
				return supervisortest.Fate{Fault: &supervisor.Fault{Code: supervisor.FaultShutdownState, Text: "SHUTDOWN_STATE"}}
			}
			return supervisortest.Fate{}
		})
		b.wantRestarted()
	})
}

// TestQuietStopOfAnother has a listener told to end, or killed, while the Go
// supervisord 0.7 stops a process, and another take that up.
func TestQuietStopOfAnother(t *testing.T) {
	for takes := time.Duration(0); takes < 12*time.Second; takes += 300 * time.Millisecond {
		t.Run(fmt.Sprintf("killed, %v before the end", takes), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, supervisor.Go, supervisortest.Program{StartTakes: time.Second})
				time.Sleep(5 * time.Second)
				b.writeIntent(b.process(), "")
				b.quietStops(takes)
				b.client.Stop(t.Context(), worker)
				b.restarter.Resume(t.Context(), b.tell, func(supervisor.Process, error) {})
				time.Sleep(time.Hour)
				if got := b.Process(worker).State; got != supervisor.Running {
					t.Errorf("an hour later it is %v, want RUNNING; steps %q", got, b.steps)
				}
				b.wantJournal(0)
			})
		})
	}
	for _, after := range []time.Duration{time.Second, 5 * time.Second, 16 * time.Second, 20 * time.Second, 35 * time.Second} {
		t.Run(fmt.Sprintf("told to end after %v", after), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, supervisor.Go, supervisortest.Program{StartTakes: time.Second})
				time.Sleep(5 * time.Second)
				b.quietStops(50 * time.Second)
				ctx, cancel := context.WithTimeout(t.Context(), after)
				defer cancel()
				_, err := b.restart(ctx)
				var open *supervisor.OpenError
				if !errors.As(err, &open) {
					t.Errorf("Restart: %v, want an OpenError", err)
				}
				b.wantJournal(1)
				b.restarter.Resume(t.Context(), b.tell, func(supervisor.Process, error) {})
				time.Sleep(time.Hour)
				if got := b.Process(worker).State; got != supervisor.Running {
					t.Errorf("an hour later it is %v, want RUNNING; steps %q", got, b.steps)
				}
				b.wantJournal(0)
			})
		})
	}
}

// TestOperatorStopsWhatWeStart has the operator stop the process while it
// starts. On the Go supervisord that looks like a failed start, all but.
func TestOperatorStopsWhatWeStart(t *testing.T) {
	both(t, func(t *testing.T, flavour supervisor.Flavour) {
		b := newBench(t, flavour, supervisortest.Program{StartTakes: 10 * time.Second, StopTakes: 1055 * time.Millisecond})
		time.Sleep(5 * time.Second)
		b.Intercept(func(c supervisortest.Call) supervisortest.Fate {
			if c.Method == "supervisor.startProcess" && c.Number == 1 {
				time.AfterFunc(2*time.Second, func() { b.Operator(supervisortest.OperatorStop, worker) })
			}
			return supervisortest.Fate{}
		})
		_, err := b.restart(t.Context())
		var changed *supervisor.ChangedError
		if !errors.As(err, &changed) {
			t.Errorf("Restart: %v, want a ChangedError", err)
		}
		time.Sleep(time.Hour)
		if now := b.Process(worker); now.PID != 0 || b.Starts(worker) != 2 {
			t.Errorf("it is %v after %d starts, want it stopped after 2; steps %q", now.State, b.Starts(worker), b.steps)
		}
	})
}

// TestRestartsAskTogether has a supervisord that does not tell who it is: that
// costs restarts that begin at once the time limit of one call, and not each of
// them another.
func TestRestartsAskTogether(t *testing.T) {
	both(t, func(t *testing.T, flavour supervisor.Flavour) {
		b := newBench(t, flavour, supervisortest.Program{})
		const many = 5
		for i := range many {
			b.Add(supervisortest.Program{Group: "web", Name: fmt.Sprint(i)})
		}
		b.Intercept(func(c supervisortest.Call) supervisortest.Fate {
			if c.Method == "supervisor.getPID" {
				return supervisortest.Fate{Delay: time.Hour}
			}
			return supervisortest.Fate{}
		})
		begun := time.Now()
		var all sync.WaitGroup
		for i := range many {
			all.Go(func() {
				if _, err := b.restarter.Restart(t.Context(), b.Process(fmt.Sprint("web:", i)), supervisor.Plan{}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if took := time.Since(begun); took > supervisor.DefaultTimeout+3*time.Second {
			t.Errorf("it took %v, want the %v of one call and little more", took, supervisor.DefaultTimeout)
		}
	})
}
