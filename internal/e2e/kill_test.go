package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// killsWanted is how often a listener is to be killed: KILLS times, 20 unless it
// is set.
func killsWanted(t *testing.T) int {
	t.Helper()
	text := os.Getenv("KILLS")
	if text == "" {
		return 20
	}
	kills, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return kills
}

// TestKills kills a listener with SIGKILL at random moments, while it restarts
// workers that take up to three seconds to stop, some up to twelve, and fail every
// fifth start, at once or a while later. Afterwards all run, and none runs twice.
func TestKills(t *testing.T) {
	testKills(t, killsWanted(t), "")
}

// TestKillsWithPolicy is the same with all that a policy has in play, and fewer
// kills, since there is more to wait for. No more are down at once than may be.
func TestKillsWithPolicy(t *testing.T) {
	testKills(t, max(6, killsWanted(t)/4), ` --failure-threshold 1/2 --restart-limit 100/1h --backoff 1s,1,1s,1h --max-unavailable 3`+
		` --before-restart '/bin/sh -c "exit 1"' --after-stop /bin/true --after-restart /bin/true --evidence-dir %(here)s/evidence`, func(h *host) {
		evidence, err := filepath.Glob(filepath.Join(h.Dir, "evidence", "*", "result.txt"))
		if len(evidence) == 0 || err != nil {
			h.t.Errorf("there is no evidence, error %v", err)
		}
		for _, said := range []string{"the hook before-restart: sh: it exited with status 1", "no more than 3 of all may be down at once"} {
			if !strings.Contains(h.log("lis"), said) {
				h.t.Errorf("the log lacks %q", said)
			}
		}
	})
}

func testKills(t *testing.T, kills int, options string, also ...func(*host)) {
	section := `
[program:%[1]s]
command={self} worker
process_name=%[1]s_%%(process_num)d
numprocs=%[2]d
environment=WORKER_STOPS=%[3]s,WORKER_RANDOM=1
stopwaitsecs=30
startsecs=2
startretries=0
stdout_logfile=%%(here)s/%[1]s.log
redirect_stderr=true
`
	config := "[group:all]\nprograms=worker,stubborn\n" + fmt.Sprintf(section, "worker", 5, "3s") + fmt.Sprintf(section, "stubborn", 2, "12s") +
		listener("lis", `supervisor_file_check -n f -g all -t 1 -d .`+options, -2, "autorestart=true", "startsecs=0")
	underEach(t, config, func(h *host) {
		var names []string
		processes, err := h.client.Processes(h.t.Context())
		if err != nil {
			h.t.Fatal(err)
		}
		for _, p := range processes {
			if p.Group == "all" {
				names = append(names, p.Name)
				h.running(p.Namespec())
			}
		}
		bad := filepath.Join(h.Dir, "bad")
		if err := os.WriteFile(bad, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		down := h.watchDown("all")
		inRestarts := 0
		for range kills {
			// Most of the time there is nothing to kill it in: a round comes every
			// five seconds. So wait for restarts, mostly, and then a moment.
			if rand.IntN(10) > 0 {
				h.until("a restart begins", 60*time.Second, func() bool { return h.intents() > 0 })
			}
			pause := time.NewTimer(time.Duration(rand.Int64N(int64(2 * time.Second))))
			<-pause.C
			if h.intents() > 0 {
				inRestarts++
			}
			h.until("the listener runs", time.Minute, func() bool {
				pid := h.process("lis").PID
				return pid != 0 && syscall.Kill(pid, syscall.SIGKILL) == nil
			})
		}
		// All kills may have come before a first stop.
		h.until("one was restarted", 60*time.Second, func() bool {
			return slices.ContainsFunc(names, func(name string) bool { return h.starts(name) > 1 })
		})
		os.Remove(bad)
		starts, failed := 0, 0
		for _, name := range names {
			h.until(name+" runs, well", 120*time.Second, func() bool {
				p := h.process("all:" + name)
				return p.State == supervisor.Running && p.Uptime >= 3*time.Second && h.intents() == 0
			})
			starts += h.starts(name) - 1
		}
		for _, program := range []string{"worker", "stubborn"} {
			output, _ := os.ReadFile(filepath.Join(h.Dir, program+".log"))
			failed += strings.Count(string(output), "fails to start")
		}
		twice, _ := filepath.Glob(filepath.Join(h.Dir, "twice-*"))
		if len(twice) > 0 {
			h.t.Errorf("there were two of %q", twice)
		}
		h.t.Logf("%d kills, %d of them in the middle of restarts; %d starts, of which %d failed; %d processes run, as before",
			kills, inRestarts, starts, failed, len(names))
		if inRestarts < kills/3 {
			h.t.Errorf("only %d of %d kills were in the middle of restarts", inRestarts, kills)
		}
		if most := down(); options != "" && most > 3 {
			h.t.Errorf("%d were down at once, want 3 at most", most)
		}
		for _, check := range also {
			check(h)
		}
	})
}

// starts is how often a worker was started.
func (h *host) starts(name string) int {
	text, err := os.ReadFile(filepath.Join(h.Dir, "starts-"+name))
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(string(text))
	if err != nil {
		return 0 // it is being written
	}
	return n
}

// watchDown looks again and again how many processes of a group do not run, until
// it is asked for the most there were at once.
func (h *host) watchDown(group string) (most func() int) {
	ctx, stop := context.WithCancel(h.t.Context())
	highest := 0
	var looking sync.WaitGroup
	looking.Go(func() {
		for ctx.Err() == nil {
			processes, err := h.client.Processes(ctx)
			down := 0
			for _, p := range processes {
				if p.Group == group && p.State != supervisor.Running {
					down++
				}
			}
			if err == nil && down > highest {
				highest = down
			}
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	})
	return func() int {
		stop()
		looking.Wait()
		return highest
	}
}
