package runner

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/internal/control"
	"github.com/supervisor-checks/supervisor-checks/internal/foreign"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// answerTime is how long supervisord has to say which processes there are when a
// person asks: less than the person waits for.
const answerTime = 8 * time.Second

// serveControl lets people speak to this listener until ctx is done.
func (r *runner) serveControl(ctx context.Context) {
	const enough = 60 // of a path that has an end
	name := r.ownName()
	if len(name) > enough {
		sum := sha256.Sum256([]byte(name))
		name = fmt.Sprintf("%x", sum[:8])
	}
	if err := control.Serve(ctx, r.restarter.File(name, control.Suffix), r.answer); err != nil && ctx.Err() == nil {
		r.Log.Warn(fmt.Sprintf("supervisor_checks cannot speak to this listener: %v", err))
	}
}

// answer answers a request.
func (r *runner) answer(ctx context.Context, request control.Request) control.Answer {
	var answer control.Answer
	var wake []string
	var err error
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	chosen, trouble := r.survey(ctx)
	r.mu.Lock()
	switch request.Command {
	case control.Explain:
	case control.Reload:
		r.mu.Unlock()
		err = r.reloadOrTell()
		r.mu.Lock()
		if err == nil && trouble == nil {
			chosen = r.plans().choose(chosen.all, chosen.programs, r.self)
		}
	case control.Pause, control.Resume, control.Reset:
		if trouble == nil && !slices.ContainsFunc(chosen.watched, func(p supervisor.Process) bool { return concerns(request, p) }) {
			break // it is another listener's
		}
		switch request.Command {
		case control.Pause:
			err = r.pause(request)
		case control.Resume:
			wake, err = r.resume(request.Selector)
		default:
			wake = r.reset(request.Selector)
		}
	default:
		err = fmt.Errorf("this listener knows no command %q: is it of another version?", request.Command)
	}
	r.mu.Unlock()
	if err != nil {
		answer.Error = err.Error()
	}
	for _, namespec := range wake {
		r.recheck(r.working, namespec)
	}
	if trouble != nil {
		answer.Listener.Trouble = trouble.Error()
	}
	if r.Dependencies != nil {
		for _, d := range r.Dependencies() {
			answer.Listener.Dependencies = append(answer.Listener.Dependencies, control.Dependency(d))
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.describe(&answer.Listener)
	for _, p := range chosen.watched {
		if concerns(request, p) {
			answer.Processes = append(answer.Processes, r.explain(time.Now(), p))
		}
	}
	return answer
}

// reload takes other watches in place of those that there are.
func (r *runner) reload() error {
	if r.Reload == nil {
		return control.ErrNoFile
	}
	r.reloading.Lock()
	defer r.reloading.Unlock()
	watches, err := r.Reload()
	if err != nil {
		return err
	}
	plans, err := newPlans(watches)
	if err == nil {
		err = plans.needs(&r.Config)
	}
	if err == nil {
		err = plans.prepare()
	}
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.plans()
	findings := make(map[finding]*verdict)
	for namespec := range r.found() {
		plan, earlier := plans.of(namespec), before.of(namespec)
		for _, rule := range plan.rules {
			if known := r.findings[finding{namespec, plan.same(rule, earlier)}]; known != nil {
				findings[finding{namespec, rule.Name}] = known
			}
		}
	}
	r.findings = findings
	r.planned.Store(plans)
	r.engine.replan()
	r.arm(r.working)
	if r.Reloaded != nil {
		r.Reloaded()
	}
	r.Log.Info(fmt.Sprintf("reloaded: watches %s (%s); %s", plans, strings.Join(plans.names(), ", "), plans.describe()))
	return nil
}

// reloadOrTell reloads, and tells why it has not if it cannot.
func (r *runner) reloadOrTell() error {
	err := r.reload()
	if err != nil && err != control.ErrNoFile {
		r.Log.Error("not reloaded, all goes on as it was")
		for line := range strings.Lines(err.Error()) {
			r.Log.Error(strings.TrimSuffix(line, "\n"))
		}
	}
	return err
}

// found returns the namespecs of all findings. The lock is held.
func (r *runner) found() map[string]bool {
	namespecs := make(map[string]bool)
	for f := range r.findings {
		namespecs[f.namespec] = true
	}
	return namespecs
}

// reloadOnHUP has the listener reload at each SIGHUP from now on, until ctx is done.
func (r *runner) reloadOnHUP(ctx context.Context) {
	hups := make(chan os.Signal, 1)
	signal.Notify(hups, syscall.SIGHUP)
	r.acting.Go(func() {
		defer signal.Stop(hups)
		for {
			select {
			case <-hups:
			case <-ctx.Done():
				return
			}
			r.reloadOrTell()
		}
	})
}

// concerns reports whether a request is about p.
func concerns(request control.Request, p supervisor.Process) bool {
	return request.Selector == "" || (pause{Selector: request.Selector}).covers(p.Namespec())
}

// pause holds actions for some time. The lock is held.
func (r *runner) pause(request control.Request) error {
	const longest = 366 * 24 * time.Hour
	if request.For <= 0 || request.For > longest {
		return fmt.Errorf("%v is not between 0 and a year", request.For)
	}
	if request.Selector == "" {
		return errors.New("nothing is selected")
	}
	now := time.Now()
	until := now.Add(request.For).Round(time.Second)
	r.engine.pauses = slices.DeleteFunc(r.engine.pauses, func(p pause) bool { return p.Selector == request.Selector })
	r.engine.pauses = append(r.engine.pauses, pause{request.Selector, now, until})
	r.save()
	r.Log.Warn(fmt.Sprintf("actions on %s are paused until %s", foreign.Line(request.Selector, lineLength), clock(until)))
	return nil
}

// resume ends pauses, those with that selector or all, and returns the processes
// that may be acted on now. The lock is held.
func (r *runner) resume(selector string) ([]string, error) {
	all := selector == "" || selector == "*"
	if !all && !slices.ContainsFunc(r.engine.pauses, func(p pause) bool { return p.Selector == selector }) {
		var names []string
		for _, p := range r.engine.pauses {
			names = append(names, p.Selector)
		}
		if len(names) == 0 {
			return nil, errors.New("nothing is paused")
		}
		return nil, fmt.Errorf("there is no pause of that name: resume %s", strings.Join(names, " or "))
	}
	r.engine.pauses = slices.DeleteFunc(r.engine.pauses, func(p pause) bool {
		ends := all || p.Selector == selector
		if ends {
			r.Log.Warn(fmt.Sprintf("actions on %s are no longer paused", foreign.Line(p.Selector, lineLength)))
		}
		return ends
	})
	r.save()
	return r.engine.due(""), nil
}

// endPauses ends those whose time has come. The lock is held.
func (r *runner) endPauses() {
	before := len(r.engine.pauses)
	r.engine.pauses = slices.DeleteFunc(r.engine.pauses, func(p pause) bool {
		ends := !time.Now().Before(p.Until)
		if ends {
			r.Log.Info(fmt.Sprintf("actions on %s are no longer paused: the time is over", foreign.Line(p.Selector, lineLength)))
		}
		return ends
	})
	if len(r.engine.pauses) != before {
		r.save()
	}
}

// reset forgets former restarts of processes, and returns those that may be acted
// on now. The lock is held.
func (r *runner) reset(selector string) []string {
	for namespec, s := range r.engine.subjects {
		if selector == "" || (pause{Selector: selector}).covers(namespec) {
			s.acts, s.level = nil, 0
		}
	}
	for name, g := range r.engine.groups {
		if g.panic != nil && (selector == "" || slices.ContainsFunc(r.engine.of(name), pause{Selector: selector}.covers)) {
			g.panic.next, g.panic.trials = time.Time{}, 0
		}
	}
	r.save()
	r.Log.Warn(fmt.Sprintf("limits and pauses after restarts begin anew: %s", foreign.Line(selector, lineLength)))
	return r.engine.due("")
}

// describe says what this listener is. The lock is held.
func (r *runner) describe(l *control.Listener) {
	l.Name, l.Process, l.PID, l.Started = r.Name, r.self, os.Getpid(), r.started
	l.Supervisord, l.Watches, l.Policy = r.client.Address(), r.plans().String(), r.plans().describe()
	l.Checks = r.plans().names()
	for _, p := range r.engine.pauses {
		l.Pauses = append(l.Pauses, control.Held{Selector: p.Selector, Until: p.Until})
	}
	for name, g := range r.engine.groups {
		if g.panic != nil {
			l.Groups = append(l.Groups, control.Group{Name: name, Panic: g.panic.String()})
		}
	}
	slices.SortFunc(l.Groups, func(a, b control.Group) int { return strings.Compare(a.Name, b.Name) })
}

// explain says what is known of a process and would be done about it now. The
// lock is held.
func (r *runner) explain(now time.Time, p supervisor.Process) control.Process {
	namespec := p.Namespec()
	e := control.Process{Process: namespec, State: p.State.String(), PID: p.PID, PausedUntil: r.engine.pausedUntil(now, namespec)}
	if r.engine.subjects[namespec] == nil {
		e.Would = "nothing: it has not been checked yet"
		if p.State != supervisor.Running {
			e.Would = "nothing: it is " + p.State.String()
		}
		if r.revives(p) {
			e.Would = "started at the next tick: it is " + p.State.String()
		}
		return e
	}
	s := r.engine.known(namespec)
	if s.process.SameRun(p) && p.State == supervisor.Running {
		for _, settings := range s.plan.rules {
			rule := s.rules[settings.Name]
			if rule != nil && r.findings[finding{namespec, settings.Name}] != nil {
				e.Rules = append(e.Rules, r.explainRule(namespec, settings, rule))
			}
			if left := settings.StartPeriod - p.Uptime; left > 0 && (rule == nil || !rule.settled) {
				e.StartPeriod = max(e.StartPeriod, left.Seconds())
			}
		}
	}
	if l := s.plan.policy.RestartLimit; l.Restarts > 0 {
		e.Restarts, e.Limit = len(s.counting(now, l.Within)), l.String()
	} else {
		e.Restarts = s.total
	}
	e.Backoff, e.LastRestart = s.plan.policy.Backoff.pause(s.level).Seconds(), s.lastAct
	e.Would = r.would(now, p, s)
	for _, settings := range s.plan.rules {
		if settings.rests(now) {
			e.Resting = append(e.Resting, settings.Name)
			e.Would += "; " + settings.Name + " is not checked at this time"
		}
	}
	return e
}

func (r *runner) explainRule(namespec string, settings Rule, rule *rule) control.Rule {
	t := settings.FailureThreshold
	x := control.Rule{Check: settings.Name, Verdict: rule.status.String(), Failures: fmt.Sprintf("%d of %d", rule.count(), t.Failures)}
	if t.Of > t.Failures {
		x.Failures += fmt.Sprintf(" in the last %d", t.Of)
	}
	if rule.status == checks.Unhealthy {
		x.Successes = fmt.Sprintf("%d of %d", rule.successes, settings.SuccessThreshold)
	}
	if last := r.findings[finding{namespec, settings.Name}]; last != nil {
		x.Status, x.Looked = last.status.String(), last.looked
		if last.status != checks.Healthy {
			x.Reason = last.reason
		}
	}
	return x
}

// would says what would be done about a process now, and why.
func (r *runner) would(now time.Time, p supervisor.Process, s *subject) string {
	var failing, unhealthy, alerts, unknown []string
	for _, settings := range s.plan.rules {
		rule := s.rules[settings.Name]
		switch last := r.findings[finding{p.Namespec(), settings.Name}]; {
		case rule == nil:
		case rule.status == checks.Unhealthy && settings.Action.Kind == ActionAlert:
			alerts = append(alerts, settings.Name)
		case rule.status == checks.Unhealthy:
			unhealthy = append(unhealthy, settings.Name)
		case rule.count() > 0:
			failing = append(failing, fmt.Sprintf("%s has failed %d of %v", settings.Name, rule.count(), settings.FailureThreshold))
		case last != nil && last.status == checks.Unknown:
			unknown = append(unknown, settings.Name)
		}
	}
	d := r.engine.decide(now, p.Namespec())
	switch {
	case s.acting && now.Before(s.drained):
		return fmt.Sprintf("it drains until %s, and is acted on then", clock(s.drained))
	case s.acting:
		return "nothing more: it is being acted on"
	case s.stopped && p.PID == 0:
		return "nothing: we have stopped it for good"
	case r.revives(p):
		unhealthy = []string{p.State.String()}
	case p.State != supervisor.Running:
		return "nothing: it is " + p.State.String()
	case !s.process.SameRun(p), len(s.rules) == 0:
		return "nothing yet: it has not been checked since its start"
	case len(unhealthy) == 0 && len(alerts) > 0:
		return "nothing more: alerted of " + strings.Join(alerts, ", ")
	case len(unhealthy) == 0 && len(failing) > 0:
		return "nothing yet: " + strings.Join(failing, ", ")
	case len(unhealthy) == 0 && len(unknown) > 0:
		return "nothing: not known to fail " + strings.Join(unknown, ", ")
	case len(unhealthy) == 0:
		return "nothing: no check fails"
	}
	why := strings.Join(unhealthy, ", ")
	switch {
	case d.act && d.stop:
		return fmt.Sprintf("stopped at the next look: %s; %s", why, d.why)
	case d.act:
		return fmt.Sprintf("%s at the next look: %s", r.wanted(p, cause{check: unhealthy[0]}, d), why)
	}
	return fmt.Sprintf("held, else %s: %s; %s", r.wanted(p, cause{check: unhealthy[0]}, d), why, d.why)
}
