package proc

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shirou/gopsutil/v3/process"
	"golang.org/x/sys/unix"
)

// line returns a line of /proc/PID/stat.
func line(pid, name string, ppid, utime, stime, cutime, cstime, start any) string {
	return fmt.Sprintf("%s (%s) S %v 1 1 0 -1 4194560 10 0 0 0 %v %v %v %v 20 0 1 0 %v 2560000 7 18446744073709551615 1 1 0 0\n",
		pid, name, ppid, utime, stime, cutime, cstime, start)
}

func TestParseStat(t *testing.T) {
	for _, test := range []struct {
		name, line string
		want       Stat
		err        string
	}{
		{name: "all fields", line: line("34", "sh", 12, 1, 2, 30, 40, 567),
			want: Stat{PID: 34, Parent: 12, CPU: 30 * time.Millisecond, ChildrenCPU: 700 * time.Millisecond, Start: 567}},
		{name: "a name with brackets and spaces", line: line("34", "a) S 9 (b", 12, 0, 0, 0, 0, 1), want: Stat{PID: 34, Parent: 12, Start: 1}},
		{name: "no name", line: line("34", "", 12, 0, 0, 0, 0, 1), want: Stat{PID: 34, Parent: 12, Start: 1}},
		{name: "ends after the last field", line: strings.Join(strings.Fields(line("34", "sh", 12, 0, 0, 0, 0, 1))[:22], " "), want: Stat{PID: 34, Parent: 12, Start: 1}},
		{name: "empty", err: `it has no name in brackets: ""`},
		{name: "no brackets", line: "34 sh S 12", err: `it has no name in brackets: "34 sh S 12"`},
		{name: "ends after the name", line: "34 (sh)", err: `it has no name in brackets: "34 (sh)"`},
		{name: "brackets the other way", line: "34 )sh( S 12 1", err: `it has no name in brackets: "34 )sh( S 12 1"`},
		{name: "no space before the name", line: "6()602 S 1 0 0 0", err: `it has no name in brackets: "6()602 S 1 0 0 0"`},
		{name: "no state", line: "6 ()0602          0 0 0 0     599057", err: `it has no name in brackets: "6 ()0602          0 0 0 0     599057"`},
		{name: "no pid", line: line("x", "sh", 12, 0, 0, 0, 0, 1)[:14], err: `it does not begin with a process id: "x (sh) S 12 1 "`},
		{name: "a pid of 0", line: "0 (sh) S 12 1", err: `it does not begin with a process id: "0 (sh) S 12 1"`},
		{name: "a parent that is none", line: line("34", "sh", -1, 0, 0, 0, 0, 1), err: `its field 4 is no number: "-1"`},
		{name: "a time that is none", line: line("34", "sh", 1, 0, "x", 0, 0, 1), err: `its field 15 is no number: "x"`},
		{name: "a number that is too large", line: line("34", "sh", 1, 0, 0, 0, 0, "99999999999999999999"), err: `its field 22 is no number: "99999999999999999999"`},
		{name: "the longest time", line: line("34", "sh", 1, 461168601842, 461168601842, 0, 0, 1), want: Stat{PID: 34, Parent: 1, CPU: 9223372036840000000, Start: 1}},
		{name: "a time too long", line: line("34", "sh", 1, 0, 461168601843, 0, 0, 1), err: `its field 15 is no number: "461168601843"`},
		{name: "a time of children that is too long", line: line("34", "sh", 1, 0, 0, 0, "9999999999999999", 1), err: `its field 17 is no number: "9999999999999999"`},
		{name: "a parent that is too large", line: line("34", "sh", 2147483648, 0, 0, 0, 0, 1), err: `its field 4 is no number: "2147483648"`},
		{name: "cut short", line: "34 (sh) S 12 1 1 0 -1 4194560 10 0 0 0 5", err: `its field 15 is no number: ""`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseStat([]byte(test.line))
			switch {
			case test.err != "":
				if err == nil || err.Error() != test.err {
					t.Errorf("got %+v, error %v, want error %s", got, err, test.err)
				}
			case err != nil || got != test.want:
				t.Errorf("got %+v, error %v, want %+v", got, err, test.want)
			}
		})
	}
}

