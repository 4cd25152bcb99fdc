package cloudprober

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
)

// recorded is a request that cloudprober wrote.
const recorded = "\nContent-Length: 27\n\n" +
	"\x08\x01\x10\xe8\x07\x1a\x0c\x0a\x06target\x12\x02t1\x1a\x06\x0a\x01k\x12\x01v"

var recordedRequest = Request{1, time.Second, []Option{{"target", "t1"}, {"k", "v"}}}

func TestRequestToTheByte(t *testing.T) {
	var b bytes.Buffer
	if err := WriteRequest(&b, recordedRequest); err != nil || b.String() != recorded {
		t.Errorf("got %q, %v; want %q", b.String(), err, recorded)
	}
	for name, text := range map[string]string{
		"as recorded":              recorded,
		"without the leading line": recorded[1:],
		"CRLF":                     strings.Replace(recorded, "27\n\n", "27\r\n\r\n", 1),
		"behind other lines":       "hello\n\n" + strings.Repeat("x", 4096) + "Content-Length: 3\ncontent-length: 3" + recorded,
	} {
		r := bufio.NewReader(iotest.OneByteReader(strings.NewReader(text + text)))
		for range 2 {
			got, err := ReadRequest(r)
			if diff := cmp.Diff(recordedRequest, got); diff != "" || err != nil {
				t.Errorf("%s: %v (-want +got)\n%s", name, err, diff)
			}
		}
		if _, err := ReadRequest(r); err != io.EOF {
			t.Errorf("%s: at the end: %v, want io.EOF", name, err)
		}
	}
}

func TestReplyToTheByte(t *testing.T) {
	for _, tt := range []struct {
		reply Reply
		want  string
	}{
		{Reply{ID: 1}, "\nContent-Length: 2\n\n\x08\x01"},
		{Reply{1, "no", "a 1\n"}, "\nContent-Length: 12\n\n\x08\x01\x12\x02no\x1a\x04a 1\n"},
		{Reply{ID: -1}, "\nContent-Length: 11\n\n\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"},
	} {
		var b bytes.Buffer
		if err := WriteReply(&b, tt.reply); err != nil || b.String() != tt.want {
			t.Errorf("got %q, %v; want %q", b.String(), err, tt.want)
		}
		got, err := ReadReply(bufio.NewReader(&b))
		if got != tt.reply || err != nil {
			t.Errorf("got %v, %v; want %v", got, err, tt.reply)
		}
	}
}

