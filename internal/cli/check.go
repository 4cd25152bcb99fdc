package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/internal/setting"
	"github.com/supervisor-checks/supervisor-checks/internal/show"
	"github.com/supervisor-checks/supervisor-checks/runner"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// listening is what every check program is, for its help.
const listening = `
It is an event listener of supervisord: declare it in an [eventlistener:NAME] section with
events=TICK_60 (or TICK_5, TICK_3600), and on each tick it checks the processes and restarts those
that fail. With --once it can be run by hand.

Exit status: 0 when supervisord or a signal ended it, 1 when it cannot go on, 2 when its command line
or its surroundings are wrong. With --once: 0 all healthy, 1 something unhealthy, 3 something unknown
or supervisord not reached, 2 as above. With --output nagios: 0 all healthy, 2 something unhealthy, 3
anything else. With --output cloudprober, which is metrics, and --output studio, which is how long each
look at what is healthy took, the reasons of what is not are on standard error.`

// listenerSection is an example of such a section.
const listenerSection = `[eventlistener:%[1]s]
command=/usr/local/bin/%[2]s -n %[1]s -g web %[3]s
events=TICK_60
priority=-2
stdout_logfile=NONE
stderr_logfile=/var/log/%[1]s.log`

// checkProgram is a program that runs checks.
type checkProgram struct {
	*Program
	cfg          runner.Config
	once         bool
	output       string
	passwordFile string
	logFormat    string
	logLevel     string
}

// newCheckProgram returns a program with these arguments, those of an example
// included, before its own options.
func newCheckProgram(name, arguments, what, example string) *checkProgram {
	p := &checkProgram{Program: newProgram(name+" -n NAME "+arguments+" [option ...]", what, what+"\n"+listening)}
	listener := "web_" + strings.TrimSuffix(strings.TrimPrefix(name, "supervisor_"), "_check")
	p.Example = fmt.Sprintf(listenerSection, listener, name, example)
	p.section("Which processes", func(f *pflag.FlagSet) {
		f.StringVarP(&p.cfg.Name, "check-name", "n", "", "`NAME` of this listener in its log (required)")
		required(f, "check-name")
		f.StringArrayVarP(&p.cfg.Groups, "process-group", "g", nil, "watch all processes of this `GROUP`; may be repeated")
		f.StringArrayVarP(&p.cfg.Processes, "process-name", "N", nil,
			"watch this `PROCESS` instead of groups: NAME (for NAME:NAME), GROUP:NAME or GROUP:*; may be repeated. "+
				"With neither option every process is watched, except those that seem to be event listeners")
	})
	return p
}

// only is what a program of one check gives to run.
func only[C checks.Check](c C, err error) ([]checks.Check, error) {
	return []checks.Check{c}, err
}

// does adds the options that every check program has, and runs the checks that
// makeChecks makes.
func (p *checkProgram) does(makeChecks func() ([]checks.Check, error)) *Program {
	policyOptions(p.Program, &p.cfg.Policy)
	p.section("How it runs", func(f *pflag.FlagSet) {
		f.BoolVar(&p.once, "once", false, "run the check now, print what it finds, restart nothing, and exit")
		f.StringVar(&p.output, "output", "table", "with --once: `FORMAT` to print: table, json, yaml, nagios, cloudprober or studio")
		f.BoolVar(&p.cfg.DryRun, "dry-run", false, "as a listener: say what would be restarted, and do not")
		f.StringVar(&p.logFormat, "log-format", "text", "`FORMAT` of the log on standard error: text or json")
		f.StringVar(&p.logLevel, "log-level", "info", "least `LEVEL` that is logged: debug (each result), info, warn or error")
		f.StringVar(&p.cfg.StateDir, "state-dir", "", "`FOLDER` of the journal of restarts (default $STATE_DIRECTORY; "+
			"else /run/supervisor-checks for root, ~/.local/state/supervisor-checks for others)")
		words(f, "output", show.Looked...)
		words(f, "log-format", "text", "json")
		words(f, "log-level", "debug", "info", "warn", "error")
		added(f, "once", "output", "dry-run", "log-format", "log-level", "state-dir")
	})
	p.section("Where supervisord is", func(f *pflag.FlagSet) {
		f.StringVar(&p.cfg.Server.URL, "server-url", "", "its `URL`, unix:///PATH or http://HOST:PORT (default $SUPERVISOR_SERVER_URL; --once also looks at the usual sockets)")
		f.StringVar(&p.cfg.Server.Username, "server-username", "", "`NAME` to log in with (default $SUPERVISOR_USERNAME)")
		f.StringVar(&p.passwordFile, "server-password-file", "", "`FILE` with the password in its first line (default the password in $SUPERVISOR_PASSWORD)")
		added(f, "server-url", "server-username", "server-password-file")
	})
	return p.Program.does(func(ctx context.Context, std streams) (int, error) {
		var err error
		if p.cfg.Checks, err = makeChecks(); err != nil {
			return 0, err
		}
		log, err := NewLog(std.err, p.logFormat, p.logLevel)
		if err != nil {
			return 0, err
		}
		p.cfg.Log = log.With("listener", p.cfg.Name)
		p.cfg.Server.Username = cmp.Or(p.cfg.Server.Username, os.Getenv("SUPERVISOR_USERNAME"))
		p.cfg.Server.Password = os.Getenv("SUPERVISOR_PASSWORD")
		if p.Flags().Changed("server-password-file") {
			if p.cfg.Server.Password, err = p.serverPassword(); err != nil {
				return 0, usageError{fmt.Errorf("argument --server-password-file: %w", err)}
			}
		}
		if err := setting.OneOf(p.output, show.Looked...); err != nil {
			return 0, usageError{fmt.Errorf("argument --output: %w", err)}
		}
		defer closeChecks(p.cfg.Checks)
		switch {
		case p.once:
			ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
			defer stop()
			return once(ctx, p.cfg, p.output, std)
		case p.Flags().Changed("output"):
			return 0, usageError{errors.New("argument --output: only with --once")}
		}
		if std.in != io.Reader(os.Stdin) || std.out != io.Writer(os.Stdout) {
			p.cfg.Stdin, p.cfg.Stdout = std.in, std.out
		}
		return Listen(ctx, p.cfg)
	})
}

