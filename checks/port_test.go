package checks

import (
	"errors"
	"testing"
)

func TestPort(t *testing.T) {
	tests := []struct {
		name    string
		expr    string
		process string
		want    int
		err     string // "" for none
	}{
		{"a number", "8080", "web_1", 8080, ""},
		{"a number as Python's int reads it", " 08_080 ", "web_1", 8080, ""},
		{"a number in other digits", "８０８０", "web_1", 8080, ""},
		{"the lowest", "1", "web_1", 1, ""},
		{"the highest", "65535", "web_1", 65535, ""},
		{"a group", `web_(\d+)`, "web_8001", 8001, ""},
		{"a group and more after it", `web_(\d+)`, "web_8001_a", 8001, ""},
		{"a group in the middle", `.+_(\d+)_b`, "web_8001_b", 8001, ""},
		{"alternatives", `(?:web|app)_(\d+)`, "app_8002", 8002, ""},
		{"a loose alternative", `web_(\d+)|x`, "web_8001", 8001, ""},
		{"a named group", `web_(?P<port>\d+)`, "web_8001", 8001, ""},
		{"an open quotation", `(\d+)\Q_a`, "80_a", 80, ""},
		{"leading zeros", `web_(\d+)`, "web_00080", 80, ""},
		{"not at the start", `(\d+)`, "web_8001", 0, "no port in the process name: \"web_8001\" does not match `(\\d+)`"},
		{"not at the start, with an alternative", `x|web_(\d+)`, "a_web_8001", 0, "no port in the process name: \"a_web_8001\" does not match `x|web_(\\d+)`"},
		{"no match", `web_(\d+)`, "app", 0, "no port in the process name: \"app\" does not match `web_(\\d+)`"},
		{"no match for want of a backslash", `web_(d+)`, "web_8001", 0,
			"no port in the process name: \"web_8001\" does not match `web_(d+)`, where d is a letter: supervisord.conf and the shell may eat a backslash, so write [0-9] for \\d"},
		{"no match for want of the first backslash", `d*_(\d+)`, "web_8001", 0,
			"no port in the process name: \"web_8001\" does not match `d*_(\\d+)`, where d is a letter: supervisord.conf and the shell may eat a backslash, so write [0-9] for \\d"},
		{"a group that is left out", `web(?:_(\d+))?`, "web", 0, "no port in the process name: \"web\" matches `web(?:_(\\d+))?` without its group"},
		{"a group that is no number", `web_(.+)`, "web_a", 0, `no port in the process name: "a", found in "web_a", is not a number between 1 and 65535`},
		{"an empty group", `web_(\d*)`, "web_", 0, `no port in the process name: "", found in "web_", is not a number between 1 and 65535`},
		{"too high", `web_(\d+)`, "web_70000", 0, `no port in the process name: "70000", found in "web_70000", is not a number between 1 and 65535`},
		{"zero", `web_(\d+)`, "web_0", 0, `no port in the process name: "0", found in "web_0", is not a number between 1 and 65535`},
		{"negative", `web_(.+)`, "web_-1", 0, `no port in the process name: "-1", found in "web_-1", is not a number between 1 and 65535`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := parsePort(tt.expr)
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.of(tt.process)
			if got != tt.want || text(err) != tt.err {
				t.Errorf("got %d, %v\nwant %d, %s", got, err, tt.want, tt.err)
			}
			if err != nil && !errors.Is(err, ErrNoPort) {
				t.Errorf("%v is not ErrNoPort", err)
			}
		})
	}
}

func TestPortRefuses(t *testing.T) {
	const hint = "; RE2, which is used here, has no lookarounds, backreferences and conditions: match what is around the number outside the group, as in `web_(\\d+)`"
	tests := []struct{ name, expr, want string }{
		{"nothing", "", "is required: a number, or a regular expression with one group such as `web_(\\d+)`"},
		{"a space", " ", "is required: a number, or a regular expression with one group such as `web_(\\d+)`"},
		{"zero", "0", `"0" is not between 1 and 65535`},
		{"too high", "70000", `"70000" is not between 1 and 65535`},
		{"negative", "-1", `"-1" is not between 1 and 65535`},
		{"far too high", "99999999999999999999", "`99999999999999999999` is neither a number nor a regular expression with a group such as `web_(\\d+)`"},
		{"no group", `web_\d+`, "`web_\\d+` is neither a number nor a regular expression with a group such as `web_(\\d+)`"},
		{"two groups", `(web|app)_(\d+)`, "`(web|app)_(\\d+)` has 2 groups, so which is the port? Write (?:…) for those that are not"},
		{"not closed", `web_(\d+`, "error parsing regexp: missing closing ): `web_(\\d+`"},
		{"closed too often", `a)(\d+)(?:b`, "error parsing regexp: unexpected ): `a)(\\d+)(?:b`"},
		{"lookahead", `(\d+)(?=_a)`, "error parsing regexp: invalid or unsupported Perl syntax: `(?=`" + hint},
		{"lookbehind", `(?<=web_)(\d+)`, "error parsing regexp: invalid named capture: `(?<=web_)(\\d+)`" + hint},
		{"backreference", `(\d+)_\1`, "error parsing regexp: invalid escape sequence: `\\1`" + hint},
		{"named backreference", `(?P<a>\d+)_(?P=a)`, "error parsing regexp: invalid or unsupported Perl syntax: `(?P`" + hint},
		{"condition", `(a)?(?(1)b|c)`, "error parsing regexp: invalid or unsupported Perl syntax: `(?(`" + hint},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := parsePort(tt.expr); text(err) != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func FuzzPort(f *testing.F) {
	f.Add("8080", "web")
	f.Add(`web_(\d+)`, "web_8001")
	f.Add(`web(?:_(\d+))?`, "web")
	f.Add(`(.*)`, "-1")
	f.Add(`(\d+)|`, "a8001")
	f.Fuzz(func(t *testing.T, expr, process string) {
		p, err := parsePort(expr)
		if err != nil {
			return
		}
		n, err := p.of(process)
		if err == nil && (n < 1 || n > 65535) {
			t.Errorf("%q finds port %d in %q", expr, n, process)
		}
		if err != nil && !errors.Is(err, ErrNoPort) {
			t.Errorf("%q: %v is not ErrNoPort", expr, err)
		}
	})
}
