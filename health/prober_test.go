package health_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/supervisor-checks/supervisor-checks/health"
	"github.com/supervisor-checks/supervisor-checks/probes"
)

// describe is what a test expects of results.
func describe(results []health.Result) string {
	var texts []string
	for _, r := range results {
		text := fmt.Sprintf("%s %s", r.Name, r.Status)
		if r.Err != nil {
			text += ": " + r.Err.Error()
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, "; ")
}

// prober returns a Prober whose looks end with the test.
func prober(t *testing.T, cfg health.ProberConfig) *health.Prober {
	p := health.NewProber(cfg)
	t.Cleanup(p.Close)
	return p
}

func add(t *testing.T, p *health.Prober, probe probes.Probe, options ...health.Option) {
	t.Helper()
	if err := p.Add(probe, options...); err != nil {
		t.Fatal(err)
	}
}

// TestCheck looks at all at once, and says how they are in the order in which they were
// added.
func TestCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := prober(t, health.ProberConfig{})
		add(t, p, probes.Sample("slow", 2*time.Second, true))
		add(t, p, probes.Sample("bad", time.Second, false))
		add(t, p, probes.Func("panics", func(context.Context) error { panic("oh") }))
		add(t, p, probes.Sample("hangs", time.Hour, true))
		add(t, p, probes.Sample("hangs for less", time.Hour, true), health.Timeout(time.Second))
		add(t, p, probes.Func("elsewhere", func(context.Context) error { return fmt.Errorf("%w: only in develop", probes.ErrSkipped) }))
		begun := time.Now()
		got := describe(p.Check(t.Context()))
		const want = "slow healthy; bad unhealthy: this is how it looks when something cannot be used; panics unhealthy: the probe panicked: oh; " +
			"hangs unhealthy: no answer within 3s; hangs for less unhealthy: no answer within 1s; elsewhere skipped: it is skipped: only in develop"
		if got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
		if took := time.Since(begun); took != 3*time.Second {
			t.Errorf("it took %v", took)
		}
		r, is := p.CheckOne(t.Context(), "panics")
		var panicked *health.PanicError
		if !is || !errors.As(r.Err, &panicked) || !strings.Contains(string(panicked.Stack), "prober_test.go") {
			t.Errorf("%+v", r)
		}
		if _, is := p.CheckOne(t.Context(), "none"); is {
			t.Error("there is a probe that nobody added")
		}
	})
}

// TestClose cuts short what goes on, and waits for it, for a while.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		results := 0
		p := prober(t, health.ProberConfig{Results: func(health.Result) { results++ }})
		var ended atomic.Bool
		add(t, p, probes.Func("slow to end", func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(500 * time.Millisecond)
			ended.Store(true)
			return context.Cause(ctx)
		}), health.Timeout(time.Minute))
		stay := make(chan struct{})
		add(t, p, probes.Func("deaf", func(context.Context) error { <-stay; return nil }), health.Timeout(time.Minute))
		go p.Check(t.Context())
		synctest.Wait()
		begun := time.Now()
		p.Close()
		if took := time.Since(begun); took != time.Second || !ended.Load() {
			t.Errorf("it took %v, and the first has ended: %v", took, ended.Load())
		}
		synctest.Wait()
		if results > 0 {
			t.Errorf("it tells of %d results, which are due to its own end", results)
		}
		close(stay)
	})
}

// TestCheckIsSharedAndCached looks at a probe once for all who ask at once, and those who
// ask soon after.
func TestCheckIsSharedAndCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int32
		p := prober(t, health.ProberConfig{})
		add(t, p, probes.Func("a", func(context.Context) error {
			looks.Add(1)
			time.Sleep(time.Second)
			return nil
		}))
		want := func(n int32) {
			t.Helper()
			if got := looks.Load(); got != n {
				t.Errorf("%d looks, want %d", got, n)
			}
		}
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() {
				if got := describe(p.Check(t.Context())); got != "a healthy" {
					t.Error(got)
				}
			})
		}
		all.Wait()
		want(1)
		time.Sleep(999 * time.Millisecond)
		p.Check(t.Context())
		want(1)
		time.Sleep(time.Millisecond)
		p.Check(t.Context())
		want(2)

		// Who does not wait knows nothing, and others do not suffer for that.
		time.Sleep(2 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if got := describe(p.Check(ctx)); got != "a unknown: not awaited: context deadline exceeded" {
			t.Error(got)
		}
		if got := describe(p.Check(t.Context())); got != "a healthy" {
			t.Error(got)
		}
		want(3)
	})
}

