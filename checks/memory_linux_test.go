package checks

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/supervisor-checks/supervisor-checks/internal/proc"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// runningShell is a process with two children of its own, until the end of the
// test.
func runningShell(t *testing.T, name string) supervisor.Process {
	t.Helper()
	shell := exec.Command("sh", "-c", "sh -c 'echo ready; read x' <&3 & sh -c 'echo ready; read x' <&3 & wait")
	// They end when their input does.
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	shell.ExtraFiles = []*os.File{in}
	lines, err := shell.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	t.Cleanup(func() {
		out.Close()
		shell.Wait()
	})
	if _, err := io.ReadFull(lines, make([]byte, 2*len("ready\n"))); err != nil {
		t.Fatal(err)
	}
	return supervisor.Process{Group: name, Name: name, PID: shell.Process.Pid, State: supervisor.Running}
}

func TestMemory(t *testing.T) {
	p := runningShell(t, "a")
	rss, err := proc.RSS(p.PID)
	if err != nil {
		t.Fatal(err)
	}
	look, err := new(proc.Table).Tree(p.PID)
	if err != nil || len(look.Tree) != 3 {
		t.Fatalf("the tree is %v, error %v", look.Tree, err)
	}
	var all uint64
	for _, stat := range look.Tree {
		bytes, err := proc.RSS(stat.PID)
		if err != nil {
			t.Fatal(err)
		}
		all += bytes
	}
	const KiB, GiB = 1 << 10, 1 << 30
	const small = 0.000001 // percent
	machine, err := proc.MemoryLimit(p.PID)
	if err != nil {
		t.Fatal(err)
	}
	whose := "the machine's"
	if machine.Cgroup {
		whose = "its control group's"
	}
	for _, test := range []struct {
		name   string
		cfg    MemoryConfig
		want   Status
		reason string // a regular expression
		metric string
		value  uint64 // of the metric; 0 is for any
	}{
		{"less", MemoryConfig{Max: GiB}, Healthy, "", "rss_bytes", rss},
		{"as much", MemoryConfig{Max: rss}, Healthy, "", "rss_bytes", rss},
		{"more", MemoryConfig{Max: rss - KiB}, Unhealthy, `^uses [0-9.]+ MiB of memory \(rss\), 1 KiB more than [0-9.]+ [KM]iB$`, "rss_bytes", rss},
		{"children do not count", MemoryConfig{Max: all - KiB}, Healthy, "", "rss_bytes", rss},
		{"children count", MemoryConfig{Max: all - KiB, Cumulative: true}, Unhealthy,
			`^uses with its 2 children [0-9.]+ MiB of memory \(rss\), 1 KiB more than [0-9.]+ MiB$`, "rss_bytes", all},
		{"as much with children", MemoryConfig{Max: all, Cumulative: true}, Healthy, "", "rss_bytes", all},
		{"a percentage", MemoryConfig{MaxPercent: 100}, Healthy, "", "rss_bytes", rss},
		{"a small percentage", MemoryConfig{MaxPercent: small}, Unhealthy,
			"more than " + regexp.QuoteMeta(size(uint64(float64(machine.Bytes)*small/100))+", which is 1e-06 % of "+whose) + "$", "rss_bytes", rss},
		{"what is shared in part", MemoryConfig{Max: GiB, Metric: PSS}, Healthy, "", "pss_bytes", 0},
		{"what is not shared", MemoryConfig{Max: GiB, Metric: USS, Cumulative: true}, Healthy, "", "uss_bytes", 0},
		{"more that is not shared", MemoryConfig{Max: 1, Metric: USS}, Unhealthy, `\(uss\)`, "uss_bytes", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := NewMemory(test.cfg)
			if err != nil {
				t.Fatal(err)
			}
			got := c.Run(c.StartRound(t.Context(), nil), p)
			reason := ""
			if got.Err != nil {
				reason = got.Err.Error()
			}
			if got.Status != test.want || !regexp.MustCompile(test.reason).MatchString(reason) || (test.reason == "") != (reason == "") {
				t.Errorf("%v, %q, want %v, %q", got.Status, reason, test.want, test.reason)
			}
			value, measured := got.Metrics[test.metric]
			if !measured || len(got.Metrics) != 1 || test.value != 0 && value != float64(test.value) || value == 0 {
				t.Errorf("the metrics are %v, want %s of %d", got.Metrics, test.metric, test.value)
			}
		})
	}
}

// The shares of memory are ordered, whatever else the machine does.
func TestMemoryMetrics(t *testing.T) {
	p := runningShell(t, "a")
	used := make(map[MemoryMetric]float64)
	for _, metric := range []MemoryMetric{RSS, PSS, USS} {
		c, err := NewMemory(MemoryConfig{Max: 1 << 30, Metric: metric})
		if err != nil {
			t.Fatal(err)
		}
		used[metric] = c.Run(t.Context(), p).Metrics[string(metric)+"_bytes"]
	}
	if !(used[RSS] > used[PSS] && used[PSS] > used[USS] && used[USS] > 0) {
		t.Errorf("got %v", used)
	}
}

