package show

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/nagios"
)

// Report is what was found, in the words of statuses: healthy, unhealthy, unknown.
type Report struct {
	Findings []Finding
	Figures  []Figure
	Troubles []string // why something is unknown besides
	Notes    []string // what else there is to say
	Probes   bool     // no process was to be checked: there are only probes
}

// Finding is what is known of a process by one check.
type Finding struct {
	Process, Check string
	Status, Reason string
	Probe          bool // Process is what a probe is called
	Look           *Look
}

// Look is what there is to say of a look besides its outcome. Metrics may have labels, as
// in Prometheus' text format.
type Look struct {
	Took    time.Duration
	Metrics map[string]float64
}

// figures are those of all looks, and the others.
func (r Report) figures() (all []Figure) {
	for _, f := range r.Findings {
		if f.Look == nil {
			continue
		}
		of := f.Process + " " + f.Check
		all = append(all, Figure{of, "took_seconds", f.Look.Took.Seconds()})
		for _, metric := range slices.Sorted(maps.Keys(f.Look.Metrics)) {
			all = append(all, Figure{of, metric, f.Look.Metrics[metric]})
		}
	}
	return append(all, r.Figures...)
}

// Figure is a number that was measured. Metric ends in its unit: "latency_seconds".
type Figure struct {
	Of, Metric string
	Value      float64
}

// Resting is the status of what is not to be checked now.
const Resting = "resting"

// worst are the statuses, the worst first. Of what is skipped
// nothing is known, which counts where there is nothing else.
var worst = []string{"unhealthy", "unknown", "healthy", "skipped", Resting}

// verdicts are what Nagios calls them, with its exit statuses.
var verdicts = map[string]struct {
	word string
	exit int
}{
	"healthy":   {"OK", 0},
	"unhealthy": {"CRITICAL", 2},
	"unknown":   {"UNKNOWN", 3},
	"skipped":   {"UNKNOWN", ExitUnknown},
	Resting:     {"OK", 0},
}

// ExitUnknown is the exit status of a plugin that does not know.
const ExitUnknown = 3

// why says what is not as it should be, and the reason; "" for nothing.
func (f Finding) why() string {
	if f.Status == "healthy" || f.Status == Resting {
		return ""
	}
	return fmt.Sprintf("%s %s: %s", strings.TrimSpace(f.Process+" "+f.Check), f.Status, f.Reason)
}

// status is the worst of the report. Nothing found is nothing known.
func (r Report) status() string {
	status := Resting
	if len(r.Troubles) > 0 || len(r.Findings) == 0 || !r.Probes && !slices.ContainsFunc(r.Findings, func(f Finding) bool { return !f.Probe }) {
		status = "unknown"
	}
	for _, f := range r.Findings {
		status = worse(status, f.Status)
	}
	return status
}

// worse is the worse of two statuses. One of another version's says nothing.
func worse(a, b string) string {
	return worst[min(slices.Index(worst, known(a)), slices.Index(worst, known(b)))]
}

// known is a status, or unknown where it is another word, as a listener of another
// version may have.
func known(status string) string {
	if !slices.Contains(worst, status) {
		return "unknown"
	}
	return status
}

// Exit is the exit status that a plugin has for the report.
func (r Report) Exit() int { return verdicts[r.status()].exit }

// Summary counts processes, and probes, by the worst of each.
func (r Report) Summary() string {
	processes, probes := make(map[string]string), make(map[string]string)
	for _, f := range r.Findings {
		of := processes
		if f.Probe {
			of = probes
		}
		if _, is := of[f.Process]; !is {
			of[f.Process] = Resting
		}
		of[f.Process] = worse(of[f.Process], f.Status)
	}
	var parts []string
	switch {
	case len(processes) > 0:
		parts = append(parts, counted(processes, "process", "processes"))
	case !r.Probes || len(probes) == 0:
		parts = append(parts, nothingChecked)
	}
	if len(probes) > 0 {
		parts = append(parts, counted(probes, "probe", "probes"))
	}
	return strings.Join(parts, "; ")
}

// nothingChecked is what there is to say where nothing was.
const nothingChecked = "no process was checked"

// counted says how many of something there are of each status.
func counted(statuses map[string]string, one, many string) string {
	counts := make(map[string]int)
	for _, status := range statuses {
		counts[status]++
	}
	var parts []string
	for _, status := range worst {
		switch counts[status] {
		case 0:
		case len(statuses):
			if len(statuses) == 1 {
				return "1 " + one + ": " + status
			}
			return fmt.Sprintf("%d %s, all %s", len(statuses), many, status)
		default:
			parts = append(parts, fmt.Sprintf("%d %s", counts[status], status))
		}
	}
	return fmt.Sprintf("%d %s: %s", len(statuses), many, strings.Join(parts, ", "))
}

// text is what a plugin prints: a line with what is worst and, behind a bar, all
// figures; then a line for each other thing that is not healthy, and for what else
// there is to say. See https://www.monitoring-plugins.org/doc/guidelines.html.
func (r Report) text() string {
	status := r.status()
	var first string // of what is worst
	var lines []string
	tell := func(of, text string) {
		if of == status && first == "" {
			first = text
			return
		}
		lines = append(lines, text)
	}
	for _, trouble := range r.Troubles {
		tell("unknown", trouble)
	}
	processes := make(map[string]bool)
	for _, f := range r.Findings {
		processes[f.Process] = true
		if why := f.why(); why != "" {
			tell(known(f.Status), why)
		}
	}
	said := fmt.Sprintf("%s of %s healthy", Count(len(r.Findings), "check", "checks"), Count(len(processes), "process", "processes"))
	if slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Status != "healthy" || f.Probe }) {
		said = r.Summary()
	}
	if status != "healthy" && status != Resting {
		said = first
		if len(r.Findings) > 0 {
			said = strings.TrimSuffix(r.Summary()+"; "+first, "; ")
		}
	}
	if said == "" {
		said = r.Summary()
	}
	var b strings.Builder
	b.WriteString(nagiosLine(status, said))
	for i, f := range r.figures() {
		if i == 0 {
			b.WriteString(" |")
		}
		b.WriteString(" " + nagios.Figure(f.Of+" "+f.Metric, f.Value))
	}
	b.WriteByte('\n')
	for _, line := range slices.Concat(lines, r.Notes) {
		b.WriteString(nagios.Text(line) + "\n")
	}
	return b.String()
}

func nagiosLine(status, text string) string {
	return "SUPERVISOR_CHECKS " + verdicts[status].word + " - " + nagios.Text(text)
}

// NagiosError returns what a plugin prints that could not look, and why.
func NagiosError(why string) string { return nagiosLine("unknown", why) + "\n" }

// WantsNagios reports whether a command line asks for that format, for those that
// something else is wrong with.
func WantsNagios(args []string) bool {
	for i, arg := range args {
		if arg == "--output=nagios" || arg == "nagios" && i > 0 && args[i-1] == "--output" {
			return true
		}
	}
	return false
}

// Count is a number with what it counts.
func Count(n int, one, more string) string {
	if n == 1 {
		more = one
	}
	return fmt.Sprintf("%d %s", n, more)
}
