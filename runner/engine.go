package runner

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/internal/duration"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// engine decides what is done about processes. It looks at nothing, does
// nothing and knows no clock: it is told what checks find and what comes of
// restarts, and at what time. It is for one goroutine at a time.
type engine struct {
	plans    func(namespec string) *plan
	random   func(time.Duration) time.Duration // of a jitter; less than it
	subjects map[string]*subject               // by namespec
	groups   map[string]*group
	pauses   []pause
	isDown   func(dependency string) bool
}

func newEngine(plans func(namespec string) *plan) *engine {
	return &engine{
		plans:    plans,
		random:   rand.N[time.Duration],
		subjects: make(map[string]*subject),
		groups:   make(map[string]*group),
	}
}

// subject is what is known of one process.
type subject struct {
	plan    *plan
	process supervisor.Process // as it was last looked at; the rules are about this run
	rules   map[string]*rule   // by check

	acts     []time.Time // when it was acted on, as far as RestartLimit counts it
	level    int         // of the backoff: how often it was acted on since it was last stable
	total    int         // how often it was acted on since this listener began
	lastAct  time.Time   // when the last of them ended
	wellFrom time.Time   // since when nothing has been found wrong with it; zero before and after

	acting  bool      // it is being acted on, or has not yet been found to work after that
	counted bool      // and that is among acts
	stopped bool      // we have stopped it, for good
	owed    bool      // its restart has not been concluded: it is to be verified, and the hook after it to be run
	freed   bool      // it has been acted on for too long to keep its place
	tried   time.Time // when it was last chosen to be acted on
	spread  time.Time // when its turn comes, within the jitter; zero when it has none
	down    string    // what it depends on and is down; "" for nothing
	back    time.Time // when that was up again; zero when it never was down
	drained time.Time // until when it drains; zero when it does not
}

// rule is what is known of one check of the run of a process.
type rule struct {
	status    checks.Status // what it has been found to be, by the thresholds
	failures  []bool        // of the last results, the oldest first
	successes int           // in a row
	settled   bool          // it has succeeded, which ends the start period
	failing   bool          // its newest result is a failure that counts
}

// group is what is known of the processes of one group.
type group struct {
	size    int      // as supervisord has it
	running int      // those of them that run
	waiting []string // namespecs that wait for a place, the longest first
	panic   *panicked
}

// panicked is a group of which too much fails at once.
type panicked struct {
	check       string
	failing, of int
	trial       string    // the namespec of the process that is restarted as a trial; "" when there is none
	helped      bool      // a trial has
	next        time.Time // when another may be made
	trials      int
}

// pause holds the actions on some processes.
type pause struct {
	Selector string    `json:"selector"` // "web:a", "web:*", "*"
	From     time.Time `json:"from"`
	Until    time.Time `json:"until"`
}

func (p pause) covers(namespec string) bool {
	pattern, err := parsePattern(p.Selector)
	if err != nil {
		return false
	}
	group, name := supervisor.SplitNamespec(namespec)
	return pattern.matches(supervisor.Process{Group: group, Name: name})
}

// late reports whether p is what a process was before it became what is known of
// it: whoever has found something of that was slow.
func (s *subject) late(p supervisor.Process) bool {
	return p.Started.Before(s.process.Started) || p.Started.Equal(s.process.Started) && s.process.PID == 0 && p.PID != 0
}

// take notes what a process is now, which may be another run of it.
func (s *subject) take(p supervisor.Process) {
	if !s.process.SameRun(p) {
		for _, r := range s.rules { // what fails is taken to fail until it is looked at again
			*r = rule{failing: r.failing}
		}
		s.spread = time.Time{}
		if p.PID != 0 {
			s.stopped = false // somebody has started it
		}
	}
	s.process = p
}

func (e *engine) known(namespec string) *subject {
	s := e.subjects[namespec]
	if s == nil {
		s = &subject{rules: make(map[string]*rule), plan: e.plans(namespec)}
		e.subjects[namespec] = s
	}
	return s
}

