package host

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/control"
	"github.com/supervisor-checks/supervisor-checks/internal/foreign"
)

// refused reports whether nobody listens on a socket any more.
func refused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT)
}

// table prints rows of columns, with what could move the cursor escaped.
func table(w io.Writer, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = cmp.Or(foreign.Line(cell, 0), "-")
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	t.Flush()
}

// moment writes a time as the logs do.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

// name tells a listener from others.
func name(l control.Listener) string { return cmp.Or(l.Process, l.Name, "(no name)") }

func printListeners(w io.Writer, answers []control.Answer) {
	rows := [][]string{{"LISTENER", "PID", "SINCE", "WATCHES", "PROCESSES", "CHECKS", "DOES"}}
	for _, a := range answers {
		l := a.Listener
		rows = append(rows, []string{name(l), strconv.Itoa(l.PID), moment(l.Started), l.Watches, strconv.Itoa(len(a.Processes)), strings.Join(l.Checks, ", "), l.Policy})
	}
	table(w, rows)
	printNotes(w, answers)
}

// printNotes prints what is to be said of listeners besides.
func printNotes(w io.Writer, answers []control.Answer) {
	for _, a := range answers {
		l := a.Listener
		if l.Trouble != "" {
			table(w, [][]string{{name(l) + ": supervisord cannot be asked: " + l.Trouble}})
		}
		for _, p := range l.Pauses {
			table(w, [][]string{{fmt.Sprintf("%s: actions on %s are paused until %s", name(l), p.Selector, moment(p.Until))}})
		}
		for _, g := range l.Groups {
			table(w, [][]string{{fmt.Sprintf("%s: group %s: %s", name(l), g.Name, g.Panic)}})
		}
	}
}

func printProcesses(w io.Writer, answers []control.Answer) {
	rows := [][]string{{"PROCESS", "STATE", "LISTENER", "CHECK", "STATUS", "FAILURES", "RESTARTS", "PAUSED UNTIL", "WOULD BE"}}
	for _, a := range answers {
		for _, p := range a.Processes {
			restarts := strconv.Itoa(p.Restarts)
			if p.Limit != "" {
				restarts += " of " + p.Limit
			}
			would := p.Would
			if p.StartPeriod > 0 {
				would += fmt.Sprintf("; failures do not count for %.0f s more", p.StartPeriod)
			}
			first := []string{p.Process, p.State, name(a.Listener), "", "", "", restarts, moment(p.PausedUntil), would}
			for i, rule := range p.Rules {
				row := first
				if i > 0 {
					row = []string{"", "", "", "", "", "", "", "", ""}
				}
				row[3], row[4], row[5] = rule.Check, status(rule), rule.Failures
				rows = append(rows, row)
			}
			if len(p.Rules) == 0 {
				rows = append(rows, first)
			}
		}
	}
	table(w, rows)
	for _, a := range answers {
		for _, p := range a.Processes {
			for _, rule := range p.Rules {
				if rule.Reason != "" {
					table(w, [][]string{{fmt.Sprintf("%s: %s %s at %s: %s", p.Process, rule.Check, rule.Status, moment(rule.Looked), rule.Reason)}})
				}
			}
		}
	}
	printNotes(w, answers)
}

// fresh is how old a result may be that is shown as that of now.
const fresh = 2 * time.Minute

// status is the newest result of a check, how old it is where that is not of now, and
// what the process counts as if that is another.
func status(r control.Rule) string {
	text := r.Status
	if age := time.Since(r.Looked); age > fresh {
		text += fmt.Sprintf(" %v ago", age.Round(time.Minute))
	}
	if r.Verdict == r.Status || r.Verdict == "unknown" {
		return text
	}
	text += ", counts as " + r.Verdict
	if r.Successes != "" {
		text += " (" + r.Successes + " successes)"
	}
	return text
}

// printDone prints which processes a command has had its effect on.
func printDone(done string) func(io.Writer, []control.Answer) {
	return func(w io.Writer, answers []control.Answer) {
		for _, a := range answers {
			var names []string
			for _, p := range a.Processes {
				names = append(names, p.Process)
			}
			table(w, [][]string{{fmt.Sprintf("%s: %s %s", name(a.Listener), done, cmp.Or(strings.Join(names, ", "), "no process that there is now"))}})
		}
		printNotes(w, answers)
	}
}
