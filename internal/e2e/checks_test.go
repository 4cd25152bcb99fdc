package e2e

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/proc"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// spoiled is a way in which a worker goes bad, and what a listener says of it, a
// regular expression.
type spoiled struct{ way, why string }

// interval is for how long a worker of TestEachCheckRestarts may use much
// processor time: longer than from one tick to the next.
const interval = 8 * time.Second

// eachCheck has for each program a group of workers that a listener of it
// watches, and variants of that. A worker goes bad in each of the ways, and one
// in a way that is not the check's business.
var eachCheck = []struct {
	group, command string
	bad            []spoiled
	other          string
}{
	{"http", `supervisor_http_check -u / -p 'http_([0-9]+)' -t 20 -r 0`,
		[]spoiled{{closed, "http: dial tcp .* connection refused"}, {status, "http: 500 Internal Server Error"}}, fault},
	{"tcp", `supervisor_tcp_check -p 'tcp_([0-9]+)' -t 20 -r 0`,
		[]spoiled{{closed, "tcp: dial tcp .* connection refused"}}, status},
	{"file", `supervisor_file_check -t 15 -d .`,
		[]spoiled{{heartbeats, "file: the last heartbeat is .* old, more than 15s: "}}, closed},
	{"xmlrpc", `supervisor_xmlrpc_check -u /RPC2 -p 'xmlrpc_([0-9]+)' -t 20 -r 0`,
		[]spoiled{{closed, "xmlrpc: dial tcp .* connection refused"}, {fault, `xmlrpc: fault 7: \\"I am tired\\"`}}, status},
	{"socket", `supervisor_xmlrpc_check -S . -t 20 -r 0`,
		[]spoiled{{closed, `xmlrpc: dial unix socket_[0-9]+\.sock: connect: .*`}, {fault, `xmlrpc: fault 7: \\"I am tired\\"`}}, heartbeats},
	{"memory", `supervisor_memory_check -m 100MiB`,
		[]spoiled{{memory, `memory: uses 1[0-9.]+ MiB of memory \(rss\), [0-9.]+ [KM]iB more than 100 MiB`}}, child},
	{"tree", `supervisor_memory_check -m 102400 -c`,
		[]spoiled{{child, `memory: uses with its child [12][0-9.]+ MiB of memory \(rss\), [0-9.]+ [KM]iB more than 100 MiB`}}, zombie},
	{"part", `supervisor_memory_check -m {part}%%`,
		[]spoiled{{memory, `memory: uses 1[0-9.]+ MiB of memory \(rss\), [0-9.]+ [KM]iB more than (99|100)[0-9.]* MiB, which is {part} % of (the machine|its control group)'s`}}, child},
	{"cpu", `supervisor_cpu_check -p 5 -i 8 --log-level debug`,
		[]spoiled{{processor, `cpu: uses [0-9.]+ % of a processor, more than 5 %, for [0-9.]+s`}}, memory},
	{"script", `supervisor_script_check --command {self} -t 20 -r 0`,
		[]spoiled{{closed, "script: it exited with status 1: dial tcp .* connection refused"}}, status},
	{"complex", `supervisor_complex_check -c '{` +
		`"tcp": {"port": "complex_([0-9]+)", "timeout": 20, "num_retries": 0}, ` +
		`"http": {"port": "complex_([0-9]+)", "url": "/", "timeout": 20, "num_retries": 0}, ` +
		`"xmlrpc": {"sock_dir": ".", "timeout": 20, "num_retries": 0}, ` +
		`"memory": {"max_rss": 204800, "cumulative": true}, ` +
		`"cpu": {"max_cpu": 5, "interval": 8}, ` +
		`"file": {"timeout": 15, "root_dir": "."}}'`,
		[]spoiled{
			{closed, "(?:tcp: dial tcp|http: dial tcp|xmlrpc: dial unix) .* connect: .*"}, // a round may be under way
			{status, "http: 500 Internal Server Error"},
			{fault, "xmlrpc: fault 7: "},
			{memory + " " + child, "memory: uses with its child [23][0-9.]+ MiB "},
			{processor, `cpu: uses [0-9.]+ % of a processor, more than 5 %, for [0-9.]+s`},
			{heartbeats, "file: the last heartbeat is "},
		}, memory},
}

