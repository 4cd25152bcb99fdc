package command

import "testing"

// TestWithin has what has come count also when the time is over.
func TestWithin(t *testing.T) {
	c := make(chan struct{})
	if within(0, c) {
		t.Error("what has not come counts")
	}
	close(c)
	for range 1000 {
		if !within(0, c) {
			t.Fatal("what has come does not count")
		}
	}
}
