package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/supervisor-checks/supervisor-checks/health"
	"github.com/supervisor-checks/supervisor-checks/internal/cli"
	"github.com/supervisor-checks/supervisor-checks/internal/cloudprober"
	"github.com/supervisor-checks/supervisor-checks/internal/config"
	"github.com/supervisor-checks/supervisor-checks/internal/foreign"
	"github.com/supervisor-checks/supervisor-checks/internal/show"
	"github.com/supervisor-checks/supervisor-checks/listener"
	"github.com/supervisor-checks/supervisor-checks/runner"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// serveProbeLong is what --help says of serve-probe.
const serveProbeLong = `Answers cloudprober, as one long-lived external probe (mode: SERVER), for all checks and probes of a file.

A request may have the options process (a pattern as in the file: web:*), check and probe (their names); with
none of them it is about all there is. A reply has the lines of once --output cloudprober, and is a failure
where once would not exit with 0; then it says why. There is none after the time limit of a request.

What checks remember, of processor time for example, they remember from one request to the next. At SIGHUP
all of the file but log is read again. It ends with its standard input, or by SIGTERM.

Exit status: 0 it has ended, 1 requests cannot be read or replies not written, 2 wrong command line or file.`

// serveProbeCommand answers cloudprober.
func (f *fromFile) serveProbeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "serve-probe", Short: "answer cloudprober for all checks of a file, as an external probe in SERVER mode", Long: serveProbeLong, Args: arguments(0, 0),
		Example: `probe {
  name: "web"
  type: EXTERNAL
  targets { endpoint { name: "web:web_8001" } endpoint { name: "web:web_8002" } }
  interval_msec: 10000
  timeout_msec: 5000
  external_probe {
    mode: SERVER
    command: "/usr/local/bin/supervisor_checks serve-probe --config /etc/supervisor-checks.yaml"
    options { name: "process" value: "@target@" }
    output_metrics_options { metrics_kind: GAUGE }
  }
}`,
		RunE: func(c *cobra.Command, _ []string) error { return f.serveProbe(c) },
	}
}

// endGrace is how long checks have to end that were cut short.
const endGrace = time.Second

func (f *fromFile) serveProbe(c *cobra.Command) error {
	if c.Flags().Changed("output") {
		return usageError{errors.New("--output: serve-probe has no other format than cloudprober's")}
	}
	file, cfg, err := f.read()
	if err != nil {
		return err
	}
	log, closeLog, err := newLog(c.ErrOrStderr(), file.Log)
	if err != nil {
		return err
	}
	defer closeLog()
	f.log = log
	defer func() { f.made.End(nil) }()
	ended, cut := context.WithCancel(context.Background())
	defer cut()
	s := &probeServer{fromFile: f, ended: ended}
	if s.now, err = s.serve(file, cfg); err != nil {
		return err
	}
	in, out := c.InOrStdin(), c.OutOrStdout()
	if in == io.Reader(os.Stdin) && out == io.Writer(os.Stdout) {
		if in, out, err = listener.Stdio(); err != nil {
			return err
		}
	}
	ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGTERM, os.Interrupt, syscall.SIGQUIT)
	defer stop()
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	reloads := make(chan struct{})
	go func() {
		defer close(reloads)
		for {
			select {
			case <-hangups:
				s.reload()
			case <-ctx.Done():
				return
			}
		}
	}()
	err = cloudprober.Serve(ctx, in, out, logWriter{log}, s.answer)
	if ctx.Err() != nil {
		err = nil
	}
	stop()
	<-reloads
	time.AfterFunc(endGrace, cut)
	s.swap(nil).close(ended)
	s.ending.Wait()
	return err
}

// logWriter has a log tell what is written, a line at each Write.
type logWriter struct{ log *slog.Logger }

func (w logWriter) Write(text []byte) (int, error) {
	w.log.Warn(strings.TrimSuffix(string(text), "\n"))
	return len(text), nil
}

// probeServer answers requests about what is in a file.
type probeServer struct {
	*fromFile
	ended  context.Context // when nothing is waited for any more
	ending sync.WaitGroup  // of what reloads have put out of use

	mu  sync.Mutex
	now *served // nil at the end
}

// served is what a file has.
type served struct {
	prober *health.Prober // nil for none
	probes []string
	cfg    runner.Config
	using  sync.WaitGroup // requests

	mu     sync.Mutex
	looker *runner.Looker // nil where it is not known where supervisord is
}

// serve prepares what a file has.
func (s *probeServer) serve(file *config.File, cfg runner.Config) (*served, error) {
	cfg.Log = s.log
	made := &served{cfg: cfg}
	var err error
	if len(cfg.Watches) > 0 {
		_, err = made.look()
	}
	if err != nil && !errors.Is(err, supervisor.ErrNoURL) {
		return nil, fileError{fmt.Errorf("%s: %w", s.fromFile.config, err)}
	}
	if made.prober, err = newProber(file, false, nil, s.say); err != nil {
		return nil, fileError{fmt.Errorf("%s: %w", s.fromFile.config, err)}
	}
	for _, p := range file.Probes {
		made.probes = append(made.probes, p.Name)
	}
	return made, nil
}

