// Package config reads the file of supervisor_checks, says all that is wrong with
// it, and makes checks and policies of it.
package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/internal/logout"
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
	Log         Log      `key:"log" doc:"How the log is written, and where to."`
	Concurrency *Count   `key:"concurrency" doc:"How many processes are checked at once at most."`
	Defaults    Defaults `key:"defaults" doc:"Settings for all entries of watch that do not have their own."`
	Watch       []Watch  `key:"watch" doc:"Which processes are watched, and how. Where several entries match a process, their checks add up. A file without it is for run --standalone, which then looks at probes alone."`
	Environment string   `key:"environment" doc:"What this host is for: production, staging. Scripts that are only_in others are skipped. What $SUPERVISOR_CHECKS_ENVIRONMENT says where it is not given."`
	Probes      []Probe  `key:"probes" doc:"What the processes depend on, and how that is."`
	Sinks       []Sink   `key:"sinks" doc:"Where records of all that is found and done go, besides the log."`
	History     *History `key:"history" none:"off" doc:"The database of the same records that supervisor_checks history and summary read; off for none."`
	Health      *Health  `key:"health" doc:"Where others can ask how processes and dependencies are: /_health in JSON, /metrics for Prometheus, /livez and /readyz."`
}

// check reports settings of processes, or of a group, that two entries have, each
// another.
func (f *File) check(report func(key, format string, args ...any)) {
	f.checkProbes(report)
	f.checkSinks(report)
	if f.Watch == nil && f.Probes == nil && f.Sinks == nil {
		report("watch", "is missing: it says which processes are watched, and how")
	}
	settings := fieldsOf(reflect.TypeFor[ProcessSettings]())
	said := make([][]string, len(f.Watch)) // of each setting, "" for nothing
	for i, w := range f.Watch {
		for _, setting := range settings {
			text := ""
			if !w.idle() {
				text = meaning(reflect.ValueOf(w.ProcessSettings).FieldByIndex(setting.index))
			}
			said[i] = append(said[i], text)
		}
	}
	for j := range f.Watch {
		for i := range j {
			if slices.Equal(said[i], said[j]) {
				continue
			}
			for n, setting := range settings {
				a, b := said[i][n], said[j][n]
				if a == "" || b == "" || a == b {
					continue
				}
				key := fmt.Sprintf("watch[%d].%s", j, setting.key)
				if shared := f.Watch[i].shares(&f.Watch[j]); shared != "" {
					report(key, "watch[%d] has another for %s: give it in one of them, or leave processes out of one with a !", i, shared)
				} else if group := f.Watch[i].sharesGroup(&f.Watch[j]); group != "" && setting.key == "max_unavailable" {
					report(key, "watch[%d] has another for the group %s, and it is of all of a group together: give it in one of them", i, group)
				}
			}
		}
	}
}

// meaning is the same text for settings that mean the same, and "" for none.
func meaning(setting reflect.Value) string {
	if setting.IsNil() {
		return ""
	}
	value := setting.Interface()
	if states, are := value.([]supervisor.State); are {
		value = slices.Sorted(slices.Values(states)) // in any order
	}
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // there is nothing in it that JSON cannot say
	}
	return string(text)
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
	case s.URL != "":
		if _, err := supervisor.NewClient(supervisor.Config{URL: s.URL}); err != nil {
			report("url", "%v", err)
		}
	case *s != Server{}:
		report("url", "is missing: without it the environment brings username and password, too")
	}
	if _, _, err := (Login{s.Username, s.Password, s.PasswordFile}).read(); err != nil {
		report(err.key, "%v", err.error)
	}
}

// Log is how the log is written.
type Log struct {
	Format LogFormat      `key:"format" doc:"text, json, or gelf for an output of tcp:// or udp://. text where it is not given."`
	Level  LogLevel       `key:"level" doc:"debug, info, warn or error. info where it is not given."`
	Output logout.Address `key:"output" doc:"stderr; tcp://HOST:PORT or udp://HOST:PORT for gelf; or syslog:///dev/log, syslog+udp://HOST:PORT or syslog+tcp://HOST:PORT for text and json, with facility daemon. What cannot be sent there is on standard error. stderr where it is not given."`
}

