package health_test

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/supervisor-checks/supervisor-checks/health"
	"github.com/supervisor-checks/supervisor-checks/record"
)

func TestMetrics(t *testing.T) {
	at := time.Unix(1e9, 5e8)
	m := health.NewMetrics(health.MetricsConfig{Sources: []health.Source{processes{
		{Name: "db", Status: health.Healthy, At: at, Took: 1500 * time.Millisecond, Metrics: map[string]float64{"rss_bytes": 1024}},
		{Name: "http", Process: "web:a\xff", Status: health.Unhealthy, Err: errors.New("500"), At: at, Took: time.Millisecond},
		{Name: "http", Process: "web:b", Status: health.Unhealthy, Metrics: map[string]float64{"http.status_code": 503, "http_status_code": 503, `rows{table="a \"b\"",process="own"}`: 7, `bad{`: 1, "table_rows": 2, "too_many": 1, "too_many_by_now": 1}},
		{Name: "old", Process: "web:b", Status: health.Stale, Metrics: map[string]float64{"old": 1}},
		{Name: "login", Status: health.Skipped},
		{Name: "too many", Process: "web:c", Status: health.Healthy},
	}}, MaxSeries: 5, Counters: []health.Counter{{Name: "supervisor_ticks_total", Help: "Ticks.", Value: func() uint64 { return 7 }},
		{Name: "supervisor_sink_waiting_records", Help: "Waiting.", Labels: map[string]string{"sink": "a"}, Gauge: true, Value: func() uint64 { return 8 }}}})
	for _, action := range []string{record.Running, record.Running, record.GivenUp, record.Stopping} {
		m.Write(t.Context(), record.Record{Kind: record.Restart, Process: "web:a", Action: action})
	}
	m.Write(t.Context(), record.Record{Kind: record.CheckResult, Process: "web:a", Action: record.Running})
	for i := range 100 { // more than may be
		m.Write(t.Context(), record.Record{Kind: record.Restart, Process: fmt.Sprint("p", i), Action: record.Running})
	}
	w := httptest.NewRecorder()
	m.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	var got []string
	for line := range strings.Lines(w.Body.String()) {
		if !strings.HasPrefix(line, "#") {
			got = append(got, strings.TrimSuffix(line, "\n"))
		}
	}
	const want = `probe_duration_seconds{probe="db"} 1.5
probe_metric_rss_bytes{probe="db"} 1024
probe_success{probe="db"} 1
supervisor_actions_left_out_total 97
supervisor_actions_total{action="given_up",process="web:a"} 1
supervisor_actions_total{action="running",process="p0"} 1
supervisor_actions_total{action="running",process="p1"} 1
supervisor_actions_total{action="running",process="p2"} 1
supervisor_actions_total{action="running",process="web:a"} 2
supervisor_check_duration_seconds{check="http",process="web:a` + "\uFFFD" + `"} 0.001
supervisor_check_duration_seconds{check="http",process="web:b"} 0
supervisor_check_duration_seconds{check="old",process="web:b"} 0
supervisor_check_last_result_timestamp_seconds{check="db",process=""} 1.0000000005e+09
supervisor_check_last_result_timestamp_seconds{check="http",process="web:a` + "\uFFFD" + `"} 1.0000000005e+09
supervisor_check_status{check="db",process="",status="healthy"} 1
supervisor_check_status{check="http",process="web:a` + "\uFFFD" + `",status="unhealthy"} 1
supervisor_check_status{check="http",process="web:b",status="unhealthy"} 1
supervisor_check_status{check="login",process="",status="skipped"} 1
supervisor_check_status{check="old",process="web:b",status="stale"} 1
supervisor_check_success{check="http",process="web:a` + "\uFFFD" + `"} 0
supervisor_check_success{check="http",process="web:b"} 0
supervisor_check_success{check="old",process="web:b"} 0
supervisor_metric_http_status_code{check="http",process="web:b"} 503
supervisor_metric_rows{check="http",exported_process="own",process="web:b",table="a \"b\""} 7
supervisor_metric_table_rows{check="http",process="web:b"} 2
supervisor_metric_too_many{check="http",process="web:b"} 1
supervisor_metrics_left_out 3
supervisor_results_left_out 1
supervisor_sink_waiting_records{sink="a"} 8
supervisor_ticks_total 7`
	if text := strings.Join(got, "\n"); w.Code != 200 || text != want {
		t.Errorf("%d\n%s\nwant\n%s", w.Code, text, want)
	}
	problems, err := promlint.New(strings.NewReader(w.Body.String())).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, error %v", problems, err)
	}
}
