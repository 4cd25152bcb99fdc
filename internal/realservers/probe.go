package realservers

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// Probe is what is held against a server.
type Probe interface {
	Name() string
	Check(context.Context) error
}

// A Target is a server that can be made to fail: a *Server, or a *Front.
type Target interface {
	Hang()
	Go()
	Kill()
}

// Put a probe that waits no longer than a second through what can become of its server: it
// is up, hangs, goes on, and is killed. Each look is back in time, or when its context ends,
// but waits for one at least; at a server that is well one over a connection there is within
// 50 ms, and a thousand failures leave nothing behind. No error has the secret.
func Put(t *testing.T, p Probe, s Target, secret string) {
	t.Helper()
	const patience = 30 * time.Second // the machine may have other things to do
	lookFor := func(most time.Duration) (time.Duration, error) {
		ctx, cancel := context.WithTimeout(t.Context(), most)
		defer cancel()
		begun := time.Now()
		err := p.Check(ctx)
		took := time.Since(begun)
		if err != nil && secret != "" && strings.Contains(err.Error(), secret) {
			t.Errorf("the error has the password: %v", err)
		}
		if took > most+patience {
			t.Errorf("it took %v: %v", took, err)
		}
		return took, err
	}
	look := func() (time.Duration, error) { return lookFor(10 * time.Second) }
	healthy := func(when string) {
		t.Helper()
		fastest, inARow := time.Hour, 0
		for deadline := time.Now().Add(patience); inARow < 5 || fastest > 50*time.Millisecond; {
			took, err := look()
			if inARow++; err != nil {
				inARow = 0
			} else {
				fastest = min(fastest, took)
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s the fastest look takes %v, and the last says %v", when, fastest, err)
			}
		}
	}
	hangs := func(most, least, within time.Duration) {
		t.Helper()
		fastest := time.Hour
		for deadline := time.Now().Add(patience); fastest > within && time.Now().Before(deadline); {
			took, err := lookFor(most)
			if !errors.Is(err, context.DeadlineExceeded) || took < least {
				t.Errorf("when it hangs: error %v after %v, which is %[1]T", err, took)
			}
			fastest = min(fastest, took)
		}
		if fastest > within {
			t.Errorf("when it hangs, and a look may take %v, the fastest takes %v", most, fastest)
		}
	}
	healthy("when it is up")
	goroutines, files := runtime.NumGoroutine(), openFiles()
	s.Hang()
	hangs(10*time.Second, 800*time.Millisecond, 2*time.Second) // its own time counts
	hangs(300*time.Millisecond, 200*time.Millisecond, 700*time.Millisecond)
	s.Go()
	healthy("when it goes on")
	s.Kill()
	if _, err := look(); err == nil {
		t.Error("when it was killed there is no error")
	} else {
		t.Logf("when it was killed: %v", err)
	}
	var looks sync.WaitGroup
	for range 250 {
		looks.Go(func() {
			for range 4 {
				if _, err := look(); err == nil {
					t.Error("no error")
				}
			}
		})
	}
	looks.Wait()
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > goroutines+5 || openFiles() > files+5; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("after 1,000 failures there are %d goroutines and %d open files, before %d and %d", runtime.NumGoroutine(), openFiles(), goroutines, files)
			break
		}
	}
}

// Lose has a probe that waits no longer than half a second lose its connection, of
// which neither side is told, and the next: it is healthy soon after others work.
func Lose(t *testing.T, p Probe, s *Front) {
	t.Helper()
	healthy := func() time.Duration {
		begun := time.Now()
		for err := p.Check(t.Context()); err != nil; err = p.Check(t.Context()) {
			if time.Since(begun) > 30*time.Second {
				t.Fatalf("others work, and the probe says %v", err)
			}
			time.Sleep(20 * time.Millisecond)
		}
		return time.Since(begun)
	}
	healthy()
	for deadline := time.Now().Add(time.Minute); ; { // the machine may have other things to do
		s.Lose()
		var longest time.Duration
		for range 2 {
			begun := time.Now()
			if err := p.Check(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("over a lost connection: error %v, which is %[1]T", err)
			}
			longest = max(longest, time.Since(begun))
		}
		s.Find()
		back := healthy()
		if longest <= time.Second && back <= 1500*time.Millisecond {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("a look over a lost connection takes %v, and it is back after %v", longest, back)
		}
	}
}

// openFiles is how many this process has open.
func openFiles() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}
