package host

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/control"
	"github.com/supervisor-checks/supervisor-checks/internal/duration"
	"github.com/supervisor-checks/supervisor-checks/internal/show"
)

// refused reports whether nobody listens on a socket any more.
func refused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT)
}

// moment writes a time as the logs do.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

// clock is the time of its day.
func clock(t time.Time) string { return t.UTC().Format("15:04:05Z") }

// name tells a listener from others.
func name(l control.Listener) string { return cmp.Or(l.Process, l.Name, "(no name)") }

func listenersTable(answers []control.Answer) show.Table {
	t := show.Table{Head: []string{"LISTENER", "PID", "SINCE", "PROCESSES", "DOES"}}
	for _, a := range answers {
		l := a.Listener
		does := fmt.Sprintf("watches %s (%s); %s", l.Watches, strings.Join(l.Checks, ", "), l.Policy)
		t.Row(name(l), strconv.Itoa(l.PID), moment(l.Started), strconv.Itoa(len(a.Processes)), does)
	}
	t.Text(0, notes(answers)...)
	return t
}

// notes are what is to be said of listeners besides.
func notes(answers []control.Answer) []string {
	var texts []string
	for _, a := range answers {
		l := a.Listener
		if l.Trouble != "" {
			texts = append(texts, trouble(l))
		}
		texts = append(texts, held(l)...)
	}
	return texts
}

// held is what keeps a listener from acting.
func held(l control.Listener) []string {
	var texts []string
	for _, p := range l.Pauses {
		texts = append(texts, fmt.Sprintf("%s: actions on %s are paused until %s", name(l), p.Selector, moment(p.Until)))
	}
	for _, d := range l.Dependencies {
		if d.Status != "healthy" {
			texts = append(texts, fmt.Sprintf("%s: it depends on %s, which is %s: %s", name(l), d.Name, d.Status, d.Reason))
		}
	}
	for _, g := range l.Groups {
		texts = append(texts, fmt.Sprintf("%s: group %s: %s", name(l), g.Name, g.Panic))
	}
	return texts
}

func trouble(l control.Listener) string {
	return name(l) + ": supervisord cannot be asked: " + l.Trouble
}

// processesTable has what is known of each process, and then what would be done about it.
func processesTable(now time.Time, answers []control.Answer) show.Table {
	const status = 1
	t := show.Table{Head: []string{"CHECK", "STATUS", "FAILURES", "LOOKED", "WHY"}, Indent: 2, Status: status}
	again := false
	for _, a := range answers {
		for _, p := range a.Processes {
			if again {
				t.Text(0, "")
			}
			again = true
			facts := p.State
			if p.PID != 0 {
				facts += fmt.Sprintf(", pid %d", p.PID)
			}
			t.Title(p.Process, facts+", watched by "+name(a.Listener))
			for _, rule := range p.Rules {
				t.Row(rule.Check, rule.Status, rule.Failures, looked(now, rule.Looked), why(rule))
			}
			would := p.Would
			if p.StartPeriod > 0 {
				would += fmt.Sprintf("; failures do not count for %.0f s more", p.StartPeriod)
			}
			t.Text(t.Indent, "would be "+would)
			t.Text(t.Indent, "restarts "+restarts(p))
			if !p.PausedUntil.IsZero() {
				t.Text(t.Indent, "paused until "+moment(p.PausedUntil))
			}
		}
	}
	texts := notes(answers)
	if !again {
		t.Head = nil
	} else if texts != nil {
		t.Text(0, "")
	}
	t.Text(0, texts...)
	return t
}

// restarts are those that count for the limit, and what follows from the last.
func restarts(p control.Process) string {
	text := strconv.Itoa(p.Restarts)
	if p.Limit != "" {
		text += " of " + p.Limit
	}
	if !p.LastRestart.IsZero() {
		text += ", the last at " + moment(p.LastRestart)
		if p.Backoff > 0 {
			text += ", then a pause of " + duration.Short(time.Duration(p.Backoff*float64(time.Second)).Round(time.Second))
		}
	}
	return text
}

// plugin returns what listeners know as the report of a plugin of Nagios, by what
// processes count as. One that somebody has stopped is left out.
func plugin(answers []control.Answer, failure error) show.Report {
	var r show.Report
	if failure != nil {
		r.Troubles = append(r.Troubles, failure.Error())
	}
	for _, a := range answers {
		if a.Listener.Trouble != "" {
			r.Troubles = append(r.Troubles, trouble(a.Listener))
		}
		for _, p := range a.Processes {
			r.Figures = append(r.Figures, show.Figure{Of: name(a.Listener) + " " + p.Process, Metric: "restarts", Value: float64(p.Restarts)})
			for _, rule := range p.Rules {
				r.Findings = append(r.Findings, show.Finding{Process: p.Process, Check: rule.Check, Status: rule.Verdict, Reason: why(rule)})
			}
			for _, check := range p.Resting {
				r.Findings = append(r.Findings, show.Finding{Process: p.Process, Check: check, Status: show.Resting})
			}
			if len(p.Rules)+len(p.Resting) == 0 && p.State != "STOPPED" {
				r.Findings = append(r.Findings, show.Finding{Process: p.Process, Status: "unknown", Reason: "it is " + p.State + ", and has not been checked"})
			}
		}
		r.Notes = append(r.Notes, held(a.Listener)...)
	}
	return r
}

// fresh is how old a result may be that is shown as that of now.
const fresh = 2 * time.Minute

// looked is when a check has looked: just now, or how long ago.
func looked(now, at time.Time) string {
	switch age := now.Sub(at); {
	case at.IsZero():
		return ""
	case age > 24*time.Hour:
		return fmt.Sprintf("%s, %.0fh ago", moment(at), age.Hours())
	case age > fresh:
		return fmt.Sprintf("%s, %s ago", clock(at), strings.TrimSuffix(age.Round(time.Minute).String(), "0s"))
	}
	return clock(at)
}

// why is the reason of a result, and what the process counts as if that is another.
func why(r control.Rule) string {
	text := r.Reason
	if r.Verdict == r.Status || r.Verdict == "unknown" {
		return text
	}
	if text != "" {
		text += "; "
	}
	text += "counts as " + r.Verdict
	if r.Successes != "" {
		text += " (" + r.Successes + " successes)"
	}
	return text
}

// doneTable says which processes a command has had its effect on.
func doneTable(what string) func([]control.Answer) show.Table {
	return func(answers []control.Answer) show.Table {
		var t show.Table
		for _, a := range answers {
			var names []string
			for _, p := range a.Processes {
				names = append(names, p.Process)
			}
			t.Text(0, fmt.Sprintf("%s: %s %s", name(a.Listener), what, cmp.Or(strings.Join(names, ", "), "no process that there is now")))
		}
		t.Text(0, notes(answers)...)
		return t
	}
}
