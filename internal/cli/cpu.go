package cli

import (
	"io"
	"time"

	"github.com/spf13/pflag"

	"github.com/supervisor-checks/supervisor-checks/checks"
)

// CPU is supervisor_cpu_check.
func CPU(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return newCPU().run(args, streams{stdin, stdout, stderr})
}

func newCPU() *Program {
	p := newCheckProgram("supervisor_cpu_check", "-p PERCENT -i DURATION",
		"Restarts processes that use too much processor time for too long.", "-p 90 -i 300")
	var (
		cfg      checks.CPUConfig
		percent  percentage
		interval interval
	)
	p.section("Processor time", func(f *pflag.FlagSet) {
		f.VarP(&percent, "max-cpu-percent", "p", "how much a process may use from one tick to the next, in percent of one processor (required)")
		f.VarP(&interval, "interval", "i", "for how long it may use more, in seconds or as 1.5s, 2m (required)")
		f.BoolVar(&cfg.Cumulative, "cumulative", false, "count the children of the process and theirs, too")
		for _, name := range []string{"max-cpu-percent", "interval"} {
			f.Lookup(name).DefValue = "" // which is not shown
			required(f, name)
		}
		added(f, "cumulative")
	})
	return p.does(func() ([]checks.Check, error) {
		cfg.MaxPercent, cfg.Interval = float64(percent), time.Duration(interval)
		return only(checks.NewCPU(cfg))
	})
}
