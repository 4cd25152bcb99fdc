package cli

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/supervisor-checks/supervisor-checks/checks"
)

func TestComposite(t *testing.T) {
	for _, test := range []struct {
		name, document string
		want           []string // names of the checks
	}{
		{"the example of supervisor_checks", `{"memory":{"cumulative":true,"max_rss":4194304},"http":{"timeout":15,"port":8090,"url":"\/ping","num_retries":3}}`, []string{"memory", "http"}},
		{"all there are, in their order", `{"xmlrpc":{"sock_dir":"/run"},"tcp":{"port":80},"memory":{"max_rss":1},"http":{"port":80,"url":"/"},"file":{"timeout":5},"cpu":{"max_cpu":80}}`,
			[]string{"xmlrpc", "tcp", "memory", "http", "file", "cpu"}},
		{"every key of http", `{"http":{"url":"/","port":"web_(\\d+)","host":"localhost","scheme":"https","method":"POST","headers":{"X-A":1},"body":"b","json":{"a":[1]},
			"timeout":1.5,"num_retries":0,"expect_status":204,"expect_body":"ok","insecure":true,"username":"u","password":"p"}}`, []string{"http"}},
		{"every key of tcp", `{"tcp":{"port":"80","host":"localhost","timeout":"1.5s","num_retries":-1}}`, []string{"tcp"}},
		{"a socket", `{"tcp":{"unix_socket":"/run/x"},"http":{"url":"/","unix_socket":"/run/x"}}`, []string{"tcp", "http"}},
		{"every key of xmlrpc", `{"xmlrpc":{"url":"/RPC2","port":80,"host":"localhost","method":"x.y","timeout":5,"num_retries":1,"username":"u","password":""}}`, []string{"xmlrpc"}},
		{"every key of memory", `{"memory":{"max_rss":"80%","cumulative":false,"metric":"pss"}}`, []string{"memory"}},
		{"every key of cpu", `{"cpu":{"max_cpu":99.5,"interval":0,"cumulative":true}}`, []string{"cpu"}},
		{"every key of file", `{"file":{"timeout":"2m","fail_on_error":true,"filepath":"/x","root_dir":"/tmp"}}`, []string{"file"}},
		{"null is absent", `{"http":{"url":"/","port":80,"method":null,"json":null,"headers":null,"timeout":null,"password":null,"username":null}}`, []string{"http"}},
		{"numbers as Python writes them", `{"memory":{"max_rss":1e8},"cpu":{"max_cpu":9.95E1,"interval":3e1},"tcp":{"port":8e1,"timeout":15.0}}`, []string{"memory", "cpu", "tcp"}},
		{"a limit with a fraction", `{"memory":{"max_rss":100000000.5}}`, []string{"memory"}},
		{"a port with a fraction that is none", `{"tcp":{"port":80.0}}`, []string{"tcp"}},
		{"the last of two, in the place of the first", `{"tcp":{"port":"no"},"file":{"timeout":5},"tcp":{"port":80}}`, []string{"tcp", "file"}},
		{"a check that is null is absent", `{"http":null,"tcp":{"port":80}}`, []string{"tcp"}},
		{"space", "  {\n\t\"tcp\" : { \"port\" : 80 } }\r\n", []string{"tcp"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			all, err := parseComposite(test.document)
			var got []string
			for _, c := range all {
				got = append(got, c.Name())
			}
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("got %q, error %v, want %q", got, err, test.want)
			}
		})
	}
}

