// Package checks looks at supervised processes: is this one working, and not
// just running? It holds what a check is and the built-in checks. A check knows
// no thresholds, no restarts and no log; those are the runner's.
package checks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// A Check looks at a supervised process and says whether it works.
type Check interface {
	// Name says what kind of check it is, in logs and records: "http". It
	// never changes.
	Name() string

	// Run looks at p. It is called for several processes at once and returns
	// soon after the end of ctx.
	Run(ctx context.Context, p supervisor.Process) Result
}

// A Result is what a check found.
type Result struct {
	Status  Status
	Err     error              // why Status is not Healthy; nil when it is
	Metrics map[string]float64 // unit in the key: "rss_bytes", "latency_seconds"; may be nil
}

// Status is the outcome of a check.
type Status int

// The outcomes of a check. Unhealthy is a fact about the process: it refuses,
// it is too slow, it answers wrongly. Unknown is a fact about the check: it
// could not look, and nothing follows for the process. Skipped is one about where we
// are: the check is not made here, which says of the process neither that it works nor
// that it does not.
const (
	Unknown Status = iota
	Healthy
	Unhealthy
	Skipped
)

// String returns "unknown", "healthy", "unhealthy" or "skipped".
func (s Status) String() string {
	switch s {
	case Healthy:
		return "healthy"
	case Unhealthy:
		return "unhealthy"
	case Skipped:
		return "skipped"
	}
	return "unknown"
}

// Pass returns a Healthy result.
func Pass() Result { return Result{Status: Healthy} }

// Fail returns an Unhealthy result because of err.
func Fail(err error) Result { return Result{Status: Unhealthy, Err: err} }

// Unsure returns an Unknown result because of err.
func Unsure(err error) Result { return Result{Status: Unknown, Err: err} }

// Skip returns a Skipped result because of err.
func Skip(err error) Result { return Result{Status: Skipped, Err: err} }

// ErrUnknown is wrapped by the error of a function given to Func that could not
// look at the process.
var ErrUnknown = errors.New("cannot tell")

// Func returns a check called name that calls f. The process is Healthy when f
// returns nil and Unhealthy when it returns an error, but Unknown when the
// error wraps ErrUnknown or ctx was cancelled: a failure of a call that was cut
// short says nothing of the process. A deadline of ctx that passes is a failure
// like any other.
func Func(name string, f func(ctx context.Context, p supervisor.Process) error) Check {
	return &funcCheck{name, f}
}

type funcCheck struct {
	name string
	f    func(context.Context, supervisor.Process) error
}

func (c *funcCheck) Name() string { return c.name }

func (c *funcCheck) Run(ctx context.Context, p supervisor.Process) Result {
	return outcome(ctx, c.f(ctx, p))
}

// outcome is the result of a function that had ctx and returned err.
func outcome(ctx context.Context, err error) Result {
	switch {
	case err == nil:
		return Pass()
	case errors.Is(err, ErrUnknown):
		return Unsure(err)
	case errors.Is(ctx.Err(), context.Canceled) && !errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		return Unsure(fmt.Errorf("cut short: %w", err))
	}
	return Fail(err)
}

// retryPause is the pause before the second try. Each further one is longer by
// as much.
const retryPause = 3 * time.Second

// retry calls try until it returns nil, once and up to retries times again, and
// returns its last error, with the number of tries if there were several. It
// pauses 3 s, 6 s, 9 s … in between. The end of ctx ends it, and so does an error
// that another try would not change: ErrUnknown, and a fault, which is an answer.
func retry(ctx context.Context, retries int, try func() error) error {
	for tries := 1; ; tries++ {
		err := try()
		if err == nil {
			return nil
		}
		fault := (*XMLRPCFault)(nil)
		final := tries > retries || errors.Is(err, ErrUnknown) || errors.As(err, &fault)
		if !final {
			select {
			case <-ctx.Done():
				final = true
			case <-time.After(time.Duration(tries) * retryPause):
			}
		}
		switch {
		case final && tries > 1:
			return fmt.Errorf("%w (after %d tries)", err, tries)
		case final:
			return err
		}
	}
}

// A ConfigError says which setting of a check is wrong. Its text never holds a
// secret.
type ConfigError struct {
	Check string // the name of the check: "http"
	Field string // as on the command line and in a configuration file: "expect-status"
	Err   error
	With  []string // other settings that the text of Err names, spelled as Field is
}

// Error returns the first three: `http: port: "70000" is not between 1 and 65535`.
func (e *ConfigError) Error() string { return e.Check + ": " + e.Field + ": " + e.Err.Error() }

// Unwrap returns e.Err.
func (e *ConfigError) Unwrap() error { return e.Err }

func refuse(check, field, format string, args ...any) error {
	return &ConfigError{Check: check, Field: field, Err: fmt.Errorf(format, args...)}
}

// refuseWith refuses a setting because another is given.
func refuseWith(check, field, other string) error {
	return &ConfigError{Check: check, Field: field, Err: fmt.Errorf("is of no use with %s: give one of them", other), With: []string{other}}
}
