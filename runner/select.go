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

// selector picks processes by group and name.
type selector struct {
	text        string // as it was written
	group, name string // name "*" is any
}

func (s selector) matches(p supervisor.Process) bool {
	return s.group == p.Group && (s.name == "*" || s.name == p.Name)
}

// parseSelectors reads Config.Processes or, when that is empty, Config.Groups.
func parseSelectors(groups, processes []string) ([]selector, error) {
	var selectors []selector
	for _, text := range processes {
		group, name := supervisor.SplitNamespec(text)
		if name == "" {
			name = "*" // "web:" is supervisor's other way to write "web:*"
		}
		if group == "" {
			return nil, fmt.Errorf("process name %q: write NAME, GROUP:NAME or GROUP:*", text)
		}
		selectors = append(selectors, selector{text, group, name})
	}
	if len(processes) > 0 {
		return selectors, nil
	}
	for _, group := range groups {
		if group == "" || strings.Contains(group, ":") {
			return nil, fmt.Errorf("process group %q: write the name of a group", group)
		}
		selectors = append(selectors, selector{group + ":*", group, "*"})
	}
	return selectors, nil
}

// selection is what becomes of the processes of a supervisord: watched ones,
// and those that are left out, with the reason.
type selection struct {
	all       []supervisor.Process // as far as they are known
	watched   []supervisor.Process
	left      []LeftOut
	unmatched []string // selectors that match nothing
}

// LeftOut is a process that is not watched though nobody asked for that.
type LeftOut struct {
	Process supervisor.Process
	Reason  string
}

// choose selects from processes. Without a selector it is all of them, but for
// event listeners as far as they can be told by their configuration.
func choose(selectors []selector, processes []supervisor.Process, programs []supervisor.Program, self string) selection {
	chosen := selection{all: processes}
	matched := make([]bool, len(selectors))
	listeners := make(map[string]string)
	if len(selectors) == 0 {
		listeners = findListeners(programs)
	}
	for _, p := range processes {
		wanted := len(selectors) == 0
		for i, s := range selectors {
			if s.matches(p) {
				wanted, matched[i] = true, true
			}
		}
		reason := listeners[p.Namespec()]
		if p.Namespec() == self || p.PID == os.Getpid() {
			reason = "that is this listener itself"
		}
		switch {
		case !wanted:
		case reason != "":
			chosen.left = append(chosen.left, LeftOut{p, reason})
		default:
			chosen.watched = append(chosen.watched, p)
		}
	}
	for i, s := range selectors {
		if !matched[i] {
			chosen.unmatched = append(chosen.unmatched, s.text)
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
