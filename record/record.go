// Package record has the facts that a listener tells of: what a check found,
// what was done about it, and what came of that.
package record

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"math"
	"strings"
	"time"
)

// Kind is what a Record is about.
type Kind string

// The kinds of records.
const (
	CheckResult Kind = "check_result" // one run of one check
	Transition  Kind = "transition"   // a process's status for a check, or how far its thresholds are, is another than before, or is still bad an hour later
	Restart     Kind = "restart"      // a step of what is done about a process, a restart or another action
	Group       Kind = "group"        // something that is so of a group, not of one process
	ProbeResult Kind = "probe_result" // one look at a dependency
	Listener    Kind = "listener"     // something about who records
)

// Kinds are all of them.
var Kinds = []Kind{CheckResult, Transition, Restart, Group, ProbeResult, Listener}

// Version is that of the records of this package. New fields may come within a version,
// and are kept by who does not know them; fields change their meaning, or go, only with a
// new one.
const Version = 1

// Actions of a Restart record.
const (
	Draining = "draining"  // it is about to be restarted, and taken out of service before that for Seconds
	Stopping = "stopping"  // the restart has begun: supervisord is told to stop the process
	Starting = "starting"  // it has stopped, and supervisord is told to start it
	Retrying = "retrying"  // something failed, Reason says what, and is tried again
	Running  = "running"   // it runs again, as NewPID
	Verified = "verified"  // its checks have succeeded since
	Doubtful = "doubtful"  // they have not in the time that there was for it; Why says what is wrong
	Left     = "left"      // somebody else has acted on it since, as Why says: it is left to them
	Resumed  = "resumed"   // a restart is finished that a killed listener began
	Skipped  = "skipped"   // there is no restart; Reason says why
	Failed   = "failed"    // there should be a restart; Reason says why there is none
	LeftOpen = "left_open" // the listener ends in the middle of it, and Reason says what the next one will find
	DryRun   = "dry_run"   // there would be a restart, were it not for --dry-run

	Held      = "held"      // it is not acted on now; Why says why, and Until until when
	GivenUp   = "given_up"  // it has reached its limit of restarts; Why says what follows
	Ignored   = "ignored"   // the same, where that is to be ignored
	Vetoed    = "vetoed"    // the hook before the restart does not want it now
	Hooked    = "hooked"    // a hook was run; Why says what came of it
	Alerted   = "alerted"   // it fails, and the action is to say so
	Reviving  = "reviving"  // it does not run, and supervisord is told to start it
	Halting   = "halting"   // supervisord is told to stop it, for good
	Halted    = "halted"    // it has stopped
	Signalled = "signalled" // it was sent a signal
	Executed  = "executed"  // a program was run about it; Why says what came of it
	Shutdown  = "shutdown"  // supervisord is told to end
)

// Actions of a Group record.
const (
	Panicked = "panicked" // more of it fails at once than may
	Calmed   = "calmed"   // no longer
	Helped   = "helped"   // a trial restart has: others are restarted, too
	NoHelp   = "no_help"  // a trial restart has not
)

// Actions of a Listener record.
const (
	Started = "started"
	Ended   = "ended"
	Dropped = "dropped" // that many records a sink had no room for
)

// Record is one fact. Fields that do not belong to its kind are empty.
type Record struct {
	ID      string    `json:"id,omitempty"` // a UUID, of version 7 where Stamp gave it
	Version int       `json:"version,omitempty"`
	Kind    Kind      `json:"kind"`
	Time    time.Time `json:"time"` // UTC, with microseconds

	Host        string `json:"host,omitempty"`
	Supervisord string `json:"supervisord,omitempty"` // its identifier
	Listener    string `json:"listener,omitempty"`    // the name it was given

	Group   string `json:"group,omitempty"`   // Stamp takes it from the process
	Process string `json:"process,omitempty"` // the namespec: "web:web_8001"
	PID     int    `json:"pid,omitempty"`
	Check   string `json:"check,omitempty"`

	Status  string             `json:"status,omitempty"`  // healthy, unhealthy, unknown
	Before  string             `json:"before,omitempty"`  // of a transition: the status until now
	Count   string             `json:"count,omitempty"`   // of a transition: how far a threshold is, "2 of 3"
	Pending bool               `json:"pending,omitempty"` // of an unknown check result: over its limit, but not yet for long enough
	Reason  string             `json:"reason,omitempty"`  // for anything but healthy
	Seconds float64            `json:"seconds,omitempty"` // how long the check, or the restart, took
	Metrics map[string]float64 `json:"metrics,omitempty"` // unit in the key: "latency_seconds"

	Action   string    `json:"action,omitempty"`
	Wanted   string    `json:"wanted,omitempty"` // of Held, Skipped, Failed, Vetoed and DryRun: what should be done, "stopped"; "" means "restarted"
	NewPID   int       `json:"new_pid,omitempty"`
	Why      string    `json:"why,omitempty"`      // of an action: what its description says
	Until    time.Time `json:"until,omitzero"`     // of Held and GivenUp: when it is looked at again; zero when that depends on others
	Evidence *Evidence `json:"evidence,omitempty"` // of Stopping

	Probe        string `json:"probe,omitempty"`         // of ProbeResult: what was looked at
	URL          string `json:"url,omitempty"`           // of the ProbeResult of a URL: that, without user, query and fragment
	StatusCode   int    `json:"status_code,omitempty"`   // of the answer there was
	Regex        string `json:"regex,omitempty"`         // that the body should match
	MatchesRegex *bool  `json:"matches_regex,omitempty"` // nil where that is not known

	Sink string `json:"sink,omitempty"` // of Dropped

	Dropped int `json:"dropped,omitempty"` // of Dropped: how many

	// Extra are fields that this version of the package does not know, by their names.
	Extra map[string]json.RawMessage `json:"-"`
}

// About is what the record is about: a process, a probe or a group; "" for a listener's.
func (r *Record) About() string { return cmp.Or(r.Process, r.Probe, r.Group) }

// Stamp gives a record its id and version, and the time and the group of its process where it
// has none; metrics that are no numbers go.
func (r *Record) Stamp() {
	r.ID, r.Version = newID(), Version
	if r.Group == "" {
		r.Group, _, _ = strings.Cut(r.Process, ":")
	}
	if r.Time.IsZero() {
		r.Time = time.Now()
	}
	r.Time = r.Time.UTC().Truncate(time.Microsecond)
	for _, value := range r.Metrics {
		if math.IsNaN(value) || math.IsInf(value, 0) { // which JSON does not have
			r.Metrics = maps.Clone(r.Metrics)
			maps.DeleteFunc(r.Metrics, func(_ string, v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) })
			return
		}
	}
}

// Evidence is what there was to be seen of a process before it was restarted.
type Evidence struct {
	Parts  map[string]string `json:"parts"`            // by what they are: "stderr", "status"
	Folder string            `json:"folder,omitempty"` // where they are files, too
}

// Sink takes records. Write is called for one record at a time, in their order.
// A sink that has something to close is an io.Closer as well.
type Sink interface {
	Write(context.Context, Record) error
}
