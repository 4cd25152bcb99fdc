package script

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/command"
	"github.com/supervisor-checks/supervisor-checks/internal/foreign"
	"github.com/supervisor-checks/supervisor-checks/internal/nagios"
	"github.com/supervisor-checks/supervisor-checks/internal/recurring"
)

// mostReason is how many bytes of what a script says are in a reason.
const mostReason = 300

// couldNotLook are the exit statuses of a program that could not look: that of monitoring
// plugins, and those of a shell for a command that cannot be run or is not found.
var couldNotLook = []int{3, 126, 127}

// judge says what a run that wrote this and ended so means.
func (s *Script) judge(about Subject, output command.Output, err error) Outcome {
	if errors.Is(err, command.ErrNotRun) {
		return Outcome{Unknown, err, nil}
	}
	status, exit := byExit(err), exitStatus(err)
	o := Outcome{Status: status, Err: because(err, lastLine(output.Stderr), lastLine(output.Stdout))}
	switch s.cfg.Protocol {
	case Cloudprober:
		o.Metrics = s.metrics(output.Stdout)
	case Nagios:
		said, metrics, bad := nagios.Parse(strings.Join(slices.Collect(output.Stdout.Lines()), "\n"))
		if exit == 1 {
			o.Status = s.warning
		}
		first, _, _ := strings.Cut(said, "\n")
		o.Err = because(err, foreign.Line(strings.TrimSpace(first), mostReason), lastLine(output.Stderr))
		o.Metrics = s.kept(metrics, bad)
		s.warns(about.Key, o)
	case JSON:
		line, whole := output.Stdout.Last()
		switch {
		case whole:
		case exit >= 0:
			return Outcome{Unknown, together([]error{o.Err, errTooLong}), nil}
		default:
			line = ""
		}
		o = s.reply(line, o, exit)
		return s.expect(o, command.Cut(line, MaxOutput))
	}
	if o.Status == Healthy {
		o.Err = nil
	}
	return s.expect(o, output.Stdout)
}

// errTooLong is why the last line of an output says nothing in JSON.
var errTooLong = fmt.Errorf("its last line is not within the last %d KiB of what it prints, which are those that are kept", MaxOutput/2>>10)

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
func lastLine(text command.Text) string {
	line, _ := text.Last()
	return foreign.Line(strings.ToValidUTF8(line, "\uFFFD"), mostReason)
}

// isName reports whether a text can be the name of a metric in a reply in JSON.
func isName(text string) bool {
	for i, c := range []byte(text) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == ':'
		if !letter && (i == 0 || !(c >= '0' && c <= '9' || c == '.' || c == '-')) {
			return false
		}
	}
	return text != "" && len(text) <= 100
}

// reply is what a line of JSON says, by is what is known without it: the end of a program
// counts at least for what it means by itself, whatever was said before.
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
	agrees := by.Err == nil || status == Skipped && exit == 3 || exit >= 0 && status != Skipped && severity[status] >= severity[by.Status]
	switch reason := foreign.Line(strings.TrimSpace(r.Reason), mostReason); {
	case !agrees:
		o.Status, o.Err = worse(status, by.Status), fmt.Errorf("%w, after it said that it is %s", by.Err, status)
	case status == Healthy:
	case reason == "":
		o.Err = fmt.Errorf("it says no more than %s", status)
	default:
		o.Err = errors.New(reason)
	}
	return o
}

// severity orders what statuses mean: the higher one counts of two.
var severity = map[Status]int{Healthy: 0, Skipped: 1, Unknown: 2, Unhealthy: 3}

func worse(a, b Status) Status {
	if severity[a] > severity[b] {
		return a
	}
	return b
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
		case !is || !isName(name) || math.IsInf(n, 0):
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

// expect judges the output of what is healthy. Of one that was cut each part that was kept
// is judged by itself: what is found in one is there, and of what is not found nobody knows.
func (s *Script) expect(o Outcome, output command.Text) Outcome {
	if o.Status != Healthy {
		return o
	}
	parts, lost := output.Parts()
	contain := func(text string) bool {
		return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(part, text) })
	}
	var wrong, unsure []error
	absent := func(err error) {
		if lost > 0 {
			unsure = append(unsure, err)
		} else {
			wrong = append(wrong, err)
		}
	}
	if s.pattern != nil && !s.matches(parts) {
		absent(fmt.Errorf("the output does not match %#q", s.pattern))
	}
	for _, text := range s.cfg.ExpectText {
		if !contain(text) {
			absent(fmt.Errorf("%q is not in the output", text))
		}
	}
	for _, text := range s.cfg.RejectText {
		switch {
		case contain(text):
			wrong = append(wrong, fmt.Errorf("%q is in the output", text))
		case lost > 0:
			unsure = append(unsure, fmt.Errorf("%q is not in the output", text))
		}
	}
	switch {
	case s.document == nil:
	case lost > 0:
		unsure = append(unsure, errors.New("the output is not JSON as expected"))
	default:
		wrong = append(wrong, s.document([]byte(parts[0]))...)
	}
	switch {
	case wrong != nil:
		o.Status, o.Err = Unhealthy, because(together(wrong), lastLine(output))
	case unsure != nil:
		o.Status, o.Err = Unknown, fmt.Errorf("it prints more than %d KiB, of which %d bytes are not looked at, so that nobody knows whether %w", MaxOutput>>10, lost, together(unsure))
	}
	return o
}

// matches reports whether the pattern is in one of the parts. Of two, the end of the first
// and the beginning of the other are none of the output: what matches there counts for nothing.
func (s *Script) matches(parts []string) bool {
	for i, part := range parts {
		at := s.pattern.FindStringIndex(part)
		if at != nil && (i == 0 || at[0] > 0) && (i == len(parts)-1 || at[1] < len(part)) {
			return true
		}
	}
	return false
}

// together is one error for all of them, of which the first may be nil.
func together(errs []error) error {
	err := errs[0]
	for _, next := range errs[1:] {
		if err == nil {
			err = next
		} else {
			err = fmt.Errorf("%w; %w", err, next)
		}
	}
	return err
}

// warns tells of a warning that means healthy, whose text is in no outcome: when it begins
// for a subject, once an hour, and when it ends.
func (s *Script) warns(key string, o Outcome) {
	who := ""
	if key != "" {
		who = key + ": "
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.Status != Healthy || o.Err == nil {
		if s.warnings[key] != nil && o.Status == Healthy {
			s.log(who + "it warns no more")
		}
		delete(s.warnings, key)
		return
	}
	if s.warnings[key] == nil {
		s.warnings[key] = new(recurring.Trouble)
	}
	if tell, _ := s.warnings[key].Happens(time.Now(), "a warning"); tell {
		s.log(who + "it warns, which is no failure: " + o.Err.Error())
	}
}
