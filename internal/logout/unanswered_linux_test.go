package logout

import (
	"net"
	"regexp"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestVanishedServerIsNoticed(t *testing.T) {
	l, accept := listen(t, "tcp", "127.0.0.1:0")
	address, err := ParseAddress("tcp://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s := &sender{to: address, times: quick, ctx: t.Context()}
	d := s.dial()
	if d.err != nil {
		t.Fatal(d.err)
	}
	defer d.conn.Close()
	accept()
	raw, err := d.conn.Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		got, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
		if err != nil || time.Duration(got)*time.Millisecond != unanswered {
			t.Errorf("%d ms, error %v", got, err)
		}
	})
}

// A host that does not answer holds up nobody: here, one whose queue is full.
func TestEndWhileItIsDialed(t *testing.T) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	bound, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	to := (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: bound.(*syscall.SockaddrInet4).Port}).String()
	for full := false; !full; {
		conn, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer syscall.Close(conn)
		syscall.Connect(conn, bound)
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(conn), Events: unix.POLLOUT}}, 200) // which asks before it gives up, however late it is
		full = n == 0 && err == nil
	}
	slow := quick
	slow.dial = time.Minute
	log, h, c := openWith(t, "tcp://"+to, "gelf", slow)
	log.Info("the only line")
	time.Sleep(50 * time.Millisecond)
	if c.String() != "" {
		t.Errorf("it is not dialed, but\n%s", c)
	}
	begun := time.Now()
	h.Close(100 * time.Millisecond)
	h.Close(100 * time.Millisecond)
	log.Info("after the end")
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("it takes %v", took)
	}
	if got := c.String(); !regexp.MustCompile(`^time=\S+ level=INFO msg="the only line"\n$`).MatchString(got) {
		t.Errorf("on standard error is\n%s", got)
	}
}
