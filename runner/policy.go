package runner

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/duration"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// Policy is when a listener acts on what its checks find, and how. The zero
// Policy is that of supervisor_checks: one failure, one restart, at once and
// without limits.
type Policy struct {
	// FailureThreshold is how many failures of a check make a process
	// unhealthy. Zero means one.
	FailureThreshold Threshold

	// SuccessThreshold is how many successes in a row make an unhealthy process
	// healthy again. 0 means 1.
	SuccessThreshold int

	// StartPeriod is for how long after the start of a process, by supervisord's
	// clock, the failures of a check do not count, unless it has succeeded
	// since.
	StartPeriod time.Duration

	// RestartLimit is how often one process may be restarted. Zero means without
	// limit. Other actions than ActionAlert count as restarts.
	RestartLimit RestartLimit

	// RestartLimitThen is what becomes of a process that should be restarted
	// once more. "" means ThenAlert.
	RestartLimitThen Then

	// Backoff is the pause before the second restart of a process and further
	// ones. Zero means none.
	Backoff Backoff

	// MaxUnavailable is how many processes of a group may be down through us at
	// once: being restarted, not yet found to work after that, or stopped by us.
	// Zero means any number.
	MaxUnavailable Share

	// PanicThreshold is more than how much percent of a group must fail the same
	// check in the same round for the cause to be taken for a shared one: then
	// one process is restarted as a trial, and others only if that helped. 0
	// means never. Where it is set, decisions wait for the end of a round.
	PanicThreshold float64

	// Jitter is the time over which restarts are spread. 0 means that they are
	// done at once.
	Jitter time.Duration

	// Action is what is done. Zero means ActionRestart.
	Action Action

	// Revive are the states, FATAL and EXITED, in which processes are started.
	// STOPPED is none of them: somebody wanted it so.
	Revive []supervisor.State

	// Drain is for how long a process that runs is taken out of service, as Config.Drain
	// is told, before it is restarted or stopped. It is in service again when it works.
	// 0 means not at all.
	Drain time.Duration

	// UnlessDown are names of dependencies, of which Config.Down knows: while one of
	// them is down nothing is done about a process, which it would not help. When it is
	// back, StartPeriod begins anew.
	UnlessDown []string

	// Hooks are programs that are told of restarts.
	Hooks Hooks

	// Evidence is what is kept of a process before it is restarted.
	Evidence Evidence
}

// Threshold is a number of failures among the last results of a check.
type Threshold struct {
	Failures int
	Of       int // 0 means as many: failures in a row
}

// results is how many results count.
func (t Threshold) results() int { return max(t.Failures, t.Of) }

// String returns "3" for three in a row and "3/5" for three of the last five.
func (t Threshold) String() string {
	if t.Of == 0 || t.Of == t.Failures {
		return strconv.Itoa(t.Failures)
	}
	return fmt.Sprintf("%d/%d", t.Failures, t.Of)
}

// RestartLimit is a number of restarts within a time.
type RestartLimit struct {
	Restarts int
	Within   time.Duration
}

// String returns "5/10m".
func (l RestartLimit) String() string {
	return fmt.Sprintf("%d/%s", l.Restarts, duration.Short(l.Within))
}

// Then is what becomes of a process that has reached its RestartLimit.
type Then string

// What becomes of it: ThenStop stops it. The others leave it as it is until the
// limit allows another restart, ThenAlert with an error in the log, which is
// repeated hourly, and ThenIgnore with a warning.
const (
	ThenStop   Then = "stop"
	ThenAlert  Then = "alert"
	ThenIgnore Then = "ignore"
)

// Backoff is a pause that grows: it is Initial before the second restart of a
// process, and Factor times as long before each further one, up to Max. A
// process that was seen to be healthy for ResetAfter begins anew. The pause is
// counted from the end of the restart before.
type Backoff struct {
	Initial    time.Duration // 0 means no pause
	Factor     float64       // 0 means 2
	Max        time.Duration // 0 means five minutes, or Initial if that is more
	ResetAfter time.Duration // 0 means ten minutes
}

