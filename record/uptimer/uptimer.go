// Package uptimer writes and reads what Uptimer's probes tell of a URL: its ProbeEvent,
// version 0.2.0, which is a record of kind probe_result in other words. Producers and
// consumers of both can so share a topic.
//
// The event has no words for some of what a record says, and its reader refuses fields that
// it does not know. What is lost on the way there and back: the host, supervisord and
// listener; which probe it was, where that is not called what Name says; fractions of a
// millisecond; why an answer with a bad status, or whose body does not match, is unhealthy;
// and that a status other than 2xx and 3xx was expected.
package uptimer

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/supervisor-checks/supervisor-checks/record"
)

// The event that this package knows. The version is said, and not asked for: those before
// have the same fields, or fewer.
const (
	Title   = "ProbeEvent"
	Version = "0.2.0"
)

// ErrNone is the error of a record that there is no such event of: of another kind, not of
// the URL of a host and a port, or of a look that found nothing out.
var ErrNone = errors.New("uptimer has no event for it")

// ExtraKey is where the Extra of a record has the fields of its event that are not known to
// us, as one object: their names may be those of a record's own.
const ExtraKey = "uptimer"

const (
	maxStatus       = 999
	maxMilliseconds = 1 << 53 // whole numbers are exact up to there
)

// ports are those of schemes.
var ports = map[string]int{"http": 80, "https": 443}

var uuid = regexp.MustCompile(`^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`)

// Encode writes the event of a record as Python's json.dumps does: in ASCII. The error is
// ErrNone, or says what is wrong with the record.
//
// As in Uptimer status_code is 0 where there was no answer, and error says why; it is ""
// where status and body say themselves why they are not healthy. Other than there,
// matches_regex is null where it is not known: Uptimer says true.
func Encode(r *record.Record) ([]byte, error) {
	if r.Kind != record.ProbeResult || r.URL == "" || r.Status != "healthy" && r.Status != "unhealthy" || r.Status == "healthy" && r.StatusCode == 0 {
		return nil, ErrNone
	}
	u, err := url.Parse(r.URL)
	if err != nil {
		return nil, errors.New("url: it is not valid") // what it is may be a secret
	}
	port := ports[u.Scheme]
	if u.Port() != "" {
		port, _ = strconv.Atoi(u.Port())
	}
	if port == 0 || u.Hostname() == "" {
		return nil, ErrNone
	}
	ms := math.RoundToEven(r.Seconds * 1000)
	switch {
	case !uuid.MatchString(r.ID):
		return nil, fmt.Errorf("id: %q is no UUID", r.ID)
	case port > math.MaxUint16:
		return nil, fmt.Errorf("url: its port is greater than %d", math.MaxUint16)
	case r.StatusCode < 0 || r.StatusCode > maxStatus:
		return nil, fmt.Errorf("status_code: %d is not from 0 to %d", r.StatusCode, maxStatus)
	case !(ms >= 0 && ms <= maxMilliseconds):
		return nil, fmt.Errorf("seconds: %v is no time that something takes", r.Seconds)
	case r.Time.UTC().Year() < 0 || r.Time.UTC().Year() > 9999:
		return nil, fmt.Errorf("time: the year %d has not four digits", r.Time.UTC().Year())
	}
	reason := ""
	if r.StatusCode == 0 || r.Status != "healthy" && Judge(r.StatusCode, r.MatchesRegex) {
		reason = cmp.Or(r.Reason, r.Status)
	}
	layout := "2006-01-02T15:04:05.000000-07:00"
	if r.Time.Nanosecond()/1000 == 0 {
		layout = "2006-01-02T15:04:05-07:00" // as isoformat does
	}

	text := appendText([]byte(`{"schema_title": `), Title)
	text = appendText(append(text, `, "schema_version": `...), Version)
	text = appendText(append(text, `, "uuid": `...), r.ID)
	text = appendText(append(text, `, "event_time": `...), r.Time.UTC().Format(layout))
	text = appendText(append(text, `, "protocol": `...), u.Scheme)
	text = appendText(append(text, `, "hostname": `...), strings.ToLower(u.Hostname()))
	text = strconv.AppendInt(append(text, `, "port": `...), int64(port), 10)
	text = appendText(append(text, `, "path": `...), u.EscapedPath())
	text = strconv.AppendInt(append(text, `, "status_code": `...), int64(r.StatusCode), 10)
	text = strconv.AppendInt(append(text, `, "response_time_ms": `...), int64(ms), 10)
	text = appendText(append(text, `, "error": `...), reason)
	text = append(text, `, "matches_regex": `...)
	if r.Regex == "" || r.MatchesRegex == nil {
		text = append(text, "null"...)
	} else {
		text = strconv.AppendBool(text, *r.MatchesRegex)
	}
	text = append(text, `, "regex": `...)
	if r.Regex == "" {
		text = append(text, "null"...)
	} else {
		text = appendText(text, r.Regex)
	}
	return append(text, '}'), nil
}

