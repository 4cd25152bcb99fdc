package soak

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/supervisor"
	"github.com/supervisor-checks/supervisor-checks/supervisor/supervisortest"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// countTicks returns TICKS, 1000 unless it is set, and at least 100.
func countTicks(t *testing.T) int {
	t.Helper()
	text := os.Getenv("TICKS")
	if text == "" {
		return 1000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 100 {
		t.Fatalf("TICKS is %q, want a number, of 100 or more", text)
	}
	return n
}

// faults is where all that fails comes from. What it decides depends on its seed
// and on what it is asked, not on when.
type faults struct {
	seed    uint64
	longest time.Duration // that supervisord takes to answer

	on       atomic.Bool
	injected atomic.Int64 // in calls
	stuck    atomic.Int64 // until when supervisord does nothing, in nanoseconds
}

// newFaults prints the seed, which SEED sets.
func newFaults(t *testing.T, longest time.Duration) *faults {
	t.Helper()
	f := &faults{seed: rand.Uint64(), longest: longest}
	if text := os.Getenv("SEED"); text != "" {
		var err error
		if f.seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("SEED=%d", f.seed)
	return f
}

// dice returns a source that is always the same for the same things.
func (f *faults) dice(about ...any) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprint(h, about...)
	return rand.New(rand.NewPCG(f.seed, h.Sum64()))
}

func chance(r *rand.Rand, percent float64) bool { return r.Float64()*100 < percent }

// within returns a time between 0 and limit.
func within(r *rand.Rand, limit time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(limit) + 1))
}

// fate is what becomes of a call to supervisord. It is told, but for looks, which are many.
func (w *world) fate(c supervisortest.Call) supervisortest.Fate {
	fate := w.faults.fate(c)
	if len(c.Args) > 0 && c.Method != "supervisor.getProcessInfo" {
		w.log.tell(c.Args[0], fmt.Sprintf("call %s %v, fate %v", c.Method, c.Args, fate))
	}
	return fate
}

// stick has supervisord do nothing for a while, and everything after that.
func (f *faults) stick(d time.Duration) {
	f.stuck.Store(max(f.stuck.Load(), time.Now().Add(d).UnixNano()))
}

// fate lets every seventh call go wrong. No call overtakes one that was given up, at the end
// of the listener, too, as supervisord answers one after the other.
func (f *faults) fate(c supervisortest.Call) supervisortest.Fate {
	if !f.on.Load() {
		return supervisortest.Fate{}
	}
	fate := supervisortest.Fate{Delay: max(0, time.Until(time.Unix(0, f.stuck.Load())))}
	r := f.dice(c.Method, c.Number)
	if !chance(r, 100./7) {
		return fate
	}
	f.injected.Add(1)
	switch r.IntN(9) {
	case 0:
		fate.LoseCall = true
	case 1:
		fate.LoseReply = true
	case 2:
		fate.Truncate = true
	case 3:
		fate.Delay = max(fate.Delay, within(r, f.longest))
	case 4:
		fate.Status, fate.Type, fate.Body = 500, "text/plain", "Internal Server Error"
	case 5:
		fate.Status, fate.Type, fate.Body = 200, "text/xml", "<methodResponse><params><param><value><arr\x00y>"
	case 6:
		fate.Status, fate.Type, fate.Body = 200, "text/html", strings.Repeat("<p>It works!</p>", 1+r.IntN(1000))
	case 7:
		fate.Fault = &supervisor.Fault{Code: supervisor.FaultShutdownState, Text: "SHUTDOWN_STATE"}
	case 8:
		fate.Fault = &supervisor.Fault{Code: supervisor.FaultFailed, Text: "FAILED"}
	}
	return fate
}

// world is a supervisord and those who act on its processes besides the
// listener. Its methods are for one goroutine.
type world struct {
	*supervisortest.Server
	t *testing.T
	*faults
	dir string // of the listener's state
	log *logbook

	names    []string        // of all processes
	down     map[string]bool // those that somebody else has stopped, or that have ended by themselves
	meddling atomic.Bool     // somebody else starts a process, which does not fail
	acts     int             // of people, and of processes by themselves
}

func newWorld(t *testing.T, f *faults) *world {
	w := &world{Server: supervisortest.NewServer(supervisor.Python), t: t, faults: f, dir: filepath.Join(t.TempDir(), "state"), log: newLogbook(), down: make(map[string]bool)}
	w.Intercept(w.fate)
	return w
}

// add adds a process, whose starts fail at times.
func (w *world) add(p supervisortest.Program) {
	namespec := supervisor.Process{Group: p.Group, Name: p.Name}.Namespec()
	p.Fails = func(start int) bool {
		return w.on.Load() && !w.meddling.Load() && chance(w.dice("start", namespec, start), 15)
	}
	w.names = append(w.names, namespec)
	w.Add(p)
}

