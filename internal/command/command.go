// Package command runs programs that are not ours, such as hooks and scripts: without a
// shell, in a process group of their own, for a limited time or for long, and with no
// more of their output kept than was asked for.
package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/kballard/go-shellquote"
)

// DefaultTimeout is how long a program may run when Command.Timeout is 0.
const DefaultTimeout = 30 * time.Second

// DefaultMaxOutput is how many bytes of output are kept when Command.MaxOutput
// is 0.
const DefaultMaxOutput = 4 << 10

// DefaultGrace is how long a program that is asked to end may take for it when
// Command.Grace is 0.
const DefaultGrace = 2 * time.Second

const (
	// drainTime is how long the output of a program that has ended is still waited
	// for: somebody it has left behind may hold it open.
	drainTime = 100 * time.Millisecond

	// restTime is how long what is left of the group may take to write what it was given
	// to pass on, as tee is, before it is killed.
	restTime = 10 * time.Millisecond

	// hurry is the most that Grace is when a context has ended: whoever waits ends, too.
	hurry = 500 * time.Millisecond

	// killTime is how long the end of what was killed is waited for, which has to wait
	// itself where a disk or a server of files does not answer.
	killTime = time.Second
)

// Command is a program to run.
type Command struct {
	// Args is the program, by its path or to be found in our PATH, and its arguments. A
	// path such as ./check begins at Dir.
	Args []string

	// Dir is the folder that it is run in. "" means our own.
	Dir string

	// User is whom it is run as. nil means ourselves.
	User *User

	// Env is added to our own environment: "NAME=value". HOME, USER and LOGNAME are
	// those of User, where there is one, unless they are in Env.
	Env []string

	// CleanEnv has it get nothing of our own environment but PATH.
	CleanEnv bool

	// Without are variables of our own environment that it does not get.
	Without []string

	// Timeout is after what time the program and all of its process group are
	// ended. 0 means DefaultTimeout. It is not for Start.
	Timeout time.Duration

	// Grace is how long the group may take to end when it is asked to, with SIGTERM,
	// before it is killed. 0 means DefaultGrace. When the context of Run has ended it is
	// at most half a second.
	Grace time.Duration

	// KillRest kills what is left of its process group when it has ended, too. What
	// has left the group, as a daemon does, lives on.
	KillRest bool

	// Apart keeps its standard error apart from its standard output. Both are together
	// in the order in which they were written, otherwise.
	Apart bool

	// MaxOutput is how many bytes are kept of what it writes, to each of both where
	// they are kept apart: one half from the beginning and one from the end. What is
	// between them is read and thrown away. 0 means DefaultMaxOutput.
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
// end ends it, too.
func (c Command) Run(ctx context.Context) (Output, error) {
	timeout := cmp.Or(c.Timeout, DefaultTimeout)
	limited, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("%w after %v", ErrTimeout, timeout))
	defer cancel()
	if limited.Err() != nil {
		return Output{}, context.Cause(limited)
	}
	most := cmp.Or(c.MaxOutput, DefaultMaxOutput)
	out, err := newStream(most)
	if err != nil {
		return Output{}, fmt.Errorf("%w: %w", ErrNotRun, err)
	}
	streams := []*stream{out}
	errs := out
	if c.Apart {
		if errs, err = newStream(most); err != nil {
			out.drop()
			return Output{}, fmt.Errorf("%w: %w", ErrNotRun, err)
		}
		streams = append(streams, errs)
	}
	cmd := c.prepared()
	cmd.Stdout, cmd.Stderr = out.to, errs.to
	if err := cmd.Start(); err != nil {
		for _, s := range streams {
			s.drop()
		}
		return Output{}, c.notRun(err)
	}
	for _, s := range streams {
		go s.read()
	}
	ended, over := make(chan struct{}), make(chan struct{})
	var reap func() error
	go func() {
		reap = end(cmd)
		close(ended)
		for _, s := range streams {
			<-s.done
		}
		close(over)
	}()
	signal := func(sent syscall.Signal) { signalGroup(cmd.Process.Pid, sent) }

	cut := false
	select {
	case <-ended:
		if c.KillRest && !within(restTime, over) {
			signal(syscall.SIGKILL) // before the output ends, which they may hold open
		}
		within(drainTime, over)
		if c.KillRest {
			signal(syscall.SIGKILL)
		}
	case <-limited.Done():
		cut = true
		c.end(ctx, signal, over)
		signal(syscall.SIGKILL) // with those that it has left behind
	}
	gone := within(killTime, ended)
	for _, s := range streams {
		s.finish()
	}
	output := Output{Stdout: out.text.text()}
	if c.Apart {
		output.Stderr = errs.text.text()
	}
	if !gone {
		go func() {
			<-ended
			reap()
		}()
		return output, fmt.Errorf("%w, which did not end it", context.Cause(limited))
	}
	err = reap() // nothing is sent to its group any more, whose number may be another's from now on
	if cut {
		return output, context.Cause(limited)
	}
	return output, exitError(err)
}

