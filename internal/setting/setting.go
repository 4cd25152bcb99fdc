// Package setting reads settings as they are written, on command lines and in
// files alike. An error quotes what was written and says what could be.
package setting

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/command"
	"github.com/supervisor-checks/supervisor-checks/internal/decimal"
	"github.com/supervisor-checks/supervisor-checks/runner"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// Secret reads the first line of a file.
func Secret(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	secret, _, _ := strings.Cut(string(data), "\n")
	return strings.TrimSuffix(secret, "\r"), nil
}

// Duration reads `30` (seconds), `30s`, `1h30m` and `14d`.
func Duration(s string) (time.Duration, error) {
	if n, err := decimal.Parse(s); err == nil {
		const most = 1 << 33 // seconds that a time.Duration holds
		if n > most || n < -most {
			return 0, fmt.Errorf("%q is too long", s)
		}
		return time.Duration(n) * time.Second, nil
	}
	if days, is := strings.CutSuffix(s, "d"); is {
		if n, err := decimal.Parse(days); err == nil && n >= 0 && n < 100_000 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil {
		return d, nil
	}
	return 0, fmt.Errorf("%q is neither whole seconds, such as 30, nor a duration, such as 1.5s or 2m", s)
}

// More reads what Duration does, of more than 0.
func More(s string) (time.Duration, error) {
	d, err := Duration(s)
	if err == nil && d <= 0 {
		err = fmt.Errorf("%q is not more than 0", s)
	}
	return d, err
}

// NotLess reads what Duration does, of 0 or more.
func NotLess(s string) (time.Duration, error) {
	d, err := Duration(s)
	if err == nil && d < 0 {
		err = fmt.Errorf("%q is less than 0", s)
	}
	return d, err
}

// Percentage reads `80`, `99.5` and `80%`.
func Percentage(s string) (float64, error) {
	text := strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(s), "%"))
	if n, err := decimal.Parse(text); err == nil {
		return float64(n), nil
	}
	if v, err := fraction(text); err == nil {
		return v, nil
	}
	hint := ""
	if strings.HasSuffix(text, "%") {
		hint = "; %% is how supervisord.conf writes a %, nobody else"
	}
	return 0, fmt.Errorf("%q is not a number of percent, such as 80 or 99.5%s", s, hint)
}

