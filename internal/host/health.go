package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/health"
	"github.com/supervisor-checks/supervisor-checks/internal/config"
	"github.com/supervisor-checks/supervisor-checks/internal/recurring"
	"github.com/supervisor-checks/supervisor-checks/runner"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// newProber is one with the probes of a file; nil for none. Without a background they are
// looked at when they are asked for. results, if not nil, is told of each result, and say of
// what scripts say besides.
func newProber(file *config.File, background bool, results func(health.Result), say func(string)) (*health.Prober, error) {
	built, err := file.BuildProbes(say)
	if err != nil || len(built) == 0 {
		return nil, err
	}
	p := health.NewProber(health.ProberConfig{Results: results})
	for _, one := range built {
		options := []health.Option{health.Timeout(one.Timeout)}
		if background {
			options = append(options, health.Period(one.Period))
		}
		if err := p.Add(one.Probe, options...); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// surroundings are what a listener has around it besides supervisord: what its processes
// depend on, and those who ask how they are.
type surroundings struct {
	prober  *health.Prober // nil for none
	board   *health.Board
	metrics *health.Metrics
	gate    *health.Gate // nil for none
	server  *health.ServerConfig
	log     *slog.Logger
	alone   bool // there are no processes
}

// surround makes the surroundings of a file, and joins cfg to them.
func surround(file *config.File, cfg *runner.Config, say func(string)) (*surroundings, error) {
	s := &surroundings{board: health.NewBoard(nil), log: cfg.Log, alone: len(cfg.Watches) == 0}
	var err error
	if s.prober, err = newProber(file, true, recorder(cfg), say); err != nil {
		return nil, err
	}
	cfg.Down, cfg.Dependencies = s.down, s.dependencies
	if file.Health == nil {
		return s, nil
	}
	var sources []health.Source
	if !s.alone {
		sources = append(sources, s.board)
	}
	if s.prober != nil {
		sources = append(sources, s.prober)
	}
	cfg.Counters = new(runner.Counters)
	s.metrics = health.NewMetrics(health.MetricsConfig{Sources: sources, Counters: append(counters(cfg.Counters), sinkCounters(cfg.Sinks)...)})
	cfg.Drain, cfg.Rounds = s.board.Drain, s.round
	cfg.Sinks = append(cfg.Sinks, s.board, s.metrics)
	mux := http.NewServeMux()
	token, err := file.Health.Token()
	if err != nil {
		return nil, err
	}
	handler := token.Require(health.Handler(sources...))
	mux.Handle(health.Path, handler)
	mux.Handle(health.Path+"/", handler)
	mux.Handle("/metrics", token.Require(s.metrics))
	mux.Handle("/livez", health.Live())
	mux.Handle("/readyz", health.Ready(s.ready))
	if g := file.Health.Gate; g != nil {
		gate, err := g.GateConfig()
		if err != nil {
			return nil, err
		}
		if g.Folder != "" && !cfg.DryRun {
			if err := os.MkdirAll(g.Folder, 0o755); err != nil {
				return nil, fmt.Errorf("health.gate.folder: %w", err)
			}
		}
		gate.Sources = only(sources, g.Probes)
		gate.Trouble = s.trouble
		host, _ := os.Hostname()
		gate.Owner, gate.ReadOnly = owner(cfg.Name)+" at "+cmp.Or(gate.Name, host), cfg.DryRun
		if s.gate, err = health.NewGate(gate); err != nil {
			return nil, err
		}
		path := g.Path
		if path == "" {
			path = "/gate"
		}
		mux.Handle(path, s.gate)
	}
	s.server = &health.ServerConfig{Address: file.Health.Listen, Handler: mux, CertFile: file.Health.CertFile, KeyFile: file.Health.KeyFile, Log: s.log}
	return s, nil
}

// run runs until ctx is done, and returns when all has ended.
func (s *surroundings) run(ctx context.Context) {
	var parts []func()
	if s.prober != nil {
		parts = append(parts, func() { s.prober.Run(ctx) })
	}
	if s.gate != nil {
		parts = append(parts, func() { s.gate.Run(ctx) })
	}
	if s.server != nil {
		parts = append(parts, func() { keepServing(ctx, *s.server, "processes and dependencies are") })
	}
	done := make(chan struct{})
	for _, part := range parts {
		go func() {
			part()
			done <- struct{}{}
		}()
	}
	for range parts {
		<-done
	}
	if s.prober != nil {
		s.prober.Close()
	}
}

// keepServing serves, and tries again where that cannot begin: another listener, which is about
// to end, may have the port still. what is told of is for the log.
func keepServing(ctx context.Context, server health.ServerConfig, what string) {
	for trouble := new(recurring.Trouble); ; {
		err := health.Serve(ctx, server, func(a net.Addr) {
			server.Log.Info(fmt.Sprintf("tells at %s how %s", a, what))
			trouble.Ends()
		})
		if ctx.Err() != nil {
			return
		}
		if tell, _ := trouble.Happens(time.Now(), fmt.Sprint(err)); tell {
			server.Log.Error(fmt.Sprintf("nobody can ask how %s, which is tried again: %v", what, err))
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// trouble tells of that of the gate's folder.
func (s *surroundings) trouble(err error) {
	if err != nil {
		s.log.Error(fmt.Sprintf("the folder of .dead files: %v", err))
		return
	}
	s.log.Info("the folder of .dead files: the trouble has ended")
}

// owner is what tells this listener from others.
func owner(name string) string {
	group, process := os.Getenv("SUPERVISOR_GROUP_NAME"), os.Getenv("SUPERVISOR_PROCESS_NAME")
	if group == "" || process == "" {
		return cmp.Or(name, "a listener without a name")
	}
	return supervisor.Process{Group: group, Name: process}.Namespec()
}

// ready reports whether there was a round just now, where there are any.
func (s *surroundings) ready() bool {
	if s.alone {
		return true
	}
	r := s.board.Check(context.Background())[0]
	return !r.At.IsZero() && r.Status != health.Stale
}

// has returns an error where something is to be watched with what these surroundings do
// not have.
func (s *surroundings) has(watches []runner.Watch) error {
	for _, w := range watches {
		for _, name := range w.Policy.UnlessDown {
			if s.prober == nil || !s.prober.Has(name) {
				return fmt.Errorf("unless_down: the probe %s is new: start the listener anew", name)
			}
		}
		if w.Policy.Drain > 0 && s.server == nil {
			return errors.New("drain: health is new: start the listener anew")
		}
	}
	return nil
}

// down reports whether a probe was not found healthy just now.
func (s *surroundings) down(name string) bool {
	r, is := s.prober.CheckOne(context.Background(), name) // which is known in the background
	return !is || r.Status != health.Healthy && r.Status != health.Skipped
}

// dependencies are the probes, for people.
func (s *surroundings) dependencies() (all []runner.Dependency) {
	if s.prober == nil {
		return nil
	}
	for _, r := range s.prober.Check(context.Background()) {
		d := runner.Dependency{Name: r.Name, Status: string(r.Status), Looked: r.At}
		if r.Err != nil {
			d.Reason = r.Err.Error()
		}
		all = append(all, d)
	}
	return all
}

// round tells the board which processes there are.
func (s *surroundings) round(r runner.Round) {
	now := time.Now()
	var all []health.Process
	for _, w := range r.Watched {
		p := health.Process{Name: w.Process.Namespec(), PID: w.Process.PID, Running: w.Process.State == supervisor.Running, State: w.Process.State.String(),
			Stopped: w.Process.State == supervisor.Stopped && !w.Ours}
		for _, rule := range w.Rules {
			p.Checks = append(p.Checks, health.Checked{Name: rule.Name, Period: effective(rule.Period, r.Period), Rests: rule.NotDuring != nil && rule.NotDuring(now)})
		}
		all = append(all, p)
	}
	s.board.Round(r.Period, all)
}

// effective is how often a rule is looked at that has a period of its own, or none, where
// ticks come so often: a longer one ends with a tick.
func effective(period, tick time.Duration) time.Duration {
	if period == 0 || tick == 0 {
		return max(period, tick)
	}
	if period > tick {
		return (period + tick - 1) / tick * tick
	}
	return period
}

// only leaves of sources what has one of some names, and what is about processes.
func only(sources []health.Source, names []string) []health.Source {
	if names == nil {
		return sources
	}
	var chosen []health.Source
	for _, s := range sources {
		if p, is := s.(*health.Prober); is {
			s = p.Only(names...)
		}
		chosen = append(chosen, s)
	}
	return chosen
}

// counters are what a listener counts, as metrics.
func counters(c *runner.Counters) []health.Counter {
	return []health.Counter{
		{Name: "supervisor_ticks_total", Help: "Ticks of supervisord.", Value: c.Ticks.Load},
		{Name: "supervisor_ticks_coalesced_total", Help: "Ticks that came while an earlier round waited for supervisord: one round is for both.", Value: c.Coalesced.Load},
		{Name: "supervisor_rounds_total", Help: "Rounds in which checks were begun.", Value: c.Rounds.Load},
		{Name: "supervisor_processes_left_out_total", Help: "Times that a process was left out of a round, since its checks of an earlier one went on.", Value: c.LeftOut.Load},
		{Name: "supervisor_records_dropped_total", Help: "Records that a sink was too slow for.", Value: c.DroppedRecords.Load},
		{Name: "supervisor_log_lines_dropped_total", Help: "Lines that the log was too slow for.", Value: c.DroppedLines.Load},
	}
}

// probeRows are what is shown of probes that are looked at now.
func probeRows(ctx context.Context, probes health.Source) (rows []runner.Row) {
	for _, r := range probes.Check(ctx) {
		result := checks.Result{Status: checks.Healthy, Err: r.Err, Metrics: r.Metrics}
		switch r.Status {
		case health.Unhealthy:
			result.Status = checks.Unhealthy
		case health.Unknown, health.Stale:
			result.Status = checks.Unknown
		case health.Skipped:
			result.Status = checks.Skipped
		}
		rows = append(rows, runner.Row{Process: supervisor.Process{Group: r.Name, Name: r.Name}, Probe: true, Check: "probe", Result: result, Time: r.At, Took: r.Took})
	}
	return rows
}
