package migrate

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// assigned is a variable of the environment, and where it is set.
type assigned struct {
	value string
	at    string // "" where it is the environment's own
}

// maxValue is how long a value with variables in it may be.
const maxValue = 1 << 20

// shellName is a variable's.
var shellName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*`)

// shell reads assignments as a shell does that is told to source a file.
type shell struct {
	file        string
	environment func(string) (string, bool)
	rest        string
	line        int
	set         map[string]assigned
	problems    []problem
}

// readVariables reads a file of NAME=VALUE and export NAME=VALUE, with a shell's quotes,
// comments and $NAME. Nothing is run: what else a shell would do is a problem, and so is
// what has no value without.
func readVariables(file string, text []byte, environment func(string) (string, bool)) (map[string]assigned, []problem) {
	s := &shell{file: file, environment: environment, rest: strings.ReplaceAll(string(text), "\r\n", "\n"), line: 1, set: make(map[string]assigned)}
	for s.rest != "" {
		s.command()
	}
	return s.set, s.problems
}

// next takes a byte.
func (s *shell) next() byte {
	c := s.rest[0]
	s.rest = s.rest[1:]
	if c == '\n' {
		s.line++
	}
	return c
}

func (s *shell) report(line int, format string, args ...any) {
	s.problems = append(s.problems, problem{position{s.file, line}, fmt.Sprintf(format, args...)})
}

// command takes one command, up to the end of its line or a semicolon.
func (s *shell) command() {
	line, first := s.line, true
	for s.rest != "" {
		switch c := s.rest[0]; {
		case c == '\n' || c == ';':
			s.next()
			return
		case c == ' ' || c == '\t':
			s.next()
			continue
		case c == '#':
			for s.rest != "" && s.rest[0] != '\n' {
				s.next()
			}
			continue
		}
		name := shellName.FindString(s.rest)
		if strings.HasPrefix(s.rest[len(name):], "=") && name != "" {
			at := s.line
			s.rest = s.rest[len(name)+1:]
			if value, ok := s.word(); ok {
				s.set[name] = assigned{value, position{s.file, at}.String()}
			} else {
				delete(s.set, name)
			}
			first = false
			continue
		}
		if word, _ := s.word(); word != "export" || !first {
			if !first && shellName.FindString(word) == word {
				continue // export NAME
			}
			s.report(line, "is no NAME=VALUE, and left out: nothing is run here")
			for s.rest != "" && s.rest[0] != '\n' {
				s.next()
			}
			return
		}
		first = false
	}
}

// word takes one word, without its quotes. It is not ok where something would have to be
// run, or quotes are not closed.
func (s *shell) word() (word string, ok bool) {
	var b strings.Builder
	begun, quote := s.line, byte(0)
	ok = true
	for s.rest != "" {
		switch c := s.rest[0]; {
		case quote == 0 && strings.IndexByte(" \t\n;", c) >= 0:
			return b.String(), ok
		case c == quote:
			s.next()
			quote = 0
		case quote == '\'':
			b.WriteByte(s.next())
		case quote == 0 && (c == '\'' || c == '"'):
			quote = s.next()
		case c == '\\' && len(s.rest) > 1:
			s.next()
			escaped := s.next()
			if quote == '"' && strings.IndexByte("\\\"$`\n", escaped) < 0 {
				b.WriteByte('\\')
			}
			if escaped != '\n' {
				b.WriteByte(escaped)
			}
		case c == '`' || c == '$' && strings.HasPrefix(s.rest, "$("):
			s.report(s.line, "has a command in a value, and nothing is run here: give the value")
			s.next()
			ok = false
		case quote == 0 && strings.IndexByte("&|<>()", c) >= 0:
			s.report(s.line, "has a %c without quotes", c)
			s.next()
			ok = false
		case c == '$':
			value, is := s.variable()
			if ok && is && b.Len()+len(value) > maxValue { // as of one that doubles from line to line
				s.report(s.line, "has a value of more than %d bytes", maxValue)
				is = false
			}
			if ok = ok && is; ok {
				b.WriteString(value)
			}
		default:
			b.WriteByte(s.next())
		}
	}
	if quote != 0 {
		s.report(begun, "a %c is not closed", quote)
		ok = false
	}
	return b.String(), ok
}

