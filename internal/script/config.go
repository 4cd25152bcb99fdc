// Package script runs the scripts of others and says what they have found: for the check
// of a process, and for a probe of something else. What they print may be that of a
// monitoring plugin, of an external probe of cloudprober, or a line of JSON.
package script

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/cloudprober"
	"github.com/supervisor-checks/supervisor-checks/internal/command"
	"github.com/supervisor-checks/supervisor-checks/internal/foreign"
	"github.com/supervisor-checks/supervisor-checks/internal/jsoncheck"
	"github.com/supervisor-checks/supervisor-checks/internal/recurring"
)

// DefaultTimeout is how long a run may take when Config.Timeout is 0.
const DefaultTimeout = 15 * time.Second

const (
	// MaxOutput is how many bytes are kept of what a script writes to its standard output,
	// of what it writes to its standard error, and of the payload of a server's reply.
	MaxOutput = 64 << 10

	// mostName is how many bytes the name of a metric may have, with its labels.
	mostName = 500

	// MaxSeries is how many metrics of one run are kept.
	MaxSeries = 100

	// MaxAtOnce is how many scripts run at once for checks, and as many for probes. More
	// wait for their turn, which does not count as their own time.
	MaxAtOnce = 64
)

// Protocols are how a script says what it has found.
const (
	// Exit is by its exit status: 0 is healthy, 3, 126 and 127 are unknown, and others
	// unhealthy.
	Exit = "exit"

	// Nagios is that of monitoring plugins: 0 is healthy, 1 a warning, 3 (126, 127)
	// unknown, and others unhealthy. The first line of the output is the reason, and what
	// is behind a | in it are metrics.
	Nagios = "nagios"

	// Cloudprober is that of cloudprober's external probes that are run once for each look:
	// Exit, and each line of the output is a metric. They count whatever the exit status.
	Cloudprober = "cloudprober"

	// CloudproberServer is that of cloudprober's external probes that are servers: one
	// process, which answers requests for all. No reply in time is unhealthy when there ever
	// was one, and unknown before. When three requests in a row have none, and neither has
	// anybody else, the process is ended and begun anew. An error "skipped: …" is Skipped.
	CloudproberServer = "cloudprober-server"

	// JSON is an object in the last line of the output, as
	// {"status": "unhealthy", "reason": "the queue is full", "metrics": {"queue_length": 17}}.
	// Its status is healthy, unhealthy, unknown or skipped. The others may be left out, and what else
	// is in it says nothing. What is no such line is unknown. An exit status as in Exit, a
	// signal and the end of its time count as well, if that is worse; skipped may exit with 3.
	JSON = "json"
)

// Protocols are all of them.
var Protocols = []string{Exit, Nagios, Cloudprober, CloudproberServer, JSON}

// Config configures a script.
type Config struct {
	// Command is the program, by its path or to be found in PATH when it is run, and its
	// arguments. It is run without a shell. In the arguments %(NAME)s stands for what is
	// looked at: %(process_name)s, %(group_name)s, %(namespec)s and %(pid)s of the process
	// of a check, %(probe_name)s of a probe, and %% for a %. A server is there for all of
	// them, and has such names in its Options alone. It is required.
	Command []string

	// Env is added to our own environment: "NAME=value". It may have the same names in its
	// values.
	Env []string

	// Dir is the folder that it is run in, which may have the same names in it. "" means our own.
	Dir string

	// User is whom it is run as: a name or number, which that of a group may follow, as
	// "nobody:adm". Only root may run it as somebody else. "" means ourselves.
	User string

	// CleanEnv has it get nothing of our environment but PATH.
	CleanEnv bool

	// Protocol is one of Protocols. "" means Exit.
	Protocol string

	// Warning is what a warning means, of Nagios: "healthy", "unhealthy" or "unknown".
	// "" means "healthy": a warning is no reason to restart anything.
	Warning string

	// Options are sent with each request, of CloudproberServer. They may have the same
	// names in their values.
	Options map[string]string

	// What the standard output, or the payload of a server's reply, must be like for what
	// has succeeded to be healthy. ExpectOutput is a regular expression that must match,
	// ExpectText what must be in it, and RejectText what must not. ExpectJSON is for the
	// whole of it, or of JSON for its line. Of more than MaxOutput the beginning and the end
	// are judged, and what they do not decide is Unknown.
	ExpectOutput           string
	ExpectText, RejectText []string
	ExpectJSON             []jsoncheck.Place

	// OnlyIn are the environments that it is run in, such as develop and staging: for what
	// creates data, say. Where Environment is none of them, "" included, it is Skipped.
	// None means everywhere.
	OnlyIn      []string
	Environment string

	// Timeout bounds one run, and one request to a server. After it the script and all of
	// its process group are asked to end, and killed two seconds later. 0 means
	// DefaultTimeout.
	Timeout time.Duration

	// Retries is how often a check repeats a failed try within one run, after pauses of
	// 3 s, 6 s, 9 s … 0 or less means never. A probe does not repeat anything.
	Retries int

	// Log is told in a line, which begins with the program, of what a server writes to its
	// standard error, up to 20 lines in a minute, and, once an hour while it goes on, of its
	// end, of why it cannot be started, of metrics that cannot be read, and of a warning that
	// means healthy. nil means nobody is.
	Log func(line string)
}

