package soak

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/supervisor-checks/supervisor-checks/supervisor/supervisortest"
)

const (
	patience = 30 * time.Second      // of what must happen
	pace     = 10 * time.Millisecond // for a round to begin; the next tick comes then, come what may
)

// TestProgram soaks supervisor_complex_check, with all checks in one, as
// supervisord runs it.
func TestProgram(t *testing.T) {
	ticks := countTicks(t)
	f := newFaults(t, 300*time.Millisecond)
	s := &soak{world: newWorld(t, f), seen: make(chan struct{}, 1), heartbeats: t.TempDir()}
	t.Cleanup(s.Close)
	for i := range 6 {
		s.addTarget(i)
	}
	s.Intercept(func(c supervisortest.Call) supervisortest.Fate {
		if c.Method == "supervisor.getAllProcessInfo" {
			s.poke()
		}
		return f.fate(c)
	})
	s.listen()
	begun := time.Now()
	s.work(0, ticks/10)
	s.rest()
	first := s.measure()
	s.work(ticks/10, ticks/2)
	s.rest()
	half := s.measure()
	s.work(ticks/2, ticks)
	s.rest()
	end := s.measure()
	for begun := time.Now(); end.more(first, half) != "" && time.Since(begun) < patience; {
		s.rest() // what went on may have been held up
		end = s.measure()
	}
	t.Logf("%d ticks in %v; %d events, %d restarts, %d broken calls, %d faults of processes, %d acts of others",
		ticks, time.Since(begun).Round(time.Second), s.events, s.restarts(), f.injected.Load(), s.broken, s.acts)
	t.Logf("after a tenth %v, after half %v, at the end %v", first, half, end)
	if more := end.more(first, half); more != "" {
		t.Error(more)
	}
	s.terminate()
	s.log.wantQuiet(t, s.restarts()+int(f.injected.Load())+s.broken+s.acts)
	if s.restarts() < ticks/100 {
		t.Errorf("only %d restarts", s.restarts())
	}
	if t.Failed() {
		t.Logf("the end of the log:\n%s", s.log)
	}
}

// soak is a program as an event listener, whose supervisord is the test, and
// those that it checks.
type soak struct {
	*world
	targets    []*target
	heartbeats string
	broken     int // targets that were broken
	seen       chan struct{}

	cmd    *exec.Cmd
	stdin  *os.File
	stdout *os.File
	serial int
	events int
}

// poke tells that a round does something.
func (s *soak) poke() {
	select {
	case s.seen <- struct{}{}:
	default:
	}
}

// listen builds the program, starts it, and returns when it is ready.
func (s *soak) listen() {
	s.t.Helper()
	dir := s.t.TempDir()
	program := filepath.Join(dir, "supervisor_complex_check")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "../../cmd/supervisor_complex_check")
	build.Env = append(os.Environ(), "GOFLAGS=", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		s.t.Fatalf("go build: %v\n%s", err, out)
	}
	socket := filepath.Join(dir, "s")
	listener := must(net.Listen("unix", socket))
	go s.Serve(listener)

	server := fmt.Sprintf(`"port":"web_(\\d+)","host":%q,"timeout":0.2,"num_retries":0`, host)
	s.cmd = exec.Command(program, "-n", "soak", "-g", "web", "--server-url", "unix://"+socket, "--state-dir", s.dir, "-c",
		`{"http":{"url":"/ping","expect_body":"pong",`+server+`},"tcp":{`+server+`},"memory":{"max_rss":"8MiB","cumulative":true},`+
			`"cpu":{"max_cpu":100000,"cumulative":true},"xmlrpc":{"url":"/RPC2",`+server+`},`+
			`"file":{"timeout":3600,"fail_on_error":true,"root_dir":"`+s.heartbeats+`"}}`)
	s.cmd.Env = []string{"GOTRACEBACK=all"}
	s.cmd.Stderr = s.log
	var in, out *os.File
	in, s.stdin = pipe()
	s.stdout, out = pipe()
	s.cmd.Stdin, s.cmd.Stdout = in, out
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	in.Close()
	out.Close()
	s.t.Cleanup(func() {
		s.cmd.Process.Kill()
		s.cmd.Wait()
		s.stdin.Close()
		s.stdout.Close()
	})
	s.expect("READY\n")
}

