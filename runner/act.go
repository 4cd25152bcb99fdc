package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/internal/command"
	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

const (
	// verifyTime is how long after its start, and after Policy.StartPeriod, a
	// restarted process may take until all of its checks have succeeded.
	verifyTime = 30 * time.Second

	// verifyMin and verifyMax bound the pause between two looks at it, which
	// doubles.
	verifyMin = time.Second
	verifyMax = 10 * time.Second

	// placeTime is how long after the beginning of a restart, and Policy.StartPeriod,
	// it gives up its place in the group, whatever comes of it.
	placeTime = time.Minute

	// placeRetry is when a process is looked at again for which another listener
	// has left no place in its group.
	placeRetry = 5 * time.Second
)

// notRunning is the cause to start a process that does not run.
func notRunning(p supervisor.Process) cause {
	return cause{"state", strings.TrimSuffix(fmt.Sprintf("it is %v: %s", p.State, p.Description), ": ")}
}

// join lists namespecs.
func join(namespecs []string) string { return strings.Join(namespecs, ", ") }

// alert says so that p fails, once until that changes.
func (r *runner) alert(p supervisor.Process, c cause) {
	rec := record.Record{Kind: record.Restart, Process: p.Namespec(), PID: p.PID, Check: c.check, Reason: c.reason, Action: record.Alerted}
	r.mu.Lock()
	defer r.mu.Unlock()
	if until := r.engine.pausedUntil(time.Now(), rec.Process); !until.IsZero() {
		rec.Action, rec.Why, rec.Wanted = record.Held, "paused until "+clock(until), r.wanted(p, c, decision{})
	}
	last := r.findings[finding{rec.Process, c.check}]
	if last == nil {
		return // it is no longer watched
	}
	if tell, _ := last.alert.Happens(time.Now(), rec.Action+rec.Why+rec.Reason); tell {
		r.tellLocked(rec)
	}
}

// plan returns what is to be found and done about p.
func (r *runner) plan(p supervisor.Process) *plan { return r.plans().of(p.Namespec()) }

// acted returns the plan by which a process is being acted on, which stays what it was
// when that began, or else its plan.
func (r *runner) acted(namespec string) *plan {
	if begun, is := r.begun.Load(namespec); is {
		return begun.(*plan)
	}
	return r.plans().of(namespec)
}

// resolve decides what is to be done about p now, and begins with it.
func (r *runner) resolve(ctx context.Context, p supervisor.Process, c cause) {
	rec := record.Record{Kind: record.Restart, Process: p.Namespec(), PID: p.PID, Check: c.check, Reason: c.reason}
	plan := r.plan(p)
	rec.Wanted = r.wanted(p, c, decision{})
	if _, err := r.open(ctx); err != nil { // which also brings what is remembered of former restarts
		r.tellNotDone(ctx, rec, err)
		return
	}
	r.mu.Lock()
	if s := r.engine.known(rec.Process); s.late(p) {
		r.mu.Unlock()
		return
	} else if !s.acting {
		s.take(p)
		if p.PID == 0 { // of which there are no results that would do it
			r.engine.depend(time.Now(), s)
		}
	}
	if rule := r.engine.known(rec.Process).rules[c.check]; rule != nil && rule.status != checks.Unhealthy {
		r.mu.Unlock() // what it depends on has come back meanwhile
		return
	}
	d := r.engine.decide(time.Now(), rec.Process)
	rec.Wanted = r.wanted(p, c, d)
	var free func()
	var err error
	switch {
	case d.act && r.DryRun:
		r.engine.pretend(time.Now(), rec.Process, d)
	case d.act && !r.DryRun:
		if free, err = r.takePlace(&d, p); d.act && err == nil && !r.ending {
			r.engine.reserve(time.Now(), rec.Process)
			r.acting.Go(func() { r.act(ctx, p, c, d, free) })
		}
	}
	if !d.act {
		r.engine.hold(rec.Process, d)
	}
	r.mu.Unlock()
	switch {
	case err != nil:
		r.tellNotDone(ctx, rec, err)
	case d.act && r.DryRun:
		rec.Action, rec.Why = record.DryRun, d.why
		if plan.policy.RestartLimit != (RestartLimit{}) || plan.policy.Backoff != (Backoff{}) {
			r.forget("no restart " + rec.Process) // each counts
		}
		r.tellOnce(rec)
	case d.act, d.held == heldByAction, d.held == heldByStop:
	case d.held == heldByLimit:
		rec.Action, rec.Until = record.GivenUp, d.next
		if plan.policy.RestartLimitThen == ThenIgnore {
			rec.Action = record.Ignored
		}
		rec.Why = fmt.Sprintf("%s; it is left as it is until %s, or until supervisor_checks reset", d.why, clock(d.next))
		if r.DryRun {
			rec.Why = "in this dry run " + d.why
		}
		r.tellOnce(rec)
		r.wakeAt(ctx, rec.Process, d.next)
	default:
		rec.Action, rec.Why, rec.Until = record.Held, d.why, d.next
		r.tellOnce(rec)
		r.wakeAt(ctx, rec.Process, d.next)
	}
}

