package host

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/supervisor-checks/supervisor-checks/internal/availability"
	"github.com/supervisor-checks/supervisor-checks/internal/config"
	"github.com/supervisor-checks/supervisor-checks/internal/duration"
	"github.com/supervisor-checks/supervisor-checks/internal/setting"
	"github.com/supervisor-checks/supervisor-checks/internal/show"
	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/sinks"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// changes are the kinds of records that change something.
var changes = []record.Kind{record.Transition, record.Restart, record.Group, record.Listener}

// source is how commands are told of a sink.
type source struct{ config, sink string }

// options adds --config, and one for the sink.
func (s *source) options(c *cobra.Command, option, does string) {
	f := c.Flags()
	f.StringVar(&s.config, "config", defaultConfig, "the `FILE` of the listener")
	f.StringVar(&s.sink, option, "", "`SINK` "+does+": the name of one of that file, or its kind where there is one of that; a file of SQLite, as ./history.db; or postgres://USER@HOST/DB")
	c.RegisterFlagCompletionFunc("config", cobra.FixedCompletions([]string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt))
}

// find returns the sink, or the one that is there by default.
func (s *source) find(byDefault func(*config.File) (*config.Sink, error)) (*config.Sink, error) {
	name, _, _ := strings.Cut(s.sink, "://")
	if name != s.sink && (name == "postgres" || name == "postgresql") {
		return &config.Sink{Name: "at the URL", SinkKind: config.SinkKind{Postgres: &config.SinkPostgres{DSN: s.sink}}}, nil
	}
	if strings.Contains(s.sink, "/") {
		return &config.Sink{Name: s.sink, SinkKind: config.SinkKind{SQLite: &config.SinkSQLite{Path: s.sink}}}, nil
	}
	file := new(config.File)
	text, err := os.ReadFile(s.config)
	switch {
	case err == nil:
		if file, err = config.Read(s.config, text, os.LookupEnv); err != nil { // the listener may have more in its environment
			return nil, fileError{fmt.Errorf("%w\nWithout that file: --from /var/lib/supervisor-checks/history.db, or postgres://USER@HOST/DB", err)}
		}
	case s.config == defaultConfig && errors.Is(err, fs.ErrNotExist) && s.sink == "": // then all is as it is by default
	default:
		return nil, usageError{err}
	}
	if s.sink == "" {
		return byDefault(file)
	}
	found, err := file.FindSink(s.sink)
	if err != nil {
		return nil, usageError{fmt.Errorf("%s: %w", s.config, err)}
	}
	return found, nil
}

// past is how the commands that read records back find them.
type past struct {
	*asker
	source
	since, until string
	host         string
	about        []string
	status       []string
	kinds        []string
	results      bool
	limit        int
}

// historyCommands are the commands that read records back.
func historyCommands(a *asker) []*cobra.Command {
	h := past{asker: a}
	history := &cobra.Command{
		Use: "history [--process NAME]", Short: "show what happened: who was unhealthy when, why, what was done, and whether it helped", Args: arguments(0, 0),
		Example: "supervisor_checks history --process 'web:*' --since 7d",
		RunE:    func(c *cobra.Command, _ []string) error { return h.timeline(c) },
	}
	f := history.Flags()
	f.StringSliceVar(&h.status, "status", nil, "only what became of this `STATUS`: healthy, unhealthy, unknown")
	f.StringSliceVar(&h.kinds, "kind", nil, "only records of this `KIND`: transition, restart, group, listener, check_result, probe_result (default the first four)")
	f.BoolVar(&h.results, "results", false, "each result of a check or a probe, too")
	f.IntVar(&h.limit, "limit", 1000, "the newest `COUNT` of them at most; 0 for all")
	summary := &cobra.Command{
		Use: "summary [--process NAME]", Short: "show availability, outages, restarts and time to recover of each process", Args: arguments(0, 0),
		Example: "supervisor_checks summary --since 30d",
		RunE:    func(c *cobra.Command, _ []string) error { return h.summary(c) },
	}
	for _, c := range []*cobra.Command{history, summary} {
		f := c.Flags()
		h.options(c, "from", "where records are, in place of the history of that file")
		f.StringArrayVar(&h.about, "process", nil, "only this process, probe or group: a `NAME`, in which * and ? may stand for parts; may be given several times")
		f.StringVar(&h.since, "since", "24h", "from `TIME` on: 2h or 7d ago, 2026-01-31, or 2026-01-31T08:00 in UTC")
		f.StringVar(&h.until, "until", "", "before `TIME`, as with --since (default now)")
		f.StringVar(&h.host, "host", "", "only of the host of this `NAME`")
		c.RegisterFlagCompletionFunc("status", cobra.FixedCompletions([]string{"healthy", "unhealthy", "unknown", "skipped"}, cobra.ShellCompDirectiveNoFileComp))
		c.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions(words(record.Kinds), cobra.ShellCompDirectiveNoFileComp))
	}
	return []*cobra.Command{history, summary}
}