// FuzzParseStat compares with another way to read a line.
func FuzzParseStat(f *testing.F) {
	f.Add([]byte(line("34", "a) S 9 (b", 12, 1, 2, 3, 4, 5)))
	f.Add([]byte("34 (sh) S 12 1"))
	f.Add([]byte("6 ()0602          0 0 0 0     599057"))
	f.Add([]byte(") (("))
	f.Add([]byte(line("34", "sh", 1, 461168601843, 9999999999999999, 461168601842, 461168601842, "11258999068426240")))
	if own, err := os.ReadFile("/proc/self/stat"); err == nil {
		f.Add(own)
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		got, err := parseStat(line)
		if err != nil {
			return
		}
		pid, _, _ := strings.Cut(string(line), " (")
		fields := strings.Split(string(line[bytes.LastIndexByte(line, ')')+2:]), " ")
		number := func(field int) uint64 { // as man 5 proc counts them
			n, err := strconv.ParseUint(fields[field-3], 10, 64)
			if err != nil {
				t.Fatalf("field %d: %v", field, err)
			}
			return n
		}
		sum := func(one, other int) time.Duration {
			var ticks big.Int
			ticks.Add(new(big.Int).SetUint64(number(one)), new(big.Int).SetUint64(number(other)))
			if ticks.Mul(&ticks, big.NewInt(10_000_000)); !ticks.IsInt64() {
				t.Fatalf("fields %d and %d are more than a Duration holds", one, other)
			}
			return time.Duration(ticks.Int64())
		}
		want := Stat{Parent: int(number(4)), CPU: sum(14, 15), ChildrenCPU: sum(16, 17), Start: number(22)}
		if want.PID, err = strconv.Atoi(pid); err != nil || got != want {
			t.Errorf("got %+v, want %+v, error %v", got, want, err)
		}
	})
}

func TestParseStatm(t *testing.T) {
	for line, want := range map[string]uint64{
		"600 123 80 50 0 100 0\n": 123 * pageSize,
		"0 0 0 0 0 0 0\n":         0,
	} {
		if got, err := parseStatm([]byte(line)); err != nil || got != want {
			t.Errorf("%q: %d, error %v, want %d", line, got, err, want)
		}
	}
	for _, line := range []string{"", "600", "600 ", "600 12", "600 -1 3", "600 x 3", "600 11258999068426240 3", "600 18446744073709551617 3"} {
		if got, err := parseStatm([]byte(line)); err == nil {
			t.Errorf("%q: %d, want an error", line, got)
		}
	}
}

// FuzzParseStatm finds no line that is neither refused nor a number of pages.
func FuzzParseStatm(f *testing.F) {
	f.Add([]byte("600 123 80 50 0 100 0\n"))
	f.Add([]byte("0 0"))
	f.Add([]byte("600 11258999068426240 3"))
	f.Fuzz(func(t *testing.T, line []byte) {
		got, err := parseStatm(line)
		if err != nil {
			return
		}
		fields := strings.Split(string(line), " ")
		if want, err := strconv.ParseUint(fields[1], 10, 64); err != nil || got/pageSize != want || got%pageSize != 0 {
			t.Errorf("got %d, want %d pages, error %v", got, want, err)
		}
	})
}

// FuzzCgroupLimit finds no list of control groups that leads out of their root.
func FuzzCgroupLimit(f *testing.F) {
	root := f.TempDir()
	if err := os.WriteFile(filepath.Join(filepath.Dir(root), "memory.max"), []byte("4096"), 0o600); err != nil {
		f.Fatal(err)
	}
	f.Add("0::/a\n4:cpu,memory:/b/../..\n")
	f.Add("0::/../..\n")
	f.Fuzz(func(t *testing.T, groups string) {
		if limit, found := cgroupLimit(root, groups); found {
			t.Errorf("a limit of %d, where there is no control group", limit)
		}
	})
}

// init, which the first thread runs, ends it where a test asks for that.
func init() {
	if os.Getenv("FIRST_THREAD_ENDS") != "" {
		unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
	}
}

// A process whose first thread has ended, while others go on, is no zombie.
func TestMemoryWithoutFirstThread(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "FIRST_THREAD_ENDS=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	path := fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid)
	for deadline := time.Now().Add(20 * time.Second); ; {
		line, err := os.ReadFile(path)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("its first thread has not ended: %s, error %v", line, err)
		}
		if bytes.Contains(line, []byte(") Z ")) {
			break
		}
	}
	if bytes, err := RSS(cmd.Process.Pid); err != nil || bytes < 1<<20 {
		t.Errorf("RSS: %d, error %v, want what its other threads have", bytes, err)
	}
	if shares, err := ReadShares(cmd.Process.Pid); err != nil || shares.PSS < shares.USS || shares.USS == 0 {
		t.Errorf("ReadShares: %+v, error %v, want what its other threads have", shares, err)
	}
}

