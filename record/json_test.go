package record_test

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/record/recordtest"
)

// samples are records of all kinds.
func samples() []record.Record {
	all := []record.Record{
		{Kind: record.CheckResult, Process: "web:a", PID: 7, Check: "http", Status: "unknown", Reason: "no port", Pending: true, Seconds: 0.25, Metrics: map[string]float64{"rss_bytes": 1e9}},
		{Kind: record.Transition, Process: "web:a", PID: 7, Check: "http", Status: "unhealthy", Before: "healthy", Count: "1 of 3", Reason: "503 \"x\" <&> \u2028"},
		{Kind: record.Restart, Process: "web:a", PID: 7, NewPID: 8, Check: "http", Action: record.Stopping, Wanted: "stopped", Why: "a trial", Reason: "503", Seconds: 1,
			Until: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), Evidence: &record.Evidence{Parts: map[string]string{"stderr": "x"}, Folder: "/e"}},
		{Kind: record.Group, Group: "web", Process: "web:a", Check: "http", Action: record.Panicked, Why: "all fail"},
		{Kind: record.Transition, Probe: "db", Status: "unhealthy", Before: "healthy", Reason: "refused"},
		{Kind: record.ProbeResult, Probe: "site", Status: "unhealthy", Reason: "refused", Seconds: 3, URL: "https://example.com/", StatusCode: 503, Regex: "ok", MatchesRegex: new(bool)},
		{Kind: record.Listener, Action: record.Dropped, Sink: "x", Dropped: 3, Why: "there was no room"},
	}
	for i := range all {
		all[i].Host, all[i].Supervisord, all[i].Listener = "h", "supervisor", "checks"
		all[i].Stamp()
	}
	return all
}

// TestJSON has records of all kinds fit their schemas, be read as they were written, and
// need what these say that they need; and each field be named by a schema.
func TestJSON(t *testing.T) {
	named := make(map[string]bool)
	for _, r := range samples() {
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var again record.Record
		if err := json.Unmarshal(text, &again); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r, again); diff != "" {
			t.Errorf("%s is read otherwise (-want +got)\n%s", text, diff)
		}
		if err := recordtest.Valid(r); err != nil {
			t.Error(err)
		}
		s, err := recordtest.Schema(r.Kind)
		if err != nil {
			t.Fatal(err)
		}
		var document map[string]any
		json.Unmarshal(text, &document)
		for _, name := range s.Required {
			value := document[name]
			delete(document, name)
			if s.Validate(document) == nil {
				t.Errorf("a %s without %s is valid", r.Kind, name)
			}
			document[name] = value
		}
		for name := range s.Properties {
			named[name] = true
			document[name] = []any{}
			if err := s.Validate(document); err == nil {
				t.Errorf("a %s whose %s is a list is valid", r.Kind, name)
			}
			json.Unmarshal(text, &document)
		}
	}
	for i := range reflect.TypeFor[record.Record]().NumField() {
		name, _, _ := strings.Cut(reflect.TypeFor[record.Record]().Field(i).Tag.Get("json"), ",")
		if name != "-" && !named[name] {
			t.Errorf("no schema names %s", name)
		}
	}
	for _, kind := range record.Kinds {
		if record.Schema(kind) == nil {
			t.Errorf("there is no schema of a %s", kind)
		}
	}
	if record.Schema("other") != nil {
		t.Error("there is a schema of what is no kind")
	}
}

// TestStamp leaves out metrics that JSON does not have, and does not touch those of others.
func TestStamp(t *testing.T) {
	metrics := map[string]float64{"a": math.NaN(), "b": 1, "c": math.Inf(-1)}
	r := record.Record{Time: time.Date(2026, 1, 2, 3, 4, 5, 6789, time.FixedZone("", 3600)), Metrics: metrics}
	r.Stamp()
	other := record.Record{}
	other.Stamp()
	if len(r.Metrics) != 1 || r.Metrics["b"] != 1 || len(metrics) != 3 || r.ID == other.ID || r.ID > other.ID || other.Time.IsZero() || r.Time.String() != "2026-01-02 02:04:05.000006 +0000 UTC" {
		t.Errorf("%+v", r)
	}
}

// TestIDs are of version 7, with the time in them, and each is greater than the one before.
func TestIDs(t *testing.T) {
	var before string
	begun := time.Now()
	for range 10_000 {
		var r record.Record
		r.Stamp()
		if r.ID <= before || len(r.ID) != 36 {
			t.Fatalf("%s after %s", r.ID, before)
		}
		before = r.ID
	}
	ms, err := strconv.ParseInt(strings.ReplaceAll(before[:13], "-", ""), 16, 64)
	if at := time.UnixMilli(ms); err != nil || at.Before(begun.Add(-time.Millisecond)) || at.After(time.Now().Add(time.Second)) {
		t.Errorf("%s is of %v, error %v", before, at, err)
	}
}

// TestJSONOfOthers keeps fields that are not known, and refuses other versions.
func TestJSONOfOthers(t *testing.T) {
	const text = `{"id":"0198c0f0-0000-7000-8000-000000000000","version":1,"kind":"restart","time":"2026-01-02T03:04:05.123456Z","process":"web:a","action":"stopping","colour":{"b":[1, 2]},"a":null}`
	var r record.Record
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Replace(text, `"colour":{"b":[1, 2]},"a":null`, `"a":null,"colour":{"b":[1,2]}`, 1); string(again) != want {
		t.Errorf("%s\nwant %s", again, want)
	}
	for _, tt := range []struct{ text, want string }{
		{`{"version":2}`, "record of version 2: this program knows version 1"},
		{`{"version":1,"pid":"x"}`, "cannot unmarshal"},
		{`{"version":1,"colour":`, "unexpected end"},
	} {
		if err := json.Unmarshal([]byte(tt.text), &r); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %s", tt.text, err, tt.want)
		}
	}
}

func FuzzJSON(f *testing.F) {
	for _, r := range samples() {
		text, _ := json.Marshal(r)
		f.Add(text)
	}
	f.Add([]byte(`{"version":1,"x":{"y":1},"Kind":"x"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var r record.Record
		if json.Unmarshal(text, &r) != nil {
			return
		}
		first, err := json.Marshal(r)
		if err != nil {
			t.Skip() // a time beyond the year 9999
		}
		var again record.Record
		if err := json.Unmarshal(first, &again); err != nil {
			t.Fatalf("%s: %v", first, err)
		}
		if second, _ := json.Marshal(again); !bytes.Equal(first, second) {
			t.Fatalf("%s\nthen %s", first, second)
		}
	})
}
