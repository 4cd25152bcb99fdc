// Package cloudprober speaks with cloudprober (https://cloudprober.org) as its external
// probes do, from both sides: the lines in which a probe tells of metrics, and the
// frames of SERVER mode, in which one long-lived process answers requests.
package cloudprober

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/supervisor-checks/supervisor-checks/internal/foreign"
)

// Metric is a line of a probe's output: `rows{table="a b"} 7`.
type Metric struct {
	Name   string
	Labels []Label
	Value  Value
}

// Label is one of a metric's labels.
type Label struct{ Name, Value string }

// Value is the value of a metric: a Float, a Text, a Map or a Distribution. String
// returns it as it stands in the output.
type Value interface {
	String() string
	series(name string, labels []Label, yield func(string, float64) bool)
}

type (
	// Float is a finite number.
	Float float64

	// Text is a string.
	Text string

	// Map has a number for each value of a label.
	Map struct {
		Label  string
		Values map[string]float64
	}

	// Distribution counts values in buckets. A bucket is of the values from its lower
	// bound to below the next one's, and the last of all that are not less than its own.
	Distribution struct {
		Sum     float64
		Count   int64
		Bounds  []float64 // lower bounds, ascending; the first may be -Inf
		Buckets []int64   // as many
	}
)

// reserved are metrics that cloudprober has of its own for each probe.
var reserved = []string{"success", "total", "latency"}

// mostShown is how many bytes of a bad line its error shows.
const mostShown = 80

func shown(s string) string { return `"` + foreign.Line(s, mostShown) + `"` }

// ParseMetric reads a line of a probe's output. It is more patient than cloudprober:
// there may be braces in quoted labels and colons in the keys of maps. In what is
// quoted \" stands for ", \\ for \ and \n for the end of a line. A number is refused
// when it is not finite, and so are cloudprober's own names success, total and latency.
// The error is for a person.
func ParseMetric(line string) (Metric, error) {
	m, err := parseMetric(strings.TrimSpace(line))
	if err != nil {
		return Metric{}, fmt.Errorf("%s is no metric: %w", shown(line), err)
	}
	return m, nil
}

func parseMetric(line string) (m Metric, err error) {
	end := strings.IndexAny(line, " \t{")
	if end < 0 {
		return m, errors.New("it has a name and no value")
	}
	m.Name = line[:end]
	rest := strings.TrimLeft(line[end:], " \t")
	switch {
	case m.Name == "":
		return m, errors.New("it has no name")
	case strings.ContainsFunc(m.Name, func(r rune) bool { return r == '"' || r == '}' || unicode.IsSpace(r) || unicode.IsControl(r) }):
		return m, errors.New("there is a character in its name that is of no name")
	case slices.Contains(reserved, m.Name):
		return m, errors.New("cloudprober has a metric of that name itself")
	}
	if after, are := strings.CutPrefix(rest, "{"); are {
		if m.Labels, rest, err = parseLabels(after); err != nil {
			return m, err
		}
	}
	m.Value, err = parseValue(strings.TrimSpace(rest))
	return m, err
}

// parseLabels reads labels up to their closing brace, and returns what follows it.
func parseLabels(text string) (labels []Label, rest string, err error) {
	for {
		text = strings.TrimLeft(text, " \t")
		if after, ends := strings.CutPrefix(text, "}"); ends {
			return labels, after, nil
		}
		var l Label
		l.Name, text = span(text, wordChar)
		text = strings.TrimLeft(text, " \t")
		if l.Name == "" || !strings.HasPrefix(text, "=") {
			return nil, "", errors.New("its labels are not as in {name=word,other=\"some words\"}")
		}
		if slices.ContainsFunc(labels, func(other Label) bool { return other.Name == l.Name }) {
			return nil, "", fmt.Errorf("it has the label %s twice", l.Name)
		}
		text = strings.TrimLeft(text[1:], " \t")
		if strings.HasPrefix(text, `"`) {
			if l.Value, text, err = unquote(text); err != nil {
				return nil, "", err
			}
		} else {
			l.Value, text = span(text, func(r rune) bool { return wordChar(r) || r == '-' || r == '.' })
		}
		labels = append(labels, l)
		text = strings.TrimLeft(text, " \t")
		if after, more := strings.CutPrefix(text, ","); more {
			text = after
		} else if !strings.HasPrefix(text, "}") {
			return nil, "", fmt.Errorf("what follows the value of its label %s is neither a comma nor a brace (values of other than letters, digits, -, _ and . must be in quotes)", l.Name)
		}
	}
}

