// Package prober is for programs that find out whether something works by doing what its
// users do. Such a prober is a function; the package times it, and makes of it a program
// for whoever runs probers: one that prints its latency as those of the Studio project do,
// an external probe of cloudprober (https://cloudprober.org) in both of its modes, a
// plugin for monitoring as Nagios has it, or a script for the checks and probes of this
// module. Session is for those who talk HTTP and have to log in.
//
//	func main() {
//		prober.Main(prober.Prober{Metric: "login_latency_msec", Probe: login})
//	}
package prober

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/cloudprober"
	"github.com/supervisor-checks/supervisor-checks/internal/foreign"
)

// DefaultTimeout is how long a probe may take when neither --timeout nor Prober.Timeout
// says so.
const DefaultTimeout = 10 * time.Second

// graceTime is how long a probe is still waited for when its context has ended, as for a
// logout.
const graceTime = time.Second

// Exit statuses of Run. With --output nagios they are those of plugins: 0 when it works, 2
// when it does not, and 3 for anything else.
const (
	ExitOK      = 0 // it works
	ExitFailed  = 1 // it does not
	ExitUsage   = 2 // the command line, or the Prober, is wrong
	ExitSkipped = 3 // it was not looked, see ErrSkipped
)

// ErrSkipped is for a Probe to return, wrapped or not, when it is not to look. That is
// neither a success nor a failure: the exit status is ExitSkipped, which monitoring
// plugins have for unknown, and nothing is printed that could be taken for a latency. To
// a request in SERVER mode, which knows nothing between them, the answer is an error.
var ErrSkipped = errors.New(cloudprober.Skipped)

// errProduction is why a Prober with DevelopOnly is skipped.
var errProduction = fmt.Errorf("%w: it is for development only, and this is production", ErrSkipped)

// Prober is a program that looks whether something works.
type Prober struct {
	// Metric is the name for the time that Probe takes: in milliseconds, or in seconds
	// if it ends in "_seconds". It is required, and must be a name for cloudprober.
	Metric string

	// Probe looks, and returns why it does not work, or nil. Its context ends at the
	// timeout, and when the program is told to end. A panic is an error, too. In SERVER
	// mode it is called by several goroutines at once.
	Probe func(context.Context) error

	// Name is what it is called in what it prints. "" means Metric without the unit.
	Name string

	// About is for --help: what it looks at, and what variables it reads.
	About string

	// Timeout is for how long Probe may take, unless --timeout says otherwise. 0 means
	// DefaultTimeout.
	Timeout time.Duration

	// DevelopOnly has it skipped in production (see ErrSkipped), as what it does leaves
	// something behind there.
	DevelopOnly bool

	// Production says that this is production. On reads it from a variable.
	Production bool
}

// On reports whether the value of a variable turns something on: false for "", 0, no, off,
// false, none and the beginnings f and n, in upper or lower case.
func On(value string) bool {
	off := []string{"", "0", "no", "n", "off", "false", "f", "none"}
	return !slices.Contains(off, strings.ToLower(strings.TrimSpace(value)))
}

// Main runs p as a program, as Run does, and ends the process. What Probe itself prints on
// standard output goes to standard error. On SIGTERM and SIGINT the context of Probe ends,
// which is a failure; a second one ends the process at once.
func Main(p Prober) {
	stdout := os.Stdout
	os.Stdout = os.Stderr
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, p, os.Args[1:], os.Stdin, stdout, os.Stderr))
}

// Run runs p with the arguments of a command line, of which --help tells, and returns the
// exit status. What was found is printed on stdout, and on stderr what else there is to
// say: why it does not work, above all. With --server it reads requests from stdin, until
// it ends.
func Run(p Prober, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return run(context.Background(), p, args, stdin, stdout, stderr)
}

func run(ctx context.Context, p Prober, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	stderr = &lockedWriter{w: stderr}
	p.Name = cmp.Or(p.Name, untimed(p.Metric), "prober")
	p.Timeout = cmp.Or(p.Timeout, DefaultTimeout)
	o, err := parse(p, args)
	switch {
	case errors.Is(err, errHelp):
		if _, err := io.WriteString(stdout, p.help()); err != nil {
			return ExitFailed
		}
		return ExitOK
	case err != nil:
		fmt.Fprintf(stderr, "%s: %s\n", p.Name, foreign.Line(err.Error(), 0))
		if nagiosWanted(args) {
			return nagiosUnknown(p, stdout, err)
		}
		return ExitUsage
	}
	if o.server {
		return p.serve(ctx, o, stdin, stdout, stderr)
	}
	f := p.once(ctx, o, stderr)
	for _, note := range f.notes {
		fmt.Fprintf(stderr, "%s: %s\n", p.Name, note)
	}
	if f.err != nil {
		fmt.Fprintf(stderr, "%s: %s\n", p.Name, foreign.Line(f.err.Error(), 0))
	}
	format := formats[o.output]
	if _, err := io.WriteString(stdout, format.text(p, f)); err != nil {
		fmt.Fprintf(stderr, "%s: print what was found: %v\n", p.Name, err)
		return format.exits[failed]
	}
	return format.exits[f.outcome()]
}

// outcome is what a look ends with.
type outcome int

const (
	works outcome = iota
	failed
	skipped
)

// found is what a look has found.
type found struct {
	err     error
	metrics []metric // the latency first, if it works
	notes   []string // for who wrote the probe
}

// metric is a number, and what it is called.
type metric struct {
	name  string
	value float64
}

// line is the metric as cloudprober reads it.
func (m metric) line() string {
	return cloudprober.Metric{Name: m.name, Value: cloudprober.Float(m.value)}.String()
}

