package uptimer_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/record/uptimer"
)

const id = "5f2e8d0a-6a3c-4b8e-9d51-0c9a4f6f2b11"

// head is how the events of sample begin.
const head = `{"schema_title": "ProbeEvent", "schema_version": "0.2.0", "uuid": "` + id + `", "event_time": "2021-01-16T10:00:00.123456+00:00", `

// sample is a record as it is read of an event.
func sample(change func(*record.Record)) record.Record {
	matches := true
	r := record.Record{
		ID: id, Version: record.Version, Kind: record.ProbeResult, Time: time.Date(2021, 1, 16, 10, 0, 0, 123456000, time.UTC),
		Probe: "example.com/ping", URL: "https://example.com/ping", Status: "healthy", StatusCode: 200, Seconds: 0.182, Regex: `^ok \d+$`, MatchesRegex: &matches,
	}
	change(&r)
	return r
}

// same are records with their events, neither of which says more than the other.
func same() map[string]struct {
	record record.Record
	event  string
} {
	no := false
	type both = struct {
		record record.Record
		event  string
	}
	return map[string]both{
		"healthy": {sample(func(r *record.Record) {}),
			head + `"protocol": "https", "hostname": "example.com", "port": 443, "path": "/ping", "status_code": 200, "response_time_ms": 182, "error": "", "matches_regex": true, "regex": "^ok \\d+$"}`},
		"no regular expression, no path, a port, the full second": {sample(func(r *record.Record) {
			r.URL, r.Probe, r.Regex, r.MatchesRegex, r.Time = "http://example.com:8080", "example.com:8080", "", nil, r.Time.Truncate(time.Second)
		}),
			strings.Replace(head, ".123456", "", 1) + `"protocol": "http", "hostname": "example.com", "port": 8080, "path": "", "status_code": 200, "response_time_ms": 182, "error": "", "matches_regex": null, "regex": null}`},
		"a body that does not match": {sample(func(r *record.Record) {
			r.MatchesRegex, r.Status, r.Reason = &no, "unhealthy", "the body does not match `^ok \\d+$`"
		}),
			head + `"protocol": "https", "hostname": "example.com", "port": 443, "path": "/ping", "status_code": 200, "response_time_ms": 182, "error": "", "matches_regex": false, "regex": "^ok \\d+$"}`},
		"a bad status": {sample(func(r *record.Record) {
			r.StatusCode, r.Status, r.Reason, r.MatchesRegex = 503, "unhealthy", "the status is 503", nil
		}),
			head + `"protocol": "https", "hostname": "example.com", "port": 443, "path": "/ping", "status_code": 503, "response_time_ms": 182, "error": "", "matches_regex": null, "regex": "^ok \\d+$"}`},
		"no answer": {sample(func(r *record.Record) {
			r.StatusCode, r.Status, r.Reason, r.MatchesRegex = 0, "unhealthy", "dial \"x\\y\":\n\t\x01\x7f\b\f\r refused: né 😀 </a>", nil
			r.URL, r.Probe = "http://[2001:db8::1]/a%2Fb", "[2001:db8::1]:80/a%2Fb"
		}),
			head + `"protocol": "http", "hostname": "2001:db8::1", "port": 80, "path": "/a%2Fb", "status_code": 0, "response_time_ms": 182, "error": "dial \"x\\y\":\n\t\u0001\u007f\b\f\r refused: n\u00e9 \ud83d\ude00 </a>", "matches_regex": null, "regex": "^ok \\d+$"}`},
		"a good answer that came too late": {sample(func(r *record.Record) { r.Status, r.Reason = "unhealthy", "it took too long" }),
			head + `"protocol": "https", "hostname": "example.com", "port": 443, "path": "/ping", "status_code": 200, "response_time_ms": 182, "error": "it took too long", "matches_regex": true, "regex": "^ok \\d+$"}`},
	}
}

