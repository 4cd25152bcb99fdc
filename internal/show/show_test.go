package show

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

// nasty is a table with all there can be.
func nasty() *Table {
	t := &Table{Head: []string{"NAME", "STATUS", "WHY"}, Indent: 2, Status: 1}
	t.Title("日本語の名前がとても長いとき:ワーカー", "RUNNING, pid 4711, watched by somebody with a long name")
	t.Row("a", "healthy", "")
	t.Row("a-name-that-goes-on-and-on-without-a-space-in-it-as-if-it-had-no-end-at-all", "unhealthy", "dial tcp 127.0.0.1:8001: connect: connection refused (after 3 tries)")
	t.Row("e\u0301\u0302", "", "https://example.com/"+strings.Repeat("long/", 30)+" is long")
	t.Row("\x1b[2J", "unknown", "許可がありません "+strings.Repeat("許可", 80))
	t.Text(2, "would be nothing yet: http has failed 1 of 3; failures do not count for 12 s more")
	t.Text(0, "tab\tand\nline")
	return t
}

var styles = regexp.MustCompile("\x1b\\[[0-9]+m")

// On any terminal no line is too long for it, and nothing that is printed
// elsewhere is missing.
func TestNothingIsLostAndNothingIsTooWide(t *testing.T) {
	letters := func(s string) string {
		s = strings.Replace(styles.ReplaceAllString(s, ""), "WHY", "", 1) // a heading that may be left out
		var all []rune
		for _, r := range s {
			if !unicode.IsSpace(r) {
				all = append(all, r)
			}
		}
		slices.Sort(all)
		return string(all)
	}
	everything := nasty().text(Screen{})
	if n := strings.Count(everything, "\n"); n != 8 {
		t.Errorf("elsewhere than on a terminal there are %d lines, want one for each of 8:\n%s", n, everything)
	}
	for width := 1; width < 30; width++ { // where that cannot be had
		if got := nasty().text(Screen{Width: width}); letters(got) != letters(everything) {
			t.Errorf("at %d columns something is lost:\n%s", width, got)
		}
	}
	for width := 30; width < 150; width++ {
		for _, colour := range []bool{false, true} {
			got := nasty().text(Screen{Width: width, Colour: colour})
			if letters(got) != letters(everything) {
				t.Errorf("at %d columns something is lost:\n%s", width, got)
			}
			for line := range strings.Lines(styles.ReplaceAllString(got, "")) {
				if line = strings.TrimSuffix(line, "\n"); columns(line) > width {
					t.Errorf("at %d columns a line has %d: %s", width, columns(line), line)
				} else if strings.TrimSpace(line) == "" {
					t.Errorf("at %d columns a line is empty:\n%s", width, got)
				}
			}
		}
	}
}

func TestWrap(t *testing.T) {
	for _, tt := range []struct {
		text string
		most int
		want []string
	}{
		{"", 10, []string{""}},
		{"ten  wide.", 10, []string{"ten  wide."}},
		{"one two three", 10, []string{"one two", "three"}},
		{"one two   three", 8, []string{"one two", "three"}},
		{"one 1234567890 two", 8, []string{"one 1234", "567890", "two"}},
		{"日本語日本語", 9, []string{"日本語日", "本語"}}, // a letter is never cut in two
		{"aaaaaaae\u0301e\u0301", 8, []string{"aaaaaaae\u0301", "e\u0301"}},
		{"more than nothing", 1, []string{"more", "than", "nothing"}},
	} {
		if diff := cmp.Diff(tt.want, wrap(tt.text, tt.most)); diff != "" {
			t.Errorf("wrap(%q, %d) (-want +got)\n%s", tt.text, tt.most, diff)
		}
	}
}

func TestColumns(t *testing.T) {
	for text, want := range map[string]int{"": 0, "größer": 6, "日本語": 6, "Ｆｕｌｌ": 8, "ﾊﾝｶｸ": 4, "e\u0301": 1, "🙂": 2, "한": 2, "\u1112\u1161\u11ab": 2, "…": 1} {
		if got := columns(text); got != want {
			t.Errorf("%q has %d columns, want %d", text, got, want)
		}
	}
}

// same fails unless v as YAML is, read again, what it is as JSON.
func same(t *testing.T, v any) {
	t.Helper()
	text, err := asYAML(v)
	if err != nil {
		t.Fatal(err)
	}
	var fromYAML, want any
	if err := yaml.Unmarshal([]byte(text), &fromYAML); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	asJSON, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(fromYAML)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	var got any
	if err := errors.Join(json.Unmarshal(asJSON, &want), json.Unmarshal(again, &got)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s\nof\n%s", diff, text)
	}
	for _, r := range text {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Errorf("%U is not escaped:\n%s", r, text)
		}
	}
}

