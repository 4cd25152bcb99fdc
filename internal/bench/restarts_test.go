package bench

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/internal/proc"
	"github.com/supervisor-checks/supervisor-checks/internal/realsupervisord"
	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/runner"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
	"github.com/supervisor-checks/supervisor-checks/supervisor/supervisortest"
)

const failing = 500

// restarts has all processes of a real supervisord fail in one round.
func restarts(f *figures, _ string) {
	// Neither while they stop nor while they start passes time in which nobody works.
	supervisord := realsupervisord.Find(f.t)[0]
	var all []cost
	if !f.t.Run("", func(t *testing.T) {
		b := newBroken(t, supervisord, "read line", "startsecs=0")
		all = b.measure(3, b.ours, b.bare, b.singly)
	}) {
		return
	}
	what := fmt.Sprintf("%d processes, which stop at once, fail in one round: ", failing)
	f.compared(what+"until all run again, under a real supervisord", all[0].took, all[1].took, 3)
	f.unlimited(what+"supervisord's own processor time, against asking for each process by itself", all[0].cpu, all[2].cpu)

	// What it costs to wait for them is seen when there is something to wait for.
	if !f.t.Run("", func(t *testing.T) {
		b := newBroken(t, supervisord, `trap "sleep 5; exit" TERM; read line`, "")
		all = b.measure(2, b.ours, b.singly, b.blind)
	}) {
		return
	}
	what = fmt.Sprintf("the same of %d that take five seconds to stop: ", failing)
	f.unlimited(what+"all of supervisord's processor time", all[0].cpu, all[1].cpu)
	ours, singly, ratio := beyond(all[0].cpu, all[1].cpu, all[2].cpu)
	f.row(what+"that for being asked, which is what it takes beyond being told to stop and start them",
		fmt.Sprintf("%.1f s, %.2f times", ours.Seconds(), ratio), fmt.Sprintf("%.1f s", singly.Seconds()), ratio, 0.5, "0.5 times")
}

// beyond returns what two costs are beyond a third that they have in common, and
// the first of these in terms of the second; NaN where one of them is nothing.
func beyond(a, b, common time.Duration) (x, y time.Duration, ratio float64) {
	x, y = a-common, b-common
	if x <= 0 || y <= 0 {
		return x, y, math.NaN()
	}
	return x, y, x.Seconds() / y.Seconds()
}

func TestCostsWithoutADifferenceHaveNoRatio(t *testing.T) {
	for _, test := range []struct {
		a, b, common time.Duration
		want         float64 // 0 for none
	}{{5, 7, 3, 0.5}, {3, 7, 3, 0}, {2, 7, 3, 0}, {5, 3, 3, 0}, {5, 2, 3, 0}, {2, 1, 3, 0}} {
		if _, _, got := beyond(test.a, test.b, test.common); got != test.want && !(test.want == 0 && math.IsNaN(got)) {
			t.Errorf("%d and %d beyond %d: %v, want %v", test.a, test.b, test.common, got, test.want)
		}
	}
}

// broken is a supervisord whose processes are all to be restarted.
type broken struct {
	t      *testing.T
	daemon *realsupervisord.Daemon
	socket string
}

// newBroken starts a supervisord with processes that run a shell's script.
func newBroken(t *testing.T, supervisord, script, settings string) *broken {
	d := realsupervisord.Start(t, supervisord, fmt.Sprintf(`
[program:web]
command=/bin/sh -c '%s'
process_name=%%(program_name)s_%%(process_num)d
numprocs=%d
stdout_logfile=NONE
stderr_logfile=NONE
%s
`, script, failing, settings))
	return &broken{t: t, daemon: d, socket: strings.TrimPrefix(d.URL, "unix://")}
}

// await waits until all run.
func (b *broken) await() {
	for deadline := time.Now().Add(time.Minute); running(b.snapshot()) < failing; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("of %d processes only %d run after a minute", failing, running(b.snapshot()))
		}
	}
}

// cost is how long something takes, and supervisord's own processor time.
type cost struct{ took, cpu time.Duration }

// measure restarts all in each of several ways in turn, so many times, and
// returns the least that each way costs. A way returns what restarts.
func (b *broken) measure(times int, ways ...func() (restart func())) []cost {
	least := make([]cost, len(ways))
	for i := range times {
		for j, way := range ways {
			b.await()
			restart := way()
			before := must(proc.Read(b.daemon.PID())).CPU
			begun := time.Now()
			restart()
			now := cost{time.Since(begun), must(proc.Read(b.daemon.PID())).CPU - before}
			if i == 0 {
				least[j] = now
			}
			least[j] = cost{min(least[j].took, now.took), min(least[j].cpu, now.cpu)}
		}
	}
	return least
}