func wordChar(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_'
}

// span cuts text behind the first characters, which are all of a kind.
func span(text string, is func(rune) bool) (first, rest string) {
	end := strings.IndexFunc(text, func(r rune) bool { return !is(r) })
	if end < 0 {
		end = len(text)
	}
	return text[:end], text[end:]
}

// unquote reads a string in quotes at the beginning of text.
func unquote(text string) (s, rest string, err error) {
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return b.String(), text[i+1:], nil
		case c != '\\' || i+1 == len(text):
			b.WriteByte(c)
		default:
			i++
			switch text[i] {
			case '"', '\\':
				b.WriteByte(text[i])
			case 'n':
				b.WriteByte('\n')
			default:
				b.WriteString(text[i-1 : i+1])
			}
		}
	}
	return "", "", errors.New("a quote is not closed")
}

// quote is how values stand in quotes, here and in Prometheus' text.
var quote = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func parseValue(text string) (Value, error) {
	kind, rest, _ := strings.Cut(text, ":")
	switch {
	case text == "":
		return nil, errors.New("it has no value")
	case text[0] == '"':
		s, rest, err := unquote(text)
		if err == nil && rest != "" {
			err = errors.New("something follows the closing quote")
		}
		return Text(s), err
	case kind == "map":
		return parseMap(rest)
	case kind == "dist":
		return parseDistribution(rest)
	}
	f, err := parseFloat(text)
	return Float(f), err
}

// parseFloat reads a finite number that begins with a digit, a dot or a minus.
func parseFloat(text string) (float64, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) || strings.HasPrefix(text, "+") {
		return 0, fmt.Errorf("%s is no number (as in 1.5 or -3e2), \"text\", map:… or dist:…", shown(text))
	}
	return f, nil
}

// parseMap reads what follows "map:", as in "code,200:7,500:1".
func parseMap(text string) (Value, error) {
	label, rest, more := strings.Cut(text, ",")
	if label == "" {
		return nil, errors.New("the map has no label: map:label,key:value,…")
	}
	m := Map{Label: label, Values: make(map[string]float64)}
	for more {
		var entry string
		entry, rest, more = strings.Cut(rest, ",")
		colon := strings.LastIndexByte(entry, ':')
		if colon < 0 {
			return nil, fmt.Errorf("%s in the map is not key:value", shown(entry))
		}
		key := entry[:colon]
		if _, twice := m.Values[key]; twice {
			return nil, fmt.Errorf("the map has the key %s twice", shown(key))
		}
		value, err := parseFloat(entry[colon+1:])
		if err != nil {
			return nil, fmt.Errorf("key %s of the map: %w", shown(key), err)
		}
		m.Values[key] = value
	}
	return m, nil
}

