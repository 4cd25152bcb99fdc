package host

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/supervisor-checks/supervisor-checks/internal/migrate"
)

// migrateCommand makes a file of the listeners in a configuration of supervisord.
func migrateCommand() *cobra.Command {
	var config, from string
	c := &cobra.Command{
		Use: "migrate [FILE]", Short: "print one file and one section for all listeners that a configuration of supervisord has", Args: arguments(0, 1),
		Example: "supervisor_checks migrate /etc/supervisor/supervisord.conf > /etc/supervisor-checks.yaml",
		Long: `Reads a configuration of supervisord with all that it includes, and prints a file for supervisor_checks run
that does what its event listeners do which are supervisor_checks' (Python's, or ours of the same names) and
superlance's httpok and memmon. The section that takes the place of theirs is in the comments at its end.
Comments tell where each check comes from, and each TRAP that was found there. No secret is copied: the
section has a variable for each, to be filled in.

What cannot be translated is said on standard error, too, and the exit status is 1 then; so it is when there is
nothing to translate. Run it where supervisord runs, with its environment: it needs the values of some variables.

With --from uptimer it prints a file that looks at the URLs that Uptimer does, and the command to run it. FILE is
the configuration.env that Uptimer's variables are set in; without it they are those of the environment.`,
		RunE: func(c *cobra.Command, args []string) error {
			host, err := os.Hostname()
			if err != nil {
				return err
			}
			if config, err = filepath.Abs(config); err != nil {
				return err
			}
			translate, nothing, what := migrate.Run, migrate.ErrNothing, "the environment"
			source := migrate.Source{ReadFile: os.ReadFile, Glob: filepath.Glob, Environment: os.LookupEnv, Host: host}
			if len(args) > 0 {
				source.Path, what = args[0], args[0]
			}
			switch {
			case from == "uptimer":
				translate, nothing = migrate.Uptimer, migrate.ErrNoUptimer
			case from != "supervisord":
				return usageError{fmt.Errorf("--from: %q is neither supervisord nor uptimer", from)}
			case len(args) == 0:
				return usageError{errors.New("usage: supervisor_checks migrate FILE")}
			}
			result, err := translate(source, config)
			fmt.Fprint(c.OutOrStdout(), result.File)
			for _, problem := range result.Problems {
				fmt.Fprintln(c.ErrOrStderr(), problem)
			}
			switch {
			case errors.Is(err, nothing):
				return fmt.Errorf("%s: %w", what, err)
			case err != nil:
				return usageError{err}
			case len(result.Problems) > 0:
				return ended{status: exitFailed}
			}
			return nil
		},
	}
	c.Flags().StringVar(&from, "from", "supervisord", "`WHAT` FILE is for: supervisord, or uptimer")
	c.RegisterFlagCompletionFunc("from", cobra.FixedCompletions([]string{"supervisord", "uptimer"}, cobra.ShellCompDirectiveNoFileComp))
	c.Flags().StringVar(&config, "config", defaultConfig, "where the `FILE` is going to be, for the section")
	return c
}
