package host

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/supervisor-checks/supervisor-checks/internal/control"
)

// program is supervisor_checks with these arguments and variables, run by another
// if there is one.
func program(t *testing.T, by []string, env []string, args ...string) *exec.Cmd {
	words := slices.Concat(by, os.Args[:1], args)
	cmd := exec.CommandContext(t.Context(), words[0], words[1:]...)
	cmd.Env = append([]string{asProgram + "=1", "GORACE=atexit_sleep_ms=10", "PATH=" + os.Getenv("PATH"), "TERM=xterm"}, env...)
	return cmd
}

// terminal is one that a program runs on.
type terminal struct {
	t      *testing.T
	master *os.File
	cmd    *exec.Cmd

	mu    sync.Mutex
	shown string
	grown chan struct{}
}

// holding runs a program, and keeps the terminal from being hung up when that
// ends, until it is killed: what has not been read by then would be lost.
var holding = []string{"sh", "-c", `trap : INT TERM HUP; "$@"; echo "[exit status $?]"; while :; do read line; done`, "sh"}

var endOf = regexp.MustCompile(`\[exit status (\d+)\]\r\n$`)

// onTerminal runs supervisor_checks on a terminal of that size.
func onTerminal(t *testing.T, columns, rows uint16, env []string, args ...string) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	x := &terminal{t: t, master: master, grown: make(chan struct{}, 1)}
	x.resize(columns, rows)
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	x.cmd = program(t, holding, env, args...)
	x.cmd.Stdin, x.cmd.Stdout, x.cmd.Stderr = slave, slave, slave
	x.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = x.cmd.Start()
	slave.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		x.cmd.Process.Kill()
		x.cmd.Wait()
	})
	go func() {
		buffer := make([]byte, 1<<16)
		for {
			n, err := master.Read(buffer)
			x.mu.Lock()
			x.shown += string(buffer[:n])
			x.mu.Unlock()
			select {
			case x.grown <- struct{}{}:
			default:
			}
			if err != nil { // it is hung up
				return
			}
		}
	}()
	return x
}

func (x *terminal) resize(columns, rows uint16) {
	x.t.Helper()
	if err := unix.IoctlSetWinsize(int(x.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows}); err != nil {
		x.t.Fatal(err)
	}
}

// await waits until what was shown satisfies done, and returns it.
func (x *terminal) await(what string, done func(shown string) bool) string {
	x.t.Helper()
	late := time.After(20 * time.Second)
	for {
		x.mu.Lock()
		shown := x.shown
		x.mu.Unlock()
		if done(shown) {
			return shown
		}
		select {
		case <-x.grown:
		case <-late:
			x.t.Fatalf("it does not show %s, but in the end\n%q", what, shown[max(0, len(shown)-2000):])
		}
	}
}

// end waits for the end of the program, and returns all that it has shown and its
// exit status.
func (x *terminal) end() (string, int) {
	x.t.Helper()
	shown := x.await("its end", endOf.MatchString)
	at := endOf.FindStringSubmatchIndex(shown)
	status, _ := strconv.Atoi(shown[at[2]:at[3]])
	return shown[:at[0]], status
}

// signal sends a signal to the program.
func (x *terminal) signal(s syscall.Signal) {
	x.t.Helper()
	if err := syscall.Kill(-x.cmd.Process.Pid, s); err != nil {
		x.t.Fatal(err)
	}
}

// A table on a terminal is as wide as that, and has colours; not where nobody
// wants them, and not elsewhere.
func TestTerminal(t *testing.T) {
	dir := listeners(t, web())
	red := "\x1b[31munhealthy\x1b[0m"
	for _, tt := range []struct {
		name           string
		columns        uint16
		env            []string
		colour, beside bool // whether the reason has its own column
	}{
		{"narrow", 60, nil, true, false},
		{"wide", 120, nil, true, true},
		{"NO_COLOR", 120, []string{"NO_COLOR=1"}, false, true},
		{"an empty NO_COLOR", 120, []string{"NO_COLOR="}, true, true},
		{"a dumb terminal", 120, []string{"TERM=dumb"}, false, true},
		{"COLUMNS are less", 120, []string{"COLUMNS=60"}, true, false},
		{"COLUMNS are more", 60, []string{"COLUMNS=120"}, true, true},
		{"COLUMNS are none", 120, []string{"COLUMNS=0"}, true, true},
		{"a terminal that does not know its size", 0, nil, true, false}, // 80
	} {
		t.Run(tt.name, func(t *testing.T) {
			shown, status := onTerminal(t, tt.columns, 24, tt.env, "explain", "--state-dir", dir).end()
			beside := strings.Contains(shown, `ago  503 \x1b[2J; counts as healthy`)
			if status != 0 || strings.Contains(shown, red) != tt.colour || strings.Contains(shown, "\x1b") != tt.colour || beside != tt.beside {
				t.Errorf("exit status %d, it shows\n%q", status, shown)
			}
		})
	}
	out, err := program(t, nil, []string{"COLUMNS=30"}, "explain", "--state-dir", dir).Output()
	if err != nil || bytes.Contains(out, []byte("\x1b")) || !bytes.Contains(out, []byte(`ago  503 \x1b[2J; counts as healthy`)) {
		t.Errorf("to a pipe: %v\n%q", err, out)
	}
}

