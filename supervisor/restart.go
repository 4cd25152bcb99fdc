package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/foreign"
)

const (
	// retryMin and retryMax bound the pause before supervisord is told once
	// more what it refused, did not hear of, or did in vain. It doubles.
	retryMin = 500 * time.Millisecond
	retryMax = 30 * time.Second

	// Grace is how long a restart whose process has been stopped already goes
	// on when it is told to end. supervisord kills us after ten seconds.
	Grace = 8 * time.Second

	// inFlight is how long a stop may take to reach supervisord whose answer
	// was lost, or whose sender was killed.
	inFlight = 2 * time.Second

	// overdue is how long after stopwaitsecs a process may take to have
	// stopped before that is told.
	overdue = 5 * time.Second

	// defaultStopWait is supervisord's own default of stopwaitsecs.
	defaultStopWait = 10 * time.Second

	// lockPause is the pause between two tries to take a lock that somebody has.
	lockPause = time.Second

	// askedAge is how long the answers of supervisord about itself are
	// remembered, and retryAge how long it is that it gave none.
	askedAge = time.Minute
	retryAge = 5 * time.Second
)

// Errors of a restart that did not happen.
var (
	// ErrBusy means that another listener is restarting the process.
	ErrBusy = errors.New("another listener is restarting it")

	// ErrNoPlace means that all places of a group are taken.
	ErrNoPlace = errors.New("no place is left")

	// ErrJournal means that the restart could not be written down, or not be
	// read. A restart that cannot be written down is not begun: if we were
	// killed in the middle of it, the process would stay stopped.
	ErrJournal = errors.New("journal of restarts")

	// ErrShuttingDown means that supervisord itself is stopping or reloading.
	ErrShuttingDown = errors.New("supervisord is shutting down")
)

// ChangedError means that somebody else acted on a process: it is no longer the
// run that was to be restarted, or no longer ours to start.
type ChangedError struct {
	Now Process // what it is now; the zero Process when it is gone
}

func (e *ChangedError) Error() string {
	switch {
	case e.Now == Process{}:
		return "supervisord no longer has it"
	case e.Now.PID != 0:
		return fmt.Sprintf("somebody else acted on it: it is %v with pid %d now", e.Now.State, e.Now.PID)
	}
	return fmt.Sprintf("somebody else acted on it: it is %v now", e.Now.State)
}

// OpenError means that a restart was told to end in the middle: its process has
// been told to stop, and does not run yet. The next listener sees to it.
type OpenError struct {
	State State // of the process when it was last seen; Unknown if it was not
	Err   error // why it was told to end
}

func (e *OpenError) Error() string {
	return fmt.Sprintf("%v while it is %v; the next listener sees to it that it runs", e.Err, e.State)
}

// Unwrap returns e.Err.
func (e *OpenError) Unwrap() error { return e.Err }

// Step is a stage of a restart that is worth telling.
type Step struct {
	Process Process // as it was before the restart, as far as it is known
	Name    string  // one of the Step constants
	PID     int     // the new one, with StepRunning
	Err     error   // what went wrong, with StepRetry
	Pause   time.Duration
}

// Steps in their order. StepRetry may stand anywhere, any number of times.
const (
	StepStopping = "stopping" // supervisord is about to be told to stop it
	StepStarting = "starting" // it has stopped; supervisord is about to be told to start it
	StepRetry    = "retrying" // something failed; it is tried again after Pause, if that is not 0
	StepRunning  = "running"  // it runs again
	StepResumed  = "resumed"  // a restart that a killed listener left is taken up
)

// Plan is what a restart has besides its stop and its start.
type Plan struct {
	// Tell, if set, is told the steps, in the goroutine of Restart. It may take
	// its time: the next step waits for it.
	Tell func(Step)

	// Before, if set, is called under the lock, when the process has been found
	// to be the run that failed, and before supervisord is told anything. When it
	// returns an error there is no restart, and that is the error of Restart. Its
	// context ends when the restart is told to end.
	Before func(context.Context) error

	// MayEnd, if not 0, says that Before may make the process end, and within
	// what time. It is started then, too.
	MayEnd time.Duration
}

func (p Plan) tell(s Step) {
	if p.Tell != nil {
		p.Tell(s)
	}
}