func pipe() (r, w *os.File) {
	r, w, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	return r, w
}

// expect reads what the program must say next.
func (s *soak) expect(want string) {
	s.t.Helper()
	got := make([]byte, len(want))
	s.stdout.SetReadDeadline(time.Now().Add(patience))
	if n, err := io.ReadFull(s.stdout, got); err != nil || string(got) != want {
		s.t.Fatalf("after %d events it says %q, error %v, want %q; its log:\n%s", s.events, got[:n], err, want, s.log)
	}
}

// send sends an event, whose length counts characters, and waits for the answer.
func (s *soak) send(serial int, name, payload string) {
	s.t.Helper()
	s.stdin.SetWriteDeadline(time.Now().Add(patience))
	_, err := fmt.Fprintf(s.stdin, "ver:3.0 server:supervisor serial:%d pool:soak poolserial:%d eventname:%s len:%d\n%s",
		serial, serial, name, utf8.RuneCountInString(payload), payload)
	if err != nil {
		s.t.Fatalf("after %d events: %v; its log:\n%s", s.events, err, s.log)
	}
	s.expect("RESULT 2\nOK")
	s.expect("READY\n")
	s.events++
}

func (s *soak) event(name, payload string) {
	s.t.Helper()
	s.serial++
	s.send(s.serial, name, payload)
}

func (s *soak) tick() {
	s.t.Helper()
	s.event("TICK_5", fmt.Sprint("when:", time.Now().Unix()))
}

// work has the program work through ticks.
func (s *soak) work(from, to int) {
	s.t.Helper()
	s.on.Store(true)
	for i := from; i < to; i++ {
		r := s.dice("tick", i)
		if chance(r, 20) {
			s.act(r)
		}
		for _, target := range s.targets {
			s.breakOrMend(r, target, i)
		}
		s.oddities(r)
		s.look()
		s.tick()
		if !chance(r, 10) {
			s.watch()
		}
	}
}

// oddities sends what is no tick to act on.
func (s *soak) oddities(r *rand.Rand) {
	s.t.Helper()
	switch r.IntN(20) {
	case 0:
		s.send(s.serial, "TICK_5", fmt.Sprint("when:", time.Now().Unix()))
	case 1:
		s.event("TICK_5", fmt.Sprint("when:", time.Now().Add(-time.Hour).Unix()))
	case 2:
		s.event("PROCESS_STATE_FUTURE", strings.Repeat("processname:ü ", r.IntN(100)))
	case 3:
		s.event("PROCESS_LOG_STDOUT", strings.Repeat("no news\n", r.IntN(1<<15)))
	case 4:
		s.event("REMOTE_COMMUNICATION", "type:READY\nRESULT 2\nOK")
	}
}

// look forgets what rounds before have done.
func (s *soak) look() {
	select {
	case <-s.seen:
	default:
	}
}

// watch waits until a round asks for the processes, and asks one of them, or for
// as long as a tick may take.
func (s *soak) watch() {
	limit := time.NewTimer(pace)
	defer limit.Stop()
	for range 2 {
		select {
		case <-s.seen:
		case <-limit.C:
			return
		}
	}
}

// rest lets nothing fail any more, and waits until all runs.
func (s *soak) rest() {
	s.t.Helper()
	s.on.Store(false)
	for _, target := range s.targets {
		target.set(well)
	}
	begun := time.Now()
	for calm := 0; calm < 20; {
		s.look()
		s.tick()
		s.watch()
		trouble := s.quiet()
		if calm++; trouble != "" {
			calm = 0
		}
		if time.Since(begun) > 2*patience {
			s.t.Fatalf("%v after all is well again: %s; the log:\n%s\n%s", 2*patience, trouble, s.log, s.stories())
		}
	}
}

