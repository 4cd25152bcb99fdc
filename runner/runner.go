// Package runner is an event listener of supervisord that runs checks on each
// tick and restarts the processes that fail them. It is the only place that
// decides: checks look, package supervisor restarts, and records tell.
//
// A custom check is a program of ten lines: checks.Func and Run.
package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/internal/recurring"
	"github.com/supervisor-checks/supervisor-checks/listener"
	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// DefaultConcurrency is how many processes are checked at once when
// Config.Concurrency is 0. The others wait for their turn.
const DefaultConcurrency = 256

// checkGrace is how long a check may take to return when it is cut short.
const checkGrace = time.Second

// Config configures a listener. Checks is required, or else Watches.
type Config struct {
	// Name tells listeners apart in logs and records.
	Name string

	// Checks, Processes and Policy are those of a listener with one Watch, whose
	// rules say nothing else than Policy. Groups are in place of Processes where
	// there are none: all processes of groups of these names.
	Checks    []checks.Check
	Processes []string
	Groups    []string
	Policy    Policy

	// Watches are in place of all of these.
	Watches []Watch

	// Server is how to reach supervisord. Without a URL it is what supervisord
	// says in SUPERVISOR_SERVER_URL, and without a Username the credentials are
	// those of SUPERVISOR_USERNAME and SUPERVISOR_PASSWORD.
	Server supervisor.Config

	// StateDir is the folder of the journal of restarts; see
	// supervisor.StateDir, which also finds one for "".
	StateDir string

	// Concurrency is how many processes are checked at once. 0 means
	// DefaultConcurrency.
	Concurrency int

	// DryRun says what would be restarted, and does not.
	DryRun bool

	// Reload, if set, gives other Watches in place of those that there are, when
	// somebody asks the listener for that (supervisor_checks reload) and at SIGHUP,
	// which then does not end a listener that is a program of its own. What is
	// counted stays. Its error is for a person, and then all stays as it is.
	Reload func() ([]Watch, error)

	// Reloaded, if not nil, is told when these have taken the place of those before.
	Reloaded func()

	// Down reports whether a dependency is down that Policy.UnlessDown names. It
	// returns at once.
	Down func(dependency string) bool

	// Dependencies says how all dependencies are, for people who ask this listener.
	Dependencies func() []Dependency

	// Drain is told when a process is to be taken out of service, and why, and with ""
	// when it is in service again. See Policy.Drain. It returns at once.
	Drain func(process, why string)

	// Rounds, if set, is told of the round of each tick when it begins, and returns at
	// once.
	Rounds func(Round)

	// Counters, if set, count what it does.
	Counters *Counters

	// Every, if not 0, makes it no listener: it looks at the processes so often, by
	// itself, until a signal or ctx ends it. Stdin and Stdout are not used; where they
	// are nil it is a program of its own all the same.
	Every time.Duration

	// Log is where the listener tells what it does. It is written through a
	// queue, which drops the newest lines, and says so, when nobody reads them.
	// nil means text on standard error, from info level on.
	Log *slog.Logger

	// Sinks get every record, each from a queue of its own that drops the
	// newest when the sink cannot keep up.
	Sinks []record.Sink

	// Stdin and Stdout carry supervisord's event protocol. When both are nil
	// they are the program's own, which then become an empty standard input and
	// a second standard error; see listener.Stdio. Only such a listener can be
	// spoken to with supervisor_checks, through a socket in StateDir.
	Stdin  io.Reader
	Stdout io.Writer
}

// Dependency is something that processes depend on.
type Dependency struct {
	Name, Status, Reason string
	Looked               time.Time // when that was found
}

// Counters are numbers since the beginning, which may be read at any time.
type Counters struct {
	Ticks          atomic.Uint64
	Coalesced      atomic.Uint64 // ticks that came while an earlier round waited for supervisord: one round is for both
	Rounds         atomic.Uint64 // in which checks were begun, also those between two ticks
	LeftOut        atomic.Uint64 // times that a process was left out of a round, since its checks of an earlier one went on
	DroppedRecords atomic.Uint64 // that a sink was too slow for
	DroppedLines   atomic.Uint64 // that the log was too slow for
}

