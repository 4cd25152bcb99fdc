// Command demo shows the main job: it starts a supervisord with a small web
// service of three workers, breaks each of them in another way, and tells what
// two event listeners notice and do about it; and then the same with one listener
// that does what a file says. `make demo` runs it.
//
// It exits with 0 only if all three were noticed and restarted, both times, and
// leaves nothing behind.
package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
	"time"

	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

const limit = time.Minute

func main() {
	if len(os.Args) == 3 && os.Args[1] == "worker" {
		worker(os.Args[2])
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	for _, f := range []form{listeners, oneListener} {
		ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not all was seen within %v", limit))
		if err := demo(ctx, f); err != nil {
			fmt.Fprintf(os.Stderr, "demo: %v\n", cmp.Or(context.Cause(ctx), err))
			if !errors.Is(context.Cause(ctx), context.Canceled) {
				fmt.Fprintf(os.Stderr, "demo: %v\n", err)
			}
			os.Exit(1)
		}
		cancel()
	}
}

// form is how the workers are watched.
type form struct {
	what string             // it is
	conf *template.Template // sections of the event listeners
	file *template.Template // of the one listener
	logs []string           // that they write
}

var listeners = form{
	what: "two event listeners",
	conf: template.Must(template.New("").Parse(`
[eventlistener:http]
command={{.Bin}}/supervisor_http_check -n http -g web -u /ping -p 'web_(\d+)' -t 1 -r 0 --log-format json --state-dir {{.Dir}}/state
events=TICK_5
priority=-2
stdout_logfile=NONE
stderr_logfile={{.Dir}}/http.log

[eventlistener:heartbeat]
command={{.Bin}}/supervisor_file_check -n heartbeat -g web -t 4 -d {{.Dir}} --log-format json --state-dir {{.Dir}}/state
events=TICK_5
priority=-3
stdout_logfile=NONE
stderr_logfile={{.Dir}}/heartbeat.log
`)),
	logs: []string{"http.log", "heartbeat.log"},
}

var oneListener = form{
	what: "one event listener, which does what a file says and restarts one worker at a time",
	conf: template.Must(template.New("").Parse(`
[eventlistener:checks]
command={{.Bin}}/supervisor_checks run --config {{.Dir}}/checks.yaml --state-dir {{.Dir}}/state
events=TICK_5
priority=-2
stdout_logfile=NONE
stderr_logfile={{.Dir}}/checks.log
`)),
	file: template.Must(template.New("").Parse(`name: checks
log: {format: json}
watch:
  - processes: web:*
    checks:
      - http: {port: 'web_(\d+)', url: /ping, timeout: 1s}
      - file: {max_age: 4s, root: {{.Dir}}}
    failure_threshold: 1
    max_unavailable: 1
`)),
	logs: []string{"checks.log"},
}

var config = template.Must(template.New("").Parse(`
[supervisord]
nodaemon=true
logfile={{.Dir}}/supervisord.log
pidfile={{.Dir}}/supervisord.pid
childlogdir={{.Dir}}

[unix_http_server]
file={{.Dir}}/supervisor.sock

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[group:web]
programs={{range $i, $port := .Ports}}{{if $i}},{{end}}web_{{$port}}{{end}}
{{range .Ports}}
[program:web_{{.}}]
command={{$.Self}} worker {{.}}
environment=TMPDIR="{{$.Dir}}"
stdout_logfile=NONE
stderr_logfile=NONE
{{end}}
`))

func demo(ctx context.Context, f form) (err error) {
	dir, err := os.MkdirTemp("", "demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	bin, err := filepath.Abs("bin")
	if err != nil {
		return err
	}
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	facts := map[string]any{"Dir": dir, "Self": self, "Bin": bin, "Ports": ports}
	file := filepath.Join(dir, "supervisord.conf")
	if _, err := write(file, facts, config, f.conf); err != nil {
		return err
	}
	say("a supervisord starts, with the workers web_%d, web_%d, web_%d and %s", ports[0], ports[1], ports[2], f.what)
	if f.file != nil {
		text, err := write(filepath.Join(dir, "checks.yaml"), facts, f.file)
		if err != nil {
			return err
		}
		fmt.Println("\n    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ") + "\n")
	}
	daemon := exec.Command("supervisord", "-c", file)
	daemon.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that ^C ends it through us alone
	if err := daemon.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- daemon.Wait() }()
	defer func() {
		daemon.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			daemon.Process.Kill()
			err = errors.Join(err, errors.New("supervisord did not end and was killed"))
		}
	}()

	client, err := supervisor.NewClient(supervisor.Config{URL: "unix://" + filepath.Join(dir, "supervisor.sock")})
	if err != nil {
		return err
	}
	before, err := allRunning(ctx, client, ports, ended)
	if err != nil {
		return err
	}
	for i, how := range []string{"hang", "fail", "stop"} {
		what := map[string]string{"hang": "hangs", "fail": "answers 500", "stop": "sends no heartbeats any more"}[how]
		say("from now on %s (pid %d) %s", before[i].Namespec(), before[i].PID, what)
		if err := get(ctx, fmt.Sprintf("http://127.0.0.1:%d/%s", ports[i], how)); err != nil {
			return err
		}
	}
	if err := follow(ctx, dir, f.logs, before); err != nil {
		return err
	}
	for _, p := range before {
		now, err := client.Process(ctx, p.Namespec())
		if err != nil {
			return err
		}
		if now.State != supervisor.Running || now.PID == p.PID {
			return fmt.Errorf("supervisord says that %s is %v with pid %d", p.Namespec(), now.State, now.PID)
		}
		say("supervisord says: %s was pid %d and is pid %d", p.Namespec(), p.PID, now.PID)
	}
	say("all three were noticed and restarted")
	return nil
}

// write writes a file of some templates, and returns its text.
func write(path string, facts any, parts ...*template.Template) (string, error) {
	var text bytes.Buffer
	for _, part := range parts {
		if err := part.Execute(&text, facts); err != nil {
			return "", err
		}
	}
	return text.String(), os.WriteFile(path, text.Bytes(), 0o600)
}

func say(format string, args ...any) {
	fmt.Printf("%s  %s\n", time.Now().Format("15:04:05"), fmt.Sprintf(format, args...))
}

// freePorts finds ports that nobody listens at, below those that systems give
// to outgoing connections: one of these might have it when a worker is restarted.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range 1000 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(20000)))
		if err != nil {
			continue
		}
		defer l.Close()
		if ports = append(ports, l.Addr().(*net.TCPAddr).Port); len(ports) == n {
			return ports, nil
		}
	}
	return nil, errors.New("no ports are free")
}

// allRunning waits until all workers run and answer, and the listeners run.
func allRunning(ctx context.Context, client *supervisor.Client, ports []int, ended <-chan error) ([]supervisor.Process, error) {
	for {
		var running []supervisor.Process
		for _, port := range ports {
			p, err := client.Process(ctx, fmt.Sprintf("web:web_%d", port))
			if err == nil && p.State == supervisor.Running && get(ctx, fmt.Sprintf("http://127.0.0.1:%d/ping", port)) == nil {
				running = append(running, p)
			}
		}
		if len(running) == len(ports) {
			return running, nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case err := <-ended:
			return nil, fmt.Errorf("supervisord ended at once: %v", err)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func get(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
