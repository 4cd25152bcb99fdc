package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// Report is what Once found.
type Report struct {
	Rows      []Row     // by namespec, then in the order of the checks
	LeftOut   []LeftOut // processes that are not watched, or that are STOPPED
	Unmatched []string  // of Config.Processes or Groups: those that match no process
}

// Row is the outcome of one check of one process.
type Row struct {
	Process supervisor.Process
	Check   string // "" when the process does not run, and was not checked
	Result  checks.Result
	Time    time.Time // when it was known
	Took    time.Duration
	Probe   bool // Process is what a dependency is called that was looked at
	Rests   bool // it is not checked at this time: see Rule.NotDuring

	check checks.Check
}

// Status is the worst of the report: unhealthy beats unknown beats healthy. A
// process that does not run is unknown, unless it is STOPPED, as somebody wanted it, or
// FATAL, which is unhealthy. So is a name that matches nothing. What rests or is skipped
// says nothing, but where all of it is skipped, so is the whole.
func (r Report) Status() checks.Status {
	status := checks.Healthy
	if len(r.Unmatched) > 0 || !slices.ContainsFunc(r.Rows, func(row Row) bool { return !row.Probe }) {
		status = checks.Unknown
	} else if !slices.ContainsFunc(r.Rows, func(row Row) bool { return row.Result.Status != checks.Skipped }) {
		status = checks.Skipped
	}
	for _, row := range r.Rows {
		switch {
		case row.Rests:
		case row.Result.Status == checks.Unhealthy:
			return checks.Unhealthy
		case row.Result.Status == checks.Unknown:
			status = checks.Unknown
		}
	}
	return status
}

// oncePause is how long Once lets processes go on between two looks at them.
const oncePause = time.Second

// Once runs the checks of every watched process now, all of them even after one
// that fails, and restarts nothing. A check that compares two rounds, as that of
// processor time does, is run again a second later. The error is a *ConfigError,
// or says why supervisord cannot be asked.
func Once(ctx context.Context, cfg Config) (Report, error) {
	r, err := newRunner(cfg)
	if err != nil {
		return Report{}, err
	}
	chosen, err := r.choose(ctx)
	if err != nil {
		return Report{}, err
	}
	report := Report{LeftOut: chosen.left, Unmatched: chosen.unmatched}
	slices.SortFunc(chosen.watched, func(a, b supervisor.Process) int { return strings.Compare(a.Namespec(), b.Namespec()) })
	for _, p := range chosen.watched {
		if p.State == supervisor.Stopped { // as somebody wanted it
			report.LeftOut = append(report.LeftOut, LeftOut{p, "it is STOPPED"})
			continue
		}
		if p.State != supervisor.Running {
			result := checks.Unsure(fmt.Errorf("not checked: it is %v", p.State))
			if p.State == supervisor.Fatal {
				result.Status = checks.Unhealthy
			}
			report.Rows = append(report.Rows, Row{Process: p, Result: result, Time: time.Now()})
			continue
		}
		for _, rule := range r.plan(p).rules {
			if rule.rests(time.Now()) {
				report.Rows = append(report.Rows, Row{Process: p, Check: rule.Name, Rests: true, Time: time.Now()})
				continue
			}
			report.Rows = append(report.Rows, Row{Process: p, Check: rule.Name, check: rule.Check})
		}
	}
	r.fill(ctx, chosen.watched, report.Rows, func(row Row) bool { return row.check != nil })
	again := func(row Row) bool { return errors.Is(row.Result.Err, checks.ErrLookAgain) }
	if slices.ContainsFunc(report.Rows, again) {
		select {
		case <-time.After(oncePause):
			r.fill(ctx, chosen.watched, report.Rows, again)
		case <-ctx.Done():
		}
	}
	return report, nil
}

// Matches is what the patterns of a configuration come to.
type Matches struct {
	Watched   int       // processes
	LeftOut   []LeftOut // those that are not watched, though nobody asked for that
	Unmatched []string  // patterns that match nothing
	Idle      []string  // patterns that leave nothing out
	Contested []string  // what several Watches say of a process, each otherwise
}

// Match asks supervisord which processes there are, and says which are watched. The
// error is a *ConfigError, or says why supervisord cannot be asked.
func Match(ctx context.Context, cfg Config) (Matches, error) {
	r, err := newRunner(cfg)
	if err != nil {
		return Matches{}, err
	}
	chosen, err := r.choose(ctx)
	if err != nil {
		return Matches{}, err
	}
	m := Matches{Watched: len(chosen.watched), LeftOut: chosen.left, Unmatched: chosen.unmatched, Idle: chosen.idle}
	for _, p := range chosen.watched {
		if text := r.contested(p); text != "" {
			m.Contested = append(m.Contested, text)
		}
	}
	return m, nil
}

// contested says what several Watches say of p, each otherwise; "" for nothing.
func (r *runner) contested(p supervisor.Process) string {
	var fields []string
	for _, field := range r.plan(p).contested {
		fields = append(fields, setting(field))
	}
	if fields == nil {
		return ""
	}
	return fmt.Sprintf("two entries match %s and each has another %s: that of the first one counts", p.Namespec(), strings.Join(fields, ", "))
}

// setting is the name in a file for a field of Policy.
func setting(field string) string {
	var b strings.Builder
	for i, c := range field {
		if c >= 'A' && c <= 'Z' {
			if i > 0 {
				b.WriteByte('_')
			}
			c += 'a' - 'A'
		}
		b.WriteRune(c)
	}
	return b.String()
}

// fill runs the checks of those rows that are due, one after the other for each
// process.
func (r *runner) fill(ctx context.Context, watched []supervisor.Process, rows []Row, due func(Row) bool) {
	ctx = r.startRound(ctx, watched)
	var all sync.WaitGroup
	for len(rows) > 0 {
		next := slices.IndexFunc(rows, func(row Row) bool { return row.Process.Namespec() != rows[0].Process.Namespec() })
		if next < 0 {
			next = len(rows)
		}
		mine := rows[:next]
		rows = rows[next:]
		all.Go(func() {
			r.limit <- struct{}{}
			defer func() { <-r.limit }()
			for i, row := range mine {
				if due(row) {
					begun := time.Now()
					mine[i].Result = r.look(ctx, row.check, row.Process)
					mine[i].Time = time.Now()
					mine[i].Took += mine[i].Time.Sub(begun)
				}
			}
		})
	}
	all.Wait()
}
