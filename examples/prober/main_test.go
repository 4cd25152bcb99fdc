package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// studio is a site that lets in who has the password, and the prober alone.
func studio(t *testing.T) *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		if r.UserAgent() != "Studio-Internal-Prober=login" || r.Header.Get("X-Studio-Internal-Prober") != "login" || r.FormValue("username") != "a@a.com" || r.FormValue("password") != "a" {
			io.WriteString(w, "Who are you?")
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "s1"})
		http.Redirect(w, r, "/", http.StatusFound)
	})
	mux.HandleFunc("GET /projects", func(w http.ResponseWriter, r *http.Request) {
		if _, err := r.Cookie("session"); err != nil {
			http.Error(w, "log in first", http.StatusForbidden)
			return
		}
		io.WriteString(w, "one, two")
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

func TestProber(t *testing.T) {
	program := filepath.Join(t.TempDir(), "login")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	site := studio(t)
	const request = "Content-Length: 5\n\n\x08\x01\x10\xe0\x5d" // of 12 s
	for _, tt := range []struct {
		name, arg, variable, stdin string
		exit                       int
		stdout, stderr             string
	}{
		{"Studio", "", "", "", 0, `^login_latency_msec [0-9]+(\.[0-9]{1,3})?\n$`, `^$`},
		{"cloudprober", "--output=cloudprober", "", "", 0, `^login_latency_msec [0-9.]+\nprojects_page_bytes 8\n$`, `^$`},
		{"cloudprober, as a server", "--server", "", request, 0, `^\nContent-Length: [0-9]+\n\n\x08\x01\x1a.login_latency_msec [0-9.]+\nprojects_page_bytes 8\n$`, `^$`},
		{"a plugin", "--output=nagios", "", "", 0, `^LOGIN_LATENCY OK - it works \| 'login_latency'=[0-9.]+ms 'projects_page'=8B\n$`, `^$`},
		{"not production", "", "PROBER_STUDIO_PRODUCTION_MODE_ON=False", "", 0, `^login_latency_msec`, `^$`},
		{"production", "", "PROBER_STUDIO_PRODUCTION_MODE_ON=True", "", 3, `^$`, `^login_latency: skipped: it is for development only, and this is production\n$`},
		{"wrong password", "", "PROBER_STUDIO_PASSWORD=b", "", 1, `^$`, `^login_latency: log in: POST /login: 200 OK instead of 302: Who are you\?\n$`},
		{"nobody there", "--option=base_url=http://127.0.0.1:1", "", "", 1, `^$`, `^login_latency: log in: POST /login: .*connection refused\n$`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			cmd := exec.CommandContext(t.Context(), program)
			if tt.arg != "" {
				cmd.Args = append(cmd.Args, tt.arg)
			}
			cmd.Env = []string{"PROBER_STUDIO_BASE_URL=" + site.URL, tt.variable}
			cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewBufferString(tt.stdin), &stdout, &stderr
			err := cmd.Run()
			if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if got := cmd.ProcessState.ExitCode(); got != tt.exit {
				t.Errorf("exit status %d, want %d", got, tt.exit)
			}
			for _, stream := range []struct{ name, got, want string }{{"stdout", stdout.String(), tt.stdout}, {"stderr", stderr.String(), tt.stderr}} {
				if !regexp.MustCompile("(?s)" + stream.want).MatchString(stream.got) {
					t.Errorf("%s %q, want %s", stream.name, stream.got, stream.want)
				}
			}
		})
	}
}

// What README.md shows of the source is in it.
func TestREADME(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile("(?s)```go\n(.*?)```").FindSubmatch(text)
	if shown == nil || !bytes.Contains(source, shown[1]) {
		t.Error("the Go in README.md is not what main.go has")
	}
}
