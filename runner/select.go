package runner

import (
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// groupPatterns are the patterns for Config.Groups.
func groupPatterns(groups []string) (patterns []string, err error) {
	for _, group := range groups {
		if group == "" || strings.Contains(group, ":") {
			return nil, fmt.Errorf("process group %q: write the name of a group", group)
		}
		patterns = append(patterns, group+":*")
	}
	return patterns, nil
}

// selection is what becomes of the processes of a supervisord: watched ones,
// and those that are left out, with the reason.
type selection struct {
	all       []supervisor.Process // as far as they are known
	programs  []supervisor.Program // those of them whose configuration was needed
	watched   []supervisor.Process
	left      []LeftOut
	unmatched []string // selectors that match nothing
	idle      []string // those that leave nothing out
}

// LeftOut is a process that is not watched though nobody asked for that.
type LeftOut struct {
	Process supervisor.Process
	Reason  string
}

// choose selects from processes. What no pattern names is left out where it is an
// event listener, as far as that can be told by its configuration.
func (p *plans) choose(processes []supervisor.Process, programs []supervisor.Program, self string) selection {
	chosen := selection{all: processes, programs: programs}
	listeners := findListeners(programs)
	matched := make(map[string]bool)
	for _, process := range processes {
		plan := p.of(process.Namespec())
		for _, text := range plan.matched {
			matched[text] = true
		}
		reason := ""
		if !plan.byName {
			reason = listeners[process.Namespec()]
		}
		if process.Namespec() == self || process.PID == os.Getpid() {
			reason = "that is this listener itself"
		}
		switch {
		case !plan.wanted:
		case reason != "":
			chosen.left = append(chosen.left, LeftOut{process, reason})
		default:
			chosen.watched = append(chosen.watched, process)
		}
	}
	for _, w := range p.watches {
		for _, pattern := range w.patterns {
			switch {
			case matched[pattern.text]:
			case pattern.excludes:
				chosen.idle = append(chosen.idle, pattern.text)
			default:
				chosen.unmatched = append(chosen.unmatched, pattern.text)
			}
		}
	}
	return chosen
}

// ours are the names of programs that are event listeners of this project, or
// of the Python package whose names they bear.
var ours = regexp.MustCompile(`^supervisor_(checks|[a-z]+_check)$`)

// findListeners tells which programs are event listeners, and why. No call
// tells for certain: supervisord shows the default priorities of a listener,
// -1 for its pool and 999 for its processes, and only those.
func findListeners(programs []supervisor.Program) map[string]string {
	listeners := make(map[string]string)
	for _, program := range programs {
		words := strings.FieldsFunc(program.Command, func(r rune) bool { return strings.ContainsRune(" \t\n\"';&|()", r) })
		i := slices.IndexFunc(words, func(word string) bool { return ours.MatchString(path.Base(word)) })
		switch {
		case i >= 0:
			listeners[program.Namespec()] = "its command runs " + path.Base(words[i])
		case program.GroupPriority == -1 && program.ProcessPriority == 999:
			listeners[program.Namespec()] = "it looks like an event listener (priority -1)"
		}
	}
	return listeners
}