func (e *engine) group(name string) *group {
	g := e.groups[name]
	if g == nil {
		g = new(group)
		e.groups[name] = g
	}
	return g
}

// replan says that there are other plans: what is known of the rules that they have, too,
// stays.
func (e *engine) replan() {
	for namespec, s := range e.subjects {
		before, rules := s.plan, s.rules
		s.plan, s.rules = e.plans(namespec), make(map[string]*rule)
		for _, r := range s.plan.rules {
			if known := rules[s.plan.same(r, before)]; known != nil {
				s.rules[r.Name] = known
			}
		}
	}
}

// roll says which processes there are: all of supervisord's, as far as they are
// known, and those that are watched. What is neither is forgotten. It reports
// whether the pauses of one begin anew.
func (e *engine) roll(now time.Time, all, watched []supervisor.Process) (reset bool) {
	sizes := make(map[string]int)
	for _, g := range e.groups {
		g.running = 0
	}
	for _, p := range all {
		sizes[p.Group]++
		if p.PID != 0 {
			e.group(p.Group).running++
		}
	}
	for name, size := range sizes {
		e.group(name).size = size
	}
	for name := range e.groups {
		if sizes[name] == 0 {
			delete(e.groups, name)
		}
	}
	there := make(map[string]bool, len(watched))
	for _, p := range watched {
		namespec := p.Namespec()
		there[namespec] = true
		s := e.subjects[namespec]
		if s == nil || s.acting {
			continue
		}
		s.take(p)
		if s.level > 0 && s.stable(now) {
			s.level, reset = 0, true
		}
		if p.State != supervisor.Running {
			s.wellFrom = time.Time{}
		}
	}
	for namespec, s := range e.subjects {
		if !there[namespec] && !s.acting && !s.owed {
			delete(e.subjects, namespec)
		}
	}
	return reset
}

// stable reports whether nothing has been wrong with a process for so long that its
// pauses begin anew.
func (s *subject) stable(now time.Time) bool {
	b := s.plan.policy.Backoff
	return b.Initial > 0 && !s.wellFrom.IsZero() && now.Sub(s.wellFrom) >= b.ResetAfter
}

// judgement is what a result comes to.
type judgement struct {
	status checks.Status // of the rule
	count  string        // how far the thresholds are: "2 of 3"; "" where there is nothing to count
	due    bool          // something is to be done about the process
	turned bool          // the rule has another status, or another count on its way there
}

// observe takes in what a check has found of a process.
func (e *engine) observe(now time.Time, p supervisor.Process, check string, found checks.Status) judgement {
	s := e.known(p.Namespec())
	if s.late(p) || !s.plan.has(check) {
		return judgement{}
	}
	s.take(p)
	e.depend(now, s)
	r := s.rules[check]
	if r == nil {
		r = new(rule)
		s.rules[check] = r
	}
	settings := s.plan.rule(check)
	switch found {
	case checks.Healthy:
		return e.succeeded(now, s, r, settings)
	case checks.Unhealthy:
		return e.failed(now, s, r, settings)
	}
	return judgement{status: r.status}
}

// depend notes whether something is down that a process depends on. When that is back it
// has its start period anew, and what was found before does not count.
func (e *engine) depend(now time.Time, s *subject) {
	before := s.down
	s.down = e.downOf(s)
	if before != "" && s.down == "" {
		s.back = now
		for _, r := range s.rules {
			*r = rule{failing: r.failing}
		}
	}
}

// downOf returns something that a process depends on and is down; "" for nothing.
func (e *engine) downOf(s *subject) string {
	for _, name := range s.plan.policy.UnlessDown {
		if e.isDown != nil && e.isDown(name) {
			return name
		}
	}
	return ""
}

