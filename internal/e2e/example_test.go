package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/realsupervisord"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// TestExampleConfiguration runs examples/supervisord/supervisord.conf, with
// other paths and ports, and has one of its workers go
// bad. The log of that is the one that the README shows.
func TestExampleConfiguration(t *testing.T) {
	config := example(t, "supervisord", [][2]string{
		{"file=/run/supervisor.sock\n", ""}, // the test has its own
		{"chmod=0700 ", ""},
		{"/usr/local/bin/web --port 800%(process_num)d", "{self} worker {tens}%(process_num)d"},
		{"web_800%(process_num)d", "web_{tens}%(process_num)d"},
		{"/usr/local/bin/", "{bin}/"},
		{"/var/log/web_http.log", "%(here)s/web_http.err"},
		{"/var/log/web_heartbeat.log", "%(here)s/web_heartbeat.err"},
		{"-t 5", "-t 5 --state-dir %(here)s/state"},
		{"-t 30 -x", "-t 30 -x -d . --state-dir %(here)s/state"},
		late,
	})
	config = strings.ReplaceAll(config, "\n                            ;", "\n;")
	underEach(t, config, func(h *host) {
		worker := h.logIn()[0].Namespec()
		before := h.running(worker)
		h.spoil(before.PID)
		h.restarted(before, 40*time.Second)
		h.until("it is healthy again", time.Minute, func() bool {
			return strings.Contains(h.log("web_http"), worker+" healthy again")
		})
		got := normalise(h.log("web_http"))
		shown := block(h.t, "the log of TestExampleConfiguration")
		want := normalise(shown)
		leftOut := regexp.MustCompile(`(?m)^.* is left out of rounds .*\n`) // it depends on when ticks come whether there is one
		if found := leftOut.FindString(got); found != "" && found != leftOut.FindString(want) ||
			leftOut.ReplaceAllString(got, "") != leftOut.ReplaceAllString(want, "") {
			h.t.Errorf("the log is\n%s\nand the README shows\n%s", h.log("web_http"), shown)
		}
	})
}

// TestCompositeExample runs examples/composite/supervisord.conf, with other paths
// and ports, and has one of its workers go bad.
func TestCompositeExample(t *testing.T) {
	config := example(t, "composite", [][2]string{
		{"file=/run/supervisor.sock\n", ""}, // the test has its own
		{"chmod=0700\n", ""},
		{"/usr/local/bin/web --port 800%(process_num)d", "{self} worker {tens}%(process_num)d"},
		{"web_800%(process_num)d", "web_{tens}%(process_num)d"},
		{"/usr/local/bin/", "{bin}/"},
		{"/var/log/web_health.log", "%(here)s/web_health.err"},
		{"-g web -c", "-g web --log-level debug --state-dir %(here)s/state -c"},
		{`"timeout": 5, "num_retries": 2`, `"timeout": 20, "num_retries": 0`},
		late,
	})
	underEach(t, config, func(h *host) {
		web := h.logIn()
		if len(web) != 3 {
			h.t.Fatalf("there are %d workers, want 3", len(web))
		}
		for i, p := range web {
			web[i] = h.running(p.Namespec())
		}
		h.spoil(web[0].PID)
		h.restarted(web[0], 30*time.Second)
		h.until("it is healthy again", time.Minute, func() bool {
			return strings.Contains(h.log("web_health"), web[0].Namespec()+" healthy again: http (was unhealthy)")
		})
		for _, p := range web[1:] {
			for _, check := range []string{"http", "memory", "cpu"} {
				h.until(p.Namespec()+" is healthy: "+check, time.Minute, func() bool {
					return strings.Contains(h.log("web_health"), p.Namespec()+" healthy: "+check)
				})
			}
			if now := h.process(p.Namespec()); !now.SameRun(p) {
				h.t.Errorf("%s was touched: %+v", p.Namespec(), now)
			}
		}
	})
}

