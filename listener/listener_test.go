package listener

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// script is an input. A string is what supervisord writes at a time, a duration
// passes before the next of them, and an error is the end, as is the end of the
// script, with io.EOF.
type script []any

// reader reads a script until the end of the test.
type reader struct {
	script
	ctx context.Context
}

func (r *reader) Read(p []byte) (int, error) {
	for len(r.script) > 0 {
		switch step := r.script[0].(type) {
		case string:
			n := copy(p, step)
			r.script[0] = step[n:]
			if n == len(step) {
				r.script = r.script[1:]
			}
			return n, nil
		case time.Duration:
			r.script = r.script[1:]
			select {
			case <-time.After(step):
			case <-r.ctx.Done():
				return 0, r.ctx.Err()
			}
		case error:
			return 0, step
		}
	}
	return 0, io.EOF
}

// bytewise is a script in which each byte of s is written alone, 10 ms apart.
func bytewise(s string) (steps script) {
	for i := range len(s) {
		steps = append(steps, s[i:i+1], 10*time.Millisecond)
	}
	return steps
}

// epoch is a clock by which no tick is old.
func epoch() time.Time { return time.Unix(0, 0) }

// listen returns a Listener to the script and what it says.
func listen(t *testing.T, cfg Config, steps ...any) (*Listener, *bytes.Buffer) {
	said := new(bytes.Buffer)
	cfg.In, cfg.Out = &reader{steps, t.Context()}, said
	return New(cfg), said
}

// talk has a Listener listen to the script, in fake time, until Next returns an
// error. It returns the events, what the Listener said, and that error.
func talk(t *testing.T, cfg Config, steps ...any) (events []Event, said string, end error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l, out := listen(t, cfg, steps...)
		events, end = untilEnd(t, l)
		said = out.String()
	})
	return events, said, end
}

// untilEnd returns the events until Next returns an error, and that error.
func untilEnd(t *testing.T, l *Listener) (events []Event, end error) {
	for {
		e, err := l.Next(t.Context())
		if err != nil {
			return events, err
		}
		events = append(events, e)
	}
}

// event is an event as supervisord writes it, with the length of its payload in bytes.
func event(serial int, name, payload string) string {
	return eventOfLength(serial, name, payload, len(payload))
}

func eventOfLength(serial int, name, payload string, length int) string {
	return fmt.Sprintf("ver:3.0 server:supervisor serial:%d pool:checks poolserial:%d eventname:%s len:%d\n%s",
		serial, serial, name, length, payload)
}

// tick is the tick of a period that begins when the fake time does.
func tick(serial, period int) string {
	return event(serial, fmt.Sprintf("TICK_%d", period), "when:946684800")
}

// answers is what a Listener says in a conversation of n events.
func answers(n int) string {
	return "READY\n" + strings.Repeat("RESULT 2\nOKREADY\n", n)
}

// brief is what tells events apart.
func brief(events []Event) (lines []string) {
	for _, e := range events {
		lines = append(lines, fmt.Sprintf("%s %s %q", e.Serial, e.Name, e.Payload))
	}
	return lines
}

func TestNext(t *testing.T) {
	tests := []struct {
		name  string
		input []any
		want  []string
	}{
		{"nothing", nil, nil},
		{
			"two events in one write",
			[]any{event(1, "TICK_5", "when:5") + event(2, "TICK_5", "when:10")},
			[]string{`1 TICK_5 "when:5"`, `2 TICK_5 "when:10"`},
		},
		{
			"one event in ten writes",
			slices.Collect(func(yield func(any) bool) {
				for part := range slices.Chunk([]byte(event(1, "TICK_3600", "when:1795176000")), 11) {
					yield(string(part))
					yield(time.Second)
				}
			}),
			[]string{`1 TICK_3600 "when:1795176000"`},
		},
		{
			"an event of an unknown name",
			[]any{event(1, "PROCESS_STATE_REFORMED", "processname:a")},
			[]string{`1 PROCESS_STATE_REFORMED "processname:a"`},
		},
		{
			"an event without a payload",
			[]any{event(1, "SUPERVISOR_STATE_CHANGE_STOPPING", "") + event(2, "TICK_5", "when:5")},
			[]string{`1 SUPERVISOR_STATE_CHANGE_STOPPING ""`, `2 TICK_5 "when:5"`},
		},
		{
			"a payload that looks like a header",
			[]any{event(1, "REMOTE_COMMUNICATION", "ver:3.0 len:7\n") + event(2, "TICK_5", "when:5")},
			[]string{`1 REMOTE_COMMUNICATION "ver:3.0 len:7\n"`, `2 TICK_5 "when:5"`},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			events, said, err := talk(t, Config{Now: epoch}, tt.input...)
			if diff := cmp.Diff(tt.want, brief(events)); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			if want := answers(len(tt.want)); said != want {
				t.Errorf("said %q, want %q", said, want)
			}
			if err != io.EOF {
				t.Errorf("ended with %v, want io.EOF", err)
			}
		})
	}
}

func TestAnswersOnTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, out := listen(t, Config{}, tick(1, 5)+tick(2, 5))
		for _, want := range []string{
			"READY\nRESULT 2\nOKREADY\n",
			"READY\nRESULT 2\nOKREADY\nRESULT 2\nOKREADY\n",
		} {
			if _, err := l.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := out.String(); got != want {
				t.Errorf("said %q, want %q", got, want)
			}
		}
	})
}

// TestLength sends payloads whose `len` counts characters or bytes, in all the
// ways in which the bytes after the first `len` may come: the tail, in the first
// case.
func TestLength(t *testing.T) {
	const text = "größe 100 € 🙂"
	const length = 13 // characters, of 20 bytes
	units := []struct {
		name   string
		length int
	}{
		{"characters", length},
		{"bytes", len(text)},
	}
	ways := []struct {
		name  string
		steps func(header string) script
	}{
		{"the tail in the same write", func(header string) script {
			return script{header + text, time.Second}
		}},
		{"the tail in a later write", func(header string) script {
			return script{header + text[:length], 10 * time.Millisecond, text[length:], time.Second}
		}},
		{"the tail in several writes", func(header string) script {
			return script{header + text[:length], 10 * time.Millisecond, text[length : length+1],
				10 * time.Millisecond, text[length+1:], time.Second}
		}},
		{"byte by byte", func(header string) script {
			return append(bytewise(header+text), time.Second)
		}},
		{"followed at once by the next header", func(header string) script {
			return script{header + text}
		}},
		{"followed at once by the first letter of the next header", func(header string) script {
			return script{header[:1], 10 * time.Millisecond, header[1:] + text}
		}},
	}
	for _, unit := range units {
		for _, way := range ways {
			t.Run(unit.name+", "+way.name, func(t *testing.T) {
				var steps script
				for serial := range 3 { // the first decides the unit, the others are of a known one
					steps = append(steps, way.steps(eventOfLength(serial, "PROCESS_LOG_STDOUT", "", unit.length))...)
				}
				steps = append(steps, event(3, "TICK_5", "when:5"))
				events, said, err := talk(t, Config{Now: epoch}, steps...)
				want := []string{
					`0 PROCESS_LOG_STDOUT "` + text + `"`,
					`1 PROCESS_LOG_STDOUT "` + text + `"`,
					`2 PROCESS_LOG_STDOUT "` + text + `"`,
					`3 TICK_5 "when:5"`,
				}
				if diff := cmp.Diff(want, brief(events)); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
				if said != answers(4) || err != io.EOF {
					t.Errorf("said %q and ended with %v, want %q and io.EOF", said, err, answers(4))
				}
			})
		}
	}
}

