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

// Put a probe through what can become of its server: it is up, hangs, goes on, and is
// killed. Each look is back within three seconds, or when its context ends, but waits for
// one at least; at a server that is well one over a connection there is within 50 ms, and a thousand failures leave nothing behind. No error
// has the secret.
func Put(t *testing.T, p Probe, s Target, secret string) {
	t.Helper()
	lookFor := func(most time.Duration) (time.Duration, error) {
		ctx, cancel := context.WithTimeout(t.Context(), most)
		defer cancel()
		begun := time.Now()
		err := p.Check(ctx)
		took := time.Since(begun)
		if err != nil && secret != "" && strings.Contains(err.Error(), secret) {
			t.Errorf("the error has the password: %v", err)
		}
		if took > 4*time.Second {
			t.Errorf("it took %v: %v", took, err)
		}
		return took, err
	}
	look := func() (time.Duration, error) { return lookFor(10 * time.Second) }
	healthy := func(when string) {
		t.Helper()
		first, err := look()
		fastest := first
		for tries := 0; err == nil && (tries < 4 || tries < 50 && fastest > 50*time.Millisecond); tries++ { // the machine may have other things to do
			var took time.Duration
			took, err = look()
			fastest = min(fastest, took)
		}
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if first > 3*time.Second || fastest > 50*time.Millisecond {
			t.Errorf("%s the first look takes %v and the fastest %v", when, first, fastest)
		}
	}
	healthy("when it is up")
	goroutines, files := runtime.NumGoroutine(), openFiles()
	s.Hang()
	if took, err := look(); !errors.Is(err, context.DeadlineExceeded) || took < 800*time.Millisecond {
		t.Errorf("when it hangs: error %v after %v, which is %[1]T", err, took)
	}
	fastest := time.Hour
	for tries := 1; tries <= 5 && fastest > 700*time.Millisecond; tries++ { // the machine may have other things to do
		took, err := lookFor(300 * time.Millisecond)
		if err == nil || took < 200*time.Millisecond {
			t.Errorf("when it hangs, and a look may take 300 ms: error %v after %v", err, took)
		}
		fastest = min(fastest, took)
	}
	if fastest > 700*time.Millisecond {
		t.Errorf("a look that may take 300 ms takes %v", fastest)
	}
	s.Go()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := look(); err == nil || time.Now().After(deadline) {
			break
		}
	}
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
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > goroutines+5 || openFiles() > files+5; time.Sleep(20 * time.Millisecond) {
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
	look := func() error {
		begun := time.Now()
		err := p.Check(t.Context())
		if took := time.Since(begun); took > time.Second {
			t.Errorf("it took %v: %v", took, err)
		}
		return err
	}
	if err := look(); err != nil {
		t.Fatal(err)
	}
	s.Lose()
	for range 2 {
		if err := look(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("over a lost connection: error %v, which is %[1]T", err)
		}
	}
	s.Find()
	for deadline := time.Now().Add(time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := look()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it is back, and the probe says %v", err)
		}
	}
}

// openFiles is how many this process has open.
func openFiles() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}
