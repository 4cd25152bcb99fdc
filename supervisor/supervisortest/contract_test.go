package supervisortest_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/supervisor-checks/supervisor-checks/internal/realsupervisord"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
	"github.com/supervisor-checks/supervisor-checks/supervisor/supervisortest"
)

// done is the file for whose existence the process "once" waits, and then exits.
const done = "done"

// programs are those of the contract: what they are to a Server, and with which
// command a real supervisord makes them so. Python's supervisord allows any
// name without a blank, a colon or a slash.
var programs = []supervisortest.Program{
	{Group: "web", Name: "steady", Command: "sleep 1000"},
	{Group: "web", Name: "slow", Command: `sh -c "trap '' TERM; while :; do sleep 0.1; done"`,
		StartTakes: 3 * time.Second, StopTakes: time.Hour, StopWait: 4 * time.Second},
	{Name: "starting", Command: "sleep 1000", Stopped: true, StartTakes: time.Hour},
	{Name: "backoff", Command: `sh -c "sleep 0.1; exit 1"`, Stopped: true, StartTakes: 10 * time.Second,
		Startup: 100 * time.Millisecond, Fails: always, Retries: 1000},
	{Name: "fatal", Command: `sh -c "sleep 0.1; exit 1"`, Stopped: true, StartTakes: 10 * time.Second,
		Startup: 100 * time.Millisecond, Fails: always},
	{Name: "once", Command: `sh -c "until test -e ` + done + `; do sleep 0.1; done"`},
	{Name: "listener", Command: "sleep 1000", Listener: true},
	{Name: "100%", Command: "sleep 1000"},
	{Name: "it's", Command: "sleep 1000"},
	{Name: `"quoted"`, Command: "sleep 1000"},
	{Name: "<b>&amp;", Command: "sleep 1000"},
	{Name: "größe-日本", Command: "sleep 1000"},
}

func always(int) bool { return true }

// configuration is that of a real supervisord with the programs.
func configuration() string {
	var b strings.Builder
	b.WriteString("[group:web]\nprograms=steady,slow\n")
	for _, p := range programs {
		kind, events := "program", ""
		if p.Listener {
			kind, events = "eventlistener", "events=TICK_3600\n"
		}
		fmt.Fprintf(&b, "[%s:%s]\ncommand=%s\nautostart=%t\nautorestart=false\nstartsecs=%d\nstartretries=%d\nstopwaitsecs=%d\n%s",
			kind, p.Name, p.Command, !p.Stopped, int(p.StartTakes.Seconds()), p.Retries, int(stopWait(p).Seconds()), events)
	}
	return b.String()
}

func stopWait(p supervisortest.Program) time.Duration {
	if p.StopWait == 0 {
		return 10 * time.Second
	}
	return p.StopWait
}

// subject is a supervisord with the programs, of either kind.
type subject struct {
	*supervisor.Client
	t    *testing.T
	pid  int
	exit func() // lets the process "once" exit
}

func newSubject(t *testing.T, cfg supervisor.Config, pid int, exit func()) subject {
	t.Helper()
	client, err := supervisor.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return subject{client, t, pid, exit}
}

func TestContractOfServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := supervisortest.NewServer(supervisor.Python, programs...)
		defer s.Close()
		const pid = 5000000
		newSubject(t, s.Config(), pid, func() { s.Exit("once", false) }).keepsContract()
	})
}

func TestPIDsOfServerAreNobodys(t *testing.T) {
	s := supervisortest.NewServer(supervisor.Python, supervisortest.Program{Name: "a"})
	defer s.Close()
	const most = 1 << 22 // that Linux has
	if pid := s.Process("a").PID; pid <= most {
		t.Errorf("pid %d may be somebody's", pid)
	}
}

func TestContractOfRealSupervisord(t *testing.T) {
	for _, path := range realsupervisord.Find(t) {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			d := realsupervisord.Start(t, path, configuration())
			newSubject(t, supervisor.Config{URL: d.URL}, d.PID(), func() {
				if err := os.WriteFile(filepath.Join(d.Dir, done), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}).keepsContract()
		})
	}
}