var words = []string{
	"", "a", "web:a", "a: b", "a:", ":a", "a #b", "a#b", "- a", "-", "?", "a -b", "[a]", "{a: b}", "*a", "&a", "!a", "%a", "@a", "`a", "|", ">", "'a'", `"a"`, `a\b`, "a\nb", "a\n", " a", "a ",
	"true", "No", "NULL", "~", "null", "y", "off", "1", "1.5", "0x1F", "0o7", "1_000", "1e3", ".5", ".inf", "-.NaN", "+1", "12:30", "2026-11-26", "2026-11-26T05:00:00Z", "=", "<<", "---", "...", "a,b", "a, b", "a]", "a}",
	"\x1b[2J", "\u009b", "\u202e", "\u2028", "\ufeff", "\U000e0001", "\x7f", "\xff", "é", "e\u0301", "\u0301", "日本語", "🙂", "/run/x.sock", "/", "//", "(a)", "a (b)", "a  b", "a\tb", "a: ", "http://h:80/p?q=%20", "inf", "nan", "e1", "x=y",
}

func TestYAML(t *testing.T) {
	for _, word := range words {
		same(t, word)
		same(t, []string{word, word})
		same(t, map[string]any{word: word, "b" + word: []string{word}})
	}
	same(t, map[string]any{"a": []any{}, "b": map[string]any{}, "c": nil, "d": true, "e": []any{[]any{1, []any{}}, map[string]any{"f": map[string]any{"g": 1}, "h": []any{map[string]any{"i": 2, "j": 3}}}}})
	same(t, []float64{0, 1, -1.5, 1e-7, 1.5e-9, 1e21, 1e300, 1 << 53, 0.1})
	type order struct{ Z, A, M int }
	if got, err := asYAML([]any{order{1, 2, 3}, []order{{4, 5, 6}}}); err != nil || got != "- Z: 1\n  A: 2\n  M: 3\n-\n  - Z: 4\n    A: 5\n    M: 6\n" {
		t.Errorf("%v\n%s", err, got)
	}
	if _, err := asYAML(math.NaN()); err == nil {
		t.Error("what JSON has not is written")
	}
}

func FuzzYAML(f *testing.F) {
	for _, word := range words {
		f.Add(word, word, 1.5)
	}
	f.Fuzz(func(t *testing.T, key, value string, number float64) {
		if math.IsNaN(number) || math.IsInf(number, 0) {
			number = 0
		}
		same(t, []any{map[string]any{key: value, "number": number, "list": []string{value}}, value})
	})
}

// perfdata is how the guidelines of plugins have it.
var perfdata = regexp.MustCompile(`^('(?:[^'=|]|'')+'=(?:U|-?[0-9]+(?:\.[0-9]+)?(?:s|B|%|c)?)(?: |$))+$`)

