package migrate

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/supervisor-checks/supervisor-checks/internal/config"
	"github.com/supervisor-checks/supervisor-checks/runner"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
	"github.com/supervisor-checks/supervisor-checks/supervisor/supervisortest"
)

var update = flag.Bool("update", false, "write what comes out into testdata")

// parts of an archive in testdata that are no files of the configuration.
const (
	environmentPart = "env"
	wantPart        = "want"
	problemsPart    = "problems"
)

// source is the configuration in an archive: its first file, and what that includes.
func source(a *txtar.Archive) Source {
	files := make(map[string][]byte)
	environment := make(map[string]string)
	for _, f := range a.Files {
		switch f.Name {
		case wantPart, problemsPart:
		case environmentPart:
			for line := range strings.Lines(string(f.Data)) {
				name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
				environment[name] = value
			}
		default:
			files[f.Name] = f.Data
		}
	}
	return Source{
		Path: a.Files[0].Name, Host: "host",
		ReadFile: func(name string) ([]byte, error) {
			text, is := files[name]
			if !is {
				return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
			}
			return text, nil
		},
		Glob: func(pattern string) (found []string, err error) {
			for name := range files {
				if ok, err := path.Match(pattern, name); err != nil {
					return nil, err
				} else if ok {
					found = append(found, name)
				}
			}
			return found, nil
		},
		Environment: func(name string) (string, bool) {
			value, is := environment[name]
			return value, is
		},
	}
}

// part returns one of an archive.
func part(a *txtar.Archive, name string) string {
	for _, f := range a.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

// golden calls do with each archive in testdata.
func golden(t *testing.T, do func(t *testing.T, a *txtar.Archive, file string)) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) < 16 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			do(t, a, file)
		})
	}
}

