package checks

import (
	"context"
	"errors"

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
// run of a process: it takes a second one, which the next round has. Nothing is
// known to be wrong, with the check or with the process.
var ErrNotYet = errors.New("cannot tell yet")

// ErrPending is wrapped by the error of an Unknown result that says what is
// wrong with the process, which is Unhealthy once that has lasted for longer.
var ErrPending = errors.New("over its limit, but not yet for long enough")

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
