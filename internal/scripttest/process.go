package scripttest

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/supervisor-checks/supervisor-checks/internal/proc"
)

// incarnations are what a process of supervisord can really be: a shell script,
// which says ready with an empty line, as its children do. Its descriptor 3 is at
// its end when the test is.
var incarnations = map[string]struct {
	script string
	ready  int // lines that it and its children write
}{
	"family":  {"sh -c 'echo; read x' <&3 & sh -c 'echo; read x' <&3 & wait", 2},
	"spinner": {"echo; while kill -0 $PPID; do :; done", 1},
	"parent":  {"sh -c 'echo; while kill -0 $0; do :; done' $PPID & wait", 1}, // of a spinner
	"zombie":  {"", 0},                                                        // nobody waits for it
	"ended":   {},
}

// nobody is the pid of no process: it is larger than any system gives.
const nobody = 99_999_999

// body is a process of this machine that one of supervisord's is said to be. It
// is another one after each start.
type body struct {
	kind string

	mu     sync.Mutex
	shell  *exec.Cmd
	input  io.Closer
	noMore bool // the script is at its end
}

// spawn ends what the process was until now, and returns the pid of what it is
// from now on.
func (b *body) spawn() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.end()
	what := incarnations[b.kind]
	if b.noMore || b.kind == "ended" {
		return nobody
	}
	pid, err := b.start(what.script, what.ready)
	if err != nil {
		panic(fmt.Sprintf("no %s can be started: %v", b.kind, err))
	}
	return pid
}

func (b *body) start(script string, ready int) (int, error) {
	in, input, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer in.Close()
	lines, out, err := os.Pipe()
	if err != nil {
		input.Close()
		return 0, err
	}
	defer lines.Close()
	shell := exec.Command("sh", "-c", script)
	shell.Stdout, shell.ExtraFiles = out, []*os.File{in}
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = shell.Start()
	out.Close()
	if err != nil {
		input.Close()
		return 0, err
	}
	b.shell, b.input = shell, input
	if ready == 0 { // when it has ended
		_, err = io.Copy(io.Discard, lines)
	} else {
		_, err = io.ReadFull(lines, make([]byte, ready))
	}
	return shell.Process.Pid, err
}

// end ends the process, and all of its children. The lock is held.
func (b *body) end() {
	if b.shell != nil {
		syscall.Kill(-b.shell.Process.Pid, syscall.SIGKILL)
		b.input.Close()
		b.shell.Wait()
		b.shell = nil
	}
}

func (b *body) endForGood() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.noMore = true
	b.end()
}

// measure sets $OWN to the memory of a process, in KiB, and $BETWEEN to what is
// between that and the memory of it and its children.
func measure(ts *testscript.TestScript, pid int) error {
	look, err := new(proc.Table).Tree(pid)
	if err != nil {
		return err
	}
	var own, all uint64
	for i, stat := range look.Tree {
		bytes, err := proc.RSS(stat.PID)
		if err != nil {
			return err
		}
		if i == 0 {
			own = bytes
		}
		all += bytes
	}
	ts.Setenv("OWN", strconv.FormatUint(own/1024, 10))
	ts.Setenv("BETWEEN", strconv.FormatUint((own+all)/2/1024, 10))
	return nil
}

// works waits until a process has used so much processor time that no system
// can miss it.
func (w *world) works(_ *testscript.TestScript, args []string) error {
	const plenty = 50 * time.Millisecond
	pid := w.server.Process(args[0]).PID
	first, err := proc.Read(pid)
	if err != nil {
		return err
	}
	limit := time.After(patience)
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		now, err := proc.Read(pid)
		if err != nil || now.CPU-first.CPU >= plenty {
			return err
		}
		select {
		case <-look.C:
		case <-limit:
			return fmt.Errorf("%s has used %v of processor time", args[0], now.CPU-first.CPU)
		}
	}
}
