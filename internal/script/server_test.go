package script_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/cloudprober"
	"github.com/supervisor-checks/supervisor-checks/internal/script"
)

// behaves is the variable with which this program is a server that does one of these.
const behaves = "SCRIPT_TEST_SERVER"

func TestMain(m *testing.M) {
	if kind := os.Getenv(behaves); kind != "" {
		os.Exit(serve(kind))
	}
	os.Exit(m.Run())
}

// serve is a server. Options of the requests tell it what to do.
func serve(kind string) int {
	if kind == "deaf" {
		fmt.Fprintln(os.Stderr, "deaf from birth")
		select {}
	}
	in := bufio.NewReader(os.Stdin)
	var held []cloudprober.Request
	var late []cloudprober.Reply
	silent := 0
	for {
		req, err := cloudprober.ReadRequest(in)
		if err != nil {
			return 0
		}
		options := map[string]string{}
		for _, o := range req.Options {
			options[o.Name] = o.Value
		}
		reply := cloudprober.Reply{ID: req.ID, Payload: fmt.Sprintf("id %d\npid %d\nlen{of=\"%s\"} %d\n", req.ID, os.Getpid(), options["of"], len(options["of"]))}
		switch options["do"] {
		case "silent":
			silent++
			continue
		case "how silent":
			reply.Payload += fmt.Sprintf("silent %d\n", silent)
		case "long":
			reply.Payload = "first 1\n" + strings.Repeat("a", 100_000) + "\nlast 1\n"
		case "skipped":
			reply.Error = "skipped: only in develop"
		case "hold":
			held = append(held, req)
			if hold, _ := strconv.Atoi(options["hold"]); len(held) < hold {
				continue
			}
			for i := len(held) - 1; i > 0; i-- {
				of := held[i].Options[len(held[i].Options)-1].Value
				cloudprober.WriteReply(os.Stdout, cloudprober.Reply{ID: held[i].ID, Payload: fmt.Sprintf("of_%s 1\n", of)})
			}
			of := held[0].Options[len(held[0].Options)-1].Value
			reply = cloudprober.Reply{ID: held[0].ID, Payload: fmt.Sprintf("of_%s 1\n", of)}
			held = nil
		case "late": // comes when somebody asks for more
			late = append(late, reply)
			continue
		case "unknown":
			cloudprober.WriteReply(os.Stdout, cloudprober.Reply{ID: req.ID + 1000, Payload: "wrong 1\n"})
			fmt.Print("\nnoise between frames\n")
		case "garbage":
			fmt.Print("\nContent-Length: 5\n\n\xff\xff\xff\xff\xff")
			continue
		case "die":
			fmt.Fprintln(os.Stderr, "out of luck")
			fmt.Print("\nContent-Length: 500\n\n\x08\x01")
			return 9
		case "fail":
			reply.Error = "the site is down"
		}
		for _, r := range append(late, reply) {
			cloudprober.WriteReply(os.Stdout, r)
		}
		late = nil
	}
}

// logged keeps lines.
type logged struct {
	mu    sync.Mutex
	lines []string
}

func (l *logged) log(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
}

