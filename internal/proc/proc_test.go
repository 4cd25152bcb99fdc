package proc

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/shirou/gopsutil/v3/process"
)

// start runs a shell script until the end of the test, and returns its process
// id when it has printed a line.
func start(t *testing.T, script string) int {
	t.Helper()
	shell := exec.Command("sh", "-c", script)
	out, err := shell.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := shell.StdinPipe(); err != nil { // nothing ever comes from it
		t.Fatal(err)
	}
	inOwnGroup(shell)
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		killGroup(shell)
		shell.Wait()
	})
	if _, err := out.Read(make([]byte, 100)); err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return shell.Process.Pid
}

func TestReadAgreesWithGopsutil(t *testing.T) {
	pid := start(t, "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo ready; read x")
	got, err := Read(pid)
	if err != nil {
		t.Fatal(err)
	}
	oracle, err := process.NewProcess(int32(pid))
	if err != nil {
		t.Fatal(err)
	}
	memory, err := oracle.MemoryInfo()
	if err != nil {
		t.Fatal(err)
	}
	times, err := oracle.Times()
	if err != nil {
		t.Fatal(err)
	}
	if got.PID != pid || got.Parent != os.Getpid() {
		t.Errorf("got %+v, want pid %d, parent %d", got, pid, os.Getpid())
	}
	if bytes, err := RSS(pid); err != nil || bytes != memory.RSS || bytes == 0 {
		t.Errorf("got %d bytes, error %v, want %d", bytes, err, memory.RSS)
	}
	// gopsutil counts waiting for a disk, too.
	if want := times.User + times.System; got.CPU == 0 || got.CPU.Seconds() > want+0.05 || got.CPU.Seconds() < want-0.05-times.Iowait {
		t.Errorf("got %v of processor time, want %vs", got.CPU, want)
	}
	if self, err := Read(os.Getpid()); err != nil || self.Start > got.Start {
		t.Errorf("we began at %d, after our child at %d; error %v", self.Start, got.Start, err)
	}
}

func TestProcessorTimeOfChildren(t *testing.T) {
	pid := start(t, "sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done'; echo ready; read x")
	stat, err := Read(pid)
	if err != nil || stat.ChildrenCPU < 30*time.Millisecond || stat.CPU > stat.ChildrenCPU {
		t.Errorf("got %v, and %v of its child, error %v", stat.CPU, stat.ChildrenCPU, err)
	}
}

func TestProcessThatHasEnded(t *testing.T) {
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	if stat, err := Read(pid); !errors.Is(err, ErrGone) {
		t.Errorf("Read: %+v, %v, want ErrGone", stat, err)
	}
	if bytes, err := RSS(pid); !errors.Is(err, ErrGone) {
		t.Errorf("RSS: %d, %v, want ErrGone", bytes, err)
	}
	if look, err := new(Table).Tree(pid); !errors.Is(err, ErrGone) {
		t.Errorf("Tree: %+v, %v, want ErrGone", look.Tree, err)
	}
}

func TestTree(t *testing.T) {
	pid := start(t, "sleep 60 & sh -c 'sleep 60 & echo ready; wait' & wait")
	table := new(Table)
	look, err := table.Tree(pid)
	if err != nil || time.Since(look.At) > time.Minute {
		t.Fatalf("at %v, error %v", look.At, err)
	}
	tree := look.Tree
	var parents []int
	for _, stat := range tree {
		if alone, err := Read(stat.PID); err != nil || alone.Parent != stat.Parent || alone.Start != stat.Start {
			t.Errorf("alone: %+v, error %v, in the tree: %+v", alone, err, stat)
		}
		parents = append(parents, stat.Parent)
	}
	if len(tree) != 4 || tree[0].PID != pid || tree[3].Parent == pid {
		t.Errorf("got %+v, want the shell, its two children and the child of one of them", tree)
	}
	if !slices.Contains(parents[1:3], pid) {
		t.Errorf("parents %v, want two %d", parents, pid)
	}

	// For a second it is the same table for whoever asks.
	late := start(t, "echo ready; read x")
	sees := func() bool {
		ours, err := table.Tree(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(ours.Tree, func(s Stat) bool { return s.PID == late })
	}
	if !table.done.After(look.At) {
		t.Errorf("it had been read at %v, and its reading began at %v", table.done, look.At)
	}
	table.done = time.Now() // however slow this machine is
	if sees() {
		t.Error("a process is in the table that began after it was read")
	}
	latest, err := table.Tree(late)
	if err != nil || len(latest.Tree) != 1 || latest.Tree[0].PID != late || !latest.At.After(look.At) {
		t.Errorf("asked for a process that began later: %+v, error %v", latest, err)
	}
	if began := latest.Tree[0].Start; began < look.Clock || latest.Clock < began {
		t.Errorf("it began at %d, between looks at %d and %d", began, look.Clock, latest.Clock)
	}
	table.done = time.Now().Add(-tableAge - time.Millisecond)
	if !sees() {
		t.Error("a process is not in a table that is to be read anew")
	}
}

// tableOf returns a table that has been read.
func tableOf(stats ...Stat) *Table {
	return &Table{last: newSnapshot(Look{}, stats), done: time.Now()}
}

func TestTreesInOddTables(t *testing.T) {
	for _, test := range []struct {
		name  string
		table *Table
		want  []int // pids of the tree of 10
	}{
		{"alone", tableOf(Stat{PID: 10, Parent: 1, Start: 5}, Stat{PID: 11, Parent: 1, Start: 5}), []int{10}},
		{"begun in the same moment", tableOf(Stat{PID: 10, Parent: 1, Start: 5}, Stat{PID: 11, Parent: 10, Start: 5}), []int{10, 11}},
		{
			"children of one who had the pid before",
			tableOf(Stat{PID: 10, Parent: 1, Start: 5}, Stat{PID: 11, Parent: 10, Start: 4}, Stat{PID: 12, Parent: 10, Start: 6}),
			[]int{10, 12},
		},
		{
			"its own grandparent, read while pids were used again",
			tableOf(Stat{PID: 10, Parent: 12, Start: 5}, Stat{PID: 11, Parent: 10, Start: 5}, Stat{PID: 12, Parent: 11, Start: 5}),
			[]int{10, 11, 12},
		},
		{
			"two who are each other's parent",
			tableOf(Stat{PID: 10, Parent: 1, Start: 5}, Stat{PID: 11, Parent: 12, Start: 5}, Stat{PID: 12, Parent: 11, Start: 5}),
			[]int{10},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.table.done = time.Now()
			look, err := test.table.Tree(10)
			var got []int
			for _, stat := range look.Tree {
				got = append(got, stat.PID)
			}
			if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
				t.Errorf("error %v, (-want +got)\n%s", err, diff)
			}
		})
	}
}

func TestTreeThatForksWhileItIsRead(t *testing.T) {
	pid := start(t, "echo ready; while :; do sleep 0.001 & (sleep 0.001 & wait) & wait; done")
	most := 0
	for range 100 {
		look, err := new(Table).Tree(pid)
		tree := look.Tree
		if err != nil || len(tree) == 0 || tree[0].PID != pid {
			t.Fatalf("%+v, error %v", tree, err)
		}
		seen := make(map[int]bool)
		for i, stat := range tree {
			if seen[stat.PID] || i > 0 && !seen[stat.Parent] {
				t.Fatalf("%+v is in it twice, or its parent is not: %+v", stat, tree)
			}
			seen[stat.PID] = true
		}
		most = max(most, len(tree))
	}
	if most < 2 {
		t.Error("no child was ever seen")
	}
}
