package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/decimal"
	"github.com/supervisor-checks/supervisor-checks/internal/setting"
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
	v, err := setting.More(s)
	if err == nil {
		*d = duration(v)
	}
	return err
}

// interval is an option's length of time that may be 0.
type interval time.Duration

func (i *interval) String() string { return time.Duration(*i).String() }
func (i *interval) Type() string   { return "DURATION" }

func (i *interval) Set(s string) error {
	v, err := setting.NotLess(s)
	if err == nil {
		*i = interval(v)
	}
	return err
}

// percentage is an option's number of percent: `80`, `99.5` or `80%`.
type percentage float64

func (p *percentage) String() string { return fmt.Sprint(float64(*p)) }
func (p *percentage) Type() string   { return "PERCENT" }

func (p *percentage) Set(s string) error {
	v, err := setting.Percentage(s)
	*p = percentage(v)
	return err
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

func parseLimit(s string) (limit, error) {
	if strings.HasSuffix(strings.TrimSpace(s), "%") {
		percent, err := setting.Percentage(s)
		if err == nil && (percent <= 0 || percent > 100) {
			err = fmt.Errorf("%q is not between 0 and 100 %%", s)
		}
		return limit{percent: percent, given: s}, err
	}
	bytes, err := setting.Size(s)
	if err != nil {
		return limit{}, err
	}
	return limit{bytes: bytes, given: s}, nil
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