// act has people and the processes themselves do something, at times.
func (w *world) act(r *rand.Rand) {
	name := w.names[r.IntN(len(w.names))]
	switch r.IntN(12) {
	case 0:
		w.acts++
		before := w.Process(name).State
		err := w.Operator(supervisortest.OperatorStop, name)
		if err == nil {
			w.down[name] = true
		}
		w.log.tell(name, fmt.Sprintf("somebody stops it while it is %v: %v", before, err))
	case 1, 2, 3:
		if len(w.down) > 0 {
			w.start(slices.Sorted(maps.Keys(w.down))[0])
		}
	case 4:
		w.exit(name, true)
	case 5:
		w.exit(name, false)
	}
}

// exit has a process that runs end by itself.
func (w *world) exit(name string, again bool) {
	w.meddling.Store(true)
	defer w.meddling.Store(false)
	if w.Process(name).State != supervisor.Running {
		return
	}
	w.acts++
	w.Exit(name, again)
	w.log.tell(name, fmt.Sprintf("it ends, and is started: %v", again))
	if !again {
		w.down[name] = true
	}
}

// start has a person start a process that is down. While it is stopping,
// supervisord takes no notice.
func (w *world) start(name string) {
	w.meddling.Store(true)
	defer w.meddling.Store(false)
	w.acts++
	before := w.Process(name).State
	err := w.Operator(supervisortest.OperatorStart, name)
	state := w.Process(name).State
	if state == supervisor.Starting || state == supervisor.Running {
		delete(w.down, name)
	}
	w.log.tell(name, fmt.Sprintf("somebody starts it while it is %v: %v; it is %v", before, err, state))
}

// quiet reports whether all processes run that nobody else has stopped, and the
// listener has nothing left to do; else it says what there is. It has people
// start the others.
func (w *world) quiet() (trouble string) {
	for name := range w.down {
		w.start(name)
	}
	for _, name := range w.names {
		if p := w.Process(name); p.State != supervisor.Running {
			trouble += fmt.Sprintf("%s is %v; ", name, p.State)
		}
	}
	for _, path := range w.journal("*.intent*") {
		trouble += "there is " + filepath.Base(path) + "; "
	}
	return strings.TrimSuffix(trouble, "; ")
}

// stories tell what happened to the processes that do not run, as far as they are kept.
func (w *world) stories() (text string) {
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	for _, name := range w.names {
		if w.Process(name).State != supervisor.Running {
			text += name + ":\n\t" + strings.Join(w.log.told[name], "\n\t") + "\n"
		}
	}
	return text
}

// journal returns the files of the journal that match.
func (w *world) journal(pattern string) []string {
	w.t.Helper()
	paths, err := filepath.Glob(filepath.Join(w.dir, "*", pattern))
	if err != nil {
		w.t.Fatal(err)
	}
	return paths
}

// restarts tells how often a listener has told supervisord to stop a process.
func (w *world) restarts() (n int) {
	for _, c := range w.Calls() {
		if c.Method == "supervisor.stopProcess" {
			n++
		}
	}
	return n
}

// logbook counts lines and keeps the last of them, and the last of each process.
type logbook struct {
	mu     sync.Mutex
	tail   []byte
	lines  int                 // but for those that tell of ticks that come faster than a round ends
	alarms []string            // lines that tell of what must not happen
	told   map[string][]string // of each process, with what was done to it, by its namespec
}

func newLogbook() *logbook { return &logbook{told: make(map[string][]string)} }

// tell notes what was done to a process.
func (l *logbook) tell(namespec, what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note(namespec, time.Now().UTC().Format(time.RFC3339Nano)+" "+what)
}

func (l *logbook) note(namespec, line string) {
	const enough = 100
	all := append(l.told[namespec], line)
	l.told[namespec] = all[max(0, len(all)-enough):]
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if bytes.Contains(p, []byte("is left out of rounds")) {
		return len(p), nil
	}
	l.lines += bytes.Count(p, []byte("\n"))
	for _, alarm := range []string{"panic:", "fatal error:", "DATA RACE", "lines are missing"} {
		if bytes.Contains(p, []byte(alarm)) && len(l.alarms) < 10 {
			l.alarms = append(l.alarms, string(p))
		}
	}
	for line := range strings.Lines(string(p)) {
		if _, after, found := strings.Cut(line, " process="); found {
			namespec, _, _ := strings.Cut(strings.TrimSpace(after), " ")
			l.note(namespec, strings.TrimSpace(line[:min(len(line), 300)]))
		}
	}
	const enough = 16 << 10
	l.tail = append(l.tail, p...)
	if len(l.tail) > 2*enough {
		l.tail = append([]byte(nil), l.tail[len(l.tail)-enough:]...)
	}
	return len(p), nil
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.tail)
}

// wantQuiet fails when there are more lines than there were things to tell, and
// when one of them tells of what must not happen.
func (l *logbook) wantQuiet(t *testing.T, things int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	t.Logf("%d lines in the log, of %d things to tell", l.lines, things)
	if most := 6*things + 100; l.lines > most {
		t.Errorf("%d lines in the log, want at most %d", l.lines, most)
	}
	for _, alarm := range l.alarms {
		t.Errorf("in the log: %s", alarm)
	}
}