// variable takes $NAME or ${NAME}.
func (s *shell) variable() (value string, ok bool) {
	s.next()
	rest, braced := strings.CutPrefix(s.rest, "{")
	name := shellName.FindString(rest)
	rest = rest[len(name):]
	if name == "" && !braced {
		return "$", true
	}
	if braced && !strings.HasPrefix(rest, "}") || name == "" {
		s.report(s.line, "has a ${ that is more than a variable: give the value")
		return "", false
	}
	s.rest = strings.TrimPrefix(rest, "}")
	if !braced {
		s.rest = rest
	}
	if set, is := s.set[name]; is {
		return set.value, true
	}
	if value, ok = s.environment(name); !ok {
		s.report(s.line, "needs the variable %s, which the environment does not have", name)
	}
	return value, ok
}

// item is a text of a list, and whether it is in no quotes.
type item struct {
	text  string
	plain bool
}

// listItems reads the value of a variable that is a list, of TOML or YAML, or one text. A text is
// taken as it is written, whatever it would be as YAML.
func listItems(value string) []item {
	value = strings.TrimSpace(value)
	if value == "" {
		return nil
	}
	if inner, is := strings.CutPrefix(value, "["); is && strings.HasSuffix(inner, "]") {
		if all, is := flow(strings.TrimSuffix(inner, "]")); is {
			return all
		}
	}
	if lines := strings.Split(value, "\n"); strings.HasPrefix(value, "- ") {
		var all []item
		for _, line := range lines {
			text, is := strings.CutPrefix(strings.TrimSpace(line), "- ")
			if !is {
				return []item{{value, true}}
			}
			all = append(all, one(text))
		}
		return all
	}
	return []item{one(value)}
}

// one is a text that may be in quotes.
func one(text string) item {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, `"`) || strings.HasPrefix(text, `'`) {
		if inner, rest, is := quoted(text); is && rest == "" {
			return item{inner, false}
		}
	}
	return item{text, true}
}

// flow reads what is between the brackets of a list of texts.
func flow(rest string) (all []item, is bool) {
	for rest = strings.TrimSpace(rest); rest != ""; rest = strings.TrimSpace(rest) {
		var i item
		if rest[0] == '"' || rest[0] == '\'' {
			if i.text, rest, is = quoted(rest); !is {
				return nil, false
			}
			rest = strings.TrimSpace(rest)
		} else {
			end := strings.IndexByte(rest+",", ',')
			i = item{strings.TrimSpace(rest[:end]), true}
			rest = rest[end:]
			if i.text == "" || strings.ContainsAny(i.text, `[]{}"'`) {
				return nil, false
			}
		}
		all = append(all, i)
		more := false
		if rest, more = strings.CutPrefix(rest, ","); !more && rest != "" {
			return nil, false
		}
	}
	return all, true
}

// escapes are those of a text in double quotes.
var escapes = map[byte]string{'n': "\n", 't': "\t", 'r': "\r", 'b': "\b", 'f': "\f", '"': `"`, '\\': `\`, '/': "/"}

// quoted takes a text in quotes. A backslash that escapes nothing is kept.
func quoted(text string) (inner, rest string, is bool) {
	var b strings.Builder
	quote := text[0]
	for i := 1; i < len(text); i++ {
		c := text[i]
		switch {
		case c == quote && quote == '\'' && strings.HasPrefix(text[i+1:], "'"):
			b.WriteByte(c)
			i++
		case c == quote:
			return b.String(), text[i+1:], true
		case c == '\\' && quote == '"' && i+1 < len(text):
			i++
			if escape, is := escapes[text[i]]; is {
				b.WriteString(escape)
			} else if n, err := strconv.ParseUint(text[i+1:min(i+5, len(text))], 16, 16); text[i] == 'u' && err == nil && i+5 <= len(text) {
				b.WriteRune(rune(n))
				i += 4
			} else {
				b.WriteString(text[i-1 : i+1])
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false
}

// isText reports whether a text in no quotes is one for a reader of YAML, too.
func isText(text string) bool {
	_, err := strconv.ParseFloat(text, 64)
	for _, word := range words {
		if strings.EqualFold(text, word) {
			return false
		}
	}
	return err != nil && !strings.ContainsAny(text[:1], "[]{}*&!|>%@`#,\"'") && !strings.Contains(text, ": ") && !strings.Contains(text, " #") &&
		!strings.HasSuffix(text, ":") && !strings.HasPrefix(text, "- ") && !strings.HasPrefix(text, "? ") && text != "-" && text != "~"
}
