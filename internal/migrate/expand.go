package migrate

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// A variable of the environment that the configuration does not set stands between
// these two in a text, so that the file can name it as well: ${NAME}.
const (
	opened = "\uE000"
	closed = "\uE001"
)

// variable is one in a text.
var variable = regexp.MustCompile(opened + `([^` + closed + `]*)` + closed)

// directive is what % begins in a value of supervisord.conf.
var directive = regexp.MustCompile(`%(?:%|\((\w+)\)([-+ 0]*)(\d*)([sd]))?`)

// expand fills in what a value says as %(name)s. What names does not know is an
// error, but for variables of the environment. A % that begins nothing is kept, and
// reported: supervisord refuses it.
func expand(value string, names map[string]string) (text string, stray bool, err error) {
	text = directive.ReplaceAllStringFunc(value, func(found string) string {
		parts := directive.FindStringSubmatch(found)
		name := parts[1]
		known, is := names[name]
		number, notNumber := strconv.Atoi(known)
		environment, isVariable := strings.CutPrefix(name, "ENV_")
		switch {
		case found == "%%":
			return "%"
		case found == "%":
			stray = true
			return found
		case !is && isVariable && parts[4] == "s":
			return opened + environment + closed
		case !is:
			err = errors.Join(err, fmt.Errorf("there is nothing to put in the place of %s", found))
		case parts[4] == "s":
			return fmt.Sprintf("%"+strings.Trim(parts[2], "+ 0")+parts[3]+"s", known)
		case notNumber != nil:
			err = errors.Join(err, fmt.Errorf("%s is no number", found))
		default:
			return fmt.Sprintf("%"+parts[2]+parts[3]+"d", number)
		}
		return ""
	})
	return text, stray, err
}

// classes are the letters that mean something after a backslash in an expression.
const classes = "dDwWsS"

// split takes a command line apart as supervisord does, which is as Python's shlex
// does: in double quotes a backslash stands for itself but before a " or another. A
// backslash that a class of an expression has lost, because it is in no quotes, is
// kept, and reported.
func split(line string) (words []string, lost bool, err error) {
	var word strings.Builder
	begun, quote := false, rune(0)
	runes := []rune(line)
	for i := 0; i < len(runes); i++ {
		r := runes[i]
		next := rune(0)
		if i+1 < len(runes) {
			next = runes[i+1]
		}
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == '"' && r == '\\' && (next == '"' || next == '\\'):
			word.WriteRune(next)
			i++
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, begun = r, true
		case r == '\\' && i+1 == len(runes):
			return nil, lost, errors.New("its command ends with a backslash")
		case r == '\\':
			if strings.ContainsRune(classes, next) {
				lost = true
				word.WriteRune(r)
			}
			word.WriteRune(next)
			begun = true
			i++
		case strings.ContainsRune(" \t\r\n", r):
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	if quote != 0 {
		return nil, lost, fmt.Errorf("a %c in its command is not closed", quote)
	}
	if begun {
		words = append(words, word.String())
	}
	return words, lost, nil
}

// assignment is one of the variables that an option environment= sets.
var assignment = regexp.MustCompile(`^\s*([^\s=,"']+)\s*=\s*("[^"]*"|'[^']*'|[^\s,"']*)\s*(?:,|$)`)

// assign is one variable with its value.
type assign struct{ name, value string }

// assignments reads a value of environment=, which is NAME="value",NAME=value.
func assignments(text string) (all []assign, err error) {
	for rest := text; strings.TrimSpace(rest) != ""; {
		found := assignment.FindStringSubmatch(rest)
		if found == nil {
			return all, errors.New(`environment= is to be NAME="value",NAME="value"`)
		}
		all = append(all, assign{found[1], strings.Trim(found[2], `'"`)})
		rest = rest[len(found[0]):]
	}
	return all, nil
}
