package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/testdisk"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
	"github.com/supervisor-checks/supervisor-checks/supervisor/supervisortest"
)

// intents returns the paths of the intents in a state folder.
func intents(t *testing.T, stateDir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(stateDir, "*", "*.intent.v1.json"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// TestMain lets the test binary be the listener that is killed.
func TestMain(m *testing.M) {
	if url := os.Getenv("RESTART_AT"); url != "" {
		if err := restartOnce(url, os.Getenv("RESTART_STATE")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func restartOnce(url, stateDir string) error {
	ctx := context.Background()
	client, err := supervisor.NewClient(supervisor.Config{URL: url})
	if err != nil {
		return err
	}
	restarter, err := supervisor.NewRestarter(ctx, client, stateDir)
	if err != nil {
		return err
	}
	p, err := client.Process(ctx, worker)
	if err != nil {
		return err
	}
	_, err = restarter.Restart(ctx, p, supervisor.Plan{})
	return err
}

// TestKilledAtEachCall kills a listener with SIGKILL at each call it makes,
// once before supervisord has carried it out and once after, and has the next
// listener take over.
func TestKilledAtEachCall(t *testing.T) {
	for _, flavour := range []supervisor.Flavour{supervisor.Python, supervisor.Go} {
		for _, after := range []bool{false, true} {
			when := map[bool]string{false: "before", true: "after"}[after]
			for _, fails := range []bool{false, true} {
				start := map[bool]string{false: "that works", true: "that fails once"}[fails]
				t.Run(fmt.Sprintf("%s %s a start %s", flavour, when, start), func(t *testing.T) {
					t.Parallel()
					for number := 1; killAt(t, flavour, number, after, fails); number++ {
						if number > 100 {
							t.Fatal("there is no end to the calls")
						}
					}
				})
			}
		}
	}
}

// killAt kills a listener at its call of that number, and reports whether there
// was one.
func killAt(t *testing.T, flavour supervisor.Flavour, number int, after, fails bool) bool {
	t.Helper()
	srv := supervisortest.NewServer(flavour, supervisortest.Program{
		Group: "web", Name: "worker", StopTakes: 30 * time.Millisecond, StartTakes: 60 * time.Millisecond,
		Startup: 10 * time.Millisecond, Fails: func(start int) bool { return fails && start == 2 },
	})
	defer srv.Close()
	dir := t.TempDir()
	os.Chmod(dir, 0o700)
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)

	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "RESTART_AT=unix://"+socket, "RESTART_STATE="+dir)
	cmd.Stderr = os.Stderr
	started, exited := make(chan struct{}), make(chan struct{})
	var calls atomic.Int32
	var killed atomic.Bool
	srv.Intercept(func(c supervisortest.Call) supervisortest.Fate {
		if int(calls.Add(1)) != number {
			return supervisortest.Fate{}
		}
		killed.Store(true)
		kill := func() {
			<-started
			cmd.Process.Kill()
			<-exited
		}
		if after {
			return supervisortest.Fate{Then: kill}
		}
		kill()
		return supervisortest.Fate{} // supervisord does not notice, and does as it was told
	})
	first := srv.Process(worker).PID
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	close(started)
	cmd.Wait()
	close(exited)
	srv.Intercept(nil)

	client, err := supervisor.NewClient(supervisor.Config{URL: "unix://" + socket})
	if err != nil {
		t.Fatal(err)
	}
	restarter, err := supervisor.NewRestarter(t.Context(), client, dir)
	if err != nil {
		t.Fatal(err)
	}
	restarter.Resume(t.Context(), func(supervisor.Step) {}, func(_ supervisor.Process, err error) {
		t.Errorf("killed at call %d: Resume: %v", number, err)
	})
	now, starts := srv.Process(worker), srv.Starts(worker)
	if fails && starts > 1 {
		starts-- // of which the one failed
	}
	if now.State != supervisor.Running || (now.PID == first) != (starts == 1) || starts > 2 {
		t.Errorf("killed at call %d: left %v with pid %d (at first %d) after %d starts", number, now.State, now.PID, first, starts)
	}
	if left := intents(t, dir); len(left) != 0 {
		t.Errorf("killed at call %d: left %q", number, left)
	}
	return killed.Load()
}

// writeIntent writes the intent to restart the run before, with more fields.
func (b *bench) writeIntent(before supervisor.Process, more string) {
	b.t.Helper()
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	text := fmt.Sprintf(`{"group":"web","name":"worker","pid":%d,"started":%d,"at":%d,"stop_wait":10,"supervisord_pid":5000000,"boot_id":%q%s}`,
		before.PID, before.Started.Unix(), before.Now.Unix(), strings.TrimSpace(string(boot)), more)
	folders, err := filepath.Glob(filepath.Join(b.dir, "supervisor-*"))
	if err != nil || len(folders) != 1 {
		b.t.Fatal(folders, err)
	}
	if err := os.WriteFile(filepath.Join(folders[0], "web%3Aworker.intent.v1.json"), []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// startedAndStopped is an operator who has a process run once more, and no longer.
func startedAndStopped(b *bench) {
	b.Operator(supervisortest.OperatorStop, worker)
	time.Sleep(2 * time.Second)
	b.Operator(supervisortest.OperatorStart, worker)
	b.Operator(supervisortest.OperatorStop, worker)
}

// TestResumeWaitsForTheLock has a restart that finds nothing to do hold the lock
// of a process that a killed listener has left stopped.
func TestResumeWaitsForTheLock(t *testing.T) {
	both(t, func(t *testing.T, flavour supervisor.Flavour) {
		b := newBench(t, flavour, supervisortest.Program{StartTakes: time.Second})
		time.Sleep(2 * time.Second)
		b.writeIntent(b.process(), "")
		p := b.process()
		held := make(chan struct{})
		go b.restarter.Act(t.Context(), p, func(context.Context) error {
			close(held)
			time.Sleep(5 * time.Second)
			return nil
		})
		<-held
		b.Operator(supervisortest.OperatorStop, worker)
		b.restarter.Resume(t.Context(), b.tell, func(p supervisor.Process, err error) { t.Errorf("%s: %v", p.Namespec(), err) })
		if got := b.Process(worker).State; got != supervisor.Running {
			t.Errorf("it is %v; steps %q", got, b.steps)
		}
		b.wantJournal(0)

		// At the end it does not wait.
		b.writeIntent(b.process(), "")
		held = make(chan struct{})
		go b.restarter.Act(t.Context(), b.process(), func(context.Context) error {
			close(held)
			time.Sleep(time.Hour)
			return nil
		})
		<-held
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		b.restarter.Resume(ctx, b.tell, func(p supervisor.Process, err error) { t.Errorf("%s: %v", p.Namespec(), err) })
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("it took %v to end", took)
		}
		time.Sleep(2 * time.Hour)
	})
}

// TestStopForGood stops a process, with an intent of a killed listener about it.
func TestStopForGood(t *testing.T) {
	both(t, func(t *testing.T, flavour supervisor.Flavour) {
		b := newBench(t, flavour, supervisortest.Program{StartTakes: time.Second, StopTakes: 2 * time.Second})
		time.Sleep(2 * time.Second)
		b.writeIntent(b.process(), "")
		if err := b.restarter.Stop(t.Context(), b.process(), supervisor.Plan{Tell: b.tell}); err != nil {
			t.Error(err)
		}
		if p := b.Process(worker); p.PID != 0 || p.State == supervisor.Stopping {
			t.Errorf("it is %v", p.State)
		}
		b.restarter.Resume(t.Context(), b.tell, func(supervisor.Process, error) {})
		time.Sleep(time.Minute)
		if got := b.Starts(worker); got != 1 {
			t.Errorf("it was started %d times", got)
		}
		b.wantJournal(0)
	})
}

// TestPlaces has processes of a group share its places with each other, and with
// what a killed listener has left.
func TestPlaces(t *testing.T) {
	both(t, func(t *testing.T, flavour supervisor.Flavour) {
		b := newBench(t, flavour, supervisortest.Program{})
		time.Sleep(2 * time.Second)
		place := func(name string, most int, busy string) (free func()) {
			t.Helper()
			free, err := b.restarter.Place(supervisor.Process{Group: "web", Name: name}, most, time.Minute)
			if busy == "" && err != nil || busy != "" && (!errors.Is(err, supervisor.ErrNoPlace) || !strings.HasSuffix(err.Error(), ": "+busy)) {
				t.Errorf("one of %d places for %s: %v, want it taken by %q", most, name, err, busy)
			}
			return free
		}
		a := place("a", 2, "")
		c := place("c", 2, "")
		place("d", 2, "web:a, web:c")
		a()
		d := place("d", 2, "")
		c()
		d()

		b.writeIntent(b.process(), "")
		place("a", 1, worker)
		place("worker", 1, "")() // its own
		a = place("a", 2, "")
		place("c", 2, "web:a, "+worker)
		a()
		time.Sleep(time.Minute) // longer than a restart takes
		place("a", 1, "")()
	})
}

// TestStart starts a process that does not run, and not one that runs.
func TestStart(t *testing.T) {
	both(t, func(t *testing.T, flavour supervisor.Flavour) {
		b := newBench(t, flavour, supervisortest.Program{StartTakes: time.Second, Startup: time.Second / 2, Fails: func(start int) bool { return start == 2 }})
		time.Sleep(2 * time.Second)
		running := b.process()
		b.Exit(worker, false)
		dead := b.process()
		if _, err := b.restarter.Start(t.Context(), dead, supervisor.Plan{Tell: b.tell}); err == nil || !strings.Contains(err.Error(), "start: it is FATAL") {
			t.Errorf("a start that fails: %v", err)
		}
		var changed *supervisor.ChangedError
		if _, err := b.restarter.Start(t.Context(), dead, supervisor.Plan{}); !errors.As(err, &changed) {
			t.Errorf("a start of what is FATAL now: %v", err)
		}
		if p, err := b.restarter.Start(t.Context(), b.process(), supervisor.Plan{Tell: b.tell}); err != nil || p.State != supervisor.Running || p.PID == running.PID {
			t.Errorf("a start: %+v, error %v", p, err)
		}
		if got, want := strings.Join(b.steps, ", "), "starting <nil>, starting <nil>, running <nil>"; got != want {
			t.Errorf("steps %s, want %s", got, want)
		}
	})
}

// TestResume has a listener take up intents that were written by hand.
func TestResume(t *testing.T) {
	tests := []struct {
		name   string
		intent func(before supervisor.Process) string // the fields that matter
		change func(b *bench)
		want   supervisor.State
		starts int
	}{
		{
			name:   "a process that was told to stop is started",
			change: func(b *bench) { b.Operator(supervisortest.OperatorStop, worker) },
			want:   supervisor.Running, starts: 2,
		},
		{
			name: "a process that still stops is started when it has",
			change: func(b *bench) {
				go func() { time.Sleep(time.Second); b.Operator(supervisortest.OperatorStop, worker) }()
			},
			want: supervisor.Running, starts: 2,
		},
		{
			name:   "a process that was never told to stop is left alone",
			change: func(b *bench) {},
			want:   supervisor.Running, starts: 1,
		},
		{
			name: "a process that was stopped long after is left to who stopped it",
			change: func(b *bench) {
				time.Sleep(13 * time.Second)
				b.Operator(supervisortest.OperatorStop, worker)
			},
			want: supervisor.Stopped, starts: 1,
		},
		{
			name:   "a process that was started and stopped again is left to who did that",
			change: startedAndStopped,
			want:   supervisor.Stopped, starts: 2,
		},
		{
			name: "a run that began between the look and the stop is started, too",
			change: func(b *bench) {
				b.Exit(worker, true)
				b.Operator(supervisortest.OperatorStop, worker)
			},
			want: supervisor.Running, starts: 3,
		},
		{
			name:   "a process that was being started and has ended at once is started",
			intent: func(supervisor.Process) string { return `"starting":true` },
			change: func(b *bench) {
				b.Operator(supervisortest.OperatorStop, worker)
				time.Sleep(2 * time.Second)
				b.Operator(supervisortest.OperatorStart, worker)
				b.Exit(worker, false)
			},
			want: supervisor.Running, starts: 3,
		},
		{
			name:   "a process that was being started, ran, and was stopped is left to who did that",
			intent: func(supervisor.Process) string { return `"starting":true` },
			change: startedAndStopped,
			want:   supervisor.Stopped, starts: 2,
		},
		{
			name:   "a process of a supervisord before this one is left alone",
			intent: func(supervisor.Process) string { return `"supervisord_pid":1` },
			change: func(b *bench) { b.Operator(supervisortest.OperatorStop, worker) },
			want:   supervisor.Stopped, starts: 1,
		},
		{
			name:   "a process of the system before it was booted is left alone",
			intent: func(supervisor.Process) string { return `"boot_id":"another"` },
			change: func(b *bench) { b.Operator(supervisortest.OperatorStop, worker) },
			want:   supervisor.Stopped, starts: 1,
		},
		{
			name:   "a process that is gone is forgotten",
			change: func(b *bench) { b.Remove(worker) },
			want:   supervisor.Stopped, starts: 0,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, supervisor.Python, supervisortest.Program{StartTakes: time.Second})
				before := b.process()
				more := ""
				if tt.intent != nil {
					more = "," + tt.intent(before)
				}
				b.writeIntent(before, more)
				tt.change(b)
				synctest.Wait()
				b.restarter.Resume(t.Context(), b.tell, func(supervisor.Process, error) {})
				time.Sleep(time.Minute)
				if got := b.Process(worker).State; got != tt.want || b.Starts(worker) != tt.starts {
					t.Errorf("it is %v after %d starts, want %v after %d", got, b.Starts(worker), tt.want, tt.starts)
				}
				if tt.want == supervisor.Stopped && len(b.steps) > 0 {
					t.Errorf("told of the steps %q of what is not resumed", b.steps)
				}
				b.wantJournal(0)
			})
		})
	}
}

