package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// another returns a user who may not look at root's processes, and a folder of
// his. Our programs are where he finds them.
func another(t *testing.T) (name string, id int, dir string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("NOT TESTED with processes of another user: that takes root")
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Skip("NOT TESTED with processes of another user:", err)
	}
	id, err = strconv.Atoi(nobody.Uid)
	if err != nil {
		t.Fatal(err)
	}
	if dir, err = os.MkdirTemp("", "e2e-nobody-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chown(dir, id, -1); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	return nobody.Username, id, dir
}

// TestAnotherUser has listeners that are another user's than the process: what
// is shared of its memory is hidden from them, how much there is of it is not.
func TestAnotherUser(t *testing.T) {
	name, _, dir := another(t)
	config := "[inet_http_server]\nport=127.0.0.1:{port1}\n[program:web]\ncommand={self} worker\n"
	for i, check := range []struct{ name, command string }{
		{"hidden", "supervisor_memory_check -n hidden -N web -m 1KiB -c --metric pss"},
		{"hidden_in_complex", `supervisor_complex_check -n hidden -N web -c '{"memory": {"max_rss": 1, "metric": "uss"}, "cpu": {"max_cpu": 90}}' --log-level debug`},
		{"seen", "supervisor_memory_check -n seen -N web -m 1TiB -c --log-level debug"},
	} {
		section := listener(check.name, check.command, -2-i, "user="+name, "serverurl=http://127.0.0.1:{port1}")
		config += strings.Replace(section, "%(here)s/state", filepath.Join(dir, "state"), 1)
	}
	underEach(t, config, func(h *host) {
		web := h.running("web")
		hidden := fmt.Sprintf("web unknown: memory: process %d: we may not look at it: run this as root or as the user of the process", web.PID)
		for lis, says := range map[string]string{"hidden": hidden, "hidden_in_complex": hidden, "seen": "web healthy: memory"} {
			h.until(lis+" says "+says, time.Minute, func() bool { return strings.Contains(h.log(lis), says) })
		}
		h.until("there is no reason to look away from its processor time", time.Minute, func() bool {
			return strings.Contains(h.log("hidden_in_complex"), "web healthy: cpu")
		})
		h.until("a second round is over", time.Minute, func() bool { return strings.Count(h.log("seen"), "web healthy: memory") >= 2 })
		if now := h.process("web"); !now.SameRun(web) {
			h.t.Errorf("it was restarted: %+v", now)
		}
		if said := strings.Count(h.log("hidden"), "we may not look at it"); said != 1 {
			h.t.Errorf("the log says it %d times, want once:\n%s", said, h.log("hidden"))
		}
	})
}

// TestHiddenProcesses runs programs as another user where /proc shows him his own
// processes only.
func TestHiddenProcesses(t *testing.T) {
	_, id, _ := another(t)
	script := fmt.Sprintf(`mount -t proc -o hidepid=2 proc /proc && exec setpriv --reuid=%[1]d --regid=%[1]d --clear-groups -- "$@"`, id)
	if out, err := exec.Command("unshare", "-m", "sh", "-c", script, "sh", "true").CombinedOutput(); err != nil {
		t.Skipf("NOT TESTED with hidepid: no /proc of our own: %v: %s", err, out)
	}
	underEach(t, "[unix_http_server]\nchmod=0777\n[program:web]\ncommand={self} worker\n", func(h *host) {
		if err := os.Chmod(filepath.Dir(strings.TrimPrefix(h.URL, "unix://")), 0o755); err != nil {
			h.t.Fatal(err)
		}
		web := h.running("web")
		for _, command := range []string{
			"supervisor_memory_check -m 1", "supervisor_memory_check -m 1 -c", "supervisor_memory_check -m 1 --metric uss",
			"supervisor_memory_check -m 0.001%", "supervisor_cpu_check -p 90 -i 0", "supervisor_cpu_check -p 90 -i 0 --cumulative",
		} {
			words := strings.Fields(command)
			cmd := shell("unshare", append([]string{"-m", "sh", "-c", script, "sh", filepath.Join(bin, words[0])}, append(words[1:],
				"-n", "try", "-N", "web", "--once", "--server-url", h.URL)...)...)
			out, _ := cmd.CombinedOutput()
			advice := fmt.Sprintf("process %d: we may not look at it: run this as root or as the user of the process, or mount /proc without hidepid\n", web.PID)
			if status := cmd.ProcessState.ExitCode(); status != 3 || !strings.Contains(string(out), advice) {
				h.t.Errorf("%s: exit status %d, and it says\n%s", command, status, out)
			}
		}
	})
}
