package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/supervisor-checks/supervisor-checks/internal/cli"
)

const root = "../.."

// Every command has its pages and completions, and nothing else has. Whether
// they are what make docs writes, make docs-diff tells.
func TestEveryCommandHasItsReference(t *testing.T) {
	commands := base(t, "cmd/*")
	for pattern, name := range map[string]func(string) string{
		"docs/cli/*.md":           func(s string) string { return s + ".md" },
		"docs/man/*":              func(s string) string { return s + ".1" },
		"docs/completions/bash/*": func(s string) string { return s },
		"docs/completions/zsh/*":  func(s string) string { return "_" + s },
		"docs/completions/fish/*": func(s string) string { return s + ".fish" },
	} {
		var want []string
		for _, command := range commands {
			want = append(want, name(command))
		}
		got := slices.DeleteFunc(base(t, pattern), func(s string) bool { return s == "README.md" })
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: list the command in cli.Programs, and run make docs (-want +got)\n%s", pattern, diff)
		}
	}
	index := read(t, "docs/cli/README.md")
	for _, command := range commands {
		if !strings.Contains(index, "- ["+command+"]("+command+".md) ") {
			t.Errorf("docs/cli/README.md has no line for %s", command)
		}
	}
}

// What is in the help is in the pages.
func TestPagesHaveWhatTheHelpHas(t *testing.T) {
	for _, p := range programs() {
		page, man := read(t, "docs/cli/"+p.Name()+".md"), read(t, "docs/man/"+p.Name()+".1")
		man = strings.NewReplacer(`\-`, "-", `\fB`, "", `\fI`, "", `\fP`, "", `\(aq`, "'", `\\`, `\`).Replace(man)
		has := func(what, inPage, inMan string) {
			t.Helper()
			if !strings.Contains(page, inPage) || !strings.Contains(man, inMan) {
				t.Errorf("%s: %s is in its page: %v, in its man page: %v, want both",
					p.Name(), what, strings.Contains(page, inPage), strings.Contains(man, inMan))
			}
		}
		has("the usage", "\n"+p.UseLine()+"\n", "\n"+p.UseLine()+"\n")
		has("the example", "\n"+p.Example+"\n```\n", ".EX\n"+p.Example+"\n.EE")
		has("the exit status", "\n## Exit status\n\n0 ", "\n.SH EXIT STATUS\n0 ")
		for _, s := range p.Sections {
			has(s.Title, "\n## "+s.Title+"\n", "\n.SS "+s.Title+"\n")
			for _, term := range s.Terms {
				has(term.Word, "\n| `"+term.Word+"` | "+term.Text+" |\n", "\n"+term.Word+"\n"+term.Text+"\n")
			}
			s.Flags.VisitAll(func(f *pflag.Flag) {
				switch {
				case !f.Hidden:
					has("--"+f.Name, "`--"+f.Name+"`", "--"+f.Name)
				case strings.Contains(page+man, f.Name):
					t.Errorf("%s: --%s is hidden, but not here", p.Name(), f.Name)
				}
			})
		}
	}
}

func TestOptions(t *testing.T) {
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	f.StringP("url", "u", "", "`URL` to ask for")
	f.String("scheme", "http", "`SCHEME`, or so")
	f.Int("tries", 2, "how often")
	f.Int("none", 0, "how often")
	f.Bool("once", false, "only `once`")
	for name, want := range map[string]option{
		"url":    {[]string{"-u", "--url"}, "URL", "URL to ask for"},
		"scheme": {[]string{"--scheme"}, "SCHEME", `SCHEME, or so (default "http")`},
		"tries":  {[]string{"--tries"}, "int", "how often (default 2)"},
		"none":   {[]string{"--none"}, "int", "how often"},
	} {
		if diff := cmp.Diff(want, describeOption(f.Lookup(name)), cmp.AllowUnexported(option{})); diff != "" {
			t.Errorf("--%s (-want +got)\n%s", name, diff)
		}
	}
}

// A program whose help lacks something cannot be described.
func TestIncompleteHelp(t *testing.T) {
	complete := cobra.Command{Use: "x", Short: "Does x.", Long: "Does x.\n\nExit status: 0.", Example: "x"}
	for name, spoil := range map[string]func(*cobra.Command){
		"":               func(*cobra.Command) {},
		"no summary":     func(c *cobra.Command) { c.Short = "" },
		"no exit status": func(c *cobra.Command) { c.Long = "Does x." },
		"no example":     func(c *cobra.Command) { c.Example = "" },
	} {
		c := complete
		spoil(&c)
		if err := write(t.TempDir(), []*cli.Program{{Command: &c}}); (err == nil) != (name == "") {
			t.Errorf("%q: error %v", name, err)
		}
	}
}

// What texts have of Markdown's signs is text.
func TestEscape(t *testing.T) {
	if got, want := escape("`a|b` *c* web_(\\d+) [d](e) ~f <g>"), "\\`a\\|b\\` \\*c\\* web_(\\\\d+) \\[d\\](e) \\~f \\<g>"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// man shows the man pages without a warning, on terminals that know ASCII only,
// too.
func TestManPagesRender(t *testing.T) {
	if out, err := exec.Command("man", "--version").CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "man 2.") {
		t.Skipf("NOT TESTED: man-db is not here (%v)", err)
	}
	for _, p := range programs() {
		for _, encoding := range []string{"UTF-8", "ASCII"} {
			var warnings strings.Builder
			cmd := exec.Command("man", "--warnings=w", "-E", encoding, "-l", filepath.Join(root, "docs/man", p.Name()+".1"))
			cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH=80", "MANPAGER=cat", "MAN_KEEP_FORMATTING=")
			cmd.Stderr = io.MultiWriter(&warnings, t.Output())
			shown, err := cmd.Output()
			if err != nil || warnings.Len() > 0 {
				t.Errorf("%s in %s: error %v, warnings:\n%s", p.Name(), encoding, err, &warnings)
			}
			for _, want := range []string{"NAME\n       " + p.Name() + " - ", "SYNOPSIS\n       " + p.Name(), "--help\n", "EXIT STATUS\n       0 "} {
				if !strings.Contains(string(shown), want) {
					t.Errorf("%s in %s: there is no %q in\n%s", p.Name(), encoding, want, shown)
				}
			}
		}
	}
}

// Root installs what was built, and need not have Go for that.
func TestInstall(t *testing.T) {
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("NOT TESTED: ", err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "docs"), os.DirFS(filepath.Join(root, "docs"))); err != nil {
		t.Fatal(err)
	}
	install := func() (string, error) {
		makefile, err := filepath.Abs(filepath.Join(root, "Makefile"))
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("make", "-f", makefile, "install", "GO=false", "PREFIX=/usr", "DESTDIR="+filepath.Join(dir, "to"))
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := install(); err == nil || !strings.Contains(out, "there is nothing in bin/: run make build first\n") {
		t.Errorf("without binaries: error %v\n%s", err, out)
	}
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bin", "supervisor_tcp_check"), []byte("x"), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := install(); err != nil {
		t.Errorf("with binaries: %v\n%s", err, out)
	}
	for _, name := range []string{"bin/supervisor_tcp_check", "share/man/man1/supervisor_tcp_check.1"} {
		if _, err := os.Stat(filepath.Join(dir, "to/usr", name)); err != nil {
			t.Error(err)
		}
	}
}

// base returns the names of the files that match a pattern.
func base(t *testing.T, pattern string) (names []string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, pattern))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no %s: %v", pattern, err)
	}
	for _, path := range paths {
		names = append(names, filepath.Base(path))
	}
	slices.Sort(names)
	return names
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
