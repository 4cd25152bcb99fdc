package conformance

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// spin uses a fifth of a CPU, or what it gets, for as long as whoever started it has
// standard input open.
func spin() {
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	for ; ; time.Sleep(20 * time.Millisecond) {
		for begun := time.Now(); time.Since(begun) < 5*time.Millisecond; {
		}
	}
}

var spinning struct {
	once  sync.Once
	cmd   *exec.Cmd
	stdin io.Closer
	err   error
}

// spinner returns the pid of a process that keeps a CPU a bit busy: one for all cases,
// of which none can really restart it.
func spinner(t *testing.T) int {
	t.Helper()
	spinning.once.Do(func() {
		cmd := exec.Command(self, "spin")
		if spinning.stdin, spinning.err = cmd.StdinPipe(); spinning.err == nil {
			if spinning.err = cmd.Start(); spinning.err == nil {
				spinning.cmd = cmd
			}
		}
	})
	if spinning.err != nil {
		t.Fatal(spinning.err)
	}
	return spinning.cmd.Process.Pid
}

// anotherSpinner starts one more.
func anotherSpinner(t *testing.T) int {
	t.Helper()
	cmd := exec.Command(self, "spin")
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		cmd.Wait()
	})
	return cmd.Process.Pid
}

func endSpinning() {
	if spinning.cmd != nil {
		spinning.cmd.Process.Kill()
		spinning.cmd.Wait()
	}
}

// sleeper starts a process that waits, and, where it is a shell's command, its
// child, and returns its pid. They have all the memory they will ever have.
func sleeper(t *testing.T, command string, args ...string) int {
	t.Helper()
	cmd := exec.Command(command, args...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close() // which ends children, too
		cmd.Wait()
	})
	io.WriteString(stdin, "hello\n")
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

// alone and withChild are processes that wait.
func alone(t *testing.T) int     { return sleeper(t, "cat") }
func withChild(t *testing.T) int { return sleeper(t, "sh", "-c", "cat; :") }

// withZombie has a child that has ended, which it does not want to know.
func withZombie(t *testing.T) int { return sleeper(t, "sh", "-c", "true & exec cat") }

// zombie returns the pid of a process that has ended, which nobody has been told.
func zombie(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("true")
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Wait() })
	io.Copy(io.Discard, stdout) // until it has ended
	return cmd.Process.Pid
}

// gone is the pid of no process: no system gives one as large.
func gone(*testing.T) int { return 99_999_999 }

// memory returns the resident memory of a process in KB, and with that of its
// children, as the system's own ps says.
func memory(t *testing.T, pid int) (own, cumulative int) {
	t.Helper()
	out, err := exec.Command("ps", "-A", "-o", "pid=,ppid=,rss=").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		var numbers [3]int
		for i, word := range strings.Fields(line) {
			numbers[i], _ = strconv.Atoi(word)
		}
		if numbers[0] == pid {
			own = numbers[2]
		}
		if numbers[0] == pid || numbers[1] == pid {
			cumulative += numbers[2]
		}
	}
	return own, cumulative
}

// as lets web:a be a real process. $OWN is its memory in KB, $ALL that with its
// children's, and $BETWEEN is between the two. $OWN_LESS and $ALL_LESS are three
// quarters of them: some systems take memory from processes that do not use it.
func as(process func(*testing.T) int) func(*world) {
	return func(w *world) {
		pid := process(w.t)
		w.runsAs("web:a", pid)
		own, all := memory(w.t, pid)
		for name, value := range map[string]int{"OWN": own, "OWN_LESS": own * 3 / 4, "ALL": all, "ALL_LESS": all * 3 / 4, "BETWEEN": (own + all) / 2} {
			w.values[name] = strconv.Itoa(value)
		}
	}
}
