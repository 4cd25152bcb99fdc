package supervisor

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/kolo/xmlrpc"

	"github.com/supervisor-checks/supervisor-checks/internal/foreign"
)

// infosWithKolo is what kolo/xmlrpc makes of an answer to getAllProcessInfo.
func infosWithKolo(body []byte) (infos []info, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("it panicked: %v", v)
		}
	}()
	response := xmlrpc.Response(foreign.XML(body))
	if err := response.Err(); err != nil {
		return nil, err
	}
	err = response.Unmarshal(&infos)
	return infos, err
}

// recordedInfos returns the answers of both supervisords to getAllProcessInfo.
func recordedInfos(t testing.TB) [][]byte {
	var found [][]byte
	for _, flavour := range []Flavour{Python, Go} {
		recording, err := os.ReadFile("testdata/wire/" + string(flavour) + "-rpc.txt")
		if err != nil {
			t.Fatal(err)
		}
		_, answer, _ := bytes.Cut(recording, []byte("\n=== supervisor.getAllProcessInfo()"))
		answer, _, _ = bytes.Cut(answer, []byte("\n=== "))
		start, end := bytes.Index(answer, []byte("<?xml")), bytes.Index(answer, []byte("</methodResponse>"))
		if start < 0 {
			start = bytes.Index(answer, []byte("<methodResponse>"))
		}
		if start < 0 || end < 0 {
			t.Fatalf("no answer to getAllProcessInfo in the recording of %s's", flavour)
		}
		found = append(found, append(answer[start:end:end], "</methodResponse>\n"...))
	}
	return found
}

func TestScanOfWhatSupervisordsWrite(t *testing.T) {
	for _, body := range recordedInfos(t) {
		got, ok := scanInfos(body)
		want, err := infosWithKolo(body)
		if !ok || err != nil || len(want) < 3 {
			t.Fatalf("scanned: %t; kolo/xmlrpc found %d processes, error %v", ok, len(want), err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-kolo/xmlrpc +scanned)\n%s", diff)
		}
		for _, i := range got {
			if p := i.process(); p.StdoutLog == "" || p.StdoutLog != i.StdoutLog || p.StderrLog == "" || p.StderrLog != i.StderrLog {
				t.Errorf("%+v is made of %+v", p, i)
			}
		}
	}
}

// TestUsualAnswersAreScanned tells by what it costs to decode an answer that it
// does not go through kolo/xmlrpc.
func TestUsualAnswersAreScanned(t *testing.T) {
	for _, body := range recordedInfos(t) {
		var infos []info
		ours := testing.AllocsPerRun(10, func() {
			if err := new(Client).decode(body, "supervisor.getAllProcessInfo", &infos); err != nil {
				t.Fatal(err)
			}
		})
		kolo := testing.AllocsPerRun(10, func() { infosWithKolo(body) })
		if ours > kolo/5 || len(infos) < 3 {
			t.Errorf("%d processes took %v allocations, kolo/xmlrpc takes %v", len(infos), ours, kolo)
		}
	}
}

// answerWith is an answer with one process that has those members.
func answerWith(members ...string) []byte {
	return []byte("<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n<value><array><data>\n<value><struct>\n" +
		strings.Join(members, "\n") + "\n</struct></value>\n</data></array></value>\n</param>\n</params>\n</methodResponse>\n")
}

func member(name, value string) string {
	return "<member>\n<name>" + name + "</name>\n<value>" + value + "</value>\n</member>"
}

