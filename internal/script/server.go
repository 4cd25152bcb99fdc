package script

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/cloudprober"
	"github.com/supervisor-checks/supervisor-checks/internal/command"
	"github.com/supervisor-checks/supervisor-checks/internal/foreign"
	"github.com/supervisor-checks/supervisor-checks/internal/recurring"
)

const (
	firstPause = time.Second // before the second start of a server
	mostPause  = time.Minute // up to which it doubles

	// settled is how long a server must have run, and its pause at least, for an answer to
	// mean that it is well again: the next pause is the first.
	settled = 10 * time.Second

	// mostSilent is how many requests in a row may have no reply in time, while there is
	// none to any other, until the server is ended and begun anew.
	mostSilent = 3

	// serverGrace is how long a server may take to end, whether it heeds the end of its
	// input, SIGTERM or nothing.
	serverGrace = time.Second

	mostLines = 20 // of a server's standard error in a minute that are logged

	// lastWords is how long the end of a server is waited for that has closed its output, to
	// say how it has ended.
	lastWords = time.Second
)

// server is a process that answers requests. It is started for the first of them, and again
// for the next one when it has ended, but not before its pause is over.
type server struct {
	program command.Command
	log     func(line string)
	settled time.Duration

	mu       sync.Mutex
	now      *running // nil while none runs
	err      error    // why none does
	pause    time.Duration
	again    time.Time // none is started before
	answered bool      // once, any of its processes
	trouble  recurring.Trouble
	closed   bool
	ending   sync.WaitGroup
}

// running is a process of a server.
type running struct {
	process *command.Process
	client  *cloudprober.Client
	started time.Time

	mu     sync.Mutex
	last   string // line of its standard error
	silent int    // requests in a row without a reply
}

var (
	errClosed = errors.New("the script is no longer in use")
	errExited = errors.New("it exited with status 0")
	errSilent = fmt.Errorf("it has answered none of the last %d requests in time", mostSilent)
)

func newServer(program command.Command, log func(line string)) *server {
	return &server{program: program, log: log, settled: settled, pause: firstPause}
}

// do asks the server, and starts it if none runs. The error is a *cloudprober.TimeoutError
// when there is no reply in time, and answered whether there ever was one; the cause of ctx;
// or about the server: it cannot be started, it has ended, or it writes what is no reply.
func (s *server) do(ctx context.Context, limit time.Duration, options []cloudprober.Option) (reply cloudprober.Reply, answered bool, err error) {
	r, err := s.get()
	if err != nil {
		return cloudprober.Reply{}, false, err
	}
	before := r.client.Replies()
	reply, err = r.client.Do(ctx, limit, options)
	late := (*cloudprober.TimeoutError)(nil)
	switch {
	case err == nil:
		r.speaks(true)
	case r.client.Err() != nil:
		err = s.lost(r)
	case errors.As(err, &late), errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		if r.speaks(r.client.Replies() > before) >= mostSilent {
			r.client.Close()
			s.lost(r)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answered = s.answered || r.client.Replies() > 0
	if err == nil && time.Since(r.started) >= max(s.settled, s.pause) {
		s.pause = firstPause
		if s.trouble.Ends() {
			s.log("the server answers again")
		}
	}
	return reply, s.answered, err
}

// speaks notes that there was a reply since a request was sent, to whomever, or that there
// was none until its time was over, and returns how often in a row there was none.
func (r *running) speaks(does bool) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.silent++; does {
		r.silent = 0
	}
	return r.silent
}

// get returns the process that runs, or starts one.
func (s *server) get() (*running, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch wait := time.Until(s.again); {
	case s.closed:
		return nil, errClosed
	case s.now != nil:
		return s.now, nil
	case wait > 0:
		return nil, fmt.Errorf("%w; it is started again in %v at the earliest", s.err, max(wait.Round(time.Second), time.Second))
	}
	r := new(running)
	process, err := s.program.Start(r.says(s.log))
	if err != nil {
		err = fmt.Errorf("the server: %w", err)
		s.fails(err.Error(), err)
		return nil, s.err
	}
	r.started = time.Now()
	r.process, r.client = process, cloudprober.NewClient(process.Stdout, process.Stdin)
	s.now = r
	s.ending.Go(func() {
		select {
		case <-process.Done():
		case <-r.client.Done():
		}
		s.lost(r)
		process.Close()
	})
	return r, nil
}

// says has the log, and whoever asks for the last words, get what a process writes to its
// standard error. Of the lines of a minute the log gets the first ones.
func (r *running) says(log func(line string)) func(line string) {
	var minute time.Time
	said := 0
	return func(line string) {
		line = foreign.Line(line, mostReason)
		r.mu.Lock()
		r.last = line
		r.mu.Unlock()
		if now := time.Now(); now.Sub(minute) >= time.Minute {
			minute, said = now, 0
		}
		switch said++; {
		case said <= mostLines:
			log("the server says: " + line)
		case said == mostLines+1:
			log(fmt.Sprintf("the server says more than %d lines in a minute: the rest of them is left out", mostLines))
		}
	}
}

// lost says why a process answers no more, which is said at once, and that there is none
// from now on.
func (s *server) lost(r *running) error {
	why := r.client.Err()
	kind := "garbage"
	switch {
	case errors.Is(why, cloudprober.ErrClosed):
		why, kind = errSilent, "silence"
	case !errors.Is(why, cloudprober.ErrFrame):
		timer := time.NewTimer(lastWords)
		defer timer.Stop()
		select {
		case <-r.process.Done():
			why = cmp.Or(r.process.Err(), errExited)
		case <-timer.C:
		}
		kind = why.Error()
	}
	r.mu.Lock()
	err := because(fmt.Errorf("the server has failed: %w", why), r.last)
	r.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == r {
		s.now = nil
		if !s.closed {
			s.fails(kind, err)
		}
	}
	return err
}

// fails has the next start wait, and says why, once an hour for what is of a kind, for the
// words of others may change each time. It is called with mu held.
func (s *server) fails(kind string, err error) {
	s.err, s.again = err, time.Now().Add(s.pause)
	if tell, _ := s.trouble.Happens(time.Now(), kind); tell {
		s.log(fmt.Sprintf("%v; it is started again in %v at the earliest", err, s.pause))
	}
	s.pause = min(2*s.pause, mostPause)
}

// close ends the process that runs, if any, and waits for those that are about to.
func (s *server) close() {
	s.mu.Lock()
	s.closed = true
	r := s.now
	s.mu.Unlock()
	if r != nil {
		r.process.Close()
	}
	s.ending.Wait()
}
