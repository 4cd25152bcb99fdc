package conformance

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/scripttest"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
	"github.com/supervisor-checks/supervisor-checks/supervisor/supervisortest"
)

// world is what there is around one of the two programs: each has its own.
type world struct {
	t      *testing.T
	dir    string // short, for sockets
	server *supervisortest.Server
	target *target
	values map[string]string // of what a case writes as $NAME
	env    []string
	also   []string // namespecs of processes that a case has added
	steps  map[string]func()
}

func newWorld(t *testing.T, c test) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "cf") // the path of a socket must be short, which t.TempDir is not
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	w := &world{t: t, dir: dir, steps: make(map[string]func())}
	w.target = newTarget(t, dir, c.target)
	w.values = map[string]string{"DIR": dir, "PORT": w.target.port, "CLOSED": closedPort(t)}
	port, _ := strconv.Atoi(w.target.port)
	w.values["MORE"] = strconv.Itoa(port + 1<<16)
	w.values["PORT_"] = w.target.port[:1] + "_" + w.target.port[1:]
	w.values["ARABIC"] = strings.Map(func(r rune) rune { return r - '0' + '٠' }, w.target.port)
	w.supervisord(w.expand(c.processes))
	w.env = []string{
		"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "TMPDIR=" + dir,
		"GORACE=atexit_sleep_ms=0",
		"STATE_DIRECTORY=" + filepath.Join(dir, "state"),
		"SUPERVISOR_ENABLED=1", "SUPERVISOR_SERVER_URL=unix://" + w.socket(),
	}
	if c.set != nil {
		c.set(w)
	}
	return w
}

// expand fills in what a case writes as $PORT and the like.
func (w *world) expand(text string) string {
	return os.Expand(text, func(name string) string {
		if value, known := w.values[name]; known {
			return value
		}
		return "$" + name
	})
}

// collapse is the way back, so that two worlds can be compared.
func (w *world) collapse(text string) string {
	return strings.NewReplacer(w.values["PORT"], "$PORT", w.values["CLOSED"], "$CLOSED", w.values["ARABIC"], "$ARABIC", w.dir, "$DIR").Replace(text)
}

// setenv changes the environment of the program; without a value it takes the
// variable away.
func (w *world) setenv(name, value string) {
	w.env = slices.DeleteFunc(w.env, func(entry string) bool { return strings.HasPrefix(entry, name+"=") })
	if value != "" {
		w.env = append(w.env, name+"="+value)
	}
}

func (w *world) getenv(name string) string {
	for _, entry := range w.env {
		if value, found := strings.CutPrefix(entry, name+"="); found {
			return value
		}
	}
	return ""
}

// namespecs are those of all processes.
func (w *world) namespecs(processes string) []string {
	var all []string
	for _, word := range strings.Fields(w.expand(processes)) {
		if _, namespec, found := strings.Cut(word, "="); found {
			word = namespec
		}
		all = append(all, word)
	}
	return append(all, w.also...)
}

func (w *world) socket() string { return filepath.Join(w.dir, "s") }

// supervisord starts a supervisord with processes that run, unless they are
// written stopped=NAMESPEC, or that are event listeners: listener=NAMESPEC.
func (w *world) supervisord(processes string) {
	w.t.Helper()
	var programs []supervisortest.Program
	for _, word := range strings.Fields(processes) {
		var p supervisortest.Program
		if namespec, ok := strings.CutPrefix(word, "stopped="); ok {
			word, p.Stopped = namespec, true
		}
		if namespec, ok := strings.CutPrefix(word, "listener="); ok {
			word, p.Listener = namespec, true
		}
		p.Group, p.Name = supervisor.SplitNamespec(word)
		programs = append(programs, p)
	}
	w.server = supervisortest.NewServer(supervisor.Python, programs...)
	w.t.Cleanup(w.server.Close)
	socket, err := net.Listen("unix", w.socket())
	if err != nil {
		w.t.Fatal(err)
	}
	go w.server.Serve(socket)
}

// runsAs lets a process run as a real one, until it is restarted.
func (w *world) runsAs(namespec string, pid int) {
	nobody := gone(w.t)
	p := supervisortest.Program{Spawn: func() int {
		next := pid
		nobody++
		pid = nobody
		return next
	}}
	p.Group, p.Name = supervisor.SplitNamespec(namespec)
	w.server.Remove(namespec)
	w.server.Add(p)
}

// login lets supervisord be at a port of its own, and ask for a login.
func (w *world) login(user, password string) {
	front := scripttest.NewLogin(w.server, user, password)
	w.t.Cleanup(front.Close)
	w.setenv("SUPERVISOR_SERVER_URL", front.URL)
}

// closedPort returns a port that refuses connections.
func closedPort(t *testing.T) string {
	t.Helper()
	port, free, err := scripttest.ClosedPort()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(free)
	return port
}

// A behaviour is what a watched process does with its connection number n, from
// 1 on, once the request has been read.
type behaviour func(n int, conn net.Conn)