func (l *logged) count(part string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

func newServer(t *testing.T, cfg script.Config) (*script.Script, *logged) {
	t.Helper()
	l := new(logged)
	cfg.Protocol, cfg.Log = script.CloudproberServer, l.log
	if cfg.Command == nil {
		program, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cfg.Command = []string{program}
	}
	cfg.Env = append(cfg.Env, behaves+"=plain")
	if cfg.Timeout == 0 {
		cfg.Timeout = time.Minute
	}
	cfg.Options = map[string]string{"do": "%(do)s", "hold": "5", "of": "%(process_name)s"}
	s, err := script.New(cfg, "do", "process_name")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, l
}

// about is a request that something is done for a process.
func about(do, name string) script.Subject {
	return script.Subject{Key: name, Names: map[string]string{"do": do, "process_name": name}}
}

func TestServer(t *testing.T) {
	t.Setenv("OF_THE_PARENT", "kept")
	s, l := newServer(t, script.Config{})
	first := s.Run(t.Context(), about("", "web"))
	if first.Status != script.Healthy || first.Metrics[`len{of="web"}`] != 3 || first.Metrics["id"] != 1 {
		t.Fatalf("%+v", first)
	}
	// All is of one process.
	same := func(o script.Outcome) bool { return o.Metrics["pid"] == first.Metrics["pid"] }
	if o := s.Run(t.Context(), about("unknown", "web")); o.Status != script.Healthy || !same(o) || len(o.Metrics) != 3 {
		t.Errorf("a reply that nobody asked for, and noise: %+v", o)
	}
	if o := s.Run(t.Context(), about("fail", "web")); o.Status != script.Unhealthy || o.Err.Error() != "the server says: the site is down" || !same(o) {
		t.Errorf("a failure: %+v", o)
	}
	if o := s.Run(t.Context(), about("skipped", "web")); o.Status != script.Skipped || o.Err.Error() != "the server says: skipped: only in develop" {
		t.Errorf("what is skipped: %+v", o)
	}
	if o := s.Run(t.Context(), about("long", "web")); o.Status != script.Healthy || !maps.Equal(o.Metrics, map[string]float64{"first": 1, "last": 1}) {
		t.Errorf("a long payload: %v, %d metrics", o.Err, len(o.Metrics))
	}
	var all sync.WaitGroup
	for i := range 5 {
		name := fmt.Sprint("p", i)
		all.Go(func() {
			if o := s.Run(t.Context(), about("hold", name)); o.Status != script.Healthy || len(o.Metrics) != 1 || o.Metrics["of_"+name] != 1 {
				t.Errorf("the last comes first: %s: %+v", name, o)
			}
		})
	}
	all.Wait()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("we are ending")
	cancel(why)
	if o := s.Run(ctx, about("late", "web")); !errors.Is(o.Err, why) {
		t.Errorf("cut short: %+v", o)
	}
	if n := l.count(""); n != 0 {
		t.Errorf("it logs %q", l.lines)
	}
}

func TestServerIsLate(t *testing.T) {
	t.Parallel()
	s, _ := newServer(t, script.Config{})
	first := s.Run(t.Context(), about("", "web"))
	s.Limit(200 * time.Millisecond)
	var late *cloudprober.TimeoutError
	if o := s.Run(t.Context(), about("late", "web")); o.Status != script.Unhealthy || !errors.As(o.Err, &late) || o.Metrics != nil {
		t.Errorf("a late reply: %+v", o)
	}
	s.Limit(time.Minute)
	if o := s.Run(t.Context(), about("", "web")); o.Status != script.Healthy || o.Metrics["pid"] != first.Metrics["pid"] || o.Metrics["id"] != 3 {
		t.Errorf("after it: %+v", o)
	}
}

// TestServerFails has it write garbage, and end in the middle of a frame, which is said at
// once, and start again.
func TestServerFails(t *testing.T) {
	for _, tt := range []struct{ do, want string }{
		{"garbage", "the server has failed: read a reply: "},
		{"die", "the server has failed: it exited with status 9: out of luck"},
	} {
		t.Run(tt.do, func(t *testing.T) {
			t.Parallel()
			s, l := newServer(t, script.Config{})
			s.SettlesAfter(time.Hour)
			before := s.Run(t.Context(), about("", "web"))
			o := s.Run(t.Context(), about(tt.do, "web"))
			if o.Status != script.Unknown || !strings.HasPrefix(o.Err.Error(), tt.want) {
				t.Fatalf("%+v, want %s …", o, tt.want)
			}
			if l.count(tt.want) != 1 || l.count("it is started again in 1s at the earliest") != 1 {
				t.Errorf("it logs %q", l.lines)
			}
			o = s.Run(t.Context(), about("", "web"))
			if o.Status != script.Healthy && (o.Status != script.Unknown || !strings.HasPrefix(o.Err.Error(), tt.want) || !strings.HasSuffix(o.Err.Error(), "; it is started again in 1s at the earliest")) {
				t.Errorf("at once after it: %+v", o)
			}
			for begun := time.Now(); o.Status != script.Healthy; o = s.Run(t.Context(), about("", "web")) {
				if time.Sleep(10 * time.Millisecond); time.Since(begun) > 30*time.Second {
					t.Fatalf("it does not start again: %+v", o)
				}
			}
			if o.Metrics["pid"] == before.Metrics["pid"] || l.count("the server answers again") != 0 {
				t.Errorf("%v, before %v; it logs %q", o.Metrics, before.Metrics, l.lines)
			}
			for begun := time.Now(); syscall.Kill(int(before.Metrics["pid"]), 0) == nil; time.Sleep(time.Millisecond) {
				if time.Since(begun) > 30*time.Second {
					t.Fatal("the one before lives")
				}
			}
			if s.Run(t.Context(), about(tt.do, "web")); s.NextPause() != 4*time.Second {
				t.Errorf("it pauses for %v next, though it has not been well for long", s.NextPause())
			}
			if l.count(tt.want) != 1 {
				t.Errorf("it logs %q", l.lines)
			}
		})
	}
}

// TestServerThatDiesUnasked is noticed, though nobody waits for it.
func TestServerThatDiesUnasked(t *testing.T) {
	t.Parallel()
	_, l := func() (*script.Script, *logged) {
		s, l := newServer(t, script.Config{Command: []string{"sh", "-c", "echo no luck >&2; exit 4"}})
		s.Run(t.Context(), about("", "web"))
		return s, l
	}()
	for begun := time.Now(); l.count("the server has failed: it exited with status 4: no luck") != 1; time.Sleep(time.Millisecond) {
		if time.Since(begun) > 30*time.Second {
			t.Fatalf("it logs %q", l.lines)
		}
	}
}

// TestServerThatSaysTooMuch has the log get the beginning of it, and the reason its end.
func TestServerThatSaysTooMuch(t *testing.T) {
	t.Parallel()
	s, l := newServer(t, script.Config{Command: []string{"sh", "-c", "seq 1000 >&2; exit 4"}})
	o := s.Run(t.Context(), about("", "web"))
	if o.Err == nil || o.Err.Error() != "the server has failed: it exited with status 4: 1000" {
		t.Errorf("%+v", o)
	}
	if l.count("the server says: ") != 20 || l.count("the server says more than 20 lines in a minute") != 1 {
		t.Errorf("it logs %q", l.lines)
	}
}

// TestServerThatIsWellAgain has run for long enough when it answers.
func TestServerThatIsWellAgain(t *testing.T) {
	t.Parallel()
	s, l := newServer(t, script.Config{})
	s.SettlesAfter(0)
	s.Run(t.Context(), about("garbage", "web"))
	for begun := time.Now(); l.count("the server answers again") != 1; s.Run(t.Context(), about("", "web")) {
		if time.Sleep(10 * time.Millisecond); time.Since(begun) > 30*time.Second {
			t.Fatalf("it logs %q", l.lines)
		}
	}
	if s.Run(t.Context(), about("garbage", "web")); l.count("it is started again in 1s at the earliest") != 2 {
		t.Errorf("it logs %q", l.lines)
	}
}

// TestServerThatFallsSilent is ended when nobody has had a reply from it three times in a
// row, and begun anew.
func TestServerThatFallsSilent(t *testing.T) {
	t.Parallel()
	s, l := newServer(t, script.Config{})
	before := s.Run(t.Context(), about("", "web"))
	silentUntil := func(ctx context.Context, name string) {
		if o := s.Run(ctx, about("silent", name)); o.Status != script.Unhealthy || !errors.Is(o.Err, context.DeadlineExceeded) {
			t.Errorf("%+v", o)
		}
	}
	silent := func(name string) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		silentUntil(ctx, name)
	}
	answers := func() (asked float64) {
		o := s.Run(t.Context(), about("how silent", "web"))
		if o.Status != script.Healthy || o.Metrics["pid"] != before.Metrics["pid"] {
			t.Errorf("%+v", o)
		}
		return o.Metrics["silent"]
	}
	for range 2 {
		silent("a")
		silent("b")
		answers()
	}
	var others sync.WaitGroup
	ctx, end := context.WithCancelCause(t.Context())
	asked := answers()
	for i := range 3 { // between which and their end others have an answer
		others.Go(func() { silentUntil(ctx, fmt.Sprint("c", i)) })
	}
	for begun := time.Now(); answers() < asked+3; {
		if time.Since(begun) > 30*time.Second {
			t.Fatal("it is not asked")
		}
	}
	end(context.DeadlineExceeded)
	others.Wait()
	answers()
	for i := range 3 {
		if l.count("") > 0 {
			t.Errorf("it logs %q", l.lines)
		}
		silent(fmt.Sprint("p", i))
	}
	const why = "the server has failed: it has answered none of the last 3 requests in time"
	if l.count("") != 1 || l.count(why+"; it is started again in 1s at the earliest") != 1 {
		t.Errorf("it logs %q", l.lines)
	}
	if o := s.Run(t.Context(), about("", "web")); o.Status == script.Unknown && !strings.HasPrefix(o.Err.Error(), why) {
		t.Errorf("%+v", o)
	}
	for begun, o := time.Now(), (script.Outcome{}); o.Status != script.Healthy || o.Metrics["pid"] == before.Metrics["pid"]; o = s.Run(t.Context(), about("", "web")) {
		if time.Sleep(10 * time.Millisecond); time.Since(begun) > 30*time.Second {
			t.Fatalf("it does not start again: %+v", o)
		}
	}
	for begun := time.Now(); syscall.Kill(int(before.Metrics["pid"]), 0) == nil; time.Sleep(time.Millisecond) {
		if time.Since(begun) > 30*time.Second {
			t.Fatal("the one before lives")
		}
	}
}

