package config

import (
	"fmt"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/internal/setting"
	"github.com/supervisor-checks/supervisor-checks/runner"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// builtin are the settings where a file says nothing.
var builtin = Defaults{
	RuleSettings{
		FailureThreshold: &runner.Threshold{Failures: 3},
	},
	ProcessSettings{
		RestartLimit:   &runner.RestartLimit{Restarts: 5, Within: 10 * time.Minute},
		Backoff:        &runner.Backoff{Initial: 10 * time.Second, Factor: 2, Max: 5 * time.Minute, ResetAfter: 10 * time.Minute},
		MaxUnavailable: &runner.Share{Percent: 25}, // and one at least
	},
}

// Made are the checks of processor time that were made of a file before: they
// remember what processes have used, and the same settings in the same place get the
// same check again. All others are made anew, with what their files say now.
type Made map[string]checks.Check

// check makes the check of a rule, or finds it.
func (m Made) check(place, key string, settings maker, around RuleSettings) (checks.Check, error) {
	cpu, is := settings.(*CPU)
	if !is {
		return settings.make(around)
	}
	id := fmt.Sprint(place, key, cpu.Max, cpu.Cumulative, cpu.interval())
	made, is := m[id]
	if !is {
		var err error
		if made, err = cpu.make(around); err != nil {
			return nil, err
		}
		m[id] = made
	}
	return made, nil
}

// Config makes a listener's configuration of a file, with checks that were made
// before where they are the same. The error says which part of the file cannot be
// had, such as a password in a file of its own.
func (f *File) Config(before Made) (cfg runner.Config, err error) {
	cfg = runner.Config{
		Name: f.Name, StateDir: f.StateDir,
		Server: supervisor.Config{URL: f.Server.URL, Username: f.Server.Username, Password: f.Server.Password},
	}
	if f.Concurrency != nil {
		cfg.Concurrency = int(*f.Concurrency)
	}
	if path := f.Server.PasswordFile; path != "" {
		if cfg.Server.Password, err = setting.Secret(path); err != nil {
			return cfg, fmt.Errorf("server.password_file: %w", err)
		}
		if cfg.Server.Password == "" {
			return cfg, fmt.Errorf("server.password_file: the first line of %s is empty", path)
		}
	}
	for i, w := range f.Watch {
		watch, err := w.watch(fmt.Sprint(w.Processes), f.Defaults, before)
		if err != nil {
			return cfg, fmt.Errorf("watch[%d]%w", i, err)
		}
		if len(watch.Rules) > 0 { // not all are left out
			cfg.Watches = append(cfg.Watches, watch)
		}
	}
	if len(cfg.Watches) == 0 {
		return cfg, fmt.Errorf("watch: every check is left out with enabled: false")
	}
	return cfg, nil
}

// watch makes a Watch of an entry.
func (w *Watch) watch(place string, defaults Defaults, before Made) (made runner.Watch, err error) {
	for _, p := range w.Processes {
		made.Processes = append(made.Processes, p.String())
	}
	entry := w.RuleSettings.over(defaults.RuleSettings).over(builtin.RuleSettings)
	for i := range w.Checks {
		r := &w.Checks[i]
		if r.Enabled != nil && !*r.Enabled {
			continue
		}
		settings := r.RuleSettings.over(entry)
		for key, m := range r.makers() {
			rule := runner.Rule{Name: r.Name, FailureThreshold: *settings.FailureThreshold}
			if rule.Check, err = before.check(place, key, m, settings); err != nil {
				return made, fmt.Errorf(".checks[%d].%s: %w", i, key, err)
			}
			if settings.SuccessThreshold != nil {
				rule.SuccessThreshold = int(*settings.SuccessThreshold)
			}
			if settings.StartPeriod != nil {
				rule.StartPeriod = time.Duration(*settings.StartPeriod)
			}
			if settings.Period != nil {
				rule.Period = time.Duration(*settings.Period)
			}
			if settings.Action != nil {
				rule.Action = *settings.Action
			}
			made.Rules = append(made.Rules, rule)
		}
	}
	made.Policy, made.Decided = w.ProcessSettings.over(defaults.ProcessSettings).over(builtin.ProcessSettings).policy(), w.ProcessSettings.decided()
	return made, nil
}

// over returns s with what is not set from below.
func (s ProcessSettings) over(below ProcessSettings) ProcessSettings {
	made := ProcessSettings{
		RestartLimit: either(s.RestartLimit, below.RestartLimit), RestartLimitThen: either(s.RestartLimitThen, below.RestartLimitThen),
		Backoff: either(s.Backoff, below.Backoff), MaxUnavailable: either(s.MaxUnavailable, below.MaxUnavailable),
		PanicThreshold: either(s.PanicThreshold, below.PanicThreshold), Jitter: either(s.Jitter, below.Jitter),
		Revive: s.Revive, BeforeRestart: s.BeforeRestart, AfterStop: s.AfterStop, AfterRestart: s.AfterRestart,
		HookTimeout: either(s.HookTimeout, below.HookTimeout), Evidence: either(s.Evidence, below.Evidence),
	}
	if s.Revive == nil {
		made.Revive = below.Revive
	}
	for _, c := range []struct{ made, below *Command }{
		{&made.BeforeRestart, &below.BeforeRestart}, {&made.AfterStop, &below.AfterStop}, {&made.AfterRestart, &below.AfterRestart},
	} {
		if *c.made == nil {
			*c.made = *c.below
		}
	}
	return made
}

// decided names the fields of runner.Policy that s is about.
func (s ProcessSettings) decided() (fields []string) {
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"RestartLimit", s.RestartLimit != nil}, {"RestartLimitThen", s.RestartLimitThen != nil}, {"Backoff", s.Backoff != nil},
		{"MaxUnavailable", s.MaxUnavailable != nil}, {"PanicThreshold", s.PanicThreshold != nil}, {"Jitter", s.Jitter != nil},
		{"Revive", s.Revive != nil}, {"Evidence", s.Evidence != nil},
		{"Hooks", s.BeforeRestart != nil || s.AfterStop != nil || s.AfterRestart != nil || s.HookTimeout != nil},
	} {
		if f.set {
			fields = append(fields, f.name)
		}
	}
	return fields
}