// Restarter restarts processes of one supervisord, and never loses one: what
// has been stopped is started, whatever faults, lost connections, failed starts
// and killed listeners come in between, unless somebody else acts on it first.
//
//  1. Under a lock that all listeners of this user share, make sure that the
//     process is still the run that failed.
//  2. Write down what is about to happen.
//  3. Tell supervisord to stop it, and look until it has stopped.
//  4. Tell supervisord to start it, and look until it runs.
//  5. Strike out what was written down.
//
// What supervisord refuses, does not answer or does in vain is tried again
// after half a second, then twice that, up to 30 s, for as long as it takes.
type Restarter struct {
	client     *Client
	identifier string // supervisord's
	journal    *journal
	boot       string
	created    time.Time
	poller     *poller

	asking   chan struct{} // holds one while supervisord is asked
	askAgain time.Time     // for the following

	mu        sync.Mutex
	daemon    int                      // supervisord's pid
	stopWaits map[string]time.Duration // by namespec
	golang    bool                     // it is the Go one, as far as it is known
}

// NewRestarter returns a Restarter that keeps its journal in stateDir (see
// StateDir). It asks supervisord who it is.
func NewRestarter(ctx context.Context, client *Client, stateDir string) (*Restarter, error) {
	created := time.Now() // a busy supervisord takes its time
	identifier, err := client.Identifier(ctx)
	if err != nil {
		return nil, err
	}
	daemon, err := client.PID(ctx)
	if err != nil {
		return nil, err
	}
	journal, err := openJournal(stateDir, client.Address(), identifier)
	if err != nil {
		return nil, err
	}
	return &Restarter{
		client:     client,
		identifier: identifier,
		journal:    journal,
		daemon:     daemon,
		boot:       bootID(),
		created:    created,
		poller:     newPoller(client),
		asking:     make(chan struct{}, 1),
	}, nil
}

// Identifier returns the name that supervisord was given in its configuration.
func (r *Restarter) Identifier() string { return r.identifier }

// Restart restarts the run p of a process and returns the run that replaced it.
//
// When ctx is done before the process was stopped, Restart leaves it running.
// After that it goes on, for up to Grace, until supervisord has begun to start
// it, and what is open then stays in the journal.
//
// Errors are ErrBusy, ErrJournal and ErrShuttingDown, wrapped or not, a
// *ChangedError, the cause of ctx, that of plan.Before, and an *UnreachableError
// or a *Fault of the first look at the process. Only an *OpenError, whose cause is that of ctx,
// means that a process does not run because of us.
func (r *Restarter) Restart(ctx context.Context, p Process, plan Plan) (Process, error) {
	release, err := r.journal.lock(p.Namespec())
	if err != nil {
		return Process{}, err
	}
	defer release()
	daemon, stopWait := r.ask(ctx, p.Namespec())
	p.State = Running
	now, err := r.confirm(ctx, p) // after all else that takes time
	if err != nil {
		return Process{}, err
	}
	w := &work{Restarter: r, before: now, last: now, seen: time.Now(), plan: plan, intent: intent{
		Group:    p.Group,
		Name:     p.Name,
		PID:      p.PID,
		Started:  p.Started.Unix(),
		At:       now.Now.Unix(),
		StopWait: int((stopWait + plan.MayEnd) / time.Second),
		Before:   plan.Before != nil,
		Unseen:   plan.Before == nil,
		Daemon:   daemon,
		Boot:     r.boot,
	}}
	if err := r.journal.write(w.intent); err != nil {
		return Process{}, err
	}
	if plan.Before == nil {
		return w.run(ctx, w.stop)
	}
	return w.run(ctx, func(ctx context.Context) (Process, error) {
		if err := plan.Before(w.ending); err != nil {
			return Process{}, err
		}
		return w.afterBefore(ctx, stopWait)
	})
}

// confirm makes sure that p is still the run that a process is in.
func (r *Restarter) confirm(ctx context.Context, p Process) (Process, error) {
	now, err := r.poller.look(ctx, p.Namespec())
	switch {
	case IsGone(err):
		return Process{}, &ChangedError{}
	case IsFault(err, FaultShutdownState):
		return Process{}, ErrShuttingDown
	case err != nil:
		return Process{}, err
	case !now.SameRun(p) || now.State != p.State:
		return Process{}, &ChangedError{now}
	}
	return now, nil
}

