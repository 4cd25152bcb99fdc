package checks

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/proc"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// A RoundStarter is a Check whose runs within one round share work.
type RoundStarter interface {
	Check

	// StartRound is called at the beginning of a round, with all processes that
	// are watched, and returns at once. Run is given a context made of the one
	// it returns. A Run without a round works as well, and shares nothing.
	StartRound(ctx context.Context, watched []supervisor.Process) context.Context
}

// ErrNotYet is wrapped by the error of an Unknown result of the first look at a
// run of a process, or of the first for a while: it takes a second one, which the next
// round has. Nothing is known to be wrong, with the check or with the process. It wraps
// ErrLookAgain.
var ErrNotYet error = &restated{"cannot tell yet", ErrLookAgain}

// ErrLookAgain is wrapped by the error of an Unknown result which a second look, soon
// after it, may change: that of one that wraps ErrNotYet, and of a check made of
// several of which one cannot tell yet, whatever the others say.
var ErrLookAgain = errors.New("take a second look")

// restated is an error whose text is another than that of its cause.
type restated struct {
	text  string
	cause error
}

func (e *restated) Error() string { return e.text }

func (e *restated) Unwrap() error { return e.cause }

// ErrPending is wrapped by the error of an Unknown result that says what is
// wrong with the process, which is Unhealthy once that has lasted for longer.
var ErrPending = errors.New("over its limit, but not yet for long enough")

// A check that compares one look with the next begins anew after a gap: after more than
// gapFactor times the longest of the lastDistances distances before, of which one counts
// for shortDistance at least. Nobody has looked then for a while, since the rule was not
// checked at that time or was behind another, and what has been meanwhile is not to be
// taken for what has been since the round before. Rounds that are left out under load
// are none.
const (
	gapFactor     = 4
	shortDistance = time.Minute
	lastDistances = 3
)

// pace is how often a process is looked at.
type pace struct {
	last      time.Time
	distances [lastDistances]time.Duration // the latest first
}

// look notes a look, and returns for how long there was none where that is a gap. What
// is usual is not known at first: a second look that comes late is one, too.
func (p *pace) look(now time.Time) (gap time.Duration) {
	if !p.last.IsZero() {
		distance := now.Sub(p.last)
		if distance > gapFactor*max(shortDistance, slices.Max(p.distances[:])) {
			gap = distance
		}
		copy(p.distances[1:], p.distances[:])
		p.distances[0] = distance
	}
	p.last = now
	return gap
}

// next is the pace of another run, which has not been looked at.
func (p pace) next() pace {
	p.last = time.Time{}
	return p
}

// forget drops what is known, by namespec, of processes that are not watched any more.
func forget[T any](known map[string]T, watched []supervisor.Process) {
	if len(known) == 0 {
		return
	}
	there := make(map[string]bool, len(watched))
	for _, p := range watched {
		there[p.Namespec()] = true
	}
	maps.DeleteFunc(known, func(namespec string, _ T) bool { return !there[namespec] })
}

// tableKey is the key of the process table in the context of a round, which is
// read when the first check needs it and serves all that come within a second.
type tableKey struct{}

// withTable returns ctx with a table.
func withTable(ctx context.Context) (context.Context, *proc.Table) {
	if table, there := ctx.Value(tableKey{}).(*proc.Table); there {
		return ctx, table
	}
	table := new(proc.Table)
	return context.WithValue(ctx, tableKey{}, table), table
}