// appendText writes a text as Python's json.dumps does.
func appendText(b []byte, text string) []byte {
	b = append(b, '"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r >= ' ' && r <= '~':
			b = append(b, byte(r))
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r == '\t':
			b = append(b, `\t`...)
		case r == '\b':
			b = append(b, `\b`...)
		case r == '\f':
			b = append(b, `\f`...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			b = fmt.Appendf(b, `\u%04x\u%04x`, high, low)
		default:
			b = fmt.Appendf(b, `\u%04x`, r)
		}
	}
	return append(b, '"')
}

// Judge reports whether what Uptimer knows of an answer is healthy: its status, 2xx or 3xx,
// and whether its body matches, nil where that is not known.
func Judge(status int, matches *bool) bool {
	return status >= 200 && status <= 399 && (matches == nil || *matches)
}

// Is reports whether a message is such an event, valid or not.
func Is(text []byte) bool {
	var fields map[string]json.RawMessage
	var title string
	return json.Unmarshal(text, &fields) == nil && json.Unmarshal(fields["schema_title"], &title) == nil && title == Title
}

// Name is what the probe of a URL is called that has no name of its own: the host, the port
// where it is not that of https, and the path.
func Name(u *url.URL) string {
	host, port := strings.ToLower(u.Host), u.Port()
	switch {
	case u.Scheme == "https" && port == "443":
		host = strings.TrimSuffix(host, ":443")
	case port == "" && u.Scheme == "http":
		host += ":80"
	}
	return host + strings.TrimSuffix(u.EscapedPath(), "/")
}

// Decode reads an event as a record. It keeps the id, which is of version 4 where Uptimer
// wrote it: the same event, read twice, is the same record. The error names the field that
// is refused, as Uptimer's schema does it, and what no URL can be made of.
//
// The record is healthy where the event has no error and Judge says so. Uptimer says that a
// body matches which it has not looked at, as with a status from 400 on: that is not taken
// over.
func Decode(text []byte) (record.Record, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil || fields == nil {
		return record.Record{}, errors.New("it is no JSON object")
	}
	e := event{fields: fields}
	title, _ := e.text("schema_title", required)
	e.text("schema_version", required)
	id, _ := e.text("uuid", required)
	at, _ := e.text("event_time", required)
	scheme, _ := e.text("protocol", 0)
	host, _ := e.text("hostname", required)
	port := e.whole("port", 1, math.MaxUint16)
	path, _ := e.text("path", 0)
	status := e.whole("status_code", 0, maxStatus)
	ms := e.whole("response_time_ms", 0, maxMilliseconds)
	reason, _ := e.text("error", 0)
	matches := e.truth("matches_regex")
	regex, _ := e.text("regex", nullable)
	when, wrong := time.Parse(time.RFC3339Nano, strings.ToUpper(at))
	when = when.UTC().Truncate(time.Microsecond)
	switch {
	case e.err != nil:
	case title != Title:
		e.err = fmt.Errorf("schema_title: %q is not %s", title, Title)
	case !uuid.MatchString(id):
		e.err = fmt.Errorf("uuid: %q is none", id)
	case wrong != nil || when.Year() < 0 || when.Year() > 9999:
		e.err = fmt.Errorf("event_time: %q is no time such as 2021-01-16T10:00:00.123456+00:00", at)
	}
	if e.err != nil {
		return record.Record{}, e.err
	}
	u, err := location(scheme, host, int(port), path)
	if err != nil {
		return record.Record{}, err
	}
	r := record.Record{
		ID: strings.ToLower(id), Version: record.Version, Kind: record.ProbeResult, Time: when,
		Probe: Name(u), URL: u.String(), StatusCode: int(status), Seconds: ms / 1000, Regex: regex, Status: "healthy",
	}
	if regex != "" && matches != nil && (!*matches || Judge(r.StatusCode, nil)) {
		r.MatchesRegex = matches
	}
	if reason != "" || !Judge(r.StatusCode, r.MatchesRegex) {
		r.Status, r.Reason = "unhealthy", reason
		switch {
		case reason != "":
		case r.StatusCode == 0:
			r.Reason = "there is no answer"
		case !Judge(r.StatusCode, nil):
			r.Reason = fmt.Sprintf("the status is %d", r.StatusCode)
		default:
			r.Reason = fmt.Sprintf("the body does not match %#q", regex)
		}
	}
	for _, name := range names {
		delete(fields, name)
	}
	if len(fields) > 0 {
		unknown, err := json.Marshal(fields)
		if err != nil {
			return record.Record{}, err
		}
		r.Extra = map[string]json.RawMessage{ExtraKey: unknown}
	}
	return r, nil
}

