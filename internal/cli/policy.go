package cli

import (
	"strconv"
	"time"

	"github.com/spf13/pflag"

	"github.com/supervisor-checks/supervisor-checks/internal/command"
	"github.com/supervisor-checks/supervisor-checks/internal/setting"
	"github.com/supervisor-checks/supervisor-checks/runner"
)

// policyOptions adds the options that make a policy.
func policyOptions(p *Program, policy *runner.Policy) {
	add := func(f *pflag.FlagSet, name, value, usage string, set func(string) error) {
		f.Var(&parsed{value: value, set: set}, name, usage)
		added(f, name)
	}
	p.section("When it acts", func(f *pflag.FlagSet) {
		add(f, "failure-threshold", "1", "so many failures in a row (`N`), or of the last results (3/5), make a process unhealthy", func(s string) (err error) {
			policy.FailureThreshold, err = setting.Threshold(s)
			return err
		})
		add(f, "success-threshold", "1", "`N` successes in a row make it healthy again", func(s string) (err error) {
			policy.SuccessThreshold, err = setting.Count(s)
			return err
		})
		add(f, "start-period", "0", "`DURATION` after the start of a process in which failures do not count, unless it has succeeded since", intervalInto(&policy.StartPeriod))
		add(f, "restart-limit", "", "restart a process at most so often in that time, `LIMIT` as 5/10m (default no limit)", func(s string) (err error) {
			policy.RestartLimit, err = setting.RestartLimit(s)
			return err
		})
		add(f, "restart-limit-then", string(runner.ThenAlert), "what to do when a process should be restarted once more: `ACTION` stop, alert or ignore", func(s string) error {
			policy.RestartLimitThen = runner.Then(s)
			return setting.OneOf(s, string(runner.ThenStop), string(runner.ThenAlert), string(runner.ThenIgnore))
		})
		add(f, "backoff", "", "the pause before the second restart of a process, the factor by which it grows, up to what, and after how long in health "+
			"it begins anew: `PAUSES` as 10s,2,5m,10m or the beginning of that (default no pause)", func(s string) (err error) {
			policy.Backoff, err = setting.Backoff(s)
			return err
		})
		add(f, "max-unavailable", "", "so many of a group, `N` or 25%, may be down through us at once (default any number)", func(s string) (err error) {
			policy.MaxUnavailable, err = setting.Share(s)
			return err
		})
		add(f, "panic-threshold", "", "when more of a group than this `PERCENT` fails one check in one round, restart one as a trial, and others only if that helps (default never)", func(s string) (err error) {
			policy.PanicThreshold, err = setting.PercentOfGroup(s)
			return err
		})
		add(f, "jitter", "0", "spread restarts over this `DURATION`", intervalInto(&policy.Jitter))
		words(f, "restart-limit-then", string(runner.ThenStop), string(runner.ThenAlert), string(runner.ThenIgnore))
	})
	p.section("What it does", func(f *pflag.FlagSet) {
		add(f, "action", string(runner.ActionRestart), "`ACTION`: restart, alert (only say so), stop, signal:NAME, exec:COMMAND, or shutdown (of supervisord)", func(s string) (err error) {
			policy.Action, err = setting.Action(s)
			return err
		})
		add(f, "revive", "", "start processes in these `STATES`, as FATAL,EXITED (default none)", func(s string) (err error) {
			policy.Revive, err = setting.States(s)
			return err
		})
		hook := func(name, usage string, into *[]string) {
			add(f, name, "", usage, func(s string) (err error) {
				*into, err = command.Parse(s)
				return err
			})
		}
		hook("before-restart", "`COMMAND` to run before a restart, without a shell; exit status 75 means not now", &policy.Hooks.BeforeRestart)
		hook("after-stop", "`COMMAND` to run when the process has stopped", &policy.Hooks.AfterStop)
		hook("after-restart", "`COMMAND` to run when it runs again and its checks succeed, or do not in time", &policy.Hooks.AfterRestart)
		add(f, "hook-timeout", "30s", "`DURATION` after which such a command is killed", func(s string) (err error) {
			policy.Hooks.Timeout, err = setting.More(s)
			return err
		})
		e := &policy.Evidence
		f.StringVar(&e.Dir, "evidence-dir", "", "keep in this `FOLDER` what there was to be seen of a process before its restart: output, status, threads, descriptors, children")
		add(f, "evidence-max", strconv.Itoa(runner.DefaultEvidenceMax), "of how many restarts, `N`, that is kept", func(s string) (err error) {
			e.Max, err = setting.Count(s)
			return err
		})
		add(f, "evidence-signal", "", "send the process this `SIGNAL` before, as QUIT, at which Go and Java write their stacks", func(s string) error {
			e.Signal = setting.Signal(s)
			return nil
		})
		add(f, "evidence-pause", runner.DefaultEvidencePause.String(), "give it this `DURATION` for that", func(s string) (err error) {
			e.Pause, err = setting.More(s)
			return err
		})
		f.StringVar(&e.CoreDir, "core-dir", "", "keep the memory of the process, too, in this `FOLDER`, with gcore of gdb")
		added(f, "evidence-dir", "core-dir")
		words(f, "action", "restart", "alert", "stop", "signal:", "exec:", "shutdown")
		words(f, "revive", "FATAL", "EXITED", "FATAL,EXITED")
	})
}

// parsed is an option whose value is parsed when it is given.
type parsed struct {
	value string // the default, or what was given
	set   func(string) error
}

func (s *parsed) String() string { return s.value }
func (s *parsed) Type() string   { return "" }

func (s *parsed) Set(text string) error {
	if err := s.set(text); err != nil {
		return err
	}
	s.value = text
	return nil
}

func intervalInto(into *time.Duration) func(string) error {
	return func(s string) (err error) {
		*into, err = setting.NotLess(s)
		return err
	}
}
