package supervisortest

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// Call is one XML-RPC call that the server got.
type Call struct {
	Method string   // "supervisor.stopProcess"
	Args   []string // as they were written: "web:a", "0"
	Number int      // of this call among those of its method, from 1
}

// Fate is what becomes of a call. The zero Fate is the usual one.
type Fate struct {
	Delay time.Duration // before anything else happens

	// Fault refuses the call.
	Fault *supervisor.Fault

	// LoseCall ends the connection before supervisord has done anything,
	// LoseReply when it has.
	LoseCall, LoseReply bool

	// Status, if not 0, is what is answered in place of XML-RPC, with Type and Body.
	Status     int
	Type, Body string

	// Truncate answers only the first half.
	Truncate bool

	// Then is called when the call has been carried out, before the answer.
	Then func()
}

// Intercept lets fate decide what becomes of every further call. It is called
// concurrently.
func (s *Server) Intercept(fate func(Call) Fate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercept = fate
}

// Calls returns the calls so far, in their order.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Call(nil), s.calls...)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	call, err := decodeCall(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.counts[call.Method]++
	call.Number = s.counts[call.Method]
	s.calls = append(s.calls, call)
	intercept := s.intercept
	s.note()
	s.mu.Unlock()

	var fate Fate
	if intercept != nil {
		fate = intercept(call)
	}
	if fate.Delay > 0 {
		select {
		case <-time.After(fate.Delay):
		case <-s.dialing.Done():
		}
	}
	if fate.LoseCall {
		panic(http.ErrAbortHandler)
	}
	if fate.Status != 0 {
		w.Header().Set("Content-Type", fate.Type)
		w.WriteHeader(fate.Status)
		io.WriteString(w, fate.Body)
		return
	}
	var answer any
	if err = error(fate.Fault); fate.Fault == nil {
		answer, err = s.answer(call)
	}
	if fate.Then != nil {
		fate.Then()
	}
	if fate.LoseReply {
		panic(http.ErrAbortHandler)
	}
	if err == errNoService {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, "rpc: can't find service %q", call.Method)
		return
	}
	body := s.encode(answer, err)
	w.Header().Set("Content-Type", "text/xml")
	if s.flavour == supervisor.Go {
		w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if fate.Truncate {
		io.WriteString(w, body[:len(body)/2])
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	io.WriteString(w, body)
}

func decodeCall(body io.Reader) (Call, error) {
	var message struct {
		Method string `xml:"methodName"`
		Params []struct {
			Value struct {
				String  *string `xml:"string"`
				Int     *string `xml:"int"`
				Boolean *string `xml:"boolean"`
			} `xml:"value"`
		} `xml:"params>param"`
	}
	if err := xml.NewDecoder(body).Decode(&message); err != nil {
		return Call{}, err
	}
	call := Call{Method: message.Method}
	for _, param := range message.Params {
		for _, value := range []*string{param.Value.String, param.Value.Int, param.Value.Boolean} {
			if value != nil {
				call.Args = append(call.Args, *value)
			}
		}
	}
	return call, nil
}

// errNoService stands for the Go supervisord's answer to what it does not have.
var errNoService = fmt.Errorf("can't find service")

// answer carries out a call.
func (s *Server) answer(call Call) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	arg := func(i int) string {
		if i < len(call.Args) {
			return call.Args[i]
		}
		return ""
	}
	wait := arg(1) != "0"
	if s.shuttingDown && strings.HasPrefix(call.Method, "supervisor.") {
		return nil, &supervisor.Fault{Code: supervisor.FaultShutdownState, Text: "SHUTDOWN_STATE"}
	}
	python := s.flavour == supervisor.Python
	switch call.Method {
	case "supervisor.getSupervisorVersion":
		if python {
			return "4.2.5", nil
		}
		return "3.0", nil
	case "supervisor.getAPIVersion":
		return "3.0", nil
	case "supervisor.getIdentification":
		return "supervisor", nil
	case "supervisor.getState":
		return structure{{"statecode", 1}, {"statename", "RUNNING"}}, nil
	case "supervisor.getPID":
		return ownPID, nil
	case "supervisor.getAllProcessInfo":
		all := []any{}
		for _, p := range s.processes {
			if python || !p.Listener {
				all = append(all, s.info(p))
			}
		}
		return all, nil
	case "supervisor.getProcessInfo":
		p := s.find(arg(0))
		if p == nil {
			return nil, s.badName(call.Method, arg(0))
		}
		return s.info(p), nil
	case "supervisor.stopProcess":
		return s.stopProcess(arg(0), wait)
	case "supervisor.startProcess":
		return s.startProcess(arg(0), wait)
	case "supervisor.signalProcess":
		return s.signalProcess(arg(0), arg(1))
	case "supervisor.tailProcessStdoutLog", "supervisor.tailProcessStderrLog":
		return s.tail(call.Method, arg(0), arg(2))
	case "supervisor.shutdown":
		s.shuttingDown = python
		return true, nil
	}
	if python {
		switch call.Method {
		case "supervisor.getAllConfigInfo":
			all := []any{}
			for _, p := range s.processes {
				all = append(all, config(p))
			}
			return all, nil
		case "system.listMethods":
			return methods, nil
		}
		return nil, &supervisor.Fault{Code: supervisor.FaultUnknownMethod, Text: "UNKNOWN_METHOD"}
	}
	return nil, errNoService
}