// TestServerThatIsNone is unknown, whatever it does: it says nothing of anybody.
func TestServerThatIsNone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		command []string
		timeout time.Duration
		want    string
	}{
		{[]string{"cat"}, time.Minute, "the server has failed: read a reply: not a frame of cloudprober: "},
		{[]string{"sleep", "3000"}, 100 * time.Millisecond, "no reply within 100ms: the server has not answered anything yet"},
		{[]string{"true"}, time.Minute, "the server has failed: it exited with status 0"},
	} {
		s, err := script.New(script.Config{Command: tt.command, Protocol: script.CloudproberServer, Timeout: tt.timeout})
		if err != nil {
			t.Fatal(err)
		}
		if o := s.Run(t.Context(), script.Subject{}); o.Status != script.Unknown || !strings.HasPrefix(o.Err.Error(), tt.want) {
			t.Errorf("%s: %+v", tt.command[0], o)
		}
		s.Close()
	}
}

// TestServerWhoseLastWordsChange is told of once.
func TestServerWhoseLastWordsChange(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "words")
	s, l := newServer(t, script.Config{Command: []string{"sh", "-c", `printf x >> "$0"; cat "$0" >&2; exit 4`, file}})
	for begun, o := time.Now(), (script.Outcome{}); o.Err == nil || !strings.HasSuffix(o.Err.Error(), "status 4: xx"); o = s.Run(t.Context(), about("", "web")) {
		if time.Sleep(10 * time.Millisecond); time.Since(begun) > 30*time.Second {
			t.Fatalf("%+v", o)
		}
	}
	if l.count("the server has failed") != 1 || l.count("the server says: xx") != 1 {
		t.Errorf("it logs %q", l.lines)
	}
}

