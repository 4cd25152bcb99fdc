// Package recordtest holds the records that tests produce against their schemas.
package recordtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/supervisor-checks/supervisor-checks/record"
)

// Schema returns the compiled schema of a kind of records.
func Schema(kind record.Kind) (*jsonschema.Schema, error) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(record.Schema(kind)))
	if err != nil {
		return nil, fmt.Errorf("the schema of a %s: %w", kind, err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("schema", document); err != nil {
		return nil, err
	}
	return c.Compile("schema")
}

// seen are the records that are valid, by what they have and mean: of those that are alike
// one is enough.
var seen sync.Map

// Valid returns what is wrong with a record by the schema of its kind, such as a field that
// this does not name.
func Valid(r record.Record) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	var document map[string]any
	if err := json.Unmarshal(text, &document); err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(document))
	alike := strings.Join(append(names, string(r.Kind), r.Action, r.Status, r.Before), " ")
	if _, is := seen.Load(alike); is {
		return nil
	}
	schema, err := Schema(r.Kind)
	if err != nil {
		return err
	}
	if err := schema.Validate(document); err != nil {
		return fmt.Errorf("%s: %w", text, err)
	}
	for _, name := range names {
		if _, extra := r.Extra[name]; schema.Properties[name] == nil && !extra {
			return fmt.Errorf("%s: the schema of a %s does not name %s", text, r.Kind, name)
		}
	}
	seen.Store(alike, true)
	return nil
}

// Must returns records that a test makes itself, and panics unless all are valid.
func Must(records ...record.Record) []record.Record {
	for _, r := range records {
		if err := Valid(r); err != nil {
			panic(err)
		}
	}
	return records
}

// Sink is a record.Sink that fails a test for a record that is not valid.
func Sink(t testing.TB) record.Sink { return sink{t} }

type sink struct{ t testing.TB }

func (s sink) Write(_ context.Context, r record.Record) error {
	if err := Valid(r); err != nil {
		s.t.Error(err)
	}
	return nil
}
