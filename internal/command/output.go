package command

import (
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"
)

// Output is what a program has written.
type Output struct {
	Stdout Text
	Stderr Text // nothing, unless Command.Apart kept it apart
}

// Text is the beginning and the end of what was written, with nothing between them
// unless it was too much.
type Text struct {
	head, tail string
	lost       int64 // bytes between them
}

// String returns the text with what is no UTF-8 replaced, and in a line of its own how
// much of it was not kept.
func (t Text) String() string {
	if t.lost == 0 {
		return valid(t.head + t.tail)
	}
	return fmt.Sprintf("%s\n(%d more bytes)\n%s", valid(t.head), t.lost, valid(t.tail))
}

// Cut returns the beginning and the end of a text of which that many bytes are kept.
func Cut(text string, most int) Text {
	if len(text) <= most {
		return Text{head: text}
	}
	head, tail := most-most/2, len(text)-most/2
	return Text{strings.Clone(text[:head]), strings.Clone(text[tail:]), int64(tail - head)}
}

// Parts are what was kept, as it was written: all of it in one part, or the beginning and
// the end, with lost bytes between them.
func (t Text) Parts() (parts []string, lost int64) {
	if t.lost == 0 {
		return []string{t.head + t.tail}, 0
	}
	return []string{t.head, t.tail}, t.lost
}

// Last returns the last line that has something in it, without blanks at its ends, and
// whether it is whole: what was cut has no line before its end.
func (t Text) Last() (line string, whole bool) {
	text := t.tail
	if t.lost == 0 {
		text = t.head + t.tail
	}
	text = strings.TrimRightFunc(text, unicode.IsSpace)
	end := strings.LastIndexByte(text, '\n')
	return strings.TrimSpace(text[end+1:]), t.lost == 0 || end >= 0
}

// Lines are the whole lines of the text, without what ends them, which may be \r\n. A
// last line needs no end. Of a line that was cut nothing is left.
func (t Text) Lines() iter.Seq[string] {
	head, tail := t.head+t.tail, ""
	if t.lost > 0 {
		head = t.head[:strings.LastIndexByte(t.head, '\n')+1]
		_, tail, _ = strings.Cut(t.tail, "\n")
	}
	return func(yield func(string) bool) {
		for _, text := range []string{head, tail} {
			for line := range strings.Lines(text) {
				if !yield(strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")) {
					return
				}
			}
		}
	}
}

func valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

// stream is one of the outputs of a program: a pipe, and what came out of it.
type stream struct {
	from, to *os.File
	text     *capped
	done     chan struct{} // closed when nothing more is read
}

func newStream(most int) (*stream, error) {
	from, to, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	return &stream{from, to, newCapped(most), make(chan struct{})}, nil
}

// drop closes a stream that nobody writes to.
func (s *stream) drop() {
	s.from.Close()
	s.to.Close()
}

// read reads to the end, or until finish wants it to be one: then, too, all that was
// written by then is read, as far as a pipe can hold it.
func (s *stream) read() {
	defer close(s.done)
	defer s.from.Close()
	s.to.Close()
	// A file that is copied as such takes 32 KiB each time, for a line or two.
	if _, err := io.CopyBuffer(s.text, struct{ io.Reader }{s.from}, make([]byte, 4<<10)); err == nil {
		return
	}
	s.from.SetReadDeadline(time.Time{})
	conn, err := s.from.SyscallConn()
	if err != nil {
		return
	}
	conn.Read(func(fd uintptr) bool {
		const pipe = 1 << 20 // which nobody's pipe exceeds unasked
		buffer := make([]byte, 64<<10)
		for all := 0; all < pipe; {
			n, err := syscall.Read(int(fd), buffer)
			switch {
			case err == syscall.EINTR:
			case n <= 0:
				return true
			default:
				s.text.Write(buffer[:n])
				all += n
			}
		}
		return true
	})
}

// finish waits for the end of what is read, which is now at the latest.
func (s *stream) finish() {
	select {
	case <-s.done:
	default:
		s.from.SetReadDeadline(time.Now())
		<-s.done
	}
}

// capped keeps the beginning and the end of what is written to it.
type capped struct {
	mu   sync.Mutex
	most int    // bytes of the beginning
	head []byte // the beginning
	last int    // bytes of the end
	tail []byte // the end, and up to as much again before it
	all  int64  // bytes that came after the beginning
}

func newCapped(most int) *capped { return &capped{most: most - most/2, last: most / 2} }

func (c *capped) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(p)
	first := min(n, c.most-len(c.head))
	c.head, p = append(c.head, p[:first]...), p[first:]
	c.all += int64(len(p))
	c.tail = append(c.tail, p[max(0, len(p)-c.last):]...)
	if len(c.tail) > 2*c.last {
		c.tail = append(c.tail[:0], c.tail[len(c.tail)-c.last:]...)
	}
	return n, nil
}

// text returns what was kept.
func (c *capped) text() Text {
	c.mu.Lock()
	defer c.mu.Unlock()
	end := c.tail[max(0, len(c.tail)-c.last):]
	lost := c.all - int64(len(end))
	if lost == 0 {
		return Text{head: string(append(slices.Clip(c.head), end...))}
	}
	return Text{string(c.head), string(end), lost}
}