// fraction reads digits with a point in them, and none of the other
// spellings of numbers that Go has.
func fraction(s string) (float64, error) {
	if strings.Trim(s, "0123456789.") != "" {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseFloat(s, 64)
}

// units of memory, in lower case.
var units = map[string]float64{
	"b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
}

// Size reads `102400` (KiB) and `100MB`.
func Size(s string) (uint64, error) {
	var bytes float64
	if n, err := decimal.Parse(s); err == nil {
		bytes = float64(n) * 1024
	} else {
		digits := strings.TrimSpace(s)
		unit := strings.TrimLeft(digits, "0123456789.")
		n, err := fraction(digits[:len(digits)-len(unit)])
		factor, known := units[strings.ToLower(strings.TrimSpace(unit))]
		if err != nil || !known {
			return 0, fmt.Errorf("%q is no size: write a number of KiB, such as 102400, or one with a unit, such as 100MB, 100MiB or 1.5GiB", s)
		}
		bytes = n * factor
	}
	const most = 1 << 60
	switch {
	case bytes < 1:
		return 0, fmt.Errorf("%q is not more than 0", s)
	case bytes > most:
		return 0, fmt.Errorf("%q is too large", s)
	}
	return uint64(bytes), nil
}

// OneOf returns an error where s is none of some words.
func OneOf(s string, words ...string) error {
	if !slices.Contains(words, s) {
		return fmt.Errorf("%q is none of %s", s, strings.Join(words, ", "))
	}
	return nil
}

// Count reads a whole number that is more than 0.
func Count(s string) (int, error) {
	n, err := decimal.Parse(s)
	if err == nil && n < 1 {
		err = fmt.Errorf("%q is less than 1", s)
	}
	return n, err
}

// Threshold reads `3` and `3/5`.
func Threshold(s string) (t runner.Threshold, err error) {
	failures, of, both := strings.Cut(s, "/")
	if t.Failures, err = Count(failures); err == nil && both {
		t.Of, err = Count(of)
	}
	switch {
	case err != nil:
		return t, fmt.Errorf("%q is no threshold: write 3 for three failures in a row, or 3/5 for three of the last five results", s)
	case both && t.Of < t.Failures:
		return t, fmt.Errorf("%q is more failures than results: write 3/5 for three of the last five", s)
	}
	return t, nil
}

// RestartLimit reads `5/10m`.
func RestartLimit(s string) (l runner.RestartLimit, err error) {
	restarts, within, both := strings.Cut(s, "/")
	l.Restarts, err = Count(restarts)
	if err == nil && both {
		l.Within, err = More(within)
	}
	if err != nil || !both {
		return l, fmt.Errorf("%q is no limit: write 5/10m for five restarts in ten minutes", s)
	}
	return l, nil
}

// Backoff reads `10s,2,5m,10m` and the beginnings of it.
func Backoff(s string) (b runner.Backoff, err error) {
	parts := strings.Split(s, ",")
	for i, part := range parts {
		switch i {
		case 0:
			b.Initial, err = More(part)
		case 1:
			if b.Factor, err = strconv.ParseFloat(part, 64); err == nil && !(b.Factor >= 1 && b.Factor <= 100) {
				err = errors.New("is no factor")
			}
		case 2:
			if b.Max, err = More(part); err == nil && b.Max < b.Initial {
				err = errors.New("is less than the first")
			}
		case 3:
			b.ResetAfter, err = More(part)
		default:
			err = errors.New("is one too many")
		}
		if err != nil {
			return b, fmt.Errorf("%q is no backoff: write the first pause, the factor (1 to 100) by which it grows, the longest pause, "+
				"and the time in health after which it begins anew, as 10s,2,5m,10m", s)
		}
	}
	return b, nil
}

// Share reads `2` and `25%`.
func Share(s string) (share runner.Share, err error) {
	if strings.HasSuffix(strings.TrimSpace(s), "%") {
		share.Percent, err = Percentage(s)
		if err == nil && !(share.Percent > 0 && share.Percent <= 100) {
			err = errors.New("is not between 0 and 100 %")
		}
	} else {
		share.Number, err = Count(s)
	}
	if err != nil {
		return share, fmt.Errorf("%q is no part of a group: write a number of processes from 1 on, or a percentage up to 100%%", s)
	}
	return share, nil
}

// PercentOfGroup reads `50%` and `50`.
func PercentOfGroup(s string) (float64, error) {
	percent, err := Percentage(s)
	if err != nil || !(percent > 0 && percent < 100) {
		return 0, fmt.Errorf("%q is no threshold: write a percentage that is more than 0 and less than 100%%", s)
	}
	return percent, nil
}

// Signal reads `USR1`, `SIGUSR1` and `usr1`.
func Signal(s string) string { return strings.TrimPrefix(strings.ToUpper(s), "SIG") }

// Action reads `restart`, `signal:USR1` and `exec:COMMAND`.
func Action(s string) (a runner.Action, err error) {
	kind, rest, given := strings.Cut(s, ":")
	a.Kind = runner.ActionKind(kind)
	switch {
	case a.Kind == runner.ActionSignal && given:
		a.Signal = Signal(rest)
		return a, nil
	case a.Kind == runner.ActionExec && given:
		a.Command, err = command.Parse(rest)
		return a, err
	}
	return a, OneOf(s, "restart", "alert", "stop", "signal:NAME", "exec:COMMAND", "shutdown")
}

// States reads `FATAL,EXITED`.
func States(s string) (states []supervisor.State, err error) {
	for word := range strings.SplitSeq(s, ",") {
		switch strings.ToUpper(strings.TrimSpace(word)) {
		case supervisor.Fatal.String():
			states = append(states, supervisor.Fatal)
		case supervisor.Exited.String():
			states = append(states, supervisor.Exited)
		default:
			return nil, fmt.Errorf("%q is neither FATAL nor EXITED, the states in which a process can be started again; "+
				"STOPPED means that somebody wanted it so", word)
		}
	}
	return states, nil
}
