package migrate

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/supervisor-checks/supervisor-checks/internal/cli"
	"github.com/supervisor-checks/supervisor-checks/internal/config"
	"github.com/supervisor-checks/supervisor-checks/runner"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
	"github.com/supervisor-checks/supervisor-checks/supervisor/supervisortest"
)

// superlanceVariable says where the programs of superlance are.
const superlanceVariable = "SUPERLANCE"

// ours are our programs.
var ours = map[string]func([]string, io.Reader, io.Writer, io.Writer) int{
	"supervisor_complex_check": cli.Complex, "supervisor_cpu_check": cli.CPU, "supervisor_file_check": cli.File, "supervisor_http_check": cli.HTTP,
	"supervisor_memory_check": cli.Memory, "supervisor_tcp_check": cli.TCP, "supervisor_xmlrpc_check": cli.XMLRPC,
}

const (
	longWait = 30 * time.Second       // for what must come
	quiet    = 100 * time.Millisecond // of the log, when all that must come has come
)

// fat makes this test a process that uses 64 MiB.
const fat = "MIGRATE_TEST_FAT"

func TestMain(m *testing.M) {
	if os.Getenv(fat) != "" {
		memory := make([]byte, 64<<20)
		for i := range memory {
			memory[i] = 1
		}
		fmt.Println("fat")
		time.Sleep(time.Hour)
		fmt.Println(memory[0])
	}
	os.Exit(m.Run())
}

// script is what happens to the processes of an archive, which the comment at its
// beginning says:
//
//	original: python                  whose programs they are: python, superlance, ours
//	http 8001/ping: 200 500 closed    what is answered at a port, tick by tick, at all paths or at one
//	memory web:a: fat thin            how much the process uses, start by start
//	file beat: new gone               whether there is a file in /var/run
//	wait: 0s 2s 0s                    how long before the tick, for what looks at the age of a process
type script struct {
	original string
	ticks    int
	wait     []string
	http     map[string][]string
	memory   map[string][]string
	file     map[string][]string
}

func parseScript(t *testing.T, text string) script {
	t.Helper()
	s := script{wait: []string{"0s"}, http: make(map[string][]string), memory: make(map[string][]string), file: make(map[string][]string)}
	for line := range strings.Lines(text) {
		i := strings.LastIndex(line, ": ")
		if i < 0 {
			continue
		}
		kind, name, _ := strings.Cut(line[:i], " ")
		values := strings.Fields(line[i+2:])
		switch kind {
		case "original":
			s.original = values[0]
			continue
		case "http":
			s.http[name] = values
		case "memory":
			s.memory[name] = values
		case "file":
			s.file[name] = values
		case "wait":
			s.wait = values
		default:
			t.Fatalf("there is no %q in scripts", kind)
		}
		s.ticks = max(s.ticks, len(values))
	}
	return s
}

// at is the value of a tick; the last one stays.
func at(values []string, tick int) string { return values[min(tick, len(values)-1)] }

// world is a supervisord with the processes of an archive, and what scripts can do
// to them. Each of those that are compared has its own, with ports of its own.
type world struct {
	t           *testing.T
	script      script
	dir, file   string
	environment []string
	back        *strings.Replacer // from our ports to those in the archive
	ports       map[string]*port
	server      *supervisortest.Server
	url         string
	seen        seen
	log         *logged
	made        *config.File // of the configuration
	period      time.Duration
}

// port answers HTTP requests.
type port struct {
	address  string
	listener net.Listener

	mu      sync.Mutex
	answers map[string]string // by path, "" for all others
}

// logged is a log that knows when it last grew.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
	last time.Time
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = time.Now()
	return l.text.Write(p)
}

func (l *logged) state() (size int, last time.Time, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Len(), l.last, l.text.String()
}

// number is one in an archive that may be a port.
var number = regexp.MustCompile(`[5-9]\d{3}`)

