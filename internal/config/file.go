// Package config reads the file of supervisor_checks, says all that is wrong with
// it, and makes checks and policies of it.
package config

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/internal/setting"
	"github.com/supervisor-checks/supervisor-checks/runner"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// File is what a file says. Its keys are those of the fields' tags, and so are the
// descriptions in docs/config.md and in the schema.
type File struct {
	Server      Server   `key:"server" doc:"Where supervisord is. Without it the environment says, as it does for every event listener."`
	Name        string   `key:"name" doc:"What this listener is called in its log and records."`
	StateDir    string   `key:"state_dir" doc:"Folder for what outlives the listener: the journal of restarts, counters and pauses."`
	Log         Log      `key:"log" doc:"How the log is written, on standard error."`
	Concurrency *Count   `key:"concurrency" doc:"How many processes are checked at once at most."`
	Defaults    Defaults `key:"defaults" doc:"Settings for all entries of watch that do not have their own."`
	Watch       []Watch  `key:"watch" need:"true" doc:"Which processes are watched, and how. Where several entries match a process, their checks add up."`
}

// Server is where supervisord is.
type Server struct {
	URL          string `key:"url" doc:"http://HOST:PORT or unix:///PATH."`
	Username     string `key:"username" doc:"Of the section of supervisord's server."`
	Password     string `key:"password" secret:"true" doc:"That of the username."`
	PasswordFile string `key:"password_file" doc:"A file that has it in its first line."`
}

func (s *Server) check(report func(key, format string, args ...any)) {
	switch {
	case s.URL == "" && *s != Server{}:
		report("", "the key \"url\" is missing: without it the environment brings username and password, too")
	case s.Username == "" && s.Password+s.PasswordFile != "":
		report("", "there is a password, and no username that it belongs to")
	case s.Password != "" && s.PasswordFile != "":
		report("password_file", "is of no use with password: give one of them")
	case s.URL != "":
		if _, err := supervisor.NewClient(supervisor.Config{URL: s.URL}); err != nil {
			report("url", "%v", err)
		}
	}
}

// Log is how the log is written.
type Log struct {
	Format LogFormat `key:"format" doc:"text or json."`
	Level  LogLevel  `key:"level" doc:"debug, info, warn or error."`
}

// Defaults are settings for all entries.
type Defaults struct {
	RuleSettings
	ProcessSettings
}

// Watch is some processes, and what is to be found and done about them.
type Watch struct {
	Processes []Pattern `key:"processes" need:"true" doc:"Names as supervisorctl shows them, with * and ? for parts of them: web:web_8001, web:*, worker. Those with a ! before them are left out."`
	Checks    []Rule    `key:"checks" need:"true" doc:"What they must pass, in this order."`
	RuleSettings
	ProcessSettings
}

func (w *Watch) check(report func(key, format string, args ...any)) {
	if !slices.ContainsFunc(w.Processes, func(p Pattern) bool { return !p.Excludes }) {
		report("processes", "leaves out, but names none that are in: begin with '*' for all others")
	}
}

// RuleSettings are settings of a check, or of all of an entry or a file.
type RuleSettings struct {
	Period           *Period           `key:"period" doc:"How often it is checked: at each tick where it is not given. A shorter one than that of the ticks makes rounds between them."`
	Timeout          *Positive         `key:"timeout" doc:"How long one try of a check may take, where it has a timeout."`
	Retries          *int              `key:"retries" doc:"How often a failed try is repeated at once, after 3 s, 6 s, and so on."`
	FailureThreshold *runner.Threshold `key:"failure_threshold" doc:"So many failures in a row, 3, or of the last results, 3/5, make a process unhealthy."`
	SuccessThreshold *Count            `key:"success_threshold" doc:"So many successes in a row make it healthy again."`
	StartPeriod      *Duration         `key:"start_period" doc:"For how long after the start of a process failures do not count, unless it has succeeded since."`
	Action           *runner.Action    `key:"action" doc:"What is done: restart, alert, stop, signal:NAME, exec:COMMAND or shutdown."`
}

