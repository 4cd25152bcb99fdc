// Package supervisortest is a supervisord for tests, as net/http/httptest is a
// web server for tests. It answers the XML-RPC calls of package supervisor as
// Python's or the Go supervisord does, with processes that exist only in it,
// and plays supervisord's part towards an event listener. Faults, delays and
// lost answers come on demand.
//
// All of it happens in memory, so that a test in a testing/synctest bubble runs
// a day of ticks in a moment. What it answers is compared with recordings of
// both supervisords and, call for call, with real ones.
package supervisortest

import (
	"context"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// Program is a process that a Server has. Its zero value but for the name is a
// process that runs, starts at once and stops at once.
type Program struct {
	Group string // "" means Name
	Name  string

	Command    string        // shown in the configuration. "" means /bin/NAME
	Listener   bool          // an event listener with the default priorities
	Stopped    bool          // not started with supervisord
	StartTakes time.Duration // how long it is STARTING before it is RUNNING
	Startup    time.Duration // after how much of that a failing start fails
	StopTakes  time.Duration // how long it takes to stop
	StopWait   time.Duration // stopwaitsecs: after which it is killed. 0 means 10 s
	Retries    int           // startretries, of supervisord's own. 0 means none

	Stdout, Stderr string // what is in its logs

	// Spawn, if set, is called at each start and returns the process id that
	// the process is said to have: that of a real one, for a check that looks
	// at it. Otherwise there is no such process.
	Spawn func() int

	// Fails, if set, tells whether a start fails, which supervisord itself
	// began or was told to begin; the first start has number 1.
	Fails func(start int) bool
}

// process is a Program and what became of it.
type process struct {
	Program
	state       supervisor.State
	pid         int
	start, stop time.Time
	spawnErr    string
	starts      int // begun in all
	retries     int // since somebody told it to start
	timer       *time.Timer
}

// Server is a supervisord. Its methods may be called from any goroutine.
type Server struct {
	flavour   supervisor.Flavour
	http      *http.Server
	listener  *memoryListener
	dialing   context.Context
	hangUp    context.CancelFunc
	events    *pool
	intercept func(Call) Fate

	mu           sync.Mutex
	changed      *sync.Cond
	processes    []*process
	lastPID      int
	shuttingDown bool
	calls        []Call
	counts       map[string]int // of calls, by method
	news         chan struct{}  // closed at the next change
}

// ownPID is the process id that a Server says supervisord has, before those of its
// processes. No system has so many: https://man7.org/linux/man-pages/man5/proc_sys_kernel.5.html
// has pid_max no higher than 4,194,304. So none is that of a stranger, or of the listener itself.
const ownPID = 5_000_000

// NewServer starts a supervisord of that flavour with those processes, which
// run unless they are Stopped. Close it.
func NewServer(flavour supervisor.Flavour, programs ...Program) *Server {
	s := &Server{
		flavour: flavour,
		lastPID: ownPID,
		counts:  make(map[string]int),
		news:    make(chan struct{}),
	}
	s.changed = sync.NewCond(&s.mu)
	s.dialing, s.hangUp = context.WithCancel(context.Background())
	s.listener = &memoryListener{conns: make(chan net.Conn), closed: s.dialing.Done()}
	s.http = &http.Server{Handler: http.HandlerFunc(s.serve)}
	s.events = newPool(s)
	s.Add(programs...)
	go s.http.Serve(s.listener)
	return s
}

// Close ends the server, its connections, and the input of its event listener.
func (s *Server) Close() {
	s.hangUp()
	s.http.Close()
	s.events.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.processes {
		p.cancel()
	}
}

// Config is how to reach the server from within this process, in memory.
func (s *Server) Config() supervisor.Config {
	return supervisor.Config{URL: "http://supervisortest", Dial: s.listener.dial}
}

// Serve lets the server be reached through a real listener as well, until
// Close, for tests that run a program. It returns when that ends.
func (s *Server) Serve(l net.Listener) error { return s.http.Serve(l) }

// Add gives the server more processes.
func (s *Server) Add(programs ...Program) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, program := range programs {
		if program.Group == "" {
			program.Group = program.Name
		}
		if program.Command == "" {
			program.Command = "/bin/" + program.Name
		}
		if program.StopWait == 0 {
			program.StopWait = 10 * time.Second
		}
		p := &process{Program: program}
		s.processes = append(s.processes, p)
		if !p.Stopped {
			p.starts = 1
			p.state, p.pid, p.start = supervisor.Running, s.newPID(p), time.Now()
		}
	}
	s.note()
}