func TestZombie(t *testing.T) {
	cmd := exec.Command("true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	pid := cmd.Process.Pid
	if err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	if stat, err := Read(pid); err != nil || stat.PID != pid {
		t.Errorf("Read: %+v, error %v", stat, err)
	}
	if bytes, err := RSS(pid); err != nil || bytes != 0 {
		t.Errorf("RSS: %d, error %v, want 0", bytes, err)
	}
	if shares, err := ReadShares(pid); err != nil || shares != (Shares{}) {
		t.Errorf("ReadShares: %+v, error %v, want none", shares, err)
	}
	look, err := new(Table).Tree(os.Getpid())
	if err != nil || len(look.Tree) < 2 {
		t.Errorf("our tree has %d processes, error %v, want it to have the zombie", len(look.Tree), err)
	}
}

func TestShares(t *testing.T) {
	pid := start(t, "echo ready; read x")
	got, err := ReadShares(pid)
	if err != nil {
		t.Fatal(err)
	}
	oracle, err := process.NewProcess(int32(pid))
	if err != nil {
		t.Fatal(err)
	}
	maps, err := oracle.MemoryMaps(true)
	if err != nil {
		t.Fatal(err)
	}
	sum := (*maps)[0]
	pss, uss, rss := sum.Pss<<10, (sum.PrivateClean+sum.PrivateDirty)<<10, sum.Rss<<10
	// A shell elsewhere that begins or ends changes a proportional share; and the
	// kernel rounds for each mapping there, and once here.
	if got.PSS < pss/2 || got.PSS > rss || got.USS > got.PSS || got.USS == 0 || got.USS > uss+uss/2 {
		t.Errorf("got %+v, want about %d and %d", got, pss, uss)
	}
	if _, err := ReadShares(1 << 22); !errors.Is(err, ErrGone) {
		t.Errorf("of a process that is not there: %v, want ErrGone", err)
	}
}

// What only one process has mapped of a file is its own, though it is clean.
func TestSharesOfAFile(t *testing.T) {
	const size = 64 << 20 // so that what else is freed meanwhile does not matter
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if err := file.Sync(); err != nil {
		t.Fatal(err)
	}
	before, err := ReadShares(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	mapped, err := unix.Mmap(int(file.Fd()), 0, size, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_POPULATE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mapped)
	after, err := ReadShares(os.Getpid())
	if err != nil || after.USS < before.USS+size/2 {
		t.Errorf("got %d, error %v, before %d bytes of a file were mapped %d", after.USS, err, size, before.USS)
	}
}

func TestMemoryLimit(t *testing.T) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		t.Fatal(err)
	}
	got, err := MemoryLimit(os.Getpid())
	if err != nil || got.Bytes == 0 || got.Bytes > uint64(info.Totalram)*uint64(info.Unit) {
		t.Errorf("got %+v, error %v", got, err)
	}
	if _, err := MemoryLimit(1 << 22); !errors.Is(err, ErrGone) {
		t.Errorf("of a process that is not there: %v, want ErrGone", err)
	}
}

func TestCgroupLimit(t *testing.T) {
	for _, test := range []struct {
		name   string
		groups string
		files  map[string]string // under /sys/fs/cgroup
		want   uint64            // 0 for none
	}{
		{"none at all", "", nil, 0},
		{"no limit", "0::/a\n", map[string]string{"a/memory.max": "max\n"}, 0},
		{"a limit", "0::/a\n", map[string]string{"a/memory.max": "4096\n"}, 4096},
		{"the least of those around it", "0::/a/b/c\n", map[string]string{"a/memory.max": "4096\n", "a/b/memory.max": "max\n", "a/b/c/memory.max": "8192\n"}, 4096},
		{"a container sees its own as the root", "0::/\n", map[string]string{"memory.max": "4096\n"}, 4096},
		{"a container that is told the name of its host", "0::/docker/0123\n", map[string]string{"memory.max": "4096\n"}, 4096},
		{"version 1", "5:cpu:/x\n4:memory:/a\n0::/\n", map[string]string{"memory/a/memory.limit_in_bytes": "4096\n", "cpu/x/memory.limit_in_bytes": "1\n"}, 4096},
		{"version 1, mounted with another", "4:cpu,memory:/a\n", map[string]string{"memory/a/memory.limit_in_bytes": "4096\n"}, 4096},
		{"both", "4:memory:/a\n0::/b\n", map[string]string{"memory/a/memory.limit_in_bytes": "8192\n", "b/memory.max": "4096\n"}, 4096},
		{"a name that climbs out", "0::/../../a\n", map[string]string{"a/memory.max": "4096\n"}, 4096},
		{"a name with colons", "0::/a:b\n", map[string]string{"a:b/memory.max": "4096\n"}, 4096},
		{"lines that are none", "x\n::\n", map[string]string{"memory.max": "4096\n"}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := t.TempDir()
			for name, text := range test.files {
				path := filepath.Join(root, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got, found := cgroupLimit(root, test.groups)
			if got != test.want || found != (test.want != 0) {
				t.Errorf("got %d, %t, want %d", got, found, test.want)
			}
		})
	}
}

// hiddenFrom runs a test of this package as another user, with /proc mounted with
// that option, if any. The test finds the pid of a process of root in $PID.
func hiddenFrom(t *testing.T, test, option string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: it takes root to become another user, and to mount /proc")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^"+test+"$", "-test.v")
	cmd.Env = append(os.Environ(), "PID="+strconv.Itoa(start(t, "echo ready; read x")), "HIDEPID="+option)
	if option != "" {
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) {
		t.Skipf("NOT TESTED: this machine does not let root mount anything: %v", err)
	}
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+test)) {
		t.Errorf("%v\n%s", err, out)
	}
}

