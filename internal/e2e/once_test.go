package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/cli"
	toolkit "github.com/supervisor-checks/supervisor-checks/internal/host"
	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// byHand are the programs as somebody tries them in a shell.
var byHand = []struct{ check, args string }{
	{"http", "supervisor_http_check -u / -p web_([0-9]+) -r 0"},
	{"tcp", "supervisor_tcp_check -p web_([0-9]+) -r 0"},
	{"file", "supervisor_file_check -t 5 -d {dir}"},
	{"xmlrpc", "supervisor_xmlrpc_check -u /RPC2 -p web_([0-9]+) -r 0"},
	{"memory", "supervisor_memory_check -m 100MiB"},
	{"cpu", "supervisor_cpu_check -p 5 -i 0"},
	{"script", "supervisor_script_check -r 0 --command {self}"},
	{"tcp,memory", `supervisor_complex_check -c {"tcp":{"port":"web_([0-9]+)","num_retries":0},"memory":{"max_rss":"100MiB"}}`},
}

// byHandSays is what --output json prints.
type byHandSays struct {
	Status    string          `json:"status"`
	Results   []record.Record `json:"results"`
	Unmatched []string        `json:"unmatched"`
}

// shell is a command in the environment of a shell that supervisord knows
// nothing of.
func shell(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent"}
	return cmd
}

// words are those of a command of byHand.
func (h *host) words(command string) []string {
	return strings.Fields(strings.NewReplacer("{dir}", h.Dir, "{self}", self).Replace(command))
}

// byHand runs a program with --once, and returns its exit status and what it
// says.
func (h *host) byHand(command string, args ...string) (status int, says byHandSays) {
	h.t.Helper()
	words := h.words(command)
	args = append(append(words[1:], "-n", "try", "--once", "--output", "json", "--server-url", h.URL), args...)
	cmd := shell(filepath.Join(bin, words[0]), args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, _ := cmd.Output()
	if err := json.Unmarshal(out, &says); err != nil || stderr.Len() > 0 {
		h.t.Fatalf("%s prints %q and %q: %v", words[0], out, &stderr, err)
	}
	return cmd.ProcessState.ExitCode(), says
}

// testByHand runs each program by hand while one of two workers is bad in every
// way.
func testByHand(h *host) {
	processes, err := h.client.Processes(h.t.Context())
	if err != nil || len(processes) != 2 {
		h.t.Fatal(processes, err)
	}
	names := []string{processes[0].Namespec(), processes[1].Namespec()}
	slices.Sort(names)
	bad, good := h.running(names[0]), h.running(names[1])
	for _, program := range byHand {
		h.until(program.args+" finds both healthy", 60*time.Second, func() bool {
			status, says := h.byHand(program.args, "-g", "web")
			return status == 0 && says.Status == "healthy" && len(says.Results) == 2*len(strings.Split(program.check, ","))
		})
	}
	h.spoil(bad.PID, heartbeats, closed, memory, processor)
	for _, program := range byHand {
		checks := strings.Split(program.check, ",")
		h.until(program.args+" finds one unhealthy", 60*time.Second, func() bool {
			status, says := h.byHand(program.args, "-g", "web")
			if status != 1 || says.Status != "unhealthy" {
				return false
			}
			unhealthy := 0
			for i, result := range says.Results {
				p := []supervisor.Process{bad, good}[i/len(checks)]
				if result.Process != p.Namespec() || result.PID != p.PID || result.Check != checks[i%len(checks)] || result.Time.IsZero() {
					h.t.Errorf("%s: result %d is %+v, of %s", program.args, i, result, p.Namespec())
				}
				switch {
				case p.PID == good.PID && result.Status != "healthy":
					h.t.Errorf("%s: %s is %s: %s", program.args, p.Namespec(), result.Status, result.Reason)
				case p.PID == bad.PID && result.Status == "unhealthy" && result.Reason != "":
					unhealthy++
				}
			}
			return unhealthy == len(checks) && len(says.Results) == 2*len(checks)
		})
		if status, says := h.byHand(program.args, "-N", good.Namespec()); status != 0 || says.Status != "healthy" {
			h.t.Errorf("%s: exit status %d for a healthy process: %+v", program.args, status, says)
		}
		if status, says := h.byHand(program.args, "-N", "web:none"); status != 3 || says.Status != "unknown" || strings.Join(says.Unmatched, " ") != "web:none" {
			h.t.Errorf("%s: exit status %d where nothing matches: %+v", program.args, status, says)
		}
		words := h.words(program.args)
		nobody := shell(filepath.Join(bin, words[0]), append(words[1:], "-n", "try", "--once", "--server-url", h.URL+"-none")...)
		if out, _ := nobody.Output(); nobody.ProcessState.ExitCode() != 3 || len(out) > 0 {
			h.t.Errorf("%s: exit status %d without supervisord, and it prints %q", program.args, nobody.ProcessState.ExitCode(), out)
		}
	}
	for _, p := range []supervisor.Process{bad, good} {
		if now := h.process(p.Namespec()); !now.SameRun(p) {
			h.t.Errorf("%s was touched: %+v", p.Namespec(), now)
		}
	}
}

// programs are what those of cmd run. They are named here so that they are part
// of the test binary, and go test knows when they change.
var programs = map[string]func(args []string, stdin io.Reader, stdout, stderr io.Writer) int{
	"supervisor_checks": func(args []string, _ io.Reader, stdout, stderr io.Writer) int {
		return toolkit.Main(args, stdout, stderr)
	},
	"supervisor_complex_check": cli.Complex,
	"supervisor_cpu_check":     cli.CPU,
	"supervisor_file_check":    cli.File,
	"supervisor_http_check":    cli.HTTP,
	"supervisor_memory_check":  cli.Memory,
	"supervisor_notify":        cli.Notify,
	"supervisor_script_check":  cli.Script,
	"supervisor_tcp_check":     cli.TCP,
	"supervisor_xmlrpc_check":  cli.XMLRPC,
}

// TestPrograms makes sure that each program is there and is what its name says.
// It looks into the folders of the programs and of the example workers, which go
// test remembers: it runs the tests again when something in them has changed.
func TestPrograms(t *testing.T) {
	for name, run := range programs {
		var want bytes.Buffer
		run([]string{"--help"}, nil, &want, &want)
		got, err := shell(filepath.Join(bin, name), "--help").CombinedOutput()
		if err != nil || string(got) != want.String() {
			t.Errorf("%s --help: %v: it prints\n%s\nwant\n%s", name, err, got, &want)
		}
	}
	for pattern, want := range map[string]int{"cmd/*/main.go": len(programs), "examples/heartbeat_worker/*": 3} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(files) != want {
			t.Errorf("%s: %q, %v, want %d files", pattern, files, err, want)
		}
	}
}

