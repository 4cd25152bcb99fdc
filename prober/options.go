package prober

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/duration"
)

// options are what the command line says.
type options struct {
	output  string
	timeout time.Duration
	options map[string]string
	server  bool
}

var errHelp = errors.New("help is asked for")

// parse reads a command line. The error is for a person.
func parse(p Prober, args []string) (options, error) {
	switch err := (metric{p.Metric, 0}).valid(); {
	case p.Metric == "":
		return options{}, errors.New("this prober has no Metric: give it one in its source")
	case err != nil:
		return options{}, fmt.Errorf("the Metric of this prober: %w", err)
	case p.Probe == nil:
		return options{}, errors.New("this prober has no Probe: give it one in its source")
	case p.Timeout < 0:
		return options{}, fmt.Errorf("the Timeout of this prober is %v: it must not be less than 0", p.Timeout)
	}
	o := options{output: "studio", timeout: p.Timeout, options: make(map[string]string)}
	help := false
	f := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.BoolVar(&help, "help", false, "")
	f.BoolVar(&help, "h", false, "")
	f.BoolVar(&o.server, "server", false, "")
	f.Func("output", "", func(text string) error {
		if _, is := formats[text]; !is {
			return fmt.Errorf("it is one of %s", strings.Join(slices.Sorted(maps.Keys(formats)), ", "))
		}
		o.output = text
		return nil
	})
	f.Func("timeout", "", func(text string) (err error) {
		o.timeout, err = parseTimeout(text)
		return err
	})
	f.Func("option", "", func(text string) error {
		name, value, is := strings.Cut(text, "=")
		if !is || name == "" {
			return errors.New("it is NAME=VALUE")
		}
		o.options[name] = value
		return nil
	})
	if err := f.Parse(args); err != nil {
		return options{}, fmt.Errorf("%w (see --help)", err)
	}
	given := make(map[string]bool)
	f.Visit(func(f *flag.Flag) { given[f.Name] = true })
	switch {
	case help:
		return options{}, errHelp
	case f.NArg() > 0:
		return options{}, fmt.Errorf("unrecognized arguments: %s (see --help)", strings.Join(f.Args(), " "))
	case o.server && given["output"]:
		return options{}, errors.New("--output is of no use with --server, whose format is cloudprober's")
	}
	return o, nil
}

// parseTimeout reads a number of seconds, or a time with its unit, that is more than 0.
func parseTimeout(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if seconds, e := strconv.ParseFloat(text, 64); e == nil {
		d, err = time.Duration(seconds*float64(time.Second)), nil
	}
	if err != nil || d <= 0 {
		return 0, errors.New("it is a number of seconds, or as 1.5s or 2m, and more than 0")
	}
	return d, nil
}

const helpText = `%s

It looks once, and prints how long that took. With --server it goes on, and answers the requests
that come on its standard input, as cloudprober makes them (mode: SERVER).

Exit status: 0 it works, 1 it does not, and why is on standard error, 2 the command line is wrong, 3
skipped, because it is not to be done here. With --output nagios: 0 it works, 2 it does not, 3
anything else. With --server: 0 there are no more requests, 1 they cannot be read.

Usage:
  %s [option ...]

What it prints:
  --output FORMAT       how that is printed (default studio):
                        studio        %s %s
                        cloudprober   the same, and other metrics, each in a line
                        nagios        a line of a plugin, with performance data
                        json          a line with status, reason and metrics
                        With the first two, nothing is printed of how long it took when it does
                        not work.

How it looks:
  --timeout DURATION    how long it may take, in seconds or as 1.5s, 2m (default %s)
  --option NAME=VALUE   what the probe is to know, if it asks for NAME; may be repeated
  --server              answer requests, each with its own time limit and options

This program:
  -h, --help            print this and exit
`

func (p Prober) help() string {
	about := strings.TrimSpace(p.About)
	if about == "" {
		about = "Measures " + p.Metric + "."
	}
	unit := "MILLISECONDS"
	if inSeconds(p.Metric) {
		unit = "SECONDS"
	}
	return fmt.Sprintf(helpText, about, p.Name, p.Metric, unit, duration.Short(p.Timeout))
}
