package runner_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/runner"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
	"github.com/supervisor-checks/supervisor-checks/supervisor/supervisortest"
)

// TestMain lets the test binary be a listener.
func TestMain(m *testing.M) {
	var cfg runner.Config
	switch os.Getenv("RUN_LISTENER") {
	case "":
		os.Exit(m.Run())
	case prints:
		cfg.Checks = []checks.Check{checks.Func("chatty", func(context.Context, supervisor.Process) error {
			fmt.Println("stray print")
			child := exec.Command("echo", "of a child")
			child.Stdout = os.Stdout
			return child.Run()
		})}
	case reloads:
		cfg.Checks = []checks.Check{checks.Func("fine", func(context.Context, supervisor.Process) error { return nil })}
		cfg.Log = slog.New(&hangsUp{Handler: slog.NewTextHandler(os.Stderr, nil)})
		cfg.Reload = func() ([]runner.Watch, error) { return nil, errors.New("there is a typing error") }
	}
	if err := runner.Run(context.Background(), cfg); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// What the test binary does as a listener, in RUN_LISTENER.
const (
	prints  = "prints"  // its check prints
	reloads = "reloads" // it gets SIGHUP as soon as it logs something
)

// hangsUp sends its own process SIGHUP when something is to be logged for the first time.
type hangsUp struct {
	slog.Handler
	once sync.Once
}

func (h *hangsUp) Enabled(ctx context.Context, level slog.Level) bool {
	h.once.Do(func() {
		came := make(chan os.Signal, 1)
		signal.Notify(came, syscall.SIGHUP)
		defer signal.Stop(came)
		syscall.Kill(os.Getpid(), syscall.SIGHUP)
		<-came
	})
	return h.Handler.Enabled(ctx, level)
}

// TestHUPAtTheStart has a listener reload that gets SIGHUP with its first word.
func TestHUPAtTheStart(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "RUN_LISTENER="+reloads, "SUPERVISOR_SERVER_URL=unix:///nobody/there", "STATE_DIRECTORY="+filepath.Join(t.TempDir(), "state"))
	var stderr buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for deadline := time.After(30 * time.Second); !strings.Contains(stderr.String(), "there is a typing error"); {
		select {
		case err := <-ended:
			t.Fatalf("it has ended: %v\n%s", err, stderr.String())
		case <-deadline:
			t.Fatalf("it does not reload:\n%s", stderr.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
	stdin.Close()
	if err := <-ended; err != nil {
		t.Errorf("%v; its log:\n%s", err, stderr.String())
	}
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
	cmd.Env = append(os.Environ(), "RUN_LISTENER="+prints, "SUPERVISOR_SERVER_URL=unix://"+filepath.Join(dir, "s"), "STATE_DIRECTORY="+filepath.Join(dir, "state"))
	stdin, stdout := srv.Listener()
	var stderr buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := srv.Tick(30 * time.Second); err != nil {
			t.Error(err)
		}
	}
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(stderr.String(), "stray print\n") || !strings.Contains(stderr.String(), "of a child\n"); {
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
