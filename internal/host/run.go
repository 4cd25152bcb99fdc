package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/supervisor-checks/supervisor-checks/internal/cli"
	"github.com/supervisor-checks/supervisor-checks/internal/config"
	"github.com/supervisor-checks/supervisor-checks/internal/control"
	"github.com/supervisor-checks/supervisor-checks/internal/logout"
	"github.com/supervisor-checks/supervisor-checks/internal/show"
	"github.com/supervisor-checks/supervisor-checks/runner"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// defaultConfig is the file where --config does not say otherwise.
const defaultConfig = "/etc/supervisor-checks.yaml"

// fromFile is what the commands that read a file have in common.
type fromFile struct {
	*asker
	config     string
	dryRun     bool
	standalone string
	shard      string
	usage      string       // of run
	running    *config.File // that of a listener
	made, next config.Made  // of it, and of what was read last
	log        *slog.Logger // of run
}

// fileCommands are the commands that read a file.
func fileCommands(a *asker) []*cobra.Command {
	f := fromFile{asker: a}
	run := &cobra.Command{
		Use: "run", Short: "be an event listener of supervisord that does what a file says", Args: arguments(0, 1),
		RunE: f.run,
	}
	f.usage = run.Use
	run.Flags().BoolVar(&f.dryRun, "dry-run", false, "say what would be done, and do not")
	run.Flags().StringVar(&f.standalone, "standalone", "", "look every `DURATION` (1m where it is not given) without being a listener of that supervisord: for another host or container; with a file that watches no process at its probes alone, which need no supervisord")
	run.Flags().Lookup("standalone").NoOptDefVal = defaultEvery
	run.Flags().StringVar(&f.shard, "shard", "", "of probes alone take a `PART`: 2/5 is the second of five instances with one file")
	once := &cobra.Command{
		Use: "once [--watch]", Short: "run all checks of a file now, print what they find, and restart nothing", Args: arguments(0, 0),
		RunE: func(c *cobra.Command, _ []string) error { return f.once(c) },
	}
	a.watchOption(once)
	validate := &cobra.Command{
		Use: "validate", Short: "say all that is wrong with a file, and which of its patterns match no process", Args: arguments(0, 0),
		RunE: func(c *cobra.Command, _ []string) error { return f.validate(c) },
	}
	serveProbe := f.serveProbeCommand()
	for _, c := range []*cobra.Command{run, once, validate, serveProbe} {
		c.Flags().StringVar(&f.config, "config", defaultConfig, "the `FILE` to read")
		c.RegisterFlagCompletionFunc("config", cobra.FixedCompletions([]string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt))
	}
	return []*cobra.Command{run, once, validate, serveProbe, {
		Use: "reload", Short: "have the listeners that run read their files again; what is counted stays", Args: arguments(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.run(c, control.Request{Command: control.Reload, Selector: "*"}, doneTable("reloaded, and watches"))
		},
	}, {
		Use: "schema", Short: "print the JSON Schema of the file, for editors", Args: arguments(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := c.OutOrStdout().Write(config.Schema())
			return err
		},
	}}
}

// read reads the file.
func (f *fromFile) read() (*config.File, runner.Config, error) {
	text, err := os.ReadFile(f.config)
	if err != nil {
		return nil, runner.Config{}, usageError{err}
	}
	file, err := config.Read(f.config, text, os.LookupEnv)
	if err != nil {
		return nil, runner.Config{}, fileError{err}
	}
	built := *file
	if f.running != nil { // until it is started anew
		built.Environment = f.running.Environment
	}
	cfg, made, err := built.Config(f.made, f.say)
	if err != nil {
		return nil, cfg, fileError{fmt.Errorf("%s: %w", f.config, err)}
	}
	if f.made == nil {
		f.made = made
	}
	f.next = made
	cfg.StateDir = cmp.Or(f.stateDir, cfg.StateDir)
	return file, cfg, nil
}

// say has the log tell what scripts say besides their results, where there is a log.
func (f *fromFile) say(line string) {
	if f.log != nil {
		f.log.Warn("script: " + line)
	}
}

