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
	"sync"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

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
	hidden   hidden
}

// hidden is from which column on a line is not shown, as what is there may be secret:
// the values of some keys, and all that is not known to be something else.
type hidden map[int]int

func (h hidden) from(line, column int) {
	if before, is := h[line]; !is || column < before {
		h[line] = column
	}
}

// Visit hides a part of a node, for ast.Walk.
func (h hidden) Visit(node ast.Node) ast.Visitor {
	if t := node.GetToken(); t != nil {
		text := strings.TrimSpace(t.Origin)
		if t.Prev != nil && (t.Prev.Type == token.LiteralType || t.Prev.Type == token.FoldedType) {
			text = strings.TrimRight(t.Origin, " \n") // empty lines are a part of it
		}
		h.from(t.Position.Line, t.Position.Column)
		for i := range strings.Count(text, "\n") {
			h.from(t.Position.Line+1+i, 1)
		}
	}
	return h
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
		line := e.lines[p.Line-1]
		if from, is := e.hidden[p.Line]; is {
			runes := []rune(line)
			line = string(runes[:min(len(runes), max(from-1, 0))]) + "…"
		}
		line = foreign.Line(strings.ReplaceAll(line, "\t", " "), 200)
		fmt.Fprintf(&b, "\n%5d | %s\n      | %s^", p.Line, line, strings.Repeat(" ", min(p.Column-1, utf8.RuneCountInString(line))))
	}
	return b.String()
}

// reader fills Go values with what a document says, and collects what is wrong
// with it.
type reader struct {
	environment func(string) (string, bool)
	spared      []string // paths of keys that need not be there
	lines       []string
	anchors     map[string]ast.Node
	inside      map[string]bool       // anchors that are being read
	left        int                   // values that may still be read
	variables   map[string][]variable // that are in the text at a path, or in a list there
	nodes       map[string]ast.Node   // by their paths
	problems    []Problem
	wrong       map[string]int    // how many problems there were after the first at a path, or under it
	unclear     map[string]bool   // paths with keys that are meant for others, or have several values
	hides       map[ast.Node]bool // that are hidden
	hidden      hidden
}

// variable is one of the environment whose value may be secret.
type variable struct{ name, value string }

// read fills into, a pointer to a struct, with a document. It may be without the keys that
// are spared.
func read(name string, document []byte, environment func(string) (string, bool), into any, spared ...string) error {
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
			e.Problems = []Problem{{Line: p.Line, Column: p.Column, Text: "not valid YAML: " + quoted.ReplaceAllString(syntax.GetMessage(), "…")}}
			if p.Line > 0 && p.Line <= len(e.lines) {
				e.hidden = hidden{p.Line: harmless(e.lines[p.Line-1]) + 1}
				if begins := unquoted.FindStringSubmatch(e.lines[p.Line-1]); begins != nil {
					e.Problems[0].Text += quote(begins[1])
				}
			}
			return e
		}
		return whole("not valid YAML: %v", err)
	}
	r := &reader{environment: environment, spared: spared, lines: e.lines, anchors: make(map[string]ast.Node), inside: make(map[string]bool), left: len(document) + maxAliased,
		variables: make(map[string][]variable), nodes: make(map[string]ast.Node), wrong: make(map[string]int), unclear: make(map[string]bool),
		hides: make(map[ast.Node]bool), hidden: make(hidden)}
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
		r.hide(bodies[1])
	}
	if len(r.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(r.problems, func(a, b Problem) int { return cmp.Or(a.Line-b.Line, a.Column-b.Column) })
	e.Problems, e.hidden = r.problems, r.hidden
	return e
}

var (
	// quoted is a part of a file in an error of the parser's.
	quoted = regexp.MustCompile("\"[^\"]*\"?")

	// firstKey is a key at the beginning of a line.
	firstKey = regexp.MustCompile(`^[\s-]*([a-z_]+):\s*`)

	// unquoted is the beginning of a text that needs quotes.
	unquoted = regexp.MustCompile("(?:[:-]\\s+|[,\\[{]\\s*)([*!&@%`])")
)

