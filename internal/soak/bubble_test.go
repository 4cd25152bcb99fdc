package soak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"net"
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

// More allocations than usual are noted with where they were made.
func init() { runtime.MemProfileRate = 2048 }

const period = 5 * time.Second

// TestRun soaks a listener in fake time. In its first half it is ended and
// started anew at times; in the second one nothing of it grows.
func TestRun(t *testing.T) {
	ticks := countTicks(t)
	socket := answer(t)
	before := runtime.NumGoroutine()
	synctest.Test(t, func(t *testing.T) {
		f := newFaults(t, supervisor.Grace)
		b := &bubble{world: newWorld(t, f), socket: socket}
		for i := range 10 {
			b.add(supervisortest.Program{
				Group: "web", Name: fmt.Sprint("web_", i), Retries: i % 3, StopTakes: time.Duration(i*i) * 100 * time.Millisecond,
				StartTakes: time.Duration(i%4) * time.Second, Startup: time.Duration(i%4) * time.Second / 2, StopWait: 6 * time.Second,
			})
		}
		b.Add(supervisortest.Program{Name: "listener", Listener: true})
		b.listen()
		b.work(0, ticks/2)
		b.rest()
		for range 1100 { // as many serials as a listener remembers
			if err := b.Send("PROCESS_LOG", ""); err != nil {
				t.Fatal(err)
			}
		}
		half := b.measure()
		b.work(ticks/2, ticks)
		b.rest()
		b.measure().compare(t, half)
		b.log.wantQuiet(t, b.restarts()+int(b.injected.Load())+int(b.sick.Load())+b.acts+b.newcomers)
		b.end()
		b.Close()
		time.Sleep(time.Minute) // for whatever still goes on
		synctest.Wait()
		if t.Failed() {
			t.Logf("the end of the log:\n%s", b.log)
		}
	})
	after := runtime.NumGoroutine()
	for deadline := time.Now().Add(5 * time.Second); after > before && time.Now().Before(deadline); after = runtime.NumGoroutine() {
		runtime.Gosched() // the last one of the bubble may be about to end
	}
	if after > before {
		t.Errorf("%d goroutines, were %d before:\n%s", after, before, stacks())
	}
}

// bubble is a listener within this process.
type bubble struct {
	*world
	socket    string   // of a process that is well, for HTTP
	newcomers int      // processes that there were for a while
	guests    []string // those that there are
	sick      atomic.Int64
	records   atomic.Int64

	hangUp func()
	result chan error
}

// listen connects a listener with its supervisord.
func (b *bubble) listen() {
	stdin, stdout := b.Listener()
	ctx, stop := context.WithCancel(b.t.Context())
	b.result = make(chan error, 1)
	b.hangUp = func() {
		stop()
		b.wantEnd()
		stdin.Close()
		stdout.Close()
	}
	const much = 1 << 40
	cfg := runner.Config{
		Name: "soak", Checks: []checks.Check{
			must(checks.NewHTTP(checks.HTTPConfig{UnixSocket: b.socket, URL: "/"})),
			ourselves{must(checks.NewMemory(checks.MemoryConfig{Max: much, Cumulative: true}))},
			ourselves{must(checks.NewCPU(checks.CPUConfig{MaxPercent: much, Cumulative: true}))},
			check{b},
		}, Server: b.Config(), StateDir: b.dir,
		Log: slog.New(slog.NewTextHandler(b.log, nil)), Sinks: []record.Sink{b}, Stdin: stdin, Stdout: stdout,
	}
	go func() { b.result <- runner.Run(ctx, cfg) }()
	synctest.Wait()
}

// wantEnd waits until the listener has ended.
func (b *bubble) wantEnd() {
	begun := time.Now()
	if err := <-b.result; err != nil {
		b.t.Errorf("Run returns %v", err)
	}
	if took := time.Since(begun); took > 2*time.Second+supervisor.Grace {
		b.t.Errorf("it took %v to end", took)
	}
}

func (b *bubble) end() { b.hangUp() }