// valid returns why cloudprober would not read the metric.
func (m metric) valid() error {
	read, err := cloudprober.ParseMetric(m.line())
	if err == nil && read.Name != m.name {
		err = fmt.Errorf("%q is no name for a metric", m.name)
	}
	return err
}

func (f found) outcome() outcome {
	switch {
	case f.err == nil:
		return works
	case errors.Is(f.err, ErrSkipped):
		return skipped
	}
	return failed
}

// notebook is where Add writes for a look, and where Option reads.
type notebook struct {
	options map[string]string

	mu      sync.Mutex
	metrics []metric
	notes   []string
}

type notebookKey struct{}

// Add has a metric printed besides the latency: with --output cloudprober, nagios and json,
// and in SERVER mode, whether it works or not. One of the same name before is replaced.
// What cloudprober does not take is left out, and that is said on standard error: names
// with spaces, quotes or braces, success, total and latency, and values that are not
// finite. ctx is that of Probe, or made of it.
func Add(ctx context.Context, name string, value float64) {
	book, is := ctx.Value(notebookKey{}).(*notebook)
	if !is {
		return
	}
	m := metric{name, value}
	err := m.valid()
	book.mu.Lock()
	defer book.mu.Unlock()
	if err != nil {
		book.notes = append(book.notes, err.Error())
		return
	}
	book.metrics = append(without(book.metrics, name), m)
}

func without(metrics []metric, name string) []metric {
	return slices.DeleteFunc(metrics, func(m metric) bool { return m.name == name })
}

// Option returns what --option says of a name or, in SERVER mode, an option of the request:
// the target, for example. It is "" for what there is nothing of. ctx is that of Probe, or
// made of it.
func Option(ctx context.Context, name string) string {
	book, is := ctx.Value(notebookKey{}).(*notebook)
	if !is {
		return ""
	}
	return book.options[name]
}

// once looks once, and does not wait for a probe that does not heed its context.
func (p Prober) once(ctx context.Context, o options, stderr io.Writer) found {
	late := fmt.Errorf("it takes longer than %v", o.timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, late)
	defer cancel()
	looked := make(chan found, 1)
	go func() {
		f := found{err: errors.New("it ended without a result")} // as by runtime.Goexit
		defer func() { looked <- f }()
		f = p.look(ctx, o.options, stderr)
	}()
	select {
	case f := <-looked:
		return f
	case <-ctx.Done():
	}
	select {
	case f := <-looked:
		return f
	case <-time.After(graceTime):
		return found{err: fmt.Errorf("%w, and it does not heed its context", context.Cause(ctx))}
	}
}

// look has the probe look, and finds a failure where its context has ended meanwhile.
func (p Prober) look(ctx context.Context, options map[string]string, stderr io.Writer) found {
	if p.DevelopOnly && p.Production {
		return found{err: errProduction}
	}
	book := &notebook{options: options}
	begin := time.Now()
	err := call(context.WithValue(ctx, notebookKey{}, book), p.Probe, stderr)
	took := time.Since(begin)
	if cause := context.Cause(ctx); cause != nil {
		if err == nil || errors.Is(err, ctx.Err()) {
			err = cause
		} else {
			err = fmt.Errorf("%w: %v", cause, err)
		}
	}
	book.mu.Lock()
	defer book.mu.Unlock()
	f := found{err: err, metrics: without(slices.Clone(book.metrics), p.Metric), notes: slices.Clone(book.notes)}
	if err == nil {
		f.metrics = slices.Insert(f.metrics, 0, metric{p.Metric, timed(p.Metric, took)})
	}
	return f
}

func call(ctx context.Context, probe func(context.Context) error, stderr io.Writer) (err error) {
	defer func() {
		if v := recover(); v != nil {
			fmt.Fprintf(stderr, "panic: %v\n%s", v, debug.Stack())
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return probe(ctx)
}

// timed is a time in the unit of a metric, to the microsecond.
func timed(metric string, took time.Duration) float64 {
	micros := math.Round(float64(took) / float64(time.Microsecond))
	if inSeconds(metric) {
		return micros / 1e6
	}
	return micros / 1e3
}

func inSeconds(metric string) bool { return strings.HasSuffix(metric, "_seconds") }

// untimed is a metric's name without its unit of time.
func untimed(metric string) string {
	for _, unit := range []string{"_msec", "_ms", "_milliseconds", "_seconds"} {
		if short, is := strings.CutSuffix(metric, unit); is {
			return short
		}
	}
	return metric
}

// serve answers the requests of cloudprober until there are no more.
func (p Prober) serve(ctx context.Context, o options, stdin io.Reader, stdout, stderr io.Writer) int {
	err := cloudprober.Serve(ctx, stdin, stdout, stderr, func(ctx context.Context, req cloudprober.Request) (string, error) {
		ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("it takes longer than %v", o.timeout))
		defer cancel()
		options := maps.Clone(o.options)
		for _, option := range req.Options {
			options[option.Name] = option.Value
		}
		f := p.look(ctx, options, stderr)
		for _, note := range f.notes {
			fmt.Fprintf(stderr, "%s: %s\n", p.Name, note)
		}
		err := f.err
		if f.outcome() == skipped && !(cloudprober.Reply{Error: err.Error()}).IsSkipped() {
			err = fmt.Errorf("%s: %w", cloudprober.Skipped, err)
		}
		return cloudproberText(p, f), err
	})
	if err != nil && ctx.Err() == nil {
		fmt.Fprintf(stderr, "%s: %v\n", p.Name, err)
		return ExitFailed
	}
	return ExitOK
}

// lockedWriter is for several goroutines.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}
