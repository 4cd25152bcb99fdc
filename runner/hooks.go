package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/command"
	"github.com/supervisor-checks/supervisor-checks/internal/foreign"
	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// vetoStatus is the exit status with which Hooks.BeforeRestart asks for no
// restart this time: EX_TEMPFAIL of sysexits.h.
const vetoStatus = 75

// errVetoed is why there is no restart then.
var errVetoed = errors.New("the hook before the restart does not want it now")

// lineLength is how many bytes of foreign text there are in a line of the log.
const lineLength = 1000

func (h Hooks) timeout() time.Duration { return cmp.Or(h.Timeout, command.DefaultTimeout) }

// before does what comes before a restart, under its lock: the hook, which can
// veto it, and the evidence, which cannot.
func (r *runner) before(ctx context.Context, p supervisor.Process, rec record.Record) error {
	policy := r.acted(rec.Process).policy
	if policy.Hooks.BeforeRestart != nil {
		r.owe(rec.Process, true)
	}
	err := r.hook(ctx, "before-restart", rec)
	var exit *command.ExitError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &exit) && exit.Status == vetoStatus:
		r.owe(rec.Process, false)
		return errVetoed
	}
	if policy.Hooks.BeforeRestart != nil && p.PID != 0 {
		if err := r.sameRun(ctx, p); err != nil { // the hook may have taken long
			var changed *supervisor.ChangedError
			if errors.As(err, &changed) {
				return err
			}
		}
	}
	if p.PID != 0 && policy.Evidence.wanted() {
		if policy.Evidence.Signal != "" {
			r.commit(rec.Process, true) // which the signal may amount to
		}
		r.collect(ctx, p, rec)
	}
	return nil
}

// hook runs a hook, if there is one, and tells what came of it.
func (r *runner) hook(ctx context.Context, name string, rec record.Record) error {
	hooks := r.acted(rec.Process).policy.Hooks
	args := map[string][]string{"before-restart": hooks.BeforeRestart, "after-stop": hooks.AfterStop, "after-restart": hooks.AfterRestart}[name]
	if args == nil {
		return nil
	}
	r.Log.Info(fmt.Sprintf("%s: the hook %s is run: %s", rec.Process, name, foreign.Line(shown(args), lineLength)), "process", rec.Process)
	output, err := command.Command{Args: args, Env: r.facts(rec, name), Timeout: hooks.Timeout}.Run(ctx)
	var exit *command.ExitError
	vetoed := errors.As(err, &exit) && exit.Status == vetoStatus && name == "before-restart"
	switch {
	case ctx.Err() != nil:
		rec.Action, rec.Why = record.Hooked, "the hook "+name+" is cut short, as this listener ends"
		r.tell(rec)
	case err != nil && !vetoed:
		rec.Action, rec.Why = record.Hooked, "the hook "+name+": "+outcomeOf(args, output.Stdout.String(), err)
		r.tell(rec)
	default:
		for line := range strings.Lines(output.Stdout.String()) {
			r.Log.Info(fmt.Sprintf("%s: the hook %s says: %s", rec.Process, name, foreign.Line(strings.TrimSpace(line), lineLength)), "process", rec.Process)
		}
	}
	return err
}

// outcomeOf tells in words what a program came to.
func outcomeOf(args []string, output string, err error) string {
	text := filepath.Base(args[0])
	if err == nil {
		text += " succeeded"
	} else {
		text += ": " + err.Error()
	}
	if output = strings.TrimSpace(output); output != "" {
		text += fmt.Sprintf(" (it says: %s)", foreign.Line(strings.ReplaceAll(output, "\n", " | "), lineLength))
	}
	return text
}

// facts are what a program is told in its environment.
func (r *runner) facts(rec record.Record, hook string) []string {
	group, name := supervisor.SplitNamespec(rec.Process)
	facts := map[string]string{
		"HOOK":     hook,
		"LISTENER": r.Name,
		"PROCESS":  rec.Process,
		"GROUP":    group,
		"NAME":     name,
		"PID":      strconv.Itoa(rec.PID),
		"NEW_PID":  strconv.Itoa(rec.NewPID),
		"CHECK":    rec.Check,
		"REASON":   rec.Reason,
		"STATUS":   map[string]string{record.Verified: "healthy", record.Doubtful: "unhealthy", record.Left: "unknown"}[rec.Action],
	}
	var env []string
	for key, value := range facts {
		env = append(env, "SUPERVISOR_CHECK_"+key+"="+strings.ReplaceAll(value, "\x00", ""))
	}
	return env
}