// TestJournalThatCannotBeRead leaves what it cannot read alone and says so.
func TestJournalThatCannotBeRead(t *testing.T) {
	tests := []struct {
		name, file, content string
		owner               int
		want                string
	}{
		{name: "torn", file: "web%3Aworker.intent.v1.json", content: `{"group":"web","na`,
			want: "web%3Aworker.intent.v1.json: it is torn: unexpected EOF; if a process it names is stopped, start it"},
		{name: "empty", file: "web%3Aworker.intent.v1.json", content: ``,
			want: "web%3Aworker.intent.v1.json: it is torn: EOF; if a process it names is stopped, start it"},
		{name: "of a newer version", file: "web%3Aworker.intent.v2.json", content: `{"anything":true}`,
			want: "web%3Aworker.intent.v2.json is of a newer version; the restart in it is left to that"},
		{name: "foreign-owned", file: "web%3Aworker.intent.v1.json", content: `{"group":"web","name":"worker"}`, owner: 65534,
			want: "web%3Aworker.intent.v1.json: it belongs to user 65534, not to user 0, who runs this"},
		{name: "about another process", file: "web%3Aworker.intent.v1.json", content: `{"group":"web","name":"other"}`,
			want: `web%3Aworker.intent.v1.json: it is about "web:other", as its name is not`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.owner != 0 && os.Geteuid() != 0 {
				t.Skip("only root can give a file away")
			}
			b := newBench(t, supervisor.Python, supervisortest.Program{})
			folders, _ := filepath.Glob(filepath.Join(b.dir, "supervisor-*"))
			path := filepath.Join(folders[0], tt.file)
			if err := os.WriteFile(path, []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chown(path, tt.owner, -1); err != nil && tt.owner != 0 {
				t.Fatal(err)
			}
			var got []string
			b.restarter.Resume(t.Context(), b.tell, func(_ supervisor.Process, err error) {
				if !errors.Is(err, supervisor.ErrJournal) {
					t.Errorf("%v is not an ErrJournal", err)
				}
				got = append(got, err.Error())
			})
			want := "journal of restarts: " + filepath.Join(folders[0], tt.want)
			if len(got) != 1 || got[0] != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			if content, err := os.ReadFile(path); err != nil || string(content) != tt.content {
				t.Errorf("it was not left alone: %q, %v", content, err)
			}
		})
	}
}

