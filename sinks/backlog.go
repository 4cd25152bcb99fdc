package sinks

import (
	"iter"
	"slices"

	"github.com/supervisor-checks/supervisor-checks/record"
)

// backlog are records that wait in memory, the oldest first: in batches, so that neither who
// adds to a long one nor who takes a batch from it has to copy what waits.
type backlog struct {
	batches [][]record.Record // none is empty
	batch   int               // how many are in one at most
	len     int
}

// add adds a record.
func (b *backlog) add(r record.Record) {
	last := len(b.batches) - 1
	if last < 0 || len(b.batches[last]) >= b.batch {
		b.batches = append(b.batches, nil)
		last++
	}
	b.batches[last] = append(b.batches[last], r)
	b.len++
}

// take takes the oldest batch; nil where none waits.
func (b *backlog) take() []record.Record {
	if b.len == 0 {
		return nil
	}
	oldest := b.batches[0]
	b.batches[0] = nil
	b.batches = b.batches[1:]
	b.len -= len(oldest)
	return oldest
}

// drop drops the oldest record of those that f chooses, or the oldest of all.
func (b *backlog) drop(f func(*record.Record) bool) {
	batch, at := 0, 0
search:
	for i := range b.batches {
		for j := range b.batches[i] {
			if f(&b.batches[i][j]) {
				batch, at = i, j
				break search
			}
		}
	}
	if b.batches[batch] = slices.Delete(b.batches[batch], at, at+1); len(b.batches[batch]) == 0 {
		b.batches = slices.Delete(b.batches, batch, batch+1)
	}
	b.len--
}

// all are the records.
func (b *backlog) all() iter.Seq[record.Record] {
	return func(yield func(record.Record) bool) {
		for _, batch := range b.batches {
			for _, r := range batch {
				if !yield(r) {
					return
				}
			}
		}
	}
}

// clear takes all of it away.
func (b *backlog) clear() { b.batches, b.len = nil, 0 }
