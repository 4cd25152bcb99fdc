package runner

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// alike are the plans of processes that have one policy, a valid one.
func alike(policy Policy) func(string) *plan {
	p := &plan{wanted: true, policy: policy, startPeriod: policy.StartPeriod}
	return func(string) *plan { return p }
}

// observed lets an engine with that policy observe results, a letter each: F is a
// failure, S a success, U unknown. They are a second apart, of a process that has
// just been started. It returns what each comes to: "." nothing, "!" due.
func observed(t *testing.T, policy Policy, results string) string {
	t.Helper()
	policy, err := policy.validate()
	if err != nil {
		t.Fatal(err)
	}
	e := newEngine(alike(policy))
	p := supervisor.Process{Group: "web", Name: "a", PID: 7, State: supervisor.Running, Started: time.Unix(1000, 0)}
	var came []byte
	for i, result := range results {
		now := time.Unix(1000, 0).Add(time.Duration(i) * time.Second)
		p.Uptime = now.Sub(p.Started)
		status := map[rune]checks.Status{'F': checks.Unhealthy, 'S': checks.Healthy, 'U': checks.Unknown}[result]
		c := byte('.')
		if e.observe(now, p, "test", status).due {
			c = '!'
		}
		came = append(came, c)
	}
	return string(came)
}

func TestThresholds(t *testing.T) {
	tests := []struct {
		name    string
		policy  Policy
		results string
		want    string
	}{
		{"one failure is enough", Policy{}, "SFSFFU", ".!.!!."},
		{"three in a row", Policy{FailureThreshold: Threshold{3, 0}}, "FFSFFFF", ".....!!"},
		{"unknown neither raises nor clears", Policy{FailureThreshold: Threshold{3, 0}}, "FUUFUF", ".....!"},
		{"three of the last five", Policy{FailureThreshold: Threshold{3, 5}}, "FSFSFSSF", "....!..."},
		{"not of six", Policy{FailureThreshold: Threshold{3, 5}}, "FSSFSSF", "......."},
		{"a success makes it healthy, and what failed before does not count", Policy{FailureThreshold: Threshold{2, 4}}, "FFSF", ".!.."},
		{"two successes in a row make it healthy", Policy{SuccessThreshold: 2}, "FSFSSF", "!.!..!"},
		{"until they have, one failure is enough", Policy{FailureThreshold: Threshold{2, 0}, SuccessThreshold: 2}, "FFSFSSF", ".!.!..."},
		{"failures within the start period do not count", Policy{StartPeriod: 3 * time.Second}, "FFFFF", "...!!"},
		{"the first success ends it", Policy{StartPeriod: 5 * time.Second}, "FSFFF", "..!!!"},
		{"unknown does not end it", Policy{StartPeriod: 3 * time.Second}, "UUFF", "...!"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := observed(t, tt.policy, tt.results); got != tt.want {
				t.Errorf("got  %s\nwant %s\nof   %s", got, tt.want, tt.results)
			}
		})
	}
}

// TestCountsOfAnotherRun has a process restarted by somebody else between two
// failures.
func TestCountsOfAnotherRun(t *testing.T) {
	policy, _ := Policy{FailureThreshold: Threshold{Failures: 2}}.validate()
	e := newEngine(alike(policy))
	p := supervisor.Process{Group: "web", Name: "a", PID: 7, State: supervisor.Running, Started: time.Unix(1000, 0)}
	e.observe(time.Unix(1001, 0), p, "test", checks.Unhealthy)
	p.PID, p.Started = 8, time.Unix(1002, 0)
	if j := e.observe(time.Unix(1003, 0), p, "test", checks.Unhealthy); j.due || j.count != "1 of 2" {
		t.Errorf("the first failure of the new run: %+v", j)
	}
	if j := e.observe(time.Unix(1004, 0), p, "other", checks.Unhealthy); j.due {
		t.Errorf("another check's first failure: %+v", j)
	}
}

