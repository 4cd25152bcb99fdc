package e2e

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/supervisor-checks/supervisor-checks/notify"
)

// The test binary is also the worker that supervisord runs. It sends heartbeats
// to its working directory and, with a port, answers HTTP and XML-RPC there and
// at the socket NAME.sock, until there is a file bad-PID with the ways in which
// it goes bad. A file bad is for all workers, and stops their heartbeats. A
// worker takes as long to stop as WORKER_STOPS says, at random up to that with
// WORKER_RANDOM, and then may fail to start; and as long as there is a file hold-PID.
func worker() {
	name := os.Getenv("SUPERVISOR_PROCESS_NAME")
	stops, _ := time.ParseDuration(os.Getenv("WORKER_STOPS"))
	terms := make(chan os.Signal, 1)
	signal.Notify(terms, syscall.SIGTERM)
	if os.Getenv("WORKER_RANDOM") != "" {
		if err := only(name); err != nil {
			os.WriteFile("twice-"+name, []byte(err.Error()), 0o600)
		}
		if starts := count("starts-" + name); starts > 1 && rand.IntN(5) == 0 {
			time.Sleep(time.Duration(rand.Int64N(int64(900 * time.Millisecond)))) // within startsecs
			fmt.Println("fails to start")
			os.Exit(1)
		}
		stops = time.Duration(rand.Int64N(int64(stops)))
	}
	heartbeat, err := notify.Open(".")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	var web service
	if len(os.Args) > 2 {
		if err := web.serve(os.Args[2], name); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	for beats := true; ; {
		select {
		case <-terms:
			time.Sleep(stops)
			for exists("hold-" + strconv.Itoa(os.Getpid())) {
				time.Sleep(20 * time.Millisecond)
			}
			return
		case <-time.After(100 * time.Millisecond):
		}
		if _, err := os.Stat("bad"); beats && err != nil {
			heartbeat.Notify()
		}
		order := "bad-" + strconv.Itoa(os.Getpid())
		ways, err := os.ReadFile(order)
		if err != nil {
			continue
		}
		os.Remove(order)
		for _, way := range strings.Fields(string(ways)) {
			var err error
			switch way {
			case heartbeats:
				beats = false
			case link:
				beats = false
				err = replace(notify.Path(".", os.Getenv("SUPERVISOR_GROUP_NAME"), name, os.Getpid()))
			default:
				err = web.goBad(way)
			}
			if err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
		}
	}
}

// The ways in which a worker goes bad, and one in which it does not.
const (
	heartbeats = "heartbeats" // it sends no more
	link       = "link"       // it sends no more, and where they were is a symbolic link
	closed     = "closed"     // its port and its socket refuse connections
	status     = "status"     // it answers HTTP with status 500
	fault      = "fault"      // it answers XML-RPC with a fault
	memory     = "memory"     // it uses more than memoryLimit
	child      = "child"      // a child of it does
	processor  = "processor"  // it uses a sixth of a processor, or what it gets
	zombie     = "zombie"     // a child of it has ended, which it does not notice
)

// memoryLimit is much more memory than a worker uses that is well.
const memoryLimit = 100 << 20

// service is what a worker answers.
type service struct {
	listeners     []net.Listener
	status, fault atomic.Bool
}

// serve listens, if the worker has a name, at NAME.sock, and then at a port.
func (s *service) serve(port, name string) error {
	if name != "" {
		os.Remove(name + ".sock") // of the worker before
		l, err := net.Listen("unix", name+".sock")
		if err != nil {
			return err
		}
		s.listeners = append(s.listeners, l)
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	s.listeners = append(s.listeners, l)
	for _, l := range s.listeners {
		go http.Serve(l, s)
	}
	return nil
}

// ServeHTTP answers calls of XML-RPC, which are sent with POST, and others.
func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const answer = "<?xml version='1.0'?><methodResponse>%s</methodResponse>"
	switch {
	case r.Method == http.MethodPost && s.fault.Load():
		fmt.Fprintf(w, answer, "<fault><value><struct><member><name>faultCode</name><value><int>7</int></value></member>"+
			"<member><name>faultString</name><value><string>I am tired</string></value></member></struct></value></fault>")
	case r.Method == http.MethodPost:
		fmt.Fprintf(w, answer, "<params><param><value><string>fine</string></value></param></params>")
	case s.status.Load():
		w.WriteHeader(http.StatusInternalServerError)
	default:
		io.WriteString(w, "ok")
	}
}

func (s *service) goBad(way string) error {
	switch way {
	case closed:
		for _, l := range s.listeners {
			l.Close()
		}
	case status:
		s.status.Store(true)
	case fault:
		s.fault.Store(true)
	case memory:
		return use(memoryLimit)
	case child:
		hoarder := exec.Command("/proc/self/exe", "hoard")
		hoarder.Stdout = os.Stdout
		if _, err := hoarder.StdinPipe(); err != nil { // whose other end is closed when the worker ends
			return err
		}
		return hoarder.Start()
	case processor:
		go func() {
			for ; ; time.Sleep(50 * time.Millisecond) {
				for end := used() + 10*time.Millisecond; used() < end; {
				}
			}
		}()
	case zombie:
		return exec.Command("true").Start()
	default:
		return fmt.Errorf("there is no way %q to go bad", way)
	}
	return nil
}

// replace puts a symbolic link in the place of a file.
func replace(path string) error {
	if err := os.Symlink("nowhere", path+".link"); err != nil {
		return err
	}
	return os.Rename(path+".link", path)
}

// knock finds out whether a worker with its port in its name, as web_8000, accepts
// connections. It is also a script.
func knock(name string) error {
	_, port, _ := strings.Cut(name, "_")
	c, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	return c.Close()
}

// used returns how much processor time this process has used.
func used() time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// hoard uses memory until its standard input is at its end.
func hoard() {
	if err := use(memoryLimit); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	io.Copy(io.Discard, os.Stdin)
}

// use fills memory, which is not Go's: there the race detector would need four
// times as much besides.
func use(bytes int) error {
	pages, err := unix.Mmap(-1, 0, bytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return fmt.Errorf("use %d bytes of memory: %w", bytes, err)
	}
	for i := 0; i < len(pages); i += os.Getpagesize() {
		pages[i] = 1
	}
	return nil
}

// only makes sure that there is one worker of that name.
func only(name string) error {
	fd, err := unix.Open("lock-"+name, unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
}

// count adds one to the number in a file.
func count(file string) int {
	text, _ := os.ReadFile(file)
	n, _ := strconv.Atoi(string(text))
	os.WriteFile(file, []byte(strconv.Itoa(n+1)), 0o600)
	return n + 1
}

// spoil makes the worker with that pid go bad in these ways, or else send no
// heartbeats any more and refuse connections.
func (h *host) spoil(pid int, ways ...string) {
	h.t.Helper()
	if len(ways) == 0 {
		ways = []string{heartbeats, closed}
	}
	order := filepath.Join(h.Dir, "bad-"+strconv.Itoa(pid))
	if err := os.WriteFile(order+".new", []byte(strings.Join(ways, " ")), 0o600); err != nil {
		h.t.Fatal(err)
	}
	if err := os.Rename(order+".new", order); err != nil {
		h.t.Fatal(err)
	}
}

// hold keeps the worker with that pid from ending when it is told to stop, until it is let
// go.
func (h *host) hold(pid int) (letGo func()) {
	h.t.Helper()
	order := filepath.Join(h.Dir, "hold-"+strconv.Itoa(pid))
	if err := os.WriteFile(order, nil, 0o600); err != nil {
		h.t.Fatal(err)
	}
	letGo = func() { os.Remove(order) }
	h.t.Cleanup(letGo)
	return letGo
}

// freeze stops a process without its knowledge, until the end of the test.
func freeze(h *host, pid int) {
	h.t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { syscall.Kill(pid, syscall.SIGCONT) })
}
