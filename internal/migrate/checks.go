package migrate

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/internal/cli"
	"github.com/supervisor-checks/supervisor-checks/internal/decimal"
	"github.com/supervisor-checks/supervisor-checks/internal/duration"
	"github.com/supervisor-checks/supervisor-checks/internal/setting"
)

// program is the name of one that is translated.
var program = regexp.MustCompile(`^(?:supervisor_([a-z]+)_check|(httpok|memmon)(?:\.py)?)$`)

// python is an interpreter, which may stand before the program.
var python = regexp.MustCompile(`^python[0-9.]*$`)

// modules are those that python -m can run.
var modules = map[string]string{"superlance.httpok": "httpok", "superlance.memmon": "memmon"}

// unwrap returns the program that a command runs and its arguments, behind an env
// with variables, which are added to sets, and a Python. It is "" where the command
// has nothing to do with us.
func unwrap(command []string) (name string, args []string, sets []assign, err error) {
	words := command
	if path.Base(words[0]) == "env" {
		for words = words[1:]; len(words) > 0; words = words[1:] {
			name, value, is := strings.Cut(words[0], "=")
			if !is {
				break
			}
			sets = append(sets, assign{name, value})
		}
	}
	if len(words) > 0 && python.MatchString(path.Base(words[0])) {
		words = words[1:]
		for len(words) > 0 && strings.HasPrefix(words[0], "-") && words[0] != "-m" && words[0] != "-c" {
			words = words[1:]
		}
		if len(words) > 1 && words[0] == "-m" {
			if module, is := modules[words[1]]; is {
				return module, words[2:], sets, nil
			}
		}
	}
	if len(words) > 0 {
		if found := program.FindStringSubmatch(path.Base(words[0])); found != nil {
			return strings.TrimSuffix(path.Base(words[0]), ".py"), words[1:], sets, nil
		}
	}
	for _, word := range command { // such as those of a shell
		for _, part := range strings.FieldsFunc(word, func(r rune) bool { return strings.ContainsRune(" \t\n\"';&|()", r) }) {
			if program.MatchString(path.Base(part)) {
				return "", nil, nil, fmt.Errorf("%s is run by way of %s, of which it is not known what else it does: write the command without it, and migrate again",
					path.Base(part), path.Base(command[0]))
			}
		}
	}
	return "", nil, nil, nil
}

// keys are those of the file for options and keys of other names.
var keys = map[string]string{
	"num_retries": "retries", "max_rss": "max", "msx_rss": "max", "max_cpu": "max", "max_cpu_percent": "max",
	"sock_path": "socket_path", "sock_dir": "socket_dir", "filepath": "path", "root_dir": "root",
}

// order is that of the keys of a check.
var order = []string{
	"scheme", "host", "port", "unix_socket", "socket_path", "socket_dir", "url", "method", "headers", "json", "body", "expect_status", "expect_body",
	"ca_file", "insecure", "username", "password", "password_file", "max", "interval", "cumulative", "metric", "max_age", "path", "root", "fail_on_error",
	"timeout", "retries",
}

// rules and policies are options about when and what is done: of a check, and of a
// process, in the order of the file.
var (
	rules    = []string{"failure-threshold", "success-threshold", "start-period", "action"}
	policies = []string{"restart-limit", "restart-limit-then", "backoff", "max-unavailable", "panic-threshold", "jitter",
		"revive", "before-restart", "after-stop", "after-restart", "hook-timeout"}
	evidence = []pair{{"evidence-dir", "dir"}, {"evidence-max", "max"}, {"evidence-signal", "signal"}, {"evidence-pause", "pause"}, {"core-dir", "core_dir"}}
)

// Options that are about the listener, with their places in the file.
var globals = []pair{
	{"state-dir", "state_dir"}, {"log-format", "log.format"}, {"log-level", "log.level"},
	{"server-url", "server.url"}, {"server-username", "server.username"}, {"server-password-file", "server.password_file"},
}

// found tells of a variable that is none any more.
const found = "a variable of the environment stands where the file must have its value: it is the one that migrate found."

