package runner

import (
	"context"
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
	LeftOut   []LeftOut // processes that are not watched
	Unmatched []string  // of Config.Processes or Groups: those that match no process
}

// Row is the outcome of one check of one process.
type Row struct {
	Process supervisor.Process
	Check   string // "" when the process does not run, and was not checked
	Result  checks.Result
	Took    time.Duration
}

// Status is the worst of the report: unhealthy beats unknown beats healthy. A
// process that does not run is unknown, as is a name that matches nothing.
func (r Report) Status() checks.Status {
	status := checks.Healthy
	if len(r.Unmatched) > 0 || len(r.Rows) == 0 {
		status = checks.Unknown
	}
	for _, row := range r.Rows {
		switch row.Result.Status {
		case checks.Unhealthy:
			return checks.Unhealthy
		case checks.Unknown:
			status = checks.Unknown
		}
	}
	return status
}

// Once runs the checks of every watched process now, all of them even after one
// that fails, and restarts nothing. The error is a *ConfigError, or says why
// supervisord cannot be asked.
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
	rows := make([][]Row, len(chosen.watched))
	var all sync.WaitGroup
	for i, p := range chosen.watched {
		all.Go(func() {
			r.limit <- struct{}{}
			defer func() { <-r.limit }()
			rows[i] = r.rows(ctx, p)
		})
	}
	all.Wait()
	report.Rows = slices.Concat(rows...)
	return report, nil
}

func (r *runner) rows(ctx context.Context, p supervisor.Process) []Row {
	if p.State != supervisor.Running {
		return []Row{{Process: p, Result: checks.Unsure(fmt.Errorf("not checked: it is %v", p.State))}}
	}
	var rows []Row
	for _, c := range r.Checks {
		begun := time.Now()
		result := r.look(ctx, c, p)
		rows = append(rows, Row{p, c.Name(), result, time.Since(begun)})
	}
	return rows
}
