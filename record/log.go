package record

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// Log returns a sink that writes each record as one line of a log, a sentence
// with the record's main facts as attributes: results of checks at debug level,
// what changes at info, what needs an eye at warn and what went wrong at error.
func Log(log *slog.Logger) Sink { return logSink{log} }

type logSink struct{ log *slog.Logger }

func (s logSink) Write(ctx context.Context, r Record) error {
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

// sentence says what happened.
func sentence(r Record) (slog.Level, string) {
	took := time.Duration(r.Seconds * float64(time.Second)).Round(time.Millisecond)
	switch r.Kind {
	case CheckResult:
		text := fmt.Sprintf("%s %s: %s", r.Process, r.Status, r.Check)
		if r.Reason != "" {
			text += ": " + r.Reason
		}
		return slog.LevelDebug, fmt.Sprintf("%s (took %v)", text, took)
	case Transition:
		switch {
		case r.Reason != "" && r.Status == r.Before:
			return slog.LevelWarn, fmt.Sprintf("%s still %s: %s: %s", r.Process, r.Status, r.Check, r.Reason)
		case r.Reason != "":
			return slog.LevelWarn, fmt.Sprintf("%s %s: %s: %s", r.Process, r.Status, r.Check, r.Reason)
		}
		return slog.LevelInfo, fmt.Sprintf("%s %s again: %s (was %s)", r.Process, r.Status, r.Check, r.Before)
	}
	switch r.Action {
	case Stopping:
		return slog.LevelWarn, fmt.Sprintf("%s is restarted (pid %d): %s: %s", r.Process, r.PID, r.Check, r.Reason)
	case Starting:
		return slog.LevelInfo, fmt.Sprintf("%s has stopped after %v and is started", r.Process, took)
	case Running:
		return slog.LevelInfo, fmt.Sprintf("%s runs again with pid %d (was %d), restarted in %v", r.Process, r.NewPID, r.PID, took)
	case Resumed:
		return slog.LevelWarn, fmt.Sprintf("%s was being restarted (pid %d) when a listener was killed, and is finished now", r.Process, r.PID)
	case Retrying:
		return slog.LevelError, fmt.Sprintf("%s: restart: %s", r.Process, r.Reason)
	case LeftOpen:
		return slog.LevelWarn, fmt.Sprintf("%s is left in the middle of its restart: %s", r.Process, r.Reason)
	case Failed:
		return slog.LevelError, fmt.Sprintf("%s not restarted: %s", r.Process, r.Reason)
	case DryRun:
		return slog.LevelWarn, fmt.Sprintf("%s would be restarted (pid %d), but this is a dry run: %s: %s", r.Process, r.PID, r.Check, r.Reason)
	}
	return slog.LevelInfo, fmt.Sprintf("%s not restarted: %s", r.Process, r.Reason)
}