// translate makes entries of a command of one of our programs, or of the Python
// package's of the same names.
func (m *migration) translate(l *listener, name string, args []string) ([]entry, error) {
	line, err := cli.ReadCommandLine(name, args)
	if err != nil {
		args, err = m.fix(l, name, args, err)
		if err != nil {
			return nil, err
		}
		line, _ = cli.ReadCommandLine(name, args)
	}
	given := line.Options
	for _, not := range []string{"once", "help", "version"} {
		if given[not] != nil {
			return nil, fmt.Errorf("--%s is not for a listener", not)
		}
	}
	if given["dry-run"] != nil {
		return nil, errors.New("--dry-run: one listener does so for all of its checks, as supervisor_checks run --dry-run, or for none; as it is, the listener does nothing")
	}
	e := entry{from: l}
	switch {
	case given["process-name"] != nil:
		e.processes = given["process-name"]
	case given["process-group"] != nil:
		for _, group := range given["process-group"] {
			e.processes = append(e.processes, group+":*")
		}
	default:
		e.processes = []string{"*"}
	}
	if n := max(len(given["process-name"]), len(given["process-group"])); n > 1 {
		l.trap("of several -g or -N supervisor_checks of Python heeds the last one. Here they are all watched, as our program does.")
	}
	for _, g := range globals {
		if v := given[g.key]; v != nil {
			m.global(l, g.value, v[0])
		}
	}
	var rule []pair
	for _, name := range rules {
		if v := given[name]; v != nil {
			rule = append(rule, pair{strings.ReplaceAll(name, "-", "_"), value(v[0])})
		}
	}
	for _, name := range policies {
		if v := given[name]; v != nil {
			text := value(v[0])
			if name == "revive" {
				text = list(strings.Split(strings.ToUpper(strings.ReplaceAll(v[0], " ", "")), ","))
			}
			e.policy = append(e.policy, pair{strings.ReplaceAll(name, "-", "_"), text})
		}
	}
	var kept []pair
	for _, s := range evidence {
		if v := given[s.key]; v != nil {
			kept = append(kept, pair{s.value, value(v[0])})
		}
	}
	if kept != nil {
		e.policy = append(e.policy, pair{"evidence", object(kept)})
	}
	kind := strings.TrimSuffix(strings.TrimPrefix(name, "supervisor_"), "_check")
	if kind != "complex" {
		settings := make(map[string]string)
		for name, values := range given {
			settings[strings.ReplaceAll(name, "-", "_")] = values[0]
		}
		percent(l, kind, settings["url"])
		c, err := m.check(l, kind, settings)
		if err != nil {
			return nil, err
		}
		c.rule = rule
		e.checks = []check{c}
	} else if e.checks, err = m.composite(l, given["check-config"][0], rule); err != nil {
		return nil, fmt.Errorf("argument -c/--check-config: %w", err)
	}
	if given["process-name"] == nil && given["process-group"] == nil && !line.Ours {
		return []entry{e}, errors.New("it has neither -g nor -N: supervisor_checks of Python checks nothing then, our program every process. If that is what you want, take this in")
	}
	return []entry{e}, nil
}

// fix puts the environment's values in the places of those variables that the program
// takes none for. refused is its error.
func (m *migration) fix(l *listener, name string, args []string, refused error) ([]string, error) {
	fixed := make([]string, len(args))
	for i, arg := range args {
		fixed[i] = m.resolve(arg)
	}
	if slices.ContainsFunc(fixed, variable.MatchString) {
		return nil, fmt.Errorf("%w: run migrate with the environment of supervisord, for it must know the value", refused)
	}
	if _, err := cli.ReadCommandLine(name, fixed); err != nil {
		if strings.HasPrefix(err.Error(), "unrecognized arguments: ") && !strings.HasPrefix(err.Error(), "unrecognized arguments: -") {
			err = errors.New("it has arguments that belong to no option: are quotes missing?") // which may be parts of a secret
		}
		return nil, err
	}
	for i, arg := range args {
		value := fixed[i]
		fixed[i] = arg
		if _, err := cli.ReadCommandLine(name, fixed); err != nil {
			fixed[i] = value
			l.trap(found)
		}
	}
	return fixed, nil
}

