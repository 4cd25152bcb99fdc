package health

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
	processes []Process // by their names
	results   map[checked]Result
	draining  map[string]string // why, by namespec
	told      []chan<- struct{}
}

// checked is one check of one process.
type checked struct{ process, check string }

// Process is one that is supervised.
type Process struct {
	Name    string // its namespec
	Running bool
	Stopped bool   // by somebody, as it was wanted
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
	return &Board{now: now, results: make(map[checked]Result), draining: make(map[string]string)}
}

// Write takes the results of checks. It never fails.
func (b *Board) Write(_ context.Context, r record.Record) error {
	if r.Kind != record.CheckResult {
		return nil
	}
	result := Result{Process: r.Process, Name: r.Check, Status: Status(r.Status), At: b.now(), Took: time.Duration(r.Seconds * float64(time.Second))}
	if result.Status != Healthy {
		result.Err = errors.New(cmp.Or(r.Reason, r.Status))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.results[checked{r.Process, r.Check}] = result
	b.tell()
	return nil
}

// Round says which processes there are. What is known of others is forgotten.
func (b *Board) Round(processes []Process) {
	slices.SortFunc(processes, func(x, y Process) int { return strings.Compare(x.Name, y.Name) })
	known := make(map[checked]Result, len(processes))
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range processes {
		for _, c := range p.Checks {
			if r, is := b.results[checked{p.Name, c.Name}]; is && p.Running {
				known[checked{p.Name, c.Name}] = r
			}
		}
	}
	b.processes, b.results = processes, known
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

// Check says how all processes are, by their names: what has been stopped, as somebody
// wanted it, and checks that rest, are left out.
func (b *Board) Check(context.Context) (all []Result) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	for _, p := range b.processes {
		why, drains := b.draining[p.Name]
		switch {
		case drains:
			all = append(all, Result{Process: p.Name, Name: "drain", Status: Unhealthy, Err: errors.New("draining: " + why), At: now})
			continue
		case p.Stopped:
			continue
		case !p.Running:
			all = append(all, Result{Process: p.Name, Name: "state", Status: Unhealthy, Err: fmt.Errorf("it is %s", p.State), At: now})
			continue
		}
		for _, c := range p.Checks {
			if !c.Rests {
				all = append(all, b.check(now, p.Name, c))
			}
		}
	}
	return all
}

func (b *Board) check(now time.Time, process string, c Checked) Result {
	r, is := b.results[checked{process, c.Name}]
	if !is {
		return Result{Process: process, Name: c.Name, Status: Unknown, Err: ErrNotYet}
	}
	r.Until = r.At.Add(StaleAfter * c.Period)
	if age := now.Sub(r.At); now.After(r.Until) || age < -c.Period {
		r.Status = Stale
		if r.Err == nil {
			r.Err = fmt.Errorf("it was healthy %v ago, and has not been looked at since", age.Round(time.Second))
		}
	}
	return r
}
