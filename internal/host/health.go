package host

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/health"
	"github.com/supervisor-checks/supervisor-checks/internal/config"
	"github.com/supervisor-checks/supervisor-checks/internal/setting"
	"github.com/supervisor-checks/supervisor-checks/runner"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// newProber is one with the probes of a file; nil for none. Without a background they are
// looked at when they are asked for.
func newProber(file *config.File, background bool) (*health.Prober, error) {
	built, err := file.BuildProbes()
	if err != nil || len(built) == 0 {
		return nil, err
	}
	p := health.NewProber(health.ProberConfig{})
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
	begun   atomic.Bool // there has been a round
	log     *slog.Logger
}

// surround makes the surroundings of a file, and joins cfg to them.
func surround(file *config.File, cfg *runner.Config, log *slog.Logger) (*surroundings, error) {
	s := &surroundings{board: health.NewBoard(nil), log: log}
	var err error
	if s.prober, err = newProber(file, true); err != nil {
		return nil, err
	}
	cfg.Down, cfg.Dependencies = s.down, s.dependencies
	if file.Health == nil {
		return s, nil
	}
	sources := []health.Source{s.board}
	if s.prober != nil {
		sources = append(sources, s.prober)
	}
	s.metrics = health.NewMetrics(health.MetricsConfig{Sources: sources})
	cfg.Drain, cfg.Rounds = s.board.Drain, s.round
	cfg.Sinks = append(cfg.Sinks, s.board, s.metrics)
	mux := http.NewServeMux()
	token, err := tokenOf(file.Health.TokenFile)
	if err != nil {
		return nil, fmt.Errorf("health.token_file: %w", err)
	}
	handler := behind(token, health.Handler(sources...))
	mux.Handle(health.Path, handler)
	mux.Handle(health.Path+"/", handler)
	mux.Handle("/metrics", behind(token, s.metrics))
	mux.Handle("/livez", health.Live())
	mux.Handle("/readyz", health.Ready(s.begun.Load))
	if g := file.Health.Gate; g != nil {
		gate, err := g.GateConfig()
		if err != nil {
			return nil, err
		}
		gate.Sources = only(sources, g.Probes)
		gate.Trouble = s.trouble
		if s.gate, err = health.NewGate(gate); err != nil {
			return nil, err
		}
		path := g.Path
		if path == "" {
			path = "/gate"
		}
		mux.Handle(path, s.gate)
	}
	s.server = &health.ServerConfig{Address: file.Health.Listen, Handler: mux, CertFile: file.Health.CertFile, KeyFile: file.Health.KeyFile, Log: log}
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
		parts = append(parts, func() { s.serve(ctx) })
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
}

// serve serves, and tries again where that cannot begin: another listener, which is about
// to end, may have the port still.
func (s *surroundings) serve(ctx context.Context) {
	for told := false; ; {
		err := health.Serve(ctx, *s.server, func(a net.Addr) {
			s.log.Info(fmt.Sprintf("tells at %s how processes and dependencies are", a))
			told = false
		})
		if ctx.Err() != nil {
			return
		}
		if !told {
			told = true
			s.log.Error(fmt.Sprintf("nobody can ask how processes are, which is tried again: %v", err))
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

// down reports whether a probe is not healthy, as far as it was looked at just now.
func (s *surroundings) down(name string) bool {
	if s.prober == nil {
		return false
	}
	r, is := s.prober.CheckOne(context.Background(), name) // which is known in the background
	return is && (r.Status == health.Unhealthy || r.Status == health.Unknown)
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
	s.begun.Store(true)
	s.metrics.Round()
	now := time.Now()
	var all []health.Process
	for _, w := range r.Watched {
		p := health.Process{Name: w.Process.Namespec(), Running: w.Process.State == supervisor.Running, State: w.Process.State.String(),
			Stopped: w.Process.State == supervisor.Stopped}
		for _, rule := range w.Rules {
			p.Checks = append(p.Checks, health.Checked{Name: rule.Name, Period: max(rule.Period, r.Period), Rests: rule.NotDuring != nil && rule.NotDuring(now)})
		}
		all = append(all, p)
	}
	s.board.Round(all)
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

// tokenOf reads the token of a file; "" for none.
func tokenOf(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	token, err := setting.Secret(path)
	if err == nil && token == "" {
		err = fmt.Errorf("the first line of %s is empty", path)
	}
	return token, err
}

// behind has a handler answer only who shows a token.
func behind(token string, h http.Handler) http.Handler {
	if token == "" {
		return h
	}
	want := sha256.Sum256([]byte(token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, shown, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		sum := sha256.Sum256([]byte(shown))
		if len(r.Header["Authorization"]) != 1 || subtle.ConstantTimeCompare(sum[:], want[:]) != 1 || !strings.EqualFold(scheme, "Bearer") {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "show the token: Authorization: Bearer TOKEN", http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// probeRows are what once shows of the probes of a file, looked at now.
func probeRows(ctx context.Context, p *health.Prober) (rows []runner.Row) {
	if p == nil {
		return nil
	}
	for _, r := range p.Check(ctx) {
		result := checks.Result{Status: checks.Healthy, Err: r.Err}
		switch r.Status {
		case health.Unhealthy:
			result.Status = checks.Unhealthy
		case health.Unknown, health.Stale:
			result.Status = checks.Unknown
		}
		rows = append(rows, runner.Row{Process: supervisor.Process{Group: r.Name, Name: r.Name}, Check: "probe", Result: result, Time: r.At, Took: r.Took})
	}
	return rows
}