// schema is that of the event.
func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(uptimer.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("schema", document); err != nil {
		t.Fatal(err)
	}
	return c.MustCompile("schema")
}

// fits reports whether a text is valid by the schema.
func fits(t *testing.T, s *jsonschema.Schema, text []byte) error {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return s.Validate(document)
}

func TestThereAndBack(t *testing.T) {
	s := schema(t)
	for name, tt := range same() {
		t.Run(name, func(t *testing.T) {
			text, err := uptimer.Encode(&tt.record)
			if err != nil || string(text) != tt.event {
				t.Errorf("error %v, and the event\n%s\nwant\n%s", err, text, tt.event)
			}
			if err := fits(t, s, []byte(tt.event)); err != nil {
				t.Error(err)
			}
			again, err := uptimer.Decode([]byte(tt.event))
			if diff := cmp.Diff(tt.record, again); diff != "" || err != nil {
				t.Errorf("error %v, and it is read otherwise (-want +got)\n%s", err, diff)
			}
			if !uptimer.Is([]byte(tt.event)) {
				t.Error("it is said to be no event")
			}
			asJSON, err := json.Marshal(again)
			if err != nil {
				t.Fatal(err)
			}
			document, err := jsonschema.UnmarshalJSON(bytes.NewReader(record.Schema(record.ProbeResult)))
			if err != nil {
				t.Fatal(err)
			}
			c := jsonschema.NewCompiler()
			c.AddResource("record", document)
			if err := fits(t, c.MustCompile("record"), asJSON); err != nil {
				t.Errorf("%s: %v", asJSON, err)
			}
		})
	}
}

// TestLikePython has Python write the same bytes, and times of the same form.
func TestLikePython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3")
	}
	var in, want bytes.Buffer
	for _, tt := range same() {
		text, err := uptimer.Encode(&tt.record)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&in, "%s\n", text)
	}
	want.Write(in.Bytes())
	cmd := exec.Command(python, "-c", `
import datetime, json, sys
for line in sys.stdin:
    event = json.loads(line)
    event["event_time"] = datetime.datetime.fromisoformat(event["event_time"]).isoformat()
    print(json.dumps(event))
`)
	cmd.Stdin, cmd.Stderr = &in, t.Output()
	got, err := cmd.Output()
	if diff := cmp.Diff(want.String(), string(got)); diff != "" || err != nil {
		t.Errorf("error %v (-want +got)\n%s", err, diff)
	}
}

