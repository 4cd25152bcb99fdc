// Package cli has the small command-line programs, each a function that takes
// its arguments and streams and returns its exit status. They read the command
// lines of supervisor_checks' programs of the same names.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/internal/show"
	"github.com/supervisor-checks/supervisor-checks/runner"
)

// Version is what --version prints.
const Version = "0.1.0"

// Exit statuses.
const (
	exitOK        = 0
	exitUnhealthy = 1 // of --once; for a listener: it cannot go on
	exitUsage     = 2
	exitUnknown   = 3 // of --once
)

// streams are a program's standard streams.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// usageError is an error of the command line.
type usageError struct{ error }

// Program is a command with its options in sections, as --help shows them.
type Program struct {
	*cobra.Command
	Sections []Section
	do       func(context.Context, streams) (int, error)
	version  bool // is asked for
}

// Section is options, and what else there is to know, under a title of their own.
type Section struct {
	Title string
	Flags *pflag.FlagSet
	Terms []Term
}

// Term is a word with its explanation.
type Term struct{ Word, Text string }

// Programs returns all programs, for those who describe them.
func Programs() []*Program {
	return []*Program{newHTTP(), newTCP(), newXMLRPC(), newMemory(), newCPU(), newFile(), newScript(), newComplex(), newNotify()}
}

// newProgram returns a program whose command line is use. The last paragraph of
// long tells the exit status.
func newProgram(use, short, long string) *Program {
	p := &Program{Command: &cobra.Command{
		Use:               use,
		Short:             short,
		Long:              long,
		Args:              noArguments,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}}
	p.SetUsageFunc(func(c *cobra.Command) error {
		fmt.Fprintf(c.OutOrStderr(), "Usage:\n  %s\n", c.UseLine())
		for _, s := range p.Sections {
			fmt.Fprintf(c.OutOrStderr(), "\n%s:\n%s%s", s.Title, s.Flags.FlagUsagesWrapped(helpWidth), termUsages(s.Terms))
		}
		return nil
	})
	p.SetFlagErrorFunc(parseError)
	p.DisableFlagsInUseLine = true
	p.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	return p
}

// helpWidth is how many columns --help has.
const helpWidth = 100

// termUsages shows terms as the usages of options are shown.
func termUsages(terms []Term) string {
	const indent = 2
	widest := 0
	for _, t := range terms {
		widest = max(widest, len(t.Word))
	}
	var b strings.Builder
	for _, t := range terms {
		line := fmt.Sprintf("%*s%-*s", indent, "", widest+1, t.Word)
		for _, word := range strings.Fields(t.Text) {
			if len(line)+1+len(word) > helpWidth {
				b.WriteString(line + "\n")
				line = strings.Repeat(" ", indent+widest+1)
			}
			line += " " + word
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unrecognized arguments: %s", strings.Join(args, " "))}
	}
	return nil
}

// section adds options under a title of their own.
func (p *Program) section(title string, define func(*pflag.FlagSet)) {
	flags := pflag.NewFlagSet(title, pflag.ContinueOnError)
	flags.SortFlags = false
	define(flags)
	p.Sections = append(p.Sections, Section{Title: title, Flags: flags})
	p.Flags().AddFlagSet(flags)
	flags.VisitAll(p.complete)
}

// term explains a word in the last section.
func (p *Program) term(word, text string) {
	last := &p.Sections[len(p.Sections)-1]
	last.Terms = append(last.Terms, Term{word, text})
}

// complete tells shells what to offer for the value of an option: its words, or
// what its name for the value says.
func (p *Program) complete(f *pflag.Flag) {
	value, _ := pflag.UnquoteUsage(f)
	switch words, have := f.Annotations["words"]; {
	case have:
		p.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	case value == "FILE" || value == "PATH":
		p.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault))
	case value == "FOLDER":
		p.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs))
	}
}

// words tells that an option's value is one of these.
func words(f *pflag.FlagSet, name string, words ...string) {
	f.SetAnnotation(name, "words", words)
}

// does ends the description of a program, with what it does.
func (p *Program) does(do func(context.Context, streams) (int, error)) *Program {
	p.section("This program", func(f *pflag.FlagSet) {
		f.BoolP("help", "h", false, "print this and exit")
		f.BoolVar(&p.version, "version", false, "print the version and exit")
	})
	p.do = do
	return p
}

