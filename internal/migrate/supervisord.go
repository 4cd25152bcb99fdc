package migrate

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/decimal"
)

// Source is where a configuration is.
type Source struct {
	Path        string                         // of the file that supervisord reads
	ReadFile    func(string) ([]byte, error)   // as os.ReadFile
	Glob        func(string) ([]string, error) // as filepath.Glob
	Environment func(string) (string, bool)    // as os.LookupEnv
	Host        string                         // what supervisord calls %(host_node_name)s
}

// process is a process of the configuration.
type process struct{ group, name string }

// listener is an [eventlistener] section.
type listener struct {
	name     string // of the section, without "eventlistener:"
	at       position
	commands [][]string // of its processes, each once
	ticks    []time.Duration
	options  map[string]string // user, directory and others that a section in its place needs, with variables
	sets     []assign          // environment=
	traps    []string
	off      bool // autostart=false
	err      error
}

// kept are options of a listener that the one in its place needs as well.
var kept = []string{"user", "directory", "umask", "serverurl"}

// host is what a configuration says.
type host struct {
	Source
	document
	here      string
	names     map[string]string // that %(…)s can name in all sections
	processes []process
	listeners []*listener
	priority  map[string][]string // of listeners, with their sections' names
	notes     []problem           // what supervisord only warns of
	problems  []problem
}

// problem keeps one, once.
func (h *host) problem(at position, format string, args ...any) {
	if p := (problem{at, fmt.Sprintf(format, args...)}); !slices.Contains(h.problems, p) {
		h.problems = append(h.problems, p)
	}
}

func (h *host) note(at position, format string, args ...any) {
	h.notes = append(h.notes, problem{at, fmt.Sprintf(format, args...)})
}

// read reads a configuration. The error is that of its first file.
func read(s Source) (*host, error) {
	text, err := s.ReadFile(s.Path)
	if err != nil {
		return nil, err
	}
	h := &host{Source: s, here: filepath.Dir(s.Path), priority: make(map[string][]string)}
	if absolute, err := filepath.Abs(h.here); err == nil {
		h.here = absolute
	}
	h.names = map[string]string{"here": h.here, "host_node_name": s.Host}
	h.problems = h.document.add(s.Path, text)
	h.localise(h.here)
	h.include()
	if main := h.byName["supervisord"]; main != nil {
		if o, is := h.get(main, "environment"); is {
			sets, _ := h.environment(o, h.names)
			for _, a := range sets {
				h.names["ENV_"+a.name] = a.value
			}
		}
	} else {
		h.problem(position{s.Path, 1}, "there is no section [supervisord], without which supervisord does not start")
	}
	h.programs()
	for _, s := range h.sections {
		if name, is := strings.CutPrefix(s.name, "eventlistener:"); is {
			h.listeners = append(h.listeners, h.listener(s, strings.TrimSpace(name)))
		}
	}
	return h, nil
}

// localise fills in %(here)s, which is the folder of the file that was read last.
func (h *host) localise(here string) {
	for _, s := range h.sections {
		for key, o := range s.options {
			o.value = strings.ReplaceAll(o.value, "%(here)s", here)
			s.options[key] = o
		}
	}
}

// include reads the files that [include] names, as far as they can be. Theirs does
// not count.
func (h *host) include() {
	s := h.byName["include"]
	if s == nil {
		return
	}
	o, is := h.get(s, "files")
	if !is {
		h.problem(s.at, "[include] has no files=: supervisord refuses that")
		return
	}
	patterns, _, err := expand(o.value, h.names)
	if err != nil {
		h.problem(o.at, "files: %v", err)
		return
	}
	for _, pattern := range strings.Fields(h.resolve(patterns)) {
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(h.here, pattern)
		}
		files, err := h.Glob(strings.ReplaceAll(pattern, "[!", "[^"))
		files = slices.DeleteFunc(files, func(file string) bool { // as a shell has it
			return strings.HasPrefix(path.Base(file), ".") && !strings.HasPrefix(path.Base(pattern), ".")
		})
		if err != nil || len(files) == 0 {
			h.note(o.at, "no file matches %s, which [include] names.", pattern)
		}
		for _, file := range slices.Sorted(slices.Values(files)) {
			text, err := h.ReadFile(file)
			if err != nil {
				h.problem(o.at, "cannot be included: %v", err)
				continue
			}
			h.problems = append(h.problems, h.document.add(file, text)...)
			h.localise(filepath.Dir(file))
		}
	}
}

// resolve puts the environment's values in the places of variables, where it has
// them.
func (h *host) resolve(text string) string {
	return variable.ReplaceAllStringFunc(text, func(found string) string {
		value, is := h.Environment(strings.Trim(found, opened+closed))
		if !is {
			return found
		}
		return value
	})
}

func (h *host) environment(o option, names map[string]string) ([]assign, error) {
	text, _, err := expand(o.value, names)
	if err != nil {
		return nil, err
	}
	return assignments(text)
}

// instances calls do with the names that can be used in a section, for each of its
// processes, and with that of the process.
func (h *host) instances(s *section, group string, do func(names map[string]string, process string)) {
	_, program, _ := strings.Cut(s.name, ":")
	number := func(key string, otherwise int) int {
		if o, is := h.get(s, key); is {
			if n, err := decimal.Parse(h.resolve(first(expand(o.value, h.names)))); err == nil {
				return n
			}
			h.problem(o.at, "%s is no number", key)
		}
		return otherwise
	}
	const most = 10_000 // processes of one section; supervisord has no such limit
	count, from := min(number("numprocs", 1), most), number("numprocs_start", 0)
	for i := from; i < from+count; i++ {
		names := maps.Clone(h.names)
		names["program_name"], names["group_name"] = strings.TrimSpace(program), group
		names["process_num"], names["numprocs"] = strconv.Itoa(i), strconv.Itoa(count)
		if o, is := h.get(s, "environment"); is {
			sets, _ := h.environment(o, names)
			for _, a := range sets {
				names["ENV_"+a.name] = a.value
			}
		}
		name := names["program_name"]
		if o, is := h.get(s, "process_name"); is {
			name = h.resolve(first(expand(o.value, names)))
		}
		do(names, name)
	}
}