// TestJitterAnew draws another time for each thing that is due.
func TestJitterAnew(t *testing.T) {
	policy, _ := Policy{Jitter: 20 * time.Second}.validate()
	e := newEngine(alike(policy))
	e.random = func(time.Duration) time.Duration { return 7 * time.Second }
	p := supervisor.Process{Group: "web", Name: "a", PID: 7, State: supervisor.Running, Started: time.Unix(1000, 0)}
	fails := func(at int64) decision {
		now := time.Unix(at, 0)
		e.observe(now, p, "test", checks.Unhealthy)
		d := e.decide(now, "web:a")
		if !d.act {
			e.hold("web:a", d)
		}
		return d
	}
	wantHeld := func(at int64) {
		t.Helper()
		if d := fails(at); d.act || !d.next.Equal(time.Unix(at+7, 0)) {
			t.Errorf("at %d: %+v, want it held for 7 s", at, d)
		}
	}
	wantHeld(1010)
	if d := fails(1017); !d.act {
		t.Errorf("when its turn has come: %+v", d)
	}
	e.reserve(time.Unix(1017, 0), "web:a") // it is only sent a signal: the run remains the same
	e.commit(time.Unix(1017, 0), "web:a")
	e.release(time.Unix(1018, 0), "web:a", false)
	wantHeld(1030)
	e.observe(time.Unix(1032, 0), p, "test", checks.Healthy) // before its turn
	wantHeld(1050)
}

// TestRestartBeforeThePanic ends while a trial is made, and is none.
func TestRestartBeforeThePanic(t *testing.T) {
	policy, _ := Policy{PanicThreshold: 50}.validate()
	e := newEngine(alike(policy))
	now := time.Unix(1000, 0)
	var all []supervisor.Process
	for i := range 3 {
		all = append(all, supervisor.Process{Group: "web", Name: fmt.Sprint("p", i), PID: 7 + i, State: supervisor.Running, Started: now})
	}
	e.roll(now, all, all)
	e.observe(now, all[0], "test", checks.Unhealthy)
	e.assess("web", true)
	e.reserve(now, "web:p0")
	e.commit(now, "web:p0")
	for _, p := range all[1:] {
		e.observe(now, p, "test", checks.Unhealthy)
	}
	if began, _ := e.assess("web", true); began == nil {
		t.Fatal("all fail, and there is no panic")
	}
	if d := e.decide(now, "web:p1"); !d.act || !d.trial {
		t.Fatalf("%+v, want a trial", d)
	}
	e.reserve(now, "web:p1")
	e.commit(now, "web:p1")
	e.acted(now, "web:p0")
	if next, end := e.release(now, "web:p0", true); end != noTrial || len(next) > 0 {
		t.Errorf("the restart that is no trial: %v, next %v", end, next)
	}
	if d := e.decide(now, "web:p2"); d.held != heldByPanic {
		t.Errorf("%+v, want it held by the panic", d)
	}
	e.acted(now, "web:p1")
	if next, end := e.release(now, "web:p1", true); end != trialHelped || !slices.Equal(next, []string{"web:p2"}) {
		t.Errorf("the trial: %v, next %v", end, next)
	}
}

// TestStoppedProcessesFailNothing has somebody stop what fails: the panic ends.
func TestStoppedProcessesFailNothing(t *testing.T) {
	policy, _ := Policy{PanicThreshold: 50}.validate()
	e := newEngine(alike(policy))
	now := time.Unix(1000, 0)
	var all []supervisor.Process
	for i := range 4 {
		all = append(all, supervisor.Process{Group: "web", Name: fmt.Sprint("p", i), PID: 7 + i, State: supervisor.Running, Started: now})
	}
	e.roll(now, all, all)
	for i := range 3 {
		e.observe(now, all[i], "test", checks.Unhealthy)
	}
	e.observe(now, all[3], "test", checks.Healthy)
	if b, _ := e.assess("web", true); b == nil {
		t.Fatal("no panic")
	}
	for i := range 3 { // somebody stops them
		all[i].PID, all[i].State, all[i].Stopped = 0, supervisor.Stopped, now
	}
	for range 1000 {
		now = now.Add(time.Minute)
		e.roll(now, all, all)
		e.observe(now, all[3], "test", checks.Healthy)
		e.assess("web", false)
	}
	if p := e.group("web").panic; p != nil {
		t.Errorf("still panicked after 1000 minutes in which all that runs is healthy: %s", p)
	}
}

