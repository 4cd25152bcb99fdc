// Package listener speaks supervisord's eventlistener protocol
// (http://supervisord.org/events.html) from the listener's side. It knows
// nothing of checks.
//
// A Listener answers each event OK as soon as it has read it, so that
// supervisord never waits and never buffers, and never answers FAIL:
// supervisord sends a rejected event again at once and without end, and to
// listeners that did not subscribe to it. For the same reason it passes over an
// event that it has seen before, and ticks that are older than their period.
package listener

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	ready  = "READY\n"
	result = "RESULT 2\nOK"
)

const (
	// remembered is how many serials are kept to know an event that is sent again.
	remembered = 1024

	// tailWait is how long the rest of a payload may take that was counted in
	// characters; it comes in the same write as what was read already.
	tailWait = 100 * time.Millisecond

	// silentPeriods is how many periods may pass without a tick.
	silentPeriods = 3

	// longestPeriod is the period that is assumed before the first tick.
	longestPeriod = time.Hour

	readSize = 4096
)

var longAgo = time.Unix(1, 0)

// ErrSilent is what Next returns when no tick came for three periods of the
// longest tick seen (before the first one: of an hour). A shorter one may have
// been another listener's, which rejected it. supervisord shows a
// listener that it has given up as RUNNING and never talks to it again; the way
// back is to exit with a status other than 0 and be started anew.
var ErrSilent = errors.New("supervisord has stopped sending ticks")

// Reasons for which an event is passed over.
const (
	Repeated = "sent before"
	Stale    = "older than its period"
)

// Config configures a Listener.
type Config struct {
	// In is supervisord's side of the conversation. Where it has read deadlines, as
	// pipes and connections do, they are the Listener's to set, and an event is
	// answered a little sooner: by who has read it.
	In  io.Reader
	Out io.Writer // ours; nothing else may write there

	// Skipped, if set, is called for each event that Next answers but does not
	// return, with the reason: Repeated or Stale.
	Skipped func(e Event, reason string)

	// Now tells the time that ticks are compared with. nil means time.Now.
	Now func() time.Time
}

// Listener is the listener's end of one conversation with supervisord. Its
// methods are for one goroutine.
type Listener struct {
	cfg    Config
	in     deadlineReader
	finish func() // lets go of in
	buf    []byte

	begun  bool
	unit   unit
	owed   bool // bytes of the payload before may still come
	seen   map[string]bool
	order  [remembered]string
	oldest int

	period   time.Duration // the longest tick's; 0 before the first tick
	lastTick time.Time
}

// unit is what `len` counts: characters with Python's supervisord
// (https://github.com/Supervisor/supervisor/issues/1243), bytes with the Go one.
type unit int

const (
	undecided unit = iota
	characters
	octets
)

// New returns a Listener, which reads from cfg.In until its end or that of the
// conversation.
func New(cfg Config) *Listener {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	l := &Listener{cfg: cfg, seen: make(map[string]bool), lastTick: time.Now()}
	l.in, l.finish = withDeadline(cfg.In)
	return l
}

// Next waits for an event, answers it, says READY for the one after it, and
// returns it. After an error the conversation is over, and Next must not be
// called again. It returns
//   - io.EOF when supervisord has closed the input: it is gone;
//   - ErrSilent when it has forgotten us;
//   - an error that wraps ErrHeader when the input is no event;
//   - any other error of reading, or of writing the answer;
//   - context.Cause(ctx) when ctx is done.
func (l *Listener) Next(ctx context.Context) (e Event, err error) {
	defer func() {
		if err != nil {
			l.finish()
		}
	}()
	if !l.begun {
		if err := l.say(ready); err != nil {
			return Event{}, err
		}
		l.begun = true
	}
	for {
		e, err := l.next(ctx)
		if err != nil {
			return Event{}, err
		}
		if reason := l.refuse(e); reason != "" {
			if l.cfg.Skipped != nil {
				l.cfg.Skipped(e, reason)
			}
			continue
		}
		return e, nil
	}
}

// next reads one event and answers it.
func (l *Listener) next(ctx context.Context) (Event, error) {
	line, err := l.header(ctx)
	if err != nil {
		return Event{}, err
	}
	e, length, err := parseHeader(line)
	if err != nil {
		return Event{}, err
	}
	var c counter
	for need := length; need > 0; {
		if err := l.await(ctx, 1); err != nil {
			return Event{}, err
		}
		part := l.take(min(need, len(l.buf)))
		need -= len(part)
		for _, b := range part {
			c.add(b)
		}
		e.keep(part)
	}
	l.owed = c.lacks(length)
	if !l.owed || l.unit == octets {
		return e, l.say(result + ready)
	}
	if err := l.say(result); err != nil {
		return Event{}, err
	}
	if err := l.tail(ctx, &e, c, length); err != nil {
		return Event{}, err
	}
	return e, l.say(ready)
}

