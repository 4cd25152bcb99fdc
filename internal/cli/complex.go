package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/pflag"

	"github.com/supervisor-checks/supervisor-checks/checks"
)

// Complex is supervisor_complex_check.
func Complex(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return newComplex().run(args, streams{stdin, stdout, stderr})
}

func newComplex() *Program {
	p := newCheckProgram("supervisor_complex_check", "-c JSON",
		"Restarts processes that fail one of several checks.", `-c '{"http": {"port": 8080, "url": "/ping"}, "memory": {"max_rss": "1GiB"}}'`)
	var config string
	p.section("Checks", func(f *pflag.FlagSet) {
		f.StringVarP(&config, "check-config", "c", "", "the checks, as a `JSON` object of the settings of each, in the order in which they are made, "+
			`such as '{"http": {"port": 8080, "url": "/ping"}, "memory": {"max_rss": "1GiB"}}'; supervisord.conf writes %% for each % (required)`)
		required(f, "check-config")
	})
	p.section("Checks and their keys", func(*pflag.FlagSet) {})
	for _, name := range slices.Sorted(maps.Keys(composites)) {
		p.term(name, composites[name]().describe())
	}
	return p.does(func() ([]checks.Check, error) {
		all, err := parseComposite(config)
		if err != nil {
			return nil, usageError{fmt.Errorf("argument -c/--check-config: %w", err)}
		}
		return all, nil
	})
}
