package health

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/supervisor-checks/supervisor-checks/record"
)

// Board knows how supervised processes are, by the newest result of each of their checks:
// it is a record.Sink for these, and is told by Round which there are.
type Board struct {
	now func() time.Time

	mu        sync.Mutex
	round     time.Time // when supervisord said what processes there are
	period    time.Duration
	processes []Process // by their names
	results   map[checked]found
	draining  map[string]string // why, by namespec
	told      []chan<- struct{}
}

// checked is one check of one process.
type checked struct{ process, check string }

// found is a result, and of which run of a process it is.
type found struct {
	Result
	pid int
}

// Process is one that is supervised.
type Process struct {
	Name    string // its namespec
	PID     int
	Running bool
	Stopped bool   // by somebody else, as it was wanted
	State   string // "FATAL"
	Checks  []Checked
}

// Checked is a check that is made of a process.
type Checked struct {
	Name   string
	Period time.Duration // how often
	Rests  bool          // it is not made now
}

// NewBoard returns a Board that knows nothing. now is the clock; nil means time.Now.
func NewBoard(now func() time.Time) *Board {
	if now == nil {
		now = time.Now
	}
	return &Board{now: now, results: make(map[checked]found), draining: make(map[string]string)}
}

// Write takes the results of checks, which are forgotten where a process is stopped or
// started. It never fails.
func (b *Board) Write(_ context.Context, r record.Record) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case r.Kind == record.Restart && slices.Contains([]string{record.Stopping, record.Halting, record.Running}, r.Action):
		maps.DeleteFunc(b.results, func(c checked, _ found) bool { return c.process == r.Process })
		b.tell()
		return nil
	case r.Kind != record.CheckResult:
		return nil
	}
	result := Result{Process: r.Process, Name: r.Check, Status: Status(r.Status), At: b.now(), Took: time.Duration(r.Seconds * float64(time.Second)), Metrics: r.Metrics}
	if result.Status != Healthy {
		result.Err = errors.New(cmp.Or(r.Reason, r.Status))
	}
	key := checked{r.Process, r.Check}
	if before, is := b.results[key]; r.Pending && is && before.pid == r.PID { // it is as it was, until that is long enough
		result.Status, result.Err = before.Status, before.Err
	}
	b.results[key] = found{result, r.PID}
	b.tell()
	return nil
}

// Supervisord is the name of the result that says whether it is known what processes
// there are.
const Supervisord = "supervisord"

// Round says which processes there are, and how often that is found out. What is known of
// others, and of earlier runs, is forgotten.
func (b *Board) Round(period time.Duration, processes []Process) {
	slices.SortFunc(processes, func(x, y Process) int { return strings.Compare(x.Name, y.Name) })
	known := make(map[checked]found, len(processes))
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range processes {
		for _, c := range p.Checks {
			if r, is := b.results[checked{p.Name, c.Name}]; is && p.Running && r.pid == p.PID {
				known[checked{p.Name, c.Name}] = r
			}
		}
	}
	b.round, b.period, b.processes, b.results = b.now(), period, processes, known
	b.tell()
}

// Drain says that a process is about to be restarted, because of that, or with "" that it
// is in service again: until then it is not healthy.
func (b *Board) Drain(process, why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if why == "" {
		delete(b.draining, process)
	} else {
		b.draining[process] = why
	}
	b.tell()
}

// Tell has c told of each change, unless it has not taken the one before.
func (b *Board) Tell(c chan<- struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told = append(b.told, c)
}

// tell tells of a change. The lock is held.
func (b *Board) tell() {
	for _, c := range b.told {
		select {
		case c <- struct{}{}:
		default: // it has not taken the last one yet
		}
	}
}

// Check says first whether it is known what processes there are, and then how all are, by
// their names: what has been stopped, as somebody
// wanted it, and checks that rest, are left out.
func (b *Board) Check(context.Context) (all []Result) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	supervisord := Result{Name: Supervisord, Status: Unknown, Err: errors.New("it has not been asked yet what processes there are")}
	if !b.round.IsZero() {
		supervisord = Result{Name: Supervisord, Status: Healthy, At: b.round}
	}
	all = append(all, aged(supervisord, now, b.period))
	for _, p := range b.processes {
		why, drains := b.draining[p.Name]
		switch {
		case drains:
			all = append(all, Result{Process: p.Name, Name: "drain", Status: Unhealthy, Err: errors.New("draining: " + why), At: now})
		case p.Stopped:
			continue
		}
		if !p.Running {
			all = append(all, Result{Process: p.Name, Name: "state", Status: Unhealthy, Err: fmt.Errorf("it is %s", p.State), At: b.round})
			continue
		}
		checks := len(all)
		for _, c := range p.Checks {
			if !c.Rests {
				all = append(all, b.check(now, p.Name, c))
			}
		}
		if len(all) == checks { // then that it runs is what there is to be known
			all = append(all, aged(Result{Process: p.Name, Name: "state", Status: Healthy, At: b.round}, now, b.period))
		}
	}
	if len(all) == 1 && all[0].Status == Healthy { // nobody serves anything
		all[0].Status, all[0].Err = Unhealthy, errors.New("no process that is watched should run")
	}
	return all
}

func (b *Board) check(now time.Time, process string, c Checked) Result {
	r, is := b.results[checked{process, c.Name}]
	if !is {
		return Result{Process: process, Name: c.Name, Status: Unknown, Err: ErrNotYet}
	}
	return aged(r.Result, now, c.Period)
}
