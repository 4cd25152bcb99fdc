package config

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/internal/decimal"
	"github.com/supervisor-checks/supervisor-checks/internal/logout"
	"github.com/supervisor-checks/supervisor-checks/internal/script"
	"github.com/supervisor-checks/supervisor-checks/internal/setting"
	"github.com/supervisor-checks/supervisor-checks/runner"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// Types of single values.
type (
	Duration       time.Duration // a number of seconds, or 30s
	Positive       time.Duration // the same, but not 0
	Period         time.Duration // no less than runner.LeastPeriod
	Count          int           // from 1 on
	Percent        float64       // 90 or 90%
	PercentOfGroup float64       // more than 0 and less than 100
	Signal         string        // without SIG
	Decimal        float64       // any number
	LogFormat      string
	RecordFormat   string
	LogLevel       string
)

// Size is an amount of memory.
type Size struct {
	Bytes   uint64
	Percent float64 // of what there is, if Bytes is 0
}

// Scalar is a text, a number or a truth value.
type Scalar struct{ Value any }

func parseDecimal(s string) (float64, error) {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || strings.Trim(s, "0123456789.-+eE") != "" {
		return 0, fmt.Errorf("%q is not a number", s)
	}
	return n, nil
}

// Pattern is which processes are meant.
type Pattern struct {
	Text     string // without the !
	Excludes bool
}

// String returns it as it was written.
func (p Pattern) String() string {
	if p.Excludes {
		return "!" + p.Text
	}
	return p.Text
}

// Command is a program with its arguments. Words are one that may come later, or go.
type (
	Command []string
	Words   []string
)

// scalar is how a single value is read, and what a schema says of it.
type scalar struct {
	parse  func(text string) (any, error)
	schema map[string]any
}

// one makes a scalar of what reads it.
func one[T any](parse func(string) (T, error), schema map[string]any) scalar {
	return scalar{func(text string) (any, error) { return parse(text) }, schema}
}

// orNone reads "none", too, for what there is by default.
func orNone[T any](parse func(string) (T, error), schema map[string]any) scalar {
	return one(func(s string) (v T, err error) {
		if s == "none" {
			return v, nil
		}
		return parse(s)
	}, schema)
}

// text is the schema of a text that matches an expression, or has a variable in it.
func text(expression string) map[string]any {
	return map[string]any{"type": "string", "pattern": expression + `|\$\{`}
}

// orNumber is one of what may be a number, too, of a type and within bounds.
func orNumber(kind, bound string, of any, expression string) map[string]any {
	return map[string]any{"type": []string{"string", kind}, bound: of, "pattern": expression + `|\$\{`}
}

func words(all ...string) map[string]any {
	return map[string]any{"anyOf": []any{map[string]any{"enum": all}, text(`^$`)}}
}

// anyCase makes an expression of words in any case.
func anyCase(words ...string) string {
	var b strings.Builder
	for i, word := range words {
		if i > 0 {
			b.WriteByte('|')
		}
		for _, c := range word {
			if lower := unicode.ToLower(c); lower != c {
				fmt.Fprintf(&b, "[%c%c]", c, lower)
			} else {
				b.WriteRune(c)
			}
		}
	}
	return "(" + b.String() + ")"
}

// wordOf reads one of some words.
func wordOf[T ~string](all ...string) scalar {
	return one(func(s string) (T, error) { return T(s), setting.OneOf(s, all...) }, words(all...))
}

const (
	durationPattern = `^ *[0-9]+d?$|^ *[0-9]+ *$|^[0-9]+\.[0-9]*$|^\.[0-9]+$|^\+?([0-9]+\.?[0-9]*(h|m|s|ms|us|µs|μs|ns)|\.[0-9]+(h|m|s|ms|us|µs|μs|ns))+$`
	countPattern    = `^ *[0-9]*[1-9][0-9]* *$`
	percentPattern  = `^ *[0-9.]+ *%? *$`
)

var signals = anyCase("SIG") + "?" + anyCase("HUP", "INT", "QUIT", "KILL", "USR1", "USR2", "TERM")