// closeChecks ends what checks have started, such as servers of scripts, all at once, for
// each may take its time.
func closeChecks(all []checks.Check) {
	var closing sync.WaitGroup
	for _, c := range all {
		if closer, is := c.(io.Closer); is {
			closing.Go(func() { closer.Close() })
		}
	}
	closing.Wait()
}

// GCPercent is how much a listener's memory grows before it is collected: it is idle most of
// the time, and its memory counts for more than what collecting it costs.
const GCPercent = 40

// Listen is an event listener until its end, and returns the exit status. An error
// is that of a configuration that cannot be worked with.
func Listen(ctx context.Context, cfg runner.Config) (int, error) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(GCPercent)
	}
	err := runner.Run(ctx, cfg)
	var config *runner.ConfigError
	if err != nil && !errors.As(err, &config) {
		cfg.Log.Error(fmt.Sprintf("cannot go on: %v", err))
		return exitUnhealthy, nil
	}
	return exitOK, err
}

// serverPassword reads the password of supervisord from its file.
func (p *checkProgram) serverPassword() (string, error) {
	password, err := setting.Secret(p.passwordFile)
	if err != nil {
		return "", err
	}
	if password == "" {
		return "", fmt.Errorf("the first line of %s is empty: it must be the password", p.passwordFile)
	}
	u, err := url.Parse(cmp.Or(p.cfg.Server.URL, os.Getenv("SUPERVISOR_SERVER_URL")))
	if p.cfg.Server.Username == "" && (err != nil || u.User == nil) {
		return "", errors.New("there is no user that the password belongs to: pass --server-username or set SUPERVISOR_USERNAME")
	}
	return password, nil
}

// endpointOptions adds what the checks that connect to a port have in common.
func endpointOptions(f *pflag.FlagSet, port, host, socket *string) {
	portOptions(f, port, host, "required, unless --unix-socket is given")
	f.StringVar(socket, "unix-socket", "", "`PATH` of a socket to connect to instead")
	required(f, "port", "unix-socket")
	added(f, "unix-socket")
}

// portOptions adds the port, which is needed when the last argument says, and
// its host.
func portOptions(f *pflag.FlagSet, port, host *string, needed string) {
	f.StringVarP(port, "port", "p", "", "`PORT`, or a regular expression with one group that finds it in the name of the process, "+
		`such as 'web_(\d+)' (`+needed+")")
	f.StringVar(host, "host", "", "`HOST` to connect to (default 127.0.0.1)")
	added(f, "host")
}

// defaultRetries is how often a failed try is repeated unless an option says
// otherwise, as in supervisor_checks.
const defaultRetries = 2

func retryOptions(f *pflag.FlagSet, timeout *duration, retries *number) {
	f.VarP(timeout, "timeout", "t", "how long one try may take, in seconds or as 1.5s, 2m")
	f.VarP(retries, "num-retries", "r", "how often a failed try is repeated before it counts, after pauses of 3 s, 6 s, 9 s, …")
	field(f, "num-retries", "retries")
}

