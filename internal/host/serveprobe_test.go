package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/cloudprober"
	"github.com/supervisor-checks/supervisor-checks/internal/scripttest"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
	"github.com/supervisor-checks/supervisor-checks/supervisor/supervisortest"
)

// probeServerProcess is a supervisor_checks serve-probe with one that asks it.
type probeServerProcess struct {
	*cloudprober.Client
	t      *testing.T
	path   string // of the file
	cmd    *exec.Cmd
	log    *scripttest.Transcript
	exited chan struct{}
}

// patience is how long a test waits for what should come at once.
const patience = 20 * time.Second

// startProbeServer starts one with a file.
func startProbeServer(t *testing.T, file string, env ...string) *probeServerProcess {
	t.Helper()
	dir := t.TempDir()
	p := &probeServerProcess{t: t, path: filepath.Join(dir, "checks.yaml"), log: scripttest.NewTranscript(), exited: make(chan struct{})}
	p.write(file)
	p.cmd = exec.Command(os.Args[0], "serve-probe", "--config", p.path, "--state-dir", filepath.Join(dir, "state"))
	p.cmd.Dir = dir
	p.cmd.Env = append([]string{asProgram + "=1", "GORACE=atexit_sleep_ms=10", "PATH=" + os.Getenv("PATH")}, env...)
	p.cmd.Stderr = p.log
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.Client = cloudprober.NewClient(out, in)
	go func() {
		<-p.Done() // all of its output has been read
		p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.exited
	})
	return p
}