// Remove takes a process away, as a change of the configuration does.
func (s *Server) Remove(namespec string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.processes = slices.DeleteFunc(s.processes, func(p *process) bool {
		if p.namespec() == namespec {
			p.cancel()
			return true
		}
		return false
	})
	s.note()
}

// Process returns a process as it is now; the zero Process if there is none.
func (s *Server) Process(namespec string) supervisor.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.find(namespec); p != nil {
		return p.describe()
	}
	return supervisor.Process{}
}

// Starts tells how often a process has been started, its first start included.
func (s *Server) Starts(namespec string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.find(namespec); p != nil {
		return p.starts
	}
	return 0
}

// Await waits until condition, which may ask the server, is true of it. It
// reports false when ctx is done before.
func (s *Server) Await(ctx context.Context, condition func() bool) bool {
	for {
		s.mu.Lock()
		news := s.news
		s.mu.Unlock()
		if condition() {
			return true
		}
		select {
		case <-news:
		case <-ctx.Done():
			return false
		}
	}
}

// note wakes those who wait for a change. The lock is held.
func (s *Server) note() {
	s.changed.Broadcast()
	close(s.news)
	s.news = make(chan struct{})
}

// Operator lets a person act on a process with supervisorctl. It returns what
// supervisord answers: nil or a *supervisor.Fault.
func (s *Server) Operator(action Action, namespec string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.find(namespec)
	if p == nil {
		return s.badName("", namespec)
	}
	switch action {
	case OperatorStop:
		return s.stop(p)
	case OperatorStart:
		return s.start(p)
	}
	return nil
}

// Action is what a person can do to a process.
type Action int

// The actions of Operator.
const (
	OperatorStop Action = iota
	OperatorStart
)

// Exit lets a running process end by itself, and supervisord start it anew at
// once, as autorestart does, if again is true.
func (s *Server) Exit(namespec string, again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.find(namespec); p != nil && p.pid != 0 {
		p.end(supervisor.Exited)
		if again {
			s.spawn(p)
		}
		s.note()
	}
}

// Shutdown makes the server refuse calls as supervisord does while it stops or
// reloads. The Go supervisord does not.
func (s *Server) Shutdown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shuttingDown = s.flavour == supervisor.Python
}

func (p *process) namespec() string {
	return supervisor.Process{Group: p.Group, Name: p.Name}.Namespec()
}

// find knows a process by its namespec; the Go supervisord by its bare name, too,
// but no event listener.
func (s *Server) find(namespec string) *process {
	group, name := supervisor.SplitNamespec(namespec)
	for _, p := range s.processes {
		switch {
		case s.flavour == supervisor.Go && p.Listener:
		case p.Group == group && p.Name == name, s.flavour == supervisor.Go && p.Name == namespec:
			return p
		}
	}
	return nil
}

func (p *process) describe() supervisor.Process {
	return supervisor.Process{
		Group:       p.Group,
		Name:        p.Name,
		PID:         p.pid,
		State:       p.state,
		Started:     seconds(p.start),
		Stopped:     seconds(p.stop),
		Description: p.spawnErr,
	}
}

func seconds(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return time.Unix(t.Unix(), 0)
}

func (p *process) cancel() {
	if p.timer != nil {
		p.timer.Stop()
	}
}

