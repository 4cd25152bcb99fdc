package config

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/supervisor-checks/supervisor-checks/internal/command"
	"github.com/supervisor-checks/supervisor-checks/internal/foreign"
)

const (
	// maxSize is how many bytes a file may have.
	maxSize = 1 << 20

	// maxAliased is about how many values may be there by the names of anchors.
	maxAliased = 10_000

	// shortestSecret is how long a variable's value is that is not shown.
	shortestSecret = 4
)

// Problem is one thing that is wrong with a file.
type Problem struct {
	Line, Column int    // from 1 on; 0 where it is about the file as a whole
	Path         string // "watch[0].checks[1].http.port"; "" for that
	Text         string // what is wrong, and what could be written instead
}

// Error is all that is wrong with a file.
type Error struct {
	Name     string
	Problems []Problem // in the order of the file
	lines    []string
	secrets  map[int]bool // lines that nobody else must see
}

// Error writes a line for each problem, and below it the line of the file:
//
//	checks.yaml:7:22: watch[0].checks[0].failure_threshold: "6/5" is more failures than results: …
//	    7 |       failure_threshold: 6/5
//	      |                          ^
func (e *Error) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(e.Name)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
		}
		b.WriteString(": ")
		if p.Path != "" {
			b.WriteString(p.Path + ": ")
		}
		b.WriteString(p.Text)
		if p.Line == 0 || p.Line > len(e.lines) {
			continue
		}
		if e.secrets[p.Line] {
			fmt.Fprintf(&b, "\n%5d | (a secret is in this line)", p.Line)
			continue
		}
		line := foreign.Line(strings.ReplaceAll(e.lines[p.Line-1], "\t", " "), 200)
		fmt.Fprintf(&b, "\n%5d | %s\n      | %s^", p.Line, line, strings.Repeat(" ", min(p.Column-1, utf8.RuneCountInString(line))))
	}
	return b.String()
}

// reader fills Go values with what a document says, and collects what is wrong
// with it.
type reader struct {
	environment func(string) (string, bool)
	anchors     map[string]ast.Node
	inside      map[string]bool   // anchors that are being read
	left        int               // values that may still be read
	expanded    map[string]string // names of variables, by the values that may be secrets
	problems    []Problem
	secrets     map[int]bool
}

