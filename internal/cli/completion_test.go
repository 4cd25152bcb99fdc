package cli

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// What a shell asks a program for is its options, and words, files or folders
// for their values.
func TestCompletions(t *testing.T) {
	const files, nothing, folders = ":0", ":4", ":16"
	for _, test := range []struct {
		line string // ends where it is completed
		want []string
	}{
		{"supervisor_http_check --time", []string{"--timeout\thow long one try may take, in seconds or as 1.5s, 2m", nothing}},
		{"supervisor_http_check -n x -p 80 --ur", []string{"--url\tURL to ask for: a path with its query (required)", nothing}},
		{"supervisor_http_check --timeout 5 --time", []string{nothing}},
		{"supervisor_http_check --once --process-g", []string{"--process-group\twatch all processes of this GROUP; may be repeated", nothing}},
		{"supervisor_http_check -g web --process-g", []string{"--process-group\twatch all processes of this GROUP; may be repeated", nothing}},
		{"supervisor_http_check --output ", []string{"table", "json", "yaml", "nagios", "cloudprober", "studio", nothing}},
		{"supervisor_http_check --output=j", []string{"table", "json", "yaml", "nagios", "cloudprober", "studio", nothing}}, // of which the shell takes one
		{"supervisor_http_check --out ", []string{"table", "json", "yaml", "nagios", "cloudprober", "studio", nothing}},
		{"supervisor_http_check --log-format ", []string{"text", "json", nothing}},
		{"supervisor_http_check --log-level ", []string{"debug", "info", "warn", "error", nothing}},
		{"supervisor_http_check --scheme ", []string{"http", "https", nothing}},
		{"supervisor_http_check --ca-file ", []string{files}},
		{"supervisor_http_check --password-file /etc/", []string{files}},
		{"supervisor_http_check --server-password-file ", []string{files}},
		{"supervisor_http_check --unix-socket ", []string{files}},
		{"supervisor_http_check --state-dir ", []string{folders}},
		{"supervisor_http_check --url ", []string{nothing}},
		{"supervisor_http_check -t ", []string{nothing}},
		{"supervisor_http_check ", []string{nothing}},
		{"supervisor_http_check we", []string{nothing}},
		{"supervisor_xmlrpc_check -s ", []string{files}},
		{"supervisor_xmlrpc_check -S ", []string{folders}},
		{"supervisor_memory_check --metric ", []string{"rss", "pss", "uss", nothing}},
		{"supervisor_memory_check --ms", []string{nothing}},
		{"supervisor_file_check -f ", []string{files}},
		{"supervisor_file_check -d ", []string{folders}},
		{"supervisor_script_check --protocol ", []string{"exit", "nagios", "cloudprober", "cloudprober-server", "json", nothing}},
		{"supervisor_script_check --dir ", []string{folders}},
		{"supervisor_complex_check -c ", []string{nothing}},
		{"supervisor_notify --root-dir ", []string{folders}},
	} {
		words := strings.Split(test.line, " ")
		status, stdout, _ := runProgram(t, words[0], append([]string{cobra.ShellCompRequestCmd}, words[1:]...)...)
		got := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
		if diff := cmp.Diff(test.want, got); status != exitOK || diff != "" {
			t.Errorf("%s: exit status %d (-want +got)\n%s", test.line, status, diff)
		}
	}
}

// Every program completes each of its options that --help shows.
func TestEveryOptionIsCompleted(t *testing.T) {
	for _, p := range Programs() {
		status, stdout, stderr := runProgram(t, p.Name(), cobra.ShellCompRequestCmd, "-")
		if status != exitOK || strings.Contains(stdout, "`") {
			t.Errorf("%s: exit status %d, output\n%s%s", p.Name(), status, stdout, stderr)
		}
		for _, s := range p.Sections {
			s.Flags.VisitAll(func(f *pflag.Flag) {
				offered := strings.Contains("\n"+stdout, "\n--"+f.Name+"\t") && strings.Contains("\n"+stdout, "\n-"+f.Shorthand)
				if offered == f.Hidden {
					t.Errorf("%s: --%s is offered: %v, hidden: %v", p.Name(), f.Name, offered, f.Hidden)
				}
			})
		}
	}
}

