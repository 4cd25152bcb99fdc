package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// TestHeartbeatWorkers runs the example workers in Go, Python and shell, and
// has supervisor_file_check find the heartbeats of all of them, and miss that
// of one that is frozen.
func TestHeartbeatWorkers(t *testing.T) {
	examples, err := filepath.Abs("../../examples/heartbeat_worker")
	if err != nil {
		t.Fatal(err)
	}
	config := strings.ReplaceAll(`
[group:beats]
programs=go,python,shell
[program:go]
command={bin}/heartbeat_worker
environment=TMPDIR="%(here)s"
[program:python]
command=python3 {examples}/worker.py
environment=TMPDIR="%(here)s"
[program:shell]
command={examples}/worker.sh
environment=TMPDIR="%(here)s",PATH="{bin}:%(ENV_PATH)s"
stopasgroup=true
`, "{examples}", examples)
	underEach(t, config, func(h *host) {
		once := func() string {
			cmd := exec.Command(filepath.Join(bin, "supervisor_file_check"),
				"-n", "beats", "-g", "beats", "-t", "3", "-x", "-d", h.Dir, "--once", "--server-url", h.URL)
			out, _ := cmd.CombinedOutput()
			return string(out)
		}
		processes := []string{"beats:go", "beats:python", "beats:shell"}
		for _, namespec := range processes {
			if p := h.running(namespec); p.State != supervisor.Running {
				h.t.Fatalf("%s is %v", namespec, p.State)
			}
		}
		h.until("all have beaten, for longer than a beat may be old", time.Minute, func() bool {
			old := h.process("beats:shell").Uptime > 5*time.Second
			return old && strings.Count(once(), " healthy ") == len(processes)
		})
		for _, namespec := range processes {
			p := h.process(namespec)
			freeze(h, p.PID)
			h.until(namespec+" is missed", time.Minute, func() bool {
				for line := range strings.Lines(once()) {
					if strings.HasPrefix(line, namespec+" ") {
						return strings.Contains(line, " unhealthy ")
					}
				}
				return false
			})
		}
	})
}