// read fills into, a pointer to a struct, with a document.
func read(name string, document []byte, environment func(string) (string, bool), into any) error {
	e := &Error{Name: name}
	whole := func(format string, args ...any) error {
		e.Problems = []Problem{{Text: fmt.Sprintf(format, args...)}}
		return e
	}
	switch {
	case len(document) > maxSize:
		return whole("it has more than %d bytes", maxSize)
	case !utf8.Valid(document):
		return whole("it is not UTF-8")
	}
	document = bytes.ReplaceAll(bytes.ReplaceAll(document, []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n")) // all of which end lines in YAML
	e.lines = strings.Split(string(document), "\n")
	file, err := parse(document)
	if err != nil {
		var syntax yaml.Error
		if errors.As(err, &syntax) && syntax.GetToken() != nil {
			p := syntax.GetToken().Position
			e.Problems = []Problem{{Line: p.Line, Column: p.Column, Text: "not valid YAML: " + syntax.GetMessage()}}
			return e
		}
		return whole("not valid YAML: %v", err)
	}
	r := &reader{environment: environment, anchors: make(map[string]ast.Node), inside: make(map[string]bool), secrets: make(map[int]bool),
		expanded: make(map[string]string), left: len(document) + maxAliased}
	var bodies []ast.Node
	for _, d := range file.Docs {
		if d.Body != nil && d.Body.Type() != ast.CommentType {
			bodies = append(bodies, d.Body)
		}
	}
	switch len(bodies) {
	case 0:
		return whole("there is nothing in it")
	case 1:
		r.value(bodies[0], reflect.ValueOf(into).Elem(), "", field{})
	default:
		r.problem(bodies[1], "", "a second document: there may be one in a file")
	}
	if len(r.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(r.problems, func(a, b Problem) int { return cmp.Or(a.Line-b.Line, a.Column-b.Column) })
	e.Problems, e.secrets = r.problems, r.secrets
	return e
}

// parse parses a document. The library has panicked on input of others' before.
func parse(document []byte) (file *ast.File, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the parser gave up: %v", v)
		}
	}()
	return parser.ParseBytes(bytes.TrimPrefix(document, []byte("\uFEFF")), 0, parser.AllowDuplicateMapKey())
}

func (r *reader) problem(node ast.Node, path, format string, args ...any) {
	p := Problem{Path: path, Text: fmt.Sprintf(format, args...)}
	switch n := node.(type) {
	case *ast.MappingNode: // whose token may be the first colon
		if !n.IsFlowStyle && len(n.Values) > 0 {
			node = n.Values[0].Key
		}
	case *ast.MappingValueNode:
		node = n.Key
	}
	if token := node.GetToken(); token != nil {
		p.Line, p.Column = token.Position.Line, token.Position.Column
	}
	for value, name := range r.expanded {
		quoted := strconv.Quote(value)
		for _, shown := range []string{value, quoted[1 : len(quoted)-1]} {
			p.Text = strings.ReplaceAll(p.Text, shown, "${"+name+"}")
		}
	}
	r.problems = append(r.problems, p)
}

// field is what the tags of a struct's field say: `key:"max_age" doc:"…"
// need:"true" secret:"true"`.
type field struct {
	index    []int
	key, doc string
	need     bool
	secret   bool
}

// fieldsOf returns the fields of a struct that have keys, those of embedded ones
// among them.
func fieldsOf(t reflect.Type) (all []field) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			for _, inner := range fieldsOf(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				all = append(all, inner)
			}
			continue
		}
		if key := f.Tag.Get("key"); key != "" {
			all = append(all, field{index: []int{i}, key: key, doc: f.Tag.Get("doc"), need: f.Tag.Get("need") != "", secret: f.Tag.Get("secret") != ""})
		}
	}
	return all
}

// value reads a node into a value.
func (r *reader) value(node ast.Node, into reflect.Value, path string, f field) {
	if r.left--; r.left == 0 {
		r.problem(node, path, "there is too much in it: anchors stand for more than %d values", maxAliased)
	}
	if r.left <= 0 {
		return
	}
	if f.secret {
		r.secrets[node.GetToken().Position.Line] = true
	}
	switch n := node.(type) {
	case *ast.AnchorNode:
		name := n.Name.GetToken().Value
		r.anchors[name] = n.Value
		r.inside[name] = true
		r.value(n.Value, into, path, f)
		delete(r.inside, name)
		return
	case *ast.AliasNode:
		name := n.Value.GetToken().Value
		target, is := r.anchors[name]
		switch {
		case !is:
			r.problem(n, path, "there is no anchor &%s before it", name)
		case r.inside[name]:
			r.problem(n, path, "*%s is a part of itself", name)
		default:
			r.value(target, into, path, f)
		}
		return
	case *ast.TagNode:
		r.problem(n, path, "%s: tags are of no use here", n.Start.Value)
		return
	case *ast.NullNode:
		return // as good as absent
	}
	if into.Kind() == reflect.Pointer {
		into.Set(reflect.New(into.Type().Elem()))
		into = into.Elem()
	}
	if s, is := scalars[into.Type()]; is {
		text, ok := r.text(node, path, f)
		if !ok {
			return
		}
		v, err := s.parse(text)
		if err != nil {
			r.problem(node, path, "%v", err)
			return
		}
		into.Set(reflect.ValueOf(v).Convert(into.Type()))
		return
	}
	switch into.Type() {
	case reflect.TypeFor[json.RawMessage]():
		r.json(node, into, path)
		return
	case reflect.TypeFor[Command]():
		r.command(node, into, path)
		return
	}
	switch into.Kind() {
	case reflect.Struct:
		r.object(node, into, path)
	case reflect.Slice:
		r.list(node, into, path, f)
	case reflect.Map:
		r.table(node, into, path, f)
	case reflect.Bool:
		b, is := node.(*ast.BoolNode)
		if !is {
			r.problem(node, path, "is neither true nor false")
			return
		}
		into.SetBool(b.Value)
	case reflect.String:
		if text, ok := r.text(node, path, f); ok {
			if text == "" {
				r.problem(node, path, "is empty")
			}
			into.SetString(text)
		}
	default:
		panic(fmt.Sprintf("config: nothing reads a %v", into.Type()))
	}
}

