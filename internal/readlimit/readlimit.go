// Package readlimit bounds what is read from a server, so that one that sends without end
// costs no memory.
package readlimit

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"
)

// A Limit is how much may be read over its connections until it is renewed.
type Limit struct {
	most int64
	left atomic.Int64
}

// New returns a limit of that many bytes.
func New(most int64) *Limit {
	l := &Limit{most: most}
	l.Renew()
	return l
}

// Renew has all of it be there again.
func (l *Limit) Renew() { l.left.Store(l.most) }

// Spend takes some of it, or returns an error if there is no more.
func (l *Limit) Spend(n int64) error {
	if n < 0 || n > l.most || l.left.Add(-n) < 0 {
		return fmt.Errorf("the server sends more than %d KiB: it may be something else", l.most>>10)
	}
	return nil
}

// Conn returns c, from which no more than that is read.
func (l *Limit) Conn(c net.Conn) net.Conn { return &conn{c, l} }

type conn struct {
	net.Conn
	limit *Limit
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if spent := c.limit.Spend(int64(n)); spent != nil {
		return 0, spent
	}
	return n, err
}

// SyscallConn is what drivers see by whether an idle connection was closed.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	if real, ok := c.Conn.(syscall.Conn); ok {
		return real.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}