func (e *engine) succeeded(now time.Time, s *subject, r *rule, settings Rule) judgement {
	before := r.status
	hadFailed := r.count() > 0
	r.settled, r.failing = true, false
	r.push(false, settings.FailureThreshold.results())
	r.successes++
	if r.status == checks.Unhealthy && r.successes < settings.SuccessThreshold {
		return judgement{status: r.status, count: fmt.Sprintf("%d of %d successes", r.successes, settings.SuccessThreshold), turned: true}
	}
	if r.status == checks.Unhealthy {
		r.failures = nil
	}
	r.status = checks.Healthy
	s.spread = time.Time{}
	if s.wellFrom.IsZero() && !slices.ContainsFunc(slices.Collect(maps.Values(s.rules)), func(r *rule) bool { return r.status == checks.Unhealthy }) {
		s.wellFrom = now
	}
	j := judgement{status: r.status, turned: before != checks.Healthy || hadFailed && r.count() == 0}
	if before == checks.Unhealthy && settings.SuccessThreshold > 1 {
		j.count = fmt.Sprintf("%d of %d successes", r.successes, settings.SuccessThreshold)
	}
	return j
}

func (e *engine) failed(now time.Time, s *subject, r *rule, settings Rule) judgement {
	r.successes = 0
	t := settings.FailureThreshold
	switch {
	case r.settled:
	case s.process.Uptime < settings.StartPeriod:
		return judgement{status: r.status, count: fmt.Sprintf("does not count within %s of its start", duration.Short(settings.StartPeriod))}
	case now.Sub(s.back) < settings.StartPeriod:
		return judgement{status: r.status, count: fmt.Sprintf("does not count within %s after what it depends on is back", duration.Short(settings.StartPeriod))}
	}
	r.failing = true
	r.push(true, t.results())
	j := judgement{turned: r.status != checks.Unhealthy}
	if r.count() >= t.Failures {
		r.status = checks.Unhealthy
	}
	j.status = r.status
	if r.status == checks.Unhealthy {
		j.due = true
		if s.stable(now) {
			s.level = 0
		}
		s.wellFrom = time.Time{}
	}
	if t.results() > 1 && j.turned {
		j.count = fmt.Sprintf("%d of %d", r.count(), t.Failures)
		if t.Of > t.Failures {
			j.count += fmt.Sprintf(" in the last %d", t.Of)
		}
	}
	return j
}

func (r *rule) push(failure bool, most int) {
	r.failures = append(r.failures, failure)
	if more := len(r.failures) - most; more > 0 {
		r.failures = slices.Delete(r.failures, 0, more)
	}
}

func (r *rule) count() (n int) {
	for _, failure := range r.failures {
		if failure {
			n++
		}
	}
	return n
}

// Reasons for which nothing is done about a process for now.
const (
	heldByAction  = "action"  // it is being acted on already
	heldByStop    = "stop"    // it is we who have stopped it
	heldByPause   = "pause"   // somebody has said so
	heldByLimit   = "limit"   // RestartLimit
	heldByBackoff = "backoff" // Backoff
	heldByJitter  = "jitter"  // Jitter
	heldByPanic   = "panic"   // PanicThreshold
	heldByPlaces  = "places"  // MaxUnavailable
	heldByDown    = "down"    // UnlessDown
)

// decision is what is to be done about a process for which something is due.
type decision struct {
	act   bool
	stop  bool // it is to be stopped for good
	trial bool // and it is one for its group

	held string    // one of the above, if act is false
	why  string    // in words
	next time.Time // when to look at it again; zero when that depends on others
}

