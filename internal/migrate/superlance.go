package migrate

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/supervisor-checks/supervisor-checks/internal/decimal"
)

// address is a URL that httpok can ask: its scheme, host, port, path and query.
var address = regexp.MustCompile(`^(?i:(https?))://(\[[^\]]*\]|[^/?#:@]+)(?::([^/?#@]*))?(/[^?#]*)?(\?[^#]*)?(?:#.*)?$`)

// httpok makes an entry of a command of superlance's httpok.
func (m *migration) httpok(l *listener, args []string) ([]entry, error) {
	options, rest, err := getopt(args, "hp:at:c:b:s:m:g:d:eEn:", []string{"help", "program=", "any", "timeout=", "code=", "body=",
		"sendmail_program=", "email=", "gcore=", "coredir=", "eager", "not-eager", "name="})
	switch {
	case err != nil:
		return nil, err
	case len(rest) != 1:
		return nil, fmt.Errorf("httpok takes one URL after its options, and has %d", len(rest))
	}
	e := entry{from: l}
	settings := map[string]string{"timeout": "10", "retries": "0"}
	var codes []string
	every, eager, named := false, true, false
	for _, o := range options {
		switch o.key {
		case "p", "program":
			e.processes = append(e.processes, m.called(o.value))
			named = named || !strings.Contains(o.value, ":")
		case "e", "eager", "E", "not-eager":
			eager = strings.HasPrefix(o.key, "e")
		case "a", "any":
			every = true
		case "t", "timeout":
			settings["timeout"] = o.value
		case "c", "code":
			codes = append(codes, o.value)
		case "b", "body":
			settings["expect_body"] = regexp.QuoteMeta(o.value)
			l.trap("httpok -b ends with a TypeError under Python 3, at each tick. Here the check works.")
		case "m", "email":
			m.mail(l, o.value)
		case "g", "gcore":
			m.problem(l.at, "[eventlistener:%s]: -g %s: core_dir takes the gcore that is in PATH", l.name, o.value)
		case "d", "coredir":
			e.policy = append(e.policy, pair{"evidence", object([]pair{{"core_dir", quote(o.value)}})})
		}
	}
	if every {
		e.processes = []string{"*"}
		l.trap("httpok -a restarts event listeners, too, and itself in the middle of that. Those are left out here.")
	}
	if !eager && !named {
		l.trap("httpok -E knows only names without groups, and never looks where there is none. Here the check works.")
	}
	if codes != nil {
		settings["expect_status"] = strings.Join(codes, ",")
	}
	parts := address.FindStringSubmatch(rest[0])
	switch {
	case len(e.processes) == 0:
		return nil, errors.New("it has neither -p nor -a: httpok restarts nothing then")
	case parts == nil: // which may have a login in it
		return nil, errors.New("its URL is none that httpok can ask: http://HOST:PORT/PATH")
	}
	scheme, name, port := strings.ToLower(parts[1]), strings.Trim(parts[2], "[]"), parts[3]
	settings["port"], settings["url"] = cmp.Or(port, "80"), cmp.Or(parts[4], "/")+parts[5]
	if scheme == "https" {
		settings["scheme"], settings["insecure"], settings["port"] = scheme, "true", cmp.Or(port, "443")
		l.trap("httpok checks no certificate, and since Python 3.12 fails at every https, and restarts. Here it works; better is ca_file in place of insecure.")
	}
	if name != "127.0.0.1" {
		settings["host"] = name
	}
	c, err := m.check(l, "http", settings)
	e.checks = []check{c}
	return []entry{e}, err
}

// mail tells that no mail is sent any more.
func (m *migration) mail(l *listener, to string) {
	m.problem(l.at, "[eventlistener:%s]: no mail is sent to %s any more. after_restart: COMMAND runs a program after each restart, with the reason in its environment, "+
		"and the log has a line for each", l.name, to)
}