// steps are the calls of the contract, in their order.
var steps = []struct {
	name     string
	call     func(subject, context.Context, string) error // nil only waits
	namespec string
	fault    int              // that refuses the call; 0 means none
	reaches  supervisor.State // before the next step
}{
	{"a process is started with supervisord", nil, "web:steady", 0, supervisor.Running},
	{"a process stops", stop, "web:steady", 0, supervisor.Stopped},
	{"a stopped process cannot be stopped", stop, "web:steady", supervisor.FaultNotRunning, supervisor.Stopped},
	{"a stopped process starts", start, "web:steady", 0, supervisor.Running},
	{"a running process cannot be started", start, "web:steady", supervisor.FaultAlreadyStarted, supervisor.Running},

	{"a process that takes long to stop is running", nil, "web:slow", 0, supervisor.Running},
	{"it is stopping", stop, "web:slow", 0, supervisor.Stopping},
	{"it cannot be stopped twice", stop, "web:slow", supervisor.FaultNotRunning, supervisor.Stopping},
	{"starting it while it is stopping is accepted", start, "web:slow", 0, supervisor.Stopping},
	{"and comes to nothing", nil, "web:slow", 0, supervisor.Stopped},

	{"a process that takes long to start is starting", start, "starting", 0, supervisor.Starting},
	{"it cannot be started twice", start, "starting", supervisor.FaultAlreadyStarted, supervisor.Starting},
	{"it can be stopped", stop, "starting", 0, supervisor.Stopped},

	{"a process that fails to start is tried again", start, "backoff", 0, supervisor.Backoff},
	{"meanwhile it cannot be started", start, "backoff", supervisor.FaultAlreadyStarted, supervisor.Backoff},
	{"but can be stopped", stop, "backoff", 0, supervisor.Stopped},

	{"a process that fails to start for good", start, "fatal", 0, supervisor.Fatal},
	{"cannot be stopped", stop, "fatal", supervisor.FaultNotRunning, supervisor.Fatal},
	{"but can be started in vain", start, "fatal", 0, supervisor.Fatal},

	{"a process exits", func(s subject, _ context.Context, _ string) error { s.exit(); return nil },
		"once", 0, supervisor.Exited},
	{"an exited process cannot be stopped", stop, "once", supervisor.FaultNotRunning, supervisor.Exited},

	{"a name with a percent sign", stop, "100%", 0, supervisor.Stopped},
	{"a name with an apostrophe", stop, "it's", 0, supervisor.Stopped},
	{"a name with quotation marks", stop, `"quoted"`, 0, supervisor.Stopped},
	{"a name with markup", stop, "<b>&amp;", 0, supervisor.Stopped},
	{"a name that is not ASCII", stop, "größe-日本", 0, supervisor.Stopped},
	{"a name that is not ASCII starts again", start, "größe-日本", 0, supervisor.Running},
}

func stop(s subject, ctx context.Context, namespec string) error  { return s.Stop(ctx, namespec) }
func start(s subject, ctx context.Context, namespec string) error { return s.Start(ctx, namespec) }

// descriptions are the forms of supervisord's own words, by state.
var descriptions = map[supervisor.State]*regexp.Regexp{
	supervisor.Stopped:  regexp.MustCompile(`^([A-Z][a-z]{2} \d\d \d\d:\d\d [AP]M|Exited too quickly \(process log may have details\))$`),
	supervisor.Starting: regexp.MustCompile(`^$`),
	supervisor.Running:  regexp.MustCompile(`^pid \d+, uptime 0:0\d:\d\d$`),
	supervisor.Backoff:  regexp.MustCompile(`^Exited too quickly \(process log may have details\)$`),
	supervisor.Stopping: regexp.MustCompile(`^$`),
	supervisor.Exited:   regexp.MustCompile(`^[A-Z][a-z]{2} \d\d \d\d:\d\d [AP]M$`),
	supervisor.Fatal:    regexp.MustCompile(`^Exited too quickly \(process log may have details\)$`),
}

