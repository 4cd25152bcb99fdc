package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/supervisor-checks/supervisor-checks/runner"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

var update = flag.Bool("update", false, "write what is wrong with the bad files anew")

// environment has two variables.
func environment(name string) (string, bool) {
	value, is := map[string]string{"LOGIN": "operator", "PASSWORD": "hidden", "NOTHING": "", "PORT": "8080", "BAD": "many", "QUOTED": "hid\"den\n"}[name]
	return value, is
}

func TestGood(t *testing.T) {
	text, err := os.ReadFile("testdata/good.yaml")
	if err != nil {
		t.Fatal(err)
	}
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
	valid := func(text []byte) error {
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
	text, _ := os.ReadFile("testdata/good.yaml")
	path := secretFile(t)
	text = bytes.ReplaceAll(text, []byte("/etc/secret"), []byte(path))
	f, err := Read("good.yaml", text, environment)
	if err != nil {
		t.Fatal(err)
	}
	made := make(Made)
	cfg, err := f.Config(made)
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
	if len(w.Rules) != 7 { // one is left out
		t.Fatalf("rules %+v", w.Rules)
	}
	for i, want := range []runner.Rule{
		{FailureThreshold: runner.Threshold{Failures: 3, Of: 5}, SuccessThreshold: 2, StartPeriod: 30 * time.Second},
		{FailureThreshold: runner.Threshold{Failures: 3}, StartPeriod: 30 * time.Second, Action: runner.Action{Kind: runner.ActionAlert}},
		{FailureThreshold: runner.Threshold{Failures: 3}, StartPeriod: 30 * time.Second, Action: runner.Action{Kind: runner.ActionSignal, Signal: "USR1"}},
	} {
		got := w.Rules[i]
		got.Check = nil
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
	if diff := cmp.Diff([]string{"MaxUnavailable", "PanicThreshold", "Jitter", "Revive", "Evidence", "Hooks"}, w.Decided); diff != "" {
		t.Error(diff)
	}
	if got := cfg.Watches[1].Policy.MaxUnavailable; got != (runner.Share{Number: 2}) {
		t.Errorf("max_unavailable of the second entry: %v", got)
	}
	os.WriteFile(path, []byte("another\n"), 0o600)
	again, err := f.Config(made)
	if again.Server.Password != "another" || again.Watches[0].Rules[0].Check == w.Rules[0].Check {
		t.Errorf("a check that remembers nothing is the one of before: it has read its files then")
	}
	if err != nil || again.Watches[0].Rules[2].Check != w.Rules[2].Check {
		t.Errorf("the check of processor time is another one, with nothing to remember; error %v", err)
	}
}

func secretFile(t *testing.T) string {
	path := t.TempDir() + "/secret"
	if err := os.WriteFile(path, []byte("sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestNone ends what there is by default.
func TestNone(t *testing.T) {
	f, err := Read("f", []byte("watch:\n  - processes: web\n    checks: [{tcp: {port: 80}}]\n    restart_limit: none\n    backoff: none\n    max_unavailable: none\n"), environment)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := f.Config(make(Made))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(runner.Policy{}, cfg.Watches[0].Policy); diff != "" {
		t.Error(diff)
	}
}
