package runner

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/recurring"
	"github.com/supervisor-checks/supervisor-checks/record"
)

// queueLength is how many lines may wait for the log, and records for a sink.
const queueLength = 1024

// queue stands between the runner, which never waits, and something that may.
// What finds no room is dropped.
type queue struct {
	tellDropped func(int)      // called in its turn when there is room again
	count       *atomic.Uint64 // of all that was dropped

	work chan func()
	done chan struct{}

	mu      sync.Mutex
	closed  bool
	dropped int
}

func newQueue(count *atomic.Uint64, tellDropped func(int)) *queue {
	q := &queue{tellDropped: tellDropped, count: count, work: make(chan func(), queueLength), done: make(chan struct{})}
	go func() {
		defer close(q.done)
		for do := range q.work {
			do()
			q.mu.Lock()
			dropped := q.dropped
			q.dropped = 0
			q.mu.Unlock()
			if dropped > 0 {
				q.tellDropped(dropped)
			}
		}
	}()
	return q
}

// put has do called after all that was put before, or drops it.
func (q *queue) put(do func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	select {
	case q.work <- do:
	default:
		q.dropped++
		q.count.Add(1)
	}
}

// close waits for what was put, for so long, and returns about how much of it
// there is left.
func (q *queue) close(limit time.Duration) (left int) {
	q.mu.Lock()
	q.closed = true
	close(q.work)
	q.mu.Unlock()
	select {
	case <-q.done:
		return 0
	case <-time.After(limit):
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.work) + q.dropped
}

// logHandler hands lines to another handler through a queue: a log that nobody
// reads must not hold up a restart.
type logHandler struct {
	slog.Handler
	queue *queue
}

func newLogHandler(h slog.Handler, count *atomic.Uint64) *logHandler {
	return &logHandler{h, newQueue(count, func(dropped int) {
		line := slog.NewRecord(time.Now(), slog.LevelError, fmt.Sprintf("the log was too slow: %d lines are missing here", dropped), 0)
		h.Handle(context.Background(), line)
	})}
}

// Handle never waits and never fails.
func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	r = r.Clone()
	h.queue.put(func() { h.Handler.Handle(ctx, r) })
	return nil
}

// WithAttrs returns a handler with the same queue.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logHandler{h.Handler.WithAttrs(attrs), h.queue}
}

// WithGroup returns a handler with the same queue.
func (h *logHandler) WithGroup(name string) slog.Handler {
	return &logHandler{h.Handler.WithGroup(name), h.queue}
}

// sinkQueue is the queue of one sink.
type sinkQueue struct {
	sink    record.Sink
	log     *slog.Logger
	queue   *queue
	trouble recurring.Trouble
	cancel  context.CancelFunc
	ctx     context.Context // of all writes
}

func newSinkQueue(sink record.Sink, log *slog.Logger, count *atomic.Uint64) *sinkQueue {
	s := &sinkQueue{sink: sink, log: log}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.queue = newQueue(count, func(dropped int) {
		log.Error(fmt.Sprintf("the sink %T was too slow: %d records dropped", sink, dropped))
		rec := record.Record{Kind: record.Listener, Action: record.Dropped, Dropped: dropped, Why: "it was too slow"}
		rec.Stamp()
		sink.Write(s.ctx, rec)
	})
	return s
}

func (s *sinkQueue) put(r record.Record) {
	s.queue.put(func() {
		err := s.sink.Write(s.ctx, r)
		if err == nil {
			if s.trouble.Ends() {
				s.log.Info(fmt.Sprintf("the sink %T takes records again", s.sink))
			}
		} else if tell, _ := s.trouble.Happens(time.Now(), err.Error()); tell {
			s.log.Error(fmt.Sprintf("the sink %T does not take records: %v", s.sink, err))
		}
	})
}

func (s *sinkQueue) close(limit time.Duration) {
	if left := s.queue.close(limit); left > 0 {
		s.log.Error(fmt.Sprintf("the sink %T is too slow: about %d records dropped at the end", s.sink, left))
	}
	s.cancel()
	if c, ok := s.sink.(io.Closer); ok {
		if err := c.Close(); err != nil {
			s.log.Error(fmt.Sprintf("close the sink %T: %v", s.sink, err))
		}
	}
}