func TestMemoryOfOddProcesses(t *testing.T) {
	zombie := exec.Command("true")
	if err := zombie.Start(); err != nil {
		t.Fatal(err)
	}
	defer zombie.Wait()
	if err := unix.Waitid(unix.P_PID, zombie.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		pid  int
		cfg  MemoryConfig
		want Status
		err  error
	}{
		{"a zombie uses nothing", zombie.Process.Pid, MemoryConfig{Max: 1}, Healthy, nil},
		{"a zombie has no shares", zombie.Process.Pid, MemoryConfig{Max: 1, Metric: PSS}, Healthy, nil},
		{"a zombie and its children have none", zombie.Process.Pid, MemoryConfig{Max: 1, Cumulative: true, Metric: USS}, Healthy, nil},
		{"a zombie among the children", os.Getpid(), MemoryConfig{Max: 1 << 40, Cumulative: true, Metric: PSS}, Healthy, nil},
		{"ended", 1 << 22, MemoryConfig{Max: 1}, Unknown, proc.ErrGone},
		{"ended, and its shares", 1 << 22, MemoryConfig{Max: 1, Metric: PSS}, Unknown, proc.ErrGone},
		{"ended, with its children", 1 << 22, MemoryConfig{Max: 1, Cumulative: true}, Unknown, proc.ErrGone},
		{"ended, with a percentage", 1 << 22, MemoryConfig{MaxPercent: 1}, Unknown, proc.ErrGone},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := NewMemory(test.cfg)
			if err != nil {
				t.Fatal(err)
			}
			got := c.Run(t.Context(), supervisor.Process{Name: "a", PID: test.pid})
			if got.Status != test.want || !errors.Is(got.Err, test.err) {
				t.Errorf("%v, %v, want %v, %v", got.Status, got.Err, test.want, test.err)
			}
		})
	}
	c, err := NewMemory(MemoryConfig{Max: 1})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Run(t.Context(), supervisor.Process{Name: "a"}); got.Status != Unknown || got.Err.Error() != "the process does not run" {
		t.Errorf("one that does not run: %+v", got)
	}
}

// All checks of a round see the same table, be they of one kind or another.
func TestOneTableForARound(t *testing.T) {
	memory, err := NewMemory(MemoryConfig{Max: 1 << 40, Cumulative: true})
	if err != nil {
		t.Fatal(err)
	}
	cpu, err := NewCPU(CPUConfig{MaxPercent: 50, Cumulative: true})
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	ctx := memory.StartRound(t.Context(), nil)
	_, table := withTable(ctx)
	if _, same := withTable(cpu.StartRound(ctx, nil)); same != table {
		t.Error("the second check of a round has a table of its own")
	}
	if _, other := withTable(memory.StartRound(t.Context(), nil)); other == table {
		t.Error("the next round has the table of this one")
	}
	p := supervisor.Process{Group: "a", Name: "a", PID: os.Getpid()}
	memory.Run(ctx, p)
	look, err := table.Tree(os.Getpid())
	if err != nil || look.Tree[0].RSS == 0 {
		t.Fatalf("the table has %+v, error %v, want the memory, too", look.Tree, err)
	}
	cpu.Run(ctx, p)
	if inTime := time.Since(begun) < time.Second; inTime && !cpu.last["a"].At.Equal(look.At) {
		t.Errorf("one look is of %v, another of %v", look.At, cpu.last["a"].At)
	}
	if result := memory.Run(t.Context(), p); result.Status != Healthy {
		t.Errorf("without a round: %+v", result)
	}
}

func TestMemoryConfigIsRefused(t *testing.T) {
	for _, test := range []struct {
		name string
		cfg  MemoryConfig
		want string
	}{
		{"no limit", MemoryConfig{}, "memory: max-rss: is required, and more than 0"},
		{"two limits", MemoryConfig{Max: 1, MaxPercent: 1}, "memory: max-rss: is either a size or a percentage"},
		{"a negative percentage", MemoryConfig{MaxPercent: -1}, "memory: max-rss: -1 % is not between 0 and 100 %"},
		{"too large a percentage", MemoryConfig{MaxPercent: 100.5}, "memory: max-rss: 100.5 % is not between 0 and 100 %"},
		{"no number", MemoryConfig{MaxPercent: math.NaN()}, "memory: max-rss: NaN % is not between 0 and 100 %"},
		{"an unknown metric", MemoryConfig{Max: 1, Metric: "vsz"}, `memory: metric: "vsz" is none of rss, pss, uss`},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := NewMemory(test.cfg)
			var refused *ConfigError
			if c != nil || !errors.As(err, &refused) || err.Error() != test.want {
				t.Errorf("got %v, error %v, want error %s", c, err, test.want)
			}
		})
	}
}

func TestSize(t *testing.T) {
	for bytes, want := range map[uint64]string{
		0: "0 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.5 KiB", 100 << 20: "100 MiB", 3 << 29: "1.5 GiB", 5 << 40: "5 TiB", 1 << 62: fmt.Sprintf("%d TiB", 1<<22),
	} {
		if got := size(bytes); got != want {
			t.Errorf("%d: %q, want %q", bytes, got, want)
		}
	}
}