// ours returns what restarts with a listener, which has run for a round.
func (b *broken) ours() (restart func()) {
	old := make(map[int]bool) // of which the processes are broken
	var checked sync.WaitGroup
	check := checks.Func("broken", func(_ context.Context, p supervisor.Process) error {
		defer checked.Done()
		if old[p.PID] {
			return fmt.Errorf("process %d is an old one", p.PID)
		}
		return nil
	})
	events := supervisortest.NewServer(supervisor.Python)
	b.t.Cleanup(events.Close)
	stdin, stdout := events.Listener()
	ctx, cancel := context.WithCancel(b.t.Context())
	b.t.Cleanup(cancel)
	sink := &restarted{done: make(chan struct{})}
	ended := make(chan error, 1)
	go func() {
		ended <- runner.Run(ctx, runner.Config{
			Groups: []string{"web"}, Checks: []checks.Check{check}, Server: supervisor.Config{URL: "unix://" + b.socket},
			StateDir: b.t.TempDir() + "/state", Sinks: []record.Sink{sink}, Log: slog.New(slog.DiscardHandler), Stdin: stdin, Stdout: stdout,
		})
	}()
	tick := func() {
		checked.Add(failing)
		if err := events.Tick(time.Minute); err != nil {
			b.t.Error(err)
		}
	}
	tick()
	checked.Wait()
	for _, p := range must(b.daemon.Client().Processes(b.t.Context())) {
		old[p.PID] = true
	}
	return func() {
		tick()
		select {
		case <-sink.done:
		case err := <-ended:
			b.t.Errorf("the listener has ended: %v", err)
		}
		cancel()
	}
}

// restarted is a sink that waits until all run again.
type restarted struct {
	count atomic.Int32
	done  chan struct{}
}

func (s *restarted) Write(_ context.Context, r record.Record) error {
	if r.Kind == record.Restart && r.Action == record.Running && s.count.Add(1) == failing {
		close(s.done)
	}
	return nil
}

// bare makes the calls that a restart of all takes, as many at once as the
// runner does, with a snapshot after each half until it has had its effect.
func (b *broken) bare() (restart func()) {
	return func() {
		b.snapshot()
		b.each(func(name string) { b.call("stopProcess", name) })
		for stopped(b.snapshot()) < failing {
			time.Sleep(100 * time.Millisecond)
		}
		b.each(func(name string) { b.call("startProcess", name) })
		for running(b.snapshot()) < failing {
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// singly restarts each process by itself, and asks for it ten times a second.
func (b *broken) singly() (restart func()) {
	return func() {
		b.each(func(name string) {
			b.call("stopProcess", name)
			for stopped(ask(b.socket, "getProcessInfo", text(name))) == 0 {
				time.Sleep(100 * time.Millisecond)
			}
			b.call("startProcess", name)
			for running(ask(b.socket, "getProcessInfo", text(name))) == 0 {
				time.Sleep(100 * time.Millisecond)
			}
		})
	}
}

// blind makes the calls and does not look.
func (b *broken) blind() (restart func()) {
	return func() {
		b.each(func(name string) { b.call("stopProcess", name) })
		time.Sleep(8 * time.Second) // until they have stopped
		b.each(func(name string) { b.call("startProcess", name) })
		time.Sleep(2 * time.Second)
	}
}

func (b *broken) each(do func(name string)) {
	var all sync.WaitGroup
	for i := range failing {
		all.Go(func() { do(fmt.Sprintf("web:web_%d", i)) })
	}
	all.Wait()
}

func text(s string) string { return "<param><value><string>" + s + "</string></value></param>" }

func (b *broken) call(method, name string) {
	if answer := ask(b.socket, method, text(name), "<param><value><boolean>0</boolean></value></param>"); strings.Contains(answer, "<fault>") {
		panic(answer)
	}
}

func (b *broken) snapshot() string { return ask(b.socket, "getAllProcessInfo") }

// running and stopped count processes in an answer.
func running(answer string) int { return strings.Count(answer, "<string>RUNNING</string>") }
func stopped(answer string) int { return strings.Count(answer, "<string>STOPPED</string>") }
