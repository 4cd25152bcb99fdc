package script_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/command"
	"github.com/supervisor-checks/supervisor-checks/internal/jsoncheck"
	"github.com/supervisor-checks/supervisor-checks/internal/script"
)

// prints is a script that prints a text and exits with a status.
func prints(protocol, text string, status int) script.Config {
	return script.Config{Command: []string{"sh", "-c", `printf '%%s' "$T"; exit "$S"`}, Protocol: protocol, Timeout: time.Minute,
		Env: []string{"T=" + strings.ReplaceAll(text, "%", "%%"), fmt.Sprint("S=", status)}}
}

func TestOutcomes(t *testing.T) {
	expecting := func(cfg script.Config, change func(*script.Config)) script.Config {
		change(&cfg)
		return cfg
	}
	warning := func(means string) script.Config {
		return expecting(prints(script.Nagios, "WARNING - slow | time=5ms;1;2 'free space'=10%", 1), func(c *script.Config) { c.Warning = means })
	}
	says := func(text string, timeout time.Duration) script.Config {
		return script.Config{Command: []string{"sh", "-c", text}, Protocol: script.JSON, Timeout: cmp.Or(timeout, time.Minute)}
	}
	ok := []jsoncheck.Place{{Path: "$.db.state", Equals: "ok"}}
	for _, tt := range []struct {
		name    string
		cfg     script.Config
		status  script.Status
		err     string
		metrics map[string]float64
	}{
		{"the reason is what goes to standard error", script.Config{Command: []string{"sh", "-c", "echo out; echo one >&2; echo two >&2; echo out; exit 1"}}, script.Unhealthy, "it exited with status 1: two", nil},
		{"or to standard output", script.Config{Command: []string{"sh", "-c", "echo one; echo two; echo; exit 1"}}, script.Unhealthy, "it exited with status 1: two", nil},
		{"an environment that it is for", expecting(prints(script.Exit, "", 0), func(c *script.Config) { c.OnlyIn, c.Environment = []string{"develop", "staging"}, "staging" }), script.Healthy, "", nil},
		{"another environment", expecting(prints(script.Exit, "", 0), func(c *script.Config) { c.OnlyIn, c.Environment = []string{"develop", "staging"}, "production" }), script.Skipped, "it is run only in develop, staging, and this is production", nil},
		{"no environment", expecting(prints(script.Exit, "", 0), func(c *script.Config) { c.OnlyIn = []string{"develop"} }), script.Skipped, "it is run only in develop, and which environment this is nobody says", nil},
		{"a reply that it is skipped", prints(script.JSON, `{"status":"skipped","reason":"only in develop"}`, 3), script.Skipped, "only in develop", map[string]float64{}},
		{"no metrics", prints(script.Exit, "m 1\n", 0), script.Healthy, "", nil},

		{"a warning", warning(""), script.Healthy, "", map[string]float64{"time_seconds": 0.005, "free_space_percent": 10}},
		{"a warning that is a failure", warning("unhealthy"), script.Unhealthy, "it exited with status 1: WARNING - slow", map[string]float64{"time_seconds": 0.005, "free_space_percent": 10}},
		{"a warning that says nothing", warning("unknown"), script.Unknown, "it exited with status 1: WARNING - slow", map[string]float64{"time_seconds": 0.005, "free_space_percent": 10}},
		{"critical", prints(script.Nagios, "CRITICAL - full\nmore\n", 2), script.Unhealthy, "it exited with status 2: CRITICAL - full", map[string]float64{}},
		{"a plugin's unknown", prints(script.Nagios, "UNKNOWN - no route | a=,5", 3), script.Unknown, "it exited with status 3: UNKNOWN - no route", map[string]float64{"bad_metrics": 1}},

		{"metrics of a failure", prints(script.Cloudprober, "rows{table=\"a b\"} 7\nwords\ntook 1.5\n", 1), script.Unhealthy, "it exited with status 1: took 1.5", map[string]float64{`rows{table="a b"}`: 7, "took": 1.5, "bad_metrics": 1}},

		{"a reply", prints(script.JSON, `{"status":"healthy","reason":"all fine","metrics":{"a":1,"b.c":-2.5e3},"other":[1]}`, 0), script.Healthy, "", map[string]float64{"a": 1, "b.c": -2500}},
		{"a reply that says why", prints(script.JSON, "{\"status\":\"unhealthy\",\"reason\":\"queue\\nis full\"}\n", 0), script.Unhealthy, `queue\nis full`, map[string]float64{}},
		{"a reply that does not", prints(script.JSON, `{"status":"unhealthy"}`, 1), script.Unhealthy, "it says no more than unhealthy", map[string]float64{}},
		{"a reply that does not know", prints(script.JSON, `{"status":"unknown","reason":"no route","metrics":{"a":1}}`, 0), script.Unknown, "no route", map[string]float64{"a": 1}},
		{"a reply that its end belies", prints(script.JSON, `{"status":"healthy"}`, 1), script.Unhealthy, `it exited with status 1: {"status":"healthy"}, after it said that it is healthy`, map[string]float64{}},
		{"a reply that does not know, and a failure", prints(script.JSON, `{"status":"unknown","reason":"no route"}`, 1), script.Unhealthy, `it exited with status 1: {"status":"unknown","reason":"no route"}, after it said that it is unknown`, map[string]float64{}},
		{"a reply that knows more than its end", prints(script.JSON, `{"status":"unhealthy","reason":"full"}`, 3), script.Unhealthy, "full", map[string]float64{}},
		{"a reply that it is skipped, and a failure", prints(script.JSON, `{"status":"skipped"}`, 1), script.Unhealthy, `it exited with status 1: {"status":"skipped"}, after it said that it is skipped`, map[string]float64{}},
		{"a reply that it is skipped, and no interpreter", prints(script.JSON, `{"status":"skipped"}`, 127), script.Unknown, `it exited with status 127: {"status":"skipped"}, after it said that it is skipped`, map[string]float64{}},
		{"a reply that it is skipped, and a signal", says(`echo '{"status":"skipped"}'; kill -KILL $$`, 0), script.Unhealthy, `it was ended by signal 9 (killed): {"status":"skipped"}, after it said that it is skipped`, map[string]float64{}},
		{"a reply, and no end", says(`echo '{"status":"unknown"}'; sleep 3000`, time.Second), script.Unhealthy, `it took too long and was killed after 1s: {"status":"unknown"}, after it said that it is unknown`, map[string]float64{}},
		{"a reply of a failure, and no end", says(`echo '{"status":"unhealthy"}'; sleep 3000`, time.Second), script.Unhealthy, `it took too long and was killed after 1s: {"status":"unhealthy"}, after it said that it is unhealthy`, map[string]float64{}},
		{"a reply behind which is too much", says(`echo '{"status":"healthy"}'; head -c 100000 /dev/zero`, 0), script.Unknown, "its last line is not within the last 32 KiB of what it prints, which are those that are kept", nil},
		{"a failure behind too much", says(`head -c 100000 /dev/zero; echo no >&2; exit 1`, 0), script.Unknown, "it exited with status 1: no; its last line is not within the last 32 KiB of what it prints, which are those that are kept", nil},
		{"a reply without a status", prints(script.JSON, `{"reason":"x"}`, 0), script.Unknown, `the status of its reply is none of healthy, unhealthy, unknown, skipped: {"reason":"x"}`, nil},
		{"a reply of another status", prints(script.JSON, `{"status":"OK"}`, 0), script.Unknown, `the status of its reply is none of healthy, unhealthy, unknown, skipped: {"status":"OK"}`, nil},
		{"a reply that is no object", prints(script.JSON, `"healthy"`, 0), script.Unknown, `its last line is no reply in JSON: "healthy"`, nil},
		{"a reply with a wrong type", prints(script.JSON, `{"status":1}`, 0), script.Unknown, `its last line is no reply in JSON: {"status":1}`, nil},
		{"half a reply", prints(script.JSON, `{"status":"hea`, 0), script.Unknown, `its last line is no reply in JSON: {"status":"hea`, nil},
		{"two replies in a line", prints(script.JSON, `{"status":"healthy"} {"status":"unhealthy"}`, 0), script.Unknown, `its last line is no reply in JSON: {"status":"healthy"} {"status":"unhealthy"}`, nil},
		{"no reply", prints(script.JSON, "\n\n", 0), script.Unknown, "it wrote no reply", nil},
		{"an end without a reply", script.Config{Command: []string{"sh", "-c", "echo Traceback >&2; exit 1"}, Protocol: script.JSON}, script.Unknown, "it exited with status 1: Traceback, and wrote no reply", nil},
		{"metrics that are none", prints(script.JSON, `{"status":"healthy","metrics":{"a":1,"b":"2","c d":3,"e{":4}}`, 0), script.Healthy, "", map[string]float64{"a": 1, "bad_metrics": 3}},

		{"output as expected", expecting(prints(script.Exit, "state=ok load=3\n", 0), func(c *script.Config) {
			c.ExpectOutput, c.ExpectText, c.RejectText = `load=\d\b`, []string{"state=", "ok"}, []string{"bad"}
		}), script.Healthy, "", nil},
		{"output of another kind", expecting(prints(script.Exit, "state=bad load=30\n", 0), func(c *script.Config) {
			c.ExpectOutput, c.ExpectText, c.RejectText = `load=\d\b`, []string{"state=", "ok"}, []string{"bad"}
		}), script.Unhealthy, "the output does not match `load=\\d\\b`; \"ok\" is not in the output; \"bad\" is in the output: state=bad load=30", nil},
		{"what has failed is not judged", expecting(prints(script.Exit, "x", 2), func(c *script.Config) { c.ExpectOutput = "y" }), script.Unhealthy, "it exited with status 2: x", nil},
		{"a document as expected", expecting(prints(script.Exit, "{\"db\":\n{\"state\":\"ok\"}}\n", 0), func(c *script.Config) { c.ExpectJSON = ok }), script.Healthy, "", nil},
		{"a document of another kind", expecting(prints(script.Exit, `{"db":{"state":"bad"}}`, 0), func(c *script.Config) { c.ExpectJSON = ok }), script.Unhealthy, `$.db.state is "bad", not "ok": {"db":{"state":"bad"}}`, nil},
		{"a document in the last line", expecting(prints(script.JSON, "first\n{\"status\":\"healthy\",\"db\":{\"state\":\"ok\"}}", 0), func(c *script.Config) { c.ExpectJSON = ok }), script.Healthy, "", map[string]float64{}},
		{"a document that is too long", expecting(script.Config{Command: []string{"sh", "-c", "echo '['; head -c 70000 /dev/zero | tr '\\0' ' '; echo ']'"}}, func(c *script.Config) { c.ExpectJSON = ok }), script.Unknown, "it prints more than 64 KiB, of which 4468 bytes are not looked at, so that nobody knows whether the output is not JSON as expected", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, err := script.New(tt.cfg)
			if err != nil {
				t.Fatal(err)
			}
			o := s.Run(t.Context(), script.Subject{})
			for begun := time.Now(); errors.Is(o.Err, command.ErrTimeout) && o.Metrics == nil && time.Since(begun) < 30*time.Second; { // before it said anything
				o = s.Run(t.Context(), script.Subject{})
			}
			text := ""
			if o.Err != nil {
				text = o.Err.Error()
			}
			if o.Status != tt.status || text != tt.err || !maps.Equal(o.Metrics, tt.metrics) || (o.Metrics == nil) != (tt.metrics == nil) {
				t.Errorf("got %v: %q, %v\nwant %v: %q, %v", o.Status, text, o.Metrics, tt.status, tt.err, tt.metrics)
			}
		})
	}
}

