package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/runner"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// counted tells when a check has been run for as many processes as there are.
type counted struct {
	checks.Check
	running *sync.WaitGroup
}

func (c *counted) Run(ctx context.Context, p supervisor.Process) checks.Result {
	defer c.running.Done()
	result := c.Check.Run(ctx, p)
	if result.Status != checks.Healthy {
		panic(fmt.Sprintf("%s is %v: %v", p.Namespec(), result.Status, result.Err))
	}
	return result
}

func (c *counted) StartRound(ctx context.Context, watched []supervisor.Process) context.Context {
	if c, shares := c.Check.(checks.RoundStarter); shares {
		return c.StartRound(ctx, watched)
	}
	return ctx
}

// round returns what runs a round of a check, from the tick to the end of the
// last of count runs, and says how long it took.
func round(t *testing.T, d *daemon, count int, check checks.Check) func() time.Duration {
	var running sync.WaitGroup
	return roundOf(t, d, count, runner.Config{Groups: []string{"web"}, Checks: []checks.Check{&counted{check, &running}}}, &running)
}

// roundOf is round of a listener that cfg describes, whose checks are counted.
func roundOf(t *testing.T, d *daemon, count int, cfg runner.Config, running *sync.WaitGroup) func() time.Duration {
	cfg.Server.URL, cfg.StateDir, cfg.Log = d.url(), t.TempDir()+"/state", slog.New(slog.DiscardHandler)
	cfg.Stdin, cfg.Stdout = d.Listener()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- runner.Run(ctx, cfg)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return func() time.Duration {
		running.Add(count)
		begun := time.Now()
		if err := d.Tick(time.Minute); err != nil {
			t.Error(err)
		}
		running.Wait()
		return time.Since(begun)
	}
}

// bare returns a loop that asks supervisord for its processes and then calls
// look count times, as many at once as the runner does.
func bare(d *daemon, count int, look func(i int)) func() time.Duration {
	return func() time.Duration {
		begun := time.Now()
		d.ask()
		limit := make(chan struct{}, runner.DefaultConcurrency)
		var all sync.WaitGroup
		for i := range count {
			limit <- struct{}{}
			all.Go(func() {
				look(i)
				<-limit
			})
		}
		all.Wait()
		return time.Since(begun)
	}
}

// subject is a kind of check, with what it costs to do the same without one.
type subject struct {
	name string
	most float64 // times the bare loop
	make func(t *testing.T) checks.Check
	look func(i int)
	pid  func(i int) int
}

const repetitions = 15

func rounds(f *figures, _ string) {
	const count = 1000
	for _, s := range subjects(f.t, count) {
		d := newDaemon(f.t, count, s.pid)
		ours, theirs := alternate(repetitions, round(f.t, d, count, s.make(f.t)), bare(d, count, s.look))
		f.compared(fmt.Sprintf("a round of %d %s checks", count, s.name), ours, theirs, s.most)
	}
}

// growth compares what a process costs in rounds of 100 and of 5,000.
func growth(f *figures, _ string) {
	const few, many = 100, 5000
	for _, s := range subjects(f.t, 1000) {
		if s.name == "cumulative memory" {
			continue // see growthOfTrees
		}
		small, large := newDaemon(f.t, few, s.pid), newDaemon(f.t, many, s.pid)
		a, b := alternate(repetitions, round(f.t, small, few, s.make(f.t)), round(f.t, large, many, s.make(f.t)))
		f.flat(fmt.Sprintf("cost of a %s check in rounds of %d, against rounds of %d", s.name, many, few), b/many, a/few)
	}
}

// growthOfTrees compares what a tree costs in rounds of 100 and of 1,000 when
// there are no more of them: a round looks at all processes of the machine,
// however many are watched. 5,000 would be 15,000 processes.
func growthOfTrees(f *figures, _ string) {
	const few, many = 100, 1000
	each := func(trees [][3]int) (cost time.Duration) {
		f.t.Run("", func(t *testing.T) { // whose listener waits for no ticks while more are started
			d := newDaemon(t, len(trees), func(i int) int { return trees[i][0] })
			run := round(t, d, len(trees), must(checks.NewMemory(checks.MemoryConfig{Max: 1 << 40, Cumulative: true})))
			run()
			var all []time.Duration
			for range repetitions {
				all = append(all, run())
			}
			cost = quantile(all, 0.5) / time.Duration(len(trees))
		})
		return cost
	}
	trees := newTrees(f.t, few)
	small := each(trees)
	large := each(append(trees, newTrees(f.t, many-few)...))
	f.flat(fmt.Sprintf("cost of a cumulative memory check in rounds of %d, with as many trees of three on the machine, against rounds of %d", many, few), large, small)
}

// subjects returns the checks that are measured, for processes of which there
// are count.
func subjects(t *testing.T, count int) []subject {
	port, _ := web(t, 0)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 15 * time.Second}
	tcpPort := accept(t)
	trees := newTrees(t, count)
	return []subject{
		{
			name: "HTTP",
			most: 1.5,
			make: func(t *testing.T) checks.Check { return must(checks.NewHTTP(checks.HTTPConfig{Port: port, URL: "/"})) },
			look: func(int) {
				resp := must(client.Get("http://127.0.0.1:" + port + "/"))
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					panic(resp.Status)
				}
			},
		},
		{
			name: "TCP",
			most: 2,
			make: func(t *testing.T) checks.Check { return must(checks.NewTCP(checks.TCPConfig{Port: tcpPort})) },
			look: func(int) { must(net.DialTimeout("tcp", "127.0.0.1:"+tcpPort, 15*time.Second)).Close() },
		},
		{
			name: "memory",
			most: 2,
			make: func(t *testing.T) checks.Check { return must(checks.NewMemory(checks.MemoryConfig{Max: 1 << 40})) },
			look: func(i int) { resident(trees[i%count][0]) },
			pid:  func(i int) int { return trees[i%count][0] },
		},
		{
			name: "cumulative memory",
			most: 2,
			make: func(t *testing.T) checks.Check {
				return must(checks.NewMemory(checks.MemoryConfig{Max: 1 << 40, Cumulative: true}))
			},
			look: func(i int) {
				for _, pid := range trees[i%count] {
					resident(pid)
				}
			},
			pid: func(i int) int { return trees[i%count][0] },
		},
	}
}

// accept is a server for TCP checks, until the end of the test. It returns its port.
func accept(t *testing.T) (port string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	_, port, _ = net.SplitHostPort(listener.Addr().String())
	return port
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// resident is what a bare loop does for the memory of a process.
func resident(pid int) int {
	fields := bytes.Fields(must(os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")))
	return must(strconv.Atoi(string(fields[1])))
}

// newTrees starts count trees of three processes, until the end of the test.
func newTrees(t *testing.T, count int) [][3]int {
	t.Helper()
	trees := make([][3]int, count)
	for i := range trees {
		cmd := exec.Command("sh", "-c", "sleep 3600 & a=$!; sleep 3600 & echo $a $!; wait")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			cmd.Wait()
		})
		trees[i][0] = cmd.Process.Pid
		if _, err := fmt.Fscan(out, &trees[i][1], &trees[i][2]); err != nil {
			t.Fatal(err)
		}
		go io.Copy(io.Discard, out)
	}
	return trees
}
