package redis

import (
	"net"
	"strings"

	"github.com/supervisor-checks/supervisor-checks/internal/readlimit"
)

// guard refuses an answer that announces more than the limit allows, before the library
// makes room for that.
type guard struct {
	net.Conn
	limit *readlimit.Limit

	kind   byte  // of the line: the first byte of it, 0 before that
	length int64 // that it announces
	skip   int64 // how much of a string is to come
}

func (g *guard) Read(b []byte) (int, error) {
	n, err := g.Conn.Read(b)
	for _, c := range b[:n] {
		if err := g.next(c); err != nil {
			return 0, err
		}
	}
	return n, err
}

func (g *guard) next(c byte) error {
	const texts, lists = "$!=", "*%~|>"
	switch announces := strings.IndexByte(texts+lists, g.kind) >= 0; {
	case g.skip > 0:
		g.skip--
	case g.kind == 0:
		g.kind, g.length = c, 0
	case c == '-': // there is none
		g.kind = c
	case c >= '0' && c <= '9' && announces:
		g.length = min(g.length*10+int64(c-'0'), 2*mostInLook)
	case c == '\n':
		if strings.IndexByte(texts, g.kind) >= 0 {
			g.skip = g.length + int64(len("\r\n"))
		}
		g.kind = 0
		if announces {
			return g.limit.Spend(g.length)
		}
	}
	return nil
}
