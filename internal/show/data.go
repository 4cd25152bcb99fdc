package show

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
)

// asJSON returns a document of JSON, on one line without indent. A terminal obeys
// more than JSON must escape, so more is.
func asJSON(v any, indent string) (string, error) {
	var text bytes.Buffer
	out := json.NewEncoder(&text)
	out.SetIndent("", indent)
	out.SetEscapeHTML(false)
	if err := out.Encode(v); err != nil {
		return "", err
	}
	var b strings.Builder
	for _, r := range text.String() {
		switch {
		case r == '\n' || strconv.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String(), nil
}

// asYAML returns what asJSON does as a document of YAML: the same keys in the same
// order. The library that reads YAML would make each small program 0.7 MB larger,
// and leaves in strings what moves a cursor.
func asYAML(v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	w := yamlWriter{in: json.NewDecoder(bytes.NewReader(text))}
	w.in.UseNumber()
	w.value("", "")
	return strings.TrimLeft(w.out.String(), "\n "), nil
}

// yamlWriter turns JSON, which is known to be valid, into YAML.
type yamlWriter struct {
	in  *json.Decoder
	out strings.Builder
}

// value writes the next value, behind a key or a dash. The entries of a list or a
// map are on lines of their own, which begin with indent; the first of a map that
// is behind a dash stays there.
func (w *yamlWriter) value(indent, behind string) {
	token, _ := w.in.Token()
	delim, nested := token.(json.Delim)
	switch {
	case !nested:
		w.out.WriteString(" " + scalar(token) + "\n")
		return
	case !w.in.More():
		fmt.Fprintf(&w.out, " %v", delim)
		token, _ = w.in.Token()
		fmt.Fprintf(&w.out, "%v\n", token)
		return
	case delim == '{' && behind == "-":
		w.out.WriteString(" ")
	default:
		w.out.WriteString("\n" + indent)
	}
	for first := true; w.in.More(); first = false {
		if !first {
			w.out.WriteString(indent)
		}
		if delim == '[' {
			w.out.WriteString("-")
			w.value(indent+"  ", "-")
			continue
		}
		key, _ := w.in.Token()
		w.out.WriteString(scalar(key) + ":")
		w.value(indent+"  ", ":")
	}
	w.in.Token()
}

// reserved are words that some reader of YAML takes for something else.
var reserved = []string{"null", "true", "false", "yes", "no", "on", "off", "y", "n"}

// isPlain reports whether YAML needs no quotes for s: it begins with a letter or a
// slash, and nothing in it means something, as ": " and " #" do.
func isPlain(s string) bool {
	before := ' '
	for i, r := range s {
		word := unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || r == '/' || r == '('
		switch {
		case i == 0 && r != '/' && !unicode.IsLetter(r):
			return false
		case (before == ' ' || before == ':') && !word: // of a space, an end and what begins with a sign
			return false
		case !word && !strings.ContainsRune(" :_.@),=+-", r):
			return false
		}
		before = r
	}
	return before != ' ' && before != ':' && !slices.Contains(reserved, strings.ToLower(s))
}

// scalar returns a string, a number, a truth value or nothing. What Go escapes in
// a string, and how, is YAML's as well.
func scalar(token json.Token) string {
	switch v := token.(type) {
	case string:
		if isPlain(v) {
			return v
		}
		return strconv.Quote(v)
	case json.Number:
		if mantissa, exponent, is := strings.Cut(v.String(), "e"); is && !strings.Contains(mantissa, ".") {
			return mantissa + ".0e" + exponent // without the point it is a string for some
		}
		return v.String()
	case nil:
		return "null"
	}
	return fmt.Sprint(token)
}
