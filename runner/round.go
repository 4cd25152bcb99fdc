package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/internal/recurring"
	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// finding is one check of one process, of which there is a newest verdict.
type finding struct{ namespec, check string }

type verdict struct {
	status checks.Status
	reason string
	looked time.Time
	told   recurring.Trouble // of what is not healthy
	alert  recurring.Trouble // that it is, where that is the action
	begun  time.Time         // when the newest look of a round began
	pid    int               // of the run that it was of
}

// courtesy is how long supervisord has to read the answer to a tick before a
// round begins to use the processors.
const courtesy = time.Millisecond

// round looks at all watched processes once, without waiting for the end of it, with
// the rules that are due; in a round of our own, between two ticks, only with those
// that have a Period. When the round before still waits for supervisord's list, there
// is none.
func (r *runner) round(ctx context.Context, own bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listing {
		r.Log.Debug("no round: the one before still waits for supervisord")
		if !own {
			r.Counters.Coalesced.Add(1)
		}
		r.ticked = r.ticked || !own // so that it becomes that of the tick
		return
	}
	r.listing = true
	r.checking.Go(func() {
		if r.onStdio {
			time.Sleep(courtesy)
		}
		chosen, err := r.survey(ctx)
		r.mu.Lock()
		own := own && !r.ticked
		r.listing, r.ticked = false, false
		r.mu.Unlock()
		switch {
		case ctx.Err() != nil:
		case supervisor.IsFault(err, supervisor.FaultShutdownState):
			r.Log.Info("no round: supervisord is shutting down")
		case err != nil:
			r.happens("supervisord cannot be asked", err)
		default:
			r.ended("supervisord cannot be asked")
			r.check(ctx, chosen, own)
		}
	})
}

// survey finds out which processes are to be watched, and tells what is worth
// telling of that.
func (r *runner) survey(ctx context.Context) (selection, error) {
	select {
	case r.surveying <- struct{}{}:
		defer func() { <-r.surveying }()
	case <-ctx.Done():
		return selection{}, context.Cause(ctx)
	}
	chosen, err := r.choose(ctx)
	if err != nil {
		return selection{}, err
	}
	r.tellSelection(chosen)
	return chosen, nil
}

// choose asks supervisord for its processes and selects.
func (r *runner) choose(ctx context.Context) (selection, error) {
	var processes []supervisor.Process
	var err error
	if namespec, is := r.plans().one(); is {
		var p supervisor.Process
		p, err = r.client.Process(ctx, namespec)
		if err == nil {
			processes = append(processes, p)
		} else if supervisor.IsGone(err) {
			err = nil
		}
	} else {
		processes, err = r.client.Processes(ctx)
	}
	if err != nil {
		return selection{}, err
	}
	programs, err := r.configured(ctx, processes)
	if err != nil {
		return selection{}, err
	}
	return r.plans().choose(processes, programs, r.self), nil
}

// configured returns the configuration of processes where it is needed, asking
// for it when there are new ones.
func (r *runner) configured(ctx context.Context, processes []supervisor.Process) ([]supervisor.Program, error) {
	if !r.plans().open() {
		return nil, nil
	}
	present, strangers := make(map[string]bool, len(processes)), false
	for _, p := range processes {
		present[p.Namespec()] = true
		strangers = strangers || !r.known[p.Namespec()]
	}
	if strangers {
		programs, err := r.client.Programs(ctx)
		if err != nil && !errors.Is(err, supervisor.ErrNotOffered) { // by the Go one, which lists no listeners
			return nil, err
		}
		r.programs = programs
	}
	r.known = present
	return r.programs, nil
}

// tellSelection tells what selectors match nothing, once until they do, and
// when nobody selected anything, what that comes to.
func (r *runner) tellSelection(chosen selection) {
	r.mu.Lock()
	defer r.mu.Unlock()
	unmatched := make(map[string]bool)
	for _, text := range chosen.unmatched {
		unmatched[text] = true
		if !r.unmatched[text] {
			r.Log.Warn(fmt.Sprintf("no process matches %q: look at supervisorctl status for the names there are", text))
		}
	}
	for text := range r.unmatched {
		if !unmatched[text] {
			r.Log.Info(fmt.Sprintf("there is a process now that matches %q", text))
		}
	}
	r.unmatched = unmatched
	for _, p := range chosen.watched {
		if text := r.contested(p); text != "" {
			if tell, _ := r.recur("contested "+p.Namespec(), text); tell {
				r.Log.Error(text)
			}
		}
	}
	if !r.plans().all() {
		for _, l := range chosen.left {
			if tell, _ := r.recur("left out", l.Process.Namespec()); tell {
				r.Log.Warn(fmt.Sprintf("%s is not watched: %s", l.Process.Namespec(), l.Reason))
			}
		}
		return
	}
	var names, left []string
	for _, p := range chosen.watched {
		names = append(names, p.Namespec())
	}
	for _, l := range chosen.left {
		left = append(left, fmt.Sprintf("%s (%s)", l.Process.Namespec(), l.Reason))
	}
	text := fmt.Sprintf("neither -g nor -N was given: every process is watched: %s", strings.Join(names, ", "))
	if len(left) > 0 {
		text += "; left out: " + strings.Join(left, ", ")
	}
	if text != r.leftOut {
		r.Log.Warn(text)
		r.leftOut = text
	}
}