// compare holds what was made of an archive against what is in it, or writes that.
func compare(t *testing.T, a *txtar.Archive, file string, r Result, err error) {
	t.Helper()
	problems := strings.Join(r.Problems, "\n") + "\n"
	if err != nil {
		problems += fmt.Sprintf("error: %v\n", err)
	}
	problems = strings.TrimPrefix(problems, "\n")
	if *update {
		a.Files = slices.DeleteFunc(a.Files, func(f txtar.File) bool { return f.Name == wantPart || f.Name == problemsPart })
		a.Files = append(a.Files, txtar.File{Name: wantPart, Data: []byte(r.File)}, txtar.File{Name: problemsPart, Data: []byte(problems)})
		if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := gocmp.Diff(part(a, wantPart), r.File); diff != "" {
		t.Errorf("the file is not what it was; -update writes it (-want +got)\n%s", diff)
	}
	if diff := gocmp.Diff(part(a, problemsPart), problems); diff != "" {
		t.Errorf("the problems are not what they were; -update writes them (-want +got)\n%s", diff)
	}
}

func TestConfigurations(t *testing.T) {
	golden(t, func(t *testing.T, a *txtar.Archive, file string) {
		r, err := Run(source(a), "/etc/supervisor-checks.yaml")
		compare(t, a, file, r, err)
	})
}

// TestExample makes sure that examples/migrate is what it says.
func TestExample(t *testing.T) {
	const example = "../../examples/migrate/"
	r, err := Run(Source{
		Path:        "/etc/supervisor/supervisord.conf",
		ReadFile:    func(string) ([]byte, error) { return os.ReadFile(example + "supervisord.conf") },
		Environment: func(string) (string, bool) { return "", false },
	}, "/etc/supervisor-checks.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(example+"checks.yaml", []byte(r.File), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(example + "checks.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(string(want), r.File); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestFilesAreValid makes sure that what comes out can be used as it is: the file's
// reader takes it, its entries do not contradict each other, and the section sets the
// variables that supervisord has not.
func TestFilesAreValid(t *testing.T) {
	golden(t, func(t *testing.T, a *txtar.Archive, _ string) {
		s := source(a)
		r, err := Run(s, "/etc/supervisor-checks.yaml")
		if errors.Is(err, ErrNothing) || err == nil && r.File == "" {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		_, section, _ := strings.Cut(r.File, "# [eventlistener:")
		file, err := config.Read("file", []byte(r.File), func(name string) (string, bool) {
			value, is := s.Environment(name)
			return cmp.Or(value, "x"), is || strings.Contains(section, name+`="`)
		})
		if err != nil {
			t.Fatal(err)
		}
		cfg, _, err := file.Config(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		h, err := read(s)
		if err != nil {
			t.Fatal(err)
		}
		var programs []supervisortest.Program
		for _, p := range h.processes {
			programs = append(programs, supervisortest.Program{Group: p.group, Name: p.name})
		}
		srv := supervisortest.NewServer(supervisor.Python, programs...)
		defer srv.Close()
		cfg.Server, cfg.StateDir = srv.Config(), t.TempDir()
		found, err := runner.Match(context.Background(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if len(found.Contested) > 0 {
			t.Errorf("%q", found.Contested)
		}
		for _, pattern := range found.Unmatched {
			if !strings.Contains(r.File, "TRAP: no process of this configuration is picked by "+quote(pattern)) {
				t.Errorf("nothing says that %s picks no process", pattern)
			}
		}
	})
}

// secrets are the ones in testdata.
var secrets = regexp.MustCompile(`geheim|hunter|abcdef`)

func TestNoSecretIsCopied(t *testing.T) {
	golden(t, func(t *testing.T, a *txtar.Archive, _ string) {
		r, _ := Run(source(a), "/etc/supervisor-checks.yaml")
		for _, text := range append(r.Problems, r.File) {
			if found := secrets.FindString(text); found != "" {
				t.Errorf("%q is in\n%s", found, text)
			}
		}
	})
}

func TestFilesThatCannotBeRead(t *testing.T) {
	denied := errors.New("permission denied")
	const main = "[supervisord]\n[include]\nfiles=/a.ini /b.ini\n"
	s := Source{
		Path:        "/s.conf",
		Glob:        func(pattern string) ([]string, error) { return []string{pattern}, nil },
		Environment: func(string) (string, bool) { return "", false },
	}
	files := map[string]string{"/s.conf": main, "/b.ini": "[eventlistener:x]\ncommand=supervisor_tcp_check -n \xff -N x -p 80\nevents=TICK_60\n"}
	s.ReadFile = func(name string) ([]byte, error) {
		if text, is := files[name]; is {
			return []byte(text), nil
		}
		return nil, denied
	}
	r, err := Run(s, "")
	want := []string{
		"/s.conf:3: cannot be included: permission denied",
		"/b.ini:2: is not UTF-8, which supervisord refuses in most places: the line is left out",
	}
	if diff := gocmp.Diff(want, r.Problems); diff != "" || !errors.Is(err, ErrNothing) {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	clear(files)
	if _, err := Run(s, ""); !errors.Is(err, denied) {
		t.Errorf("got %v, want that the file itself cannot be read", err)
	}
}

func TestRelativePath(t *testing.T) {
	t.Chdir(t.TempDir())
	const text = "[supervisord]\n[eventlistener:x]\ncommand=%(here)s/supervisor_tcp_check -n x -N x -p 80\nevents=TICK_60\ndirectory=%(here)s\n"
	if err := os.WriteFile("s.conf", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Run(Source{Path: "s.conf", ReadFile: os.ReadFile, Glob: filepath.Glob, Environment: os.LookupEnv}, "x")
	here, _ := os.Getwd()
	if err != nil || !strings.Contains(r.File, "# directory="+here+"\n") {
		t.Errorf("%%(here)s is not %s: %v\n%s", here, err, r.File)
	}
}

func FuzzRun(f *testing.F) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range archives {
		a, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range a.Files {
			f.Add(string(file.Data))
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		lines := strings.Count(strings.ReplaceAll(text, "\r\n", "\n"), "\n") + strings.Count(text, "\r") + 1
		var d document
		problems := d.add("x", []byte(text))
		for _, s := range d.sections {
			for _, o := range slices.Collect(maps.Values(s.options)) {
				problems = append(problems, problem{at: o.at})
			}
			problems = append(problems, problem{at: s.at})
		}
		for _, p := range problems {
			if p.at.line < 1 || p.at.line > lines {
				t.Errorf("%v is no line of %d", p, lines)
			}
		}
		r, err := Run(Source{
			Path:        "x",
			ReadFile:    func(string) ([]byte, error) { return []byte(text), nil },
			Glob:        func(string) ([]string, error) { return nil, nil },
			Environment: func(string) (string, bool) { return "", false },
		}, "y")
		if r.File == "" || err != nil {
			return
		}
		if _, err := config.Read("y", []byte(r.File), func(string) (string, bool) { return "1", true }); err != nil && !strings.Contains(strings.Join(r.Problems, "\n"), "not valid") {
			t.Errorf("%v\n%s", err, r.File)
		}
	})
}
