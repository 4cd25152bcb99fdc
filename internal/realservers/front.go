package realservers

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Front stands before a server within the test, which cannot be stopped as a process can:
// it hands on what either side sends.
type Front struct {
	Address string // HOST:PORT

	listener net.Listener
	gate     sync.RWMutex // is held for writing while it hangs

	mu    sync.Mutex
	conns map[net.Conn]bool // nil once it was killed
	lost  *atomic.Bool      // whether those accepted since the last Find are
}

// NewFront stands before the server at that address until the end of the test.
func NewFront(t testing.TB, address string) *Front {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &Front{Address: l.Addr().String(), listener: l, conns: make(map[net.Conn]bool), lost: new(atomic.Bool)}
	t.Cleanup(f.Kill)
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", address)
			if err != nil {
				client.Close()
				continue
			}
			f.mu.Lock()
			lost := f.lost
			f.mu.Unlock()
			go f.hand(client, server, lost)
			go f.hand(server, client, lost)
		}
	}()
	return f
}

func (f *Front) hand(from, to net.Conn, lost *atomic.Bool) {
	defer from.Close()
	defer to.Close()
	f.mu.Lock()
	if f.conns == nil {
		f.mu.Unlock()
		return
	}
	f.conns[from] = true
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.conns, from)
		f.mu.Unlock()
	}()
	for buf := make([]byte, 32<<10); ; {
		n, err := from.Read(buf)
		if lost.Load() {
			n = 0
		}
		f.gate.RLock()
		_, writeErr := to.Write(buf[:n])
		f.gate.RUnlock()
		if err != nil || writeErr != nil {
			return
		}
	}
}

// Hang has nothing be handed on until Go: connections are accepted still.
func (f *Front) Hang() { f.gate.Lock() }

// Go ends Hang.
func (f *Front) Go() { f.gate.Unlock() }

// Lose has nothing be handed on any more over the connections there are, and those to
// come until Find, and tells neither side: so it is when a host loses its power, and
// another takes its address.
func (f *Front) Lose() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost.Store(true)
}

// Find has new connections be handed on again. Those that were lost stay so.
func (f *Front) Find() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost = new(atomic.Bool)
}

// Drop ends all connections, as a server does that is started anew.
func (f *Front) Drop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		c.Close()
	}
}

// Kill ends it, and all connections.
func (f *Front) Kill() {
	f.listener.Close()
	f.Drop()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conns = nil
}
