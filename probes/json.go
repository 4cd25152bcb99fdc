package probes

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"regexp"

	"github.com/theory/jsonpath"
)

// JSON is what is to be at some places of a document in JSON. What is set must hold for
// each value that Path finds, of which there must be one.
type JSON struct {
	// Path finds values, as RFC 9535 has it: $.status, $.shards[*].state. It is
	// required.
	Path string

	// Equals and NotEquals are what a value must, or must not, be: a string, number or
	// bool.
	Equals, NotEquals any

	// LessThan and GreaterThan are limits of numbers.
	LessThan, GreaterThan *float64

	// Matches is a regular expression for strings.
	Matches string

	// Absent says that there must be no such value, and nothing else.
	Absent bool
}

// judge returns what judges a body, or an error that says what is wrong with j.
func (j JSON) judge() (func(body []byte, whole bool) error, error) {
	path, err := jsonpath.Parse(j.Path)
	if err != nil {
		return nil, fmt.Errorf("%q is no path such as $.status: %w", j.Path, err)
	}
	var pattern *regexp.Regexp
	if j.Matches != "" {
		if pattern, err = regexp.Compile(j.Matches); err != nil {
			return nil, err
		}
	}
	if j.Absent && (j.Equals != nil || j.NotEquals != nil || j.LessThan != nil || j.GreaterThan != nil || j.Matches != "") {
		return nil, fmt.Errorf("%s: what is absent cannot be anything else", j.Path)
	}
	return func(body []byte, whole bool) error {
		if !whole {
			return fmt.Errorf("the body has more than a MiB of JSON, which is not looked at")
		}
		decoder := json.NewDecoder(bytes.NewReader(body))
		decoder.UseNumber()
		var document any
		if err := decoder.Decode(&document); err != nil {
			return errors.New("the body is not JSON")
		}
		values := path.Select(document)
		if len(values) == 0 && !j.Absent {
			return fmt.Errorf("there is no %s", j.Path)
		}
		for _, v := range values {
			if err := j.holds(v, pattern); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

func (j JSON) holds(v any, pattern *regexp.Regexp) error {
	n, isNumber := number(v)
	text, isText := v.(string)
	switch {
	case j.Absent:
		return fmt.Errorf("%s is %s, and should not be there", j.Path, shown(v))
	case j.Equals != nil && !same(v, j.Equals):
		return fmt.Errorf("%s is %s, not %s", j.Path, shown(v), shown(j.Equals))
	case j.NotEquals != nil && same(v, j.NotEquals):
		return fmt.Errorf("%s is %s", j.Path, shown(v))
	case j.LessThan != nil && (!isNumber || n.Cmp(big.NewFloat(*j.LessThan)) >= 0):
		return fmt.Errorf("%s is %s, not less than %v", j.Path, shown(v), *j.LessThan)
	case j.GreaterThan != nil && (!isNumber || n.Cmp(big.NewFloat(*j.GreaterThan)) <= 0):
		return fmt.Errorf("%s is %s, not more than %v", j.Path, shown(v), *j.GreaterThan)
	case pattern != nil && (!isText || !pattern.MatchString(text)):
		return fmt.Errorf("%s is %s, which does not match %#q", j.Path, shown(v), pattern)
	}
	return nil
}

// number is a number of JSON, or of Go, exactly.
func number(v any) (*big.Float, bool) {
	switch v.(type) {
	case json.Number, float64, float32, int, int64, uint64, uint:
		n, _, err := big.ParseFloat(fmt.Sprint(v), 10, 256, big.ToNearestEven)
		return n, err == nil
	}
	return nil, false
}

func same(a, b any) bool {
	x, isNumber := number(a)
	y, alsoNumber := number(b)
	if isNumber && alsoNumber {
		return x.Cmp(y) == 0
	}
	return reflect.DeepEqual(a, b)
}

// shown is a value as JSON writes it, cut.
func shown(v any) string {
	const most = 100
	text, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	if len(text) > most {
		return string(text[:most]) + "…"
	}
	return string(text)
}
