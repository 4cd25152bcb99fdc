package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/pflag"

	"github.com/supervisor-checks/supervisor-checks/checks"
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
or supervisord not reached, 2 as above.`

// checkProgram is a program that runs one check.
type checkProgram struct {
	*program
	cfg          runner.Config
	once         bool
	passwordFile string
	logFormat    string
	logLevel     string
}

func newCheckProgram(name, arguments, what string) *checkProgram {
	p := &checkProgram{program: newProgram(name+" -n NAME "+arguments+" [option ...]", what, what+"\n"+listening)}
	p.section("Which processes", func(f *pflag.FlagSet) {
		f.StringVarP(&p.cfg.Name, "check-name", "n", "", "`NAME` of this listener in its log (required)")
		required(f, "check-name")
		f.StringArrayVarP(&p.cfg.Groups, "process-group", "g", nil, "watch all processes of this `GROUP`; may be repeated")
		f.StringArrayVarP(&p.cfg.Processes, "process-name", "N", nil,
			"watch this `PROCESS` instead of groups: NAME (for NAME:NAME), GROUP:NAME or GROUP:*; may be repeated. "+
				"With neither option every process is watched, except event listeners")
	})
	return p
}

// run adds the options that every check program has and runs it with the check
// that makeCheck makes.
func (p *checkProgram) run(args []string, std streams, makeCheck func() (checks.Check, error)) int {
	p.section("How it runs", func(f *pflag.FlagSet) {
		f.BoolVar(&p.once, "once", false, "run the check now, print what it finds, restart nothing, and exit")
		f.BoolVar(&p.cfg.DryRun, "dry-run", false, "as a listener: say what would be restarted, and do not")
		f.StringVar(&p.logFormat, "log-format", "text", "`FORMAT` of the log on standard error: text or json")
		f.StringVar(&p.logLevel, "log-level", "info", "least `LEVEL` that is logged: debug (each result), info, warn or error")
		f.StringVar(&p.cfg.StateDir, "state-dir", "", "`FOLDER` of the journal of restarts (default $STATE_DIRECTORY; "+
			"else /run/supervisor-checks for root, ~/.local/state/supervisor-checks for others)")
		added(f, "once", "dry-run", "log-format", "log-level", "state-dir")
	})
	p.section("Where supervisord is", func(f *pflag.FlagSet) {
		f.StringVar(&p.cfg.Server.URL, "server-url", "", "its `URL`, unix:///PATH or http://HOST:PORT (default $SUPERVISOR_SERVER_URL)")
		f.StringVar(&p.cfg.Server.Username, "server-username", "", "`NAME` to log in with (default $SUPERVISOR_USERNAME)")
		f.StringVar(&p.passwordFile, "server-password-file", "", "`FILE` with the password in its first line (default the password in $SUPERVISOR_PASSWORD)")
		added(f, "server-url", "server-username", "server-password-file")
	})
	return p.program.run(args, std, func(ctx context.Context) (int, error) {
		check, err := makeCheck()
		if err != nil {
			return 0, err
		}
		p.cfg.Checks = []checks.Check{check}
		log, err := newLog(std.err, p.logFormat, p.logLevel)
		if err != nil {
			return 0, err
		}
		p.cfg.Log = log.With("listener", p.cfg.Name)
		p.cfg.Server.Username = cmp.Or(p.cfg.Server.Username, os.Getenv("SUPERVISOR_USERNAME"))
		p.cfg.Server.Password = os.Getenv("SUPERVISOR_PASSWORD")
		if p.Flags().Changed("server-password-file") {
			if p.cfg.Server.Password, err = readSecret("server-password-file", p.passwordFile); err != nil {
				return 0, err
			}
		}
		if p.once {
			return once(ctx, p.cfg, std.out)
		}
		if std.in != io.Reader(os.Stdin) || std.out != io.Writer(os.Stdout) {
			p.cfg.Stdin, p.cfg.Stdout = std.in, std.out
		}
		err = runner.Run(ctx, p.cfg)
		var config *runner.ConfigError
		if err != nil && !errors.As(err, &config) {
			p.cfg.Log.Error(fmt.Sprintf("cannot go on: %v", err))
			return exitUnhealthy, nil
		}
		return exitOK, err
	})
}

// endpointOptions adds what the checks that connect to a port have in common.
func endpointOptions(f *pflag.FlagSet, port, host, socket *string) {
	f.StringVarP(port, "port", "p", "", "`PORT`, or a regular expression with one group that finds it in the name of the process, "+
		`such as 'web_(\d+)' (required, unless --unix-socket is given)`)
	f.StringVar(host, "host", "", "`HOST` to connect to (default 127.0.0.1)")
	f.StringVar(socket, "unix-socket", "", "`PATH` of a socket to connect to instead")
	required(f, "port", "unix-socket")
	added(f, "host", "unix-socket")
}

func retryOptions(f *pflag.FlagSet, timeout *duration, retries *number) {
	f.VarP(timeout, "timeout", "t", "how long one try may take, in seconds or as 1.5s, 2m")
	f.VarP(retries, "num-retries", "r", "how often a failed try is repeated before it counts, after pauses of 3 s, 6 s, 9 s, …")
	field(f, "num-retries", "retries")
}

// HTTP is supervisor_http_check.
func HTTP(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	p := newCheckProgram("supervisor_http_check", "-u URL -p PORT", "Restarts processes that do not answer HTTP requests as they should.")
	var (
		cfg          checks.HTTPConfig
		timeout      = duration(checks.DefaultHTTPTimeout)
		retries      = number(2)
		jsonBody     = text{what: "JSON"}
		method       = text{what: "METHOD", value: "GET"}
		password     = text{what: "PASSWORD"}
		headers      string
		passwordFile string
	)
	p.section("Request", func(f *pflag.FlagSet) {
		f.StringVarP(&cfg.URL, "url", "u", "", "`URL` to ask for: a path with its query (required)")
		required(f, "url")
		endpointOptions(f, &cfg.Port, &cfg.Host, &cfg.UnixSocket)
		f.StringVar(&cfg.Scheme, "scheme", "http", "`SCHEME`, http or https")
		f.VarP(&method, "method", "m", "method of the request")
		f.VarP(&jsonBody, "json", "j", "body of the request, sent with Content-Type: application/json")
		f.StringVarP(&cfg.Body, "body", "b", "", "`BODY` of the request, unless --json is given")
		f.StringVarP(&headers, "headers", "H", "", "headers of the request, as a `JSON` object")
		f.StringVarP(&cfg.Username, "username", "U", "", "`NAME` for basic authentication")
		f.VarP(&password, "password", "P", "password for basic authentication; better --password-file, for ps shows this to everybody")
		f.StringVar(&passwordFile, "password-file", "", "`FILE` with the password in its first line")
		f.StringVar(&cfg.CAFile, "ca-file", "", "`FILE` of certificates to trust instead of the system's")
		f.BoolVar(&cfg.Insecure, "insecure", false, "accept any certificate")
		retryOptions(f, &timeout, &retries)
		added(f, "scheme", "password-file", "ca-file", "insecure")
	})
	p.section("Answer", func(f *pflag.FlagSet) {
		f.StringVar(&cfg.ExpectStatus, "expect-status", "200", "`STATUS` codes that are healthy, such as 200-299,301")
		f.StringVar(&cfg.ExpectBody, "expect-body", "", "`REGEX` that must match in the body's first MiB (default: the body is not read)")
		added(f, "expect-status", "expect-body")
	})
	return p.run(args, streams{stdin, stdout, stderr}, func() (checks.Check, error) {
		cfg.Timeout, cfg.Retries = time.Duration(timeout), int(retries)
		if cfg.Method = method.value; cfg.Method == "" {
			return nil, usageError{errors.New(`argument -m/--method: "" is not a method`)}
		}
		if jsonBody.given {
			cfg.JSON = json.RawMessage(jsonBody.value)
		}
		var err error
		if p.Flags().Changed("headers") {
			if cfg.Header, err = checks.ParseHeaders(headers); err != nil {
				return nil, usageError{fmt.Errorf("argument -H/--headers: %w", err)}
			}
		}
		cfg.Password = password.value
		fromFile := p.Flags().Changed("password-file")
		if fromFile {
			if password.given {
				return nil, usageError{errors.New("argument --password-file: not allowed with argument -P/--password")}
			}
			if cfg.Password, err = readSecret("password-file", passwordFile); err != nil {
				return nil, err
			}
		}
		if cfg.Username == "" && (password.given || fromFile) {
			return nil, usageError{errors.New("argument -P/--password: there is no -U/--username that it belongs to")}
		}
		return checks.NewHTTP(cfg)
	})
}

// TCP is supervisor_tcp_check.
func TCP(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	p := newCheckProgram("supervisor_tcp_check", "-p PORT", "Restarts processes that do not accept TCP connections.")
	var (
		cfg     checks.TCPConfig
		timeout = duration(checks.DefaultTCPTimeout)
		retries = number(2)
	)
	p.section("Connection", func(f *pflag.FlagSet) {
		endpointOptions(f, &cfg.Port, &cfg.Host, &cfg.UnixSocket)
		retryOptions(f, &timeout, &retries)
	})
	return p.run(args, streams{stdin, stdout, stderr}, func() (checks.Check, error) {
		cfg.Timeout, cfg.Retries = time.Duration(timeout), int(retries)
		return checks.NewTCP(cfg)
	})
}

// File is supervisor_file_check.
func File(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	p := newCheckProgram("supervisor_file_check", "-t AGE", "Restarts processes whose heartbeat stops: whose notification file is older than it may be.")
	var (
		cfg checks.FileConfig
		age duration
	)
	p.section("Heartbeat", func(f *pflag.FlagSet) {
		f.VarP(&age, "timeout", "t", "how old a heartbeat may be, in seconds or as 1.5s, 2m (required)")
		f.Lookup("timeout").DefValue = "" // which is not shown
		required(f, "timeout")
		field(f, "timeout", "max-age")
		f.BoolVarP(&cfg.FailOnError, "fail-on-error", "x", false, "restart as well when there is no heartbeat to be seen")
		f.StringVarP(&cfg.Path, "filepath", "f", "", "`FILE` to look at, the same for all processes (default FOLDER/GROUP-NAME-PID)")
		f.StringVarP(&cfg.Root, "root-dir", "d", "", "`FOLDER` of the notification files (default the temporary folder)")
	})
	return p.run(args, streams{stdin, stdout, stderr}, func() (checks.Check, error) {
		cfg.MaxAge = time.Duration(age)
		return checks.NewFile(cfg)
	})
}

// sockets are where supervisord's socket is by default, in Debian's and in
// supervisor's own configuration.
var sockets = []string{"/run/supervisor.sock", "/var/run/supervisor.sock", "/tmp/supervisor.sock"}

// once runs the checks now and prints a table.
func once(ctx context.Context, cfg runner.Config, out io.Writer) (int, error) {
	if cfg.Server.URL == "" && os.Getenv("SUPERVISOR_SERVER_URL") == "" {
		for _, path := range sockets {
			if _, err := os.Stat(path); err == nil {
				cfg.Server.URL = "unix://" + path
				break
			}
		}
	}
	report, err := runner.Once(ctx, cfg)
	switch {
	case errors.Is(err, supervisor.ErrNoURL):
		return exitUnknown, errors.New("supervisord's address is not known: pass --server-url unix:///PATH or http://HOST:PORT")
	case err != nil:
		return exitUnknown, err
	}
	printReport(out, report)
	switch report.Status() {
	case checks.Healthy:
		return exitOK, nil
	case checks.Unhealthy:
		return exitUnhealthy, nil
	}
	return exitUnknown, nil
}