// Round is that of a tick.
type Round struct {
	Period  time.Duration // of the ticks
	Watched []Watched
}

// Watched is a process that is watched, and what for.
type Watched struct {
	Process supervisor.Process
	Rules   []Rule // which must not be changed
	Ours    bool   // it is being acted on, or we have stopped it: that it does not run is not what others want
}

// A ConfigError is the error of a Config that Run cannot work with. It says
// what to change.
type ConfigError struct{ Err error }

func (e *ConfigError) Error() string { return e.Err.Error() }

// Unwrap returns e.Err.
func (e *ConfigError) Unwrap() error { return e.Err }

// runner is a listener at work.
type runner struct {
	Config
	planned    atomic.Pointer[plans]
	self       string // our own namespec, or ""
	started    time.Time
	reloading  sync.Mutex
	begun      sync.Map        // *plan of each process that is being acted on
	toldFolder bool            // StateDir was given
	working    context.Context // until the end
	onStdio    bool            // it is a program of its own, not a part of another
	client     *supervisor.Client
	limit      chan struct{} // holds a place for each process being checked
	sinks      []*sinkQueue

	period    atomic.Int64  // of the ticks, a time.Duration
	opening   chan struct{} // holds one while restarter is looked at
	restarter *supervisor.Restarter
	inherited []string    // what earlier listeners owe
	host      string      // for records
	resumed   atomic.Bool // what they have left in the middle is done

	surveying chan struct{}        // holds one while supervisord is asked for its processes
	programs  []supervisor.Program // as far as that needs them
	known     map[string]bool      // namespecs that were looked up in programs

	mu        sync.Mutex
	busy      map[string]int  // rounds that processes have been in whose checks go on
	brief     map[string]bool // those of them that are looked at out of turn
	engine    *engine
	kept      map[string]func()           // gives back the places of processes that are stopped for good
	evidence  map[string]*record.Evidence // that was collected and not yet told, by namespec
	wakes     map[string]*time.Timer      // when processes that are held are looked at again
	findings  map[finding]*verdict        // newest, by process and check
	saved     bool                        // there is a file of what is counted
	next      *time.Timer                 // of the rounds between two ticks
	tickEnd   time.Time                   // when the next tick is due
	ending    bool                        // nothing more is begun
	listing   bool                        // a round waits for supervisord
	ticked    bool                        // and a tick came meanwhile
	unmatched map[string]bool             // patterns that match nothing
	leftOut   string                      // what was told last of who is left out
	trouble   map[string]*recurring.Trouble
	checking  sync.WaitGroup
	acting    sync.WaitGroup
}