// decide says what is to be done about a process. If that is to act, reserve must
// follow, and else hold. It changes nothing.
func (e *engine) decide(now time.Time, namespec string) decision {
	s := e.known(namespec)
	exceeded := decision{}
	if s.acting {
		return decision{held: heldByAction, why: "it is being acted on"}
	}
	if s.stopped {
		return decision{held: heldByStop, why: "we have stopped it for good"}
	}
	if held := e.hindered(now, namespec); held.held != "" {
		return held
	}
	if s.down != "" && s.process.PID != 0 {
		return decision{held: heldByDown, why: s.down + " was down when it was looked at, which it depends on"}
	}
	if l := s.plan.policy.RestartLimit; l.Restarts > 0 {
		if acts := s.counting(now, l.Within); len(acts) >= l.Restarts {
			next := acts[len(acts)-l.Restarts].Add(l.Within)
			exceeded = decision{held: heldByLimit, next: next, why: fmt.Sprintf("the restart limit of %v is reached", l)}
			if s.plan.policy.RestartLimitThen != ThenStop || s.process.PID == 0 {
				return exceeded
			}
			exceeded.act, exceeded.stop, exceeded.held = true, true, ""
		}
	}
	if exceeded.stop {
		// neither backoff nor jitter put that off
	} else if held := e.later(now, s); held.held != "" {
		return held
	}
	g := e.group(s.process.Group)
	if held := e.byGroup(now, s, g); held.held != "" {
		return held
	}
	if exceeded.stop {
		return exceeded
	}
	return decision{act: true, trial: s.plan.policy.PanicThreshold > 0 && g.panic != nil && !g.panic.helped}
}

// hindered says what there is that came up since it was decided to act on a process: its
// decision has held only then.
func (e *engine) hindered(now time.Time, namespec string) decision {
	if down := e.downOf(e.known(namespec)); down != "" {
		return decision{held: heldByDown, why: down + " is down, which it depends on"}
	}
	if until := e.pausedUntil(now, namespec); !until.IsZero() {
		return decision{held: heldByPause, why: fmt.Sprintf("paused until %s", clock(until)), next: until}
	}
	return decision{}
}

// pausedUntil returns the end of the longest pause that covers a process; zero
// when there is none.
func (e *engine) pausedUntil(now time.Time, namespec string) (until time.Time) {
	for _, p := range e.pauses {
		if p.covers(namespec) && now.Before(p.Until) && p.Until.After(until) {
			until = p.Until
		}
	}
	return until
}

// later says whether a restart is due only at a later time.
func (e *engine) later(now time.Time, s *subject) decision {
	if pause := s.plan.policy.Backoff.pause(s.level); pause > 0 {
		if next := s.lastAct.Add(pause); now.Before(next) {
			return decision{held: heldByBackoff, next: next,
				why: fmt.Sprintf("the pause after restart %d is %s, until %s", s.level, duration.Short(pause), clock(next))}
		}
	}
	if s.plan.policy.Jitter > 0 {
		turn := s.spread
		if turn.IsZero() {
			turn = now.Add(e.random(s.plan.policy.Jitter))
		}
		if now.Before(turn) {
			return decision{held: heldByJitter, next: turn,
				why: fmt.Sprintf("restarts are spread over %s: its turn is at %s", duration.Short(s.plan.policy.Jitter), clock(turn))}
		}
	}
	return decision{}
}

// byGroup says whether the rest of the group holds what is due.
func (e *engine) byGroup(now time.Time, s *subject, g *group) decision {
	if p := g.panic; p != nil && s.plan.policy.PanicThreshold > 0 && !p.helped && (p.trial != "" || now.Before(p.next)) {
		d := decision{held: heldByPanic, why: fmt.Sprintf("%s: held until a trial restart has helped", p)}
		if p.trial == "" {
			d.next = p.next
		}
		return d
	}
	if s.plan.policy.MaxUnavailable != (Share{}) && s.process.PID != 0 { // what does not run can only become available
		most := s.plan.policy.MaxUnavailable.of(g.size)
		if down := e.down(s.process.Group); len(down) >= most {
			return decision{held: heldByPlaces,
				why: fmt.Sprintf("no more than %d of %s may be down at once: waits for %s", most, s.process.Group, list(down))}
		}
	}
	return decision{}
}

