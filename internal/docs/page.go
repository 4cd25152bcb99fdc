package main

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"github.com/supervisor-checks/supervisor-checks/internal/cli"
)

// notice tells readers of a page's source where it comes from.
const notice = "<!-- Written by make docs from the options of the programs. -->\n"

// description is what there is to say of a program.
type description struct {
	name, short, use string
	long             string // its paragraphs, but for the last
	exit             string // the last: its exit status
	example          string
	language         string // of the example
	sections         []section
}

type section struct {
	title   string
	kind    string // of what options are: "option"
	options []option
}

type option struct {
	names []string // "-u", "--url"
	value string   // "URL", or "" if it takes none
	usage string   // with its default
}

func describe(p *cli.Program) (description, error) {
	d := description{name: p.Name(), short: p.Short, use: p.UseLine(), example: p.Example, language: "sh"}
	var found bool
	if d.long, d.exit, found = strings.Cut(p.Long, "\n\nExit status: "); !found || d.short == "" || d.example == "" {
		return d, fmt.Errorf("%s: its help must have a summary, an example and, as its last paragraph, the exit status", d.name)
	}
	if strings.HasPrefix(d.example, "[") {
		d.language = "ini"
	}
	for _, s := range p.Sections {
		described := section{title: s.Title, kind: "option"}
		if len(s.Terms) > 0 {
			described.kind = ""
		}
		s.Flags.VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				described.options = append(described.options, describeOption(f))
			}
		})
		for _, t := range s.Terms {
			described.options = append(described.options, option{names: []string{t.Word}, usage: t.Text})
		}
		d.sections = append(d.sections, described)
	}
	return d, nil
}

func describeOption(f *pflag.Flag) option {
	o := option{names: []string{"--" + f.Name}}
	if f.Shorthand != "" {
		o.names = []string{"-" + f.Shorthand, "--" + f.Name}
	}
	o.value, o.usage = pflag.UnquoteUsage(f)
	// What --help has after the usage is the default, if it is shown.
	alone := pflag.NewFlagSet("", pflag.ContinueOnError)
	alone.AddFlag(f)
	_, shown, _ := strings.Cut(alone.FlagUsages(), o.usage)
	o.usage += strings.TrimRight(shown, "\n")
	return o
}

// markdown writes the page for people who look at the sources.
func (d description) markdown(w io.Writer) error {
	fmt.Fprintf(w, "%s\n# %s\n\n%s\n\n```\n%s\n```\n", notice, d.name, escape(d.long), d.use)
	fmt.Fprintf(w, "\n## Example\n\n```%s\n%s\n```\n", d.language, d.example)
	for _, s := range d.sections {
		fmt.Fprintf(w, "\n## %s\n\n| %s | |\n|---|---|\n", s.title, s.kind)
		for _, o := range s.options {
			names := "`" + strings.Join(o.names, "`, `") + "`"
			if o.value != "" {
				names += " *" + o.value + "*"
			}
			fmt.Fprintf(w, "| %s | %s |\n", names, escape(o.usage))
		}
	}
	_, err := fmt.Fprintf(w, "\n## Exit status\n\n%s\n", escape(d.exit))
	return err
}

// man writes what go-md2man makes a man page of. It has no date, which would be
// another one each day.
func (d description) man(w io.Writer) error {
	escape := func(s string) string { return strings.ReplaceAll(escape(s), "…", "...") } // terminals that know ASCII only
	fmt.Fprintf(w, "%% %q \"1\" \"\" \"supervisor-checks %s\" \"User Commands\"\n", d.name, cli.Version)
	fmt.Fprintf(w, "# NAME\n%s - %s\n", d.name, strings.TrimSuffix(uncapitalized(d.short), "."))
	fmt.Fprintf(w, "# SYNOPSIS\n**%s**%s\n", d.name, escape(strings.TrimPrefix(d.use, d.name)))
	fmt.Fprintf(w, "# DESCRIPTION\n%s\n# OPTIONS\n", escape(d.long))
	for _, s := range d.sections {
		fmt.Fprintf(w, "### %s\n", s.title)
		for _, o := range s.options {
			names := "**" + strings.Join(o.names, "**, **") + "**"
			if o.value != "" {
				names += " *" + o.value + "*"
			}
			fmt.Fprintf(w, "%s\n: %s\n\n", names, escape(o.usage))
		}
	}
	fmt.Fprintf(w, "# EXIT STATUS\n%s\n", escape(d.exit))
	_, err := fmt.Fprintf(w, "# EXAMPLE\n```\n%s\n```\n", d.example)
	return err
}

// escape makes text of what would mean something in Markdown.
func escape(s string) string {
	return strings.NewReplacer(`\`, `\\`, "`", "\\`", "*", `\*`, "[", `\[`, "]", `\]`, "<", `\<`, "|", `\|`, "~", `\~`).Replace(s)
}

func uncapitalized(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToLower(first)) + s[size:]
}
