// Package host is the program supervisor_checks: a listener that does what a file
// says, and commands that speak to running listeners.
package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/supervisor-checks/supervisor-checks/internal/cli"
	"github.com/supervisor-checks/supervisor-checks/internal/control"
	"github.com/supervisor-checks/supervisor-checks/internal/setting"
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

// exitStatus is the end of a command that is no error but has an exit status of its own.
type exitStatus int

func (exitStatus) Error() string { return "" }

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
	var file fileError
	switch {
	case errors.As(err, &file):
		fmt.Fprintln(stderr, err) // a line for each thing, which begins with its name
	case err.Error() != "":
		fmt.Fprintf(stderr, "supervisor_checks: error: %v\n", err)
	}
	var usage usageError
	var nothing nothingError
	var ends exitStatus
	switch {
	case errors.As(err, &ends):
		return int(ends)
	case errors.As(err, &file):
		return exitUsage
	case errors.As(err, &usage):
		fmt.Fprintln(stderr, "See supervisor_checks --help.")
		return exitUsage
	case errors.As(err, &nothing):
		return exitNothing
	}
	return exitFailed
}

// asker is how a command finds its listeners and prints what they say.
type asker struct {
	stateDir string
	listener string
	output   string
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

Exit status: 0 done, 1 it cannot go on, a listener could not be spoken to, or what a file says of names
does not fit the processes, 2 wrong command line or file, 3 no listener runs, or none watches such a process. Of once: 0 all healthy, 1
something unhealthy, 3 something unknown or supervisord not reached, 2 as above.`,
		SilenceErrors: true, SilenceUsage: true, DisableFlagsInUseLine: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
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
	f.StringVar(&a.stateDir, "state-dir", "", "`FOLDER` of the listeners' state (default as theirs: $STATE_DIRECTORY; else /run/supervisor-checks for root, ~/.local/state/supervisor-checks for others)")
	f.StringVar(&a.listener, "listener", "", "only the listener of this `NAME`, by -n or by its process")
	f.StringVar(&a.output, "output", "table", "`FORMAT` to print, table or json")
	f.BoolP("help", "h", false, "print the help of a command and exit")
	root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))

	root.AddCommand(fileCommands(&a)...)
	root.AddCommand(&cobra.Command{
		Use: "listeners", Short: "list the listeners that run", Args: arguments(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.run(c, control.Request{Command: control.Explain, Selector: "*"}, printListeners)
		},
	}, &cobra.Command{
		Use: "explain [PROCESS]", Short: "show what is known of each process, and what would be done about it now, and why", Args: arguments(0, 1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.run(c, control.Request{Command: control.Explain, Selector: selected(args)}, printProcesses)
		},
	})
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
			return a.run(c, control.Request{Command: control.Pause, Selector: args[0], For: d}, printDone("paused"))
		},
	}
	pause.Flags().StringVar(&length, "for", "", "for how long: `DURATION` as 30m or 1h30m, or a number of seconds (required)")
	root.AddCommand(pause, &cobra.Command{
		Use: "resume [PROCESS]", Short: "end the pause with that name, or all of them", Args: arguments(0, 1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.run(c, control.Request{Command: control.Resume, Selector: selected(args)}, printDone("resumed"))
		},
	}, &cobra.Command{
		Use: "reset [PROCESS]", Short: "forget former restarts: limits and pauses between restarts begin anew", Args: arguments(0, 1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.run(c, control.Request{Command: control.Reset, Selector: selected(args)}, printDone("reset"))
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

// run asks all listeners, or the one that was named, and prints what they say.
func (a *asker) run(c *cobra.Command, request control.Request, show func(io.Writer, []control.Answer)) error {
	if a.output != "table" && a.output != "json" {
		return usageError{fmt.Errorf("--output: %q is neither table nor json", a.output)}
	}
	dir, err := supervisor.StateDir(a.stateDir)
	if err != nil {
		return err
	}
	sockets, err := control.Find(dir)
	if err != nil {
		return err
	}
	var answers []control.Answer
	var failures []error
	concerned := 0
	for _, socket := range sockets {
		if a.listener != "" {
			who, err := control.Ask(c.Context(), socket, control.Request{Command: control.Explain, Selector: request.Selector})
			if err != nil && !refused(err) {
				failures = append(failures, fmt.Errorf("%s: %w", socket, err))
			}
			if err != nil || who.Listener.Name != a.listener && who.Listener.Process != a.listener {
				continue
			}
		}
		answer, err := control.Ask(c.Context(), socket, request)
		switch {
		case refused(err): // it was killed
			continue
		case err != nil && answer.Error == control.ErrNoFile.Error(): // that is not for it
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
		return nothingError{fmt.Errorf("%s with its state in %s: is this their user, or do they have another --state-dir?", who, dir)}
	}
	if a.output == "json" {
		text, err := json.MarshalIndent(append([]control.Answer{}, answers...), "", "  ")
		if err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "%s\n", text)
	} else {
		show(c.OutOrStdout(), answers)
	}
	if err := errors.Join(failures...); err != nil {
		return err
	}
	if concerned == 0 && request.Selector != "*" {
		return nothingError{fmt.Errorf("no listener watches %q", request.Selector)}
	}
	return nil
}
