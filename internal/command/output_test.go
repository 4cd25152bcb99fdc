package command_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/command"
)

func TestApart(t *testing.T) {
	c := sh("echo out; echo err >&2; echo more; printf 'more err' >&2; exit 1")
	c.Apart = true
	output, err := c.Run(t.Context())
	if got, want := output.Stdout.String(), "out\nmore\n"; got != want || err == nil {
		t.Errorf("standard output: got %q, want %q; error %v", got, want, err)
	}
	if got, want := output.Stderr.String(), "err\nmore err"; got != want {
		t.Errorf("standard error: got %q, want %q", got, want)
	}
}

// TestLines keeps none of the two lines that a cut has gone through.
func TestLines(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		most         int
		want         []string
		whole        bool
	}{
		{"all of it", `printf 'a 1\nb 2\r\n\nc 3'`, 100, []string{"a 1", "b 2", "", "c 3"}, true},
		{"just all of it", `printf 'a 1\nb 22\n'`, 9, []string{"a 1", "b 22"}, true},
		{"a cut", "seq 1000", 20, []string{"1", "2", "3", "4", "5", "999", "1000"}, false},
		{"a cut that leaves no whole line at the end", `printf '123\n5678901\n3456'`, 8, []string{"123"}, false},
		{"a line that is too long", "head -c 1000 /dev/zero", 8, nil, false},
		{"nothing", "true", 8, nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := sh(tt.script)
			c.MaxOutput = tt.most
			output, err := c.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := slices.Collect(output.Stdout.Lines()); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if parts, lost := output.Stdout.Parts(); lost > 0 == tt.whole || len(parts) > 1 == tt.whole {
				t.Errorf("%q and %d bytes lost, want all: %v", parts, lost, tt.whole)
			}
		})
	}
}

// TestLast has the last line in the end of what was cut, or only a part of it.
func TestLast(t *testing.T) {
	for _, tt := range []struct {
		text, want string
		whole      bool
	}{
		{"", "", true},
		{"a", "a", true},
		{"a\n b \r\n\n", "b", true},
		{"12345678", "12345678", true},
		{"1\n345678\n1234", "1234", false},
		{"1\n345678\n\n12\n", "12", true},
		{"1\n345678\n123\n", "123", false}, // for all that is known
		{"1\n34567890", "7890", false},
		{"1\n3456\n\n\n\n", "", false},
	} {
		text := command.Cut(tt.text, 8)
		if got, whole := text.Last(); got != tt.want || whole != tt.whole {
			t.Errorf("%q: %q, whole: %v, want %q, %v", tt.text, got, whole, tt.want, tt.whole)
		}
		parts, lost := text.Parts()
		if got := strings.Join(parts, tt.text[len(parts[0]):len(parts[0])+int(lost)]); got != tt.text {
			t.Errorf("%q: %q and %d bytes", tt.text, parts, lost)
		}
	}
}

// TestEveryLineArrives runs programs that end at once when they have written, every other
// one with somebody left behind who has left the group and holds the output open.
func TestEveryLineArrives(t *testing.T) {
	text := strings.Repeat("rows{table=\"a\"} 12345\n", 2000) // most of what a pipe holds
	file := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range 500 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			c := command.Command{Args: []string{"cat", file}, MaxOutput: 64 << 10, Apart: true}
			if i%50 == 0 {
				c.Args = []string{"sh", "-c", `setsid sleep 1 & exec cat "$0"`, file}
			}
			output, err := c.Run(t.Context())
			if parts, lost := output.Stdout.Parts(); parts[0] != text || lost > 0 || err != nil {
				t.Errorf("%d bytes of %d, error %v", len(parts[0]), len(text), err)
			}
		})
	}
}

func TestSurroundings(t *testing.T) {
	t.Setenv("OURS", "kept to ourselves")
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "here"), []byte("#!/bin/sh\npwd\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		cmd  command.Command
		want string
	}{
		{"a folder", command.Command{Args: []string{"pwd"}, Dir: dir}, dir + "\n"},
		{"a program in the folder", command.Command{Args: []string{"./here"}, Dir: dir}, dir + "\n"},
		{"a clean environment", command.Command{Args: []string{"sh", "-c", `echo "$OURS|$HOME|$A|$PATH"`}, CleanEnv: true, Env: []string{"A=b"}}, "||b|" + os.Getenv("PATH") + "\n"},
	} {
		output, err := tt.cmd.Run(t.Context())
		if got := output.Stdout.String(); got != tt.want || err != nil {
			t.Errorf("%s: got %q, error %v, want %q", tt.name, got, err, tt.want)
		}
	}
}