func words(kinds []record.Kind) (all []string) {
	for _, k := range kinds {
		all = append(all, string(k))
	}
	return all
}

// formats are those of the commands that read records back.
var formats = []string{"table", "json", "yaml", "csv"}

// filter says which records are asked for, those of kinds where nothing else is said.
func (h *past) filter(now time.Time, kinds []record.Kind) (f sinks.Filter, err error) {
	if h.listener != "" {
		return f, usageError{errors.New("--listener is not for records that were kept")}
	}
	if err := h.prints(formats); err != nil {
		return f, err
	}
	f = sinks.Filter{Host: h.host, About: h.about, Kinds: kinds, Statuses: h.status, Limit: h.limit}
	if f.Since, err = ago(now, h.since); err != nil {
		return f, usageError{fmt.Errorf("--since: %w", err)}
	}
	f.Until = now
	if h.until != "" {
		if f.Until, err = ago(now, h.until); err != nil {
			return f, usageError{fmt.Errorf("--until: %w", err)}
		}
	}
	if !f.Since.Before(f.Until) {
		return f, usageError{fmt.Errorf("--since is %s, which is not before %s", moment(f.Since), moment(f.Until))}
	}
	for _, s := range h.status {
		if err := setting.OneOf(s, "healthy", "unhealthy", "unknown", "skipped"); err != nil {
			return f, usageError{fmt.Errorf("--status: %w", err)}
		}
	}
	if len(h.kinds) > 0 {
		f.Kinds = nil
		for _, k := range h.kinds {
			if err := setting.OneOf(k, words(record.Kinds)...); err != nil {
				return f, usageError{fmt.Errorf("--kind: %w", err)}
			}
			f.Kinds = append(f.Kinds, record.Kind(k))
		}
	}
	if h.results {
		f.Kinds = append(slices.Clone(f.Kinds), record.CheckResult, record.ProbeResult)
	}
	if h.limit < 0 {
		return f, usageError{errors.New("--limit is less than 0")}
	}
	return f, nil
}

// ago reads a time, or how long ago it was.
func ago(now time.Time, text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	d, err := setting.More(text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is neither how long ago, as 2h or 7d, nor a time in UTC, as 2026-01-31 or 2026-01-31T08:00", text)
	}
	return now.Add(-d), nil
}

// find calls do for each record that is asked for, and returns where those are.
func (h *past) find(ctx context.Context, filter sinks.Filter, do func(record.Record)) (where string, err error) {
	sink, err := h.source.find(h.history)
	if err != nil {
		return "", err
	}
	reader, err := sink.Open(ctx)
	switch {
	case errors.Is(err, fs.ErrNotExist) && sink.Name == "history":
		return "", nothingError{fmt.Errorf("there is no history at %s: a listener of supervisor_checks run begins one, unless its file says history: off. Is this its user, and the --config, --state-dir or $STATE_DIRECTORY that it has? --from names the file itself", sink.SQLite.Path)}
	case err != nil:
		return "", err
	}
	defer reader.Close()
	where = "the sink " + sink.Name
	if sink.SQLite != nil {
		where = sink.SQLite.Path
	}
	return where, reader.Find(ctx, filter, func(r record.Record) error {
		do(r)
		return nil
	})
}

