package health

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/supervisor-checks/supervisor-checks/internal/cloudprober"
	"github.com/supervisor-checks/supervisor-checks/record"
)

// DefaultMaxSeries is how many processes with their checks, and probes, Metrics tells of
// when MetricsConfig.MaxSeries is 0.
const DefaultMaxSeries = 10_000

// MetricsConfig configures Metrics.
type MetricsConfig struct {
	Sources []Source

	// Counters are told as they are.
	Counters []Counter

	// More, if not nil, are others, whose labels depend on what there is.
	More func() []Counter

	// MaxSeries is how many results are told of at most, and how many of the metrics
	// that came with them. What is more is counted. 0 means DefaultMaxSeries.
	MaxSeries int
}

// Counter is something that is counted by somebody else.
type Counter struct {
	Name, Help string
	Labels     map[string]string
	Value      func() uint64
	Gauge      bool // it may also be less than before
}

// collector makes it a metric.
func (c Counter) collector() prometheus.Collector {
	value := func() float64 { return float64(c.Value()) }
	if c.Gauge {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: c.Name, Help: c.Help, ConstLabels: c.Labels}, value)
	}
	return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: c.Name, Help: c.Help, ConstLabels: c.Labels}, value)
}

// Metrics tells Prometheus how sources are, under the names of blackbox_exporter where the
// meaning is the same, and what was done about processes: it is a record.Sink for that.
type Metrics struct {
	cfg     MetricsConfig
	handler http.Handler

	mu     sync.Mutex
	acts   map[act]float64
	more   float64 // that had no room
	series map[string]series
}

// series is a metric that came with results, as Prometheus has it.
type series struct {
	name          string // "" for what is no metric
	labels, value []string
}

// act is something that was done about a process.
type act struct{ process, action string }

var (
	probeSuccess  = prometheus.NewDesc("probe_success", "Whether the probe found what it should.", []string{"probe"}, nil)
	probeDuration = prometheus.NewDesc("probe_duration_seconds", "How long the probe took.", []string{"probe"}, nil)
	checkSuccess  = prometheus.NewDesc("supervisor_check_success", "Whether the process passed the check.", []string{"process", "check"}, nil)
	checkDuration = prometheus.NewDesc("supervisor_check_duration_seconds", "How long the check took.", []string{"process", "check"}, nil)
	statusInfo    = prometheus.NewDesc("supervisor_check_status", "1 for what is known of the process or the probe: healthy, unhealthy, unknown, stale or skipped.", []string{"process", "check", "status"}, nil)
	resultTime    = prometheus.NewDesc("supervisor_check_last_result_timestamp_seconds", "When the newest result was found.", []string{"process", "check"}, nil)
	actsTotal     = prometheus.NewDesc("supervisor_actions_total", "What was done about processes since the start of this listener.", []string{"process", "action"}, nil)
	actsLeft      = prometheus.NewDesc("supervisor_actions_left_out_total", "Actions that are not told, since there are more than may be.", nil, nil)
	metricsLeft   = prometheus.NewDesc("supervisor_metrics_left_out", "Metrics of checks and probes that are not told, since there are more than may be, or since nothing can be made of their names.", nil, nil)
	seriesLeft    = prometheus.NewDesc("supervisor_results_left_out", "Results that are not told, since there are more than may be.", nil, nil)
)

// NewMetrics returns Metrics, whose Handler is for Prometheus.
func NewMetrics(cfg MetricsConfig) *Metrics {
	cfg.MaxSeries = cmp.Or(cfg.MaxSeries, DefaultMaxSeries)
	m := &Metrics{cfg: cfg, acts: make(map[act]float64), series: make(map[string]series)}
	registry := prometheus.NewRegistry()
	registry.MustRegister(m)
	for _, c := range cfg.Counters {
		registry.MustRegister(c.collector())
	}
	m.handler = promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
	return m
}

// ServeHTTP answers Prometheus.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.handler.ServeHTTP(w, r) }

// Describe describes nothing: what there is depends on the processes.
func (m *Metrics) Describe(chan<- *prometheus.Desc) {}

