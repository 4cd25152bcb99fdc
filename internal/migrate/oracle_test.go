package migrate

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// python says where the programs of the Python package are, and a Python that has
// supervisor.
const pythonVariable = "PYTHON_SUPERVISOR_CHECKS"

// interpreter returns a Python that has supervisor.
func interpreter(t *testing.T) string {
	t.Helper()
	for _, path := range []string{filepath.Join(os.Getenv(pythonVariable), "python3"), "/usr/bin/python3"} {
		if exec.Command(path, "-c", "import supervisor.options").Run() == nil {
			return path
		}
	}
	t.Skip("NOT TESTED against supervisord: no Python here has supervisor")
	return ""
}

// seen is what supervisord makes of a configuration.
type seen struct {
	Processes [][2]string
	Listeners map[string]struct {
		Events      []string
		Commands    [][]string
		Environment map[string]string
	}
}

// ask has supervisord's own code read a configuration.
func ask(t *testing.T, python, file string, environment []string) (s seen, err error) {
	t.Helper()
	oracle, err := filepath.Abs("testdata/oracle.py")
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(python, oracle, file)
	cmd.Dir = t.TempDir()
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=/", "LC_ALL=C.UTF-8"}, environment...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		return s, fmt.Errorf("%w: %s", err, slices.MaxFunc(lines, func(a, b string) int { return cmp.Compare(strings.Index(a, "Error"), strings.Index(b, "Error")) }))
	}
	return s, json.Unmarshal(stdout.Bytes(), &s)
}

// absolute are the beginnings of paths that tests have in a folder of their own.
var absolute = regexp.MustCompile(`/(etc|var|opt)/`)

// unpack writes the configuration of an archive into a folder and returns the path of
// its first file, and its environment.
func unpack(t *testing.T, a *txtar.Archive) (dir, file string, environment []string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "migrate") // short, for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, sub := range []string{"var/log/supervisor", "var/run", "var/lib"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range a.Files {
		switch f.Name {
		case wantPart, problemsPart:
			continue
		case environmentPart:
			environment = strings.Fields(string(f.Data))
			continue
		}
		path := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, absolute.ReplaceAll(f.Data, []byte(dir+"/$1/")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, filepath.Join(dir, a.Files[0].Name), environment
}

// lookup looks up a variable.
func lookup(environment []string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for _, e := range environment {
			if value, is := strings.CutPrefix(e, name+"="); is {
				return value, true
			}
		}
		return "", false
	}
}

// refused are configurations that supervisord does not take.
var refused = []string{"broken", "broken_include", "ours_differ", "unquoted", "untranslated"}

// TestConfigurationsAreReadAsSupervisordReadsThem compares processes, and the command
// lines and environments of listeners, with what supervisord's own code says of them.
func TestConfigurationsAreReadAsSupervisordReadsThem(t *testing.T) {
	python := interpreter(t)
	golden(t, func(t *testing.T, a *txtar.Archive, file string) {
		t.Parallel()
		_, path, environment := unpack(t, a)
		want, err := ask(t, python, path, environment)
		if expected := slices.Contains(refused, strings.TrimSuffix(filepath.Base(file), ".txtar")); err != nil || expected {
			if err == nil || !expected {
				t.Errorf("supervisord says %v", err)
			}
			return
		}
		h, err := read(Source{Path: path, ReadFile: os.ReadFile, Glob: filepath.Glob, Environment: lookup(environment)})
		if err != nil || len(h.problems) > 0 {
			t.Fatal(h.problems, err)
		}
		var processes [][2]string
		for _, p := range h.processes {
			processes = append(processes, [2]string{p.group, p.name})
		}
		byName := func(a, b [2]string) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) }
		slices.SortFunc(processes, byName)
		slices.SortFunc(want.Processes, byName)
		if diff := gocmp.Diff(want.Processes, processes); diff != "" {
			t.Errorf("processes (-supervisord's +ours)\n%s", diff)
		}
		if len(h.listeners) != len(want.Listeners) {
			t.Errorf("%d listeners, want %d", len(h.listeners), len(want.Listeners))
		}
		for _, l := range h.listeners {
			theirs := want.Listeners[l.name]
			commands := l.commands
			for _, words := range commands {
				for i, word := range words {
					words[i] = h.resolve(word)
				}
			}
			if diff := gocmp.Diff(theirs.Commands, commands); diff != "" {
				t.Errorf("%s (-supervisord's +ours)\n%s", l.name, diff)
			}
			for _, s := range l.sets {
				if value := h.resolve(s.value); theirs.Environment[s.name] != value {
					t.Errorf("%s: %s=%q, want %q", l.name, s.name, value, theirs.Environment[s.name])
				}
			}
		}
	})
}

