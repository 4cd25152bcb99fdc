// Package scripttest runs the scripts that test the programs: with commands for what
// there is around a program, such as supervisord, a web server and processes.
package scripttest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/supervisor-checks/supervisor-checks/internal/cloudprober"
	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/record/recordtest"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
	"github.com/supervisor-checks/supervisor-checks/supervisor/supervisortest"
)

// Run runs the scripts of a folder, each in a folder of its own with a supervisord of
// its own, if it starts one.
func Run(t *testing.T, folder string) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 folder,
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		UpdateScripts:       *update,
		Setup: func(env *testscript.Env) error {
			env.Values[worldKey{}] = new(world)
			env.Setenv("STATE_DIRECTORY", filepath.Join(env.WorkDir, "state"))
			env.Setenv("NO_URL", supervisor.ErrNoURL.Error())
			env.Setenv("TESTPID", strconv.Itoa(os.Getpid())) // the parent of what scripts run
			env.Setenv("GORACE", "atexit_sleep_ms=10")       // or a program takes a second to end
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":       scriptCommand(exits, "CODE PROGRAM [ARG...]", 2, -1),
			"eventually":  scriptCommand(eventually, "REGEXP PROGRAM [ARG...]", 2, -1),
			"jsonlines":   scriptCommand(jsonLines, "FILE", 1, 1),
			"records":     scriptCommand(records, "FILE", 1, 1),
			"table":       scriptCommand(table, "", 0, 0),
			"plain":       scriptCommand(plain, "", 0, 0),
			"report":      scriptCommand(report, "", 0, 0),
			"measured":    scriptCommand(measured, "", 0, 0),
			"events":      scriptCommand(events, "FILE COUNT", 2, 2),
			"closedport":  scriptCommand(closedPort, "", 0, 0),
			"webserver":   scriptCommand((*world).webserver, "", 0, 0),
			"rpcserver":   scriptCommand((*world).rpcserver, "[SOCKET...]", 0, -1),
			"asked":       scriptCommand((*world).asked, "WHAT", 1, 1),
			"onlyonce":    scriptCommand((*world).onlyOnce, "WHAT", 1, 1),
			"unasked":     scriptCommand((*world).unasked, "WHAT", 1, 1),
			"supervisord": scriptCommand((*world).supervisord, "[flavour=go] [KIND=]NAMESPEC...", 0, -1),
			"works":       scriptCommand((*world).works, "NAMESPEC", 1, 1),
			"answer":      scriptCommand((*world).answer, "METHOD FILE", 2, 2),
			"stuck":       scriptCommand((*world).stuck, "METHOD", 1, 1),
			"login":       scriptCommand((*world).login, "USER PASSWORD", 2, 2),
			"starts":      scriptCommand((*world).starts, "NAMESPEC COUNT", 2, 2),
			"listen":      scriptCommand((*world).listen, "PROGRAM [ARG...]", 1, -1),
			"tick":        scriptCommand((*world).tick, "", 0, 0),
			"ticks":       scriptCommand((*world).ticks, "REGEXP", 1, 1),
			"logs":        scriptCommand((*world).logs, "REGEXP", 1, 1),
			"hangup":      scriptCommand((*world).hangup, "", 0, 0),
			"reloads":     scriptCommand((*world).reloads, "COUNT TICKS PATH", 3, 3),
			"terminate":   scriptCommand((*world).terminate, "", 0, 0),
			"reload":      scriptCommand((*world).reload, "", 0, 0),
			"ended":       scriptCommand((*world).ended, "CODE", 1, 1),
		},
	})
}

// patience is how long a script waits for what should come at once.
const patience = 20 * time.Second

// SocketName is the name of supervisord's socket in a script's folder, $WORK. The path
// of a socket has at most 103 bytes.
const SocketName = "s"

// world is what there is around the programs of one script.
type world struct {
	server   *supervisortest.Server
	requests *Transcript // of the web server: a line with the path of each
	listener *exec.Cmd
	log      *Transcript   // the listener's standard error
	exited   chan struct{} // closed when the listener has
	told     time.Time     // when the listener was told to end
}

