package checks

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"

	"github.com/supervisor-checks/supervisor-checks/internal/decimal"
	"github.com/supervisor-checks/supervisor-checks/internal/proc"
)

// ErrNoPort is wrapped by the error of a result when a port expression finds no
// port number in the name of a process.
var ErrNoPort = errors.New("no port in the process name")

const maxPort = 65535

// port is a port expression: a number, or a regular expression that finds it
// in the name of a process.
type port struct {
	number  int
	pattern *regexp.Regexp // nil for a number
}

// parsePort reads a port expression. Its error says what is wrong with it.
//
// Two things differ from Python's regular expressions, which supervisor_checks
// used: there are no lookarounds and backreferences, and \d is an ASCII digit.
func parsePort(expr string) (port, error) {
	if strings.TrimSpace(expr) == "" {
		return port{}, errors.New("is required: a number, or a regular expression with one group such as `web_(\\d+)`")
	}
	if n, err := decimal.Parse(expr); err == nil {
		if n < 1 || n > maxPort {
			return port{}, fmt.Errorf("%q is not between 1 and %d", expr, maxPort)
		}
		return port{number: n}, nil
	}
	pattern, err := regexp.Compile(expr)
	var bad *syntax.Error
	switch {
	case errors.As(err, &bad) && (bad.Code == syntax.ErrInvalidPerlOp || bad.Code == syntax.ErrInvalidEscape || bad.Code == syntax.ErrInvalidNamedCapture):
		return port{}, fmt.Errorf("%w; RE2, which is used here, has no lookarounds, backreferences and conditions: match what is around the number outside the group, as in `web_(\\d+)`", err)
	case err != nil:
		return port{}, err
	case pattern.NumSubexp() == 0:
		return port{}, fmt.Errorf("%#q is neither a number nor a regular expression with a group such as `web_(\\d+)`", expr)
	case pattern.NumSubexp() > 1:
		return port{}, fmt.Errorf("%#q has %d groups, so which is the port? Write (?:…) for those that are not", expr, pattern.NumSubexp())
	}
	return port{pattern: pattern}, nil
}

// bareDigits finds \d+ and \d* that have lost their backslash.
var bareDigits = regexp.MustCompile(`(?:^|[^\\])d[+*]`)

// of returns the port of the process called name, or an error that wraps
// ErrNoPort. As with Python's re.match the expression must match from the start
// of the name, but not up to its end.
func (p port) of(name string) (int, error) {
	if p.pattern == nil {
		return p.number, nil
	}
	// A match at the start is the leftmost one, so that it is the one found.
	loc := p.pattern.FindStringSubmatchIndex(name)
	if loc == nil || loc[0] != 0 {
		hint := ""
		if bareDigits.MatchString(p.pattern.String()) {
			hint = `, where d is a letter: supervisord.conf and the shell may eat a backslash, so write [0-9] for \d`
		}
		return 0, fmt.Errorf("%w: %q does not match %#q%s", ErrNoPort, name, p.pattern, hint)
	}
	if loc[2] < 0 {
		return 0, fmt.Errorf("%w: %q matches %#q without its group", ErrNoPort, name, p.pattern)
	}
	found := name[loc[2]:loc[3]]
	n, err := decimal.Parse(found)
	if err != nil || n < 1 || n > maxPort {
		return 0, fmt.Errorf("%w: %q, found in %q, is not a number between 1 and %d", ErrNoPort, found, name, maxPort)
	}
	return n, nil
}

// endpoint is where a check connects to.
type endpoint struct {
	host       string
	port       port
	unixSocket string // instead of both
}

// newEndpoint checks the settings that http and tcp share.
func newEndpoint(check, portExpr, host, unixSocket string) (endpoint, error) {
	if unixSocket != "" {
		if portExpr != "" {
			return endpoint{}, refuseWith(check, "port", "unix-socket")
		}
		if host != "" {
			return endpoint{}, refuseWith(check, "host", "unix-socket")
		}
		return endpoint{unixSocket: unixSocket}, nil
	}
	p, err := parsePort(portExpr)
	if err != nil {
		return endpoint{}, &ConfigError{Check: check, Field: "port", Err: err}
	}
	if host == "" {
		host = "127.0.0.1"
	}
	if !isHostname(host) {
		if _, err := netip.ParseAddr(host); err != nil {
			return endpoint{}, refuse(check, "host", "%q is neither a host name nor an IP address", host)
		}
	}
	return endpoint{host: host, port: p}, nil
}

func isHostname(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		digit := '0' <= r && r <= '9'
		return !letter && !digit && r != '-' && r != '.' && r != '_'
	})
}

// mayOpen returns err, which is of a connection, but that of a socket which we
// have no right to open as one that wraps ErrUnknown: it says nothing of the
// process.
func mayOpen(network string, err error) error {
	if network != "unix" || !errors.Is(err, os.ErrPermission) {
		return err
	}
	return fmt.Errorf("%w: %w: user %s may not open the socket: let that user write to it, with chmod or chown of it and its folder, "+
		"or set user= in the [eventlistener] section", ErrUnknown, err, proc.User())
}

// address returns what to dial for the process called name, or an error that
// wraps ErrNoPort.
func (e endpoint) address(name string) (network, address string, err error) {
	if e.unixSocket != "" {
		return "unix", e.unixSocket, nil
	}
	n, err := e.port.of(name)
	if err != nil {
		return "", "", err
	}
	return "tcp", net.JoinHostPort(e.host, strconv.Itoa(n)), nil
}