// check starts the checks of those processes that run and are not being checked
// or acted on already, and sees to those that do not run and should.
func (r *runner) check(ctx context.Context, chosen selection, own bool) {
	r.Counters.Rounds.Add(1)
	if r.Rounds != nil && !own {
		r.tellRound(chosen)
	}
	round := r.startRound(ctx, chosen.watched)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endPauses()
	if r.engine.roll(time.Now(), chosen.all, chosen.watched) {
		r.save()
	}
	r.freeKept()
	r.keepPlaces()
	plans := r.plans()
	present := make(map[string]bool, len(chosen.watched))
	rounds := make(map[string]*groupRound)
	for _, p := range chosen.watched {
		namespec := p.Namespec()
		plan := plans.of(namespec)
		present[namespec] = true
		switch {
		case r.engine.known(namespec).acting:
		case slices.Contains(plan.policy.Revive, p.State):
			r.checking.Go(func() { r.resolve(ctx, p, notRunning(p)) })
		case p.State != supervisor.Running:
		case r.brief[namespec]: // it is looked at out of turn
		case r.busy[namespec] > 0:
			r.busy[namespec]++
			r.Counters.LeftOut.Add(1)
			if tell, _ := r.recur("slow "+namespec, ""); tell {
				r.Log.Info(fmt.Sprintf("%s is left out of rounds as long as its checks of an earlier one go on", namespec))
			}
		default:
			due := r.due(namespec, p.PID, plan, own)
			if len(due) == 0 {
				continue
			}
			r.busy[namespec] = 1
			var group *groupRound
			if plan.policy.PanicThreshold > 0 {
				if group = rounds[p.Group]; group == nil {
					group = &groupRound{group: p.Group}
					rounds[p.Group] = group
				}
				group.pending++
			}
			r.checking.Go(func() { r.checkOne(round, p, plan, group, due) })
		}
	}
	for f := range r.findings {
		if !present[f.namespec] {
			delete(r.findings, f)
		}
	}
	exists := make(map[string]bool, len(chosen.all))
	for _, p := range chosen.all {
		exists[p.Namespec()] = true
	}
	plans.keep(func(namespec string) bool { return exists[namespec] || r.engine.subjects[namespec] != nil })
	for what := range r.trouble {
		for _, about := range []string{"no restart ", "slow ", "contested "} {
			if namespec, is := strings.CutPrefix(what, about); is && !present[namespec] {
				delete(r.trouble, what)
			}
		}
	}
}

// tellRound tells of a round that begins.
func (r *runner) tellRound(chosen selection) {
	plans := r.plans()
	told := Round{Period: time.Duration(r.period.Load())}
	r.mu.Lock()
	for _, p := range chosen.watched {
		s := r.engine.known(p.Namespec())
		told.Watched = append(told.Watched, Watched{p, plans.of(p.Namespec()).rules, !r.resumed.Load() || s.acting || s.stopped || s.owed})
	}
	r.mu.Unlock()
	r.Rounds(told)
}

// due returns the rules that a process is to be checked by in a round. The lock is
// held.
func (r *runner) due(namespec string, pid int, plan *plan, own bool) (rules []Rule) {
	if plan.always && !own {
		return plan.rules
	}
	now := time.Now()
	for _, rule := range plan.rules {
		last := r.findings[finding{namespec, rule.Name}]
		slack := time.Duration(0)
		if !own { // a tick may be early
			slack = min(rule.Period/10, time.Second)
		}
		switch {
		case rule.rests(now):
			r.setAside(namespec, rule.Name)
		case rule.Period == 0 && own:
		case rule.Period > 0 && last != nil && last.pid == pid && now.Sub(last.begun) < rule.Period-slack:
		default:
			rules = append(rules, rule)
		}
	}
	return rules
}

