package runner_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/runner"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
	"github.com/supervisor-checks/supervisor-checks/supervisor/supervisortest"
)

// TestMain lets the test binary be a listener with a check that prints.
func TestMain(m *testing.M) {
	if os.Getenv("RUN_PRINTING_CHECK") == "" {
		os.Exit(m.Run())
	}
	chatty := checks.Func("chatty", func(context.Context, supervisor.Process) error {
		fmt.Println("stray print")
		child := exec.Command("echo", "of a child")
		child.Stdout = os.Stdout
		return child.Run()
	})
	if err := runner.Run(context.Background(), runner.Config{Checks: []checks.Check{chatty}}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// TestStrayPrint runs a listener as supervisord does, with a check that prints
// to standard output, where the protocol was.
func TestStrayPrint(t *testing.T) {
	dir, err := os.MkdirTemp("", "stray")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	srv := supervisortest.NewServer(supervisor.Python, supervisortest.Program{Name: "a"})
	defer srv.Close()
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)

	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "RUN_PRINTING_CHECK=1", "SUPERVISOR_SERVER_URL=unix://"+filepath.Join(dir, "s"), "STATE_DIRECTORY="+filepath.Join(dir, "state"))
	stdin, stdout := srv.Listener()
	var stderr buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := srv.Tick(5 * time.Second); err != nil {
			t.Error(err)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(stderr.String(), "stray print\n") || !strings.Contains(stderr.String(), "of a child\n"); {
		if time.Now().After(deadline) {
			t.Fatalf("the prints are not in the log:\n%s", stderr.String())
		}
		time.Sleep(10 * time.Millisecond)
	}
	srv.Hangup()
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v; its log:\n%s", err, stderr.String())
	}
}
