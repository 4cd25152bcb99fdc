package health_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/supervisor-checks/supervisor-checks/health"
	"github.com/supervisor-checks/supervisor-checks/probes"
)

// ask asks a handler, and returns the status and the body.
func ask(h http.Handler, method string, header ...string) (int, string) {
	r := httptest.NewRequest(method, "/", nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// running has a gate and its prober run until the end of the test.
func running(t *testing.T, cfg health.GateConfig, all ...probes.Probe) *health.Gate {
	t.Helper()
	p := prober(t, health.ProberConfig{Now: cfg.Now})
	for _, one := range all {
		add(t, p, one, health.Period(10*time.Second))
	}
	if len(all) > 0 {
		cfg.Sources = append(cfg.Sources, p)
	}
	g, err := health.NewGate(cfg)
	if err != nil {
		t.Fatal(err)
	}
	go p.Run(t.Context())
	run(t, g)
	return g
}

// run runs a gate until the end of the test, before its folder is removed.
func run(t *testing.T, g *health.Gate) {
	ended := make(chan struct{})
	go func() { g.Run(t.Context()); close(ended) }()
	t.Cleanup(func() { <-ended })
}

// switched is a probe that is healthy or not.
func switched(name string) (probes.Probe, *atomic.Bool) {
	broken := new(atomic.Bool)
	return probes.Func(name, func(context.Context) error {
		if broken.Load() {
			return errors.New("refused")
		}
		return nil
	}), broken
}

func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		db, broken := switched("elastic")
		g := running(t, health.GateConfig{Name: "web7", Folder: dir, Token: health.NewToken("sesame")}, db, probes.Sample("queue", 2*time.Second, true))
		want := func(status int, text string) {
			t.Helper()
			synctest.Wait()
			if gotStatus, got := ask(g, "GET", "Authorization", "Bearer sesame"); gotStatus != status || got != text {
				t.Errorf("%d %q\nwant %d %q", gotStatus, got, status, text)
			}
		}
		idle, err := health.NewGate(health.GateConfig{Name: "web7", Folder: dir})
		if err != nil {
			t.Fatal(err)
		}
		if status, text := ask(idle, "GET"); status != 503 || text != "Server: web7 reports:\nThe check of this server is DEAD!\n" {
			t.Errorf("before it has looked: %d %q", status, text)
		}
		want(503, "Server: web7 reports:\nThe queue is DEAD!\n") // which has not answered yet
		time.Sleep(2 * time.Second)
		want(200, "Server: web7 reports:\nOK")
		if status, text := ask(g, "HEAD", "Authorization", "Bearer sesame"); status != 200 || text != "" {
			t.Errorf("HEAD: %d %q", status, text)
		}
		if status, _ := ask(g, "POST", "Authorization", "Bearer sesame"); status != 405 {
			t.Errorf("POST: %d", status)
		}

		broken.Store(true)
		time.Sleep(10 * time.Second)
		want(503, "Server: web7 reports:\nThe elastic is DEAD!\n")
		text, err := os.ReadFile(filepath.Join(dir, "elastic.dead"))
		if err != nil || !strings.HasPrefix(string(text), "refused\nwritten by supervisor-checks: ") {
			t.Errorf("the file has %q, error %v", text, err)
		}
		broken.Store(false)
		time.Sleep(10 * time.Second)
		want(200, "Server: web7 reports:\nOK")
		if _, err := os.Stat(filepath.Join(dir, "elastic.dead")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the file is still there: %v", err)
		}

		// Somebody takes the host out of rotation, by a file, a link that leads nowhere
		// or a folder.
		for _, make := range []func(path string) error{
			func(path string) error { return os.WriteFile(path, nil, 0) },
			func(path string) error { return os.Symlink("/nowhere", path) },
			func(path string) error { return os.Mkdir(path, 0) },
		} {
			for _, name := range []string{"maintenance", "elastic"} {
				path := filepath.Join(dir, name+".dead")
				if err := make(path); err != nil {
					t.Fatal(err)
				}
				for range 30 {
					time.Sleep(time.Second)
					want(503, "Server: web7 reports:\nThe "+name+" is DEAD!\n")
				}
				if err := os.Remove(path); err != nil {
					t.Errorf("it was removed: %v", err)
				}
				time.Sleep(time.Second)
				want(200, "Server: web7 reports:\nOK")
			}
		}

		// What is somebody else's is not written to.
		broken.Store(true)
		target := filepath.Join(dir, "target")
		os.WriteFile(target, []byte("precious"), 0o600)
		os.Symlink(target, filepath.Join(dir, "elastic.dead"))
		time.Sleep(20 * time.Second)
		want(503, "Server: web7 reports:\nThe elastic is DEAD!\n")
		if text, _ := os.ReadFile(target); string(text) != "precious" {
			t.Errorf("what a link leads to has %q", text)
		}
	})
}