// wanted says in a word or two what is to become of p.
func (r *runner) wanted(p supervisor.Process, c cause, d decision) string {
	switch {
	case d.stop:
		return "stopped"
	case p.PID == 0:
		return "started"
	}
	return r.plan(p).rule(c.check).Action.done()
}

// takePlace takes a place in the group of p, of those that all listeners of this
// user share, and returns what gives it back once. Where there is none d is changed
// to wait. The lock is held.
func (r *runner) takePlace(d *decision, p supervisor.Process) (free func(), err error) {
	plan := r.plan(p)
	if d.trial {
		trial, err := r.restarter.Place(supervisor.Process{Group: "trial of " + p.Group, Name: p.Namespec()}, 1, plan.startPeriod+placeTime)
		switch {
		case errors.Is(err, supervisor.ErrNoPlace):
			*d = decision{held: heldByPanic, next: time.Now().Add(placeRetry), why: "the cause is probably shared, and another listener makes a trial"}
			return nil, nil
		case err != nil:
			return nil, err
		}
		defer func() {
			if place := free; place != nil {
				free = sync.OnceFunc(func() { trial(); place() })
			} else {
				trial()
			}
		}()
	}
	if plan.policy.MaxUnavailable == (Share{}) || p.PID == 0 {
		return func() {}, nil
	}
	most := plan.policy.MaxUnavailable.of(r.engine.group(p.Group).size)
	free, err = r.restarter.Place(p, most, plan.startPeriod+placeTime)
	switch {
	case errors.Is(err, supervisor.ErrNoPlace):
		*d = decision{held: heldByPlaces, next: time.Now().Add(placeRetry),
			why: fmt.Sprintf("no more than %d of %s may be down at once, also through other listeners: %v", most, p.Group, err)}
		return nil, nil
	case err != nil:
		return nil, err
	}
	return sync.OnceFunc(free), nil
}

// keepPlaces takes places for processes that we have stopped for good and that have
// none: an earlier listener had it, or it took too long. The lock is held.
func (r *runner) keepPlaces() {
	for namespec, s := range r.engine.subjects {
		if !s.stopped || s.acting || r.kept[namespec] != nil || r.DryRun || r.restarter == nil {
			continue
		}
		most := s.plan.policy.MaxUnavailable.of(r.engine.group(s.process.Group).size)
		if free, err := r.restarter.Place(s.process, most, s.plan.startPeriod+placeTime); err == nil {
			r.kept[namespec] = sync.OnceFunc(free)
		}
	}
}

// freeKept gives back the places of processes that we have stopped for good and
// somebody has started since. The lock is held.
func (r *runner) freeKept() {
	for namespec, free := range r.kept {
		if !r.engine.known(namespec).stopped {
			free()
			delete(r.kept, namespec)
		}
	}
}

// wakeAt has a process that is held looked at again at some time, and not at the
// one it was told before, unless that is zero.
func (r *runner) wakeAt(ctx context.Context, namespec string, at time.Time) {
	if at.IsZero() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ending {
		return
	}
	if timer := r.wakes[namespec]; timer != nil {
		timer.Stop()
	}
	r.wakes[namespec] = time.AfterFunc(max(0, time.Until(at)), func() { r.recheck(ctx, namespec) })
}

