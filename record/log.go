package record

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Log returns a sink that writes each record as one line of a log, a sentence
// with the record's main facts as attributes: results of checks at debug level,
// what changes at info, what needs an eye at warn and what went wrong at error.
func Log(log *slog.Logger) Sink { return logSink{log} }

type logSink struct{ log *slog.Logger }

func (s logSink) Write(ctx context.Context, r Record) error {
	if r.Kind == CheckResult && !s.log.Enabled(ctx, slog.LevelDebug) {
		return nil // of which there are many
	}
	level, text := sentence(r)
	if !s.log.Enabled(ctx, level) {
		return nil
	}
	line := slog.NewRecord(r.Time, level, text, 0)
	for _, a := range []slog.Attr{
		slog.String("process", r.Process), slog.String("check", r.Check),
		slog.Int("pid", r.PID), slog.Int("new_pid", r.NewPID),
	} {
		if a.Value.Any() != "" && !a.Value.Equal(slog.IntValue(0)) {
			line.AddAttrs(a)
		}
	}
	return s.log.Handler().Handle(ctx, line)
}

// Sentence says what happened, in the words of the log.
func (r *Record) Sentence() string {
	_, text := sentence(*r)
	return text
}

// sentence says what happened, and how much of an eye it needs.
func sentence(r Record) (slog.Level, string) {
	took := time.Duration(r.Seconds * float64(time.Second)).Round(time.Millisecond)
	switch r.Kind {
	case CheckResult, ProbeResult:
		text := found(r, r.Status)
		if r.Reason != "" {
			text += ": " + r.Reason
		}
		text += fmt.Sprintf(" (took %v", took)
		for _, name := range slices.Sorted(maps.Keys(r.Metrics)) {
			text += fmt.Sprintf(", %s %s", name, strconv.FormatFloat(math.Round(r.Metrics[name]*1000)/1000, 'f', -1, 64))
		}
		return slog.LevelDebug, text + ")"
	case Transition:
		text := found(r, r.Status)
		if r.Reason != "" {
			if r.Status == r.Before {
				text = found(r, "still "+r.Status)
			}
			return slog.LevelWarn, fmt.Sprintf("%s: %s%s", text, r.Reason, inBrackets(r.Count))
		}
		if r.Before != r.Status {
			text = fmt.Sprintf("%s (was %s)", found(r, r.Status+" again"), r.Before)
		}
		return slog.LevelInfo, text + inBrackets(r.Count)
	case Group:
		return groupSentence(r)
	case Listener:
		return listenerSentence(r)
	}
	return restartSentence(r, took)
}

// found is what something is, by which check.
func found(r Record, status string) string {
	if r.Probe != "" {
		return fmt.Sprintf("probe %s %s", r.Probe, status)
	}
	return fmt.Sprintf("%s %s: %s", r.Process, status, r.Check)
}

// inBrackets lists those texts that are not empty.
func inBrackets(texts ...string) string {
	texts = slices.DeleteFunc(texts, func(s string) bool { return s == "" })
	if len(texts) == 0 {
		return ""
	}
	return " (" + strings.Join(texts, ", ") + ")"
}

func groupSentence(r Record) (slog.Level, string) {
	switch r.Action {
	case Panicked:
		return slog.LevelError, fmt.Sprintf("group %s: %s: one is restarted as a trial, and the others only if that helps", r.Group, r.Why)
	case Helped:
		return slog.LevelWarn, fmt.Sprintf("group %s: restarting %s has helped: the others are restarted, too", r.Group, r.Process)
	case NoHelp:
		return slog.LevelError, fmt.Sprintf("group %s: restarting %s has not helped: %s", r.Group, r.Process, r.Why)
	}
	return slog.LevelInfo, fmt.Sprintf("group %s: no longer so many fail at once", r.Group)
}

func listenerSentence(r Record) (slog.Level, string) {
	name := "listener"
	if r.Listener != "" {
		name += " " + r.Listener
	}
	switch r.Action {
	case Started:
		return slog.LevelInfo, fmt.Sprintf("%s begins: it %s", name, r.Why)
	case Ended:
		return slog.LevelInfo, fmt.Sprintf("%s ends: %s", name, r.Why)
	}
	return slog.LevelError, fmt.Sprintf("%s: %d records for %s were dropped: %s", name, r.Dropped, cmp.Or(r.Sink, "a sink"), r.Why)
}

