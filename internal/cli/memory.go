package cli

import (
	"errors"
	"io"

	"github.com/spf13/pflag"

	"github.com/supervisor-checks/supervisor-checks/checks"
)

// Memory is supervisor_memory_check.
func Memory(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return newMemory().run(args, streams{stdin, stdout, stderr})
}

func newMemory() *Program {
	p := newCheckProgram("supervisor_memory_check", "-m SIZE", "Restarts processes that use too much memory.", "-m 500MB -c")
	var (
		limit  limit
		cfg    checks.MemoryConfig
		metric string
	)
	p.section("Memory", func(f *pflag.FlagSet) {
		f.VarP(&limit, "max-rss", "m", "how much a process may use: in KiB (102400), with a unit (100MB, 100MiB, 1.5GiB), or as a part of the "+
			"machine's memory or its control group's, whichever is less (80%; supervisord.conf writes %% for each %) (required)")
		required(f, "max-rss", "msx-rss")
		f.Var(&limit, "msx-rss", "the same, as supervisor_checks spells it")
		f.MarkHidden("msx-rss")
		f.BoolVarP(&cfg.Cumulative, "cumulative", "c", false, "count the children of the process and theirs, too")
		f.StringVar(&metric, "metric", string(checks.RSS), "`METRIC` to count: rss, all that is resident; pss, of what is shared a part; uss, of what is shared nothing")
		words(f, "metric", string(checks.RSS), string(checks.PSS), string(checks.USS))
		added(f, "max-rss", "metric")
	})
	return p.does(func() ([]checks.Check, error) {
		if metric == "" {
			return nil, usageError{errors.New(`argument --metric: "" is none of rss, pss, uss`)}
		}
		cfg.Max, cfg.MaxPercent, cfg.Metric = limit.bytes, limit.percent, checks.MemoryMetric(metric)
		return only(checks.NewMemory(cfg))
	})
}