// recheck looks at a process again out of turn, since it may now be acted on.
func (r *runner) recheck(ctx context.Context, namespec string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.wakes, namespec)
	if r.ending {
		return
	}
	r.checking.Go(func() {
		p, err := r.client.Process(ctx, namespec)
		if err != nil && !supervisor.IsGone(err) && ctx.Err() == nil {
			r.wakeAt(ctx, namespec, time.Now().Add(placeRetry))
			return
		}
		r.mu.Lock()
		check := err == nil && p.State == supervisor.Running && r.busy[namespec] == 0 && !r.engine.known(namespec).acting
		if check {
			r.busy[namespec] = 1
			r.brief[namespec] = true
		}
		r.mu.Unlock()
		switch {
		case check:
			plan := r.plan(p)
			r.checkOne(ctx, p, plan, nil, plan.at(time.Now()))
		case err == nil && r.revives(p):
			r.resolve(ctx, p, notRunning(p))
		}
		group, _ := supervisor.SplitNamespec(namespec)
		r.passOn(ctx, group)
	})
}

func (r *runner) revives(p supervisor.Process) bool {
	return slices.Contains(r.plan(p).policy.Revive, p.State)
}

// passOn has the next process of a group looked at that waits for a place, if
// there is one.
func (r *runner) passOn(ctx context.Context, group string) {
	r.mu.Lock()
	next := r.engine.passOn(group)
	r.mu.Unlock()
	for _, namespec := range next {
		r.recheck(ctx, namespec)
	}
}

// act does what is to be done about p.
func (r *runner) act(ctx context.Context, p supervisor.Process, c cause, d decision, free func()) {
	rec := record.Record{Kind: record.Restart, Process: p.Namespec(), PID: p.PID, Check: c.check, Reason: c.reason}
	plan := r.plan(p)
	r.begun.Store(rec.Process, plan)
	defer r.begun.Delete(rec.Process)
	wanted := r.wanted(p, c, d)
	if d.trial {
		rec.Why = "a trial"
	}
	inService, held := r.drain(ctx, p, rec, d, wanted)
	if held.held != "" {
		rec.Action, rec.Wanted, rec.Why, rec.Until = record.Held, wanted, held.why, held.next
		r.mu.Lock()
		free()
		next, _ := r.engine.release(time.Now(), rec.Process, false)
		r.mu.Unlock()
		r.tellOnce(rec)
		r.wakeAt(ctx, rec.Process, held.next)
		for _, namespec := range next {
			r.recheck(ctx, namespec)
		}
		return
	}
	deadline := r.deadline(ctx, plan, rec, free)
	works, err := r.carryOut(ctx, p, rec, d)
	deadline.Stop()
	if err != nil && r.owes(rec.Process) && ctx.Err() == nil {
		r.makeGood(ctx, rec)
	}
	inService()
	r.mu.Lock()
	if s := r.engine.known(rec.Process); s.stopped && !s.freed {
		r.kept[rec.Process] = free
	} else {
		free()
	}
	next, end := r.engine.release(time.Now(), rec.Process, works)
	if ctx.Err() == nil {
		r.tellTrial(p.Group, rec.Process, end)
	}
	r.mu.Unlock()
	if err != nil {
		rec.Wanted = wanted
		r.tellNotDone(ctx, rec, err)
	}
	if ctx.Err() != nil {
		return
	}
	r.Log.Debug(rec.Process+" is checked in rounds again", "process", rec.Process)
	for _, namespec := range next {
		r.recheck(ctx, namespec)
	}
}

// drainLook is how often it is asked whether a process that drains is still to be acted
// on.
const drainLook = time.Second