// run parses args, does what the program does, and turns what that returns into
// an exit status and, if it is an error, a line that says what is wrong.
func (p *Program) run(args []string, std streams) int {
	status := exitOK
	p.RunE = func(c *cobra.Command, _ []string) error {
		if p.version { // cobra's own way links text/template, and with it 1.5 MB
			fmt.Fprintf(std.out, "%s %s\n", p.Name(), Version)
			return nil
		}
		if err := p.missing(); err != nil {
			return err
		}
		var err error
		status, err = p.do(c.Context(), std)
		return err
	}
	p.SetIn(std.in)
	p.SetOut(std.out)
	p.SetErr(std.err)
	p.SetArgs(args)
	p.Flags().SetNormalizeFunc(completeName)
	if len(args) > 0 && args[0] == cobra.ShellCompRequestCmd { // what shells run shows usages as they are
		p.Flags().VisitAll(func(f *pflag.Flag) { _, f.Usage = pflag.UnquoteUsage(f) })
	}
	err := p.swallowed(args)
	if err == nil {
		err = p.ExecuteContext(context.Background())
	}
	if err == nil {
		return status
	}
	name := p.Name()
	var refused *checks.ConfigError
	var usage usageError
	var config *runner.ConfigError
	var policy *runner.PolicyError
	text := err.Error()
	switch {
	case errors.As(err, &refused):
		text = fmt.Sprintf("argument %s: %s", p.option(refused.Field), reworded(refused, p.option))
	case errors.As(err, &policy):
		text = fmt.Sprintf("argument %s: %v", p.option(policy.Field), policy.Err)
	}
	fmt.Fprintf(std.err, "%s: error: %s\n", name, text)
	if errors.As(err, &usage) || errors.As(err, &refused) || errors.As(err, &policy) {
		fmt.Fprintf(std.err, "See %s --help.\n", name)
	}
	if output := p.Flags().Lookup("output"); output != nil && (show.WantsNagios(args) || output.Value.String() == "nagios") {
		fmt.Fprint(std.out, show.NagiosError(text))
		return show.ExitUnknown
	}
	if errors.As(err, &usage) || errors.As(err, &refused) || errors.As(err, &config) {
		return exitUsage
	}
	return max(status, 1)
}

// swallowed returns an error if an option would take another one, written out,
// for its value. As argparse has it, such a value is to follow a "=".
func (p *Program) swallowed(args []string) error {
	if len(args) == 0 || args[0] == cobra.ShellCompRequestCmd || args[0] == cobra.ShellCompNoDescRequestCmd {
		return nil
	}
	for i := 0; i+1 < len(args) && args[i] != "--"; i++ {
		option := p.awaits(args[i])
		if option == nil {
			continue
		}
		i++
		if name, long := strings.CutPrefix(args[i], "--"); long {
			if other := p.Flags().Lookup(name); other != nil && other.Name == name {
				return noValue(option)
			}
		}
	}
	return nil
}

// awaits returns the option in arg whose value is the next argument, or nil.
func (p *Program) awaits(arg string) *pflag.Flag {
	var option *pflag.Flag
	if name, long := strings.CutPrefix(arg, "--"); long {
		option = p.Flags().Lookup(name) // which none is that has its value after a "="
	} else if strings.HasPrefix(arg, "-") {
		for i := 1; i < len(arg); i++ {
			option = p.Flags().ShorthandLookup(arg[i : i+1])
			if option == nil || option.NoOptDefVal == "" && i+1 < len(arg) {
				return nil // it is not there, or the rest of arg is its value
			}
		}
	}
	if option == nil || option.NoOptDefVal != "" {
		return nil
	}
	return option
}

// required marks an option that must be given, or else one of instead.
func required(f *pflag.FlagSet, name string, instead ...string) {
	f.SetAnnotation(name, "required", instead)
}

