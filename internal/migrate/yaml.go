package migrate

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// pair is a key with its value, as YAML.
type pair struct{ key, value string }

// check is one of an entry.
type check struct {
	comments []string
	kind     string
	keys     []pair // of the check
	rule     []pair // of when and what is done
}

// entry is one of watch.
type entry struct {
	from      *listener
	processes []string
	checks    []check
	policy    []pair // of the processes
}

// plain is what needs no quotes anywhere in YAML: no word that is anything but text.
var plain = regexp.MustCompile(`^[A-Za-z/.][A-Za-z0-9_./+-]*(:[A-Za-z0-9_./+*-]+)*$`)

// words are texts that mean something else to a reader of YAML.
var words = []string{"true", "false", "null", "yes", "no", "on", "off", "y", "n", "none", ".nan", ".inf"}

// quote writes a text as YAML, with ${NAME} for the variables in it. What would be a
// variable to the file's reader is escaped.
func quote(text string) string {
	text = strings.ReplaceAll(text, "${", "$${")
	text = variable.ReplaceAllString(text, "$${$1}")
	switch {
	case plain.MatchString(text) && !slices.Contains(words, strings.ToLower(text)):
		return text
	case strings.ContainsFunc(text, func(r rune) bool {
		return r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 || r == 0xfeff
	}):
		quoted, _ := json.Marshal(text) // whose escapes YAML has, too
		return string(quoted)
	}
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}

// list writes a list of texts, or one alone.
func list(texts []string) string {
	var quoted []string
	for _, t := range texts {
		quoted = append(quoted, quote(t))
	}
	if len(quoted) == 1 {
		return quoted[0]
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// object writes keys with values in one line.
func object(settings []pair) string {
	var b strings.Builder
	for i, s := range settings {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(s.key + ": " + s.value)
	}
	return "{" + b.String() + "}"
}

// lines writes an entry.
func (e entry) lines() (all []string) {
	all = append(all, "- processes: "+list(e.processes), "  checks:")
	for _, c := range e.checks {
		for _, text := range c.comments {
			all = append(all, comments("    # ", text)...)
		}
		all = append(all, "    - "+c.kind+": "+object(c.keys))
		for _, s := range c.rule {
			all = append(all, "      "+s.key+": "+s.value)
		}
	}
	for _, s := range e.policy {
		all = append(all, "  "+s.key+": "+s.value)
	}
	return all
}

// width is how wide comments are.
const width = 118

// comments breaks a text into lines of comments.
func comments(prefix, text string) (all []string) {
	line := prefix
	for i, word := range strings.Fields(text) {
		if i > 0 && len(line)+1+len(word) > width {
			all = append(all, line)
			line = prefix + "  "
		} else if i > 0 {
			line += " "
		}
		line += word
	}
	return append(all, line)
}

// indented is lines with something before them.
func indented(by string, lines []string) string {
	var b strings.Builder
	for _, line := range lines {
		fmt.Fprintf(&b, "%s%s\n", by, line)
	}
	return b.String()
}
