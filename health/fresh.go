package health

import (
	"os"
	"sync"
	"time"
)

// fresh is something that is read from a file, and read again when that has changed.
type fresh[T any] struct {
	path string
	read func() (T, error)

	mu      sync.Mutex
	known   bool
	value   T
	changed time.Time // the file, when it was read
}

// get returns it, or what it was before where it cannot be read now.
func (f *fresh[T]) get() (T, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.path)
	if f.known && (err != nil || info.ModTime().Equal(f.changed)) {
		return f.value, nil
	}
	value, err := f.read()
	switch {
	case err == nil:
		f.value, f.known = value, true
		if info != nil {
			f.changed = info.ModTime()
		}
	case !f.known:
		return f.value, err
	}
	return f.value, nil
}