// drain takes a process out of service, and waits for as long as that takes. It returns
// what puts it back; or, with it put back already, why it is not to be acted on after all.
func (r *runner) drain(ctx context.Context, p supervisor.Process, rec record.Record, d decision, wanted string) (back func(), held decision) {
	policy := r.acted(rec.Process).policy
	kind := r.acted(rec.Process).rule(rec.Check).Action.Kind
	if policy.Drain == 0 || p.PID == 0 || kind != ActionRestart && kind != ActionStop && !d.stop {
		return func() {}, held
	}
	rec.Action, rec.Wanted, rec.Seconds = record.Draining, wanted, policy.Drain.Seconds()
	rec.Until = time.Now().Add(policy.Drain)
	r.setDrained(rec.Process, rec.Until)
	r.tell(rec)
	r.Drain(rec.Process, rec.Check+": "+rec.Reason)
	back = func() {
		r.setDrained(rec.Process, time.Time{})
		r.Drain(rec.Process, "")
	}
	for ctx.Err() == nil {
		r.mu.Lock()
		held = r.engine.hindered(time.Now(), rec.Process)
		r.mu.Unlock()
		left := time.Until(rec.Until)
		if held.held != "" {
			back()
			return nil, held
		}
		if left <= 0 {
			break
		}
		select {
		case <-time.After(min(left, drainLook)):
		case <-ctx.Done():
		}
	}
	return back, held
}

// setDrained notes until when a process drains; zero when it does not.
func (r *runner) setDrained(namespec string, until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.engine.known(namespec).drained = until
}

// tellTrial tells what has come of a trial, if it was one. The lock is held.
func (r *runner) tellTrial(group, namespec string, end trialEnd) {
	p := r.engine.group(group).panic
	if end == noTrial || p == nil {
		return
	}
	told := record.Record{Kind: record.Group, Group: group, Process: namespec, Check: p.check, Action: record.Helped}
	if end == trialDidNot {
		told.Action, told.Why = record.NoHelp, "another trial is made after "+clock(p.next)
	}
	r.tellLocked(told)
}

// deadline has freeLate called when the time is over that acting on a process may take.
func (r *runner) deadline(ctx context.Context, plan *plan, rec record.Record, free func()) *time.Timer {
	return time.AfterFunc(plan.startPeriod+placeTime, func() { r.freeLate(ctx, rec, free) })
}

// freeLate gives back the place of a process that has been acted on for too long, and
// makes room for another trial.
func (r *runner) freeLate(ctx context.Context, rec record.Record, free func()) {
	plan := r.acted(rec.Process)
	if !r.verifies(rec.Process) || ctx.Err() != nil {
		return
	}
	free()
	r.mu.Lock()
	s := r.engine.known(rec.Process)
	late := s.acting && s.process.PID != 0
	s.freed = true
	r.tellTrial(s.process.Group, rec.Process, r.engine.endTrial(time.Now(), rec.Process, false))
	if late {
		rec.Action, rec.Seconds = record.Doubtful, (plan.startPeriod + placeTime).Seconds()
		rec.Why = "it does not run yet, and others may be restarted meanwhile"
		r.tellLocked(rec)
	}
	group := s.process.Group
	r.mu.Unlock()
	r.passOn(ctx, group)
}

// carryOut does it, and reports whether p works now, as far as that is looked at.
func (r *runner) carryOut(ctx context.Context, p supervisor.Process, rec record.Record, d decision) (works bool, err error) {
	restarter, err := r.open(ctx)
	if err != nil {
		return false, err
	}
	begun := time.Now()
	policy, action := r.acted(rec.Process).policy, r.acted(rec.Process).rule(rec.Check).Action
	plan := supervisor.Plan{Tell: func(s supervisor.Step) {
		if s.Name == supervisor.StepStopping {
			begun = time.Now() // what came before that took nothing from anybody
		}
		r.tellStep(ctx, s, rec, begun)
	}}
	switch {
	case d.stop || action.Kind == ActionStop && p.PID != 0:
		return false, r.halt(ctx, restarter, p, rec, d)
	case p.PID == 0:
		plan.Before = func(ctx context.Context) error { return r.before(ctx, p, rec) }
		after, err := restarter.Start(ctx, p, plan)
		return r.afterwards(ctx, after, rec, begun, err)
	case action.Kind == ActionRestart:
		if policy.Hooks.BeforeRestart != nil || policy.Evidence.wanted() {
			plan.Before = func(ctx context.Context) error { return r.before(ctx, p, rec) }
			if policy.Evidence.Signal != "" {
				plan.MayEnd = policy.Evidence.takes() + policy.Hooks.timeout()
			}
		}
		after, err := restarter.Restart(ctx, p, plan)
		return r.afterwards(ctx, after, rec, begun, err)
	}
	err = restarter.Act(ctx, p, func(ctx context.Context) error {
		r.commit(rec.Process, false)
		return r.other(ctx, action, policy.Hooks.Timeout, rec)
	})
	if err == nil && r.verifies(rec.Process) {
		works = r.verify(ctx, p, rec.Check) == nil
	}
	r.mu.Lock()
	r.engine.acted(time.Now(), rec.Process)
	r.mu.Unlock()
	return works, err
}