// credentials are the options of a login with the processes.
type credentials struct {
	username string
	password text
	file     string
}

func (c *credentials) options(f *pflag.FlagSet) {
	c.password.what = "PASSWORD"
	f.StringVarP(&c.username, "username", "U", "", "`NAME` for basic authentication")
	f.VarP(&c.password, "password", "P", "password for basic authentication; better --password-file, for ps shows this to everybody")
	f.StringVar(&c.file, "password-file", "", "`FILE` with the password in its first line")
	added(f, "password-file")
}

// read returns the login that the options in f ask for, "" for none.
func (c *credentials) read(f *pflag.FlagSet) (username, password string, err error) {
	password = c.password.value
	fromFile := f.Changed("password-file")
	if fromFile {
		if c.password.given {
			return "", "", usageError{errors.New("argument --password-file: not allowed with argument -P/--password")}
		}
		if password, err = setting.Secret(c.file); err != nil {
			return "", "", usageError{fmt.Errorf("argument --password-file: %w", err)}
		}
	}
	if c.username == "" && (c.password.given || fromFile) {
		return "", "", usageError{errors.New("argument -P/--password: there is no -U/--username that it belongs to")}
	}
	return c.username, password, nil
}

// sockets are where supervisord's socket is by default, in the configurations of
// Debian, EPEL, FreeBSD and supervisor itself.
var sockets = []string{
	"/run/supervisor.sock", "/var/run/supervisor.sock",
	"/run/supervisor/supervisor.sock", "/var/run/supervisor/supervisor.sock",
	"/tmp/supervisor.sock",
}

// localSocket returns the first of sockets that somebody listens on, else the
// first that there is or may be, so that its error is seen, else "".
func localSocket() string {
	first := ""
	for _, path := range sockets {
		conn, err := net.DialTimeout("unix", path, time.Second)
		switch {
		case err == nil:
			conn.Close()
			return path
		case !errors.Is(err, fs.ErrNotExist):
			first = cmp.Or(first, path)
		}
	}
	return first
}

// FindServer has a configuration ask at a usual socket where neither it nor the
// environment says where supervisord is.
func FindServer(cfg *runner.Config) {
	if cfg.Server.URL == "" && os.Getenv("SUPERVISOR_SERVER_URL") == "" {
		if path := localSocket(); path != "" {
			cfg.Server.URL = "unix://" + path
		}
	}
}

// once runs the checks now, prints what it finds in a format, and returns the exit
// status. The error says why nothing was found. What the end of ctx cuts short is unknown.
func once(ctx context.Context, cfg runner.Config, output string, std streams) (int, error) {
	page, status, err := Look(ctx, "pass --server-url unix:///PATH or http://HOST:PORT", func(ctx context.Context) (runner.Report, error) {
		FindServer(&cfg)
		return runner.Once(ctx, cfg)
	}, nil)
	if page == nil {
		return status, err
	}
	if err := page.Print(std.out, output, show.ScreenOf(std.out)); err != nil {
		return exitUnknown, fmt.Errorf("print what was found: %w", err)
	}
	switch {
	case output == "nagios": // which has told of the error
		return page.Report.Exit(), nil
	case show.ForProbers(output):
		page.Tell(std.err)
		return status, nil
	}
	return status, err
}

// Look looks at processes, and returns what is to be printed of that, with the
// exit status. The error says why nothing was found; there is no page if the
// configuration is refused. how says how to tell where supervisord is. more, if not nil,
// finds at the same time what else is to be shown: of probes, which are all there is where
// processes is nil.
func Look(ctx context.Context, how string, processes func(context.Context) (runner.Report, error), more func(context.Context) []runner.Row) (*show.Page, int, error) {
	var rows []runner.Row
	var looks sync.WaitGroup
	if more != nil {
		looks.Go(func() { rows = more(ctx) })
	}
	report := runner.Report{Probes: processes == nil}
	var err error
	if processes != nil {
		report, err = processes(ctx)
	}
	looks.Wait()
	report.Rows = append(rows, report.Rows...)
	var config *runner.ConfigError
	switch {
	case errors.Is(err, supervisor.ErrNoURL):
		err = fmt.Errorf("supervisord's address is not known, and there is no %s: %s",
			strings.Join(sockets, ", no "), how)
	case errors.As(err, &config):
		return nil, exitUsage, err
	}
	status := exitUnknown
	switch {
	case err != nil:
	case report.Status() == checks.Healthy:
		status = exitOK
	case report.Status() == checks.Unhealthy:
		status = exitUnhealthy
	}
	return page(report, err), status, err
}
