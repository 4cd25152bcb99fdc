package command_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/command"
)

func sh(script string) command.Command { return command.Command{Args: []string{"sh", "-c", script}} }

func TestRun(t *testing.T) {
	tests := []struct {
		name   string
		cmd    command.Command
		output string
		err    string // "" is none
	}{
		{"a success", sh("echo hello; echo world >&2"), "hello\nworld\n", ""},
		{"an exit status", sh("echo no; exit 75"), "no\n", "it exited with status 75"},
		{"a signal", sh("kill -USR1 $$"), "", "it was ended by signal 10 (user defined signal 1)"},
		{"no such program", command.Command{Args: []string{"/no/such"}}, "", "it cannot be run: fork/exec /no/such: no such file or directory"},
		{"an environment", command.Command{Args: []string{"sh", "-c", "echo $FACT in $PATH"}, Env: []string{"FACT=x", "PATH=/bin"}}, "x in /bin\n", ""},
		{"nothing on standard input", sh("read x; echo $?"), "1\n", ""},
		{"more output than is kept", command.Command{Args: []string{"sh", "-c", "echo 1234567890"}, MaxOutput: 4}, "12\n(7 more bytes)\n0\n", ""},
		{"just as much output as is kept", command.Command{Args: []string{"sh", "-c", "echo 12; echo 45"}, MaxOutput: 6}, "12\n45\n", ""},
		{"less of our environment", command.Command{Args: []string{"sh", "-c", "echo $OURS $OURS_TOO"}, Without: []string{"OURS"}}, "too\n", ""},
		{"output that is no text", sh(`printf '\377'`), "\uFFFD", ""},
	}
	t.Setenv("OURS", "kept to ourselves")
	t.Setenv("OURS_TOO", "too")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			output, err := tt.cmd.Run(t.Context())
			text := ""
			if err != nil {
				text = err.Error()
			}
			if output.Stdout.String() != tt.output || text != tt.err {
				t.Errorf("got %q, error %q\nwant %q, error %q", output, text, tt.output, tt.err)
			}
		})
	}
}

// tooLong runs what writes "begun" and takes too long. On a busy machine it may take longer
// to begin, and is run again with more time for it.
func tooLong(t *testing.T, c *command.Command) (command.Output, error) {
	t.Helper()
	for c.Timeout = 200 * time.Millisecond; ; c.Timeout *= 4 {
		output, err := c.Run(t.Context())
		if strings.HasPrefix(output.Stdout.String(), "begun\n") || c.Timeout > 10*time.Second {
			return output, err
		}
	}
}

func TestNoTime(t *testing.T) {
	c := sh("echo begun; sleep 3000")
	output, err := tooLong(t, &c)
	if want := fmt.Sprint("it took too long and was killed after ", c.Timeout); output.Stdout.String() != "begun\n" || err == nil || err.Error() != want {
		t.Errorf("got %q, error %v, want %s", output, err, want)
	}
}

func TestErrors(t *testing.T) {
	var exit *command.ExitError
	if _, err := sh("exit 75").Run(t.Context()); !errors.As(err, &exit) || exit.Status != 75 || exit.Signal != 0 {
		t.Errorf("exit 75: %#v", err)
	}
	if _, err := sh("kill -KILL $$").Run(t.Context()); !errors.As(err, &exit) || exit.Status != -1 || exit.Signal != syscall.SIGKILL {
		t.Errorf("kill: %#v", err)
	}
	if _, err := (command.Command{Args: []string{"/no/such"}}).Run(t.Context()); !errors.Is(err, command.ErrNotRun) {
		t.Errorf("no such program: %v", err)
	}
	slow := sh("sleep 3000")
	slow.Timeout = time.Millisecond
	if _, err := slow.Run(t.Context()); !errors.Is(err, command.ErrTimeout) {
		t.Errorf("no time: %v", err)
	}
	cut := errors.New("we are ending")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cut)
	if _, err := sh("sleep 3000").Run(ctx); !errors.Is(err, cut) {
		t.Errorf("cut short: %v", err)
	}
}

// TestGroupIsKilled has a program leave a child behind, which holds its output
// open.
func TestGroupIsKilled(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	begun := time.Now()
	c := sh("sleep 3000 & echo $! > " + file + "; echo begun; wait")
	if _, err := tooLong(t, &c); !errors.Is(err, command.ErrTimeout) {
		t.Fatalf("error %v, want ErrTimeout", err)
	}
	if took := time.Since(begun); took > time.Minute {
		t.Errorf("it took %v", took)
	}
	waitForEnd(t, file)
}

