package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/supervisor-checks/supervisor-checks/internal/config"
	"github.com/supervisor-checks/supervisor-checks/internal/setting"
	"github.com/supervisor-checks/supervisor-checks/internal/show"
	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/runner"
	"github.com/supervisor-checks/supervisor-checks/sinks"
)

// defaultEvery is how often --standalone looks at processes.
const defaultEvery = "1m"

// every is how often run looks by itself; 0 where it is a listener.
func (f *fromFile) every(args []string) (time.Duration, error) {
	text := f.standalone
	if len(args) > 0 { // --standalone 5s
		if text != defaultEvery {
			return 0, usageError{fmt.Errorf("usage: supervisor_checks %s", f.usage)}
		}
		text = args[0]
	}
	if text == "" {
		return 0, nil
	}
	d, err := setting.More(text)
	if err != nil {
		return 0, usageError{fmt.Errorf("--standalone: %w", err)}
	}
	return d, nil
}

// takeShard leaves of the probes of a file those that belong to one of several instances.
func (f *fromFile) takeShard(file *config.File) error {
	if f.shard == "" {
		return nil
	}
	first, all, is := strings.Cut(f.shard, "/")
	i, err := strconv.Atoi(first)
	n, err2 := strconv.Atoi(all)
	switch {
	case !is || err != nil || err2 != nil || i < 1 || i > n:
		return usageError{fmt.Errorf("--shard: %q is not like 2/5, the second of five", f.shard)}
	case len(file.Watch) > 0 || f.standalone == "":
		return usageError{fmt.Errorf("--shard is for --standalone with a file of probes alone")}
	}
	var own []config.Probe
	for at, p := range file.Probes {
		if at%n == i-1 {
			own = append(own, p)
		}
	}
	file.Probes = own
	return nil
}

// alone looks at probes until it is told to end, without a supervisord.
func (f *fromFile) alone(c *cobra.Command, file *config.File, cfg runner.Config) (err error) {
	ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := addSinks(file, &cfg, f.shard); err != nil {
		return fileError{fmt.Errorf("%s: %w", f.config, err)}
	}
	queues := cfg.Sinks
	defer func() {
		errs := make([]error, len(queues))
		var closing sync.WaitGroup
		for i, s := range queues {
			closing.Go(func() { errs[i] = s.(*sinks.Queue).Close() })
		}
		closing.Wait()
		err = errors.Join(append(errs, err)...)
	}()
	host, _ := os.Hostname()
	tell := func(action, why string) {
		r := record.Record{Kind: record.Listener, Action: action, Host: host, Listener: cfg.Name, Why: why}
		r.Stamp()
		for _, s := range queues {
			s.Write(ctx, r)
		}
		record.Log(cfg.Log).Write(ctx, r)
	}
	around, err := surround(file, &cfg, f.say)
	if err != nil {
		return fileError{fmt.Errorf("%s: %w", f.config, err)}
	}
	what := show.Count(len(file.Probes), "probe", "probes")
	if f.shard != "" {
		what += ", those of shard " + f.shard
	}
	reloads := make(chan os.Signal, 1)
	signal.Notify(reloads, syscall.SIGHUP)
	defer signal.Stop(reloads)
	go func() {
		for {
			select {
			case <-reloads:
				cfg.Log.Warn(fmt.Sprintf("SIGHUP: probes are read when it begins only: start it anew for what has changed in %s", f.config))
			case <-ctx.Done():
				return
			}
		}
	}()
	tell(record.Started, "looks at "+what)
	around.run(ctx)
	<-ctx.Done() // also where there are none
	tell(record.Ended, cmp.Or(context.Cause(ctx), context.Canceled).Error())
	return nil
}
