package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const root = "../.."

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// block returns the code of the README that follows a comment.
func block(t *testing.T, comment string) string {
	t.Helper()
	_, rest, _ := strings.Cut(readme(t), "<!-- "+comment+" -->\n```")
	_, rest, _ = strings.Cut(rest, "\n")
	code, _, found := strings.Cut(rest, "```\n")
	if !found {
		t.Fatalf("the README has no code after %q", comment)
	}
	return code
}

// TestReadmeQuotes makes sure that what the README shows of a file is in it,
// that it shows no code that nothing runs, and names what of Debian is installed.
func TestReadmeQuotes(t *testing.T) {
	quotes := regexp.MustCompile("<!-- from (\\S+) -->\n```\\w*\n((?s:.*?))```\n").FindAllStringSubmatch(readme(t), -1)
	for _, quote := range quotes {
		file, err := os.ReadFile(filepath.Join(root, quote[1]))
		if err != nil {
			t.Error(err)
			continue
		}
		if !strings.Contains(string(file), quote[2]) {
			t.Errorf("the README shows this of %s, which is not in it:\n%s", quote[1], quote[2])
		}
	}
	makes := regexp.MustCompile(`(?m)^(?:sudo )?make ([a-z-]+)`).FindAllStringSubmatch(readme(t), -1)
	for _, target := range makes {
		if out, err := exec.Command("make", "-C", root, "-n", target[1]).CombinedOutput(); err != nil {
			t.Errorf("make %s: %v\n%s", target[1], err, out)
		}
	}
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	_, needs, _ := strings.Cut(string(makefile), "\nneed-supervisord:")
	needed := regexp.MustCompile(`([a-z0-9-]+) '`).FindAllStringSubmatch(needs, -1)
	if len(needed) < 10 {
		t.Errorf("the Makefile needs %q", needed)
	}
	for _, debian := range needed {
		if !strings.Contains(readme(t), "`"+debian[1]+"`") {
			t.Errorf("the README does not say that %s is installed", debian[1])
		}
	}
	const known = 7 // two of make, two logs, --once, history, go.mod
	if fences := strings.Count(readme(t), "\n```") / 2; fences != len(quotes)+known {
		t.Errorf("the README has %d blocks of code, want %d quotes of files and %d that are known here", fences, len(quotes), known)
	}
}

// TestCustomCheckOutside builds and tests the custom check as a module of its
// own, outside this one, as the README says.
func TestCustomCheckOutside(t *testing.T) {
	here, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"main.go", "main_test.go"} {
		text, err := os.ReadFile(filepath.Join(root, "examples/custom_check", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mod := "module example.com/mycheck\n\ngo 1.26.0\n\n" +
		strings.ReplaceAll(block(t, "the go.mod of TestCustomCheckOutside"), "../supervisor-checks", here)
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(mod), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"mod", "tidy"}, {"build", "./..."}, {"test", "./..."}} {
		cmd := exec.Command("go", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// TestOnce shows --once by hand.
func TestOnce(t *testing.T) {
	config := fmt.Sprintf(workers, "web", 1, 2)
	underEach(t, config, func(h *host) {
		processes, err := h.client.Processes(h.t.Context())
		if err != nil || len(processes) != 2 {
			h.t.Fatal(processes, err)
		}
		for _, p := range processes {
			h.running(p.Namespec())
		}
		bad := h.process(processes[0].Namespec())
		h.spoil(bad.PID)
		listens := regexp.MustCompile(processes[1].Namespec() + ` +http +healthy`)
		shown := block(h.t, "the output of TestOnce")
		line, want, _ := strings.Cut(shown, "\n")
		words := strings.Fields(strings.ReplaceAll(strings.TrimPrefix(line, "$ "), "'", ""))
		words[len(words)-1] = h.URL
		var got string
		h.until("--once finds that one unhealthy, and not the other", time.Minute, func() bool {
			var stdout bytes.Buffer
			cmd := exec.Command(filepath.Join(bin, words[0]), words[1:]...)
			cmd.Stdout = &stdout
			err = cmd.Run()
			got = stdout.String()
			return strings.Contains(got, "connection refused") && // and not what was just being accepted
				listens.MatchString(got) // a worker that has just begun may not listen yet
		})
		if code := err.(*exec.ExitError).ExitCode(); code != 1 {
			h.t.Errorf("exit status %d, want 1", code)
		}
		spaces := regexp.MustCompile(` +`)
		if got, want := spaces.ReplaceAllString(normalise(got), " "), spaces.ReplaceAllString(normalise(want), " "); got != want {
			h.t.Errorf("got\n%s\nand the README shows\n%s", got, want)
		}
		if now := h.process(bad.Namespec()); !now.SameRun(bad) {
			h.t.Errorf("--once restarted it: %+v", now)
		}
	})
}