// TestOutputThatWasCut has the beginning and the end of an output decide what they can.
func TestOutputThatWasCut(t *testing.T) {
	const cut = "it prints more than 64 KiB, of which 134481 bytes are not looked at, so that nobody knows whether "
	for _, tt := range []struct {
		name   string
		change func(*script.Config)
		status script.Status
		err    string
	}{
		{"nothing to judge", func(*script.Config) {}, script.Healthy, ""},
		{"expected at the beginning", func(c *script.Config) { c.ExpectText, c.ExpectOutput = []string{"BEGIN"}, "^BEGIN" }, script.Healthy, ""},
		{"expected at the end", func(c *script.Config) { c.ExpectText, c.ExpectOutput = []string{"END"}, `END\n$` }, script.Healthy, ""},
		{"expected in the middle", func(c *script.Config) { c.ExpectText = []string{"ERROR"} }, script.Unknown, cut + `"ERROR" is not in the output`},
		{"a pattern in the middle", func(c *script.Config) { c.ExpectOutput = "E[R]+OR" }, script.Unknown, cut + "the output does not match `E[R]+OR`"},
		{"unwanted in the middle", func(c *script.Config) { c.RejectText = []string{"ERROR"} }, script.Unknown, cut + `"ERROR" is not in the output`},
		{"unwanted at the end", func(c *script.Config) { c.RejectText, c.ExpectText = []string{"END"}, []string{"ERROR"} }, script.Unhealthy, `"END" is in the output: END`},
		{"our own words for a cut", func(c *script.Config) { c.ExpectText, c.ExpectOutput = []string{"more bytes"}, "more bytes" }, script.Unknown, cut + "the output does not match `more bytes`; \"more bytes\" is not in the output"},
		{"our own words, unwanted", func(c *script.Config) { c.RejectText = []string{"more bytes"} }, script.Unknown, cut + `"more bytes" is not in the output`},
		{"the beginning of the end", func(c *script.Config) { c.ExpectOutput = "^a" }, script.Unknown, cut + "the output does not match `^a`"},
		{"the end of the beginning", func(c *script.Config) { c.ExpectOutput = "a$" }, script.Unknown, cut + "the output does not match `a$`"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := script.Config{Command: []string{"sh", "-c", "a() { head -c 100000 /dev/zero | tr '\\0' a; }; echo BEGIN; a; echo ERROR; a; echo; echo END"}, Timeout: time.Minute}
			tt.change(&cfg)
			s, err := script.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			o := s.Run(t.Context(), script.Subject{})
			text := ""
			if o.Err != nil {
				text = o.Err.Error()
			}
			if o.Status != tt.status || text != tt.err {
				t.Errorf("got %v: %s\nwant %v: %s", o.Status, text, tt.status, tt.err)
			}
		})
	}
}

