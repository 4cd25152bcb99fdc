package supervisor

import (
	"fmt"
	"strings"
	"time"
)

// State is the state of a process, in supervisord's own numbers.
type State int

// The states a process can be in, as supervisor's manual names them
// (http://supervisord.org/subprocess.html#process-states).
const (
	Stopped  State = 0
	Starting State = 10
	Running  State = 20
	Backoff  State = 30
	Stopping State = 40
	Exited   State = 100
	Fatal    State = 200
	Unknown  State = 1000
)

// String returns the state as supervisorctl prints it: "RUNNING".
func (s State) String() string {
	switch s {
	case Stopped:
		return "STOPPED"
	case Starting:
		return "STARTING"
	case Running:
		return "RUNNING"
	case Backoff:
		return "BACKOFF"
	case Stopping:
		return "STOPPING"
	case Exited:
		return "EXITED"
	case Fatal:
		return "FATAL"
	case Unknown:
		return "UNKNOWN"
	}
	return fmt.Sprintf("state %d", int(s))
}

// Process is what supervisord says of one process at one moment.
type Process struct {
	Group, Name string
	PID         int // 0 when not running
	State       State
	Started     time.Time     // of the newest start; zero when it was never started
	Stopped     time.Time     // of the newest end; zero when it never ended
	Uptime      time.Duration // now - Started by supervisord's clock; 0 when not running
	Now         time.Time     // supervisord's clock when it answered, in whole seconds
	Description string        // supervisord's own words: "pid 34, uptime 0:01:02", "Exited too quickly"

	// StdoutLog and StderrLog are the files that supervisord writes its output to,
	// as supervisord names them: "" where there is none, and stderr's, too, where it
	// goes to that of stdout. The Go supervisord has other words here, such as AUTO.
	StdoutLog, StderrLog string
}

// Namespec returns the name that supervisorctl uses: "group:name", or just
// "name" when both are equal.
func (p Process) Namespec() string {
	if p.Group == p.Name {
		return p.Name
	}
	return p.Group + ":" + p.Name
}

// SameRun reports whether p and q are one and the same run of one process:
// neither restarted in between nor replaced.
func (p Process) SameRun(q Process) bool {
	return p.Group == q.Group && p.Name == q.Name && p.PID == q.PID && p.Started.Equal(q.Started)
}

// SplitNamespec takes a namespec apart: "web:a" is the group "web" and the name
// "a", and a bare "a" means "a:a".
func SplitNamespec(namespec string) (group, name string) {
	group, name, found := strings.Cut(namespec, ":")
	if !found {
		return namespec, namespec
	}
	return group, name
}