func TestLateTail(t *testing.T) {
	const text = "zwölf €\nzwei" // 12 characters, of 15 bytes
	header := func(serial int) string { return eventOfLength(serial, "PROCESS_LOG_STDOUT", "", 12) }
	tests := []struct {
		name  string
		input []any
		want  []string
	}{
		{
			"a tail a second late is passed over",
			[]any{header(1) + text[:12], time.Second, text[12:], time.Second, event(2, "TICK_5", "when:5")},
			[]string{`1 PROCESS_LOG_STDOUT "zwölf €\nz"`, `2 TICK_5 "when:5"`},
		},
		{
			"a late tail with a line break is passed over, too",
			[]any{eventOfLength(1, "PROCESS_LOG_STDOUT", "ääää", 8), time.Second, "bc\nd", time.Second, event(2, "TICK_5", "when:5")},
			[]string{`1 PROCESS_LOG_STDOUT "ääää"`, `2 TICK_5 "when:5"`},
		},
		{
			"a late tail in one write with the next header",
			[]any{header(1) + text[:12], time.Second, text[12:] + event(2, "TICK_5", "when:5")},
			[]string{`1 PROCESS_LOG_STDOUT "zwölf €\nz"`, `2 TICK_5 "when:5"`},
		},
		{
			"a tail that never comes",
			[]any{header(1) + text[:12], time.Second, event(2, "TICK_5", "when:5")},
			[]string{`1 PROCESS_LOG_STDOUT "zwölf €\nz"`, `2 TICK_5 "when:5"`},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			events, said, err := talk(t, Config{Now: epoch}, tt.input...)
			if diff := cmp.Diff(tt.want, brief(events)); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			if said != answers(2) || err != io.EOF {
				t.Errorf("said %q and ended with %v, want %q and io.EOF", said, err, answers(2))
			}
		})
	}
}

