package config

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Schema returns the JSON Schema (draft 2020-12) of a file, for editors: it is made
// of the types that Read fills. Variables are texts to it, so that a number that
// comes from the environment must be written in quotes.
func Schema() []byte {
	parts := make(definitions)
	s := parts.object(reflect.TypeFor[File]())
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "supervisor_checks"
	s["$defs"] = parts
	var text bytes.Buffer
	out := json.NewEncoder(&text)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	if err := out.Encode(s); err != nil {
		panic(err) // there is nothing in it that JSON cannot say
	}
	return text.Bytes()
}

// definitions are the schemas of what there may be lists of, by their names.
type definitions map[string]any

// of returns the schema of a type.
func (d definitions) of(t reflect.Type) map[string]any {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if s, is := scalars[t]; is {
		return maps.Clone(s.schema)
	}
	switch t {
	case reflect.TypeFor[json.RawMessage]():
		return map[string]any{}
	case reflect.TypeFor[Scalar]():
		return map[string]any{"type": []string{"string", "number", "boolean"}}
	case reflect.TypeFor[Command](), reflect.TypeFor[Words]():
		return orList(map[string]any{"type": []string{"string", "number"}})
	}
	switch t.Kind() {
	case reflect.Struct:
		return d.object(t)
	case reflect.Slice:
		return orList(d.element(t.Elem()))
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": d.of(t.Elem())}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	}
	return map[string]any{"type": []string{"string", "number"}, "minLength": 1}
}

// element returns the schema of what there may be a list of.
func (d definitions) element(t reflect.Type) map[string]any {
	if _, single := scalars[t]; single || t.Kind() != reflect.Struct {
		return d.of(t)
	}
	name := strings.ToLower(t.Name())
	if d[name] == nil {
		d[name] = true // it may have itself as a part
		d[name] = d.object(t)
	}
	return map[string]any{"$ref": "#/$defs/" + name}
}

// object returns the schema of a struct.
func (d definitions) object(t reflect.Type) map[string]any {
	properties := make(map[string]any)
	var required []string
	for _, f := range fieldsOf(t) {
		s := d.of(t.FieldByIndex(f.index).Type)
		if t == reflect.TypeFor[Kind]() && s["properties"] != nil { // of a part
			delete(s["properties"].(map[string]any), "period")
		}
		if f.none != "" {
			s = or(s, map[string]any{"const": f.none})
		}
		switch {
		case f.need:
			required = append(required, f.key)
		case t.FieldByIndex(f.index).Type != reflect.TypeFor[*Scalar](): // of which null might be a value
			s = orNull(s)
		}
		s["description"] = f.doc
		properties[f.key] = s
	}
	s := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if required != nil {
		s["required"] = required
	}
	if t == reflect.TypeFor[File]() {
		var either []any
		for _, key := range []string{"watch", "probes", "sinks"} {
			either = append(either, map[string]any{"required": []string{key}, "properties": map[string]any{key: map[string]any{"not": map[string]any{"type": "null"}}}})
		}
		s["anyOf"] = either
	}
	if t == reflect.TypeFor[Kind]() || t == reflect.TypeFor[Rule]() {
		var kinds []any
		for _, f := range fieldsOf(reflect.TypeFor[Kind]()) {
			kinds = append(kinds, map[string]any{"required": []string{f.key}})
		}
		s["oneOf"] = kinds
	}
	return s
}

// orList is the schema of a value, or a list of such.
func orList(element map[string]any) map[string]any {
	return or(element, map[string]any{"type": "array", "items": element, "minItems": 1})
}

// or is the schema of what is valid by one of two.
func or(s, other map[string]any) map[string]any {
	if several, is := s["anyOf"].([]any); is {
		return map[string]any{"anyOf": slices.Concat(several, []any{other})}
	}
	return map[string]any{"anyOf": []any{s, other}}
}

// orNull lets a key without a value pass.
func orNull(s map[string]any) map[string]any {
	switch types := s["type"].(type) {
	case string:
		s["type"] = []string{types, "null"}
	case []string:
		s["type"] = slices.Concat(types, []string{"null"})
	default:
		if s["anyOf"] != nil {
			return or(s, map[string]any{"type": "null"})
		}
	}
	return s
}
