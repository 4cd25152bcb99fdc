package decimal

import "testing"

func TestParse(t *testing.T) {
	tests := []struct {
		in   string
		want int
		ok   bool
	}{
		{"30", 30, true},
		{"010", 10, true},
		{"08080", 8080, true},
		{" 5 ", 5, true},
		{"\t5\n", 5, true},
		{"+5", 5, true},
		{"-5", -5, true},
		{"1_000", 1000, true},
		{"８０８０", 8080, true},
		{"٣", 3, true},
		{"𝟙𝟚", 12, true}, // the second of five rows of digits without a gap between them
		{"", 0, false},
		{"+", 0, false},
		{"+-5", 0, false},
		{"_1", 0, false},
		{"1_", 0, false},
		{"1__0", 0, false},
		{"0x10", 0, false},
		{"1.5", 0, false},
		{"1 0", 0, false},
		{"99999999999999999999", 0, false},
	}
	for _, tt := range tests {
		got, err := Parse(tt.in)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("Parse(%q) = %d, %v; want %d, ok %v", tt.in, got, err, tt.want, tt.ok)
		}
	}
}