// withDefaults fills in what is zero.
func (b Backoff) withDefaults() Backoff {
	if b.Factor == 0 {
		b.Factor = 2
	}
	if b.Max == 0 {
		b.Max = max(5*time.Minute, b.Initial)
	}
	if b.ResetAfter == 0 {
		b.ResetAfter = 10 * time.Minute
	}
	return b
}

// pause returns the pause after so many restarts.
func (b Backoff) pause(restarts int) time.Duration {
	if b.Initial == 0 || restarts == 0 {
		return 0
	}
	b = b.withDefaults()
	pause := float64(b.Initial) * math.Pow(b.Factor, float64(restarts-1))
	return time.Duration(min(pause, float64(b.Max)))
}

// String returns "10s,2,5m,10m".
func (b Backoff) String() string {
	b = b.withDefaults()
	return fmt.Sprintf("%s,%v,%s,%s", duration.Short(b.Initial), b.Factor, duration.Short(b.Max), duration.Short(b.ResetAfter))
}

// Share is a number of a group's processes, or a part of them.
type Share struct {
	Number  int
	Percent float64 // if Number is 0
}

// of returns how many processes of a group of that size it is: at least one.
func (s Share) of(size int) int {
	if s.Number > 0 {
		return s.Number
	}
	return max(1, int(float64(size)*s.Percent/100))
}

// String returns "2" or "25%".
func (s Share) String() string {
	if s.Number > 0 {
		return strconv.Itoa(s.Number)
	}
	return strconv.FormatFloat(s.Percent, 'f', -1, 64) + "%"
}

// ActionKind is a kind of Action.
type ActionKind string

// The kinds of actions.
const (
	ActionRestart  ActionKind = "restart"  // stop the process and start it
	ActionAlert    ActionKind = "alert"    // only say so, as an error
	ActionStop     ActionKind = "stop"     // stop the process, and leave it so
	ActionSignal   ActionKind = "signal"   // send the process a signal
	ActionExec     ActionKind = "exec"     // run a program
	ActionShutdown ActionKind = "shutdown" // end supervisord
)

// Action is what is done about an unhealthy process.
type Action struct {
	Kind    ActionKind
	Signal  string   // of ActionSignal, without SIG: "USR1"
	Command []string // of ActionExec: a program and its arguments
}

// String returns it as it is written in options, "signal:USR1", but of a program no
// arguments.
func (a Action) String() string {
	switch a.Kind {
	case ActionSignal:
		return string(a.Kind) + ":" + a.Signal
	case ActionExec:
		return string(a.Kind) + ":" + shown(a.Command)
	}
	return string(a.Kind)
}

// done says in a word or two what has become of a process when it was done.
func (a Action) done() string {
	switch a.Kind {
	case ActionAlert:
		return "alerted of"
	case ActionStop:
		return "stopped"
	case ActionSignal:
		return "sent " + a.Signal
	case ActionExec:
		return "given to " + shown(a.Command)
	case ActionShutdown:
		return "followed by a shutdown"
	}
	return "restarted"
}

// Hooks are programs that are run around a restart, each with its arguments and
// without a shell. They learn from SUPERVISOR_CHECK_* variables what it is
// about. What they write goes to the log.
type Hooks struct {
	// BeforeRestart is run before the process is told to stop. If it exits with
	// status 75 (EX_TEMPFAIL) there is no restart this time.
	BeforeRestart []string

	// AfterStop is run when the process has stopped, before it is started. It may be
	// run twice when a listener was killed in between.
	AfterStop []string

	// AfterRestart is run when the process runs again and all of its checks have
	// succeeded, or when that has not come to pass in time.
	AfterRestart []string

	// Timeout is how long each of them may take before it is killed. 0 means
	// command.DefaultTimeout, which is 30 s.
	Timeout time.Duration
}

// A PolicyError says which setting of a Policy is wrong.
type PolicyError struct {
	Field string // as on the command line: "failure-threshold"
	Err   error
}

// Error returns both: `failure-threshold: 6/5 is more failures than results`.
func (e *PolicyError) Error() string { return e.Field + ": " + e.Err.Error() }

// Unwrap returns e.Err.
func (e *PolicyError) Unwrap() error { return e.Err }

