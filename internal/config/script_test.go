package config

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/internal/cloudprober"
	"github.com/supervisor-checks/supervisor-checks/probes"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// TestMain has the test binary be a probe server where it is one of scripts.
func TestMain(m *testing.M) {
	if os.Getenv("BE_A_SERVER") == "" {
		os.Exit(m.Run())
	}
	err := cloudprober.Serve(context.Background(), os.Stdin, os.Stdout, os.Stderr, func(_ context.Context, r cloudprober.Request) (string, error) {
		if len(r.Options) != 1 || r.Options[0] != (cloudprober.Option{Name: "of", Value: "web_1"}) {
			return "", fmt.Errorf("these are options of somebody else: %v", r.Options)
		}
		return fmt.Sprintf("server_pid %d\n", os.Getpid()), nil
	})
	if err != nil {
		panic(err)
	}
}

// scripts is a file with all that may be said of a script.
const scripts = `
server: {url: unix:///run/supervisor.sock}
environment: staging
watch:
  - processes: web_1
    checks:
      - script:
          command: [sh, -c, 'echo "{\"status\": \"$STATUS\", \"reason\": \"in $PWD$HOME $PORT $DEBUG\", \"metrics\": {\"a\": 1}}"']
          env: {STATUS: unhealthy, HOME: "", PORT: 8080, DEBUG: "true"}
          clean_env: true
          dir: /
          user: root
          protocol: json
          timeout: 20s
          retries: 0
          period: 1m
      - {script: {command: "sh -c 'echo \"CRITICAL | a=1%%\"; exit 1'", protocol: nagios, warning: unhealthy}, name: plugin}
      - script: {command: "echo one %(process_name)s", expect_output: ^one, expect_text: [web_1], reject_text: [two], only_in: [develop, staging]}
        name: words
      - {script: {command: "echo '{\"a\": [1, 2]}'", expect_json: [{path: "$.a[*]", less_than: 2}]}, name: document}
      - {script: {command: "false", only_in: [production]}, name: elsewhere}
      - {script: {command: [$SELF], env: {BE_A_SERVER: "1"}, protocol: cloudprober-server, options: {of: "%(process_name)s"}}, name: server}
probes:
  - {name: shop, script: {command: "sh -c 'echo orders 7; test $SUPERVISOR_CHECK_PROBE = shop'", protocol: cloudprober}}
  - {name: login, script: {command: "false", only_in: [develop]}}
`

func TestScripts(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(scripts, "$SELF", self)
	if os.Getuid() != 0 {
		text = strings.ReplaceAll(text, "          user: root\n", "") // which is for root
	}
	file, err := Read("f", []byte(text), environment)
	if err != nil {
		t.Fatal(err)
	}
	cfg, made, err := file.Config(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { made.End(nil) }()
	p := supervisor.Process{Group: "web_1", Name: "web_1", PID: 1, State: supervisor.Running}
	rules := cfg.Watches[0].Rules
	var first float64 // the server's pid
	for i, want := range []struct {
		status checks.Status
		err    string
		metric string
	}{
		{checks.Unhealthy, "in / 8080 true", "a"},
		{checks.Unhealthy, "it exited with status 1: CRITICAL", "a_percent"},
		{checks.Healthy, "", ""},
		{checks.Unhealthy, "$.a[*] is 2, not less than 2", ""},
		{checks.Skipped, "it is run only in production, and this is staging", ""},
		{checks.Healthy, "", "server_pid"},
	} {
		r := rules[i].Check.Run(t.Context(), p)
		text := ""
		if r.Err != nil {
			text = r.Err.Error()
		}
		if _, is := r.Metrics[want.metric]; r.Status != want.status || !strings.HasPrefix(text, want.err) || is != (want.metric != "") {
			t.Errorf("%s: %v: %s, %v\nwant %+v", rules[i].Name, r.Status, text, r.Metrics, want)
		}
		first = r.Metrics["server_pid"]
	}

	built, err := file.BuildProbes(nil)
	if err != nil {
		t.Fatal(err)
	}
	if metrics, err := built[0].Probe.(probes.Measurer).Measure(t.Context()); err != nil || metrics["orders"] != 7 {
		t.Errorf("%v, %v", metrics, err)
	}
	if err := built[1].Check(t.Context()); !errors.Is(err, probes.ErrSkipped) {
		t.Errorf("%v", err)
	}

	// A server lasts while nothing of its check changes.
	server := func() checks.Result {
		cfg, now, err := file.Config(made, nil)
		if err != nil {
			t.Fatal(err)
		}
		made.End(now)
		made = now
		return cfg.Watches[0].Rules[5].Check.Run(t.Context(), p)
	}
	if got := server().Metrics["server_pid"]; got != first {
		t.Errorf("a reload has another server, %v, want %v", got, first)
	}
	file.Watch[0].Checks[5].Script.Options["of"] = "others"
	if r := server(); r.Status != checks.Unhealthy || !strings.Contains(r.Err.Error(), "somebody else") {
		t.Errorf("with another option: %+v", r)
	}
	for deadline := time.Now().Add(10 * time.Second); syscall.Kill(int(first), 0) != syscall.ESRCH; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the server %v of before the reload still runs", first)
		}
	}
}