func TestTextIsWrittenAsUTF8(t *testing.T) {
	var b bytes.Buffer
	WriteReply(&b, Reply{1, "a\xff", "ü"})
	if got, want := b.String(), "\nContent-Length: 12\n\n\x08\x01\x12\x04a\uFFFD\x1a\x02ü"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTimeLimitIsInWholeMilliseconds(t *testing.T) {
	for limit, want := range map[time.Duration]time.Duration{
		0: 0, 1: time.Millisecond, time.Millisecond: time.Millisecond, time.Second + 1: time.Second + time.Millisecond,
		math.MaxInt64 - time.Second: math.MaxInt32 * time.Millisecond,
	} {
		var b bytes.Buffer
		WriteRequest(&b, Request{ID: 1, TimeLimit: limit})
		if got, err := ReadRequest(bufio.NewReader(&b)); got.TimeLimit != want || err != nil {
			t.Errorf("%v: got %v, %v; want %v", limit, got.TimeLimit, err, want)
		}
	}
}

func TestEveryBeginningOfAFrameIsUnexpectedlyShort(t *testing.T) {
	for n := 1; n < len(recorded); n++ {
		_, err := ReadRequest(bufio.NewReader(strings.NewReader(recorded[:n])))
		want := io.ErrUnexpectedEOF
		if n == 1 {
			want = io.EOF // an empty line is of no frame yet
		}
		if err != want {
			t.Errorf("of %q: %v, want %v", recorded[:n], err, want)
		}
	}
}

func TestUnknownFieldsAreSkipped(t *testing.T) {
	message := protowire.AppendFixed64(protowire.AppendTag(nil, 9, protowire.Fixed64Type), 7)
	message = append(message, Reply{7, "x", "y"}.message()...)
	message = protowire.AppendBytes(protowire.AppendTag(message, 100, protowire.BytesType), []byte("abc"))
	message = protowire.AppendGroup(protowire.AppendTag(message, 5, protowire.StartGroupType), 5, []byte{0x08, 0x01})
	message = appendInt32(message, 1, 8) // the last one counts
	got, err := ReadReply(bufio.NewReader(bytes.NewReader(frame(message))))
	if want := (Reply{8, "x", "y"}); got != want || err != nil {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}

func TestGarbage(t *testing.T) {
	request := func(message string) string { return string(frame([]byte(message))) }
	for _, tt := range []struct{ name, text, want string }{
		{"no number", "Content-Length: x\n\n", `not a frame of cloudprober: its length is "x", not a number up to 16777216`},
		{"less than nothing", "Content-Length: -1\n\n", `not a frame of cloudprober: its length is "-1", not a number up to 16777216`},
		{"too much", "Content-Length: 16777217\n\n", `not a frame of cloudprober: its length is "16777217", not a number up to 16777216`},
		{"a length without end", "Content-Length: " + strings.Repeat("1", 1<<20), `not a frame of cloudprober: its length is "` + strings.Repeat("1", 80) + `…", not a number up to 16777216`},
		{"no empty line", "Content-Length: 2\n\x08\x01\n", "not a frame of cloudprober: behind its length there is no empty line"},
		{"no end of the empty line", "Content-Length: 2\n" + strings.Repeat(" ", 1<<20), "not a frame of cloudprober: behind its length there is no empty line"},
		{"no frame at all, in lines", strings.Repeat("hello\n", 1<<17), "not a frame of cloudprober: there is none in 65538 bytes"},
		{"no frame at all, in one", strings.Repeat("x", 1<<20), "not a frame of cloudprober: there is none in 69632 bytes"},
		{"no id", request("\x10\x01"), "not a frame of cloudprober: field 1, which is required, is missing"},
		{"no limit", request("\x08\x01"), "not a frame of cloudprober: field 2, which is required, is missing"},
		{"an option without a value", request("\x08\x01\x10\x01\x1a\x03\x0a\x01k"), "not a frame of cloudprober: field 2, which is required, is missing"},
		{"an option that is cut", request("\x08\x01\x10\x01\x1a\x03\x0a\x05k"), "not a frame of cloudprober: field 1: unexpected EOF"},
		{"a field that is cut", request("\x08\x01\x10\xff"), "not a frame of cloudprober: field 2: unexpected EOF"},
		{"a number as text", request("\x0a\x01\x01\x10\x01"), "not a frame of cloudprober: field 1 is of another kind"},
		{"an option as a number", request("\x08\x01\x10\x01\x18\x01"), "not a frame of cloudprober: field 3 is of another kind"},
		{"field 0", request("\x00\x01"), "not a frame of cloudprober: proto: invalid field number"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ReadRequest(bufio.NewReader(strings.NewReader(tt.text)))
			if !errors.Is(err, ErrFrame) || strings.ReplaceAll(err.Error(), "\u00a0", " ") != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

// TestRequestIsNoReply has a program send back what it was sent.
func TestRequestIsNoReply(t *testing.T) {
	for _, req := range []Request{{ID: 1}, {ID: 1, TimeLimit: time.Second, Options: []Option{{"a", "b"}}}} {
		if got, err := ReadReply(bufio.NewReader(bytes.NewReader(frame(req.message())))); !errors.Is(err, ErrFrame) {
			t.Errorf("%v, %v", got, err)
		}
	}
}

func TestIsSkipped(t *testing.T) {
	for text, want := range map[string]bool{"": false, "skipped": true, "skipped: on Sundays": true, "skipped 3 rows": false, "it was skipped": false} {
		if got := (Reply{Error: text}).IsSkipped(); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestTooLargeMessageIsNotWritten(t *testing.T) {
	large := strings.Repeat("x", MaxFrame)
	var b bytes.Buffer
	if err := WriteReply(&b, Reply{ID: 1, Payload: large}); err == nil || b.Len() > 0 {
		t.Errorf("a reply: %v, and %d bytes written", err, b.Len())
	}
	if err := WriteRequest(&b, Request{Options: []Option{{"x", large}}}); err == nil || b.Len() > 0 {
		t.Errorf("a request: %v, and %d bytes written", err, b.Len())
	}
	rep := Reply{ID: 1, Payload: large[:MaxFrame-7]}
	if err := WriteReply(&b, rep); err != nil || b.Len() < MaxFrame {
		t.Fatalf("the largest reply: %v, %d bytes", err, b.Len())
	}
	if got, err := ReadReply(bufio.NewReader(&b)); got != rep || err != nil {
		t.Errorf("the largest reply is not read as it was written: %v", err)
	}
}

func FuzzReadRequest(f *testing.F) {
	f.Add([]byte(recorded))
	f.Add([]byte("x\nContent-Length: 3\n\n\x08\x01\x10"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := ReadRequest(bufio.NewReader(bytes.NewReader(data)))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := WriteRequest(&b, got); err != nil {
			t.Fatal(err)
		}
		for i, o := range got.Options {
			got.Options[i] = Option{strings.ToValidUTF8(o.Name, "\uFFFD"), strings.ToValidUTF8(o.Value, "\uFFFD")}
		}
		again, err := ReadRequest(bufio.NewReader(&b))
		if diff := cmp.Diff(got, again); diff != "" || err != nil {
			t.Errorf("it reads otherwise: %v (-was +is)\n%s", err, diff)
		}
	})
}

func FuzzReadReply(f *testing.F) {
	for _, rep := range []Reply{{ID: 1}, {2, "no", "a 1\n"}} {
		f.Add(frame(rep.message()))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := ReadReply(bufio.NewReader(bytes.NewReader(data)))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := WriteReply(&b, got); err != nil {
			t.Fatal(err)
		}
		got.Error, got.Payload = strings.ToValidUTF8(got.Error, "\uFFFD"), strings.ToValidUTF8(got.Payload, "\uFFFD")
		if again, err := ReadReply(bufio.NewReader(&b)); got != again || err != nil {
			t.Errorf("%q reads otherwise: %q, %v", got, again, err)
		}
	})
}
