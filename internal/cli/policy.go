package cli

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/supervisor-checks/supervisor-checks/internal/command"
	"github.com/supervisor-checks/supervisor-checks/internal/decimal"
	"github.com/supervisor-checks/supervisor-checks/runner"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// policyOptions adds the options that make a policy.
func policyOptions(p *Program, policy *runner.Policy) {
	add := func(f *pflag.FlagSet, name, value, usage string, set func(string) error) {
		f.Var(&setting{value: value, set: set}, name, usage)
		added(f, name)
	}
	p.section("When it acts", func(f *pflag.FlagSet) {
		add(f, "failure-threshold", "1", "so many failures in a row (`N`), or of the last results (3/5), make a process unhealthy", func(s string) (err error) {
			policy.FailureThreshold, err = parseThreshold(s)
			return err
		})
		add(f, "success-threshold", "1", "`N` successes in a row make it healthy again", func(s string) (err error) {
			policy.SuccessThreshold, err = parseCount(s)
			return err
		})
		add(f, "start-period", "0", "`DURATION` after the start of a process in which failures do not count, unless it has succeeded since", intervalInto(&policy.StartPeriod))
		add(f, "restart-limit", "", "restart a process at most so often in that time, `LIMIT` as 5/10m (default no limit)", func(s string) (err error) {
			policy.RestartLimit, err = parseRestartLimit(s)
			return err
		})
		add(f, "restart-limit-then", string(runner.ThenAlert), "what to do when a process should be restarted once more: `ACTION` stop, alert or ignore", func(s string) error {
			policy.RestartLimitThen = runner.Then(s)
			return oneOf(s, string(runner.ThenStop), string(runner.ThenAlert), string(runner.ThenIgnore))
		})
		add(f, "backoff", "", "the pause before the second restart of a process, the factor by which it grows, up to what, and after how long in health "+
			"it begins anew: `PAUSES` as 10s,2,5m,10m or the beginning of that (default no pause)", func(s string) (err error) {
			policy.Backoff, err = parseBackoff(s)
			return err
		})
		add(f, "max-unavailable", "", "so many of a group, `N` or 25%, may be down through us at once (default any number)", func(s string) (err error) {
			policy.MaxUnavailable, err = parseShare(s)
			return err
		})
		add(f, "panic-threshold", "", "when more of a group than this `PERCENT` fails one check in one round, restart one as a trial, and others only if that helps (default never)", func(s string) (err error) {
			policy.PanicThreshold, err = parsePercentOfGroup(s)
			return err
		})
		add(f, "jitter", "0", "spread restarts over this `DURATION`", intervalInto(&policy.Jitter))
		words(f, "restart-limit-then", string(runner.ThenStop), string(runner.ThenAlert), string(runner.ThenIgnore))
	})
	p.section("What it does", func(f *pflag.FlagSet) {
		add(f, "action", string(runner.ActionRestart), "`ACTION`: restart, alert (only say so), stop, signal:NAME, exec:COMMAND, or shutdown (of supervisord)", func(s string) (err error) {
			policy.Action, err = parseAction(s)
			return err
		})
		add(f, "revive", "", "start processes in these `STATES`, as FATAL,EXITED (default none)", func(s string) (err error) {
			policy.Revive, err = parseStates(s)
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
		add(f, "hook-timeout", "30s", "`DURATION` after which such a command is killed", func(s string) error {
			var d duration
			err := d.Set(s)
			policy.Hooks.Timeout = time.Duration(d)
			return err
		})
		e := &policy.Evidence
		f.StringVar(&e.Dir, "evidence-dir", "", "keep in this `FOLDER` what there was to be seen of a process before its restart: output, status, threads, descriptors, children")
		add(f, "evidence-max", strconv.Itoa(runner.DefaultEvidenceMax), "of how many restarts, `N`, that is kept", func(s string) (err error) {
			e.Max, err = parseCount(s)
			return err
		})
		add(f, "evidence-signal", "", "send the process this `SIGNAL` before, as QUIT, at which Go and Java write their stacks", func(s string) error {
			e.Signal = signalName(s)
			return nil
		})
		add(f, "evidence-pause", runner.DefaultEvidencePause.String(), "give it this `DURATION` for that", func(s string) error {
			var d duration
			err := d.Set(s)
			e.Pause = time.Duration(d)
			return err
		})
		f.StringVar(&e.CoreDir, "core-dir", "", "keep the memory of the process, too, in this `FOLDER`, with gcore of gdb")
		added(f, "evidence-dir", "core-dir")
		words(f, "action", "restart", "alert", "stop", "signal:", "exec:", "shutdown")
		words(f, "revive", "FATAL", "EXITED", "FATAL,EXITED")
	})
}

// setting is an option whose value is parsed when it is given.
type setting struct {
	value string // the default, or what was given
	set   func(string) error
}

func (s *setting) String() string { return s.value }
func (s *setting) Type() string   { return "" }

func (s *setting) Set(text string) error {
	if err := s.set(text); err != nil {
		return err
	}
	s.value = text
	return nil
}

func intervalInto(into *time.Duration) func(string) error {
	return func(s string) error {
		var i interval
		err := i.Set(s)
		*into = time.Duration(i)
		return err
	}
}

func oneOf(s string, words ...string) error {
	if !slices.Contains(words, s) {
		return fmt.Errorf("%q is none of %s", s, strings.Join(words, ", "))
	}
	return nil
}

// parseCount reads a whole number that is more than 0.
func parseCount(s string) (int, error) {
	n, err := decimal.Parse(s)
	if err == nil && n < 1 {
		err = fmt.Errorf("%q is less than 1", s)
	}
	return n, err
}

// parseThreshold reads `3` and `3/5`.
func parseThreshold(s string) (t runner.Threshold, err error) {
	failures, of, both := strings.Cut(s, "/")
	if t.Failures, err = parseCount(failures); err == nil && both {
		t.Of, err = parseCount(of)
	}
	switch {
	case err != nil:
		return t, fmt.Errorf("%q is no threshold: write 3 for three failures in a row, or 3/5 for three of the last five results", s)
	case both && t.Of < t.Failures:
		return t, fmt.Errorf("%q is more failures than results: write 3/5 for three of the last five", s)
	}
	return t, nil
}

// parseRestartLimit reads `5/10m`.
func parseRestartLimit(s string) (l runner.RestartLimit, err error) {
	restarts, within, both := strings.Cut(s, "/")
	l.Restarts, err = parseCount(restarts)
	if err == nil && both {
		var d duration
		err = d.Set(within)
		l.Within = time.Duration(d)
	}
	if err != nil || !both {
		return l, fmt.Errorf("%q is no limit: write 5/10m for five restarts in ten minutes", s)
	}
	return l, nil
}

// parseBackoff reads `10s,2,5m,10m` and the beginnings of it.
func parseBackoff(s string) (b runner.Backoff, err error) {
	parts := strings.Split(s, ",")
	pause := func(text string, into *time.Duration) error {
		var d duration
		err := d.Set(text)
		*into = time.Duration(d)
		return err
	}
	for i, part := range parts {
		switch i {
		case 0:
			err = pause(part, &b.Initial)
		case 1:
			if b.Factor, err = strconv.ParseFloat(part, 64); err == nil && !(b.Factor >= 1 && b.Factor <= 100) {
				err = errors.New("is no factor")
			}
		case 2:
			if err = pause(part, &b.Max); err == nil && b.Max < b.Initial {
				err = errors.New("is less than the first")
			}
		case 3:
			err = pause(part, &b.ResetAfter)
		default:
			err = errors.New("is one too many")
		}
		if err != nil {
			return b, fmt.Errorf("%q is no backoff: write the first pause, the factor (1 to 100) by which it grows, the longest pause, "+
				"and the time in health after which it begins anew, as 10s,2,5m,10m", s)
		}
	}
	return b, nil
}

// parseShare reads `2` and `25%`.
func parseShare(s string) (share runner.Share, err error) {
	if strings.HasSuffix(strings.TrimSpace(s), "%") {
		share.Percent, err = parsePercentage(s)
		if err == nil && !(share.Percent > 0 && share.Percent <= 100) {
			err = errors.New("is not between 0 and 100 %")
		}
	} else {
		share.Number, err = parseCount(s)
	}
	if err != nil {
		return share, fmt.Errorf("%q is no part of a group: write a number of processes from 1 on, or a percentage up to 100%%", s)
	}
	return share, nil
}

// parsePercentOfGroup reads `50%` and `50`.
func parsePercentOfGroup(s string) (float64, error) {
	percent, err := parsePercentage(s)
	if err != nil || !(percent > 0 && percent < 100) {
		return 0, fmt.Errorf("%q is no threshold: write a percentage that is more than 0 and less than 100%%", s)
	}
	return percent, nil
}

// signalName reads `USR1`, `SIGUSR1` and `usr1`.
func signalName(s string) string { return strings.TrimPrefix(strings.ToUpper(s), "SIG") }

// parseAction reads `restart`, `signal:USR1` and `exec:COMMAND`.
func parseAction(s string) (a runner.Action, err error) {
	kind, rest, given := strings.Cut(s, ":")
	a.Kind = runner.ActionKind(kind)
	switch {
	case a.Kind == runner.ActionSignal && given:
		a.Signal = signalName(rest)
		return a, nil
	case a.Kind == runner.ActionExec && given:
		a.Command, err = command.Parse(rest)
		return a, err
	}
	return a, oneOf(s, "restart", "alert", "stop", "signal:NAME", "exec:COMMAND", "shutdown")
}

// parseStates reads `FATAL,EXITED`.
func parseStates(s string) (states []supervisor.State, err error) {
	for word := range strings.SplitSeq(s, ",") {
		switch strings.ToUpper(strings.TrimSpace(word)) {
		case supervisor.Fatal.String():
			states = append(states, supervisor.Fatal)
		case supervisor.Exited.String():
			states = append(states, supervisor.Exited)
		default:
			return nil, fmt.Errorf("%q is neither FATAL nor EXITED, the states in which a process can be started again; "+
				"STOPPED means that somebody wanted it so", word)
		}
	}
	return states, nil
}