// memmon makes entries of a command of superlance's memmon: one for each size.
func (m *migration) memmon(l *listener, args []string) ([]entry, error) {
	options, rest, err := getopt(args, "hcp:g:a:s:m:n:u:", []string{"help", "cumulative", "program=", "group=", "any=", "sendmail_program=", "email=", "uptime=", "name="})
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		l.trap("memmon takes no notice of what begins with %q.", rest[0])
	}
	cumulative := false
	type limit struct{ kind, name, size string }
	var limits []limit
	for _, o := range options {
		key := strings.Replace(o.key, "email", "m", 1)[:1] // all of them differ in it
		switch key {
		case "c":
			cumulative = true
		case "p", "g":
			name, size, is := strings.Cut(o.value, "=")
			if !is || strings.Contains(size, "=") {
				return nil, fmt.Errorf("-%s %s: NAME=SIZE is wanted", key, o.value)
			}
			if key == "p" && strings.Contains(name, ":") {
				l.trap("memmon -p GROUP:NAME ends with a KeyError when there is such a process. Here the check works.")
			}
			limits = slices.DeleteFunc(limits, func(other limit) bool { return other.kind == key && other.name == name })
			limits = append(limits, limit{key, name, size})
		case "a":
			limits = slices.DeleteFunc(limits, func(other limit) bool { return other.kind == key })
			limits = append(limits, limit{key, "", o.value})
			l.trap("memmon -a restarts event listeners, too. Those are left out here.")
		case "m":
			m.mail(l, o.value)
		}
	}
	has := func(kinds string) bool {
		return slices.ContainsFunc(limits, func(l limit) bool { return strings.Contains(kinds, l.kind) })
	}
	if has("p") && has("ga") {
		l.trap("memmon restarts a process twice that is over the size of -p and of another one. Here it is once.")
	}
	if limits == nil {
		return nil, errors.New("it has none of -p, -g and -a: memmon restarts nothing then")
	}
	var all []entry
	for _, limit := range limits {
		n, err := superlanceSize(m.resolve(limit.size))
		if err != nil {
			return nil, err
		}
		processes := "*"
		switch limit.kind {
		case "p":
			processes = m.called(limit.name)
		case "g":
			processes = limit.name + ":*"
		}
		c := check{kind: "memory", keys: []pair{{"max", size(n)}}}
		if cumulative {
			c.keys = append(c.keys, pair{"cumulative", "true"})
		}
		same := slices.IndexFunc(all, func(e entry) bool { return e.checks[0].keys[0] == c.keys[0] })
		if same >= 0 {
			all[same].processes = append(all[same].processes, processes)
			continue
		}
		all = append(all, entry{from: l, processes: []string{processes}, checks: []check{c}})
	}
	return all, nil
}

// superlanceSize reads a number of bytes, or one with KB, MB or GB, which are
// powers of 1024 to supervisor.
func superlanceSize(text string) (int, error) {
	number, factor := text, 1
	for i, unit := range []string{"kb", "mb", "gb"} {
		if before, is := strings.CutSuffix(strings.ToLower(text), unit); is {
			number, factor = before, 1<<(10*(i+1))
		}
	}
	n, err := decimal.Parse(number)
	if err != nil || n < 1 || n > 1<<62/factor {
		return 0, fmt.Errorf("%q is no size that memmon knows", text)
	}
	return n * factor, nil
}

// getopt reads options as Python's module of that name does: up to the first
// argument that is none, with beginnings of long ones where only one can be meant.
// Those whose names end with a : or = have a value.
func getopt(args []string, short string, long []string) (options []pair, rest []string, err error) {
	for len(args) > 0 && strings.HasPrefix(args[0], "-") && args[0] != "-" {
		arg := args[0]
		args = args[1:]
		if arg == "--" {
			break
		}
		name, text, given := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		takes := false
		if !strings.HasPrefix(arg, "--") {
			for flags := arg[1:]; flags != ""; {
				name, flags = flags[:1], flags[1:]
				i := strings.Index(short, name)
				if i < 0 || name == ":" {
					return nil, nil, fmt.Errorf("there is no option -%s", name)
				}
				if takes = i+1 < len(short) && short[i+1] == ':'; takes {
					text, given = flags, flags != ""
					break
				}
				options = append(options, pair{name, ""})
			}
			if !takes {
				continue
			}
		} else {
			var can []string
			for _, l := range long {
				if plain := strings.TrimSuffix(l, "="); plain == name {
					can = []string{l}
					break
				} else if strings.HasPrefix(plain, name) {
					can = append(can, l)
				}
			}
			if len(can) != 1 {
				return nil, nil, fmt.Errorf("there is no option --%s, or there are several", name)
			}
			name, takes = strings.CutSuffix(can[0], "=")
			if given && !takes {
				return nil, nil, fmt.Errorf("option --%s has no value", name)
			}
		}
		if takes && !given {
			if len(args) == 0 {
				return nil, nil, fmt.Errorf("option %s has no value", arg)
			}
			text, args = args[0], args[1:]
		}
		options = append(options, pair{name, text})
	}
	return options, args, nil
}
