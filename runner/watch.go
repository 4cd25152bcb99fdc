package runner

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// Watch is some processes, and what is to be found and done about them.
type Watch struct {
	// Processes are the names of the processes, as supervisorctl shows them, with
	// * for any characters in them and ? for any one: "web:*", "worker",
	// "*:web_?". "*" is all. Those with a ! before them are left out. When there
	// is none, it is every process of this supervisord that does not seem to be
	// an event listener. This listener itself is never watched.
	Processes []string

	// Rules are checked for each process in this order, up to the first for which
	// something is to be done. At least one is required.
	Rules []Rule

	// Policy is that of the processes, and of rules that say nothing else. Where
	// several Watches have a process that of the first one counts, with the rules
	// of all.
	Policy Policy

	// Decided names the fields of Policy that are meant, and not only left as they
	// are: "RestartLimit", "Hooks.AfterStop". The first Watch that has decided one
	// counts for that.
	Decided []string
}

// Rule is a check with what follows from it. What is zero is as the Policy says.
type Rule struct {
	Check checks.Check // required

	// Name is what it is called in logs and records. "" is the check's own, with a
	// number where a process has several of a name.
	Name string

	FailureThreshold Threshold
	SuccessThreshold int
	StartPeriod      time.Duration
	Action           Action

	// Period is how often it is checked. 0 means at each tick; a shorter one than
	// that of the ticks makes rounds between them.
	Period time.Duration

	// Identity is the same where Config.Reload gives another Check that does the same:
	// what is counted goes on then. "" means that only this Check is the same, or, of
	// one that Go cannot compare, one of its name.
	Identity string

	// NotDuring, if set, reports whether it is not checked at a time. What it has
	// found before is forgotten then.
	NotDuring func(time.Time) bool
}

// LeastPeriod is the shortest Period of a Rule.
const LeastPeriod = 100 * time.Millisecond

// with returns the rule with what is zero filled in, or a *PolicyError.
func (r Rule) with(p Policy) (Rule, error) {
	if r.FailureThreshold == (Threshold{}) {
		r.FailureThreshold = p.FailureThreshold
	}
	r.SuccessThreshold = cmp.Or(r.SuccessThreshold, p.SuccessThreshold)
	r.StartPeriod = cmp.Or(r.StartPeriod, p.StartPeriod)
	if r.Action.Kind == "" {
		r.Action = p.Action
	}
	r.Name = cmp.Or(r.Name, r.Check.Name())
	if r.Period != 0 && r.Period < LeastPeriod {
		return r, &PolicyError{"period", fmt.Errorf("%v is less than %v", r.Period, LeastPeriod)}
	}
	valid, err := Policy{FailureThreshold: r.FailureThreshold, SuccessThreshold: r.SuccessThreshold, StartPeriod: r.StartPeriod, Action: r.Action}.validate()
	r.FailureThreshold, r.SuccessThreshold, r.Action = valid.FailureThreshold, valid.SuccessThreshold, valid.Action
	return r, err
}

// watch is a valid Watch.
type watch struct {
	patterns []pattern // none for all that are no listeners
	rules    []Rule
	policy   Policy
	decided  []string
}

func newWatch(w Watch) (*watch, error) {
	timeout := w.Policy.Hooks.Timeout
	if slices.Contains(w.Decided, "Hooks.Timeout") || slices.ContainsFunc(w.Rules, func(r Rule) bool { return r.Action.Kind == ActionExec }) {
		w.Policy.Hooks.Timeout = min(timeout, 0) // it is of use without hooks of its own, too
	}
	policy, err := w.Policy.validate()
	if err != nil {
		return nil, err
	}
	policy.Hooks.Timeout = timeout
	patterns, err := parsePatterns(w.Processes)
	if err != nil {
		return nil, err
	}
	if len(w.Rules) == 0 {
		return nil, errors.New("no checks")
	}
	valid := &watch{patterns: patterns, policy: policy, decided: w.Decided}
	for _, r := range w.Rules {
		if r, err = r.with(policy); err != nil {
			return nil, err
		}
		valid.rules = append(valid.rules, r)
	}
	return valid, nil
}