// TestServerThatReadsNothing has more sent to it than a pipe holds, and is ended all the
// same.
func TestServerThatReadsNothing(t *testing.T) {
	t.Parallel()
	l := new(logged)
	s, err := script.New(script.Config{Command: []string{"sh", "-c", "trap '' TERM; echo deaf from birth >&2; while :; do sleep 0.02; done"},
		Protocol: script.CloudproberServer, Timeout: 50 * time.Millisecond, Options: map[string]string{"of": strings.Repeat("a", 50_000)}, Log: l.log})
	if err != nil {
		t.Fatal(err)
	}
	const why = "the server has failed: it has answered none of the last 3 requests in time"
	look := func() script.Outcome { return s.Run(t.Context(), script.Subject{}) }
	for range 3 {
		if o := look(); o.Status != script.Unknown || !strings.HasPrefix(o.Err.Error(), "no reply within 50ms: ") {
			t.Errorf("%+v", o)
		}
	}
	if l.count("sh: "+why) != 1 {
		t.Errorf("it logs %q", l.lines)
	}
	for begun, o := time.Now(), look(); o.Status != script.Unknown || !strings.HasPrefix(o.Err.Error(), why); o = look() { // once it is asked within a pause
		if time.Since(begun) > 30*time.Second {
			t.Fatalf("%+v, want %s…", o, why)
		}
	}
	begun := time.Now()
	s.Close()
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("its end took %v", took)
	}
	if o := s.Run(t.Context(), script.Subject{}); o.Status != script.Unknown {
		t.Errorf("after its end: %+v", o)
	}
}