// Every key is for the setting that it names, and what is not given has the
// default of the program of that check.
func TestCompositeSettings(t *testing.T) {
	made := func(c checks.Check, err error) checks.Check {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	http := func(cfg checks.HTTPConfig) checks.Check { c, err := checks.NewHTTP(cfg); return made(c, err) }
	tcp := func(cfg checks.TCPConfig) checks.Check { c, err := checks.NewTCP(cfg); return made(c, err) }
	xmlrpc := func(cfg checks.XMLRPCConfig) checks.Check { c, err := checks.NewXMLRPC(cfg); return made(c, err) }
	memory := func(cfg checks.MemoryConfig) checks.Check { c, err := checks.NewMemory(cfg); return made(c, err) }
	cpu := func(cfg checks.CPUConfig) checks.Check { c, err := checks.NewCPU(cfg); return made(c, err) }
	file := func(cfg checks.FileConfig) checks.Check { c, err := checks.NewFile(cfg); return made(c, err) }
	const second = time.Second
	for _, test := range []struct {
		document string
		want     checks.Check
	}{
		{`{"http":{"url":"/x","port":80}}`, http(checks.HTTPConfig{URL: "/x", Port: "80", Timeout: 15 * second, Retries: 2})},
		{`{"http":{"url":"/x","port":"web_(\\d+)","host":"::1","scheme":"https","method":"POST","headers":{"X-A":"b"},"body":"c","timeout":5,"num_retries":0,
			"expect_status":"204","insecure":true,"username":"me","password":"secret"}}`,
			http(checks.HTTPConfig{URL: "/x", Port: `web_(\d+)`, Host: "::1", Scheme: "https", Method: "POST", Header: map[string][]string{"X-A": {"b"}}, Body: "c",
				Timeout: 5 * second, ExpectStatus: "204", Insecure: true, Username: "me", Password: "secret"})},
		{`{"http":{"url":"/x","unix_socket":"/s","json":{"a": 1}}}`,
			http(checks.HTTPConfig{URL: "/x", UnixSocket: "/s", JSON: []byte(`{"a": 1}`), Timeout: 15 * second, Retries: 2})},
		{`{"http":{"url":"","port":80}}`, http(checks.HTTPConfig{URL: "/", Port: "80", Timeout: 15 * second, Retries: 2})},
		{`{"http":{"url":"/","port":80,"scheme":"https","insecure":1}}`,
			http(checks.HTTPConfig{URL: "/", Port: "80", Scheme: "https", Insecure: true, Timeout: 15 * second, Retries: 2})},
		{`{"tcp":{"port":80}}`, tcp(checks.TCPConfig{Port: "80", Timeout: 15 * second, Retries: 2})},
		{`{"tcp":{"port":80,"host":"::1","timeout":1.5,"num_retries":1}}`, tcp(checks.TCPConfig{Port: "80", Host: "::1", Timeout: 1500 * time.Millisecond, Retries: 1})},
		{`{"tcp":{"unix_socket":"/s"}}`, tcp(checks.TCPConfig{UnixSocket: "/s", Timeout: 15 * second, Retries: 2})},
		{`{"xmlrpc":{"url":"/x","port":80}}`, xmlrpc(checks.XMLRPCConfig{URL: "/x", Port: "80", Timeout: 15 * second, Retries: 2})},
		{`{"xmlrpc":{"url":"/x","port":80,"host":"::1","method":"m","timeout":5,"num_retries":0,"username":"me","password":"secret"}}`,
			xmlrpc(checks.XMLRPCConfig{URL: "/x", Port: "80", Host: "::1", Method: "m", Timeout: 5 * second, Username: "me", Password: "secret"})},
		{`{"xmlrpc":{"sock_path":"/s"}}`, xmlrpc(checks.XMLRPCConfig{SocketPath: "/s", Timeout: 15 * second, Retries: 2})},
		{`{"xmlrpc":{"sock_dir":"/s"}}`, xmlrpc(checks.XMLRPCConfig{SocketDir: "/s", Timeout: 15 * second, Retries: 2})},
		{`{"memory":{"max_rss":5}}`, memory(checks.MemoryConfig{Max: 5 << 10})},
		{`{"memory":{"max_rss":"5MB","cumulative":true,"metric":"uss"}}`, memory(checks.MemoryConfig{Max: 5e6, Cumulative: true, Metric: checks.USS})},
		{`{"memory":{"max_rss":"5%","cumulative":false}}`, memory(checks.MemoryConfig{MaxPercent: 5})},
		{`{"memory":{"max_rss":5,"cumulative":1}}`, memory(checks.MemoryConfig{Max: 5 << 10, Cumulative: true})},
		{`{"memory":{"max_rss":5,"cumulative":-0.5}}`, memory(checks.MemoryConfig{Max: 5 << 10, Cumulative: true})},
		{`{"memory":{"max_rss":5,"cumulative":1e999}}`, memory(checks.MemoryConfig{Max: 5 << 10, Cumulative: true})},
		{`{"memory":{"max_rss":5,"cumulative":0}}`, memory(checks.MemoryConfig{Max: 5 << 10})},
		{`{"memory":{"max_rss":5,"cumulative":-0.0e5}}`, memory(checks.MemoryConfig{Max: 5 << 10})},
		{`{"file":{"timeout":5,"fail_on_error":1}}`, file(checks.FileConfig{MaxAge: 5 * second, FailOnError: true})},
		{`{"cpu":{"max_cpu":50}}`, cpu(checks.CPUConfig{MaxPercent: 50, Interval: time.Hour})},
		{`{"cpu":{"max_cpu":"99.5%","interval":0,"cumulative":true}}`, cpu(checks.CPUConfig{MaxPercent: 99.5, Cumulative: true})},
		{`{"cpu":{"max_cpu":50,"interval":2.5}}`, cpu(checks.CPUConfig{MaxPercent: 50, Interval: 2500 * time.Millisecond})},
		{`{"file":{"timeout":5}}`, file(checks.FileConfig{MaxAge: 5 * second})},
		{`{"file":{"timeout":"2m","fail_on_error":true,"filepath":"/f"}}`, file(checks.FileConfig{MaxAge: 2 * time.Minute, FailOnError: true, Path: "/f"})},
		{`{"file":{"timeout":5,"root_dir":"/d"}}`, file(checks.FileConfig{MaxAge: 5 * second, Root: "/d"})},
	} {
		got, err := parseComposite(test.document)
		if err != nil {
			t.Errorf("%s: %v", test.document, err)
			continue
		}
		if diff := cmp.Diff([]checks.Check{test.want}, got, insides); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", test.document, diff)
		}
	}
}