// testEachCheck has listeners, whose log is what log returns, restart the
// workers that go bad, and no others.
func testEachCheck(h *host, part string, log func(listener string) string) {
	processes, err := h.client.Processes(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	members := make(map[string][]supervisor.Process)
	for _, p := range processes {
		if !strings.HasPrefix(p.Group, "l_") {
			h.listens(p)
			members[p.Group] = append(members[p.Group], h.running(p.Namespec()))
		}
	}
	for _, check := range eachCheck {
		for i, p := range members[check.group] {
			if i < len(check.bad) {
				h.spoil(p.PID, strings.Fields(check.bad[i].way)...)
			} else {
				h.spoil(p.PID, check.other)
			}
		}
	}
	for _, check := range eachCheck {
		for i, bad := range check.bad {
			p := members[check.group][i]
			h.restarted(p, time.Minute)
			why := strings.ReplaceAll(bad.why, "{part}", part)
			told := regexp.MustCompile(fmt.Sprintf(`(?s)msg="%[1]s unhealthy: %[2]s.*msg="%[1]s is restarted \(pid %[3]d\): %[2]s.*`+
				`msg="%[1]s runs again with pid [0-9]+ \(was %[3]d\)`, p.Namespec(), why, p.PID))
			h.until(fmt.Sprintf("the log tells that %s is %s, and is restarted", p.Namespec(), why), time.Minute, func() bool {
				return told.MatchString(log("l_" + check.group))
			})
		}
	}
	for _, check := range eachCheck {
		p := members[check.group][len(check.bad)]
		if now := h.process(p.Namespec()); !now.SameRun(p) {
			h.t.Errorf("%s was touched, because of %s: %+v", p.Namespec(), check.other, now)
		}
	}
	busy := members["cpu"][0].Namespec()
	for _, found := range regexp.MustCompile(busy+` (is restarted|unknown: cpu: over its limit).* % of a processor, more than 5 %, for ([0-9a-z.]+(?: s)?)`).FindAllStringSubmatch(log("l_cpu"), -1) {
		lasted, err := time.ParseDuration(strings.ReplaceAll(found[2], " ", ""))
		if err != nil {
			h.t.Fatal(err)
		}
		if acts := found[1] == "is restarted"; acts && lasted < interval || !acts && lasted > interval { // it is rounded
			h.t.Errorf("%s has used much processor time for %v, and %s", busy, lasted, found[1])
		}
	}
}

// patience is part of a listener's command: so many programs may take long to begin. It
// costs no time, since processor time and heartbeats take longer to be bad.
const patience = " --start-period 10"

// part is memoryLimit in percent of what a process may have.
func part(t *testing.T) string {
	t.Helper()
	limit, err := proc.MemoryLimit(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%.4f", 100*float64(memoryLimit)/float64(limit.Bytes))
}

// TestEachCheckRestarts has each program restart processes that go bad, and
// leave those alone that do not.
func TestEachCheckRestarts(t *testing.T) {
	var config strings.Builder
	n := 0
	for i, check := range eachCheck {
		var programs []string
		for range len(check.bad) + 1 {
			n++
			name := check.group + "_" + port(n)
			programs = append(programs, name)
			fmt.Fprintf(&config, "[program:%s]\ncommand={self} worker %s\n", name, port(n))
		}
		fmt.Fprintf(&config, "[group:%s]\nprograms=%s\n", check.group, strings.Join(programs, ","))
		name := "l_" + check.group
		config.WriteString(listener(name, check.command+" -n "+name+" -g "+check.group+patience, -2-i))
	}
	part := part(t)
	underEach(t, strings.ReplaceAll(config.String(), "{part}", part), func(h *host) { testEachCheck(h, part, h.log) })
}

// TestGoEachCheckRestarts is the same for the Go supervisord.
func TestGoEachCheckRestarts(t *testing.T) {
	var config strings.Builder
	n := 0
	for _, check := range eachCheck {
		var programs []string
		for range len(check.bad) + 1 {
			n++
			name := check.group + "_" + port(n)
			programs = append(programs, name)
			config.WriteString(goWorker(check.group, name, port(n)))
		}
		fmt.Fprintf(&config, "[group:%s]\nprograms=%s\n", check.group, strings.Join(programs, ","))
		name := "l_" + check.group
		config.WriteString(goListener(name, check.command+" -n "+name+" -g "+check.group+patience))
	}
	part := part(t)
	underGo(t, strings.ReplaceAll(config.String(), "{part}%%", part+"%"), func(h *host) {
		testEachCheck(h, part, func(string) string { return h.Log() })
		for line := range strings.Lines(h.Log()) {
			// They start a second before supervisord answers.
			if strings.Contains(line, "listener=l_") && strings.Contains(line, "level=ERROR") {
				h.t.Errorf("a listener logs an error: %s", line)
			}
		}
	})
}