func (s subject) keepsContract() {
	s.t.Helper()
	s.knowsItself()
	s.refusesUnknownNames()
	for _, step := range steps {
		if step.call != nil {
			err := step.call(s, s.t.Context(), step.namespec)
			if step.fault == 0 && err != nil || step.fault != 0 && !supervisor.IsFault(err, step.fault) {
				s.t.Errorf("%s: got error %v, want fault %d", step.name, err, step.fault)
			}
		}
		p := s.await(step.name, step.namespec, step.reaches)
		hasPID := p.State == supervisor.Starting || p.State == supervisor.Running || p.State == supervisor.Stopping
		if hasPID != (p.PID != 0) {
			s.t.Errorf("%s: %s is %v with pid %d", step.name, p.Namespec(), p.State, p.PID)
		}
		if p.Started.IsZero() || p.Now.Before(p.Started) || !hasPID && p.Stopped.Before(p.Started) {
			s.t.Errorf("%s: %s is %v, started %v, stopped %v, now %v", step.name, p.Namespec(), p.State, p.Started, p.Stopped, p.Now)
		}
		if form := descriptions[p.State]; !form.MatchString(p.Description) {
			s.t.Errorf("%s: %s is %v with description %q, want it to match %v", step.name, p.Namespec(), p.State, p.Description, form)
		}
	}
	s.knowsStates()
}

// await waits until the process is in that state.
func (s subject) await(step, namespec string, state supervisor.State) supervisor.Process {
	s.t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	deadline := time.After(15 * time.Second)
	for {
		p, err := s.Process(s.t.Context(), namespec)
		if err != nil {
			s.t.Fatalf("%s: %v", step, err)
		}
		if p.State == state {
			return p
		}
		select {
		case <-poll.C:
		case <-deadline:
			s.t.Fatalf("%s: %s is %v, want %v", step, namespec, p.State, state)
		}
	}
}

// knowsItself asks what does not change.
func (s subject) knowsItself() {
	s.t.Helper()
	ctx := s.t.Context()
	if got, err := s.Flavour(ctx); err != nil || got != supervisor.Python {
		s.t.Errorf("flavour %q, error %v, want %q", got, err, supervisor.Python)
	}
	if got, err := s.Identifier(ctx); err != nil || got != "supervisor" {
		s.t.Errorf("identifier %q, error %v, want supervisor", got, err)
	}
	if got, err := s.PID(ctx); err != nil || got != s.pid {
		s.t.Errorf("pid %d, error %v, want %d", got, err, s.pid)
	}
	got, err := s.Programs(ctx)
	if err != nil {
		s.t.Error(err)
	}
	var want []supervisor.Program
	for _, p := range programs {
		program := supervisor.Program{Group: p.Group, Name: p.Name, Command: p.Command,
			GroupPriority: 999, ProcessPriority: 999, StopWait: stopWait(p)}
		if p.Group == "" {
			program.Group = p.Name
		}
		if p.Listener {
			program.GroupPriority = -1
		}
		want = append(want, program)
	}
	byName := func(a, b supervisor.Program) int { return strings.Compare(a.Namespec(), b.Namespec()) }
	slices.SortFunc(got, byName)
	slices.SortFunc(want, byName)
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("programs (-want +got):\n%s", diff)
	}
}

// knowsStates asks for all processes, which the steps have left in these states.
func (s subject) knowsStates() {
	s.t.Helper()
	processes, err := s.Processes(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	want := map[string]string{"listener": "RUNNING"} // which has no step
	for _, step := range steps {
		want[step.namespec] = step.reaches.String()
	}
	got := make(map[string]string)
	for _, p := range processes {
		got[p.Namespec()] = p.State.String()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("states (-want +got):\n%s", diff)
	}
}

func (s subject) refusesUnknownNames() {
	s.t.Helper()
	ctx := s.t.Context()
	for _, namespec := range []string{"", "nobody", "web", "steady", "web:nobody", "nobody:steady", "once:steady", "a b/c"} {
		_, looking := s.Process(ctx, namespec)
		for call, err := range map[string]error{"look": looking, "stop": s.Stop(ctx, namespec), "start": s.Start(ctx, namespec)} {
			if !supervisor.IsFault(err, supervisor.FaultBadName) || !supervisor.IsGone(err) {
				s.t.Errorf("%s at %q: %v, want fault %d", call, namespec, err, supervisor.FaultBadName)
			}
		}
	}
}