// Act calls do under the lock of the process, when it has been found to be still
// the run p and in the state of p. Restart does all that it does in the same way,
// so that one thing is done about a run of a process at a time. The errors are
// those of Restart, but for *OpenError, and do's.
func (r *Restarter) Act(ctx context.Context, p Process, do func(context.Context) error) error {
	release, err := r.journal.lock(p.Namespec())
	if err != nil {
		return err
	}
	defer release()
	if _, err := r.confirm(ctx, p); err != nil {
		return err
	}
	return do(ctx)
}

// Stop stops the run p of a process and leaves it so. It returns when the process
// has stopped, or when ctx is done. What supervisord refuses is tried again, as in
// Restart.
func (r *Restarter) Stop(ctx context.Context, p Process, plan Plan) error {
	return r.Act(ctx, p, func(ctx context.Context) error {
		if plan.Before != nil {
			if err := plan.Before(ctx); err != nil {
				return err
			}
		}
		w := &work{Restarter: r, before: p, plan: plan, ending: ctx,
			intent: intent{Group: p.Group, Name: p.Name, PID: p.PID, Started: p.Started.Unix()}}
		plan.tell(Step{Process: p, Name: StepStopping})
		for again := (backoff{}); ; {
			refusal := r.client.Stop(ctx, p.Namespec())
			switch {
			case IsFault(refusal, FaultShutdownState):
				return ErrShuttingDown
			case IsGone(refusal):
				return &ChangedError{}
			}
			for until := time.Now().Add(overdue); ; {
				now, err := w.look(ctx)
				switch {
				case err != nil:
					return err
				case !now.SameRun(p) && now.PID != 0:
					return &ChangedError{now}
				case now.PID == 0 && now.State != Starting && now.State != Stopping:
					return r.journal.clear(p.Namespec()) // what a killed listener wanted of it is over
				}
				if now.State == Running && time.Now().After(until) || refusal != nil && !mayHaveWorked(refusal) {
					break
				}
			}
			if refusal == nil {
				refusal = errors.New("it still runs")
			}
			w.wait(ctx, &again, fmt.Errorf("stop: %w", refusal))
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
	})
}

// Start starts a process that is in the state of p, which does not run, and
// returns the run that has come of it. It tells supervisord once: a start that
// fails is an error.
func (r *Restarter) Start(ctx context.Context, p Process, plan Plan) (started Process, err error) {
	err = r.Act(ctx, p, func(ctx context.Context) error {
		if plan.Before != nil {
			if err := plan.Before(ctx); err != nil {
				return err
			}
		}
		plan.tell(Step{Process: p, Name: StepStarting})
		refusal := r.client.Start(ctx, p.Namespec())
		if refusal != nil && !mayHaveWorked(refusal) {
			return fmt.Errorf("start: %w", refusal)
		}
		for busy := time.Now(); ; {
			now, err := r.poller.look(ctx, p.Namespec())
			switch {
			case IsGone(err):
				return &ChangedError{}
			case err != nil:
				return err
			case now.State == Running:
				started = now
				plan.tell(Step{Process: p, Name: StepRunning, PID: now.PID})
				return nil
			case now.State == Starting:
				busy = time.Now()
				continue
			case now.State == Backoff && !now.Started.Equal(p.Started) && time.Since(busy) < retryMax:
				continue // supervisord itself tries as often as it is configured to
			default:
				return fmt.Errorf("start: it is %v: %s", now.State, foreign.Line(now.Description, lineLength))
			}
		}
	})
	return started, err
}

// Place takes one of so many places that a group has for processes which are
// down through us, for as long as until free is called, or this process ends. All
// listeners that share the journal share them. Restarts that a killed listener
// has left take places, too, for as long as a restart takes at most. When there is
// none the error wraps ErrNoPlace and names those that have them. Who asks for more
// places than others sees theirs, but not the other way round.
func (r *Restarter) Place(p Process, most int, takes time.Duration) (free func(), err error) {
	return r.journal.place(p.Group, p.Namespec(), most, takes)
}

// File returns the path for a file of ours about this supervisord, which is called
// name, in the folder of the journal. The name may have any characters, the suffix
// may not.
func (r *Restarter) File(name, suffix string) string {
	return filepath.Join(r.journal.dir, fileName(name)+suffix)
}

// Incarnation tells this run of supervisord from others, as far as that is known.
func (r *Restarter) Incarnation() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprintf("%d %s", r.daemon, r.boot)
}

