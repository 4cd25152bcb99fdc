package checks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/command"
	"github.com/supervisor-checks/supervisor-checks/internal/foreign"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// DefaultScriptTimeout is how long a try of Script may take when
// ScriptConfig.Timeout is 0.
const DefaultScriptTimeout = 15 * time.Second

const (
	scriptOutput = 64 << 10 // bytes of what a program writes that are kept
	scriptReason = 300      // bytes of it in the reason
)

// scriptUnknown are the exit statuses of a program that could not look: that of
// monitoring plugins, and those of a shell for a command that cannot be run or is
// not found.
var scriptUnknown = []int{3, 126, 127}

// scriptWithout are variables that supervisord has set for us and not for the process:
// our own name in it, and with what it may be asked to do anything.
var scriptWithout = []string{"SUPERVISOR_USERNAME", "SUPERVISOR_PASSWORD", "SUPERVISOR_PROCESS_NAME", "SUPERVISOR_GROUP_NAME"}

// ScriptConfig configures a check by a program.
type ScriptConfig struct {
	// Command is the program, by its path or to be found in PATH when it is run, and
	// its arguments. It is run without a shell. In the arguments %(process_name)s,
	// %(group_name)s, %(namespec)s and %(pid)s stand for those of the process, and
	// %% for a %. It is required.
	Command []string

	// Timeout bounds one try: the program and all of its process group are killed
	// then. 0 means DefaultScriptTimeout.
	Timeout time.Duration

	// Retries is how often a failed try is repeated within one run, after pauses
	// of 3 s, 6 s, 9 s … 0 or less means never.
	Retries int
}

// Script asks a program whether a process works.
type Script struct {
	cfg ScriptConfig
}

// NewScript returns the check that cfg describes, or a *ConfigError.
func NewScript(cfg ScriptConfig) (*Script, error) {
	if len(cfg.Command) == 0 {
		return nil, refuse("script", "command", "names no program")
	}
	for _, arg := range cfg.Command[1:] {
		if _, err := expand(arg, supervisor.Process{}); err != nil {
			return nil, &ConfigError{Check: "script", Field: "command", Err: err}
		}
	}
	if cfg.Timeout < 0 {
		return nil, refuse("script", "timeout", "%v is less than 0", cfg.Timeout)
	}
	cfg.Timeout = cmp.Or(cfg.Timeout, DefaultScriptTimeout)
	cfg.Command = slices.Clone(cfg.Command)
	return &Script{cfg}, nil
}

// Name returns "script".
func (c *Script) Name() string { return "script" }

// Run runs the program. Exit status 0 is Healthy; 3, 126 and 127, and a program
// that cannot be started, are Unknown; any other, a signal that ends it, and one that
// takes longer than the timeout are Unhealthy, and the last line that it writes is why.
// It is told of the process in the variables SUPERVISOR_CHECK_PROCESS, _GROUP, _NAME
// and _PID, besides our own environment, of which it does not get
// SUPERVISOR_USERNAME, SUPERVISOR_PASSWORD, SUPERVISOR_PROCESS_NAME and
// SUPERVISOR_GROUP_NAME, for they are the listener's. It finds nothing on its standard
// input. What it leaves behind in its process group is killed when it has ended.
func (c *Script) Run(ctx context.Context, p supervisor.Process) Result {
	args := []string{c.cfg.Command[0]}
	for _, arg := range c.cfg.Command[1:] {
		text, err := expand(arg, p)
		if err != nil {
			return Unsure(err)
		}
		args = append(args, text)
	}
	program := command.Command{
		Args: args, Timeout: c.cfg.Timeout, MaxOutput: scriptOutput,
		Without: scriptWithout, KillRest: true,
		Env: []string{"SUPERVISOR_CHECK_PROCESS=" + p.Namespec(), "SUPERVISOR_CHECK_GROUP=" + p.Group, "SUPERVISOR_CHECK_NAME=" + p.Name, "SUPERVISOR_CHECK_PID=" + strconv.Itoa(p.PID)},
	}
	return outcome(ctx, retry(ctx, c.cfg.Retries, func() error {
		output, err := program.Run(ctx)
		if err == nil {
			return nil
		}
		if last := lastLine(output.Stdout.String()); last != "" {
			err = fmt.Errorf("%w: %s", err, last)
		}
		var exit *command.ExitError
		if errors.Is(err, command.ErrNotRun) || errors.As(err, &exit) && slices.Contains(scriptUnknown, exit.Status) {
			return fmt.Errorf("%w: %w", ErrUnknown, err)
		}
		return err
	}))
}

// lastLine is the last line of a text that has something in it.
func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return foreign.Line(strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:]), scriptReason)
}

// expand puts what is known of p in the places of %(name)s, as supervisord's own
// configuration has them.
func expand(text string, p supervisor.Process) (string, error) {
	known := map[string]string{"process_name": p.Name, "group_name": p.Group, "namespec": p.Namespec(), "pid": strconv.Itoa(p.PID)}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "%")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		if after, is := strings.CutPrefix(rest, "%"); is {
			b.WriteByte('%')
			text = after
			continue
		}
		name, after, ends := strings.Cut(strings.TrimPrefix(rest, "("), ")s")
		value, is := known[name]
		if !strings.HasPrefix(rest, "(") || !ends || !is {
			return "", fmt.Errorf("%q: after a %% comes (process_name)s, (group_name)s, (namespec)s or (pid)s, or another %%", "%"+foreign.Line(rest, 60))
		}
		b.WriteString(value)
		text = after
	}
}
