package cli

import (
	"io"
	"time"

	"github.com/spf13/pflag"

	"github.com/supervisor-checks/supervisor-checks/checks"
)

// TCP is supervisor_tcp_check.
func TCP(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return newTCP().run(args, streams{stdin, stdout, stderr})
}

func newTCP() *Program {
	p := newCheckProgram("supervisor_tcp_check", "-p PORT", "Restarts processes that do not accept TCP connections.", `-p 'web_(\d+)'`)
	var (
		cfg     checks.TCPConfig
		timeout = duration(checks.DefaultTCPTimeout)
		retries = number(defaultRetries)
	)
	p.section("Connection", func(f *pflag.FlagSet) {
		endpointOptions(f, &cfg.Port, &cfg.Host, &cfg.UnixSocket)
		retryOptions(f, &timeout, &retries)
	})
	return p.does(func() ([]checks.Check, error) {
		cfg.Timeout, cfg.Retries = time.Duration(timeout), int(retries)
		return only(checks.NewTCP(cfg))
	})
}
