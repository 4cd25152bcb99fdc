// Package command runs programs that are not ours, such as hooks: without a
// shell, in a process group of their own, for a limited time, and with no more
// of their output than was asked for.
package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
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

	// Without are variables of our own environment that it does not get.
	Without []string

	// Timeout is after what time the program and all of its process group are
	// killed. 0 means DefaultTimeout.
	Timeout time.Duration

	// KillRest kills what is left of its process group when it has ended, too. What
	// has left the group, as a daemon does, lives on.
	KillRest bool

	// MaxOutput is how many bytes are kept of what it writes to its standard
	// output and standard error together: one half from the beginning and one from
	// the end. What is between them is read and thrown away. 0 means
	// DefaultMaxOutput.
	MaxOutput int
}

// Parse takes a command line apart as a shell would, quotes and backslashes
// included, but expands nothing in it. The error is for a person: quotes do not
// match, there is no program in it, or the program is not there.
func Parse(line string) ([]string, error) {
	args, err := Split(line)
	if err != nil {
		return nil, err
	}
	if err := Find(args[0]); err != nil {
		return nil, err
	}
	return args, nil
}

// Split is Parse of a program that need not be there.
func Split(line string) ([]string, error) {
	args, err := shellquote.Split(line)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%q: %w", line, err)
	case len(args) == 0:
		return nil, errors.New("names no program")
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
	out := newCapped(cmp.Or(c.MaxOutput, DefaultMaxOutput))
	cmd := exec.CommandContext(limited, c.Args[0], c.Args[1:]...)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), c.withheld), c.Env...)
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
	cut := err != nil && limited.Err() != nil
	if cut || c.KillRest {
		killGroup(cmd.Process.Pid) // those that it has left behind
	}
	if cut {
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

// withheld reports whether a variable is one that the program does not get.
func (c Command) withheld(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	return slices.Contains(c.Without, name)
}

// killGroup kills a process group.
func killGroup(pid int) error {
	err := syscall.Kill(-pid, syscall.SIGKILL)
	if err == syscall.ESRCH {
		return os.ErrProcessDone
	}
	return err
}

// capped keeps the beginning and the end of what is written to it.
type capped struct {
	mu   sync.Mutex
	most int    // bytes of the beginning
	head []byte // the beginning
	last int    // bytes of the end
	tail []byte // the end, and up to as much again before it
	all  int64  // bytes that came after the beginning
}

func newCapped(most int) *capped { return &capped{most: most - most/2, last: most / 2} }

func (c *capped) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(p)
	first := min(n, c.most-len(c.head))
	c.head, p = append(c.head, p[:first]...), p[first:]
	c.all += int64(len(p))
	c.tail = append(c.tail, p[max(0, len(p)-c.last):]...)
	if len(c.tail) > 2*c.last {
		c.tail = append(c.tail[:0], c.tail[len(c.tail)-c.last:]...)
	}
	return n, nil
}

// String returns what was kept, and in a line of its own how much was not.
func (c *capped) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	end := c.tail[max(0, len(c.tail)-c.last):]
	lost := c.all - int64(len(end))
	if lost == 0 {
		return valid(append(slices.Clip(c.head), end...))
	}
	return fmt.Sprintf("%s\n(%d more bytes)\n%s", valid(c.head), lost, valid(end))
}

func valid(text []byte) string { return strings.ToValidUTF8(string(text), "\uFFFD") }
