package cloudprober

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// MaxFrame is how many bytes a message may have.
const MaxFrame = 16 << 20

// maxStray is how many bytes may stand before a frame that are of none: what a program
// prints that knows nothing of frames.
const maxStray = 64 << 10

const header = "Content-Length: "

// Request asks the server of a probe for a run.
type Request struct {
	ID int32

	// TimeLimit is for how long an answer is waited for. It is written in milliseconds,
	// a fraction of one as a whole one.
	TimeLimit time.Duration

	Options []Option
}

// Option is a word of a request for the server: the target, for example.
type Option struct{ Name, Value string }

// Reply is the answer to the request of the same ID.
type Reply struct {
	ID      int32
	Error   string // why the probe failed; "" is a success
	Payload string // metrics, one a line
}

// Skipped is how the error of a Reply begins, and ": " comes behind it, when the server does
// not look here, which is neither a success nor a failure: that is our own custom.
const Skipped = "skipped"

// IsSkipped reports whether the server does not look here.
func (rep Reply) IsSkipped() bool {
	return rep.Error == Skipped || strings.HasPrefix(rep.Error, Skipped+": ")
}

// ErrFrame is wrapped by the error for what is no frame, or not of the message that is
// expected.
var ErrFrame = errors.New("not a frame of cloudprober")

// ReadRequest reads a frame with a request: `\nContent-Length: N\n\n` and N bytes. Lines
// before it that are of no frame are skipped, up to 64 KiB of them. The error is io.EOF
// at the end of r, io.ErrUnexpectedEOF when it is within a frame, one that wraps
// ErrFrame, or that of r.
func ReadRequest(r *bufio.Reader) (Request, error) {
	var req Request
	var limit int32
	err := readMessage(r, fields{
		{number: 1, varint: &req.ID, required: true},
		{number: 2, varint: &limit, required: true},
		{number: 3, message: func(message []byte) error {
			var o Option
			err := parse(message, fields{{number: 1, text: &o.Name, required: true}, {number: 2, text: &o.Value, required: true}})
			req.Options = append(req.Options, o)
			return err
		}},
	})
	if err != nil {
		return Request{}, err
	}
	req.TimeLimit = time.Duration(max(limit, 0)) * time.Millisecond // less than none is none
	return req, nil
}

// ReadReply reads a frame with a reply, as ReadRequest does.
func ReadReply(r *bufio.Reader) (Reply, error) {
	var rep Reply
	err := readMessage(r, fields{
		{number: 1, varint: &rep.ID, required: true},
		{number: 2, text: &rep.Error},
		{number: 3, text: &rep.Payload},
	})
	if err != nil {
		return Reply{}, err
	}
	return rep, nil
}

// WriteRequest writes a frame with a request, by one Write. One of more than MaxFrame is
// refused.
func WriteRequest(w io.Writer, req Request) error { return write(w, req.message()) }

func (req Request) message() []byte {
	limit := min((req.TimeLimit+time.Millisecond-1)/time.Millisecond, math.MaxInt32)
	b := appendInt32(nil, 1, req.ID)
	b = appendInt32(b, 2, int32(limit))
	for _, o := range req.Options {
		b = protowire.AppendTag(b, 3, protowire.BytesType)
		b = protowire.AppendBytes(b, appendText(appendText(nil, 1, o.Name), 2, o.Value))
	}
	return b
}

// WriteReply writes a frame with a reply, by one Write. One of more than MaxFrame is
// refused.
func WriteReply(w io.Writer, rep Reply) error { return write(w, rep.message()) }

func (rep Reply) message() []byte {
	b := appendInt32(nil, 1, rep.ID)
	if rep.Error != "" {
		b = appendText(b, 2, rep.Error)
	}
	if rep.Payload != "" {
		b = appendText(b, 3, rep.Payload)
	}
	return b
}

// appendText appends a string, of which protobuf wants UTF-8.
func appendText(b []byte, number protowire.Number, text string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, number, protowire.BytesType), strings.ToValidUTF8(text, "\uFFFD"))
}

func appendInt32(b []byte, number protowire.Number, n int32) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), uint64(int64(n)))
}