// composite makes checks of the value of supervisor_complex_check's -c.
func (m *migration) composite(l *listener, document string, rule []pair) (all []check, err error) {
	if variable.MatchString(document) && !json.Valid([]byte(document)) {
		document = m.resolve(document)
		l.trap(found)
	}
	if err := json.Unmarshal([]byte(document), new(json.RawMessage)); err != nil {
		return nil, fmt.Errorf("not valid JSON: %w", err)
	}
	members, err := cli.Members(json.RawMessage(document))
	for _, member := range members {
		if string(member.Value) == "null" {
			continue
		}
		if !slices.Contains(kinds, member.Name) {
			return nil, fmt.Errorf("there is no check %q", member.Name)
		}
		values, err := cli.Members(member.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", member.Name, err)
		}
		settings := make(map[string]string)
		for _, v := range values {
			if string(v.Value) == "null" {
				continue
			}
			if !slices.Contains(order, keyOf(member.Name, v.Name)) {
				return nil, fmt.Errorf("%s: there is no key %q", member.Name, v.Name)
			}
			text, err := cli.Scalar(v.Value)
			if err != nil || v.Name == "json" || v.Name == "headers" {
				text = string(v.Value)
			}
			settings[v.Name] = text
		}
		percent(l, member.Name, settings["url"])
		c, err := m.check(l, member.Name, settings)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", member.Name, err)
		}
		c.rule = rule
		all = append(all, c)
	}
	return all, err
}

// percent notes a path that Python's package cannot ask for.
func percent(l *listener, kind, path string) {
	if kind == "http" && strings.Contains(path, "%") {
		l.trap("supervisor_checks of Python fails at a %% in -u, and restarts what it watches at every tick. Here the check works.")
	}
}

// kinds are the checks of supervisor_complex_check.
var kinds = []string{"cpu", "file", "http", "memory", "tcp", "xmlrpc"}

// tried are the checks whose programs have defaults of their own for tries.
var tried = []string{"http", "tcp", "xmlrpc"}

// keyOf is the key in the file for what an option, with underscores, or a key of JSON
// says of a check.
func keyOf(kind, name string) string {
	if kind == "file" && name == "timeout" {
		return "max_age"
	}
	return cmp.Or(keys[name], name)
}

// check makes a check of its settings, as they are written on command lines or in
// JSON. What is wrong with them is left to the file's reader.
func (m *migration) check(l *listener, kind string, settings map[string]string) (check, error) {
	c := check{kind: kind}
	given := make(map[string]string)
	for name, text := range settings {
		given[keyOf(kind, name)] = text
	}
	if slices.Contains(tried, kind) {
		given["timeout"], given["retries"] = cmp.Or(given["timeout"], "15"), cmp.Or(given["retries"], "2")
		patience(l, given["timeout"], given["retries"])
	}
	for _, key := range order {
		text, is := given[key]
		if !is {
			continue
		}
		text, err := m.yaml(l, kind, key, text)
		if err != nil {
			return c, fmt.Errorf("%s: %w", key, err)
		}
		if text != "" {
			c.keys = append(c.keys, pair{key, text})
		}
	}
	return c, nil
}

// yaml writes the value of a key of a check. It is "" for what is so anyway.
func (m *migration) yaml(l *listener, kind, key, text string) (string, error) {
	switch key {
	case "url":
		if credentials.MatchString(text) {
			l.trap("there seems to be a secret in -u, for everybody to see in the list of processes, and here.")
		}
		return quote(cmp.Or(text, "/")), nil
	case "headers":
		return m.headers(l, text)
	case "json": // which is YAML, too, but has no variables there
		var b bytes.Buffer
		text = m.resolve(text)
		if err := json.Compact(&b, []byte(text)); err != nil || variable.MatchString(text) {
			return "", errors.New("it is not valid JSON, or has a variable of the environment in it that migrate cannot see")
		}
		return b.String(), nil
	case "password":
		if text == "" {
			return "", nil
		}
		return quote(m.secret(l, "the password", text)), nil
	case "timeout", "interval", "max_age":
		if d, err := seconds(text); err == nil {
			return duration.Short(d), nil
		}
		return value(text), nil
	case "max":
		if kind == "cpu" {
			return value(strings.TrimSuffix(text, "%") + "%"), nil
		}
		if n, err := decimal.Parse(text); err == nil {
			return size(n << 10), nil
		}
		return value(text), nil
	case "cumulative", "insecure", "fail_on_error":
		if text == "false" || text == "0" {
			return "", nil
		}
		return "true", nil
	case "port", "retries", "expect_status":
		return value(text), nil
	}
	if text == "" || key == "method" && kind == "http" && text == "GET" {
		return "", nil
	}
	return quote(text), nil
}