// prepared is the program as it is to be started.
func (c Command) prepared() *exec.Cmd {
	cmd := exec.Command(c.Args[0], c.Args[1:]...)
	cmd.Dir, cmd.Env = c.Dir, c.environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if c.User != nil {
		cmd.SysProcAttr.Credential = c.User.credential
	}
	return cmd
}

func (c Command) environment() []string {
	env := os.Environ()
	if c.CleanEnv || len(c.Without) > 0 {
		env = slices.DeleteFunc(env, func(variable string) bool {
			name, _, _ := strings.Cut(variable, "=")
			return c.CleanEnv && name != "PATH" || slices.Contains(c.Without, name)
		})
	}
	if c.User != nil {
		env = append(env, c.User.env...)
	}
	return append(env, c.Env...) // of two of a name the last one counts
}

// notRun is why a program could not be started.
func (c Command) notRun(err error) error {
	if _, found := os.Stat(c.Dir); c.Dir != "" && found != nil {
		return fmt.Errorf("%w in that folder: %w", ErrNotRun, found)
	}
	path := c.Args[0]
	if !strings.Contains(path, "/") {
		path, _ = exec.LookPath(path)
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(c.Dir, path)
	}
	switch interpreter := firstLine(path); {
	case errors.Is(err, syscall.ENOEXEC):
		err = fmt.Errorf("%w: it is neither a program of this system nor a script whose first line names its interpreter, as #!/bin/sh", err)
	case errors.Is(err, syscall.ENOENT) && strings.HasPrefix(interpreter, "#!"):
		err = fmt.Errorf("%w: it is there, but not the interpreter that its first line names: %q", err, interpreter)
	}
	return fmt.Errorf("%w: %w", ErrNotRun, err)
}

// firstLine returns the beginning of the first line of a file, with what a file of
// another system has at its end. What is no file has none: reading a pipe may take for ever.
func firstLine(path string) string {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	begin := make([]byte, 128)
	n, _ := f.Read(begin)
	line, _, _ := strings.Cut(string(begin[:n]), "\n")
	return line
}

func (c Command) grace() time.Duration { return cmp.Or(c.Grace, DefaultGrace) }

// end asks a process group to end, and returns when all is over or its grace is.
func (c Command) end(ctx context.Context, signal func(syscall.Signal), over <-chan struct{}) {
	signal(syscall.SIGTERM)
	grace := time.NewTimer(c.grace())
	defer grace.Stop()
	select {
	case <-over:
		return
	case <-grace.C:
		return
	case <-ctx.Done():
	}
	select {
	case <-over:
	case <-grace.C:
	case <-time.After(hurry):
	}
}

// exitError is how a program has ended, by what was waited for.
func exitError(err error) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	if status := exit.Sys().(syscall.WaitStatus); status.Signaled() {
		return &ExitError{Status: -1, Signal: status.Signal()}
	}
	return &ExitError{Status: exit.ExitCode()}
}

// within waits for a channel to be closed, and reports whether it was.
func within(limit time.Duration, c <-chan struct{}) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-c:
	case <-timer.C:
	}
	select { // both may be there when who waits was held up
	case <-c:
		return true
	default:
		return false
	}
}

// signalGroup sends all processes of a group a signal.
func signalGroup(pid int, signal syscall.Signal) { syscall.Kill(-pid, signal) }