// picks reports whether p is one of the processes, and whether a pattern names it or
// its group. It returns the patterns that match it.
func (w *watch) picks(p supervisor.Process) (picked, named bool, matched []string) {
	picked = len(w.patterns) == 0
	excluded := false
	for _, pattern := range w.patterns {
		if !pattern.matches(p) {
			continue
		}
		matched = append(matched, pattern.text)
		if pattern.excludes {
			excluded = true
		} else {
			picked, named = true, named || !pattern.open()
		}
	}
	return picked && !excluded, named && !excluded, matched
}

// String says in words what is watched.
func (w *watch) String() string {
	if len(w.patterns) == 0 {
		return "every process"
	}
	var texts []string
	for _, p := range w.patterns {
		texts = append(texts, p.text)
	}
	return strings.Join(texts, ", ")
}

// plan is what is to be found and done about one process.
type plan struct {
	policy      Policy
	rules       []Rule
	startPeriod time.Duration // the longest of the rules
	always      bool          // each rule is checked at every tick
	wanted      bool          // it is to be watched
	byName      bool          // by a pattern that names it or its group
	matched     []string      // patterns that match it
	contested   []string      // fields of its policy that several Watches have decided, each otherwise
}

func (p *plan) named(name string) bool {
	return slices.ContainsFunc(p.rules, func(r Rule) bool { return r.Name == name })
}

// has reports whether there is a rule of a name. A plan without any is about all, unless
// it is that of what is not to be watched.
func (p *plan) has(name string) bool { return len(p.rules) == 0 && p.wanted || p.named(name) }

// same returns the name that a rule of p has in an earlier plan; "" for none.
func (p *plan) same(rule Rule, before *plan) string {
	nth := 0 // of those that are the same
	for _, r := range p.rules {
		if r.Name == rule.Name {
			break
		}
		if r.is(rule) {
			nth++
		}
	}
	for _, r := range before.rules {
		if r.is(rule) {
			if nth == 0 {
				return r.Name
			}
			nth--
		}
	}
	return ""
}

// is reports whether a rule checks what another one does.
func (r Rule) is(other Rule) bool {
	t := reflect.TypeOf(r.Check)
	switch {
	case r.Identity != "" || other.Identity != "":
		return r.Identity == other.Identity
	case t != reflect.TypeOf(other.Check):
		return false
	case t.Comparable():
		return r.Check == other.Check
	}
	return r.Name == other.Name
}

// at returns the rules that are checked at a time.
func (p *plan) at(now time.Time) (rules []Rule) {
	if p.always {
		return p.rules
	}
	for _, r := range p.rules {
		if !r.rests(now) {
			rules = append(rules, r)
		}
	}
	return rules
}

// rests reports whether a rule is not checked at a time.
func (r Rule) rests(now time.Time) bool { return r.NotDuring != nil && r.NotDuring(now) }

// rule returns the rule of a name. One that there is none of is as the policy says.
func (p *plan) rule(name string) Rule {
	for _, r := range p.rules {
		if r.Name == name {
			return r
		}
	}
	return Rule{Name: name, FailureThreshold: p.policy.FailureThreshold, SuccessThreshold: p.policy.SuccessThreshold, StartPeriod: p.policy.StartPeriod, Action: p.policy.Action}
}

// plans are the plans of all processes.
type plans struct {
	watches []*watch
	known   sync.Map // *plan by namespec
}

func newPlans(watches []Watch) (*plans, error) {
	p := new(plans)
	for _, w := range watches {
		valid, err := newWatch(w)
		if err != nil {
			return nil, err
		}
		p.watches = append(p.watches, valid)
	}
	return p, nil
}

// needs returns an error where something is needed that cfg does not have.
func (p *plans) needs(cfg *Config) error {
	for _, w := range p.watches {
		switch names := w.policy.UnlessDown; {
		case len(names) > 0 && cfg.Down == nil:
			return &PolicyError{"unless-down", fmt.Errorf("nobody knows how %s is", names[0])}
		case w.policy.Drain > 0 && cfg.Drain == nil:
			return &PolicyError{"drain", errors.New("nobody takes processes out of service")}
		}
	}
	return nil
}

// prepare makes sure that evidence can be kept.
func (p *plans) prepare() error {
	for _, w := range p.watches {
		if err := w.policy.Evidence.prepare(); err != nil {
			return err
		}
	}
	return nil
}

