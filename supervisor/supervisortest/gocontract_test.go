package supervisortest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/supervisor-checks/supervisor-checks/internal/realsupervisord"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
	"github.com/supervisor-checks/supervisor-checks/supervisor/supervisortest"
)

// goConfiguration is that of a real Go supervisord with the programs. With
// startsecs=0 it would take a process for RUNNING even when it has ended, with
// startretries=0 call one FATAL that is stopped while it starts, and without
// stopsignal kill all. It tries one that fails to start anew without a pause,
// which leaves nothing to see of "backoff".
func goConfiguration() string {
	var b strings.Builder
	b.WriteString("[group:web]\nprograms=steady,slow\n")
	for _, p := range programs {
		kind, events := "program", ""
		if p.Listener {
			kind, events = "eventlistener", "events=TICK_3600\n"
		}
		fmt.Fprintf(&b, "[%s:%s]\ncommand=%s\nautostart=%t\nautorestart=false\nstartsecs=%d\nstartretries=%d\nstopsignal=TERM\nstopwaitsecs=%d\n%s",
			kind, p.Name, p.Command, !p.Stopped, max(1, int(p.StartTakes.Seconds())), max(2, p.Retries), int(stopWait(p).Seconds()), events)
	}
	return b.String()
}

// goSubject is a Go supervisord with the programs, of either kind.
type goSubject struct {
	subject
	old bool // it is of version 0.7.3
}

func TestGoContractOfServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := supervisortest.NewServer(supervisor.Go, programs...)
		defer s.Close()
		const pid = 5000000
		goSubject{newSubject(t, s.Config(), pid, func() { s.Exit("once", false) }), false}.keepsContract()
	})
}

