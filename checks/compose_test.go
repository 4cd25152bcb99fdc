package checks_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// fixed is a check with a result that is known before.
type fixed struct {
	name   string
	result checks.Result
	runs   *[]string
}

func (f fixed) Name() string { return f.name }

func (f fixed) Run(context.Context, supervisor.Process) checks.Result {
	*f.runs = append(*f.runs, f.name)
	return f.result
}

func TestComposed(t *testing.T) {
	var runs []string
	make := func(name string, r checks.Result) checks.Check {
		r.Metrics = map[string]float64{"x_seconds": 1}
		return fixed{name, r, &runs}
	}
	good := func(name string) checks.Check { return make(name, checks.Pass()) }
	bad := func(name string) checks.Check { return make(name, checks.Fail(errors.New("refused"))) }
	unsure := func(name string) checks.Check { return make(name, checks.Unsure(checks.ErrNotYet)) }
	skipped := func(name string) checks.Check { return make(name, checks.Skip(errors.New("only in develop"))) }
	for _, tt := range []struct {
		name   string
		check  checks.Check
		called string
		status checks.Status
		err    string
		runs   []string
	}{
		{"all pass", checks.All(good("a"), good("b")), "a and b", checks.Healthy, "", []string{"a", "b"}},
		{"all up to one that fails", checks.All(good("a"), bad("b"), good("c")), "a and b and c", checks.Unhealthy, "b: refused", []string{"a", "b"}},
		{"all with one unknown", checks.All(unsure("a"), good("b")), "a and b", checks.Unknown, "a: cannot tell yet", []string{"a", "b"}},
		{"all with one unknown before one that fails", checks.All(unsure("a"), bad("b")), "a and b", checks.Unhealthy, "b: refused", []string{"a", "b"}},
		{"any up to one that passes", checks.Any(bad("a"), good("b"), good("c")), "a or b or c", checks.Healthy, "", []string{"a", "b"}},
		{"any of which all fail", checks.Any(bad("a"), bad("b")), "a or b", checks.Unhealthy, "a: refused; b: refused", []string{"a", "b"}},
		{"any with one unknown", checks.Any(unsure("a"), bad("b")), "a or b", checks.Unknown, "a: cannot tell yet; b: refused", []string{"a", "b"}},
		{"any with one unknown before one that passes", checks.Any(unsure("a"), good("b")), "a or b", checks.Healthy, "", []string{"a", "b"}},
		{"one within the other", checks.All(good("a"), checks.Any(bad("b"), bad("c"))), "a and (b or c)", checks.Unhealthy, "b: refused; c: refused", []string{"a", "b", "c"}},
		{"two of a name", checks.Any(bad("a"), bad("a")), "a or a", checks.Unhealthy, "a: refused; a 2: refused", []string{"a", "a"}},
		{"all with one skipped", checks.All(skipped("a"), good("b")), "a and b", checks.Healthy, "", []string{"a", "b"}},
		{"any with one skipped", checks.Any(skipped("a"), bad("b")), "a or b", checks.Unhealthy, "b: refused", []string{"a", "b"}},
		{"all skipped", checks.All(skipped("a"), skipped("b")), "a and b", checks.Skipped, "a: only in develop; b: only in develop", []string{"a", "b"}},
		{"no reason", checks.All(make("a", checks.Result{Status: checks.Unhealthy})), "a", checks.Unhealthy, "a: the check gave no reason", []string{"a"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			runs = nil
			r := tt.check.Run(t.Context(), supervisor.Process{Name: "p"})
			text := ""
			if r.Err != nil {
				text = r.Err.Error()
			}
			if tt.check.Name() != tt.called || r.Status != tt.status || text != tt.err || len(r.Metrics) == 0 {
				t.Errorf("%s: %+v", tt.check.Name(), r)
			}
			if diff := cmp.Diff(tt.runs, runs); diff != "" {
				t.Errorf("runs (-want +got)\n%s", diff)
			}
		})
	}
	r := checks.Any(bad("a"), unsure("a")).Run(t.Context(), supervisor.Process{})
	if diff := cmp.Diff(map[string]float64{"a.x_seconds": 1, "a_2.x_seconds": 1}, r.Metrics); diff != "" {
		t.Error(diff)
	}
	inner := checks.Any(bad("a"), bad("b"))
	r = checks.All(good("a"), checks.Any(bad("a"), inner), good("b")).Run(t.Context(), supervisor.Process{})
	if want := "a 2: refused; a 3: refused; b: refused"; r.Err == nil || r.Err.Error() != want {
		t.Errorf("got %v, want %s", r.Err, want)
	}
	r = checks.All(good("a"), checks.Any(bad("a"), good("b"))).Run(t.Context(), supervisor.Process{})
	if diff := cmp.Diff(map[string]float64{"a.x_seconds": 1, "a_2.x_seconds": 1, "b.x_seconds": 1}, r.Metrics); diff != "" {
		t.Error(diff)
	}
	if r = inner.Run(t.Context(), supervisor.Process{}); r.Err.Error() != "a: refused; b: refused" {
		t.Errorf("on its own: %v", r.Err)
	}
}

