package scripttest

import (
	"bytes"
	"errors"
	"sync"
)

// Transcript keeps what is written to it, for others to wait for.
type Transcript struct {
	mu    sync.Mutex
	text  bytes.Buffer
	grown chan struct{} // closed at the next write
}

// NewTranscript returns one in which there is nothing yet.
func NewTranscript() *Transcript { return &Transcript{grown: make(chan struct{})} }

// Write adds to the text. It never fails.
func (t *Transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.grown)
	t.grown = make(chan struct{})
	return t.text.Write(p)
}

// String returns all that was written.
func (t *Transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// Forget drops all that was written.
func (t *Transcript) Forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text.Reset()
}

// The errors of Await.
var (
	ErrEnded   = errors.New("the program has ended")
	ErrTimeout = errors.New("nothing came")
)

// Await waits until condition is true of the text. It returns ErrEnded when ended is
// closed before that, and ErrTimeout when limit is; nil never is.
func (t *Transcript) Await(ended, limit <-chan struct{}, condition func(text string) bool) error {
	for {
		t.mu.Lock()
		met, grown := condition(t.text.String()), t.grown
		t.mu.Unlock()
		if met {
			return nil
		}
		select {
		case <-grown:
		case <-ended:
			if condition(t.String()) {
				return nil
			}
			return ErrEnded
		case <-limit:
			return ErrTimeout
		}
	}
}
