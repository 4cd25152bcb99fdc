package migrate

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// position is a line of a file.
type position struct {
	file string
	line int
}

func (p position) String() string { return fmt.Sprintf("%s:%d", p.file, p.line) }

// option is a value of a section. One that goes on in further lines has them joined
// by line ends.
type option struct {
	value string
	at    position
}

// section is what all files say under one title.
type section struct {
	name    string
	at      position // where it is first
	options map[string]option
}

// document is the sections of a configuration, in the order in which they begin.
type document struct {
	sections []*section
	byName   map[string]*section
}

// defaults is the section whose options all others have, too.
const defaults = "DEFAULT"

// get returns an option of a section.
func (d *document) get(s *section, name string) (option, bool) {
	o, is := s.options[name]
	if common := d.byName[defaults]; !is && common != nil {
		o, is = common.options[name]
	}
	return o, is
}

// problem is something that cannot be read or translated.
type problem struct {
	at   position
	text string
}

func (p problem) String() string { return fmt.Sprintf("%v: %s", p.at, shown.Replace(p.text)) }

// shown writes variables as supervisord.conf does, also where they were quoted.
var shown = strings.NewReplacer(opened, "%(ENV_", closed, ")s", `\ue000`, "%(ENV_", `\ue001`, ")s")

// title is a section's, which is greedy as in Python 3.11.
var title = regexp.MustCompile(`^\[(.+)\]`)

// add reads a file as supervisord's parser does: a section that is there already
// goes on, an option that is there already is replaced, and ; and # begin a comment
// at the beginning of a line and after white space, in quotes as well.
func (d *document) add(file string, text []byte) (problems []problem) {
	report := func(line int, format string, args ...any) {
		problems = append(problems, problem{position{file, line}, fmt.Sprintf(format, args...)})
	}
	if d.byName == nil {
		d.byName = make(map[string]*section)
	}
	text = bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n"))
	var s *section
	key, indent := "", 0 // of the option that may go on
	for i, raw := range strings.Split(string(text), "\n") {
		at := position{file, i + 1}
		if !utf8.ValidString(raw) {
			report(at.line, "is not UTF-8, which supervisord refuses in most places: the line is left out")
			continue
		}
		bare := raw[:comment(raw)]
		line := strings.TrimSpace(bare)
		if line == "" {
			continue // which ends no value
		}
		column := strings.IndexFunc(raw, func(r rune) bool { return !unicode.IsSpace(r) })
		if key != "" && column > indent {
			o := s.options[key]
			o.value += "\n" + line
			s.options[key] = o
			continue
		}
		indent = column
		if found := title.FindStringSubmatch(line); found != nil {
			if s = d.byName[found[1]]; s == nil {
				s = &section{name: found[1], at: at, options: make(map[string]option)}
				d.byName[s.name] = s
				if s.name != defaults {
					d.sections = append(d.sections, s)
				}
			}
			key = ""
			continue
		}
		if s == nil {
			report(at.line, "is in no section: supervisord refuses the file")
			return problems
		}
		end := strings.IndexAny(line, "=:")
		if end < 1 {
			report(at.line, "is neither a section nor an option: supervisord refuses the file")
			continue
		}
		key = strings.ToLower(strings.TrimSpace(line[:end]))
		s.options[key] = option{strings.TrimSpace(line[end+1:]), at}
	}
	return problems
}

// comment returns where the comment in a line begins, or the length of the line.
// Both signs are looked for in steps, as Python does: of two comments that begin in
// the same step the first one counts.
func comment(line string) int {
	if rest := strings.TrimSpace(line); rest != "" && (rest[0] == '#' || rest[0] == ';') {
		return 0
	}
	found := len(line)
	for from := map[byte]int{';': 0, '#': 0}; len(from) > 0 && found == len(line); {
		for sign, start := range from {
			i := strings.IndexByte(line[start:], sign)
			if i < 0 {
				delete(from, sign)
				continue
			}
			i += start
			from[sign] = i + 1
			before, _ := utf8.DecodeLastRuneInString(line[:i])
			if i == 0 || unicode.IsSpace(before) {
				found = min(found, i)
			}
		}
	}
	return found
}
