package prober

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/supervisor-checks/supervisor-checks/internal/nagios"
)

// format is how what was found is printed, and with which exit status for each outcome.
type format struct {
	text  func(Prober, found) string
	exits map[outcome]int
}

var (
	ourExits    = map[outcome]int{works: ExitOK, failed: ExitFailed, skipped: ExitSkipped}
	nagiosExits = map[outcome]int{works: 0, failed: 2, skipped: 3}

	formats = map[string]format{
		"studio":      {studioText, ourExits},
		"cloudprober": {cloudproberText, ourExits},
		"nagios":      {nagiosText, nagiosExits},
		"json":        {jsonText, ourExits},
	}
)

// studioText is the latency alone, and only if it works.
func studioText(_ Prober, f found) string {
	if f.err != nil {
		return ""
	}
	return f.metrics[0].line() + "\n"
}

func cloudproberText(_ Prober, f found) string {
	var b strings.Builder
	for _, m := range f.metrics {
		b.WriteString(m.line() + "\n")
	}
	return b.String()
}

func nagiosText(p Prober, f found) string {
	word := map[outcome]string{works: "OK", failed: "CRITICAL", skipped: "UNKNOWN"}[f.outcome()]
	text := "it works"
	if f.err != nil {
		text = f.err.Error()
	}
	line := nagiosLine(p, word, text)
	for i, m := range f.metrics {
		if i == 0 {
			line += " |"
		}
		line += " " + nagios.Figure(m.name, m.value)
	}
	return line + "\n"
}

func nagiosLine(p Prober, word, text string) string {
	return nagios.Text(strings.ToUpper(p.Name) + " " + word + " - " + text)
}

// nagiosWanted reports whether a command line asks for that format, for those that
// something else is wrong with.
func nagiosWanted(args []string) bool {
	for i, arg := range args {
		name, value, joined := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if !joined && i+1 < len(args) {
			value = args[i+1]
		}
		if strings.HasPrefix(arg, "-") && name == "output" && value == "nagios" {
			return true
		}
	}
	return false
}

func nagiosUnknown(p Prober, stdout io.Writer, err error) int {
	fmt.Fprintln(stdout, nagiosLine(p, "UNKNOWN", err.Error()))
	return nagiosExits[skipped]
}

// jsonText is a line of JSON, as scripts of this module's checks print it.
func jsonText(_ Prober, f found) string {
	reply := struct {
		Status  string             `json:"status"`
		Reason  string             `json:"reason,omitempty"`
		Metrics map[string]float64 `json:"metrics,omitempty"`
	}{Status: map[outcome]string{works: "healthy", failed: "unhealthy", skipped: "skipped"}[f.outcome()], Metrics: make(map[string]float64)}
	for _, m := range f.metrics {
		reply.Metrics[m.name] = m.value
	}
	if f.err != nil {
		reply.Reason = f.err.Error()
	}
	line, _ := json.Marshal(reply) // there is nothing in it that JSON does not have
	return string(line) + "\n"
}
