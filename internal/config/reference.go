package config

import (
	"fmt"
	"reflect"
	"strings"
)

// Reference returns the description of a file's keys, in Markdown: it is made of the
// types that Read fills.
func Reference() []byte {
	var b strings.Builder
	b.WriteString(`# The file of supervisor_checks

It is YAML: one document, in UTF-8. What is unknown, given twice or of the wrong kind is refused, with its line; ` + "`supervisor_checks validate`" + `
lists all that is wrong. Anchors and ` + "`<<`" + ` may be used, tags may not. A key without a value is as good as absent.

- A **duration** is a number of seconds, 30, or has a unit: 1.5s, 2m, 1h30m.
- A **size** has a unit: 400MiB, 1.5GB. A number alone is refused: it would be KiB on a command line and bytes to most people.
- Where a **list** is wanted, one value may stand for a list of one. A command is a list of words, or one line that is taken apart as a shell would.
- ${NAME} in any text is a variable of the environment, which must be there. $${ stands for the characters ${.
- **none** ends what there is by default: restart_limit, backoff, max_unavailable.

Without other settings a process is restarted after three failures in a row, no more than five times in ten minutes, with pauses of 10s, 20s and so
on up to 5m in between, and no more than a quarter of a group at once, but one of a small group.

`)
	type section struct {
		title string
		t     reflect.Type
	}
	todo := []section{{"The file", reflect.TypeFor[File]()}}
	seen := map[reflect.Type]bool{reflect.TypeFor[File](): true}
	for len(todo) > 0 {
		s := todo[0]
		todo = todo[1:]
		fmt.Fprintf(&b, "## %s\n\n| key | |\n|---|---|\n", s.title)
		for _, f := range fieldsOf(s.t) {
			t := s.t.FieldByIndex(f.index).Type
			for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice && scalars[t].parse == nil && t != reflect.TypeFor[Command]() {
				t = t.Elem()
			}
			doc := strings.ReplaceAll(f.doc, "|", `\|`)
			if f.need {
				doc += " Required."
			}
			if _, single := scalars[t]; t.Kind() == reflect.Struct && !single {
				doc += fmt.Sprintf(" See [%s](#%s).", f.key, f.key)
				if !seen[t] {
					seen[t] = true
					todo = append(todo, section{f.key, t})
				}
			}
			fmt.Fprintf(&b, "| `%s` | %s |\n", f.key, doc)
		}
		b.WriteString("\n")
	}
	return []byte(strings.TrimRight(b.String(), "\n") + "\n")
}