// insides compares what is not exported, but for functions and the insides of
// regular expressions.
var insides = cmp.Options{
	cmp.Exporter(func(reflect.Type) bool { return true }),
	cmp.FilterPath(func(p cmp.Path) bool { return p.Last().Type().Kind() == reflect.Func }, cmp.Ignore()),
	cmp.Comparer(func(a, b *regexp.Regexp) bool { return fmt.Sprint(a) == fmt.Sprint(b) }),
}

func TestCompositeIsRefused(t *testing.T) {
	const checksThereAre = "cpu, file, http, memory, tcp, xmlrpc"
	for _, test := range []struct{ name, document, want string }{
		{"nothing", "", "not valid JSON, in line 1, column 1: unexpected end of JSON input"},
		{"half an object", `{"tcp":`, "not valid JSON, in line 1, column 7: unexpected end of JSON input"},
		{"a comma too many", "{\n\t\"tcp\": {\"host\": \"äö\", }\n}", "not valid JSON, in line 2, column 24: invalid character '}' looking for beginning of object key string"},
		{"more than an object", `{"tcp":{"port":80}} x`, "not valid JSON, in line 1, column 21: invalid character 'x' after top-level value"},
		{"a list", `[]`, "is not a JSON object"},
		{"null", `null`, "is not a JSON object"},
		{"no check", `{}`, "there is no check in it; there are " + checksThereAre},
		{"an unknown check", `{"TCP":{"port":80}}`, `there is no check "TCP"; there are ` + checksThereAre},
		{"a check that is no object", `{"tcp":80}`, "tcp: is not a JSON object"},
		{"checks that are null", `{"tcp":null,"http":null}`, "there is no check in it; there are " + checksThereAre},
		{"an unknown check that is null", `{"TCP":null}`, `there is no check "TCP"; there are ` + checksThereAre},
		{"an unknown key", `{"tcp":{"port":80,"retries":1}}`, `tcp: there is no key "retries"; there are host, num_retries, port, timeout, unix_socket`},
		{"an unknown key that is null", `{"memory":{"max_rss":1,"max":null}}`, `memory: there is no key "max"; there are cumulative, max_rss, metric`},
		{"no URL", `{"http":{"port":80}}`, "http: url: is required"},
		{"a URL that is null", `{"http":{"port":80,"url":null}}`, "http: url: is required"},
		{"a URL that is no string", `{"http":{"port":80,"url":5}}`, "http: url: is not a string"},
		{"an empty URL", `{"xmlrpc":{"port":80,"url":""}}`, "xmlrpc: url: must not be empty"},
		{"an empty method", `{"http":{"port":80,"url":"/","method":""}}`, "http: method: must not be empty"},
		{"an empty metric", `{"memory":{"max_rss":1,"metric":""}}`, "memory: metric: must not be empty"},
		{"an empty socket", `{"xmlrpc":{"url":"/","port":80,"sock_path":""}}`, "xmlrpc: sock_path: must not be empty"},
		{"an empty password file", `{"http":{"port":80,"url":"/","username":"u","password_file":""}}`, "http: password_file: must not be empty"},
		{"no port", `{"tcp":{}}`, "tcp: port: is required: a number, or a regular expression with one group such as `web_(\\d+)`"},
		{"a port that is none", `{"tcp":{"port":70000}}`, `tcp: port: "70000" is not between 1 and 65535`},
		{"a port with a fraction", `{"tcp":{"port":80.5}}`, "tcp: port: `80.5` is neither a number nor a regular expression with a group such as `web_(\\d+)`"},
		{"a port that is true", `{"tcp":{"port":true}}`, "tcp: port: is neither a number nor a string"},
		{"a timeout of 0", `{"http":{"port":80,"url":"/","timeout":0}}`, `http: timeout: "0" is not more than 0`},
		{"a timeout in words", `{"http":{"port":80,"url":"/","timeout":"long"}}`, `http: timeout: "long" is neither whole seconds, such as 30, nor a duration, such as 1.5s or 2m`},
		{"an age of 0", `{"file":{"timeout":0}}`, `file: timeout: "0" is not more than 0`},
		{"no age", `{"file":{"fail_on_error":true,"filepath":null,"root_dir":null}}`, "file: timeout: is required"},
		{"retries with a fraction", `{"tcp":{"port":80,"num_retries":1.5}}`, `tcp: num_retries: "1.5" is not a whole number`},
		{"headers that are a number", `{"http":{"port":80,"url":"/","headers":5}}`, `http: headers: neither a JSON object such as {"X-Token": "abc"} nor a list of pairs`},
		{"a number that is too large", `{"memory":{"max_rss":1e999}}`, `memory: max_rss: "1e999" is too large`},
		{"a tiny number", `{"memory":{"max_rss":1e-9}}`, `memory: max_rss: "0.000000001KiB" is not more than 0`},
		{"truth as a word", `{"memory":{"max_rss":1,"cumulative":"false"}}`, "memory: cumulative: is neither true nor false"},
		{"no limit of memory", `{"memory":{"cumulative":true}}`, "memory: max_rss: is required"},
		{"a limit of 0", `{"memory":{"max_rss":0}}`, `memory: max_rss: "0" is not more than 0`},
		{"an unknown metric", `{"memory":{"max_rss":1,"metric":"vsz"}}`, `memory: metric: "vsz" is none of rss, pss, uss`},
		{"no limit of processor time", `{"cpu":{"interval":5}}`, "cpu: max_cpu: is required"},
		{"a limit of 0 %", `{"cpu":{"max_cpu":0}}`, "cpu: max_cpu: 0 is not more than 0"},
		{"a negative interval", `{"cpu":{"max_cpu":5,"interval":-5}}`, `cpu: interval: "-5" is less than 0`},
		{"truth as a list", `{"memory":{"max_rss":1,"cumulative":[]}}`, "memory: cumulative: is neither true nor false"},
		{"two sockets", `{"xmlrpc":{"sock_path":"/x","sock_dir":"/y"}}`, "xmlrpc: sock_dir: is of no use with sock_path: give one of them"},
		{"a port and a folder of sockets", `{"xmlrpc":{"sock_dir":"/x","port":80}}`, "xmlrpc: port: is of no use with sock_dir: give one of them"},
		{"no server", `{"xmlrpc":{}}`, "xmlrpc: url: is required, or else sock_path or sock_dir"},
		{"a port and a socket", `{"http":{"url":"/","port":80,"unix_socket":"/x"}}`, "http: port: is of no use with unix_socket: give one of them"},
		{"a host and a socket", `{"tcp":{"host":"a","unix_socket":"/x"}}`, "tcp: host: is of no use with unix_socket: give one of them"},
		{"a password without a name", `{"http":{"port":80,"url":"/","password":"secret"}}`, "http: password: there is no username that it belongs to"},
		{"a password that is a number", `{"http":{"port":80,"url":"/","username":"u","password":12345}}`, "http: password: is not a string"},
		{"two passwords", `{"xmlrpc":{"sock_dir":"/x","username":"u","password":"secret","password_file":"x"}}`, "xmlrpc: password_file: not together with password"},
		{"a password file that is not there", `{"xmlrpc":{"sock_dir":"/x","username":"u","password_file":"/nonexistent"}}`,
			"xmlrpc: password_file: open /nonexistent: no such file or directory"},
	} {
		t.Run(test.name, func(t *testing.T) {
			all, err := parseComposite(test.document)
			if err == nil || err.Error() != test.want {
				t.Errorf("got %d checks, error %v, want error %s", len(all), err, test.want)
			}
		})
	}
}