// harmless is how many characters of a line, at its beginning, are not secret
// whatever the line is: a key that there is.
func harmless(line string) int {
	found := firstKey.FindStringSubmatch(line)
	if found == nil || !allKeys()[found[1]] {
		return 0
	}
	return utf8.RuneCountInString(found[0])
}

// allKeys are the keys of all parts of a file.
var allKeys = sync.OnceValue(func() map[string]bool {
	keys := make(map[string]bool)
	seen := make(map[reflect.Type]bool)
	var add func(reflect.Type)
	add = func(t reflect.Type) {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		if _, single := scalars[t]; single || t.Kind() != reflect.Struct || seen[t] {
			return
		}
		seen[t] = true
		for _, f := range fieldsOf(t) {
			keys[f.key] = true
			add(t.FieldByIndex(f.index).Type)
		}
	}
	add(reflect.TypeFor[File]())
	return keys
})

// quote says what to do about a text that begins with a character which has a meaning
// in YAML.
func quote(begins string) string { return "; a text that begins with " + begins + " must be in quotes" }

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
	p := Problem{Path: path, Text: r.masked(path, fmt.Sprintf(format, args...))}
	p.Line, p.Column = position(node)
	r.problems = append(r.problems, p)
	for at := path; at != "" && r.wrong[at] == 0; at = at[:max(0, strings.LastIndexAny(at, ".["))] {
		r.wrong[at] = len(r.problems)
	}
}

// position is where a node begins.
func position(node ast.Node) (line, column int) {
	switch n := node.(type) {
	case *ast.MappingNode: // whose token may be the first colon
		if !n.IsFlowStyle && len(n.Values) > 0 {
			node = n.Values[0].Key
		}
	case *ast.MappingValueNode:
		node = n.Key
	}
	if t := node.GetToken(); t != nil {
		return t.Position.Line, t.Position.Column
	}
	return 0, 0
}

// masked returns a text without the values of the variables that are at a path.
func (r *reader) masked(path, text string) string {
	for _, v := range r.variables[path] {
		escaped := strconv.Quote(v.value)
		text = mask(mask(text, escaped[1:len(escaped)-1], v.name), v.value, v.name)
	}
	return text
}

// mask puts the name of a variable in the place of all parts of its value that one
// could make something of.
func mask(text, value, name string) string {
	var b strings.Builder
	for len(text) > 0 {
		n := shortestSecret
		if len(text) < n || !strings.Contains(value, text[:n]) {
			b.WriteByte(text[0])
			text = text[1:]
			continue
		}
		for n < len(text) && strings.Contains(value, text[:n+1]) {
			n++
		}
		b.WriteString("${" + name + "}")
		text = text[n:]
	}
	return b.String()
}

// hide keeps a node from being shown.
func (r *reader) hide(node ast.Node) {
	if !r.hides[node] {
		r.hides[node] = true
		ast.Walk(r.hidden, node)
	}
}

// meant says how to write what a node may have been meant for, if that is a text
// without quotes.
func (r *reader) meant(node ast.Node) string {
	line, column := position(node)
	if line < 1 || line > len(r.lines) {
		return ""
	}
	if runes := []rune(r.lines[line-1]); column > 0 && column <= len(runes) && strings.ContainsRune("*!&", runes[column-1]) {
		return quote(string(runes[column-1]))
	}
	return ""
}

// field is what the tags of a struct's field say: `key:"max_age" doc:"…"
// need:"true" secret:"true" none:"true"`.
type field struct {
	index    []int
	key, doc string
	need     bool
	secret   bool // nobody else must see what it has
	none     bool // it can be said that there is none
}

// known are the fields of structs that were asked for before.
var known sync.Map

// fieldsOf returns the fields of a struct that have keys, those of embedded ones
// among them.
func fieldsOf(t reflect.Type) []field {
	all, is := known.Load(t)
	if !is {
		all, _ = known.LoadOrStore(t, findFields(t))
	}
	return all.([]field)
}