// TestNotRun tells why a program cannot be started as somebody can use it.
func TestNotRun(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, tt := range []struct {
		name string
		cmd  command.Command
		want string
	}{
		{"a missing folder", command.Command{Args: []string{"true"}, Dir: dir + "/no"}, "it cannot be run in that folder: stat " + dir + "/no: no such file or directory"},
		{"a missing program", command.Command{Args: []string{dir + "/no"}}, "it cannot be run: fork/exec " + dir + "/no: no such file or directory"},
		{"no program of PATH", command.Command{Args: []string{"no-such-program"}}, `it cannot be run: exec: "no-such-program": executable file not found in $PATH`},
		{"a missing interpreter", command.Command{Args: []string{write("a", "#!/no/such -x\n", 0o755)}}, `it is there, but not the interpreter that its first line names: "#!/no/such -x"`},
		{"an interpreter as Windows writes it", command.Command{Args: []string{"./b"}, Dir: filepath.Dir(write("b", "#!/bin/sh\r\n", 0o755))}, `it is there, but not the interpreter that its first line names: "#!/bin/sh\r"`},
		{"no interpreter", command.Command{Args: []string{write("c", "echo fine\n", 0o755)}}, "it is neither a program of this system nor a script whose first line names its interpreter"},
		{"not executable", command.Command{Args: []string{write("d", "#!/bin/sh\n", 0o644)}}, "permission denied"},
		{"a folder as a program", command.Command{Args: []string{dir}}, "permission denied"},
	} {
		_, err := tt.cmd.Run(t.Context())
		if !errors.Is(err, command.ErrNotRun) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v\nwant %s", tt.name, err, tt.want)
		}
		_, started := tt.cmd.Start(func(string) {})
		if started == nil || started.Error() != err.Error() {
			t.Errorf("%s: Start says %v, Run %v", tt.name, started, err)
		}
	}
}

// TestAskedToEnd has what takes too long end by itself, or not.
func TestAskedToEnd(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		grace        time.Duration
		output       string
	}{
		{"it tidies up", "exec 2>/dev/null; trap 'echo tidied; exit 0' TERM; echo begun; while :; do sleep 0.01; done", time.Minute, "begun\ntidied\n"},
		{"its child tidies up", "exec 2>/dev/null; (trap 'sleep 0.05; echo tidied; exit 0' TERM; echo begun; while :; do sleep 0.01; done) & wait", time.Minute, "begun\ntidied\n"},
		{"it does not heed it", "trap '' TERM; echo begun; while :; do sleep 0.01; done", 50 * time.Millisecond, "begun\n"},
		{"its child does not heed it", "(trap '' TERM; echo begun; while :; do sleep 0.01; done) & wait", 50 * time.Millisecond, "begun\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := sh(tt.script)
			c.Grace = tt.grace
			output, err := tooLong(t, &c)
			if got := output.Stdout.String(); got != tt.output || !errors.Is(err, command.ErrTimeout) {
				t.Errorf("got %q, error %v, want %q", got, err, tt.output)
			}
		})
	}
}

// TestCutShortHurries has a program that heeds nothing, and whoever waits for it end.
func TestCutShortHurries(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	c := sh("trap '' TERM; while :; do sleep 0.01; done")
	c.Grace = time.Hour
	if _, err := c.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestFindUser(t *testing.T) {
	for text, want := range map[string]string{
		"no such user": `there is no user "no such user" here`,
		"4294967295":   `there is no user "4294967295" here`,
		"4294967294":   "user 4294967294 is not known here: add the group, as 4294967294:GROUP",
		"0:nogroup?":   `there is no group "nogroup?" here`,
	} {
		if _, err := command.FindUser(text); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	own := fmt.Sprintf("%d:%d", os.Geteuid(), os.Getegid())
	u, err := command.FindUser(own)
	if err != nil {
		t.Fatal(err)
	}
	output, err := command.Command{Args: []string{"id", "-u"}, User: u}.Run(t.Context())
	if got, want := output.Stdout.String(), fmt.Sprintln(os.Geteuid()); got != want || err != nil {
		t.Errorf("as ourselves: %q, error %v, want %q", got, err, want)
	}
	u, err = command.FindUser("12345:23456")
	if os.Geteuid() != 0 {
		if err == nil || !strings.Contains(err.Error(), "only root can") {
			t.Errorf("as somebody else: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	output, err = command.Command{Args: []string{"sh", "-c", "echo $(id -u) $(id -g) $(id -G)"}, User: u, Dir: "/"}.Run(t.Context())
	if got, want := output.Stdout.String(), "12345 23456 23456\n"; got != want || err != nil {
		t.Errorf("as somebody else: %q, error %v, want %q", got, err, want)
	}
	if u, err = command.FindUser("nobody"); err != nil {
		t.Skip(err)
	}
	output, err = command.Command{Args: []string{"sh", "-c", "echo $USER $LOGNAME"}, User: u, Dir: "/"}.Run(t.Context())
	if got, want := output.Stdout.String(), "nobody nobody\n"; got != want || err != nil {
		t.Errorf("as nobody: %q, error %v, want %q", got, err, want)
	}
}

// TestNothingIsLeft has runs of every kind leave neither descriptors nor children.
func TestNothingIsLeft(t *testing.T) {
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		return len(entries)
	}
	begun := false
	before := 0
	for _, script := range []string{"true", "exit 3", "sleep 3000", "sleep 3000 & exit 1"} {
		for range 5 {
			c := sh(script)
			c.Apart, c.KillRest, c.Timeout, c.Grace = true, true, 100*time.Millisecond, time.Second
			c.Run(t.Context())
			command.Command{Args: []string{"/no/such"}, Apart: true}.Run(t.Context())
			command.Command{Args: []string{"/no/such"}}.Start(func(string) {})
			if !begun {
				begun, before = true, count()
			}
		}
	}
	if after := count(); after > before {
		t.Errorf("%d descriptors, before %d", after, before)
	}
	if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); err != syscall.ECHILD {
		t.Errorf("a child is left: %d, %v", pid, err)
	}
}
