package record

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// plain is a Record without its methods.
type plain Record

// known are the names of the fields in JSON.
var known = func() map[string]bool {
	names := make(map[string]bool)
	for f := range reflect.TypeFor[Record]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names[name] = true
	}
	return names
}()

// AppendJSON appends a record as one object, with the fields that are not known to us
// after the others, and without escapes for HTML.
func (r *Record) AppendJSON(b []byte) ([]byte, error) {
	text, err := appendJSON(b, (*plain)(r))
	if err != nil || len(r.Extra) == 0 {
		return text, err
	}
	end := len(text) - 1
	if text, err = appendJSON(text, r.Extra); err != nil {
		return b, err
	}
	text[end], text = ',', append(text[:end+1], text[end+2:]...)
	return text, nil
}

func appendJSON(b []byte, v any) ([]byte, error) {
	text := appender(b)
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return b, err
	}
	return text[:len(text)-1], nil // the end of the line
}

type appender []byte

func (a *appender) Write(p []byte) (int, error) {
	*a = append(*a, p...)
	return len(p), nil
}

// MarshalJSON is AppendJSON, for package json.
func (r Record) MarshalJSON() ([]byte, error) { return r.AppendJSON(nil) }

// UnmarshalJSON reads a record of this version, and keeps fields that are not known to
// us. The error says what is wrong with it.
func (r *Record) UnmarshalJSON(text []byte) error {
	var p plain
	strict := json.NewDecoder(bytes.NewReader(text))
	strict.DisallowUnknownFields()
	if strict.Decode(&p) != nil { // which may be because of fields that are not known
		p = plain{}
		if err := json.Unmarshal(text, &p); err != nil {
			return err
		}
		var all map[string]json.RawMessage
		if err := json.Unmarshal(text, &all); err != nil {
			return err
		}
		for name, value := range all {
			if !known[name] {
				if p.Extra == nil {
					p.Extra = make(map[string]json.RawMessage)
				}
				p.Extra[name] = bytes.Clone(value)
			}
		}
	}
	if p.Version != Version && p.Version != 0 { // which those do not have that were never sent
		return fmt.Errorf("record of version %d: this program knows version %d", p.Version, Version)
	}
	*r = Record(p)
	return nil
}