// of returns the plan of a process.
func (p *plans) of(namespec string) *plan {
	if known, is := p.known.Load(namespec); is {
		return known.(*plan)
	}
	process := supervisor.Process{}
	process.Group, process.Name = supervisor.SplitNamespec(namespec)
	made := new(plan)
	decided := make(map[string]bool)
	for _, w := range p.watches {
		picked, named, matched := w.picks(process)
		made.byName, made.matched = made.byName || named, append(made.matched, matched...)
		if !picked {
			continue
		}
		if !made.wanted {
			made.policy, made.wanted = w.policy, true
		}
		for _, field := range w.decided {
			mine, theirs := made.policy.field(field), w.policy.field(field)
			switch {
			case !decided[field]:
				mine.Set(theirs)
				decided[field] = true
			case !reflect.DeepEqual(mine.Interface(), theirs.Interface()):
				made.contested = append(made.contested, strings.TrimPrefix(strings.Replace(field, "Hooks.Timeout", "HookTimeout", 1), "Hooks."))
			}
		}
		for _, r := range w.rules {
			for name, n := r.Name, 2; made.named(r.Name); n++ {
				r.Name = fmt.Sprintf("%s %d", name, n)
			}
			made.rules = append(made.rules, r)
			made.startPeriod = max(made.startPeriod, r.StartPeriod)
		}
	}
	made.always = !slices.ContainsFunc(made.rules, func(r Rule) bool { return r.Period > 0 || r.NotDuring != nil })
	if !made.wanted {
		made.policy, _ = Policy{}.validate() // it was watched once
	}
	p.known.Store(namespec, made)
	return made
}

// field returns what has a name of Watch.Decided.
func (p *Policy) field(name string) reflect.Value {
	v := reflect.ValueOf(p).Elem()
	for part := range strings.SplitSeq(name, ".") {
		v = v.FieldByName(part)
	}
	return v
}

// keep forgets the plans of processes that are not to be kept, until they are needed.
func (p *plans) keep(is func(namespec string) bool) {
	p.known.Range(func(namespec, _ any) bool {
		if !is(namespec.(string)) {
			p.known.Delete(namespec)
		}
		return true
	})
}

// checks returns all checks, each once.
func (p *plans) checks() (all []checks.Check) {
	seen := make(map[checks.Check]bool)
	for _, w := range p.watches {
		for _, r := range w.rules {
			if comparable := reflect.TypeOf(r.Check).Comparable(); comparable && seen[r.Check] {
				continue
			} else if comparable {
				seen[r.Check] = true
			}
			all = append(all, r.Check)
		}
	}
	return all
}

// all reports whether everything is watched that does not seem to be an event
// listener.
func (p *plans) all() bool {
	return slices.ContainsFunc(p.watches, func(w *watch) bool { return len(w.patterns) == 0 })
}

// open reports whether processes are watched that no pattern names.
func (p *plans) open() bool {
	return p.all() || slices.ContainsFunc(p.watches, func(w *watch) bool { return slices.ContainsFunc(w.patterns, pattern.open) })
}

// one returns the only process that is watched, where supervisord need not be asked
// for others.
func (p *plans) one() (namespec string, is bool) {
	if len(p.watches) != 1 || len(p.watches[0].patterns) != 1 {
		return "", false
	}
	if policy := p.watches[0].policy; policy.MaxUnavailable.Percent > 0 || policy.PanicThreshold > 0 {
		return "", false
	}
	return p.watches[0].patterns[0].one()
}

// shortest is the shortest Period there is; 0 for none.
func (p *plans) shortest() (shortest time.Duration) {
	for _, w := range p.watches {
		for _, r := range w.rules {
			if r.Period > 0 && (shortest == 0 || r.Period < shortest) {
				shortest = r.Period
			}
		}
	}
	return shortest
}

// names are those of all checks, each once.
func (p *plans) names() (names []string) {
	for _, w := range p.watches {
		for _, r := range w.rules {
			if !slices.Contains(names, r.Name) {
				names = append(names, r.Name)
			}
		}
	}
	return names
}

// describe says in a few words what is done.
func (p *plans) describe() string {
	var texts []string
	for _, w := range p.watches {
		var does []string
		for _, r := range w.rules {
			if text := r.Action.describe(); !slices.Contains(does, text) {
				does = append(does, text)
			}
		}
		if text := strings.Join(does, " and ") + w.policy.describe(); !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	return strings.Join(texts, "; ")
}

// String says in words what is watched.
func (p *plans) String() string {
	var texts []string
	for _, w := range p.watches {
		texts = append(texts, w.String())
	}
	return strings.Join(texts, "; ")
}