// TestServerThatCannotStart is tried again after 1 s, 2 s, 4 s … a minute.
func TestServerThatCannotStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newServer(t, script.Config{Command: []string{"/no/such/server"}})
		const why = "the server: it cannot be run: fork/exec /no/such/server: no such file or directory"
		tries := []int{}
		for second := range 200 {
			o := s.Run(t.Context(), about("", "web"))
			if o.Status != script.Unknown || !strings.HasPrefix(o.Err.Error(), why) {
				t.Fatalf("%+v", o)
			}
			if o.Err.Error() == why {
				tries = append(tries, second)
			}
			time.Sleep(time.Second)
		}
		if got, want := fmt.Sprint(tries), "[0 1 3 7 15 31 63 123 183]"; got != want {
			t.Errorf("tried after %s seconds, want %s", got, want)
		}
		if l.count("") != 1 || l.count(why+"; it is started again in 1s at the earliest") != 1 {
			t.Errorf("it logs %q", l.lines)
		}
	})
}

// BenchmarkServer asks a server, and runs a trivial script, in turn: the metric "times" is
// how much more the script costs.
func BenchmarkServer(b *testing.B) {
	program, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	server, err := script.New(script.Config{Command: []string{program}, Env: []string{behaves + "=plain"}, Protocol: script.CloudproberServer})
	if err != nil {
		b.Fatal(err)
	}
	defer server.Close()
	once, err := script.New(script.Config{Command: []string{"sh", "-c", "echo id 1"}, Protocol: script.Cloudprober})
	if err != nil {
		b.Fatal(err)
	}
	run := func(s *script.Script, most int) time.Duration {
		begun := time.Now()
		for range most {
			if o := s.Run(b.Context(), script.Subject{}); o.Status != script.Healthy {
				b.Fatal(o.Err)
			}
		}
		return time.Since(begun)
	}
	run(server, 1)
	var asked, started time.Duration
	for b.Loop() {
		asked += run(server, 20)
		started += run(once, 1)
	}
	b.ReportMetric(20*float64(started)/float64(asked), "times")
	b.ReportMetric(float64(asked.Microseconds())/20/float64(b.N), "request-µs/op")
}
