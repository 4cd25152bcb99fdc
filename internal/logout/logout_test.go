package logout

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// console is a standard error that can be read.
type console struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.Write(p)
}

func (c *console) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

// await requires the console to have a text soon.
func (c *console) await(t *testing.T, want string) {
	t.Helper()
	has := func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return bytes.Contains(c.text.Bytes(), []byte(want))
	}
	for deadline := time.Now().Add(20 * time.Second); !has(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%q is not on standard error, but\n%s", want, c)
		}
	}
}

// quick are times for tests.
var quick = times{dial: 30 * time.Second, write: 30 * time.Second, first: 20 * time.Millisecond, longest: 50 * time.Millisecond, untilUDPIsProof: 50 * time.Millisecond}

// open logs to an address.
func open(t *testing.T, to, format string) (*slog.Logger, *Handler, *console) {
	t.Helper()
	return openWith(t, to, format, quick)
}

func openWith(t *testing.T, to, format string, times times) (*slog.Logger, *Handler, *console) {
	t.Helper()
	address, err := ParseAddress(to)
	if err != nil {
		t.Fatal(err)
	}
	c := new(console)
	plain := slog.NewTextHandler(c, &slog.HandlerOptions{Level: slog.LevelDebug})
	h := newHandler(Config{To: address, Format: format, Plain: plain}, times)
	t.Cleanup(func() { h.Close(time.Second) })
	return slog.New(h), h, c
}

// listen accepts connections one by one.
func listen(t *testing.T, network, address string) (net.Listener, func() *bufio.Reader) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, func() *bufio.Reader {
		t.Helper()
		l.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Now().Add(30 * time.Second))
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetReadDeadline(time.Now().Add(30 * time.Second))
		return bufio.NewReader(conn)
	}
}