const (
	entered = "\x1b[?1049h\x1b[?25l\x1b[?7l"
	left    = "\x1b[?7h\x1b[?25h\x1b[?1049l"
)

// On a terminal --watch redraws in place until it is interrupted, and leaves the
// terminal as it was, with the last look.
func TestWatchOnTerminal(t *testing.T) {
	dir := listeners(t, web())
	for name, interrupt := range map[string]func(x *terminal){
		"^C":      func(x *terminal) { x.master.WriteString("\x03") },
		"SIGTERM": func(x *terminal) { x.signal(syscall.SIGTERM) },
		"SIGHUP":  func(x *terminal) { x.signal(syscall.SIGHUP) },
	} {
		t.Run(name, func(t *testing.T) {
			x := onTerminal(t, 120, 30, nil, "explain", "web:*", "--watch=20ms", "--state-dir", dir)
			drawn := func(times int) func(string) bool {
				return func(shown string) bool { return strings.Count(shown, "web: supervisord cannot be asked") >= times }
			}
			shown := x.await("two tables", drawn(2))
			if !strings.HasPrefix(shown, entered+"\x1b[H") || strings.Contains(shown, left) {
				t.Errorf("it begins with %q", shown[:min(len(shown), 100)])
			}
			if !regexp.MustCompile(`\x1b\[2m20[0-9-]+T[0-9:]+Z  supervisor_checks explain web:\*, every 20ms\x1b\[0m\r\n`).MatchString(shown) {
				t.Errorf("there is no heading: %q", shown)
			}
			for _, drawing := range strings.Split(shown, "\x1b[H")[1:] {
				if strings.Count(drawing, "\n") > 29 {
					t.Errorf("it would scroll: %q", drawing)
				}
			}
			x.resize(40, 8)
			x.await("a smaller table", func(shown string) bool { return strings.Contains(shown, "more lines") })
			interrupt(x)
			shown, status := x.end()
			shown, after, restored := strings.Cut(shown, left)
			drawings := strings.Split(shown, "\x1b[H")
			cut := drawings[len(drawings)-1]
			more := fmt.Sprintf("\x1b[J… %d more lines", strings.Count(strings.TrimPrefix(after, "^C"), "\n")-6)
			if strings.Count(cut, "\n") != 7 || !strings.Contains(cut, more) {
				t.Errorf("it does not fill 8 lines, and end in %q: %q", more, cut)
			}
			if status != 0 || !restored || !strings.Contains(after, "would be nothing: it is STOPPED") || strings.Contains(after, "\x1b[H") || strings.Contains(after, "more lines") {
				t.Errorf("exit status %d, it leaves behind %q", status, after)
			}
		})
	}
}

// A terminal that is given another size is drawn anew at once.
func TestWatchIsResized(t *testing.T) {
	x := onTerminal(t, 120, 30, nil, "explain", "--watch=1h", "--state-dir", listeners(t, web()))
	x.await("a table", func(shown string) bool { return strings.Contains(shown, "20 of 20 fail http at once") })
	x.resize(60, 10)
	x.await("a smaller table", func(shown string) bool { return strings.Contains(shown, "more lines") })
	x.signal(syscall.SIGTERM)
	x.end()
}

