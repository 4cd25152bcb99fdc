package realservers

import (
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// An Answer is what a server says that does not speak the protocol of who asks.
type Answer struct {
	Name  string
	Once  string
	Over  string        // and over again
	Pause time.Duration // before each
	Ends  bool          // its side of the connection, after Once
}

var nonsense = []Answer{
	{Name: "nothing"},
	{Name: "an end", Ends: true},
	{Name: "text", Once: "HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nbad"},
	{Name: "a line and an end", Once: "+OK\r\n", Ends: true},
	{Name: "zeros without end", Over: strings.Repeat("\x00", 32<<10)},
	{Name: "all bits set without end", Over: strings.Repeat("\xff", 32<<10)},
	{Name: "letters without end", Over: strings.Repeat("A", 32<<10)},
	{Name: "lines without end", Over: strings.Repeat("-\r\n", 10<<10)},
	{Name: "a line that drips", Over: "+", Pause: 20 * time.Millisecond},
}

// Nonsense has probes that wait that long ask servers that answer nonsense, and more.
// Each has an error in time, and all of them together use no more than 128 MiB.
func Nonsense(t *testing.T, timeout time.Duration, open func(address string) Probe, more ...Answer) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var looks sync.WaitGroup
	var mu sync.Mutex
	var slow []func() // to be asked alone, for the machine may have had other things to do
	for _, answer := range append(more, nonsense...) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go answer.give(conn.(*net.TCPConn))
			}
		}()
		p := open(l.Addr().String())
		inTime := func() bool {
			begun := time.Now()
			err := p.Check(t.Context())
			took := time.Since(begun)
			if err == nil {
				t.Errorf("%s: no error after %v", answer.Name, took)
			}
			return took <= timeout+500*time.Millisecond
		}
		alone := func() {
			for begun := time.Now(); !inTime(); {
				if time.Since(begun) > 30*time.Second {
					t.Errorf("%s: no look ends in time", answer.Name)
					return
				}
			}
		}
		looks.Go(func() {
			if !inTime() {
				mu.Lock()
				defer mu.Unlock()
				slow = append(slow, alone)
			}
		})
	}
	looks.Wait()
	runtime.ReadMemStats(&after)
	for _, alone := range slow {
		alone()
	}
	if used := (after.TotalAlloc - before.TotalAlloc) >> 20; used > 128 {
		t.Errorf("it used %d MiB", used)
	}
}

// Silent has a probe without a time of its own ask a server that says nothing.
func Silent[P Probe](t *testing.T, open func(address string) (P, error)) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p, err := open(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if p, is := any(p).(io.Closer); is {
		defer p.Close()
	}
	begun := time.Now()
	err = p.Check(t.Context())
	if took := time.Since(begun); err == nil || took < 2*time.Second || took > 20*time.Second {
		t.Errorf("%s: error %v after %v", p.Name(), err, took)
	}
}

// give answers until the other side ends the connection.
func (a Answer) give(conn *net.TCPConn) {
	defer conn.Close()
	go func() {
		io.WriteString(conn, a.Once)
		if a.Ends {
			conn.CloseWrite()
		}
		for a.Over != "" {
			time.Sleep(a.Pause)
			if _, err := io.WriteString(conn, a.Over); err != nil {
				return
			}
		}
	}()
	io.Copy(io.Discard, conn)
}