// text returns what a scalar says, with the variables in it.
func (r *reader) text(node ast.Node, path string, f field) (string, bool) {
	text := ""
	switch n := node.(type) {
	case *ast.StringNode:
		text = n.Value
	case *ast.LiteralNode:
		text = n.Value.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		text = node.GetToken().Value
	case *ast.BoolNode:
		r.problem(node, path, "%s is a truth value: write %q, in quotes, for the word", n.Token.Value, n.Token.Value)
		return "", false
	default:
		r.problem(node, path, "is %s, where one value should be", kindOf(node))
		return "", false
	}
	if login.MatchString(text) {
		r.secrets[node.GetToken().Position.Line] = true
	}
	return r.expand(node, path, text)
}

// login is the part of a URL that may have a password.
var login = regexp.MustCompile(`://[^/]*@`)

// variable is ${NAME}, or what stands for the characters "${".
var variable = regexp.MustCompile(`\$\$\{|\$\{[^}]*\}?`)

// expand puts the environment's values in the places of its variables.
func (r *reader) expand(node ast.Node, path, text string) (string, bool) {
	ok := true
	text = variable.ReplaceAllStringFunc(text, func(found string) string {
		if found == "$${" {
			return "${"
		}
		name := strings.TrimSuffix(strings.TrimPrefix(found, "${"), "}")
		value, is := r.environment(name)
		switch {
		case !strings.HasSuffix(found, "}"):
			r.problem(node, path, "there is no } after ${: write $${ for the characters themselves")
		case name == "":
			r.problem(node, path, "${} names no variable: write $${ for the characters themselves")
		case !is:
			r.problem(node, path, "the environment has no variable %s", name)
		default:
			if len(value) >= shortestSecret {
				r.expanded[value] = name
			}
			return value
		}
		ok = false
		return ""
	})
	return text, ok
}

// kindOf says what a node is that something else should be.
func kindOf(node ast.Node) string {
	switch node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "keys with values"
	case *ast.SequenceNode:
		return "a list"
	}
	return fmt.Sprintf("%q", foreign.Line(node.GetToken().Value, 100))
}

// pair is a key with its value.
type pair struct {
	name string
	key  ast.Node
	node ast.Node
}

// pairs returns those of a mapping, with those of the anchors that are merged into
// it, or reports that it is none.
func (r *reader) pairs(node ast.Node, path, what string) (pairs []pair, ok bool) {
	var values []*ast.MappingValueNode
	switch n := node.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		r.problem(node, path, "is %s, where %s should be", kindOf(node), what)
		return nil, false
	}
	given := make(map[string]int) // in which line
	var merged []ast.Node
	for _, v := range values {
		if v.Key.IsMergeKey() {
			merged = append(merged, v.Value)
			continue
		}
		name := v.Key.GetToken().Value
		if line, is := given[name]; is {
			r.problem(v.Key, path, "the key %q is there already, in line %d", foreign.Line(name, 100), line)
			continue
		}
		given[name] = v.Key.GetToken().Position.Line
		pairs = append(pairs, pair{name, v.Key, v.Value})
	}
	for _, m := range merged {
		alias, is := m.(*ast.AliasNode)
		if !is {
			r.problem(m, path, "<< takes the name of an anchor: <<: *name")
			continue
		}
		target, is := r.anchors[alias.Value.GetToken().Value]
		if !is {
			r.problem(m, path, "there is no anchor &%s before it", alias.Value.GetToken().Value)
			continue
		}
		if r.left -= 10; r.left <= 0 { // each costs something, whatever it has
			continue
		}
		more, _ := r.pairs(target, path, what)
		for _, p := range more {
			if _, is := given[p.name]; !is {
				given[p.name] = p.key.GetToken().Position.Line
				pairs = append(pairs, p)
			}
		}
	}
	return pairs, true
}

