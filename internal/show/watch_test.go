package show

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// A look that is cut short counts for nothing: what was seen before does.
func TestWatchIsCutShort(t *testing.T) {
	bad := errors.New("bad")
	for whole, want := range map[int]error{0: ErrEnded, 1: bad, 2: bad} {
		ctx, cancel := context.WithCancel(t.Context())
		var out, errs bytes.Buffer
		looks := 0
		err := Watch(ctx, Watching{Every: time.Nanosecond, Format: "json", Out: &out, Err: &errs, Look: func(context.Context) (*Page, error) {
			if looks++; looks > whole {
				cancel()
				return &Page{Data: "cut short"}, ctx.Err()
			}
			return &Page{Data: "whole"}, bad
		}})
		if err != want || out.String() != strings.Repeat("\"whole\"\n", whole) || errs.String() != strings.Repeat("bad\n", whole) {
			t.Errorf("after %d looks: %v, want %v; it prints %q and %q", whole, err, want, out.String(), errs.String())
		}
	}
}

// What cannot be printed ends it.
func TestWatchThatCannotPrint(t *testing.T) {
	err := Watch(t.Context(), Watching{Every: time.Nanosecond, Format: "json", Out: new(bytes.Buffer), Look: func(context.Context) (*Page, error) {
		return &Page{Data: func() {}}, nil
	}})
	if err == nil {
		t.Error("it ends without an error")
	}
}
