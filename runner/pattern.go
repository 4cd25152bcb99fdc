package runner

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// pattern picks processes by the names that supervisorctl shows, with * for any
// characters in them and ? for any one: "web:web_8001", "web:*", "*:worker_?",
// "cron". One without a colon is about processes that are called as their group is,
// but for "*" alone, which is all. A ! before it leaves out what it picks.
type pattern struct {
	text        string // as it was written
	excludes    bool
	group, name *regexp.Regexp
}

// CheckPattern returns an error for a person if text is no pattern of Watch.
func CheckPattern(text string) error {
	_, err := parsePattern(text)
	return err
}

func parsePattern(text string) (p pattern, err error) {
	p.text = text
	rest, excludes := strings.CutPrefix(text, "!")
	p.excludes = excludes
	group, name, both := strings.Cut(rest, ":")
	switch {
	case group == "" || strings.HasPrefix(group, "!"):
		return p, fmt.Errorf("process %q: write NAME, GROUP:NAME or GROUP:*", text)
	case strings.Contains(name, ":"):
		return p, fmt.Errorf("process %q: there is one colon in a name, between group and process", text)
	case rest == "*":
		name = "*"
	case !both:
		name = group
	case name == "":
		name = "*" // "web:" is supervisor's other way to write "web:*"
	}
	p.group, p.name = glob(group), glob(name)
	if !both && rest != "*" {
		p.name = nil // it is that of the group
	}
	return p, nil
}

func glob(text string) *regexp.Regexp {
	quoted := regexp.QuoteMeta(text)
	return regexp.MustCompile(`(?s)^` + strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(quoted) + `$`)
}

func (p pattern) matches(process supervisor.Process) bool {
	if !p.group.MatchString(process.Group) {
		return false
	}
	if p.name == nil {
		return process.Name == process.Group
	}
	return p.name.MatchString(process.Name)
}

// one returns the name of the process that is picked, where it can be only one.
func (p pattern) one() (namespec string, is bool) {
	return p.text, !p.excludes && !strings.ContainsAny(p.text, "*?") && !strings.HasSuffix(p.text, ":")
}

// open reports whether it picks processes of groups that it does not name: event
// listeners are not meant by that.
func (p pattern) open() bool {
	group, _, _ := strings.Cut(p.text, ":")
	return strings.ContainsAny(group, "*?")
}

// parsePatterns reads those of a Watch.
func parsePatterns(texts []string) (all []pattern, err error) {
	picks := false
	for _, text := range texts {
		p, err := parsePattern(text)
		if err != nil {
			return nil, err
		}
		picks = picks || !p.excludes
		all = append(all, p)
	}
	if !picks && len(all) > 0 {
		return nil, errors.New("processes are only left out: begin with \"*\" for all others")
	}
	return all, nil
}