func TestNagios(t *testing.T) {
	healthy := Finding{"web:a", "http", "healthy", "", false, nil}
	unhealthy := Finding{"web:b", "http", "unhealthy", "503 | x", false, nil}
	unknown := Finding{"web:c", "", "unknown", "it is FATAL", false, nil}
	for _, tt := range []struct {
		name   string
		report Report
		exit   int
		want   []string
	}{
		{"nothing", Report{}, 3, []string{"SUPERVISOR_CHECKS UNKNOWN - no process was checked"}},
		{"all healthy", Report{Findings: []Finding{healthy, {"web:a", "tcp", "healthy", "", false, nil}, {"web:b", "tcp", "healthy", "", false, nil}}}, 0, []string{"SUPERVISOR_CHECKS OK - 3 checks of 2 processes healthy"}},
		{"a process and a probe", Report{Findings: []Finding{healthy, {"db", "probe", "healthy", "", true, nil}}}, 0, []string{"SUPERVISOR_CHECKS OK - 1 process: healthy; 1 probe: healthy"}},
		{"only a probe", Report{Findings: []Finding{{"db", "probe", "healthy", "", true, nil}}}, 3, []string{"SUPERVISOR_CHECKS UNKNOWN - no process was checked; 1 probe: healthy"}},
		{"of several the worst", Report{Findings: []Finding{healthy, unknown, unhealthy}}, 2, []string{
			"SUPERVISOR_CHECKS CRITICAL - 3 processes: 1 unhealthy, 1 unknown, 1 healthy; web:b http unhealthy: 503 ¦ x", "web:c unknown: it is FATAL"}},
		{"unknown", Report{Findings: []Finding{healthy, unknown}, Notes: []string{"not watched: pool\n"}}, 3, []string{
			"SUPERVISOR_CHECKS UNKNOWN - 2 processes: 1 unknown, 1 healthy; web:c unknown: it is FATAL", `not watched: pool\n`}},
		{"a probe alone", Report{Probes: true, Findings: []Finding{{"db", "probe", "healthy", "", true, nil}}}, 0, []string{"SUPERVISOR_CHECKS OK - 1 probe: healthy"}},
		{"no probe", Report{Probes: true}, 3, []string{"SUPERVISOR_CHECKS UNKNOWN - no process was checked"}},
		{"looks before other figures", Report{Findings: []Finding{{"web:a", "memory", "healthy", "", false, &Look{time.Millisecond, map[string]float64{"rss_bytes": 7, "age_seconds": 2}}}}, Figures: []Figure{{"x", "restarts", 1}}}, 0, []string{
			"SUPERVISOR_CHECKS OK - 1 check of 1 process healthy | 'web:a memory took'=0.001s 'web:a memory age'=2s 'web:a memory rss'=7B 'x restarts'=1"}},
		{"all skipped", Report{Findings: []Finding{{"web:a", "script", "skipped", "only in develop", false, nil}}}, 3, []string{"SUPERVISOR_CHECKS UNKNOWN - 1 process: skipped; web:a script skipped: only in develop"}},
		{"some skipped", Report{Findings: []Finding{healthy, {"web:a", "script", "skipped", "only in develop", false, nil}}}, 0, []string{"SUPERVISOR_CHECKS OK - 1 process: healthy", "web:a script skipped: only in develop"}},
		{"a trouble", Report{Findings: []Finding{healthy}, Troubles: []string{"no answer"}}, 3, []string{"SUPERVISOR_CHECKS UNKNOWN - 1 process: healthy; no answer"}},
		{"a trouble is less than something unhealthy", Report{Findings: []Finding{unhealthy}, Troubles: []string{"no answer"}}, 2, []string{
			"SUPERVISOR_CHECKS CRITICAL - 1 process: unhealthy; web:b http unhealthy: 503 ¦ x", "no answer"}},
		{"figures", Report{Findings: []Finding{healthy}, Figures: []Figure{
			{"a='b'|c\n", "took_seconds", 1e-7}, {"web:a memory", "rss_bytes", 1 << 40}, {"web:a cpu", "cpu_percent", 99.5}, {"x", "requests_total", 7}, {"x", "restarts", -2}, {"x", "nan", math.NaN()}, {"x", "inf_seconds", math.Inf(1)},
		}}, 0, []string{`SUPERVISOR_CHECKS OK - 1 check of 1 process healthy | 'a_''b''¦c\n took'=0.0000001s 'web:a memory rss'=1099511627776B 'web:a cpu cpu'=99.5% 'x requests'=7c 'x restarts'=-2 'x nan'=U 'x inf'=U`}},
	} {
		var got bytes.Buffer
		if err := (&Page{Report: tt.report}).Print(&got, "nagios", Screen{}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.Join(tt.want, "\n")+"\n", got.String()); diff != "" || tt.report.Exit() != tt.exit {
			t.Errorf("%s: exit status %d, want %d (-want +got)\n%s", tt.name, tt.report.Exit(), tt.exit, diff)
		}
		first, _, _ := strings.Cut(got.String(), "\n")
		if _, figures, are := strings.Cut(first, " | "); are && !perfdata.MatchString(figures) {
			t.Errorf("%s: this is no performance data: %s", tt.name, figures)
		}
	}
}

// TestForeignStatus takes a word of another version for unknown.
func TestForeignStatus(t *testing.T) {
	r := Report{Findings: []Finding{{Process: "a", Check: "x", Status: "degraded", Reason: "slow"}, {Process: "b", Status: "healthy"}}}
	if got := r.Exit(); got != ExitUnknown {
		t.Errorf("exit %d", got)
	}
	if got, want := r.text(), "SUPERVISOR_CHECKS UNKNOWN - 2 processes: 1 unknown, 1 healthy; a x degraded: slow\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSummary(t *testing.T) {
	of := func(statuses ...string) (r Report) {
		for i, status := range statuses {
			r.Findings = append(r.Findings, Finding{Process: string(rune('a' + i/2)), Status: status}) // two for each process
		}
		return r
	}
	for want, report := range map[string]Report{
		"no process was checked":              of(),
		"1 process: healthy":                  of("healthy", "healthy"),
		"1 process: unhealthy":                of("healthy", "unhealthy"),
		"2 processes, all healthy":            of("healthy", "healthy", "healthy", "healthy"),
		"2 processes, all unknown":            of("healthy", "unknown", "unknown", "healthy"),
		"2 processes: 1 unhealthy, 1 healthy": of("healthy", "healthy", "unknown", "unhealthy"),
	} {
		if got := report.Summary(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestNoSuchFormat(t *testing.T) {
	if err := new(Page).Print(new(bytes.Buffer), "xml", Screen{}); err == nil {
		t.Error("xml is printed")
	}
}
