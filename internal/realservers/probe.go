package realservers

import (
	"context"
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
// killed. Each look is back within three seconds, one at a server that is well within 50
// ms, and a thousand failures leave nothing behind. No error has the secret.
func Put(t *testing.T, p Probe, s Target, secret string) {
	t.Helper()
	look := func() (time.Duration, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		begun := time.Now()
		err := p.Check(ctx)
		took := time.Since(begun)
		if err != nil && secret != "" && strings.Contains(err.Error(), secret) {
			t.Errorf("the error has the password: %v", err)
		}
		if took > 3500*time.Millisecond {
			t.Errorf("it took %v: %v", took, err)
		}
		return took, err
	}
	healthy := func(when string) {
		t.Helper()
		fastest := time.Hour
		for range 5 {
			took, err := look()
			if err != nil {
				t.Fatalf("%s: %v", when, err)
			}
			fastest = min(fastest, took)
		}
		if fastest > 50*time.Millisecond {
			t.Errorf("%s it takes %v", when, fastest)
		}
	}
	healthy("when it is up")
	s.Hang()
	for range 2 {
		if took, err := look(); err == nil || took < 2*time.Second {
			t.Errorf("when it hangs: error %v after %v", err, took)
		}
	}
	s.Go()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
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
	goroutines, files := runtime.NumGoroutine(), openFiles()
	var looks sync.WaitGroup
	for range 50 {
		looks.Go(func() {
			for range 20 {
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

// openFiles is how many this process has open.
func openFiles() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}