// over returns s with what is not set from below.
func (s RuleSettings) over(below RuleSettings) RuleSettings {
	return RuleSettings{
		Period:  either(s.Period, below.Period),
		Timeout: either(s.Timeout, below.Timeout), Retries: either(s.Retries, below.Retries),
		FailureThreshold: either(s.FailureThreshold, below.FailureThreshold), SuccessThreshold: either(s.SuccessThreshold, below.SuccessThreshold),
		StartPeriod: either(s.StartPeriod, below.StartPeriod), Action: either(s.Action, below.Action),
	}
}

func either[T any](a, b *T) *T {
	if a != nil {
		return a
	}
	return b
}

// ProcessSettings are settings of processes, or of all in a file.
type ProcessSettings struct {
	RestartLimit     *runner.RestartLimit `key:"restart_limit" doc:"How often a process is restarted at most: 5/10m is five times in ten minutes."`
	RestartLimitThen *runner.Then         `key:"restart_limit_then" doc:"What becomes of one that should be restarted once more: stop, alert or ignore."`
	Backoff          *runner.Backoff      `key:"backoff" doc:"The pause before the second restart, the factor by which it grows, up to what, and after how long in health it begins anew: 10s,2,5m,10m."`
	MaxUnavailable   *runner.Share        `key:"max_unavailable" doc:"How many of a group, 2, or what part of it, 25%, may be down through us at once."`
	PanicThreshold   *PercentOfGroup      `key:"panic_threshold" doc:"When more of a group than this fails one check in one round, one is restarted as a trial, and others only if that helps."`
	Jitter           *Duration            `key:"jitter" doc:"Restarts are spread over this time."`
	Revive           []supervisor.State   `key:"revive" doc:"States in which processes are started: FATAL, EXITED."`
	BeforeRestart    Command              `key:"before_restart" doc:"Run before a restart, without a shell; exit status 75 means not now."`
	AfterStop        Command              `key:"after_stop" doc:"Run when the process has stopped."`
	AfterRestart     Command              `key:"after_restart" doc:"Run when it runs again and its checks succeed, or do not in time."`
	HookTimeout      *Positive            `key:"hook_timeout" doc:"After what time such a program is killed."`
	Evidence         *Evidence            `key:"evidence" doc:"What is kept of a process before it is restarted."`
}

// Evidence is what is kept of a process before it is restarted.
type Evidence struct {
	Dir     string    `key:"dir" doc:"Folder for output, status, threads, descriptors and children of the process."`
	Max     *Count    `key:"max" doc:"Of how many restarts that is kept."`
	Signal  Signal    `key:"signal" doc:"Sent before, as QUIT, at which Go and Java write their stacks."`
	Pause   *Positive `key:"pause" doc:"The time that the process has for that."`
	CoreDir string    `key:"core_dir" doc:"Folder for the memory of the process, written by gcore of gdb."`
}

func (e *Evidence) check(report func(key, format string, args ...any)) {
	err := runner.Policy{Evidence: e.evidence()}.Validate()
	var refused *runner.PolicyError
	if errors.As(err, &refused) {
		report(strings.TrimPrefix(keyOf(refused.Field), "evidence_"), "%s", strings.NewReplacer("evidence-", "", "core-dir", "core_dir").Replace(refused.Err.Error()))
	}
}

// Rule is one check, with its settings.
type Rule struct {
	HTTP     *HTTP     `key:"http" doc:"What a process answers to an HTTP request."`
	TCP      *TCP      `key:"tcp" doc:"Whether it accepts connections."`
	XMLRPC   *XMLRPC   `key:"xmlrpc" doc:"What it answers to an XML-RPC call."`
	Memory   *Memory   `key:"memory" doc:"How much memory it uses."`
	CPU      *CPU      `key:"cpu" doc:"How much processor time it uses."`
	File     *Heart    `key:"file" doc:"How old its heartbeat is."`
	Uptime   *Uptime   `key:"uptime" doc:"How long it has run: for restarts now and then."`
	FDs      *FDs      `key:"fds" doc:"How many files and connections it has open."`
	Threads  *Threads  `key:"threads" doc:"How many threads it has."`
	Children *Children `key:"children" doc:"How many children it has, and theirs."`

	Name    string `key:"name" doc:"What the check is called in log and records, in place of its kind."`
	Enabled *bool  `key:"enabled" doc:"false leaves the check out."`
	RuleSettings
}

