package show

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/supervisor-checks/supervisor-checks/internal/cloudprober"
	"github.com/supervisor-checks/supervisor-checks/internal/foreign"
)

// cloudprober is a line for each metric, as cloudprober reads them: for each check of a
// process check_healthy (1, or 0 where it is unhealthy; not where that is not known),
// check_status, check_duration_milliseconds, and what the check has measured; for each
// probe probe_healthy and so on.
func (r Report) cloudprober() string {
	var b strings.Builder
	for _, f := range r.Findings {
		kind, labels := "check", []cloudprober.Label{{Name: "process", Value: f.Process}, {Name: "check", Value: f.Check}}
		if f.Probe {
			kind, labels = "probe", []cloudprober.Label{{Name: "probe", Value: f.Process}}
		}
		line := func(name string, value cloudprober.Value, more ...cloudprober.Label) {
			m := cloudprober.Metric{Name: name, Value: value}
			for _, l := range slices.Concat(labels, more) {
				m.Labels = append(m.Labels, cloudprober.Label{Name: l.Name, Value: fit.Replace(foreign.Line(l.Value, 0))})
			}
			b.WriteString(m.String() + "\n")
		}
		status := cloudprober.Map{Label: "status", Values: make(map[string]float64)}
		for _, s := range worst {
			status.Values[s] = 0
		}
		status.Values[known(f.Status)] = 1
		switch known(f.Status) {
		case "healthy":
			line(kind+"_healthy", cloudprober.Float(1))
		case "unhealthy":
			line(kind+"_healthy", cloudprober.Float(0))
		}
		line(kind+"_status", status)
		if f.Look == nil || f.Status == "skipped" {
			continue
		}
		line(kind+"_duration_milliseconds", f.Look.milliseconds())
		told := make(map[string]bool) // names may be alike only after they were made fit
		for _, series := range slices.Sorted(maps.Keys(f.Look.Metrics)) {
			value := f.Look.Metrics[series]
			name, more, err := cloudprober.ParseSeries(series, "process", "check", "probe")
			if !ownName(name) {
				name = "metric_" + name
			}
			same := fmt.Sprint(name, more)
			if err != nil || math.IsNaN(value) || math.IsInf(value, 0) || told[same] {
				continue
			}
			told[same] = true
			line(name, cloudprober.Float(value), more...)
		}
	}
	return b.String()
}

// fit has no braces in the value of a label: cloudprober takes one for the end of all.
var fit = strings.NewReplacer("{", "(", "}", ")")

// ownName reports whether what a check has measured can keep its name: neither cloudprober
// has a metric of that name, nor have we.
func ownName(name string) bool {
	_, err := cloudprober.ParseMetric(name + " 1")
	kind, own, _ := strings.Cut(name, "_")
	ours := (kind == "check" || kind == "probe") && (own == "healthy" || own == "status" || own == "duration_milliseconds")
	return err == nil && !ours && (name[0] < '0' || name[0] > '9')
}

// milliseconds is how long the look took, to a microsecond.
func (l Look) milliseconds() cloudprober.Float {
	return cloudprober.Float(math.Round(l.Took.Seconds()*1e6) / 1e3)
}

// studio is a line for each thing that is healthy, as those of Studio's probers: its name
// with _latency_msec, and how long the look took. There is none for what is not.
func (r Report) studio() string {
	var b strings.Builder
	used := make(map[string]int)
	for _, f := range r.Findings {
		name := f.Process
		if !f.Probe {
			name += "_" + f.Check
		}
		name, _, _ = cloudprober.ParseSeries(strings.ReplaceAll(name, "{", "_"))
		if used[name]++; used[name] > 1 { // two that differ only in what is of no name
			name += fmt.Sprint("_", used[name])
		}
		if f.Status == "healthy" && f.Look != nil {
			b.WriteString(cloudprober.Metric{Name: name + "_latency_msec", Value: f.Look.milliseconds()}.String() + "\n")
		}
	}
	return b.String()
}

// Reasons say why the report is not of what is healthy alone, each in a line.
func (r Report) Reasons() []string {
	reasons := slices.Clone(r.Troubles)
	for _, f := range r.Findings {
		if why := f.why(); why != "" {
			reasons = append(reasons, why)
		}
	}
	if status := r.status(); reasons == nil && status != "healthy" && status != Resting {
		reasons = append([]string{nothingChecked}, r.Notes...)
	}
	for i, reason := range reasons {
		reasons[i] = foreign.Line(reason, 0)
	}
	return reasons
}

// Tell writes the Reasons to a log, for those formats that have no room for them.
func (p *Page) Tell(log io.Writer) {
	for _, reason := range p.Report.Reasons() {
		fmt.Fprintln(log, reason)
	}
}

// ForProbers reports whether a format is for programs that run probers: their log is for
// what is not healthy.
func ForProbers(format string) bool { return slices.Contains(probers, format) }
