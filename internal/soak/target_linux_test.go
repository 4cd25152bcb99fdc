package soak

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/supervisor-checks/supervisor-checks/notify"
	"github.com/supervisor-checks/supervisor-checks/supervisor/supervisortest"
)

// host is the address of the targets. A client's own is another, so that none
// takes the port of a target that is closed for a while.
const host = "127.0.0.2"

// mode is what a target does when it is asked.
type mode int32

const (
	well mode = iota
	refusing
	hanging
	failing
	trickling
	babbling
	hangingUp
	faulting
	modes
)

// target is a process under supervisord: a server, which is in this process, and
// a process of its own for the checks that look at one.
type target struct {
	soak  *soak
	name  string
	short string
	port  int
	until int // the tick at which it is mended
	mode  atomic.Int32
	fat   atomic.Bool // the next run takes much memory

	server *http.Server

	mu        sync.Mutex
	body      *exec.Cmd
	input     io.Closer
	heartbeat string
	noMore    bool
}

// addTarget adds a process of the group web.
func (s *soak) addTarget(i int) {
	s.t.Helper()
	listener := must(net.Listen("tcp", host+":0"))
	t := &target{soak: s, port: listener.Addr().(*net.TCPAddr).Port}
	t.short = "web_" + strconv.Itoa(t.port)
	t.name = "web:" + t.short
	t.serve(listener)
	s.t.Cleanup(func() {
		t.server.Close()
		t.end()
	})
	s.targets = append(s.targets, t)
	s.add(supervisortest.Program{
		Group: "web", Name: t.short, StartTakes: time.Duration(i) * 10 * time.Millisecond, Startup: time.Duration(i) * 5 * time.Millisecond,
		StopTakes: time.Duration(i*i) * 10 * time.Millisecond, Spawn: t.spawn,
	})
}

func (t *target) serve(listener net.Listener) {
	t.server = &http.Server{Handler: t}
	go t.server.Serve(listener)
}

// set changes what it does.
func (t *target) set(to mode) {
	before := mode(t.mode.Swap(int32(to)))
	switch {
	case to == refusing:
		t.server.Close()
	case before == refusing:
		t.serve(must(net.Listen("tcp", host+":"+strconv.Itoa(t.port))))
	}
}

const pong = "pong"

// ServeHTTP answers both checks that ask over HTTP.
func (t *target) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t.soak.poke()
	io.Copy(io.Discard, r.Body)
	switch mode(t.mode.Load()) {
	case hanging:
		<-r.Context().Done()
		return
	case failing:
		http.Error(w, "no", http.StatusInternalServerError)
		return
	case trickling:
		drip := time.NewTicker(10 * time.Millisecond)
		defer drip.Stop()
		for {
			select {
			case <-drip.C:
				io.WriteString(w, ".")
				http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				return
			}
		}
	case babbling:
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			io.WriteString(conn, "220 \x00\xff READY\nRESULT 2\nOK\r\n\r\n")
			conn.Close()
		}
		return
	case hangingUp:
		panic(http.ErrAbortHandler)
	case faulting:
		if r.Method == http.MethodPost {
			io.WriteString(w, "<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>1</int></value></member>"+
				"<member><name>faultString</name><value>no</value></member></struct></value></fault></methodResponse>")
			return
		}
	}
	if r.Method == http.MethodPost {
		io.WriteString(w, "<methodResponse><params><param><value><string>fine</string></value></param></params></methodResponse>")
		return
	}
	io.WriteString(w, pong)
}

// spawn ends the run that it was, and returns the pid of the next one.
func (t *target) spawn() int {
	t.end()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.noMore {
		return 99_999_999
	}
	in, input := pipe()
	defer in.Close()
	t.body, t.input = exec.Command("cat"), input
	if t.fat.Swap(false) { // a dozen take more than they may
		t.body = exec.Command("sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do cat <&3 & done; wait")
		t.body.ExtraFiles = []*os.File{in}
	} else {
		t.body.Stdin = in
	}
	t.body.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := t.body.Start(); err != nil {
		panic(err)
	}
	t.heartbeat = notify.Path(t.soak.heartbeats, "web", t.short, t.body.Process.Pid)
	if err := os.WriteFile(t.heartbeat, nil, 0o600); err != nil {
		panic(err)
	}
	return t.body.Process.Pid
}

// spoil puts a symbolic link in the place of the heartbeat.
func (t *target) spoil() {
	t.mu.Lock()
	defer t.mu.Unlock()
	os.Remove(t.heartbeat)
	if err := os.Symlink(fmt.Sprint("pid ", t.body.Process.Pid), t.heartbeat); err != nil && !errors.Is(err, os.ErrExist) {
		panic(err)
	}
}

// end ends the process and its children.
func (t *target) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.body == nil {
		return
	}
	syscall.Kill(-t.body.Process.Pid, syscall.SIGKILL)
	t.input.Close()
	t.body.Wait()
	t.body = nil
	os.Remove(t.heartbeat)
}