// counted are the actions of records that are counted.
var counted = []string{record.Running, record.Failed, record.Doubtful, record.GivenUp, record.Alerted, record.Halted, record.Signalled, record.Executed, record.Shutdown, record.Held}

// Write counts what is done about processes. It never fails.
func (m *Metrics) Write(_ context.Context, r record.Record) error {
	if r.Kind != record.Restart || !slices.Contains(counted, r.Action) {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	one := act{r.Process, r.Action}
	if _, known := m.acts[one]; known || len(m.acts) < m.cfg.MaxSeries {
		m.acts[one]++
	} else {
		m.more++
	}
	return nil
}

// Collect asks all sources.
func (m *Metrics) Collect(c chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*DefaultTimeout)
	defer cancel()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	results := gather(ctx, m.cfg.Sources)
	for _, r := range results[:min(len(results), m.cfg.MaxSeries)] {
		success := 0.0
		if r.Status == Healthy {
			success = 1
		}
		process, name := valid(r.Process), valid(r.Name)
		gauge(statusInfo, 1, process, name, string(r.Status))
		if !r.At.IsZero() {
			gauge(resultTime, float64(r.At.UnixNano())/1e9, process, name)
		}
		if r.Status == Skipped {
			continue
		}
		if r.Process == "" {
			gauge(probeSuccess, success, name)
			gauge(probeDuration, r.Took.Seconds(), name)
			continue
		}
		gauge(checkSuccess, success, process, name)
		gauge(checkDuration, r.Took.Seconds(), process, name)
	}
	if m.cfg.More != nil {
		for _, one := range m.cfg.More() {
			one.collector().Collect(c)
		}
	}
	gauge(seriesLeft, float64(max(0, len(results)-m.cfg.MaxSeries)))
	gauge(metricsLeft, m.measured(results[:min(len(results), m.cfg.MaxSeries)], c))
	m.mu.Lock()
	defer m.mu.Unlock()
	c <- prometheus.MustNewConstMetric(actsLeft, prometheus.CounterValue, m.more)
	for a, n := range m.acts {
		c <- prometheus.MustNewConstMetric(actsTotal, prometheus.CounterValue, n, valid(a.process), a.action)
	}
}

// measured tells what came with results, and returns how much of it is left out.
func (m *Metrics) measured(results []Result, c chan<- prometheus.Metric) (left float64) {
	told := 0
	for _, r := range results {
		if r.Status == Stale { // it was so, long ago
			continue
		}
		prefix, labels, values := "supervisor_metric_", []string{"process", "check"}, []string{valid(r.Process), valid(r.Name)}
		if r.Process == "" {
			prefix, labels, values = "probe_metric_", []string{"probe"}, values[1:]
		}
		mine := make(map[string]bool) // names may be alike only after they were made valid
		for _, key := range slices.Sorted(maps.Keys(r.Metrics)) {
			s := m.parse(key)
			desc := prometheus.NewDesc(prefix+s.name, "What a check or a probe has measured.", slices.Concat(labels, s.labels), nil)
			same := fmt.Sprint(s.name, s.labels, s.value)
			one, err := prometheus.NewConstMetric(desc, prometheus.GaugeValue, r.Metrics[key], slices.Concat(values, s.value)...)
			if err != nil || s.name == "" || mine[same] || told == m.cfg.MaxSeries {
				left++
				continue
			}
			mine[same] = true
			told++
			c <- one
		}
	}
	return left
}

// parse takes the name of a metric apart, as Prometheus writes it.
func (m *Metrics) parse(key string) series {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, known := m.series[key]; known {
		return s
	}
	if len(m.series) >= m.cfg.MaxSeries { // of things that there are no more
		clear(m.series)
	}
	name, labels, _ := cloudprober.ParseSeries(key, "process", "check", "probe")
	s := series{name: name} // "" of what cannot be parsed
	for _, l := range labels {
		s.labels, s.value = append(s.labels, l.Name), append(s.value, valid(l.Value))
	}
	m.series[key] = s
	return s
}

// valid is a name as a label must be.
func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