// TestComposedCauses says that all cannot tell yet only where that is so.
func TestComposedCauses(t *testing.T) {
	var runs []string
	made := func(r checks.Result) checks.Check { return fixed{"a", r, &runs} }
	bad := made(checks.Fail(os.ErrNotExist))
	unsure := made(checks.Unsure(os.ErrPermission))
	notYet := made(checks.Unsure(fmt.Errorf("%w: a first look", checks.ErrNotYet)))
	pending := made(checks.Unsure(fmt.Errorf("%w: a while", checks.ErrPending)))
	all := []error{checks.ErrNotYet, checks.ErrPending, checks.ErrLookAgain, os.ErrNotExist, os.ErrPermission}
	for _, tt := range []struct {
		name  string
		check checks.Check
		want  []error
	}{
		{"one alone", notYet, []error{checks.ErrNotYet, checks.ErrLookAgain}},
		{"one of all", checks.All(made(checks.Pass()), notYet), []error{checks.ErrNotYet, checks.ErrLookAgain}},
		{"two", checks.Any(notYet, notYet), []error{checks.ErrNotYet, checks.ErrLookAgain}},
		{"with one that fails", checks.Any(bad, notYet), []error{checks.ErrLookAgain, os.ErrNotExist}},
		{"with one that cannot tell at all", checks.All(notYet, unsure), []error{checks.ErrLookAgain, os.ErrPermission}},
		{"with one over its limit", checks.Any(notYet, pending), []error{checks.ErrPending, checks.ErrLookAgain}},
		{"one over its limit", checks.All(pending, made(checks.Pass())), []error{checks.ErrPending}},
		{"one over its limit with one that fails", checks.Any(pending, bad), []error{os.ErrNotExist}},
		{"one within another", checks.Any(bad, checks.Any(notYet, pending)), []error{checks.ErrLookAgain, os.ErrNotExist}},
		{"one that decides", checks.All(notYet, bad), []error{os.ErrNotExist}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := tt.check.Run(t.Context(), supervisor.Process{})
			var got []error
			for _, err := range all {
				if errors.Is(r.Err, err) {
					got = append(got, err)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("%v is %v, want %v", r.Err, got, tt.want)
			}
		})
	}
}

// TestComposedOfThoseThatRemember has a line in a log, long before the check that
// decides until then does so no more.
func TestComposedOfThoseThatRemember(t *testing.T) {
	for _, tt := range []struct {
		name    string
		decides checks.Result
		compose func(http, log checks.Check, runs *[]string) checks.Check
	}{
		{"any", checks.Pass(), func(http, log checks.Check, _ *[]string) checks.Check { return checks.Any(http, log) }},
		{"all", checks.Fail(errors.New("refused")), func(http, log checks.Check, _ *[]string) checks.Check { return checks.All(http, log) }},
		{"one within the other", checks.Pass(), func(http, log checks.Check, runs *[]string) checks.Check {
			return checks.Any(http, checks.All(fixed{"tcp", checks.Pass(), runs}, log))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := time.Unix(1e9, 0)
			log, err := checks.NewLog(checks.LogConfig{Pattern: "ERROR", Within: 5 * time.Minute, Now: func() time.Time { return now }})
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "out")
			write := func(text string) {
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write("fine\n")
			var runs []string
			p := supervisor.Process{Name: "a", PID: 1, StdoutLog: path}
			c := tt.compose(checks.Func("http", func(context.Context, supervisor.Process) error { return tt.decides.Err }), log, &runs)
			matches := 0.0
			for i := range 60 {
				if i == 10 {
					write("fine\nERROR long ago\n")
				}
				now = now.Add(time.Minute)
				r := c.Run(t.Context(), p)
				if r.Status != tt.decides.Status {
					t.Fatalf("look %d: %+v", i, r)
				}
				matches = max(matches, r.Metrics["log.matches"])
			}
			if matches != 1 || len(runs) > 0 {
				t.Errorf("%v lines were found; %v were run", matches, runs)
			}
			if r := log.Run(t.Context(), p); r.Status != checks.Healthy {
				t.Errorf("the line of long ago counts: %+v", r)
			}
		})
	}
}

// TestComposedRound shares the work of a round among those inside.
func TestComposedRound(t *testing.T) {
	memory, err := checks.NewMemory(checks.MemoryConfig{Max: 1, Cumulative: true})
	if err != nil {
		t.Fatal(err)
	}
	starter, is := checks.All(checks.Any(memory)).(checks.RoundStarter)
	if !is {
		t.Fatal("it shares no work")
	}
	if ctx := starter.StartRound(t.Context(), nil); ctx == t.Context() {
		t.Error("the memory check inside was not told of the round")
	}
}
