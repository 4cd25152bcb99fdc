package control_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/control"
)

func TestMain(m *testing.M) {
	control.LookOften(100 * time.Millisecond)
	os.Exit(m.Run())
}

// TestRemovedSocket is made again, and one of another listener in its place is left
// alone.
func TestRemovedSocket(t *testing.T) {
	ours := func(context.Context, control.Request) control.Answer {
		return control.Answer{Listener: control.Listener{Name: "ours"}}
	}
	path, end := serve(t, ours)
	answers := func() string {
		a, _ := control.Ask(t.Context(), path, control.Request{})
		return a.Listener.Name
	}
	os.RemoveAll(filepath.Dir(path))
	for begun := time.Now(); answers() != "ours"; runtime.Gosched() {
		if time.Since(begun) > 20*time.Second {
			t.Fatal("it was not made again")
		}
	}
	theirs, err := net.Listen("unix", path+".new") // so that ours is not made again meanwhile
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	before, _ := os.Lstat(path)
	asked := make(chan struct{})
	go func() { // it is asked by ours whether it is there
		if conn, err := theirs.Accept(); err == nil {
			conn.Close()
		}
		close(asked)
	}()
	<-asked
	if err := end(); err != nil {
		t.Error(err)
	}
	if now, err := os.Lstat(path); err != nil || !os.SameFile(before, now) {
		t.Errorf("the socket of another listener was removed: %v", err)
	}
}

// TestEndedWhileAsking: who could not ask whether somebody answers does not know that
// nobody does.
func TestEndedWhileAsking(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	theirs, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	before, _ := os.Lstat(path)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := control.Serve(ctx, path, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v, want %v", err, context.Canceled)
	}
	if now, err := os.Lstat(path); err != nil || !os.SameFile(before, now) {
		t.Errorf("the socket of another listener was removed: %v", err)
	}
}

// serve answers at a socket, and returns its path when it can be asked.
func serve(t *testing.T, answer func(context.Context, control.Request) control.Answer) (path string, end func() error) {
	t.Helper()
	dir, err := os.MkdirTemp("", "ctl") // the path of a socket must be short, which t.TempDir is not
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path = filepath.Join(dir, "supervisor", "listener"+control.Suffix)
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	// One that somebody has left behind.
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- control.Serve(ctx, path, answer) }()
	for begun := time.Now(); ; {
		if _, err := control.Ask(t.Context(), path, control.Request{}); err == nil {
			break
		}
		if time.Since(begun) > 30*time.Second {
			t.Fatal("it does not answer")
		}
	}
	return path, func() error {
		cancel()
		return <-done
	}
}

func TestAsk(t *testing.T) {
	path, end := serve(t, func(_ context.Context, r control.Request) control.Answer {
		a := control.Answer{Listener: control.Listener{Name: r.Command + " " + r.Selector + " " + r.For.String()}}
		if r.Command == "bad" {
			a.Error = "that is bad"
		}
		return a
	})
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket has mode %v, error %v, want 0600", info.Mode(), err)
	}
	got, err := control.Ask(t.Context(), path, control.Request{Command: control.Pause, Selector: "web:*", For: time.Minute})
	if got.Listener.Name != "pause web:* 1m0s" || err != nil {
		t.Errorf("got %+v, error %v", got, err)
	}
	if got, err := control.Ask(t.Context(), path, control.Request{Command: "bad"}); err == nil || err.Error() != "that is bad" || got.Listener.Name == "" {
		t.Errorf("got %+v, error %v", got, err)
	}
	if err := control.Serve(t.Context(), path, nil); err == nil || !strings.Contains(err.Error(), "somebody answers at "+path+" already") {
		t.Errorf("another one at the same socket: %v", err)
	}
	found, err := control.Find(filepath.Dir(filepath.Dir(path)))
	if len(found) != 1 || found[0] != path || err != nil {
		t.Errorf("found %q, error %v", found, err)
	}
	if err := end(); err != nil {
		t.Errorf("at the end: %v", err)
	}
	if _, err := control.Ask(t.Context(), path, control.Request{}); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("asked after its end: %v", err)
	}
}

// TestLongPath has a state folder deeper than the path of a socket may be long.
func TestLongPath(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("NOT TESTED: only Linux has a way around that")
	}
	dir := filepath.Join(t.TempDir(), strings.Repeat("x", 100))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "listener"+control.Suffix)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- control.Serve(ctx, path, func(context.Context, control.Request) control.Answer { return control.Answer{} })
	}()
	for begun := time.Now(); ; {
		_, err := control.Ask(t.Context(), path, control.Request{})
		if err == nil {
			break
		}
		if time.Since(begun) > 30*time.Second {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// TestNonsense has somebody send what is no request.
func TestNonsense(t *testing.T) {
	path, _ := serve(t, func(context.Context, control.Request) control.Answer { return control.Answer{} })
	for _, text := range []string{"\n", "hello\n", `{"command": 7}` + "\n", "[]\n"} {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		conn.Write([]byte(text))
		answer := make([]byte, 100)
		if n, err := conn.Read(answer); n > 0 || err == nil {
			t.Errorf("%q is answered %q", text, answer[:n])
		}
		conn.Close()
	}
	if _, err := control.Ask(t.Context(), path, control.Request{}); err != nil {
		t.Errorf("it does not answer any more: %v", err)
	}
}

// TestAskIsBounded has a listener that never answers.
func TestAskIsBounded(t *testing.T) {
	path, _ := serve(t, func(ctx context.Context, r control.Request) control.Answer {
		if r.Command != "" {
			<-ctx.Done()
		}
		return control.Answer{}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := control.Ask(ctx, path, control.Request{Command: "hang"}); err == nil {
		t.Error("it was answered")
	}
}