// policy makes a Policy of settings that are complete.
func (s ProcessSettings) policy() runner.Policy {
	p := runner.Policy{
		RestartLimit: *s.RestartLimit, Backoff: *s.Backoff, MaxUnavailable: *s.MaxUnavailable, Revive: s.Revive,
		Hooks: runner.Hooks{BeforeRestart: s.BeforeRestart, AfterStop: s.AfterStop, AfterRestart: s.AfterRestart},
	}
	if s.RestartLimitThen != nil && p.RestartLimit.Restarts > 0 {
		p.RestartLimitThen = *s.RestartLimitThen
	}
	if s.PanicThreshold != nil {
		p.PanicThreshold = float64(*s.PanicThreshold)
	}
	if s.Jitter != nil {
		p.Jitter = time.Duration(*s.Jitter)
	}
	if s.HookTimeout != nil && (p.Hooks.BeforeRestart != nil || p.Hooks.AfterStop != nil || p.Hooks.AfterRestart != nil) {
		p.Hooks.Timeout = time.Duration(*s.HookTimeout)
	}
	if s.Evidence != nil {
		p.Evidence = s.Evidence.evidence()
	}
	return p
}

func (e *Evidence) evidence() runner.Evidence {
	made := runner.Evidence{Dir: e.Dir, Signal: string(e.Signal), CoreDir: e.CoreDir}
	if e.Max != nil {
		made.Max = int(*e.Max)
	}
	if e.Pause != nil {
		made.Pause = time.Duration(*e.Pause)
	}
	return made
}
