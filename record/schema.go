package record

import (
	"encoding/json"
	"slices"
)

// property is what a schema says of a field.
type property map[string]any

func text(description string, more ...any) property {
	p := property{"type": "string", "description": description}
	for i := 0; i+1 < len(more); i += 2 {
		p[more[i].(string)] = more[i+1]
	}
	return p
}

func number(description string) property {
	return property{"type": "number", "minimum": 0, "description": description}
}

func whole(description string) property {
	return property{"type": "integer", "minimum": 0, "description": description}
}

// properties are all fields of a record.
var properties = map[string]property{
	"id":          text("A UUID: the same record always has the same. It is of version 7, or the one that another program gave it.", "pattern", "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"),
	"version":     {"const": Version, "description": "Fields may be added within a version."},
	"kind":        text("What the record is about."),
	"time":        text("When it was, in UTC.", "format", "date-time", "pattern", "Z$"),
	"host":        text("The name of the machine."),
	"supervisord": text("The identifier of supervisord."),
	"listener":    text("The name of the listener, where it has one."),
	"group":       text("The group of processes, or that of the process."),
	"process":     text("The process, as GROUP:NAME, or NAME where both are equal."),
	"pid":         whole("The id of the run that it is about."),
	"check":       text("The check, as it is called in the configuration."),
	"status":      text("What was found.", "enum", []string{"healthy", "unhealthy", "unknown", "skipped"}),
	"before":      text("What it was until then.", "enum", []string{"healthy", "unhealthy", "unknown"}),
	"count":       text("How far a threshold is: 2 of 3."),
	"pending":     {"type": "boolean", "description": "It is over its limit, but not yet for long enough."},
	"reason":      text("Why it is not healthy."),
	"seconds":     number("How long it took."),
	"metrics":     {"type": "object", "additionalProperties": property{"type": "number"}, "description": "What was measured. Names end in their unit, and may have labels as Prometheus writes them: rss_bytes, rows{table=\"a\"}."},
	"action":      text("What was done, or has become of it."),
	"wanted":      text("What should be done: restarted, where it is not said."),
	"new_pid":     whole("The id of the run after that."),
	"why":         text("More of the action, in words."),
	"until":       text("When it is looked at again.", "format", "date-time"),
	"evidence": {"type": "object", "required": []string{"parts"}, "description": "What there was to be seen of the process before.", "properties": map[string]property{
		"parts":  {"type": "object", "additionalProperties": property{"type": "string"}, "description": "By what they are."},
		"folder": text("Where they are files, too."),
	}},
	"probe":         text("The dependency that was looked at."),
	"url":           text("Its URL, without user, query and fragment."),
	"status_code":   whole("The status of its answer, where there was one."),
	"regex":         text("The regular expression that the body should match."),
	"matches_regex": {"type": "boolean", "description": "Whether it does, where that is known."},
	"sink":          text("Where records go, that had no room."),
	"dropped":       whole("How many records were dropped."),
}

// about is what the records of a kind have besides what all have.
type about struct {
	says     string
	required []string
	optional []string
	either   [][]string // it has all of one of these, and not of another
}

// everywhere is what all records have.
var everywhere = about{required: []string{"id", "version", "kind", "time"}, optional: []string{"host", "supervisord", "listener"}}

var kinds = map[Kind]about{
	CheckResult: {"One run of one check of one process.", []string{"process", "check", "status"}, []string{"group", "pid", "pending", "reason", "seconds", "metrics"}, nil},
	Transition:  {"A process has another status for a check than before, or is further on its way to that; or a dependency has another.", []string{"status", "before"}, []string{"group", "process", "check", "probe", "pid", "count", "reason", "seconds", "metrics", "pending"}, [][]string{{"process", "check"}, {"probe"}}},
	Restart:     {"A step of what is done about a process.", []string{"process", "action"}, []string{"group", "pid", "new_pid", "check", "reason", "seconds", "wanted", "why", "until", "evidence"}, nil},
	Group:       {"Something that is so of a group of processes.", []string{"group", "action"}, []string{"process", "check", "why"}, nil},
	ProbeResult: {"One look at a dependency.", []string{"probe", "status"}, []string{"reason", "seconds", "url", "status_code", "regex", "matches_regex", "metrics"}, nil},
	Listener:    {"Something about who records.", []string{"action"}, []string{"why", "sink", "dropped"}, nil},
}

// Schema is the JSON Schema (draft 2020-12) of the records of a kind; nil for one that
// there is not. What it does not name may be there, too.
func Schema(kind Kind) []byte {
	of, is := kinds[kind]
	if !is {
		return nil
	}
	required := slices.Concat(everywhere.required, of.required)
	all := make(map[string]property)
	for _, name := range slices.Concat(required, everywhere.optional, of.optional) {
		all[name] = properties[name]
	}
	all["kind"] = property{"const": kind, "description": of.says}
	object := map[string]any{
		"$schema":     "https://json-schema.org/draft/2020-12/schema",
		"title":       kind,
		"description": of.says,
		"type":        "object",
		"required":    required,
		"properties":  all,
	}
	if of.either != nil {
		var either []any
		for _, names := range of.either {
			either = append(either, map[string]any{"required": names})
		}
		object["oneOf"] = either
	}
	schema, err := json.MarshalIndent(object, "", "  ")
	if err != nil { // there is nothing in it that JSON cannot say
		panic(err)
	}
	return append(schema, '\n')
}