// other does what is neither a restart nor a stop.
func (r *runner) other(ctx context.Context, a Action, timeout time.Duration, rec record.Record) error {
	switch a.Kind {
	case ActionSignal:
		rec.Action, rec.Why = record.Signalled, a.Signal
		r.tell(rec)
		return r.client.Signal(ctx, rec.Process, a.Signal)
	case ActionExec:
		output, err := command.Command{Args: a.Command, Env: r.facts(rec, "action"), Timeout: timeout}.Run(ctx)
		rec.Action, rec.Why = record.Executed, outcomeOf(a.Command, output.Stdout.String(), err)
		r.tell(rec)
		return nil
	case ActionShutdown:
		rec.Action = record.Shutdown
		r.tell(rec)
		return r.client.Shutdown(ctx)
	}
	return nil
}

// halt stops p for good.
func (r *runner) halt(ctx context.Context, restarter *supervisor.Restarter, p supervisor.Process, rec record.Record, d decision) error {
	begun := time.Now()
	rec.Why = d.why
	r.mu.Lock()
	s := r.engine.known(rec.Process)
	r.mu.Unlock()
	plan := supervisor.Plan{Tell: func(step supervisor.Step) {
		if step.Name != supervisor.StepStopping {
			r.tellStep(ctx, step, rec, begun)
			return
		}
		begun = time.Now()
		r.mu.Lock()
		s.stopped = true // the next listener is to know, if we end in the middle of it
		r.mu.Unlock()
		r.commit(rec.Process, false)
		halting := rec
		halting.Action = record.Halting
		r.tellWithEvidence(halting)
	}}
	if r.acted(rec.Process).policy.Evidence.wanted() {
		plan.Before = func(ctx context.Context) error {
			r.collect(ctx, p, rec)
			return nil
		}
	}
	err := restarter.Stop(ctx, p, plan)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil {
			s.stopped = false
			r.save()
		}
		return err
	}
	rec.Action, rec.Seconds = record.Halted, time.Since(begun).Seconds()
	r.tellLocked(rec)
	return nil
}

// commit counts an act, and writes that down before it happens. One that begins a
// restart is to be concluded.
func (r *runner) commit(namespec string, restart bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.engine.known(namespec)
	if !s.counted {
		r.engine.commit(time.Now(), namespec)
		s.owed = s.owed || restart && r.verifies(namespec)
		r.save()
	}
}

// afterwards sees to it that a process which runs again works, where that is
// wanted, and tells.
func (r *runner) afterwards(ctx context.Context, p supervisor.Process, rec record.Record, begun time.Time, err error) (works bool, _ error) {
	r.forget("restart " + rec.Process)
	r.mu.Lock()
	if s := r.engine.known(rec.Process); s.counted {
		s.lastAct = time.Now()
		r.save()
	}
	r.mu.Unlock()
	if err != nil {
		return false, err
	}
	r.forget("no restart " + rec.Process)
	if !r.verifies(rec.Process) {
		return true, nil
	}
	return r.concludes(ctx, p, rec, begun), nil
}

// verifies reports whether a restart has a conclusion: that the process works again
// is to be seen, and the hook for that to be run.
func (r *runner) verifies(namespec string) bool {
	policy := r.acted(namespec).policy
	return policy.Drain > 0 || policy.MaxUnavailable != (Share{}) || policy.PanicThreshold > 0 || policy.Hooks.AfterRestart != nil
}