// TestLateObservation is of a run that has ended, and says nothing of the next one.
func TestLateObservation(t *testing.T) {
	policy, _ := Policy{FailureThreshold: Threshold{Failures: 2}}.validate()
	e := newEngine(alike(policy))
	old := supervisor.Process{Group: "web", Name: "a", PID: 7, State: supervisor.Running, Started: time.Unix(1000, 0)}
	now := old
	now.PID, now.Started = 8, time.Unix(1010, 0)
	e.observe(time.Unix(1011, 0), now, "test", checks.Unhealthy)
	if j := e.observe(time.Unix(1012, 0), old, "test", checks.Unhealthy); j.due {
		t.Errorf("the late one: %+v", j)
	}
	if j := e.observe(time.Unix(1013, 0), now, "test", checks.Unhealthy); !j.due {
		t.Errorf("the second failure of the run: %+v", j)
	}
}

// world is an imitation of all that an engine is told about: processes that fail
// and are restarted at random. It checks what the engine decides.
type world struct {
	t      *testing.T
	random *rand.Rand
	policy Policy
	*engine
	now       time.Time
	processes []*imitation
	mends     bool // every restart helps
	log       []func() string
}

// imitation is a process.
type imitation struct {
	supervisor.Process
	broken   bool        // its checks fail
	acts     []time.Time // when it was acted on
	ends     time.Time   // of what is done about it; zero when nothing is
	lastEnd  time.Time
	level    int       // the pause that is due, counted here
	wellFrom time.Time // since when only successes were seen
	wakes    time.Time
}

func (w *world) problem(format string, args ...any) {
	w.t.Helper()
	w.t.Errorf(format, args...)
	for _, line := range w.log[max(0, len(w.log)-40):] {
		w.t.Log(line())
	}
	w.t.FailNow()
}

func (w *world) note(format string, args ...any) {
	now := w.now
	w.log = append(w.log, func() string { return now.Format("15:04:05 ") + fmt.Sprintf(format, args...) })
}

func newWorld(t *testing.T, seed uint64) *world {
	random := rand.New(rand.NewPCG(seed, 1))
	one := func(values ...int) int { return values[random.IntN(len(values))] }
	policy := Policy{
		FailureThreshold: Threshold{one(1, 1, 2, 3), 0},
		SuccessThreshold: one(1, 1, 2),
		StartPeriod:      time.Duration(one(0, 0, 5, 30)) * time.Second,
		Jitter:           time.Duration(one(0, 0, 20)) * time.Second,
		PanicThreshold:   float64(one(0, 0, 50)),
	}
	if one(0, 1) == 1 {
		policy.FailureThreshold.Of = policy.FailureThreshold.Failures + one(0, 1, 2)
	}
	if one(0, 1) == 1 {
		policy.RestartLimit = RestartLimit{one(1, 2, 5), time.Duration(one(60, 600)) * time.Second}
	}
	if one(0, 1) == 1 {
		policy.Backoff = Backoff{Initial: time.Duration(one(1, 10)) * time.Second, Factor: float64(one(1, 2, 3)),
			Max: time.Duration(one(30, 300)) * time.Second, ResetAfter: time.Duration(one(60, 600)) * time.Second}
	}
	switch one(0, 1, 2) {
	case 1:
		policy.MaxUnavailable = Share{Number: one(1, 2)}
	case 2:
		policy.MaxUnavailable = Share{Percent: float64(one(10, 25, 50))}
	}
	policy, err := policy.validate()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, random: random, policy: policy, engine: newEngine(alike(policy)), now: time.Unix(1_000_000, 0)}
	w.engine.random = func(d time.Duration) time.Duration { return time.Duration(random.Int64N(int64(d))) }
	for i := range one(1, 4, 10) {
		w.processes = append(w.processes, &imitation{Process: supervisor.Process{
			Group: "web", Name: fmt.Sprint("p", i), PID: 100 + i, State: supervisor.Running, Started: w.now}})
	}
	return w
}