// TestScriptsLast finds nothing changed in a file that has been used.
func TestScriptsLast(t *testing.T) {
	read := func() *File {
		file, err := Read("f", []byte(strings.ReplaceAll(scripts, "          user: root\n", "")), environment)
		if err != nil {
			t.Fatal(err)
		}
		_, made, err := file.Config(nil, func(string) {})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { made.End(nil) })
		if _, err := file.BuildProbes(func(string) {}); err != nil {
			t.Fatal(err)
		}
		return file
	}
	if changed := read().Lasting(read()); changed != nil {
		t.Errorf("%q have changed", changed)
	}
}

// TestEnvironment has the file say where this is, and else a variable.
func TestEnvironment(t *testing.T) {
	const watch = "\nwatch: {processes: a, checks: {tcp: {port: 80}}}\n"
	variable := func(name string) (string, bool) { return "staging", name == "SUPERVISOR_CHECKS_ENVIRONMENT" }
	for text, want := range map[string]string{"environment: production": "production", "log: {level: info}": "staging"} {
		file, err := Read("f", []byte(text+watch), variable)
		if err != nil || file.Environment != want {
			t.Errorf("%s: %+v, %v, want %q", text, file, err, want)
		}
	}
}

func TestElsewhere(t *testing.T) {
	const text = "watch: {processes: a, checks: {any: [{tcp: {port: 80}}, {script: {command: sh, only_in: [develop, staging]}}]}}\n"
	for environment, want := range map[string]string{
		"":           "watch[0].checks[0].any[1].script is skipped: it is run only in develop, staging, which nobody says this is: write environment into the file, or set SUPERVISOR_CHECKS_ENVIRONMENT",
		"staging":    "",
		"production": "watch[0].checks[0].any[1].script is skipped: it is run only in develop, staging, and this is production",
	} {
		file, err := Read("f", []byte(text), func(string) (string, bool) { return environment, environment != "" })
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(file.Elsewhere(), "\n"); got != want {
			t.Errorf("in %q: %s\nwant %s", environment, got, want)
		}
	}
}

func TestMissingScripts(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/there", nil, 0o700); err != nil {
		t.Fatal(err)
	}
	file, err := Read("f", []byte(strings.ReplaceAll(`
watch:
  - processes: a
    checks:
      - {script: {command: ./there, dir: DIR}}
      - {script: {command: ./gone, dir: DIR}, name: b}
      - {script: {command: ./gone, dir: "DIR/%(process_name)s"}, name: c}
      - {all: [{script: {command: sh}}, {script: {command: no-such-program}}], name: d}
probes:
  - {name: gone, script: {command: /no/such}}
  - {name: off, script: {command: /no/such}, enabled: false}
`, "DIR", dir)), environment)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, text := range file.Missing() {
		key, _, _ := strings.Cut(text, ": ")
		got = append(got, key)
	}
	if want := "watch[0].checks[1].script.command watch[0].checks[3].all[1].script.command probes[0].script.command"; strings.Join(got, " ") != want {
		t.Errorf("%q\nwant %s", got, want)
	}
}
