package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/internal/command"
	"github.com/supervisor-checks/supervisor-checks/internal/script"
)

// Script is supervisor_script_check.
func Script(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return newScript().run(args, streams{stdin, stdout, stderr})
}

func newScript() *Program {
	p := newCheckProgram("supervisor_script_check", "--command COMMAND",
		"Restarts processes of which a program of yours says that they do not work.", `--command 'test -S /run/%%(process_name)s.sock'`)
	var (
		cfg     checks.ScriptConfig
		line    string
		options []string
		paths   []string
		timeout = duration(checks.DefaultScriptTimeout)
		retries = number(defaultRetries)
	)
	p.section("Script", func(f *pflag.FlagSet) {
		f.StringVar(&line, "command", "", "`COMMAND` to run, taken apart as a shell does, but run without one. "+
			"%(process_name)s, %(group_name)s, %(namespec)s and %(pid)s stand for those of the process, which are in "+
			"SUPERVISOR_CHECK_NAME, _GROUP, _PROCESS and _PID, too, and %% for a %, which supervisord.conf wants to be doubled once more (required)")
		required(f, "command")
		f.StringArrayVar(&cfg.Env, "env", nil, "set this variable for it, `NAME=VALUE`; may be repeated")
		f.StringVar(&cfg.Dir, "dir", "", "`FOLDER` to run it in")
		f.StringVar(&cfg.User, "user", "", "`USER` to run it as, or USER:GROUP; for root only")
		f.BoolVar(&cfg.CleanEnv, "clean-env", false, "give it nothing of this program's environment but PATH")
		f.StringVar(&cfg.Protocol, "protocol", script.Exit, "how it says what it has found: `PROTOCOL` exit (by its exit status: 0 healthy, 3, 126 and 127 unknown, else unhealthy), "+
			"nagios, cloudprober, cloudprober-server (it is started once, and answers requests) or json (its last line: "+
			`{"status": "healthy", "unhealthy", "unknown" or "skipped", "reason": TEXT, "metrics": {NAME: NUMBER}})`)
		f.StringVar(&cfg.Warning, "warning", script.Healthy.String(), "`STATUS` that a warning of nagios means: healthy, unhealthy or unknown")
		f.StringArrayVar(&options, "option", nil, "send this option to a cloudprober-server, `NAME=VALUE`; may be repeated")
		field(f, "option", "options")
		f.StringArrayVar(&cfg.OnlyIn, "only-in", nil, "run it only in this `ENVIRONMENT`, as develop or staging, and skip it elsewhere: for what creates data; may be repeated")
		f.StringVar(&cfg.Environment, "environment", "", "`ENVIRONMENT` that this is (default $SUPERVISOR_CHECKS_ENVIRONMENT)")
		retryOptions(f, &timeout, &retries)
		words(f, "protocol", script.Protocols...)
		words(f, "warning", "healthy", "unhealthy", "unknown")
	})
	p.section("Output", func(f *pflag.FlagSet) {
		f.StringVar(&cfg.ExpectOutput, "expect-output", "", "`REGEX` that must match what it prints")
		f.StringArrayVar(&cfg.ExpectText, "expect-text", nil, "`TEXT` that must be in what it prints; may be repeated")
		f.StringArrayVar(&cfg.RejectText, "reject-text", nil, "`TEXT` that must not be in what it prints; may be repeated")
		f.StringArrayVar(&paths, "expect-json", nil, `there must be something at this JSON path in what it prints, `+"`PATH`"+` as $.status or $.nodes[?@.up==true]; may be repeated`)
	})
	return p.does(func() ([]checks.Check, error) {
		cfg.Environment = cmp.Or(cfg.Environment, os.Getenv("SUPERVISOR_CHECKS_ENVIRONMENT"))
		cfg.Timeout, cfg.Retries = time.Duration(timeout), int(retries)
		var err error
		if cfg.Command, err = command.Split(line); err == nil {
			err = cfg.Find()
		}
		if err != nil {
			return nil, usageError{fmt.Errorf("argument --command: %w", err)}
		}
		for _, option := range options {
			name, value, is := strings.Cut(option, "=")
			if !is || name == "" {
				return nil, usageError{errors.New("argument --option: there is one that is not NAME=VALUE")} // which may be a secret
			}
			if cfg.Options == nil {
				cfg.Options = make(map[string]string)
			}
			cfg.Options[name] = value
		}
		for _, path := range paths {
			cfg.ExpectJSON = append(cfg.ExpectJSON, checks.ScriptJSON{Path: path})
		}
		cfg.Log = func(line string) { p.cfg.Log.Warn("script: " + line) }
		return only(checks.NewScript(cfg))
	})
}
