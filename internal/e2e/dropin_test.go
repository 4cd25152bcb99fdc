package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// TestDropIn runs the configuration of somebody who uses supervisor_checks, with
// other paths, ports and a shorter period only: all listeners run, answer each
// event, see a healthy process, and one restarts it when it uses too much memory.
func TestDropIn(t *testing.T) {
	text, err := os.ReadFile("testdata/supervisor_checks.conf")
	if err != nil {
		t.Fatal(err)
	}
	config := strings.NewReplacer(
		"/usr/local/bin/example_service --port 8080", "{self} worker {port1}",
		"/usr/local/bin/", "{bin}/",
		"8080", "{port1}",
		"/var/run/", "./",
		"-stderr.log", ".err",
		"/var/log/supervisor/", "%(here)s/",
		"TICK_60", "TICK_5\nautostart=false", // until the service listens
	).Replace(string(text))
	// What supervisord tells no listener: where to keep its journal, and where
	// processes send their heartbeats to.
	config += "\n[supervisord]\nenvironment=STATE_DIRECTORY=\"%(here)s/state\",TMPDIR=\"%(here)s\"\n"
	underEach(t, config, func(h *host) {
		processes, err := h.client.Processes(h.t.Context())
		if err != nil {
			h.t.Fatal(err)
		}
		var service supervisor.Process
		var listeners []supervisor.Process
		for _, p := range processes {
			if p.Group == "example_service" {
				service = p
			} else {
				listeners = append(listeners, p)
			}
		}
		if len(listeners) != strings.Count(config, "[eventlistener:") || service.Name == "" {
			h.t.Fatal(processes)
		}
		h.listens(service)
		h.start(listeners)
		service = h.running(service.Namespec())
		for i, lis := range listeners {
			listeners[i] = h.running(lis.Namespec())
		}
		answered := func(lis supervisor.Process, ticks int) {
			h.t.Helper()
			h.until(fmt.Sprintf("%s has answered %d events", lis.Name, ticks), time.Minute, func() bool {
				return strings.Count(h.Log(), "DEBG "+lis.Name+": event was processed\n") >= ticks
			})
		}
		for _, lis := range listeners {
			answered(lis, 2)
			answers, err := os.ReadFile(filepath.Join(h.Dir, lis.Name+"-stdout.log"))
			if protocol := regexp.MustCompile(`^(READY\nRESULT 2\nOK){2,}(READY\n)?$`); err != nil || !protocol.Match(answers) {
				h.t.Errorf("%s writes %q to its standard output, %v", lis.Name, answers, err)
			}
			says := `time=\S+ level=INFO msg="watches \S.* of supervisord at .*" listener=example_check\n`
			if lis.Name == "file_all" {
				says += `time=\S+ level=WARN msg="neither -g nor -N was given: every process is watched: ` + service.Namespec() + `; left out: .*" listener=example_check\n`
			}
			if log := h.log(lis.Name); !regexp.MustCompile(`^` + says + `$`).MatchString(log) {
				h.t.Errorf("%s logs\n%s\nwant no more than what it watches", lis.Name, log)
			}
		}
		if now := h.process(service.Namespec()); !now.SameRun(service) {
			h.t.Errorf("a healthy process was restarted: %+v", now)
		}
		h.spoil(service.PID, memory)
		h.restarted(service, time.Minute)
		h.until("its restart is logged", time.Minute, func() bool {
			return strings.Contains(h.log("memory"), service.Namespec()+" runs again with pid ")
		})
		for _, lis := range listeners {
			answered(lis, 3)
			if now := h.process(lis.Namespec()); !now.SameRun(lis) || now.State != supervisor.Running {
				h.t.Errorf("%s ended: %+v", lis.Name, now)
			}
		}
		for _, word := range []string{"overflow", "UNKNOWN", "rejected", "bad result"} {
			if strings.Contains(h.Log(), word) {
				h.t.Errorf("supervisord's log has the word %q", word)
			}
		}
	})
}