// TestWarnings are told of once for each process, and when they end.
func TestWarnings(t *testing.T) {
	l := new(logged)
	file := filepath.Join(t.TempDir(), "text")
	s, err := script.New(script.Config{Command: []string{"sh", "-c", `read status text < "$F"; echo "$text"; exit $status`}, Env: []string{"F=" + file}, Protocol: script.Nagios, Timeout: time.Minute, Log: l.log})
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range []string{"0 OK", "1 WARNING - slow", "1 WARNING - slower", "2 CRITICAL", "1 WARNING - slow again", "0 OK", "0 OK"} {
		if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"web:a", "web:b"} {
			if o := s.Run(t.Context(), script.Subject{Key: key}); (o.Status == script.Healthy) != (text != "2 CRITICAL") {
				t.Errorf("%d: %+v", i, o)
			}
		}
	}
	const warns = "it warns, which is no failure: it exited with status 1: WARNING - slow"
	want := []string{"sh: web:a: " + warns, "sh: web:b: " + warns, "sh: web:a: " + warns + " again", "sh: web:b: " + warns + " again", "sh: web:a: it warns no more", "sh: web:b: it warns no more"}
	if !slices.Equal(l.lines, want) {
		t.Errorf("it logs %q\nwant %q", l.lines, want)
	}
}

