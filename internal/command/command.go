// Package command runs programs that are not ours, such as hooks: without a
// shell, in a process group of their own, for a limited time, and with no more
// of their output than was asked for.
package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/kballard/go-shellquote"
)

// DefaultTimeout is how long a program may run when Command.Timeout is 0.
const DefaultTimeout = 30 * time.Second

// DefaultMaxOutput is how many bytes of output are kept when Command.MaxOutput
// is 0.
const DefaultMaxOutput = 4 << 10

// drainTime is how long the output of a program that has ended is still waited
// for: somebody it has left behind may hold it open.
const drainTime = 100 * time.Millisecond

// Command is a program to run.
type Command struct {
	// Args is the program, by its path or to be found in PATH, and its arguments.
	Args []string

	// Env is added to our own environment: "NAME=value".
	Env []string

	// Timeout is after what time the program and all of its process group are
	// killed. 0 means DefaultTimeout.
	Timeout time.Duration

	// MaxOutput is how many bytes are kept of what it writes to its standard
	// output and standard error together. What comes after them is read and
	// thrown away. 0 means DefaultMaxOutput.
	MaxOutput int
}

// Parse takes a command line apart as a shell would, quotes and backslashes
// included, but expands nothing in it. The error is for a person: quotes do not
// match, there is no program in it, or the program is not there.
func Parse(line string) ([]string, error) {
	args, err := shellquote.Split(line)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%q: %w", line, err)
	case len(args) == 0:
		return nil, errors.New("names no program")
	}
	if err := Find(args[0]); err != nil {
		return nil, err
	}
	return args, nil
}

// Find returns an error for a person if there is no such program, by its path or
// in PATH.
func Find(program string) error {
	_, err := exec.LookPath(program)
	var e *exec.Error
	if errors.As(err, &e) {
		err = e.Err
	}
	if err != nil {
		return fmt.Errorf("%q cannot be run: %w", program, err)
	}
	return nil
}

// Errors of a run besides *ExitError.
var (
	// ErrNotRun means that the program could not be started.
	ErrNotRun = errors.New("it cannot be run")

	// ErrTimeout means that it was killed because it ran for too long.
	ErrTimeout = errors.New("it took too long and was killed")
)

// ExitError is the end of a program that was not successful.
type ExitError struct {
	Status int            // exit status; -1 when Signal ended it
	Signal syscall.Signal // 0 when it exited
}

func (e *ExitError) Error() string {
	if e.Signal != 0 {
		return fmt.Sprintf("it was ended by signal %d (%v)", int(e.Signal), e.Signal)
	}
	return fmt.Sprintf("it exited with status %d", e.Status)
}

// Run runs the program to its end, and returns what it wrote. It finds nothing
// on its standard input. The error is nil when its exit status was 0, and else an
// *ExitError, one that wraps ErrNotRun or ErrTimeout, or the cause of ctx, whose
// end kills it, too.
func (c Command) Run(ctx context.Context) (output string, err error) {
	timeout := c.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	limited, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("%w after %v", ErrTimeout, timeout))
	defer cancel()
	out := &capped{left: c.MaxOutput}
	if out.left == 0 {
		out.left = DefaultMaxOutput
	}
	cmd := exec.CommandContext(limited, c.Args[0], c.Args[1:]...)
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return killGroup(cmd.Process.Pid) }
	cmd.WaitDelay = drainTime
	if err := cmd.Start(); err != nil {
		if cause := context.Cause(limited); cause != nil {
			return "", cause
		}
		return "", fmt.Errorf("%w: %w", ErrNotRun, err)
	}
	err = cmd.Wait()
	if err != nil && limited.Err() != nil {
		killGroup(cmd.Process.Pid) // those that it has left behind
		return out.String(), context.Cause(limited)
	}
	if errors.Is(err, exec.ErrWaitDelay) { // it has ended well, and left somebody behind who has its output
		err = nil
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		status := exit.Sys().(syscall.WaitStatus)
		if status.Signaled() {
			return out.String(), &ExitError{Status: -1, Signal: status.Signal()}
		}
		return out.String(), &ExitError{Status: status.ExitStatus()}
	}
	return out.String(), err
}

// killGroup kills a process group.
func killGroup(pid int) error {
	err := syscall.Kill(-pid, syscall.SIGKILL)
	if err == syscall.ESRCH {
		return os.ErrProcessDone
	}
	return err
}

// capped keeps the beginning of what is written to it.
type capped struct {
	mu   sync.Mutex
	kept bytes.Buffer
	left int
	lost int
}

func (c *capped) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	keep := min(len(p), c.left)
	c.kept.Write(p[:keep])
	c.left -= keep
	c.lost += len(p) - keep
	return len(p), nil
}

// String returns what was kept, and how much was not.
func (c *capped) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := strings.ToValidUTF8(c.kept.String(), "\uFFFD")
	if c.lost > 0 {
		text += fmt.Sprintf("\n(%d more bytes)", c.lost)
	}
	return text
}
