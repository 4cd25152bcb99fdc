package cloudprober

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// lines collects a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

type handler = func(context.Context, Request) (string, error)

// serve has a client of a server with that handler. The server's end is in the channel.
func serve(t *testing.T, log io.Writer, handle handler) (*Client, <-chan error) {
	requestsR, requestsW := io.Pipe()
	repliesR, repliesW := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := Serve(t.Context(), requestsR, repliesW, log, handle)
		repliesW.Close()
		ended <- err
	}()
	client := NewClient(repliesR, requestsW)
	t.Cleanup(func() { client.Close(); repliesR.Close() })
	return client, ended
}

func TestRequestsAreAnswered(t *testing.T) {
	client, ended := serve(t, t.Output(), func(_ context.Context, req Request) (string, error) {
		if req.Options[0].Value == "bad" {
			return "left 1\n", errors.New("no")
		}
		return fmt.Sprintf("limit %v\n", req.TimeLimit), nil
	})
	for i, tt := range []struct {
		option string
		want   Reply
	}{{"good", Reply{1, "", "limit 1m0s\n"}}, {"bad", Reply{2, "no", "left 1\n"}}, {"good", Reply{3, "", "limit 1m0s\n"}}} {
		got, err := client.Do(t.Context(), time.Minute, []Option{{"is", tt.option}})
		if got != tt.want || err != nil {
			t.Errorf("request %d: got %v, %v; want %v", i+1, got, err, tt.want)
		}
	}
	client.Close()
	if err := <-ended; err != nil {
		t.Errorf("at the end: %v", err)
	}
	<-client.Done()
	if _, err := client.Do(t.Context(), time.Minute, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("behind the end: %v, want ErrClosed", err)
	}
}

func TestRepliesComeWhenTheyAreReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := serve(t, t.Output(), func(_ context.Context, req Request) (string, error) {
			pause, _ := time.ParseDuration(req.Options[0].Value)
			time.Sleep(pause)
			return pause.String(), nil
		})
		begin := time.Now()
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				pause := time.Duration(100-i) * time.Second
				got, err := client.Do(t.Context(), time.Hour, []Option{{"pause", pause.String()}})
				if took := time.Since(begin); got.Payload != pause.String() || err != nil || took != pause {
					t.Errorf("got %v, %v after %v; want %v after as much", got, err, took, pause)
				}
			})
		}
		wg.Wait()
	})
}

func TestNoReplyBeyondTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lines
		release := make(chan struct{})
		client, ended := serve(t, &log, func(ctx context.Context, req Request) (string, error) {
			switch req.ID {
			case 1: // knows no limit
				<-release
			case 2:
				<-ctx.Done()
				return "", ctx.Err()
			}
			return "", nil
		})
		var late *TimeoutError
		for id := range 2 {
			begin := time.Now()
			_, err := client.Do(t.Context(), time.Second, []Option{{"target", "a\nb"}, {"password", "sesame"}})
			if took := time.Since(begin); !errors.As(err, &late) || late.Error() != "no reply within 1s" || took != time.Second {
				t.Errorf("request %d: %v after %v, want a TimeoutError after 1s", id+1, err, took)
			}
		}
		synctest.Wait()
		want := "Timeout for request 1 (target: a\\nb,password: …,)\nTimeout for request 2 (target: a\\nb,password: …,)\n"
		if log.String() != want {
			t.Errorf("log %q, want %q", log.String(), want)
		}
		close(release)
		synctest.Wait()
		if _, err := client.Do(t.Context(), time.Second, nil); err != nil {
			t.Errorf("the next request: %v", err)
		}
		if got := client.Replies(); got != 1 {
			t.Errorf("%d replies came, want 1 and no late ones", got)
		}
		client.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// A reply that was ready in time, and had to wait for another one to be written, is late.
func TestReplyIsNotWrittenLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lines
		requests, requestsW := io.Pipe()
		replies, repliesW := io.Pipe()
		ended := make(chan error, 1)
		go func() {
			ended <- Serve(t.Context(), requests, repliesW, &log, func(context.Context, Request) (string, error) { return "", nil })
			repliesW.Close()
		}()
		WriteRequest(requestsW, Request{ID: 1, TimeLimit: time.Second})
		synctest.Wait() // nobody reads its reply
		WriteRequest(requestsW, Request{ID: 2, TimeLimit: time.Second})
		requestsW.Close()
		time.Sleep(time.Minute)
		if log.String() != "Timeout for request 2 ()\n" {
			t.Errorf("log %q", log.String())
		}
		r := bufio.NewReader(replies)
		if got, err := ReadReply(r); got.ID != 1 || err != nil {
			t.Errorf("got %v, %v; want the reply to request 1", got, err)
		}
		if got, err := ReadReply(r); err != io.EOF {
			t.Errorf("got %v, %v; want io.EOF", got, err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestPanicIsAnError(t *testing.T) {
	var log lines
	client, _ := serve(t, &log, func(_ context.Context, req Request) (string, error) {
		switch req.ID {
		case 1:
			panic("oh")
		case 2:
			runtime.Goexit()
		}
		return "", errors.New("")
	})
	if got, err := client.Do(t.Context(), time.Minute, nil); got != (Reply{ID: 1, Error: "panic: oh"}) || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	if text := log.String(); !strings.HasPrefix(text, "request 1: panic: oh\n") || !strings.Contains(text, "serve_test.go") {
		t.Errorf("log %q has no stack", text)
	}
	if got, err := client.Do(t.Context(), time.Minute, nil); got != (Reply{ID: 2, Error: "it ended without a result"}) || err != nil {
		t.Errorf("the end of a goroutine: got %v, %v", got, err)
	}
	if got, err := client.Do(t.Context(), time.Minute, nil); got != (Reply{ID: 3, Error: "failed"}) || err != nil {
		t.Errorf("an error without words: got %v, %v", got, err)
	}
}

func TestTooLargeReplyIsAnError(t *testing.T) {
	client, _ := serve(t, t.Output(), func(context.Context, Request) (string, error) { return strings.Repeat("x", MaxFrame), nil })
	got, err := client.Do(t.Context(), time.Minute, nil)
	if want := (Reply{ID: 1, Error: "the reply has 16777223 bytes, more than the 16777216 that are allowed"}); got != want || err != nil {
		t.Errorf("got %.200v, %v; want %v", got, err, want)
	}
}

// The reply is still written when the request was all that came, as from a shell.
func TestEndOfInputWaitsForReplies(t *testing.T) {
	var out bytes.Buffer
	err := Serve(t.Context(), strings.NewReader(recorded+recorded), &out, t.Output(), func(context.Context, Request) (string, error) { return "a 1", nil })
	if err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(&out)
	for range 2 {
		if got, err := ReadReply(r); got != (Reply{1, "", "a 1"}) || err != nil {
			t.Errorf("got %v, %v", got, err)
		}
	}
}

func TestServeEnds(t *testing.T) {
	hang := func(context.Context, Request) (string, error) { select {} }
	gone := errors.New("gone")
	for _, tt := range []struct {
		name   string
		in     io.Reader
		out    io.Writer
		handle handler
		cancel bool
		want   error
	}{
		{name: "at once", in: strings.NewReader(""), want: nil},
		{name: "within a request", in: strings.NewReader(recorded[:30]), want: io.ErrUnexpectedEOF},
		{name: "with garbage, while a request is handled", in: strings.NewReader(recorded + "Content-Length: x\n"), handle: hang, want: ErrFrame},
		{name: "when it cannot write", in: forEver{recorded}, out: failing{gone}, want: gone},
		{name: "when it is told to, while a request is handled", in: forEver{""}, handle: hang, cancel: true, want: gone},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			if tt.cancel {
				cancel(gone)
			}
			if tt.handle == nil {
				tt.handle = func(context.Context, Request) (string, error) { return "", nil }
			}
			if tt.out == nil {
				tt.out = io.Discard
			}
			if err := Serve(ctx, tt.in, tt.out, t.Output(), tt.handle); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// Only the Read that goes on when it ends takes something.
func TestServerThatHasEndedReadsNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		requests, requestsW := io.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- Serve(ctx, requests, io.Discard, t.Output(), func(context.Context, Request) (string, error) { return "", nil })
		}()
		synctest.Wait()
		cancel()
		if err := <-ended; err != context.Canceled {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		WriteRequest(requestsW, Request{ID: 1, TimeLimit: time.Second})
		second := make(chan error, 1)
		go func() { second <- WriteRequest(requestsW, Request{ID: 2, TimeLimit: time.Second}) }()
		synctest.Wait()
		select {
		case err := <-second:
			t.Errorf("another request is read (%v)", err)
		default:
		}
		requests.Close()
	})
}

// forEver has a text, and no end: a Read behind it goes on for as long as the test.
type forEver struct{ text string }

func (f forEver) Read(p []byte) (int, error) {
	if f.text == "" {
		select {}
	}
	return copy(p, f.text), nil
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestNumberOfRequestsAtOnceIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lines
		var running, most atomic.Int32
		release := make(chan struct{})
		client, _ := serve(t, &log, func(context.Context, Request) (string, error) {
			if n := running.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer running.Add(-1)
			<-release
			return "", nil
		})
		var wg sync.WaitGroup
		var late, answered atomic.Int32
		ask := func() {
			_, err := client.Do(t.Context(), time.Minute, nil)
			var timeout *TimeoutError
			switch {
			case err == nil:
				answered.Add(1)
			case errors.As(err, &timeout):
				late.Add(1)
			default:
				t.Error(err)
			}
		}
		for range maxRequests + 20 {
			wg.Go(ask)
		}
		synctest.Wait()
		if got := running.Load(); got != maxRequests {
			t.Errorf("%d at once, want %d", got, maxRequests)
		}
		// Those that know no limit keep their place when they are beyond it.
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if got := late.Load(); got != maxRequests+20 {
			t.Errorf("%d late, want all of them", got)
		}
		close(release)
		synctest.Wait()
		ask()
		wg.Wait()
		if answered.Load() != 1 || most.Load() != maxRequests {
			t.Errorf("%d answered, %d at most at once; want 1, %d", answered.Load(), most.Load(), maxRequests)
		}
	})
}

