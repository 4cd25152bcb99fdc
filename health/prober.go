// Package health knows how a service and what it depends on are, and tells others: in
// JSON, as a gate for load balancers, and in metrics. It says healthy of nothing that it
// has not just looked at: what is not known yet, or was known too long ago, is not.
package health

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/supervisor-checks/supervisor-checks/probes"
)

// Defaults of a ProberConfig.
const (
	DefaultTimeout = probes.DefaultTimeout
	DefaultCache   = time.Second
)

// StaleAfter is how many periods old a result in the background may be.
const StaleAfter = 3

// Status is what is known of something.
type Status string

// What is not healthy is no reason to rely on it: Unknown is what has not been looked at
// yet, Stale what was looked at too long ago.
const (
	Healthy   Status = "healthy"
	Unhealthy Status = "unhealthy"
	Unknown   Status = "unknown"
	Stale     Status = "stale"
	Skipped   Status = "skipped" // it is not looked at here
)

// Result is what is known of one probe, or of one check of a supervised process.
type Result struct {
	Name    string
	Process string // its namespec; "" of a probe
	Status  Status
	Err     error         // why it is not healthy
	At      time.Time     // when that was known; zero when it never was
	Took    time.Duration // the look
	Answer  probes.Answer // of a probes.Asker

	// Metrics are what a check or a probes.Measurer has measured, under names that may have
	// labels as Prometheus writes them. They are not to be changed.
	Metrics map[string]float64

	Until time.Time // when it is Stale, unless there is another before; zero for never
}

// Source is what knows how something is. A Prober is one.
type Source interface {
	Check(ctx context.Context) []Result
}

// Worst is how all results are together: unhealthy beats stale beats unknown beats
// healthy. Those that are skipped do not count, but where all are, so is the whole. Of no
// results it is healthy: nothing is asked for that does not hold.
func Worst(results []Result) Status {
	order := []Status{Skipped, Healthy, Unknown, Stale, Unhealthy}
	if len(results) == 0 {
		return Healthy
	}
	worst := 0
	for _, r := range results {
		worst = max(worst, slices.Index(order, r.Status))
	}
	return order[worst]
}

// ErrNotYet is why a result is Unknown that there has been none of yet.
var ErrNotYet = errors.New("it has not been looked at yet")

// ErrStillRunning is wrapped by the error of a probe whose last look goes on though its
// time is over: it does not heed that, and is not begun again until it returns.
var ErrStillRunning = errors.New("its last look goes on, though its time is over")

// PanicError is the error of a probe that has panicked.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("the probe panicked: %v", e.Value) }

// ProberConfig configures a Prober.
type ProberConfig struct {
	// Timeout is how long a look at a probe may take that says nothing else. 0 means
	// DefaultTimeout.
	Timeout time.Duration

	// Cache is for how long a result is used again that somebody has asked for. 0
	// means DefaultCache; less than 0 none.
	Cache time.Duration

	// Results, if not nil, is told of each result.
	Results func(Result)

	// Now is the clock. nil means time.Now.
	Now func() time.Time
}

// Prober looks at probes: when it is asked, or by itself in the background. Its methods
// may be called from several goroutines.
type Prober struct {
	cfg   ProberConfig
	ctx   context.Context // of looks
	close context.CancelCauseFunc
	looks sync.WaitGroup

	mu     sync.Mutex
	probes []*probed // in the order in which they were added
	byName map[string]*probed
	told   []chan<- struct{}
}

// probed is a probe with what is known of it.
type probed struct {
	probes.Probe
	timeout, period time.Duration

	mu      sync.Mutex
	last    Result
	flight  chan struct{} // closed when the look that goes on has a result; nil for none
	running int           // looks that have not returned
	since   time.Time     // when the one began that has not
}

