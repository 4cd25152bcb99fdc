// Package logout sends a log to a server: GELF, Graylog's format, over TCP or UDP, or
// syslog. Nobody who logs is ever kept waiting. What cannot be sent is on standard error
// instead, where it is said when that begins and when it ends.
//
// It is our own code: the GELF libraries that there are (Graylog's go-gelf, and what is
// made of it) are old and wait for the server without a limit, so does log/syslog, which
// is frozen and does not know RFC 5424, and the syslog library that is well kept
// (leodido/go-syslog) is a parser.
package logout

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Config configures a Handler.
type Config struct {
	To     Address
	Format string       // of syslog: text or json
	Plain  slog.Handler // on standard error, and which says what is logged at all
}

// Handler sends lines of a log to a server. Handle never waits and never fails.
type Handler struct {
	encoder encoder
	plain   slog.Handler
	sender  *sender
}

// New returns a handler that connects to its server, and does so again whenever it was
// away.
func New(cfg Config) *Handler { return newHandler(cfg, usual) }

func newHandler(cfg Config, times times) *Handler {
	var made encoder = gelf{host: hostname()}
	if cfg.To.syslog {
		made = newSyslogText(cfg.To.network == "unixgram", hostname(), cfg.Format)
	}
	return &Handler{made, cfg.Plain, newSender(cfg.To, cfg.Plain, times)}
}

// Enabled reports whether lines of that level are logged.
func (h *Handler) Enabled(ctx context.Context, l slog.Level) bool { return h.plain.Enabled(ctx, l) }

// Handle has a line be sent. One that finds no room is counted as missing.
func (h *Handler) Handle(_ context.Context, r slog.Record) error {
	r = r.Clone()
	h.sender.put(entry{h.encoder.encode(r), func() { h.plain.Handle(context.Background(), r) }})
	return nil
}

// WithAttrs returns a handler that sends to the same server.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Handler{h.encoder.withAttrs(attrs), h.plain.WithAttrs(attrs), h.sender}
}

// WithGroup returns a handler that sends to the same server.
func (h *Handler) WithGroup(name string) slog.Handler {
	return &Handler{h.encoder.withGroup(name), h.plain.WithGroup(name), h.sender}
}

// Close has the lines that wait be sent for as long as that, and then has them be on
// standard error, for as long again.
func (h *Handler) Close(limit time.Duration) {
	s := h.sender
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	close(s.entries)
	s.mu.Unlock()
	for range 2 {
		select {
		case <-s.done:
		case <-time.After(limit):
		}
		s.giveUp()
	}
}

// entry is a line of the log.
type entry struct {
	message []byte
	plainly func() // puts it on standard error
}

// queueLength is how many lines may wait.
const queueLength = 1024

// put never waits.
func (s *sender) put(e entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	select {
	case s.entries <- e:
	default:
		s.dropped++
	}
}

// sender is what waits for the server.
type sender struct {
	to     Address
	say    *slog.Logger // on standard error
	times  times
	dialed chan dialed
	ctx    context.Context // ends when it is given up
	giveUp context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	closed  bool
	dropped int
	entries chan entry

	// The rest is that of the goroutine alone.
	conn  *connection
	away  bool // and it was said
	pause time.Duration
}

func newSender(to Address, plain slog.Handler, times times) *sender {
	s := &sender{to: to, say: slog.New(plain), times: times, dialed: make(chan dialed, 1), done: make(chan struct{}), entries: make(chan entry, queueLength)}
	s.ctx, s.giveUp = context.WithCancel(context.Background())
	go s.run()
	return s
}