// all returns the processes as supervisord says.
func (w *world) all() []supervisor.Process {
	var all []supervisor.Process
	for _, p := range w.processes {
		p.Uptime = w.now.Sub(p.Started)
		all = append(all, p.Process)
	}
	return all
}

// round has all processes looked at that are not acted on.
func (w *world) round() {
	w.roll(w.now, w.all(), w.all())
	var due []*imitation
	for _, p := range w.processes {
		if w.known(p.Namespec()).acting {
			continue
		}
		if w.look(p) {
			due = append(due, p)
		}
	}
	w.assess("web", len(due) > 0)
	for _, p := range due {
		w.resolve(p)
	}
}

// look observes a process, and returns whether it is due.
func (w *world) look(p *imitation) bool {
	p.Uptime = w.now.Sub(p.Started)
	status := checks.Healthy
	if p.broken {
		status = checks.Unhealthy
	} else if w.random.IntN(10) == 0 {
		status = checks.Unknown
	}
	j := w.observe(w.now, p.Process, "test", status)
	switch {
	case j.due:
		if !p.wellFrom.IsZero() && w.now.Sub(p.wellFrom) >= w.policy.Backoff.ResetAfter {
			p.level = 0
		}
		p.wellFrom = time.Time{}
	case j.status == checks.Healthy && status == checks.Healthy && p.wellFrom.IsZero():
		p.wellFrom = w.now
	}
	return j.due
}

// resolve does what the engine decides, and holds it against the policy.
func (w *world) resolve(p *imitation) {
	d := w.decide(w.now, p.Namespec())
	if !d.act {
		w.note("%s is held by %s", p.Name, d.held)
		w.hold(p.Namespec(), d)
		if d.held != heldByAction && d.held != heldByPanic && d.held != heldByPlaces && !d.next.After(w.now) {
			w.problem("%s is held by %s until %v, which is not later", p.Name, d.held, d.next)
		}
		if !d.next.IsZero() {
			p.wakes = d.next
		}
		return
	}
	w.note("%s is restarted, trial %v", p.Name, d.trial)
	w.reserve(w.now, p.Namespec())
	w.commit(w.now, p.Namespec())
	if l := w.policy.RestartLimit; l.Restarts > 0 {
		n := 1
		for _, at := range p.acts {
			if w.now.Sub(at) < l.Within {
				n++
			}
		}
		if n > l.Restarts {
			w.problem("%s is restarted %d times in %v, against a limit of %v", p.Name, n, l.Within, l)
		}
	}
	if pause := w.policy.Backoff.pause(p.level); w.policy.Backoff.Initial > 0 && p.level > 0 && w.now.Sub(p.lastEnd) < pause {
		w.problem("%s is restarted %v after its restart %d, against a pause of %v", p.Name, w.now.Sub(p.lastEnd), p.level, pause)
	}
	p.acts = append(p.acts, w.now)
	p.level++
	p.wellFrom = time.Time{}
	p.ends = w.now.Add(time.Duration(1+w.random.IntN(30)) * time.Second)
	down := 0
	for _, q := range w.processes {
		if !q.ends.IsZero() {
			down++
		}
	}
	if most := w.policy.MaxUnavailable; most != (Share{}) && down > most.of(len(w.processes)) {
		w.problem("%d of %d are down at once, against %v", down, len(w.processes), most)
	}
	if panic := w.group("web").panic; panic != nil && !panic.helped && down > 1 && w.othersBegunInPanic(p) {
		w.problem("%s is restarted besides a trial", p.Name)
	}
}

// othersBegunInPanic reports whether another restart in progress began in this
// panic as its trial.
func (w *world) othersBegunInPanic(p *imitation) bool {
	panic := w.group("web").panic
	return panic.trial != p.Namespec()
}

