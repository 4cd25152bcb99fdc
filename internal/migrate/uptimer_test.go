package migrate

import (
	"errors"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/supervisor-checks/supervisor-checks/internal/config"
)

// goldenUptimer calls do with each archive in testdata/uptimer. The one without text in its
// first file is for the environment.
func goldenUptimer(t *testing.T, do func(t *testing.T, a *txtar.Archive, s Source, file string)) {
	t.Helper()
	files, err := filepath.Glob("testdata/uptimer/*.txtar")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := source(a)
			if len(a.Files[0].Data) == 0 {
				s.Path = ""
			}
			do(t, a, s, file)
		})
	}
}

func TestUptimer(t *testing.T) {
	goldenUptimer(t, func(t *testing.T, a *txtar.Archive, s Source, file string) {
		r, err := Uptimer(s, "/etc/supervisor-checks.yaml")
		compare(t, a, file, r, err)
		for _, text := range append(r.Problems, r.File) {
			if found := secrets.FindString(text); found != "" {
				t.Errorf("%q is in\n%s", found, text)
			}
		}
	})
}

// tlsFiles are those of certificates, which are not there.
var tlsFiles = regexp.MustCompile(`tls: \{ca_file[^}]*\}`)

// anything is a file that has more than comments.
var anything = regexp.MustCompile(`(?m)^(probes|sinks):`)

func TestUptimersFilesAreValid(t *testing.T) {
	goldenUptimer(t, func(t *testing.T, a *txtar.Archive, s Source, _ string) {
		r, err := Uptimer(s, "x")
		if err != nil || !anything.MatchString(r.File) {
			return
		}
		text := tlsFiles.ReplaceAllString(r.File, "tls: {}")
		if file, err := config.Read("file", []byte(text), func(name string) (string, bool) {
			return "postgres://u:p@h/d", name == "DATABASE_URL" || strings.HasPrefix(name, "SUPERVISOR_CHECKS_SECRET_")
		}); err != nil {
			t.Error(err)
		} else if probes, err := file.BuildProbes(nil); err != nil || len(probes) != strings.Count(text, "\n    http: ") {
			t.Errorf("error %v, and %d probes of\n%s", err, len(probes), text)
		}
	})
}

func TestUptimersFileThatCannotBeRead(t *testing.T) {
	denied := errors.New("permission denied")
	_, err := Uptimer(Source{Path: "x", ReadFile: func(string) ([]byte, error) { return nil, denied }}, "y")
	if !errors.Is(err, denied) {
		t.Errorf("got %v", err)
	}
}

func TestReadVariables(t *testing.T) {
	environment := func(name string) (string, bool) { return "env", name == "E" }
	for _, tt := range []struct {
		text, want string // of X
		problems   []string
	}{
		{"X=a", "a", nil},
		{"export X=a Y=b", "a", nil},
		{"  X='a b'\"c $E\"d\\ e # f", "a bc envd e", nil},
		{"X=a#b", "a#b", nil},
		{"X=\"a\\\"b\\$c\\d\\\\\"", `a"b$c\d\`, nil},
		{"X='a\nb'\r\nY=1", "a\nb", nil},
		{"X=a\\\nb", "ab", nil},
		{"X=1; X=${X}2$X", "121", nil},
		{"X=5$", "5$", nil},
		{"X=\nexport X", "", nil},
		{"X=a\nset -a\n", "a", []string{"f:2: is no NAME=VALUE, and left out: nothing is run here"}},
		{"set -a; X=a", "", []string{"f:1: is no NAME=VALUE, and left out: nothing is run here"}},
		{"\nX=$(a)", "", []string{"f:2: has a command in a value, and nothing is run here: give the value", "f:2: has a ( without quotes", "f:2: has a ) without quotes"}},
		{"X=$N", "", []string{"f:1: needs the variable N, which the environment does not have"}},
		{"X=${E:-1}", "", []string{"f:1: has a ${ that is more than a variable: give the value"}},
		{"X=1234567\n" + strings.Repeat("X=$X$X$X$X$X$X$X$X\n", 6), "", []string{"f:7: has a value of more than 1048576 bytes"}},
		{"X='a", "", []string{"f:1: a ' is not closed"}},
	} {
		set, problems := readVariables("f", []byte(tt.text), environment)
		var got []string
		for _, p := range problems {
			got = append(got, p.String())
		}
		if diff := gocmp.Diff(tt.problems, got); diff != "" || set["X"].value != tt.want {
			t.Errorf("%q: got %q, want %q (-want +got)\n%s", tt.text, set["X"].value, tt.want, diff)
		}
	}
}

func TestListItems(t *testing.T) {
	for _, tt := range []struct {
		value string
		want  []item
	}{
		{"", nil},
		{"[]", nil},
		{"a", []item{{"a", true}}},
		{`"a, b"`, []item{{"a, b", false}}},
		{`[ "a", 'b''c', d e, ]`, []item{{"a", false}, {"b'c", false}, {"d e", true}}},
		{`["\"\\\n\d\u00e9\u00"]`, []item{{"\"\\\n\\dé\\u00", false}}},
		{"[a-z]", []item{{"a-z", true}}},
		{"[a-z]+", []item{{"[a-z]+", true}}},
		{"[a][b]", []item{{"[a][b]", true}}},
		{`["a" "b"]`, []item{{`["a" "b"]`, true}}},
		{`["a]`, []item{{`["a]`, true}}},
		{"[a,,b]", []item{{"[a,,b]", true}}},
		{"- a\n- 'b'", []item{{"a", true}, {"b", false}}},
		{"- a\nb", []item{{"- a\nb", true}}},
		{"status: ok", []item{{"status: ok", true}}},
		{`"a" or "b"`, []item{{`"a" or "b"`, true}}},
	} {
		if got := listItems(tt.value); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %+v, want %+v", tt.value, got, tt.want)
		}
	}
}

func FuzzUptimer(f *testing.F) {
	archives, err := filepath.Glob("testdata/uptimer/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range archives {
		a, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(a.Files[0].Data), "")
	}
	f.Add("", "[a-z]+")
	f.Fuzz(func(t *testing.T, text, regexes string) {
		r, err := Uptimer(Source{
			Path:     "x",
			ReadFile: func(string) ([]byte, error) { return []byte("PROBE_URLS='https://a.example'\n" + text), nil },
			Environment: func(name string) (string, bool) {
				return regexes, name == "R"
			},
		}, "y")
		if err != nil || r.File == "" {
			return
		}
		probes, _, _ := strings.Cut(r.File, "sinks:\n")
		if !strings.Contains(probes, "probes:\n") {
			return
		}
		if _, err := config.Read("y", []byte(probes), func(string) (string, bool) { return "1", true }); err != nil {
			t.Errorf("%v\n%s", err, r.File)
		}
	})
}
