package show

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/supervisor-checks/supervisor-checks/internal/cloudprober"
)

// mixed has one finding of each kind.
var mixed = Report{Findings: []Finding{
	{"db", "probe", "healthy", "", true, &Look{1500 * time.Microsecond, map[string]float64{`rows{probe="x"}`: 3}}},
	{"shop", "probe", "skipped", "it is only run in develop", true, &Look{}},
	{"web:a", "http", "healthy", "", false, &Look{12345678 * time.Nanosecond, map[string]float64{"latency": 1, "status.code": 200, "status_code": 200, "check_healthy": 7, "5xx": 2, "nan": math.NaN(), "inf": math.Inf(1), "bad{": 1, `rows{table="a}b",process="x",check="y"}`: 7}}},
	{"web:a", "memory", "unhealthy", "too\nmuch", false, &Look{Took: time.Millisecond}},
	{"web:a-b", "tcp", "unknown", "no port", false, &Look{Took: time.Second}},
	{"web:a_b", "tcp", "healthy", "", false, &Look{Took: time.Second}},
	{"web:a", "cpu", Resting, "", false, nil},
	{`esc\"` + "\x1b[2J\n.", "", "unhealthy", "it is FATAL", false, nil},
	{"9", "tcp", "degraded", "of another version", false, nil},
}}

func printed(t *testing.T, r Report, format string) (out, log string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	p := &Page{Report: r}
	if err := p.Print(&stdout, format, Screen{}); err != nil {
		t.Fatal(err)
	}
	p.Tell(&stderr)
	return stdout.String(), stderr.String()
}

const mixedReasons = `shop probe skipped: it is only run in develop
web:a memory unhealthy: too\nmuch
web:a-b tcp unknown: no port
esc\"\x1b[2J\n. unhealthy: it is FATAL
9 tcp degraded: of another version
`

func TestCloudprober(t *testing.T) {
	out, log := printed(t, mixed, "cloudprober")
	const want = `probe_healthy{probe="db"} 1
probe_status{probe="db"} map:status,healthy:1,resting:0,skipped:0,unhealthy:0,unknown:0
probe_duration_milliseconds{probe="db"} 1.5
rows{probe="db",exported_probe="x"} 3
probe_status{probe="shop"} map:status,healthy:0,resting:0,skipped:1,unhealthy:0,unknown:0
check_healthy{process="web:a",check="http"} 1
check_status{process="web:a",check="http"} map:status,healthy:1,resting:0,skipped:0,unhealthy:0,unknown:0
check_duration_milliseconds{process="web:a",check="http"} 12.346
metric_5xx{process="web:a",check="http"} 2
metric_check_healthy{process="web:a",check="http"} 7
metric_latency{process="web:a",check="http"} 1
rows{process="web:a",check="http",table="a)b",exported_process="x",exported_check="y"} 7
status_code{process="web:a",check="http"} 200
check_healthy{process="web:a",check="memory"} 0
check_status{process="web:a",check="memory"} map:status,healthy:0,resting:0,skipped:0,unhealthy:1,unknown:0
check_duration_milliseconds{process="web:a",check="memory"} 1
check_status{process="web:a-b",check="tcp"} map:status,healthy:0,resting:0,skipped:0,unhealthy:0,unknown:1
check_duration_milliseconds{process="web:a-b",check="tcp"} 1000
check_healthy{process="web:a_b",check="tcp"} 1
check_status{process="web:a_b",check="tcp"} map:status,healthy:1,resting:0,skipped:0,unhealthy:0,unknown:0
check_duration_milliseconds{process="web:a_b",check="tcp"} 1000
check_status{process="web:a",check="cpu"} map:status,healthy:0,resting:1,skipped:0,unhealthy:0,unknown:0
check_healthy{process="esc\\\"\\x1b[2J\\n.",check=""} 0
check_status{process="esc\\\"\\x1b[2J\\n.",check=""} map:status,healthy:0,resting:0,skipped:0,unhealthy:1,unknown:0
check_status{process="9",check="tcp"} map:status,healthy:0,resting:0,skipped:0,unhealthy:0,unknown:1
`
	if diff := cmp.Diff(want, out); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(mixedReasons, log); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestStudio(t *testing.T) {
	out, log := printed(t, mixed, "studio")
	const want = `db_latency_msec 1.5
web_a_http_latency_msec 12.346
web_a_b_tcp_2_latency_msec 1000
`
	if diff := cmp.Diff(want, out); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if log != mixedReasons {
		t.Errorf("%s", log)
	}
}

func TestReasons(t *testing.T) {
	healthy := Finding{"web:a", "http", "healthy", "", false, &Look{}}
	for _, tt := range []struct {
		name   string
		report Report
		want   string
	}{
		{"none", Report{Findings: []Finding{healthy}, Notes: []string{"not watched: pool"}}, ""},
		{"a probe alone", Report{Probes: true, Findings: []Finding{{"db", "probe", "healthy", "", true, &Look{}}}}, ""},
		{"rest", Report{Findings: []Finding{{"web:a", "http", Resting, "", false, nil}}}, ""},
		{"trouble", Report{Findings: []Finding{healthy}, Troubles: []string{"no process matches x\n"}}, "no process matches x\\n"},
		{"nothing", Report{Notes: []string{"not watched: pool"}}, "no process was checked|not watched: pool"},
		{"no process", Report{Findings: []Finding{{"db", "probe", "healthy", "", true, nil}}}, "no process was checked"},
	} {
		if got := strings.Join(tt.report.Reasons(), "|"); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// FuzzProbers has every line be one that cloudprober can read.
func FuzzProbers(f *testing.F) {
	for _, word := range words {
		f.Add(word, word, 1.5)
	}
	f.Add("total", `rows{a="b}"}`, -1e300)
	f.Fuzz(func(t *testing.T, name, series string, value float64) {
		r := Report{Findings: []Finding{
			{name, series, "healthy", "", false, &Look{time.Second, map[string]float64{series: value, name: value, name + `{process="b",a="c"}`: value}}},
			{name, "probe", "unhealthy", series, true, &Look{time.Second, map[string]float64{series: value}}},
		}}
		for _, format := range probers {
			out, log := printed(t, r, format)
			for line := range strings.Lines(out) {
				m, err := cloudprober.ParseMetric(line)
				if err != nil {
					t.Errorf("%s: %v", format, err)
				}
				if text := m.String() + "\n"; text != line {
					t.Errorf("%q is read as %q", line, text)
				}
				if i := strings.IndexByte(line, '}'); i >= 0 && strings.Contains(line[i+1:], "}") {
					t.Errorf("there is a brace in a value: %s", line)
				}
			}
			if strings.Count(log, "\n") != 1 {
				t.Errorf("not one line: %q", log)
			}
		}
	})
}