// checked is a value that knows what is wrong with it as a whole. key is that of
// the value which is wrong, "" for all of it.
type checked interface {
	check(report func(key, format string, args ...any))
}

func (r *reader) object(node ast.Node, into reflect.Value, path string) {
	fields := fieldsOf(into.Type())
	known := make(map[string]field, len(fields))
	for _, f := range fields {
		known[f.key] = f
	}
	pairs, ok := r.pairs(node, path, "keys with values")
	if !ok {
		return
	}
	before := len(r.problems)
	where := make(map[string]ast.Node)
	for _, p := range pairs {
		f, is := known[p.name]
		if !is {
			r.problem(p.key, path, "there is no key %q; there are %s", foreign.Line(p.name, 100), strings.Join(slices.Sorted(maps.Keys(known)), ", "))
			continue
		}
		if p.node.Type() != ast.NullType {
			where[p.name] = p.node
		}
		r.value(p.node, into.FieldByIndex(f.index), join(path, p.name), f)
	}
	for _, f := range fields {
		if f.need && where[f.key] == nil {
			r.problem(node, path, "the key %q is missing", f.key)
		}
	}
	if len(r.problems) > before {
		return // which what follows may come from
	}
	if c, is := into.Addr().Interface().(checked); is {
		c.check(func(key, format string, args ...any) {
			at, under := node, path
			if where[key] != nil {
				at, under = where[key], join(path, key)
			}
			r.problem(at, under, format, args...)
		})
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// list reads a list, or one value in place of a list of one.
func (r *reader) list(node ast.Node, into reflect.Value, path string, f field) {
	s, is := node.(*ast.SequenceNode)
	if !is {
		if _, single := scalars[into.Type().Elem()]; !single && into.Type().Elem().Kind() == reflect.Struct {
			r.problem(node, path, "is %s, where a list should be: begin each of its entries with a -", kindOf(node))
			return
		}
		one := reflect.New(into.Type().Elem()).Elem()
		r.value(node, one, path, f)
		into.Set(reflect.Append(reflect.MakeSlice(into.Type(), 0, 1), one))
		return
	}
	all := reflect.MakeSlice(into.Type(), len(s.Values), len(s.Values))
	for i, v := range s.Values {
		under := fmt.Sprintf("%s[%d]", path, i)
		if v.Type() == ast.NullType {
			r.problem(v, under, "there is nothing in it")
			continue
		}
		r.value(v, all.Index(i), under, f)
	}
	if len(s.Values) == 0 {
		r.problem(node, path, "the list is empty")
	}
	into.Set(all)
}

// table reads names, any names, with their values.
func (r *reader) table(node ast.Node, into reflect.Value, path string, f field) {
	pairs, ok := r.pairs(node, path, "names with values")
	if !ok {
		return
	}
	into.Set(reflect.MakeMap(into.Type()))
	for _, p := range pairs {
		v := reflect.New(into.Type().Elem()).Elem()
		r.value(p.node, v, join(path, p.name), f)
		into.SetMapIndex(reflect.ValueOf(p.name), v)
	}
}

// command reads a program with its arguments, as a list or in one line.
func (r *reader) command(node ast.Node, into reflect.Value, path string) {
	var args Command
	var err error
	if node.Type() == ast.SequenceType {
		before := len(r.problems)
		var words []string
		r.list(node, reflect.ValueOf(&words).Elem(), path, field{})
		if args = words; len(r.problems) == before {
			err = command.Find(args[0])
		}
	} else if text, ok := r.text(node, path, field{}); ok {
		args, err = command.Parse(text)
	}
	if err != nil {
		r.problem(node, path, "%v", err)
	}
	into.Set(reflect.ValueOf(args))
}

// json reads any value as the JSON that means the same.
func (r *reader) json(node ast.Node, into reflect.Value, path string) {
	var v any
	err := yaml.NodeToValue(node, &v)
	var text []byte
	if err == nil {
		text, err = json.Marshal(v)
	}
	if err != nil {
		r.problem(node, path, "cannot be written as JSON: %v", err)
		return
	}
	into.SetBytes(text)
}
