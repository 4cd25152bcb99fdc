// Package script probes by a program of the user's: what the program says of something is
// what the probe says.
package script

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/supervisor-checks/supervisor-checks/internal/script"
	"github.com/supervisor-checks/supervisor-checks/probes"
)

// Config configures a probe by a program, as checks.ScriptConfig does a check, but for
// Retries: a probe does not repeat anything. In it %(probe_name)s stands for the name of the
// probe, and %% for a %. A Timeout of 0 means 15 seconds.
type Config = script.Config

// Script asks a program whether something can be used. It is a probes.Measurer.
type Script struct {
	name   string
	script *script.Script
}

// New returns the probe of that name that cfg describes, or a *probes.ConfigError.
func New(name string, cfg Config) (*Script, error) {
	if name == "" {
		return nil, refuse("name", errors.New("is required"))
	}
	if cfg.Retries != 0 {
		return nil, refuse("retries", errors.New("are not for probes, which look again at their next time"))
	}
	made, err := script.New(cfg, "probe_name")
	var bad *script.FieldError
	if errors.As(err, &bad) {
		return nil, refuse(strings.ReplaceAll(bad.Field, "-", "_"), bad.Err)
	}
	return &Script{name, made}, err
}

func refuse(field string, err error) error {
	return &probes.ConfigError{Probe: "script", Field: field, Err: err}
}

// Name returns the name.
func (p *Script) Name() string { return p.name }

// Check runs the program, or asks its server. What is not healthy is an error, and so is what
// the program cannot tell. The program is told the name in the variable
// SUPERVISOR_CHECK_PROBE; for the rest of its surroundings see checks.Script.
func (p *Script) Check(ctx context.Context) error {
	_, err := p.Measure(ctx)
	return err
}

// Measure does what Check does, and returns the metrics that the program has printed, too, as
// those of a checks.Script.
func (p *Script) Measure(ctx context.Context) (map[string]float64, error) {
	found := p.script.Run(ctx, script.Subject{
		Names: map[string]string{"probe_name": p.name},
		Env:   []string{"SUPERVISOR_CHECK_PROBE=" + p.name},
		Probe: true,
	})
	if found.Status == script.Skipped {
		found.Err = probes.Skip(found.Err)
	}
	return found.Metrics, because(ctx, found.Err)
}

// because is probes.Because, but for the last words of a program whose time is over, which
// are behind that it is.
func because(ctx context.Context, err error) error {
	bounded := probes.Because(ctx, err)
	cause := context.Cause(ctx)
	switch {
	case err == nil || cause == nil:
		return bounded
	case !errors.Is(err, cause):
		err = fmt.Errorf("%w: %w", cause, err)
	}
	return probes.Because(context.WithoutCancel(ctx), err)
}

// Close ends the server, if the program is one. The probe must not be used any more.
func (p *Script) Close() error { return p.script.Close() }
