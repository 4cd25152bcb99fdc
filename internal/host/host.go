// Package host is the program supervisor_checks: a listener that does what a file
// says, and commands that speak to running listeners.
package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/supervisor-checks/supervisor-checks/internal/cli"
	"github.com/supervisor-checks/supervisor-checks/internal/control"
	"github.com/supervisor-checks/supervisor-checks/internal/setting"
	"github.com/supervisor-checks/supervisor-checks/internal/show"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// Exit statuses.
const (
	exitOK      = 0
	exitFailed  = 1
	exitUsage   = 2
	exitNothing = 3 // no listener runs, or none watches what was named
)

// usageError is an error of the command line, and nothingError of what it is about.
type (
	usageError   struct{ error }
	nothingError struct{ error }
)

// ended is the end of a command with an exit status of its own, and why, if that is
// still to be said.
type ended struct {
	status int
	why    error
}

func (e ended) Error() string {
	if e.why == nil {
		return ""
	}
	return e.why.Error()
}

// Main runs supervisor_checks and returns its exit status.
func Main(args []string, stdout, stderr io.Writer) int {
	root := New().Command
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(context.Background())
	if err == nil {
		return exitOK
	}
	text := err.Error()
	var file fileError
	switch {
	case errors.As(err, &file):
		fmt.Fprintln(stderr, text) // a line for each thing, which begins with its name
	case text != "":
		fmt.Fprintf(stderr, "supervisor_checks: error: %s\n", text)
	}
	var usage usageError
	if errors.As(err, &usage) {
		fmt.Fprintln(stderr, "See supervisor_checks --help.")
	}
	if text != "" && show.WantsNagios(args) {
		fmt.Fprint(stdout, show.NagiosError(text))
		return show.ExitUnknown
	}
	return statusOf(err)
}

// statusOf is the exit status for an error.
func statusOf(err error) int {
	var file fileError
	var usage usageError
	var nothing nothingError
	var ends ended
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &ends):
		return ends.status
	case errors.As(err, &file), errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &nothing), errors.Is(err, show.ErrEnded):
		return exitNothing
	}
	return exitFailed
}

// asker is how a command finds its listeners and prints what they say.
type asker struct {
	stateDir string
	listener string
	output   string
	watch    string
}

