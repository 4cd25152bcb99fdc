// Package sinks takes records to where they are kept, and never loses one silently. A
// Queue stands before a Writer, which is a database, a broker, a file or a web hook; those
// that need the library of somebody else are in packages of their own, such as
// sinks/sqlite.
package sinks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/supervisor-checks/supervisor-checks/record"
)

// Writer takes batches of records. Its methods are called by one goroutine at a time.
type Writer interface {
	// WriteBatch takes all records of a batch, or returns an error. A *RejectedError
	// names those that it will never take, whatever is tried; all others it has taken.
	// With any other error it is not known which it has taken: all are written again,
	// which must not double them. It returns soon after the end of ctx.
	WriteBatch(ctx context.Context, batch []record.Record) error

	// Close ends it.
	Close() error
}

// Format writes a record at the end of b, or returns why it cannot. Where it writes nothing
// the record is left out. nil writes JSON as the schemas of package record have it.
type Format func(b []byte, r *record.Record) ([]byte, error)

// Append appends a record to b. With an error b is what it was.
func (f Format) Append(b []byte, r *record.Record) ([]byte, error) {
	if f == nil {
		f = func(b []byte, r *record.Record) ([]byte, error) { return r.AppendJSON(b) }
	}
	text, err := f(b, r)
	if err != nil {
		return b, err
	}
	return text, nil
}

// Only is a Writer that takes records of some kinds to another, and leaves out others.
func Only(kinds []record.Kind, to Writer) Writer { return only{to, kinds} }

type only struct {
	Writer
	kinds []record.Kind
}

func (o only) WriteBatch(ctx context.Context, batch []record.Record) error {
	var wanted []record.Record
	var at []int // of each in the batch
	for i, r := range batch {
		if slices.Contains(o.kinds, r.Kind) {
			wanted, at = append(wanted, r), append(at, i)
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	err := o.Writer.WriteBatch(ctx, wanted)
	var rejected *RejectedError
	if errors.As(err, &rejected) {
		moved := &RejectedError{Records: slices.Clone(rejected.Records)}
		for i := range moved.Records {
			moved.Records[i].Index = at[moved.Records[i].Index]
		}
		return moved
	}
	return err
}

// Singly writes the records of a batch one by one, for a Writer that is not told which of
// them is refused.
func Singly(ctx context.Context, w Writer, batch []record.Record) error {
	var rejected RejectedError
	for i := range batch {
		var one *RejectedError
		switch err := w.WriteBatch(ctx, batch[i:i+1]); {
		case errors.As(err, &one):
			rejected.Records = append(rejected.Records, Rejected{i, one.Records[0].Err})
		case err != nil:
			return err
		}
	}
	if rejected.Records != nil {
		return &rejected
	}
	return nil
}

// RejectedError is the error of a batch in which some records will never be taken.
type RejectedError struct {
	Records []Rejected
}

// Rejected is a record that will never be taken, and why.
type Rejected struct {
	Index int // in the batch
	Err   error
}

func (e *RejectedError) Error() string {
	if len(e.Records) == 0 {
		return "no record is rejected"
	}
	text := fmt.Sprintf("record %d: %v", e.Records[0].Index, e.Records[0].Err)
	if n := len(e.Records) - 1; n > 0 {
		text += fmt.Sprintf(", and %d more", n)
	}
	return text
}

// Unwrap returns why each is rejected.
func (e *RejectedError) Unwrap() []error {
	var all []error
	for _, r := range e.Records {
		all = append(all, r.Err)
	}
	return all
}

// Filter says which records are to be found.
type Filter struct {
	Since, Until time.Time // zero for no limit; Until is not included
	Host         string    // "" for any
	About        []string  // patterns, with * and ?, of namespecs, probes and groups; none for any. Those of a listener are about all
	Kinds        []record.Kind
	Statuses     []string
	Actions      []string
	Limit        int // the newest of them; 0 for all
}

// Reader finds records that a Writer has taken.
type Reader interface {
	// Find calls f for each record that filter wants, from the oldest to the newest,
	// until f returns an error, which it returns.
	Find(ctx context.Context, filter Filter, f func(record.Record) error) error

	// Close ends it.
	Close() error
}

// ErrSchema is wrapped by the error of a database whose schema is not one that this
// program can use.
var ErrSchema = errors.New("the schema of the database does not fit this program")