// answer answers requests to a socket outside of the bubble, one after the other,
// so that its goroutines are always as many.
func answer(t *testing.T) (socket string) {
	socket = filepath.Join(t.TempDir(), "s")
	listener := must(net.Listen("unix", socket))
	var done sync.WaitGroup
	done.Go(func() {
		request := make([]byte, 4096)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conn.Read(request)
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			conn.Close()
		}
	})
	t.Cleanup(func() {
		listener.Close()
		done.Wait()
	})
	return socket
}

// ourselves has a check look at this process in place of one that there is not.
type ourselves struct{ checks.RoundStarter }

func (o ourselves) Run(ctx context.Context, p supervisor.Process) checks.Result {
	p.PID = os.Getpid()
	return o.RoundStarter.Run(ctx, p)
}

// check finds every third run of a process broken after a while, and does not
// always manage to look.
type check struct{ *bubble }

func (check) Name() string { return "soak" }

func (c check) Run(ctx context.Context, p supervisor.Process) checks.Result {
	if !c.on.Load() {
		return checks.Pass()
	}
	r := c.dice("run", p.Namespec(), p.PID)
	broken := chance(r, 33) && p.Uptime > within(r, time.Minute)
	r = c.dice("look", p.Namespec(), p.PID, p.Uptime)
	switch {
	case chance(r, 1):
		panic("the check has a defect")
	case chance(r, 1):
		return checks.Unsure(fmt.Errorf("it cannot tell after %d tries", r.IntN(100)))
	case chance(r, 2):
		select {
		case <-time.After(within(r, time.Minute)):
		case <-ctx.Done():
			return checks.Unsure(context.Cause(ctx))
		}
	}
	if broken {
		c.sick.Add(1)
		return checks.Fail(errors.New("it is broken"))
	}
	return checks.Pass()
}

// Write is that of a sink, which hangs at times and fails at others.
func (b *bubble) Write(ctx context.Context, _ record.Record) error {
	r := b.dice("record", b.records.Add(1))
	switch {
	case !b.on.Load():
	case chance(r, 0.1):
		select {
		case <-time.After(within(r, time.Minute)):
		case <-ctx.Done():
		}
	case chance(r, 1):
		b.sick.Add(1)
		return errors.New("the sink is full")
	}
	return nil
}

// work has the listener work through ticks.
func (b *bubble) work(from, to int) {
	b.on.Store(true)
	for i := from; i < to && !b.t.Failed(); i++ {
		r := b.dice("tick", i)
		synctest.Wait()
		b.act(r)
		b.visitors(i)
		if chance(r, 3) {
			b.stick(within(r, 40*time.Second))
		}
		switch {
		case chance(r, 3):
			b.send("SUPERVISOR_STATE_CHANGE_FUTURE", strings.Repeat("é", r.IntN(100)))
		case chance(r, 1):
			b.send("PROCESS_LOG_STDOUT", strings.Repeat("x", r.IntN(1<<20)))
		case chance(r, 2):
			b.send("TICK_5", fmt.Sprint("when:", time.Now().Add(-time.Hour).Unix()))
		}
		b.tick()
		if from == 0 && i%max(1, to/5) == to/10 {
			b.end()
			b.listen()
		}
		time.Sleep(within(r, period))
	}
}

// visitors has processes come, and go again, that never were there before.
func (b *bubble) visitors(i int) {
	const stay, many = 5, 8
	if i%stay != 0 {
		return
	}
	b.leave()
	for j := range many {
		name := fmt.Sprintf("guest_%d_%d", i, j)
		b.Add(supervisortest.Program{Name: name, StartTakes: time.Second, StopTakes: time.Second})
		b.guests = append(b.guests, name)
		b.newcomers++
	}
}

func (b *bubble) leave() {
	for _, name := range b.guests {
		b.Remove(name)
	}
	b.guests = nil
}

func (b *bubble) send(name, payload string) {
	b.t.Helper()
	if err := b.Send(name, payload); err != nil {
		b.t.Fatalf("after %s: %v; the log:\n%s", name, err, b.log)
	}
}

func (b *bubble) tick() {
	b.t.Helper()
	if err := b.Tick(period); err != nil {
		b.t.Fatalf("after a tick: %v; the log:\n%s", err, b.log)
	}
}

