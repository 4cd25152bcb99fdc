// Package control is how a person speaks to a running listener: through a socket
// in its state folder, which only its user can open. A connection carries one
// request and one answer, each a line of JSON.
package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// Suffix is what the names of sockets end in.
const Suffix = ".sock"

// timeout bounds one exchange, and maxLine the length of a request or an answer.
const (
	timeout = 20 * time.Second
	maxLine = 16 << 20
)

// lookTime is how often a listener looks whether its socket is still there.
var lookTime = 10 * time.Second

// Commands of a Request.
const (
	Explain = "explain" // what is known of processes, and what would be done about them
	Pause   = "pause"   // act on no process of Selector until For has passed
	Resume  = "resume"  // act again
	Reset   = "reset"   // forget former restarts
	Reload  = "reload"  // read the file again
)

// ErrNoFile is the error of Reload of a listener that has no file.
var ErrNoFile = errors.New("this listener has no file")

// Request is what a listener is asked.
type Request struct {
	Command  string        `json:"command"`
	Selector string        `json:"selector"` // "name", "group:name", "group:*", or "*" for all
	For      time.Duration `json:"for,omitempty"`
}

// Answer is what it says. Listener is always there, Error says what was wrong with
// the request.
type Answer struct {
	Error     string    `json:"error,omitempty"`
	Listener  Listener  `json:"listener"`
	Processes []Process `json:"processes,omitempty"` // of Explain, or those that are concerned
}

// Listener is a running listener.
type Listener struct {
	Name        string    `json:"name"`
	Process     string    `json:"process,omitempty"` // its own namespec, when supervisord has told it
	PID         int       `json:"pid"`
	Started     time.Time `json:"started"`
	Supervisord string    `json:"supervisord"`
	Watches     string    `json:"watches"`
	Checks      []string  `json:"checks"`
	Policy      string    `json:"policy"`
	Pauses      []Held    `json:"pauses,omitempty"`
	Groups      []Group   `json:"groups,omitempty"`  // of which something is to be said
	Trouble     string    `json:"trouble,omitempty"` // why supervisord cannot be asked

	Dependencies []Dependency `json:"dependencies,omitempty"`
}

// Dependency is something that processes depend on.
type Dependency struct {
	Name   string    `json:"name"`
	Status string    `json:"status"`
	Reason string    `json:"reason,omitempty"`
	Looked time.Time `json:"looked,omitzero"`
}

// Held is a pause.
type Held struct {
	Selector string    `json:"selector"`
	Until    time.Time `json:"until"`
}

// Group is a group of which so much fails at once that its processes are held.
type Group struct {
	Name  string `json:"name"`
	Panic string `json:"panic"`
}

// Process is a watched process, and what would be done about it now.
type Process struct {
	Process     string    `json:"process"`
	State       string    `json:"state"`
	PID         int       `json:"pid,omitempty"`
	Rules       []Rule    `json:"rules,omitempty"`
	Resting     []string  `json:"resting,omitempty"`              // checks that are not made at this time
	StartPeriod float64   `json:"start_period_seconds,omitempty"` // what is left of it
	Restarts    int       `json:"restarts"`                       // those that the limit counts; without one, all since the listener began
	Limit       string    `json:"restart_limit,omitempty"`
	Backoff     float64   `json:"backoff_seconds,omitempty"` // the pause after the last restart
	LastRestart time.Time `json:"last_restart,omitzero"`
	PausedUntil time.Time `json:"paused_until,omitzero"`
	Would       string    `json:"would"` // what would be done, and why
}

// Rule is a check of a process with its counts.
type Rule struct {
	Check     string    `json:"check"`
	Status    string    `json:"status"`              // of the newest result
	Verdict   string    `json:"verdict"`             // by the thresholds
	Failures  string    `json:"failures"`            // "1 of 3"
	Successes string    `json:"successes,omitempty"` // "1 of 2", while it is unhealthy
	Reason    string    `json:"reason,omitempty"`    // of the newest result, if that is not healthy
	Looked    time.Time `json:"looked"`
}

// Serve answers requests at a socket until ctx is done, with what answer returns.
// A socket that nobody listens on any more is replaced, and one of ours that
// somebody has removed is made again. The error is that of the beginning.
func Serve(ctx context.Context, path string, answer func(context.Context, Request) Answer) error {
	l, err := listen(ctx, path)
	if err != nil {
		return err
	}
	for {
		if l != nil {
			l.serve(ctx, answer)
			l.Close()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
			l, _ = listen(ctx, path)
		}
	}
}