// TestGateOfAnother leaves the files of another gate alone, which shares the folder, and
// takes its own for its own after a restart.
// TestGateOfSkipped leaves out of account what is not looked at here, unless there is nothing
// else.
func TestGateOfSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		skipped := probes.Func("login", func(context.Context) error { return probes.ErrSkipped })
		for _, tt := range []struct {
			probes []probes.Probe
			want   int
		}{
			{[]probes.Probe{skipped}, 503},
			{[]probes.Probe{skipped, probes.Sample("db", 0, true)}, 200},
			{[]probes.Probe{skipped, probes.Sample("db", 0, false)}, 503},
		} {
			g := running(t, health.GateConfig{Name: "web7"}, tt.probes...)
			synctest.Wait()
			if status, text := ask(g, "GET"); status != tt.want {
				t.Errorf("%d probes: %d %q, want %d", len(tt.probes), status, text, tt.want)
			}
			p := prober(t, health.ProberConfig{})
			for _, one := range tt.probes {
				add(t, p, one)
			}
			if got := health.Worst(p.Check(t.Context())); (got == health.Healthy) != (tt.want == 200) {
				t.Errorf("%d probes: together %s", len(tt.probes), got)
			}
		}
	})
}

func TestGateOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		mine, broken := switched("db")
		theirs, _ := switched("db")
		broken.Store(true)
		a := running(t, health.GateConfig{Name: "a", Folder: dir}, mine)
		synctest.Wait()
		b := running(t, health.GateConfig{Name: "b", Folder: dir}, theirs)
		time.Sleep(15 * time.Second)
		for name, g := range map[string]*health.Gate{"a": a, "b": b} {
			if status, _ := ask(g, "GET"); status != 503 {
				t.Errorf("%s: %d", name, status)
			}
		}
		again, _ := switched("db")
		c := running(t, health.GateConfig{Name: "a", Folder: dir}, again)
		time.Sleep(time.Second)
		if status, text := ask(c, "GET"); status != 200 {
			t.Errorf("after a restart: %d %s", status, text)
		}
	})
}

// TestGateFailsClosed when nobody looks any more, when the clock jumps, and when its
// folder cannot be read.
func TestGateFailsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var jump atomic.Int64
		var mu sync.Mutex
		var trouble []string
		now := func() time.Time { return time.Now().Add(time.Duration(jump.Load())) }
		hangs := make(chan struct{})
		var hanging atomic.Bool
		dir := filepath.Join(t.TempDir(), "sub")
		os.Mkdir(dir, 0o700)
		db := probes.Func("db", func(context.Context) error {
			if hanging.Load() {
				<-hangs
			}
			return nil
		})
		g := running(t, health.GateConfig{Name: "x", Now: now, Folder: dir, Trouble: func(err error) {
			mu.Lock()
			defer mu.Unlock()
			trouble = append(trouble, fmt.Sprint(err))
		}}, db)
		want := func(status int) {
			t.Helper()
			synctest.Wait()
			if got, text := ask(g, "GET"); got != status {
				t.Errorf("%d %s, want %d", got, text, status)
			}
		}
		want(200)
		jump.Store(int64(time.Hour)) // nothing has been found for an hour, as far as can be told
		want(503)
		time.Sleep(10 * time.Second)
		want(200)
		os.Rename(dir, dir+"2")
		time.Sleep(time.Second)
		want(503)
		time.Sleep(5 * time.Second)
		os.Rename(dir+"2", dir)
		time.Sleep(time.Second)
		want(200)
		mu.Lock()
		if len(trouble) != 2 || !strings.Contains(trouble[0], "no such file") || trouble[1] != "<nil>" {
			t.Errorf("told of %q", trouble)
		}
		mu.Unlock()
		hanging.Store(true)
		time.Sleep(13100 * time.Millisecond)
		want(503)
		close(hangs)
	})
	if _, err := health.NewGate(health.GateConfig{}); err == nil {
		t.Error("a gate that nothing can shut")
	}
}

func TestGateTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, _ := switched("db")
		g := running(t, health.GateConfig{Name: "x", Token: health.NewToken("sesame")}, db)
		open := running(t, health.GateConfig{Name: "x", DeniedStatus: 401, DeniedText: "no", OpenText: "fine", Head: "{name}: "}, db)
		modern := running(t, health.GateConfig{Name: "x", Token: health.NewToken("t"), DeniedStatus: 401, DeniedText: "no"}, db)
		synctest.Wait()
		for _, tt := range []struct {
			name   string
			header []string
			status int
		}{
			{"right", []string{"Authorization", "Bearer sesame"}, 200},
			{"a scheme in lower case", []string{"Authorization", "bearer sesame"}, 200},
			{"none", nil, 511},
			{"wrong", []string{"Authorization", "Bearer Sesame"}, 511},
			{"longer", []string{"Authorization", "Bearer sesame "}, 511},
			{"shorter", []string{"Authorization", "Bearer sesam"}, 511},
			{"twice", []string{"Authorization", "Bearer sesame", "Authorization", "Bearer sesame"}, 511},
			{"another scheme", []string{"Authorization", "Basic sesame"}, 511},
			{"no scheme", []string{"Authorization", "sesame"}, 511},
			{"empty", []string{"Authorization", ""}, 511},
			{"very long", []string{"Authorization", "Bearer " + strings.Repeat("sesame", 1<<17)}, 511},
		} {
			if status, text := ask(g, "GET", tt.header...); status != tt.status || status == 511 && text != "Auth ERR" {
				t.Errorf("%s: %d %q, want %d", tt.name, status, text, tt.status)
			}
		}
		if status, text := ask(open, "GET"); status != 200 || text != "x: fine" {
			t.Errorf("without a token: %d %q", status, text)
		}
		w := httptest.NewRecorder()
		modern.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		if w.Code != 401 || w.Body.String() != "no" || w.Header().Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("other answers: %d %q %v", w.Code, w.Body, w.Header())
		}
	})
}

