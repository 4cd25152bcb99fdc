package sinks_test

import (
	"errors"
	"testing"

	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/sinks"
)

// TestOnly takes some kinds, and says of what is rejected where it was.
func TestOnly(t *testing.T) {
	m := &memory{}
	w := sinks.Only([]record.Kind{record.Restart}, m)
	batch := []record.Record{result("a"), restart("b"), result("c"), restart("d")}
	if err := w.WriteBatch(t.Context(), batch); err != nil || m.names() != "b d" {
		t.Errorf("%v, taken are %s", err, m.names())
	}
	if err := w.WriteBatch(t.Context(), batch[:1]); err != nil || len(m.batches) != 1 {
		t.Errorf("%v, and %d batches", err, len(m.batches))
	}
	m.does(func([]record.Record) error {
		return &sinks.RejectedError{Records: []sinks.Rejected{{Index: 1, Err: errors.New("bad")}}}
	})
	var rejected *sinks.RejectedError
	if err := w.WriteBatch(t.Context(), batch); !errors.As(err, &rejected) || len(rejected.Records) != 1 || rejected.Records[0].Index != 3 {
		t.Errorf("%v", err)
	}
}