// becomeNobody turns this process into the one that hiddenFrom asked for, and
// returns the pid of the process of root.
func becomeNobody(t *testing.T) int {
	t.Helper()
	pid, err := strconv.Atoi(os.Getenv("PID"))
	if err != nil {
		t.Skip("it is run by another test")
	}
	if option := os.Getenv("HIDEPID"); option != "" {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("proc", "/proc", "proc", 0, option); err != nil {
			t.Fatal(err)
		}
	}
	// The group of root would see all.
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(65534), syscall.Setuid(65534)); err != nil {
		t.Fatal(err)
	}
	return pid
}

func TestProcessOfAnotherUser(t *testing.T) { hiddenFrom(t, "TestAsNobody", "") }

func TestAsNobody(t *testing.T) {
	pid := becomeNobody(t)
	if stat, err := Read(pid); err != nil {
		t.Errorf("Read: %+v, error %v", stat, err)
	}
	if bytes, err := RSS(pid); err != nil || bytes == 0 {
		t.Errorf("RSS: %d, error %v", bytes, err)
	}
	if _, err := MemoryLimit(pid); err != nil {
		t.Errorf("MemoryLimit: %v", err)
	}
	if shares, err := ReadShares(pid); !errors.Is(err, ErrHidden) {
		t.Errorf("ReadShares: %+v, error %v, want ErrHidden", shares, err)
	}
}

func TestProcMountedWithHidepid(t *testing.T) {
	t.Run("1", func(t *testing.T) { hiddenFrom(t, "TestAsNobodyWithHidepid", "hidepid=1") })
	t.Run("2", func(t *testing.T) { hiddenFrom(t, "TestAsNobodyWithHidepid", "hidepid=2") })
}

func TestAsNobodyWithHidepid(t *testing.T) {
	pid := becomeNobody(t)
	if stat, err := Read(pid); !errors.Is(err, ErrHidden) {
		t.Errorf("Read: %+v, error %v, want ErrHidden", stat, err)
	}
	if bytes, err := RSS(pid); !errors.Is(err, ErrHidden) {
		t.Errorf("RSS: %d, error %v, want ErrHidden", bytes, err)
	}
	if look, err := new(Table).Tree(pid); !errors.Is(err, ErrHidden) {
		t.Errorf("Tree: %+v, error %v, want ErrHidden", look.Tree, err)
	}
	if look, err := new(Table).Tree(os.Getpid()); err != nil || look.Tree[0].PID != os.Getpid() {
		t.Errorf("our own Tree: %+v, error %v, want it in spite of what is hidden", look.Tree, err)
	}
	if shares, err := ReadShares(pid); !errors.Is(err, ErrHidden) {
		t.Errorf("ReadShares: %+v, error %v, want ErrHidden", shares, err)
	}
	if limit, err := MemoryLimit(pid); !errors.Is(err, ErrHidden) {
		t.Errorf("MemoryLimit: %+v, error %v, want ErrHidden", limit, err)
	}
	if stat, err := Read(1 << 22); !errors.Is(err, ErrGone) {
		t.Errorf("Read of a process that is not there: %+v, error %v, want ErrGone", stat, err)
	}
}

// Half a table is none: a machine that runs out of descriptors while it is read
// must not make a tree smaller.
func TestTableThatCannotBeReadWhole(t *testing.T) {
	pid := start(t, "sleep 60 & sleep 60 & sleep 60 & echo ready; wait")
	free, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(free)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	few := limit
	few.Cur = uint64(free) + 1 // one for as many as read at once
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	var failed *Table
	for range 300 {
		table := new(Table)
		look, err := table.Tree(pid)
		if err != nil {
			failed = table
		} else if len(look.Tree) != 4 {
			t.Fatalf("a tree of %d without an error, want 4", len(look.Tree))
		}
	}
	if failed == nil {
		t.Skip("NOT TESTED: the descriptors never ran out")
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}

	// For a second nobody reads it again in vain.
	failed.done = time.Now() // however slow this machine is
	if look, err := failed.Tree(pid); !errors.Is(err, unix.EMFILE) {
		t.Errorf("asked once more: %+v, error %v, want EMFILE", look.Tree, err)
	}
	failed.done = time.Now().Add(-tableAge - time.Millisecond)
	if look, err := failed.Tree(pid); err != nil || len(look.Tree) != 4 {
		t.Errorf("asked later: %+v, error %v, want 4", look.Tree, err)
	}
}