type worldKey struct{}

// scriptCommand makes a script's command of a function, for so many arguments.
func scriptCommand(do func(*world, *testscript.TestScript, []string) error, usage string, least, most int) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) < least || most >= 0 && len(args) > most {
			ts.Fatalf("usage: %s", usage)
		}
		ts.Check(do(ts.Value(worldKey{}).(*world), ts, args))
	}
}

// exits runs a program and requires its exit status.
func exits(_ *world, ts *testscript.TestScript, args []string) error {
	err := ts.Exec(args[1], args[2:]...)
	return requireStatus(err, args[0])
}

func requireStatus(err error, want string) error {
	status := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		status = exit.ExitCode()
	case err != nil:
		return err
	}
	if strconv.Itoa(status) != want {
		return fmt.Errorf("the exit status is %d, want %s", status, want)
	}
	return nil
}

// eventually runs a program until its output matches.
func eventually(_ *world, ts *testscript.TestScript, args []string) error {
	pattern, err := regexp.Compile(args[0])
	if err != nil {
		return err
	}
	for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		err := ts.Exec(args[1], args[2:]...)
		if output := ts.ReadFile("stdout"); pattern.MatchString(output) {
			return nil
		} else if time.Since(begun) > patience {
			return fmt.Errorf("its output does not match `%s`, and its error is %w:\n%s", args[0], err, output)
		}
	}
}

// jsonLines requires a file of JSON objects, one in a line.
func jsonLines(_ *world, ts *testscript.TestScript, args []string) error {
	text := ts.ReadFile(args[0])
	if text == "" {
		return errors.New("there are no lines")
	}
	for line := range strings.Lines(text) {
		if err := json.Unmarshal([]byte(line), &map[string]any{}); err != nil {
			return fmt.Errorf("%q: %w", line, err)
		}
	}
	return nil
}

// records requires a file of records, one in a line or all in an array, that are what their
// schemas say.
func records(_ *world, ts *testscript.TestScript, args []string) error {
	var all []record.Record
	text := ts.ReadFile(args[0])
	if !strings.HasPrefix(text, "[") {
		text = "[" + strings.Join(strings.Split(strings.TrimSpace(text), "\n"), ",") + "]"
	}
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return err
	}
	for _, r := range all {
		if err := recordtest.Valid(r); err != nil {
			return err
		}
	}
	if len(all) == 0 {
		return errors.New("there is none")
	}
	return nil
}

var (
	took    = regexp.MustCompile(`(?m)^(\S+ +\S+ +(?:healthy|unhealthy|unknown) +)\d\S*`)
	figure  = regexp.MustCompile(`\b(age|cpu|rss|pss|uss) \d\S*( MiB| %)?`)
	columns = regexp.MustCompile(`  +`)
)

// table puts the table on standard output into the file "table", with T for the
// durations, N for figures, and with columns that do not depend on them.
func table(_ *world, ts *testscript.TestScript, _ []string) error {
	text := took.ReplaceAllString(ts.ReadFile("stdout"), "${1}T")
	text = figure.ReplaceAllString(text, "$1 N")
	text = columns.ReplaceAllString(text, "  ")
	return os.WriteFile(ts.MkAbs("table"), []byte(text), 0o666)
}

var varying = regexp.MustCompile(`("(?:time|seconds|pid|[a-z0-9_.]+_(?:bytes|percent|seconds))": )("[^"]*"|[0-9.e+-]+)`)

// report puts the JSON on standard output into the file "report", with N for what
// is different each time.
func report(_ *world, ts *testscript.TestScript, _ []string) error {
	text := ts.ReadFile("stdout")
	if !json.Valid([]byte(text)) {
		return errors.New("it is not valid JSON")
	}
	return os.WriteFile(ts.MkAbs("report"), []byte(varying.ReplaceAllString(text, "${1}N")), 0o666)
}

