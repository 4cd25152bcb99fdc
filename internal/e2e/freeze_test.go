package e2e

import (
	"bytes"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
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
	const config = `
[program:worker]
command=/bin/sleep 10000
startsecs=0
stopwaitsecs=1
`
	underEach(t, config+listener("lis", "supervisor_tcp_check -n f -g worker -p 1 -t 1 --server-url {url}.between", -1), func(h *host) {
		frozen := h.freezeWhenTold("supervisor.stopProcess")
		h.until("it is frozen", 60*time.Second, frozen.Load)
		h.until("the listener has ended", 60*time.Second, func() bool { return h.Child("supervisor_tcp_check -n f") == 0 })
		if err := syscall.Kill(h.PID(), syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		h.until("the next listener has finished the restart", 30*time.Second, func() bool {
			return strings.Contains(h.log("lis"), "cannot go on: supervisord has stopped sending ticks") &&
				strings.Contains(h.log("lis"), "worker was being restarted") && strings.Contains(h.log("lis"), "worker runs again with pid")
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
			h.t.Error(err)
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