// fileError is an error of the file.
type fileError struct{ error }

// sayWhere is how to tell where supervisord is.
const sayWhere = "write server: {url: unix:///PATH} into the file, or set SUPERVISOR_SERVER_URL"

// run is a listener until its end.
func (f *fromFile) run(c *cobra.Command, args []string) error {
	every, err := f.every(args)
	if err != nil {
		return err
	}
	file, cfg, err := f.read()
	if err != nil {
		return err
	}
	if err := f.takeShard(file); err != nil {
		return err
	}
	if len(file.Watch) == 0 && every == 0 {
		return usageError{fmt.Errorf("%s watches no process: run --standalone looks at its probes alone", f.config)}
	}
	log, closeLog, err := newLog(c.ErrOrStderr(), file.Log)
	if err != nil {
		return err
	}
	defer closeLog()
	f.log, f.running = log, file
	var ending sync.WaitGroup // of what reloads have put out of use
	defer func() {
		f.made.End(nil)
		ending.Wait()
	}()
	cfg.Log, cfg.DryRun = log, f.dryRun
	if cfg.Name != "" {
		cfg.Log = log.With("listener", cfg.Name)
	}
	if len(file.Watch) == 0 {
		if f.standalone != defaultEvery || len(args) > 0 {
			return usageError{fmt.Errorf("--standalone: %v is for processes, of which %s watches none: probes have a period of their own", every, f.config)}
		}
		return f.alone(c, file, cfg)
	}
	cfg.Every = every
	if err := addSinks(file, &cfg, ""); err != nil {
		return fileError{fmt.Errorf("%s: %w", f.config, err)}
	}
	around, err := surround(file, &cfg, f.say)
	if err != nil {
		return fileError{fmt.Errorf("%s: %w", f.config, err)}
	}
	cfg.Reload = func() ([]runner.Watch, error) {
		now, again, err := f.read()
		if err == nil && len(again.Watches) == 0 {
			err = fmt.Errorf("%s: it watches no process any more", f.config)
		}
		if err == nil {
			err = around.has(again.Watches)
		}
		if err != nil {
			return nil, err
		}
		if keys := now.Lasting(file); keys != nil {
			cfg.Log.Warn(fmt.Sprintf("of %s, these have changed and take effect when the listener is started anew: %s", f.config, strings.Join(keys, ", ")))
		}
		return again.Watches, nil
	}
	cfg.Reloaded = func() {
		before, kept := f.made, f.next
		f.made = kept
		ending.Go(func() { before.End(kept) })
	}
	ctx, stop := context.WithCancel(c.Context())
	done := make(chan struct{})
	go func() {
		around.run(ctx)
		close(done)
	}()
	status, err := cli.Listen(c.Context(), cfg)
	stop()
	<-done
	var refused *runner.ConfigError
	switch {
	case errors.Is(err, supervisor.ErrNoURL):
		return usageError{fmt.Errorf("supervisord's address is not known: give supervisord.conf a [unix_http_server] section with a file= and restart supervisord; or %s", sayWhere)}
	case errors.As(err, &refused):
		return usageError{err}
	case err != nil:
		return err
	case status != exitOK:
		return ended{status: status}
	}
	return nil
}

// logGrace is how long the end of a listener waits for a log server, and again for
// whoever reads standard error.
const logGrace = 300 * time.Millisecond

// newLog returns the log that a file asks for, and what ends it.
func newLog(stderr io.Writer, cfg config.Log) (*slog.Logger, func(), error) {
	format := cmp.Or(string(cfg.Format), "text")
	plainFormat := format
	if format == "gelf" { // which is for machines
		plainFormat = "text"
	}
	log, err := cli.NewLog(stderr, plainFormat, cmp.Or(string(cfg.Level), "info"))
	if err != nil || !cfg.Output.Away() {
		return log, func() {}, err
	}
	h := logout.New(logout.Config{To: cfg.Output, Format: format, Plain: log.Handler()})
	return slog.New(h), func() { h.Close(logGrace) }, nil
}