func restartSentence(r Record, took time.Duration) (slog.Level, string) {
	cause := fmt.Sprintf("%s: %s", r.Check, r.Reason)
	wanted := cmp.Or(r.Wanted, "restarted")
	evidence := ""
	if r.Evidence != nil && r.Evidence.Folder != "" {
		evidence = "evidence in " + r.Evidence.Folder
	}
	switch r.Action {
	case Draining:
		return slog.LevelWarn, fmt.Sprintf("%s is taken out of service for %v, and then %s (pid %d): %s", r.Process, took, wanted, r.PID, cause)
	case Stopping:
		return slog.LevelWarn, fmt.Sprintf("%s is restarted (pid %d): %s%s", r.Process, r.PID, cause, inBrackets(r.Why, evidence))
	case Starting:
		if r.Seconds == 0 {
			return slog.LevelInfo, fmt.Sprintf("%s has stopped and is started", r.Process)
		}
		return slog.LevelInfo, fmt.Sprintf("%s has stopped after %v and is started", r.Process, took)
	case Running:
		if r.PID == 0 {
			return slog.LevelInfo, fmt.Sprintf("%s runs with pid %d, started in %v", r.Process, r.NewPID, took)
		}
		text := fmt.Sprintf("%s runs again with pid %d (was %d)", r.Process, r.NewPID, r.PID)
		if r.Seconds > 0 { // else another listener began
			text += fmt.Sprintf(", restarted in %v", took)
		}
		return slog.LevelInfo, text
	case Verified:
		return slog.LevelInfo, fmt.Sprintf("%s works again, %v after its restart began", r.Process, took)
	case Doubtful:
		return slog.LevelError, fmt.Sprintf("%s does not work %v after its restart began: %s", r.Process, took, r.Why)
	case Left:
		return slog.LevelInfo, fmt.Sprintf("%s is left to itself after its restart: %s", r.Process, r.Why)
	case Resumed:
		return slog.LevelWarn, fmt.Sprintf("%s was being restarted (pid %d) when a listener was killed, and is finished now", r.Process, r.PID)
	case Retrying:
		return slog.LevelError, fmt.Sprintf("%s: restart: %s", r.Process, r.Reason)
	case LeftOpen:
		return slog.LevelWarn, fmt.Sprintf("%s is left in the middle of its restart: %s", r.Process, r.Reason)
	case Failed:
		return slog.LevelError, fmt.Sprintf("%s not %s: %s", r.Process, wanted, r.Reason)
	case DryRun:
		return slog.LevelWarn, fmt.Sprintf("%s would be %s (pid %d), but this is a dry run: %s%s", r.Process, wanted, r.PID, cause, inBrackets(r.Why))
	case Held:
		return slog.LevelWarn, fmt.Sprintf("%s not %s now: %s: %s", r.Process, wanted, r.Why, cause)
	case GivenUp:
		return slog.LevelError, fmt.Sprintf("%s GIVEN UP: %s: %s", r.Process, r.Why, cause)
	case Ignored:
		return slog.LevelWarn, fmt.Sprintf("%s GIVEN UP: %s: %s", r.Process, r.Why, cause)
	case Vetoed:
		return slog.LevelWarn, fmt.Sprintf("%s not %s now: the hook before it says no: %s", r.Process, wanted, cause)
	case Hooked:
		return slog.LevelError, fmt.Sprintf("%s: %s", r.Process, r.Why)
	case Alerted:
		return slog.LevelError, fmt.Sprintf("%s ALERT (pid %d): %s", r.Process, r.PID, cause)
	case Reviving:
		return slog.LevelWarn, fmt.Sprintf("%s is started: %s", r.Process, cause)
	case Halting:
		if r.Why != "" {
			return slog.LevelError, fmt.Sprintf("%s GIVEN UP: %s: it is stopped for good (pid %d): %s%s", r.Process, r.Why, r.PID, cause, inBrackets(evidence))
		}
		return slog.LevelError, fmt.Sprintf("%s is stopped for good (pid %d): %s%s", r.Process, r.PID, cause, inBrackets(evidence))
	case Halted:
		return slog.LevelWarn, fmt.Sprintf("%s has stopped after %v, and stays so until somebody starts it", r.Process, took)
	case Signalled:
		return slog.LevelWarn, fmt.Sprintf("%s is sent signal %s (pid %d): %s", r.Process, r.Why, r.PID, cause)
	case Executed:
		return slog.LevelWarn, fmt.Sprintf("%s: a program is run about it (pid %d): %s: %s", r.Process, r.PID, r.Why, cause)
	case Shutdown:
		return slog.LevelError, fmt.Sprintf("%s fails: supervisord is told to end: %s", r.Process, cause)
	}
	return slog.LevelInfo, fmt.Sprintf("%s not %s: %s", r.Process, wanted, r.Reason)
}