// hold notes that a process is held: when its turn is, or that it waits for a
// place.
func (e *engine) hold(namespec string, d decision) {
	s := e.known(namespec)
	g := e.group(s.process.Group)
	switch {
	case d.held == heldByJitter:
		s.spread = d.next
	case d.held == heldByPlaces && d.next.IsZero() && !slices.Contains(g.waiting, namespec):
		g.waiting = append(g.waiting, namespec)
	}
}

// counting returns when the process was acted on within a time, the oldest first.
func (s *subject) counting(now time.Time, within time.Duration) []time.Time {
	i := slices.IndexFunc(s.acts, func(at time.Time) bool { return now.Sub(at) < within })
	if i < 0 {
		return nil
	}
	return s.acts[i:]
}

// String says what happens.
func (p *panicked) String() string {
	return fmt.Sprintf("%d of %d fail %s at once, so that the cause is probably shared", p.failing, p.of, p.check)
}

// list names some of many.
func list(namespecs []string) string {
	const enough = 3
	if len(namespecs) > enough {
		return fmt.Sprintf("%s and %d more", join(namespecs[:enough]), len(namespecs)-enough)
	}
	return join(namespecs)
}

// clock writes a time of day as the log's times are written.
func clock(t time.Time) string { return t.UTC().Format("15:04:05Z") }

// down returns the processes of a group that are down through us.
func (e *engine) down(group string) (namespecs []string) {
	for namespec, s := range e.subjects {
		if s.process.Group == group && (s.acting && !s.freed && (s.process.PID != 0 || s.owed) || s.stopped) {
			namespecs = append(namespecs, namespec)
		}
	}
	slices.Sort(namespecs)
	return namespecs
}

// reserve says that a process is about to be acted on, which takes a place of its
// group.
func (e *engine) reserve(now time.Time, namespec string) {
	s := e.known(namespec)
	s.acting, s.counted, s.freed, s.tried = true, false, false, now
	g := e.group(s.process.Group)
	g.leave(namespec)
	if s.plan.policy.PanicThreshold > 0 && g.panic != nil && !g.panic.helped {
		g.panic.trial = namespec
	}
}

func (g *group) leave(namespec string) {
	g.waiting = slices.DeleteFunc(g.waiting, func(other string) bool { return other == namespec })
}

// commit says that a process is acted on now, which counts.
func (e *engine) commit(now time.Time, namespec string) {
	s := e.known(namespec)
	s.counted = true
	s.total++
	if l := s.plan.policy.RestartLimit; l.Restarts > 0 {
		s.acts = append(slices.Clone(s.counting(now, l.Within)), now)
	}
	if s.plan.policy.Backoff.Initial > 0 {
		s.level++
	}
	s.lastAct = now
	s.spread = time.Time{}
}

// acted says that a process has been acted on, and that nothing is to be seen of
// that any more but that it works.
func (e *engine) acted(now time.Time, namespec string) {
	if s := e.known(namespec); s.counted {
		s.lastAct = now
		for _, r := range s.rules {
			*r = rule{settled: r.settled, failing: r.failing} // what was found before does not count twice
		}
	}
}

// pretend says that a process would be acted on now, had somebody not asked for
// that to be left out: limits and pauses go on as though it had been, and had not
// helped.
func (e *engine) pretend(now time.Time, namespec string, d decision) {
	if d.stop {
		e.known(namespec).stopped = true
		return
	}
	e.reserve(now, namespec)
	e.commit(now, namespec)
	e.acted(now, namespec)
	e.release(now, namespec, false)
}

// trialEnd is what has come of a trial.
type trialEnd int

const (
	noTrial trialEnd = iota
	trialHelped
	trialDidNot
)