// newRunner validates cfg and fills in what it leaves to the environment.
func newRunner(cfg Config) (*runner, error) {
	switch {
	case len(cfg.Watches) > 0 && len(cfg.Checks)+len(cfg.Processes)+len(cfg.Groups) > 0:
		return nil, &ConfigError{errors.New("both Watches and one of Checks, Processes and Groups")}
	case cfg.Concurrency < 0:
		return nil, &ConfigError{fmt.Errorf("concurrency %d is less than 0", cfg.Concurrency)}
	case (cfg.Stdin == nil) != (cfg.Stdout == nil):
		return nil, &ConfigError{errors.New("of Stdin and Stdout, only one is set")}
	}
	var err error
	if len(cfg.Watches) == 0 {
		w := Watch{Processes: cfg.Processes, Policy: cfg.Policy}
		if len(w.Processes) == 0 {
			if w.Processes, err = groupPatterns(cfg.Groups); err != nil {
				return nil, &ConfigError{err}
			}
		}
		for _, c := range cfg.Checks {
			w.Rules = append(w.Rules, Rule{Check: c})
		}
		cfg.Watches = []Watch{w}
	}
	plans, err := newPlans(cfg.Watches)
	if err != nil {
		return nil, &ConfigError{err}
	}
	if cfg.Server.URL == "" {
		cfg.Server.URL = os.Getenv("SUPERVISOR_SERVER_URL")
	}
	if cfg.Server.Username == "" {
		cfg.Server.Username = os.Getenv("SUPERVISOR_USERNAME")
		if cfg.Server.Password == "" {
			cfg.Server.Password = os.Getenv("SUPERVISOR_PASSWORD")
		}
	}
	client, err := supervisor.NewClient(cfg.Server)
	if err != nil {
		return nil, &ConfigError{err}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	if cfg.Counters == nil {
		cfg.Counters = new(Counters)
	}
	if cfg.Concurrency == 0 {
		cfg.Concurrency = DefaultConcurrency
	}
	r := &runner{
		Config:    cfg,
		client:    client,
		limit:     make(chan struct{}, cfg.Concurrency),
		opening:   make(chan struct{}, 1),
		surveying: make(chan struct{}, 1),
		busy:      make(map[string]int),
		brief:     make(map[string]bool),
		kept:      make(map[string]func()),
		evidence:  make(map[string]*record.Evidence),
		wakes:     make(map[string]*time.Timer),
		findings:  make(map[finding]*verdict),
		unmatched: make(map[string]bool),
		trouble:   make(map[string]*recurring.Trouble),
	}
	r.planned.Store(plans)
	r.engine = newEngine(func(namespec string) *plan { return r.plans().of(namespec) })
	r.engine.isDown = cfg.Down
	r.host, _ = os.Hostname()
	if group, name := os.Getenv("SUPERVISOR_GROUP_NAME"), os.Getenv("SUPERVISOR_PROCESS_NAME"); group != "" && name != "" {
		r.self = supervisor.Process{Group: group, Name: name}.Namespec()
	}
	return r, nil
}

// Run is an event listener until supervisord closes its input, a signal that
// asks for its end comes (TERM, INT, QUIT, USR1 or, without Reload, HUP), or ctx is done; it
// returns nil then. By that time checks have been cut short without
// consequence, and each process that was stopped for a restart has been started
// or is left to the next listener: after one second at the latest, or eight when
// there is such a process, and two more where sinks and log are slow.
//
// The error is a *ConfigError when cfg cannot be worked with; nothing has been
// started then. Any other, such as listener.ErrSilent, means that supervisord
// cannot be listened to any more; exit with a status other than 0, and it
// starts the listener anew.
func Run(ctx context.Context, cfg Config) error {
	r, err := newRunner(cfg)
	if err != nil {
		return err
	}
	r.toldFolder = r.StateDir != ""
	if r.StateDir, err = supervisor.StateDir(r.StateDir); err != nil {
		return &ConfigError{err}
	}
	if err := r.plans().needs(&cfg); err != nil {
		return &ConfigError{err}
	}
	if err := r.plans().prepare(); err != nil {
		return &ConfigError{err}
	}
	r.onStdio = r.Stdin == nil && r.Stdout == nil
	switch {
	case r.Every > 0:
		in := ticks(ctx, r.Every)
		defer in.Close()
		r.Stdin, r.Stdout = in, io.Discard
	case r.onStdio:
		if r.Stdin, r.Stdout, err = listener.Stdio(); err != nil {
			return err
		}
	}
	if r.onStdio {
		var stop func()
		ctx, stop = signals(ctx, r.Reload == nil)
		defer stop()
	}
	log := newLogHandler(r.Log.Handler(), &r.Counters.DroppedLines)
	defer log.queue.close(checkGrace)
	r.Log = slog.New(log)
	for _, sink := range r.Sinks {
		r.sinks = append(r.sinks, newSinkQueue(sink, r.Log, &r.Counters.DroppedRecords))
	}
	return r.run(ctx)
}

// ticks are those of a supervisord that sends one at once and then one each period.
func ticks(ctx context.Context, period time.Duration) *io.PipeReader {
	in, out := io.Pipe()
	go func() {
		timer := time.NewTicker(period)
		defer timer.Stop()
		for serial := 1; ; serial++ {
			payload := fmt.Sprintf("when:%d", time.Now().Unix())
			_, err := fmt.Fprintf(out, "ver:3.0 server:none serial:%d pool:none poolserial:%d eventname:TICK_%d len:%d\n%s",
				serial, serial, max(1, int(period/time.Second)), len(payload), payload)
			if err != nil {
				return
			}
			select {
			case <-timer.C:
			case <-ctx.Done():
				out.Close()
				return
			}
		}
	}()
	return in
}

// signals returns a context that ends with a signal that asks for our end, of which
// SIGHUP may be one. One that comes after that ends the program at once; the journal
// outlives it.
func signals(ctx context.Context, hup bool) (context.Context, func()) {
	ends := []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGUSR1}
	if hup {
		ends = append(ends, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(ctx, ends...)
	context.AfterFunc(ctx, stop)
	// A log that nobody reads any more must not end a restart: caught, SIGPIPE
	// is an error of write, and programs that we start get it as ever.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return ctx, stop
}

// plans are what is to be found and done about processes now.
func (r *runner) plans() *plans { return r.planned.Load() }

func (r *runner) run(ctx context.Context) error {
	working, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	r.working, r.started = working, time.Now()
	if r.onStdio && r.Reload != nil {
		r.reloadOnHUP(working)
	}
	r.introduce()
	r.acting.Go(func() { r.contact(working) })

	l := listener.New(listener.Config{In: r.Stdin, Out: r.Stdout, Skipped: func(e listener.Event, reason string) {
		r.Log.Debug(fmt.Sprintf("passed over %s: %s", e.Name, reason), "serial", e.Serial)
	}})
	for {
		e, err := l.Next(ctx)
		if err != nil {
			why := err
			switch {
			case err == io.EOF:
				why, err = errors.New("supervisord has closed the connection"), nil
			case ctx.Err() != nil:
				err = nil
			}
			if err == nil {
				r.Log.Info(fmt.Sprintf("ending: %v", why))
			}
			stop(why)
			r.recordListener(record.Ended, why.Error())
			r.wait()
			return err
		}
		if period, _, isTick := e.Tick(); isTick {
			r.Counters.Ticks.Add(1)
			r.period.Store(int64(period))
			r.round(working, false)
			r.between(working, period)
		} else {
			r.Log.Debug("nothing to do for " + e.Name)
		}
	}
}

// between makes rounds of our own up to the next tick, where there are rules whose
// Period is shorter than that of the ticks.
func (r *runner) between(ctx context.Context, tick time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tickEnd = time.Now().Add(tick)
	r.arm(ctx)
}

// arm sets the timer for the next round of our own, if there is to be one before the next
// tick. The lock is held.
func (r *runner) arm(ctx context.Context) {
	if r.next != nil {
		r.next.Stop()
	}
	period := r.plans().shortest()
	if period == 0 || r.ending || time.Now().Add(period+period/2).After(r.tickEnd) { // the tick itself is about to come
		return
	}
	r.next = time.AfterFunc(period, func() {
		r.round(ctx, true)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.arm(ctx)
	})
}

// introduce says what is going to happen.
func (r *runner) introduce() {
	does := r.plans().describe()
	if r.DryRun {
		does = "is a dry run and restarts nothing, where it else " + does
	}
	text := fmt.Sprintf("watches %s (%s) of supervisord at %s, up to %d processes at once; %s; keeps its state in %s",
		r.plans(), strings.Join(r.plans().names(), ", "), r.client.Address(), r.Concurrency, does, r.StateDir)
	r.Log.Info(text)
	r.recordListener(record.Started, text)
	if systemd, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":"); systemd != "" && systemd != r.StateDir && !r.toldFolder {
		r.Log.Warn(fmt.Sprintf("its state is not in $STATE_DIRECTORY, %s, which cannot be used: it must be a folder that is ours, and that nobody else may write to", systemd))
	}
}

// recordListener records something about this listener.
func (r *runner) recordListener(action, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.record(record.Record{Kind: record.Listener, Action: action, Why: why})
}

// contact waits until supervisord can be asked, which may be a while after it
// started us, tells what is watched, and finishes the restarts that killed
// listeners left.
func (r *runner) contact(ctx context.Context) {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 10*time.Second) {
		_, err := r.survey(ctx)
		if err == nil {
			_, err = r.open(ctx)
		}
		if err == nil {
			r.ended("supervisord cannot be asked")
			break
		}
		// The first refusals are usual under the Go supervisord, which opens its
		// port only after it has started the listeners.
		if pause > 2*time.Second {
			r.happens("supervisord cannot be asked", err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
	if r.onStdio {
		r.acting.Go(func() { r.serveControl(ctx) })
	}
	defer r.resumed.Store(true)
	if r.DryRun {
		return
	}
	if flavour, err := r.client.Flavour(ctx); err == nil {
		r.Log.Debug(fmt.Sprintf("supervisord answers, %s's", flavour))
	}
	resumed := make(chan struct{})
	for _, namespec := range r.inherited {
		r.acting.Go(func() { r.inherit(ctx, namespec, resumed) })
	}
	r.restarter.Resume(ctx, func(s supervisor.Step) {
		if s.Name == supervisor.StepStarting { // whether an earlier listener came to that is not known
			r.hook(ctx, "after-stop", record.Record{Kind: record.Restart, Process: s.Process.Namespec(), PID: s.Process.PID, Reason: "a listener that has ended began it"})
		}
		r.tellProgress(s, time.Time{})
	}, func(p supervisor.Process, err error) {
		r.forget("restart " + p.Namespec())
		level := slog.LevelError
		var changed *supervisor.ChangedError
		var open *supervisor.OpenError
		if errors.As(err, &changed) || errors.As(err, &open) {
			level = slog.LevelInfo
		}
		if p.Name == "" {
			r.Log.Log(ctx, level, fmt.Sprintf("of the restarts that a killed listener left: %v", err))
			return
		}
		r.Log.Log(ctx, level, fmt.Sprintf("of the restarts that a killed listener left, %s: %v", p.Namespec(), err), "process", p.Namespec())
	})
	close(resumed)
}

// open returns the restarter, which needs to know which supervisord this is.
func (r *runner) open(ctx context.Context) (*supervisor.Restarter, error) {
	select {
	case r.opening <- struct{}{}:
		defer func() { <-r.opening }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if r.restarter != nil {
		return r.restarter, nil
	}
	restarter, err := supervisor.NewRestarter(ctx, r.client, r.StateDir)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.restarter = restarter
	r.mu.Unlock()
	if !r.DryRun {
		r.load()
	}
	return restarter, nil
}

// wait returns when all checks and restarts have ended; checks that do not
// return when they should are left behind.
func (r *runner) wait() {
	r.mu.Lock()
	r.ending = true
	for _, timer := range r.wakes {
		timer.Stop()
	}
	if r.next != nil {
		r.next.Stop()
	}
	r.mu.Unlock()
	done := make(chan struct{})
	go func() {
		r.checking.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(checkGrace):
		r.Log.Warn(fmt.Sprintf("a check has not returned %v after it was told to", checkGrace))
	}
	r.acting.Wait()
	r.mu.Lock()
	for _, free := range r.kept { // the next listener takes them
		free()
	}
	r.mu.Unlock()
	var closing sync.WaitGroup
	for _, s := range r.sinks {
		closing.Go(func() { s.close(checkGrace) })
	}
	closing.Wait()
}

// happens tells of trouble when it begins, when it changes, and hourly.
func (r *runner) happens(what string, err error) {
	r.mu.Lock()
	tell, again := r.recur(what, err.Error())
	r.mu.Unlock()
	if tell && again {
		r.Log.Error(fmt.Sprintf("still: %v", err))
	} else if tell {
		r.Log.Error(err.Error())
	}
}

// ended tells that trouble has ended, if there was any.
func (r *runner) ended(what string) {
	if r.forget(what) {
		r.Log.Info(fmt.Sprintf("%s: the trouble has ended", what))
	}
}

// recur decides whether to tell of what happened. The lock is held.
func (r *runner) recur(what, text string) (tell, again bool) {
	if r.trouble[what] == nil {
		r.trouble[what] = new(recurring.Trouble)
	}
	return r.trouble[what].Happens(time.Now(), text)
}

// forget reports whether what has happened before, and forgets it.
func (r *runner) forget(what string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, had := r.trouble[what]
	delete(r.trouble, what)
	return had
}