// TestBadMetricsAreToldOfOnce has other ones each time.
func TestBadMetricsAreToldOfOnce(t *testing.T) {
	l := new(logged)
	s, err := script.New(script.Config{Command: []string{"printf", "a 1\nthe queue of %(name)s is full\nb{l=\"" + strings.Repeat("b", 500) + "\"} 1"}, Protocol: script.Cloudprober, Timeout: time.Minute, Log: l.log}, "name")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"alice", "bob"} {
		if o := s.Run(t.Context(), script.Subject{Names: map[string]string{"name": name}}); !maps.Equal(o.Metrics, map[string]float64{"a": 1, "bad_metrics": 2}) {
			t.Errorf("%+v", o)
		}
	}
	if l.count("") != 1 || l.count("printf: 2 metrics cannot be read, the first: line 2: ") != 1 {
		t.Errorf("it logs %q", l.lines)
	}
}

func TestNamesThatAreTooLong(t *testing.T) {
	for protocol, text := range map[string]string{
		script.Cloudprober: strings.Repeat("a", 501) + " 1\n" + strings.Repeat("a", 500) + " 1\n",
		script.Nagios:      "OK|" + strings.Repeat("a", 501) + "=1 " + strings.Repeat("a", 500) + "=1",
	} {
		l := new(logged)
		cfg := prints(protocol, text, 0)
		cfg.Log = l.log
		s, err := script.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if o := s.Run(t.Context(), script.Subject{}); !maps.Equal(o.Metrics, map[string]float64{strings.Repeat("a", 500): 1, "bad_metrics": 1}) {
			t.Errorf("%s: %+v", protocol, o)
		}
		if l.count("") != 1 || l.count("is longer than 500 bytes") != 1 {
			t.Errorf("%s: it logs %q", protocol, l.lines)
		}
	}
}

