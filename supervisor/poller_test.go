package supervisor

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestPollerEnds has the only one who waits for a look leave: nothing is left
// that waits for the time of it.
func TestPollerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPoller(nil) // nobody is asked
		p.next = time.Now().Add(pollMax)
		ctx, cancel := context.WithTimeout(t.Context(), pollMin)
		defer cancel()
		if _, err := p.look(ctx, "web:a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("look: %v, want the deadline", err)
		}
		synctest.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.running {
			t.Error("it still runs")
		}
	})
}
