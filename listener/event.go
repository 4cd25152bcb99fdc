package listener

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxHeader is the longest header line that is read. supervisord's own have
// fewer than 300 bytes.
const maxHeader = 64 << 10

// maxPayload is how much of a payload is kept; what is longer is read to its
// end and cut. A tick has 15 bytes.
const maxPayload = 64 << 10

// ErrHeader is wrapped by the error of a header that cannot be understood: the
// stream cannot be followed any further.
var ErrHeader = errors.New("not an event header of supervisord")

// Event is one event of supervisord.
type Event struct {
	Name       string // "TICK_60", "PROCESS_STATE_EXITED"; see http://supervisord.org/events.html
	Server     string // the identifier of the supervisord that sent it
	Serial     string // supervisord's number of the event; the same when it is sent again
	Pool       string // the listener's section: "web_check" of [eventlistener:web_check]
	PoolSerial string // the pool's own number of the event
	Payload    []byte // at most 64 KiB of it
}

// Tick tells the period and the time of a TICK event; ok is false for any other
// event. The time is the beginning of the period, not the moment it was sent.
func (e Event) Tick() (period time.Duration, when time.Time, ok bool) {
	digits, ok := strings.CutPrefix(e.Name, "TICK_")
	if !ok {
		return 0, time.Time{}, false
	}
	seconds, err := strconv.ParseInt(digits, 10, 32)
	if err != nil || seconds <= 0 {
		return 0, time.Time{}, false
	}
	text, _ := strings.CutPrefix(strings.TrimSpace(string(e.Payload)), "when:")
	unix, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, time.Time{}, false
	}
	return time.Duration(seconds) * time.Second, time.Unix(unix, 0), true
}

// parseHeader takes a header line apart: words `key:value` between spaces, in
// which a value may hold colons and, since an identifier may be any text, words
// that are not a key.
func parseHeader(line string) (e Event, length int, err error) {
	e, digits, known := Event{}, "", false
	last := new(string)
	for i, word := range strings.Split(line, " ") {
		key, value, _ := strings.Cut(word, ":")
		field := last
		switch key {
		case "ver":
			field = new(string) // the protocol's version, 3.0 since 2008
		case "server":
			field = &e.Server
		case "serial":
			field = &e.Serial
		case "pool":
			field = &e.Pool
		case "poolserial":
			field = &e.PoolSerial
		case "eventname":
			field = &e.Name
		case "len":
			field, known = &digits, true
		}
		switch {
		case field != last:
			*field = value
			last = field
		case i == 0:
			return Event{}, 0, headerError(line, `it does not begin with "ver:"`)
		default:
			*last += " " + word
		}
	}
	switch {
	case e.Name == "":
		return Event{}, 0, headerError(line, "it has no eventname")
	case !known:
		return Event{}, 0, headerError(line, "it has no len")
	}
	length, err = strconv.Atoi(digits)
	if err != nil || length < 0 {
		return Event{}, 0, headerError(line, "its len is not a number")
	}
	return e, length, nil
}

func headerError(line, why string) error {
	const enough = 120
	if len(line) > enough {
		line = line[:enough] + "…"
	}
	return fmt.Errorf("%w: %s: %q", ErrHeader, why, line)
}