// New returns the program, for Main and for those who describe it.
func New() *cli.Program {
	var a asker
	root := &cobra.Command{
		Use: "supervisor_checks COMMAND [option ...]",
		Example: `[eventlistener:checks]
command=/usr/local/bin/supervisor_checks run --config /etc/supervisor-checks.yaml
events=TICK_60
priority=-2
stdout_logfile=NONE
stderr_logfile=/var/log/checks.log`,
		Short: "Checks all processes of a supervisord as one file says, and speaks to running listeners.",
		Long: `Checks all processes of a supervisord as one file says, and speaks to running listeners: its own and
supervisor_http_check and the like, through the sockets in their state folder. For that it must be run
as the user of the listeners, or with the --state-dir that they have.

PROCESS is NAME (for NAME:NAME), GROUP:NAME, GROUP:* or * for all; * and ? may stand for parts of a name.

On a terminal tables are as wide as that ($COLUMNS beats what it says itself), and statuses have colours,
unless $NO_COLOR is set or $TERM is dumb; elsewhere no line is cut or wrapped. explain and once with --watch
look again every two seconds, or every 5 s with --watch=5s, until they are interrupted.

Exit status: 0 done, 1 it cannot go on, a listener could not be spoken to, or what a file says of names
does not fit the processes, 2 wrong command line or file, 3 no listener runs, or none watches such a process.
Of once: 0 all healthy, 1 something unhealthy, 3 something unknown or supervisord not reached, 2 as above.
With --output nagios: 0 all healthy, 2 something unhealthy, 3 anything else. With --watch: as the last look.
With --output cloudprober, which is metrics, and --output studio, which is how long each look at what is
healthy took, the reasons of what is not are on standard error.`,
		SilenceErrors: true, SilenceUsage: true, DisableFlagsInUseLine: true,

		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("there is no command %q", args[0])}
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	f := root.PersistentFlags()
	f.StringVar(&a.stateDir, "state-dir", "", "`FOLDER` of the listeners' state (default as theirs: $STATE_DIRECTORY; else /run/supervisor-checks for root, and /var/lib/supervisor-checks for its records; ~/.local/state/supervisor-checks for others)")
	f.StringVar(&a.listener, "listener", "", "only the listener of this `NAME`, by -n or by its process")
	f.StringVar(&a.output, "output", "table", "`FORMAT` to print: table, json, yaml, nagios (explain and once), cloudprober or studio (once), or csv (history and summary)")
	f.BoolP("help", "h", false, "print the help of a command and exit")
	root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(append(show.Looked[:len(show.Looked):len(show.Looked)], "csv"), cobra.ShellCompDirectiveNoFileComp))

	root.AddCommand(fileCommands(&a)...)
	explain := &cobra.Command{
		Use: "explain [PROCESS] [--watch]", Short: "show what is known of each process, and what would be done about it now, and why", Args: arguments(0, 1),
		RunE: func(c *cobra.Command, args []string) error {
			request := control.Request{Command: control.Explain, Selector: selected(args)}
			if _, err := setting.More(request.Selector); err == nil && a.watch != "" {
				return usageError{fmt.Errorf("write --watch=%s for how often; and a process whose name is a number as its GROUP:NAME", request.Selector)}
			}
			title := strings.Join(append([]string{"supervisor_checks explain"}, args...), " ")
			return a.show(c, title, show.Judged, func(ctx context.Context) (*show.Page, error) {
				return a.ask(ctx, request, func(answers []control.Answer) show.Table { return processesTable(time.Now(), answers) })
			})
		},
	}
	a.watchOption(explain)
	root.AddCommand(historyCommands(&a)...)
	root.AddCommand(migrateCommand(), consumeCommand(), migrateDBCommand(), &cobra.Command{
		Use: "listeners", Short: "list the listeners that run", Args: arguments(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.run(c, control.Request{Command: control.Explain, Selector: "*"}, listenersTable)
		},
	}, explain)
	var length string
	pause := &cobra.Command{
		Use: "pause PROCESS --for DURATION", Short: "act on no such process for some time; checks go on", Args: arguments(1, 1),
		Example: "supervisor_checks pause 'web:*' --for 30m",
		RunE: func(c *cobra.Command, args []string) error {
			if length == "" {
				return usageError{errors.New("--for says for how long, as 30m")}
			}
			d, err := setting.More(length)
			if err != nil {
				return usageError{fmt.Errorf("--for: %w", err)}
			}
			return a.run(c, control.Request{Command: control.Pause, Selector: args[0], For: d}, doneTable("paused"))
		},
	}
	pause.Flags().StringVar(&length, "for", "", "for how long: `DURATION` as 30m or 1h30m, or a number of seconds (required)")
	root.AddCommand(pause, &cobra.Command{
		Use: "resume [PROCESS]", Short: "end the pause with that name, or all of them", Args: arguments(0, 1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.run(c, control.Request{Command: control.Resume, Selector: selected(args)}, doneTable("resumed"))
		},
	}, &cobra.Command{
		Use: "reset [PROCESS]", Short: "forget former restarts: limits and pauses between restarts begin anew", Args: arguments(0, 1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.run(c, control.Request{Command: control.Reset, Selector: selected(args)}, doneTable("reset"))
		},
	}, &cobra.Command{
		Use: "version", Short: "print the version", Args: arguments(0, 0),
		Run: func(c *cobra.Command, _ []string) {
			fmt.Fprintf(c.OutOrStdout(), "supervisor_checks %s\n", cli.Version)
		},
	})
	p := &cli.Program{Command: root, Sections: []cli.Section{{Title: "Commands", Flags: pflag.NewFlagSet("", pflag.ContinueOnError)}, {Title: "Options", Flags: f}}}
	for _, command := range root.Commands() {
		p.Sections[0].Terms = append(p.Sections[0].Terms, cli.Term{Word: command.Use, Text: command.Short})
	}
	return p
}

func arguments(least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if watch := c.Flags().Lookup("watch"); len(args) > most && watch != nil && watch.Changed {
			return usageError{fmt.Errorf("how often stands behind a =: --watch=%s", args[len(args)-1])}
		}
		if len(args) < least || len(args) > most {
			return usageError{fmt.Errorf("usage: supervisor_checks %s", c.Use)}
		}
		return nil
	}
}

// selected is the process that was named, or all.
func selected(args []string) string {
	if len(args) == 0 {
		return "*"
	}
	return args[0]
}

// defaultWatch is how long --watch waits from one look to the next.
const defaultWatch = "2s"

// watchOption adds --watch to a command that shows something.
func (a *asker) watchOption(c *cobra.Command) {
	c.Flags().StringVar(&a.watch, "watch", "", "look again and again, every 2 s or, as --watch=5s, every `DURATION`; with --output table, json or yaml")
	c.Flags().Lookup("watch").NoOptDefVal = defaultWatch
}