// maker is what a check is made of.
type maker interface {
	make(RuleSettings) (checks.Check, error)
}

// makers returns those that are given, by their keys.
func (r *Rule) makers() map[string]maker {
	all := make(map[string]maker)
	add := func(key string, given bool, m maker) {
		if given {
			all[key] = m
		}
	}
	add("http", r.HTTP != nil, r.HTTP)
	add("tcp", r.TCP != nil, r.TCP)
	add("xmlrpc", r.XMLRPC != nil, r.XMLRPC)
	add("memory", r.Memory != nil, r.Memory)
	add("cpu", r.CPU != nil, r.CPU)
	add("file", r.File != nil, r.File)
	add("uptime", r.Uptime != nil, r.Uptime)
	add("fds", r.FDs != nil, r.FDs)
	add("threads", r.Threads != nil, r.Threads)
	add("children", r.Children != nil, r.Children)
	return all
}

func (r *Rule) check(report func(key, format string, args ...any)) {
	given := r.makers()
	switch len(given) {
	case 0:
		report("", "there is no check; there are %s", strings.Join(checkKeys(), ", "))
	case 1:
	default:
		report("", "has several checks, %s: begin a new entry with a - for each", strings.Join(slices.Sorted(maps.Keys(given)), ", "))
	}
}

// checkKeys are the keys of all checks there are.
func checkKeys() (keys []string) {
	all := (&Rule{HTTP: new(HTTP), TCP: new(TCP), XMLRPC: new(XMLRPC), Memory: new(Memory), CPU: new(CPU), File: new(Heart),
		Uptime: new(Uptime), FDs: new(FDs), Threads: new(Threads), Children: new(Children)}).makers()
	return slices.Sorted(maps.Keys(all))
}

// tryOut reports what a check refuses, with the keys that the file has for its
// fields.
func tryOut(m maker, report func(key, format string, args ...any)) {
	_, err := m.make(RuleSettings{})
	var refused *checks.ConfigError
	switch {
	case errors.As(err, &refused):
		text := refused.Err.Error()
		for _, other := range refused.With {
			text = strings.ReplaceAll(text, other, keyOf(other))
		}
		report(keyOf(refused.Field), "%s", text)
	case err != nil:
		report("", "%v", err)
	}
}

// keyOf is the key for a field of a check's configuration.
func keyOf(field string) string {
	switch field {
	case "max-cpu-percent":
		return "max"
	case "max-rss", "max-percent":
		return "max"
	}
	return strings.ReplaceAll(field, "-", "_")
}

// Login is a username with its password.
type Login struct {
	Username     string `key:"username" doc:"Sent as basic authentication."`
	Password     string `key:"password" secret:"true" doc:"That of the username."`
	PasswordFile string `key:"password_file" doc:"A file that has it in its first line."`
}

func (l Login) read() (username, password string, err error) {
	switch {
	case l.Username == "" && l.Password+l.PasswordFile != "":
		return "", "", errors.New("there is a password, and no username that it belongs to")
	case l.Password != "" && l.PasswordFile != "":
		return "", "", errors.New("password_file is of no use with password: give one of them")
	case l.PasswordFile == "":
		return l.Username, l.Password, nil
	}
	password, err = setting.Secret(l.PasswordFile)
	return l.Username, password, err
}

// HTTP is a check of what a process answers to an HTTP request.
type HTTP struct {
	Port         string              `key:"port" doc:"A number, or a regular expression that finds it in the name of the process: 'web_(\\d+)'."`
	UnixSocket   string              `key:"unix_socket" doc:"The path of a socket in place of host and port."`
	Host         string              `key:"host" doc:"127.0.0.1 where it is not given."`
	Scheme       string              `key:"scheme" doc:"http or https."`
	URL          string              `key:"url" need:"true" doc:"The path to ask for: /ping."`
	Method       string              `key:"method" doc:"GET where it is not given."`
	Headers      map[string][]string `key:"headers" secret:"true" doc:"Sent in place of what is otherwise sent under these names."`
	Body         string              `key:"body" doc:"Sent as it is."`
	JSON         json.RawMessage     `key:"json" doc:"Sent as JSON in place of a body."`
	ExpectStatus string              `key:"expect_status" doc:"Status codes that are healthy: 200-299,301. 200 where it is not given."`
	ExpectBody   string              `key:"expect_body" doc:"A regular expression that the body must match."`
	CAFile       string              `key:"ca_file" doc:"Certificates that are trusted in place of the system's."`
	Insecure     bool                `key:"insecure" doc:"Accept any certificate."`
	Login
	tries
}

