package runner

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// finding is one check of one process, of which there is a newest verdict.
type finding struct{ namespec, check string }

type verdict struct {
	status checks.Status
	told   recurring // of what is not healthy
}

// round looks at all watched processes once, without waiting for the end of it.
// When the round before still waits for supervisord's list, there is none.
func (r *runner) round(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listing {
		r.Log.Debug("no round: the one before still waits for supervisord")
		return
	}
	r.listing = true
	r.checking.Go(func() {
		watched, err := r.survey(ctx)
		r.mu.Lock()
		r.listing = false
		r.mu.Unlock()
		switch {
		case ctx.Err() != nil:
		case supervisor.IsFault(err, supervisor.FaultShutdownState):
			r.Log.Info("no round: supervisord is shutting down")
		case err != nil:
			r.happens("supervisord cannot be asked", err)
		default:
			r.ended("supervisord cannot be asked")
			r.check(ctx, watched)
		}
	})
}

// survey finds out which processes are to be watched, and tells what is worth
// telling of that.
func (r *runner) survey(ctx context.Context) ([]supervisor.Process, error) {
	select {
	case r.surveying <- struct{}{}:
		defer func() { <-r.surveying }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	chosen, err := r.choose(ctx)
	if err != nil {
		return nil, err
	}
	r.tellSelection(chosen)
	return chosen.watched, nil
}

// choose asks supervisord for its processes and selects.
func (r *runner) choose(ctx context.Context) (selection, error) {
	var processes []supervisor.Process
	var err error
	if len(r.selectors) == 1 && r.selectors[0].name != "*" {
		s := r.selectors[0]
		var p supervisor.Process
		p, err = r.client.Process(ctx, supervisor.Process{Group: s.group, Name: s.name}.Namespec())
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
	return choose(r.selectors, processes, programs, r.self), nil
}

// configured returns the configuration of processes where it is needed, asking
// for it when there are new ones.
func (r *runner) configured(ctx context.Context, processes []supervisor.Process) ([]supervisor.Program, error) {
	if len(r.selectors) > 0 {
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
	if len(r.selectors) > 0 {
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
// or restarted already.
func (r *runner) check(ctx context.Context, processes []supervisor.Process) {
	ctx = r.startRound(ctx, processes)
	r.mu.Lock()
	defer r.mu.Unlock()
	present := make(map[string]bool, len(processes))
	for _, p := range processes {
		namespec := p.Namespec()
		present[namespec] = true
		switch {
		case p.State != supervisor.Running || r.restarting[namespec]:
		case r.busy[namespec] > 0:
			r.busy[namespec]++
			if tell, _ := r.recur("slow "+namespec, ""); tell {
				r.Log.Info(fmt.Sprintf("%s is left out of rounds as long as its checks of an earlier one go on", namespec))
			}
		default:
			r.busy[namespec] = 1
			r.checking.Go(func() { r.checkOne(ctx, p) })
		}
	}
	for f := range r.findings {
		if !present[f.namespec] {
			delete(r.findings, f)
		}
	}
	for what := range r.trouble {
		for _, about := range []string{"no restart ", "slow "} {
			if namespec, is := strings.CutPrefix(what, about); is && !present[namespec] {
				delete(r.trouble, what)
			}
		}
	}
}

// startRound tells the checks that want to know it, and returns the context for
// their runs.
func (r *runner) startRound(ctx context.Context, watched []supervisor.Process) context.Context {
	for _, c := range r.Checks {
		if shared, wants := c.(checks.RoundStarter); wants {
			r.guard(c, "", func() { ctx = shared.StartRound(ctx, watched) })
		}
	}
	return ctx
}

// checkOne runs the checks of p and restarts it if one finds it unhealthy.
func (r *runner) checkOne(ctx context.Context, p supervisor.Process) {
	namespec := p.Namespec()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.busy[namespec] == 1 { // else it is likely to be slow again
			delete(r.trouble, "slow "+namespec)
		}
		delete(r.busy, namespec)
	}()
	select {
	case r.limit <- struct{}{}:
	case <-ctx.Done():
		return
	}
	failed, reason := r.examine(ctx, p)
	<-r.limit
	if ctx.Err() != nil {
		return
	}
	if failed == "" {
		r.forget("no restart " + namespec)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.restarting[namespec] = true
	r.restartings.Go(func() {
		r.restart(ctx, p, failed, reason)
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.restarting, namespec)
	})
}

// examine runs the checks of p up to one that finds it unhealthy, and returns
// the name of that and why.
func (r *runner) examine(ctx context.Context, p supervisor.Process) (failed, reason string) {
	for _, c := range r.Checks {
		begun := time.Now()
		result := r.look(ctx, c, p)
		if ctx.Err() != nil {
			return "", "" // cut short: whatever it says is not about the process
		}
		r.note(p, c.Name(), result, time.Since(begun))
		if result.Status == checks.Unhealthy {
			return c.Name(), why(result)
		}
	}
	return "", ""
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

// note records a result and, where the status is another than before, that.
func (r *runner) note(p supervisor.Process, check string, result checks.Result, took time.Duration) {
	rec := record.Record{
		Kind:    record.CheckResult,
		Process: p.Namespec(),
		PID:     p.PID,
		Check:   check,
		Status:  result.Status.String(),
		Reason:  why(result),
		Seconds: took.Seconds(),
		Metrics: result.Metrics,
	}
	if result.Status == checks.Healthy {
		rec.Reason = ""
	}
	r.tell(rec)
	if errors.Is(result.Err, checks.ErrNotYet) {
		return // which is no news
	}

	key := finding{rec.Process, check}
	r.mu.Lock()
	last := r.findings[key]
	if last == nil {
		last = &verdict{status: checks.Healthy} // nothing is said of a process that is well from the beginning
		r.findings[key] = last
	}
	before := last.status
	last.status = result.Status
	changed := before != result.Status
	if result.Status == checks.Healthy {
		last.told.ends()
	} else if tell, again := last.told.happens(time.Now(), rec.Status+rec.Reason); tell {
		changed = true
		if !again && before == result.Status {
			before = checks.Healthy // another reason is news
		}
	}
	r.mu.Unlock()
	if changed {
		rec.Kind, rec.Before = record.Transition, before.String()
		r.tell(rec)
	}
}

// restart restarts p because a check failed, and tells what came of it.
func (r *runner) restart(ctx context.Context, p supervisor.Process, check, reason string) {
	rec := record.Record{Kind: record.Restart, Process: p.Namespec(), PID: p.PID, Check: check, Reason: reason}
	if r.DryRun {
		rec.Action = record.DryRun
		r.tellOnce(rec)
		return
	}
	begun := time.Now()
	restarter, err := r.open(ctx)
	if err == nil {
		_, err = restarter.Restart(ctx, p, func(s supervisor.Step) {
			if s.Name == supervisor.StepStopping {
				rec.Action = record.Stopping
				r.tell(rec)
				return
			}
			r.tellStep(s, begun)
		})
	}
	r.forget("restart " + rec.Process)
	var changed *supervisor.ChangedError
	var open *supervisor.OpenError
	switch {
	case err == nil:
		r.forget("no restart " + rec.Process)
		return
	case errors.As(err, &open):
		rec.Action = record.LeftOpen
	case errors.As(err, &changed), errors.Is(err, supervisor.ErrBusy), errors.Is(err, supervisor.ErrShuttingDown), ctx.Err() != nil:
		rec.Action = record.Skipped
	default:
		rec.Action = record.Failed
	}
	rec.Reason = err.Error()
	r.tellOnce(rec)
}

// tellOnce tells why there is no restart, when that begins, changes, and hourly.
func (r *runner) tellOnce(rec record.Record) {
	r.mu.Lock()
	tell, _ := r.recur("no restart "+rec.Process, rec.Action+rec.Reason)
	r.mu.Unlock()
	if tell {
		r.tell(rec)
	}
}

// tellStep records a step of a restart that began at begun, if that is known.
func (r *runner) tellStep(s supervisor.Step, begun time.Time) {
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

// tell writes a record to the log and gives it to the sinks.
func (r *runner) tell(rec record.Record) {
	rec.Time, rec.Listener = time.Now(), r.Name
	r.mu.Lock()
	defer r.mu.Unlock()
	record.Log(r.Log).Write(context.Background(), rec) // whose errors newLogHandler has no use for
	for _, s := range r.sinks {
		s.put(rec)
	}
}