func newWorld(t *testing.T, python string, a *txtar.Archive) *world {
	t.Helper()
	w := &world{t: t, script: parseScript(t, string(a.Comment)), ports: make(map[string]*port), log: new(logged)}
	var names []string
	for key := range w.script.http {
		name, _, _ := strings.Cut(key, "/")
		names = append(names, name)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	replaced := w.openPorts(names)
	again := &txtar.Archive{}
	for _, f := range a.Files {
		text := number.ReplaceAllStringFunc(string(f.Data), func(found string) string {
			if to, is := replaced[found]; is {
				return to
			}
			return found
		})
		again.Files = append(again.Files, txtar.File{Name: f.Name, Data: []byte(text)})
	}
	var pairs []string
	for from, to := range replaced {
		pairs = append(pairs, to, from)
	}
	w.back = strings.NewReplacer(pairs...)
	w.dir, w.file, w.environment = unpack(t, again)
	var err error
	if w.seen, err = ask(t, python, w.file, w.environment); err != nil {
		t.Fatal(err)
	}
	w.migrate()
	w.supervisord()
	return w
}

// lastPort is below those that systems give away, so that nobody takes one while it
// is closed.
var lastPort atomic.Int32

func init() { lastPort.Store(10000 + rand.Int32N(20000)) }

// openPorts opens ports in a row.
func (w *world) openPorts(names []string) map[string]string {
	count := int32(len(names))
	for range 50 {
		base := lastPort.Add(count) - count
		replaced := make(map[string]string)
		for i, name := range names {
			p := &port{address: fmt.Sprintf("127.0.0.1:%d", base+int32(i)), answers: make(map[string]string)}
			l, err := net.Listen("tcp", p.address)
			if err != nil {
				break
			}
			p.open(l)
			w.t.Cleanup(p.close)
			w.ports[name] = p
			replaced[name] = fmt.Sprint(base + int32(i))
		}
		if len(replaced) == len(names) {
			return replaced
		}
	}
	w.t.Fatal("there are no free ports")
	return nil
}

func (p *port) open(l net.Listener) {
	p.listener = l
	s := &http.Server{Handler: p}
	s.SetKeepAlivesEnabled(false)
	go s.Serve(l)
}

func (p *port) close() {
	if p.listener != nil {
		p.listener.Close()
		p.listener = nil
	}
}

func (p *port) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	answer, is := p.answers[r.RequestURI]
	if !is {
		answer = p.answers[""]
	}
	p.mu.Unlock()
	status, _ := strconv.Atoi(answer)
	rw.WriteHeader(max(status, 200))
}

// set has the port answer something else; "closed" is that nobody listens.
func (p *port) set(t *testing.T, path, answer string) {
	p.mu.Lock()
	p.answers[path] = answer
	p.mu.Unlock()
	switch {
	case answer == "closed":
		p.close()
	case p.listener == nil:
		l, err := net.Listen("tcp", p.address)
		if err != nil {
			t.Fatal(err)
		}
		p.open(l)
	}
}

// supervisord starts one with the processes.
func (w *world) supervisord() {
	var programs []supervisortest.Program
	for _, p := range w.seen.Processes {
		program := supervisortest.Program{Group: p[0], Name: p[1]}
		if sizes := w.script.memory[supervisor.Process{Group: p[0], Name: p[1]}.Namespec()]; sizes != nil {
			start := 0
			program.Spawn = func() int {
				start++
				return w.spawn(at(sizes, start-1))
			}
		}
		programs = append(programs, program)
	}
	w.server = supervisortest.NewServer(supervisor.Python, programs...)
	w.t.Cleanup(w.server.Close)
	socket := filepath.Join(w.dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		w.t.Fatal(err)
	}
	w.url = "unix://" + socket
	go w.server.Serve(l)
}

// spawn starts a process that uses much or little memory.
func (w *world) spawn(size string) int {
	cmd := exec.Command("sleep", "3600")
	if size == "fat" {
		cmd = exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), fat+"=1")
	}
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		w.t.Error(err)
		return 0
	}
	if size == "fat" {
		bufio.NewReader(out).ReadString('\n') // until it is
	}
	w.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd.Process.Pid
}