func TestGoContractOfRealSupervisord(t *testing.T) {
	t.Parallel()
	d := realsupervisord.StartGo(t, realsupervisord.FindGo(t), goConfiguration())
	goSubject{newSubject(t, supervisor.Config{URL: d.URL}, d.PID(), func() {
		if err := os.WriteFile(filepath.Join(d.Dir, done), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}), true}.keepsContract()
}

// goStep is a call of the contract. A Server answers as the supervisord that
// was recorded, of commit ce0722f. The real one is of version 0.7.3, the newest
// that there is to test with, and years older. It differs in this: it calls no
// process STOPPING, but leaves it RUNNING or STARTING until that has ended, and
// then EXITED, if it was RUNNING; and it makes no fault of a success.
type goStep struct {
	name     string
	call     func(subject, context.Context, string) error // nil only waits
	namespec string
	faults   bool             // the call is answered with a fault; never by the old one
	reaches  supervisor.State // before the next step
	old      supervisor.State // what the old one reaches
}

// Abbreviations for what stands in many steps.
const (
	running = supervisor.Running
	backoff = supervisor.Backoff
	exited  = supervisor.Exited
)

var goSteps = []goStep{
	{"a process is started with supervisord", nil, "web:steady", false, running, running},
	{"a process stops", stop, "web:steady", true, backoff, exited},
	{"a stopped process can be stopped", stop, "web:steady", false, backoff, exited},
	{"a stopped process starts", startAtLast, "web:steady", false, running, running},
	{"a running process can be started", start, "web:steady", false, running, running},
	{"which is still the same", nil, "web:steady", false, running, running},
	{"a process is known by its bare name", stop, "steady", true, backoff, exited},
	{"and starts by it", startAtLast, "steady", false, running, running},

	{"a process that takes long to stop is running", nil, "web:slow", false, running, running},
	{"it is stopping", stop, "web:slow", true, supervisor.Stopping, running},
	{"it can be stopped twice", stop, "web:slow", true, supervisor.Stopping, running},
	{"starting it while it is stopping comes to nothing", start, "web:slow", true, backoff, exited},

	{"a process that takes long to start is starting", startAtLast, "starting", false, supervisor.Starting, supervisor.Starting},
	{"it can be stopped", stop, "starting", true, backoff, backoff},

	{"a process that fails to start for good", start, "fatal", true, supervisor.Fatal, supervisor.Fatal},
	{"can be stopped", stop, "fatal", false, supervisor.Fatal, supervisor.Fatal},
	{"and started in vain", start, "fatal", true, supervisor.Fatal, supervisor.Fatal},

	{"a process runs until it exits", nil, "once", false, running, running},
	{"a process exits", func(s subject, _ context.Context, _ string) error { s.exit(); return nil }, "once", false, exited, exited},
	{"an exited process can be stopped", stop, "once", false, exited, exited},

	{"a name with a percent sign", stop, "100%", true, backoff, exited},
	{"a name with an apostrophe", stop, "it's", true, backoff, exited},
	{"a name with quotation marks", stop, `"quoted"`, true, backoff, exited},
	{"a name with markup", stop, "<b>&amp;", true, backoff, exited},
	{"a name that is not ASCII", stop, "größe-日本", true, backoff, exited},
	{"a name that is not ASCII starts again", startAtLast, "größe-日本", false, running, running},
}

// startAtLast starts a process, whatever is answered, until it has a pid. The Go
// supervisord takes no notice for five seconds after the end of a process that
// has run for less than two.
func startAtLast(s subject, ctx context.Context, namespec string) error {
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	deadline := time.After(15 * time.Second)
	for {
		s.Start(ctx, namespec)
		if p, err := s.Process(ctx, namespec); err != nil || p.PID != 0 {
			return err
		}
		select {
		case <-poll.C:
		case <-deadline:
			return errors.New("it does not start")
		}
	}
}

// goDescriptions are the forms of the Go supervisord's own words, by state.
var goDescriptions = map[supervisor.State]*regexp.Regexp{
	running: regexp.MustCompile(`^pid \d+, uptime 0:00:\d\d$`),
}

// goDescription is their form in all other states: when it last ended, if it did.
var goDescription = regexp.MustCompile(`^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[.\d]* [+-]\d{4} \S+( m=\+[.\d]+)?)?$`)

func (s goSubject) keepsContract() {
	s.t.Helper()
	s.knowsItself()
	s.refusesUnknownNames()
	states := make(map[string]string)
	for _, step := range goSteps {
		want, faults := step.reaches, step.faults
		if s.old {
			want, faults = step.old, false
		}
		if step.call != nil {
			err := step.call(s.subject, s.t.Context(), step.namespec)
			var fault *supervisor.Fault
			if faults != errors.As(err, &fault) || !faults && err != nil || faults && (fault.Code != -32500 || supervisor.IsGone(err)) {
				s.t.Errorf("%s: got error %v, want a fault: %t", step.name, err, faults)
			}
		}
		p := s.await(step.name, step.namespec, want)
		states[p.Namespec()] = want.String()
		hasPID := want == supervisor.Starting || want == running || want == supervisor.Stopping
		if hasPID != (p.PID != 0) {
			s.t.Errorf("%s: %s is %v with pid %d", step.name, p.Namespec(), p.State, p.PID)
		}
		if p.Started.IsZero() || p.Now.Before(p.Started) || !hasPID && p.Stopped.Before(p.Started) {
			s.t.Errorf("%s: %s is %v, started %v, stopped %v, now %v", step.name, p.Namespec(), p.State, p.Started, p.Stopped, p.Now)
		}
		form := goDescriptions[p.State]
		if form == nil {
			form = goDescription
		}
		if !form.MatchString(p.Description) {
			s.t.Errorf("%s: %s is %v with description %q, want it to match %v", step.name, p.Namespec(), p.State, p.Description, form)
		}
	}
	states["backoff"] = supervisor.Stopped.String() // which has no step
	s.knowsStates(states)
}

// knowsItself asks what does not change.
func (s goSubject) knowsItself() {
	s.t.Helper()
	ctx := s.t.Context()
	if got, err := s.Flavour(ctx); err != nil || got != supervisor.Go {
		s.t.Errorf("flavour %q, error %v, want %q", got, err, supervisor.Go)
	}
	if got, err := s.Identifier(ctx); err != nil || got != "supervisor" {
		s.t.Errorf("identifier %q, error %v, want supervisor", got, err)
	}
	if got, err := s.PID(ctx); err != nil || got != s.pid {
		s.t.Errorf("pid %d, error %v, want %d", got, err, s.pid)
	}
	if got, err := s.Programs(ctx); !errors.Is(err, supervisor.ErrNotOffered) {
		s.t.Errorf("programs %v, error %v, want ErrNotOffered", got, err)
	}
}

// knowsStates asks for all processes, among which are no event listeners.
func (s goSubject) knowsStates(want map[string]string) {
	s.t.Helper()
	processes, err := s.Processes(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	got := make(map[string]string)
	for _, p := range processes {
		got[p.Namespec()] = p.State.String()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("states (-want +got):\n%s", diff)
	}
}

func (s goSubject) refusesUnknownNames() {
	s.t.Helper()
	ctx := s.t.Context()
	for _, namespec := range []string{"", "nobody", "web", "web:nobody", "nobody:steady", "once:steady", "a b/c", "listener", "listener:listener"} {
		_, looking := s.Process(ctx, namespec)
		for call, err := range map[string]error{"look": looking, "stop": s.Stop(ctx, namespec), "start": s.Start(ctx, namespec)} {
			if !supervisor.IsGone(err) {
				s.t.Errorf("%s at %q: %v, want it to be gone", call, namespec, err)
			}
		}
	}
}
