package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/health"
	"github.com/supervisor-checks/supervisor-checks/internal/config"
	"github.com/supervisor-checks/supervisor-checks/probes"
	"github.com/supervisor-checks/supervisor-checks/runner"
	"github.com/supervisor-checks/supervisor-checks/sinks"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// TestRound has what others have stopped be left out of what is told of processes, and
// what we have stopped, or are restarting, not.
func TestRound(t *testing.T) {
	s := &surroundings{board: health.NewBoard(nil)}
	if s.ready() {
		t.Error("it is ready before the first round")
	}
	process := func(name string, state supervisor.State) supervisor.Process {
		return supervisor.Process{Group: "web", Name: name, State: state}
	}
	s.round(runner.Round{Period: 5 * time.Second, Watched: []runner.Watched{
		{Process: process("a", supervisor.Stopped)},
		{Process: process("b", supervisor.Stopped), Ours: true},
		{Process: process("c", supervisor.Fatal)},
		{Process: process("d", supervisor.Running), Rules: []runner.Rule{
			{Name: "http"}, {Name: "rests", NotDuring: func(time.Time) bool { return true }},
		}},
	}})
	if !s.ready() {
		t.Error("it is not ready")
	}
	var got []string
	for _, r := range s.board.Check(t.Context()) {
		got = append(got, fmt.Sprintf("%s %s %s", r.Process, r.Name, r.Status))
	}
	const want = " supervisord healthy; web:b state unhealthy; web:c state unhealthy; web:d http unknown"
	if text := strings.Join(got, "; "); text != want {
		t.Errorf("%q, want %q", text, want)
	}
}

// TestEffective is how often rules are looked at that have periods of their own.
func TestEffective(t *testing.T) {
	for _, tt := range []struct{ period, tick, want time.Duration }{
		{0, time.Minute, time.Minute},
		{time.Second, time.Minute, time.Second},
		{time.Hour, time.Minute, time.Hour},
		{90 * time.Second, time.Minute, 2 * time.Minute},
		{time.Hour, 0, time.Hour},
	} {
		if got := effective(tt.period, tt.tick); got != tt.want {
			t.Errorf("%v with ticks each %v: %v, want %v", tt.period, tt.tick, got, tt.want)
		}
	}
}

// TestSinksWithoutFolder starts where records cannot wait on disk, and says so.
func TestSinksWithoutFolder(t *testing.T) {
	t.Setenv("SUPERVISOR_GROUP_NAME", "")
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "sinks"), nil, 0o600); err != nil { // where a folder should be
		t.Fatal(err)
	}
	file, err := config.Read("f", []byte("history: off\nsinks: [{name: audit, file: {path: "+dir+"/audit}}]\nwatch: [{processes: web, checks: [{tcp: {port: 80}}]}]\n"), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	cfg := runner.Config{StateDir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))}
	if err := addSinks(file, &cfg, ""); err != nil || len(cfg.Sinks) != 1 {
		t.Fatalf("%d sinks, error %v", len(cfg.Sinks), err)
	}
	defer cfg.Sinks[0].(*sinks.Queue).Close()
	if !strings.Contains(log.String(), "sink audit: ") || !strings.Contains(log.String(), "wait in memory only") {
		t.Errorf("the log says %s", &log)
	}
}

// TestSkippedIsNotDown holds no restart for a dependency that is not looked at here.
func TestSkippedIsNotDown(t *testing.T) {
	p := health.NewProber(health.ProberConfig{})
	defer p.Close()
	for _, probe := range []probes.Probe{
		probes.Func("skipped", func(context.Context) error { return probes.Skip(errors.New("only in develop")) }),
		probes.Sample("down", 0, false), probes.Sample("up", 0, true),
	} {
		if err := p.Add(probe); err != nil {
			t.Fatal(err)
		}
	}
	s := &surroundings{prober: p}
	for name, want := range map[string]bool{"skipped": false, "down": true, "up": false, "unheard of": true} {
		if got := s.down(name); got != want {
			t.Errorf("%s is down: %v", name, got)
		}
	}
}
