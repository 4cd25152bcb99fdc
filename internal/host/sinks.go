package host

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"github.com/supervisor-checks/supervisor-checks/health"
	"github.com/supervisor-checks/supervisor-checks/internal/config"
	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/runner"
	"github.com/supervisor-checks/supervisor-checks/sinks"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// addSinks adds the sinks of a file to cfg, the history among them, which the runner
// closes. What waits for them is in a folder of this listener's for each of them; instance
// tells it from others with one file and without a supervisord.
func addSinks(file *config.File, cfg *runner.Config, instance string) error {
	all := file.Sinks
	if cfg.DryRun || len(all) == 0 && file.History.Off() { // of which nothing has come
		return nil
	}
	data, err := supervisor.DataDir(cfg.StateDir)
	if err != nil {
		return err
	}
	if !file.History.Off() {
		all = append(all[:len(all):len(all)], file.History.Sink(historyIn(data)))
	}
	sum := sha256.Sum256([]byte(cmp.Or(cfg.Server.URL, os.Getenv("SUPERVISOR_SERVER_URL")) + " " + instance)) // of two supervisords the listeners may have one name
	folder := filepath.Join(data, "sinks", fmt.Sprintf("%s-%x", url.PathEscape(owner(cfg.Name)), sum[:4]))
	for _, s := range all {
		q, err := s.Build(filepath.Join(folder, s.Name), cfg.Log)
		if err != nil { // which is no reason to check nothing
			problem := err
			if q, err = s.Build("", cfg.Log); err == nil {
				cfg.Log.Error(fmt.Sprintf("%v: until this listener is started anew its records wait in memory only", problem))
			}
		}
		if err != nil {
			for _, s := range cfg.Sinks {
				if c, is := s.(*sinks.Queue); is {
					c.Close()
				}
			}
			return fmt.Errorf("sink %s: %w", s.Name, err)
		}
		cfg.Sinks = append(cfg.Sinks, q)
	}
	return nil
}

// historyIn is the database in the folder for data.
func historyIn(folder string) string { return filepath.Join(folder, "history.db") }

// recorder records what probes find, in the sinks that cfg has so far, and has the log tell
// of what changes.
func recorder(cfg *runner.Config) func(health.Result) {
	to, log := cfg.Sinks, record.Log(cfg.Log)
	host, _ := os.Hostname()
	name := cfg.Name
	var mu sync.Mutex
	last := make(map[string]health.Status) // by the names of probes
	return func(r health.Result) {
		rec := record.Record{Kind: record.ProbeResult, Time: r.At, Host: host, Listener: name, Probe: r.Name, Status: string(r.Status), Seconds: r.Took.Seconds(),
			URL: r.Answer.URL, StatusCode: r.Answer.StatusCode, Regex: r.Answer.Regex, MatchesRegex: r.Answer.MatchesRegex, Metrics: r.Metrics}
		if r.Err != nil {
			rec.Reason = r.Err.Error()
		}
		mu.Lock()
		defer mu.Unlock()
		before := cmp.Or(last[r.Name], health.Unknown)
		changed := r.Status != before && r.Status != health.Skipped && (r.Status != health.Healthy || last[r.Name] != "") // that it is healthy to begin with is no change
		last[r.Name] = r.Status
		write := func() {
			rec.Stamp()
			for _, s := range to {
				s.Write(context.Background(), rec)
			}
		}
		write()
		if changed {
			rec = record.Record{Kind: record.Transition, Time: rec.Time, Host: host, Listener: name, Probe: rec.Probe, Status: rec.Status, Before: string(before), Reason: rec.Reason, Seconds: rec.Seconds}
			write()
			log.Write(context.Background(), rec)
		}
	}
}

// sinkCounters are what sinks count, as metrics.
func sinkCounters(all []record.Sink) (counters []health.Counter) {
	for _, s := range all {
		q, is := s.(*sinks.Queue)
		if !is {
			continue
		}
		add := func(name, help string, gauge bool, value func(sinks.Stats) uint64) {
			counters = append(counters, health.Counter{Name: name, Help: help, Labels: map[string]string{"sink": q.Name()}, Gauge: gauge,
				Value: func() uint64 { return value(q.Stats()) }})
		}
		add("supervisor_sink_written_records_total", "Records that the sink has taken.", false, func(s sinks.Stats) uint64 { return s.Written })
		add("supervisor_sink_dropped_records_total", "Records that had no room while the sink took nothing.", false, func(s sinks.Stats) uint64 { return s.Dropped })
		add("supervisor_sink_rejected_records_total", "Records that the sink will never take.", false, func(s sinks.Stats) uint64 { return s.Rejected })
		add("supervisor_sink_waiting_records", "Records that wait for the sink.", true, func(s sinks.Stats) uint64 { return uint64(s.Waiting) })
	}
	return counters
}
