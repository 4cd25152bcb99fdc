package runner

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/supervisor-checks/supervisor-checks/record"
)

// queueLength is how many records may wait for a sink.
const queueLength = 1024

// queue stands between the runner, which never waits, and a sink.
type queue struct {
	sink    record.Sink
	log     *slog.Logger
	records chan record.Record
	done    chan struct{}
	cancel  context.CancelFunc

	dropped int // since the last record that found room; the runner's lock protects it
}

func newQueue(sink record.Sink, log *slog.Logger) *queue {
	ctx, cancel := context.WithCancel(context.Background())
	q := &queue{sink: sink, log: log, records: make(chan record.Record, queueLength), done: make(chan struct{}), cancel: cancel}
	go q.work(ctx)
	return q
}

func (q *queue) work(ctx context.Context) {
	defer close(q.done)
	var trouble recurring
	for r := range q.records {
		err := q.sink.Write(ctx, r)
		if err == nil {
			if trouble.ends() {
				q.log.Info(fmt.Sprintf("the sink %T takes records again", q.sink))
			}
		} else if tell, _ := trouble.happens(time.Now(), err.Error()); tell {
			q.log.Error(fmt.Sprintf("the sink %T does not take records: %v", q.sink, err))
		}
	}
	if c, ok := q.sink.(io.Closer); ok {
		if err := c.Close(); err != nil {
			q.log.Error(fmt.Sprintf("close the sink %T: %v", q.sink, err))
		}
	}
}

// put gives r to the sink, or drops it when the queue is full. Calls must not
// overlap.
func (q *queue) put(r record.Record) {
	select {
	case q.records <- r:
		if q.dropped > 0 {
			q.log.Error(fmt.Sprintf("the sink %T was too slow: %d records dropped", q.sink, q.dropped))
			q.dropped = 0
		}
	default:
		q.dropped++
	}
}

// close lets the sink take what is queued, for so long.
func (q *queue) close(limit time.Duration) {
	close(q.records)
	select {
	case <-q.done:
	case <-time.After(limit):
		q.log.Error(fmt.Sprintf("the sink %T is too slow: about %d records dropped at the end", q.sink, len(q.records)+q.dropped))
	}
	q.cancel()
}