// location makes the URL of an event.
func location(scheme, host string, port int, path string) (*url.URL, error) {
	u := url.URL{Scheme: strings.ToLower(scheme), Host: strings.ToLower(host), Path: path}
	if u.Scheme == "" {
		u.Scheme = "http"
		if port == ports["https"] {
			u.Scheme = "https"
		}
	}
	if strings.Contains(host, ":") {
		u.Host = "[" + u.Host + "]"
	}
	bare := u.Host
	if port != ports[u.Scheme] {
		u.Host += ":" + strconv.Itoa(port)
	}
	if unescaped, err := url.PathUnescape(path); err == nil {
		u.Path, u.RawPath = unescaped, path
	}
	is, err := url.Parse(u.String())
	if err != nil || is.Scheme != u.Scheme || is.Host != u.Host || is.Hostname() != strings.Trim(bare, "[]") || is.Hostname() == "" || is.User != nil {
		return nil, fmt.Errorf("protocol and hostname: no URL can be made of %q and %q", scheme, host)
	}
	return is, nil
}

// flags are what is asked of a field.
const (
	required = 1 << iota
	nullable
)

// event is what is read of an event, up to the first error.
type event struct {
	fields map[string]json.RawMessage
	err    error
}

func (e *event) refuse(name, format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf("%s: "+format, append([]any{name}, args...)...)
	}
}

// get returns a field, nil where there is none.
func (e *event) get(name string, flags int) json.RawMessage {
	value, is := e.fields[name]
	if !is && flags&required != 0 {
		e.refuse(name, "it is missing")
	}
	if flags&nullable != 0 && string(value) == "null" {
		return nil
	}
	return value
}

func (e *event) text(name string, flags int) (text string, is bool) {
	value := e.get(name, flags)
	if value == nil {
		return "", false
	}
	if value[0] != '"' || json.Unmarshal(value, &text) != nil {
		e.refuse(name, "it is no text")
	}
	return text, true
}

// whole reads a whole number, as which JSON Schema takes 443.0, too.
func (e *event) whole(name string, least, most float64) (n float64) {
	value := e.get(name, required)
	if value == nil {
		return 0
	}
	if value[0] == 'n' || json.Unmarshal(value, &n) != nil || n != math.Trunc(n) {
		e.refuse(name, "it is no whole number")
	} else if n < least || n > most {
		e.refuse(name, "it is not from %.0f to %.0f", least, most)
	}
	return n
}

func (e *event) truth(name string) (is *bool) {
	if value := e.get(name, nullable); value != nil && json.Unmarshal(value, &is) != nil {
		e.refuse(name, "it is neither true nor false")
	}
	return is
}

// names are the fields of an event, in its order.
var names = []string{
	"schema_title", "schema_version", "uuid", "event_time", "protocol", "hostname", "port", "path",
	"status_code", "response_time_ms", "error", "matches_regex", "regex",
}

// Schema is the JSON Schema (draft 2020-12) of the event. What it does not name may be there,
// too, for us: Uptimer refuses to read it.
func Schema() []byte {
	type object = map[string]any
	text := func(description string) object { return object{"type": "string", "description": description} }
	whole := func(least, most int, description string) object {
		return object{"type": "integer", "minimum": least, "maximum": most, "description": description}
	}
	with := func(property object, key string, value any) object {
		property[key] = value
		return property
	}
	schema, err := json.MarshalIndent(object{
		"$schema":     "https://json-schema.org/draft/2020-12/schema",
		"title":       Title,
		"description": "One look at a URL, as Uptimer " + Version + " tells of it.",
		"type":        "object",
		"required":    slices.Concat(names[:4], []string{"hostname", "port", "status_code", "response_time_ms"}),
		"properties": object{
			"schema_title":     object{"const": Title},
			"schema_version":   text("That of the event, " + Version + "."),
			"uuid":             with(text("The same event always has the same."), "pattern", uuid.String()),
			"event_time":       with(text("When it was: 2021-01-16T10:00:00.123456+00:00."), "format", "date-time"),
			"protocol":         text("http or https."),
			"hostname":         text("The host of the URL, in lower case, without a user."),
			"port":             whole(1, math.MaxUint16, "That of the URL, or of its protocol."),
			"path":             text("That of the URL, without a query."),
			"status_code":      whole(0, maxStatus, "The status of the answer; 0 where there was none."),
			"response_time_ms": whole(0, maxMilliseconds, "How long it took, in milliseconds."),
			"error":            text("Why there was no answer; empty where there was one."),
			"matches_regex":    object{"type": []string{"boolean", "null"}, "description": "Whether the body matches; null where that is not known."},
			"regex":            object{"type": []string{"string", "null"}, "description": "The regular expression that it should match."},
		},
	}, "", "  ")
	if err != nil { // there is nothing in it that JSON cannot say
		panic(err)
	}
	return append(schema, '\n')
}