// shown is what is shown of a program with its arguments: those may be secret.
func shown(command []string) string {
	if len(command) > 1 {
		return command[0] + " …"
	}
	return strings.Join(command, "")
}

// describe says in a few words what a valid action does.
func (a Action) describe() string {
	switch a.Kind {
	case ActionAlert:
		return "alerts of what fails"
	case ActionStop:
		return "stops what fails"
	case ActionSignal:
		return "sends " + a.Signal + " to what fails"
	case ActionExec:
		return "runs " + shown(a.Command) + " about what fails"
	case ActionShutdown:
		return "ends supervisord when something fails"
	}
	return "restarts what fails"
}

// describe says in a few words what else a valid policy is about.
func (p Policy) describe() (does string) {
	add := func(given bool, format string, args ...any) {
		if given {
			does += ", " + fmt.Sprintf(format, args...)
		}
	}
	add(p.FailureThreshold.results() > 1, "failure-threshold %v", p.FailureThreshold)
	add(p.SuccessThreshold > 1, "success-threshold %d", p.SuccessThreshold)
	add(p.StartPeriod > 0, "start-period %s", duration.Short(p.StartPeriod))
	add(p.RestartLimit != RestartLimit{}, "restart-limit %v then %s", p.RestartLimit, p.RestartLimitThen)
	add(p.Backoff != Backoff{}, "backoff %v", p.Backoff)
	add(p.MaxUnavailable != Share{}, "max-unavailable %v", p.MaxUnavailable)
	add(p.PanicThreshold > 0, "panic-threshold %v%%", p.PanicThreshold)
	add(p.Jitter > 0, "jitter %s", duration.Short(p.Jitter))
	add(p.Drain > 0, "drain %s", duration.Short(p.Drain))
	add(p.UnlessDown != nil, "unless %s is down", strings.Join(p.UnlessDown, " or "))
	for _, state := range p.Revive {
		add(true, "starts what is %v", state)
	}
	add(p.Hooks.BeforeRestart != nil, "before-restart %s", shown(p.Hooks.BeforeRestart))
	add(p.Hooks.AfterStop != nil, "after-stop %s", shown(p.Hooks.AfterStop))
	add(p.Hooks.AfterRestart != nil, "after-restart %s", shown(p.Hooks.AfterRestart))
	add(p.Evidence.Dir != "", "evidence-dir %s", p.Evidence.Dir)
	add(p.Evidence.Signal != "", "evidence-signal %s", p.Evidence.Signal)
	add(p.Evidence.CoreDir != "", "core-dir %s", p.Evidence.CoreDir)
	return does
}

// Validate returns a *PolicyError if p cannot be used.
func (p Policy) Validate() error {
	_, err := p.validate()
	return err
}