// missing returns an error that names the required options that were not given.
func (p *Program) missing() error {
	var names []string
	for _, s := range p.Sections {
		s.Flags.VisitAll(func(f *pflag.Flag) {
			instead, isRequired := f.Annotations["required"]
			if isRequired && !f.Changed && !slices.ContainsFunc(instead, p.Flags().Changed) {
				shown := []string{optionName(f)}
				for _, other := range instead {
					if !p.Flags().Lookup(other).Hidden {
						shown = append(shown, other)
					}
				}
				names = append(names, strings.Join(shown, " or --"))
			}
		})
	}
	if len(names) > 0 {
		return usageError{fmt.Errorf("the following arguments are required: %s", strings.Join(names, ", "))}
	}
	return nil
}

// optionName returns how an option can be written: "-t/--timeout".
func optionName(f *pflag.Flag) string {
	if f.Shorthand != "" {
		return "-" + f.Shorthand + "/--" + f.Name
	}
	return "--" + f.Name
}

// option names the option for a field of a check's configuration.
func (p *Program) option(field string) string {
	named := "--" + field
	p.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Name == field && named == "--"+field || slices.Contains(f.Annotations["field"], field) {
			named = optionName(f)
		}
	})
	return named
}

// reworded returns the text of err with what name makes of the other fields that
// it names.
func reworded(err *checks.ConfigError, name func(field string) string) string {
	text := err.Err.Error()
	for _, other := range err.With {
		text = strings.ReplaceAll(text, other, name(other))
	}
	return text
}

// field tells that an option is for a field of another name.
func field(f *pflag.FlagSet, name, field string) {
	f.SetAnnotation(name, "field", []string{field})
}

// added marks a long option that supervisor_checks does not have, so that it
// cannot make a prefix ambiguous that is none there.
func added(f *pflag.FlagSet, names ...string) {
	for _, name := range names {
		f.SetAnnotation(name, "added", nil)
	}
}

// longOptions returns the options that name may stand for: the one of that
// name, or else all that begin with it, as Python's argparse allows: --time for
// --timeout.
func longOptions(f *pflag.FlagSet, name string) []string {
	var exact, ours, theirs []string
	f.VisitAll(func(f *pflag.Flag) {
		_, isAdded := f.Annotations["added"]
		switch {
		case f.Name == name:
			exact = append(exact, name)
		case !strings.HasPrefix(f.Name, name):
		case isAdded:
			ours = append(ours, f.Name)
		default:
			theirs = append(theirs, f.Name)
		}
	})
	switch {
	case len(exact) > 0:
		return exact
	case len(theirs) > 0:
		return theirs
	}
	return ours
}

// completeName is the parser's way to find the option of that name.
func completeName(f *pflag.FlagSet, name string) pflag.NormalizedName {
	if names := longOptions(f, name); len(names) == 1 {
		name = names[0]
	}
	return pflag.NormalizedName(name)
}

func noValue(f *pflag.Flag) error {
	return usageError{fmt.Errorf("argument %s: expected one argument", optionName(f))}
}

// parseError puts an error of the parser into argparse's words.
func parseError(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var missing *pflag.ValueRequiredError
	var refused *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "":
		err = fmt.Errorf("unrecognized arguments: -%s", unknown.GetSpecifiedShortnames())
	case errors.As(err, &unknown):
		name := unknown.GetSpecifiedName()
		err = fmt.Errorf("unrecognized arguments: --%s", name)
		if names := longOptions(c.Flags(), name); len(names) > 0 {
			err = fmt.Errorf("ambiguous option: --%s could be --%s", name, strings.Join(names, ", --"))
		}
	case errors.As(err, &missing):
		return noValue(missing.GetFlag())
	case errors.As(err, &refused):
		err = fmt.Errorf("argument %s: %w", optionName(refused.GetFlag()), refused.Unwrap())
	}
	return usageError{err}
}

// NewLog returns the log that --log-format and --log-level ask for.
func NewLog(w io.Writer, format, level string) (*slog.Logger, error) {
	var opts slog.HandlerOptions
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil || strings.ContainsAny(level, "+-") {
		return nil, usageError{fmt.Errorf("argument --log-level: %q is none of debug, info, warn, error", level)}
	}
	opts.Level = l
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, &opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, &opts)), nil
	}
	return nil, usageError{fmt.Errorf("argument --log-format: %q is neither text nor json", format)}
}
