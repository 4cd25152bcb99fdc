package checks

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// ParseHeaders reads the value of supervisor_http_check's -H: a JSON object of
// header names and values, or a list of such pairs. A value is a string, a
// number, which is sent as it is written, or a boolean, which is sent as
// Python's True or False. Of a name that is given twice, in whatever case, the
// last one counts. A document that is false to Python, such as null, {} or "",
// gives no headers. No value is part of an error.
func ParseHeaders(document string) (http.Header, error) {
	if err := json.Unmarshal([]byte(document), new(json.RawMessage)); err != nil {
		return nil, fmt.Errorf("not valid JSON: %w", err)
	}
	dec := json.NewDecoder(strings.NewReader(document))
	dec.UseNumber()
	start, err := dec.Token()
	if err != nil {
		return nil, err
	}
	header := http.Header{}
	isObject := start == json.Delim('{')
	if !isObject && start != json.Delim('[') {
		if !isFalse(start) {
			return nil, errors.New(`neither a JSON object such as {"X-Token": "abc"} nor a list of pairs`)
		}
		return header, nil
	}
	for dec.More() {
		next := decodePair
		if isObject {
			next = decodeMember
		}
		name, value, err := next(dec)
		if err != nil {
			return nil, err
		}
		text, ok := headerText(value)
		if !ok {
			return nil, fmt.Errorf("the value of %q is neither a string nor a number nor a boolean", name)
		}
		header.Set(name, text)
	}
	return header, nil
}

// decodeMember reads the next member of an object.
func decodeMember(dec *json.Decoder) (name string, value any, err error) {
	key, err := dec.Token()
	if err != nil {
		return "", nil, err
	}
	name, _ = key.(string) // the only kind of key there is
	err = dec.Decode(&value)
	return name, value, err
}

// decodePair reads the next pair of a list.
func decodePair(dec *json.Decoder) (name string, value any, err error) {
	var element any
	if err := dec.Decode(&element); err != nil {
		return "", nil, err
	}
	if pair, ok := element.([]any); ok && len(pair) == 2 {
		if name, ok := pair[0].(string); ok {
			return name, pair[1], nil
		}
	}
	return "", nil, errors.New(`a list of something else than pairs such as ["X-Token", "abc"]`)
}

func headerText(value any) (text string, ok bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		if v {
			return "True", true
		}
		return "False", true
	}
	return "", false
}

// isFalse reports whether Python takes a JSON scalar for false.
func isFalse(scalar json.Token) bool {
	if n, ok := scalar.(json.Number); ok {
		f, err := n.Float64()
		return err == nil && f == 0
	}
	return scalar == nil || scalar == false || scalar == ""
}
