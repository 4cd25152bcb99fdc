package checks

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/supervisor-checks/supervisor-checks/internal/jsoncheck"
	"github.com/supervisor-checks/supervisor-checks/internal/script"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// DefaultScriptTimeout is how long a try of Script may take when
// ScriptConfig.Timeout is 0.
const DefaultScriptTimeout = script.DefaultTimeout

// ScriptConfig configures a check by a program. Command is the program and its arguments,
// and is required. It is run without a shell, with Env besides our own environment (without
// that, but for PATH, with CleanEnv), in the folder Dir and as User. In arguments, values of
// Env, Dir and values of Options %(process_name)s, %(group_name)s, %(namespec)s and %(pid)s
// stand for those of the process, and %% for a %.
//
// Protocol is how it says what it has found: "exit", which "" means, "nagios", "cloudprober",
// "cloudprober-server" or "json". Warning is what a warning of "nagios" means, "healthy" by
// default. Options are sent to a server. ExpectOutput (a regular expression), ExpectText,
// RejectText and ExpectJSON are what the output must be like.
//
// Timeout bounds one try, 0 means DefaultScriptTimeout. Retries is how often a failed try is
// repeated within one run, after pauses of 3 s, 6 s, 9 s … Log, if not nil, is told of what a
// server writes to its standard error, of its end, of metrics that cannot be read, and of
// warnings that mean healthy.
type ScriptConfig = script.Config

// ScriptJSON is what is to be at some places of an output in JSON: what Path finds, as RFC
// 9535 has it ($.shards[*].state), of which there must be something, and each of it must be
// what Equals, NotEquals, LessThan, GreaterThan and Matches, a regular expression, say, or
// there must be nothing, with Absent.
type ScriptJSON = jsoncheck.Place

// Script asks a program whether a process works.
type Script struct {
	cfg    ScriptConfig
	script *script.Script
}

// NewScript returns the check that cfg describes, or a *ConfigError.
func NewScript(cfg ScriptConfig) (*Script, error) {
	made, err := script.New(cfg, "process_name", "group_name", "namespec", "pid")
	var bad *script.FieldError
	if errors.As(err, &bad) {
		return nil, &ConfigError{Check: "script", Field: bad.Field, Err: bad.Err}
	}
	return &Script{cfg, made}, err
}

// Name returns "script".
func (c *Script) Name() string { return "script" }

// Run runs the program. Exit status 0 is Healthy; 3, 126 and 127, and a program
// that cannot be started, are Unknown; any other, a signal that ends it, and one that
// takes longer than the timeout are Unhealthy, and the last line that it writes, to its
// standard error if to that, is why. Other protocols say more; of a server that cannot
// be started, ends, or has never answered anything, a process is Unknown. A server that
// answers nobody for three requests in a row is ended and started again.
//
// The program is told of the process in the variables SUPERVISOR_CHECK_PROCESS, _GROUP,
// _NAME and _PID, besides our own environment, of which it does not get
// SUPERVISOR_USERNAME, SUPERVISOR_PASSWORD, SUPERVISOR_PROCESS_NAME and
// SUPERVISOR_GROUP_NAME, for they are the listener's. A server is told of it in Options
// alone. The program finds nothing on its standard input. When its time is over its
// process group is asked to end, and killed two seconds later; what it leaves behind in its
// process group is killed when it has ended. It is run once at a time for each process, and
// no more than 64 programs are run at once for checks. Where we are in an environment that is
// none of OnlyIn it is not run, and the result is Skipped.
//
// The metrics are those that the program has printed, at most 100. What should be one and
// cannot be read is counted in bad_metrics, and what is beyond that number in
// left_out_series.
func (c *Script) Run(ctx context.Context, p supervisor.Process) Result {
	about := script.Subject{
		Key:   p.Namespec(),
		Names: map[string]string{"process_name": p.Name, "group_name": p.Group, "namespec": p.Namespec(), "pid": strconv.Itoa(p.PID)},
		Env:   []string{"SUPERVISOR_CHECK_PROCESS=" + p.Namespec(), "SUPERVISOR_CHECK_GROUP=" + p.Group, "SUPERVISOR_CHECK_NAME=" + p.Name, "SUPERVISOR_CHECK_PID=" + strconv.Itoa(p.PID)},
	}
	var found script.Outcome
	r := outcome(ctx, retry(ctx, c.cfg.Retries, func() error {
		found = c.script.Run(ctx, about)
		switch found.Status {
		case script.Unknown:
			return fmt.Errorf("%w: %w", ErrUnknown, found.Err)
		case script.Skipped:
			return nil
		}
		return found.Err
	}))
	if found.Status == script.Skipped {
		r = Skip(found.Err)
	}
	r.Metrics = found.Metrics
	return r
}

// Close ends the server, if the program is one. The check must not be run any more.
func (c *Script) Close() error { return c.script.Close() }
