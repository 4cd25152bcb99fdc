// Package proc reads the process table of the machine: memory, processor time,
// children and users.
//
// What a round reads of many processes it reads from /proc itself on Linux, which
// costs a fourth of what gopsutil takes for the same. The rest, user ids, comes
// from gopsutil, and shares of memory from procfs; elsewhere gopsutil does it all.
package proc

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ErrGone is wrapped by the error for a process that has ended.
var ErrGone = errors.New("there is no such process")

// ErrHidden is wrapped by the error for a process that exists, but that the
// system does not let us look at.
var ErrHidden = errors.New("we may not look at it: run this as root or as the user of the process, or mount /proc without hidepid")

// Stat is one process at one moment.
type Stat struct {
	PID, Parent int

	// Start tells runs that had the same PID apart, and which of two processes
	// is older. Its unit is the system's own.
	Start uint64

	// RSS is its resident memory in bytes, 0 for a zombie; only of a Table with
	// RSS.
	RSS uint64

	// CPU is the processor time of all its threads, and ChildrenCPU that of the
	// children that have ended and that it has waited for, with theirs.
	CPU, ChildrenCPU time.Duration
}

// buffer holds a line of /proc/PID/stat, which has 52 numbers, most of them
// short.
type buffer [1024]byte

// Read looks at one process. The error wraps ErrGone or ErrHidden where that is
// why.
func Read(pid int) (Stat, error) { return read(pid, new(buffer)) }

// Look is a process with its descendants at one moment.
type Look struct {
	Tree []Stat // itself first

	At    time.Time // with its monotonic reading
	Clock uint64    // the same moment in the unit of Stat.Start: what is not in Tree has begun later, or was not seen
}

// Alone looks at a process without its descendants. The error is Read's.
func Alone(pid int) (Look, error) { return alone(pid, false) }

func alone(pid int, memory bool) (Look, error) {
	look, err := now()
	if err != nil {
		return Look{}, err
	}
	stat, err := one(pid, memory, new(buffer))
	look.Tree = []Stat{stat}
	return look, err
}

// now returns a Look of the present moment, without processes.
func now() (Look, error) {
	c, err := clock()
	return Look{At: time.Now(), Clock: c}, err
}

// tableAge is for how long a table that has been read is good. A round of checks
// is over long before, but for those that wait for processes which hang.
const tableAge = time.Second

// Table is the process table. Those who ask it within a second share one look at
// it, or the error of one. It may be asked at once from several goroutines.
type Table struct {
	// RSS makes it read the memory, too. It is to be set before.
	RSS bool

	mu   sync.Mutex // held while the table is read
	last *snapshot
	err  error     // why there is none
	done time.Time // when it had been read; a large one takes its time
}

// snapshot is the table at one moment. It does not change.
type snapshot struct {
	Look                 // but for its tree
	byParent []Stat      // all there are, by their parents
	byPID    map[int]int // places in byParent
}

// Tree looks at the process pid and its descendants. The error is Read's, too.
//
// A process counts as a child of one that is not younger, so that nobody
// inherits the children of somebody whose pid he has. One that ends while the
// table is read is left out, and so is one that the system hides from us.
func (t *Table) Tree(pid int) (Look, error) {
	s, err := t.snapshot()
	if err != nil {
		return Look{}, err
	}
	place, there := s.byPID[pid]
	if !there {
		// It has ended, or is hidden; or it has begun since.
		return alone(pid, t.RSS)
	}
	look := s.Look
	look.Tree = []Stat{s.byParent[place]}
	for i := 0; i < len(look.Tree); i++ {
		for _, child := range s.children(look.Tree[i].PID) {
			if child.Start >= look.Tree[i].Start && child.PID != pid {
				look.Tree = append(look.Tree, child)
			}
		}
	}
	return look, nil
}

// snapshot returns the table, which it reads if there is none that is new enough.
func (t *Table) snapshot() (*snapshot, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done.IsZero() || time.Since(t.done) > tableAge {
		t.last, t.err = readTable(t.RSS)
		t.done = time.Now()
	}
	return t.last, t.err
}

// children returns the part of the table whose parent is pid.
func (s *snapshot) children(pid int) []Stat {
	first, _ := slices.BinarySearchFunc(s.byParent, pid, func(s Stat, pid int) int { return cmp.Compare(s.Parent, pid) })
	rest := s.byParent[first:]
	if end := slices.IndexFunc(rest, func(s Stat) bool { return s.Parent != pid }); end >= 0 {
		return rest[:end]
	}
	return rest
}

// readTable reads the table, on all processors.
func readTable(memory bool) (*snapshot, error) {
	look, err := now()
	if err != nil {
		return nil, err
	}
	all, err := pids()
	if err != nil {
		return nil, fmt.Errorf("list the processes: %w", err)
	}
	const portion = 64
	var next atomic.Int64
	parts := make([][]Stat, runtime.GOMAXPROCS(0))
	failures := make([]error, len(parts))
	var reading sync.WaitGroup
	for i := range parts {
		reading.Go(func() {
			var space buffer
			for {
				end := int(next.Add(portion))
				if end-portion >= len(all) {
					return
				}
				for _, pid := range all[end-portion : min(end, len(all))] {
					stat, err := one(pid, memory, &space)
					switch {
					case err == nil:
						parts[i] = append(parts[i], stat)
					case !errors.Is(err, ErrGone) && !errors.Is(err, ErrHidden):
						failures[i] = err
					}
				}
			}
		})
	}
	reading.Wait()
	if err := cmp.Or(failures...); err != nil {
		return nil, err // half a table would be taken for a whole one
	}
	return newSnapshot(look, slices.Concat(parts...)), nil
}

// one reads a process. Its memory is read right after the rest, while the
// kernel has it at hand: that is faster than to read the memory of all later.
func one(pid int, memory bool, space *buffer) (Stat, error) {
	stat, err := read(pid, space)
	if err == nil && memory {
		stat.RSS, err = rss(pid, space)
	}
	return stat, err
}

func newSnapshot(look Look, stats []Stat) *snapshot {
	s := &snapshot{Look: look, byParent: stats, byPID: make(map[int]int, len(stats))}
	slices.SortFunc(stats, func(a, b Stat) int { return cmp.Compare(a.Parent, b.Parent) })
	for place, stat := range stats {
		s.byPID[stat.PID] = place
	}
	return s
}
