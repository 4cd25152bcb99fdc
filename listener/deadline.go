package listener

import (
	"io"
	"net"
	"time"
)

// deadlineReader is something one can wait for with a limit.
type deadlineReader interface {
	io.Reader
	SetReadDeadline(time.Time) error
}

// withDeadline returns in, or, where it has no deadlines, what reads from it
// meanwhile; and what lets go of that.
func withDeadline(in io.Reader) (deadlineReader, func()) {
	if d, is := in.(deadlineReader); is && d.SetReadDeadline(time.Time{}) == nil { // a file has them or not
		return d, func() {}
	}
	here, there := net.Pipe()
	f := &forwarder{Conn: here, end: io.EOF}
	go func() {
		if _, err := io.Copy(there, in); err != nil {
			f.end = err
		}
		there.Close()
	}()
	return f, func() { here.Close() }
}

// forwarder is the end of a pipe to which something is copied.
type forwarder struct {
	net.Conn
	end error // of what is copied, once the pipe is closed
}

// Read ends as what is copied does.
func (f *forwarder) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	if err == io.EOF {
		err = f.end
	}
	return n, err
}