// parseDistribution reads what follows "dist:", as in
// "sum:899|count:221|lb:-Inf,0.5,2,7.5|bc:34,54,121,12".
func parseDistribution(text string) (Value, error) {
	var d Distribution
	fields := make(map[string]string)
	for field := range strings.SplitSeq(text, "|") {
		key, value, _ := strings.Cut(field, ":")
		if _, twice := fields[key]; twice || !slices.Contains([]string{"sum", "count", "lb", "bc"}, key) {
			return nil, fmt.Errorf("%s in the distribution: it has sum, count, lb and bc, each once", shown(field))
		}
		fields[key] = value
	}
	var err error
	if d.Sum, err = parseFloat(fields["sum"]); err != nil {
		return nil, fmt.Errorf("sum of the distribution: %w", err)
	}
	if d.Count, err = strconv.ParseInt(fields["count"], 10, 64); err != nil {
		return nil, fmt.Errorf("count of the distribution: %s is no whole number", shown(fields["count"]))
	}
	for text := range strings.SplitSeq(fields["lb"], ",") {
		bound, err := strconv.ParseFloat(text, 64)
		if last := len(d.Bounds) - 1; err != nil || math.IsNaN(bound) || math.IsInf(bound, 1) || last >= 0 && bound <= d.Bounds[last] {
			return nil, fmt.Errorf("lb of the distribution: %s: the bounds are not ascending numbers", shown(text))
		}
		d.Bounds = append(d.Bounds, bound)
	}
	left := d.Count
	for text := range strings.SplitSeq(fields["bc"], ",") {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 || n > left {
			return nil, fmt.Errorf("bc of the distribution: %s: the buckets are not of whole numbers that sum up to the count", shown(text))
		}
		left -= n
		d.Buckets = append(d.Buckets, n)
	}
	if len(d.Buckets) != len(d.Bounds) || left != 0 {
		return nil, fmt.Errorf("the distribution has %d bounds and %d buckets, and %d of its count are in no bucket", len(d.Bounds), len(d.Buckets), left)
	}
	return d, nil
}

// String returns the metric as a line of output, without its end. ParseMetric reads
// the same from it, if the metric is one that it can return.
func (m Metric) String() string {
	text := m.Name
	if len(m.Labels) > 0 {
		text += braced(m.Labels)
	}
	return text + " " + m.Value.String()
}