// TestGateNames keeps what is a probe's name in its folder.
func TestGateNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		p, broken := switched("../../a/b\n")
		broken.Store(true)
		g := running(t, health.GateConfig{Name: "x", Folder: dir}, p)
		synctest.Wait()
		if _, text := ask(g, "GET"); strings.Count(text, "DEAD") != 1 {
			t.Errorf("%q", text)
		}
		if files, _ := os.ReadDir(dir); len(files) != 1 || files[0].Name() != "_.._a_b_.dead" {
			t.Errorf("%v", files)
		}
		broken.Store(false)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if status, _ := ask(g, "GET"); status != 200 {
			t.Errorf("%d", status)
		}
	})
}

// TestGateKeepsUp has 200 backends flap at random: the gate is never open for longer than
// a period and a timeout after one began to fail, and never shut for longer than that
// after all have recovered.
func TestGateKeepsUp(t *testing.T) {
	const count, period, timeout = 200, time.Second, 500 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(1, 2))
		var mu sync.Mutex                 // of random, since and recovered
		since := make([]time.Time, count) // when each began to fail; zero for those that do not
		recovered := time.Now()
		p := prober(t, health.ProberConfig{})
		for i := range count {
			add(t, p, probes.Func(fmt.Sprint("p", i), func(ctx context.Context) error {
				mu.Lock()
				broken, hangs := !since[i].IsZero(), random.IntN(3) == 0
				mu.Unlock()
				switch {
				case broken && hangs:
					<-ctx.Done()
					return context.Cause(ctx)
				case broken:
					return errors.New("refused")
				}
				return nil
			}), health.Period(period), health.Timeout(timeout))
		}
		g, err := health.NewGate(health.GateConfig{Name: "x", Sources: []health.Source{p}})
		if err != nil {
			t.Fatal(err)
		}
		go p.Run(t.Context())
		run(t, g)
		open, shut := 0, 0
		for range 4000 {
			mu.Lock()
			pause := time.Duration(random.IntN(100)) * time.Millisecond
			mu.Unlock()
			time.Sleep(pause)
			synctest.Wait()
			mu.Lock()
			oldest := time.Time{} // of those that fail now
			for _, at := range since {
				if !at.IsZero() && (oldest.IsZero() || at.Before(oldest)) {
					oldest = at
				}
			}
			if status, _ := ask(g, "GET"); status == 200 {
				open++
				if late := time.Since(oldest); !oldest.IsZero() && late > period+timeout {
					t.Fatalf("it is open %v after something began to fail", late)
				}
			} else {
				shut++
				if late := time.Since(recovered); oldest.IsZero() && late > period+timeout {
					t.Fatalf("it is shut %v after all recovered", late)
				}
			}
			switch random.IntN(60) {
			case 0, 1:
				if i := random.IntN(count); since[i].IsZero() {
					since[i] = time.Now()
				} else {
					since[i] = time.Time{}
					recovered = time.Now()
				}
			case 2:
				clear(since)
				recovered = time.Now()
			}
			mu.Unlock()
		}
		if open < 200 || shut < 200 {
			t.Errorf("open %d times, shut %d times", open, shut)
		}
	})
}

// TestGateForgets removes the file of what is no longer known, such as a probe that the
// configuration has no more.
func TestGateForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		old, broken := switched("old")
		broken.Store(true)
		ctx, stop := context.WithCancel(t.Context())
		p := prober(t, health.ProberConfig{})
		add(t, p, old, health.Period(time.Second))
		g, err := health.NewGate(health.GateConfig{Name: "x", Folder: dir, Sources: []health.Source{p}})
		if err != nil {
			t.Fatal(err)
		}
		go p.Run(ctx)
		go g.Run(ctx)
		synctest.Wait()
		if _, err := os.Stat(filepath.Join(dir, "old.dead")); err != nil {
			t.Fatal(err)
		}
		stop()
		other, _ := switched("other")
		again := running(t, health.GateConfig{Name: "x", Folder: dir}, other)
		time.Sleep(time.Second)
		synctest.Wait()
		if status, text := ask(again, "GET"); status != 200 {
			t.Errorf("%d %s", status, text)
		}
	})
}
