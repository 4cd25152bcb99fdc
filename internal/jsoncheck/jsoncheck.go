// Package jsoncheck says what is wrong with a document in JSON, by what is to be at some
// places of it.
package jsoncheck

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/big"
	"reflect"
	"regexp"
	"strconv"

	"github.com/theory/jsonpath"
)

// Place is what is to be at some places of a document in JSON. What is set must hold for
// each value that Path finds, of which there must be one.
type Place struct {
	// Path finds values, as RFC 9535 has it: $.status, $.shards[*].state. It is
	// required.
	Path string

	// Equals and NotEquals are what a value must, or must not, be: a string, a number,
	// which may be a json.Number, or a bool.
	Equals, NotEquals any

	// LessThan and GreaterThan are limits of numbers.
	LessThan, GreaterThan *float64

	// Matches is a regular expression for strings.
	Matches string

	// Absent says that there must be no such value, and nothing else.
	Absent bool
}

// criterion is a Place that can be used.
type criterion struct {
	Place
	path    *jsonpath.Path
	pattern *regexp.Regexp // nil for none
}

// criterion returns j with its values as those of documents are, or an error that says
// what is wrong with it.
func (j Place) criterion() (c criterion, err error) {
	path, err := jsonpath.Parse(j.Path)
	if err != nil {
		return c, fmt.Errorf("%q is no path such as $.status: %w", j.Path, err)
	}
	c = criterion{Place: j, path: path}
	if j.Matches != "" {
		if c.pattern, err = regexp.Compile(j.Matches); err != nil {
			return c, err
		}
	}
	if j.Absent && (j.Equals != nil || j.NotEquals != nil || j.LessThan != nil || j.GreaterThan != nil || j.Matches != "") {
		return c, fmt.Errorf("%s: what is absent cannot be anything else", j.Path)
	}
	for _, limit := range []*float64{j.LessThan, j.GreaterThan} {
		if limit != nil && (math.IsNaN(*limit) || math.IsInf(*limit, 0)) {
			return c, fmt.Errorf("%s: %v is no limit", j.Path, *limit)
		}
	}
	for _, v := range []*any{&c.Equals, &c.NotEquals} {
		if *v, err = plain(*v); err != nil {
			return c, fmt.Errorf("%s: %w", j.Path, err)
		}
	}
	return c, nil
}

// plain is a value of Go as it is in a document that is read with numbers as they are
// written.
func plain(given any) (any, error) {
	v := reflect.ValueOf(given)
	var written json.Number
	switch n, is := given.(json.Number); {
	case given == nil:
		return nil, nil
	case is:
		written = n
	case v.CanInt():
		written = json.Number(strconv.FormatInt(v.Int(), 10))
	case v.CanUint():
		written = json.Number(strconv.FormatUint(v.Uint(), 10))
	case v.CanFloat():
		written = json.Number(strconv.FormatFloat(v.Float(), 'g', -1, v.Type().Bits()))
	case v.Kind() == reflect.String:
		return v.String(), nil
	case v.Kind() == reflect.Bool:
		return v.Bool(), nil
	default:
		return nil, fmt.Errorf("a %T is neither a string, a number nor a bool", given)
	}
	n := number(written)
	switch {
	case n == nil || n.IsInf():
		return nil, fmt.Errorf("%s is not a number", written)
	case !json.Valid([]byte(written)): // as 010 is
		written = json.Number(n.Text('g', -1))
	}
	return written, nil
}

// A Judge says what does not hold of a document.
type Judge func(document []byte) []error

// New returns what judges a document, called so in errors, by what is to be in it: nil for
// nothing, or an error that says what is wrong with a Place.
func New(called string, all []Place) (Judge, error) {
	if len(all) == 0 {
		return nil, nil
	}
	var criteria []criterion
	for _, j := range all {
		c, err := j.criterion()
		if err != nil {
			return nil, err
		}
		criteria = append(criteria, c)
	}
	return func(text []byte) (found []error) {
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		var document any
		if decoder.Decode(&document) != nil {
			return []error{fmt.Errorf("%s is not JSON", called)}
		}
		if _, err := decoder.Token(); err != io.EOF {
			return []error{fmt.Errorf("%s is more than one document in JSON", called)}
		}
		for _, c := range criteria {
			if err := c.judge(document); err != nil {
				found = append(found, err)
			}
		}
		return found
	}, nil
}

// judge says what does not hold of a document.
func (c criterion) judge(document any) error {
	values := c.path.Select(document)
	if len(values) == 0 && !c.Absent {
		return fmt.Errorf("there is no %s", c.Path)
	}
	for _, v := range values {
		if err := c.holds(v); err != nil {
			return err
		}
	}
	return nil
}

func (c criterion) holds(v any) error {
	n := number(v)
	text, isText := v.(string)
	switch {
	case c.Absent:
		return fmt.Errorf("%s is %s, and should not be there", c.Path, shown(v))
	case c.Equals != nil && !same(v, c.Equals):
		return fmt.Errorf("%s is %s, not %s", c.Path, shown(v), shown(c.Equals))
	case c.NotEquals != nil && same(v, c.NotEquals):
		return fmt.Errorf("%s is %s", c.Path, shown(v))
	case c.LessThan != nil && (n == nil || n.Cmp(limit(*c.LessThan)) >= 0):
		return fmt.Errorf("%s is %s, not less than %v", c.Path, shown(v), *c.LessThan)
	case c.GreaterThan != nil && (n == nil || n.Cmp(limit(*c.GreaterThan)) <= 0):
		return fmt.Errorf("%s is %s, not more than %v", c.Path, shown(v), *c.GreaterThan)
	case c.pattern != nil && (!isText || !c.pattern.MatchString(text)):
		return fmt.Errorf("%s is %s, which does not match %#q", c.Path, shown(v), c.pattern)
	}
	return nil
}

// number is a number of a document, nil of what is none. 0.1 is the same whoever has
// written it.
func number(v any) *big.Float {
	written, is := v.(json.Number)
	if !is {
		return nil
	}
	n, _, err := big.ParseFloat(string(written), 10, 256, big.ToNearestEven)
	if err != nil {
		return nil
	}
	return n
}

// limit is a number of Go as it is written.
func limit(f float64) *big.Float { return number(json.Number(strconv.FormatFloat(f, 'g', -1, 64))) }

func same(a, b any) bool {
	if x, y := number(a), number(b); x != nil && y != nil {
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