// TestOneListenerExample runs examples/one_listener, with other paths and ports, and
// has one of its workers go bad. Before that its file is read anew.
func TestOneListenerExample(t *testing.T) {
	text, err := os.ReadFile("../../examples/one_listener/checks.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const name = "checks.yaml"
	good := strings.Replace(string(text), "max_age: 30s", "max_age: 1h", 1)
	config := example(t, "one_listener", [][2]string{
		{"file=/run/supervisor.sock\n", ""}, // the test has its own
		{"chmod=0700\n", ""},
		{"/usr/local/bin/web --port %(process_num)d", "{self} worker %(process_num)d"},
		{"numprocs=4", "numprocs=3"},
		{"numprocs_start=8001", "numprocs_start={tens}1"},
		{"/usr/local/bin/worker", "/bin/sleep 1000"},
		{"/usr/local/bin/", "{bin}/"},
		{"/etc/supervisor-checks.yaml", "%(here)s/" + name + " --state-dir %(here)s/state"},
		{"/var/log/supervisor/checks.log", "%(here)s/checks.err"},
	})
	underEach(t, config, func(h *host) {
		h.until("all run", time.Minute, func() bool {
			all, err := h.client.Processes(t.Context())
			return err == nil && len(all) == 5 && !slices.ContainsFunc(all, func(p supervisor.Process) bool { return p.State != supervisor.Running })
		})
		listener, file := h.process("checks"), filepath.Join(h.Dir, name)
		write := func(text string) {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				h.t.Fatal(err)
			}
		}
		hangUp := func(want string) {
			h.t.Helper()
			h.until(want, time.Minute, func() bool { return strings.Contains(h.log("checks"), "watches ") })
			if err := syscall.Kill(listener.PID, syscall.SIGHUP); err != nil {
				h.t.Fatal(err)
			}
			h.until(want, time.Minute, func() bool { return strings.Contains(h.log("checks"), want) })
		}
		write(strings.Replace(good, "memory: {max", "memory: {most", 1))
		hangUp(file + ":10:18: watch[0].checks[1].memory: there is no key \\\"most\\\"")
		write(strings.Replace(strings.Replace(good, "400MiB", "500MiB", 1), "name: checks", "name: other", 1))
		hangUp("take effect when the listener is started anew: name")
		hangUp("reloaded: watches web:*, !web:canary; worker (http, memory, file)")
		if now := h.process("checks"); !now.SameRun(listener) {
			h.t.Errorf("SIGHUP has ended the listener: %+v", now)
		}
		write(good)
		all, _ := h.client.Processes(t.Context())
		i := slices.IndexFunc(all, func(p supervisor.Process) bool { return p.Group == "web" })
		before := all[i]
		h.says(explained(before.Namespec(), "checks", "http +healthy +0 of 3", "nothing: no check fails", "0 of 5/10m"), "explain")
		h.spoil(before.PID)
		h.restarted(before, 60*time.Second)
		h.until("it works again", 30*time.Second, func() bool { return strings.Contains(h.log("checks"), before.Namespec()+" works again") })
		for _, p := range all {
			if now := h.process(p.Namespec()); p.Namespec() != before.Namespec() && !now.SameRun(p) {
				h.t.Errorf("%s was touched: %+v", p.Namespec(), now)
			}
		}
	}, realsupervisord.File{Name: name, Text: good})
}

// late is a change to an example whose listeners logIn starts. Else a tick could find a
// worker that runs and does not listen yet.
var late = [2]string{"autorestart=true", "autorestart=true\nautostart=false"}

// logIn has the test ask supervisord with the login of the examples, starts their
// listeners when their workers listen, and returns these.
func (h *host) logIn() []supervisor.Process {
	h.t.Helper()
	var err error
	h.client, err = supervisor.NewClient(supervisor.Config{URL: h.URL, Username: "listener", Password: "change-me"})
	if err != nil {
		h.t.Fatal(err)
	}
	processes, err := h.client.Processes(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	var web, listeners []supervisor.Process
	for _, p := range processes {
		if p.Group == "web" {
			h.listens(p)
			web = append(web, p)
		} else {
			listeners = append(listeners, p)
		}
	}
	h.start(listeners)
	return web
}

// example returns the supervisord.conf of an example, with changes to it.
func example(t *testing.T, name string, changes [][2]string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "examples", name, "supervisord.conf"))
	if err != nil {
		t.Fatal(err)
	}
	config := string(text)
	for _, change := range changes {
		if !strings.Contains(config, change[0]) {
			t.Fatalf("the example has no %q any more", change[0])
		}
		config = strings.ReplaceAll(config, change[0], change[1])
	}
	return config
}

// normalise removes from a log what is different each time.
func normalise(log string) string {
	for _, change := range [][2]string{
		{`time=\S+ `, ""}, {`evidence in \S+`, "evidence in FOLDER)"}, {`unix://[^ ,;]+`, "unix://SOCKET"}, {`state in [^ "]+`, "state in FOLDER"}, {`web_\d+`, "web_PORT"}, {`:\d{2,5}:`, ":PORT:"},
		{`(pid|was|pid=|new_pid=)( ?)\d+`, "$1${2}PID"}, {`[\d.]+m?s\b`, "TIME"},
	} {
		log = regexp.MustCompile(change[0]).ReplaceAllString(log, change[1])
	}
	return log
}

// TestPolicyExample runs examples/policy/supervisord.conf, with other paths and
// ports, and has one of its workers go bad.
func TestPolicyExample(t *testing.T) {
	config := example(t, "policy", [][2]string{
		{"file=/run/supervisor.sock\n", ""}, // the test has its own
		{"chmod=0700\n", ""},
		{"/usr/local/bin/web --port 800%(process_num)d", "{self} worker {tens}%(process_num)d"},
		{"web_800%(process_num)d", "web_{tens}%(process_num)d"},
		{"/usr/local/bin/", "{bin}/"},
		{"/var/log/web_http.log", "%(here)s/web_http.err"},
		{"/var/log/evidence", "%(here)s/evidence --state-dir %(here)s/state"},
		late,
	})
	underEach(t, config, func(h *host) {
		web := h.logIn()
		worker := h.running(web[0].Namespec())
		h.says(explained(worker.Namespec(), "web_http", "http +healthy +0 of 3", "nothing: no check fails", "0 of 5/10m"), "explain")
		h.spoil(worker.PID, status)
		h.restarted(worker, time.Minute)
		h.until("it works again", 30*time.Second, func() bool {
			return strings.Contains(h.log("web_http"), worker.Namespec()+" works again, ")
		})
		early := regexp.MustCompile(`(?m)^.* unhealthy: http: dial tcp .* connection refused".*\n`) // the worker may run before it listens
		got := early.ReplaceAllString(normalise(h.log("web_http")), "")
		shown := block(h.t, "the log of TestPolicyExample")
		if want := normalise(shown); !strings.HasSuffix(got, want) {
			h.t.Errorf("the log is\n%s\nand the README shows\n%s", h.log("web_http"), shown)
		}
	})
}