func (l *Log) check(report func(key, format string, args ...any)) {
	forGELF := l.Output.Away() && !l.Output.Syslog()
	switch {
	case l.Format == "gelf" && !forGELF:
		report("format", "gelf needs an output of tcp://HOST:PORT or udp://HOST:PORT")
	case l.Format != "gelf" && forGELF:
		report("output", "is for GELF: add format: gelf, or send the log to syslog+tcp://HOST:PORT or syslog+udp://HOST:PORT")
	}
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

// shares returns a pattern of processes that surely are in both, "" where that depends
// on which there are: where each leaves out others of them, they may be of two parts.
func (w *Watch) shares(other *Watch) string {
	for _, p := range w.Processes {
		for _, q := range other.Processes {
			narrow := q
			switch {
			case p.Excludes || q.Excludes:
				continue
			case runner.Covers(p.Text, q.Text):
			case runner.Covers(q.Text, p.Text):
				narrow = p
			default:
				continue
			}
			mine, theirs := w.leftOut(narrow), other.leftOut(narrow)
			if covered(narrow, slices.Concat(mine, theirs)) || !coveredAll(mine, theirs) && !coveredAll(theirs, mine) {
				continue
			}
			return narrow.Text
		}
	}
	return ""
}

// leftOut are the patterns with a ! that may be about processes of another pattern.
func (w *Watch) leftOut(of Pattern) (all []Pattern) {
	whole := func(p Pattern) string {
		group, _, _ := strings.Cut(p.Text, ":")
		return group + ":*"
	}
	for _, p := range w.Processes {
		if p.Excludes && (runner.Covers(whole(p), of.Text) || runner.Covers(whole(of), p.Text)) {
			all = append(all, p)
		}
	}
	return all
}

// covered reports whether one of some patterns picks all that another picks.
func covered(p Pattern, by []Pattern) bool {
	return slices.ContainsFunc(by, func(wide Pattern) bool { return runner.Covers(wide.Text, p.Text) })
}

// coveredAll reports whether that is so for each of several.
func coveredAll(patterns, by []Pattern) bool {
	return !slices.ContainsFunc(patterns, func(p Pattern) bool { return !covered(p, by) })
}

// sharesGroup returns the name of a group of which both have processes.
func (w *Watch) sharesGroup(other *Watch) string {
	for _, p := range w.Processes {
		for _, q := range other.Processes {
			group, _, _ := strings.Cut(p.Text, ":")
			another, _, _ := strings.Cut(q.Text, ":")
			if !p.Excludes && !q.Excludes && group == another && !strings.ContainsAny(group, "*?") {
				return group
			}
		}
	}
	return ""
}

// idle reports whether all checks are left out.
func (w *Watch) idle() bool { return !slices.ContainsFunc(w.Checks, Rule.enabled) }

// RuleSettings are settings of a check, or of all of an entry or a file.
type RuleSettings struct {
	Period           *Period           `key:"period" doc:"How often it is checked: at each tick where it is not given. A shorter one than that of the ticks makes rounds between them."`
	Timeout          *Positive         `key:"timeout" doc:"How long one try of a check may take, where it has a timeout. 5s where it is not given."`
	Retries          *int              `key:"retries" doc:"How often a failed try is repeated at once, after 3 s, 6 s, and so on."`
	FailureThreshold *runner.Threshold `key:"failure_threshold" doc:"So many failures in a row, 3, or of the last results, 3/5, make a process unhealthy."`
	SuccessThreshold *Count            `key:"success_threshold" doc:"So many successes in a row make it healthy again."`
	StartPeriod      *Duration         `key:"start_period" doc:"For how long after the start of a process failures do not count, unless it has succeeded since."`
	Action           *runner.Action    `key:"action" doc:"What is done: restart, alert, stop, signal:NAME, exec:COMMAND or shutdown."`
	NotDuring        []Window          `key:"not_during" none:"none" doc:"Times at which it is not checked, such as that of a nightly job."`
}

// over returns s with what is not set from below.
func (s RuleSettings) over(below RuleSettings) RuleSettings {
	made := RuleSettings{
		Period:  either(s.Period, below.Period),
		Timeout: either(s.Timeout, below.Timeout), Retries: either(s.Retries, below.Retries),
		FailureThreshold: either(s.FailureThreshold, below.FailureThreshold), SuccessThreshold: either(s.SuccessThreshold, below.SuccessThreshold),
		StartPeriod: either(s.StartPeriod, below.StartPeriod), Action: either(s.Action, below.Action),
		NotDuring: s.NotDuring,
	}
	if s.NotDuring == nil {
		made.NotDuring = below.NotDuring
	}
	return made
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
	Revive           []supervisor.State   `key:"revive" none:"none" doc:"States in which processes are started: FATAL, EXITED."`
	BeforeRestart    Command              `key:"before_restart" none:"none" doc:"Run before a restart, without a shell; exit status 75 means not now."`
	AfterStop        Command              `key:"after_stop" none:"none" doc:"Run when the process has stopped."`
	AfterRestart     Command              `key:"after_restart" none:"none" doc:"Run when it runs again and its checks succeed, or do not in time."`
	HookTimeout      *Positive            `key:"hook_timeout" doc:"After what time such a program is killed."`
	UnlessDown       []string             `key:"unless_down" none:"none" doc:"Names of probes: while one of them is down, processes that fail are reported and not restarted. When it is back they have their start period anew."`
	Drain            *Duration            `key:"drain" doc:"For how long a process is reported as draining, at /_health and by the gate, before it is restarted. It is in service again when it works."`
	Evidence         *Evidence            `key:"evidence" none:"none" doc:"What is kept of a process before it is restarted."`
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
	Kind

	Name    string `key:"name" doc:"What the check is called in log and records, in place of its kind."`
	Enabled *bool  `key:"enabled" doc:"false leaves the check out."`
	RuleSettings
}

// check reports settings that are given within the check and beside it.
func (r *Rule) check(report func(key, format string, args ...any)) {
	r.Kind.check(report)
	given := r.given()
	for key, one := range given {
		v := reflect.ValueOf(one)
		if v.Kind() != reflect.Pointer {
			continue
		}
		for _, f := range fieldsOf(v.Type().Elem()) {
			within := v.Elem().FieldByIndex(f.index)
			beside := reflect.ValueOf(r.RuleSettings)
			for _, s := range fieldsOf(beside.Type()) {
				if s.key == f.key && within.Kind() == reflect.Pointer && !within.IsNil() && !beside.FieldByIndex(s.index).IsNil() {
					report(s.key, "is given within %s, too: give it once", key)
				}
			}
		}
	}
}

func (r Rule) enabled() bool { return r.Enabled == nil || *r.Enabled }

// Kind is a check of one of the kinds there are.
type Kind struct {
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
	Log      *Lines    `key:"log" doc:"How often certain lines are in its log."`
	Script   *Script   `key:"script" doc:"What a program of yours says of it."`
	All      AllOf     `key:"all" doc:"Several checks that it must pass, as one: a list of them, without settings of their own."`
	Any      AnyOf     `key:"any" doc:"Several checks of which it must pass one: it fails when it fails them all."`
}

// AllOf and AnyOf are several checks as one.
type (
	AllOf []Kind
	AnyOf []Kind
)

// maker is what a check is made of.
type maker interface {
	make(RuleSettings) (checks.Check, error)
}

// rememberer is a maker of a check that remembers what it has seen.
type rememberer interface {
	maker
	config(around RuleSettings) any // of the check
}

// given returns the checks that are given, by their keys: each is a maker, an AllOf
// or an AnyOf.
func (k *Kind) given() map[string]any {
	all := make(map[string]any)
	v := reflect.ValueOf(k).Elem()
	for _, f := range fieldsOf(v.Type()) {
		if one := v.FieldByIndex(f.index); !one.IsNil() {
			all[f.key] = one.Interface()
		}
	}
	return all
}

func (k *Kind) check(report func(key, format string, args ...any)) {
	given := slices.Sorted(maps.Keys(k.given()))
	switch len(given) {
	case 0:
		var keys []string
		for _, f := range fieldsOf(reflect.TypeFor[Kind]()) {
			keys = append(keys, f.key)
		}
		report("", "there is no check; there are %s", strings.Join(slices.Sorted(slices.Values(keys)), ", "))
	case 1:
	default:
		report("", "has several checks, %s: begin a new entry with a - for each", strings.Join(given, ", "))
	}
	for key, members := range map[string][]Kind{"all": k.All, "any": k.Any} {
		for i, m := range members {
			if m.period() != nil {
				report(fmt.Sprintf("%s[%d]", key, i), "has a period of its own: its parts are checked together, so write it beside %s", key)
			}
		}
	}
}

// period is how often it is checked by what is written within it.
func (k *Kind) period() *Period {
	for _, one := range k.given() {
		if o, is := one.(interface{ period() *Period }); is {
			return o.period()
		}
	}
	return nil
}

// often is a setting of every check.
type often struct {
	Period *Period `key:"period" doc:"How often it is checked, as beside the check."`
}

func (o often) period() *Period { return o.Period }

// tryOut reports all that a check refuses, with the keys that the file has for its
// fields: what is refused is left out, or put right, and the check tried again.
func tryOut(m maker, report func(key, format string, args ...any)) {
	mended := reflect.New(reflect.TypeOf(m).Elem())
	mended.Elem().Set(reflect.ValueOf(m).Elem())
	tried := make(map[string]int)
	for {
		_, err := mended.Interface().(maker).make(RuleSettings{})
		if err == nil {
			return
		}
		key, text, with := refusalOf(err)
		setting, is := settingOf(mended.Elem(), key)
		choice := is && setting.IsZero() && len(with) > 0 // between keys of which none is given
		if tried[key] == 0 && !slices.ContainsFunc(with, func(other string) bool { return tried[other] > 0 }) {
			report(key, "%s", text)
		}
		if !is || choice || tried[key] > 1 {
			return
		}
		mend(setting, key, tried[key])
		tried[key]++
	}
}

// refusalOf takes the error of a maker apart: the key that is refused, why, and the
// keys besides that the latter names.
func refusalOf(err error) (key, text string, with []string) {
	var ours *keyError
	var refused *checks.ConfigError
	switch {
	case errors.As(err, &ours):
		return ours.key, ours.error.Error(), nil
	case !errors.As(err, &refused):
		return "", err.Error(), nil
	}
	text = refused.Err.Error()
	for _, other := range refused.With {
		with = append(with, keyOf(other))
		text = strings.ReplaceAll(text, other, keyOf(other))
	}
	return keyOf(refused.Field), text, with
}

// settingOf returns the field of a struct that has a key.
func settingOf(of reflect.Value, key string) (reflect.Value, bool) {
	for _, f := range fieldsOf(of.Type()) {
		if f.key == key {
			return of.FieldByIndex(f.index), true
		}
	}
	return reflect.Value{}, false
}

// mend puts a setting right that was refused: by what there is where it is not given,
// or, as that was refused, too, by what any check takes.
func mend(setting reflect.Value, key string, tried int) {
	setting.SetZero()
	switch {
	case key == "scheme":
		setting.SetString("https") // with which all other settings make sense
	case tried == 0:
	case setting.Kind() == reflect.String:
		setting.SetString("1")
	case setting.CanInt():
		setting.SetInt(1)
	case setting.CanFloat():
		setting.SetFloat(1)
	case setting.Type() == reflect.TypeFor[Size]():
		setting.Set(reflect.ValueOf(Size{Bytes: 1}))
	case setting.Type() == reflect.TypeFor[Command]():
		setting.Set(reflect.ValueOf(Command{"sh"}))
	}
}

// keyError is what is wrong with a key.
type keyError struct {
	key string
	error
}

func (e *keyError) Error() string { return e.key + ": " + e.error.Error() }

func (e *keyError) Unwrap() error { return e.error }

func refuse(key, format string, args ...any) *keyError {
	return &keyError{key, fmt.Errorf(format, args...)}
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

func (l Login) read() (username, password string, refused *keyError) {
	switch {
	case l.Username == "" && l.Password != "":
		return "", "", refuse("password", "there is a password, and no username that it belongs to")
	case l.Username == "" && l.PasswordFile != "":
		return "", "", refuse("password_file", "there is a password, and no username that it belongs to")
	case l.Password != "" && l.PasswordFile != "":
		return "", "", refuse("password_file", "is of no use with password: give one of them")
	case l.PasswordFile == "":
		return l.Username, l.Password, nil
	}
	password, err := setting.Secret(l.PasswordFile)
	switch {
	case err != nil:
		return "", "", &keyError{"password_file", err}
	case password == "":
		return "", "", refuse("password_file", "the first line of %s is empty", l.PasswordFile)
	}
	return l.Username, password, nil
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
	HeadersFile  string              `key:"headers_file" doc:"A file of others, for those that are secret: a line for each, Name: value."`
	Body         string              `key:"body" secret:"true" doc:"Sent as it is."`
	BodyFile     string              `key:"body_file" doc:"A file that has the body, for one that is secret."`
	JSON         json.RawMessage     `key:"json" secret:"true" doc:"Sent as JSON in place of a body."`
	ExpectStatus string              `key:"expect_status" doc:"Status codes that are healthy: 200-299,301. 200 where it is not given."`
	ExpectBody   string              `key:"expect_body" doc:"A regular expression that the body must match."`
	CAFile       string              `key:"ca_file" doc:"Certificates that are trusted in place of the system's."`
	CertFile     string              `key:"cert_file" doc:"The certificate that is shown to the server, in PEM, which may be followed by those above it."`
	KeyFile      string              `key:"key_file" doc:"Its key, in PEM."`
	ServerName   string              `key:"server_name" doc:"The name that the server's certificate must be for, and that is asked for (SNI), in place of the host."`
	Insecure     bool                `key:"insecure" doc:"Accept any certificate."`

	CertMinValidity *Positive `key:"cert_min_validity" doc:"For how long the server's certificate must still be valid: 14d."`

	Login
	tries
}

func (h *HTTP) check(report func(key, format string, args ...any)) { tryOut(h, report) }

func (h *HTTP) make(s RuleSettings) (checks.Check, error) {
	username, password, refused := h.Login.read()
	if refused != nil {
		return nil, refused
	}
	header, refused := headers(h.Headers, h.HeadersFile)
	if refused != nil {
		return nil, refused
	}
	body := h.Body
	if h.BodyFile != "" {
		if body != "" || h.JSON != nil {
			return nil, refuse("body_file", "is of no use with body or json: give one of them")
		}
		text, err := os.ReadFile(h.BodyFile)
		if err != nil {
			return nil, &keyError{"body_file", err}
		}
		body = string(text)
	}
	if h.CertFile != "" && h.KeyFile != "" { // which are read together
		if _, err := os.Stat(h.KeyFile); err != nil {
			return nil, &keyError{"key_file", err}
		}
	}
	timeout, retries := h.over(s)
	return checks.NewHTTP(checks.HTTPConfig{Port: h.Port, UnixSocket: h.UnixSocket, Host: h.Host, Scheme: h.Scheme, URL: h.URL, Method: h.Method,
		Header: header, Body: body, JSON: h.JSON, Username: username, Password: password, Timeout: timeout, Retries: retries,
		ExpectStatus: h.ExpectStatus, ExpectBody: h.ExpectBody, CAFile: h.CAFile, Insecure: h.Insecure,
		CertFile: h.CertFile, KeyFile: h.KeyFile, ServerName: h.ServerName, CertMinValidity: time.Duration(orZero(h.CertMinValidity))})
}

// headers returns those that are given, and those of a file. No part of that is in an
// error.
func headers(given map[string][]string, path string) (http.Header, *keyError) {
	header := make(http.Header)
	for name, values := range given {
		for _, v := range values {
			header.Add(name, v)
		}
	}
	if path == "" {
		return header, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, &keyError{"headers_file", err}
	}
	more := make(http.Header)
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		if strings.TrimSpace(line) == "" {
			continue
		}
		name, value, found := strings.Cut(line, ":")
		name = strings.TrimSpace(name)
		switch _, given := header[http.CanonicalHeaderKey(name)]; {
		case !found || !headerName.MatchString(name):
			return nil, refuse("headers_file", "line %d of %s is not Name: value", n, path)
		case given:
			return nil, refuse("headers_file", "line %d of %s has a header that is in headers, too: give it in one of them", n, path)
		}
		more.Add(name, strings.TrimSpace(value))
	}
	maps.Copy(header, more)
	return header, nil
}

// headerName is what a header may be called.
var headerName = regexp.MustCompile("^[0-9A-Za-z!#$%&'*+.^_`|~-]+$")

func orZero[T any](v *T) (zero T) {
	if v == nil {
		return zero
	}
	return *v
}

// tries are the settings of a check that can fail for a moment.
type tries struct {
	Timeout *Positive `key:"timeout" doc:"How long one try may take. 5s where it is not given."`
	Retries *int      `key:"retries" doc:"How often a failed try is repeated at once."`
	often
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
	Method     string `key:"method" doc:"What is called. status where it is not given."`
	Login
	tries
}

func (x *XMLRPC) check(report func(key, format string, args ...any)) { tryOut(x, report) }

func (x *XMLRPC) make(s RuleSettings) (checks.Check, error) {
	username, password, refused := x.Login.read()
	if refused != nil {
		return nil, refused
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
	often
}

func (m *Memory) check(report func(key, format string, args ...any)) { tryOut(m, report) }

func (m *Memory) make(RuleSettings) (checks.Check, error) {
	return checks.NewMemory(checks.MemoryConfig{Max: m.Max.Bytes, MaxPercent: m.Max.Percent, Cumulative: m.Cumulative, Metric: m.Metric})
}

// CPU is a check of how much processor time a process uses.
type CPU struct {
	Max        Percent   `key:"max" need:"true" doc:"In percent of one processor: 90%. It is measured from one look to the next, and anew after a time without any: longer than 4m and than four times what is usual."`
	Interval   *Duration `key:"interval" doc:"For how long it may be more. 1h where it is not given."`
	Cumulative bool      `key:"cumulative" doc:"Count the children of the process, too."`
	often
}

func (c *CPU) check(report func(key, format string, args ...any)) { tryOut(c, report) }

func (c *CPU) settings() checks.CPUConfig {
	s := checks.CPUConfig{MaxPercent: float64(c.Max), Interval: time.Hour, Cumulative: c.Cumulative}
	if c.Interval != nil {
		s.Interval = time.Duration(*c.Interval)
	}
	return s
}

func (c *CPU) config(RuleSettings) any { return c.settings() }

func (c *CPU) make(RuleSettings) (checks.Check, error) { return checks.NewCPU(c.settings()) }

// Heart is a check of how old a process's heartbeat is.
type Heart struct {
	MaxAge      Duration `key:"max_age" need:"true" doc:"How old it may be."`
	Path        string   `key:"path" doc:"The file, for every process alike, in place of the process's own under root."`
	Root        string   `key:"root" doc:"The folder of the notification files."`
	FailOnError bool     `key:"fail_on_error" doc:"A file that is missing or cannot be judged is a failure, too."`
	often
}

func (h *Heart) check(report func(key, format string, args ...any)) { tryOut(h, report) }

func (h *Heart) make(RuleSettings) (checks.Check, error) {
	return checks.NewFile(checks.FileConfig{MaxAge: time.Duration(h.MaxAge), Path: h.Path, Root: h.Root, FailOnError: h.FailOnError})
}

// Uptime is a check of how long a process has run.
type Uptime struct {
	Max    Duration `key:"max" need:"true" doc:"For how long it may run."`
	Jitter Duration `key:"jitter" doc:"Up to how much longer a run may last, each a time of its own, so that not all are due at once."`
	often
}

func (u *Uptime) check(report func(key, format string, args ...any)) { tryOut(u, report) }

func (u *Uptime) make(RuleSettings) (checks.Check, error) {
	return checks.NewUptime(checks.UptimeConfig{Max: time.Duration(u.Max), Jitter: time.Duration(u.Jitter)})
}

// most is how many there may be of something.
type most struct {
	Max Count `key:"max" need:"true" doc:"How many there may be."`
	often
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

// Lines is a check of how often certain lines are in the log of a process.
type Lines struct {
	Pattern string           `key:"pattern" need:"true" doc:"A regular expression that a line matches which counts: 'ERROR|panic:'. What is in the log when a run of the process is first looked at does not count, and neither does what was written while it was not looked at: for longer than 4m and than four times what is usual."`
	Times   Count            `key:"times" doc:"How many such lines are too many. 1 where it is not given."`
	Within  Positive         `key:"within" doc:"For how long a line counts, from the look that found it: for longer than failure_threshold takes. 5m where it is not given."`
	Stream  checks.LogStream `key:"stream" doc:"stdout, stderr or both, which it is where it is not given: of the files that supervisord has for them, read on this machine, rotated or not. Of both one that is no file, such as /dev/stdout, is left out (metric unread_logs). Where lines were lost before they were read (metric lost_looks), a shorter period, larger files or more backups of them help."`
	often
}

func (l *Lines) check(report func(key, format string, args ...any)) { tryOut(l, report) }

func (l *Lines) settings() checks.LogConfig {
	return checks.LogConfig{Pattern: l.Pattern, Times: int(l.Times), Within: time.Duration(l.Within), Stream: l.Stream}
}

func (l *Lines) config(RuleSettings) any { return l.settings() }

func (l *Lines) make(RuleSettings) (checks.Check, error) { return checks.NewLog(l.settings()) }

// Read reads a file. The error is an *Error that lists all that is wrong with it.
// environment looks up variables, as os.LookupEnv does.
func Read(name string, document []byte, environment func(string) (string, bool)) (*File, error) {
	f := new(File)
	if err := read(name, document, environment, f); err != nil {
		return nil, err
	}
	if f.Environment == "" && environment != nil {
		f.Environment, _ = environment("SUPERVISOR_CHECKS_ENVIRONMENT")
	}
	return f, nil
}
