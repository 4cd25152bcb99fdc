package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/supervisor-checks/supervisor-checks/runner"
)

// printReport prints what --once found as a table.
func printReport(w io.Writer, report runner.Report) {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PROCESS\tCHECK\tSTATUS\tTOOK\tWHY")
	for _, row := range report.Rows {
		check, took, why := row.Check, row.Took.Round(time.Millisecond).String(), ""
		if check == "" {
			check, took = "-", "-"
		}
		if row.Result.Err != nil {
			why = printable(row.Result.Err.Error())
		}
		fmt.Fprintf(table, "%s\t%s\t%v\t%s\t%s\n", printable(row.Process.Namespec()), check, row.Result.Status, took, why)
	}
	table.Flush()
	for line := range strings.Lines(text.String()) {
		fmt.Fprintln(w, strings.TrimRight(line, " \n"))
	}
	for _, left := range report.LeftOut {
		fmt.Fprintf(w, "not watched: %s: %s\n", printable(left.Process.Namespec()), left.Reason)
	}
	for _, text := range report.Unmatched {
		fmt.Fprintf(w, "no process matches %s\n", printable(text))
	}
}

// printable escapes what would move the cursor or the columns.
func printable(s string) string {
	quoted := strconv.Quote(s)
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(quoted[1 : len(quoted)-1])
}
