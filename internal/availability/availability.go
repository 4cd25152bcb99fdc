// Package availability makes of records how much of the time processes and dependencies
// were healthy, and how long they took to be so again.
package availability

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/supervisor-checks/supervisor-checks/record"
)

// Longest is for how long a result counts where there is no other after it: longer ago
// nobody has looked.
const Longest = 10 * time.Minute

// Summary is of one process, or one dependency, on one host.
type Summary struct {
	Host, Supervisord string
	Name              string // namespec, or name of the probe
	Probe             bool

	Status string    // the last there was: healthy, unhealthy, unknown; of several checks the worst
	Since  time.Time // when that began

	Healthy, Unhealthy, Unknown time.Duration // how long it was so
	Outages                     int           // how often it became unhealthy
	Recovered                   int           // how often it became healthy after that
	Recovery                    time.Duration // how long that took in all
	LongestRecovery             time.Duration
	Restarts                    int // by listeners
}

// Availability is which part of the time it was healthy, of that in which it was known how
// it is. It is false where that was never known.
func (s *Summary) Availability() (float64, bool) {
	all := s.Healthy + s.Unhealthy
	if all == 0 {
		return 0, false
	}
	return float64(s.Healthy) / float64(all), true
}

// MeanRecovery is how long it took on average to be healthy again; 0 where it never was
// unhealthy and then healthy.
func (s *Summary) MeanRecovery() time.Duration {
	if s.Recovered == 0 {
		return 0
	}
	return s.Recovery / time.Duration(s.Recovered)
}

// key is what subjects of several supervisords may share.
type key struct {
	host, name string
	probe      bool
}

// subject is what is summed up.
type subject struct {
	Summary
	checks map[checker]found
	last   time.Time // of which there is a record
	outage time.Time // when it became unhealthy; zero when it is not
}

// checker is who looks.
type checker struct{ listener, check string }

// found is what it found last.
type found struct {
	status string
	at     time.Time
}

// Log sums up records, which it is given in their order. The zero value is ready for use.
type Log struct {
	subjects map[key][]*subject
}

// Add takes a record. What is not about how something is, and no restart, it leaves.
func (l *Log) Add(r record.Record) {
	switch r.Kind {
	case record.CheckResult, record.ProbeResult, record.Transition:
		s := l.of(r)
		s.advance(r.Time)
		s.checks[checker{r.Listener, r.Check}] = found{r.Status, r.Time}
		s.becomes(r.Time)
	case record.Restart:
		if s := l.of(r); r.Action == record.Running && r.PID != 0 {
			s.Restarts++
		}
	case record.Listener: // before and after which nobody looks
		if r.Action != record.Started && r.Action != record.Ended {
			return
		}
		for k, all := range l.subjects {
			for _, s := range all {
				if k.host == r.Host && (k.probe || s.isOf(r.Supervisord)) {
					s.forget(r)
				}
			}
		}
	}
}

func (l *Log) of(r record.Record) *subject {
	k := key{r.Host, r.About(), r.Probe != ""}
	for _, s := range l.subjects[k] {
		if s.isOf(r.Supervisord) {
			s.Supervisord = cmp.Or(s.Supervisord, r.Supervisord)
			return s
		}
	}
	if l.subjects == nil {
		l.subjects = make(map[key][]*subject)
	}
	s := &subject{Summary: Summary{Host: r.Host, Supervisord: r.Supervisord, Name: k.name, Probe: k.probe}, checks: make(map[checker]found)}
	l.subjects[k] = append(l.subjects[k], s)
	return s
}

// isOf tells whether it belongs to a supervisord, which a listener does not know in its first
// moments.
func (s *subject) isOf(supervisord string) bool {
	return s.Supervisord == supervisord || s.Supervisord == "" || supervisord == ""
}

// advance counts the time since the last record.
func (s *subject) advance(to time.Time) {
	took := min(to.Sub(s.last), Longest)
	if took <= 0 {
		return
	}
	s.last = to
	if len(s.checks) == 0 {
		return
	}
	switch s.Status {
	case "healthy":
		s.Healthy += took
	case "unhealthy":
		s.Unhealthy += took
	case "unknown":
		s.Unknown += took
	}
}

// becomes notes what it is now.
func (s *subject) becomes(at time.Time) {
	now := "healthy"
	maps.DeleteFunc(s.checks, func(_ checker, f found) bool { return at.Sub(f.at) > Longest }) // nobody looks any more
	for _, f := range s.checks {
		if f.status == "unhealthy" || f.status == "unknown" && now == "healthy" {
			now = f.status
		}
	}
	if now == s.Status {
		return
	}
	s.Status, s.Since = now, at
	switch {
	case now == "unhealthy" && s.outage.IsZero():
		s.Outages++
		s.outage = at
	case now == "healthy" && !s.outage.IsZero():
		took := at.Sub(s.outage)
		s.Recovered++
		s.Recovery += took
		s.LongestRecovery = max(s.LongestRecovery, took)
		s.outage = time.Time{}
	}
}

// forget ends what a listener has found.
func (s *subject) forget(r record.Record) {
	before := len(s.checks)
	if r.Action == record.Ended {
		s.advance(r.Time)
	}
	maps.DeleteFunc(s.checks, func(c checker, _ found) bool { return c.listener == r.Listener })
	if len(s.checks) > 0 && len(s.checks) < before {
		s.becomes(r.Time)
	}
}

// Summaries counts the time until then, and returns what there is to be said of each, by
// their names.
func (l *Log) Summaries(until time.Time) []Summary {
	var all []Summary
	for _, s := range slices.Concat(slices.Collect(maps.Values(l.subjects))...) {
		last := s.last
		s.advance(until)
		if until.Sub(last) > Longest && s.Status != "" {
			s.Status, s.Since = "unknown", last // perhaps it does not run
		}
		if s.Status != "" || s.Restarts > 0 {
			all = append(all, s.Summary)
		}
	}
	slices.SortFunc(all, func(a, b Summary) int {
		probe := map[bool]int{true: 1}
		return cmp.Or(probe[a.Probe]-probe[b.Probe], cmp.Compare(a.Name, b.Name), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Supervisord, b.Supervisord))
	})
	return all
}