// What is wrong is shown in place of the table, until it is not any more.
func TestWatchGoesOn(t *testing.T) {
	dir := listeners(t)
	x := onTerminal(t, 120, 30, nil, "explain", "--watch=20ms", "--state-dir", dir)
	x.await("that there is no listener", func(shown string) bool { return strings.Contains(shown, "no listener runs with its state in") })
	serve(t, dir, web())
	x.await("the listener", func(shown string) bool { return strings.Contains(shown, "would be nothing: it is STOPPED") })
	x.signal(syscall.SIGTERM)
	if shown, status := x.end(); status != 0 || !strings.Contains(shown, left) {
		t.Errorf("exit status %d, it shows %q", status, shown)
	}
	dir = listeners(t, control.Answer{Listener: control.Listener{Name: "x"}})
	x = onTerminal(t, 120, 30, nil, "explain", "nobody", "--watch=20ms", "--state-dir", dir)
	x.await("a second look", func(shown string) bool { return strings.Count(shown, `no listener watches "nobody"`) > 1 })
	x.signal(syscall.SIGINT)
	if shown, status := x.end(); status != 3 || !strings.Contains(shown, left) {
		t.Errorf("exit status %d, it shows %q", status, shown)
	}
}

// Elsewhere than on a terminal that can do it one look is put after the other.
func TestWatchInPipe(t *testing.T) {
	dir := listeners(t, control.Answer{Listener: control.Listener{Name: "x"}, Processes: []control.Process{{Process: "web:a", State: "RUNNING", Would: "nothing: no check fails"}}})
	const heading = `20[0-9-]+T[0-9:]+Z  supervisor_checks explain, every 20ms\n`
	for format, want := range map[string]string{
		"table": `^` + heading + `  CHECK  STATUS  FAILURES  LOOKED  WHY\nweb:a  RUNNING, watched by x\n  would be nothing: no check fails\n  restarts 0\n\n` + heading + `  CHECK `,
		"json":  `^\[\{"listener":.*"would":"nothing: no check fails"\}\]\}\]\n\[\{"listener".*\n`,
		"yaml":  `(?s)^---\n- listener:\n.*      would: "nothing: no check fails"\n---\n- listener:\n.*`,
	} {
		cmd := program(t, nil, nil, "explain", "--watch=20ms", "--output", format, "--state-dir", dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var got []byte
		for buffer := make([]byte, 1<<16); !regexp.MustCompile(want).Match(got); {
			n, err := out.Read(buffer)
			got = append(got, buffer[:n]...)
			if err != nil || len(got) > 1<<20 {
				t.Fatalf("%s: %v\n%s\nwant\n%s", format, err, got, want)
			}
		}
		cmd.Process.Signal(syscall.SIGINT)
		io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", format, err)
		}
	}
	x := onTerminal(t, 120, 30, []string{"TERM=dumb"}, "explain", "--watch=20ms", "--state-dir", dir)
	x.await("two tables", func(shown string) bool { return strings.Count(shown, "restarts 0") > 1 })
	x.signal(syscall.SIGINT)
	if shown, _ := x.end(); strings.Contains(shown, "\x1b") {
		t.Errorf("a dumb terminal is told %q", shown)
	}
}

// once has the exit status of the last look.
func TestWatchOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "checks.yaml")
	write := func(check string) {
		t.Helper()
		if err := os.WriteFile(path, []byte("server: {url: '"+daemon(t)+"'}\nwatch:\n  - processes: web:*\n    checks: ["+check+"]\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("{tcp: {unix_socket: /no/such}}")
	x := onTerminal(t, 120, 30, nil, "once", "--watch=20ms", "--config", path)
	x.await("two tables", func(shown string) bool { return strings.Count(shown, "2 processes, all unhealthy") > 1 })
	x.master.WriteString("\x03")
	if shown, status := x.end(); status != 1 || !strings.HasSuffix(shown, "2 processes, all unhealthy\r\n") {
		t.Errorf("exit status %d, it shows %q", status, shown)
	}
	write("5")
	if shown, status := onTerminal(t, 120, 30, nil, "once", "--watch=20ms", "--config", path).end(); status != 2 || strings.Contains(shown, entered) {
		t.Errorf("a bad file: exit status %d, it shows %q", status, shown)
	}
	if err := os.WriteFile(path, []byte("watch:\n  - processes: web\n    checks: [{memory: {max: 1TiB}}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	x = onTerminal(t, 120, 30, []string{"SUPERVISOR_SERVER_URL=ftp://127.0.0.1"}, "once", "--watch=20ms", "--config", path)
	if shown, status := x.end(); status != 2 || !strings.Contains(shown, left+"supervisor_checks: error: ") || !strings.Contains(shown, "is neither unix://") {
		t.Errorf("what cannot be worked with: exit status %d, it shows %q", status, shown)
	}
}