// Unfinished reports whether there is a restart of a process that is not finished,
// of this listener or another.
func (r *Restarter) Unfinished(namespec string) bool {
	_, err := os.Lstat(r.journal.path(namespec))
	return err == nil
}

// Resume finishes the restarts that killed listeners left in the journal, all
// at once, and returns when that is done. Its steps are told from several
// goroutines. What it cannot finish is told to fail and has no other effect.
func (r *Restarter) Resume(ctx context.Context, tell func(Step), fail func(Process, error)) {
	intents, unusable := r.journal.list()
	for _, err := range unusable {
		fail(Process{}, err)
	}
	var all sync.WaitGroup
	for _, i := range intents {
		all.Go(func() {
			before := Process{Group: i.Group, Name: i.Name, PID: i.PID, State: Running, Started: instant(i.Started)}
			release, err := r.lockIntent(ctx, i.namespec())
			if err == nil {
				defer release()
				if i, err = readIntent(r.journal.path(i.namespec())); errors.Is(err, fs.ErrNotExist) {
					return // its listener has finished it since
				}
			}
			if errors.Is(err, ErrBusy) {
				return // we end before that
			}
			if err == nil {
				w := &work{Restarter: r, before: before, last: Process{State: Unknown}, plan: Plan{Tell: tell}, intent: i}
				_, err = w.run(ctx, w.resume)
			}
			if err != nil {
				fail(before, err)
			}
		})
	}
	all.Wait()
}