func first(text string, _ bool, _ error) string { return text }

// programs lists the processes that are to be supervised.
func (h *host) programs() {
	grouped := make(map[string]bool)
	add := func(s *section, group string) {
		h.instances(s, group, func(_ map[string]string, name string) {
			h.processes = append(h.processes, process{group, name})
		})
	}
	for _, s := range h.sections {
		group, is := strings.CutPrefix(s.name, "group:")
		if !is {
			continue
		}
		o, _ := h.get(s, "programs")
		for program := range strings.SplitSeq(h.resolve(first(expand(o.value, h.names))), ",") {
			program = strings.TrimSpace(program)
			member := cmp.Or(h.byName["program:"+program], h.byName["fcgi-program:"+program])
			if member == nil {
				h.problem(o.at, "[%s] names the program %q, which there is not: supervisord refuses that", s.name, program)
				continue
			}
			grouped[member.name] = true
			add(member, strings.TrimSpace(group))
		}
	}
	for _, s := range h.sections {
		kind, name, _ := strings.Cut(s.name, ":")
		if (kind == "program" || kind == "fcgi-program") && !grouped[s.name] {
			add(s, strings.TrimSpace(name))
		}
	}
}

// ticks are the events that checks are made at; EVENT and TICK stand for all.
var ticks = map[string][]time.Duration{
	"TICK_5": {5 * time.Second}, "TICK_60": {time.Minute}, "TICK_3600": {time.Hour},
	"TICK": {5 * time.Second}, "EVENT": {5 * time.Second},
}

// listener reads the section of an event listener.
func (h *host) listener(s *section, name string) *listener {
	l := &listener{name: name, at: s.at, options: make(map[string]string)}
	get := func(key string) string {
		o, _ := h.get(s, key)
		text, _, err := expand(o.value, h.names)
		l.err = cmp.Or(l.err, err)
		return text
	}
	for event := range strings.SplitSeq(get("events"), ",") {
		l.ticks = append(l.ticks, ticks[strings.ToUpper(strings.TrimSpace(event))]...)
	}
	slices.Sort(l.ticks)
	l.off = slices.Contains([]string{"no", "false", "off", "0"}, strings.ToLower(get("autostart")))
	priority := cmp.Or(get("priority"), "-1")
	h.priority[priority] = append(h.priority[priority], name)
	for _, key := range slices.Concat(kept, []string{log}) {
		if value := get(key); value != "" && !strings.Contains(value, "%(") {
			l.options[key] = value
		}
	}
	command, is := h.get(s, "command")
	if !is {
		return l
	}
	stray, lost := false, false
	h.instances(s, name, func(names map[string]string, _ string) {
		line, wrong, err := expand(command.value, names)
		words, unquoted, badly := split(line)
		stray, lost = stray || wrong, lost || unquoted
		l.err = cmp.Or(l.err, err, badly)
		if badly != nil {
			words = strings.Fields(line) // in which its program is still found
		}
		if o, is := h.get(s, "environment"); is {
			var err error
			l.sets, err = h.environment(o, names)
			l.err = cmp.Or(l.err, err)
		}
		if len(words) > 0 && !slices.ContainsFunc(l.commands, func(other []string) bool { return slices.Equal(other, words) }) {
			l.commands = append(l.commands, words)
		}
	})
	if stray {
		l.trap("a %% is written %%%% in supervisord.conf, which otherwise refuses it. It is taken as it is.")
	}
	if lost {
		l.trap(`a \ in no quotes is lost, so that \d is the letter d. Here it is as it was meant.`)
	}
	if len(l.commands) > 1 {
		l.trap("supervisord gives each event to one process of the %d that is free: the others hardly ever checked anything. Now all do.", len(l.commands))
	}
	return l
}

// trap keeps one, once.
func (l *listener) trap(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(l.traps, text) {
		l.traps = append(l.traps, text)
	}
}

// matches reports whether a pattern of the file picks p.
func matches(pattern string, p process) bool {
	group, name, both := strings.Cut(pattern, ":")
	switch {
	case pattern == "*":
		return true
	case !both:
		name = group
		if p.name != p.group {
			return false
		}
	}
	is := func(glob, text string) bool {
		ok, err := path.Match(strings.NewReplacer(`\`, `\\`, `[`, `\[`).Replace(glob), text)
		return ok && err == nil
	}
	return is(group, p.group) && is(name, p.name)
}

// picked are the processes that patterns pick.
func (h *host) picked(patterns []string) (all []process) {
	for _, p := range h.processes {
		if slices.ContainsFunc(patterns, func(pattern string) bool { return matches(pattern, p) }) {
			all = append(all, p)
		}
	}
	return all
}

// called returns the pattern for what superlance calls name: GROUP:NAME, or the
// name of processes in whatever group.
func (h *host) called(name string) string {
	if strings.Contains(name, ":") {
		return name
	}
	groups := h.picked([]string{"*:" + name})
	switch {
	case len(groups) == 1 && groups[0].group == name:
		return name
	case len(groups) == 1:
		return groups[0].group + ":" + name
	}
	return "*:" + name
}
