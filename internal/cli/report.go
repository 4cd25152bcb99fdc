package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/show"
	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/runner"
)

// page returns what --once found, to be printed. With JSON and its like that
// includes why it found nothing, if it did not.
func page(report runner.Report, failure error) *show.Page {
	p := &show.Page{Data: data(report, failure), Report: judged(report, failure)}
	if failure == nil {
		p.Table = tableOf(report, p.Report.Summary())
	}
	return p
}

// found is what --output json and yaml print.
type found struct {
	Status     string          `json:"status"` // the worst
	Results    []record.Record `json:"results"`
	NotWatched []notWatched    `json:"not_watched"`
	Unmatched  []string        `json:"unmatched"`       // of -g and -N: what matches no process
	Error      string          `json:"error,omitempty"` // why supervisord cannot be asked
}

type notWatched struct {
	Process string `json:"process"`
	Reason  string `json:"reason"`
}

func data(report runner.Report, failure error) found {
	found := found{Status: report.Status().String(), Results: []record.Record{}, NotWatched: []notWatched{}, Unmatched: append([]string{}, report.Unmatched...)}
	for _, row := range report.Rows {
		found.Results = append(found.Results, record.Record{
			Kind:    record.CheckResult,
			Time:    row.Time,
			Process: row.Process.Namespec(),
			PID:     row.Process.PID,
			Check:   row.Check,
			Status:  status(row),
			Reason:  reason(row),
			Seconds: row.Took.Seconds(),
			Metrics: row.Result.Metrics,
		})
	}
	for _, left := range report.LeftOut {
		found.NotWatched = append(found.NotWatched, notWatched{left.Process.Namespec(), left.Reason})
	}
	if failure != nil {
		found.Error = failure.Error()
	}
	return found
}

// judged returns the report for programs that want to know what is healthy.
func judged(report runner.Report, failure error) show.Report {
	r := show.Report{Probes: report.Probes}
	for _, row := range report.Rows {
		f := show.Finding{Process: row.Process.Namespec(), Probe: row.Probe, Check: row.Check, Status: status(row), Reason: reason(row)}
		if row.Check != "" && !row.Rests {
			f.Look = &show.Look{Took: row.Took, Metrics: row.Result.Metrics}
		}
		r.Findings = append(r.Findings, f)
	}
	if failure != nil {
		r.Troubles = append(r.Troubles, failure.Error())
	}
	for _, text := range report.Unmatched {
		r.Troubles = append(r.Troubles, "no process matches "+text)
	}
	for _, left := range report.LeftOut {
		r.Notes = append(r.Notes, fmt.Sprintf("not watched: %s: %s", left.Process.Namespec(), left.Reason))
	}
	return r
}

func status(row runner.Row) string {
	if row.Rests {
		return show.Resting
	}
	return row.Result.Status.String()
}

func reason(row runner.Row) string {
	if row.Rests {
		return "it is not checked at this time"
	}
	if row.Result.Err == nil {
		return ""
	}
	return row.Result.Err.Error()
}

func tableOf(report runner.Report, summary string) show.Table {
	const statusColumn = 2
	t := show.Table{Head: []string{"PROCESS", "CHECK", "STATUS", "TOOK", "WHY"}, Status: statusColumn}
	for _, row := range report.Rows {
		took := ""
		if row.Check != "" && !row.Rests {
			took = row.Took.Round(time.Millisecond).String()
		}
		why := reason(row)
		if row.Result.Err == nil && !row.Rests {
			why = measured(row.Result.Metrics)
		}
		t.Row(row.Process.Namespec(), row.Check, status(row), took, why)
	}
	for _, left := range report.LeftOut {
		t.Text(0, fmt.Sprintf("not watched: %s: %s", left.Process.Namespec(), left.Reason))
	}
	for _, text := range report.Unmatched {
		t.Text(0, "no process matches "+text)
	}
	t.Text(0, summary)
	return t
}

// measured tells what a healthy process was found to be like, of the metrics
// that have a limit: a size, an age or a percentage.
func measured(metrics map[string]float64) string {
	var texts []string
	for _, key := range slices.Sorted(maps.Keys(metrics)) {
		value := metrics[key]
		if name, is := strings.CutSuffix(key, "_bytes"); is {
			texts = append(texts, fmt.Sprintf("%s %.1f MiB", name, value/(1<<20)))
		} else if name, is := strings.CutSuffix(key, "_percent"); is {
			texts = append(texts, fmt.Sprintf("%s %.1f %%", name, value))
		} else if key == "age_seconds" {
			texts = append(texts, fmt.Sprintf("age %.1fs", value))
		}
	}
	return strings.Join(texts, ", ")
}