// packets listens for datagrams.
func packets(t *testing.T, network, address string) (net.PacketConn, func() []byte) {
	t.Helper()
	conn, err := net.ListenPacket(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, func() []byte {
		t.Helper()
		buf := make([]byte, 1<<17)
		conn.SetReadDeadline(time.Now().Add(30 * time.Second))
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		return buf[:n]
	}
}

// fields reads a message of GELF, without the time.
func fields(t *testing.T, message []byte) map[string]any {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal(message, &all); err != nil {
		t.Fatalf("%v of %q", err, message)
	}
	if at, is := all["timestamp"].(float64); !is || math.Abs(at-float64(time.Now().UnixMicro())/1e6) > 60 {
		t.Errorf("the time is %v", all["timestamp"])
	}
	if all["version"] != "1.1" || all["host"] != hostname() {
		t.Errorf("version %v, host %v", all["version"], all["host"])
	}
	for _, name := range []string{"timestamp", "version", "host"} {
		delete(all, name)
	}
	return all
}

func TestGELFOverTCP(t *testing.T) {
	t.Parallel()
	l, accept := listen(t, "tcp", "127.0.0.1:0")
	log, _, c := open(t, "tcp://"+l.Addr().String(), "gelf")
	r := accept()
	next := func() map[string]any {
		t.Helper()
		message, err := r.ReadBytes(0)
		if err != nil {
			t.Fatal(err)
		}
		return fields(t, message[:len(message)-1])
	}
	for _, tt := range []struct {
		do   func()
		want map[string]any
	}{
		{func() { log.Info("all is well") }, map[string]any{"short_message": "all is well", "level": 6.0}},
		{func() { log.Debug("a") }, map[string]any{"short_message": "a", "level": 7.0}},
		{func() { log.Warn("b") }, map[string]any{"short_message": "b", "level": 4.0}},
		{func() { log.Error("") }, map[string]any{"short_message": "-", "level": 3.0}},
		{func() { log.Info("panic:\n\tgoroutine 1\x00\xff") }, map[string]any{"short_message": "panic:", "full_message": "panic:\n\tgoroutine 1\x00\ufffd", "level": 6.0}},
		{func() {
			log.With("listener", "web").WithGroup("of").With("id", 1).Info("c", "pid", 7, "share", 0.5, "none", math.NaN(), "is", true, "took", 3*time.Second, "why", errors.New("so"),
				"a b", "c", slog.Group("in", "x", "y"), "nothing", nil, "when", time.Unix(0, 0).UTC())
		}, map[string]any{"short_message": "c", "level": 6.0, "_listener": "web", "_of_id": 1.0, "_of_pid": 7.0, "_of_share": 0.5, "_of_none": "NaN", "_of_is": "true", "_of_took": "3s",
			"_of_why": "so", "_of_a_b": "c", "_of_in_x": "y", "_of_nothing": "", "_of_when": "1970-01-01T00:00:00Z"}},
		{func() { log.Info("d", "id", 1, "level", "high") }, map[string]any{"short_message": "d", "level": 6.0, "_id_": 1.0, "_level": "high"}},
	} {
		tt.do()
		if diff := cmp.Diff(tt.want, next()); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
	if c.String() != "" {
		t.Errorf("on standard error is\n%s", c)
	}
}

func TestGELFOverUDP(t *testing.T) {
	t.Parallel()
	conn, next := packets(t, "udp", "127.0.0.1:0")
	log, _, c := open(t, "udp://"+conn.LocalAddr().String(), "gelf")
	log.Info("short")
	if got := fields(t, next()); got["short_message"] != "short" {
		t.Errorf("%v", got)
	}

	long := strings.Repeat("0123456789", 5000)
	var ids []string
	for range 2 {
		log.Info(long)
		parts := make(map[byte][]byte)
		first := next()
		for p := first; ; p = next() {
			if len(p) > 8192 || p[0] != 0x1e || p[1] != 0x0f || !bytes.Equal(p[2:10], first[2:10]) || p[11] != 7 {
				t.Fatalf("%d bytes, header % x", len(p), p[:12])
			}
			if parts[p[10]] = p[12:]; len(parts) == 7 {
				break
			}
		}
		var whole []byte
		for i := range byte(7) {
			whole = append(whole, parts[i]...)
		}
		if got := fields(t, whole); got["short_message"] != long {
			t.Errorf("%v", got)
		}
		ids = append(ids, string(first[2:10]))
	}
	if ids[0] == ids[1] {
		t.Error("two messages have the same id")
	}

	log.Info(strings.Repeat("0123456789", 200_000))
	log.Info("after it")
	if got := fields(t, next()); got["short_message"] != "after it" {
		t.Errorf("%v", got)
	}
	c.await(t, "0123456789")
	if strings.Contains(c.String(), "after it") {
		t.Error("it is on standard error")
	}
}

func TestChunks(t *testing.T) {
	for _, tt := range []struct{ size, want int }{{packetSize, 1}, {packetSize + 1, 2}, {128 * (packetSize - 12), 128}} {
		got, err := chunked(make([]byte, tt.size))
		if err != nil || len(got) != tt.want {
			t.Errorf("%d bytes: %d packets, error %v", tt.size, len(got), err)
		}
	}
	if _, err := chunked(make([]byte, 128*(packetSize-12)+1)); err == nil {
		t.Error("no error")
	}
}

func TestSyslog(t *testing.T) {
	t.Parallel()
	header := regexp.QuoteMeta(fmt.Sprintf(" %s supervisor_checks %d - - ", hostname(), os.Getpid()))
	const at = `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)`
	match := func(message []byte, pattern string) {
		t.Helper()
		if !regexp.MustCompile("^" + pattern + "$").Match(message) {
			t.Errorf("%q does not match %s", message, pattern)
		}
	}

	l, accept := listen(t, "tcp", "127.0.0.1:0")
	log, _, _ := open(t, "syslog+tcp://"+l.Addr().String(), "text")
	r := accept()
	counted := func() []byte {
		t.Helper()
		digits, err := r.ReadString(' ')
		n, _ := strconv.Atoi(strings.TrimSpace(digits))
		message := make([]byte, n)
		if _, readErr := io.ReadFull(r, message); err != nil || readErr != nil || n == 0 {
			t.Fatalf("%q: %v, %v", digits, err, readErr)
		}
		return message
	}
	log.With("listener", "web").Warn("two\nlines", "pid", 7)
	match(counted(), `<28>1 `+at+header+`msg="two\\nlines" listener=web pid=7`)
	log.Debug("ä")
	match(counted(), `<31>1 `+at+header+`msg=ä`)
	log.WithGroup("a").Error("x", "time", 1)
	match(counted(), `<27>1 `+at+header+`msg=x a.time=1`)

	conn, next := packets(t, "udp", "127.0.0.1:0")
	log, _, _ = open(t, "syslog+udp://"+conn.LocalAddr().String(), "json")
	log.Info("x", "pid", 7)
	match(next(), `<30>1 `+at+header+`\{"time":"[^"]+","level":"INFO","msg":"x","pid":7\}`)

	dir, err := os.MkdirTemp("", "lo") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	local := `[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d supervisor_checks\[` + strconv.Itoa(os.Getpid()) + `\]: `
	path := filepath.Join(dir, "log")
	_, next = packets(t, "unixgram", path)
	log, _, _ = open(t, "syslog://"+path, "text")
	log.Info("x", "pid", 7)
	match(next(), `<30>`+local+`msg=x pid=7`)

	path = filepath.Join(dir, "stream")
	_, accept = listen(t, "unix", path)
	log, _, _ = open(t, "syslog://"+path, "text")
	r = accept()
	log.Info("x", "pid", 7)
	got, _ := r.ReadBytes('\n')
	match(bytes.TrimSuffix(got, []byte("\n")), `<30>`+local+`msg=x pid=7`)
}

// A server that is not there has the log be on standard error until it is.
func TestServerComesAndGoes(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"tcp", "udp"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			var address string
			if network == "tcp" {
				l, _ := listen(t, network, "127.0.0.1:0")
				address = l.Addr().String()
				l.Close()
			} else {
				conn, _ := packets(t, network, "127.0.0.1:0")
				address = conn.LocalAddr().String()
				conn.Close()
			}
			to := network + "://" + address
			log, _, c := open(t, to, "gelf")
			log.Info("while away")
			for i := 0; network == "udp" && !strings.Contains(c.String(), "cannot be sent"); i++ {
				log.Info(fmt.Sprintf("datagram %d", i))
				time.Sleep(time.Millisecond)
			}
			c.await(t, fmt.Sprintf("level=ERROR msg=\"the log cannot be sent to %s, and goes on here: ", to))
			log.Info("while it is known to be away", "pid", 7)
			c.await(t, "msg=\"while it is known to be away\" pid=7\n")
			for range 20 { // several tries go by
				log.Info("again")
				time.Sleep(10 * time.Millisecond)
			}
			if n := strings.Count(c.String(), "cannot be sent"); n != 1 || strings.Contains(c.String(), "goes to") {
				t.Errorf("it says so %d times\n%s", n, c)
			}

			var next func() []byte
			if network == "tcp" {
				_, accept := listen(t, network, address)
				r := accept()
				next = func() []byte {
					text, err := r.ReadBytes(0)
					if err != nil {
						t.Fatal(err)
					}
					return text
				}
			} else {
				_, next = packets(t, network, address)
			}
			for begun := time.Now(); !strings.Contains(c.String(), "level=INFO msg=\"the log goes to "+to+" again\"\n"); {
				if network == "udp" {
					log.Info("is it back?")
				}
				if time.Sleep(time.Millisecond); time.Since(begun) > 30*time.Second {
					t.Fatalf("it does not come back\n%s", c)
				}
			}
			log.Info("when it is back")
			for !strings.Contains(string(next()), "when it is back") {
			}
			if strings.Contains(c.String(), "when it is back") {
				t.Error("it is on standard error, too")
			}
		})
	}
}

