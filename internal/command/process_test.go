package command_test

import (
	"bufio"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/command"
)

// start starts a script for long, and returns what it has logged once it is done.
func start(t *testing.T, script string) (p *command.Process, logged func() []string) {
	t.Helper()
	return startWith(t, script, 200*time.Millisecond)
}

func startWith(t *testing.T, script string, grace time.Duration) (p *command.Process, logged func() []string) {
	t.Helper()
	c := sh(script)
	c.Grace = grace
	var lines []string
	p, err := c.Start(func(line string) { lines = append(lines, line) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p, func() []string {
		<-p.Done()
		return lines
	}
}

func TestStart(t *testing.T) {
	p, logged := start(t, "echo begun >&2; while read line; do echo you said $line; done; printf 'end\\r\\nof input' >&2; exit 7")
	r := bufio.NewReader(p.Stdout)
	for _, word := range []string{"a", "b"} {
		if _, err := io.WriteString(p.Stdin, word+"\n"); err != nil {
			t.Fatal(err)
		}
		if got, err := r.ReadString('\n'); got != "you said "+word+"\n" || err != nil {
			t.Errorf("got %q, error %v", got, err)
		}
	}
	p.Stdin.Close()
	if got, want := logged(), []string{"begun", "end", "of input"}; !slices.Equal(got, want) {
		t.Errorf("logged %q, want %q", got, want)
	}
	var exit *command.ExitError
	if err := p.Err(); !errors.As(err, &exit) || exit.Status != 7 {
		t.Errorf("error %v", err)
	}
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("after its end: %v", err)
	}
}

// TestDeathIsNoticed has a process die that has left somebody in its group, and somebody
// out of it, who hold its outputs open.
func TestDeathIsNoticed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	begun := time.Now()
	p, _ := start(t, "setsid sleep 20 & sleep 3000 & echo $! > "+file+"; echo last; kill -9 $$")
	text, _ := io.ReadAll(p.Stdout)
	<-p.Done()
	var exit *command.ExitError
	if err := p.Err(); !errors.As(err, &exit) || exit.Signal != syscall.SIGKILL || string(text) != "last\n" {
		t.Errorf("got %q, error %v", text, err)
	}
	if took := time.Since(begun); took > 15*time.Second {
		t.Errorf("it took %v", took)
	}
	waitForEnd(t, file)
	if _, err := p.Stdin.Write([]byte("x")); err == nil {
		t.Error("it can be written to")
	}
}

// TestClose ends what heeds the end of its input, what heeds SIGTERM, and what heeds
// nothing, and so a writer that waits for it to read.
func TestClose(t *testing.T) {
	for _, tt := range []struct{ name, script, end string }{
		{"the end of input", "echo; cat >/dev/null; exit 5", "it exited with status 5"},
		{"SIGTERM", "trap 'exit 6' TERM; echo; while :; do sleep 0.01; done", "it exited with status 6"},
		{"nothing", "trap '' TERM; echo; while :; do sleep 0.01; done", "it was ended by signal 9 (killed)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			end := func(grace time.Duration) error {
				p, _ := startWith(t, tt.script, grace)
				bufio.NewReader(p.Stdout).ReadString('\n')
				wrote := make(chan struct{})
				go func() {
					defer close(wrote)
					for {
						if _, err := p.Stdin.Write(make([]byte, 4096)); err != nil {
							return
						}
					}
				}()
				p.Close()
				p.Close()
				<-wrote
				<-p.Done()
				return p.Err()
			}
			for grace := 200 * time.Millisecond; ; grace *= 4 { // which may be too short on a busy machine
				if err := end(grace); err != nil && err.Error() == tt.end {
					return
				} else if grace > 10*time.Second {
					t.Fatalf("got %v, want %s", err, tt.end)
				}
			}
		})
	}
}

func TestLongLinesAreCut(t *testing.T) {
	_, logged := start(t, "head -c 100000 /dev/zero | tr '\\0' a >&2; echo >&2; printf 'b\\377' >&2")
	if got := logged(); len(got) != 2 || !strings.HasPrefix(got[0], "aaa") || len(got[0]) > 4<<10 || got[1] != "b\uFFFD" {
		t.Errorf("%d lines, %.20q", len(got), got)
	}
}
