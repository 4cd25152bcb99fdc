package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/internal/control"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
	"github.com/supervisor-checks/supervisor-checks/supervisor/supervisortest"
)

// talk runs a listener of processes that always fail under a supervisord, in fake
// time, and lets a test speak to it.
func talk(t *testing.T, policy Policy, test func(t *testing.T, srv *supervisortest.Server, r *runner, tick func())) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		srv := supervisortest.NewServer(supervisor.Python, supervisortest.Program{Group: "web", Name: "a"},
			supervisortest.Program{Group: "web", Name: "b"}, supervisortest.Program{Name: "solo"}, supervisortest.Program{Group: "web", Name: "off", Stopped: true})
		defer srv.Close()
		dir := filepath.Join(t.TempDir(), "state")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		stdin, stdout := srv.Listener()
		fail := checks.Func("test", func(context.Context, supervisor.Process) error { return errors.New("it is broken") })
		r, err := newRunner(Config{
			Name: "lis", Groups: []string{"web", "solo"}, Checks: []checks.Check{fail}, Policy: policy,
			Server: srv.Config(), StateDir: dir, Stdin: stdin, Stdout: stdout, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			r.run(ctx)
			close(done)
		}()
		synctest.Wait()
		test(t, srv, r, func() {
			if err := srv.Tick(5 * time.Second); err != nil {
				t.Error(err)
			}
			time.Sleep(5 * time.Second)
			synctest.Wait()
		})
		stop()
		<-done
		stdin.Close()
		stdout.Close()
	})
}

// would is what a listener says of each process.
func would(t *testing.T, r *runner, selector string) map[string]string {
	t.Helper()
	a := r.answer(t.Context(), control.Request{Command: control.Explain, Selector: selector})
	if a.Error != "" || a.Listener.Trouble != "" || a.Listener.Name != "lis" {
		t.Errorf("%+v", a)
	}
	all := make(map[string]string)
	for _, p := range a.Processes {
		all[p.Process] = p.Would
	}
	return all
}

func TestExplain(t *testing.T) {
	policy := Policy{
		FailureThreshold: Threshold{Failures: 2}, RestartLimit: RestartLimit{2, time.Hour}, Backoff: Backoff{Initial: 20 * time.Second},
		MaxUnavailable: Share{Number: 1}, StartPeriod: 7 * time.Second,
	}
	talk(t, policy, func(t *testing.T, srv *supervisortest.Server, r *runner, tick func()) {
		expect := func(when string, want map[string]string) {
			t.Helper()
			if diff := cmp.Diff(want, would(t, r, "*")); diff != "" {
				t.Errorf("%s (-want +got)\n%s", when, diff)
			}
		}
		expect("before the first tick", map[string]string{
			"web:a": "nothing: it has not been checked yet", "web:b": "nothing: it has not been checked yet",
			"solo": "nothing: it has not been checked yet", "web:off": "nothing: it is STOPPED",
		})
		tick()
		a := r.answer(t.Context(), control.Request{Command: control.Explain, Selector: "web:a"})
		if len(a.Processes) != 1 || a.Processes[0].StartPeriod != 2 {
			t.Errorf("web:a in its start period: %+v", a.Processes)
		}
		tick() // 5 s, which does not count
		tick() // 10 s
		expect("after a failure that counts", map[string]string{
			"web:a": "nothing yet: test has failed 1 of 2", "web:b": "nothing yet: test has failed 1 of 2",
			"solo": "nothing yet: test has failed 1 of 2", "web:off": "nothing: it is STOPPED",
		})
		tick()
		got := would(t, r, "web:*")
		first, second := "web:a", "web:b"
		if srv.Starts(first) == 1 {
			first, second = second, first
		}
		want := map[string]string{
			first:     "nothing more: it is being acted on",
			second:    "held, else restarted: test; no more than 1 of web may be down at once: waits for " + first,
			"web:off": "nothing: it is STOPPED",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("while %s is restarted (-want +got)\n%s", first, diff)
		}
		if got := r.answer(t.Context(), control.Request{Command: control.Explain, Selector: first}).Processes[0]; got.Restarts != 1 || got.Limit != "2/1h" || got.Backoff != 20 {
			t.Errorf("its counts: %+v", got)
		}
		for range 60 {
			tick()
		}
		for namespec, text := range would(t, r, "*") {
			if namespec != "web:off" && !strings.Contains(text, "held, else restarted: test; the restart limit of 2/1h is reached") {
				t.Errorf("%s would be: %s", namespec, text)
			}
		}
	})
}

// TestExplainCounts restarts that no rule counts.
func TestExplainCounts(t *testing.T) {
	talk(t, Policy{}, func(t *testing.T, _ *supervisortest.Server, r *runner, tick func()) {
		for range 3 {
			tick()
		}
		a := r.answer(t.Context(), control.Request{Command: control.Explain, Selector: "web:a"})
		if len(a.Processes) != 1 || a.Processes[0].Restarts != 3 {
			t.Errorf("%+v, want three restarts", a.Processes)
		}
	})
}