// release ends what reserve began. works says that the process has been found to
// work since. It returns the processes that may be acted on now and could not
// before, those first that waited first, and what came of a trial, if it was one.
func (e *engine) release(now time.Time, namespec string, works bool) (next []string, end trialEnd) {
	s := e.known(namespec)
	s.acting, s.freed = false, false
	if end = e.endTrial(now, namespec, works); end == trialHelped {
		next = e.due(s.process.Group)
	}
	return append(next, e.waiting(s.process.Group)...), end
}

// endTrial says what has come of acting on a process, for the panic of its group.
func (e *engine) endTrial(now time.Time, namespec string, works bool) trialEnd {
	s := e.known(namespec)
	p := e.group(s.process.Group).panic
	if p == nil || p.trial != namespec && !p.helped {
		return noTrial
	}
	p.trial = ""
	switch {
	case works && !p.helped:
		p.helped = true
		return trialHelped
	case !works && s.counted:
		p.helped = false
		p.trials++
		b := s.plan.policy.Backoff
		b.Initial = cmp.Or(b.Initial, trialPause)
		p.next = now.Add(b.pause(p.trials))
		return trialDidNot
	}
	return noTrial
}

// trialPause is the pause after the first trial that did not help when there is no
// Policy.Backoff.
const trialPause = 10 * time.Second

// waiting returns the first of those that wait for a place, if there is one.
func (e *engine) waiting(group string) []string {
	g := e.group(group)
	if len(g.waiting) == 0 {
		return nil
	}
	first := g.waiting[0]
	g.waiting = g.waiting[1:]
	return []string{first}
}

// passOn returns the first of those that wait for a place if there is one for it.
func (e *engine) passOn(group string) []string {
	g := e.group(group)
	if len(g.waiting) == 0 || len(e.down(group)) >= e.known(g.waiting[0]).plan.policy.MaxUnavailable.of(g.size) {
		return nil
	}
	return e.waiting(group)
}

// of returns the processes of a group that are known.
func (e *engine) of(group string) (namespecs []string) {
	for namespec, s := range e.subjects {
		if s.process.Group == group {
			namespecs = append(namespecs, namespec)
		}
	}
	return namespecs
}

// due returns the processes of a group, or of all for "", for which something is
// due.
func (e *engine) due(group string) (namespecs []string) {
	for namespec, s := range e.subjects {
		if group != "" && s.process.Group != group || s.acting {
			continue
		}
		for _, r := range s.rules {
			if r.status == checks.Unhealthy {
				namespecs = append(namespecs, namespec)
				break
			}
		}
	}
	slices.Sort(namespecs)
	return namespecs
}

// assess looks at how a group fares at the end of a round, in which something is
// due or not, by the newest result of each of its processes: those that are still
// being checked, or acted on, are as they were. It says whether a panic began, or
// ended.
func (e *engine) assess(group string, due bool) (began, ended *panicked) {
	g := e.group(group)
	failed := make(map[string]int)
	threshold := 0.0 // the least of the group
	for _, s := range e.subjects {
		if s.process.Group != group || s.stopped || s.process.PID == 0 && !s.acting { // what does not run fails nothing
			continue
		}
		if t := s.plan.policy.PanicThreshold; t > 0 && (threshold == 0 || t < threshold) {
			threshold = t
		}
		for check, r := range s.rules {
			if r.failing {
				failed[check]++
			}
		}
	}
	worst := ""
	for _, check := range slices.Sorted(maps.Keys(failed)) {
		if worst == "" || failed[check] > failed[worst] {
			worst = check
		}
	}
	running := max(g.running, failed[worst])
	tooMany := threshold > 0 && running > 1 && float64(failed[worst])*100 > threshold*float64(running)
	switch {
	case g.panic == nil && tooMany && due:
		g.panic = new(panicked)
		began = g.panic
	case g.panic != nil && !tooMany && g.panic.trial == "":
		ended, g.panic = g.panic, nil
	}
	if g.panic != nil && tooMany {
		g.panic.check, g.panic.failing, g.panic.of = worst, failed[worst], running
	}
	return began, ended
}