// concludes verifies that p works, tells, and runs the hook for that.
func (r *runner) concludes(ctx context.Context, p supervisor.Process, rec record.Record, begun time.Time) (works bool) {
	doubt := r.verify(ctx, p, rec.Check)
	if ctx.Err() != nil {
		return false
	}
	rec.NewPID, rec.Seconds = p.PID, time.Since(begun).Seconds()
	var changed *supervisor.ChangedError
	switch {
	case doubt == nil:
		rec.Action = record.Verified
	case errors.As(doubt, &changed):
		rec.Action, rec.Why = record.Left, doubt.Error()
	default:
		rec.Action, rec.Why = record.Doubtful, doubt.Error()
	}
	r.tell(rec)
	r.hook(ctx, "after-restart", rec)
	if ctx.Err() != nil {
		return false // and the next listener owes it
	}
	r.owe(rec.Process, false)
	return doubt == nil
}

// owe notes whether a restart is still to be concluded: somebody may have taken the
// process out of service in the hook before it. It is written down, for the next
// listener.
func (r *runner) owe(namespec string, owed bool) {
	if !r.verifies(namespec) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.engine.known(namespec); s.owed != owed {
		s.owed = owed
		r.save()
	}
}

func (r *runner) owes(namespec string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.engine.known(namespec).owed
}

// makeGood runs the hook after a restart that was not carried out to its end, or by
// somebody else.
func (r *runner) makeGood(ctx context.Context, rec record.Record) {
	begun := time.Now()
	p, err := r.client.Process(ctx, rec.Process)
	for err != nil && !supervisor.IsGone(err) && ctx.Err() == nil && time.Since(begun) < verifyTime {
		select {
		case <-time.After(verifyMin):
		case <-ctx.Done():
		}
		p, err = r.client.Process(ctx, rec.Process)
	}
	if ctx.Err() == nil {
		r.concludes(ctx, p, rec, begun)
	}
}

// inherit sees to what an earlier listener owes of a process, as soon as its restart
// has been finished, or cannot be: all of them have when resumed is closed.
func (r *runner) inherit(ctx context.Context, namespec string, resumed <-chan struct{}) {
	rec := record.Record{Kind: record.Restart, Process: namespec, Reason: "a listener that has ended began it"}
	deadline := r.deadline(ctx, r.plans().of(namespec), rec, func() {})
	for waits := true; waits && r.restarter.Unfinished(namespec); {
		select {
		case <-time.After(verifyMin):
		case <-resumed:
			waits = false
		case <-ctx.Done():
		}
		waits = waits && ctx.Err() == nil
	}
	deadline.Stop()
	if ctx.Err() != nil {
		return
	}
	r.makeGood(ctx, rec)
	r.mu.Lock()
	next, _ := r.engine.release(time.Now(), namespec, true)
	r.mu.Unlock()
	for _, other := range next {
		r.recheck(ctx, other)
	}
}

