package listener

import (
	"bytes"
	"strings"
	"testing"
)

func FuzzHeader(f *testing.F) {
	for _, flavour := range []string{"python", "go"} {
		wire, _ := recording(f, flavour)
		for line := range strings.Lines(wire) {
			f.Add(strings.TrimSuffix(line, "\n"))
		}
	}
	f.Fuzz(func(t *testing.T, line string) {
		e, length, err := parseHeader(line)
		if err == nil && (e.Name == "" || length < 0) {
			t.Errorf("parsed to %+v with length %d", e, length)
		}
	})
}

// FuzzStream has a Listener read any bytes. Whatever they are, it says nothing
// that would put it out of service. Run it with -fuzzminimizetime=100x: which
// goroutine comes first changes the coverage, and minimising would not end.
func FuzzStream(f *testing.F) {
	for _, flavour := range []string{"python", "go"} {
		wire, _ := recording(f, flavour)
		f.Add([]byte(wire))
	}
	f.Add([]byte(eventOfLength(1, "PROCESS_LOG_STDOUT", "größe 🙂", 7) + tick(2, 5)))
	f.Add([]byte(eventOfLength(1, "PROCESS_LOG_STDOUT", "größe 🙂", 13) + tick(2, 5)))
	f.Fuzz(func(t *testing.T, stream []byte) {
		var out bytes.Buffer
		answered := 0
		l := New(Config{
			In:      bytes.NewReader(stream),
			Out:     &out,
			Skipped: func(Event, string) { answered++ },
		})
		var err error
		for ; err == nil; answered++ {
			_, err = l.Next(t.Context())
		}
		if got := out.String(); got != answers(answered-1) && got != answers(answered-1)+"RESULT 2\nOK" {
			t.Errorf("said %q after %d events", got, answered-1)
		}
	})
}