// varieties are what is different each time in what supervisor_checks prints.
var varieties = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`\b(\d{4}-\d\d-\d\dT)?\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`\bpid \d+`), "pid N"},
	{regexp.MustCompile(`(?m)^(lis +)\d+ `), "${1}N "},
	{regexp.MustCompile(`\b(\d+(\.\d+)?(µs|ms)|\d+\.\d+s|0s)\b`), "T"},
	{regexp.MustCompile(`=[0-9.e-]+s( |$)`), "=T$1"},
	{columns, "  "},
}

// plain puts what is on standard output into the file "plain", without what is
// different each time, and with columns that do not depend on it.
func plain(_ *world, ts *testscript.TestScript, _ []string) error {
	text := ts.ReadFile("stdout")
	for _, v := range varieties {
		text = v.pattern.ReplaceAllString(text, v.instead)
	}
	return os.WriteFile(ts.MkAbs("plain"), []byte(text), 0o666)
}

var measuredTime = regexp.MustCompile(`(?m)^(\w+(?:_milliseconds|_seconds|_msec)(?:\{.*\})?) \S+$`)

// measured puts the metrics on standard output, which cloudprober must be able to read, into
// the file "measured", with N for times.
func measured(_ *world, ts *testscript.TestScript, _ []string) error {
	text := ts.ReadFile("stdout")
	for line := range strings.Lines(text) {
		if _, err := cloudprober.ParseMetric(line); err != nil {
			return err
		}
	}
	return os.WriteFile(ts.MkAbs("measured"), []byte(measuredTime.ReplaceAllString(text, "$1 N")), 0o666)
}

// events writes what supervisord sends for so many ticks of this moment.
func events(_ *world, ts *testscript.TestScript, args []string) error {
	count, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	var b strings.Builder
	for serial := 1; serial <= count; serial++ {
		payload := fmt.Sprintf("when:%d", time.Now().Unix())
		fmt.Fprintf(&b, "ver:3.0 server:supervisor serial:%d pool:listener poolserial:%d eventname:TICK_5 len:%d\n%s",
			serial, serial, len(payload), payload)
	}
	return os.WriteFile(ts.MkAbs(args[0]), []byte(b.String()), 0o666)
}

// closedPort sets $CLOSED to a port that refuses connections.
func closedPort(_ *world, ts *testscript.TestScript, _ []string) error {
	port, free, err := ClosedPort()
	if err != nil {
		return err
	}
	ts.Defer(free)
	ts.Setenv("CLOSED", port)
	return nil
}

// webserver starts a web server on port $PORT ($PORT_ is that with an
// underscore), and on the socket "web". It answers /404 with status 404, any
// number alike; /hang with nothing; and everything else with 200 and the
// request in the body.
func (w *world) webserver(ts *testscript.TestScript, _ []string) error {
	return w.serve(ts, func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w.requests, r.URL.Path)
		if r.URL.Path == "/hang" {
			<-r.Context().Done()
			return
		}
		if code, err := strconv.Atoi(r.URL.Path[1:]); err == nil {
			rw.WriteHeader(code)
		}
		request, _ := httputil.DumpRequest(r, true)
		rw.Write(request)
	}, "web")
}

// calledMethod finds the name of the method in an XML-RPC call.
var calledMethod = regexp.MustCompile(`<methodName>(.*)</methodName>`)

// rpcserver starts an XML-RPC server on port $PORT and on sockets. The method
// status gives false; fault a fault; garbage no XML-RPC; half a half of an
// answer; hang nothing; later a result at its second call; and any other a
// fault that says so. Each is at /RPC2 only, but for down, which is what /down
// has, and whoami, which is at /USER:PASSWORD for who logs in so.
func (w *world) rpcserver(ts *testscript.TestScript, sockets []string) error {
	var mu sync.Mutex
	called := map[string]int{}
	return w.serve(ts, func(rw http.ResponseWriter, r *http.Request) {
		const result = "<methodResponse><params><param><value><boolean>0</boolean></value></param></params></methodResponse>"
		body, _ := io.ReadAll(r.Body)
		method := ""
		if found := calledMethod.FindSubmatch(body); found != nil {
			method = string(found[1])
		}
		mu.Lock()
		called[method]++
		times := called[method]
		mu.Unlock()
		fmt.Fprintln(w.requests, r.URL.Path, method)
		user, password, _ := r.BasicAuth()
		switch login := "/" + user + ":" + password; {
		case r.URL.Path == "/down" && method == "down", login != "/:" && r.URL.Path == login && method == "whoami":
			io.WriteString(rw, result)
		case strings.Contains(r.URL.Path, ":"):
			rw.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path != "/RPC2":
			rw.WriteHeader(http.StatusNotFound)
		case method == "status", method == "later" && times > 1:
			io.WriteString(rw, result)
		case method == "garbage":
			io.WriteString(rw, "<html>\x1b[2J%s\n</html>")
		case method == "half", method == "later":
			io.WriteString(rw, result[:len(result)/2])
		case method == "hang":
			<-r.Context().Done()
		default:
			fmt.Fprintf(rw, "<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>4</int></value></member>"+
				"<member><name>faultString</name><value><string>no %s:\x1b[2J%%s\n</string></value></member></struct></value></fault></methodResponse>", method)
		}
	}, sockets...)
}

// serve starts a web server on port $PORT, which $PORT_ is with an underscore,
// and on sockets.
func (w *world) serve(ts *testscript.TestScript, handler http.HandlerFunc, sockets ...string) error {
	w.requests = NewTranscript()
	server := httptest.NewServer(handler)
	ts.Defer(server.Close)
	for _, path := range sockets {
		socket, err := net.Listen("unix", ts.MkAbs(path))
		if err != nil {
			return err
		}
		go server.Config.Serve(socket)
	}
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	ts.Setenv("PORT", port)
	ts.Setenv("PORT_", port[:1]+"_"+port[1:])
	return nil
}

// asked waits until the web server has been asked for a path since the last
// tick, the XML-RPC server for "PATH METHOD", or a stuck supervisord for a
// method.
func (w *world) asked(ts *testscript.TestScript, args []string) error {
	return await(w.requests, regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(args[0])+`$`), patience)
}

// unasked requires that there has been nothing of what asked waits for.
func (w *world) unasked(_ *testscript.TestScript, args []string) error {
	return w.requireAsked(args[0], 0)
}

// onlyOnce requires that there has been what asked waits for, once.
func (w *world) onlyOnce(_ *testscript.TestScript, args []string) error {
	return w.requireAsked(args[0], 1)
}

func (w *world) requireAsked(what string, times int) error {
	asked := w.requests.String()
	if got := strings.Count("\n"+asked, "\n"+what+"\n"); got != times {
		return fmt.Errorf("it has been asked for %d times, want %d:\n%s", got, times, asked)
	}
	return nil
}

// supervisord starts a supervisord on the socket of $SERVER_URL, which is
// $SUPERVISOR_SERVER_URL, too, unless its flavour is go. It has processes that
// run, unless they are written stopped=NAMESPEC, or that are event listeners:
// listener=NAMESPEC. $PID is the process id of the first. There is no such
// process of the system, but for those whose kind is one of incarnations.
func (w *world) supervisord(ts *testscript.TestScript, args []string) error {
	flavour := supervisor.Python
	if len(args) > 0 && args[0] == "flavour=go" {
		flavour, args = supervisor.Go, args[1:]
	}
	var programs []supervisortest.Program
	first := ""
	for _, arg := range args {
		var p supervisortest.Program
		kind, namespec, has := strings.Cut(arg, "=")
		_, real := incarnations[kind]
		switch {
		case !has:
			namespec = arg
		case kind == "stopped":
			p.Stopped = true
		case kind == "listener":
			p.Listener = true
		case real:
			b := &body{kind: kind}
			ts.Defer(b.endForGood)
			p.Spawn = b.spawn
		default:
			return fmt.Errorf("there is no kind of process called %s", kind)
		}
		if first == "" {
			first = namespec
		}
		p.Group, p.Name = supervisor.SplitNamespec(namespec)
		programs = append(programs, p)
	}
	w.server = supervisortest.NewServer(flavour, programs...)
	ts.Defer(w.server.Close)
	if first != "" {
		pid := w.server.Process(first).PID
		ts.Setenv("PID", strconv.Itoa(pid))
		if strings.HasPrefix(args[0], "family=") {
			if err := measure(ts, pid); err != nil {
				return err
			}
		}
	}
	path := filepath.Join(ts.Getenv("WORK"), SocketName)
	socket, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	go w.server.Serve(socket)
	ts.Setenv("SERVER_URL", "unix://"+path)
	if flavour == supervisor.Python {
		ts.Setenv("SUPERVISOR_SERVER_URL", "unix://"+path)
	}
	return nil
}

// answer lets supervisord answer a method with a file.
func (w *world) answer(ts *testscript.TestScript, args []string) error {
	method, body := args[0], ts.ReadFile(args[1])
	w.server.Intercept(func(call supervisortest.Call) supervisortest.Fate {
		if call.Method != method {
			return supervisortest.Fate{}
		}
		return supervisortest.Fate{Status: http.StatusOK, Type: "text/xml", Body: body}
	})
	return nil
}

// stuck lets supervisord answer a method no more.
func (w *world) stuck(_ *testscript.TestScript, args []string) error {
	if w.requests == nil {
		w.requests = NewTranscript()
	}
	w.server.Intercept(func(call supervisortest.Call) supervisortest.Fate {
		if call.Method != args[0] {
			return supervisortest.Fate{}
		}
		fmt.Fprintln(w.requests, call.Method)
		return supervisortest.Fate{Delay: time.Hour}
	})
	return nil
}

// login lets $SUPERVISOR_SERVER_URL be a port of supervisord that asks for a
// login. $ADDRESS is its host and port.
func (w *world) login(ts *testscript.TestScript, args []string) error {
	front := NewLogin(w.server, args[0], args[1])
	ts.Defer(front.Close)
	ts.Setenv("SUPERVISOR_SERVER_URL", front.URL)
	ts.Setenv("ADDRESS", front.Listener.Addr().String())
	return nil
}

// starts waits until a process runs that has been started so many times, the
// first start included.
func (w *world) starts(_ *testscript.TestScript, args []string) error {
	want, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if !w.server.Await(ctx, func() bool {
		return w.server.Starts(args[0]) == want && w.server.Process(args[0]).State == supervisor.Running
	}) {
		return fmt.Errorf("%s was started %d times and is %v", args[0], w.server.Starts(args[0]), w.server.Process(args[0]).State)
	}
	return nil
}

// listen starts a program as event listener of the supervisord.
func (w *world) listen(ts *testscript.TestScript, args []string) error {
	path, err := exec.LookPath(args[0])
	if err != nil {
		return err
	}
	stdin, stdout := w.server.Listener()
	w.log, w.exited = NewTranscript(), make(chan struct{})
	w.listener = exec.Command(path, args[1:]...)
	w.listener.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "WORK", "TMPDIR", "STATE_DIRECTORY", "SUPERVISOR_SERVER_URL",
		"SUPERVISOR_USERNAME", "SUPERVISOR_PASSWORD", "PORT", "GORACE", "GOCOVERDIR"} {
		if value := ts.Getenv(name); value != "" {
			w.listener.Env = append(w.listener.Env, name+"="+value)
		}
	}
	w.listener.Stdout, w.listener.Stderr = stdout, w.log
	pipe, err := w.listener.StdinPipe()
	if err != nil {
		return err
	}
	if err := w.listener.Start(); err != nil {
		return err
	}
	go func() {
		io.Copy(pipe, stdin)
		pipe.Close()
	}()
	go func() {
		w.listener.Wait()
		stdout.Close()
		close(w.exited)
	}()
	ts.Defer(func() {
		w.listener.Process.Kill()
		<-w.exited
	})
	return nil
}

// tick sends the listener a tick of this moment, which it must answer at once.
func (w *world) tick(*testscript.TestScript, []string) error {
	if w.requests != nil {
		w.requests.Forget()
	}
	return w.server.Send("TICK_5", fmt.Sprintf("when:%d", time.Now().Unix()))
}

// ticks sends ticks until the listener has logged something. The process of which
// it has just said that it runs again may still be left out of the first one.
func (w *world) ticks(ts *testscript.TestScript, args []string) error {
	pattern, err := regexp.Compile(args[0])
	if err != nil {
		return err
	}
	for begun := time.Now(); ; {
		if err := w.tick(ts, nil); err != nil {
			return err
		}
		if err := await(w.log, pattern, 2*time.Second); err == nil || time.Since(begun) > patience {
			return err
		}
	}
}

// logs waits until the listener has logged something.
func (w *world) logs(_ *testscript.TestScript, args []string) error {
	pattern, err := regexp.Compile(args[0])
	if err != nil {
		return err
	}
	return await(w.log, pattern, patience)
}

// hangup lets supervisord end for the listener.
func (w *world) hangup(*testscript.TestScript, []string) error {
	w.told = time.Now()
	w.server.Hangup()
	return nil
}

// reloads sends the listener so many SIGHUPs, each when it has reloaded, and meanwhile
// so many ticks, for each of which the web server must be asked for a path.
func (w *world) reloads(ts *testscript.TestScript, args []string) error {
	count, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	ticks, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	for i := range count {
		if i%(count/ticks) == 0 {
			if err := w.tick(ts, nil); err != nil {
				return err
			}
		}
		before := strings.Count(w.log.String(), "reloaded: ")
		if err := w.listener.Process.Signal(syscall.SIGHUP); err != nil {
			return err
		}
		for begun := time.Now(); strings.Count(w.log.String(), "reloaded: ") == before; time.Sleep(time.Millisecond) {
			if time.Since(begun) > patience {
				return fmt.Errorf("it does not reload:\n%s", w.log)
			}
		}
		if i%(count/ticks) == 0 {
			if err := w.asked(ts, args[2:]); err != nil {
				return err
			}
		}
	}
	return nil
}

// terminate sends the listener SIGTERM.
func (w *world) terminate(*testscript.TestScript, []string) error {
	w.told = time.Now()
	return w.listener.Process.Signal(syscall.SIGTERM)
}

// reload tells the listener to read its file again.
func (w *world) reload(*testscript.TestScript, []string) error {
	return w.listener.Process.Signal(syscall.SIGHUP)
}

// ended requires that the listener ends within two seconds of being told, or four more on
// a machine that has other things to do, with that exit status. Its log is in the file "log" then.
func (w *world) ended(ts *testscript.TestScript, args []string) error {
	select {
	case <-w.exited:
	case <-time.After(max(time.Second, time.Until(w.told.Add(6*time.Second)))): // where it waits for a process it has eight
		return errors.New("the listener has not ended within six seconds")
	}
	if err := os.WriteFile(ts.MkAbs("log"), []byte(w.log.String()), 0o666); err != nil {
		return err
	}
	ts.Logf("%s", w.log)
	if got := w.listener.ProcessState.ExitCode(); strconv.Itoa(got) != args[0] {
		return fmt.Errorf("the exit status is %d, want %s", got, args[0])
	}
	return nil
}

// await waits until a text matches.
func await(t *Transcript, pattern *regexp.Regexp, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if t.Await(nil, ctx.Done(), pattern.MatchString) != nil {
		return fmt.Errorf("nothing matches %#q in:\n%s", pattern, t)
	}
	return nil
}
