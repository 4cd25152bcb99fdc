package command

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFinishLosesNothing has somebody hold a pipe open, and finish come before anything
// was read.
func TestFinishLosesNothing(t *testing.T) {
	s, err := newStream(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	held, err := syscall.Dup(int(s.to.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(held)
	want := strings.Repeat("a line\n", 9000) // no more than a pipe holds
	if _, err := s.to.WriteString(want); err != nil {
		t.Fatal(err)
	}
	s.from.SetReadDeadline(time.Now())
	go s.read()
	s.finish()
	if got := s.text.text().String(); got != want {
		t.Errorf("%d bytes, want %d", len(got), len(want))
	}
}