// special are the commands whose formats others do not have.
var special = map[string]string{"nagios": "explain and once", "cloudprober": "once; serve-probe has no other", "studio": "once", "csv": "history and summary"}

// prints returns an error if --output is none of a command's formats.
func (a *asker) prints(formats []string) error {
	err := setting.OneOf(a.output, formats...)
	if err == nil {
		return nil
	}
	if commands, is := special[a.output]; is {
		err = fmt.Errorf("%q is only for %s", a.output, commands)
	}
	return usageError{fmt.Errorf("--output: %w", err)}
}

// show prints what is seen in one of some formats, once or again and again.
func (a *asker) show(c *cobra.Command, title string, formats []string, look func(context.Context) (*show.Page, error)) error {
	if err := a.prints(formats); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	out := c.OutOrStdout()
	if !c.Flags().Changed("watch") {
		page, err := look(ctx)
		if page == nil {
			return err
		}
		if err := page.Print(out, a.output, show.ScreenOf(out)); err != nil {
			return ended{exitNothing, fmt.Errorf("print what was found: %w", err)}
		}
		switch {
		case a.output == "nagios": // which has told of the error
			return ended{status: page.Report.Exit()}
		case show.ForProbers(a.output):
			page.Tell(c.ErrOrStderr())
			return ended{status: statusOf(err)}
		}
		return err
	}
	every, err := setting.More(a.watch)
	if err != nil {
		return usageError{fmt.Errorf("--watch: %w", err)}
	}
	if a.output == "nagios" || show.ForProbers(a.output) {
		return usageError{fmt.Errorf("--watch: not with --output %s, which is for a single look", a.output)}
	}
	var refused error
	err = show.Watch(ctx, show.Watching{Title: title, Every: every, Format: a.output, Out: out, Err: c.ErrOrStderr(),
		Look: func(ctx context.Context) (*show.Page, error) {
			page, err := look(ctx)
			if statusOf(err) == exitUsage {
				refused = err
				stop()
			}
			return page, err
		},
	})
	if refused != nil {
		return refused
	}
	return ended{status: statusOf(err)} // which has been shown
}

// run asks all listeners, or the one that was named, and prints what they say.
func (a *asker) run(c *cobra.Command, request control.Request, table func([]control.Answer) show.Table) error {
	return a.show(c, "", show.Formats, func(ctx context.Context) (*show.Page, error) { return a.ask(ctx, request, table) })
}

// ask asks all listeners, or the one that was named, and returns what they say.
func (a *asker) ask(ctx context.Context, request control.Request, table func([]control.Answer) show.Table) (*show.Page, error) {
	dir, err := supervisor.StateDir(a.stateDir)
	if err != nil {
		return nil, err
	}
	sockets, err := control.Find(dir)
	if err != nil {
		return nil, err
	}
	answers := []control.Answer{}
	var failures []error
	concerned := 0
	for _, socket := range sockets {
		if a.listener != "" {
			who, err := control.Ask(ctx, socket, control.Request{Command: control.Explain, Selector: request.Selector})
			if err != nil && !refused(err) {
				failures = append(failures, fmt.Errorf("%s: %w", socket, err))
			}
			if err != nil || who.Listener.Name != a.listener && who.Listener.Process != a.listener {
				continue
			}
		}
		answer, err := control.Ask(ctx, socket, request)
		switch {
		case refused(err): // it was killed
			continue
		case err != nil && answer.Error == control.ErrNoFile.Error(): // that is not for it
			continue
		case err != nil && answer.Error != "":
			failures = append(failures, fmt.Errorf("%s: %w", name(answer.Listener), err))
			continue
		case err != nil:
			failures = append(failures, fmt.Errorf("%s: %w", socket, err))
			continue
		}
		answers = append(answers, answer)
		concerned += len(answer.Processes)
	}
	if len(answers) == 0 && len(failures) == 0 {
		who := "no listener runs"
		if a.listener != "" {
			who = fmt.Sprintf("no listener called %q runs", a.listener)
		}
		return nil, nothingError{fmt.Errorf("%s with its state in %s: is this their user, or do they have another --state-dir? One that has never reached its supervisord cannot be found: its log says why", who, dir)}
	}
	err = errors.Join(failures...)
	if err == nil && concerned == 0 && request.Selector != "*" {
		err = nothingError{fmt.Errorf("no listener watches %q", request.Selector)}
	}
	return &show.Page{Table: table(answers), Data: answers, Report: plugin(answers, err)}, err
}
