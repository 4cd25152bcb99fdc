package checks

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// All returns a check that a process passes when it passes every one of members,
// which are run in their order up to the first that is Unhealthy. If none is, one
// that is Unknown makes it Unknown. It is called as its members are, "http and tcp".
//
// CPU and Log, which compare what they see with what they saw before, are run whatever
// those before them say, and so they are in Any.
func All(members ...Check) Check {
	return newComposed(" and ", Unhealthy, members)
}

// Any returns a check that a process passes when it passes one of members, which are
// run in their order up to the first that is Healthy. If none is, one that is Unknown
// makes it Unknown. It is called as its members are, "http or tcp".
func Any(members ...Check) Check {
	return newComposed(" or ", Healthy, members)
}

// rememberer is a check that is to be run in each round, or it does not know what has
// been in between.
type rememberer interface {
	Check
	remembers()
}

// composed is a check that is made of others.
type composed struct {
	name    string
	decides Status // of a member; what is otherwise not Unknown is the opposite
	members []Check
	names   []string // of those that are not composed themselves, each once in all that is around
}

func newComposed(word string, decides Status, members []Check) *composed {
	var words []string
	for _, m := range members {
		name := m.Name()
		if inner, is := m.(*composed); is && len(inner.members) > 1 {
			name = "(" + name + ")"
		}
		words = append(words, name)
	}
	c := &composed{name: strings.Join(words, word), decides: decides, members: members}
	return c.numbered(make(map[string]int))
}

// numbered returns c with names for its members, and for theirs, of which there are
// some already.
func (c *composed) numbered(there map[string]int) *composed {
	made := &composed{name: c.name, decides: c.decides}
	for _, m := range c.members {
		name := m.Name()
		if inner, is := m.(*composed); is {
			m = inner.numbered(there)
		} else if there[name]++; there[name] > 1 {
			name = fmt.Sprintf("%s %d", name, there[name])
		}
		made.members, made.names = append(made.members, m), append(made.names, name)
	}
	return made
}

// Name returns the names of the members.
func (c *composed) Name() string { return c.name }

// StartRound begins a round of all members that share work in one.
func (c *composed) StartRound(ctx context.Context, watched []supervisor.Process) context.Context {
	for _, m := range c.members {
		if shared, wants := m.(RoundStarter); wants {
			ctx = shared.StartRound(ctx, watched)
		}
	}
	return ctx
}

// Run runs the members as far as it takes. The error names those that it is about, and
// so do the keys of the metrics: "http.status_code", and "http_2.status_code" of a
// second one. It wraps ErrNotYet when all that is not Healthy cannot tell yet, and
// ErrPending when all cannot or are over their limits: with anything else among it,
// that is what there is to know. ErrLookAgain it always has of its members. Members that
// are Skipped do not count; where all are, so is the whole.
func (c *composed) Run(ctx context.Context, p supervisor.Process) Result {
	return c.run(ctx, p, false)
}

// run is Run. When it is decided without these members, only those are run that
// remember, and what it returns besides metrics is of no use.
func (c *composed) run(ctx context.Context, p supervisor.Process, decided bool) Result {
	all := Result{Status: Healthy, Metrics: make(map[string]float64)}
	if c.decides == Healthy {
		all.Status = Unhealthy
	}
	var reasons, skipped []error
	for i, m := range c.members {
		var r Result
		inner, is := m.(*composed) // which names those that it is about itself
		if is {
			r = inner.run(ctx, p, decided)
			maps.Copy(all.Metrics, r.Metrics)
		} else {
			if _, remembers := m.(rememberer); decided && !remembers {
				continue
			}
			r = m.Run(ctx, p)
			for key, value := range r.Metrics {
				all.Metrics[strings.ReplaceAll(c.names[i], " ", "_")+"."+key] = value
			}
		}
		if decided {
			continue
		}
		if r.Err == nil && r.Status != Healthy {
			r.Err = errors.New("the check gave no reason")
		}
		if r.Err != nil && !is {
			r.Err = fmt.Errorf("%s: %w", c.names[i], r.Err)
		}
		switch {
		case r.Status == c.decides:
			decided = true
			all.Status, all.Err, reasons = r.Status, r.Err, nil
			continue
		case r.Status == Unknown:
			all.Status = Unknown
		case r.Status == Skipped:
			skipped = append(skipped, r.Err)
			continue
		}
		if r.Err != nil {
			reasons = append(reasons, r.Err)
		}
	}
	if len(skipped) == len(c.members) {
		all.Status, reasons = Skipped, skipped
	}
	if reasons != nil {
		all.Err = together(reasons)
	}
	return all
}

// together makes one error of several. What is only true of some of them is not true of
// all: ErrNotYet and ErrPending.
func together(reasons []error) error {
	notYet, waits := true, true
	for _, err := range reasons {
		now := errors.Is(err, ErrNotYet)
		notYet, waits = notYet && now, waits && (now || errors.Is(err, ErrPending))
	}
	for i, err := range reasons {
		if !notYet && errors.Is(err, ErrNotYet) || !waits && errors.Is(err, ErrPending) {
			other := &restated{text: err.Error()}
			if errors.Is(err, ErrLookAgain) {
				other.cause = ErrLookAgain
			}
			reasons[i] = other
		}
	}
	return &severalError{reasons}
}

// severalError is several errors in one line.
type severalError struct{ all []error }

func (e *severalError) Error() string {
	var texts []string
	for _, err := range e.all {
		texts = append(texts, err.Error())
	}
	return strings.Join(texts, "; ")
}

func (e *severalError) Unwrap() []error { return e.all }