func braced(labels []Label) string {
	parts := make([]string, len(labels))
	for i, l := range labels {
		parts[i] = l.Name + `="` + quote.Replace(l.Value) + `"`
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func (f Float) String() string { return number(float64(f)) }

func (t Text) String() string { return `"` + quote.Replace(string(t)) + `"` }

func (m Map) String() string {
	text := "map:" + m.Label
	for _, key := range slices.Sorted(maps.Keys(m.Values)) {
		text += "," + key + ":" + number(m.Values[key])
	}
	return text
}

func (d Distribution) String() string {
	bounds, buckets := make([]string, len(d.Bounds)), make([]string, len(d.Buckets))
	for i, bound := range d.Bounds {
		bounds[i] = number(bound)
	}
	for i, n := range d.Buckets {
		buckets[i] = strconv.FormatInt(n, 10)
	}
	return fmt.Sprintf("dist:sum:%s|count:%d|lb:%s|bc:%s", number(d.Sum), d.Count, strings.Join(bounds, ","), strings.Join(buckets, ","))
}

func number(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

// Series yields what the metric is for Prometheus, under names with labels as in its
// text format: `rows{table="a b"}`. A Text is 1 with its value in the label val, a Map
// has a series for each key, by key, and a Distribution NAME_sum, NAME_count and a
// NAME_bucket for each upper bound, the label le. What is not for names of Prometheus
// is "_" in them, and a label that the metric itself has under such a name gets a "_"
// at its end.
func (m Metric) Series() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		m.Value.series(legal(m.Name, ":"), m.Labels, yield)
	}
}

func (f Float) series(name string, labels []Label, yield func(string, float64) bool) {
	yield(named(name, labels), float64(f))
}

func (t Text) series(name string, labels []Label, yield func(string, float64) bool) {
	yield(named(name, labels, Label{"val", string(t)}), 1)
}

func (m Map) series(name string, labels []Label, yield func(string, float64) bool) {
	for _, key := range slices.Sorted(maps.Keys(m.Values)) {
		if !yield(named(name, labels, Label{m.Label, key}), m.Values[key]) {
			return
		}
	}
}

func (d Distribution) series(name string, labels []Label, yield func(string, float64) bool) {
	if !yield(named(name+"_sum", labels), d.Sum) || !yield(named(name+"_count", labels), float64(d.Count)) {
		return
	}
	var below int64
	for i, n := range d.Buckets {
		below += n
		upper := "+Inf"
		if i+1 < len(d.Bounds) {
			upper = number(d.Bounds[i+1])
		}
		if !yield(named(name+"_bucket", labels, Label{"le", upper}), float64(below)) {
			return
		}
	}
}

// named is a name of Prometheus with a metric's labels, after which come those that
// its value brings.
func named(name string, labels []Label, own ...Label) string {
	if len(labels)+len(own) == 0 {
		return name
	}
	used := make(map[string]bool)
	for i := range own {
		own[i].Name = legal(own[i].Name, "")
		used[own[i].Name] = true
	}
	all := make([]Label, 0, len(labels)+len(own))
	for _, l := range labels {
		l.Name = legal(l.Name, "")
		for used[l.Name] {
			l.Name += "_"
		}
		used[l.Name] = true
		all = append(all, l)
	}
	all = append(all, own...)
	for i := range all {
		all[i].Value = strings.ToValidUTF8(all[i].Value, "\uFFFD")
	}
	return name + braced(all)
}

// legal makes a name for Prometheus: of letters, digits, "_" and what besides is
// allowed, and not with a digit at its beginning.
func legal(name, besides string) string {
	name = strings.Map(func(r rune) rune {
		if strings.ContainsRune(besides, r) {
			return r
		}
		return wordRune(r)
	}, name)
	if name == "" || name[0] >= '0' && name[0] <= '9' {
		return "_" + name
	}
	return name
}

// ParseSeries takes apart the name of a number, as Series names it, for whoever has
// labels of its own to add. What is of no name of Prometheus is "_" in it, but for a digit
// at its beginning. Before the name of a label that is one of own there is
// "exported_", as Prometheus has it. The error is for a person.
func ParseSeries(series string, own ...string) (name string, labels []Label, err error) {
	name, text, has := strings.Cut(series, "{")
	if has {
		var rest string
		if labels, rest, err = parseLabels(text); err == nil && rest != "" {
			err = errors.New("something follows its labels")
		}
		if err != nil {
			return "", nil, fmt.Errorf("%s is no name of a metric: %w", shown(series), err)
		}
	}
	taken := func(name string) bool {
		return slices.Contains(own, name) || slices.ContainsFunc(labels, func(l Label) bool { return l.Name == name })
	}
	for i, l := range labels {
		if slices.Contains(own, l.Name) {
			for taken(l.Name) {
				l.Name = "exported_" + l.Name
			}
			labels[i] = l
		}
	}
	return strings.Map(wordRune, name), labels, nil
}

// wordRune returns r, or "_" in place of what is of no word.
func wordRune(r rune) rune {
	if wordChar(r) {
		return r
	}
	return '_'
}

// Found is what there is of metrics in an output.
type Found struct {
	Series map[string]float64 // as Metric.Series names them; of two of one name, the last
	Bad    int                // how many lines are no metric
	Errs   []error            // why the first few of them are none, each with its line number
	More   int                // how many series are left out, because there were as many as asked for
}

// mostErrs is how many errors Found has.
const mostErrs = 3

// Metrics reads an output, of which it keeps at most so many series, the first ones. A
// bad line does no harm to others, and empty ones say nothing. When there are as many series
// as asked for, the lines that follow are not read: each counts as a series that is left out.
func Metrics(output string, most int) Found {
	found := Found{Series: make(map[string]float64)}
	number := 0
	for line := range strings.Lines(output) {
		number++
		if strings.TrimSpace(line) == "" {
			continue
		}
		if len(found.Series) >= most {
			found.More++
			continue
		}
		m, err := ParseMetric(strings.TrimRight(line, "\r\n"))
		if err != nil {
			if found.Bad++; found.Bad <= mostErrs {
				found.Errs = append(found.Errs, fmt.Errorf("line %d: %w", number, err))
			}
			continue
		}
		for name, value := range m.Series() {
			if _, is := found.Series[name]; !is && len(found.Series) >= most {
				found.More++
				continue
			}
			found.Series[name] = value
		}
	}
	return found
}