// scripted is a client whose server the test is.
func scripted(t *testing.T) (c *Client, requests *bufio.Reader, replies *io.PipeWriter) {
	requestsR, requestsW := io.Pipe()
	repliesR, repliesW := io.Pipe()
	c = NewClient(repliesR, requestsW)
	t.Cleanup(func() { c.Close(); repliesW.Close(); requestsR.Close() })
	return c, bufio.NewReader(requestsR), repliesW
}

func TestLateAndUnknownRepliesAreIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, requests, replies := scripted(t)
		go client.Do(t.Context(), time.Second, nil)
		if req, err := ReadRequest(requests); req.ID != 1 || err != nil {
			t.Fatal(req, err)
		}
		time.Sleep(time.Minute)
		go func() {
			req, _ := ReadRequest(requests)
			for _, id := range []int32{1, 7, -7, req.ID, req.ID} {
				WriteReply(replies, Reply{ID: id})
			}
			replies.Close()
		}()
		if got, err := client.Do(t.Context(), time.Minute, nil); got.ID != 2 || err != nil {
			t.Errorf("got %v, %v", got, err)
		}
		<-client.Done()
		if got := client.Replies(); got != 5 {
			t.Errorf("%d replies, want 5", got)
		}
	})
}

func TestClientEnds(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       error
	}{
		{"when the server does", "", io.EOF},
		{"within a reply", "\nContent-Length: 10\n\n\x08", io.ErrUnexpectedEOF},
		{"within a header", "\nContent-Le", io.ErrUnexpectedEOF},
		{"at garbage", "\nContent-Length: 1\n\n\x08", ErrFrame},
		{"at what is no reply", "\nContent-Length: 0\n\n", ErrFrame},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, requests, replies := scripted(t)
			errs := make(chan error)
			for range 3 {
				go func() {
					_, err := client.Do(t.Context(), time.Minute, nil)
					errs <- err
				}()
			}
			for range 3 {
				ReadRequest(requests)
			}
			if err := client.Err(); err != nil {
				t.Errorf("before: %v", err)
			}
			io.WriteString(replies, tt.text)
			replies.Close()
			for range 3 {
				if err := <-errs; !errors.Is(err, tt.want) {
					t.Errorf("got %v, want %v", err, tt.want)
				}
			}
			<-client.Done()
			if _, err := client.Do(t.Context(), time.Minute, nil); !errors.Is(err, tt.want) || err != client.Err() {
				t.Errorf("after: got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestReplyBeforeTheEndCounts(t *testing.T) {
	for range 100 {
		client, requests, replies := scripted(t)
		go func() {
			ReadRequest(requests)
			io.WriteString(replies, string(frame(Reply{ID: 1}.message()))+"Content-Length: x\n")
		}()
		if _, err := client.Do(t.Context(), time.Minute, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func TestServerThatDoesNotReadKeepsNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _, _ := scripted(t)
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				begin := time.Now()
				_, err := client.Do(t.Context(), time.Second, nil)
				var late *TimeoutError
				if took := time.Since(begin); !errors.As(err, &late) || took != time.Second {
					t.Errorf("%v after %v, want a TimeoutError after 1s", err, took)
				}
			})
		}
		wg.Wait()
		gone := errors.New("gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(gone)
		if _, err := client.Do(ctx, time.Hour, nil); err != gone {
			t.Errorf("with a context that has ended: %v, want its cause", err)
		}
	})
}

