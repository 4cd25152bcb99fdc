// Package migrate makes one file of supervisor_checks, and one section for it, of the
// event listeners in a configuration of supervisord: ours, those of the Python
// package supervisor_checks, and superlance's httpok and memmon.
//
// What it makes does the same: it stops and starts the same processes after the same
// failures. What cannot be translated, or is in doubt, is said and left out. What the
// listeners did that nobody wanted is said as well, where it was, as a trap.
package migrate

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/config"
	"github.com/supervisor-checks/supervisor-checks/internal/duration"
)

// Result is what becomes of a configuration.
type Result struct {
	// File is the file, with the section for supervisord.conf in the comments at its
	// end; "" if there is nothing to put in it.
	File string

	// Problems are what could not be read or translated, each with its place. There
	// are none if the file does all that the listeners did.
	Problems []string
}

// ErrNothing is the error of a configuration without any listener that could be
// translated.
var ErrNothing = errors.New("there is no event listener in it that runs supervisor_checks, httpok or memmon")

// migration is a configuration on its way.
type migration struct {
	*host
	common   []assign // environment= of supervisord itself
	entries  []entry
	replaced []*listener
	left     []leftOut
	globals  []pair   // of the file
	secrets  []string // in the order of their variables
	options  []pair   // of the section
	sets     []assign // its environment
}

// leftOut is a listener that is not translated, and how it would be.
type leftOut struct {
	problem
	lines []string
}

// Run reads a configuration of supervisord and translates what it can. config is the
// path that the file is going to have. The error is that of the configuration's first
// file, or ErrNothing.
func Run(s Source, config string) (Result, error) {
	h, err := read(s)
	if err != nil {
		return Result{}, err
	}
	m := &migration{host: h}
	if main := h.byName["supervisord"]; main != nil {
		if o, is := h.get(main, "environment"); is {
			m.common, _ = h.environment(o, h.names)
		}
	}
	found := false
	for _, l := range h.listeners {
		found = m.take(l) || found
	}
	var r Result
	if len(m.entries) > 0 {
		m.settle()
		r.File = m.file(config)
		if err := m.valid(r.File); err != nil {
			m.problem(position{s.Path, 1}, "the file as a whole is not valid: %v", err)
		}
	}
	for _, p := range m.problems {
		r.Problems = append(r.Problems, p.String())
	}
	for _, l := range m.left {
		r.Problems = append(r.Problems, l.String())
	}
	if !found {
		for _, n := range m.notes { // which is why, perhaps
			r.Problems = append(r.Problems, n.String())
		}
		err = ErrNothing
	}
	return r, err
}

// take translates a listener, and reports whether it is one of those that can be.
func (m *migration) take(l *listener) bool {
	var all []entry
	var failed error
	found, globals, problems := false, slices.Clone(m.globals), slices.Clone(m.problems)
	for _, command := range l.commands {
		name, args, sets, err := unwrap(command)
		if name == "" && err == nil {
			continue
		}
		found = true
		l.sets = append(l.sets, sets...)
		var entries []entry
		switch {
		case err != nil:
		case l.err != nil:
			err = l.err
		case len(l.ticks) == 0:
			err = errors.New("it has no TICK_5, TICK_60 or TICK_3600 among its events, and never checks anything")
		case name == "httpok":
			entries, err = m.httpok(l, args)
		case name == "memmon":
			entries, err = m.memmon(l, args)
		default:
			entries, err = m.translate(l, name, args)
		}
		if err == nil {
			err = m.valid("watch:\n" + indented("  ", lines(entries)))
		}
		failed = cmp.Or(failed, err)
		all = append(all, entries...)
	}
	if found && failed == nil && l.off {
		failed = errors.New("autostart=false: it runs only when somebody starts it. If that is what you want, take this in")
	}
	switch {
	case failed != nil:
		m.globals, m.problems = globals, problems // it stays as it is
		m.left = append(m.left, leftOut{problem{l.at, fmt.Sprintf("[eventlistener:%s]: %v", l.name, failed)}, lines(all)})
	case found:
		m.replaced = append(m.replaced, l)
		for _, e := range all {
			for _, pattern := range e.processes {
				if len(m.picked([]string{pattern})) == 0 {
					l.trap("no process of this configuration is picked by %s.", quote(pattern))
				}
			}
		}
		m.entries = append(m.entries, all...)
	}
	return found
}

func lines(entries []entry) (all []string) {
	for _, e := range entries {
		all = append(all, e.lines()...)
	}
	return all
}