// history is where records are by default.
func (h *past) history(file *config.File) (*config.Sink, error) {
	if file.History.Off() {
		return nil, usageError{fmt.Errorf("%s says history: off: name one of its sinks with --from", h.config)}
	}
	var path string
	for _, folder := range supervisor.DataDirs(cmp.Or(h.stateDir, file.StateDir)) {
		path = historyIn(folder)
		if _, err := os.Stat(path); err == nil {
			break
		}
	}
	s := file.History.Sink(path)
	return &s, nil
}

// print prints what was found.
func (h *past) print(c *cobra.Command, table show.Table, data any, rows [][]string) error {
	out := c.OutOrStdout()
	var err error
	if h.output == "csv" {
		err = csv.NewWriter(out).WriteAll(rows)
	} else {
		err = (&show.Page{Table: table, Data: data}).Print(out, h.output, show.ScreenOf(out))
	}
	if err != nil {
		return fmt.Errorf("print what was found: %w", err)
	}
	return nil
}

// timeline shows what happened.
func (h *past) timeline(c *cobra.Command) error {
	filter, err := h.filter(time.Now(), changes)
	if err != nil {
		return err
	}
	all := []record.Record{}
	where, err := h.find(c.Context(), filter, func(r record.Record) { all = append(all, r) })
	if err != nil {
		return err
	}
	return h.print(c, historyTable(all, filter, where), all, recordRows(all))
}

func historyTable(all []record.Record, filter sinks.Filter, where string) show.Table {
	hosts := make(map[string]bool)
	for _, r := range all {
		hosts[r.Host] = true
	}
	t := show.Table{Head: []string{"TIME", "WHAT"}}
	if len(hosts) > 1 {
		t.Head = []string{"TIME", "HOST", "WHAT"}
	}
	for i := range all {
		r := &all[i]
		if len(hosts) > 1 {
			t.Row(moment(r.Time), r.Host, r.Sentence())
		} else {
			t.Row(moment(r.Time), r.Sentence())
		}
	}
	switch {
	case len(all) == 0:
		t.Head = nil
		t.Text(0, fmt.Sprintf("Nothing of that kind from %s to %s in %s.", moment(filter.Since), moment(filter.Until), where))
	case len(all) == filter.Limit:
		t.Text(0, "", fmt.Sprintf("These are the newest %d: --limit 0 shows all.", filter.Limit))
	}
	return t
}

// recordRows are records as lines of CSV, below the names of their columns.
func recordRows(all []record.Record) [][]string {
	rows := [][]string{{"time", "host", "supervisord", "listener", "kind", "process", "probe", "group", "check", "pid", "status", "before", "action", "new_pid", "seconds", "reason", "why", "id"}}
	number := func(n int) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	for _, r := range all {
		seconds := ""
		if r.Seconds != 0 {
			seconds = strconv.FormatFloat(r.Seconds, 'f', -1, 64)
		}
		rows = append(rows, []string{r.Time.Format(time.RFC3339Nano), r.Host, r.Supervisord, r.Listener, string(r.Kind), r.Process, r.Probe, r.Group, r.Check, number(r.PID),
			r.Status, r.Before, r.Action, number(r.NewPID), seconds, r.Reason, r.Why, r.ID})
	}
	return rows
}

// summary shows how much of the time all was well.
func (h *past) summary(c *cobra.Command) error {
	h.limit = 0
	filter, err := h.filter(time.Now(), []record.Kind{record.CheckResult, record.ProbeResult, record.Transition, record.Restart, record.Listener})
	if err != nil {
		return err
	}
	var log availability.Log
	where, err := h.find(c.Context(), filter, log.Add)
	if err != nil {
		return err
	}
	all := log.Summaries(filter.Until)
	if len(all) == 0 {
		var t show.Table
		t.Text(0, fmt.Sprintf("No process was checked from %s to %s as far as %s has it.", moment(filter.Since), moment(filter.Until), where))
		return h.print(c, t, []summed{}, summaryRows(nil))
	}
	data := []summed{}
	for _, s := range all {
		data = append(data, sum(s))
	}
	return h.print(c, summaryTable(all), data, summaryRows(data))
}