// FieldError says which setting of a Config is wrong.
type FieldError struct {
	Field string // as on the command line: "clean-env"
	Err   error
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Err.Error() }

// Unwrap returns e.Err.
func (e *FieldError) Unwrap() error { return e.Err }

func refuse(field, format string, args ...any) error {
	return &FieldError{Field: field, Err: fmt.Errorf(format, args...)}
}

// withheld are variables that supervisord has set for us and not for anybody else: our
// own name in it, and with what it may be asked to do anything.
var withheld = []string{"SUPERVISOR_USERNAME", "SUPERVISOR_PASSWORD", "SUPERVISOR_PROCESS_NAME", "SUPERVISOR_GROUP_NAME"}

// New returns the script that cfg describes, or a *FieldError. names are those that may be
// used in it as %(NAME)s.
func New(cfg Config, names ...string) (*Script, error) {
	cfg.Options, cfg.ExpectText, cfg.RejectText = maps.Clone(cfg.Options), slices.Clone(cfg.ExpectText), slices.Clone(cfg.RejectText)
	cfg.Protocol, cfg.Warning = cmp.Or(cfg.Protocol, Exit), cmp.Or(cfg.Warning, Healthy.String())
	cfg.OnlyIn = slices.Clone(cfg.OnlyIn)
	s := &Script{
		cfg: cfg, names: slices.Clone(names),
		program: command.Command{
			Args: slices.Clone(cfg.Command), Dir: cfg.Dir, Env: slices.Clone(cfg.Env), CleanEnv: cfg.CleanEnv, Without: withheld,
			Timeout: cmp.Or(cfg.Timeout, DefaultTimeout), KillRest: true, Apart: true, MaxOutput: MaxOutput,
		},
		turns: turns{busy: make(map[string]chan struct{})}, warnings: make(map[string]*recurring.Trouble),
	}
	if err := s.check(names); err != nil {
		return nil, err
	}
	var err error
	if cfg.User != "" {
		if s.program.User, err = command.FindUser(cfg.User); err != nil {
			return nil, &FieldError{"user", err}
		}
	}
	if cfg.ExpectOutput != "" {
		if s.pattern, err = regexp.Compile(cfg.ExpectOutput); err != nil {
			return nil, &FieldError{"expect-output", err}
		}
	}
	if s.document, err = jsoncheck.New("the output", cfg.ExpectJSON); err != nil {
		return nil, &FieldError{"expect-json", err}
	}
	switch cfg.Warning {
	case Healthy.String():
		s.warning = Healthy
	case Unhealthy.String():
		s.warning = Unhealthy
	}
	if cfg.Protocol == CloudproberServer {
		if s.program, err = expanded(s.program, nil, nil); err != nil {
			return nil, err
		}
		s.program.Grace = serverGrace
		s.server = newServer(s.program, s.log)
	}
	return s, nil
}

// Find returns an error for a person if the program is not there now, by its path or in
// PATH. A path within a folder that has names in it cannot be known before.
func (c Config) Find() error {
	program := c.Command[0]
	switch {
	case c.Dir == "" || !strings.Contains(program, "/") || filepath.IsAbs(program):
	case strings.Contains(c.Dir, "%"):
		return nil
	default:
		program = filepath.Join(c.Dir, program)
	}
	return command.Find(program)
}

