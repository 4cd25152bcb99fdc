package bench

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/internal/cli"
	"github.com/supervisor-checks/supervisor-checks/runner"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
	"github.com/supervisor-checks/supervisor-checks/supervisor/supervisortest"
)

// build builds the programs as make build does, and returns their folder.
func build(t *testing.T) string {
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", dir, "../../cmd/...")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return dir
}

// program is one of ours as an event listener, whose supervisord is the test.
type program struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *os.File // without a buffer
	serial int
}

// listen starts a program, for the supervisord at url, and returns when it is
// ready.
func listen(t *testing.T, path, url string, args ...string) *program {
	t.Helper()
	cmd := exec.Command(path, append(args, "-n", "bench", "--server-url", url, "--state-dir", filepath.Join(t.TempDir(), "state"))...)
	cmd.Env = []string{}
	return start(t, cmd)
}

// listenWide starts this program as such a one, of HTTP at port, that checks a
// thousand processes at once.
func listenWide(t *testing.T, port, url string) *program {
	t.Helper()
	cmd := exec.Command(must(os.Executable()))
	cmd.Env = []string{widePort + "=" + port, "SUPERVISOR_SERVER_URL=" + url, "STATE_DIRECTORY=" + filepath.Join(t.TempDir(), "state")}
	return start(t, cmd)
}

const widePort = "BENCH_PORT"

func TestMain(m *testing.M) {
	if os.Getenv(beServer) != "" {
		serveProbes()
		return
	}
	port := os.Getenv(widePort)
	if port == "" {
		os.Exit(m.Run())
	}
	debug.SetGCPercent(cli.GCPercent)
	err := runner.Run(context.Background(), runner.Config{
		Groups: []string{"web"}, Concurrency: 1000, Log: slog.New(slog.DiscardHandler),
		Checks: []checks.Check{must(checks.NewHTTP(checks.HTTPConfig{Port: port, URL: "/", Timeout: 5 * time.Minute}))},
	})
	if err != nil {
		panic(err)
	}
}

// start starts a listener, and returns when it is ready.
func start(t *testing.T, cmd *exec.Cmd) *program {
	t.Helper()
	p := &program{t: t, cmd: cmd}
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	stdout.Fd() // which makes it one whose reads block
	t.Cleanup(func() { stdout.Close() })
	p.stdout, p.cmd.Stdout = stdout, theirs
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.expect("READY\n")
	return p
}

func (p *program) expect(want string) {
	p.t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(p.stdout, got); err != nil || string(got) != want {
		p.t.Fatalf("it says %q, error %v, want %q", got, err, want)
	}
}

// tick sends a tick and returns how long it took to be acknowledged.
func (p *program) tick() time.Duration {
	p.t.Helper()
	p.serial++
	payload := "when:" + strconv.FormatInt(time.Now().Unix(), 10)
	var first [1]byte
	begun := time.Now()
	fmt.Fprintf(p.stdin, "ver:3.0 server:supervisor serial:%d pool:bench poolserial:%d eventname:TICK_5 len:%d\n%s",
		p.serial, p.serial, len(payload), payload)
	// A goroutine that waits for it would get its turn after those that serve the
	// checks: a thread of its own is woken when supervisord would be.
	_, _, failed := syscall.RawSyscall(syscall.SYS_READ, p.stdout.Fd(), uintptr(unsafe.Pointer(&first)), 1)
	took := time.Since(begun)
	if failed != 0 || first != [1]byte{'R'} {
		p.t.Fatalf("it says %q, error %v, want RESULT", first, failed)
	}
	p.expect("ESULT 2\nOK")
	p.expect("READY\n")
	return took
}

// round sends a tick, waits until so many checks have been served, and a little
// longer, for the rest of the round. It returns how long the tick took to be
// acknowledged. A machine that is too slow to finish a round in that time leaves
// processes out of the next, for which it waits no longer than a second.
func (p *program) round(served *atomic.Int32, checks int32) time.Duration {
	p.t.Helper()
	before := served.Load()
	took := p.tick()
	for deadline := time.Now().Add(time.Second); served.Load() < before+checks && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(20*time.Millisecond + rand.N(20*time.Millisecond))
	return took
}

