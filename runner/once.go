package runner

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
	Probes    bool      // no process was to be checked: Rows are of probes alone
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
	if len(r.Unmatched) > 0 || len(r.Rows) == 0 || !r.Probes && !slices.ContainsFunc(r.Rows, func(row Row) bool { return !row.Probe }) {
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
	l, err := NewLooker(cfg)
	if err != nil {
		return Report{}, err
	}
	return l.Look(ctx, Selection{})
}

// Selection is a part of what is watched. The zero value is all of it.
type Selection struct {
	Process string // a pattern as those of Watch, without a !; "" means all
	Check   string // the name of a rule; "" means all
}

// whole reports whether it leaves nothing out.
func (s Selection) whole() bool { return s == Selection{} }

// Looker does what Once does, when it is asked and as often as it is: its checks
// remember what they have seen. Its methods may be called by several goroutines.
type Looker struct {
	r *runner

	// What supervisord has said last, for those who hold r.surveying.
	chosen   selection
	surveyed time.Time
}

// surveyAge is for how long others who look use what supervisord has said of processes:
// many who look at once cost it little more than one.
const surveyAge = time.Second

// NewLooker returns a Looker. The error is a *ConfigError.
func NewLooker(cfg Config) (*Looker, error) {
	r, err := newRunner(cfg)
	if err != nil {
		return nil, err
	}
	return &Looker{r: r}, nil
}

// Look runs the checks of the watched processes that are selected. The error says why
// supervisord cannot be asked, or is a *SelectionError.
func (l *Looker) Look(ctx context.Context, s Selection) (Report, error) {
	chosen, err := l.survey(ctx)
	if err != nil {
		return Report{}, err
	}
	report := Report{LeftOut: slices.Clone(chosen.left), Unmatched: chosen.unmatched}
	watched := chosen.watched
	if !s.whole() {
		report.Unmatched = nil
		if watched, report.LeftOut, err = l.r.selected(chosen, s); err != nil {
			return Report{}, err
		}
	}
	for _, p := range watched {
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
		for _, rule := range l.r.plan(p).rules {
			switch {
			case s.Check != "" && rule.Name != s.Check:
			case rule.rests(time.Now()):
				report.Rows = append(report.Rows, Row{Process: p, Check: rule.Name, Rests: true, Time: time.Now()})
			default:
				report.Rows = append(report.Rows, Row{Process: p, Check: rule.Name, check: rule.Check})
			}
		}
	}
	l.r.fill(ctx, chosen.watched, report.Rows, func(row Row) bool { return row.check != nil })
	again := func(row Row) bool { return errors.Is(row.Result.Err, checks.ErrLookAgain) }
	if slices.ContainsFunc(report.Rows, again) {
		select {
		case <-time.After(oncePause):
			l.r.fill(ctx, chosen.watched, report.Rows, again)
		case <-ctx.Done():
		}
	}
	return report, nil
}

// survey asks supervisord for its processes, of which the watched ones are in the order of
// their names, unless somebody has just done so.
func (l *Looker) survey(ctx context.Context) (selection, error) {
	select {
	case l.r.surveying <- struct{}{}:
		defer func() { <-l.r.surveying }()
	case <-ctx.Done():
		return selection{}, fmt.Errorf("ask supervisord for its processes: %w", context.Cause(ctx))
	}
	if time.Since(l.surveyed) < surveyAge {
		return l.chosen, nil
	}
	chosen, err := l.r.choose(ctx)
	if err != nil {
		return selection{}, err
	}
	slices.SortFunc(chosen.watched, func(a, b supervisor.Process) int { return strings.Compare(a.Namespec(), b.Namespec()) })
	l.chosen, l.surveyed = chosen, time.Now()
	return chosen, nil
}

// SelectionError says which part of a Selection is about nothing, and what there is.
type SelectionError struct {
	Part string // "process" or "check"
	Err  error
}

// Error returns both: `process: no process matches "web:z": there are web:a, web:b`.
func (e *SelectionError) Error() string { return e.Part + ": " + e.Err.Error() }

// Unwrap returns e.Err.
func (e *SelectionError) Unwrap() error { return e.Err }

// mostListed is how many names of what there is an error has.
const mostListed = 20

// listed are names for an error.
func listed(names []string) string {
	if len(names) == 0 {
		return "there is none"
	}
	text := "there are " + strings.Join(names[:min(len(names), mostListed)], ", ")
	if more := len(names) - mostListed; more > 0 {
		text += fmt.Sprintf(", and %d more", more)
	}
	return text
}

// selected returns the processes that are selected, and those that are but are not watched.
func (r *runner) selected(chosen selection, s Selection) (watched []supervisor.Process, left []LeftOut, err error) {
	watched, left = chosen.watched, slices.Clone(chosen.left)
	if s.Process != "" {
		pattern, err := parsePattern(s.Process)
		if err == nil && pattern.excludes {
			err = fmt.Errorf("process %q: a ! is for patterns that leave something out", s.Process)
		}
		if err != nil {
			return nil, nil, &SelectionError{"process", err}
		}
		watched, left = nil, slices.DeleteFunc(left, func(l LeftOut) bool { return !pattern.matches(l.Process) })
		var names []string
		for _, p := range chosen.watched {
			names = append(names, p.Namespec())
			if pattern.matches(p) {
				watched = append(watched, p)
			}
		}
		switch {
		case len(watched) > 0:
		case len(left) > 0:
			return nil, nil, &SelectionError{"process", fmt.Errorf("%s is not watched: %s", left[0].Process.Namespec(), left[0].Reason)}
		default:
			return nil, nil, &SelectionError{"process", fmt.Errorf("no process that is watched matches %q: %s", s.Process, listed(names))}
		}
	}
	if s.Check == "" {
		return watched, left, nil
	}
	names := make(map[string]bool)
	watched = slices.DeleteFunc(slices.Clone(watched), func(p supervisor.Process) bool {
		has := false
		for _, rule := range r.plan(p).rules {
			names[rule.Name] = true
			has = has || rule.Name == s.Check
		}
		return !has
	})
	if len(watched) == 0 {
		return nil, nil, &SelectionError{"check", fmt.Errorf("there is no check %q: %s", s.Check, listed(slices.Sorted(maps.Keys(names))))}
	}
	return watched, left, nil
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
