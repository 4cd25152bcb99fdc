package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// TestKills kills a listener with SIGKILL at random moments, KILLS times (20
// unless it is set), while it restarts workers that take up to three seconds to
// stop and fail every fifth start. Afterwards all run, and none runs twice.
func TestKills(t *testing.T) {
	kills := 20
	if text := os.Getenv("KILLS"); text != "" {
		var err error
		if kills, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	const many = 6
	config := fmt.Sprintf(`
[program:worker]
command={self} worker
process_name=worker_%%(process_num)d
numprocs=%d
environment=WORKER_STOPS=3s,WORKER_RANDOM=1
startretries=0
autorestart=true
stdout_logfile=%%(here)s/workers.log
redirect_stderr=true
`, many) + listener("lis", `supervisor_file_check -n f -g worker -t 1 -d .`, -2, "autorestart=true", "startsecs=0")
	underEach(t, config, func(h *host) {
		for i := range many {
			h.running(fmt.Sprintf("worker:worker_%d", i))
		}
		bad := filepath.Join(h.Dir, "bad")
		if err := os.WriteFile(bad, nil, 0o600); err != nil {
			t.Fatal(err)
		}
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
			h.until("the listener runs", 20*time.Second, func() bool {
				pid := h.process("lis").PID
				return pid != 0 && syscall.Kill(pid, syscall.SIGKILL) == nil
			})
		}
		os.Remove(bad)
		for i := range many {
			namespec := fmt.Sprintf("worker:worker_%d", i)
			h.until(namespec+" runs, well", 90*time.Second, func() bool {
				p := h.process(namespec)
				return p.State == supervisor.Running && p.Uptime >= 2*time.Second && h.intents() == 0
			})
		}
		twice, _ := filepath.Glob(filepath.Join(h.Dir, "twice-*"))
		if len(twice) > 0 {
			h.t.Errorf("there were two of %q", twice)
		}
		starts := 0
		for i := range many {
			text, err := os.ReadFile(filepath.Join(h.Dir, fmt.Sprintf("starts-worker_%d", i)))
			if err != nil {
				h.t.Fatal(err)
			}
			n, _ := strconv.Atoi(string(text))
			starts += n - 1
		}
		output, _ := os.ReadFile(filepath.Join(h.Dir, "workers.log"))
		h.t.Logf("%d kills, %d of them in the middle of restarts; %d starts, of which %d failed; %d of %d processes run",
			kills, inRestarts, starts, strings.Count(string(output), "fails to start"), many, many)
		if inRestarts < kills/3 {
			h.t.Errorf("only %d of %d kills were in the middle of restarts", inRestarts, kills)
		}
	})
}
