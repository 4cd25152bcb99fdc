package checks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// DefaultTCPTimeout is how long TCP waits when TCPConfig.Timeout is 0.
const DefaultTCPTimeout = 15 * time.Second

// TCPConfig configures a TCP check.
type TCPConfig struct {
	// Port is a port number, or a regular expression with one group that
	// finds the number in the process name: `web_(\d+)` finds 8001 in
	// "web_8001". It is required, unless there is a UnixSocket. The syntax is
	// that of package regexp.
	Port string

	// Host is the name or IP address of the host to dial. "" means 127.0.0.1.
	Host string

	// UnixSocket is the path of a stream socket to dial instead of Host and
	// Port.
	UnixSocket string

	// Timeout bounds one try, name lookup included. 0 means DefaultTCPTimeout.
	Timeout time.Duration

	// Retries is how often a failed try is repeated within one run, after
	// pauses of 3 s, 6 s, 9 s … 0 or less means never.
	Retries int
}

// TCP checks that something accepts connections.
type TCP struct {
	endpoint endpoint
	timeout  time.Duration
	retries  int
}

// NewTCP returns the check that cfg describes, or a *ConfigError.
func NewTCP(cfg TCPConfig) (*TCP, error) {
	e, err := newEndpoint("tcp", cfg.Port, cfg.Host, cfg.UnixSocket)
	if err != nil {
		return nil, err
	}
	timeout := cmp.Or(cfg.Timeout, DefaultTCPTimeout)
	if timeout < 0 {
		return nil, refuse("tcp", "timeout", "%v is not more than 0", timeout)
	}
	return &TCP{endpoint: e, timeout: timeout, retries: cfg.Retries}, nil
}

// Name returns "tcp".
func (c *TCP) Name() string { return "tcp" }

// Run dials the port of p and hangs up. A refused or timed-out connection is
// Unhealthy: errors.Is finds syscall.ECONNREFUSED or context.DeadlineExceeded.
// A name without a port is Unknown, with ErrNoPort: restarting p would not give
// it one. So is a socket that we may not open, and a run that ctx cut short. The
// metric latency_seconds is of the last try.
func (c *TCP) Run(ctx context.Context, p supervisor.Process) Result {
	network, address, err := c.endpoint.address(p.Name)
	if err != nil {
		return Unsure(err)
	}
	var latency time.Duration
	err = retry(ctx, c.retries, func() error {
		start := time.Now()
		err := dial(ctx, network, address, c.timeout)
		latency = time.Since(start)
		return mayOpen(network, err)
	})
	r := outcome(ctx, err)
	r.Metrics = map[string]float64{"latency_seconds": latency.Seconds()}
	return r
}

// dial opens a connection to address within timeout and closes it.
func dial(ctx context.Context, network, address string, timeout time.Duration) error {
	try, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(try, network, address)
	switch {
	case err == nil:
		conn.Close()
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, os.ErrDeadlineExceeded), try.Err() != nil: // the former may be a little earlier
		return fmt.Errorf("no connection to %s within %v: %w", address, timeout, context.DeadlineExceeded)
	}
	return err
}