// summed is a Summary for programs.
type summed struct {
	Process         string    `json:"process,omitempty"`
	Probe           string    `json:"probe,omitempty"`
	Host            string    `json:"host,omitempty"`
	Supervisord     string    `json:"supervisord,omitempty"`
	Status          string    `json:"status,omitempty"`
	Since           time.Time `json:"since,omitzero"`
	Availability    *float64  `json:"availability"` // null where it is not known
	Healthy         float64   `json:"healthy_seconds"`
	Unhealthy       float64   `json:"unhealthy_seconds"`
	Unknown         float64   `json:"unknown_seconds"`
	Outages         int       `json:"outages"`
	Restarts        int       `json:"restarts"`
	MeanRecovery    *float64  `json:"mean_recovery_seconds"` // null where there was none
	LongestRecovery *float64  `json:"longest_recovery_seconds"`
}

func sum(s availability.Summary) summed {
	d := summed{Host: s.Host, Supervisord: s.Supervisord, Status: s.Status, Since: s.Since, Healthy: s.Healthy.Seconds(), Unhealthy: s.Unhealthy.Seconds(), Unknown: s.Unknown.Seconds(),
		Outages: s.Outages, Restarts: s.Restarts}
	if s.Probe {
		d.Probe = s.Name
	} else {
		d.Process = s.Name
	}
	if part, is := s.Availability(); is {
		d.Availability = &part
	}
	if s.Recovered > 0 {
		mean, longest := s.MeanRecovery().Seconds(), s.LongestRecovery.Seconds()
		d.MeanRecovery, d.LongestRecovery = &mean, &longest
	}
	return d
}

func summaryTable(all []availability.Summary) show.Table {
	hosts := make(map[string]bool)
	for _, s := range all {
		hosts[s.Host] = true
	}
	const status = 1
	t := show.Table{Head: []string{"PROCESS", "STATUS", "SINCE", "AVAILABLE", "OUTAGES", "RESTARTS", "TO RECOVER", "LONGEST"}, Status: status}
	for _, s := range all {
		name := s.Name
		if s.Probe {
			name = "probe " + name
		}
		if len(hosts) > 1 {
			name += " at " + s.Host
		}
		mean, longest := "", ""
		if s.Recovered > 0 {
			mean, longest = rough(s.MeanRecovery()), rough(s.LongestRecovery)
		}
		t.Row(name, s.Status, moment(s.Since), percent(&s), strconv.Itoa(s.Outages), strconv.Itoa(s.Restarts), mean, cmp.Or(longest, "-"))
	}
	return t
}

// percent is which part of the time something was healthy. 100 % it is only when it was
// so all the time.
func percent(s *availability.Summary) string {
	part, is := s.Availability()
	if !is {
		return ""
	}
	return strconv.FormatFloat(math.Floor(part*1e5)/1e3, 'f', -1, 64) + " %"
}

// rough is a duration as people speak of it.
func rough(d time.Duration) string {
	if d < 10*time.Second {
		return duration.Days(d.Round(100 * time.Millisecond))
	}
	return duration.Days(d.Round(time.Second))
}

// summaryRows are summaries as lines of CSV, below the names of their columns.
func summaryRows(all []summed) [][]string {
	rows := [][]string{{"process", "probe", "host", "supervisord", "status", "since", "availability", "healthy_seconds", "unhealthy_seconds", "unknown_seconds", "outages", "restarts", "mean_recovery_seconds", "longest_recovery_seconds"}}
	number := func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
	maybe := func(v *float64) string {
		if v == nil {
			return ""
		}
		return number(*v)
	}
	for _, s := range all {
		rows = append(rows, []string{s.Process, s.Probe, s.Host, s.Supervisord, s.Status, moment(s.Since), maybe(s.Availability), number(s.Healthy), number(s.Unhealthy), number(s.Unknown),
			strconv.Itoa(s.Outages), strconv.Itoa(s.Restarts), maybe(s.MeanRecovery), maybe(s.LongestRecovery)})
	}
	return rows
}