// target is a watched process as far as checks can see it: a port, and a socket
// named "sock" in the world's folder. It keeps what it is asked.
type target struct {
	port string

	listeners []net.Listener
	behaves   behaviour
	handlers  sync.WaitGroup

	mu       sync.Mutex
	requests []*request // by connection
	grown    chan struct{}
	ended    bool
}

type request struct {
	conn     net.Conn
	at       time.Time
	text     string
	complete bool
}

func newTarget(t *testing.T, dir string, behaves behaviour) *target {
	t.Helper()
	tg := &target{behaves: behaves, grown: make(chan struct{})}
	if behaves == nil {
		tg.behaves = answers(ok)
	}
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, tg.port, _ = net.SplitHostPort(port.Addr().String())
	socket, err := net.Listen("unix", filepath.Join(dir, "sock"))
	if err != nil {
		t.Fatal(err)
	}
	tg.listeners = []net.Listener{port, socket}
	for _, l := range tg.listeners {
		go tg.accept(l)
	}
	t.Cleanup(func() { tg.close() })
	return tg
}

// farewell is how the test itself says that nobody else will ask.
const farewell = "END\r\n\r\n"

func (tg *target) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		tg.mu.Lock()
		r := &request{conn: conn, at: time.Now()}
		tg.requests = append(tg.requests, r)
		number := len(tg.requests)
		tg.handlers.Go(func() { tg.serve(number, r) })
		tg.mu.Unlock()
	}
}

func (tg *target) serve(number int, r *request) {
	defer r.conn.Close()
	text := readRequest(r.conn)
	tg.mu.Lock()
	r.text, r.complete = text, true
	close(tg.grown)
	tg.grown = make(chan struct{})
	over := tg.ended
	tg.mu.Unlock()
	if text != farewell && !over {
		tg.behaves(number, r.conn)
	}
}

// readRequest reads a request up to the end of its body, or to where the client
// hangs up.
func readRequest(conn net.Conn) string {
	var text []byte
	buffer := make([]byte, 4096)
	for {
		head, body, whole := strings.Cut(string(text), "\r\n\r\n")
		if whole {
			length := regexp.MustCompile(`(?i)\r\ncontent-length: *(\d+)`).FindStringSubmatch(head)
			if length == nil {
				return string(text)
			}
			if n, _ := strconv.Atoi(length[1]); len(body) >= n {
				return string(text)
			}
		}
		n, err := conn.Read(buffer)
		text = append(text, buffer[:n]...)
		if err != nil {
			return string(text)
		}
	}
}

// awaitRequest waits until the target has been asked so often.
func (tg *target) awaitRequest(count int, limit <-chan struct{}) error {
	for {
		tg.mu.Lock()
		complete := 0
		for _, r := range tg.requests {
			if r.complete {
				complete++
			}
		}
		grown := tg.grown
		tg.mu.Unlock()
		if complete >= count {
			return nil
		}
		select {
		case <-grown:
		case <-limit:
			return fmt.Errorf("the process was asked %d times, want %d", complete, count)
		}
	}
}

// end returns what was asked, in the order of the connections, and how much
// time passed between them. Those that the system has queued are taken first:
// ours comes after them.
func (tg *target) end() (texts []string, pauses []time.Duration) {
	for _, l := range tg.listeners {
		conn, err := net.Dial(l.Addr().Network(), l.Addr().String())
		if err == nil {
			io.WriteString(conn, farewell)
			io.Copy(io.Discard, conn) // until it has been read
			conn.Close()
		}
	}
	tg.close()
	var last time.Time
	for _, r := range tg.requests {
		if r.text == farewell {
			continue
		}
		if texts = append(texts, r.text); len(texts) > 1 {
			pauses = append(pauses, r.at.Sub(last))
		}
		last = r.at
	}
	return texts, pauses
}

func (tg *target) close() {
	for _, l := range tg.listeners {
		l.Close()
	}
	tg.mu.Lock()
	tg.ended = true
	for _, r := range tg.requests {
		r.conn.Close()
	}
	tg.mu.Unlock()
	tg.handlers.Wait()
}

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

// answers says the first text on the first connection, and so on; the last one
// on all that follow.
func answers(texts ...string) behaviour {
	return func(n int, conn net.Conn) { io.WriteString(conn, texts[min(n, len(texts))-1]) }
}

// status answers with a status line and nothing else.
func status(line string) behaviour {
	return answers("HTTP/1.1 " + line + "\r\nContent-Length: 0\r\n\r\n")
}

// hangs says nothing until the client hangs up.
func hangs(_ int, conn net.Conn) { io.Copy(io.Discard, conn) }

// resets ends the connection as a process does that is killed.
func resets(_ int, conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
}

// trickles says a text one byte at a time.
func trickles(text string, pause time.Duration) behaviour {
	return func(_ int, conn net.Conn) {
		clock := time.NewTicker(pause)
		defer clock.Stop()
		for i := range len(text) {
			if _, err := io.WriteString(conn, text[i:i+1]); err != nil {
				return
			}
			<-clock.C
		}
	}
}
