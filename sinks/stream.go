package sinks

import (
	"context"
	"fmt"
	"io"

	"github.com/supervisor-checks/supervisor-checks/record"
)

// Stream is a Writer of JSON lines to what somebody reads while it is written, such as
// standard error. Who does not read holds up nobody: what was begun is written when there is
// room again, and once.
type Stream struct {
	to      io.Writer
	format  Format
	outcome chan error      // of what is being written; nil where nothing is
	begun   map[string]bool // by the ids of the records in that
}

// NewStream returns a Stream. It does not close to.
func NewStream(to io.Writer, format Format) *Stream { return &Stream{to: to, format: format} }

// WriteBatch writes the records, each in a line.
func (s *Stream) WriteBatch(ctx context.Context, batch []record.Record) error {
	var written map[string]bool
	if s.outcome != nil {
		if err := s.await(ctx); err != nil {
			return err
		}
		written = s.begun
	}
	format := func(b []byte, r *record.Record) ([]byte, error) {
		if written[r.ID] {
			return b, nil
		}
		return s.format.Append(b, r)
	}
	text, rejected := lines(nil, format, batch)
	s.begun, s.outcome = make(map[string]bool), make(chan error, 1)
	for _, r := range batch {
		s.begun[r.ID] = true
	}
	go func(outcome chan<- error) {
		_, err := s.to.Write(text)
		outcome <- err
	}(s.outcome)
	return orRejected(s.await(ctx), rejected)
}

// await waits until what is being written is.
func (s *Stream) await(ctx context.Context) error {
	select {
	case err := <-s.outcome:
		s.outcome = nil
		return err
	case <-ctx.Done():
		return fmt.Errorf("nobody reads it: %w", context.Cause(ctx))
	}
}

// Close leaves what nobody reads.
func (s *Stream) Close() error { return nil }

// lines appends records, each in a line, to b, and returns those that cannot be.
func lines(b []byte, format Format, batch []record.Record) ([]byte, *RejectedError) {
	var rejected RejectedError
	for i := range batch {
		text, err := format.Append(b, &batch[i])
		switch {
		case err != nil:
			rejected.Records = append(rejected.Records, Rejected{i, err})
		case len(text) > len(b):
			b = append(text, '\n')
		}
	}
	if rejected.Records == nil {
		return b, nil
	}
	return b, &rejected
}

// orRejected is err, or else what is rejected.
func orRejected(err error, rejected *RejectedError) error {
	if err == nil && rejected != nil {
		return rejected
	}
	return err
}