// usage is what a process takes of the system.
type usage struct {
	descriptors, threads int
	resident             int // KiB
	files                int // in the journal
}

func (u usage) String() string {
	return fmt.Sprintf("%d descriptors, %d threads, %.1f MiB resident, %d files in the journal",
		u.descriptors, u.threads, float64(u.resident)/1024, u.files)
}

// measure looks for a while, since the last round may still go on, and returns
// the least of each.
func (s *soak) measure() (least usage) {
	s.t.Helper()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for i := range 50 {
		<-look.C
		folder := fmt.Sprintf("/proc/%d/", s.cmd.Process.Pid)
		descriptors := must(os.ReadDir(folder + "fd"))
		now := usage{descriptors: len(descriptors), files: len(s.journal("*"))}
		for line := range strings.Lines(string(must(os.ReadFile(folder + "status")))) {
			fmt.Sscanf(line, "Threads: %d", &now.threads)
			fmt.Sscanf(line, "VmRSS: %d kB", &now.resident)
		}
		if i == 0 {
			least = now
		}
		least = usage{min(least.descriptors, now.descriptors), min(least.threads, now.threads), min(least.resident, now.resident), min(least.files, now.files)}
	}
	return least
}

// more says of what more is in use than was before.
func (u usage) more(first, half usage) (says string) {
	const (
		threads  = 6       // that the Go runtime may have needed at some moment, and keeps
		resident = 4 << 10 // KiB that its heap may be larger by than at another time
	)
	if u.descriptors > first.descriptors {
		says += fmt.Sprintf("%d descriptors, were %d; ", u.descriptors, first.descriptors)
	}
	if u.threads > half.threads+threads {
		says += fmt.Sprintf("%d threads, were %d; ", u.threads, half.threads)
	}
	if u.resident > half.resident+resident {
		says += fmt.Sprintf("%d KiB of memory, were %d; ", u.resident, half.resident)
	}
	if u.files > first.files {
		says += fmt.Sprintf("%d files in the journal, were %d; ", u.files, first.files)
	}
	return strings.TrimSuffix(says, "; ")
}

// terminate has the program end as supervisord does.
func (s *soak) terminate() {
	s.t.Helper()
	begun := time.Now()
	s.cmd.Process.Signal(syscall.SIGTERM)
	s.stdout.SetReadDeadline(time.Now().Add(patience))
	rest, err := io.ReadAll(s.stdout)
	if len(rest) > 0 || err != nil {
		s.t.Errorf("at its end it says %q, error %v", rest, err)
	}
	if err := s.cmd.Wait(); err != nil {
		s.t.Errorf("after SIGTERM: %v", err)
	}
	if took := time.Since(begun); took > patience {
		s.t.Errorf("it ends %v after SIGTERM, want %v at most", took, patience)
	}
	trouble := s.quiet()
	for ended := time.Now(); trouble != "" && time.Since(ended) < patience; trouble = s.quiet() {
		time.Sleep(pace) // what it has started last may be about to run
	}
	if trouble != "" {
		s.t.Errorf("when it has ended, %s", trouble)
	}
}

// breakOrMend breaks a target, or mends it after a while.
func (s *soak) breakOrMend(r *rand.Rand, target *target, tick int) {
	if target.until > 0 && tick >= target.until {
		target.set(well)
		target.until = 0
	}
	if target.until > 0 || !chance(r, 2) {
		return
	}
	s.broken++
	switch what := mode(1 + r.IntN(int(modes)+1)); what {
	case modes:
		target.fat.Store(true)
		s.exit(target.name, true)
	case modes + 1:
		target.spoil()
	default:
		target.set(what)
		target.until = tick + 50 + r.IntN(100)
	}
}
