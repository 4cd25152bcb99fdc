package config

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
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

// Made are the checks that remember what they have seen, of processor time or of logs, or
// that have a server, by their settings, and by the number of those before with the same in the file. All
// others are made anew each time, with what their files say then.
type Made map[string]checks.Check

// builder makes the checks of a file.
type builder struct {
	before, now Made
	equal       map[string]int // how many there are of the same settings
	around      surroundings
}

// check makes a check, or finds it.
func (b *builder) check(kind *Kind, around RuleSettings) (made checks.Check, err error) {
	for key, settings := range kind.given() { // there is one
		switch s := settings.(type) {
		case AllOf:
			made, err = b.members(s, around, checks.All)
		case AnyOf:
			made, err = b.members(s, around, checks.Any)
		case maker:
			made, err = b.one(s, around)
		}
		if err != nil {
			return nil, fmt.Errorf(".%s%w", key, err)
		}
		return made, nil
	}
	panic("config: a check without a kind")
}

// members makes the parts of a check and the check of them.
func (b *builder) members(parts []Kind, around RuleSettings, compose func(...checks.Check) checks.Check) (checks.Check, error) {
	var made []checks.Check
	for i := range parts {
		c, err := b.check(&parts[i], around)
		if err != nil {
			return nil, fmt.Errorf("[%d]%w", i, err)
		}
		made = append(made, c)
	}
	return compose(made...), nil
}

// one makes a check that has no parts, or finds it.
func (b *builder) one(settings maker, around RuleSettings) (made checks.Check, err error) {
	if s, is := settings.(*Script); is {
		told := *s
		told.around = b.around
		settings = &told
	}
	remembers, is := settings.(rememberer)
	if !is {
		if made, err = settings.make(around); err != nil {
			return nil, fmt.Errorf(": %w", err)
		}
		return made, nil
	}
	id := fmt.Sprintf("%#v", remembers.config(around))
	b.equal[id]++
	id = fmt.Sprintf("%s %d", id, b.equal[id])
	if made = b.before[id]; made == nil {
		if made, err = settings.make(around); err != nil {
			return nil, fmt.Errorf(": %w", err)
		}
	}
	b.now[id] = made
	return made, nil
}

// Config makes a listener's configuration of the file, with checks that were made before
// where they are the same, and returns those that it has now; what is not among them can be
// ended when this takes effect. The error says which part of the file cannot be had, such as
// a password in a file of its own. log, if not nil, is told in a line of what scripts have to
// say besides their results.
func (f *File) Config(before Made, log func(string)) (cfg runner.Config, now Made, err error) {
	b := &builder{before: before, now: make(Made), equal: make(map[string]int), around: surroundings{f.Environment, log}}
	cfg = runner.Config{
		Name: f.Name, StateDir: f.StateDir,
		Server: supervisor.Config{URL: f.Server.URL, Username: f.Server.Username},
	}
	if f.Concurrency != nil {
		cfg.Concurrency = int(*f.Concurrency)
	}
	var refused *keyError
	if _, cfg.Server.Password, refused = (Login{f.Server.Username, f.Server.Password, f.Server.PasswordFile}).read(); refused != nil {
		return cfg, nil, fmt.Errorf("server.%w", refused)
	}
	for i, w := range f.Watch {
		watch, err := w.watch(f.Defaults, b)
		if err != nil {
			return cfg, nil, fmt.Errorf("watch[%d]%w", i, err)
		}
		if len(watch.Rules) > 0 { // not all are left out
			cfg.Watches = append(cfg.Watches, watch)
		}
	}
	if len(cfg.Watches) == 0 && len(f.Watch) > 0 {
		return cfg, nil, fmt.Errorf("watch: every check is left out with enabled: false")
	}
	return cfg, b.now, nil
}

// End ends what those of the checks have begun that are not kept.
func (m Made) End(kept Made) {
	var all sync.WaitGroup
	for id, c := range m {
		if closer, is := c.(io.Closer); is && kept[id] != c {
			all.Go(func() { closer.Close() })
		}
	}
	all.Wait()
}

// identity is the same for the same settings, and says nothing of them.
func identity(settings any) string {
	text, err := json.Marshal(settings)
	if err != nil {
		panic(err) // there is nothing in them that JSON cannot say
	}
	sum := sha256.Sum256(text)
	return string(sum[:])
}

// Missing says which programs of checks, and of probes, are not there now: nothing is known
// of what they are about until they are.
func (f *File) Missing() (texts []string) {
	for path, p := range f.programs() {
		if err := p.config(0).Find(); err != nil {
			texts = append(texts, fmt.Sprintf("%s.command: %v", path, err))
		}
	}
	return texts
}

// Elsewhere says which programs are not run here.
func (f *File) Elsewhere() (texts []string) {
	here := "which nobody says this is: write environment into the file, or set SUPERVISOR_CHECKS_ENVIRONMENT"
	if f.Environment != "" {
		here = "and this is " + f.Environment
	}
	for path, p := range f.programs() {
		if len(p.OnlyIn) > 0 && !slices.Contains(p.OnlyIn, f.Environment) {
			texts = append(texts, fmt.Sprintf("%s is skipped: it is run only in %s, %s", path, strings.Join(p.OnlyIn, ", "), here))
		}
	}
	return texts
}