// scalars are the types of single values that are no plain strings.
var scalars = map[reflect.Type]scalar{
	reflect.TypeFor[Duration](): one(parseDuration, orNumber("number", "minimum", 0, durationPattern)),
	reflect.TypeFor[Positive](): one(atLeast(1), orNumber("number", "exclusiveMinimum", 0, durationPattern)),
	reflect.TypeFor[Period]():   one(atLeast(runner.LeastPeriod), orNumber("number", "minimum", runner.LeastPeriod.Seconds(), durationPattern)),
	reflect.TypeFor[int]():      one(notNegative, orNumber("integer", "minimum", 0, `^ *[0-9]+ *$`)),
	reflect.TypeFor[Count]():    one(setting.Count, orNumber("integer", "minimum", 1, countPattern)),
	reflect.TypeFor[Percent]():  one(morePercent, orNumber("number", "exclusiveMinimum", 0, percentPattern)),
	reflect.TypeFor[Size]():     one(parseSize, text(`^ *[0-9.]+ *([kmgtKMGT][iI]?)?[bB] *$|^ *(100|0*[0-9]{0,2}(\.[0-9]+)?) *%$`)),

	reflect.TypeFor[runner.Threshold]():    one(setting.Threshold, orNumber("integer", "minimum", 1, `^ *[0-9]*[1-9][0-9]* *(/ *[0-9]*[1-9][0-9]* *)?$`)),
	reflect.TypeFor[runner.RestartLimit](): orNone(setting.RestartLimit, text(`^ *[0-9]*[1-9][0-9]* */[^ ]+$|^none$`)),
	reflect.TypeFor[runner.Then]():         wordOf[runner.Then](string(runner.ThenStop), string(runner.ThenAlert), string(runner.ThenIgnore)),
	reflect.TypeFor[runner.Backoff]():      orNone(setting.Backoff, orNumber("number", "exclusiveMinimum", 0, `^[^, ]+(,[^, ]+){0,3}$`)),
	reflect.TypeFor[runner.Share]():        orNone(setting.Share, orNumber("integer", "minimum", 1, countPattern+`|^ *[0-9.]+ *% *$|^none$`)),
	reflect.TypeFor[PercentOfGroup]():      orNone(setting.PercentOfGroup, below100(orNumber("number", "exclusiveMinimum", 0, percentPattern+`|^none$`))),
	reflect.TypeFor[runner.Action]():       one(parseAction, text(`^(restart|alert|stop|shutdown|signal:`+signals+`|exec:.+)$`)),
	reflect.TypeFor[supervisor.State]():    one(parseState, text(`^ *`+anyCase(supervisor.Fatal.String(), supervisor.Exited.String())+` *$`)),
	reflect.TypeFor[Signal]():              one(func(s string) (string, error) { return setting.Signal(s), nil }, text(`^`+signals+`$`)),
	reflect.TypeFor[checks.MemoryMetric](): wordOf[checks.MemoryMetric](string(checks.RSS), string(checks.PSS), string(checks.USS)),
	reflect.TypeFor[checks.LogStream]():    wordOf[checks.LogStream](string(checks.StdoutLog), string(checks.StderrLog), string(checks.BothLogs)),

	reflect.TypeFor[Pattern]():  one(parsePattern, orNumber("number", "minimum", 0, `^!?[^!:][^:]*(:[^:]*)?$`)),
	reflect.TypeFor[Decimal]():  one(parseDecimal, map[string]any{"type": []string{"number", "string"}}),
	reflect.TypeFor[Schedule](): one(parseSchedule, text(`^ *[^ ]+( +[^ ]+){4} *$`)),
	reflect.TypeFor[Zone]():     one(parseZone, map[string]any{"type": "string", "minLength": 1}),

	reflect.TypeFor[scriptProtocol](): wordOf[scriptProtocol](script.Protocols...),
	reflect.TypeFor[scriptVariable](): one(func(s string) (string, error) { return s, nil }, map[string]any{"type": []string{"string", "number"}}),
	reflect.TypeFor[scriptWarning]():  wordOf[scriptWarning]("healthy", "unhealthy", "unknown"),
	reflect.TypeFor[LogFormat]():      wordOf[LogFormat]("text", "json", "gelf"),
	reflect.TypeFor[RecordFormat]():   wordOf[RecordFormat]("records", "uptimer"),
	reflect.TypeFor[logout.Address](): one(logout.ParseAddress, text(`^stderr$|^(tcp|udp|syslog\+tcp|syslog\+udp)://[^/@]+/?$|^syslog:///.`)),
	reflect.TypeFor[LogLevel]():       wordOf[LogLevel]("debug", "info", "warn", "error"),
}

func below100(schema map[string]any) map[string]any {
	schema["exclusiveMaximum"] = 100
	return schema
}

// parseDuration reads a number of seconds, which may be a fraction, and 30s.
func parseDuration(s string) (time.Duration, error) {
	if strings.Trim(s, "0123456789") == "." {
		s += "s"
	}
	return setting.NotLess(s)
}

// atLeast reads what parseDuration does, of no less than that.
func atLeast(least time.Duration) func(string) (time.Duration, error) {
	return func(s string) (time.Duration, error) {
		d, err := parseDuration(s)
		switch {
		case err != nil || d >= least:
		case d == 0:
			err = fmt.Errorf("%q is not more than 0", s)
		default:
			err = fmt.Errorf("%q is less than %v", s, least)
		}
		return d, err
	}
}

func notNegative(s string) (int, error) {
	n, err := decimal.Parse(s)
	if err == nil && n < 0 {
		err = fmt.Errorf("%q is less than 0", s)
	}
	return n, err
}

func morePercent(s string) (float64, error) {
	p, err := setting.Percentage(s)
	if err == nil && p <= 0 {
		err = fmt.Errorf("%q is not more than 0", s)
	}
	return p, err
}

// parseSize reads `400MiB` and `80%`. A number alone may be KiB, as on the command
// lines, or bytes.
func parseSize(s string) (size Size, err error) {
	if _, err := decimal.Parse(s); err == nil {
		return size, fmt.Errorf("%q has no unit: write %sKiB for what the options of that name mean, or 400MiB, 1.5GB", s, strings.TrimSpace(s))
	}
	if strings.HasSuffix(s, "%") {
		size.Percent, err = morePercent(s)
		if err == nil && size.Percent > 100 {
			err = fmt.Errorf("%q is more than 100 %%", s)
		}
		return size, err
	}
	size.Bytes, err = setting.Size(s)
	if err != nil {
		err = fmt.Errorf("%q is no size: write one with a unit, 400MiB or 1.5GB, or a part, 80%%", s)
	}
	return size, err
}

func parseAction(s string) (runner.Action, error) {
	a, err := setting.Action(s)
	if err == nil {
		err = runner.Policy{Action: a}.Validate()
		var refused *runner.PolicyError
		if errors.As(err, &refused) {
			err = refused.Err
		}
	}
	return a, err
}

func parseState(s string) (supervisor.State, error) {
	states, err := setting.States(s)
	if err == nil && len(states) != 1 {
		err = fmt.Errorf("%q is several states: write [FATAL, EXITED]", s)
	}
	if err != nil {
		return 0, err
	}
	return states[0], nil
}

func parsePattern(s string) (p Pattern, err error) {
	p.Text, p.Excludes = strings.CutPrefix(s, "!")
	return p, runner.CheckPattern(p.Text)
}