func (s *Server) stopProcess(namespec string, wait bool) (any, error) {
	p := s.find(namespec)
	if p == nil {
		return nil, s.badName("supervisor.stopProcess", namespec)
	}
	stopping := p.pid != 0
	if err := s.stop(p); err != nil {
		return nil, err
	}
	for wait && p.state == supervisor.Stopping && s.dialing.Err() == nil {
		s.changed.Wait()
	}
	if s.flavour == supervisor.Go && stopping && !wait {
		return nil, &supervisor.Fault{Code: goFault, Text: "Application Error: fail to stop process " + namespec}
	}
	return true, nil
}

func (s *Server) startProcess(namespec string, wait bool) (any, error) {
	p := s.find(namespec)
	if p == nil {
		return nil, s.badName("supervisor.startProcess", namespec)
	}
	running := p.state == supervisor.Running
	if s.flavour == supervisor.Go && p.state == supervisor.Stopping { // it waits, and then does nothing
		for p.state == supervisor.Stopping && s.dialing.Err() == nil {
			s.changed.Wait()
		}
		return nil, &supervisor.Fault{Code: goFault, Text: "Application Error: fail to start process " + namespec}
	}
	if err := s.start(p); err != nil {
		return nil, err
	}
	for wait && (p.state == supervisor.Starting || p.state == supervisor.Stopping) && s.dialing.Err() == nil {
		s.changed.Wait()
	}
	switch {
	case s.flavour == supervisor.Go && !running && !wait:
		return nil, &supervisor.Fault{Code: goFault, Text: "Application Error: fail to start process " + namespec}
	case s.flavour == supervisor.Python && wait && p.state != supervisor.Running:
		return nil, &supervisor.Fault{Code: 40, Text: "ABNORMAL_TERMINATION: " + namespec}
	}
	return true, nil
}

func (s *Server) signalProcess(namespec, signal string) (any, error) {
	p := s.find(namespec)
	switch {
	case p == nil:
		return nil, s.badName("supervisor.signalProcess", namespec)
	case s.flavour == supervisor.Go:
		return true, nil
	case !strings.Contains(" HUP INT QUIT KILL USR1 USR2 TERM STOP CONT ", " "+strings.TrimPrefix(signal, "SIG")+" "):
		return nil, &supervisor.Fault{Code: 11, Text: "BAD_SIGNAL: " + signal}
	case p.pid == 0:
		return nil, &supervisor.Fault{Code: supervisor.FaultNotRunning, Text: "NOT_RUNNING"}
	}
	return true, nil
}

// tail answers with the end of an output, its length, and whether that is more.
func (s *Server) tail(method, namespec, length string) (any, error) {
	p := s.find(namespec)
	if p == nil {
		return nil, s.badName(method, namespec)
	}
	text := p.Stdout
	if strings.Contains(method, "Stderr") {
		text = p.Stderr
	}
	most, _ := strconv.Atoi(length)
	tail := text[max(0, len(text)-most):]
	if s.flavour == supervisor.Go {
		return parameters{tail, len(text), true}, nil // as it said of an empty log
	}
	return []any{tail, len(text), len(text) > most}, nil
}

// parameters are an answer of several values, which the Go supervisord gives.
type parameters []any

// goFault is the code of every fault of the Go supervisord.
const goFault = -32500

// badName is how a call for a process that there is not is refused.
func (s *Server) badName(method, namespec string) error {
	if s.flavour == supervisor.Python {
		return &supervisor.Fault{Code: supervisor.FaultBadName, Text: "BAD_NAME: " + namespec}
	}
	if method == "supervisor.getProcessInfo" {
		return &supervisor.Fault{Code: goFault, Text: "Application Error: BAD_NAME no process named " + namespec}
	}
	return &supervisor.Fault{Code: goFault, Text: "Application Error: fail to find process " + namespec}
}

// structure is an XML-RPC struct whose members keep their order.
type structure []struct {
	name  string
	value any
}

func unix(t time.Time) int {
	if t.IsZero() {
		return 0
	}
	return int(t.Unix())
}

// description is what supervisord says of a process in its own words.
func (s *Server) description(p *process) string {
	switch {
	case p.state == supervisor.Running:
		uptime := int(time.Since(p.start) / time.Second)
		return fmt.Sprintf("pid %d, uptime %d:%02d:%02d", p.pid, uptime/3600, uptime/60%60, uptime%60)
	case s.flavour == supervisor.Go && p.state != supervisor.Stopped && !p.stop.IsZero():
		return p.stop.String()
	case s.flavour == supervisor.Go:
		return ""
	}
	switch p.state {
	case supervisor.Fatal, supervisor.Backoff:
		return p.spawnErr
	case supervisor.Stopped, supervisor.Exited:
		if p.start.IsZero() {
			return "Not started"
		}
		return p.stop.Format("Jan 02 03:04 PM")
	}
	return ""
}