func (h *HTTP) check(report func(key, format string, args ...any)) { tryOut(h, report) }

func (h *HTTP) make(s RuleSettings) (checks.Check, error) {
	username, password, err := h.Login.read()
	if err != nil {
		return nil, err
	}
	header := make(http.Header)
	for name, values := range h.Headers {
		for _, v := range values {
			header.Add(name, v)
		}
	}
	timeout, retries := h.over(s)
	return checks.NewHTTP(checks.HTTPConfig{Port: h.Port, UnixSocket: h.UnixSocket, Host: h.Host, Scheme: h.Scheme, URL: h.URL, Method: h.Method,
		Header: header, Body: h.Body, JSON: h.JSON, Username: username, Password: password, Timeout: timeout, Retries: retries,
		ExpectStatus: h.ExpectStatus, ExpectBody: h.ExpectBody, CAFile: h.CAFile, Insecure: h.Insecure})
}

// tries are the settings of a check that can fail for a moment.
type tries struct {
	Timeout *Positive `key:"timeout" doc:"How long one try may take."`
	Retries *int      `key:"retries" doc:"How often a failed try is repeated at once."`
}

// defaultTimeout is that of one try in a file, which is shorter than that of the
// small programs, whose options are older.
const defaultTimeout = 5 * time.Second

func (t tries) over(s RuleSettings) (timeout time.Duration, retries int) {
	timeout = defaultTimeout
	if d := either(t.Timeout, s.Timeout); d != nil {
		timeout = time.Duration(*d)
	}
	if n := either(t.Retries, s.Retries); n != nil {
		retries = *n
	}
	return timeout, retries
}

// TCP is a check of whether a process accepts connections.
type TCP struct {
	Port       string `key:"port" doc:"A number, or a regular expression that finds it in the name of the process."`
	UnixSocket string `key:"unix_socket" doc:"The path of a socket in place of host and port."`
	Host       string `key:"host" doc:"127.0.0.1 where it is not given."`
	tries
}

func (t *TCP) check(report func(key, format string, args ...any)) { tryOut(t, report) }

func (t *TCP) make(s RuleSettings) (checks.Check, error) {
	timeout, retries := t.over(s)
	return checks.NewTCP(checks.TCPConfig{Port: t.Port, UnixSocket: t.UnixSocket, Host: t.Host, Timeout: timeout, Retries: retries})
}

// XMLRPC is a check of what a process answers to an XML-RPC call.
type XMLRPC struct {
	URL        string `key:"url" doc:"The path of the server at host and port: /RPC2."`
	Port       string `key:"port" doc:"A number, or a regular expression that finds it in the name of the process."`
	Host       string `key:"host" doc:"127.0.0.1 where it is not given."`
	SocketPath string `key:"socket_path" doc:"The path of a socket in place of url, host and port."`
	SocketDir  string `key:"socket_dir" doc:"The folder of such sockets: NAME.sock is that of the process called NAME."`
	Method     string `key:"method" doc:"What is called. system.listMethods where it is not given."`
	Login
	tries
}

func (x *XMLRPC) check(report func(key, format string, args ...any)) { tryOut(x, report) }

func (x *XMLRPC) make(s RuleSettings) (checks.Check, error) {
	username, password, err := x.Login.read()
	if err != nil {
		return nil, err
	}
	timeout, retries := x.over(s)
	return checks.NewXMLRPC(checks.XMLRPCConfig{URL: x.URL, Port: x.Port, Host: x.Host, SocketPath: x.SocketPath, SocketDir: x.SocketDir,
		Method: x.Method, Username: username, Password: password, Timeout: timeout, Retries: retries})
}