func TestPause(t *testing.T) {
	talk(t, Policy{RestartLimit: RestartLimit{3, time.Hour}}, func(t *testing.T, srv *supervisortest.Server, r *runner, tick func()) {
		a := r.answer(t.Context(), control.Request{Command: control.Pause, Selector: "web:*", For: 30 * time.Second})
		if a.Error != "" || len(a.Listener.Pauses) != 1 || len(a.Processes) != 3 || a.Processes[0].PausedUntil.IsZero() {
			t.Errorf("pause: %+v", a)
		}
		tick()
		tick()
		if a, solo := srv.Starts("web:a"), srv.Starts("solo"); a != 1 || solo < 2 {
			t.Errorf("web:a, which is paused, was started %d times, and solo %d times", a, solo)
		}
		if got := would(t, r, "web:a")["web:a"]; !strings.Contains(got, "held, else restarted: test; paused until ") {
			t.Errorf("it would be: %s", got)
		}
		for range 5 {
			tick()
		}
		if got := srv.Starts("web:a"); got < 2 {
			t.Errorf("web:a was started %d times, and the pause is over", got)
		}
		if a := r.answer(t.Context(), control.Request{Command: control.Explain}); len(a.Listener.Pauses) != 0 {
			t.Errorf("the pause goes on: %+v", a.Listener.Pauses)
		}
	})
}

// TestPauseIsWrittenDown where the next listener finds it, and what is not about this
// listener's processes is not.
func TestPauseIsWrittenDown(t *testing.T) {
	talk(t, Policy{}, func(t *testing.T, _ *supervisortest.Server, r *runner, _ func()) {
		for _, selector := range []string{"web:*", "nosuch:*"} {
			a := r.answer(t.Context(), control.Request{Command: control.Pause, Selector: selector, For: time.Hour})
			if a.Error != "" || (len(a.Processes) > 0) != (selector == "web:*") {
				t.Errorf("%s: %+v", selector, a)
			}
		}
		text, err := os.ReadFile(r.restarter.File(r.ownName(), savedSuffix))
		if err != nil || !strings.Contains(string(text), `"web:*"`) || strings.Contains(string(text), "nosuch") {
			t.Errorf("written is %s, error %v", text, err)
		}
		if a := r.answer(t.Context(), control.Request{Command: control.Resume, Selector: "web:a"}); a.Error != "there is no pause of that name: resume web:*" {
			t.Errorf("resume web:a: %q", a.Error)
		}
	})
}

// TestUnknownIsExplained by its name.
func TestUnknownIsExplained(t *testing.T) {
	talk(t, Policy{}, func(t *testing.T, _ *supervisortest.Server, r *runner, tick func()) {
		p, _ := newPlans([]Watch{{Processes: []string{"web:a"}, Rules: []Rule{{Check: mute{}}}}})
		r.planned.Store(p)
		tick()
		a := r.answer(t.Context(), control.Request{Command: control.Explain, Selector: "web:a"})
		if len(a.Processes) != 1 || len(a.Processes[0].Rules) != 1 || a.Processes[0].Rules[0].Status != "unknown" || a.Processes[0].Would != "nothing: not known to fail mute" {
			t.Errorf("%+v", a.Processes)
		}
	})
}

type mute struct{}

func (mute) Name() string { return "mute" }
func (mute) Run(context.Context, supervisor.Process) checks.Result {
	return checks.Unsure(errors.New("it may not look"))
}

func TestResumeAndReset(t *testing.T) {
	talk(t, Policy{RestartLimit: RestartLimit{1, time.Hour}}, func(t *testing.T, srv *supervisortest.Server, r *runner, tick func()) {
		r.answer(t.Context(), control.Request{Command: control.Pause, Selector: "*", For: time.Hour})
		tick()
		r.answer(t.Context(), control.Request{Command: control.Resume, Selector: "*"})
		time.Sleep(time.Second) // without a tick
		synctest.Wait()
		if got := srv.Starts("web:a"); got != 2 {
			t.Errorf("web:a was started %d times after resume, want 2", got)
		}
		tick()
		tick()
		r.answer(t.Context(), control.Request{Command: control.Reset, Selector: "web:a"})
		time.Sleep(time.Second)
		synctest.Wait()
		if a, b := srv.Starts("web:a"), srv.Starts("web:b"); a != 3 || b != 2 {
			t.Errorf("after reset of web:a it was started %d times, want 3, and web:b %d times, want 2", a, b)
		}
	})
}

