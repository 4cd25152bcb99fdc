package host

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/supervisor-checks/supervisor-checks/internal/config"
	"github.com/supervisor-checks/supervisor-checks/sinks/postgres"
)

// migrateDBCommand makes the tables of a sink.
func migrateDBCommand() *cobra.Command {
	var s source
	c := &cobra.Command{
		Use: "migrate-db [--to SINK]", Short: "make, or bring up to date, the tables of a sink in PostgreSQL, which listeners do themselves where they may", Args: arguments(0, 0),
		Example: "supervisor_checks migrate-db --to postgres://admin@db.example.com/checks",
		RunE: func(c *cobra.Command, _ []string) error {
			sink, err := s.find(func(file *config.File) (*config.Sink, error) {
				sink, err := file.FindSink("postgres")
				if err != nil {
					err = usageError{fmt.Errorf("%s: %w: name one with --to", s.config, err)}
				}
				return sink, err
			})
			if err != nil {
				return err
			}
			if sink.Postgres == nil {
				return usageError{fmt.Errorf("the sink %s is not in PostgreSQL: nothing is to be migrated", sink.Name)}
			}
			cfg, err := sink.Postgres.Config()
			if err != nil {
				return usageError{err}
			}
			from, to, err := postgres.Migrate(c.Context(), cfg)
			switch {
			case err != nil:
				return err
			case from == to:
				fmt.Fprintf(c.OutOrStdout(), "The schema is up to date, with version %d.\n", to)
			default:
				fmt.Fprintf(c.OutOrStdout(), "The schema has version %d now; it had %d.\n", to, from)
			}
			return nil
		},
	}
	s.options(c, "to", "which is migrated")
	return c
}