// TestEveryMetricArrives runs a script 500 times that ends at once when it has printed.
func TestEveryMetricArrives(t *testing.T) {
	var text strings.Builder
	for i := range script.MaxSeries {
		fmt.Fprintf(&text, "rows{table=\"t%d\"} %d\n", i, i)
	}
	path := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := script.New(script.Config{Command: []string{"cat", path}, Protocol: script.Cloudprober, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 500 {
		all.Go(func() {
			o := s.Run(t.Context(), script.Subject{Key: fmt.Sprint(i)})
			if len(o.Metrics) != script.MaxSeries || o.Metrics[`rows{table="t99"}`] != 99 || o.Err != nil {
				t.Errorf("%d metrics, %v", len(o.Metrics), o.Err)
			}
		})
	}
	all.Wait()
}

func TestTooManyMetrics(t *testing.T) {
	var text, pairs strings.Builder
	for i := range script.MaxSeries + 7 {
		fmt.Fprintf(&text, "m%d 1\n", i)
		fmt.Fprintf(&pairs, `,"m%d":1`, i)
	}
	for protocol, text := range map[string]string{
		script.Cloudprober: "bad one\n" + text.String(),
		script.Nagios:      "OK | a=x " + strings.ReplaceAll(strings.ReplaceAll(text.String(), " ", "="), "\n", " "),
		script.JSON:        `{"status":"healthy","metrics":{"bad one":1` + pairs.String() + "}}",
	} {
		l := new(logged)
		cfg := prints(protocol, text, 0)
		cfg.Log = l.log
		s, err := script.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			o := s.Run(t.Context(), script.Subject{})
			if len(o.Metrics) != script.MaxSeries+2 || o.Metrics["bad_metrics"] != 1 || o.Metrics["left_out_series"] != 7 || o.Status != script.Healthy {
				t.Errorf("%s: %d metrics, %v bad, %v left out, %v", protocol, len(o.Metrics), o.Metrics["bad_metrics"], o.Metrics["left_out_series"], o.Err)
			}
		}
		if l.count("") != 2 || l.count("sh: 1 metrics cannot be read") != 1 || l.count("sh: there are 7 metrics more than the 100 that are kept") != 1 {
			t.Errorf("%s: it logs %q", protocol, l.lines)
		}
	}
}

// TestOneAtATime has a script run for the same and for others, of which it finds out
// itself.
func TestOneAtATime(t *testing.T) {
	dir := t.TempDir()
	s, err := script.New(script.Config{Command: []string{"sh", "-c", `mkdir "$D/$1" && sleep 0.02 && rmdir "$D/$1"`, "sh", "%(name)s"}, Env: []string{"D=" + dir}, Timeout: time.Minute}, "name")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 20 {
		name := []string{"a", "b"}[i%2]
		all.Go(func() {
			if o := s.Run(t.Context(), script.Subject{Key: name, Names: map[string]string{"name": name}}); o.Status != script.Healthy {
				t.Errorf("%+v", o)
			}
		})
	}
	all.Wait()
}

// TestNoMoreThanSoManyAtOnce has more scripts wait than may run, and then some whose turn
// does not come.
func TestNoMoreThanSoManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	s, err := script.New(script.Config{Command: []string{"sh", "-c", `: > "$D/$$"; while [ ! -e "$D/go" ]; do sleep 0.05; done`}, Env: []string{"D=" + dir}, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	var all sync.WaitGroup
	var mu sync.Mutex
	found := map[string]int{}
	for i := range script.MaxAtOnce + 10 {
		all.Go(func() {
			o := s.Run(ctx, script.Subject{Key: fmt.Sprint(i)})
			mu.Lock()
			defer mu.Unlock()
			found[fmt.Sprint(o.Status, " ", o.Err)]++
		})
	}
	begun := func() int {
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	for at := time.Now(); begun() < script.MaxAtOnce; time.Sleep(5 * time.Millisecond) {
		if time.Since(at) > 30*time.Second {
			t.Fatalf("%d run", begun())
		}
	}
	begunNow := begun()
	other, err := script.New(script.Config{Command: []string{"true"}})
	if err != nil {
		t.Fatal(err)
	}
	short, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if o := other.Run(short, script.Subject{}); o.Status != script.Unknown || !errors.Is(o.Err, context.DeadlineExceeded) || !strings.HasPrefix(o.Err.Error(), "64 other scripts run: ") {
		t.Errorf("another script: %+v", o)
	}
	if o := other.Run(t.Context(), script.Subject{Probe: true}); o.Status != script.Healthy {
		t.Errorf("another script, for a probe: %+v", o)
	}
	cancel(errors.New("we are ending"))
	all.Wait()
	if begunNow != script.MaxAtOnce || begun() != script.MaxAtOnce || found["unhealthy we are ending"] != script.MaxAtOnce || found["unknown 64 other scripts run: we are ending"] != 10 {
		t.Errorf("%d have run, %v", begun(), found)
	}
}

func TestLastRunGoesOn(t *testing.T) {
	s, err := script.New(script.Config{Command: []string{"sleep", "60"}})
	if err != nil {
		t.Fatal(err)
	}
	var first sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for range 2 {
		first.Go(func() {
			s.Run(ctx, script.Subject{Key: "a"})
		})
	}
	defer first.Wait()
	defer cancel()
	done, stop := context.WithCancel(t.Context())
	stop()
	for at := time.Now(); ; time.Sleep(time.Millisecond) {
		o := s.Run(done, script.Subject{Key: "a"})
		if o.Status == script.Unknown && strings.HasPrefix(o.Err.Error(), "the last run of this script has not ended yet: ") {
			return
		}
		if time.Since(at) > 10*time.Second {
			t.Fatalf("%+v", o)
		}
	}
}

// TestSurroundings is about the variables that a script gets.
func TestSurroundings(t *testing.T) {
	for _, name := range []string{"SERVER_URL", "USERNAME", "PASSWORD", "PROCESS_NAME", "GROUP_NAME"} {
		t.Setenv("SUPERVISOR_"+name, "the listener's")
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "web%"), 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := script.New(script.Config{
		Command: []string{"sh", "-c", `echo "$1|$SUPERVISOR_SERVER_URL$SUPERVISOR_USERNAME$SUPERVISOR_PASSWORD$SUPERVISOR_PROCESS_NAME$SUPERVISOR_GROUP_NAME|$FACT|$A|${PWD##*/}" >&2; exit 1`, "sh", "50%% of %(name)s"},
		Env:     []string{"A=%(name)s=%(name)s"}, Dir: dir + "/%(name)s%%",
	}, "name")
	if err != nil {
		t.Fatal(err)
	}
	o := s.Run(t.Context(), script.Subject{Names: map[string]string{"name": "web"}, Env: []string{"FACT=x"}})
	if want := "it exited with status 1: 50% of web|the listener's|x|web=web|web%"; o.Err == nil || o.Err.Error() != want {
		t.Errorf("%v\nwant %s", o.Err, want)
	}
}

func TestNewRefuses(t *testing.T) {
	base := script.Config{Command: []string{"true"}}
	for _, tt := range []struct {
		change func(*script.Config)
		want   string
	}{
		{func(c *script.Config) { c.Command = nil }, "command: names no program"},
		{func(c *script.Config) { c.Command = []string{""} }, "command: names no program"},
		{func(c *script.Config) { c.Command = []string{"true", "%(x)s"} }, `command: "%(x)s": after a % comes (name)s, or another %`},
		{func(c *script.Config) { c.Env = []string{"A"} }, "env: there is one that is not NAME=VALUE"},
		{func(c *script.Config) { c.Env = []string{"A=%x"} }, "env: A: after a % comes (name)s, or another %"},
		{func(c *script.Config) { c.Dir = "%" }, `dir: "%": after a % comes (name)s, or another %`},
		{func(c *script.Config) { c.User = "nobody-at-all" }, `user: there is no user "nobody-at-all" here`},
		{func(c *script.Config) { c.Protocol = "snmp" }, `protocol: "snmp" is none of exit, nagios, cloudprober, cloudprober-server, json`},
		{func(c *script.Config) { c.Protocol, c.Warning = script.Nagios, "bad" }, `warning: "bad" is none of healthy, unhealthy, unknown`},
		{func(c *script.Config) { c.Warning = "unknown" }, "warning: is only for the protocol nagios"},
		{func(c *script.Config) { c.Options = map[string]string{"a": ""} }, "options: are only for the protocol cloudprober-server"},
		{func(c *script.Config) {
			c.Protocol, c.Options = script.CloudproberServer, map[string]string{"a": "%(name)s %(b)s"}
		}, "options: a: after a % comes (name)s, or another %"},
		{func(c *script.Config) { c.Protocol, c.Env = script.CloudproberServer, []string{"A=%(name)s"} }, `env: A: after a % comes another %, as there is nothing here that it could stand for`},
		{func(c *script.Config) { c.Timeout = -1 }, "timeout: -1ns is less than 0"},
		{func(c *script.Config) { c.ExpectOutput = "(" }, "expect-output: error parsing regexp: missing closing ): `(`"},
		{func(c *script.Config) { c.ExpectJSON = []jsoncheck.Place{{Path: "$.a", Matches: "("}} }, "expect-json: error parsing regexp: missing closing ): `(`"},
	} {
		cfg := base
		tt.change(&cfg)
		_, err := script.New(cfg, "name")
		var bad *script.FieldError
		if !errors.As(err, &bad) || err.Error() != tt.want {
			t.Errorf("%v\nwant %s", err, tt.want)
		}
	}
}