func write(w io.Writer, message []byte) error {
	if len(message) > MaxFrame {
		return fmt.Errorf("a message of %d bytes is too large: at most %d", len(message), MaxFrame)
	}
	_, err := w.Write(frame(message))
	return err
}

func frame(message []byte) []byte {
	b := make([]byte, 0, len(header)+len(message)+16)
	b = append(append(b, '\n'), header...)
	b = append(strconv.AppendInt(b, int64(len(message)), 10), "\n\n"...)
	return append(b, message...)
}

// fields are those of a message that are known. What is not known is skipped.
type fields []field

type field struct {
	number   protowire.Number
	required bool
	seen     bool
	varint   *int32             // one of these three says
	text     *string            // of which kind it is,
	message  func([]byte) error // and where it goes
}

func readMessage(r *bufio.Reader, known fields) error {
	message, err := readFrame(r)
	if err != nil {
		return err
	}
	return parse(message, known)
}

// parse takes a message apart. Of a field that is there twice the last one counts. A field
// that is known and of another kind is of no such message: a request is no reply.
func parse(message []byte, known fields) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return fmt.Errorf("%w: %w", ErrFrame, protowire.ParseError(n))
		}
		message = message[n:]
		var f field
		at := slices.IndexFunc(known, func(f field) bool { return f.number == number })
		if at >= 0 {
			f = known[at]
		}
		switch {
		case f.varint != nil && kind == protowire.VarintType:
			var value uint64
			if value, n = protowire.ConsumeVarint(message); n >= 0 {
				*f.varint, known[at].seen = int32(value), true
			}
		case (f.text != nil || f.message != nil) && kind == protowire.BytesType:
			var value []byte
			if value, n = protowire.ConsumeBytes(message); n < 0 {
				break
			}
			known[at].seen = true
			if f.text != nil {
				*f.text = string(value)
			} else if err := f.message(value); err != nil {
				return err
			}
		case at >= 0:
			return fmt.Errorf("%w: field %d is of another kind", ErrFrame, number)
		default:
			n = protowire.ConsumeFieldValue(number, kind, message)
		}
		if n < 0 {
			return fmt.Errorf("%w: field %d: %w", ErrFrame, number, protowire.ParseError(n))
		}
		message = message[n:]
	}
	for _, f := range known {
		if f.required && !f.seen {
			return fmt.Errorf("%w: field %d, which is required, is missing", ErrFrame, f.number)
		}
	}
	return nil
}

// readFrame returns the message in the next frame.
func readFrame(r *bufio.Reader) ([]byte, error) {
	for stray := 0; ; {
		line, err := r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, within(err, len(line) > 0)
		}
		if length, is := bytes.CutPrefix(line, []byte(header)); is {
			return readBody(r, string(bytes.TrimSpace(length)))
		}
		stray += len(line)
		for errors.Is(err, bufio.ErrBufferFull) && stray <= maxStray { // the rest of that line
			line, err = r.ReadSlice('\n')
			stray += len(line)
		}
		if stray > maxStray {
			return nil, fmt.Errorf("%w: there is none in %d bytes", ErrFrame, stray)
		}
	}
}

func readBody(r *bufio.Reader, length string) ([]byte, error) {
	n, err := strconv.ParseUint(length, 10, 32)
	if err != nil || n > MaxFrame {
		return nil, fmt.Errorf("%w: its length is %s, not a number up to %d", ErrFrame, shown(length), MaxFrame)
	}
	line, err := r.ReadSlice('\n')
	if err == nil && len(bytes.TrimSpace(line)) > 0 || errors.Is(err, bufio.ErrBufferFull) {
		return nil, fmt.Errorf("%w: behind its length there is no empty line", ErrFrame)
	}
	if err != nil {
		return nil, within(err, true)
	}
	if n <= maxStray { // not too much memory for what may not come
		message := make([]byte, n)
		_, err := io.ReadFull(r, message)
		return message, within(err, true)
	}
	message, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err == nil && len(message) < int(n) {
		err = io.ErrUnexpectedEOF
	}
	return message, err
}

// within returns the error for an end of what is read within a frame, if it is there.
func within(err error, frame bool) error {
	if frame && errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
