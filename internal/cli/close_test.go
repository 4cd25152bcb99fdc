package cli

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// meeting is a check whose end waits for those of the others.
type meeting struct{ all *sync.WaitGroup }

func (meeting) Name() string                                          { return "meeting" }
func (meeting) Run(context.Context, supervisor.Process) checks.Result { return checks.Pass() }
func (m meeting) Close() error {
	m.all.Done()
	m.all.Wait()
	return nil
}

func TestChecksAreClosedAtOnce(t *testing.T) {
	var all sync.WaitGroup
	all.Add(3)
	closed := make(chan struct{})
	go func() {
		closeChecks([]checks.Check{meeting{&all}, checks.Func("nothing to close", nil), meeting{&all}, meeting{&all}})
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(30 * time.Second):
		t.Error("one waits for another")
	}
}
