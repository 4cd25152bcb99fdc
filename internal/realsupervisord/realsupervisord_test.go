package realsupervisord

import (
	"errors"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const config = `[supervisord]
identifier=mine

[program:sleeper]
command=sleep 1000
`

func TestStop(t *testing.T) {
	for _, path := range Find(t) {
		t.Run(path, func(t *testing.T) {
			d := Start(t, path, config)
			if got, err := d.Client().Identifier(t.Context()); got != "mine" || err != nil {
				t.Errorf("identifier %q, error %v, want mine", got, err)
			}
			if got, err := d.Client().PID(t.Context()); got != d.PID() || err != nil {
				t.Errorf("pid %d, error %v, want %d", got, err, d.PID())
			}
			sleeper := pidOf(t, d)
			d.Stop()
			if log := d.Log(); !strings.Contains(log, "received SIGTERM") {
				t.Errorf("log %q, want it to tell of the SIGTERM", log)
			}
			for _, pid := range []int{d.PID(), sleeper} {
				if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
					t.Errorf("signal process %d: %v, want ESRCH", pid, err)
				}
			}
			d.Stop() // has nothing to do
		})
	}
}

func TestKill(t *testing.T) {
	for _, path := range Find(t) {
		t.Run(path, func(t *testing.T) {
			var sleeper int
			t.Run("ends supervisord only", func(t *testing.T) {
				d := Start(t, path, config)
				sleeper = pidOf(t, d)
				d.Kill()
				if err := syscall.Kill(d.PID(), 0); !errors.Is(err, syscall.ESRCH) {
					t.Errorf("signal supervisord: %v, want ESRCH", err)
				}
				if err := syscall.Kill(sleeper, 0); err != nil {
					t.Errorf("signal its program: %v, want it alive", err)
				}
			})
			for deadline := time.Now().Add(stopWithin); alive(t, sleeper); {
				if time.Now().After(deadline) {
					t.Fatal("its program outlived the test")
				}
			}
		})
	}
}

// TestGo has the Go supervisord and all that it runs end.
func TestGo(t *testing.T) {
	ends := map[string]func(*Daemon){"when it is told to stop": (*Daemon).Stop, "when it is killed": (*Daemon).Kill}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			d := StartGo(t, FindGo(t), config+"[eventlistener:lis]\ncommand=sleep 2000\nevents=TICK_5\n")
			if got, err := d.Client().Identifier(t.Context()); got != "mine" || err != nil {
				t.Errorf("identifier %q, error %v, want mine", got, err)
			}
			if got, err := d.Client().PID(t.Context()); got != d.PID() || err != nil {
				t.Errorf("pid %d, error %v, want %d", got, err, d.PID())
			}
			if got := d.Child("sleep 3000"); got != 0 {
				t.Errorf("it has a child %d with a command that it was not given", got)
			}
			sleeper, listener := d.Child("sleep 1000"), d.Child("sleep 2000")
			if sleeper == 0 || listener == 0 || sleeper != pidOf(t, d) {
				t.Fatalf("its children are %d and %d, and it says that one is %d", sleeper, listener, pidOf(t, d))
			}
			end(d)
			if err := syscall.Kill(d.PID(), 0); !errors.Is(err, syscall.ESRCH) {
				t.Errorf("signal supervisord: %v, want ESRCH", err)
			}
			for deadline := time.Now().Add(stopWithin); alive(t, sleeper) || alive(t, listener); {
				if time.Now().After(deadline) {
					t.Fatal("a child outlived it")
				}
			}
			d.Stop() // has nothing to do
		})
	}
}

// alive reports whether a process runs; one that has ended may wait for its parent.
func alive(t *testing.T, pid int) bool {
	t.Helper()
	state, err := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	var none *exec.ExitError
	if err != nil && !errors.As(err, &none) {
		t.Fatal(err)
	}
	return err == nil && state[0] != 'Z'
}

func pidOf(t *testing.T, d *Daemon) int {
	t.Helper()
	p, err := d.Client().Process(t.Context(), "sleeper")
	if err != nil || p.PID == 0 {
		t.Fatalf("sleeper: %+v, %v, want a pid", p, err)
	}
	return p.PID
}
