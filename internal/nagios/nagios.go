// Package nagios reads and writes what monitoring plugins print
// (https://www.monitoring-plugins.org/doc/guidelines.html).
package nagios

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/supervisor-checks/supervisor-checks/internal/foreign"
)

// unit is the end that the name of a metric has for it, and what its values are
// multiplied by: times, and ten to the power of tens.
type unit struct {
	suffix string
	times  float64
	tens   int
}

var units = map[string]unit{
	"":    {"", 1, 0},
	"s":   {"_seconds", 1, 0},
	"ms":  {"_seconds", 1, -3},
	"us":  {"_seconds", 1, -6},
	"µs":  {"_seconds", 1, -6},
	"ns":  {"_seconds", 1, -9},
	"%":   {"_percent", 1, 0},
	"c":   {"_total", 1, 0},
	"B":   {"_bytes", 1, 0},
	"KB":  {"_bytes", 1 << 10, 0},
	"KiB": {"_bytes", 1 << 10, 0},
	"MB":  {"_bytes", 1 << 20, 0},
	"MiB": {"_bytes", 1 << 20, 0},
	"GB":  {"_bytes", 1 << 30, 0},
	"GiB": {"_bytes", 1 << 30, 0},
	"TB":  {"_bytes", 1 << 40, 0},
	"TiB": {"_bytes", 1 << 40, 0},
}

// figure is a value: its digits, exponent and unit. What follows them, as in
// value;warn;crit;min;max, is not read.
var figure = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:[eE]([-+]?[0-9]+))?([A-Za-zµ%]*)(?:;.*)?$`)
})

// Parse takes the output of a plugin apart. The text is what the first line that has
// something in it has before a bar, and the metrics are from the performance data
// behind that bar and, of the lines that follow, behind the first bar in them.
//
// Names are made of labels, with "_" for what is not for names of Prometheus, and with
// the base unit at their end: 'time taken'=5ms is time_taken_seconds, .005. Times end in
// _seconds, sizes (of which a KB has 1024 bytes) in _bytes, % in _percent and counters in
// _total. Another unit is the end of the name as it is: fan=900rpm is fan_rpm. A value U
// is unknown, and left out. bad is how many items are left out for another reason: they
// cannot be read, as those with a decimal comma, or have the name of one before.
func Parse(output string) (text string, metrics map[string]float64, bad int) {
	first, rest, _ := strings.Cut(strings.TrimSpace(output), "\n")
	text, data, _ := strings.Cut(first, "|")
	_, more, _ := strings.Cut(rest, "|")
	metrics = make(map[string]float64)
	for data = strings.TrimSpace(data + "\n" + more); data != ""; data = strings.TrimSpace(data) {
		var label, value string
		var ok bool
		if label, value, data, ok = item(data); !ok {
			bad++
			continue
		}
		if known, _, _ := strings.Cut(value, ";"); known == "U" {
			continue
		}
		name, number, ok := metric(label, value)
		if _, twice := metrics[name]; !ok || twice {
			bad++
			continue
		}
		metrics[name] = number
	}
	return strings.TrimSpace(text), metrics, bad
}

// item cuts the first label=value from performance data.
func item(data string) (label, value, rest string, ok bool) {
	if strings.HasPrefix(data, "'") {
		label, data, ok = quoted(data[1:])
	} else if end := strings.IndexAny(data, "= \t\r\n"); end > 0 && data[end] == '=' {
		label, data, ok = data[:end], data[end:], true
	}
	value, rest = data, ""
	if end := strings.IndexAny(data, " \t\r\n"); end >= 0 {
		value, rest = data[:end], data[end:]
	}
	value, is := strings.CutPrefix(value, "=")
	return label, value, rest, ok && is && label != ""
}

// quoted reads a label up to its closing quote. Two quotes are one that is part of it.
// When there is no closing quote in the line, that line is no item.
func quoted(data string) (label, rest string, ok bool) {
	line, _, _ := strings.Cut(data, "\n")
	for i := 0; i < len(line); i++ {
		switch {
		case line[i] != '\'':
		case strings.HasPrefix(line[i+1:], "'"):
			i++
		default:
			return strings.ReplaceAll(line[:i], "''", "'"), data[i+1:], true
		}
	}
	return "", data[len(line):], false
}

// metric returns the metric for an item.
func metric(label, value string) (name string, number float64, ok bool) {
	parts := figure().FindStringSubmatch(value)
	if parts == nil {
		return "", 0, false
	}
	u, known := units[parts[3]]
	if !known {
		u = unit{"_" + strings.NewReplacer("µ", "u", "%", "_percent").Replace(parts[3]), 1, 0}
	}
	exponent := 0
	if parts[2] != "" {
		var err error
		if exponent, err = strconv.Atoi(parts[2]); err != nil {
			return "", 0, false
		}
	}
	// So 0.03ms is .00003, which 0.03 divided by 1000 is not.
	number, err := strconv.ParseFloat(parts[1]+"e"+strconv.Itoa(exponent+u.tens), 64)
	number *= u.times
	if err != nil || math.IsInf(number, 0) {
		return "", 0, false
	}
	return named(label, u.suffix), number, true
}

// named makes a name of a label and the end for its unit, which the label may have.
func named(label, suffix string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, label)
	if name[0] >= '0' && name[0] <= '9' {
		name = "_" + name
	}
	if suffix == "" {
		return name
	}
	return strings.TrimRight(strings.TrimSuffix(name, suffix), "_") + suffix
}

// Text returns text as it may stand in a line before performance data: without what would
// begin those, or end the line.
func Text(text string) string { return foreign.Line(strings.ReplaceAll(text, "|", "¦"), 0) }

// suffixes are what the names of metrics end in, with the units of their values.
var suffixes = []struct{ suffix, unit string }{
	{"_seconds", "s"}, {"_msec", "ms"}, {"_ms", "ms"}, {"_bytes", "B"}, {"_percent", "%"}, {"_total", "c"},
}

// label replaces what must not be in a label, and doubles quotes.
var label = strings.NewReplacer("=", "_", "'", "''", "|", "¦")

// Figure returns a metric as an item of performance data. The unit at the end of its name
// is behind the value: rss_bytes is 'rss'=7B. A value that is no number is U.
func Figure(metric string, value float64) string {
	unit := ""
	for _, s := range suffixes {
		if short, is := strings.CutSuffix(metric, s.suffix); is {
			metric, unit = short, s.unit
			break
		}
	}
	text := "U"
	if !math.IsNaN(value) && !math.IsInf(value, 0) {
		text = strconv.FormatFloat(value, 'f', -1, 64) + unit
	}
	return "'" + label.Replace(foreign.Line(metric, 0)) + "'=" + text
}