// TestEncode has what the event has no words for, and what is no record of one.
func TestEncode(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*record.Record)
		want   string // a part of the event, or of the error
	}{
		{"user, query and fragment go, the host is lower case", func(r *record.Record) { r.URL = "https://me:secret@EXAMPLE.com/Ping?token=x#y" }, `"hostname": "example.com", "port": 443, "path": "/Ping", `},
		{"half a millisecond is rounded to the even one", func(r *record.Record) { r.Seconds = 0.0025 }, `"response_time_ms": 2,`},
		{"a status that was expected", func(r *record.Record) { r.StatusCode = 404 }, `"status_code": 404, "response_time_ms": 182, "error": "",`},
		{"an unhealthy one that does not say why", func(r *record.Record) { r.Status = "unhealthy" }, `"error": "unhealthy",`},
		{"another zone", func(r *record.Record) { r.Time = r.Time.In(time.FixedZone("", 3600)) }, `"2021-01-16T10:00:00.123456+00:00"`},
		{"less than a microsecond", func(r *record.Record) { r.Time = r.Time.Truncate(time.Second).Add(999) }, `"2021-01-16T10:00:00+00:00"`},
		{"extra fields", func(r *record.Record) { r.Extra = map[string]json.RawMessage{"x": []byte("1")} }, `d+$"}`},
		{"another kind", func(r *record.Record) { r.Kind = record.Transition }, uptimer.ErrNone.Error()},
		{"no URL", func(r *record.Record) { r.URL = "" }, uptimer.ErrNone.Error()},
		{"nothing found out", func(r *record.Record) { r.Status = "unknown" }, uptimer.ErrNone.Error()},
		{"healthy without an answer", func(r *record.Record) { r.StatusCode = 0 }, uptimer.ErrNone.Error()},
		{"no port", func(r *record.Record) { r.URL = "unix:///run/docker.sock" }, uptimer.ErrNone.Error()},
		{"no host", func(r *record.Record) { r.URL = "http:///x" }, uptimer.ErrNone.Error()},
		{"a port that cannot be", func(r *record.Record) { r.URL = "http://x:70000" }, "url: its port is greater than 65535"},
		{"a bad URL", func(r *record.Record) { r.URL = "http://a b" }, "url: it is not valid"},
		{"no id", func(r *record.Record) { r.ID = "" }, `id: "" is no UUID`},
		{"a bad status", func(r *record.Record) { r.StatusCode = 1000 }, "status_code: 1000 is not from 0 to 999"},
		{"a time that is no number", func(r *record.Record) { r.Seconds = math.NaN() }, "seconds: NaN is no time that something takes"},
		{"less than no time", func(r *record.Record) { r.Seconds = -1 }, "seconds: -1 is no time that something takes"},
		{"a year of five digits", func(r *record.Record) { r.Time = r.Time.AddDate(9000, 0, 0) }, "time: the year 11021 has not four digits"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := sample(tt.change)
			got, err := uptimer.Encode(&r)
			if err != nil {
				got = []byte(err.Error())
			}
			if !strings.Contains(string(got), tt.want) || (tt.want == uptimer.ErrNone.Error()) != errors.Is(err, uptimer.ErrNone) {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// changed is the event of a healthy record with other values for some fields, none for "".
func changed(t *testing.T, values map[string]string) []byte {
	t.Helper()
	fields := make(map[string]json.RawMessage)
	if err := json.Unmarshal([]byte(same()["healthy"].event), &fields); err != nil {
		t.Fatal(err)
	}
	for name, value := range values {
		if fields[name] = []byte(value); value == "" {
			delete(fields, name)
		}
	}
	text, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestDecode has events that Uptimer and others write, which Encode does not.
func TestDecode(t *testing.T) {
	s := schema(t)
	yes := true
	for _, tt := range []struct {
		name   string
		values map[string]string
		want   record.Record
	}{
		{"Uptimer's true of a body that it has not looked at", map[string]string{"status_code": "404"},
			sample(func(r *record.Record) {
				r.StatusCode, r.MatchesRegex, r.Status, r.Reason = 404, nil, "unhealthy", "the status is 404"
			})},
		{"and of no body", map[string]string{"status_code": "0", "error": `"refused"`},
			sample(func(r *record.Record) {
				r.StatusCode, r.MatchesRegex, r.Status, r.Reason = 0, nil, "unhealthy", "refused"
			})},
		{"and without a regular expression", map[string]string{"regex": "null"}, sample(func(r *record.Record) { r.Regex, r.MatchesRegex = "", nil })},
		{"no answer, and no reason", map[string]string{"status_code": "0"},
			sample(func(r *record.Record) {
				r.StatusCode, r.MatchesRegex, r.Status, r.Reason = 0, nil, "unhealthy", "there is no answer"
			})},
		{"only what is required", map[string]string{"protocol": "", "path": "", "error": "", "regex": "", "matches_regex": ""},
			sample(func(r *record.Record) {
				r.URL, r.Probe, r.Regex, r.MatchesRegex = "https://example.com", "example.com", "", nil
			})},
		{"that, and a port of neither protocol", map[string]string{"protocol": "", "port": "8443"},
			sample(func(r *record.Record) {
				r.URL, r.Probe = "http://example.com:8443/ping", "example.com:8443/ping"
			})},
		{"what is unknown is kept, under names of its own", map[string]string{"Kind": `{"a": [1]}`, "pid": "7"},
			sample(func(r *record.Record) {
				r.Extra = map[string]json.RawMessage{"uptimer": []byte(`{"Kind":{"a":[1]},"pid":7}`)}
			})},
		{"capitals, another zone, nanoseconds, 443.0 and another version", map[string]string{
			"uuid": `"` + strings.ToUpper(id) + `"`, "hostname": `"EXAMPLE.com"`, "protocol": `"HTTPS"`, "port": "443.0", "schema_version": `"0.1.0"`,
			"event_time": `"2021-01-16t11:00:00.123456789+01:00"`}, sample(func(r *record.Record) {})},
		{"a path that is not written as in URLs", map[string]string{"path": `"a b?c#d/%zz"`},
			sample(func(r *record.Record) {
				r.URL, r.Probe = "https://example.com/a%20b%3Fc%23d/%25zz", "example.com/a%20b%3Fc%23d/%25zz"
			})},
		{"300", map[string]string{"status_code": "304"}, sample(func(r *record.Record) { r.StatusCode, r.MatchesRegex = 304, &yes })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := changed(t, tt.values)
			if err := fits(t, s, text); err != nil {
				t.Errorf("%s: %v", text, err)
			}
			got, err := uptimer.Decode(text)
			if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
				t.Errorf("error %v (-want +got)\n%s", err, diff)
			}
		})
	}
}

// TestRefused are events that neither Decode takes nor the schema.
func TestRefused(t *testing.T) {
	s := schema(t)
	for _, tt := range []struct{ name, value, want string }{
		{"schema_title", "", "schema_title: it is missing"},
		{"schema_title", `"DummyEvent"`, `schema_title: "DummyEvent" is not ProbeEvent`},
		{"schema_version", "", "schema_version: it is missing"},
		{"schema_version", "2", "schema_version: it is no text"},
		{"uuid", "", "uuid: it is missing"},
		{"uuid", `"` + id[1:] + `"`, `uuid: "` + id[1:] + `" is none`},
		{"event_time", "", "event_time: it is missing"},
		{"event_time", `"2021-01-16 10:00"`, `event_time: "2021-01-16 10:00" is no time such as 2021-01-16T10:00:00.123456+00:00`},
		{"protocol", "null", "protocol: it is no text"},
		{"hostname", "", "hostname: it is missing"},
		{"hostname", "7", "hostname: it is no text"},
		{"port", "", "port: it is missing"},
		{"port", "0", "port: it is not from 1 to 65535"},
		{"port", "65536", "port: it is not from 1 to 65535"},
		{"port", `"443"`, "port: it is no whole number"},
		{"port", "443.5", "port: it is no whole number"},
		{"port", "null", "port: it is no whole number"},
		{"path", "[]", "path: it is no text"},
		{"status_code", "", "status_code: it is missing"},
		{"status_code", "-1", "status_code: it is not from 0 to 999"},
		{"status_code", "true", "status_code: it is no whole number"},
		{"response_time_ms", "", "response_time_ms: it is missing"},
		{"response_time_ms", "-1", "response_time_ms: it is not from 0 to 9007199254740992"},
		{"response_time_ms", "1e300", "response_time_ms: it is not from 0 to 9007199254740992"},
		{"error", "null", "error: it is no text"},
		{"matches_regex", `"true"`, "matches_regex: it is neither true nor false"},
		{"regex", "{}", "regex: it is no text"},
	} {
		text := changed(t, map[string]string{tt.name: tt.value})
		if _, err := uptimer.Decode(text); err == nil || err.Error() != tt.want {
			t.Errorf("%s %s: error %v, want %s", tt.name, tt.value, err, tt.want)
		}
		if fits(t, s, text) == nil {
			t.Errorf("%s %s: the schema takes it", tt.name, tt.value)
		}
	}
	for name, values := range map[string]map[string]string{
		"no host":           {"hostname": `""`},
		"a space in it":     {"hostname": `"a b"`},
		"a host with more":  {"hostname": `"a/b"`},
		"a user":            {"hostname": `"me@a"`},
		"a host and a port": {"hostname": `"a:80"`},
		"a bad protocol":    {"protocol": `"a b"`},
	} {
		if _, err := uptimer.Decode(changed(t, values)); err == nil || !strings.HasPrefix(err.Error(), "protocol and hostname: no URL can be made of ") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	for _, text := range []string{"", "null", "[]", "{", `{} {}`, `"ProbeEvent"`} {
		if _, err := uptimer.Decode([]byte(text)); err == nil || err.Error() != "it is no JSON object" {
			t.Errorf("%s: error %v", text, err)
		}
	}
}

func TestIs(t *testing.T) {
	for text, want := range map[string]bool{
		`{"schema_title": "ProbeEvent"}`:   true,
		`{"schema_title": "DummyEvent"}`:   false,
		`{"Schema_Title": "ProbeEvent"}`:   false,
		`{"schema_title": ["ProbeEvent"]}`: false,
		`{"kind": "probe_result"}`:         false,
		`null`:                             false,
		``:                                 false,
	} {
		if got := uptimer.Is([]byte(text)); got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
}

func TestName(t *testing.T) {
	for text, want := range map[string]string{
		"https://Example.com":      "example.com",
		"https://example.com:443/": "example.com",
		"https://example.com:80/a": "example.com:80/a",
		"http://example.com/a?b":   "example.com:80/a",
		"http://example.com:443":   "example.com:443",
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := uptimer.Name(u); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

// FuzzDecode has what is read be written as an event that is read, and written, as it is.
func FuzzDecode(f *testing.F) {
	for _, tt := range same() {
		f.Add([]byte(tt.event))
	}
	f.Add([]byte(`{"schema_title":"ProbeEvent","schema_version":"","uuid":"` + id + `","event_time":"2021-01-16T10:00:00Z","hostname":"h","port":1,"status_code":0,"response_time_ms":1e3,"kind":1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := uptimer.Decode(text)
		if err != nil {
			return
		}
		if !uptimer.Is(text) {
			t.Error("it is said to be no event")
		}
		if _, err := json.Marshal(r); err != nil {
			t.Fatal(err)
		}
		first, err := uptimer.Encode(&r)
		if err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
		again, err := uptimer.Decode(first)
		if err != nil {
			t.Fatalf("%s: %v", first, err)
		}
		if second, err := uptimer.Encode(&again); !bytes.Equal(first, second) {
			t.Fatalf("%s\nthen, with error %v, %s", first, err, second)
		}
		if r.Status != again.Status || r.ID != again.ID || !r.Time.Equal(again.Time) {
			t.Errorf("%+v\nthen %+v", r, again)
		}
	})
}

func Example() {
	matches := true
	event, err := uptimer.Encode(&record.Record{
		ID: "5f2e8d0a-6a3c-4b8e-9d51-0c9a4f6f2b11", Kind: record.ProbeResult, Time: time.Date(2021, 1, 16, 10, 0, 0, 123456000, time.UTC),
		Probe: "shop", URL: "https://example.com/ping", Status: "healthy", StatusCode: 200, Seconds: 0.182, Regex: "ok", MatchesRegex: &matches,
	})
	fmt.Println(string(event), err)
	r, err := uptimer.Decode(event)
	fmt.Println(r.Probe, r.Status, r.StatusCode, err)
	// Output:
	// {"schema_title": "ProbeEvent", "schema_version": "0.2.0", "uuid": "5f2e8d0a-6a3c-4b8e-9d51-0c9a4f6f2b11", "event_time": "2021-01-16T10:00:00.123456+00:00", "protocol": "https", "hostname": "example.com", "port": 443, "path": "/ping", "status_code": 200, "response_time_ms": 182, "error": "", "matches_regex": true, "regex": "ok"} <nil>
	// example.com/ping healthy 200 <nil>
}
