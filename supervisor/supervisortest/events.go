package supervisortest

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// bufferSize is supervisord's default of buffer_size: more events that wait
// for the listener than this are dropped.
const bufferSize = 10

// pool is supervisord's side of the conversation with one event listener.
type pool struct {
	server *Server

	mu      sync.Mutex
	changed *sync.Cond
	buffer  []event
	serial  int
	asked   int            // events given to Send
	done    int            // events answered or dropped
	ended   error          // why there is no conversation any more
	stdin   *io.PipeWriter // of the newest listener
	stdout  *io.PipeReader
}

type event struct {
	serial        int
	name, payload string
}

func newPool(s *Server) *pool {
	p := &pool{server: s}
	p.changed = sync.NewCond(&p.mu)
	return p
}

// Listener connects an event listener and returns the standard input and output
// it has under supervisord. It speaks until it ends or breaks the protocol; see
// Send for how to learn of that. A listener connected later replaces it.
func (s *Server) Listener() (stdin io.ReadCloser, stdout io.WriteCloser) {
	inRead, inWrite := io.Pipe()
	outRead, outWrite := io.Pipe()
	p := s.events
	p.close()
	p.mu.Lock()
	p.stdin, p.stdout, p.ended = inWrite, outRead, nil
	p.mu.Unlock()
	go p.converse(inWrite, outRead)
	return inRead, outWrite
}

// Tick sends the tick of that period, which is whole seconds, with the present
// time: Python's supervisord says when the period began, and so may a test
// that has a listener pass over old ticks, with Send. It returns as Send does.
func (s *Server) Tick(period time.Duration) error {
	return s.Send(fmt.Sprintf("TICK_%d", period/time.Second), fmt.Sprintf("when:%d", time.Now().Unix()))
}

// Send sends an event and returns when the listener has answered it OK, as it
// must at once, whatever its checks do. The error says how the listener broke
// the protocol or that it has ended; the event is then for the next listener.
func (s *Server) Send(name, payload string) error {
	p := s.events
	p.mu.Lock()
	defer p.mu.Unlock()
	p.serial++
	p.asked++
	if len(p.buffer) == bufferSize {
		p.buffer = p.buffer[1:] // Python's; the Go one drops the newest
		p.done++
	}
	p.buffer = append(p.buffer, event{p.serial, name, payload})
	mine := p.asked
	p.changed.Broadcast()
	for p.done < mine && p.ended == nil {
		p.changed.Wait()
	}
	return p.ended
}

// Hangup closes the listener's standard input, as supervisord's end does.
func (s *Server) Hangup() { s.events.hangUp() }

func (p *pool) hangUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stdin != nil {
		p.stdin.Close()
	}
	if p.ended == nil {
		p.ended = io.EOF
	}
	p.changed.Broadcast()
}

// close ends the conversation for good: nobody reads what the listener says.
func (p *pool) close() {
	p.hangUp()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stdout != nil {
		p.stdout.Close()
	}
}

// converse plays supervisord's part, which knows no mercy: one byte that it
// does not expect, and the listener is never spoken to again.
func (p *pool) converse(stdin *io.PipeWriter, stdout *io.PipeReader) {
	err := p.rounds(stdin, bufio.NewReader(stdout))
	go io.Copy(io.Discard, stdout)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stdin == stdin && p.ended == nil {
		p.ended = err
	}
	p.changed.Broadcast()
}

func (p *pool) rounds(stdin *io.PipeWriter, stdout *bufio.Reader) error {
	for {
		if err := expect(stdout, "READY\n"); err != nil {
			return err
		}
		e, err := p.next(stdin)
		if err != nil {
			return err
		}
		err = p.deliver(e, stdin, stdout)
		p.mu.Lock()
		if err == nil {
			p.done++
		} else {
			p.buffer = append([]event{e}, p.buffer...)
		}
		p.changed.Broadcast()
		p.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// next waits for an event for the listener with that standard input.
func (p *pool) next(stdin *io.PipeWriter) (event, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.stdin != stdin:
			return event{}, io.EOF
		case p.ended != nil:
			return event{}, p.ended
		case len(p.buffer) > 0:
			e := p.buffer[0]
			p.buffer = p.buffer[1:]
			return e, nil
		}
		p.changed.Wait()
	}
}

func (p *pool) deliver(e event, stdin io.Writer, stdout *bufio.Reader) error {
	if stdout.Buffered() > 0 {
		return fmt.Errorf("the listener wrote unasked, it would be in UNKNOWN for good")
	}
	if _, err := io.WriteString(stdin, p.format(e)); err != nil {
		return fmt.Errorf("the listener ended: %w", err)
	}
	return expect(stdout, "RESULT 2\nOK")
}

// format writes an event as the flavour writes it: `len` counts characters
// with Python's supervisord and bytes with the Go one.
func (p *pool) format(e event) string {
	length := utf8.RuneCountInString(e.payload)
	if p.server.flavour == supervisor.Go {
		length = len(e.payload)
	}
	return "ver:3.0 server:supervisor serial:" + strconv.Itoa(e.serial) +
		" pool:listener poolserial:" + strconv.Itoa(e.serial) +
		" eventname:" + e.name + " len:" + strconv.Itoa(length) + "\n" + e.payload
}

func expect(r io.Reader, want string) error {
	got := make([]byte, len(want))
	n, err := io.ReadFull(r, got)
	if err == nil && string(got) == want {
		return nil
	}
	if err != nil && strings.HasPrefix(want, string(got[:n])) {
		return fmt.Errorf("the listener ended instead of saying %q: %w", want, err)
	}
	return fmt.Errorf("the listener said %q instead of %q, it would be in UNKNOWN for good", got[:n], want)
}
