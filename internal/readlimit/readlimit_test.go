package readlimit_test

import (
	"io"
	"net"
	"testing"

	"github.com/supervisor-checks/supervisor-checks/internal/readlimit"
)

func TestLimit(t *testing.T) {
	server, client := net.Pipe()
	defer client.Close()
	go func() {
		defer server.Close()
		for {
			if _, err := io.WriteString(server, "0123456789"); err != nil {
				return
			}
		}
	}()
	l := readlimit.New(1 << 10)
	conn := l.Conn(client)
	read := func(n int, want string) {
		t.Helper()
		_, err := io.ReadFull(conn, make([]byte, n))
		text := ""
		if err != nil {
			text = err.Error()
		}
		if text != want {
			t.Errorf("%d bytes: %s\nwant %s", n, text, want)
		}
	}
	const tooMuch = "the server sends more than 1 KiB: it may be something else"
	read(1000, "")
	l.Renew()
	read(1000, "")
	read(100, tooMuch)
	l.Renew()
	if err := l.Spend(1 << 10); err != nil {
		t.Error(err)
	}
	if err := l.Spend(1<<63 - 1); err == nil || err.Error() != tooMuch {
		t.Error(err)
	}
	read(1, tooMuch)
}