// Memory is a check of how much memory a process uses.
type Memory struct {
	Max        Size                `key:"max" need:"true" doc:"A size with its unit, 400MiB, or a part of what the machine, or the control group, has: 80%."`
	Cumulative bool                `key:"cumulative" doc:"Count the children of the process, too."`
	Metric     checks.MemoryMetric `key:"metric" doc:"What is counted: rss, pss or uss."`
}

func (m *Memory) check(report func(key, format string, args ...any)) { tryOut(m, report) }

func (m *Memory) make(RuleSettings) (checks.Check, error) {
	return checks.NewMemory(checks.MemoryConfig{Max: m.Max.Bytes, MaxPercent: m.Max.Percent, Cumulative: m.Cumulative, Metric: m.Metric})
}

// CPU is a check of how much processor time a process uses.
type CPU struct {
	Max        Percent   `key:"max" need:"true" doc:"In percent of one processor: 90%."`
	Interval   *Duration `key:"interval" doc:"For how long it may be more. 1h where it is not given."`
	Cumulative bool      `key:"cumulative" doc:"Count the children of the process, too."`
}

func (c *CPU) check(report func(key, format string, args ...any)) { tryOut(c, report) }

func (c *CPU) interval() time.Duration {
	if c.Interval == nil {
		return time.Hour
	}
	return time.Duration(*c.Interval)
}

func (c *CPU) make(RuleSettings) (checks.Check, error) {
	return checks.NewCPU(checks.CPUConfig{MaxPercent: float64(c.Max), Interval: c.interval(), Cumulative: c.Cumulative})
}

// Heart is a check of how old a process's heartbeat is.
type Heart struct {
	MaxAge      Duration `key:"max_age" need:"true" doc:"How old it may be."`
	Path        string   `key:"path" doc:"The file, for every process alike, in place of the process's own under root."`
	Root        string   `key:"root" doc:"The folder of the notification files."`
	FailOnError bool     `key:"fail_on_error" doc:"A file that is missing or cannot be judged is a failure, too."`
}

func (h *Heart) check(report func(key, format string, args ...any)) { tryOut(h, report) }

func (h *Heart) make(RuleSettings) (checks.Check, error) {
	return checks.NewFile(checks.FileConfig{MaxAge: time.Duration(h.MaxAge), Path: h.Path, Root: h.Root, FailOnError: h.FailOnError})
}

// Uptime is a check of how long a process has run.
type Uptime struct {
	Max    Duration `key:"max" need:"true" doc:"For how long it may run."`
	Jitter Duration `key:"jitter" doc:"Up to how much longer a run may last, each a time of its own, so that not all are due at once."`
}

func (u *Uptime) check(report func(key, format string, args ...any)) { tryOut(u, report) }

func (u *Uptime) make(RuleSettings) (checks.Check, error) {
	return checks.NewUptime(checks.UptimeConfig{Max: time.Duration(u.Max), Jitter: time.Duration(u.Jitter)})
}

// most is how many there may be of something.
type most struct {
	Max Count `key:"max" need:"true" doc:"How many there may be."`
}

func (m most) of(what checks.Countable) (checks.Check, error) {
	return checks.NewCount(checks.CountConfig{Of: what, Max: int(m.Max)})
}

// FDs, Threads and Children are checks of how many of them a process has.
type (
	FDs      struct{ most }
	Threads  struct{ most }
	Children struct{ most }
)

func (f *FDs) make(RuleSettings) (checks.Check, error)      { return f.of(checks.Descriptors) }
func (t *Threads) make(RuleSettings) (checks.Check, error)  { return t.of(checks.Threads) }
func (c *Children) make(RuleSettings) (checks.Check, error) { return c.of(checks.Children) }

// Read reads a file. The error is an *Error that lists all that is wrong with it.
// environment looks up variables, as os.LookupEnv does.
func Read(name string, document []byte, environment func(string) (string, bool)) (*File, error) {
	f := new(File)
	if err := read(name, document, environment, f); err != nil {
		return nil, err
	}
	return f, nil
}
