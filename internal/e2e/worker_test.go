package e2e

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/supervisor-checks/supervisor-checks/notify"
)

// The test binary is also the worker that supervisord runs. It sends heartbeats
// to its working directory and, with a port, answers HTTP there, until there is
// a file bad-PID: then it does neither. It takes as long to stop as WORKER_STOPS
// says, at random up to that with WORKER_RANDOM, and then may fail to start.
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
	var web net.Listener
	if len(os.Args) > 2 {
		var err error
		if web, err = net.Listen("tcp", "127.0.0.1:"+os.Args[2]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		go http.Serve(web, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }))
	}
	heartbeat, err := notify.Open(".")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for {
		select {
		case <-terms:
			time.Sleep(stops)
			return
		case <-time.After(100 * time.Millisecond):
		}
		_, bad := os.Stat("bad-" + strconv.Itoa(os.Getpid()))
		_, allBad := os.Stat("bad")
		if bad != nil && allBad != nil {
			heartbeat.Notify()
			continue
		}
		if web != nil {
			web.Close()
		}
	}
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

// spoil makes the worker with that pid go bad.
func (h *host) spoil(pid int) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.Dir, "bad-"+strconv.Itoa(pid)), nil, 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// freeze stops a process without its knowledge, until the end of the test.
func freeze(h *host, pid int) {
	h.t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { syscall.Kill(pid, syscall.SIGCONT) })
}
