// Package record has the facts that a listener tells of: what a check found,
// what was done about it, and what came of that.
package record

import (
	"context"
	"time"
)

// Kind is what a Record is about.
type Kind string

// The kinds of records.
const (
	CheckResult Kind = "check_result" // one run of one check
	Transition  Kind = "transition"   // a process's status for a check is another than before, or is still bad an hour later
	Restart     Kind = "restart"      // a step of a restart
)

// Actions of a Restart record.
const (
	Stopping = "stopping"  // the restart has begun: supervisord is told to stop the process
	Starting = "starting"  // it has stopped, and supervisord is told to start it
	Retrying = "retrying"  // something failed, Reason says what, and is tried again
	Running  = "running"   // it runs again, as NewPID
	Resumed  = "resumed"   // a restart is finished that a killed listener began
	Skipped  = "skipped"   // there is no restart; Reason says why
	Failed   = "failed"    // there should be a restart; Reason says why there is none
	LeftOpen = "left_open" // the listener ends in the middle of it, and Reason says what the next one will find
	DryRun   = "dry_run"   // there would be a restart, were it not for --dry-run
)

// Record is one fact. Fields that do not belong to its kind are empty.
type Record struct {
	Kind     Kind      `json:"kind"`
	Time     time.Time `json:"time"`
	Listener string    `json:"listener,omitempty"` // the name it was given

	Process string `json:"process,omitempty"` // the namespec: "web:web_8001"
	PID     int    `json:"pid,omitempty"`
	Check   string `json:"check,omitempty"`

	Status  string             `json:"status,omitempty"`  // healthy, unhealthy, unknown
	Before  string             `json:"before,omitempty"`  // of a transition: the status until now
	Reason  string             `json:"reason,omitempty"`  // for anything but healthy
	Seconds float64            `json:"seconds,omitempty"` // how long the check, or the restart, took
	Metrics map[string]float64 `json:"metrics,omitempty"` // unit in the key: "latency_seconds"

	Action string `json:"action,omitempty"`
	NewPID int    `json:"new_pid,omitempty"`
}

// Sink takes records. Write is called for one record at a time, in their order.
// A sink that has something to close is an io.Closer as well.
type Sink interface {
	Write(context.Context, Record) error
}