// TestByHand runs each program with --once and --output json.
func TestByHand(t *testing.T) { underEach(t, fmt.Sprintf(workers, "web", 1, 2), testByHand) }

// TestGoByHand is the same for the Go supervisord.
func TestGoByHand(t *testing.T) {
	underGo(t, "[group:web]\nprograms=web_{port1},web_{port2}\n"+
		goWorker("web", "web_{port1}", "{port1}")+goWorker("web", "web_{port2}", "{port2}"), testByHand)
}

// TestByHandFindsSupervisord runs each program without --server-url where
// supervisord's socket is at the place that Debian gives it. For that they have
// a /run of their own.
func TestByHandFindsSupervisord(t *testing.T) {
	const script = `mount -t tmpfs none /run && ln -s "$0" /run/supervisor.sock && exec "$@"`
	if out, err := exec.Command("unshare", "-rm", "sh", "-c", script, "/nowhere", "true").CombinedOutput(); err != nil {
		t.Skipf("NOT TESTED at supervisord's usual place: no /run of our own: %v: %s", err, out)
	}
	underEach(t, fmt.Sprintf(workers, "web", 1, 2), func(h *host) {
		processes, err := h.client.Processes(h.t.Context())
		if err != nil {
			h.t.Fatal(err)
		}
		for _, p := range processes {
			h.running(p.Namespec())
		}
		for _, program := range byHand {
			words := h.words(program.args)
			args := append([]string{"-rm", "sh", "-c", script, strings.TrimPrefix(h.URL, "unix://"), filepath.Join(bin, words[0])}, words[1:]...)
			var out []byte
			h.until(words[0]+" finds both healthy", time.Minute, func() bool {
				cmd := shell("unshare", append(args, "-n", "try", "-g", "web", "--once")...)
				out, _ = cmd.CombinedOutput()
				return cmd.ProcessState.ExitCode() == 0 && strings.Count(string(out), " healthy ") == 2*len(strings.Split(program.check, ","))
			})
		}
	})
}
