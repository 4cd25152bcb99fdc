package script

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/supervisor-checks/supervisor-checks/internal/command"
	"github.com/supervisor-checks/supervisor-checks/internal/foreign"
	"github.com/supervisor-checks/supervisor-checks/internal/nagios"
)

// mostReason is how many bytes of what a script says are in a reason.
const mostReason = 300

// couldNotLook are the exit statuses of a program that could not look: that of monitoring
// plugins, and those of a shell for a command that cannot be run or is not found.
var couldNotLook = []int{3, 126, 127}

// judge says what a run that wrote this and ended so means.
func (s *Script) judge(output command.Output, err error) Outcome {
	if errors.Is(err, command.ErrNotRun) {
		return Outcome{Unknown, err, nil}
	}
	status, exit := byExit(err), exitStatus(err)
	text := strings.Join(slices.Collect(output.Stdout.Lines()), "\n")
	o := Outcome{Status: status, Err: because(err, lastLine(output.Stderr.String()), lastLine(output.Stdout.String()))}
	switch s.cfg.Protocol {
	case Cloudprober:
		o.Metrics = s.metrics(text)
	case Nagios:
		said, metrics, bad := nagios.Parse(text)
		if exit == 1 {
			o.Status = s.warning
		}
		first, _, _ := strings.Cut(said, "\n")
		o.Err = because(err, foreign.Line(strings.TrimSpace(first), mostReason), lastLine(output.Stderr.String()))
		o.Metrics = s.kept(metrics, bad)
	case JSON:
		line := lastOf(text)
		o = s.reply(line, o, exit)
		return s.expect(o, line, true)
	}
	if o.Status == Healthy {
		o.Err = nil
	}
	_, lost := output.Stdout.Parts()
	whole := lost == 0
	return s.expect(o, output.Stdout.String(), whole)
}

// byExit is what the end of a program means.
func byExit(err error) Status {
	switch {
	case err == nil:
		return Healthy
	case slices.Contains(couldNotLook, exitStatus(err)):
		return Unknown
	}
	return Unhealthy
}

// exitStatus is the exit status of a program that has ended so, -1 where it has none.
func exitStatus(err error) int {
	var exit *command.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.Status
	}
	return -1
}

// because adds the first of what there is to say to an error.
func because(err error, words ...string) error {
	i := slices.IndexFunc(words, func(text string) bool { return text != "" })
	if err == nil || i < 0 {
		return err
	}
	return fmt.Errorf("%w: %s", err, words[i])
}

// lastLine is the last line of a text that has something in it, fit for a reason.
func lastLine(text string) string { return foreign.Line(lastOf(text), mostReason) }

func lastOf(text string) string {
	text = strings.TrimSpace(text)
	return strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:])
}

// plainName is the name of a metric in a reply in JSON.
var plainName = regexp.MustCompile(`^[A-Za-z_:][A-Za-z0-9_:.-]{0,99}$`)

// reply is what a line of JSON says, by is what is known without it.
func (s *Script) reply(line string, by Outcome, exit int) Outcome {
	var r struct {
		Status  string
		Reason  string
		Metrics map[string]any
	}
	err := json.Unmarshal([]byte(line), &r)
	status := Status(slices.Index(words, r.Status))
	if err != nil || status < 0 {
		switch {
		case exit < 0: // it was ended
			return by
		case by.Err != nil:
			return Outcome{Unknown, fmt.Errorf("%w, and wrote no reply", by.Err), nil}
		case line == "":
			return Outcome{Unknown, errors.New("it wrote no reply"), nil}
		case err == nil:
			return Outcome{Unknown, fmt.Errorf("the status of its reply is none of healthy, unhealthy, unknown, skipped: %s", foreign.Line(line, mostReason)), nil}
		}
		return Outcome{Unknown, fmt.Errorf("its last line is no reply in JSON: %s", foreign.Line(line, mostReason)), nil}
	}
	o := Outcome{Status: status, Metrics: s.jsonMetrics(r.Metrics)}
	switch reason := foreign.Line(strings.TrimSpace(r.Reason), mostReason); {
	case status == Healthy && by.Err != nil:
		o.Status, o.Err = by.Status, fmt.Errorf("%w, after it said that it is healthy", by.Err)
	case status == Healthy:
	case reason == "":
		o.Err = fmt.Errorf("it says no more than %s", status)
	default:
		o.Err = errors.New(reason)
	}
	return o
}

// kept are as many of the metrics as are kept.
func (s *Script) kept(metrics map[string]float64, bad int) map[string]float64 {
	found := make(map[string]float64)
	for _, name := range slices.Sorted(maps.Keys(metrics))[:min(len(metrics), MaxSeries)] {
		found[name] = metrics[name]
	}
	return s.counted(found, bad, nil, len(metrics)-len(found))
}

// jsonMetrics are the numbers among what should be metrics.
func (s *Script) jsonMetrics(given map[string]any) map[string]float64 {
	found, bad, more := make(map[string]float64), 0, 0
	var first error
	for _, name := range slices.Sorted(maps.Keys(given)) {
		n, is := given[name].(float64)
		switch {
		case !is || !plainName.MatchString(name) || math.IsInf(n, 0):
			if bad++; bad == 1 {
				first = fmt.Errorf("%q is not a number, or that is no name", foreign.Line(name, 60))
			}
		case len(found) == MaxSeries:
			more++
		default:
			found[name] = n
		}
	}
	return s.counted(found, bad, first, more)
}

// expect judges the output of what is healthy.
func (s *Script) expect(o Outcome, output string, whole bool) Outcome {
	if o.Status != Healthy {
		return o
	}
	var missing []error
	if s.pattern != nil && !s.pattern.MatchString(output) {
		missing = append(missing, fmt.Errorf("the output does not match %#q", s.pattern))
	}
	for _, text := range s.cfg.ExpectText {
		if !strings.Contains(output, text) {
			missing = append(missing, fmt.Errorf("%q is not in the output", text))
		}
	}
	for _, text := range s.cfg.RejectText {
		if strings.Contains(output, text) {
			missing = append(missing, fmt.Errorf("%q is in the output", text))
		}
	}
	switch {
	case s.document == nil:
	case !whole:
		missing = append(missing, errors.New("the output has more than 64 KiB of JSON, which is not looked at"))
	default:
		missing = append(missing, s.document([]byte(output))...)
	}
	if len(missing) == 0 {
		return o
	}
	o.Status, o.Err = Unhealthy, missing[0]
	for _, err := range missing[1:] {
		o.Err = fmt.Errorf("%w; %w", o.Err, err)
	}
	o.Err = because(o.Err, lastLine(output))
	return o
}
