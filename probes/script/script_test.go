package script_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	checked "github.com/supervisor-checks/supervisor-checks/internal/script"
	"github.com/supervisor-checks/supervisor-checks/probes"
	"github.com/supervisor-checks/supervisor-checks/probes/script"
)

var _ probes.Measurer = (*script.Script)(nil)

func TestScript(t *testing.T) {
	for _, tt := range []struct {
		name    string
		cfg     script.Config
		want    string // the error; "" is none
		metrics map[string]float64
	}{
		{"healthy", script.Config{Command: []string{"sh", "-c", `test "$SUPERVISOR_CHECK_PROBE $1" = "shop shop"`, "sh", "%(probe_name)s"}}, "", nil},
		{"unhealthy", script.Config{Command: []string{"sh", "-c", "echo closed; exit 1"}}, "it exited with status 1: closed", nil},
		{"unknown is no success", script.Config{Command: []string{"sh", "-c", "exit 3"}}, "it exited with status 3", nil},
		{"what cannot be run is none", script.Config{Command: []string{"/no/such"}}, "it cannot be run: fork/exec /no/such: no such file or directory", nil},
		{"too slow", script.Config{Command: []string{"sleep", "60"}, Timeout: 100 * time.Millisecond}, "it took too long and was killed after 100ms", nil},
		{"metrics of a failure", script.Config{Command: []string{"sh", "-c", "echo orders 7; exit 1"}, Protocol: "cloudprober"}, "it exited with status 1: orders 7", map[string]float64{"orders": 7}},
	} {
		p, err := script.New("shop", tt.cfg)
		if err != nil {
			t.Fatal(err)
		}
		metrics, err := p.Measure(t.Context())
		text := ""
		if err != nil {
			text = err.Error()
		}
		if text != tt.want || !maps.Equal(metrics, tt.metrics) {
			t.Errorf("%s: got %q, %v\nwant %q, %v", tt.name, text, metrics, tt.want, tt.metrics)
		}
		if err := p.Check(t.Context()); (err == nil) != (tt.want == "") {
			t.Errorf("%s: Check says %v", tt.name, err)
		}
		if err := p.Close(); err != nil || p.Name() != "shop" {
			t.Errorf("%s: %s: %v", tt.name, p.Name(), err)
		}
	}
}

func TestElsewhere(t *testing.T) {
	p, err := script.New("shop", script.Config{Command: []string{"true"}, OnlyIn: []string{"develop"}, Environment: "production"})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Check(t.Context()); !errors.Is(err, probes.ErrSkipped) {
		t.Errorf("%v", err)
	}
}

// TestCutShort has what ends it be the error, and the last words of the program behind it.
func TestCutShort(t *testing.T) {
	for _, tt := range []struct {
		command, want   string
		timeout, within time.Duration
		late            bool
	}{
		{"echo waiting for the lock; sleep 60", "no answer within 500ms: waiting for the lock", time.Minute, 500 * time.Millisecond, true},
		{"echo waiting for the lock; sleep 60", "it took too long and was killed after 100ms: waiting for the lock", 100 * time.Millisecond, time.Minute, false},
		{"trap '' TERM; echo waiting for the lock; sleep 60; sleep 60", "no answer within 500ms: it took too long and was killed after 100ms: waiting for the lock", 100 * time.Millisecond, 500 * time.Millisecond, true},
	} {
		p, err := script.New("shop", script.Config{Command: []string{"sh", "-c", tt.command}, Timeout: tt.timeout})
		if err != nil {
			t.Fatal(err)
		}
		look := func() error {
			ctx, cancel := probes.WithTimeout(t.Context(), tt.within)
			defer cancel()
			return p.Check(ctx)
		}
		err = look()
		for begun := time.Now(); err.Error() != tt.want && time.Since(begun) < 30*time.Second; { // a busy machine may give it no time to speak
			err = look()
		}
		var late *probes.TimeoutError
		if is := errors.As(err, &late) && errors.Is(err, context.DeadlineExceeded); is != tt.late || err.Error() != tt.want {
			t.Errorf("%v, want %s", err, tt.want)
		}
	}
}

// TestChecksThatHang have no probe wait.
func TestChecksThatHang(t *testing.T) {
	hangs, err := checked.New(checked.Config{Command: []string{"sleep", "600"}, Timeout: 10 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	for i := range checked.MaxAtOnce + 1 {
		all.Go(func() { hangs.Run(ctx, checked.Subject{Key: fmt.Sprint(i)}) })
	}
	for begun := time.Now(); ; {
		short, stop := context.WithTimeout(t.Context(), 10*time.Millisecond)
		o := hangs.Run(short, checked.Subject{Key: "one more"})
		stop()
		if strings.HasPrefix(o.Err.Error(), "64 other scripts run") {
			break
		}
		if time.Since(begun) > 30*time.Second {
			t.Fatal(o.Err)
		}
	}
	p, err := script.New("shop", script.Config{Command: []string{"true"}})
	if err != nil {
		t.Fatal(err)
	}
	limited, stop := probes.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	if err := p.Check(limited); err != nil {
		t.Error(err)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  script.Config
		want string
	}{
		{"", script.Config{Command: []string{"true"}}, "script: name: is required"},
		{"a", script.Config{Command: []string{"true"}, Retries: 1}, "script: retries: are not for probes, which look again at their next time"},
		{"a", script.Config{}, "script: command: names no program"},
		{"a", script.Config{Command: []string{"true", "%(pid)s"}}, `script: command: "%(pid)s": after a % comes (probe_name)s, or another %`},
		{"a", script.Config{Command: []string{"true"}, ExpectOutput: "("}, "script: expect_output: error parsing regexp: missing closing ): `(`"},
	} {
		_, err := script.New(tt.name, tt.cfg)
		var bad *probes.ConfigError
		if !errors.As(err, &bad) || err.Error() != tt.want {
			t.Errorf("%v\nwant %s", err, tt.want)
		}
	}
}