func (p *probeServerProcess) write(file string) {
	p.t.Helper()
	if err := os.WriteFile(p.path, []byte(file), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// ask returns the reply to a request with options as "process=web:a check=http".
func (p *probeServerProcess) ask(options string) cloudprober.Reply {
	p.t.Helper()
	rep, err := p.Do(p.t.Context(), patience, optionsOf(options))
	if err != nil {
		p.t.Errorf("%s: %v\n%s", options, err, p.log)
	}
	return rep
}

func optionsOf(text string) (options []cloudprober.Option) {
	for option := range strings.FieldsSeq(text) {
		name, value, _ := strings.Cut(option, "=")
		options = append(options, cloudprober.Option{Name: name, Value: value})
	}
	return options
}

// until asks until the reply is as it should be.
func (p *probeServerProcess) until(options string, is func(cloudprober.Reply) bool) {
	p.t.Helper()
	var rep cloudprober.Reply
	for begun := time.Now(); time.Since(begun) < patience; {
		if rep = p.ask(options); is(rep) || p.t.Failed() {
			return
		}
	}
	p.t.Errorf("%s: the reply stays %+v\n%s", options, rep, p.log)
}

func (p *probeServerProcess) logs(part string) {
	p.t.Helper()
	limit := make(chan struct{})
	defer time.AfterFunc(patience, func() { close(limit) }).Stop()
	if err := p.log.Await(p.exited, limit, func(text string) bool { return strings.Contains(text, part) }); err != nil {
		p.t.Fatalf("%q: %v in\n%s", part, err, p.log)
	}
}

// ends requires its end with exit status 0, within a limit.
func (p *probeServerProcess) ends(within time.Duration) {
	p.t.Helper()
	begun := time.Now()
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.t.Fatalf("it does not end\n%s", p.log)
	}
	if took := time.Since(begun); p.cmd.ProcessState.ExitCode() != 0 || took > within {
		p.t.Errorf("it has ended after %v with %v\n%s", took, p.cmd.ProcessState, p.log)
	}
}

// at serves a supervisord at a socket, with the processes web:a and web:b, or others of
// that group, one that is stopped, and an event listener.
func at(t *testing.T, socket string, names ...string) *supervisortest.Server {
	t.Helper()
	if names == nil {
		names = []string{"a", "b"}
	}
	programs := []supervisortest.Program{{Name: "gone", Stopped: true}, {Name: "pool", Listener: true}}
	for _, name := range names {
		programs = append(programs, supervisortest.Program{Group: "web", Name: name})
	}
	srv := supervisortest.NewServer(supervisor.Python, programs...)
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	srv.Await(t.Context(), func() bool {
		return !slices.ContainsFunc(names, func(name string) bool { return srv.Process("web:"+name).State != supervisor.Running })
	})
	return srv
}

// waits is a check that goes on until its file is there, or it is killed.
const waits = `{script: {command: [sh, -c, 'trap "" TERM; echo $$ > pid; while ! test -e go; do sleep 0.05; done']}, name: waits, timeout: 60s}`

func TestServeProbe(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s")
	srv := at(t, socket)
	defer srv.Close()
	file := `
server: {url: 'unix://` + socket + `'}
environment: production
watch:
  - processes: ["*"]
    checks:
      - script: {command: [sh, -c, 'test %(process_name)s != b || { echo queue is full; exit 1; }']}
        name: queue
      - script: {command: ["true"]}
        name: fine
  - processes: web:a
    checks: [{tcp: {unix_socket: /no/such}}]
probes:
  - {name: db, script: {command: [echo, 'rows{table="a"} 7'], protocol: cloudprober}}
  - {name: shop, script: {command: ["true"], only_in: [develop]}}
`
	p := startProbeServer(t, file)
	var all sync.WaitGroup
	begun := time.Now()
	for _, tt := range []struct {
		options string
		payload string // its lines, but for those of statuses and times
		err     string
	}{
		{"process=web:a check=queue", `check_healthy{process="web:a",check="queue"} 1`, ""},
		{"process=web:b check=queue", `check_healthy{process="web:b",check="queue"} 0`, "web:b queue unhealthy: it exited with status 1: queue is full"},
		{"process=web:* check=fine", `check_healthy{process="web:a",check="fine"} 1|check_healthy{process="web:b",check="fine"} 1`, ""},
		{"check=tcp", `check_healthy{process="web:a",check="tcp"} 0`, "web:a tcp unhealthy: dial unix /no/such: connect: no such file or directory"},
		{"probe=db", `probe_healthy{probe="db"} 1|rows{probe="db",table="a"} 7`, ""},
		{"probe=db check=fine process=web:a", `probe_healthy{probe="db"} 1|rows{probe="db",table="a"} 7|check_healthy{process="web:a",check="fine"} 1`, ""},
		{"probe=shop", "", "shop probe skipped: "},
		{"", `probe_healthy{probe="db"} 1|rows{probe="db",table="a"} 7|check_healthy{process="web:a",check="queue"} 1|check_healthy{process="web:a",check="fine"} 1|check_healthy{process="web:a",check="tcp"} 0|` +
			`check_healthy{process="web:b",check="queue"} 0|check_healthy{process="web:b",check="fine"} 1`, "shop probe skipped: "},
		{"process=gone", "", "no process was checked; not watched: gone: it is STOPPED"},
		{"process=pool", "", "process: pool is not watched: it looks like an event listener (priority -1)"},
		{"process=web:z", "", `process: no process that is watched matches "web:z": there are gone, web:a, web:b`},
		{"process=@target@", "", `process: no process that is watched matches "@target@": there are gone, web:a, web:b`},
		{"process=a:b:c", "", `process: process "a:b:c": there is one colon in a name`},
		{"process=!web:a", "", `process: process "!web:a": a ! is for patterns that leave something out`},
		{"process=web:b check=tcp", "", `check: there is no check "tcp": there are fine, queue`},
		{"probe=cache", "", `there is no probe "cache": there are db, shop`},
		{"target=web:a", "", `there is no option "target": there are process, check and probe`},
		{"process=web:a process=web:b", "", "there are two options process"},
		{"process=", "", "an option is empty: leave it out for all there is"},
	} {
		for range 3 {
			all.Go(func() {
				rep := p.ask(tt.options)
				var lines []string
				for line := range strings.Lines(rep.Payload) {
					if _, err := cloudprober.ParseMetric(line); err != nil {
						t.Errorf("%s: %v", tt.options, err)
					}
					if name, _, _ := strings.Cut(line, "{"); !strings.HasSuffix(name, "_status") && !strings.HasSuffix(name, "_milliseconds") && !strings.HasSuffix(name, "_seconds") {
						lines = append(lines, strings.TrimSuffix(line, "\n"))
					}
				}
				if payload := strings.Join(lines, "|"); payload != tt.payload || !strings.HasPrefix(rep.Error, tt.err) || (rep.Error == "") != (tt.err == "") {
					t.Errorf("%s: the payload is\n%s\nwant\n%s\nand the error %q, want %q", tt.options, payload, tt.payload, rep.Error, tt.err)
				}
			})
		}
	}
	all.Wait()
	asked := len(slices.DeleteFunc(srv.Calls(), func(c supervisortest.Call) bool { return c.Method != "supervisor.getAllProcessInfo" }))
	if most := 1 + int(time.Since(begun)/time.Second); asked > most {
		t.Errorf("supervisord was asked for its processes %d times, want %d at most", asked, most)
	}
	p.Close() // its input ends
	p.ends(patience)
	if p.log.String() != "" {
		t.Errorf("it has logged\n%s", p.log)
	}
}

// TestServeProbeRemembers has one server of a script for all requests, until the file says
// something else.
func TestServeProbeRemembers(t *testing.T) {
	t.Parallel()
	file := func(probe string) string {
		return "probes: [{name: one, script: {command: ['" + os.Args[0] + "'], clean_env: true, env: {" + asAnswers + ": " + probe + "}, protocol: cloudprober-server}}]\n"
	}
	p := startProbeServer(t, file("first"))
	served := func(payload string) func(cloudprober.Reply) bool {
		return func(rep cloudprober.Reply) bool { return rep.Error == "" && strings.Contains(rep.Payload, payload) }
	}
	p.until("probe=one", served(`requests{probe="one",env="first"} 3`+"\n"))
	p.write("probes: 5\n")
	p.cmd.Process.Signal(syscall.SIGHUP)
	p.logs("SIGHUP: all stays as it was: ")
	p.until("", served(`requests{probe="one",env="first"} 4`+"\n"))
	p.write(file("second"))
	p.cmd.Process.Signal(syscall.SIGHUP)
	p.logs("SIGHUP: has read ")
	p.until("", served(`requests{probe="one",env="second"} 1`+"\n"))
	if rep := p.ask("process=web:a"); rep.Error != "the file watches no process" || rep.Payload != "" {
		t.Errorf("%+v", rep)
	}
	p.Close()
	p.ends(patience)
}

// asAnswers in the environment has the test binary answer requests with how many there
// were, and with its value.
const asAnswers = "HOST_TEST_ANSWERS"

func answers() {
	var n atomic.Int64
	cloudprober.Serve(context.Background(), os.Stdin, os.Stdout, os.Stderr, func(context.Context, cloudprober.Request) (string, error) {
		return fmt.Sprintf("requests{env=%q} %d", os.Getenv(asAnswers), n.Add(1)), nil
	})
}

// TestServeProbeHangs does not reply after a time limit, and replies to others.
func TestServeProbeHangs(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s")
	defer at(t, socket).Close()
	p := startProbeServer(t, "server: {url: 'unix://"+socket+"'}\nwatch: [{processes: web:a, checks: ["+waits+"]}, {processes: web:b, checks: [{script: {command: 'true'}}]}]\n")
	var late *cloudprober.TimeoutError
	if rep, err := p.Do(t.Context(), 300*time.Millisecond, optionsOf("process=web:a")); !errors.As(err, &late) {
		t.Errorf("%+v, %v", rep, err)
	}
	p.logs("Timeout for request 1 (process: web:a,)")
	if rep := p.ask("process=web:b"); rep.Error != "" {
		t.Errorf("%+v", rep)
	}

	// What still goes on when it ends is cut short, and killed.
	go p.Do(t.Context(), patience, optionsOf("process=web:a"))
	pid := filepath.Join(filepath.Dir(p.path), "pid")
	os.Remove(pid)
	script := 0
	for begun := time.Now(); script == 0 && time.Since(begun) < patience; {
		text, _ := os.ReadFile(pid)
		fmt.Sscan(string(text), &script)
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	p.ends(patience)
	if err := syscall.Kill(script, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the script %d goes on: %v", script, err)
	}
}

// TestServeProbeWithoutSupervisord replies that there is none, and looks again at the next
// request.
func TestServeProbeWithoutSupervisord(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s")
	p := startProbeServer(t, "watch: [{processes: web:*, checks: [{script: {command: 'true'}}]}]\nprobes: [{name: db, script: {command: 'true'}}]\n", "SUPERVISOR_SERVER_URL=unix://"+socket)
	away := func(rep cloudprober.Reply) bool {
		return strings.HasPrefix(rep.Error, "no answer from supervisord at unix://"+socket+": ") && strings.Contains(rep.Error, "is supervisord running")
	}
	there := func(rep cloudprober.Reply) bool { return rep.Error == "" && strings.Contains(rep.Payload, "web:b") }
	p.until("process=web:*", away)
	if rep := p.ask(""); !away(rep) || !strings.Contains(rep.Payload, `probe_healthy{probe="db"} 1`) {
		t.Errorf("what needs no supervisord is not there: %+v", rep)
	}
	for range 2 {
		srv := at(t, socket)
		p.until("", there)
		srv.Close()
		os.Remove(socket)
		p.until("", away)
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	p.ends(patience)
}
