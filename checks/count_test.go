package checks_test

import (
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// TestCount counts of a shell that has a file open and three children, one of them a
// grandchild.
func TestCount(t *testing.T) {
	cmd := exec.Command("sh", "-c", "exec 9</dev/null; sleep 1000 & sh -c 'sleep 1000 & wait' & wait")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end := sync.OnceFunc(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
	})
	t.Cleanup(end)
	own := supervisor.Process{Name: "self", PID: os.Getpid()}
	p := supervisor.Process{Name: "sh", PID: cmd.Process.Pid}
	children, _ := checks.NewCount(checks.CountConfig{Of: checks.Children, Max: 2})
	run := func(of checks.Countable, most int, p supervisor.Process) checks.Result {
		c, err := checks.NewCount(checks.CountConfig{Of: of, Max: most})
		if err != nil {
			t.Fatal(err)
		}
		return c.Run(c.StartRound(t.Context(), nil), p)
	}
	for deadline := time.Now().Add(30 * time.Second); children.Run(children.StartRound(t.Context(), nil), p).Status != checks.Unhealthy; {
		if time.Now().After(deadline) {
			t.Fatal("it has not started its children")
		}
	}
	if r := run(checks.Children, 2, p); r.Err == nil || r.Err.Error() != "has 3 children, more than 2" || r.Metrics["children"] != 3 {
		t.Errorf("children: %+v", r)
	}
	if r := run(checks.Children, 3, p); r.Status != checks.Healthy {
		t.Errorf("children: %+v", r)
	}
	if r := run(checks.Threads, 1, p); r.Status != checks.Healthy || r.Metrics["threads"] != 1 {
		t.Errorf("threads: %+v", r)
	}
	if r := run(checks.Threads, 1, own); r.Status != checks.Unhealthy {
		t.Errorf("threads of a Go program: %+v", r)
	}
	if r := run(checks.Descriptors, 3, p); r.Status != checks.Unhealthy || r.Err.Error() != fmt.Sprintf("has %v open descriptors, more than 3", r.Metrics["fds"]) {
		t.Errorf("descriptors: %+v", r)
	}
	end()
	for _, of := range []checks.Countable{checks.Children, checks.Threads, checks.Descriptors} {
		if r := run(of, 1, p); r.Status != checks.Unknown {
			t.Errorf("%s of a process that has ended: %+v", of, r)
		}
		if r := run(of, 1, supervisor.Process{Name: "off"}); r.Status != checks.Unknown {
			t.Errorf("%s of one that does not run: %+v", of, r)
		}
	}
}

func TestBadCount(t *testing.T) {
	for _, tt := range []struct {
		cfg  checks.CountConfig
		text string
	}{
		{checks.CountConfig{Max: 1}, `count: of: "" is none of fds, threads, children`},
		{checks.CountConfig{Of: checks.Threads}, "threads: max: 0 is less than 1"},
	} {
		if _, err := checks.NewCount(tt.cfg); err == nil || err.Error() != tt.text {
			t.Errorf("%+v: %v, want %s", tt.cfg, err, tt.text)
		}
	}
}