// A server that is started anew, or that closes what it thinks is idle, costs nothing.
func TestServerClosesTheConnection(t *testing.T) {
	t.Parallel()
	l, _ := listen(t, "tcp", "127.0.0.1:0")
	log, _, c := open(t, "tcp://"+l.Addr().String(), "gelf")
	for i := range 5 {
		l.(*net.TCPListener).SetDeadline(time.Now().Add(30 * time.Second))
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conn.SetReadDeadline(time.Now().Add(30 * time.Second))
		log.Info(fmt.Sprintf("line %d", i))
		text, err := bufio.NewReader(conn).ReadString(0)
		if err != nil || !strings.Contains(text, fmt.Sprintf("line %d", i)) {
			t.Errorf("%q, %v", text, err)
		}
		time.Sleep(2 * quick.first)
		conn.Close()
	}
	if c.String() != "" {
		t.Errorf("on standard error is\n%s", c)
	}
}

// One that closes each connection at once is away, and not dialed again and again.
func TestServerClosesAtOnce(t *testing.T) {
	t.Parallel()
	l, _ := listen(t, "tcp", "127.0.0.1:0")
	accepted := make(chan int, 1)
	go func() {
		n := 0
		for {
			conn, err := l.Accept()
			if err != nil {
				accepted <- n
				return
			}
			n++
			conn.Close()
		}
	}()
	begun := time.Now()
	_, _, c := open(t, "tcp://"+l.Addr().String(), "gelf")
	c.await(t, "and goes on here: it has closed the connection")
	time.Sleep(300 * time.Millisecond)
	l.Close()
	if n, took := <-accepted, time.Since(begun); n > int(took/quick.first) {
		t.Errorf("%d connections in %v", n, took)
	}
}