// lockIntent takes the lock of a process that there is an intent for. Who holds it
// may be about to finish that, or to find that there is nothing for him to do: so
// it waits, and returns ErrBusy only at the end of ctx.
func (r *Restarter) lockIntent(ctx context.Context, namespec string) (release func(), err error) {
	for {
		release, err = r.journal.lock(namespec)
		if !errors.Is(err, ErrBusy) {
			return release, err
		}
		select {
		case <-time.After(lockPause):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// ask returns supervisord's process id, and how long it lets a process take to
// stop. Where it does not say, it is what it said last, or its default.
func (r *Restarter) ask(ctx context.Context, namespec string) (daemon int, stopWait time.Duration) {
	select {
	case r.asking <- struct{}{}:
		if time.Now().After(r.askAgain) {
			good := r.askNow(ctx)
			r.askAgain = time.Now().Add(good) // for those who have waited meanwhile, too
		}
		<-r.asking
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if wait, known := r.stopWaits[namespec]; known {
		return r.daemon, wait
	}
	return r.daemon, defaultStopWait
}

// askNow asks and returns how long the answer is good for.
func (r *Restarter) askNow(ctx context.Context) time.Duration {
	daemon, err := r.client.PID(ctx)
	known := err == nil
	var programs []Program
	if known {
		programs, err = r.client.Programs(ctx)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if known {
		r.daemon = daemon
	}
	if known && err == nil {
		r.stopWaits = make(map[string]time.Duration, len(programs))
		for _, program := range programs {
			r.stopWaits[program.Namespec()] = program.StopWait
		}
	}
	r.golang = errors.Is(err, ErrNotOffered) || r.golang && err != nil
	if err == nil || errors.Is(err, ErrNotOffered) {
		return askedAge
	}
	return retryAge
}

// isGo reports whether this is the Go supervisord, as far as it is known.
func (r *Restarter) isGo() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.golang
}

// work is one restart under way: its lock is held and its intent is written.
// Its stages look at the process again and again and act on what they see.
type work struct {
	*Restarter
	intent
	before Process
	plan   Plan

	ending   context.Context // done when no more than necessary is to be done
	sent     bool            // supervisord may have been told to stop the process
	accepted bool            // and it has said that it does
	last     Process         // as it was last seen
	seen     time.Time       // when that was
	open     bool            // the intent is for the next listener
}

// run carries out a restart from one of its stages on, for Grace longer than
// ctx if it must, and strikes out the intent unless it stays open.
func (w *work) run(ctx context.Context, stage func(context.Context) (Process, error)) (Process, error) {
	extended, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	w.ending = ctx
	defer context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(Grace, func() { cancel(context.Cause(ctx)) })
		context.AfterFunc(extended, func() { timer.Stop() })
	})()
	after, err := stage(extended)
	if w.open {
		return Process{}, err
	}
	if err := w.journal.clear(w.namespec()); err != nil { // the next listener finds that it has nothing to do
		w.plan.tell(Step{Process: w.before, Name: StepRetry, Err: err})
	}
	return after, err
}

// leaveOpen ends the work and leaves its intent for the next listener.
func (w *work) leaveOpen() (Process, error) {
	w.open = true
	w.note() // whether it has been seen since it was to be stopped
	return Process{}, &OpenError{State: w.last.State, Err: context.Cause(w.ending)}
}

// stop tells supervisord to stop the process until it has. It has just been
// looked at, before the first time and each further one.
func (w *work) stop(ctx context.Context) (Process, error) {
	w.plan.tell(Step{Process: w.before, Name: StepStopping})
	p, err := w.before, error(nil)
	for again := (backoff{}); ; {
		var refusal error
		if p.State == Running { // else a stop that was accepted has its effect late
			refusal = w.client.Stop(ctx, w.namespec())
		}
		if IsFault(refusal, FaultShutdownState) && !w.accepted { // else a stop may still have its effect
			return Process{}, ErrShuttingDown
		}
		w.accepted = w.accepted || refusal == nil
		w.sent = w.accepted || mayHaveWorked(refusal)
		if w.sent && time.Since(w.seen) > time.Second { // as when supervisord was busy
			w.At = w.last.Now.Add(time.Since(w.seen)).Unix()
			w.note()
		}
		if w.accepted && w.isGo() && !w.Stopping { // of which it may show nothing until the process has ended
			w.Stopping = true
			w.note()
		}
		p, err = w.untilStopped(ctx, refusal == nil)
		switch {
		case err != nil:
			return Process{}, err
		case !w.sameRun(p) || p.State != Running && !w.sent:
			return Process{}, &ChangedError{p}
		case p.State != Running:
			return w.start(ctx)
		}
		w.sent = w.accepted
		if refusal == nil {
			refusal = errors.New("it still runs")
		}
		w.wait(ctx, &again, fmt.Errorf("stop: %w", refusal))

		p, err = w.look(ctx)
		switch {
		case err != nil:
			return Process{}, err
		case !w.sameRun(p) || p.State != Running && !w.accepted:
			return Process{}, &ChangedError{p}
		case w.ending.Err() != nil && !w.accepted:
			return Process{}, context.Cause(w.ending)
		case w.ending.Err() != nil && p.State == Running:
			return w.leaveOpen()
		}
		w.At, w.Unseen = p.Now.Unix(), p.State == Running
		if w.accepted {
			w.note()
		} else if err := w.journal.write(w.intent); err != nil {
			return Process{}, err
		}
	}
}

// afterBefore goes on after plan.Before, which has taken its time and may have
// made the process end.
func (w *work) afterBefore(ctx context.Context, stopWait time.Duration) (Process, error) {
	p, err := w.look(ctx)
	ended := !w.sameRun(p) || p.State != Running
	switch {
	case err != nil:
		return Process{}, err
	case ended && w.plan.MayEnd > 0 && (w.isGo() || p.State != Stopped && p.State != Stopping):
		w.sent, w.Before = true, false
		w.plan.tell(Step{Process: w.before, Name: StepStopping})
		return w.start(ctx)
	case ended: // by somebody, if it is STOPPED
		return Process{}, &ChangedError{p}
	case w.ending.Err() != nil:
		return Process{}, context.Cause(w.ending)
	}
	w.At, w.StopWait, w.Before, w.Unseen = p.Now.Unix(), int(stopWait/time.Second), false, true
	if err := w.journal.write(w.intent); err != nil {
		return Process{}, err
	}
	return w.stop(ctx)
}

// untilStopped looks at the process until it has stopped, or it is certain that
// supervisord was not told to stop it. A stop that supervisord has confirmed is
// certain; any other may still be on its way. The Go supervisord 0.7 says
// RUNNING of the process until it has ended.
func (w *work) untilStopped(ctx context.Context, certain bool) (Process, error) {
	var told time.Time // when supervisord was first seen to answer after it was told
	late := false
	limit := time.Duration(w.StopWait)*time.Second + overdue
	runsOn := inFlight // how long it may be RUNNING and yet have been told to stop
	if certain && w.isGo() {
		runsOn = limit
	}
	for {
		p, err := w.look(ctx)
		if err != nil || !w.sent {
			return p, err
		}
		if told.IsZero() {
			told = time.Now()
		}
		switch {
		case !w.sameRun(p) && (p.State == Stopping || p.State == Stopped || p.State == Backoff):
			// The process ended and was started anew after we looked and before
			// supervisord was told to stop it: that was this run.
			w.adopt(p)
		case w.sameRun(p) && p.State == Stopping && !w.Stopping:
			w.adopt(p)
		}
		if !certain && !w.sameRun(p) && (p.State == Running || p.State == Starting) && time.Since(told) <= inFlight {
			continue // our stop may be on its way to this run
		}
		stopping := p.State == Stopping || p.PID != 0 && p.State != Running && p.State != Starting
		hasEffect := p.State != Running || time.Since(told) > runsOn
		if !w.sameRun(p) || !stopping && hasEffect {
			return p, nil
		}
		if !late && time.Since(told) > limit {
			late = true
			w.plan.tell(Step{Process: w.before, Name: StepRetry, Err: fmt.Errorf("it has not stopped after %v, and is %v", limit, p.State)})
		}
	}
}

// adopt writes down that p is the run that our stop has met.
func (w *work) adopt(p Process) {
	w.PID, w.Started = p.PID, p.Started.Unix()
	w.Stopping = w.Stopping || p.State == Stopping
	w.note()
}

// note writes down how far the work has come. Where that fails the intent
// serves as it was, too, in most cases.
func (w *work) note() {
	if err := w.journal.write(w.intent); err != nil {
		w.plan.tell(Step{Process: w.before, Name: StepRetry, Err: err})
	}
}

// mayHaveWorked reports whether supervisord may have done what it was told
// although the call returned err. The Go supervisord's faults say nothing.
func mayHaveWorked(err error) bool {
	var unreachable *UnreachableError
	if errors.As(err, &unreachable) {
		return !unreachable.NotSent
	}
	return err == nil || IsFault(err, goFault)
}

// start tells supervisord to start the process until it runs. A process that is
// STOPPED although it has been started since was stopped by somebody else.
func (w *work) start(ctx context.Context) (Process, error) {
	w.Starting = true
	w.plan.tell(Step{Process: w.before, Name: StepStarting})
	w.note() // the intent as it was serves, too, but for failed starts
	var (
		again   backoff
		told    time.Time // when supervisord was told to start it, and not yet in vain
		refusal error
		stopped bool // somebody else has been seen to stop what was started
	)
	for {
		p, err := w.look(ctx)
		if err != nil {
			return Process{}, err
		}
		idle := p.PID == 0
		switch p.State {
		case Running:
			if !w.sameRun(p) {
				w.plan.tell(Step{Process: w.before, Name: StepRunning, PID: p.PID})
				return p, nil
			}
		case Starting:
			if w.ending.Err() != nil {
				return w.leaveOpen()
			}
			idle = false
		case Stopping:
			idle = false
			stopped = stopped || !w.sameRun(p)
		case Backoff: // which the Go supervisord calls what has stopped, too
			if stopped && !w.sameRun(p) {
				return Process{}, &ChangedError{p}
			}
			idle = w.sameRun(p) || time.Since(told) > retryMax
		case Stopped:
			if !w.sameRun(p) {
				return Process{}, &ChangedError{p}
			}
		}
		switch {
		case !idle:
		case told.IsZero():
			told = time.Now()
			refusal = w.client.Start(ctx, w.namespec())
		case IsFault(refusal, FaultShutdownState) && w.ending.Err() != nil:
			return w.leaveOpen()
		default:
			if refusal == nil {
				refusal = fmt.Errorf("it is %v: %s", p.State, foreign.Line(p.Description, lineLength))
			}
			w.wait(ctx, &again, fmt.Errorf("start: %w", refusal))
			told = time.Time{}
		}
	}
}

// resume finds out how far a killed listener has come, and goes on from there.
func (w *work) resume(ctx context.Context) (Process, error) {
	if daemon, _ := w.ask(w.ending, w.namespec()); w.Daemon != daemon || w.Boot != w.boot {
		return Process{}, nil // all its processes have been started anew
	}
	w.sent = true
	unseen := w.Unseen
	var begun time.Time
	for {
		p, err := w.look(ctx)
		if err != nil {
			return Process{}, err
		}
		if begun.IsZero() {
			begun = time.Now()
			if unseen && w.mayBeLate(p) {
				w.At = p.Now.Unix()
				w.note()
			}
		}
		switch {
		case w.ending.Err() != nil:
			return w.leaveOpen()
		case w.sameRun(p) && p.State == Running && time.Since(begun) > inFlight && !w.Stopping && (!w.isGo() || p.Now.After(w.limit())):
			return p, nil // killed before it told supervisord anything
		case w.sameRun(p) && p.PID != 0:
			if p.State == Stopping && !w.Stopping && !p.Now.After(w.limit()) {
				w.adopt(p)
			}
			continue
		case w.met(p) && p.State == Stopping && !p.Now.After(w.limit()):
			w.adopt(p)
			continue
		case w.met(p) && (p.State == Running || p.State == Starting) && time.Since(begun) <= inFlight:
			continue // the stop may be on its way to this run
		case w.Before && !w.isGo() && (p.State == Stopped || p.State == Stopping):
			return Process{}, &ChangedError{p} // we had not come to that
		case w.stoppedBy(p), w.sameRun(p) && (w.Starting || w.Stopping), w.Starting && w.failedToStart(p):
			if p.PID == 0 && w.met(p) {
				w.adopt(p) // else start takes it for what somebody else has stopped
			}
			w.plan.tell(Step{Process: w.before, Name: StepResumed})
			return w.start(ctx)
		case p.State == Running || p.State == Starting:
			return p, nil
		}
		return Process{}, &ChangedError{p}
	}
}

// mayBeLate reports whether our stop may have met p only now. A supervisord that was busy, or
// frozen, does what it was told, however long ago, as soon as it goes on; and then it starts
// the next listener.
func (w *work) mayBeLate(p Process) bool {
	const soon = time.Minute
	end := p.Now
	if p.PID == 0 {
		end = p.Stopped
	}
	switch {
	case p.Now.Sub(end) > soon+time.Since(w.created):
		return false
	case p.State == Exited && !w.isGo(): // which a stop does not do
		return false
	}
	return w.sameRun(p) || end.Sub(p.Started) < soon
}

// failedToStart reports whether p has not come to run since it was last
// started, or does not yet. What has EXITED has run, in Python's supervisord
// even when it was to be RUNNING at once and ended at once. BACKOFF means for
// the Go one that it has stopped, for whatever reason.
func (w *work) failedToStart(p Process) bool {
	const atOnce = 2 * time.Second
	state := p.State
	if state == Backoff && w.isGo() {
		state = Exited
	}
	switch state {
	case Starting, Backoff, Fatal, Unknown:
		return true
	case Exited:
		return p.Stopped.Sub(p.Started) <= atOnce
	}
	return false
}

// look looks at the process, however long supervisord cannot be asked.
func (w *work) look(ctx context.Context) (Process, error) {
	var again backoff
	for {
		p, err := w.poller.look(ctx, w.namespec())
		switch {
		case err == nil:
			w.last, w.seen, w.Unseen = p, time.Now(), false
			return p, nil
		case IsGone(err):
			return Process{}, &ChangedError{}
		case !w.sent && IsFault(err, FaultShutdownState):
			return Process{}, ErrShuttingDown
		case !w.sent && w.ending.Err() != nil:
			return Process{}, context.Cause(w.ending)
		case ctx.Err() != nil, w.ending.Err() != nil && IsFault(err, FaultShutdownState):
			return w.leaveOpen()
		}
		w.wait(ctx, &again, err)
	}
}

// wait tells of a failure and pauses before the next try. It ends early when
// the restart is told to end.
func (w *work) wait(ctx context.Context, b *backoff, err error) {
	pause := b.next()
	ending := w.ending.Done()
	if w.ending.Err() != nil {
		pause, ending = retryMin, nil
	}
	w.plan.tell(Step{Process: w.before, Name: StepRetry, Err: err, Pause: pause})
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ending:
	case <-ctx.Done():
	}
}

// backoff is the pause before a try: retryMin, then doubling up to retryMax.
type backoff struct{ last time.Duration }

func (b *backoff) next() time.Duration {
	b.last = min(max(2*b.last, retryMin), retryMax)
	return b.last
}