// validate returns p with what is zero filled in, or a *PolicyError.
func (p Policy) validate() (Policy, error) {
	refuse := func(field, format string, args ...any) (Policy, error) {
		return Policy{}, &PolicyError{field, fmt.Errorf(format, args...)}
	}
	if p.FailureThreshold == (Threshold{}) {
		p.FailureThreshold.Failures = 1
	}
	if p.SuccessThreshold == 0 {
		p.SuccessThreshold = 1
	}
	if p.RestartLimitThen != "" && p.RestartLimit == (RestartLimit{}) {
		return refuse("restart-limit-then", "is of no use without restart-limit")
	}
	if p.RestartLimitThen == "" {
		p.RestartLimitThen = ThenAlert
	}
	if p.Action.Kind == "" {
		p.Action.Kind = ActionRestart
	}
	const mostResults = 1000
	switch t := p.FailureThreshold; {
	case t.Failures < 1:
		return refuse("failure-threshold", "%v is less than one failure", t)
	case t.Of != 0 && t.Of < t.Failures:
		return refuse("failure-threshold", "%v is more failures than results", t)
	case t.results() > mostResults:
		return refuse("failure-threshold", "%v is more than %d results", t, mostResults)
	case p.SuccessThreshold < 1:
		return refuse("success-threshold", "%d is less than one success", p.SuccessThreshold)
	case p.StartPeriod < 0:
		return refuse("start-period", "%v is less than 0", p.StartPeriod)
	case p.Jitter < 0:
		return refuse("jitter", "%v is less than 0", p.Jitter)
	case p.Drain < 0:
		return refuse("drain", "%v is less than 0", p.Drain)
	}
	if l := p.RestartLimit; l != (RestartLimit{}) {
		switch {
		case l.Restarts < 1 || l.Restarts > mostResults:
			return refuse("restart-limit", "%d restarts are not between 1 and %d", l.Restarts, mostResults)
		case l.Within <= 0:
			return refuse("restart-limit", "%v is not more than 0", l.Within)
		}
	}
	if !slices.Contains([]Then{ThenStop, ThenAlert, ThenIgnore}, p.RestartLimitThen) {
		return refuse("restart-limit-then", "%q is none of stop, alert, ignore", string(p.RestartLimitThen))
	}
	if b := p.Backoff; b != (Backoff{}) {
		switch {
		case b.Initial <= 0:
			return refuse("backoff", "the first pause, %v, is not more than 0", b.Initial)
		case b.Factor != 0 && !(b.Factor >= 1 && b.Factor <= 100):
			return refuse("backoff", "the factor, %v, is not between 1 and 100", b.Factor)
		case b.Max < 0 || b.Max != 0 && b.Max < b.Initial:
			return refuse("backoff", "the longest pause, %v, is shorter than the first, %v", b.Max, b.Initial)
		case b.ResetAfter < 0:
			return refuse("backoff", "%v after which it is reset is less than 0", b.ResetAfter)
		}
		p.Backoff = b.withDefaults()
	}
	switch s := p.MaxUnavailable; {
	case s.Number < 0:
		return refuse("max-unavailable", "%d is not more than 0", s.Number)
	case s.Percent < 0 || s.Percent > 100 || math.IsNaN(s.Percent):
		return refuse("max-unavailable", "%v %% is not between 0 and 100 %%", s.Percent)
	case s.Number > 0 && s.Percent > 0:
		return refuse("max-unavailable", "is either a number or a percentage")
	}
	if p.PanicThreshold < 0 || p.PanicThreshold >= 100 || math.IsNaN(p.PanicThreshold) {
		return refuse("panic-threshold", "%v %% is not between 0 and 100 %%, of which no group can fail more", p.PanicThreshold)
	}
	for _, state := range p.Revive {
		if state != supervisor.Fatal && state != supervisor.Exited {
			return refuse("revive", "%v is neither FATAL nor EXITED", state)
		}
	}
	if err := p.Action.validate(); err != nil {
		return Policy{}, &PolicyError{"action", err}
	}
	hooks := p.Hooks.BeforeRestart != nil || p.Hooks.AfterStop != nil || p.Hooks.AfterRestart != nil || p.Action.Kind == ActionExec
	switch {
	case p.Hooks.Timeout < 0:
		return refuse("hook-timeout", "%v is less than 0", p.Hooks.Timeout)
	case p.Hooks.Timeout > 0 && !hooks:
		return refuse("hook-timeout", "is of no use without before-restart, after-stop, after-restart or an action exec")
	case p.Evidence.Max > 0 && p.Evidence.Dir == "" && p.Evidence.CoreDir == "":
		return refuse("evidence-max", "is of no use without evidence-dir or core-dir")
	case p.Evidence.Pause > 0 && p.Evidence.Signal == "":
		return refuse("evidence-pause", "is of no use without evidence-signal")
	}
	return p, p.Evidence.validate()
}

func (a Action) validate() error {
	switch a.Kind {
	case ActionRestart, ActionAlert, ActionStop, ActionShutdown:
	case ActionSignal:
		if !slices.Contains(signalNames, a.Signal) {
			return fmt.Errorf("signal %q is none of %s", a.Signal, strings.Join(signalNames, ", "))
		}
	case ActionExec:
		if len(a.Command) == 0 {
			return errors.New("exec names no program")
		}
	default:
		return fmt.Errorf("%q is none of restart, alert, stop, signal:NAME, exec:COMMAND, shutdown", string(a.Kind))
	}
	return nil
}

// signalNames are those that both supervisords know.
var signalNames = []string{"HUP", "INT", "QUIT", "KILL", "USR1", "USR2", "TERM"}
