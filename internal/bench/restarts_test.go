package bench

import (
	"context"
	"fmt"
	"log/slog"
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
	d := realsupervisord.Start(f.t, realsupervisord.Find(f.t)[0], fmt.Sprintf(`
[program:web]
command=/bin/sh -c 'trap "sleep 2; exit" TERM; read line'
process_name=%%(program_name)s_%%(process_num)d
numprocs=%d
stdout_logfile=NONE
stderr_logfile=NONE
`, failing))
	b := &broken{t: f.t, daemon: d, socket: strings.TrimPrefix(d.URL, "unix://")}
	for deadline := time.Now().Add(time.Minute); running(b.snapshot()) < failing; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			f.t.Fatalf("of %d processes only %d run after a minute", failing, running(b.snapshot()))
		}
	}
	ours, oursCPU := b.measure(b.ours())
	bare, _ := b.measure(b.bare)
	_, singlyCPU := b.measure(b.singly)
	_, blindCPU := b.measure(b.blind)
	f.compared(fmt.Sprintf("%d processes fail in one round: until all run again, under a real supervisord", failing), ours, bare, 3)
	looking, lookingSingly := oursCPU-blindCPU, singlyCPU-blindCPU
	ratio := looking.Seconds() / lookingSingly.Seconds()
	f.row("what it costs supervisord to be asked meanwhile, against being asked for each process by itself",
		fmt.Sprintf("%.1f s, %.2f times", looking.Seconds(), ratio), fmt.Sprintf("%.1f s", lookingSingly.Seconds()), ratio, 0.5, "0.5 times")
}

// broken is a supervisord whose processes are all to be restarted.
type broken struct {
	t      *testing.T
	daemon *realsupervisord.Daemon
	socket string
}

// measure returns how long a way to restart all takes, and what it costs
// supervisord.
func (b *broken) measure(restart func()) (took, cpu time.Duration) {
	before := must(proc.Read(b.daemon.PID())).CPU
	begun := time.Now()
	restart()
	took = time.Since(begun)
	return took, must(proc.Read(b.daemon.PID())).CPU - before
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
	go runner.Run(ctx, runner.Config{
		Groups: []string{"web"}, Checks: []checks.Check{check}, Server: supervisor.Config{URL: "unix://" + b.socket},
		StateDir: b.t.TempDir() + "/state", Sinks: []record.Sink{sink}, Log: slog.New(slog.DiscardHandler), Stdin: stdin, Stdout: stdout,
	})
	tick := func() {
		checked.Add(failing)
		if err := events.Tick(5 * time.Second); err != nil {
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
		<-sink.done
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
func (b *broken) bare() {
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

// singly restarts each process by itself, and asks for it ten times a second.
func (b *broken) singly() {
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

// blind makes the calls and does not look.
func (b *broken) blind() {
	b.each(func(name string) { b.call("stopProcess", name) })
	time.Sleep(6 * time.Second)
	b.each(func(name string) { b.call("startProcess", name) })
	time.Sleep(2 * time.Second)
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