// rest lets nothing fail any more, and waits until all runs and nothing is left
// of what failed.
func (b *bubble) rest() {
	b.t.Helper()
	b.on.Store(false)
	b.leave()
	begun := time.Now()
	for trouble := "?"; trouble != "" && !b.t.Failed(); trouble = b.quiet() {
		if time.Since(begun) > 2*time.Minute {
			b.t.Fatalf("two minutes after all is well again: %s; the log:\n%s\n%s", trouble, b.log, b.stories())
		}
		b.tick()
		time.Sleep(period)
		synctest.Wait()
	}
	for range 20 {
		b.tick()
		time.Sleep(period)
	}
	synctest.Wait()
	if trouble := b.quiet(); trouble != "" {
		b.t.Errorf("a while after all was well: %s\n%s", trouble, b.stories())
	}
}

// figures are what must not grow.
type figures struct {
	goroutines int
	files      int
	heap       map[string]int64 // by where it was allocated
}

func (b *bubble) measure() figures {
	b.t.Helper()
	for i := range 1100 { // after which the listener's memory of events is full
		b.send("SUPERVISOR_STATE_CHANGE_FUTURE", fmt.Sprint(i))
	}
	synctest.Wait()
	for range 3 { // the profile is that of the collection before the last
		runtime.GC()
	}
	return figures{runtime.NumGoroutine(), len(b.journal("*")), ours()}
}

// compare fails when there is more than there was.
func (f figures) compare(t *testing.T, before figures) {
	t.Helper()
	if f.goroutines > before.goroutines {
		t.Errorf("%d goroutines, were %d:\n%s", f.goroutines, before.goroutines, stacks())
	}
	var all, was int64
	var grown []string
	for _, where := range slices.Sorted(maps.Keys(f.heap)) {
		all += f.heap[where]
		if more := f.heap[where] - before.heap[where]; more > 2<<10 {
			grown = append(grown, fmt.Sprintf("%d bytes more of\n%s", more, where))
		}
	}
	for _, n := range before.heap {
		was += n
	}
	t.Logf("of ours %d bytes of memory, %d goroutines, %d files; were %d, %d, %d",
		all, f.goroutines, f.files, was, before.goroutines, before.files)
	const slack = 48 << 10
	if all > was+slack {
		t.Errorf("%d bytes of memory, were %d:\n%s", all, was, strings.Join(grown, "\n"))
	}
	if f.files > before.files {
		t.Errorf("%d files in the journal, were %d", f.files, before.files)
	}
}

// ours returns the memory in use that was allocated by our packages, or for them,
// but not by the supervisord of the test, nor by the test.
func ours() map[string]int64 {
	const module = "github.com/supervisor-checks/supervisor-checks/"
	var records []runtime.MemProfileRecord
	for n, ok := runtime.MemProfile(nil, false); !ok; n, ok = runtime.MemProfile(records, false) {
		records = make([]runtime.MemProfileRecord, n+100)
	}
	sizes := make(map[string]int64)
	for _, r := range records {
		var where []string
		is, decided := false, false // by the innermost of our functions
		for frames := runtime.CallersFrames(r.Stack()); ; {
			frame, more := frames.Next()
			name, inside := strings.CutPrefix(frame.Function, module)
			if inside && !decided {
				decided = true
				is = !strings.HasPrefix(name, "supervisor/supervisortest") && !strings.HasPrefix(name, "internal/soak")
			}
			where = append(where, fmt.Sprintf("\t%s:%d", frame.Function, frame.Line))
			if !more {
				break
			}
		}
		if is {
			sizes[strings.Join(where, "\n")] += estimate(r)
		}
	}
	return sizes
}

// estimate returns how much was allocated where so much was noted.
func estimate(r runtime.MemProfileRecord) int64 {
	bytes, objects := float64(r.InUseBytes()), float64(r.InUseObjects())
	if objects == 0 {
		return 0
	}
	noted := 1 - math.Exp(-bytes/objects/float64(runtime.MemProfileRate))
	return int64(bytes / noted)
}

var stacksOnce sync.Once

// stacks tells what all goroutines do.
func stacks() (text string) {
	stacksOnce.Do(func() {
		buf := make([]byte, 64<<10)
		text = string(buf[:runtime.Stack(buf, true)])
	})
	return text
}