// prepare makes the world as it is at a tick.
func (w *world) prepare(tick int) {
	for key, answers := range w.script.http {
		name, path, with := strings.Cut(key, "/")
		if with {
			path = "/" + path
		}
		w.ports[name].set(w.t, path, at(answers, tick))
	}
	for name, states := range w.script.file {
		path := filepath.Join(w.dir, "var/run", name)
		os.Remove(path)
		if at(states, tick) == "new" {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// play goes through the script. tick sends the ticks to listeners, and returns when
// those of others have done what they do. What comes back are the stops and starts
// of each process, tick by tick.
func (w *world) play(tick func(number int)) map[string][]string {
	played := make(map[string][]string)
	before := 0
	for i := range w.script.ticks {
		wait, err := time.ParseDuration(at(w.script.wait, i))
		if err != nil {
			w.t.Fatal(err)
		}
		time.Sleep(wait)
		w.prepare(i)
		tick(i)
		calls := w.server.Calls()
		did := make(map[string][]string)
		for _, c := range calls[before:] {
			switch c.Method {
			case "supervisor.stopProcess":
				did[c.Args[0]] = append(did[c.Args[0]], "stop")
			case "supervisor.startProcess":
				did[c.Args[0]] = append(did[c.Args[0]], "start")
			}
		}
		before = len(calls)
		for namespec, steps := range did {
			group, name := supervisor.SplitNamespec(namespec) // memmon says web:web
			namespec = w.back.Replace(supervisor.Process{Group: group, Name: name}.Namespec())
			played[namespec] = append(played[namespec], fmt.Sprintf("tick %d: %s", i+1, strings.Join(steps, " ")))
		}
	}
	return played
}

// await waits until ours have done what they do at a tick: they log a result of each
// process, and what becomes of those that are unhealthy. size is that of the log
// before.
func (w *world) await(tick, size int) {
	deadline := time.Now().Add(longWait)
	for time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
		_, last, text := w.log.state()
		if time.Since(last) > quiet && settled(text[size:], w.due(tick)) {
			return
		}
	}
	_, _, text := w.log.state()
	w.t.Fatalf("not all of %v are done at tick %d:\n%s", w.due(tick), tick+1, text[size:])
}

// result is a line of the log that tells one, or what came of it.
var result = regexp.MustCompile(`^time=\S+ level=(\S+) msg="(.*)"(?: listener=\S+)? process=(\S+)`)

// short is a failure that is not the last one of several that it takes.
var short = regexp.MustCompile(`unhealthy.*\((\d+) of (\d+)\)$`)

// settled reports whether a log has as many results of each process as there are due,
// or says that it failed, and that those which failed are checked in rounds again: no
// more of their checks are made in this one.
func settled(text string, due map[string]int) bool {
	checked, failed, ended := make(map[string]int), make(map[string]bool), make(map[string]bool)
	for line := range strings.Lines(text) {
		parts := result.FindStringSubmatch(line)
		if parts == nil {
			continue
		}
		process := parts[3]
		count := short.FindStringSubmatch(parts[2])
		switch {
		case strings.HasSuffix(parts[2], " is checked in rounds again"), count != nil && count[1] != count[2]:
			failed[process], ended[process] = false, true
		case parts[1] == "DEBUG":
			checked[process]++
			failed[process] = failed[process] || strings.Contains(parts[2], " unhealthy: ")
		}
	}
	for process, results := range due {
		if failed[process] || checked[process] < results && !ended[process] {
			return false
		}
	}
	return true
}

// due is how many checks of each process are made at a tick, of which all are within
// the shortest period but the first.
func (w *world) due(tick int) map[string]int {
	all := make(map[string]int)
	for _, p := range w.seen.Processes {
		for _, watch := range w.made.Watch {
			picked := slices.ContainsFunc(watch.Processes, func(pattern config.Pattern) bool { return matches(pattern.Text, process{p[0], p[1]}) })
			for _, r := range watch.Checks {
				if picked && (r.Period == nil || tick == 0) {
					all[supervisor.Process{Group: p[0], Name: p[1]}.Namespec()]++
				}
			}
		}
	}
	return all
}

// migrate makes the file of the configuration.
func (w *world) migrate() {
	r, err := Run(Source{Path: w.file, ReadFile: os.ReadFile, Glob: filepath.Glob, Environment: lookup(w.environment)}, "checks.yaml")
	if err != nil || len(r.Problems) > 0 {
		w.t.Fatal(r.Problems, err)
	}
	w.made, err = config.Read("checks.yaml", []byte(r.File), func(name string) (string, bool) {
		if value, is := lookup(w.environment)(name); is {
			return value, true
		}
		return "filled in", strings.Contains(r.File, name+`="`)
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.period = time.Minute
	if strings.Contains(r.File, "# events=TICK_5\n") {
		w.period = 5 * time.Second
	}
}

// original runs the listeners of the configuration.
func (w *world) original() map[string][]string {
	type running struct {
		name     string
		minutely bool // has no tick of 5 s
		stdin    io.WriteCloser
		stdout   *bufio.Reader
	}
	var all []*running
	tool := regexp.MustCompile(`^(supervisor_[a-z]+_check|httpok|memmon)$`)
	for _, name := range slices.Sorted(maps.Keys(w.seen.Listeners)) {
		l := w.seen.Listeners[name]
		for _, words := range l.Commands {
			i := slices.IndexFunc(words, func(word string) bool { return tool.MatchString(filepath.Base(word)) })
			if i < 0 {
				continue
			}
			stdin, in := io.Pipe()
			out, stdout := io.Pipe()
			r := &running{name: name, minutely: !slices.Contains(l.Events, "Tick5Event"), stdin: in, stdout: bufio.NewReader(out)}
			w.t.Cleanup(func() { in.Close(); out.Close() })
			program, args := filepath.Base(words[i]), words[i+1:]
			if w.script.original == "ours" {
				args = append(slices.Clone(args), "--server-url", w.url, "--state-dir", filepath.Join(w.dir, "state"), "--log-level", "debug")
				go ours[program](args, stdin, stdout, w.log)
			} else {
				folder := os.Getenv(map[string]string{"python": pythonVariable, "superlance": superlanceVariable}[w.script.original])
				cmd := exec.Command(filepath.Join(folder, program), args...)
				cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "SUPERVISOR_SERVER_URL=" + w.url}, w.environment...)
				cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, w.log
				if err := cmd.Start(); err != nil {
					w.t.Fatal(err)
				}
				go cmd.Wait()
				w.t.Cleanup(func() { cmd.Process.Kill() })
			}
			if said, err := r.stdout.ReadString('\n'); said != "READY\n" {
				_, _, text := w.log.state()
				w.t.Fatalf("%s says %q, %v:\n%s", name, said, err, text)
			}
			all = append(all, r)
		}
	}
	quick := slices.ContainsFunc(all, func(r *running) bool { return !r.minutely })
	return w.play(func(tick int) {
		size, _, _ := w.log.state()
		var answered sync.WaitGroup
		for i, r := range all {
			if r.minutely && quick && tick > 0 {
				continue // its next tick is not within the script
			}
			answered.Go(func() {
				event := map[bool]string{true: "TICK_60", false: "TICK_5"}[r.minutely]
				payload := fmt.Sprintf("when:%d", time.Now().Unix())
				fmt.Fprintf(r.stdin, "ver:3.0 server:supervisor serial:%d pool:%s poolserial:%d eventname:%s len:%d\n%s",
					tick*100+i, r.name, tick, event, len(payload), payload)
				const want = "RESULT 2\nOKREADY\n"
				said := make([]byte, len(want))
				if _, err := io.ReadFull(r.stdout, said); string(said) != want {
					_, _, text := w.log.state()
					w.t.Errorf("%s says %q, %v:\n%s", r.name, said, err, text)
				}
			})
		}
		answered.Wait()
		if w.script.original == "ours" {
			w.await(tick, size)
		}
	})
}

// migrated runs the one listener that takes the place of those.
func (w *world) migrated() map[string][]string {
	cfg, _, err := w.made.Config(nil, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	cfg.Server, cfg.StateDir = supervisor.Config{URL: w.url}, filepath.Join(w.dir, "state")
	cfg.Log = slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	cfg.Stdin, cfg.Stdout = w.server.Listener()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- runner.Run(ctx, cfg) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			w.t.Error(err)
		}
	})
	return w.play(func(tick int) {
		size, _, _ := w.log.state()
		if err := w.server.Tick(w.period); err != nil {
			w.t.Fatal(err)
		}
		w.await(tick, size)
	})
}

