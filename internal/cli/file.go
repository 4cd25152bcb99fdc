package cli

import (
	"io"
	"time"

	"github.com/spf13/pflag"

	"github.com/supervisor-checks/supervisor-checks/checks"
)

// File is supervisor_file_check.
func File(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return newFile().run(args, streams{stdin, stdout, stderr})
}

func newFile() *Program {
	p := newCheckProgram("supervisor_file_check", "-t AGE",
		"Restarts processes whose heartbeat stops: whose notification file is older than it may be.", "-t 30 -x")
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
	return p.does(func() ([]checks.Check, error) {
		cfg.MaxAge = time.Duration(age)
		return only(checks.NewFile(cfg))
	})
}
