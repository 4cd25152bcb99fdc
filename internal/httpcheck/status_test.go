package httpcheck

import "testing"

func TestParseStatuses(t *testing.T) {
	tests := []struct {
		list    string
		in, out []int
	}{
		{"", []int{200}, []int{199, 201, 404}},
		{"204", []int{204}, []int{200}},
		{"200-299,301", []int{200, 250, 299, 301}, []int{199, 300, 302}},
		{" 200 - 202 , 100 , 599 ", []int{100, 200, 202, 599}, []int{101, 203, 598}},
	}
	for _, tt := range tests {
		s, err := ParseStatuses(tt.list)
		if err != nil {
			t.Errorf("ParseStatuses(%q): %v", tt.list, err)
		}
		for _, code := range tt.in {
			if !s.Contains(code) {
				t.Errorf("%q does not contain %d", tt.list, code)
			}
		}
		for _, code := range tt.out {
			if s.Contains(code) {
				t.Errorf("%q contains %d", tt.list, code)
			}
		}
	}
}

func TestParseStatusesRefuses(t *testing.T) {
	tests := []struct{ list, want string }{
		{"600", `"600" is not a status code between 100 and 599`},
		{"99", `"99" is not a status code between 100 and 599`},
		{"abc", `"abc" is not a status code between 100 and 599`},
		{"+200", `"+200" is not a status code between 100 and 599`},
		{"200,", `"" is not a status code between 100 and 599`},
		{"-", `"" is not a status code between 100 and 599`},
		{"200-", `"" is not a status code between 100 and 599`},
		{"200-250-299", `"250-299" is not a status code between 100 and 599`},
		{"300-200", "the range 300-200 runs backwards"},
	}
	for _, tt := range tests {
		if _, err := ParseStatuses(tt.list); err == nil || err.Error() != tt.want {
			t.Errorf("ParseStatuses(%q): %v, want %s", tt.list, err, tt.want)
		}
	}
}

func FuzzParseStatuses(f *testing.F) {
	for _, seed := range []string{"", "200", "200-299,301", "300-200", "1-", "２００", "200,,", " 200 "} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		s, err := ParseStatuses(list)
		members := 0
		for code := range 1100 {
			if s.Contains(code) {
				members++
				if code < 100 || code > 599 {
					t.Errorf("%q contains %d", list, code)
				}
			}
		}
		if (err == nil) != (members > 0) {
			t.Errorf("%q: error %v, %d members", list, err, members)
		}
	})
}
