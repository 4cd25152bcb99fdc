package sinks_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/sinks"
)

// TestStream has nobody read for a while: what was begun is there once, and what follows
// behind it.
func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		s := sinks.NewStream(w, nil)
		first, second := []record.Record{result("a"), restart("b")}, []record.Record{restart("c")}
		for range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := s.WriteBatch(ctx, first); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v", err)
			}
			cancel()
		}
		read := make(chan string)
		go func() {
			text, _ := io.ReadAll(r)
			read <- string(text)
		}()
		if err := s.WriteBatch(t.Context(), append(first, restart("d"))); err != nil {
			t.Error(err)
		}
		if err := s.WriteBatch(t.Context(), second); err != nil {
			t.Error(err)
		}
		s.Close()
		w.Close()
		text := <-read
		for _, name := range []string{"a", "b", "c", "d"} {
			if strings.Count(text, `"process":"`+name+`"`) != 1 {
				t.Errorf("%s is not there once:\n%s", name, text)
			}
		}
		if err := s.WriteBatch(t.Context(), second); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("of a pipe that is closed: %v", err)
		}
	})
}
