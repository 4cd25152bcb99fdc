package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Reference returns the description of a file's keys, in Markdown: it is made of the
// types that Read fills.
func Reference() []byte {
	var b strings.Builder
	b.WriteString(`# The file of supervisor_checks

It is YAML: one document, in UTF-8. What is unknown, given twice or of the wrong kind is refused, with its line; ` + "`supervisor_checks validate`" + `
lists all that is wrong. Anchors and ` + "`<<`" + ` may be used, tags may not. A key without a value is as good as absent.

- A **duration** is a number of seconds, 30, or has a unit: 1.5s, 2m, 1h30m, 14d.
- A **size** has a unit: 400MiB, 1.5GB. A number alone is refused: it would be KiB on a command line and bytes to most people.
- Where a **list** is wanted, one value may stand for a list of one. A command is a list of words, or one line that is taken apart as a shell would.
- ${NAME} in any text is a variable of the environment, which must be there. $${ stands for the characters ${. Neither its value nor a password,
  header or body is shown in an error, and of a hook only the program is in the log.
- **none** ends what there is by default, or in defaults: restart_limit, backoff, max_unavailable, panic_threshold, revive, not_during, evidence,
  before_restart, after_stop, after_restart. In jitter and start_period 0 does.

Without other settings a process is restarted after three failures in a row, no more than five times in ten minutes, with pauses of 10s, 20s and so
on up to 5m in between, and no more than a quarter of a group at once, but one of a small group.

`)
	type section struct {
		title string
		t     reflect.Type
	}
	todo := []section{{"The file", reflect.TypeFor[File]()}}
	titles := map[reflect.Type]string{reflect.TypeFor[File](): "The file"}
	for len(todo) > 0 {
		s := todo[0]
		todo = todo[1:]
		fmt.Fprintf(&b, "## %s\n\n| key | |\n|---|---|\n", s.title)
		for _, f := range fieldsOf(s.t) {
			t := s.t.FieldByIndex(f.index).Type
			for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice && scalars[t].parse == nil && t != reflect.TypeFor[Command]() && t != reflect.TypeFor[Words]() {
				t = t.Elem()
			}
			doc := strings.ReplaceAll(f.doc, "|", `\|`)
			if f.need {
				doc += " Required."
			}
			_, single := scalars[t]
			single = single || t == reflect.TypeFor[Scalar]()
			switch {
			case t == reflect.TypeFor[Kind]():
				doc += " Those there are stand first under [checks](#checks)."
			case t.Kind() == reflect.Struct && !single:
				if titles[t] == "" {
					title := f.key
					if slices.Contains(slices.Collect(maps.Values(titles)), title) { // of something else
						title = s.title + " " + title
					}
					titles[t] = title
					todo = append(todo, section{title, t})
				}
				doc += fmt.Sprintf(" See [%s](#%s).", titles[t], strings.ReplaceAll(titles[t], " ", "-"))
			}
			fmt.Fprintf(&b, "| `%s` | %s |\n", f.key, doc)
		}
		b.WriteString("\n")
	}
	return []byte(strings.TrimRight(b.String(), "\n") + "\n")
}
