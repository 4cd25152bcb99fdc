package cloudprober

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"
)

// ErrClosed is why a Client has ended that was closed.
var ErrClosed = errors.New("it is closed")

// TimeoutError means that there was no reply in time.
type TimeoutError struct {
	Limit time.Duration // that Do was given
}

func (e *TimeoutError) Error() string { return fmt.Sprintf("no reply within %v", e.Limit) }

// Timeout returns true, as net.Error has it.
func (e *TimeoutError) Timeout() bool { return true }

// Client asks the server of a probe, which reads requests and writes replies. Its
// methods may be called by several goroutines at once.
type Client struct {
	out    io.WriteCloser
	frames chan []byte // to be written
	done   chan struct{}

	mu      sync.Mutex
	last    int32                // id
	waiting map[int32]chan Reply // for the reply to the request of that id
	replies int
	err     error
}

// NewClient returns a client that reads replies from in, until that ends or has what is
// no reply, and writes requests to out. Only when in ends does its last goroutine.
func NewClient(in io.Reader, out io.WriteCloser) *Client {
	c := &Client{out: out, frames: make(chan []byte), done: make(chan struct{}), waiting: make(map[int32]chan Reply)}
	go c.read(in)
	go c.write()
	return c
}

func (c *Client) read(in io.Reader) {
	for r := bufio.NewReader(in); ; {
		rep, err := ReadReply(r)
		if err != nil {
			c.end(fmt.Errorf("read a reply: %w", err))
			return
		}
		c.mu.Lock()
		c.replies++
		if reply, is := c.waiting[rep.ID]; is {
			reply <- rep
			delete(c.waiting, rep.ID)
		}
		c.mu.Unlock()
	}
}

func (c *Client) write() {
	for {
		select {
		case frame := <-c.frames:
			if _, err := c.out.Write(frame); err != nil {
				c.end(fmt.Errorf("write a request: %w", err))
				return
			}
		case <-c.done:
			return
		}
	}
}

// end has all fail that wait, and all that come. Only the first cause counts.
func (c *Client) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
		close(c.done)
	}
}

// Do sends a request with the next id, from 1 up, and returns the reply to it. The error
// is a *TimeoutError when there is none within limit, which includes the time in which
// the server does not read; the cause of ctx when that ends; or Err. A Reply with an
// Error is no error here.
func (c *Client) Do(ctx context.Context, limit time.Duration, options []Option) (Reply, error) {
	late := time.NewTimer(limit)
	defer late.Stop()
	id, reply := c.wait()
	defer c.forget(id)
	message := Request{ID: id, TimeLimit: limit, Options: options}.message()
	if len(message) > MaxFrame {
		return Reply{}, fmt.Errorf("the request has %d bytes: at most %d are allowed", len(message), MaxFrame)
	}
	request := frame(message)
	for frames := c.frames; ; {
		select {
		case frames <- request:
			frames = nil
		case rep := <-reply:
			return rep, nil
		case <-late.C:
			return Reply{}, &TimeoutError{limit}
		case <-ctx.Done():
			return Reply{}, context.Cause(ctx)
		case <-c.done:
			select {
			case rep := <-reply: // came before the end
				return rep, nil
			default:
				return Reply{}, c.Err()
			}
		}
	}
}

// wait returns the next id, and where the reply to it will be.
func (c *Client) wait() (int32, <-chan Reply) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for used := true; used; _, used = c.waiting[c.last] {
		c.last = c.last%math.MaxInt32 + 1
	}
	reply := make(chan Reply, 1)
	c.waiting[c.last] = reply
	return c.last, reply
}

func (c *Client) forget(id int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, id)
}

// Replies is how many replies there were, with those that nobody waited for: late ones, and
// such with ids that were not asked for.
func (c *Client) Replies() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.replies
}

// Done is closed when the client has ended.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err returns why the client has ended, and nil while it has not. It wraps io.EOF when
// the server ended its output behind a reply, io.ErrUnexpectedEOF when within one, and
// ErrFrame when it wrote what is none.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close ends the client, with ErrClosed, and closes its output.
func (c *Client) Close() error {
	c.end(ErrClosed)
	return c.out.Close()
}