// setAside forgets what a rule has found that is not checked now. The lock is held.
func (r *runner) setAside(namespec, check string) {
	f := finding{namespec, check}
	last := r.findings[f]
	if last == nil {
		return
	}
	if last.status != checks.Healthy {
		r.Log.Info(fmt.Sprintf("%s: %s is not checked at this time: that it was %v is forgotten", namespec, check, last.status), "process", namespec, "check", check)
	}
	delete(r.findings, f)
	delete(r.engine.known(namespec).rules, check)
	delete(r.trouble, "no restart "+namespec)
}

// groupRound is what a round finds of a group, for Policy.PanicThreshold.
type groupRound struct {
	group   string
	pending int // processes that are not done
	due     []due
}

// due is a process about which something is to be done.
type due struct {
	process supervisor.Process
	cause   cause
}

// cause is why something is to be done about a process.
type cause struct{ check, reason string }

// startRound tells the checks that want to know it, and returns the context for
// their runs.
func (r *runner) startRound(ctx context.Context, watched []supervisor.Process) context.Context {
	for _, c := range r.plans().checks() {
		if shared, wants := c.(checks.RoundStarter); wants {
			r.guard(c, "", func() { ctx = shared.StartRound(ctx, watched) })
		}
	}
	return ctx
}

// checkOne checks p by some rules and sees to what they come to: at once, or, when
// there is a group, with all of that.
func (r *runner) checkOne(ctx context.Context, p supervisor.Process, plan *plan, group *groupRound, rules []Rule) {
	namespec := p.Namespec()
	var found *cause
	select {
	case r.limit <- struct{}{}:
		found = r.examine(ctx, p, rules)
		<-r.limit
	case <-ctx.Done():
	}
	r.mu.Lock()
	if r.busy[namespec] == 1 { // else it is likely to be slow again
		delete(r.trouble, "slow "+namespec)
	}
	delete(r.busy, namespec)
	delete(r.brief, namespec)
	well := found == nil
	for _, rule := range plan.rules {
		last := r.findings[finding{namespec, rule.Name}]
		well = well && (last == nil || last.status != checks.Unhealthy)
	}
	var all []due
	switch {
	case group != nil:
		all = r.report(group, p, found)
	case found != nil:
		all = []due{{p, *found}}
	}
	r.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	if well {
		r.forget("no restart " + namespec)
	}
	for _, one := range all {
		r.resolve(ctx, one.process, one.cause)
	}
}

// report adds what was found of a process to a group's round. When that is
// complete it returns all that is due in it. The lock is held.
func (r *runner) report(g *groupRound, p supervisor.Process, found *cause) []due {
	g.pending--
	if found != nil {
		g.due = append(g.due, due{p, *found})
	}
	if g.pending > 0 {
		return nil
	}
	began, ended := r.engine.assess(g.group, len(g.due) > 0)
	if began != nil {
		r.tellLocked(record.Record{Kind: record.Group, Group: g.group, Check: began.check, Action: record.Panicked, Why: began.String()})
	}
	if ended != nil {
		r.tellLocked(record.Record{Kind: record.Group, Group: g.group, Check: ended.check, Action: record.Calmed})
	}
	slices.SortFunc(g.due, func(a, b due) int { // those first that have not been tried, or longest ago
		one, other := a.process.Namespec(), b.process.Namespec()
		return cmp.Or(r.engine.known(one).tried.Compare(r.engine.known(other).tried), strings.Compare(one, other))
	})
	return g.due
}

// examine checks p by rules up to one that says that something is to be done about
// it, and after that by those that only alert. It returns why; nil for nothing.
func (r *runner) examine(ctx context.Context, p supervisor.Process, rules []Rule) (found *cause) {
	for _, rule := range rules {
		if found != nil && rule.Action.Kind != ActionAlert || rule.rests(time.Now()) {
			continue
		}
		begun := time.Now()
		result := r.look(ctx, rule.Check, p)
		if ctx.Err() != nil {
			return nil // cut short: whatever it says is not about the process
		}
		j := r.note(p, rule, result, time.Since(begun), true)
		switch {
		case !j.due:
		case r.plan(p).rule(rule.Name).Action.Kind == ActionAlert: // by now
			r.alert(p, cause{rule.Name, why(result)})
		default:
			found = &cause{rule.Name, why(result)}
		}
	}
	return found
}

// look runs one check. A panic in it says nothing of the process.
func (r *runner) look(ctx context.Context, c checks.Check, p supervisor.Process) (result checks.Result) {
	if v := r.guard(c, p.Namespec(), func() { result = c.Run(ctx, p) }); v != nil {
		return checks.Unsure(fmt.Errorf("the check panicked: %v", v))
	}
	return result
}

