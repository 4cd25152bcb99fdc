package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/decimal"
)

// number is an option's whole number, read as Python reads it. The parser of
// the options would take 010 for eight.
type number int

func (n *number) String() string { return strconv.Itoa(int(*n)) }
func (n *number) Type() string   { return "N" }

func (n *number) Set(s string) error {
	v, err := decimal.Parse(s)
	*n = number(v)
	return err
}

// duration is an option's length of time: a number of seconds, or one with a
// unit.
type duration time.Duration

func (d *duration) String() string { return time.Duration(*d).String() }
func (d *duration) Type() string   { return "DURATION" }

func (d *duration) Set(s string) error {
	v, err := parseDuration(s)
	if err != nil {
		return err
	}
	if v <= 0 {
		return fmt.Errorf("%q is not more than 0", s)
	}
	*d = duration(v)
	return nil
}

// interval is an option's length of time that may be 0.
type interval time.Duration

func (i *interval) String() string { return time.Duration(*i).String() }
func (i *interval) Type() string   { return "DURATION" }

func (i *interval) Set(s string) error {
	v, err := parseDuration(s)
	if err != nil {
		return err
	}
	if v < 0 {
		return fmt.Errorf("%q is less than 0", s)
	}
	*i = interval(v)
	return nil
}

// parseDuration reads `30` (seconds) and `30s`.
func parseDuration(s string) (time.Duration, error) {
	if n, err := decimal.Parse(s); err == nil {
		const most = 1 << 33 // seconds that a time.Duration holds
		if n > most || n < -most {
			return 0, fmt.Errorf("%q is too long", s)
		}
		return time.Duration(n) * time.Second, nil
	}
	if d, err := time.ParseDuration(s); err == nil {
		return d, nil
	}
	return 0, fmt.Errorf("%q is neither whole seconds, such as 30, nor a duration, such as 1.5s or 2m", s)
}

// percentage is an option's number of percent: `80`, `99.5` or `80%`.
type percentage float64

func (p *percentage) String() string { return fmt.Sprint(float64(*p)) }
func (p *percentage) Type() string   { return "PERCENT" }

func (p *percentage) Set(s string) error {
	v, err := parsePercentage(s)
	*p = percentage(v)
	return err
}

func parsePercentage(s string) (float64, error) {
	text := strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(s), "%"))
	if n, err := decimal.Parse(text); err == nil {
		return float64(n), nil
	}
	if v, err := parseFraction(text); err == nil {
		return v, nil
	}
	hint := ""
	if strings.HasSuffix(text, "%") {
		hint = "; %% is how supervisord.conf writes a %, nobody else"
	}
	return 0, fmt.Errorf("%q is not a number of percent, such as 80 or 99.5%s", s, hint)
}

// parseFraction reads digits with a point in them, and none of the other
// spellings of numbers that Go has.
func parseFraction(s string) (float64, error) {
	if strings.Trim(s, "0123456789.") != "" {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseFloat(s, 64)
}

// limit is an option's amount of memory: a number of KiB, a size with a unit or
// a percentage.
type limit struct {
	bytes   uint64
	percent float64 // if bytes is 0
	given   string
}

func (l *limit) String() string { return l.given }
func (l *limit) Type() string   { return "SIZE" }

func (l *limit) Set(s string) error {
	v, err := parseLimit(s)
	*l = v
	return err
}

// units of memory, in lower case.
var units = map[string]float64{
	"b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
}

func parseLimit(s string) (limit, error) {
	if strings.HasSuffix(strings.TrimSpace(s), "%") {
		percent, err := parsePercentage(s)
		if err == nil && (percent <= 0 || percent > 100) {
			err = fmt.Errorf("%q is not between 0 and 100 %%", s)
		}
		return limit{percent: percent, given: s}, err
	}
	bytes, err := parseSize(s)
	if err != nil {
		return limit{}, err
	}
	return limit{bytes: bytes, given: s}, nil
}

// parseSize reads `102400` (KiB) and `100MB`.
func parseSize(s string) (uint64, error) {
	var bytes float64
	if n, err := decimal.Parse(s); err == nil {
		bytes = float64(n) * 1024
	} else {
		digits := strings.TrimSpace(s)
		unit := strings.TrimLeft(digits, "0123456789.")
		n, err := parseFraction(digits[:len(digits)-len(unit)])
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

// text is a string that knows whether it was given. An empty one can be.
type text struct {
	value string
	given bool
	what  string // shown in --help
}

func (t *text) String() string { return t.value }
func (t *text) Type() string   { return t.what }

func (t *text) Set(s string) error {
	t.value, t.given = s, true
	return nil
}