// A server that never reads holds up nobody, and no line is lost without a word.
func TestServerNeverReads(t *testing.T) {
	t.Parallel()
	l, _ := listen(t, "tcp", "127.0.0.1:0")
	brief := quick
	brief.write = time.Second
	long := strings.Repeat("x", 1<<20)
	log, h, c := openWith(t, "tcp://"+l.Addr().String(), "gelf", brief)
	for range 10 { // more than the system takes
		log.Info(long)
	}
	missing := func() bool {
		h.sender.mu.Lock()
		defer h.sender.mu.Unlock()
		return h.sender.dropped > 0
	}
	for begun := time.Now(); !missing(); {
		if log.Info("short"); time.Since(begun) > 20*time.Second {
			t.Fatal("it holds up the log")
		}
	}
	c.await(t, "i/o timeout")
	c.await(t, "the log to tcp://"+l.Addr().String()+" was too slow: ")
	end := func() time.Duration {
		log, h, _ := open(t, "tcp://"+l.Addr().String(), "gelf")
		for range 10 {
			log.Info(long)
		}
		begun := time.Now()
		h.Close(200 * time.Millisecond)
		return time.Since(begun)
	}
	for begun, took := time.Now(), end(); took > 6*time.Second; took = end() { // the machine may have other things to do
		if time.Since(begun) > 30*time.Second {
			t.Fatalf("it holds up the end for %v", took)
		}
	}
}

// What waits is sent before the end.
func TestCloseSendsTheRest(t *testing.T) {
	t.Parallel()
	l, accept := listen(t, "tcp", "127.0.0.1:0")
	log, h, c := open(t, "tcp://"+l.Addr().String(), "gelf")
	for range 1000 {
		log.Info("x")
	}
	h.Close(30 * time.Second)
	text, err := io.ReadAll(accept())
	if n := bytes.Count(text, []byte{0}); err != nil || n != 1000 || c.String() != "" {
		t.Errorf("%d lines, error %v, on standard error\n%s", n, err, c)
	}
}

// Many may log at once.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	l, accept := listen(t, "tcp", "127.0.0.1:0")
	log, h, _ := open(t, "syslog+tcp://"+l.Addr().String(), "text")
	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() {
			with := log.With("i", i)
			for range 50 {
				with.Info("x")
			}
		})
	}
	all.Wait()
	h.Close(30 * time.Second)
	text, _ := io.ReadAll(accept())
	for i := range 10 {
		if n := strings.Count(string(text), fmt.Sprintf(" - - msg=x i=%d", i)); n != 50 {
			t.Errorf("%d lines of %d", n, i)
		}
	}
}

func TestParseAddress(t *testing.T) {
	for text, want := range map[string]Address{
		"stderr":                 {"stderr", "", "", false},
		"tcp://graylog":          {"tcp://graylog", "tcp", "graylog:12201", false},
		"udp://[::1]:1":          {"udp://[::1]:1", "udp", "[::1]:1", false},
		"syslog:///dev/log":      {"syslog:///dev/log", "unixgram", "/dev/log", true},
		"syslog+udp://10.0.0.1/": {"syslog+udp://10.0.0.1/", "udp", "10.0.0.1:514", true},
		"syslog+tcp://a.test":    {"syslog+tcp://a.test", "tcp", "a.test:601", true},
	} {
		got, err := ParseAddress(text)
		if err != nil || got != want || got.String() != text || got.Away() != (text != "stderr") {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "stdout", "tcp://", "tcp://:1", "graylog:12201", "tcp://me:secret7@x", "tcp://x/path", "udp://x?a=b", "syslog://dev/log", "syslog:", "http://x", "tcp://x:port", "/dev/log"} {
		if _, err := ParseAddress(text); err == nil || strings.Contains(err.Error(), "secret7") {
			t.Errorf("%s: error %v", text, err)
		}
	}
}

// TestServerIsKilled has a server take lines into its memory and be killed: those lines are
// on standard error, and not only those that came later.
func TestServerIsKilled(t *testing.T) {
	l, _ := listen(t, "tcp", "127.0.0.1:0")
	log, _, c := open(t, "tcp://"+l.Addr().String(), "gelf")
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn := accepted.(*net.TCPConn)
	for i := range 500 {
		log.Error(fmt.Sprintf("line %d.", i))
	}
	conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.ReadFull(conn, make([]byte, 1000)); err != nil { // the first of them
		t.Fatal(err)
	}
	conn.SetLinger(0)
	l.Close()
	conn.Close()
	c.await(t, "line 499.")
	for i := range 500 {
		if !strings.Contains(c.String(), fmt.Sprintf("line %d.", i)) {
			t.Fatalf("line %d is lost:\n%s", i, c)
		}
	}
	c.await(t, "may not have arrived: they are here again")
}