// tail reads what remains of a payload whose length is in characters. Until
// READY is said, supervisord sends nothing else; only a peer that does not wait
// for it may have sent the next header already.
func (l *Listener) tail(ctx context.Context, e *Event, c counter, length int) error {
	next := []byte("ver:")
	for c.lacks(length) {
		n := 1
		if l.unit == undecided {
			n = len(next)
		}
		err := l.fill(ctx, n, tailWait)
		if err != nil && !errors.Is(err, errWait) {
			return err
		}
		if l.unit == undecided && (len(l.buf) == 0 || bytes.HasPrefix(l.buf, next)) {
			l.unit = octets
			return nil
		}
		if len(l.buf) == 0 {
			return nil // late: header will pass over it
		}
		l.unit = characters
		n = 0
		for n < len(l.buf) && c.wants(l.buf[n], length) {
			c.add(l.buf[n])
			n++
		}
		if n == 0 {
			break
		}
		e.keep(l.take(n))
	}
	l.owed = false
	return nil
}

// counter counts the characters of UTF-8 text, byte by byte.
type counter struct {
	begun int // characters of which at least one byte was seen
	open  int // bytes that the newest of them lacks
}

func (c *counter) add(b byte) {
	switch {
	case !utf8.RuneStart(b):
		c.open = max(0, c.open-1)
		return
	case b >= 0xF0:
		c.open = 3
	case b >= 0xE0:
		c.open = 2
	case b >= 0xC0:
		c.open = 1
	default:
		c.open = 0
	}
	c.begun++
}

func (c *counter) lacks(length int) bool         { return c.begun < length || c.open > 0 }
func (c *counter) wants(b byte, length int) bool { return c.begun < length || !utf8.RuneStart(b) }

// keep appends part to the payload, as far as there is room.
func (e *Event) keep(part []byte) {
	e.Payload = append(e.Payload, part[:min(len(part), maxPayload-len(e.Payload))]...)
}

// header reads a header line, passing over a late tail before it.
func (l *Listener) header(ctx context.Context) (string, error) {
	searched := 0
	for {
		if i := bytes.IndexByte(l.buf[searched:], '\n'); i >= 0 {
			line := l.take(searched + i + 1)
			line = line[:len(line)-1]
			if !l.owed || bytes.HasPrefix(line, []byte("ver:")) {
				return string(line), nil
			}
			l.unit = characters
			if i := bytes.Index(line, []byte("ver:")); i >= 0 {
				return string(line[i:]), nil
			}
			searched = 0
			continue
		}
		searched = len(l.buf)
		if searched > maxHeader {
			return "", headerError(string(l.buf), fmt.Sprintf("it is longer than %d bytes", maxHeader))
		}
		if err := l.await(ctx, searched+1); err != nil {
			return "", err
		}
	}
}

// await waits until n bytes are buffered, for as long as ticks may be missing.
func (l *Listener) await(ctx context.Context, n int) error {
	period := l.period
	if period == 0 {
		period = longestPeriod
	}
	err := l.fill(ctx, n, silentPeriods*period-time.Since(l.lastTick))
	if errors.Is(err, errWait) {
		return fmt.Errorf("%w: none for %v", ErrSilent, time.Since(l.lastTick).Round(time.Second))
	}
	return err
}

var errWait = errors.New("nothing came in time")

// fill waits until n bytes are buffered, or returns errWait. At the end of the
// input, even within an event, it returns io.EOF.
func (l *Listener) fill(ctx context.Context, n int, limit time.Duration) error {
	if len(l.buf) >= n {
		return nil
	}
	deadline := time.Now().Add(limit)
	defer context.AfterFunc(ctx, func() { l.in.SetReadDeadline(longAgo) })()
	for len(l.buf) < n {
		l.in.SetReadDeadline(deadline)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		l.buf = slices.Grow(l.buf, readSize)
		got, err := l.in.Read(l.buf[len(l.buf):][:readSize])
		l.buf = l.buf[:len(l.buf)+got]
		switch late := time.Since(deadline); {
		case got > 0, err == nil, ctx.Err() != nil:
		case errors.Is(err, os.ErrDeadlineExceeded) && late < 0: // a ctx of before has ended
		case errors.Is(err, os.ErrDeadlineExceeded) && late < tailWait:
			return errWait
		case errors.Is(err, os.ErrDeadlineExceeded): // this program did not run for a while: it may be there
			deadline = time.Now().Add(tailWait)
		case err == io.EOF:
			return io.EOF
		default:
			return fmt.Errorf("read supervisord's events: %w", err)
		}
	}
	return nil
}

func (l *Listener) take(n int) []byte {
	part := l.buf[:n:n]
	l.buf = l.buf[n:]
	return part
}

// refuse notes e and says why it must not be acted on, if so.
func (l *Listener) refuse(e Event) string {
	period, when, isTick := e.Tick()
	if isTick {
		l.lastTick = time.Now()
		l.period = max(l.period, period)
	}
	if e.Serial != "" {
		if l.seen[e.Serial] {
			return Repeated
		}
		delete(l.seen, l.order[l.oldest])
		serial := strings.Clone(e.Serial) // without the header that it is part of
		l.seen[serial], l.order[l.oldest] = true, serial
		l.oldest = (l.oldest + 1) % remembered
	}
	if isTick && l.cfg.Now().Sub(when) > period {
		return Stale
	}
	return ""
}

func (l *Listener) say(words string) error {
	if _, err := io.WriteString(l.cfg.Out, words); err != nil {
		return fmt.Errorf("answer supervisord: %w", err)
	}
	return nil
}
