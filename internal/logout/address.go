package logout

import (
	"cmp"
	"errors"
	"net"
	"net/url"
	"path/filepath"
)

// Address is where a log goes.
type Address struct {
	text             string
	network, address string // to dial
	syslog           bool
}

// stderr is the address of standard error, and the one where none is given.
const stderr = "stderr"

// places are what addresses begin with, and their ports where they name none.
var places = map[string]struct{ network, port string }{
	"tcp":        {"tcp", "12201"},
	"udp":        {"udp", "12201"},
	"syslog+tcp": {"tcp", "601"},
	"syslog+udp": {"udp", "514"},
}

var errAddress = errors.New("is none of stderr, tcp://HOST:PORT, udp://HOST:PORT, syslog:///PATH, syslog+tcp://HOST:PORT and syslog+udp://HOST:PORT")

// ParseAddress reads stderr, tcp://HOST:PORT or udp://HOST:PORT for GELF, syslog:///PATH,
// syslog+tcp://HOST:PORT or syslog+udp://HOST:PORT. The text of its error does not have
// what was read, which may be a login of somebody's.
func ParseAddress(text string) (Address, error) {
	if text == stderr {
		return Address{text: text}, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return Address{}, errAddress
	}
	if u.Scheme == "syslog" && u.Host == "" && filepath.IsAbs(u.Path) {
		return Address{text, "unixgram", u.Path, true}, nil
	}
	place, known := places[u.Scheme]
	if !known || u.Hostname() == "" || u.Path != "" && u.Path != "/" {
		return Address{}, errAddress
	}
	return Address{text, place.network, net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), place.port)), u.Scheme != place.network}, nil
}

// String returns it as it was written.
func (a Address) String() string { return a.text }

// Away reports whether it is another place than standard error.
func (a Address) Away() bool { return a.network != "" }

// Syslog reports whether it is one of syslog.
func (a Address) Syslog() bool { return a.syslog }