// A program takes what its example has.
func TestEveryExampleIsRight(t *testing.T) {
	for _, p := range Programs() {
		_, command, declared := strings.Cut(p.Example, "\ncommand=/usr/local/bin/")
		if !declared {
			continue // not a listener
		}
		command, _, _ = strings.Cut(command, "\n")
		out, err := exec.Command("sh", "-c", `printf '%s\n' `+command).Output()
		if err != nil {
			t.Fatal(err)
		}
		args := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
		status, stdout, stderr := runProgram(t, args[0], append(args[1:], "--dry-run", "--server-url", "http://supervisord", "--state-dir", t.TempDir()+"/state")...)
		if args[0] != p.Name() || status != exitOK || stdout != "READY\n" {
			t.Errorf("%s: exit status %d, log:\n%s", command, status, stderr)
		}
	}
}

// runProgram runs a program whose standard input is at its end.
func runProgram(t *testing.T, name string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	for _, p := range Programs() {
		if p.Name() == name {
			var out, err bytes.Buffer
			status = p.run(args, streams{strings.NewReader(""), &out, &err})
			return status, out.String(), err.String()
		}
	}
	t.Fatalf("there is no %s", name)
	return
}

// The scripts in docs make shells ask the programs.
func TestShells(t *testing.T) {
	for _, shell := range []struct {
		name, path string // of the script, for {}
		script     string
		tests      map[string]string // what a line is completed with
	}{
		{
			"bash", "bash/{}",
			// bash-completion may not be there: these are what the script uses of it.
			`. /usr/share/bash-completion/bash_completion 2>/dev/null || {
				_get_comp_words_by_ref() { words=("${COMP_WORDS[@]}") cword=$COMP_CWORD cur=${COMP_WORDS[COMP_CWORD]}; }
				__ltrim_colon_completions() { :; }
				_filedir() { COMPREPLY=($(compgen -d -- "$cur")); }
			}
			compopt() { :; } # which is for bash alone to call
			. "$1"
			COMP_LINE=$2; read -ra COMP_WORDS <<<"$2"; [[ $2 != *' ' ]] || COMP_WORDS+=('')
			COMP_POINT=${#COMP_LINE} COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_TYPE=9
			__start_{}
			printf '%s\n' "${COMPREPLY[@]}"`,
			map[string]string{"--vers": "--version", "--state-dir /et": "/etc", "--log-level i": "info", "--server-username ": ""},
		},
		{
			"fish", "fish/{}.fish",
			`source $argv[1]; complete -C "$argv[2]" | string replace -r '\t.*' ''; true`,
			map[string]string{"--vers": "--version", "--state-dir /et": "/etc/", "--log-level i": "info", "--server-username ": ""},
		},
		{
			"zsh", "zsh/_{}",
			// It completes in terminals only: this is whether it can read the script.
			`autoload -U compinit && compinit -u -D && . "$1" && print $+functions[_{}] $_comps[{}]`,
			map[string]string{"": "1 _{}"},
		},
	} {
		t.Run(shell.name, func(t *testing.T) {
			if _, err := exec.LookPath(shell.name); err != nil {
				t.Skipf("NOT TESTED: there is no %s", shell.name)
			}
			for _, p := range Programs() {
				if p.Name() == "supervisor_notify" && shell.name != "zsh" {
					continue // it has none of these options; its script differs in the name alone
				}
				fill := func(s string) string { return strings.ReplaceAll(s, "{}", p.Name()) }
				path, err := filepath.Abs(filepath.Join("../../docs/completions", fill(shell.path)))
				if err != nil {
					t.Fatal(err)
				}
				for line, want := range shell.tests {
					args := []string{"-c", fill(shell.script), shell.name, path, fill("{} ") + line}
					if shell.name == "fish" {
						args = append(args[:2], args[3:]...) // it has no $0
					}
					cmd := exec.Command(shell.name, args...)
					cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "GORACE=atexit_sleep_ms=10")
					cmd.Stderr = t.Output()
					got, err := cmd.Output()
					if err != nil || strings.TrimSpace(string(got)) != fill(want) {
						t.Errorf("%s: %q is completed with %q, error %v, want %q", p.Name(), line, got, err, fill(want))
					}
				}
			}
		})
	}
}
