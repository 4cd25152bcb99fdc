package foreign_test

import (
	"encoding/xml"
	"testing"

	"github.com/supervisor-checks/supervisor-checks/internal/foreign"
)

func TestLine(t *testing.T) {
	tests := []struct {
		in   string
		most int
		want string
	}{
		{`say "hello" \o/`, 0, `say "hello" \o/`},
		{"two\nlines\x1b[2J", 0, `two\nlines\x1b[2J`},
		{"größer", 0, "größer"},
		{"größer", 3, "gr…"}, // not half of a letter
		{"größer", 4, "grö…"},
		{"\xff\xff", 1, `\xff…`},
		{"enough", 6, "enough"},
		{"", 3, ""},
	}
	for _, tt := range tests {
		if got := foreign.Line(tt.in, tt.most); got != tt.want {
			t.Errorf("Line(%q, %d) is %q, want %q", tt.in, tt.most, got, tt.want)
		}
	}
}

func TestXML(t *testing.T) {
	in := "<a>\t\r\n\x00\x1b\ufffe\xff ü</a>"
	if got, want := string(foreign.XML([]byte(in))), "<a>\t\r\n\ufffd\ufffd\ufffd\ufffd ü</a>"; got != want {
		t.Errorf("XML(%q) is %q, want %q", in, got, want)
	}
	var a string
	if err := xml.Unmarshal(foreign.XML([]byte(in)), &a); err != nil {
		t.Error(err)
	}
}