// look returns what looks at processes, as soon as it is known where supervisord is.
func (v *served) look() (*runner.Looker, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var err error
	if v.looker == nil {
		cfg := v.cfg
		cli.FindServer(&cfg)
		v.looker, err = runner.NewLooker(cfg)
	}
	return v.looker, err
}

// close ends what the probes have begun when no request is about them any more, or, if
// that is sooner, at the end of ctx.
func (v *served) close(ctx context.Context) {
	idle := make(chan struct{})
	go func() {
		v.using.Wait()
		close(idle)
	}()
	select {
	case <-idle:
	case <-ctx.Done():
	}
	if v.prober != nil {
		v.prober.Close()
	}
}

// swap puts something else in place of what is served, and returns that.
func (s *probeServer) swap(next *served) *served {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.now
	s.now = next
	return before
}

// take returns what is served, for whoever says when it is done with it.
func (s *probeServer) take() (v *served, done func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == nil {
		return nil, nil, errors.New("it is about to end")
	}
	s.now.using.Add(1)
	return s.now, s.now.using.Done, nil
}

// reload reads the file again.
func (s *probeServer) reload() {
	file, cfg, err := s.read()
	var next *served
	if err == nil {
		next, err = s.serve(file, cfg)
	}
	if err != nil {
		s.log.Error(fmt.Sprintf("SIGHUP: all stays as it was: %v", err))
		return
	}
	s.log.Info("SIGHUP: has read " + s.fromFile.config)
	out, before, kept := s.swap(next), s.made, s.next
	s.made = kept
	s.ending.Go(func() {
		out.close(s.ended)
		before.End(kept)
	})
}

// mostReasons is how many bytes of reasons a reply has.
const mostReasons = 2000

// answer looks at what a request is about. Its error has one line.
func (s *probeServer) answer(ctx context.Context, request cloudprober.Request) (payload string, err error) {
	v, done, err := s.take()
	if err == nil {
		defer done()
		payload, err = v.answer(ctx, request)
	}
	if err != nil {
		err = errors.New(foreign.Line(err.Error(), mostReasons))
	}
	return payload, err
}

func (v *served) answer(ctx context.Context, request cloudprober.Request) (string, error) {
	processes, probes, err := v.asked(request.Options)
	if err != nil {
		return "", err
	}
	page, status, err := cli.Look(ctx, sayWhere, processes, probes)
	if page == nil {
		return "", err
	}
	var payload strings.Builder
	if err := page.Print(&payload, "cloudprober", show.Screen{}); err != nil {
		return "", err
	}
	if status == exitOK {
		return payload.String(), nil
	}
	return payload.String(), errors.New(strings.Join(page.Report.Reasons(), "; "))
}

// asked is what the options of a request are about, as functions for cli.Look.
func (v *served) asked(options []cloudprober.Option) (processes func(context.Context) (runner.Report, error), probes func(context.Context) []runner.Row, err error) {
	given := make(map[string]string)
	for _, o := range options {
		if _, twice := given[o.Name]; twice {
			return nil, nil, fmt.Errorf("there are two options %s", o.Name)
		}
		if !slices.Contains([]string{"process", "check", "probe"}, o.Name) {
			return nil, nil, fmt.Errorf("there is no option %q: there are process, check and probe", o.Name)
		}
		given[o.Name] = o.Value
	}
	process, ofProcess := given["process"]
	check, ofCheck := given["check"]
	probe, ofProbe := given["probe"]
	all := len(given) == 0
	switch {
	case len(v.cfg.Watches) == 0 && (ofProcess || ofCheck):
		return nil, nil, errors.New("the file watches no process")
	case ofProcess && process == "", ofCheck && check == "", ofProbe && probe == "":
		return nil, nil, errors.New("an option is empty: leave it out for all there is")
	case ofProbe && len(v.probes) == 0:
		return nil, nil, errors.New("the file has no probe")
	case ofProbe && !slices.Contains(v.probes, probe):
		return nil, nil, fmt.Errorf("there is no probe %q: there are %s", probe, strings.Join(v.probes, ", "))
	}
	if len(v.cfg.Watches) > 0 && (all || ofProcess || ofCheck) {
		processes = func(ctx context.Context) (runner.Report, error) {
			looker, err := v.look()
			if err != nil {
				return runner.Report{}, err
			}
			return looker.Look(ctx, runner.Selection{Process: process, Check: check})
		}
	}
	var source health.Source
	switch {
	case ofProbe:
		source = v.prober.Only(probe)
	case all && v.prober != nil:
		source = v.prober
	default:
		return processes, nil, nil
	}
	return processes, func(ctx context.Context) []runner.Row { return probeRows(ctx, source) }, nil
}