// finish ends what is done about processes whose time has come.
func (w *world) finish() {
	for _, p := range w.processes {
		if p.ends.IsZero() || p.ends.After(w.now) {
			continue
		}
		p.ends = time.Time{}
		p.lastEnd = w.now
		p.PID, p.Started = p.PID+1000, w.now.Truncate(time.Second)
		if w.mends || w.random.IntN(3) > 0 {
			p.broken = false
		}
		w.known(p.Namespec()).lastAct = w.now
		if !p.broken {
			w.observe(w.now, p.Process, "test", checks.Healthy)
			p.wellFrom = w.now
		}
		next, end := w.release(w.now, p.Namespec(), !p.broken)
		w.note("%s runs again, broken %v, trial %v, next %v", p.Name, p.broken, end, next)
		for _, namespec := range next {
			w.recheck(namespec)
		}
	}
}

func (w *world) recheck(namespec string) {
	i := slices.IndexFunc(w.processes, func(p *imitation) bool { return p.Namespec() == namespec })
	p := w.processes[i]
	if !w.known(namespec).acting && w.look(p) {
		w.resolve(p)
	}
	if most := w.policy.MaxUnavailable; most != (Share{}) && len(w.down("web")) < most.of(len(w.processes)) {
		for _, other := range w.waiting("web") {
			w.recheck(other)
		}
	}
}

// TestEngineKeepsItsPolicy runs random processes under random policies: limits,
// pauses and places are never exceeded, and what is due happens in the end.
func TestEngineKeepsItsPolicy(t *testing.T) {
	const parts = 4
	sequences := 10_000
	if underRace {
		sequences = 500 // it is for one goroutine; make test runs it without, too
	}
	for part := range parts {
		t.Run(fmt.Sprint("part ", part), func(t *testing.T) {
			t.Parallel()
			for seed := part; seed < sequences; seed += parts {
				w := newWorld(t, uint64(seed))
				w.note("seed %d, %s", seed, w.policy.describe())
				w.live()
				w.settle()
			}
		})
	}
}

// live has processes break, be restarted by others, and be looked at.
func (w *world) live() {
	for range 30 {
		w.now = w.now.Add(time.Duration(w.random.IntN(20_000)) * time.Millisecond)
		w.finish()
		for _, p := range w.processes {
			switch {
			case p.ends.IsZero() && w.random.IntN(8) == 0:
				p.broken = true
			case p.ends.IsZero() && w.random.IntN(20) == 0: // somebody restarts it
				p.PID, p.Started, p.broken = p.PID+1, w.now.Truncate(time.Second), false
			}
			if !p.wakes.IsZero() && !w.now.Before(p.wakes) {
				p.wakes = time.Time{}
				w.recheck(p.Namespec())
			}
		}
		w.round()
	}
}

// settle has all that is broken be restarted in the end: nothing breaks any more,
// and every restart helps.
func (w *world) settle() {
	w.mends = true
	for _, p := range w.processes {
		p.broken = true
	}
	begun := w.now
	before := make(map[string]int)
	for _, p := range w.processes {
		before[p.Name] = len(p.acts)
	}
	longest := cmp.Or(w.policy.RestartLimit.Within, time.Minute) + w.policy.Backoff.pause(50) + w.policy.Jitter + w.policy.StartPeriod
	longest = (longest + time.Duration(len(w.processes))*40*time.Second + 6*time.Minute) * 2
	for w.now.Sub(begun) < longest {
		w.now = w.now.Add(5 * time.Second)
		w.finish()
		w.round()
		if !slices.ContainsFunc(w.processes, func(p *imitation) bool { return p.broken || !p.ends.IsZero() }) {
			return
		}
	}
	for _, p := range w.processes {
		if p.broken && len(p.acts) == before[p.Name] {
			w.problem("%s is broken for %v, and was not restarted", p.Name, w.now.Sub(begun))
		}
	}
}