// after does what comes next for p, unless something else comes first.
func (s *Server) after(p *process, d time.Duration, do func()) {
	p.cancel()
	var timer *time.Timer
	timer = time.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if p.timer == timer {
			do()
			s.note()
		}
	})
	p.timer = timer
}

func (p *process) end(state supervisor.State) {
	p.cancel()
	p.state, p.pid, p.stop = state, 0, time.Now()
}

// start is startProcess without its waiting.
func (s *Server) start(p *process) error {
	if s.flavour == supervisor.Python {
		switch p.state {
		case supervisor.Running, supervisor.Starting, supervisor.Backoff:
			return &supervisor.Fault{Code: supervisor.FaultAlreadyStarted, Text: "ALREADY_STARTED: " + p.namespec()}
		}
	}
	if p.pid != 0 { // also while it is stopping: nothing happens, and that is no fault
		return nil
	}
	p.retries = 0
	s.spawn(p)
	return nil
}

// newPID returns the process id of the next run of p.
func (s *Server) newPID(p *process) int {
	s.lastPID++
	if s.lastPID == os.Getpid() { // which a listener would take for itself
		s.lastPID++
	}
	if p.Spawn != nil {
		return p.Spawn()
	}
	return s.lastPID
}

func (s *Server) spawn(p *process) {
	p.starts++
	p.state, p.pid, p.start, p.spawnErr = supervisor.Starting, s.newPID(p), time.Now(), ""
	switch {
	case p.Fails != nil && p.Fails(p.starts):
		s.after(p, p.Startup, func() { s.startFailed(p) })
	case p.StartTakes == 0:
		p.state = supervisor.Running
	default:
		s.after(p, p.StartTakes, func() { p.state = supervisor.Running })
	}
	s.note()
}

// startFailed has supervisord try on its own, later each time, and give up.
func (s *Server) startFailed(p *process) {
	p.end(supervisor.Backoff)
	p.spawnErr = "Exited too quickly (process log may have details)"
	p.retries++
	if p.retries > p.Retries {
		p.state = supervisor.Fatal
		return
	}
	s.after(p, time.Duration(p.retries)*time.Second, func() { s.spawn(p) })
}

// goMoment is how long the Go supervisord says STOPPED of a process that has
// stopped, before it says BACKOFF; goStartMoment if that was STARTING, which it
// looks at ten times a second only.
const (
	goMoment      = time.Millisecond
	goStartMoment = 100 * time.Millisecond
)

// stop is stopProcess without its waiting.
func (s *Server) stop(p *process) error {
	switch p.state {
	case supervisor.Running, supervisor.Starting:
		moment := goMoment
		if p.state == supervisor.Starting {
			moment = goStartMoment
		}
		p.state = supervisor.Stopping
		s.after(p, min(p.StopTakes, p.StopWait), func() {
			p.end(supervisor.Stopped)
			if s.flavour == supervisor.Go { // which calls it so for a moment only
				s.after(p, moment, func() { p.state = supervisor.Backoff })
			}
		})
		s.note()
		return nil
	case supervisor.Backoff:
		if s.flavour == supervisor.Python {
			p.end(supervisor.Stopped)
			return nil
		}
	}
	if s.flavour == supervisor.Go {
		return nil
	}
	return &supervisor.Fault{Code: supervisor.FaultNotRunning, Text: "NOT_RUNNING: " + p.namespec()}
}

// memoryListener is a net.Listener whose connections are pipes.
type memoryListener struct {
	conns  chan net.Conn
	closed <-chan struct{}
}

func (l *memoryListener) dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-l.closed:
		return nil, &net.OpError{Op: "dial", Net: "memory", Err: net.ErrClosed}
	}
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memoryListener) Close() error   { return nil }
func (l *memoryListener) Addr() net.Addr { return &net.UnixAddr{Name: "supervisortest", Net: "memory"} }
