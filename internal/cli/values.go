package cli

import (
	"fmt"
	"strconv"
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