// What --help says of the keys is so.
func TestCompositeKeysAreDescribed(t *testing.T) {
	for name, configure := range composites {
		c := configure()
		described := c.describe()
		for key := range c.keys {
			if found := regexp.MustCompile(`\b`+key+`\b`).FindAllString(described, -1); len(found) != 1 {
				t.Errorf("%s: %s is there %d times: %s", name, key, len(found), described)
			}
		}
		if _, err := parseComposite(fmt.Sprintf(`{%q: {}}`, name)); err == nil || len(c.required) == 0 {
			t.Errorf("%s: without what is required: %v", name, err)
		}
	}
	if got, want := compositeTCP().describe(), "port or unix_socket (required); host, num_retries, timeout"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// FuzzComposite finds no document that is neither refused nor a list of checks,
// nor an error that has more than one line or a password in it.
func FuzzComposite(f *testing.F) {
	f.Add(`{"memory":{"cumulative":true,"max_rss":4194304},"http":{"timeout":15,"port":8090,"url":"\/ping","num_retries":3}}`)
	f.Add(`{"xmlrpc":{"sock_dir":"/run","username":"u","password":"pa55"},"tcp":{"port":"a(\\d)","timeout":1.5},"cpu":{"max_cpu":80},"file":{"timeout":null}}`)
	f.Add(`{"http":{"url":"/","port":1,"password":"pa55","headers":[["a",1]],"json":{"a":[null]}}}`)
	f.Fuzz(func(t *testing.T, document string) {
		all, err := parseComposite(document)
		switch {
		case err == nil && len(all) == 0:
			t.Error("no checks and no error")
		case err == nil && slices.Contains(all, nil):
			t.Error("a check that is nil")
		case err != nil && strings.ContainsAny(err.Error(), "\n\r\x00"):
			t.Errorf("more than a line: %q", err)
		case err != nil && strings.Contains(err.Error(), "pa55") && strings.Count(document, "pa55") == 1 && strings.Contains(document, `"password":"pa55"`):
			t.Errorf("the password is in it: %v", err)
		}
	})
}

func TestLimit(t *testing.T) {
	const noSize = ` is no size: write a number of KiB, such as 102400, or one with a unit, such as 100MB, 100MiB or 1.5GiB`
	for _, test := range []struct {
		text    string
		bytes   uint64
		percent float64
		err     string
	}{
		{text: "102400", bytes: 102400 << 10},
		{text: "1_000", bytes: 1000 << 10},
		{text: " 5 ", bytes: 5 << 10},
		{text: "+5", bytes: 5 << 10},
		{text: "010", bytes: 10 << 10},
		{text: "100MB", bytes: 100e6},
		{text: "100MiB", bytes: 100 << 20},
		{text: "100 mib", bytes: 100 << 20},
		{text: "1.5GiB", bytes: 3 << 29},
		{text: "1TB", bytes: 1e12},
		{text: "1TiB", bytes: 1 << 40},
		{text: "10KB", bytes: 10000},
		{text: "10KiB", bytes: 10240},
		{text: "10B", bytes: 10},
		{text: ".5GB", bytes: 5e8},
		{text: "80%", percent: 80},
		{text: "80 %", percent: 80},
		{text: "99.5%", percent: 99.5},
		{text: "100%", percent: 100},
		{text: "100.5%", err: `"100.5%" is not between 0 and 100 %`},
		{text: "0%", err: `"0%" is not between 0 and 100 %`},
		{text: "-5%", err: `"-5%" is not between 0 and 100 %`},
		{text: "%", err: `"%" is not a number of percent, such as 80 or 99.5`},
		{text: "x%", err: `"x%" is not a number of percent, such as 80 or 99.5`},
		{text: "0", err: `"0" is not more than 0`},
		{text: "-5", err: `"-5" is not more than 0`},
		{text: "0.5B", err: `"0.5B" is not more than 0`},
		{text: "99999999TB", err: `"99999999TB" is too large`},
		{text: "9223372036854775807", err: `"9223372036854775807" is too large`},
		{text: "", err: `""` + noSize},
		{text: "MB", err: `"MB"` + noSize},
		{text: "1.5", err: `"1.5"` + noSize},
		{text: "1..5MB", err: `"1..5MB"` + noSize},
		{text: "100M", err: `"100M"` + noSize},
		{text: "0x10", err: `"0x10"` + noSize},
		{text: "1e3MB", err: `"1e3MB"` + noSize},
	} {
		var got limit
		err := got.Set(test.text)
		switch {
		case test.err != "":
			if err == nil || err.Error() != test.err {
				t.Errorf("%q: %+v, error %v, want error %s", test.text, got, err, test.err)
			}
		case err != nil || got.bytes != test.bytes || got.percent != test.percent:
			t.Errorf("%q: %+v, error %v, want %d bytes or %v %%", test.text, got, err, test.bytes, test.percent)
		}
	}
}

func TestPercentage(t *testing.T) {
	for text, want := range map[string]percentage{"80": 80, "99.5": 99.5, "80%": 80, " 1_50 % ": 150, "+5": 5} {
		var got percentage
		if err := got.Set(text); err != nil || got != want {
			t.Errorf("%q: %v, error %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "%", "1e3", "0x10", "inf", "NaN", "1.5.5", "80%%"} {
		if err := new(percentage).Set(text); err == nil {
			t.Errorf("%q is a percentage", text)
		}
	}
}

func TestInterval(t *testing.T) {
	for text, want := range map[string]time.Duration{"0": 0, "30": 30 * time.Second, "2m": 2 * time.Minute} {
		var got interval
		if err := got.Set(text); err != nil || time.Duration(got) != want {
			t.Errorf("%q: %v, error %v, want %v", text, time.Duration(got), err, want)
		}
	}
	for _, text := range []string{"-1", "", "x"} {
		if err := new(interval).Set(text); err == nil {
			t.Errorf("%q is an interval", text)
		}
	}
}
