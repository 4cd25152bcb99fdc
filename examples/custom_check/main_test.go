package main

import (
	"os"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/runner"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
	"github.com/supervisor-checks/supervisor-checks/supervisor/supervisortest"
)

func TestStuckProcessIsRestarted(t *testing.T) {
	t.Chdir(t.TempDir())
	srv := supervisortest.NewServer(supervisor.Python, supervisortest.Program{Group: "web", Name: "a"})
	defer srv.Close()
	stdin, stdout := srv.Listener()
	os.WriteFile("a.stuck", nil, 0o600)
	go runner.Run(t.Context(), runner.Config{
		Groups: []string{"web"}, Checks: []checks.Check{checks.Func("stuck", notStuck)},
		Server: srv.Config(), Stdin: stdin, Stdout: stdout, StateDir: t.TempDir() + "/state",
	})
	srv.Tick(5 * time.Second)
	if !srv.Await(t.Context(), func() bool { return srv.Starts("web:a") == 2 }) {
		t.Error("web:a was not restarted")
	}
}