// valid returns what the file's reader says of a file.
func (s *Source) valid(text string) error {
	_, err := config.Read("", []byte(text), func(name string) (string, bool) {
		value, is := s.Environment(name)
		if !is {
			value = "1" // which can stand for most
		}
		return value, true
	})
	var refused *config.Error
	if !errors.As(err, &refused) {
		return err
	}
	var texts []string
	for _, p := range refused.Problems {
		texts = append(texts, strings.TrimPrefix(p.Path[strings.LastIndex(p.Path, "]")+1:]+": "+p.Text, "."))
	}
	return errors.New(strings.Join(texts, "; "))
}

// global keeps a setting of the file as a whole, of which there can be only one.
func (m *migration) global(l *listener, key, text string) {
	i := slices.IndexFunc(m.globals, func(s pair) bool { return s.key == key })
	switch {
	case i < 0:
		m.globals = append(m.globals, pair{key, value(text)})
	case m.globals[i].value != value(text):
		m.problem(l.at, "[eventlistener:%s]: its %s is not that of the listeners before it, and one listener has one: theirs is kept", l.name, key)
	}
}

// settle gives each check what it needs beside others: a period of its own where its
// tick was a longer one, and where it comes from. Entries of the same processes
// become one; where two of different settings share a process that is said.
func (m *migration) settle() {
	seen := make(map[*listener]bool)
	var all []entry
	for _, e := range m.entries {
		if e.from.ticks[0] > m.tick() {
			for i := range e.checks {
				e.checks[i].rule = append(e.checks[i].rule, pair{"period", duration.Short(e.from.ticks[0])})
			}
		}
		if !seen[e.from] {
			seen[e.from] = true
			e.checks[0].comments = append(e.checks[0].comments, fmt.Sprintf("[eventlistener:%s], %v", e.from.name, e.from.at))
			for _, trap := range e.from.traps {
				e.checks[0].comments = append(e.checks[0].comments, "TRAP: "+trap)
			}
		}
		for i := range all {
			m.reconcile(&all[i], &e)
		}
		i := slices.IndexFunc(all, func(o entry) bool { return slices.Equal(o.processes, e.processes) && slices.Equal(o.policy, e.policy) })
		if i < 0 {
			all = append(all, e)
			continue
		}
		all[i].checks = append(all[i].checks, e.checks...)
	}
	m.entries = all
	for _, key := range kept {
		for i, l := range m.replaced {
			text := l.options[key]
			if first := m.replaced[0]; text != first.options[key] {
				m.problem(l.at, "[eventlistener:%s] has not the %s= of [eventlistener:%s], and one listener has one", l.name, key, first.name)
			} else if i == 0 && text != "" {
				m.options = append(m.options, pair{key, text})
			}
		}
	}
	for _, l := range m.replaced {
		for _, a := range l.sets {
			i := slices.IndexFunc(m.sets, func(o assign) bool { return o.name == a.name })
			switch {
			case i < 0:
				m.sets = append(m.sets, a)
			case m.sets[i].value != a.value:
				m.problem(l.at, "[eventlistener:%s] sets %s otherwise than those before it, and one listener has one environment", l.name, a.name)
			}
		}
	}
}

// tick is the shortest of those that are replaced.
func (m *migration) tick() time.Duration {
	shortest := time.Hour
	for _, l := range m.replaced {
		shortest = min(shortest, l.ticks[0])
	}
	return shortest
}

// reconcile says what two entries decide otherwise of a process that both have, for
// it can be decided only once. That of the first one counts.
func (m *migration) reconcile(before, now *entry) {
	shared := slices.ContainsFunc(m.picked(before.processes), func(p process) bool { return slices.Contains(m.picked(now.processes), p) })
	if !shared || before.from == now.from {
		return
	}
	var differ []string
	for _, s := range before.policy {
		if !slices.Contains(now.policy, s) {
			differ = append(differ, s.key)
		}
	}
	for _, s := range now.policy {
		if !slices.Contains(before.policy, s) && !slices.Contains(differ, s.key) {
			differ = append(differ, s.key)
		}
	}
	if differ == nil {
		return
	}
	now.policy = slices.DeleteFunc(slices.Clone(now.policy), func(s pair) bool {
		return slices.ContainsFunc(before.policy, func(o pair) bool { return o.key == s.key })
	})
	m.problem(now.from.at, "[eventlistener:%s] and [eventlistener:%s] had %s each for itself, and have processes in common: "+
		"now that is a setting of the process, for all of its restarts, and what the first one says counts", before.from.name, now.from.name, strings.Join(differ, ", "))
}

