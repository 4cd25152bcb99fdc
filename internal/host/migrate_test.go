package host

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMigrate(t *testing.T) {
	const program = "[supervisord]\n[program:web]\ncommand=/srv/web\n"
	const tcp = "[eventlistener:tcp]\ncommand=supervisor_tcp_check -n tcp -N web -p 80 -r 0\nevents=TICK_60\n"
	const mail = "[eventlistener:memmon]\ncommand=memmon -p web=1GB -m root\nevents=TICK_60\n"
	for _, tt := range []struct {
		name, text string
		status     int
		out, errs  string // parts of what it prints
	}{
		{"all of it", program + tcp, 0, "- tcp: {port: 80, timeout: 15s, retries: 0}\n", ""},
		{"a part of it", program + tcp + mail, 1, "- memory: {max: 1GiB}\n", "FILE:7: [eventlistener:memmon]: no mail is sent to root any more."},
		{"nothing", program, 1, "", "supervisor_checks: error: FILE: there is no event listener in it that runs supervisor_checks, httpok or memmon\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "supervisord.conf")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			var stdout, stderr bytes.Buffer
			status := Main([]string{"migrate", path, "--config", "/x.yaml"}, &stdout, &stderr)
			if status != tt.status || !strings.Contains(stdout.String(), tt.out) || (tt.out == "") != (stdout.Len() == 0) {
				t.Errorf("exit status %d, want %d; it prints\n%s", status, tt.status, &stdout)
			}
			if errs := strings.ReplaceAll(stderr.String(), path, "FILE"); !strings.Contains(errs, tt.errs) || (tt.errs == "") != (errs == "") {
				t.Errorf("it says\n%s", errs)
			}
			if tt.out == "" {
				return
			}
			if !strings.Contains(stdout.String(), "run --config /x.yaml\n") {
				t.Errorf("the section names another file:\n%s", &stdout)
			}
			if status, out, errs := does(t, stdout.String()+"server: {url: 'unix:///no/such'}\n", "validate"); status != 0 || !strings.HasPrefix(out, "FILE is valid.") {
				t.Errorf("validate says of it %d: %s%s", status, out, errs)
			}
		})
	}
	for _, args := range [][]string{{"migrate"}, {"migrate", "/no/such.conf"}, {"migrate", "a", "b"}, {"migrate", "--from", "x", "a"}, {"migrate", "--from", "uptimer", "/no/such.env"}} {
		var stdout, stderr bytes.Buffer
		if status := Main(args, &stdout, &stderr); status != 2 || stderr.Len() == 0 {
			t.Errorf("%q: exit status %d, want 2: %s", args, status, &stderr)
		}
	}
}

func TestMigrateFromUptimer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "configuration.env")
	if err := os.WriteFile(path, []byte("export PROBE_URLS=https://a.example PROBE_INTERVAL=x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	migrate := func(args ...string) (status int, out, errs string) {
		var stdout, stderr bytes.Buffer
		status = Main(append([]string{"migrate", "--from", "uptimer", "--config", "/x.yaml"}, args...), &stdout, &stderr)
		return status, stdout.String(), strings.ReplaceAll(stderr.String(), path, "FILE")
	}
	t.Setenv("PROBE_URLS", "")
	t.Setenv("READER_PLUGIN", "")
	if status, out, errs := migrate(); status != 1 || out != "" || !strings.HasPrefix(errs, "supervisor_checks: error: the environment: there is neither PROBE_URLS nor READER_PLUGIN") {
		t.Errorf("nothing: %d, %s%s", status, out, errs)
	}
	if status, out, errs := migrate(path); status != 1 || !strings.Contains(out, "http: {url: https://a.example}") || !strings.HasPrefix(errs, "FILE:1: PROBE_INTERVAL: ") {
		t.Errorf("a file: %d, %s%s", status, out, errs)
	}
	t.Setenv("PROBE_URLS", "https://b.example")
	if status, out, errs := migrate(); status != 0 || !strings.Contains(out, "http: {url: https://b.example}") || !strings.Contains(out, "--config /x.yaml") || errs != "" {
		t.Errorf("the environment: %d, %s%s", status, out, errs)
	}
}