// socket is one that we listen at.
type socket struct {
	*net.UnixListener
	path string
	made os.FileInfo
}

func listen(ctx context.Context, path string) (*socket, error) {
	conn, err := dial(ctx, path)
	switch {
	case err == nil:
		conn.Close()
		return nil, fmt.Errorf("somebody answers at %s already", path)
	case errors.Is(err, os.ErrNotExist):
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTSOCK): // nobody listens
		err = os.Remove(path)
	}
	if err != nil {
		return nil, err
	}
	name, done, err := shortened(path)
	if err != nil {
		return nil, err
	}
	defer done()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	err = os.Chmod(path, 0o600) // the folder is ours alone, so that nobody was faster
	s := &socket{UnixListener: l, path: path}
	if err == nil {
		s.made, err = os.Lstat(path)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return s, nil
}

// there reports whether the socket is still where it was made.
func (s *socket) there() bool {
	now, err := os.Lstat(s.path)
	return err == nil && os.SameFile(now, s.made)
}

// Close ends it, and removes it if that is not another one's by now.
func (s *socket) Close() error {
	if s.there() {
		os.Remove(s.path)
	}
	return s.UnixListener.Close()
}

// serve answers until ctx is done, the socket is no longer there, or it cannot be
// listened at.
func (s *socket) serve(ctx context.Context, answer func(context.Context, Request) Answer) {
	for {
		s.SetDeadline(time.Now().Add(lookTime))
		stop := context.AfterFunc(ctx, func() { s.SetDeadline(time.Unix(1, 0)) })
		conn, err := s.Accept()
		stop()
		switch {
		case err == nil:
			go serve(ctx, conn, answer)
		case ctx.Err() != nil, !errors.Is(err, os.ErrDeadlineExceeded), !s.there():
			return
		}
	}
}

// maxPath is the longest path of a socket that every system takes.
const maxPath = 103

// shortened returns a path for the same socket that is short enough, until done is
// called. On Linux there is one by way of the open folder.
func shortened(path string) (short string, done func(), err error) {
	if len(path) <= maxPath {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	short = fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path))
	if _, err := os.Stat(filepath.Dir(short)); err != nil || len(short) > maxPath {
		dir.Close()
		return "", nil, fmt.Errorf("the path of the socket is too long, %s: pass a shorter --state-dir", path)
	}
	return short, func() { dir.Close() }, nil
}

func dial(ctx context.Context, path string) (net.Conn, error) {
	name, done, err := shortened(path)
	if err != nil {
		return nil, err
	}
	defer done()
	return new(net.Dialer).DialContext(ctx, "unix", name)
}

func serve(ctx context.Context, conn net.Conn, answer func(context.Context, Request) Answer) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(timeout))
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var request Request
	line, err := readLine(conn)
	if err == nil {
		err = json.Unmarshal(line, &request)
	}
	if err != nil {
		return
	}
	reply, err := json.Marshal(answer(ctx, request))
	if err != nil {
		return
	}
	conn.Write(append(reply, '\n'))
}

// readLine reads up to the end of a line.
func readLine(r io.Reader) ([]byte, error) {
	return bufio.NewReader(io.LimitReader(r, maxLine)).ReadBytes('\n')
}

// Ask makes a request of the listener at a socket.
func Ask(ctx context.Context, path string, request Request) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := dial(ctx, path)
	if err != nil {
		return Answer{}, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	line, err := json.Marshal(request)
	if err != nil {
		return Answer{}, err
	}
	if _, err := conn.Write(append(line, '\n')); err != nil {
		return Answer{}, err
	}
	line, err = readLine(conn)
	if err != nil {
		return Answer{}, fmt.Errorf("no answer: %w", err)
	}
	var answer Answer
	if err := json.Unmarshal(line, &answer); err != nil {
		return Answer{}, fmt.Errorf("read the answer: %w", err)
	}
	if answer.Error != "" {
		return answer, errors.New(answer.Error)
	}
	return answer, nil
}

// Find returns the sockets of listeners in a state folder, those that nobody
// listens on included.
func Find(stateDir string) ([]string, error) {
	folders, err := os.ReadDir(stateDir)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, folder := range folders {
		files, _ := os.ReadDir(filepath.Join(stateDir, folder.Name()))
		for _, file := range files {
			if file.Type()&os.ModeSocket != 0 && filepath.Ext(file.Name()) == Suffix {
				all = append(all, filepath.Join(stateDir, folder.Name(), file.Name()))
			}
		}
	}
	slices.Sort(all)
	return all, nil
}
