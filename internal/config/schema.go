package config

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
)

// Schema returns the JSON Schema (draft 2020-12) of a file, for editors: it is made
// of the types that Read fills. Variables are texts to it, so that a number that
// comes from the environment must be written in quotes.
func Schema() []byte {
	s := schemaOf(reflect.TypeFor[File]())
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "supervisor_checks"
	var text bytes.Buffer
	out := json.NewEncoder(&text)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	if err := out.Encode(s); err != nil {
		panic(err) // there is nothing in it that JSON cannot say
	}
	return text.Bytes()
}

func schemaOf(t reflect.Type) map[string]any {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if s, is := scalars[t]; is {
		return maps.Clone(s.schema)
	}
	switch t {
	case reflect.TypeFor[json.RawMessage]():
		return map[string]any{}
	case reflect.TypeFor[Command]():
		return orList(map[string]any{"type": "string"})
	}
	switch t.Kind() {
	case reflect.Struct:
		properties := make(map[string]any)
		var required []string
		for _, f := range fieldsOf(t) {
			s := schemaOf(t.FieldByIndex(f.index).Type)
			s["description"] = f.doc
			properties[f.key] = s
			if f.need {
				required = append(required, f.key)
			}
		}
		s := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
		if required != nil {
			s["required"] = required
		}
		return s
	case reflect.Slice:
		element := schemaOf(t.Elem())
		if t.Elem().Kind() == reflect.Struct && scalars[t.Elem()].parse == nil {
			return map[string]any{"type": "array", "items": element, "minItems": 1}
		}
		return orList(element)
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schemaOf(t.Elem())}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	}
	return map[string]any{"type": []string{"string", "number"}, "minLength": 1}
}

// orList is the schema of a value, or a list of such.
func orList(element map[string]any) map[string]any {
	return map[string]any{"anyOf": []any{element, map[string]any{"type": "array", "items": element, "minItems": 1}}}
}