// NewProber returns a Prober without probes.
func NewProber(cfg ProberConfig) *Prober {
	cfg.Timeout = cmp.Or(cfg.Timeout, DefaultTimeout)
	cfg.Cache = cmp.Or(cfg.Cache, DefaultCache)
	if cfg.Results == nil {
		cfg.Results = func(Result) {}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	p := &Prober{cfg: cfg, byName: make(map[string]*probed)}
	p.ctx, p.close = context.WithCancelCause(context.Background())
	return p
}

// Option is how a probe is looked at.
type Option func(*probed)

// Timeout has a look at a probe take no longer than that, instead of the timeout of the
// Prober, or the Period where that is shorter.
func Timeout(d time.Duration) Option { return func(p *probed) { p.timeout = d } }

// Period has Run look at a probe so often. It is Stale, and so not healthy, when the
// newest result is older than StaleAfter of them.
func Period(d time.Duration) Option { return func(p *probed) { p.period = d } }

// Add adds a probe. The error says that there is one of its name, or what is wrong with
// an option.
func (p *Prober) Add(probe probes.Probe, options ...Option) error {
	added := &probed{Probe: probe, last: Result{Name: probe.Name(), Status: Unknown, Err: ErrNotYet}}
	for _, o := range options {
		o(added)
	}
	if added.timeout == 0 {
		added.timeout = p.cfg.Timeout
		if added.period > 0 {
			added.timeout = min(added.timeout, added.period)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case probe.Name() == "":
		return errors.New("a probe without a name")
	case added.period > 0 && added.timeout > added.period:
		return fmt.Errorf("probe %q: timeout %v is longer than period %v", probe.Name(), added.timeout, added.period)
	case p.byName[probe.Name()] != nil:
		return fmt.Errorf("there is a probe called %q already", probe.Name())
	case added.timeout <= 0 || added.period < 0:
		return fmt.Errorf("probe %q: timeout %v, period %v: they must be more than 0", probe.Name(), added.timeout, added.period)
	}
	p.byName[probe.Name()] = added
	p.probes = append(p.probes, added)
	return nil
}

// Has reports whether there is a probe of a name.
func (p *Prober) Has(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byName[name] != nil
}

// all returns the probes.
func (p *Prober) all() []*probed {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.probes[:len(p.probes):len(p.probes)]
}

// Check says how all probes are, in the order in which they were added. Those with a
// Period are as they were last found in the background; the others are looked at now, all
// at once, unless somebody has just done so. At the end of ctx those that have no result
// are Unknown.
func (p *Prober) Check(ctx context.Context) []Result {
	all := p.all()
	results := make([]Result, len(all))
	var looks sync.WaitGroup
	for i, one := range all {
		looks.Go(func() { results[i] = p.check(ctx, one) })
	}
	looks.Wait()
	return results
}

// Only returns a source of the probes of some names.
func (p *Prober) Only(names ...string) Source {
	return &subset{p, names}
}

type subset struct {
	prober *Prober
	names  []string
}

// Tell is that of the Prober.
func (s *subset) Tell(c chan<- struct{}) { s.prober.Tell(c) }

// CheckOne is that of the Prober, for the names that are chosen.
func (s *subset) CheckOne(ctx context.Context, name string) (Result, bool) {
	if !slices.Contains(s.names, name) {
		return Result{}, false
	}
	return s.prober.CheckOne(ctx, name)
}

func (s *subset) Check(ctx context.Context) []Result {
	all := make([]Result, len(s.names))
	var looks sync.WaitGroup
	for i, name := range s.names {
		looks.Go(func() {
			r, is := s.prober.CheckOne(ctx, name)
			if !is {
				r = Result{Name: name, Status: Unknown, Err: errors.New("there is no probe of that name")}
			}
			all[i] = r
		})
	}
	looks.Wait()
	return all
}

// CheckOne is Check of the probe of a name. It is false where there is none.
func (p *Prober) CheckOne(ctx context.Context, name string) (Result, bool) {
	p.mu.Lock()
	one := p.byName[name]
	p.mu.Unlock()
	if one == nil {
		return Result{}, false
	}
	return p.check(ctx, one), true
}

func (p *Prober) check(ctx context.Context, one *probed) Result {
	if one.period > 0 {
		return p.latest(one)
	}
	one.mu.Lock()
	if age := p.cfg.Now().Sub(one.last.At); one.flight == nil && !one.last.At.IsZero() && age >= 0 && age < p.cfg.Cache {
		defer one.mu.Unlock()
		return one.last
	}
	flight := p.look(one)
	one.mu.Unlock()
	select {
	case <-flight:
	case <-ctx.Done():
		return Result{Name: one.Name(), Status: Unknown, Err: fmt.Errorf("not awaited: %w", context.Cause(ctx))}
	}
	one.mu.Lock()
	defer one.mu.Unlock()
	return one.last
}

// latest is what is known of a probe that is looked at in the background.
func (p *Prober) latest(one *probed) Result {
	one.mu.Lock()
	defer one.mu.Unlock()
	return aged(one.last, p.cfg.Now(), one.period)
}

// aged is a result that there should be another of within a period.
func aged(r Result, now time.Time, period time.Duration) Result {
	if r.At.IsZero() {
		return r
	}
	r.Until = r.At.Add(StaleAfter * period)
	if age := now.Sub(r.At); now.After(r.Until) || age < -period {
		r.Status = Stale
		if r.Err == nil {
			r.Err = fmt.Errorf("it was healthy %v ago, and has not been looked at since", age.Round(time.Second))
		}
	}
	return r
}

// look begins to look at a probe, unless that goes on, and returns what is closed when
// there is a result. Its lock is held.
func (p *Prober) look(one *probed) <-chan struct{} {
	if one.flight != nil {
		return one.flight
	}
	flight := make(chan struct{})
	one.flight = flight
	now := p.cfg.Now()
	if one.running > 0 { // which was given up
		one.last.Answer, one.last.Metrics = probes.Answer{}, nil
		p.land(one, now, fmt.Errorf("%w: it began %v ago", ErrStillRunning, now.Sub(one.since).Round(time.Second)))
		go p.cfg.Results(one.last)
		return flight
	}
	one.running, one.since = 1, now
	begun := time.Now()
	ctx, cancel := context.WithTimeoutCause(p.ctx, one.timeout, &probes.TimeoutError{After: one.timeout})
	done := make(chan outcome, 1)
	p.looks.Go(func() {
		f := outcome{err: &PanicError{Value: "it has ended its goroutine"}}
		defer func() {
			if v := recover(); v != nil {
				f.err = &PanicError{v, debug.Stack()}
			}
			one.mu.Lock()
			one.running--
			one.mu.Unlock()
			done <- f
		}()
		switch probe := one.Probe.(type) {
		case probes.Asker:
			f.answer, f.err = probe.Ask(ctx)
		case probes.Measurer:
			f.metrics, f.err = probe.Measure(ctx)
		default:
			f.err = probe.Check(ctx)
		}
	})
	go func() {
		var f outcome
		select {
		case f = <-done:
		case <-ctx.Done():
			select {
			case f = <-done: // just in time
			case <-time.After(grace):
				f.err = context.Cause(ctx)
			}
		}
		cancel()
		one.mu.Lock()
		if p.ctx.Err() != nil { // what comes of it is due to that
			close(one.flight)
			one.flight = nil
			one.mu.Unlock()
			return
		}
		one.last.Took, one.last.Answer, one.last.Metrics = time.Since(begun), f.answer, f.metrics
		p.land(one, p.cfg.Now(), f.err)
		result := one.last
		one.mu.Unlock()
		p.cfg.Results(result)
	}()
	return flight
}

// outcome is what came of a look.
type outcome struct {
	answer  probes.Answer
	metrics map[string]float64
	err     error
}

// grace is how long a probe has to return when its time is over.
const grace = 100 * time.Millisecond

// land notes the result of a look. The lock is held.
func (p *Prober) land(one *probed, at time.Time, err error) {
	one.last = Result{Name: one.Name(), Status: Healthy, At: at, Took: one.last.Took, Answer: one.last.Answer, Metrics: one.last.Metrics}
	if err != nil {
		one.last.Status, one.last.Err = Unhealthy, err
	}
	if errors.Is(err, probes.ErrSkipped) {
		one.last.Status = Skipped
	}
	close(one.flight)
	one.flight = nil
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.told {
		select {
		case c <- struct{}{}:
		default: // it has not taken the last one yet
		}
	}
}

// ErrClosed is why looks that go on at a Close are cut short.
var ErrClosed = errors.New("it is not looked at any more")

// closeTime is how long Close waits for looks.
const closeTime = time.Second

// Close ends looks that go on, of which nobody is told any more, waits for a second until they
// have, and ends what probes have begun besides. Nobody may ask for them any more.
func (p *Prober) Close() {
	p.close(ErrClosed)
	ended := make(chan struct{})
	go func() {
		p.looks.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(closeTime):
	}
	var all sync.WaitGroup
	for _, one := range p.all() {
		all.Go(func() { probes.Close(one.Probe) })
	}
	all.Wait()
}

// Tell has c told of each new result, unless it has not taken the one before. It should
// have room for one.
func (p *Prober) Tell(c chan<- struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told = append(p.told, c)
}

// Abandoned is how many looks go on though their time is over: one at most for each
// probe.
func (p *Prober) Abandoned() (count int) {
	for _, one := range p.all() {
		one.mu.Lock()
		if one.running > 0 && one.flight == nil {
			count++
		}
		one.mu.Unlock()
	}
	return count
}

// Run looks at the probes that have a Period until ctx is done: at each as soon as it
// begins, and then so often. Those that are added later are not among them.
func (p *Prober) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, one := range p.all() {
		if one.period > 0 {
			all.Go(func() {
				timer := time.NewTicker(one.period)
				defer timer.Stop()
				for {
					one.mu.Lock()
					flight := p.look(one)
					one.mu.Unlock()
					select {
					case <-flight:
					case <-ctx.Done():
						return
					}
					select {
					case <-timer.C:
					case <-ctx.Done():
						return
					}
				}
			})
		}
	}
	all.Wait()
}