// TestResetDuringPanic allows another trial at once.
func TestResetDuringPanic(t *testing.T) {
	talk(t, Policy{PanicThreshold: 50, Backoff: Backoff{Initial: time.Hour, Max: time.Hour}}, func(t *testing.T, srv *supervisortest.Server, r *runner, tick func()) {
		for range 10 {
			tick()
		}
		if a, b := srv.Starts("web:a"), srv.Starts("web:b"); a+b != 3 {
			t.Fatalf("%d restarts, want one trial", a+b-2)
		}
		r.answer(t.Context(), control.Request{Command: control.Reset, Selector: "*"})
		for range 2 {
			tick()
		}
		if a, b := srv.Starts("web:a"), srv.Starts("web:b"); a+b != 4 {
			t.Errorf("%d restarts after reset, want another trial", a+b-2)
		}
	})
}

func TestBadRequests(t *testing.T) {
	talk(t, Policy{}, func(t *testing.T, _ *supervisortest.Server, r *runner, _ func()) {
		for _, tt := range []struct {
			request control.Request
			want    string
		}{
			{control.Request{Command: "fly"}, `this listener knows no command "fly": is it of another version?`},
			{control.Request{Command: control.Pause, Selector: "*"}, "0s is not between 0 and a year"},
			{control.Request{Command: control.Pause, Selector: "*", For: 10000 * time.Hour}, "10000h0m0s is not between 0 and a year"},
			{control.Request{Command: control.Pause, For: time.Hour}, "nothing is selected"},
		} {
			if got := r.answer(t.Context(), tt.request).Error; got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		}
	})
}

func TestSelectors(t *testing.T) {
	for _, tt := range []struct {
		selector, namespec string
		want               bool
	}{
		{"*", "web:a", true}, {"web:*", "web:a", true}, {"web:", "web:a", true}, {"web:a", "web:a", true}, {"solo", "solo", true},
		{"web:*", "solo", false}, {"web:a", "web:b", false}, {"web", "web:a", false}, {"a", "web:a", false},
		{"web:web_?", "web:web_1", true}, {"web:web_?", "web:web_12", false}, {"w*:*_1", "web:web_1", true}, {"s*", "solo", true}, {"s*", "solo:b", false}, {"a.c", "abc", false}, {"a:b:c", "a:b", false},
	} {
		if got := (pause{Selector: tt.selector}).covers(tt.namespec); got != tt.want {
			t.Errorf("%s covers %s: %v", tt.selector, tt.namespec, got)
		}
	}
}

// TestReload has the watches of a listener be read anew a thousand times while it
// works: no counter is lost, and no round is missed.
func TestReload(t *testing.T) {
	alert := Action{Kind: ActionAlert}
	counting, other := &counter{name: "counting"}, &counter{name: "other"}
	watches := []Watch{{Processes: []string{"web:a"}, Rules: []Rule{{Check: counting, FailureThreshold: Threshold{Failures: 1000}, Action: alert}}}}
	talk(t, Policy{}, func(t *testing.T, srv *supervisortest.Server, r *runner, tick func()) {
		r.Reload = func() ([]Watch, error) { return watches, nil }
		reload := func() control.Answer {
			return r.answer(t.Context(), control.Request{Command: control.Reload, Selector: "*"})
		}
		if a := reload(); a.Error != "" || len(a.Processes) != 1 || a.Listener.Watches != "web:a" {
			t.Fatalf("%+v", a)
		}
		const rounds = 200
		for range rounds {
			for range 5 {
				go reload()
			}
			tick()
		}
		a := reload()
		if got, want := a.Processes[0].Rules[0].Failures, fmt.Sprintf("%d of 1000", rounds); got != want || counting.runs != rounds {
			t.Errorf("counted %s in %d runs, want %s", got, counting.runs, want)
		}

		// A rule that is gone is forgotten, and a threshold that is lower holds at once.
		watches = []Watch{{Processes: []string{"web:a"}, Rules: []Rule{{Check: counting, FailureThreshold: Threshold{Failures: 3}, Action: alert}, {Check: other, Action: alert}}}}
		reload()
		tick()
		if got := would(t, r, "web:a")["web:a"]; got != "nothing more: alerted of counting, other" {
			t.Errorf("it would be %q", got)
		}
		watches[0].Rules = watches[0].Rules[1:]
		if a := reload(); len(a.Processes[0].Rules) != 1 || len(r.engine.known("web:a").rules) != 1 || len(r.findings) != 1 {
			t.Errorf("%+v", a.Processes)
		}

		// What is wrong changes nothing.
		r.Reload = func() ([]Watch, error) { return nil, errors.New("bad file") }
		if a := reload(); a.Error != "bad file" || a.Listener.Watches != "web:a" {
			t.Errorf("%+v", a)
		}
		r.Reload = nil
		if a := reload(); a.Error != control.ErrNoFile.Error() {
			t.Errorf("%+v", a)
		}
	})
}

// counter is a check that fails, and counts how often.
type counter struct {
	name string
	runs int
}

func (c *counter) Name() string { return c.name }
func (c *counter) Run(context.Context, supervisor.Process) checks.Result {
	c.runs++
	return checks.Fail(errors.New("it is broken"))
}
