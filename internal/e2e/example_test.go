package e2e

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// TestExampleConfiguration runs examples/supervisord/supervisord.conf, with
// other paths and ports, and has one of its workers go
// bad. The log of that is the one that the README shows.
func TestExampleConfiguration(t *testing.T) {
	text, err := os.ReadFile("../../examples/supervisord/supervisord.conf")
	if err != nil {
		t.Fatal(err)
	}
	config := string(text)
	for _, change := range [][2]string{
		{"file=/run/supervisor.sock\n", ""}, // the test has its own
		{"chmod=0700 ", ""},
		{"/usr/local/bin/web --port 800%(process_num)d", "{self} worker {tens}%(process_num)d"},
		{"web_800%(process_num)d", "web_{tens}%(process_num)d"},
		{"numprocs_start=1", "numprocs_start={ones}"},
		{"/usr/local/bin/", "{bin}/"},
		{"/var/log/web_http.log", "%(here)s/web_http.err"},
		{"/var/log/web_heartbeat.log", "%(here)s/web_heartbeat.err"},
		{"-t 5", "-t 5 --state-dir %(here)s/state"},
		{"-t 30 -x", "-t 30 -x -d . --state-dir %(here)s/state"},
	} {
		if !strings.Contains(config, change[0]) {
			t.Fatalf("the example has no %q any more", change[0])
		}
		config = strings.ReplaceAll(config, change[0], change[1])
	}
	config = strings.ReplaceAll(config, "\n                            ;", "\n;")
	underEach(t, config, func(h *host) {
		var err error
		h.client, err = supervisor.NewClient(supervisor.Config{URL: h.URL, Username: "listener", Password: "change-me"})
		if err != nil {
			h.t.Fatal(err)
		}
		processes, err := h.client.Processes(h.t.Context())
		if err != nil {
			h.t.Fatal(err)
		}
		web := slices.IndexFunc(processes, func(p supervisor.Process) bool { return p.Group == "web" })
		worker := processes[web].Namespec()
		before := h.running(worker)
		h.spoil(before.PID)
		h.restarted(before, 40*time.Second)
		h.until("it is healthy again", 10*time.Second, func() bool {
			return strings.Contains(h.log("web_http"), worker+" healthy again")
		})
		got := normalise(h.log("web_http"))
		shown := block(h.t, "the log of TestExampleConfiguration")
		if want := normalise(shown); got != want {
			h.t.Errorf("the log is\n%s\nand the README shows\n%s", h.log("web_http"), shown)
		}
	})
}

// normalise removes from a log what is different each time.
func normalise(log string) string {
	for _, change := range [][2]string{
		{`time=\S+ `, ""}, {`unix://[^ ,]+`, "unix://SOCKET"}, {`web_\d+`, "web_PORT"}, {`:\d{2,5}:`, ":PORT:"},
		{`(pid|was|pid=|new_pid=)( ?)\d+`, "$1${2}PID"}, {`[\d.]+m?s\b`, "TIME"},
	} {
		log = regexp.MustCompile(change[0]).ReplaceAllString(log, change[1])
	}
	return log
}