// guard calls do, which calls c, and returns what it panicked with, if it did.
func (r *runner) guard(c checks.Check, namespec string, do func()) (v any) {
	defer func() {
		if v = recover(); v != nil {
			r.Log.Error(fmt.Sprintf("the check %s panicked: %v", c.Name(), v), "process", namespec, "stack", string(debug.Stack()))
		}
	}()
	do()
	return nil
}

func why(result checks.Result) string {
	switch {
	case result.Err != nil:
		return result.Err.Error()
	case result.Status == checks.Healthy:
		return ""
	}
	return "the check gave no reason"
}

// note records a result and, where the status is another than before, or how far
// its thresholds are, that. It returns what the result comes to, for which failures
// may not count.
func (r *runner) note(p supervisor.Process, settings Rule, result checks.Result, took time.Duration, failuresCount bool) (j judgement) {
	check := settings.Name
	rec := record.Record{
		Kind:    record.CheckResult,
		Process: p.Namespec(),
		PID:     p.PID,
		Check:   check,
		Status:  result.Status.String(),
		Pending: errors.Is(result.Err, checks.ErrPending),
		Reason:  why(result),
		Seconds: took.Seconds(),
		Metrics: result.Metrics,
	}
	if result.Status == checks.Healthy {
		rec.Reason = ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if plan := r.plan(p); !plan.named(check) || !plan.rule(check).is(settings) { // any more, since a reload
		return j
	}
	r.tellLocked(rec)
	if errors.Is(result.Err, checks.ErrNotYet) || result.Status == checks.Skipped {
		return j // which is no news
	}
	if failuresCount || result.Status == checks.Healthy {
		down := r.engine.known(rec.Process).down
		j = r.engine.observe(time.Now(), p, check, result.Status)
		if down != "" && r.engine.known(rec.Process).down == "" {
			r.Log.Info(fmt.Sprintf("%s: %s is back, which it depends on: what it has failed meanwhile does not count", rec.Process, down), "process", rec.Process)
		}
		rec.Count = j.count
	}
	if until := r.engine.pausedUntil(time.Now(), rec.Process); !until.IsZero() && result.Status != checks.Healthy {
		rec.Count = strings.TrimPrefix(rec.Count+", actions paused until "+clock(until), ", ")
	}

	key := finding{rec.Process, check}
	last := r.findings[key]
	if last == nil {
		last = &verdict{status: checks.Healthy} // nothing is said of a process that is well from the beginning
		r.findings[key] = last
	}
	before := last.status
	last.status, last.reason, last.looked = result.Status, rec.Reason, time.Now()
	last.begun, last.pid = last.looked.Add(-took), p.PID
	changed := before != result.Status
	if result.Status == checks.Healthy {
		last.told.Ends()
		last.alert.Ends()
		changed = changed || j.count != ""
		if strings.HasSuffix(j.count, "successes") { // it is healthy again with the last of them, not with the first
			before = checks.Unhealthy
			if j.status == checks.Unhealthy {
				before = checks.Healthy
			}
		}
	} else if tell, again := last.told.Happens(time.Now(), rec.Status+rec.Reason); tell || j.turned && j.count != "" {
		changed = true
		if before == result.Status && (!again || j.turned && j.count != "") {
			before = checks.Healthy // another reason, or another count, is news
		}
	}
	if changed {
		rec.Kind, rec.Before = record.Transition, before.String()
		r.tellLocked(rec)
	}
	return j
}

// tellOnce tells of something that keeps a process from being acted on, when that
// begins, changes, and hourly.
func (r *runner) tellOnce(rec record.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if tell, _ := r.recur("no restart "+rec.Process, rec.Action+rec.Why+rec.Reason); tell {
		r.tellLocked(rec)
	}
}

// tell writes a record to the log and gives it to the sinks.
func (r *runner) tell(rec record.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tellLocked(rec)
}

func (r *runner) tellLocked(rec record.Record) {
	rec.Time = time.Now()
	record.Log(r.Log).Write(context.Background(), rec) // whose errors newLogHandler has no use for
	r.record(rec)
}

// record gives a record to the sinks. The lock is held.
func (r *runner) record(rec record.Record) {
	if len(r.sinks) == 0 {
		return
	}
	rec.Host, rec.Listener = r.host, r.Name
	if r.restarter != nil {
		rec.Supervisord = r.restarter.Identifier()
	}
	rec.Stamp()
	for _, s := range r.sinks {
		s.put(rec)
	}
}