// file writes the file.
func (m *migration) file(path string) string {
	var b strings.Builder
	say := func(prefix, format string, args ...any) {
		b.WriteString(indented("", comments(prefix+"# ", fmt.Sprintf(format, args...))))
	}
	say("", "Made by supervisor_checks migrate of %s. The section for supervisord.conf is at the end.", m.Path)
	for _, n := range m.notes {
		say("", "TRAP: %v", n)
	}
	b.WriteString("name: checks\n")
	for _, key := range []string{"state_dir", "log", "server"} {
		var inner []pair
		for _, s := range m.globals {
			if s.key == key {
				fmt.Fprintf(&b, "%s: %s\n", key, s.value)
			}
			if name, is := strings.CutPrefix(s.key, key+"."); is {
				inner = append(inner, pair{name, s.value})
			}
		}
		if inner != nil {
			fmt.Fprintf(&b, "%s: %s\n", key, object(inner))
		}
	}
	b.WriteString("defaults:\n")
	say("  ", "As it was: one failure is one restart, without a limit or a pause. Without these four it is three failures in a row, 5/10m, "+
		"10s,2,5m,10m, and a quarter of a group, which can be left alone.")
	b.WriteString(indented("  ", []string{"failure_threshold: 1", "restart_limit: none", "backoff: none", "max_unavailable: none"}))
	b.WriteString("watch:\n")
	b.WriteString(indented("  ", lines(m.entries)))
	for _, l := range m.left {
		b.WriteByte('\n')
		say("", "NOT TRANSLATED: %v", l)
		b.WriteString(indented("#   ", l.lines))
	}
	for _, p := range m.problems {
		b.WriteByte('\n')
		say("", "NOT AS IT WAS: %v", p)
	}
	b.WriteByte('\n')
	m.section(&b, say, path)
	return b.String()
}

// section writes the section for supervisord.conf.
func (m *migration) section(b *strings.Builder, say func(prefix, format string, args ...any), file string) {
	var names []string
	ours := make(map[string]bool)
	for _, l := range m.replaced {
		names = append(names, l.name)
		ours[l.name] = true
	}
	say("", "This is for supervisord.conf, in place of [eventlistener:%s]. Then: supervisorctl update", strings.Join(names, "], [eventlistener:"))
	priority, taken := -2, make(map[string]bool)
	for _, p := range slices.Sorted(maps.Keys(m.priority)) {
		for _, name := range m.priority[p] {
			taken[p] = taken[p] || !ours[name]
		}
		if len(m.priority[p]) > 1 && slices.ContainsFunc(m.priority[p], func(name string) bool { return ours[name] }) {
			say("", "TRAP: %s have the same priority, %s: what one of them does not answer with OK supervisord gives to the others, too.", strings.Join(m.priority[p], ", "), p)
		}
	}
	for taken[fmt.Sprint(priority)] {
		priority--
	}
	var environment []string
	set := func(name, text string) {
		quote := `"`
		if strings.Contains(text, quote) {
			quote = "'" // supervisord knows no other way
		}
		environment = append(environment, name+"="+quote+text+quote)
	}
	for _, a := range m.sets {
		if secretName.MatchString(a.name) && variable.FindString(a.value) != a.value {
			say("", "%s is a secret, and not copied.", a.name)
			a.value = "FILL IN"
		}
		set(a.name, escape(a.value))
	}
	for i := range m.secrets {
		set(fmt.Sprintf("SUPERVISOR_CHECKS_SECRET_%d", i+1), "FILL IN")
	}
	if strings.Contains(file, " ") {
		file = `"` + file + `"`
	}
	text := []string{
		"", "[eventlistener:" + m.free("checks") + "]", "command=/usr/local/bin/supervisor_checks run --config " + escape(file),
		fmt.Sprintf("events=TICK_%d", m.tick()/time.Second), fmt.Sprintf("priority=%d", priority),
	}
	for _, s := range m.options {
		text = append(text, s.key+"="+escape(s.value))
	}
	if environment != nil {
		text = append(text, "environment="+strings.Join(environment, ","))
	}
	text = append(text, "stdout_logfile=NONE")
	if i := slices.IndexFunc(m.replaced, func(l *listener) bool { return filepath.IsAbs(l.options[log]) }); i >= 0 {
		text = append(text, log+"="+escape(filepath.Join(filepath.Dir(m.replaced[i].options[log]), "checks.log")))
	}
	for _, line := range text {
		b.WriteString(strings.TrimSpace("# "+line) + "\n")
	}
}

// log is where a listener's log goes.
const log = "stderr_logfile"

// escape writes a text as supervisord.conf wants it.
func escape(text string) string {
	return variable.ReplaceAllString(strings.ReplaceAll(text, "%", "%%"), "%(ENV_$1)s")
}

// free returns a name that no listener which stays has.
func (m *migration) free(name string) string {
	for _, l := range m.listeners {
		if l.name == name && !slices.Contains(m.replaced, l) {
			return m.free(name + "_")
		}
	}
	return name
}