// resident returns its resident memory in MiB.
func (p *program) resident() float64 {
	p.t.Helper()
	var size, pages int
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err == nil {
		_, err = fmt.Sscan(string(text), &size, &pages)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return float64(pages*os.Getpagesize()) / (1 << 20)
}

// end closes its input, and waits for it.
func (p *program) end() {
	p.t.Helper()
	p.stdin.Close()
	if err := p.cmd.Wait(); err != nil {
		p.t.Error(err)
	}
}

// daemon is a supervisord for listeners, whose answer to getAllProcessInfo is
// made beforehand.
type daemon struct {
	*supervisortest.Server
	socket string
}

// newDaemon starts one with count processes of the group web, web_0 and so on.
// pid may be nil.
func newDaemon(t *testing.T, count int, pid func(i int) int) *daemon {
	t.Helper()
	return newDaemonOf(t, count, func(i int) string { return "web_" + strconv.Itoa(i) }, pid)
}

// newDaemonOf is newDaemon with other names.
func newDaemonOf(t *testing.T, count int, name func(i int) string, pid func(i int) int) *daemon {
	t.Helper()
	var programs []supervisortest.Program
	for i := range count {
		p := supervisortest.Program{Group: "web", Name: name(i)}
		if pid != nil {
			p.Spawn = func() int { return pid(i) }
		}
		programs = append(programs, p)
	}
	d := &daemon{Server: supervisortest.NewServer(supervisor.Python, programs...), socket: filepath.Join(t.TempDir(), "s")}
	t.Cleanup(d.Close)
	listener, err := net.Listen("unix", d.socket)
	if err != nil {
		t.Fatal(err)
	}
	go d.Serve(listener)
	answer := d.ask()
	for running(answer) < count { // which takes a moment
		answer = d.ask()
	}
	d.Intercept(func(c supervisortest.Call) supervisortest.Fate {
		if c.Method != "supervisor.getAllProcessInfo" {
			return supervisortest.Fate{}
		}
		return supervisortest.Fate{Status: http.StatusOK, Type: "text/xml", Body: answer}
	})
	return d
}

// ask reads its answer to getAllProcessInfo, and does nothing with it.
func (d *daemon) ask() string { return ask(d.socket, "getAllProcessInfo") }

// ask calls a method of the supervisord at a socket, and returns its answer as
// it came.
func ask(socket, method string, params ...string) string {
	client := http.Client{Transport: &http.Transport{
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", socket) },
		DisableKeepAlives: true,
	}}
	call := "<?xml version='1.0'?><methodCall><methodName>supervisor." + method + "</methodName><params>" +
		strings.Join(params, "") + "</params></methodCall>"
	resp := must(client.Post("http://localhost/RPC2", "text/xml", strings.NewReader(call)))
	defer resp.Body.Close()
	return string(must(io.ReadAll(resp.Body)))
}

func (d *daemon) url() string { return "unix://" + d.socket }

// web is a server for the processes' HTTP checks, in which the first so many
// requests hang, until the end of the test.
func web(t *testing.T, hang int32) (port string, served *atomic.Int32) {
	served = new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if served.Add(1) <= hang {
			<-r.Context().Done()
		}
	}))
	t.Cleanup(server.Close)
	_, port, _ = net.SplitHostPort(server.Listener.Addr().String())
	return port, served
}

// await waits until count has reached n.
func await(t *testing.T, count *atomic.Int32, n int32) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); count.Load() < n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d after a minute", count.Load(), n)
		}
	}
}

func startUp(f *figures, programs string) {
	d := newDaemon(f.t, 10, nil)
	for _, name := range []string{"supervisor_http_check", "supervisor_complex_check"} {
		args := []string{"-u", "/", "-p", "80"}
		if name == "supervisor_complex_check" {
			args = []string{"-c", `{"memory":{"max_rss":"1GiB"},"http":{"url":"/","port":80}}`}
		}
		var all []time.Duration
		for range 40 {
			begun := time.Now()
			p := listen(f.t, filepath.Join(programs, name), d.url(), args...)
			all = append(all, time.Since(begun))
			p.end()
		}
		f.absolute("start of `"+name+"` to its first READY", quantile(all, 0.5).Seconds()*1000, "ms", 10)
	}
}

func residentMemory(f *figures, programs string) {
	for _, size := range []struct {
		processes int32
		most      float64
	}{{10, 12}, {1000, 24}} {
		port, served := web(f.t, 0)
		d := newDaemon(f.t, int(size.processes), nil)
		const starts, ticks = 7, 20
		var all []float64
		for range starts {
			p := listen(f.t, filepath.Join(programs, "supervisor_http_check"), d.url(), "-g", "web", "-u", "/", "-p", port)
			for range ticks {
				p.round(served, size.processes)
			}
			time.Sleep(time.Second)
			all = append(all, p.resident())
			p.end()
		}
		slices.Sort(all)
		f.absolute(fmt.Sprintf("idle resident memory of `supervisor_http_check` after %d rounds of %d processes", ticks, size.processes), all[starts/2], "MiB", size.most)
	}
}

func answers(f *figures, programs string) {
	const ticks, hanging = 500, 500
	for _, s := range []struct {
		what                string
		hang, first, checks int32 // requests that hang; of the first round, and of each further one
		wide                bool
	}{
		{"TICK to RESULT, of 1,000 healthy processes, 99th percentile", 0, 0, 1000, false},
		{fmt.Sprintf("the same while %d checks of the round before hang, or wait for one of the %d that may be made at once", hanging, runner.DefaultConcurrency),
			hanging, runner.DefaultConcurrency, 0, false},
		{fmt.Sprintf("the same while %d checks of the round before hang, of a Go program that makes 1,000 at once", hanging), hanging, 1000, 1000 - hanging, true},
	} {
		port, served := web(f.t, s.hang)
		d := newDaemon(f.t, 1000, nil)
		var p *program
		if s.wide {
			p = listenWide(f.t, port, d.url())
		} else {
			p = listen(f.t, filepath.Join(programs, "supervisor_http_check"), d.url(), "-g", "web", "-u", "/", "-p", port, "-t", "300", "-r", "0")
		}
		if s.hang > 0 {
			p.tick()
			await(f.t, served, s.first)
		}
		idle := listen(f.t, filepath.Join(programs, "supervisor_http_check"), d.url(), "-N", "nobody", "-u", "/", "-p", port)
		var ours, bare []time.Duration
		for range ticks {
			ours = append(ours, p.round(served, s.checks))
			idle.round(served, 0) // now the round of ours is as long ago as that of idle was before ours
			bare = append(bare, idle.round(served, 0))
		}
		f.beyond(s.what, tail(ours), tail(bare), 2*time.Millisecond)
		for _, p := range []*program{p, idle} {
			p.stdin.Close()
			p.cmd.Process.Kill()
			p.cmd.Wait()
		}
	}
}
