package script

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/cloudprober"
	"github.com/supervisor-checks/supervisor-checks/internal/command"
	"github.com/supervisor-checks/supervisor-checks/internal/foreign"
	"github.com/supervisor-checks/supervisor-checks/internal/jsoncheck"
	"github.com/supervisor-checks/supervisor-checks/internal/recurring"
)

// Status is what a script has found.
type Status int

// What a script may have found. Unknown says that it could not look, Skipped that it is not
// to look here.
const (
	Unknown Status = iota
	Healthy
	Unhealthy
	Skipped
)

var words = []string{"unknown", "healthy", "unhealthy", "skipped"}

// String returns "unknown", "healthy", "unhealthy" or "skipped".
func (s Status) String() string { return words[s] }

// Outcome is what came of a run.
type Outcome struct {
	Status Status
	Err    error // why it is not Healthy

	// Metrics are those that were found, at most MaxSeries, under names with labels as
	// Prometheus writes them: rows{table="a"}. They are kept whatever the Status. What should
	// be a metric and is none, and those beyond that number, are counted in bad_metrics and
	// left_out_series, where there are any.
	Metrics map[string]float64
}

// Subject is what a run is about.
type Subject struct {
	// Key is the same for what is the same: the script is run for it once at a time.
	Key string

	// Names are what %(NAME)s stands for.
	Names map[string]string

	// Env is told to the script, which is no server: "NAME=value".
	Env []string

	// Probe says that it is run for a probe. Probes and checks have slots of their own.
	Probe bool
}

// Script is a script that can be run, for several subjects at once.
type Script struct {
	cfg      Config
	names    []string // that may be used in it
	program  command.Command
	warning  Status
	pattern  *regexp.Regexp  // nil for none
	document jsoncheck.Judge // nil for none
	server   *server         // nil for none
	turns    turns

	mu       sync.Mutex
	bad      recurring.Trouble             // metrics that cannot be read
	more     recurring.Trouble             // too many of them
	warnings map[string]*recurring.Trouble // by the key of who has one
}

// Slots are for the scripts that run at once. Those of checks that hang have no probe wait.
var checkSlots, probeSlots = make(chan struct{}, MaxAtOnce), make(chan struct{}, MaxAtOnce)

// Run runs the script, or asks its server. It waits until the script runs for the same
// subject no more, and for its turn among all. A run that ctx has cut short is Unhealthy
// because of the cause of ctx: the caller knows what that means.
func (s *Script) Run(ctx context.Context, about Subject) Outcome {
	if only := s.cfg.OnlyIn; len(only) > 0 && !slices.Contains(only, s.cfg.Environment) {
		here := "which environment this is nobody says"
		if s.cfg.Environment != "" {
			here = "this is " + s.cfg.Environment
		}
		return Outcome{Skipped, fmt.Errorf("it is run only in %s, and %s", strings.Join(only, ", "), here), nil}
	}
	end, err := s.turns.take(ctx, about.Key)
	if err != nil {
		return Outcome{Unknown, err, nil}
	}
	defer end()
	if s.server != nil {
		return s.ask(ctx, about)
	}
	program, err := expanded(s.program, s.names, about.Names)
	if err != nil {
		return Outcome{Unknown, err, nil}
	}
	program.Env = append(slices.Clone(about.Env), program.Env...)
	slots := checkSlots
	if about.Probe {
		slots = probeSlots
	}
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return Outcome{Unknown, fmt.Errorf("%w: %w", errNoTurn, context.Cause(ctx)), nil}
	}
	output, err := program.Run(ctx)
	return s.judge(about, output, err)
}

// Close ends the server, if there is one. There must be no run any more.
func (s *Script) Close() error {
	if s.server != nil {
		s.server.close()
	}
	return nil
}

// ask asks the server.
func (s *Script) ask(ctx context.Context, about Subject) Outcome {
	words, err := options(s.cfg.Options, s.names, about.Names)
	if err != nil {
		return Outcome{Unknown, err, nil}
	}
	reply, answered, err := s.server.do(ctx, s.program.Timeout, words)
	late := (*cloudprober.TimeoutError)(nil)
	switch {
	case !answered && (errors.As(err, &late) || errors.Is(err, context.DeadlineExceeded)):
		return Outcome{Unknown, fmt.Errorf("%w: the server has not answered anything yet", err), nil}
	case errors.As(err, &late), ctx.Err() != nil && err != nil:
		return Outcome{Unhealthy, err, nil}
	case err != nil:
		return Outcome{Unknown, err, nil}
	}
	payload := command.Cut(reply.Payload, MaxOutput)
	o := Outcome{Healthy, nil, s.metrics(payload)}
	if reply.Error != "" {
		o.Status, o.Err = Unhealthy, fmt.Errorf("the server says: %s", foreign.Line(reply.Error, mostReason))
	}
	if reply.IsSkipped() {
		o.Status = Skipped
	}
	return s.expect(o, payload)
}

// log tells who wants to know of something that goes on, in the same words once an hour.
func (s *Script) log(line string) {
	if s.cfg.Log != nil {
		s.cfg.Log(s.cfg.Command[0] + ": " + line)
	}
}

// metrics reads the metrics of an output, those in whole lines.
func (s *Script) metrics(output command.Text) map[string]float64 {
	parts, lost := output.Parts()
	if lost > 0 {
		parts[0] = strings.Join(slices.Collect(output.Lines()), "\n")
	}
	found := cloudprober.Metrics(parts[0], MaxSeries)
	var first error
	if len(found.Errs) > 0 {
		first = found.Errs[0]
	}
	return s.counted(found.Series, found.Bad, first, found.More)
}

// counted adds to metrics how many there are that cannot be read, of which those are with
// too long a name, and how many too many, and says so. What they are may change from one run
// to the next, and is not told anew for that.
func (s *Script) counted(metrics map[string]float64, bad int, first error, more int) map[string]float64 {
	for name := range metrics {
		if len(name) > mostName {
			delete(metrics, name)
			bad++
			first = cmp.Or(first, fmt.Errorf("%q is longer than %d bytes", foreign.Line(name, 60), mostName))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if bad > 0 {
		metrics["bad_metrics"] = float64(bad)
		if tell, _ := s.bad.Happens(now, "bad"); tell {
			text := fmt.Sprintf("%d metrics cannot be read", bad)
			if first != nil {
				text = fmt.Sprintf("%s, the first: %v", text, first)
			}
			s.log(foreign.Line(text, 2*mostReason))
		}
	}
	if more > 0 {
		metrics["left_out_series"] = float64(more)
		if tell, _ := s.more.Happens(now, "more"); tell {
			s.log(fmt.Sprintf("there are %d metrics more than the %d that are kept", more, MaxSeries))
		}
	}
	return metrics
}

// turns has one run at a time for a key.
type turns struct {
	mu   sync.Mutex
	busy map[string]chan struct{} // closed when the run has ended
}

// take waits until there is no run for a key, and begins one.
func (t *turns) take(ctx context.Context, key string) (end func(), err error) {
	for {
		t.mu.Lock()
		running, is := t.busy[key]
		if !is {
			ended := make(chan struct{})
			t.busy[key] = ended
			t.mu.Unlock()
			return func() {
				t.mu.Lock()
				defer t.mu.Unlock()
				delete(t.busy, key)
				close(ended)
			}, nil
		}
		t.mu.Unlock()
		select {
		case <-running:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", errOtherRun, context.Cause(ctx))
		}
	}
}