// once runs all checks now.
func (f *fromFile) once(c *cobra.Command) error {
	file, cfg, err := f.read()
	if err != nil {
		return err
	}
	defer func() { f.made.End(nil) }()
	prober, err := newProber(file, false, nil, f.say)
	if err != nil {
		return fileError{fmt.Errorf("%s: %w", f.config, err)}
	}
	if prober != nil {
		defer prober.Close()
	}
	var processes func(context.Context) (runner.Report, error)
	if len(cfg.Watches) > 0 {
		processes = func(ctx context.Context) (runner.Report, error) {
			cli.FindServer(&cfg)
			return runner.Once(ctx, cfg)
		}
	}
	var probes func(context.Context) []runner.Row
	if prober != nil {
		probes = func(ctx context.Context) []runner.Row { return probeRows(ctx, prober) }
	}
	return f.show(c, "supervisor_checks once", show.Looked, func(ctx context.Context) (*show.Page, error) {
		page, status, err := cli.Look(ctx, sayWhere, processes, probes)
		switch {
		case status == exitUsage:
			return nil, usageError{err}
		case status != exitOK:
			err = ended{status, err}
		}
		return page, err
	})
}

// validateTime is how long supervisord has to say which processes there are.
const validateTime = 5 * time.Second

// validate says what is wrong with the file.
func (f *fromFile) validate(c *cobra.Command) error {
	file, cfg, err := f.read()
	if err != nil {
		return err
	}
	missing := file.Missing()
	for _, text := range missing {
		fmt.Fprintf(c.OutOrStdout(), "%s: %s: it is unknown until that can be run\n", f.config, text)
	}
	for _, text := range file.Elsewhere() {
		fmt.Fprintf(c.OutOrStdout(), "%s: %s\n", f.config, text)
	}
	ctx, cancel := context.WithTimeout(c.Context(), validateTime)
	defer cancel()
	out := c.OutOrStdout()
	if len(file.Watch) == 0 {
		fmt.Fprintf(out, "%s is valid: it watches no process, and has %s.\n", f.config, show.Count(len(file.Probes), "probe", "probes"))
		return failed(len(missing))
	}
	cli.FindServer(&cfg)
	match, err := runner.Match(ctx, cfg)
	var refused *runner.ConfigError
	switch {
	case errors.Is(err, supervisor.ErrNoURL):
		fmt.Fprintf(out, "%s is valid. Whether its patterns match something is not known: neither the file nor SUPERVISOR_SERVER_URL says where supervisord is, and it is at no usual socket.\n", f.config)
		return failed(len(missing))
	case errors.As(err, &refused):
		return fileError{fmt.Errorf("%s: %w", f.config, err)}
	case err != nil:
		fmt.Fprintf(out, "%s is valid. Whether its patterns match something is not known: %v\n", f.config, err)
		return failed(len(missing))
	}
	for _, p := range match.Unmatched {
		fmt.Fprintf(out, "%s: no process matches %q\n", f.config, p)
	}
	for _, p := range match.Idle {
		fmt.Fprintf(out, "%s: %q leaves nothing out: no process matches it\n", f.config, p)
	}
	for _, contest := range match.Contested {
		fmt.Fprintf(out, "%s: %s\n", f.config, contest)
	}
	for _, left := range match.LeftOut {
		fmt.Fprintf(out, "%s: %s is not watched: %s\n", f.config, left.Process.Namespec(), left.Reason)
	}
	if match.Watched == 0 {
		fmt.Fprintf(out, "%s: it watches no process\n", f.config)
		return ended{status: exitFailed}
	}
	if err := failed(len(match.Unmatched) + len(match.Contested) + len(missing)); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s is valid: it watches %s.\n", f.config, show.Count(match.Watched, "process", "processes"))
	return nil
}

// failed is the end of a command that has found so much that is wrong.
func failed(found int) error {
	if found > 0 {
		return ended{status: exitFailed}
	}
	return nil
}
