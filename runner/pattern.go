package runner

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// pattern picks processes by the names that supervisorctl shows, with * for any
// characters in them and ? for any one: "web:web_8001", "web:*", "*:worker_?",
// "cron". One without a colon is about processes that are called as their group is,
// but for "*" alone, which is all. A ! before it leaves out what it picks.
type pattern struct {
	text        string // as it was written
	excludes    bool
	group, name string // globs; the name is "" where it is that of the group
}

// CheckPattern returns an error for a person if text is no pattern of Watch.
func CheckPattern(text string) error {
	_, err := parsePattern(text)
	return err
}

// Covers reports whether one pattern of Watch picks all that another picks, a ! before
// them aside. It is false where either is none.
func Covers(wide, narrow string) bool {
	w, err := parsePattern(strings.TrimPrefix(wide, "!"))
	n, err2 := parsePattern(strings.TrimPrefix(narrow, "!"))
	if err != nil || err2 != nil {
		return false
	}
	switch {
	case !matches(w.group, n.group, noStar):
		return false
	case w.name == "" && n.name == "":
		return true // each is about those called as their group is
	case w.name == "":
		return n.group == n.name && !strings.ContainsAny(n.name, "*?")
	case n.name == "":
		return matches(w.name, n.group, noStar)
	}
	return matches(w.name, n.name, noStar)
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
	case both && name == "":
		name = "*" // "web:" is supervisor's other way to write "web:*"
	}
	p.group, p.name = group, name
	return p, nil
}

// matches reports whether a glob matches text: * any characters, and ? any one of those
// that one allows.
func matches(glob, text string, one func(rune) bool) bool {
	star, rest := -1, 0 // where to go on when the last * takes one character more
	g, t := 0, 0
	for t < len(text) {
		r, size := utf8.DecodeRuneInString(text[t:])
		switch {
		case g < len(glob) && glob[g] == '*':
			star, rest = g+1, t
			g++
		case g < len(glob) && glob[g] == '?' && one(r):
			g, t = g+1, t+size
		case strings.HasPrefix(glob[g:], text[t:t+size]):
			g, t = g+size, t+size
		case star >= 0:
			_, size = utf8.DecodeRuneInString(text[rest:])
			rest += size
			g, t = star, rest
		default:
			return false
		}
	}
	return strings.Trim(glob[g:], "*") == ""
}

func anyRune(rune) bool  { return true }
func noStar(r rune) bool { return r != '*' }

func (p pattern) matches(process supervisor.Process) bool {
	if !matches(p.group, process.Group, anyRune) {
		return false
	}
	if p.name == "" {
		return process.Name == process.Group
	}
	return matches(p.name, process.Name, anyRune)
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