// verify runs the checks of p, which has just been started, until all of them have
// succeeded, and returns what was wrong when there is no time left. One that does
// not know says nothing, except the one for which p was started.
func (r *runner) verify(ctx context.Context, p supervisor.Process, cause string) (doubt error) {
	if p.PID == 0 {
		return &supervisor.ChangedError{Now: p}
	}
	deadline := time.Now().Add(r.acted(p.Namespec()).startPeriod + verifyTime)
	for pause := verifyMin; ; pause = min(2*pause, verifyMax) {
		if doubt = r.succeedsInTime(ctx, p, cause); doubt == nil || ctx.Err() != nil {
			return doubt
		}
		left := time.Until(deadline)
		if left <= 0 {
			return doubt
		}
		select {
		case <-time.After(min(pause, left)):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		now, err := r.client.Process(ctx, p.Namespec())
		switch {
		case err != nil: // it may be able to tell the next time
		case !now.SameRun(p):
			return &supervisor.ChangedError{Now: now}
		default:
			p = now
		}
	}
}

// succeedsInTime is succeeds, but does not wait longer for a check that should end
// than rounds do.
func (r *runner) succeedsInTime(ctx context.Context, p supervisor.Process, cause string) error {
	done := make(chan error, 1)
	go func() { done <- r.succeeds(ctx, p, cause) }()
	select {
	case doubt := <-done:
		return doubt
	case <-ctx.Done():
	}
	select {
	case <-done:
	case <-time.After(checkGrace):
	}
	return context.Cause(ctx)
}

// succeeds runs the checks of p that more than alert, and returns why one of them is unhealthy, or the
// one that is the cause not known to be healthy, unless it can only tell in later
// rounds.
func (r *runner) succeeds(ctx context.Context, p supervisor.Process, cause string) error {
	select {
	case r.limit <- struct{}{}:
		defer func() { <-r.limit }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for _, rule := range r.acted(p.Namespec()).rules {
		if rule.Action.Kind == ActionAlert && rule.Name != cause {
			continue // no restart was to help against that
		}
		if rule.rests(time.Now()) {
			if rule.Name == cause {
				return fmt.Errorf("%s is not checked at this time", rule.Name)
			}
			continue
		}
		begun := time.Now()
		result := r.look(ctx, rule.Check, p)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		r.note(p, rule, result, time.Since(begun), false)
		notYet := errors.Is(result.Err, checks.ErrLookAgain) // another look will tell
		later := notYet && rule.Name != cause || errors.Is(result.Err, checks.ErrPending)
		if result.Status == checks.Unhealthy && !later || result.Status == checks.Unknown && !later && rule.Name == cause {
			return fmt.Errorf("%s: %s", rule.Name, why(result))
		}
	}
	return nil
}

// tellNotDone tells why nothing was done about a process.
func (r *runner) tellNotDone(ctx context.Context, rec record.Record, err error) {
	var changed *supervisor.ChangedError
	var open *supervisor.OpenError
	switch {
	case errors.As(err, &open):
		rec.Action = record.LeftOpen
	case errors.Is(err, errVetoed):
		rec.Action = record.Vetoed
		r.tellOnce(rec)
		return
	case errors.As(err, &changed), errors.Is(err, supervisor.ErrBusy), errors.Is(err, supervisor.ErrShuttingDown), ctx.Err() != nil:
		rec.Action = record.Skipped
	default:
		rec.Action = record.Failed
	}
	rec.Why, rec.Reason = "", err.Error()
	r.tellOnce(rec)
}

// tellStep records a step of what is done about a process, and does what belongs
// there.
func (r *runner) tellStep(ctx context.Context, s supervisor.Step, rec record.Record, begun time.Time) {
	switch s.Name {
	case supervisor.StepStopping:
		r.commit(rec.Process, true)
		rec.Action = record.Stopping
		r.tellWithEvidence(rec)
		return
	case supervisor.StepStarting:
		if rec.PID == 0 && rec.Check != "" { // a process that did not run
			r.commit(rec.Process, true)
			rec.Action = record.Reviving
			r.tell(rec)
			return
		}
		r.hook(ctx, "after-stop", rec)
	}
	r.tellProgress(s, begun)
}

// tellWithEvidence records the beginning of a stop, with what was collected before.
func (r *runner) tellWithEvidence(rec record.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec.Evidence = r.evidence[rec.Process]
	delete(r.evidence, rec.Process)
	r.tellLocked(rec)
}

// tellProgress records a step of a restart that began at begun, if that is known.
func (r *runner) tellProgress(s supervisor.Step, begun time.Time) {
	rec := record.Record{Kind: record.Restart, Process: s.Process.Namespec(), PID: s.Process.PID, NewPID: s.PID}
	if !begun.IsZero() {
		rec.Seconds = time.Since(begun).Seconds()
	}
	switch s.Name {
	case supervisor.StepStarting:
		rec.Action = record.Starting
	case supervisor.StepRunning:
		rec.Action = record.Running
		r.forget("restart " + rec.Process)
	case supervisor.StepResumed:
		rec.Action = record.Resumed
	case supervisor.StepRetry:
		r.mu.Lock()
		tell, _ := r.recur("restart "+rec.Process, s.Err.Error())
		r.mu.Unlock()
		if !tell {
			return
		}
		rec.Action, rec.Reason = record.Retrying, s.Err.Error()
		if s.Pause > 0 {
			rec.Reason += fmt.Sprintf("; trying again in %v, then at longer intervals", s.Pause)
		}
	}
	r.tell(rec)
}
