package supervisor

import (
	"bytes"
	"errors"
	"os"
	"testing"
)

// FuzzAnswer decodes any bytes into all that answers are decoded into. Each
// time there is a value or an error of one of the two documented kinds.
func FuzzAnswer(f *testing.F) {
	for _, flavour := range []Flavour{Python, Go} {
		recording, err := os.ReadFile("testdata/wire/" + string(flavour) + "-rpc.txt")
		if err != nil {
			f.Fatal(err)
		}
		for _, answer := range bytes.Split(recording, []byte("\n=== ")) {
			if _, body, found := bytes.Cut(answer, []byte("\n\n")); found {
				f.Add(body)
			}
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		c := &Client{address: "unix:///s"}
		for _, result := range []any{new([]info), new(info), new(string), new(int), new([]string), nil} {
			err := c.decode(body, "method", result)
			var fault *Fault
			var unreachable *UnreachableError
			if err != nil && !errors.As(err, &fault) && !errors.As(err, &unreachable) {
				t.Errorf("decode into %T: %v", result, err)
			}
		}
	})
}