// TestRestIsKilled has a program end, well or not, and leave a child behind.
func TestRestIsKilled(t *testing.T) {
	for _, status := range []string{"0", "1"} {
		file := filepath.Join(t.TempDir(), "pid")
		c := sh("sleep 3000 >&- 2>&- & echo $! > " + file + "; echo done; exit " + status)
		c.KillRest = true
		if output, err := c.Run(t.Context()); output.Stdout.String() != "done\n" || (err == nil) != (status == "0") {
			t.Errorf("got %q, error %v", output, err)
		}
		waitForEnd(t, file)
	}
}

// waitForEnd waits for the end of the process whose pid is in a file.
func waitForEnd(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	for begun := time.Now(); alive(pid); {
		if time.Since(begun) > 30*time.Second {
			t.Fatalf("the child %d lives", pid)
		}
		time.Sleep(time.Millisecond)
	}
}

// alive reports whether a process runs; a zombie that nobody waits for does not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || !strings.Contains(string(stat), ") Z ")
}

// TestRestIsNotAwaited has a program leave a child behind which holds its output open, and
// is killed for that.
func TestRestIsNotAwaited(t *testing.T) {
	least := time.Hour
	for first := time.Now(); least >= 80*time.Millisecond && time.Since(first) < 30*time.Second; {
		c := sh("sleep 3000 & echo done")
		c.KillRest = true
		begun := time.Now()
		if output, err := c.Run(t.Context()); output.Stdout.String() != "done\n" || err != nil {
			t.Errorf("got %q, error %v", output, err)
		}
		least = min(least, time.Since(begun))
	}
	if least >= 80*time.Millisecond {
		t.Errorf("it takes %v", least)
	}
}

// TestPipeAsProgram is refused, and not opened.
func TestPipeAsProgram(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o755); err != nil {
		t.Fatal(err)
	}
	refused := make(chan error, 1)
	go func() {
		_, err := command.Command{Args: []string{path}}.Run(t.Context())
		refused <- err
	}()
	select {
	case err := <-refused:
		if !errors.Is(err, command.ErrNotRun) || !errors.Is(err, syscall.EACCES) {
			t.Errorf("%v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("it hangs")
	}
}

// TestLeftBehindIsNotAwaited has a program end well, and leave a child behind,
// which holds its output open.
func TestLeftBehindIsNotAwaited(t *testing.T) {
	begun := time.Now()
	output, err := sh("sleep 3000 & echo $!").Run(t.Context())
	took := time.Since(begun)
	child, _ := strconv.Atoi(strings.TrimSpace(output.Stdout.String()))
	if err != nil || child == 0 {
		t.Fatalf("got %q, error %v", output, err)
	}
	syscall.Kill(child, syscall.SIGKILL)
	if took > 20*time.Second {
		t.Errorf("it took %v, and should not wait for the child", took)
	}
}

// TestManyWrites keeps the beginning and the end of what comes in pieces of any size.
func TestManyWrites(t *testing.T) {
	c := command.Command{Args: []string{"sh", "-c", "echo begin; for n in $(seq 5000); do echo $n; done; printf 'the end'"}, MaxOutput: 20}
	output, err := c.Run(t.Context())
	if want := "begin\n1\n2\n\n(23886 more bytes)\n00\nthe end"; output.Stdout.String() != want || err != nil {
		t.Errorf("got %q, error %v, want %q", output, err, want)
	}
}

func TestParse(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		line string
		args []string
		err  string
	}{
		{`sh -c 'echo "$1"' x\ y`, []string{"sh", "-c", `echo "$1"`, "x y"}, ""},
		{`sh $HOME *`, []string{"sh", "$HOME", "*"}, ""},
		{``, nil, "names no program"},
		{`sh 'x`, nil, `"sh 'x": Unterminated single-quoted string`},
		{`/no/such x`, nil, `"/no/such" cannot be run: stat /no/such: no such file or directory`},
		{`no-such-program-at-all`, nil, `"no-such-program-at-all" cannot be run: executable file not found in $PATH`},
		{plain, nil, strconv.Quote(plain) + ` cannot be run: permission denied`},
	}
	for _, tt := range tests {
		args, err := command.Parse(tt.line)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if !slices.Equal(args, tt.args) || text != tt.err {
			t.Errorf("%s: got %q, error %q; want %q, error %q", tt.line, args, text, tt.args, tt.err)
		}
	}
}
