package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"syscall"
	"time"
)

// Flavour is the implementation of a supervisord.
type Flavour string

// The two flavours there are.
const (
	Python Flavour = "python" // https://github.com/Supervisor/supervisor
	Go     Flavour = "go"     // https://github.com/ochinchina/supervisord
)

// ErrNotOffered is returned for what only Python's supervisord can be asked.
var ErrNotOffered = errors.New("the Go supervisord does not offer this")

// Flavour finds out which supervisord answers: the Go one has no system.*
// methods. It returns an error that wraps ErrNoInterface when Python's has none
// of the supervisor methods.
func (c *Client) Flavour(ctx context.Context) (Flavour, error) {
	var methods []string
	err := c.read(ctx, &methods, "system.listMethods")
	switch {
	case errors.Is(err, errNoMethod):
		return Go, nil
	case err != nil:
		return "", err
	case !slices.Contains(methods, "supervisor.getAllProcessInfo"):
		_, err := c.Processes(ctx)
		return Python, err
	}
	return Python, nil
}

// read makes a call that changes nothing, and once more where its answer broke
// off (https://github.com/Supervisor/supervisor/issues/628).
func (c *Client) read(ctx context.Context, result any, method string, args ...any) error {
	err := c.call(ctx, result, method, args...)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) {
		err = c.call(ctx, result, method, args...)
	}
	return err
}

// info is a process as supervisord describes it.
type info struct {
	Name        string `xmlrpc:"name"`
	Group       string `xmlrpc:"group"`
	Start       int64  `xmlrpc:"start"`
	Stop        int64  `xmlrpc:"stop"`
	Now         int64  `xmlrpc:"now"`
	State       int    `xmlrpc:"state"`
	PID         int    `xmlrpc:"pid"`
	Description string `xmlrpc:"description"`
	StdoutLog   string `xmlrpc:"stdout_logfile"`
	StderrLog   string `xmlrpc:"stderr_logfile"`
}

func (i info) process() Process {
	p := Process{
		Group:       i.Group,
		Name:        i.Name,
		PID:         i.PID,
		State:       State(i.State),
		Started:     instant(i.Start),
		Stopped:     instant(i.Stop),
		Now:         instant(i.Now),
		Description: i.Description,
		StdoutLog:   i.StdoutLog,
		StderrLog:   i.StderrLog,
	}
	if p.PID != 0 && !p.Started.IsZero() {
		p.Uptime = max(0, p.Now.Sub(p.Started))
	}
	return p
}

// instant is the time of a number of seconds; 0 stands for never.
func instant(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}

// Processes returns all processes of supervisord. The Go supervisord leaves
// event listeners out.
func (c *Client) Processes(ctx context.Context) ([]Process, error) {
	var infos []info
	if err := c.read(ctx, &infos, "supervisor.getAllProcessInfo"); err != nil {
		return nil, err
	}
	processes := make([]Process, len(infos))
	for i := range infos {
		processes[i] = infos[i].process()
	}
	return processes, nil
}

// Process returns the process with that namespec. If there is none, IsGone is
// true of the error.
func (c *Client) Process(ctx context.Context, namespec string) (Process, error) {
	var i info
	if err := c.read(ctx, &i, "supervisor.getProcessInfo", namespec); err != nil {
		return Process{}, err
	}
	return i.process(), nil
}

// Stop tells supervisord to stop a process, and does not wait for its end:
// asked to wait, Python's supervisord spins until then. The Go supervisord
// answers with a fault although it does as it is told; look at the process to
// know. supervisord kills what has not ended after Program.StopWait.
func (c *Client) Stop(ctx context.Context, namespec string) error {
	return c.call(ctx, nil, "supervisor.stopProcess", namespec, false)
}

// Start tells supervisord to start a process, and does not wait until it runs.
// Either flavour may answer that it did and not have: Python's while the
// process is stopping, the Go one for any reason. Look at the process to know.
func (c *Client) Start(ctx context.Context, namespec string) error {
	return c.call(ctx, nil, "supervisor.startProcess", namespec, false)
}

// Signal has supervisord send a process a signal, such as "USR1". The Go
// supervisord says that it did whatever the signal is called.
func (c *Client) Signal(ctx context.Context, namespec, signal string) error {
	return c.call(ctx, nil, "supervisor.signalProcess", namespec, signal)
}

// Shutdown has supervisord stop all of its processes and end. Python's ends with
// exit status 0, whatever the reason.
func (c *Client) Shutdown(ctx context.Context) error {
	return c.call(ctx, nil, "supervisor.shutdown")
}

// Tail returns the end of what supervisord has in the log of a process, up to so
// many bytes. A process whose output goes elsewhere has none: that is a fault.
func (c *Client) Tail(ctx context.Context, namespec string, output Output, bytes int) (string, error) {
	var tail any // the text, with other facts in an array or, from the Go one, in parameters of their own
	if err := c.read(ctx, &tail, "supervisor.tailProcess"+string(output)+"Log", namespec, 0, bytes); err != nil {
		return "", err
	}
	if all, is := tail.([]any); is && len(all) > 0 {
		tail = all[0]
	}
	if text, is := tail.(string); is {
		return text, nil
	}
	return "", &UnreachableError{Address: c.address, Err: fmt.Errorf("%w: there is no text in the tail of the log", ErrNotXMLRPC)}
}

// Output is one of the two outputs of a process.
type Output string

// The outputs of a process.
const (
	Stdout Output = "Stdout"
	Stderr Output = "Stderr"
)

// Program is what the configuration of supervisord says of one process.
type Program struct {
	Group, Name     string
	Command         string
	GroupPriority   int           // -1 for event listeners that set none
	ProcessPriority int           // 999 where none is set
	StopWait        time.Duration // how long it may take to stop before it is killed
}

// Namespec returns the name of the process the program is for.
func (p Program) Namespec() string { return Process{Group: p.Group, Name: p.Name}.Namespec() }

// Programs returns the configuration of all processes. The Go supervisord does
// not offer it: the error is ErrNotOffered then.
func (c *Client) Programs(ctx context.Context) ([]Program, error) {
	var configs []struct {
		Name        string `xmlrpc:"name"`
		Group       string `xmlrpc:"group"`
		Command     string `xmlrpc:"command"`
		GroupPrio   int    `xmlrpc:"group_prio"`
		ProcessPrio int    `xmlrpc:"process_prio"`
		StopWait    int    `xmlrpc:"stopwaitsecs"`
	}
	err := c.read(ctx, &configs, "supervisor.getAllConfigInfo")
	if errors.Is(err, errNoMethod) {
		return nil, ErrNotOffered
	}
	if err != nil {
		return nil, err
	}
	programs := make([]Program, len(configs))
	for i, config := range configs {
		programs[i] = Program{
			Group:           config.Group,
			Name:            config.Name,
			Command:         config.Command,
			GroupPriority:   config.GroupPrio,
			ProcessPriority: config.ProcessPrio,
			StopWait:        time.Duration(config.StopWait) * time.Second,
		}
	}
	return programs, nil
}

// Identifier returns the name that supervisord was given in its configuration.
func (c *Client) Identifier(ctx context.Context) (string, error) {
	var identifier string
	err := c.read(ctx, &identifier, "supervisor.getIdentification")
	return identifier, err
}

// PID returns the process id of supervisord itself.
func (c *Client) PID(ctx context.Context) (int, error) {
	var pid int
	err := c.read(ctx, &pid, "supervisor.getPID")
	return pid, err
}
