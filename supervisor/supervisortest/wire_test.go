package supervisortest

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// exchange is a recorded call, or a pause between two calls.
type exchange struct {
	pause time.Duration
	call  string // "supervisor.stopProcess('web:slow', False)"
	answer
}

type answer struct {
	Status int
	Type   string
	Body   string
}

func recording(t *testing.T, flavour supervisor.Flavour) (exchanges []exchange) {
	t.Helper()
	data, err := os.ReadFile("../testdata/wire/" + string(flavour) + "-rpc.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.Split(string(data), "=== ")[1:] {
		title, text, _ := strings.Cut(part, "\n")
		if seconds, isPause := strings.CutSuffix(title, " s later"); isPause {
			pause, err := time.ParseDuration(seconds + "s")
			if err != nil {
				t.Fatal(err)
			}
			exchanges = append(exchanges, exchange{pause: pause})
			continue
		}
		head, body, _ := strings.Cut(text, "\n\n")
		header := func(name string) string {
			_, value, _ := strings.Cut(head, "\n"+name+": ")
			value, _, _ = strings.Cut(value, "\n")
			return value
		}
		if header("Transfer-Encoding") == "chunked" { // in one chunk, which its length and another's precede and follow
			_, body, _ = strings.Cut(body, "\n")
			body, _, _ = strings.Cut(body, "\n0\n")
		}
		body = strings.TrimRight(body, "\n") // the recorder's, but for one
		if flavour == supervisor.Python {
			body += "\n"
		}
		status, err := strconv.Atoi(strings.Fields(head)[1])
		if err != nil {
			t.Fatal(err)
		}
		exchanges = append(exchanges, exchange{call: title, answer: answer{status, header("Content-Type"), body}})
	}
	return exchanges
}

// send makes a call that is written as in a recording.
func send(t *testing.T, s *Server, call string) answer {
	t.Helper()
	method, args, _ := strings.Cut(strings.TrimSuffix(call, ")"), "(")
	body := "<?xml version='1.0'?>\n<methodCall><methodName>" + method + "</methodName><params>"
	for arg := range strings.SplitSeq(args, ",") {
		switch arg = strings.TrimSpace(arg); arg {
		case "":
			continue
		case "False":
			arg = "<boolean>0</boolean>"
		default:
			if name, isText := strings.CutPrefix(arg, "'"); isText {
				arg = "<string>" + strings.TrimSuffix(name, "'") + "</string>"
			} else {
				arg = "<int>" + arg + "</int>"
			}
		}
		body += "<param><value>" + arg + "</value></param>"
	}
	body += "</params></methodCall>"
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return s.Config().Dial(ctx)
		},
	}
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.Config().URL+"/RPC2", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header.Get("Content-Type"), string(got)}
}

// varying are the values that differ from one run of supervisord to another,
// and what stands for them in the comparison. 0 is not varied: it means never.
var varying = []struct {
	value *regexp.Regexp
	with  string
}{
	{regexp.MustCompile(`(<name>(?:pid|start|stop|now)</name>\n?<value><int>)[1-9]\d*`), "${1}N"},
	{regexp.MustCompile(`(<name>(?:\w+_)?logfile</name>\n?<value><string>)[^<]*`), "${1}LOG"},
	{regexp.MustCompile(`(<name>node</name>\n?<value><string>)[^<]*`), "${1}NODE"},
	{regexp.MustCompile(`pid \d+, uptime \d+:\d\d:\d\d`), "pid N, uptime T"},
	{regexp.MustCompile(`[A-Z][a-z][a-z] \d\d \d\d:\d\d [AP]M`), "DATE"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[.\d]* \+\d{4} UTC(?: m=\+[.\d]+)?`), "DATE"},
}

func normal(a answer) answer {
	for _, v := range varying {
		a.Body = v.value.ReplaceAllString(a.Body, v.with)
	}
	return a
}

// differences are the answers that the server gives otherwise than the recorded
// supervisord, made from those, and why.
var differences = []struct {
	reason  string
	flavour supervisor.Flavour
	call    string
	change  func(answer) answer
}{
	{
		"it has a process id of its own", supervisor.Python, "supervisor.getPID()",
		replace("<int>14149</int>", "<int>5000000</int>"),
	},
	{
		"it has a process id of its own", supervisor.Go, "supervisor.getPID()",
		replace("<int>14148</int>", "<int>5000000</int>"),
	},
	{
		"it has only the methods that package supervisor calls", supervisor.Python, "system.listMethods()",
		func(a answer) answer {
			var kept strings.Builder
			for line := range strings.Lines(a.Body) {
				name, isMethod := strings.CutPrefix(line, "<value><string>")
				name, _, _ = strings.Cut(name, "<")
				if !isMethod || slices.Contains(methods, any(name)) {
					kept.WriteString(line)
				}
			}
			return answer{a.Status, a.Type, kept.String()}
		},
	},
	{
		"its processes have no exit status", supervisor.Python, "supervisor.getProcessInfo('web:sleeper',)",
		replace("<int>-1</int>", "<int>0</int>"),
	},
	{
		"its processes have no exit status", supervisor.Go, "supervisor.getProcessInfo('web:sleeper',)",
		replace("<int>-1</int>", "<int>0</int>"),
	},
	{
		"supervisord took it for RUNNING once, by a hair, and counted its starts anew",
		supervisor.Python, "supervisor.getProcessInfo('dead',)",
		func(a answer) answer {
			return replace("BACKOFF", "FATAL")(replace("<int>30</int>", "<int>200</int>")(a))
		},
	},
}

func replace(old, new string) func(answer) answer {
	return func(a answer) answer {
		a.Body = strings.Replace(a.Body, old, new, 1)
		return a
	}
}

// TestRecordings makes the calls that were recorded of both supervisords, and
// expects the same answers.
func TestRecordings(t *testing.T) {
	programs := []Program{
		{Name: "dead", Command: "/bin/false", Stopped: true, StartTakes: time.Second, Retries: 1, Fails: always},
		{Name: "lis", Command: "/usr/bin/python3 /srv/demo/l.py /srv/demo/py-listener.txt", Listener: true,
			StartTakes: time.Second, Retries: 3},
		{Group: "web", Name: "sleeper", Command: "/bin/sleep 1000", StartTakes: time.Second,
			StopTakes: 10 * time.Millisecond, Retries: 3},
		{Group: "web", Name: "slow", Command: `/bin/bash -c "trap 'sleep 2; exit 0' TERM; while :; do sleep 0.1; done"`,
			StartTakes: time.Second, StopTakes: 2 * time.Second, Retries: 3},
	}
	for _, flavour := range []supervisor.Flavour{supervisor.Python, supervisor.Go} {
		t.Run(string(flavour), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := NewServer(flavour, programs...)
				defer s.Close()
				for i, e := range recording(t, flavour) {
					if e.pause != 0 {
						time.Sleep(e.pause)
						continue
					}
					want := normal(e.answer)
					for _, d := range differences {
						if d.flavour == flavour && d.call == e.call {
							want = d.change(want)
						}
					}
					if diff := cmp.Diff(want, normal(send(t, s, e.call))); diff != "" {
						t.Errorf("%d: %s (-recorded +answered):\n%s", i, e.call, diff)
					}
				}
			})
		})
	}
}

func always(int) bool { return true }
