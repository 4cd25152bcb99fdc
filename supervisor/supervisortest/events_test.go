package supervisortest_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/supervisor-checks/supervisor-checks/listener"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
	"github.com/supervisor-checks/supervisor-checks/supervisor/supervisortest"
)

// listen connects a listener, has it listen until it or ctx ends, and returns
// the events and the end.
func listen(ctx context.Context, s *supervisortest.Server) (got <-chan listener.Event, end <-chan error) {
	events, ended := make(chan listener.Event, 100), make(chan error, 1)
	in, out := s.Listener()
	l := listener.New(listener.Config{In: in, Out: out})
	go func() {
		for {
			e, err := l.Next(ctx)
			if err != nil {
				ended <- err
				close(events)
				return
			}
			events <- e
		}
	}()
	return events, ended
}

func TestEvents(t *testing.T) {
	for _, flavour := range []supervisor.Flavour{supervisor.Python, supervisor.Go} {
		t.Run(string(flavour), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := supervisortest.NewServer(flavour)
				defer s.Close()
				events, end := listen(t.Context(), s)
				for _, payload := range []string{"größe 🙂", "", "日本"} {
					if err := s.Send("REMOTE_COMMUNICATION", payload); err != nil {
						t.Error(err)
					}
				}
				time.Sleep(90 * time.Second)
				if err := s.Tick(time.Minute); err != nil {
					t.Error(err)
				}
				s.Hangup()
				if err := <-end; err != io.EOF {
					t.Errorf("ended with %v, want io.EOF", err)
				}
				var got []string
				for e := range events {
					got = append(got, e.Name+" "+string(e.Payload))
				}
				want := []string{
					"REMOTE_COMMUNICATION größe 🙂", "REMOTE_COMMUNICATION ", "REMOTE_COMMUNICATION 日本",
					"TICK_60 when:946684890",
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
				if err := s.Tick(time.Minute); err != io.EOF {
					t.Errorf("tick after the end: %v, want io.EOF", err)
				}
			})
		})
	}
}

func TestListenersThatBreakTheProtocol(t *testing.T) {
	tests := []struct{ name, says, want string }{
		{"another word for READY", "HELLO\n", `the listener said "HELLO\n" instead of "READY\n", it would be in UNKNOWN for good`},
		{"a word unasked", "READY\nchecking\n", `the listener wrote unasked, it would be in UNKNOWN for good`},
		{"an end before READY", "REA", `the listener ended instead of saying "READY\n": unexpected EOF`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := supervisortest.NewServer(supervisor.Python)
				defer s.Close()
				_, out := s.Listener()
				io.WriteString(out, tt.says)
				out.Close()
				if err := s.Tick(time.Minute); err == nil || err.Error() != tt.want {
					t.Errorf("got %v, want %s", err, tt.want)
				}
			})
		})
	}
}

func TestFailIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := supervisortest.NewServer(supervisor.Python)
		defer s.Close()
		in, out := s.Listener()
		go func() {
			io.WriteString(out, "READY\n")
			in.Read(make([]byte, 1000))
			io.WriteString(out, "RESULT 4\nFAIL")
		}()
		want := `the listener said "RESULT 4\nFA" instead of "RESULT 2\nOK", it would be in UNKNOWN for good`
		if err := s.Tick(time.Minute); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	})
}

func TestNextListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := supervisortest.NewServer(supervisor.Python)
		defer s.Close()
		first, firstEnd := listen(t.Context(), s)
		if err := s.Send("EVENT", "first"); err != nil {
			t.Error(err)
		}
		in, out := s.Listener() // which dies of its event
		if err := <-firstEnd; err != io.EOF {
			t.Errorf("the replaced listener ended with %v, want io.EOF", err)
		}
		go func() {
			io.WriteString(out, "READY\n")
			in.Read(make([]byte, 1000))
			out.Close()
		}()
		if err := s.Send("EVENT", "second"); !errors.Is(err, io.EOF) {
			t.Errorf("Send to a listener that dies: %v, want io.EOF", err)
		}
		last, _ := listen(t.Context(), s)
		if err := s.Send("EVENT", "third"); err != nil {
			t.Error(err)
		}
		var got []string
		for _, events := range []<-chan listener.Event{first, last, last} {
			e := <-events
			got = append(got, e.Serial+" "+string(e.Payload))
		}
		if diff := cmp.Diff([]string{"1 first", "2 second", "3 third"}, got); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

// TestCloseEndsAll is without blocked goroutines at its end, whatever the
// listener leaves open.
func TestCloseEndsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := supervisortest.NewServer(supervisor.Python)
		ctx, cancel := context.WithCancel(t.Context())
		_, end := listen(ctx, s)
		if err := s.Tick(time.Minute); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-end; err != context.Canceled {
			t.Errorf("ended with %v, want context.Canceled", err)
		}
		s.Close()
	})
}