// check says what is wrong with the configuration, but for what New finds out on its way.
func (s *Script) check(names []string) error {
	cfg := s.cfg
	switch {
	case len(cfg.Command) == 0 || cfg.Command[0] == "":
		return refuse("command", "names no program")
	case !slices.Contains(Protocols, cfg.Protocol):
		return refuse("protocol", "%q is none of %s", cfg.Protocol, strings.Join(Protocols, ", "))
	case cfg.Warning != Healthy.String() && cfg.Warning != Unhealthy.String() && cfg.Warning != Unknown.String():
		return refuse("warning", "%q is none of healthy, unhealthy, unknown", cfg.Warning)
	case s.cfg.Protocol != Nagios && cfg.Warning != Healthy.String():
		return refuse("warning", "is only for the protocol %s", Nagios)
	case len(cfg.Options) > 0 && cfg.Protocol != CloudproberServer:
		return refuse("options", "are only for the protocol %s", CloudproberServer)
	case cfg.Timeout < 0:
		return refuse("timeout", "%v is less than 0", cfg.Timeout)
	}
	for _, variable := range cfg.Env {
		if name, _, is := strings.Cut(variable, "="); !is || name == "" {
			return refuse("env", "there is one that is not NAME=VALUE") // which may be a secret
		}
	}
	if _, err := options(cfg.Options, names, nil); err != nil {
		return err
	}
	if cfg.Protocol == CloudproberServer {
		names = nil
	}
	_, err := expanded(s.program, names, nil)
	return err
}

// expanded returns a program with values in the places of names.
func expanded(c command.Command, names []string, values map[string]string) (command.Command, error) {
	args, env := slices.Clone(c.Args), slices.Clone(c.Env)
	var err error
	for i := range args[1:] {
		if args[i+1], err = expand(args[i+1], names, values); err != nil {
			return c, &FieldError{"command", err}
		}
	}
	for i, variable := range env {
		name, value, _ := strings.Cut(variable, "=")
		if value, err = expand(value, names, values); err != nil {
			return c, refuse("env", "%s: %w", name, errors.Unwrap(err))
		}
		env[i] = name + "=" + value
	}
	if c.Dir, err = expand(c.Dir, names, values); err != nil {
		return c, &FieldError{"dir", err}
	}
	c.Args, c.Env = args, env
	return c, nil
}

// options are those of a request, with values in the places of names.
func options(given map[string]string, names []string, values map[string]string) ([]cloudprober.Option, error) {
	var all []cloudprober.Option
	for _, name := range slices.Sorted(maps.Keys(given)) {
		value, err := expand(given[name], names, values)
		if err != nil {
			return nil, refuse("options", "%s: %w", name, errors.Unwrap(err))
		}
		all = append(all, cloudprober.Option{Name: name, Value: value})
	}
	return all, nil
}

// expand puts values in the places of %(name)s, as supervisord's own configuration has
// them. The error shows what is wrong of the text, and wraps one that does not, for texts
// that may be secrets.
func expand(text string, names []string, values map[string]string) (string, error) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "%")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		if after, is := strings.CutPrefix(rest, "%"); is {
			b.WriteByte('%')
			text = after
			continue
		}
		name, after, ends := strings.Cut(strings.TrimPrefix(rest, "("), ")s")
		if !strings.HasPrefix(rest, "(") || !ends || !slices.Contains(names, name) {
			return "", fmt.Errorf("%q: %w", "%"+foreign.Line(rest, 60), errors.New("after a % comes "+places(names)))
		}
		b.WriteString(values[name])
		text = after
	}
}

// places says what may come after a %.
func places(names []string) string {
	switch last := len(names) - 1; last {
	case -1:
		return "another %, as there is nothing here that it could stand for"
	case 0:
		return "(" + names[0] + ")s, or another %"
	default:
		return "(" + strings.Join(names[:last], ")s, (") + ")s or (" + names[last] + ")s, or another %"
	}
}

// Errors of this package's own making.
var (
	errOtherRun = errors.New("the last run of this script has not ended yet")
	errNoTurn   = fmt.Errorf("%d other scripts run", MaxAtOnce)
)