func TestRequestThatCannotBeWritten(t *testing.T) {
	repliesR, repliesW := io.Pipe()
	defer repliesW.Close()
	requestsR, requestsW := io.Pipe()
	gone := errors.New("gone")
	requestsR.CloseWithError(gone)
	client := NewClient(repliesR, requestsW)
	if _, err := client.Do(t.Context(), time.Minute, nil); !errors.Is(err, gone) {
		t.Errorf("got %v, want %v", err, gone)
	}
	if _, err := NewClient(repliesR, requestsW).Do(t.Context(), time.Minute, []Option{{"x", strings.Repeat("x", MaxFrame)}}); err == nil || errors.Is(err, gone) {
		t.Errorf("a request that is too large: %v", err)
	}
}

func TestIDsBeginAnewAndAreNotUsedTwice(t *testing.T) {
	client, requests, _ := scripted(t)
	var got []int32
	for _, last := range []int32{0, 1<<31 - 2, 1<<31 - 1} {
		client.mu.Lock()
		client.last = last
		client.mu.Unlock()
		go client.Do(t.Context(), time.Minute, nil)
		req, err := ReadRequest(requests)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, req.ID)
	}
	if diff := cmp.Diff([]int32{1, 1<<31 - 1, 2}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func BenchmarkServerMode(b *testing.B) {
	requestsR, requestsW := io.Pipe()
	repliesR, repliesW := io.Pipe()
	go Serve(b.Context(), requestsR, repliesW, io.Discard, func(context.Context, Request) (string, error) { return "a 1\n", nil })
	client := NewClient(repliesR, requestsW)
	defer client.Close()
	for b.Loop() {
		if _, err := client.Do(b.Context(), time.Minute, nil); err != nil {
			b.Fatal(err)
		}
	}
}
