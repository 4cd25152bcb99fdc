package logout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"
)

// times are what is waited for.
type times struct {
	dial, write     time.Duration // at most
	first, longest  time.Duration // pauses between tries to connect, which double
	untilUDPIsProof time.Duration // for how long nobody has to say that there is no server
}

var usual = times{dial: 5 * time.Second, write: 2 * time.Second, first: 500 * time.Millisecond, longest: 30 * time.Second, untilUDPIsProof: time.Second}

// unanswered is how long a server may be silent about what it was sent. Without it a
// host that has vanished is noticed after a quarter of an hour.
const unanswered = 10 * time.Second

// connection is one to the server.
type connection struct {
	net.Conn
	frame  framing
	silent bool // the network does not tell of a server that is not there at once
	made   time.Time
	used   time.Time     // first
	closed chan struct{} // by the server
	why    error         // with closed: nil when it was closed in good order
	sent   []sent        // what may not have arrived
}

// sent is an entry that was written.
type sent struct {
	entry
	at time.Time
}

var errClosed = errors.New("it has closed the connection")

type dialed struct {
	conn *connection
	err  error
}

// run sends entries until there are no more. It has them wait for a connection only when
// it is not known yet whether there is one: the server may be starting anew.
func (s *sender) run() {
	defer close(s.done)
	defer func() {
		if s.conn != nil {
			s.conn.Close()
		}
	}()
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		entries := s.entries
		var closed chan struct{}
		switch {
		case s.conn != nil:
			closed = s.conn.closed
		case !s.away:
			entries = nil
		}
		select {
		case <-closed:
			again.Reset(s.ended())
		case e, more := <-entries:
			if !more {
				return
			}
			if s.conn == nil {
				e.plainly()
			} else if err := s.send(e); err != nil {
				e.plainly()
				again.Reset(s.lost(err))
			}
			s.tellDropped()
		case <-again.C:
			go func() {
				d := s.dial()
				select {
				case s.dialed <- d:
				case <-s.done:
					if d.conn != nil {
						d.conn.Close()
					}
				}
			}()
		case d := <-s.dialed:
			if s.conn = d.conn; d.err != nil {
				again.Reset(s.lost(d.err))
			} else if !s.away || !s.conn.silent {
				s.arrived()
			}
		}
	}
}

// dial connects.
func (s *sender) dial() dialed {
	ctx, cancel := context.WithTimeout(s.ctx, s.times.dial)
	defer cancel()
	dialer := net.Dialer{Control: limitUnanswered}
	conn, err := dialer.DialContext(ctx, s.to.network, s.to.address)
	if errors.Is(err, syscall.EPROTOTYPE) { // a socket of syslog-ng may be one of streams
		conn, err = dialer.DialContext(ctx, "unix", s.to.address)
	}
	if err != nil {
		return dialed{err: err}
	}
	c := &connection{Conn: conn, frame: framingOf(s.to, conn), silent: s.to.network == "udp", made: time.Now()}
	if network := conn.RemoteAddr().Network(); network == "tcp" || network == "unix" {
		c.closed = make(chan struct{})
		go func() { // to know of it before something is lost
			_, c.why = io.Copy(io.Discard, conn)
			close(c.closed)
		}()
	}
	return dialed{conn: c}
}

// send sends an entry. The error is that of the connection; what is wrong with an entry
// alone has it be on standard error.
func (s *sender) send(e entry) error {
	select {
	case <-s.conn.closed: // into which it could still be written
		return cmp.Or(s.conn.why, errClosed)
	default:
	}
	packets, err := s.conn.frame(e.message)
	if err != nil {
		e.plainly()
		return nil
	}
	conn := s.conn
	stop := context.AfterFunc(s.ctx, func() { conn.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	for _, p := range packets {
		s.conn.SetWriteDeadline(time.Now().Add(s.times.write))
		if s.ctx.Err() != nil {
			s.conn.SetWriteDeadline(time.Unix(1, 0))
		}
		_, err := s.conn.Write(p)
		switch {
		case errors.Is(err, syscall.EMSGSIZE):
			e.plainly()
			return nil
		case err != nil:
			return err
		}
	}
	if s.conn.used.IsZero() {
		s.conn.used = time.Now()
	}
	if s.conn.closed != nil && !s.away {
		s.conn.keep(e)
	}
	if s.away {
		e.plainly()
		if time.Since(s.conn.used) > s.times.untilUDPIsProof {
			s.arrived()
		}
	}
	return nil
}

// maxSent is how many entries are kept that may not have arrived.
const maxSent = 1024

// keep keeps an entry for as long as it may be on its way.
func (c *connection) keep(e entry) {
	old := 0
	for old < len(c.sent) && (time.Since(c.sent[old].at) > unanswered || len(c.sent)-old >= maxSent) {
		old++
	}
	c.sent = append(c.sent[:0], c.sent[old:]...)
	c.sent = append(c.sent, sent{e, time.Now()})
}

// repeat has on standard error what may not have arrived on a connection that was broken.
func (s *sender) repeat() {
	var lines []sent
	for _, e := range s.conn.sent {
		if time.Since(e.at) <= unanswered {
			lines = append(lines, e)
		}
	}
	if len(lines) > 0 {
		s.say.Error(fmt.Sprintf("of the log to %s the last %d lines may not have arrived: they are here again", s.to, len(lines)))
	}
	for _, e := range lines {
		e.plainly()
	}
}

// lost is called when there is no connection, or no more. It returns when to try again.
func (s *sender) lost(err error) time.Duration {
	if !s.away && s.ctx.Err() == nil {
		s.say.Error(fmt.Sprintf("the log cannot be sent to %s, and goes on here: %v", s.to, err))
	}
	s.away = true
	if s.conn != nil && !errors.Is(err, errClosed) {
		s.repeat()
	}
	s.drop()
	s.pause = min(max(2*s.pause, s.times.first), s.times.longest)
	return s.pause
}

// ended is called when the server has closed the connection, as it may after some time in
// which there was nothing. It returns when to try again.
func (s *sender) ended() time.Duration {
	if s.conn.why != nil || time.Since(s.conn.made) < s.times.first {
		return s.lost(cmp.Or(s.conn.why, errClosed))
	}
	s.drop()
	return 0
}

// drop closes the connection. One that has lasted makes up for those before.
func (s *sender) drop() {
	if s.conn == nil {
		return
	}
	if time.Since(s.conn.made) > s.times.longest {
		s.pause = 0
	}
	s.conn.Close()
	s.conn = nil
}

// arrived is called when there is a connection that can be relied on.
func (s *sender) arrived() {
	if s.away {
		s.say.Info(fmt.Sprintf("the log goes to %s again", s.to))
	}
	s.away = false
}

// tellDropped says how many lines are missing.
func (s *sender) tellDropped() {
	s.mu.Lock()
	dropped := s.dropped
	s.dropped = 0
	s.mu.Unlock()
	if dropped > 0 {
		s.say.Error(fmt.Sprintf("the log to %s was too slow: %d lines are missing", s.to, dropped))
	}
}
