package checks

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseHeaders(t *testing.T) {
	tests := []struct {
		document string
		want     http.Header
	}{
		{`{"X-Token": "a b", "x-n": 1.50, "X-Big": 12345678901234567890, "X-Huge": 1e999, "X-T": true, "X-F": false}`, http.Header{
			"X-Token": {"a b"}, "X-N": {"1.50"}, "X-Big": {"12345678901234567890"}, "X-Huge": {"1e999"}, "X-T": {"True"}, "X-F": {"False"}}},
		{`[["X","y"], ["Z", 1]]`, http.Header{"X": {"y"}, "Z": {"1"}}},
		{`{"X": "a", "x": "b"}`, http.Header{"X": {"b"}}},
		{`[["x", "b"], ["X", "a"]]`, http.Header{"X": {"a"}}},
		{`null`, http.Header{}},
		{`{}`, http.Header{}},
		{`[]`, http.Header{}},
		{`0`, http.Header{}},
		{`-0.0e1`, http.Header{}},
		{`""`, http.Header{}},
		{` false `, http.Header{}},
	}
	for _, tt := range tests {
		got, err := ParseHeaders(tt.document)
		if err != nil {
			t.Errorf("%s: %v", tt.document, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.document, diff)
		}
	}
}

func TestParseHeadersRefuses(t *testing.T) {
	const (
		shape = `neither a JSON object such as {"X-Token": "abc"} nor a list of pairs`
		pairs = `a list of something else than pairs such as ["X-Token", "abc"]`
	)
	tests := []struct{ document, want string }{
		{``, "not valid JSON: unexpected end of JSON input"},
		{`{`, "not valid JSON: unexpected end of JSON input"},
		{`{} {}`, "not valid JSON: invalid character '{' after top-level value"},
		{`"secret"`, shape},
		{`5`, shape},
		{`1e999`, shape},
		{`true`, shape},
		{`["X"]`, pairs},
		{`[["X"]]`, pairs},
		{`[["X", "y", "z"]]`, pairs},
		{`[[1, "y"]]`, pairs},
		{`[null]`, pairs},
		{`{"X": null}`, `the value of "X" is neither a string nor a number nor a boolean`},
		{`{"X": ["secret"]}`, `the value of "X" is neither a string nor a number nor a boolean`},
		{`[["X", {}]]`, `the value of "X" is neither a string nor a number nor a boolean`},
	}
	for _, tt := range tests {
		if _, err := ParseHeaders(tt.document); text(err) != tt.want {
			t.Errorf("%s: got %v, want %s", tt.document, err, tt.want)
		}
	}
}

func FuzzParseHeaders(f *testing.F) {
	for _, seed := range []string{`{"X": "a", "x": 1}`, `[["X", true]]`, `null`, `0`, `{"": ""}`, `[[]]`, `{"X": 1e999}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, document string) {
		header, err := ParseHeaders(document)
		if (err == nil) != (header != nil) {
			t.Errorf("%q: %v and %v", document, header, err)
		}
		for name, values := range header {
			if len(values) != 1 || name != http.CanonicalHeaderKey(name) {
				t.Errorf("%q: %q: %q", document, name, values)
			}
		}
		// Whatever was read is sent whole or refused, and never panics.
		NewHTTP(HTTPConfig{Port: "80", Header: header})
	})
}
