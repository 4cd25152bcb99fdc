// Package probes looks at what a service depends on: is the database there, does the
// other service answer? A probe is light, reads only, and says whether the other side
// can be used, whatever becomes of this one. Those that need the library of somebody
// else are in packages of their own, such as probes/redis, so that a program links
// only what it names.
package probes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/httpcheck"
	"github.com/supervisor-checks/supervisor-checks/internal/tlsfiles"
)

// A Probe says whether something can be used.
type Probe interface {
	// Name is what is probed: "db". It never changes.
	Name() string

	// Check returns nil when it can be used, and else why not. It is called from
	// several goroutines and returns soon after the end of ctx.
	Check(ctx context.Context) error
}

// An Answer is what a server has answered to a request for a URL.
type Answer struct {
	URL          string // without user, query and fragment
	StatusCode   int    // 0 where there was none
	Regex        string // that the body should match
	MatchesRegex *bool  // nil where there is no Regex, or no body was read
}

// An Asker is a Probe of a URL. Ask does what Check does, and tells of the answer, too.
type Asker interface {
	Probe
	Ask(ctx context.Context) (Answer, error)
}

// A Measurer is a Probe that measures. Measure does what Check does, and returns what it has
// measured, too, whatever came of it: under names with labels as Prometheus writes them,
// rows{table="a"}. It may be nil.
type Measurer interface {
	Probe
	Measure(ctx context.Context) (metrics map[string]float64, err error)
}

// DefaultTimeout is how long a probe may take where its configuration says nothing.
const DefaultTimeout = 3 * time.Second

// TLS is what a probe trusts, and what it shows: CAFile, CertFile and KeyFile are files
// in PEM, ServerName takes the place of the host that is dialed, and Insecure accepts
// any certificate.
type TLS = tlsfiles.Files

// A ConfigError says which setting of a probe is wrong. Its text never holds a secret.
type ConfigError struct {
	Probe string // its kind: "http"
	Field string // as in a configuration file: "expect_status"
	Err   error
}

func (e *ConfigError) Error() string { return e.Probe + ": " + e.Field + ": " + e.Err.Error() }

// Unwrap returns e.Err.
func (e *ConfigError) Unwrap() error { return e.Err }

func refuse(probe, field, format string, args ...any) error {
	return &ConfigError{probe, field, fmt.Errorf(format, args...)}
}

// Func returns a probe that calls f, such as the Ping of a client that a program has
// anyway. f is told by its context when the time is over, and waited for: what leaves one
// behind that does not heed that is a health.Prober.
func Func(name string, f func(context.Context) error) Probe { return &funcProbe{name, f} }

type funcProbe struct {
	name string
	f    func(context.Context) error
}

func (p *funcProbe) Name() string                    { return p.name }
func (p *funcProbe) Check(ctx context.Context) error { return p.f(ctx) }

// ErrSample is the error of a Sample that is not healthy.
var ErrSample = errors.New("this is how it looks when something cannot be used")

// Sample returns a probe for trying things out: it takes that long and is healthy or
// not.
func Sample(name string, takes time.Duration, healthy bool) Probe {
	return Func(name, func(ctx context.Context) error {
		select {
		case <-time.After(takes):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if !healthy {
			return ErrSample
		}
		return nil
	})
}

// Close ends what a probe has begun, such as connections, where it has a Close for that. It
// must not be used any more.
func Close(p Probe) {
	switch p := p.(type) {
	case io.Closer:
		p.Close()
	case interface{ Close() }:
		p.Close()
	}
}

// ErrSkipped is wrapped by the error of a probe that is not made where we are: it says
// neither that the other side can be used nor that it cannot. Skip makes such an error.
var ErrSkipped = errors.New("it is skipped")

// Skip returns an error that says what why does, and is an ErrSkipped.
func Skip(why error) error { return skip{why} }

type skip struct{ error }

func (s skip) Unwrap() []error { return []error{ErrSkipped, s.error} }

// A TimeoutError is the error of a probe whose time is over. It is a
// context.DeadlineExceeded.
type TimeoutError struct{ After time.Duration }

func (e *TimeoutError) Error() string { return fmt.Sprintf("no answer within %v", e.After) }

// Unwrap returns context.DeadlineExceeded.
func (e *TimeoutError) Unwrap() error { return context.DeadlineExceeded }

// WithTimeout is ctx with a timeout, whose end is a *TimeoutError.
func WithTimeout(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, timeout, &TimeoutError{timeout})
}

// Because is why a look has ended with err: nil where that is nil, why ctx has ended if it
// has, or would have by now, and else err. Its text is one printable line of bounded
// length, whatever the other side has said; it wraps err.
func Because(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if end, is := ctx.Deadline(); is && !time.Now().Before(end) {
		<-ctx.Done() // which a client may be a little ahead of, by a clock of its own
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return httpcheck.Printable(err)
}

// field is the key in a file for a field of a command line.
func field(name string) string { return strings.ReplaceAll(name, "-", "_") }