// TestSectionsAreWhatSupervisordTakes has supervisord's own code read the sections
// that are to take the place of the others.
func TestSectionsAreWhatSupervisordTakes(t *testing.T) {
	python := interpreter(t)
	golden(t, func(t *testing.T, a *txtar.Archive, _ string) {
		t.Parallel()
		s := source(a)
		r, err := Run(s, "/etc/50% off.yaml")
		if err != nil || r.File == "" {
			return
		}
		_, comments, _ := strings.Cut(r.File, "\n# [eventlistener:")
		section := strings.ReplaceAll("[eventlistener:"+comments, "\n# ", "\n")
		section = strings.Replace(section, "user=web\n", "", 1) // whom there is not
		section = strings.Replace(section, "/var/log/supervisor/", "/tmp/", 1)
		path := filepath.Join(t.TempDir(), "s.conf")
		if err := os.WriteFile(path, []byte("[supervisord]\n"+section), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := ask(t, python, path, strings.Fields(part(a, environmentPart)))
		if err != nil || len(got.Listeners) != 1 {
			t.Fatalf("%v\n%s", err, section)
		}
		for _, l := range got.Listeners {
			if diff := gocmp.Diff([][]string{{"/usr/local/bin/supervisor_checks", "run", "--config", "/etc/50% off.yaml"}}, l.Commands); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			h, err := read(s)
			if err != nil {
				t.Fatal(err)
			}
			for _, before := range h.listeners {
				for _, set := range before.sets {
					now, kept := l.Environment[set.name]
					if kept && now != "FILL IN" && now != h.resolve(set.value) && set.value != "de" { // as which LANG is refused
						t.Errorf("%s is %q, was %q", set.name, now, set.value)
					}
				}
			}
		}
	})
}

// TestLinesAreReadAsPythonReadsThem compares the pieces with Python's, where whole
// configurations do not come.
func TestLinesAreReadAsPythonReadsThem(t *testing.T) {
	python := interpreter(t)
	const script = `
import json, shlex, sys
from supervisor.options import UnhosedConfigParser
from supervisor.datatypes import dict_of_key_value_pairs
given = json.load(sys.stdin)
def split(line):
    try:
        return shlex.split(line)
    except ValueError:
        return None
def parse(text):
    parser = UnhosedConfigParser()
    try:
        parser.read_string(text)
    except Exception:
        return None
    return {s: dict(parser.items(s)) for s in parser.sections()}
def pairs(text):
    try:
        return dict_of_key_value_pairs(text)
    except ValueError:
        return None
print(json.dumps([[split(x) for x in given[0]], [parse(x) for x in given[1]], [pairs(x) for x in given[2]]]))
`
	commands := []string{
		`a b`, ` a  b `, "a\n\tb", `a 'b c' "d e"`, `a"b"'c'`, `a ''`, `""`, ``, `a \ b`, `a \"b`, `"a\"b\\c\d\$"`, `'a\b'`, `a\\d`, `a \x`,
		"a \\\nb", `'open`, `"open`, `"open\`, `end\`, `a#b #c`, `é 'ü'`, "a\vb", `a;b|c&d`, `-p web_([0-9]+)`, `{"a": 1}`, `a\ `, `"\\"`, `'a'"b"c\ d`,
	}
	texts := []string{
		"[a]\nb=c", "[a]\nb = c ; d", "[a]\nb=c;d", "[a]\nb=c #d", "[a]\nb=c#d # e", "[a]\n; b\n # c\nd=e", "[a]\nb=c\n d\n\te", "[a]\nb=c\n\n d\n", "[a]\nb=\n c\n d",
		"[a]\nb: c=d", "[a]\nb=c:d", "[a]\nB=c", "[a]\nb =c\nb= d", "[a]\nb=1\n[c]\nd=2\n[a]\ne=3", "[a] ; x\nb=c", "[a]b]\nc=d", "[ a ]\nb=c", "x=1", "[a]\nx", "[a]\n=x",
		"[a]\nb=c\n  ; d\n  e ; f\n;g\n  h", "[a]\r\nb=c\r\n d\r\n", "[a]\nb=;c", "[a]\nb= ;c", "[DEFAULT]\nz=1\n[a]\nb=2", "[a]\nb=c ;d;e #f", "[a]\nb=c;d #e", "[a]\nb=#;\t;c",
		"[a]\n  b=1\n  c=2\n   d=3", "  [a]\n b=1", "[a]\nb=1\n [c]\nd=2", "", "\n\n", "[a]\nb=%(x)s %% é", "[a]\nb=c\u00a0;d", "\ufeff[a]\nb=c", "[]\na=b", "[a\nb=c", "[a]\nb[0]=1",
		"[a]\nb=c\n\td=e\nf=g",
	}
	pairs := []string{"", `A=b`, `A=b,C=d`, `A="b,c",D='e f'`, ` A = b , C = d `, `A=""`, `A=/x/y.z-1+2:3(4)`, "A=b,\n C=d", `A="x=y"`, `A=b,`}
	given, err := json.Marshal([]any{commands, texts, pairs})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-c", script)
	cmd.Stdin = bytes.NewReader(given)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var words [][]string
	var documents, sets []map[string]any
	if err := json.Unmarshal(out, &[]any{&words, &documents, &sets}); err != nil {
		t.Fatal(err)
	}
	for i, line := range commands {
		got, lost, err := split(line)
		if err != nil {
			got = nil
		} else if got == nil {
			got = []string{}
		}
		if lost {
			continue // kept what Python loses
		}
		if diff := gocmp.Diff(words[i], got); diff != "" {
			t.Errorf("%q (-Python's +ours)\n%s", line, diff)
		}
	}
	for i, text := range texts {
		var d document
		problems := d.add("x", []byte(text))
		if (documents[i] == nil) != (len(problems) > 0) {
			t.Errorf("%q: Python refuses it is %v, and we say %v", text, documents[i] == nil, problems)
		}
		if len(problems) > 0 {
			continue
		}
		got := make(map[string]any)
		for _, s := range d.sections {
			options := make(map[string]any)
			for _, from := range []*section{d.byName[defaults], s} {
				if from != nil {
					for key, o := range from.options {
						options[key] = strings.Join(strings.Fields(o.value), " ")
					}
				}
			}
			got[s.name] = options
		}
		for _, options := range documents[i] {
			for key, value := range options.(map[string]any) {
				options.(map[string]any)[key] = strings.Join(strings.Fields(value.(string)), " ")
			}
		}
		if diff := gocmp.Diff(documents[i], got); diff != "" {
			t.Errorf("%q (-Python's +ours)\n%s", text, diff)
		}
	}
	for i, text := range pairs {
		all, err := assignments(text)
		got := make(map[string]any)
		for _, a := range all {
			got[a.name] = a.value
		}
		if err != nil {
			got = nil
		}
		if diff := gocmp.Diff(sets[i], got); diff != "" {
			t.Errorf("%q (-Python's +ours)\n%s", text, diff)
		}
	}
}