func (s *Server) info(p *process) structure {
	now := unix(time.Now())
	name := p.state.String()
	if s.flavour == supervisor.Python {
		return structure{
			{"name", p.Name}, {"group", p.Group},
			{"start", unix(p.start)}, {"stop", unix(p.stop)}, {"now", now},
			{"state", int(p.state)}, {"statename", name},
			{"spawnerr", p.spawnErr}, {"exitstatus", 0},
			{"logfile", ""}, {"stdout_logfile", ""}, {"stderr_logfile", ""},
			{"pid", p.pid}, {"description", s.description(p)},
		}
	}
	stop := unix(p.stop)
	if p.pid != 0 {
		stop = 0
	}
	return structure{
		{"node", "localhost"}, {"name", p.Name}, {"group", p.Group}, {"description", s.description(p)},
		{"start", unix(p.start)}, {"stop", stop}, {"now", now},
		{"state", int(p.state)}, {"statename", name[:1] + strings.ToLower(name[1:])},
		{"spawnerr", ""}, {"exitstatus", 0},
		{"logfile", ""}, {"stdout_logfile", ""}, {"stderr_logfile", ""},
		{"pid", p.pid},
	}
}

// config is what getAllConfigInfo says of a process.
func config(p *process) structure {
	groupPrio := 999
	if p.Listener {
		groupPrio = -1
	}
	return structure{
		{"autostart", !p.Stopped}, {"directory", "none"}, {"uid", "none"}, {"command", p.Command},
		{"exitcodes", []any{0}}, {"group", p.Group}, {"group_prio", groupPrio}, {"inuse", true},
		{"killasgroup", false}, {"name", p.Name}, {"process_prio", 999}, {"redirect_stderr", false},
		{"startretries", p.Retries}, {"startsecs", int(p.StartTakes / time.Second)},
		{"stdout_capture_maxbytes", 0}, {"stdout_events_enabled", false}, {"stdout_logfile", "none"},
		{"stdout_logfile_backups", 10}, {"stdout_logfile_maxbytes", 52428800}, {"stdout_syslog", false},
		{"stopsignal", 15}, {"stopwaitsecs", int(p.StopWait / time.Second)},
		{"stderr_capture_maxbytes", 0}, {"stderr_events_enabled", false}, {"stderr_logfile", "none"},
		{"stderr_logfile_backups", 10}, {"stderr_logfile_maxbytes", 52428800}, {"stderr_syslog", false},
		{"serverurl", "none"},
	}
}

// methods are those that the server has of Python's supervisord.
var methods = []any{
	"supervisor.getAPIVersion", "supervisor.getAllConfigInfo", "supervisor.getAllProcessInfo",
	"supervisor.getIdentification", "supervisor.getPID", "supervisor.getProcessInfo", "supervisor.getState",
	"supervisor.getSupervisorVersion", "supervisor.shutdown", "supervisor.signalProcess", "supervisor.startProcess",
	"supervisor.stopProcess", "supervisor.tailProcessStderrLog", "supervisor.tailProcessStdoutLog", "system.listMethods",
}

// encode writes an answer as the flavour writes it: Python's a tag a line.
func (s *Server) encode(answer any, err error) string {
	w := writer{}
	if s.flavour == supervisor.Python {
		w.newline = "\n"
		w.text("<?xml version='1.0'?>\n")
	}
	w.line("<methodResponse>")
	if err != nil {
		fault, ok := err.(*supervisor.Fault)
		if !ok {
			fault = &supervisor.Fault{Code: 1, Text: err.Error()}
		}
		w.line("<fault>")
		w.value(structure{{"faultCode", fault.Code}, {"faultString", fault.Text}})
		w.line("</fault>")
	} else {
		all, several := answer.(parameters)
		if !several {
			all = parameters{answer}
		}
		w.line("<params>")
		for _, value := range all {
			w.line("<param>")
			w.value(value)
			w.line("</param>")
		}
		w.line("</params>")
	}
	w.line("</methodResponse>")
	return w.b.String()
}

// escaper escapes text as supervisord does. Control characters pass.
var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

type writer struct {
	b       strings.Builder
	newline string
}

func (w *writer) text(s string) { w.b.WriteString(s) }
func (w *writer) line(s string) { w.b.WriteString(s + w.newline) }

func (w *writer) value(v any) {
	w.text("<value>")
	switch v := v.(type) {
	case string:
		w.text("<string>")
		escaper.WriteString(&w.b, v)
		w.text("</string>")
	case int:
		w.text("<int>" + strconv.Itoa(v) + "</int>")
	case bool:
		digit := "0"
		if v {
			digit = "1"
		}
		w.text("<boolean>" + digit + "</boolean>")
	case []any:
		w.line("<array><data>")
		for _, element := range v {
			w.value(element)
		}
		w.text("</data></array>")
	case structure:
		w.line("<struct>")
		for _, member := range v {
			w.line("<member>")
			w.line("<name>" + member.name + "</name>")
			w.value(member.value)
			w.line("</member>")
		}
		w.text("</struct>")
	}
	w.line("</value>")
}