// programs are those of checks and probes that are not left out, by where they are in the
// file.
func (f *File) programs() iter.Seq2[string, *Program] {
	return func(yield func(string, *Program) bool) {
		var look func(path string, k *Kind) bool
		look = func(path string, k *Kind) bool {
			if k.Script != nil && !yield(path+".script", &k.Script.Program) {
				return false
			}
			for i := range k.All {
				if !look(fmt.Sprintf("%s.all[%d]", path, i), &k.All[i]) {
					return false
				}
			}
			for i := range k.Any {
				if !look(fmt.Sprintf("%s.any[%d]", path, i), &k.Any[i]) {
					return false
				}
			}
			return true
		}
		for i := range f.Watch {
			for j := range f.Watch[i].Checks {
				if r := &f.Watch[i].Checks[j]; r.enabled() && !look(fmt.Sprintf("watch[%d].checks[%d]", i, j), &r.Kind) {
					return
				}
			}
		}
		for i := range f.Probes {
			if p := &f.Probes[i]; p.Script != nil && (p.Enabled == nil || *p.Enabled) && !yield(fmt.Sprintf("probes[%d].script", i), &p.Script.Program) {
				return
			}
		}
	}
}

// Lasting names the settings of a file that are others than in the one before, and that
// a listener keeps to its end all the same.
func (f *File) Lasting(before *File) (keys []string) {
	then, now := reflect.ValueOf(before).Elem(), reflect.ValueOf(f).Elem()
	for _, setting := range fieldsOf(now.Type()) {
		if setting.key != "watch" && setting.key != "defaults" && !reflect.DeepEqual(then.FieldByIndex(setting.index).Interface(), now.FieldByIndex(setting.index).Interface()) {
			keys = append(keys, setting.key)
		}
	}
	return keys
}

// watch makes a Watch of an entry.
func (w *Watch) watch(defaults Defaults, b *builder) (made runner.Watch, err error) {
	for _, p := range w.Processes {
		made.Processes = append(made.Processes, p.String())
	}
	entry := w.RuleSettings.over(defaults.RuleSettings).over(builtin.RuleSettings)
	for i := range w.Checks {
		r := &w.Checks[i]
		if !r.enabled() {
			continue
		}
		settings := r.RuleSettings.over(entry)
		rule := runner.Rule{
			Name: r.Name, FailureThreshold: *settings.FailureThreshold, SuccessThreshold: int(orZero(settings.SuccessThreshold)),
			StartPeriod: time.Duration(orZero(settings.StartPeriod)), Period: time.Duration(orZero(either(r.period(), settings.Period))),
			Action: orZero(settings.Action), NotDuring: windows(settings.NotDuring), Identity: identity(r.Kind),
		}
		if rule.Check, err = b.check(&r.Kind, settings); err != nil {
			return made, fmt.Errorf(".checks[%d]%w", i, err)
		}
		made.Rules = append(made.Rules, rule)
	}
	made.Policy, made.Decided = w.ProcessSettings.over(defaults.ProcessSettings).over(builtin.ProcessSettings).policy(), w.ProcessSettings.decided()
	if h := made.Policy.Hooks; h.BeforeRestart == nil && h.AfterStop == nil && h.AfterRestart == nil && w.HookTimeout == nil &&
		!slices.ContainsFunc(made.Rules, func(r runner.Rule) bool { return r.Action.Kind == runner.ActionExec }) {
		made.Policy.Hooks.Timeout = 0 // there is nothing that it is for
	}
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
		UnlessDown: s.UnlessDown, Drain: either(s.Drain, below.Drain),
	}
	if s.UnlessDown == nil {
		made.UnlessDown = below.UnlessDown
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
		{"UnlessDown", s.UnlessDown != nil}, {"Drain", s.Drain != nil},
		{"Hooks.BeforeRestart", s.BeforeRestart != nil}, {"Hooks.AfterStop", s.AfterStop != nil},
		{"Hooks.AfterRestart", s.AfterRestart != nil}, {"Hooks.Timeout", s.HookTimeout != nil},
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
		RestartLimit: *s.RestartLimit, Backoff: *s.Backoff, MaxUnavailable: *s.MaxUnavailable, Revive: orNil(s.Revive),
		Hooks: runner.Hooks{BeforeRestart: orNil(s.BeforeRestart), AfterStop: orNil(s.AfterStop), AfterRestart: orNil(s.AfterRestart)},
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
	if s.HookTimeout != nil {
		p.Hooks.Timeout = time.Duration(*s.HookTimeout)
	}
	p.UnlessDown, p.Drain = s.UnlessDown, time.Duration(orZero(s.Drain))
	if s.Evidence != nil {
		p.Evidence = s.Evidence.evidence()
	}
	return p
}

// orNil returns nil for what none has ended.
func orNil[S ~[]E, E any](s S) S {
	if len(s) == 0 {
		return nil
	}
	return s
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
