package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// TestSupervisordIsFrozen has supervisord frozen, like the machine that it is on may be, when
// it is told to stop a process, and go on when the listener has given up: what it stops
// then, the next listener starts.
func TestSupervisordIsFrozen(t *testing.T) {
	testFrozen(t, func(h *host, listener int) {
		h.until("the listener has ended", 60*time.Second, func() bool {
			command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", listener))
			return err == nil && len(command) == 0 // nobody has reaped it yet
		})
	}, "cannot go on: supervisord has stopped sending ticks")
}

// TestKilledWhileSupervisordIsFrozen has the listener killed meanwhile, later than
// supervisord would have stopped the process had it not been frozen.
func TestKilledWhileSupervisordIsFrozen(t *testing.T) {
	testFrozen(t, func(h *host, listener int) {
		<-time.After(5 * time.Second)
		if err := syscall.Kill(listener, syscall.SIGKILL); err != nil {
			h.t.Fatal(err)
		}
	}, "worker is restarted (pid ")
}

// testFrozen freezes supervisord when it is told to stop a process, until the listener has
// ended, and wants the next listener to start the process.
func testFrozen(t *testing.T, ends func(h *host, listener int), said string) {
	const config = `
[program:worker]
command=/bin/sleep 10000
startsecs=0
stopwaitsecs=1
`
	underEach(t, config+listener("lis", "supervisor_tcp_check -n f -g worker -p 1 -t 1 --server-url {url}.between", -1), func(h *host) {
		listener := h.running("lis").PID
		frozen := h.freezeWhenTold("supervisor.stopProcess")
		h.until("it is frozen", 60*time.Second, frozen.Load)
		ends(h, listener)
		if err := syscall.Kill(h.PID(), syscall.SIGCONT); err != nil {
			h.t.Fatal(err)
		}
		h.until("the next listener has finished the restart", 30*time.Second, func() bool {
			log := h.log("lis")
			return strings.Contains(log, said) && strings.Contains(log, "worker was being restarted") && strings.Contains(log, "worker runs again with pid")
		})
		h.until("it runs", 30*time.Second, func() bool { return h.process("worker").State == supervisor.Running })
	})
}

// freezeWhenTold listens beside the supervisord's socket, hands on all that it is told there,
// and freezes supervisord just before it is told that for the first time.
func (h *host) freezeWhenTold(method string) (frozen *atomic.Bool) {
	h.t.Helper()
	socket, pid := strings.TrimPrefix(h.URL, "unix://"), h.PID()
	l, err := net.Listen("unix", socket+".between")
	if err != nil {
		h.t.Fatal(err)
	}
	handOn := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: "supervisord"}) },
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}},
		ErrorLog: log.New(io.Discard, "", 0), // of those who have given up
	}
	frozen = new(atomic.Bool)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the listener has given up
		}
		if bytes.Contains(body, []byte(method)) && frozen.CompareAndSwap(false, true) {
			syscall.Kill(pid, syscall.SIGSTOP)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		handOn.ServeHTTP(w, r)
	})}
	go server.Serve(l)
	h.t.Cleanup(func() {
		syscall.Kill(pid, syscall.SIGCONT)
		server.Close()
	})
	return frozen
}
