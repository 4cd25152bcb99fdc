package host

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/supervisor-checks/supervisor-checks/internal/config"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
	"github.com/supervisor-checks/supervisor-checks/supervisor/supervisortest"
)

// does runs supervisor_checks with a file, and returns its exit status and all that
// it prints, with FILE for the path of the file.
func does(t *testing.T, file string, args ...string) (status int, out, errs string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "checks.yaml")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	status = Main(append(args, "--config", path, "--state-dir", filepath.Join(t.TempDir(), "state")), &stdout, &stderr)
	clean := func(b bytes.Buffer) string { return strings.ReplaceAll(b.String(), path, "FILE") }
	return status, clean(stdout), clean(stderr)
}

// daemon is a supervisord with two processes, and one that is stopped. It returns its
// address.
func daemon(t *testing.T) string {
	t.Helper()
	srv := supervisortest.NewServer(supervisor.Python, supervisortest.Program{Group: "web", Name: "a"}, supervisortest.Program{Group: "web", Name: "b"})
	t.Cleanup(srv.Close)
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	srv.Await(t.Context(), func() bool {
		return srv.Process("web:a").State == supervisor.Running && srv.Process("web:b").State == supervisor.Running
	})
	return "unix://" + socket
}

func TestValidate(t *testing.T) {
	t.Setenv("SUPERVISOR_SERVER_URL", "")
	url := daemon(t)
	server := "server: {url: '" + url + "'}\n"
	const file = "watch:\n  - processes: web:*\n    checks: [{memory: {max: 1TiB}}]\n"
	for _, tt := range []struct {
		name, file string
		status     int
		out, errs  string
	}{
		{"a good file", server + file, 0, "FILE is valid: it watches 2 processes.\n", ""},
		{"patterns that match nothing", server + strings.Replace(file, "web:*", `["web:*", "cron:*", "!web:x"]`, 1), 1, "FILE: no process matches \"cron:*\"\nFILE: \"!web:x\" leaves nothing out: no process matches it\n", ""},
		{"two that contradict each other", server + file + "    jitter: 5s\n  - processes: \"*:a\"\n    checks: [{tcp: {port: 80}}]\n    jitter: 6s\n", 1,
			"FILE: two entries match web:a and each has another jitter: that of the first one counts\n", ""},
		{"a bad file", "watch: 5\n", 2, "", "FILE:1:8: watch: is a single value, where a list should be: begin each of its entries with a -\n    1 | watch: …\n      |        ^\n"},
		{"all left out", strings.Replace(file, "}}]", "}, enabled: false}]", 1), 2, "", "FILE: watch: every check is left out with enabled: false\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if status, out, errs := does(t, tt.file, "validate"); status != tt.status || out != tt.out || errs != tt.errs {
				t.Errorf("exit status %d\n%s%s\nwant %d\n%s%s", status, out, errs, tt.status, tt.out, tt.errs)
			}
		})
	}
	t.Run("nobody says where supervisord is", func(t *testing.T) {
		for _, path := range []string{"/run/supervisor.sock", "/run/supervisor/supervisor.sock", "/tmp/supervisor.sock"} {
			if _, err := os.Stat(path); err == nil {
				t.Skipf("NOT TESTED: there is a supervisord on this machine, at %s", path)
			}
		}
		const want = "FILE is valid. Whether its patterns match something is not known: neither the file nor SUPERVISOR_SERVER_URL says where supervisord is, and it is at no usual socket.\n"
		if status, out, errs := does(t, file, "validate"); status != 0 || out != want || errs != "" {
			t.Errorf("exit status %d\n%s%s", status, out, errs)
		}
	})
	if status, _, errs := does(t, "server: {url: 'unix:///no/such'}\n"+file, "validate"); status != 0 || errs != "" {
		t.Errorf("a supervisord that cannot be reached: exit status %d, %s", status, errs)
	}
	var out, errs bytes.Buffer
	if status := Main([]string{"validate", "--config", "/no/such.yaml"}, &out, &errs); status != 2 || !strings.Contains(errs.String(), "open /no/such.yaml: no such file") {
		t.Errorf("a file that is not there: exit status %d, %s", status, &errs)
	}
}

func TestOnceOfAFile(t *testing.T) {
	url := daemon(t)
	file := "server: {url: '" + url + "'}\nwatch:\n  - processes: web:*\n    checks: [{tcp: {unix_socket: /no/such}}]\n"
	status, out, errs := does(t, file, "once")
	if status != 1 || !strings.HasSuffix(out, "\n2 processes, all unhealthy\n") || errs != "" {
		t.Errorf("exit status %d\n%s%s", status, out, errs)
	}
	if status, out, _ = does(t, file, "once", "--output", "json"); status != 1 || !strings.Contains(out, `"process": "web:b"`) {
		t.Errorf("json: exit status %d\n%s", status, out)
	}
	if status, _, errs = does(t, file, "once", "--output", "xml"); status != 2 || !strings.Contains(errs, `--output: "xml" is none of table, json, yaml, nagios, cloudprober, studio`) {
		t.Errorf("exit status %d, %s", status, errs)
	}
	if status, _, errs = does(t, strings.Replace(file, url, "unix:///no/such", 1), "once"); status != 3 || !strings.Contains(errs, "/no/such") {
		t.Errorf("no supervisord: exit status %d, %s", status, errs)
	}
}

func TestSchemaIsPrinted(t *testing.T) {
	var out, errs bytes.Buffer
	if status := Main([]string{"schema"}, &out, &errs); status != 0 || !bytes.Equal(out.Bytes(), config.Schema()) {
		t.Errorf("exit status %d, %s", status, &errs)
	}
}

// TestBadRuns are refused before anything is begun.
func TestBadRuns(t *testing.T) {
	const file = "watch:\n  - checks: [{memory: {max: 1TiB}}]\n    processes: web\n"
	t.Setenv("SUPERVISOR_SERVER_URL", "http://127.0.0.1:9")
	if status, _, errs := does(t, file, "run", "--standalone", "soon"); status != 2 || !strings.Contains(errs, "--standalone: \"soon\" is neither") {
		t.Errorf("exit status %d, %s", status, errs)
	}
	t.Setenv("SUPERVISOR_SERVER_URL", "")
	if status, _, errs := does(t, file, "run"); status != 2 || !strings.Contains(errs, "SUPERVISOR_SERVER_URL") {
		t.Errorf("exit status %d, %s", status, errs)
	}
}