func TestHeader(t *testing.T) {
	tests := []struct {
		name string
		line string
		want Event
	}{
		{
			"as Python's supervisord writes it",
			"ver:3.0 server:supervisor serial:21 pool:listener poolserial:10 eventname:PROCESS_STATE_RUNNING len:3",
			Event{Name: "PROCESS_STATE_RUNNING", Server: "supervisor", Serial: "21", Pool: "listener", PoolSerial: "10"},
		},
		{
			"a colon in the identifier",
			"ver:3.0 server:host:9001 serial:1 pool:p poolserial:2 eventname:TICK_5 len:3",
			Event{Name: "TICK_5", Server: "host:9001", Serial: "1", Pool: "p", PoolSerial: "2"},
		},
		{
			"spaces in the identifier",
			"ver:3.0 server:the  box of: mine serial:1 pool:p poolserial:2 eventname:TICK_5 len:3",
			Event{Name: "TICK_5", Server: "the  box of: mine", Serial: "1", Pool: "p", PoolSerial: "2"},
		},
		{
			"no identifier",
			"ver:3.0 server: serial:1 pool:p poolserial:2 eventname:TICK_5 len:3",
			Event{Name: "TICK_5", Serial: "1", Pool: "p", PoolSerial: "2"},
		},
		{
			"keys in another order, some missing, one unknown",
			"ver:4.0 len:3 eventname:TICK_5 colour:red",
			Event{Name: "TICK_5 colour:red"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, length, err := parseHeader(tt.line)
			if err != nil || length != 3 {
				t.Errorf("length %d, error %v, want 3 and none", length, err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("event (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHeaderErrors(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	tests := []struct{ name, input, want string }{
		{"an empty line", "\n", `it does not begin with "ver:": ""`},
		{"garbage", "\x00\xff what?\n", `it does not begin with "ver:": "\x00\xff what?"`},
		{"no name", "ver:3.0 server:s len:3\n", `it has no eventname: "ver:3.0 server:s len:3"`},
		{"an empty name", "ver:3.0 eventname: len:3\n", `it has no eventname: "ver:3.0 eventname: len:3"`},
		{"no length", "ver:3.0 eventname:TICK_5\n", `it has no len: "ver:3.0 eventname:TICK_5"`},
		{"a length in words", "ver:3.0 eventname:TICK_5 len:three\n",
			`its len is not a number: "ver:3.0 eventname:TICK_5 len:three"`},
		{"a negative length", "ver:3.0 eventname:TICK_5 len:-1\n",
			`its len is not a number: "ver:3.0 eventname:TICK_5 len:-1"`},
		{"a length beyond all numbers", "ver:3.0 eventname:TICK_5 len:99999999999999999999\n",
			`its len is not a number: "ver:3.0 eventname:TICK_5 len:99999999999999999999"`},
		{"a header of a megabyte", long, `it is longer than 65536 bytes: "` + long[:120] + `…"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			events, said, err := talk(t, Config{}, tt.input, time.Second, tick(1, 5))
			if !errors.Is(err, ErrHeader) {
				t.Fatalf("ended with %v, want ErrHeader", err)
			}
			if want := "not an event header of supervisord: " + tt.want; err.Error() != want {
				t.Errorf("error\n%s, want\n%s", err, want)
			}
			if len(events) != 0 || said != answers(0) {
				t.Errorf("%d events and said %q, want none and %q", len(events), said, answers(0))
			}
		})
	}
}

func TestEndOfInput(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		name    string
		input   []any
		answers int
		want    error
		text    string
	}{
		{"while idle", []any{tick(1, 5)}, 1, io.EOF, "EOF"},
		{"in the middle of a header", []any{tick(1, 5), "ver:3.0 server:sup"}, 1, io.EOF, "EOF"},
		{"in the middle of a payload", []any{eventOfLength(1, "TICK_5", "when:", 15)}, 0, io.EOF, "EOF"},
		{"with an error", []any{tick(1, 5), broken}, 1, broken, "read supervisord's events: broken"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, said, err := talk(t, Config{}, tt.input...)
			if !errors.Is(err, tt.want) || err.Error() != tt.text {
				t.Errorf("ended with %q, want %q", err, tt.text)
			}
			if want := answers(tt.answers); said != want {
				t.Errorf("said %q, want %q", said, want)
			}
		})
	}
}

func TestEndOfInputInATail(t *testing.T) {
	events, said, err := talk(t, Config{}, eventOfLength(1, "PROCESS_LOG_STDOUT", "äö", 4))
	if err != io.EOF || len(events) != 0 {
		t.Errorf("%d events, ended with %v, want none and io.EOF", len(events), err)
	}
	if want := "READY\nRESULT 2\nOK"; said != want {
		t.Errorf("said %q, want %q", said, want)
	}
}

// mute takes a number of writes and refuses the others.
type mute int

func (m *mute) Write(p []byte) (int, error) {
	if *m--; *m < 0 {
		return 0, syscall.EPIPE
	}
	return len(p), nil
}

func TestClosedOutput(t *testing.T) {
	tests := []struct {
		name   string
		writes mute
		input  string
	}{
		{"before READY", 0, ""},
		{"before an answer", 1, tick(1, 5)},
		{"before the answer to a payload with a tail", 1, eventOfLength(1, "PROCESS_LOG_STDOUT", "äö", 2)},
		{"before READY after a tail", 2, eventOfLength(1, "PROCESS_LOG_STDOUT", "äö", 2)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in := &reader{script{tt.input, time.Second}, t.Context()}
				_, err := New(Config{In: in, Out: &tt.writes}).Next(t.Context())
				if want := "answer supervisord: broken pipe"; !errors.Is(err, syscall.EPIPE) || err.Error() != want {
					t.Errorf("ended with %v, want %s", err, want)
				}
			})
		})
	}
}

func TestSkipped(t *testing.T) {
	tests := []struct {
		name    string
		input   []any
		want    []string
		skipped []string
	}{
		{
			"an event sent again",
			[]any{tick(7, 60), tick(8, 60), tick(7, 60)},
			[]string{"7", "8"},
			[]string{"7 sent before"},
		},
		{
			"events without a serial are not compared",
			[]any{strings.Repeat("ver:3.0 eventname:TICK_60 len:14\nwhen:946684800", 2)},
			[]string{"", ""},
			nil,
		},
		{
			"a tick that waited for no longer than its period",
			[]any{time.Minute, tick(1, 60)},
			[]string{"1"},
			nil,
		},
		{
			"a tick that waited for longer than its period",
			[]any{time.Minute + time.Second, tick(1, 60), tick(2, 3600)},
			[]string{"2"},
			[]string{"1 older than its period"},
		},
		{
			"another event is never stale",
			[]any{time.Hour, event(1, "PROCESS_STATE_EXITED", "when:946684800")},
			[]string{"1"},
			nil,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var skipped, serials []string
			events, said, err := talk(t, Config{Skipped: func(e Event, reason string) {
				skipped = append(skipped, e.Serial+" "+reason)
			}}, tt.input...)
			for _, e := range events {
				serials = append(serials, e.Serial)
			}
			if diff := cmp.Diff(tt.want, serials); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.skipped, skipped); diff != "" {
				t.Errorf("skipped (-want +got):\n%s", diff)
			}
			if want := answers(len(tt.want) + len(tt.skipped)); said != want || err != io.EOF {
				t.Errorf("said %q and ended with %v, want %q and io.EOF", said, err, want)
			}
		})
	}
}

func TestSerialsAreForgottenAfterAThousand(t *testing.T) {
	var input strings.Builder
	for serial := range remembered + 1 {
		input.WriteString(tick(serial, 5))
	}
	input.WriteString(tick(1, 5) + tick(0, 5))
	events, said, _ := talk(t, Config{}, input.String())
	if got, want := len(events), remembered+2; got != want {
		t.Errorf("%d events, want %d: only serial 1 was sent again", got, want)
	}
	if want := answers(remembered + 3); said != want {
		t.Errorf("%d bytes of answers, want %d", len(said), len(want))
	}
}

func TestThisProgramDidNotRunForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := listen(t, Config{}, tick(1, 5), 4*time.Hour, event(2, "PROCESS_STATE_EXITED", ""))
		if _, err := l.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Hour)
		if e, err := l.Next(t.Context()); err != nil || e.Serial != "2" {
			t.Errorf("serial %q, error %v, want the event that was there", e.Serial, err)
		}
	})
}

func TestSilence(t *testing.T) {
	tests := []struct {
		name  string
		input []any
		want  time.Duration
		text  string
	}{
		{"before the first tick", nil, 3 * time.Hour, "none for 3h0m0s"},
		{"after a tick", []any{tick(1, 60)}, 3 * time.Minute, "none for 3m0s"},
		{
			"three periods of the longest tick, for a shorter one may be another listener's",
			[]any{tick(1, 60), tick(2, 5), 4 * time.Second, tick(3, 5)},
			184 * time.Second, "none for 3m0s",
		},
		{
			"other events are no ticks",
			[]any{tick(1, 5), 10 * time.Second, event(2, "PROCESS_STATE_EXITED", "")},
			15 * time.Second, "none for 15s",
		},
		{
			"a stale tick and one sent again are signs of life",
			[]any{tick(1, 5), 10 * time.Second, tick(1, 5), 10 * time.Second, tick(2, 5)},
			35 * time.Second, "none for 15s",
		},
		{
			"in the middle of a payload",
			[]any{tick(1, 5), 10 * time.Second, eventOfLength(2, "TICK_5", "when:", 15)},
			15 * time.Second, "none for 15s",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var took time.Duration
			synctest.Test(t, func(t *testing.T) {
				l, _ := listen(t, Config{}, append(tt.input, 24*time.Hour)...)
				begun := time.Now()
				_, err := untilEnd(t, l)
				took = time.Since(begun)
				if want := "supervisord has stopped sending ticks: " + tt.text; !errors.Is(err, ErrSilent) || err.Error() != want {
					t.Errorf("ended with %v, want %s", err, want)
				}
			})
			if took != tt.want {
				t.Errorf("ended after %v, want %v", took, tt.want)
			}
		})
	}
}

func TestCancel(t *testing.T) {
	tests := []struct {
		name  string
		input []any
	}{
		{"while idle", []any{time.Hour}},
		{"in the middle of a header", []any{"ver:", time.Hour}},
		{"in the middle of a payload", []any{eventOfLength(1, "TICK_5", "when:", 15), time.Hour}},
		{"before the tail of a payload", []any{
			59*time.Second + 950*time.Millisecond,
			eventOfLength(1, "PROCESS_LOG_STDOUT", "äö", 4), time.Hour,
		}},
		{"with an event on its way", []any{time.Minute + time.Second, tick(1, 5), tick(2, 5)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cause := errors.New("told to end")
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, cause)
				defer cancel()
				l, _ := listen(t, Config{}, tt.input...)
				if _, err := l.Next(ctx); err != cause {
					t.Errorf("ended with %v, want %v", err, cause)
				}
			})
		})
	}
}

func TestLongPayload(t *testing.T) {
	for _, letter := range []string{"a", "ä"} {
		payload := strings.Repeat(letter, 1<<20)
		events, said, err := talk(t, Config{Now: epoch}, eventOfLength(1, "PROCESS_LOG_STDOUT", payload, 1<<20), event(2, "TICK_5", "when:5"))
		if err != io.EOF || said != answers(2) || len(events) != 2 {
			t.Fatalf("%d events, said %q and ended with %v, want 2, %q and io.EOF", len(events), said, err, answers(2))
		}
		if got, want := string(events[0].Payload), payload[:64<<10]; got != want {
			t.Errorf("a payload of %d bytes, want the first %d", len(got), len(want))
		}
		if got, want := string(events[1].Payload), "when:5"; got != want {
			t.Errorf("then a payload %q, want %q", got, want)
		}
	}
}

func TestTick(t *testing.T) {
	tests := []struct {
		name, payload string
		period        time.Duration
		when          int64
		ok            bool
	}{
		{"TICK_5", "when:1795177045", 5 * time.Second, 1795177045, true},
		{"TICK_60", "when:1795177020\n", time.Minute, 1795177020, true},
		{"TICK_3600", "when:0", time.Hour, 0, true},
		{"TICK_1", "1795177045", time.Second, 1795177045, true},
		{"TICK", "when:1795177045", 0, 0, false},
		{"TICK_", "when:1795177045", 0, 0, false},
		{"TICK_0", "when:1795177045", 0, 0, false},
		{"TICK_-5", "when:1795177045", 0, 0, false},
		{"TICK_99999999999", "when:1795177045", 0, 0, false},
		{"TICK_5", "", 0, 0, false},
		{"TICK_5", "when:noon", 0, 0, false},
		{"PROCESS_STATE_EXITED", "when:1795177045", 0, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name+" "+tt.payload, func(t *testing.T) {
			period, when, ok := Event{Name: tt.name, Payload: []byte(tt.payload)}.Tick()
			if ok != tt.ok || period != tt.period {
				t.Errorf("got %v, %v, want %v, %v", period, ok, tt.period, tt.ok)
			}
			if ok && when.Unix() != tt.when {
				t.Errorf("got time %d, want %d", when.Unix(), tt.when)
			}
		})
	}
}

// recording returns what a supervisord wrote to a listener, and the events in
// it as a simple-minded reader understands them.
func recording(t testing.TB, flavour string) (wire string, events []Event) {
	t.Helper()
	data, err := os.ReadFile("../supervisor/testdata/wire/" + flavour + "-events.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, conversation, _ := strings.Cut(string(data), "\n") // the first line is the environment
	lines := strings.Split(strings.TrimSuffix(conversation, "\n"), "\n")
	for pair := range slices.Chunk(lines, 2) {
		var e Event
		var length int
		_, err := fmt.Sscanf(pair[0], "ver:3.0 server:%s serial:%s pool:%s poolserial:%s eventname:%s len:%d",
			&e.Server, &e.Serial, &e.Pool, &e.PoolSerial, &e.Name, &length)
		if err != nil || length != len(pair[1]) {
			t.Fatalf("%q with payload %q: %v", pair[0], pair[1], err)
		}
		e.Payload = []byte(pair[1])
		events = append(events, e)
		wire += pair[0] + "\n" + pair[1] // the recorder added a line break
	}
	return wire, events
}

func TestRecordings(t *testing.T) {
	for _, flavour := range []string{"python", "go"} {
		wire, want := recording(t, flavour)
		for name, in := range map[string]io.Reader{
			"whole":        strings.NewReader(wire),
			"byte by byte": iotest.OneByteReader(strings.NewReader(wire)),
		} {
			t.Run(flavour+", "+name, func(t *testing.T) {
				var out bytes.Buffer
				l := New(Config{In: in, Out: &out, Now: epoch})
				got, err := untilEnd(t, l)
				if err != io.EOF {
					t.Errorf("ended with %v, want io.EOF", err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
				if want := answers(len(want)); out.String() != want {
					t.Errorf("said %q, want %q", out.String(), want)
				}
			})
		}
	}
}