func findFields(t reflect.Type) (all []field) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			for _, inner := range findFields(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				all = append(all, inner)
			}
			continue
		}
		if key := f.Tag.Get("key"); key != "" {
			all = append(all, field{index: []int{i}, key: key, doc: f.Tag.Get("doc"), need: f.Tag.Get("need") != "", secret: f.Tag.Get("secret") != "", none: f.Tag.Get("none") != ""})
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
		r.hide(node)
	}
	r.nodes[path] = node
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
			r.problem(n, path, "there is no anchor of this name before it%s", quote("*"))
		case r.inside[name]:
			r.problem(n, path, "*%s is a part of itself", name)
		default:
			r.value(target, into, path, f)
		}
		return
	case *ast.TagNode:
		r.hide(n)
		r.problem(n, path, "tags are of no use here%s", quote("!"))
		return
	case *ast.NullNode:
		if into.Type() == reflect.TypeFor[*Scalar]() {
			r.problem(node, path, "null is nothing to compare with: leave the key out")
		}
		return // as good as absent
	case *ast.StringNode:
		if f.none && n.Value == "none" {
			if into.Kind() == reflect.Slice {
				into.Set(reflect.MakeSlice(into.Type(), 0, 0))
			} else {
				into.Set(reflect.New(into.Type().Elem()))
			}
			return
		}
	}
	whole := into
	if into.Kind() == reflect.Pointer {
		into.Set(reflect.New(into.Type().Elem()))
		into = into.Elem()
	}
	if s, is := scalars[into.Type()]; is {
		text, ok := r.text(node, path, f)
		if !ok {
			whole.SetZero()
			return
		}
		v, err := s.parse(text)
		if err != nil {
			r.problem(node, path, "%v", err)
			whole.SetZero()
			return
		}
		into.Set(reflect.ValueOf(v).Convert(into.Type()))
		return
	}
	switch into.Type() {
	case reflect.TypeFor[json.RawMessage]():
		r.json(node, into, path)
		return
	case reflect.TypeFor[Command](), reflect.TypeFor[Words]():
		r.command(node, into, path)
		return
	case reflect.TypeFor[Scalar]():
		r.scalar(node, into, path, f)
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
		r.hide(node)
		r.problem(node, path, "is %s, where one value should be%s", kindOf(node), r.meant(node))
		return "", false
	}
	if login.MatchString(text) {
		r.hide(node)
	}
	return r.expand(node, path, text)
}

// login is the part of a URL that may have a password.
var login = regexp.MustCompile(`://[^/]*@`)

// reference is ${NAME}, or what stands for the characters "${".
var reference = regexp.MustCompile(`\$\$\{|\$\{[^}]*\}?`)