// TestFullDisk has no room for the intent: the process is not even stopped.
func TestFullDisk(t *testing.T) {
	b := newBench(t, supervisor.Python, supervisortest.Program{})
	folders, _ := filepath.Glob(filepath.Join(b.dir, "supervisor-*"))
	testdisk.Full(t, folders[0])
	_, err := b.restart(t.Context())
	if !errors.Is(err, supervisor.ErrJournal) || !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("Restart: %v, want an ErrJournal that says so", err)
	}
	if got := b.Starts(worker); got != 1 || b.Process(worker).State != supervisor.Running {
		t.Errorf("the process is %v after %d starts, want it left alone", b.Process(worker).State, got)
	}
}

func TestStateDir(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	open := filepath.Join(dir, "open")
	link := filepath.Join(dir, "link")
	foreign := filepath.Join(dir, "foreign")
	os.WriteFile(file, nil, 0o600)
	os.Mkdir(open, 0o700)
	os.Chmod(open, 0o777)
	os.Mkdir(foreign, 0o700)
	os.Symlink(open, link)
	tests := []struct{ name, dir, want string }{
		{"a folder that is missing is made", filepath.Join(dir, "a", "b"), ""},
		{"a folder that others may write to", open, open + " may be used by others: chmod 700 it"},
		{"a file", file, "mkdir " + file + ": not a directory"},
		{"a symlink", link, link + " is not a folder"},
		{"somebody else's", foreign, foreign + " belongs to user 65534, not to user 0, who runs this: " +
			"pass --state-dir with a folder that user root owns, made with `install -d -o root -m 700 FOLDER`"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.dir == foreign {
				if err := os.Chown(foreign, 65534, -1); err != nil {
					t.Skip("only root can give a folder away")
				}
			}
			got, err := supervisor.StateDir(tt.dir)
			if tt.want == "" {
				if err != nil || got != tt.dir {
					t.Errorf("got %q, %v", got, err)
				}
				return
			}
			if want := "the state folder cannot be used: " + tt.want; err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
	t.Run("the first that can be used", func(t *testing.T) {
		systemd := filepath.Join(dir, "systemd")
		t.Setenv("STATE_DIRECTORY", systemd+":"+dir)
		if got, err := supervisor.StateDir(""); err != nil || got != systemd {
			t.Errorf("got %q, %v, want systemd's %q", got, err, systemd)
		}
		t.Setenv("STATE_DIRECTORY", open)
		if got, err := supervisor.StateDir(""); err != nil || got == open {
			t.Errorf("got %q, %v, want another than %q, which cannot be used", got, err, open)
		}
	})
}

// TestStateDirAsNobody has no folder that it may use: root's are not its own, and
// nobody's home is not there.
func TestStateDirAsNobody(t *testing.T) {
	const variable = "SUPERVISOR_TEST_ROOTS_FOLDER"
	dir := os.Getenv(variable)
	switch {
	case dir == "" && os.Geteuid() != 0:
		t.Skip("NOT TESTED: it takes root to become another user")
	case dir == "":
		dir, err := os.MkdirTemp("", "sv")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestStateDirAsNobody$", "-test.v")
		cmd.Env = append(os.Environ(), variable+"="+dir, "STATE_DIRECTORY="+dir, "TMPDIR="+dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("as nobody: %v\n%s", err, out)
		} else if strings.Contains(string(out), "--- SKIP") {
			t.Skipf("NOT TESTED: %s", out)
		}
		return
	}
	if err := syscall.Setuid(65534); err != nil {
		t.Skipf("NOT TESTED: root cannot become nobody: %v", err)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	advice := fmt.Sprintf(": pass --state-dir with a folder that user %[1]s owns, made with `install -d -o %[1]s -m 700 FOLDER`", me.Username)
	within := filepath.Join(dir, "a")
	foreign := dir + " belongs to user 0, not to user 65534, who runs this"
	for given, want := range map[string]string{
		dir:    "the state folder cannot be used: " + foreign + advice,
		within: "the state folder cannot be used: mkdir " + within + ": permission denied" + advice,
		"": "no state folder can be used: " + foreign + "; mkdir " + me.HomeDir + ": permission denied; mkdir " +
			filepath.Join(dir, "supervisor-checks-65534") + ": permission denied" + advice,
	} {
		if _, err := supervisor.StateDir(given); err == nil || err.Error() != want || !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%q: got %v, want %s", given, err, want)
		}
	}
}

// TestLocksAreNotKept restarts a process through many listeners at once: only
// one of them has its lock at a time, and in the end there is none.
func TestLocksAreNotKept(t *testing.T) {
	b := newBench(t, supervisor.Python, supervisortest.Program{})
	var inside, done atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		restarter, err := supervisor.NewRestarter(t.Context(), b.client, b.dir)
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			for done.Load() < 10 {
				_, err := restarter.Restart(t.Context(), b.Process(worker), supervisor.Plan{Tell: func(s supervisor.Step) {
					switch s.Name {
					case supervisor.StepStopping:
						if n := inside.Add(1); n > 1 {
							t.Errorf("%d listeners have the lock", n)
						}
					case supervisor.StepRunning:
						inside.Add(-1)
						done.Add(1)
					}
				}})
				var changed *supervisor.ChangedError
				if err != nil && !errors.Is(err, supervisor.ErrBusy) && !errors.As(err, &changed) {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if left, _ := filepath.Glob(filepath.Join(b.dir, "*", "*")); len(left) > 0 {
		t.Errorf("in the journal there is %q", left)
	}
}
