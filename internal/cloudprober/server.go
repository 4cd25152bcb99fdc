package cloudprober

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/supervisor-checks/supervisor-checks/internal/foreign"
)

// maxRequests is how many requests Serve handles at once.
const maxRequests = 256

// mostOptions is how many bytes of the options of a request are logged.
const mostOptions = 300

// Serve answers requests from in on out, with what handle returns, as the program of an
// external probe in SERVER mode. Up to 256 are handled at once, others wait, and replies
// come in the order in which they are ready. There is none after the time limit of its
// request, at which the context of handle ends, but a line on log. A panic of handle is
// an error, and its stack on log.
//
// It returns nil at the end of in, when what was asked for before has its reply or is
// beyond its limit; the cause of ctx when that ends; and else why in cannot be read or
// out not written. It does not wait then for a handle or a Read that goes on.
func Serve(ctx context.Context, in io.Reader, out, log io.Writer, handle func(context.Context, Request) (payload string, err error)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	s := &server{out: out, log: log, handle: handle, slots: make(chan struct{}, maxRequests), turn: make(chan struct{}, 1), broken: cancel}
	ended := make(chan error, 1)
	go func() {
		err := s.read(ctx, in)
		if err == nil {
			s.open.Wait()
		}
		ended <- err
	}()
	select {
	case err := <-ended:
		cancel(nil)
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

type server struct {
	handle func(context.Context, Request) (string, error)
	slots  chan struct{}
	open   sync.WaitGroup          // requests without reply
	broken context.CancelCauseFunc // ends all of it

	turn chan struct{} // of who writes to out
	out  io.Writer

	mu  sync.Mutex // for log
	log io.Writer
}

func (s *server) read(ctx context.Context, in io.Reader) error {
	for r := bufio.NewReader(in); ctx.Err() == nil; {
		req, err := ReadRequest(r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read a request: %w", err)
		}
		limited, cancel := context.WithTimeout(ctx, req.TimeLimit)
		select {
		case s.slots <- struct{}{}:
			s.open.Add(1)
			go func() {
				defer func() { <-s.slots }()
				defer cancel()
				s.answer(limited, req)
			}()
		case <-limited.Done():
			s.late(limited, req)
			cancel()
		}
	}
	return context.Cause(ctx)
}

// answer has a request handled, and replies if that ends in time. It returns when that
// has ended in any case, so that no more than there are slots for go on.
func (s *server) answer(ctx context.Context, req Request) {
	var settled atomic.Bool
	stop := context.AfterFunc(ctx, func() {
		if settled.CompareAndSwap(false, true) {
			s.late(ctx, req)
			s.open.Done()
		}
	})
	defer stop()
	rep := Reply{ID: req.ID, Error: "it ended without a result"} // as by runtime.Goexit
	defer func() {
		if settled.CompareAndSwap(false, true) {
			s.write(ctx, req, rep)
			s.open.Done()
		}
	}()
	rep = s.reply(ctx, req)
}

func (s *server) reply(ctx context.Context, req Request) (rep Reply) {
	rep.ID = req.ID
	defer func() {
		if p := recover(); p != nil {
			rep.Payload, rep.Error = "", fmt.Sprintf("panic: %v", p)
			s.mu.Lock()
			defer s.mu.Unlock()
			fmt.Fprintf(s.log, "request %d: panic: %v\n%s", req.ID, p, debug.Stack())
		}
	}()
	payload, err := s.handle(ctx, req)
	rep.Payload = payload
	if err != nil {
		rep.Error = cmp.Or(err.Error(), "failed")
	}
	return rep
}

func (s *server) write(ctx context.Context, req Request, rep Reply) {
	message := rep.message()
	if len(message) > MaxFrame {
		message = Reply{ID: req.ID, Error: fmt.Sprintf("the reply has %d bytes, more than the %d that are allowed", len(message), MaxFrame)}.message()
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		s.late(ctx, req)
		return
	}
	if _, err := s.out.Write(frame(message)); err != nil {
		s.broken(fmt.Errorf("write a reply: %w", err))
	}
}

// secret are names of options whose values are not logged.
var secret = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?i)pass|secret|token|key|auth|cred`) })

// late logs that there is no reply to a request, unless that is our own end.
func (s *server) late(ctx context.Context, req Request) {
	if !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return
	}
	var options string
	for _, o := range req.Options {
		if secret().MatchString(o.Name) {
			o.Value = "…"
		}
		options += o.Name + ": " + o.Value + ","
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.log, "Timeout for request %d (%s)\n", req.ID, foreign.Line(options, mostOptions))
}
