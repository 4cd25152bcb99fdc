package swift

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/readlimit"
)

// mostInAnswer is how many bytes a server may send over one connection.
const mostInAnswer = 1 << 20

// transport is one whose servers cannot have anything be written to the program's log,
// where what they send without being asked would be, nor fill its memory.
func transport(config *tls.Config, timeout time.Duration) *http.Transport {
	dial := func(ctx context.Context, network, address string, config *tls.Config) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout) // which the end of a request does not end
		defer cancel()
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		conn = readlimit.New(mostInAnswer).Conn(conn)
		if config != nil {
			encrypted := tls.Client(conn, config)
			if err := encrypted.HandshakeContext(ctx); err != nil {
				conn.Close()
				return nil, err
			}
			conn = encrypted
		}
		return &asked{Conn: conn, asked: make(chan struct{})}, nil
	}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return dial(ctx, network, address, nil)
		},
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			config := config.Clone()
			if config.ServerName == "" {
				config.ServerName, _, _ = net.SplitHostPort(address)
			}
			return dial(ctx, network, address, config)
		},
		DisableKeepAlives:  true,
		DisableCompression: true, // little can unpack to much
	}
}

// asked is a connection from which nothing is read before something was written.
type asked struct {
	net.Conn
	once  sync.Once
	asked chan struct{}
}

func (c *asked) Read(b []byte) (int, error) {
	<-c.asked
	return c.Conn.Read(b)
}

func (c *asked) Write(b []byte) (int, error) {
	c.once.Do(func() { close(c.asked) })
	return c.Conn.Write(b)
}

func (c *asked) Close() error {
	c.once.Do(func() { close(c.asked) })
	return c.Conn.Close()
}
