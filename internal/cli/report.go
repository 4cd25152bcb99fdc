package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf16"

	"github.com/supervisor-checks/supervisor-checks/internal/foreign"
	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/runner"
)

// printReport prints what --once found, in a format of --output. With JSON that
// includes why it found nothing, if it did not.
func printReport(w io.Writer, format string, report runner.Report, failure error) error {
	var text strings.Builder
	if format == "json" {
		if err := printJSON(&text, report, failure); err != nil {
			return err
		}
	} else if failure == nil {
		printTable(&text, report)
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// found is what --output json prints.
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

func printJSON(w io.Writer, report runner.Report, failure error) error {
	found := found{Status: report.Status().String(), Results: []record.Record{}, NotWatched: []notWatched{}, Unmatched: append([]string{}, report.Unmatched...)}
	for _, row := range report.Rows {
		rec := record.Record{
			Kind:    record.CheckResult,
			Time:    row.Time,
			Process: row.Process.Namespec(),
			PID:     row.Process.PID,
			Check:   row.Check,
			Status:  row.Result.Status.String(),
			Seconds: row.Took.Seconds(),
			Metrics: row.Result.Metrics,
		}
		if row.Result.Err != nil {
			rec.Reason = row.Result.Err.Error()
		}
		found.Results = append(found.Results, rec)
	}
	for _, left := range report.LeftOut {
		found.NotWatched = append(found.NotWatched, notWatched{left.Process.Namespec(), left.Reason})
	}
	if failure != nil {
		found.Error = failure.Error()
	}
	var text bytes.Buffer
	out := json.NewEncoder(&text)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	if err := out.Encode(found); err != nil {
		return err
	}
	// A terminal obeys more than JSON has escaped.
	for _, r := range text.String() {
		switch {
		case r == '\n' || strconv.IsPrint(r):
			fmt.Fprintf(w, "%c", r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(w, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(w, `\u%04x`, r)
		}
	}
	return nil
}

func printTable(w io.Writer, report runner.Report) {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PROCESS\tCHECK\tSTATUS\tTOOK\tWHY")
	for _, row := range report.Rows {
		check, took, why := row.Check, row.Took.Round(time.Millisecond).String(), measured(row.Result.Metrics)
		if check == "" {
			check, took = "-", "-"
		}
		if row.Result.Err != nil {
			why = foreign.Line(row.Result.Err.Error(), 0)
		}
		fmt.Fprintf(table, "%s\t%s\t%v\t%s\t%s\n", foreign.Line(row.Process.Namespec(), 0), check, row.Result.Status, took, why)
	}
	table.Flush()
	for line := range strings.Lines(text.String()) {
		fmt.Fprintln(w, strings.TrimRight(line, " \n"))
	}
	for _, left := range report.LeftOut {
		fmt.Fprintf(w, "not watched: %s: %s\n", foreign.Line(left.Process.Namespec(), 0), left.Reason)
	}
	for _, text := range report.Unmatched {
		fmt.Fprintf(w, "no process matches %s\n", foreign.Line(text, 0))
	}
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
