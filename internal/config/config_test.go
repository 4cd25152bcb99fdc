package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/probes"
	"github.com/supervisor-checks/supervisor-checks/runner"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

var update = flag.Bool("update", false, "write what is wrong with the bad files anew")

// environment has two variables.
func environment(name string) (string, bool) {
	value, is := map[string]string{"LOGIN": "operator", "PASSWORD": "hidden", "NOTHING": "", "PORT": "8080", "BAD": "many", "QUOTED": "hid\"den\n"}[name]
	return value, is
}

// good is the good file, with a file for its password.
func good(t *testing.T) (text []byte, password string) {
	t.Helper()
	text, err := os.ReadFile("testdata/good.yaml")
	if err != nil {
		t.Fatal(err)
	}
	password = filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(password, []byte("sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(text, []byte("/etc/secret"), []byte(password)), password
}

func TestGood(t *testing.T) {
	text, _ := good(t)
	f, err := Read("good.yaml", text, environment)
	if err != nil {
		t.Fatal(err)
	}
	if f.Server.Username != "operator" || *f.Concurrency != 64 || len(f.Watch) != 4 {
		t.Errorf("%+v", f)
	}
	w := f.Watch[0]
	if diff := cmp.Diff([]Pattern{{"web:*", false}, {"web:canary", true}}, w.Processes); diff != "" {
		t.Error(diff)
	}
	h := w.Checks[0].HTTP
	if h.Port != `web_(\d+)$` || h.Password != "hidden" || time.Duration(*h.Timeout) != 2*time.Second || strings.Join(h.Headers["Accept"], " ") != "text/plain text/html" {
		t.Errorf("%+v", h)
	}
	if got := *w.Checks[0].FailureThreshold; got != (runner.Threshold{Failures: 3, Of: 5}) {
		t.Errorf("threshold %v", got)
	}
	if m := w.Checks[1].Memory; m.Max != (Size{Bytes: 400 << 20}) || m.Metric != "pss" || !m.Cumulative {
		t.Errorf("%+v", m)
	}
	if diff := cmp.Diff([]supervisor.State{supervisor.Fatal, supervisor.Exited}, w.Revive); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Command{"sh", "-c", "exit 75"}, w.BeforeRestart); diff != "" {
		t.Error(diff)
	}
	if l := w.Checks[len(w.Checks)-1].Log.settings(); l.Pattern != "OutOfMemory|panic:" || l.Times != 3 || l.Within != 10*time.Minute || l.Stream != "stderr" {
		t.Errorf("%+v", l)
	}
	if *w.PanicThreshold != 50 || w.Evidence.Signal != "QUIT" || *w.Checks[3].Enabled {
		t.Errorf("%+v", w)
	}
	if got := f.Watch[1].Action; got.Kind != runner.ActionExec || len(got.Command) != 3 {
		t.Errorf("%+v", got)
	}
	if got := f.Watch[2].Processes[0].Text; got != "job:${x}*" {
		t.Errorf("the pattern with a variable: %q", got)
	}
	if got := string(f.Watch[2].Checks[0].HTTP.JSON); got != `{"a":[1,"b"]}` {
		t.Errorf("json: %s", got)
	}
	if last := f.Watch[3]; last.Processes[0].Text != "other" || len(last.Checks) != 1 || time.Duration(*last.StartPeriod) != time.Minute {
		t.Errorf("merged: %+v", last)
	}
	for _, p := range f.Probes {
		if p.Name == "numbers" && p.HTTP.ExpectJSON[0].Equals.Value != json.Number("9007199254740993") {
			t.Errorf("a number of many digits: %v", p.HTTP.ExpectJSON[0].Equals.Value)
		}
	}
	built, err := f.BuildProbes(nil)
	if err != nil {
		t.Fatal(err)
	}
	if sample := built[len(built)-1]; !errors.Is(sample.Check(t.Context()), probes.ErrSample) {
		t.Errorf("%s is healthy", sample.Name())
	}
}

// TestNothingIsLeftOfReading a file, of which probes are made to see whether they can be.
func TestNothingIsLeftOfReading(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 20 {
		if _, err := Read("f", []byte(`
probes:
  - {name: db, postgres: {dsn: "postgres://me@127.0.0.1:1/app"}}
  - {name: shop, mysql: {dsn: "me@tcp(127.0.0.1:1)/"}}
  - {name: cache, redis: {address: "127.0.0.1:1"}}
  - {name: docs, mongo: {uri: "mongodb://127.0.0.1:1"}}
watch: [{processes: web, checks: [{tcp: {port: 80}}]}]
`), nil); err != nil {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before+5; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("there were %d goroutines, and are %d", before, runtime.NumGoroutine())
		}
	}
}

// TestBad has for each of many files all that is wrong with it.
func TestBad(t *testing.T) {
	const path = "testdata/bad.txtar"
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for i, f := range archive.Files {
		name, is := strings.CutSuffix(f.Name, ".yaml")
		if !is {
			continue
		}
		files++
		t.Run(name, func(t *testing.T) {
			_, err := Read(f.Name, f.Data, environment)
			var bad *Error
			if !errors.As(err, &bad) {
				t.Fatalf("error %v, want what is wrong with it", err)
			}
			got := bad.Error() + "\n"
			if strings.Contains(got, "hidden") || strings.Contains(got, "den\\n") {
				t.Errorf("it has the password:\n%s", got)
			}
			if *update {
				archive.Files[i+1].Data = []byte(got)
			} else if diff := cmp.Diff(string(archive.Files[i+1].Data), got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	if files < 60 {
		t.Errorf("only %d files", files)
	}
	if *update {
		os.WriteFile(path, txtar.Format(archive), 0o644)
	}
}

// TestSchema holds the schema against the reader: it lets the good file pass, and
// none that has a key or a word which is not there.
func TestSchema(t *testing.T) {
	valid := bySchema(t)
	good, _ := os.ReadFile("testdata/good.yaml")
	if err := valid(good); err != nil {
		t.Errorf("the good file: %v", err)
	}
	archive, err := txtar.ParseFile("testdata/bad.txtar")
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for i, f := range archive.Files {
		if !strings.HasSuffix(f.Name, ".yaml") {
			continue
		}
		err := valid(f.Data)
		if err != nil {
			refused++
		} else if said := string(archive.Files[i+1].Data); !strings.Contains(said, "${") && (strings.Contains(said, "there is no key") || strings.Contains(said, "is none of") || strings.Contains(said, "is missing") && !strings.HasPrefix(said, "a server") && !strings.Contains(said, "<<")) {
			t.Errorf("%s passes; the reader says\n%s", f.Name, said)
		}
	}
	if refused < 50 {
		t.Errorf("the schema refuses %d of the bad files, want most of them", refused)
	}
}

// bySchema returns what says whether a file is valid by the schema.
func bySchema(t *testing.T) func(text []byte) error {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("checks.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("checks.json")
	if err != nil {
		t.Fatal(err)
	}
	return func(text []byte) error {
		var v any
		if err := yaml.Unmarshal(text, &v); err != nil {
			return err
		}
		asJSON, err := json.Marshal(v)
		if err != nil {
			return err
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
		if err != nil {
			return err
		}
		return schema.Validate(value)
	}
}

// TestSchemaAndReader has the schema and the reader agree on many values, but for what
// a schema cannot say.
func TestSchemaAndReader(t *testing.T) {
	valid := bySchema(t)
	environment := func(name string) (string, bool) {
		value, is := map[string]string{"N": "3", "LEVEL": "info"}[name]
		return value, is
	}
	check := func(s string) string { return "watch: [{processes: a, checks: [" + s + "]}]" }
	entry := func(s string) string {
		return "watch: [{processes: a, checks: [{tcp: {port: 80}}], " + s + "}]"
	}
	for _, text := range []string{
		check("{tcp: {port: 80}}"),
		check("{tcp: {port: 80, retries: '${N}'}}"),
		check("{tcp: {port: 80, retries: '3'}}"),
		check("{fds: {max: '${N}'}}"),
		check("{fds: {max: '3'}}"),
		"log: {level: '${LEVEL}'}\n" + check("{tcp: {port: 80}}"),
		"concurrency: '${N}'\n" + check("{tcp: {port: 80}}"),
		check("{action: alert}"),
		check("{tcp: {port: 80}, memory: {max: 1GiB}}"),
		check("{}"),
		check("{all: [{tcp: {port: 80}}]}"),
		check("{all: [{}]}"),
		check("{all: [{tcp: {port: 80, period: 5s}}]}"),
		check("{all: {tcp: {port: 80}}}"),
		check("{tcp: {port: 80, timeout: 0}}"),
		check("{tcp: {port: 80, timeout: 1d12h}}"),
		check("{tcp: {port: 80, timeout: 1.5d}}"),
		check("{tcp: {port: 80, timeout: 1.}}"),
		check("{tcp: {port: 80, timeout: .5}}"),
		check("{tcp: {port: 80, timeout: '1.5'}}"),
		check("{tcp: {port: 80, timeout: 1h 30m}}"),
		check("{tcp: {port: 80, timeout: 5µs}}"),
		check("{tcp: {port: 80, timeout: +5s}}"),
		check("{tcp: {port: 80, timeout: 1e3}}"),
		check("{tcp: {port: 80, retries: 1e1}}"),
		check("{tcp: {port: 80, retries: 1_000}}"),
		check("{tcp: {port: 80, retries: 010}}"),
		check("{tcp: {port: true}}"),
		check("{tcp: {port: 80, host: }}"),
		check("{http: {port: 80, url: /, insecure: 'true'}}"),
		check("{http: {port: 80, url: /, insecure: yes}}"),
		check("{http: {port: 80, url: /, expect_status: 200}}"),
		check("{http: {port: 80, url: /, headers: {A: 1}}}"),
		check("{http: {port: 80, url: /, headers: {A: [1, 2]}}}"),
		check("{http: {port: 80, url: /, headers: {}}}"),
		check("{memory: {max: 400 MiB}}"),
		check("{memory: {max: ' 80 %'}}"),
		check("{memory: {max: 400MIB}}"),
		check("{memory: {max: 150%}}"),
		check("{memory: {max: 400m}}"),
		check("{cpu: {max: 90, interval: 0}}"),
		check("{cpu: {max: 0}}"),
		check("{cpu: {max: -1}}"),
		check("{script: {command: sh -c x}}"),
		check("{script: {command: [sh, 1]}}"),
		check("{script: {command: []}}"),
		check("{log: {pattern: x, stream: both}}"),
		check("{log: {pattern: x, times: 0}}"),
		check("{tcp: {port: 80}, name: 1}"),
		entry("period: 0.1"),
		entry("period: 0.01"),
		entry("period: 100ms"),
		entry("period: '1'"),
		entry("failure_threshold: 3/5"),
		entry("failure_threshold: 3"),
		entry("failure_threshold: 0"),
		entry("failure_threshold: 3 / 5"),
		entry("action: 'signal:sighup'"),
		entry("action: signal:SIGHUP"),
		entry("action: signal:hup"),
		entry("action: signal:WINCH"),
		entry("action: signal:1"),
		entry("action: signal:CONT"),
		entry("action: Restart"),
		entry("action: 'exec:sh x'"),
		entry("action: 'exec: sh x'"),
		entry("restart_limit: 5/10m"),
		entry("restart_limit: none"),
		entry("restart_limit: 5 / 10m"),
		entry("restart_limit: 0/10m"),
		entry("restart_limit: 5"),
		entry("restart_limit_then: stop"),
		entry("backoff: 10s"),
		entry("backoff: 10"),
		entry("backoff: '10s,2,5m,10m'"),
		entry("backoff: 10s 2"),
		entry("backoff: none"),
		entry("backoff: '10s,2,5m,10m,1'"),
		entry("max_unavailable: 1"),
		entry("max_unavailable: 25%"),
		entry("max_unavailable: none"),
		entry("max_unavailable: 0"),
		entry("max_unavailable: 25 %"),
		entry("max_unavailable: 2.5"),
		entry("panic_threshold: 50"),
		entry("panic_threshold: 50%"),
		entry("panic_threshold: 100"),
		entry("panic_threshold: none"),
		entry("panic_threshold: 0"),
		entry("jitter: 0"),
		entry("revive: FATAL"),
		entry("revive: fatal"),
		entry("revive: [FATAL, EXITED]"),
		entry("revive: 'FATAL,EXITED'"),
		entry("revive: BACKOFF"),
		entry("evidence: {dir: /x, signal: quit}"),
		entry("evidence: {dir: /x, signal: SIGQUIT}"),
		entry("evidence: {signal: QUIT}"),
		entry("evidence: {}"),
		entry("not_during: [{at: 0 2 * * *, for: 1h}]"),
		entry("not_during: [{at: ' 0  2 * * * ', for: 1h}]"),
		entry("not_during: [{at: '@daily', for: 1h}]"),
		entry("not_during: {at: 0 2 * * *, for: 1h}"),
		entry("not_during: []"),
		entry("not_during: [{at: 0 2 * * *, for: 1h, zone: Local}]"),
		entry("hook_timeout: 0"),
		entry("before_restart: sh -c true"),
		"watch: [{processes: '*', checks: [{tcp: {port: 80}}]}]",
		"watch: [{processes: ['*', 'a!b'], checks: [{tcp: {port: 80}}]}]",
		"watch: [{processes: 'a:b:c', checks: [{tcp: {port: 80}}]}]",
		"watch: [{processes: 1, checks: [{tcp: {port: 80}}]}]",
		"watch: [{processes: 'a b', checks: [{tcp: {port: 80}}]}]",
		"server:\n" + check("{tcp: {port: 80}}"),
		"defaults:\n" + check("{tcp: {port: 80}}"),
		"name: 5\n" + check("{tcp: {port: 80}}"),
		"log: {level: INFO}\n" + check("{tcp: {port: 80}}"),
		"log: {level: warning}\n" + check("{tcp: {port: 80}}"),
		entry("revive: none"),
		entry("not_during: none"),
		entry("evidence: none"),
		entry("before_restart: none"),
		entry("not_during: [none]"),
		entry("action: none"),
		check("{http: {url: /, port: 80, body_file: /dev/null}}"),
		"watch: {processes: a, checks: {tcp: {port: 80}}}",
		check("{log: {pattern: x}, enabled: }"),
		check("{any: [{all: {cpu: {max: 5}}}, {fds: {max: 0}}]}"),
	} {
		bySchema := valid([]byte(text))
		if _, err := Read("f", []byte(text), environment); (err == nil) != (bySchema == nil) {
			t.Errorf("%s\nthe reader: %v\nthe schema: %v", text, err, bySchema)
		}
	}
}

// FuzzRead reads anything without a panic, and what it says is about lines that
// are there.
func FuzzRead(f *testing.F) {
	good, _ := os.ReadFile("testdata/good.yaml")
	f.Add(good)
	if archive, err := txtar.ParseFile("testdata/bad.txtar"); err == nil {
		for _, file := range archive.Files {
			if strings.HasSuffix(file.Name, ".yaml") {
				f.Add(file.Data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		read := make(chan error, 1)
		go func() {
			_, err := Read("f", document, environment)
			read <- err
		}()
		var err error
		select {
		case err = <-read:
		case <-time.After(10 * time.Second):
			t.Fatalf("it takes more than ten seconds to read %q", document)
		}
		var bad *Error
		if err == nil {
			return
		}
		if !errors.As(err, &bad) || len(bad.Problems) == 0 {
			t.Fatalf("%v", err)
		}
		for _, p := range bad.Problems {
			if p.Text == "" || p.Line < 0 || p.Line > bytes.Count(document, []byte("\n"))+bytes.Count(document, []byte("\r"))+1 {
				t.Errorf("%+v of %q", p, document)
			}
		}
		_ = bad.Error()
	})
}

// TestConfig makes a listener's configuration of the good file.
func TestConfig(t *testing.T) {
	text, path := good(t)
	f, err := Read("good.yaml", text, environment)
	if err != nil {
		t.Fatal(err)
	}
	cfg, made, err := f.Config(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Name != "all" || cfg.Concurrency != 64 || cfg.Server.Username != "operator" || cfg.Server.Password != "sesame" || len(cfg.Watches) != 4 {
		t.Errorf("%+v", cfg)
	}
	w := cfg.Watches[0]
	if diff := cmp.Diff([]string{"web:*", "!web:canary"}, w.Processes); diff != "" {
		t.Error(diff)
	}
	if len(w.Rules) != 11 { // one is left out
		t.Fatalf("rules %+v", w.Rules)
	}
	for i, want := range []runner.Rule{
		{FailureThreshold: runner.Threshold{Failures: 3, Of: 5}, SuccessThreshold: 2, StartPeriod: 30 * time.Second},
		{FailureThreshold: runner.Threshold{Failures: 3}, StartPeriod: 30 * time.Second, Action: runner.Action{Kind: runner.ActionAlert}},
		{FailureThreshold: runner.Threshold{Failures: 3}, StartPeriod: 30 * time.Second, Action: runner.Action{Kind: runner.ActionSignal, Signal: "USR1"}},
	} {
		got := w.Rules[i]
		got.Check, got.Identity = nil, ""
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("rule %d (-want +got)\n%s", i, diff)
		}
	}
	for i, want := range []string{"uptime", "fds", "threads", "children"} {
		if got := w.Rules[3+i].Check.Name(); got != want {
			t.Errorf("rule %d is %s, want %s", 3+i, got, want)
		}
	}
	if files := w.Rules[4]; files.Name != "files" || files.Period != time.Minute {
		t.Errorf("%+v", files)
	}
	if script := w.Rules[7]; script.Check.Name() != "script" || script.Period != time.Minute {
		t.Errorf("%+v", script)
	}
	both := w.Rules[8]
	if both.Name != "both" || both.Check.Name() != "tcp and (cpu or memory)" || !both.NotDuring(time.Date(2026, 11, 26, 3, 29, 59, 0, time.UTC)) || both.NotDuring(time.Date(2026, 11, 26, 3, 30, 0, 0, time.UTC)) {
		t.Errorf("%+v", both)
	}
	want := runner.Policy{
		RestartLimit: runner.RestartLimit{Restarts: 5, Within: 10 * time.Minute}, RestartLimitThen: runner.ThenAlert,
		Backoff:        runner.Backoff{Initial: 10 * time.Second, Factor: 2, Max: 5 * time.Minute, ResetAfter: 10 * time.Minute},
		MaxUnavailable: runner.Share{Percent: 25}, PanicThreshold: 50, Jitter: 30 * time.Second, Revive: []supervisor.State{supervisor.Fatal, supervisor.Exited},
		Hooks:    runner.Hooks{BeforeRestart: []string{"sh", "-c", "exit 75"}, AfterRestart: []string{"sh", "-c", "exit 0"}, Timeout: 10 * time.Second},
		Evidence: runner.Evidence{Dir: "/var/log/evidence", Max: 10, Signal: "QUIT", Pause: 3 * time.Second},
	}
	if diff := cmp.Diff(want, w.Policy); diff != "" {
		t.Errorf("the policy (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{"MaxUnavailable", "PanicThreshold", "Jitter", "Revive", "Evidence", "Hooks.BeforeRestart", "Hooks.AfterRestart", "Hooks.Timeout"}, w.Decided); diff != "" {
		t.Error(diff)
	}
	if got := cfg.Watches[1].Policy.MaxUnavailable; got != (runner.Share{Number: 2}) {
		t.Errorf("max_unavailable of the second entry: %v", got)
	}
	os.WriteFile(path, []byte("another\n"), 0o600)
	again, made, err := f.Config(made, nil)
	if again.Server.Password != "another" || again.Watches[0].Rules[0].Check == w.Rules[0].Check {
		t.Errorf("a check that remembers nothing is the one of before: it has read its files then")
	}
	if err != nil || again.Watches[0].Rules[2].Check != w.Rules[2].Check {
		t.Errorf("the check of processor time is another one, with nothing to remember; error %v", err)
	}
	if again.Watches[0].Rules[10].Check != w.Rules[10].Check {
		t.Errorf("the check of the log is another one, with nothing to remember")
	}
	f.Watch[0].Checks[len(f.Watch[0].Checks)-1].Log.Times++
	if other, _, err := f.Config(made, nil); err != nil || other.Watches[0].Rules[10].Check == w.Rules[10].Check {
		t.Errorf("the check of the log has its old settings; error %v", err)
	}
}

// TestSettingsWithinACheck has a period within a check, which counts before one beside it.
func TestSettingsWithinACheck(t *testing.T) {
	f, err := Read("f", []byte(`
server: {url: unix:///run/supervisor.sock}
defaults: {timeout: 5s, failure_threshold: 3, start_period: 30s}
watch:
  - processes: ["web:*", "!web:canary"]        # namespecs and globs, ! excludes
    checks:
      - http: {port: '.+_(\d+)', url: /ping, expect_status: 200-299, expect_body: ok}
      - memory: {max: 400MiB, metric: pss, cumulative: true}
        action: alert
      - script: {command: [sh, "%(process_name)s"], period: 60s}
    restart_limit: 5/10m
    max_unavailable: 25%
  - processes: ["worker:*"]
    checks: [{file: {max_age: 30s, fail_on_error: true}}]
`), environment)
	if err != nil {
		t.Fatal(err)
	}
	cfg, _, err := f.Config(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r := cfg.Watches[0].Rules[2]; r.Period != time.Minute || r.Check.Name() != "script" {
		t.Errorf("%+v", r)
	}
}

// TestExamples reads the files of the examples.
func TestExamples(t *testing.T) {
	paths, err := filepath.Glob("../../examples/*/*.yaml")
	paths = slices.DeleteFunc(paths, func(path string) bool { return filepath.Base(path) == "compose.yaml" })
	if err != nil || len(paths) < 5 {
		t.Fatalf("%q, error %v", paths, err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := Read(path, text, environment)
		if err == nil {
			_, _, err = f.Config(nil, nil)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// TestHeadersFile sends those of a file beside those that stand in the file of checks.
func TestHeadersFile(t *testing.T) {
	asked := make(chan http.Header, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.Header }))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	path := filepath.Join(t.TempDir(), "headers")
	check := func(text string) (checks.Check, error) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return (&HTTP{Port: port, URL: "/", Headers: map[string][]string{"X-Plain": {"a"}}, HeadersFile: path}).make(RuleSettings{})
	}
	c, err := check("Authorization: Bearer s:e:same\r\n\nX-Two:  b\n")
	if err != nil {
		t.Fatal(err)
	}
	if r := c.Run(t.Context(), supervisor.Process{Name: "a"}); r.Status != checks.Healthy {
		t.Fatal(r.Err)
	}
	got := <-asked
	if got.Get("Authorization") != "Bearer s:e:same" || got.Get("X-Two") != "b" || got.Get("X-Plain") != "a" {
		t.Errorf("%v", got)
	}
	if _, err := check("X: 1\nsesame\n"); err == nil || err.Error() != "headers_file: line 2 of "+path+" is not Name: value" {
		t.Errorf("error %v", err)
	}
	if _, err := check("a b: sesame\n"); err == nil || strings.Contains(err.Error(), "sesame") {
		t.Errorf("error %v", err)
	}
}

// TestIdentity is the same for the same check, wherever it stands, and whatever else is
// said of it.
func TestIdentity(t *testing.T) {
	rules := func(text string) []runner.Rule {
		f, err := Read("f", []byte(text), environment)
		if err != nil {
			t.Fatal(err)
		}
		cfg, _, err := f.Config(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return cfg.Watches[len(cfg.Watches)-1].Rules
	}
	before := rules("watch: [{processes: web, checks: [{tcp: {port: 80}}, {tcp: {port: 81}}, {http: {port: 80, url: /, password: a, username: b}}]}]")
	after := rules("watch: [{processes: x, checks: [{tcp: {port: 1}}]}, {processes: [web, b], failure_threshold: 5, checks: [{tcp: {port: 81}, name: x, action: alert}, {tcp: {port: 82}}, {http: {port: 80, url: /, password: c, username: b}}]}]")
	if after[0].Identity != before[1].Identity || after[1].Identity == before[0].Identity || after[2].Identity == before[2].Identity || before[0].Identity == before[1].Identity {
		t.Errorf("%+v and %+v", before, after)
	}
	if strings.Contains(before[2].Identity, "a") && len(before[2].Identity) != 32 {
		t.Errorf("it says something: %q", before[2].Identity)
	}
}

// TestLasting names what a listener does not take over from a file that it reads again.
func TestLasting(t *testing.T) {
	read := func(text string) *File {
		f, err := Read("f", []byte(text+"watch: [{processes: web, checks: [{tcp: {port: 80}}]}]\n"), environment)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	before := read("name: a\nserver: {url: unix:///a}\nconcurrency: 5\n")
	if keys := read("name: a\nserver: {url: unix:///a}\nconcurrency: 5\ndefaults: {jitter: 5s}\n").Lasting(before); keys != nil {
		t.Errorf("%q", keys)
	}
	if diff := cmp.Diff([]string{"server", "state_dir", "log", "concurrency"}, read("name: a\nserver: {url: unix:///b}\nconcurrency: 6\nstate_dir: /s\nlog: {level: debug}\n").Lasting(before)); diff != "" {
		t.Error(diff)
	}
}

// TestNone ends what there is by default.
func TestNone(t *testing.T) {
	f, err := Read("f", []byte("watch:\n  - processes: web\n    checks: [{tcp: {port: 80}}]\n    restart_limit: none\n    backoff: none\n    max_unavailable: none\n"), environment)
	if err != nil {
		t.Fatal(err)
	}
	cfg, _, err := f.Config(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(runner.Policy{}, cfg.Watches[0].Policy); diff != "" {
		t.Error(diff)
	}
}

// TestTwoEntries has settings of processes that two entries have, each another.
func TestTwoEntries(t *testing.T) {
	const refused = true
	for name, tt := range map[string]struct {
		first, second string // after checks
		refused       bool
	}{
		"others of two parts":          {`processes: ["web:*", "!web:*_0?"], restart_limit: 1/10m`, `processes: ["web:*", "!web:*_1?"], restart_limit: 2/10m`, !refused},
		"a part, and all":              {`processes: ["web:*", "!web:a"], restart_limit: 1/10m`, `processes: ["web:*"], restart_limit: 2/10m`, refused},
		"the same part":                {`processes: ["web:*", "!web:a"], restart_limit: 1/10m`, `processes: ["web:*", "!web:a"], restart_limit: 2/10m`, refused},
		"parts of other groups":        {`processes: ["web:*", "api:*", "!api:a"], restart_limit: 1/10m`, `processes: ["web:*", "db:*", "!db:a"], restart_limit: 2/10m`, refused},
		"one that is left out":         {`processes: ["web:*"], restart_limit: 1/10m`, `processes: ["*", "!web:*"], restart_limit: 2/10m`, !refused},
		"states in another order":      {`processes: ["web:*"], revive: [FATAL, EXITED]`, `processes: ["web:*"], revive: [EXITED, FATAL]`, !refused},
		"other states":                 {`processes: ["web:*"], revive: [FATAL, EXITED]`, `processes: ["web:*"], revive: FATAL`, refused},
		"no states":                    {`processes: ["web:*"], revive: none`, `processes: ["web:*"], revive: FATAL`, refused},
		"the same, written otherwise":  {`processes: ["web:*"], hook_timeout: 1m, before_restart: sh -c true`, `processes: ["web:*"], hook_timeout: 60s, before_restart: [sh, -c, "true"]`, !refused},
		"two hooks":                    {`processes: ["web:*"], before_restart: sh -c true`, `processes: ["web:*"], after_stop: sh -c true`, !refused},
		"numbers of a group":           {`processes: ["web:a"], max_unavailable: 1`, `processes: ["web:b"], max_unavailable: 3`, refused},
		"numbers of two groups":        {`processes: ["web:a"], max_unavailable: 1`, `processes: ["api:b"], max_unavailable: 3`, !refused},
		"numbers of a group and of it": {`processes: ["web:*"], max_unavailable: 1`, `processes: ["web:b"], max_unavailable: 3`, refused},
	} {
		for _, enabled := range []string{"true", "false"} {
			_, err := Read("f", []byte("watch:\n- {checks: {tcp: {port: 80}, enabled: "+enabled+"}, "+tt.first+"}\n- {checks: {tcp: {port: 81}}, "+tt.second+"}\n"), environment)
			if want := tt.refused && enabled == "true"; (err != nil) != want { // one that is idle has no say
				t.Errorf("%s: error %v, want one: %v", name, err, want)
			}
		}
	}
}

// TestHooksOfTwoEntries has each hook decided by the entry that has it.
func TestHooksOfTwoEntries(t *testing.T) {
	f, err := Read("f", []byte(`
defaults: {after_restart: sh -c true, hook_timeout: 1m}
watch:
  - {processes: "web:*", checks: {tcp: {port: 80}}, hook_timeout: 5s, after_restart: none}
  - {processes: "web:*", checks: {memory: {max: 1GiB}}, after_stop: sh -c true}
  - {processes: api, checks: {memory: {max: 1GiB}, action: exec:sh -c true}, after_restart: none}
  - {processes: db, checks: {memory: {max: 1GiB}}, after_restart: none}
`), environment)
	if err != nil {
		t.Fatal(err)
	}
	cfg, _, err := f.Config(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	hook := []string{"sh", "-c", "true"}
	for i, want := range []struct {
		hooks   runner.Hooks
		decided []string
	}{
		{runner.Hooks{Timeout: 5 * time.Second}, []string{"Hooks.AfterRestart", "Hooks.Timeout"}},
		{runner.Hooks{AfterStop: hook, AfterRestart: hook, Timeout: time.Minute}, []string{"Hooks.AfterStop"}},
		{runner.Hooks{Timeout: time.Minute}, []string{"Hooks.AfterRestart"}}, // for the action
		{runner.Hooks{}, []string{"Hooks.AfterRestart"}},
	} {
		if diff := cmp.Diff(want.hooks, cfg.Watches[i].Policy.Hooks); diff != "" {
			t.Errorf("%d (-want +got)\n%s", i, diff)
		}
		if diff := cmp.Diff(want.decided, cfg.Watches[i].Decided); diff != "" {
			t.Errorf("%d (-want +got)\n%s", i, diff)
		}
	}
	cfg.Log, cfg.Server.URL, cfg.StateDir, cfg.Stdin, cfg.Stdout = slog.New(slog.DiscardHandler), "http://127.0.0.1:1", t.TempDir()+"/state", strings.NewReader(""), io.Discard
	if err := runner.Run(t.Context(), cfg); err != nil {
		t.Errorf("the runner does not take it: %v", err)
	}
}

// TestMade has the checks that remember something stay what they are when a file is
// read again, and only those.
func TestMade(t *testing.T) {
	var made Made
	load := func(checks, processes string) []runner.Rule {
		t.Helper()
		f, err := Read("f", []byte("watch:\n- {processes: ["+processes+"], checks: ["+checks+", {tcp: {port: 80}}]}\n"), environment)
		if err != nil {
			t.Fatal(err)
		}
		cfg, now, err := f.Config(made, nil)
		if err != nil {
			t.Fatal(err)
		}
		made = now
		return cfg.Watches[0].Rules
	}
	const cpu, log = "{cpu: {max: 90%}}", "{log: {pattern: x}}"
	two := load(cpu+", "+log+", {cpu: {max: 90%}, period: 10m}", "a")
	if two[0].Check == two[2].Check {
		t.Error("two rules of the same settings are one check: what one measures is since the look of the other")
	}
	again := load(cpu+", {any: ["+log+", {cpu: {max: 90%}}]}", "a, b")
	if again[0].Check != two[0].Check {
		t.Error("the check begins anew as the entry has another pattern")
	}
	if len(made) != 3 {
		t.Errorf("there are %d checks, want 3", len(made))
	}
	load("{cpu: {max: 90%}, enabled: false}", "a")
	if len(made) != 0 {
		t.Errorf("%d checks are kept that are out of use", len(made))
	}
	if load(cpu, "a")[0].Check == two[0].Check {
		t.Error("a check that was out of use goes on where it was")
	}
	f, err := Read("f", []byte("watch: {processes: a, checks: {cpu: {max: 1}, enabled: false}}"), environment)
	if err != nil {
		t.Fatal(err)
	}
	if _, now, err := f.Config(made, nil); err == nil || now != nil {
		t.Errorf("error %v, and %d checks", err, len(now))
	}
}

// TestSecretsInErrors has none in what is said of a file, in whatever way that is wrong.
func TestSecretsInErrors(t *testing.T) {
	headers := filepath.Join(t.TempDir(), "headers")
	if err := os.WriteFile(headers, []byte("Bearer hunter2: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"a key with a slip":       "server:\n  url: unix:///x\n  username: a\n  pasword: hunter2\nwatch: []\n",
		"an open quote":           "server:\n  url: unix:///x\n  password: \"hunter2\nwatch: []\n",
		"an open list":            "server:\n  url: unix:///x\n  password: [hunter2\nwatch: []\n",
		"two colons":              "server:\n  url: unix:///x\n  password: hunter2: x\nwatch: []\n",
		"an at sign":              "server:\n  url: unix:///x\n  password: @hunter2\nwatch: []\n",
		"a quote in quotes":       "server:\n  url: unix:///x\n  password: 'it''s hunter2' x\nwatch: []\n",
		"a tag":                   "server:\n  url: unix:///x\n  username: a\n  password: !hunter2\nwatch: []\n",
		"an alias":                "server:\n  url: unix:///x\n  username: a\n  password: *hunter2\nwatch: []\n",
		"a token where a list is": "watch:\n - processes: a\n   checks:\n    - http: {url: /, headers: {Authorization: {hunter2: x}}}\n",
		"headers_file":            "watch:\n - processes: a\n   checks:\n    - http: {url: /, port: 80, headers_file: " + headers + "}\n",
		"header":                  "watch:\n - processes: a\n   checks:\n    - http: {url: /, port: 80, header: {Authorization: hunter2}}\n",
		"twice":                   "server:\n  url: unix:///x\n  username: a\n  password: x\n  password: hunter2\nwatch: []\n",
		"wrong place":             "watch:\n - processes: a\n   checks: [{tcp: {port: 80}}]\n   password: hunter2\n",
		"second document":         "--- \nwatch: []\n---\npassword: hunter2\n",
		"a word in place of keys": "server: hunter2\n",
		"a body":                  "watch:\n - processes: a\n   checks:\n    - http: {port: many, url: /, body: password=hunter2}\n",
		"a body of JSON":          "watch:\n - processes: a\n   checks:\n    - http: {port: many, url: /, json: {user: x, password: hunter2}}\n",
		"several lines":           "server:\n  url: unix:///x\n  username: a\n  password: \"x\n    hunter2\n    hunter2\"\n  port: 5\n",
		"several lines, literal":  "server:\n  url: unix:///x\n  username: a\n  password: |\n\n    hunter2: !x\n    hunter2\n  port: 5\n",
		"a line in a literal":     "server:\n  password: |\n    hunter2\n   url: x\n",
		"an anchor":               "name: &x hunter2\nserver: {url: unix:///x, username: a, password: *x, port: 5}\n",
	} {
		_, err := Read("f", []byte(text), environment)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s:\n%v", name, err)
		}
	}
}

// TestPartOfASecret has no part of a variable in an error.
func TestPartOfASecret(t *testing.T) {
	environment := func(string) (string, bool) { return "abc%hunter2", true }
	for _, text := range []string{
		`checks: {script: {command: [sh, "${TOKEN}"]}}`,
		`checks: {script: {command: "sh -c ${TOKEN}"}}`,
		`checks: {http: {port: 80, url: /, expect_status: "200,${TOKEN}"}}`,
		`checks: {tcp: {port: 80}, action: "exec: ${TOKEN} x"}`,
		`checks: {tcp: {port: 80}}, before_restart: "${TOKEN} x"`,
		`checks: {tcp: {port: 80}}, before_restart: ["${TOKEN}", x]`,
		`checks: {tcp: {port: 80}}, max_unavailable: "${TOKEN}"`,
		`checks: {http: {port: 80, url: /, json: "${TOKEN", body: "${TOKEN}"}}`,
	} {
		_, err := Read("f", []byte("watch: {processes: a, "+text+"}\n"), environment)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", text, err)
		}
	}
	_, err := Read("f", []byte("name: \"${X}\"\nwatch: {processes: a, checks: [{}]}\n"), func(string) (string, bool) { return "http", true })
	if err == nil || strings.Contains(err.Error(), "${X}, log") {
		t.Errorf("our own words have a variable in them: %v", err)
	}
}

// TestVariableInHook has none of it in the log, nor in what the listener says it does.
func TestVariableInHook(t *testing.T) {
	f, err := Read("f", []byte(`
server: {url: http://127.0.0.1:1}
watch: {processes: a, checks: {tcp: {port: 80}}, after_stop: [sh, -c, x, "Token: ${PASSWORD}"]}
`), environment)
	if err != nil {
		t.Fatal(err)
	}
	cfg, _, err := f.Config(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cfg.Log, cfg.StateDir, cfg.Stdin, cfg.Stdout = slog.New(slog.NewTextHandler(&log, nil)), t.TempDir()+"/state", strings.NewReader(""), io.Discard
	runner.Run(t.Context(), cfg)
	if text := log.String(); strings.Contains(text, "hidden") || !strings.Contains(text, "after-stop sh …") {
		t.Error(text)
	}
}

// TestVariableInJSON is expanded as in any text.
func TestVariableInJSON(t *testing.T) {
	read := func(value string) (*File, error) {
		return Read("f", []byte("watch: {processes: a, checks: {http: {port: 80, url: /, method: POST, json: "+value+"}}}"), environment)
	}
	f, err := read(`{token: ["${PASSWORD}", "$${x}", 1, null]}`)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(f.Watch[0].Checks[0].HTTP.JSON); got != `{"token":["hidden","${x}",1,null]}` {
		t.Error(got)
	}
	if _, err := read(`{token: ["${NO_SUCH}"]}`); err == nil {
		t.Error("a variable that is not there is taken")
	}
}

// TestAllIsListed counts what is found in one reading.
func TestAllIsListed(t *testing.T) {
	for text, want := range map[string][]string{
		"watch: {processes: a, checks: {http: {port: many, url: /, scheme: ftp, insecure: true, expect_status: abc, expect_body: '('}}}": {"port", "scheme", "expect_status", "expect_body"},
		"watch: {processes: a, checks: {http: {port: many, url: /, timeout: x}}}":                                                        {"port", "timeout"},
		"watch: {processes: a, checks: {http: {scheme: ftp}}}":                                                                           {"url", "port", "scheme"},
		"watch: {processes: a, checks: {http: {prot: 80, url: /, scheme: ftp}}}":                                                         {"prot", "scheme"},
		"watch: {processes: a, checks: {xmlrpc: {method: 'a b'}}}":                                                                       {"url"},
		"watch: {processes: a, checks: {memory: {metric: vsz}}}":                                                                         {"max", "metric"},
		"watch: {processes: a, checks: {log: {pattern: '(', times: 0}}}":                                                                 {"pattern", "times"},
		"watch: {processes: a, checks: {script: {command: [sh, '%x'], timeout: soon}}}":                                                  {"command", "timeout"},
		"watch: [{processes: a, checks: {fds: {max: 1}}, jitter: long, revive: [STOPPED], before_restart: /no}, {processes: a, checks: {fds: {max: 1}}, jitter: 1s, revive: FATAL, before_restart: sh}]": {"jitter", "revive", "before_restart"},
		"watch: {processes: '!a', checks: {htpt: {}}}": {"processes", "htpt"},
		`log: {level: loud}
watch:
- {processes: a, checks: [{tcp: {port: 80}}], jitter: 5s}
- {processes: a, checks: [{tcp: {port: 80}, memory: {max: 1GiB}, timeout: x}], jitter: 6s}`: {"level", "several checks", "timeout", "jitter"},
	} {
		_, err := Read("f", []byte(text), environment)
		var bad *Error
		if !errors.As(err, &bad) || len(bad.Problems) != len(want) {
			t.Errorf("%d are wrong, and listed are\n%v", len(want), err)
			continue
		}
		for _, what := range want {
			if !slices.ContainsFunc(bad.Problems, func(p Problem) bool { return strings.Contains(p.Path+" "+p.Text, what) }) {
				t.Errorf("%s is not listed:\n%v", what, err)
			}
		}
	}
}

// TestPositions has errors say which key is wrong, and how to write it.
func TestPositions(t *testing.T) {
	for text, want := range map[string]string{
		"watch:\n- processes: a\n  checks:\n  - http:\n      port: 80\n      url: /\n      username: u\n      password: aaaa\n      password_file: /etc/x\n":          "f:9:",
		"watch:\n- processes: a\n  checks:\n  - http:\n      port: 80\n      url: /\n      headers_file: /no/such\n":                                                  "f:7:",
		"watch:\n- processes: a\n  checks:\n  - http:\n      port: 80\n      url: /\n      username: u\n      password_file: /no/such\n":                              "f:8:",
		"watch:\n- processes: a\n  checks:\n  - http:\n      port: 80\n      url: /\n      scheme: https\n      cert_file: /etc/hostname\n      key_file: /no/such\n": "key_file",
		"watch:\n- processes: a\n  checks:\n  - xmlrpc: {}\n":                                                                              "url",
		"watch:\n- processes: a\n  checks:\n  - tcp: {}\n":                                                                                 "port",
		"watch:\n - processes: [web:*, !web:canary]\n   checks: [{tcp: {port: 80}}]\n":                                                     "quote",
		"watch:\n - processes: [*]\n   checks: [{tcp: {port: 80}}]\n":                                                                      "quote",
		"watch:\n - processes: [\"*\", !canary]\n   checks: [{tcp: {port: 80}}]\n":                                                         "quote",
		"watch:\n - processes:\n   - *\n   checks: [{tcp: {port: 80}}]\n":                                                                  "quote",
		"watch:\n - processes: a\n   checks: [{tcp: {port: 80}}]\n   not_during: [{at: */5 * * * *, for: 1h}]\n":                           "quote",
		"watch:\n - processes: a\n   checks: [{tcp: {port: 80}}]\n   not_during: [{at: * 2 * * *, for: 1h}]\n":                             "quote",
		"server:\n  url: http://127.0.0.1:1\n  username: u\n  password_file: /no/such\nwatch: {processes: a, checks: {tcp: {port: 80}}}\n": "f:4:",
	} {
		if _, err := Read("f", []byte(text), environment); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q in it", text, err, want)
		}
	}
}

// TestDefaultsTakenBack has an entry, or a check, without what there is in defaults.
func TestDefaultsTakenBack(t *testing.T) {
	f, err := Read("f", []byte(`
defaults:
  revive: FATAL
  panic_threshold: 50%
  before_restart: sh -c true
  after_stop: sh -c true
  after_restart: sh -c true
  hook_timeout: 5s
  evidence: {dir: /x}
  not_during: {at: 0 2 * * *, for: 1h}
  restart_limit: 1/10m
  backoff: 5s
  max_unavailable: 1
  jitter: 5s
watch:
  processes: a
  checks: [{tcp: {port: 80}, not_during: none}, {tcp: {port: 81}}]
  revive: none
  panic_threshold: none
  before_restart: none
  after_stop: none
  after_restart: none
  evidence: none
  restart_limit: none
  backoff: none
  max_unavailable: none
  jitter: 0
`), environment)
	if err != nil {
		t.Fatal(err)
	}
	cfg, _, err := f.Config(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(runner.Policy{}, cfg.Watches[0].Policy); diff != "" {
		t.Error(diff)
	}
	if rules := cfg.Watches[0].Rules; rules[0].NotDuring != nil || rules[1].NotDuring == nil {
		t.Errorf("%+v", rules)
	}
}

// TestSecretFiles has a body and headers that others must not see in files of their own.
func TestSecretFiles(t *testing.T) {
	asked := make(chan *http.Request, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		asked <- r
	}))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	body := filepath.Join(t.TempDir(), "body")
	headers := filepath.Join(t.TempDir(), "headers")
	os.WriteFile(body, []byte("password=sesame"), 0o600)
	os.WriteFile(headers, []byte("X-Token: a\nX-Token: b\n"), 0o600)
	c, err := (&HTTP{Port: port, URL: "/", Method: "POST", BodyFile: body, HeadersFile: headers}).make(RuleSettings{})
	if err != nil {
		t.Fatal(err)
	}
	if r := c.Run(t.Context(), supervisor.Process{Name: "a"}); r.Status != checks.Healthy {
		t.Fatal(r.Err)
	}
	r := <-asked
	if got, _ := io.ReadAll(r.Body); string(got) != "password=sesame" || len(r.Header.Values("X-Token")) != 2 {
		t.Errorf("body %q, headers %v", got, r.Header)
	}
	for want, h := range map[string]*HTTP{
		"headers_file: line 1 of " + headers + " has a header that is in headers, too: give it in one of them": {Headers: map[string][]string{"x-token": {"c"}}, HeadersFile: headers},
		"body_file: is of no use with body or json: give one of them":                                          {Body: "x", BodyFile: body},
		"body_file: open /no/such: no such file or directory":                                                  {BodyFile: "/no/such"},
	} {
		h.Port, h.URL = port, "/"
		if _, err := h.make(RuleSettings{}); err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}