func TestScan(t *testing.T) {
	name := member("name", "<string>a</string>")
	for _, test := range []struct {
		name string
		body []byte
		want []info // nil for what is left to kolo/xmlrpc
	}{
		{"members", answerWith(name, member("group", "<string>web</string>"), member("pid", "<int>-34</int>"), member("start", "<int>+5</int>")),
			[]info{{Name: "a", Group: "web", PID: -34, Start: 5}}},
		{"logs", answerWith(member("logfile", "<string>/x</string>"), member("stdout_logfile", "<string>/a&amp;b</string>"), member("stderr_logfile", "<string></string>")),
			[]info{{StdoutLog: "/a&b"}}},
		{"no member", answerWith(), []info{{}}},
		{"unknown members", answerWith(member("node", "<string>vm</string>"), member("exitstatus", "<int>1</int>"), name), []info{{Name: "a"}}},
		{"entities", answerWith(member("name", "<string>&lt;b&gt;&amp;amp;&quot;&apos;</string>")), []info{{Name: `<b>&amp;"'`}}},
		{"control characters", answerWith(member("name", "<string>a\x00\x1b[2J\tb\n</string>")), []info{{Name: "a\uFFFD\uFFFD[2J\tb\n"}}},
		{"no UTF-8", answerWith(member("name", "<string>\xff\xc3\xa9</string>")), []info{{Name: "\uFFFDé"}}},
		{"brackets", answerWith(member("name", "<string>[[a]]</string>")), []info{{Name: "[[a]]"}}},
		{"an empty string", answerWith(member("name", "<string></string>")), []info{{}}},
		{"space in a string", answerWith(member("name", "<string> a </string>")), []info{{Name: " a "}}},

		{"two of a name", answerWith(name, member("name", "<string></string>")), nil},
		{"two of a log", answerWith(member("stderr_logfile", "<string>/a</string>"), member("stderr_logfile", "<string>/b</string>")), nil},
		{"a member without a name", answerWith(member("", "<int>0</int>")), nil},
		{"nothing", nil, nil},
		{"an entity that is none", answerWith(member("name", "<string>&nbsp;</string>")), nil},
		{"an entity by number", answerWith(member("name", "<string>&#65;</string>")), nil},
		{"an entity without an end", answerWith(member("name", "<string>&amp</string>")), nil},
		{"a bad entity in a member that is not needed", answerWith(member("node", "<string>&nbsp;</string>")), nil},
		{"the end of a CDATA section", answerWith(member("name", "<string>]]></string>")), nil},
		{"a carriage return", answerWith(member("name", "<string>a\r\nb</string>")), nil},
		{"a comment", answerWith("<!-- -->", name), nil},
		{"an attribute", answerWith(member("name", "<string x='y'>a</string>")), nil},
		{"a string where a number belongs", answerWith(member("pid", "<string>1</string>")), nil},
		{"a number where a string belongs", answerWith(member("name", "<int>1</int>")), nil},
		{"no number", answerWith(member("pid", "<int>x</int>")), nil},
		{"an empty number", answerWith(member("pid", "<int></int>")), nil},
		{"a number that is too large", answerWith(member("pid", "<int>9223372036854775808</int>")), nil},
		{"a list in it", answerWith(member("x", "<array><data></data></array>")), nil},
		{"a value without a type", answerWith(member("name", "a")), nil},
		{"an end that is missing", bytes.TrimSuffix(answerWith(name), []byte("</methodResponse>\n")), nil},
		{"something after the end", append(answerWith(name), "<x/>"...), nil},
		{"another encoding", bytes.Replace(answerWith(name), []byte("?>"), []byte(" encoding='latin1'?>"), 1), nil},
		{"a fault", []byte("<methodResponse><fault><value><struct></struct></value></fault></methodResponse>"), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, ok := scanInfos(test.body)
			if ok != (test.want != nil) {
				t.Fatalf("scanned: %t, as %v", ok, got)
			}
			if !ok {
				return
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if kolo, err := infosWithKolo(test.body); err != nil || !cmp.Equal(kolo, got) {
				t.Errorf("kolo/xmlrpc makes of it %v, error %v", kolo, err)
			}
		})
	}
}

// FuzzScan compares with kolo/xmlrpc.
func FuzzScan(f *testing.F) {
	for _, body := range recordedInfos(f) {
		f.Add(body)
	}
	f.Add([]byte("<methodResponse><params><param><value><array><data></data></array></value></param></params></methodResponse>"))
	f.Add(answerWith(member("name", "<string>a</string>"), member("state", "<int>20</int>")))
	f.Add(answerWith(member("name", "<string>&lt;b&gt;&amp;amp;\x00\xff]</string>"), member("pid", "<int>-1</int>"), member("x", "<int>y</int>")))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, ok := scanInfos(body)
		if !ok {
			return
		}
		want, err := infosWithKolo(body)
		if err != nil {
			t.Fatalf("scanned as %v, but kolo/xmlrpc says: %v", got, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-kolo/xmlrpc +scanned)\n%s", diff)
		}
	})
}

func BenchmarkProcesses(b *testing.B) {
	one := answerWith(recordedMembers(b)...)
	_, one, _ = bytes.Cut(one, []byte("<data>\n"))
	one, _, _ = bytes.Cut(one, []byte("</data>"))
	body := bytes.Replace(answerWith(), []byte("<value><struct>\n\n</struct></value>\n"), bytes.Repeat(one, 1000), 1)
	for name, decode := range map[string]func() int{
		"scan": func() int { infos, _ := scanInfos(body); return len(infos) },
		"kolo": func() int { infos, _ := infosWithKolo(body); return len(infos) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if n := decode(); n != 1000 {
					b.Fatal(n)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/1000, "µs/process")
		})
	}
}

// recordedMembers returns the members of a process in the recording of Python's
// supervisord.
func recordedMembers(b *testing.B) []string {
	_, members, _ := strings.Cut(string(recordedInfos(b)[0]), "<struct>\n")
	members, _, _ = strings.Cut(members, "\n</struct>")
	return []string{members}
}