// TestDeaf has a probe that does not heed the end of its time: it is asked once, and no
// more until it returns.
func TestDeaf(t *testing.T) {
	before := runtime.NumGoroutine()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var looks atomic.Int32
		p := prober(t, health.ProberConfig{Cache: -1})
		add(t, p, probes.Func("deaf", func(context.Context) error {
			if looks.Add(1) == 1 {
				<-release
			}
			return nil
		}))
		if got := describe(p.Check(t.Context())); got != "deaf unhealthy: no answer within 3s" {
			t.Error(got)
		}
		for range 1000 {
			time.Sleep(time.Second)
			if got := describe(p.Check(t.Context())); !strings.HasPrefix(got, "deaf unhealthy: its last look goes on, though its time is over: it began ") {
				t.Fatal(got)
			}
		}
		if looks.Load() != 1 || p.Abandoned() != 1 {
			t.Errorf("%d looks, %d abandoned", looks.Load(), p.Abandoned())
		}
		close(release)
		synctest.Wait()
		if got := describe(p.Check(t.Context())); got != "deaf healthy" || p.Abandoned() != 0 {
			t.Errorf("%s, %d abandoned", got, p.Abandoned())
		}
	})
	if now := runtime.NumGoroutine(); now > before+2 {
		t.Errorf("%d goroutines, %d before", now, before)
	}
}

// TestBackground looks by itself: what is known is never healthy before the first look,
// nor when none has come for three periods.
func TestBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int32
		var broken atomic.Bool
		clock := time.Duration(0)
		p := prober(t, health.ProberConfig{Now: func() time.Time { return time.Now().Add(clock) }})
		add(t, p, probes.Func("db", func(context.Context) error {
			looks.Add(1)
			if broken.Load() {
				return errors.New("refused")
			}
			return nil
		}), health.Period(10*time.Second))
		want := func(text string) {
			t.Helper()
			if got := describe(p.Check(t.Context())); got != text {
				t.Errorf("%s\nwant %s", got, text)
			}
		}
		want("db unknown: it has not been looked at yet")
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { p.Run(ctx); close(done) }()
		synctest.Wait()
		want("db healthy")
		broken.Store(true)
		time.Sleep(9 * time.Second)
		want("db healthy")
		time.Sleep(time.Second)
		synctest.Wait()
		want("db unhealthy: refused")
		broken.Store(false)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		want("db healthy")
		if looks.Load() != 3 {
			t.Errorf("%d looks", looks.Load())
		}
		stop()
		<-done
		time.Sleep(30 * time.Second)
		want("db healthy")
		time.Sleep(time.Second)
		want("db stale: it was healthy 31s ago, and has not been looked at since")
		clock = -time.Hour // set back
		want("db stale: it was healthy -59m29s ago, and has not been looked at since")
	})
}

func TestAddRefuses(t *testing.T) {
	p := prober(t, health.ProberConfig{})
	add(t, p, probes.Sample("a", 0, true))
	for _, tt := range []struct {
		probe   probes.Probe
		options []health.Option
		want    string
	}{
		{probes.Sample("a", 0, true), nil, `there is a probe called "a" already`},
		{probes.Sample("", 0, true), nil, "a probe without a name"},
		{probes.Sample("b", 0, true), []health.Option{health.Timeout(-1)}, `probe "b": timeout -1ns, period 0s: they must be more than 0`},
		{probes.Sample("b", 0, true), []health.Option{health.Period(-1)}, `probe "b": timeout 3s, period -1ns: they must be more than 0`},
	} {
		if err := p.Add(tt.probe, tt.options...); err == nil || err.Error() != tt.want {
			t.Errorf("error %v, want %s", err, tt.want)
		}
	}
}

// TestLooksInARow begins the next look as soon as there is a result of the last: that is
// not one that goes on.
func TestLooksInARow(t *testing.T) {
	p := prober(t, health.ProberConfig{Cache: -1})
	add(t, p, probes.Sample("a", 0, true))
	for range 20_000 {
		if got := describe(p.Check(t.Context())); got != "a healthy" {
			t.Fatal(got)
		}
	}
}

// TestGoexit has a probe end its goroutine.
func TestGoexit(t *testing.T) {
	p := prober(t, health.ProberConfig{})
	add(t, p, probes.Func("a", func(context.Context) error {
		runtime.Goexit()
		return nil
	}))
	if got := describe(p.Check(t.Context())); got != "a unhealthy: the probe panicked: it has ended its goroutine" {
		t.Error(got)
	}
}

func TestOnly(t *testing.T) {
	p := prober(t, health.ProberConfig{})
	add(t, p, probes.Sample("public", 0, true))
	add(t, p, probes.Sample("private", 0, false))
	h := health.Handler(p.Only("public", "none"))
	for path, status := range map[string]int{"/_health/public": 200, "/_health/private": 404, "/_health": 503} {
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, httptest.NewRequest("GET", path, nil)); w.Code != status || strings.Contains(w.Body.String(), "private") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}