// TestMigratedListenerDoesTheSame runs the listeners of configurations, and what
// migrate makes of them, under the same supervisord with the same failures, and
// compares what is stopped and started at each tick.
func TestMigratedListenerDoesTheSame(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT TESTED against the originals, which takes its time")
	}
	python := interpreter(t)
	golden(t, func(t *testing.T, a *txtar.Archive, _ string) {
		s := parseScript(t, string(a.Comment))
		if s.original == "" {
			return
		}
		if variable := map[string]string{"python": pythonVariable, "superlance": superlanceVariable}[s.original]; variable != "" && os.Getenv(variable) == "" {
			t.Skipf("NOT TESTED against %s's: make unit installs it and sets %s", s.original, variable)
		}
		t.Parallel()
		var before, now map[string][]string
		var said string
		t.Run("worlds", func(t *testing.T) {
			t.Run("original", func(t *testing.T) {
				t.Parallel()
				before = newWorld(t, python, a).original()
			})
			t.Run("migrated", func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, python, a)
				now = w.migrated()
				_, _, said = w.log.state()
			})
		})
		if len(before) == 0 {
			t.Error("nothing is restarted: the script tests nothing")
		}
		if diff := gocmp.Diff(before, now); diff != "" {
			t.Errorf("(-original +migrated)\n%s", diff)
		}
		if t.Failed() {
			t.Logf("the migrated one logs\n%s", said)
		}
	})
}