// expand puts the environment's values in the places of its variables.
func (r *reader) expand(node ast.Node, path, text string) (string, bool) {
	ok := true
	text = reference.ReplaceAllStringFunc(text, func(found string) string {
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
				r.variables[path] = append(r.variables[path], variable{name, value})
				if list := path[:max(0, strings.LastIndexByte(path, '['))]; strings.HasSuffix(path, "]") { // which may be what is refused
					r.variables[list] = append(r.variables[list], variable{name, value})
				}
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
	return "a single value"
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
		r.hide(node)
		r.problem(node, path, "is %s, where %s should be%s", kindOf(node), what, r.meant(node))
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
			r.unclear[path] = true
			r.hide(v.Value)
			r.problem(v.Key, path, "the key %q is there already, in line %d", foreign.Line(name, 100), line)
			continue
		}
		given[name] = v.Key.GetToken().Position.Line
		pairs = append(pairs, pair{name, v.Key, v.Value})
	}
	for _, m := range merged {
		alias, is := m.(*ast.AliasNode)
		if !is {
			r.hide(m)
			r.problem(m, path, "<< takes the name of an anchor: <<: *name")
			continue
		}
		target, is := r.anchors[alias.Value.GetToken().Value]
		if !is {
			r.problem(m, path, "there is no anchor of this name before it")
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
// the value which is wrong, or its path from there, "" for all of it.
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
	given := make(map[string]bool)
	for _, p := range pairs {
		f, is := known[p.name]
		if !is {
			r.unclear[path] = true
			r.hide(p.node)
			r.problem(p.key, path, "there is no key %q; there are %s", foreign.Line(p.name, 100), strings.Join(slices.Sorted(maps.Keys(known)), ", "))
			continue
		}
		if p.node.Type() != ast.NullType {
			given[p.name] = true
		}
		r.value(p.node, into.FieldByIndex(f.index), join(path, p.name), f)
	}
	for _, f := range fields {
		if f.need && !given[f.key] && !slices.Contains(r.spared, join(path, f.key)) {
			r.problem(node, path, "the key %q is missing", f.key)
			r.wrong[join(path, f.key)] = len(r.problems)
		}
	}
	if c, is := into.Addr().Interface().(checked); is {
		before := len(r.problems)
		c.check(func(key, format string, args ...any) { r.report(node, path, key, before, fmt.Sprintf(format, args...)) })
	}
}

// report takes what a checked value says of one of its keys, but for what comes of one
// of the problems that were there before.
func (r *reader) report(node ast.Node, path, key string, before int, text string) {
	under := join(path, key)
	if n := r.wrong[under]; key != "" && n > 0 && n <= before {
		return
	}
	switch at := r.nodes[under]; {
	case key != "" && at != nil:
		r.problem(at, under, "%s", text)
	case r.unclear[path]: // what is missing may be there under another name
	case key != "":
		r.problem(node, path, "%s %s", key, text)
	default:
		r.problem(node, path, "%s", text)
	}
}

func join(path, key string) string {
	if path == "" || key == "" {
		return path + key
	}
	return path + "." + key
}

// list reads a list, or one value in place of a list of one.
func (r *reader) list(node ast.Node, into reflect.Value, path string, f field) {
	f.none = false // that is of all of it
	s, is := node.(*ast.SequenceNode)
	if !is {
		_, single := scalars[into.Type().Elem()]
		if _, scalar := node.(ast.ScalarNode); scalar && !single && into.Type().Elem().Kind() == reflect.Struct {
			r.hide(node)
			r.problem(node, path, "is a single value, where a list should be: begin each of its entries with a -")
			return
		}
		one := reflect.New(into.Type().Elem()).Elem()
		r.value(node, one, path, f)
		into.Set(reflect.Append(reflect.MakeSlice(into.Type(), 0, 1), one))
		return
	}
	before := len(r.problems)
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
	if _, single := scalars[into.Type().Elem()]; !single || len(r.problems) == before {
		into.Set(all)
	}
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
		if args = words; len(r.problems) == before && into.Type() == reflect.TypeFor[Command]() {
			err = command.Find(args[0])
		}
	} else if text, ok := r.text(node, path, field{}); ok {
		split := command.Parse
		if into.Type() == reflect.TypeFor[Words]() {
			split = command.Split
		}
		args, err = split(text)
	}
	if err != nil {
		r.problem(node, path, "%v", err)
		return
	}
	into.Set(reflect.ValueOf(args).Convert(into.Type()))
}

// scalar reads a text, a number or a truth value, as it is written.
func (r *reader) scalar(node ast.Node, into reflect.Value, path string, f field) {
	if b, is := node.(*ast.BoolNode); is {
		into.Set(reflect.ValueOf(Scalar{b.Value}))
		return
	}
	text, ok := r.text(node, path, f)
	if !ok {
		return
	}
	value := Scalar{text}
	switch node.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		if _, err := parseDecimal(text); err != nil {
			r.problem(node, path, "%v", err)
			return
		}
		value.Value = json.Number(text) // with all its digits
	}
	into.Set(reflect.ValueOf(value))
}

// json reads any value as the JSON that means the same.
func (r *reader) json(node ast.Node, into reflect.Value, path string) {
	var v any
	err := yaml.NodeToValue(node, &v)
	var text []byte
	if err == nil {
		text, err = json.Marshal(r.expandAll(node, path, v))
	}
	if err != nil {
		r.problem(node, path, "cannot be written as JSON")
		return
	}
	into.SetBytes(text)
}

// expandAll expands all texts of a value.
func (r *reader) expandAll(node ast.Node, path string, v any) any {
	switch v := v.(type) {
	case string:
		v, _ = r.expand(node, path, v)
		return v
	case []any:
		for i := range v {
			v[i] = r.expandAll(node, path, v[i])
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			v[key] = r.expandAll(node, path, v[key])
		}
	}
	return v
}