// headers writes the value of -H.
func (m *migration) headers(l *listener, text string) (string, error) {
	header, err := checks.ParseHeaders(text)
	if err != nil || len(header) == 0 {
		return "", err
	}
	var all []pair
	for _, name := range slices.Sorted(maps.Keys(header)) {
		value := header[name][0]
		if secretHeader.MatchString(name) {
			value = m.secret(l, "the value of "+name, value)
		}
		all = append(all, pair{quote(name), quote(value)})
	}
	return object(all), nil
}

// measure is a number with a unit, which may stand there, too.
var measure = regexp.MustCompile(`^[0-9][0-9.]*[A-Za-z]+$|^[0-9][0-9.]*%$|^[0-9]+/[0-9a-z]+$`)

// value writes a single value, numbers without quotes.
func value(text string) string {
	if n, err := decimal.Parse(text); err == nil && n >= 0 {
		return fmt.Sprint(n)
	}
	if measure.MatchString(text) {
		return text
	}
	return quote(text)
}

// size writes bytes with the largest unit of which it is a multiple.
func size(n int) string {
	for _, unit := range []struct {
		name string
		size int
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n != 0 && n%unit.size == 0 {
			return fmt.Sprintf("%d%s", n/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%dB", n)
}

// seconds reads a time as options do, and as JSON does, which has fractions.
func seconds(text string) (time.Duration, error) {
	if strings.Trim(text, "0123456789") == "." {
		text += "s"
	}
	return setting.Duration(text)
}

// patience notes where the tries of a check may take longer than a tick.
func patience(l *listener, timeout, retries string) {
	d, err := seconds(timeout)
	n, other := decimal.Parse(retries)
	if err != nil || other != nil || n < 1 || n > 1000 {
		return
	}
	if longest := d*time.Duration(n+1) + 3*time.Second*time.Duration(n*(n+1)/2); longest > l.ticks[0] {
		l.trap("%d tries of %s and the pauses between them take up to %s, which is longer than the tick of %s: what hangs is looked at less often.",
			n+1, duration.Short(d), duration.Short(longest), duration.Short(l.ticks[0]))
	}
}

var (
	secretHeader = regexp.MustCompile(`(?i)auth|token|key|cookie|secret|pass`)
	secretName   = regexp.MustCompile(`(?i)token|key|secret|pass|credential`)
	credentials  = regexp.MustCompile(`(?i)[?&](\w*token|\w*key|secret|password|passwd)=`)
)

// secret returns the variable that stands for a secret: the one that it came from,
// or a new one.
func (m *migration) secret(l *listener, what, text string) string {
	if variable.MatchString(text) {
		l.trap("%s is on the command line, for everybody to see in the list of processes. Here it is only a variable.", what)
		return text
	}
	name := ""
	for _, s := range slices.Concat(m.common, l.sets) {
		if s.value == text {
			name = s.name
		}
	}
	if name == "" {
		i := slices.Index(m.secrets, text)
		if i < 0 {
			i = len(m.secrets)
			m.secrets = append(m.secrets, text)
		}
		name = fmt.Sprintf("SUPERVISOR_CHECKS_SECRET_%d", i+1)
		l.trap("%s is on the command line, for everybody to see in the list of processes. It is not copied: "+
			"give it to the listener as the variable %s, as below, or in a password_file.", what, name)
	}
	return opened + name + closed
}
