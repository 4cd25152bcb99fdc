package checks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

var web = supervisor.Process{Group: "web", Name: "web_8001", PID: 42, State: supervisor.Running}

func TestFunc(t *testing.T) {
	errDown := errors.New("down")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	overdue, cancel := context.WithTimeout(t.Context(), -1)
	defer cancel()
	passedOn, cancelCause := context.WithCancelCause(t.Context())
	cancelCause(context.DeadlineExceeded)

	tests := []struct {
		name   string
		ctx    context.Context
		err    error
		status Status
		text   string
	}{
		{"nil", t.Context(), nil, Healthy, ""},
		{"nil in spite of a cancelled context", cancelled, nil, Healthy, ""},
		{"an error", t.Context(), errDown, Unhealthy, "down"},
		{"an error after a deadline", overdue, errDown, Unhealthy, "down"},
		{"an error after somebody else's deadline", passedOn, errDown, Unhealthy, "down"},
		{"an error after a cancellation", cancelled, errDown, Unknown, "cut short: down"},
		{"ErrUnknown", t.Context(), fmt.Errorf("%w: %w", ErrUnknown, errDown), Unknown, "cannot tell: down"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Func("mine", func(ctx context.Context, p supervisor.Process) error {
				if ctx != tt.ctx || p != web {
					t.Error("called with something else")
				}
				return tt.err
			})
			if c.Name() != "mine" {
				t.Errorf("Name() = %q", c.Name())
			}
			r := c.Run(tt.ctx, web)
			if r.Status != tt.status || text(r.Err) != tt.text || !errors.Is(r.Err, tt.err) {
				t.Errorf("got %v, %v, want %v, %s", r.Status, r.Err, tt.status, tt.text)
			}
		})
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestStatusString(t *testing.T) {
	got := fmt.Sprint(Status(0), Unknown, Healthy, Unhealthy)
	if want := "unknown unknown healthy unhealthy"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestRetry(t *testing.T) {
	errDown := errors.New("down")
	tests := []struct {
		name     string
		retries  int
		failures int // before the first success
		err      error
		tries    []time.Duration
		want     string
	}{
		{"a success is not repeated", 2, 0, errDown, []time.Duration{0}, ""},
		{"no retries", 0, 9, errDown, []time.Duration{0}, "down"},
		{"negative retries", -1, 9, errDown, []time.Duration{0}, "down"},
		{"up to a success", 5, 2, errDown, []time.Duration{0, 3 * time.Second, 9 * time.Second}, ""},
		{"up to the last try", 3, 9, errDown, []time.Duration{0, 3 * time.Second, 9 * time.Second, 18 * time.Second}, "down (after 4 tries)"},
		{"one that cannot look is not repeated", 3, 9, ErrUnknown, []time.Duration{0}, "cannot tell"},
		{"a fault is not repeated", 3, 9, &XMLRPCFault{Code: 7, Text: "tired"}, []time.Duration{0}, `fault 7: "tired"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				var tries []time.Duration
				err := retry(t.Context(), tt.retries, func() error {
					tries = append(tries, time.Since(start))
					if len(tries) > tt.failures {
						return nil
					}
					return tt.err
				})
				if text(err) != tt.want || err != nil && !errors.Is(err, tt.err) || !slices.Equal(tries, tt.tries) {
					t.Errorf("got %v after tries at %v, want %q after %v", err, tries, tt.want, tt.tries)
				}
			})
		})
	}
}

func TestCancellationEndsAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(5*time.Second, cancel)
		tries := 0
		errDown := errors.New("down")
		err := retry(ctx, 3, func() error { tries++; return errDown })
		if r := outcome(ctx, err); r.Status != Unknown || text(r.Err) != "cut short: down (after 2 tries)" {
			t.Errorf("got %v, %v", r.Status, r.Err)
		}
		if took := time.Since(start); tries != 2 || took != 5*time.Second {
			t.Errorf("%d tries in %v, want 2 in 5s", tries, took)
		}
	})
}

func TestDeadlineInAPauseLeavesTheLastError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		errDown := errors.New("down")
		err := retry(ctx, 3, func() error { return errDown })
		if r := outcome(ctx, err); r.Status != Unhealthy || r.Err != errDown {
			t.Errorf("got %v, %v", r.Status, r.Err)
		}
	})
}

func TestConfigError(t *testing.T) {
	cause := errors.New("no")
	err := error(&ConfigError{Check: "http", Field: "url", Err: cause})
	if err.Error() != "http: url: no" || !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
}
