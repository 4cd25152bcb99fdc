package nagios

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type values = map[string]float64

var outputs = []struct {
	name, output string
	text         string
	metrics      values
	bad          int
}{
	{"nothing", "", "", values{}, 0},
	{"text only", "OK - all is well\n", "OK - all is well", values{}, 0},
	{"empty lines, CRLF", "\r\nOK | a=1\r\nmore\r\n", "OK", values{"a": 1}, 0},
	{"check_ping", "PING OK - Packet loss = 0%, RTA = 0.03 ms|rta=0.03ms;100;200;0 pl=0%;20;60;0;100", "PING OK - Packet loss = 0%, RTA = 0.03 ms", values{"rta_seconds": 0.00003, "pl_percent": 0}, 0},
	{"check_load", "LOAD OK | load1=1.250;5.000;10.000;0; load5=.5;;;0; load15=-0;", "LOAD OK", values{"load1": 1.25, "load5": .5, "load15": 0}, 0},
	{
		"check_disk over many lines",
		"DISK OK - free space: / 3326 MB (56%); | /=2643MB;5948;5958;0;5968\n/ 15272 MB (77%);\n/boot 68 MB (69%);\n/home 69357 MB (27%); | /boot=68MB;88;93;0;98\n/home=69357MB;253404;253409;0;253414 \n/var/log=818MB;970;975;0;980",
		"DISK OK - free space: / 3326 MB (56%);",
		values{"_bytes": 2643 << 20, "_boot_bytes": 68 << 20, "_home_bytes": 69357 << 20, "_var_log_bytes": 818 << 20}, 0,
	},
	{"a bar in later lines only", "OK\nlong text | a=1", "OK", values{"a": 1}, 0},
	{"quoted labels", "OK | 'time taken'=5s 'it''s = |'=7 ''''=8 '9'=9 ", "OK", values{"time_taken_seconds": 5, "it_s____": 7, "_": 8, "_9": 9}, 0},
	{"every unit", "OK | a=1s b=2ms c=3us d=4ns e=5% f=6c g=7B h=8KB i=9MB j=10GB k=11TB l=12 m=13µs n=14KiB", "OK", values{
		"a_seconds": 1, "b_seconds": .002, "c_seconds": 3e-6, "d_seconds": 4e-9, "e_percent": 5, "f_total": 6, "g_bytes": 7,
		"h_bytes": 8192, "i_bytes": 9 << 20, "j_bytes": 10 << 30, "k_bytes": 11 << 40, "l": 12, "m_seconds": 13e-6, "n_bytes": 14336,
	}, 0},
	{"units of others", "OK | fan=900rpm t=21C x=3%q", "OK", values{"fan_rpm": 900, "t_C": 21, "x__percentq": 3}, 0},
	{"a unit that the label has", "OK | time_seconds=5ms size_=7B", "OK", values{"time_seconds": .005, "size_bytes": 7}, 0},
	{"unknown values", "OK | a=U b=U;1;2 c=3", "OK", values{"c": 3}, 0},
	{"signs and exponents", "OK | a=+1 b=-1.5e-3s c=2.", "OK", values{"a": 1, "b_seconds": -.0015, "c": 2}, 0},
	{"no number", "OK | a=1,5s b=x c= d =5 e=1.2.3 f=1e999 g=1 /5 h=0x10 i=NaN", "OK", values{"g": 1}, 10},
	{"too large with its unit", "OK | a=1e308TB b=1", "OK", values{"b": 1}, 1},
	{"open quotes, in their line", "OK | 'a=1 b=2\nmore | c=3 'd\ne=4", "OK", values{"c": 3, "e": 4}, 2},
	{"nothing between quotes, or before =", "OK | ''=1 =2 a=3", "OK", values{"a": 3}, 2},
	{"a name twice", "OK | 'a b'=1 a_b=2 a_b=3s", "OK", values{"a_b": 1, "a_b_seconds": 3}, 1},
	{"not UTF-8", "OK\xff | 'a\xff\x00'=1", "OK\xff", values{"a__": 1}, 0},
}

func TestParse(t *testing.T) {
	for _, tt := range outputs {
		t.Run(tt.name, func(t *testing.T) {
			text, metrics, bad := Parse(tt.output)
			if text != tt.text || bad != tt.bad {
				t.Errorf("text %q, %d bad; want %q, %d", text, bad, tt.text, tt.bad)
			}
			if diff := cmp.Diff(tt.metrics, metrics); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	for _, tt := range []struct {
		metric   string
		value    float64
		text     string
		asMetric string
		read     float64
	}{
		{"web:a memory rss_bytes", 1 << 40, "'web:a memory rss'=1099511627776B", "web_a_memory_rss_bytes", 1 << 40},
		{"a='b'|c\n took_seconds", 1e-7, `'a_''b''¦c\n took'=0.0000001s`, "a__b__c_n_took_seconds", 1e-7},
		{"cpu_percent", 99.5, "'cpu'=99.5%", "cpu_percent", 99.5},
		{"requests_total", 7, "'requests'=7c", "requests_total", 7},
		{"restarts", -2, "'restarts'=-2", "restarts", -2},
		{"login_latency_msec", 123.456, "'login_latency'=123.456ms", "login_latency_seconds", .123456},
		{"login_ms", 1, "'login'=1ms", "login_seconds", .001},
		{"nan_bytes", math.NaN(), "'nan'=U", "", 0},
		{"inf", math.Inf(-1), "'inf'=U", "", 0},
	} {
		text := Figure(tt.metric, tt.value)
		if text != tt.text {
			t.Errorf("%s: got %s, want %s", tt.metric, text, tt.text)
		}
		want := values{}
		if tt.asMetric != "" {
			want[tt.asMetric] = tt.read
		}
		said, got, bad := Parse(Text("503 | a\nb") + " | " + text)
		if diff := cmp.Diff(want, got); said != `503 ¦ a\nb` || bad != 0 || diff != "" {
			t.Errorf("%s: text %q, %d bad (-want +got)\n%s", text, said, bad, diff)
		}
	}
}

var name = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

func FuzzParse(f *testing.F) {
	for _, tt := range outputs {
		f.Add(tt.output)
	}
	f.Fuzz(func(t *testing.T, output string) {
		text, metrics, _ := Parse(output)
		if strings.ContainsAny(text, "|\n") {
			t.Errorf("text %q", text)
		}
		var again strings.Builder
		again.WriteString("OK |")
		for metric, value := range metrics {
			if !name.MatchString(metric) || math.IsNaN(value) || math.IsInf(value, 0) {
				t.Errorf("%q=%v", metric, value)
			}
			fmt.Fprintf(&again, " '%s'=%v", metric, value)
		}
		if _, got, bad := Parse(again.String()); bad != 0 || !cmp.Equal(got, metrics) {
			t.Errorf("%q reads otherwise: %v, %d bad; want %v", again.String(), got, bad, metrics)
		}
	})
}
