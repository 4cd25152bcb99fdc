package checks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/kolo/xmlrpc"

	"github.com/supervisor-checks/supervisor-checks/internal/foreign"
	"github.com/supervisor-checks/supervisor-checks/internal/httpcheck"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// What supervisords answer, as recorded.
const (
	pythonResult = "<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n<value><string>4.2.5</string></value>\n</param>\n</params>\n</methodResponse>\n"
	pythonFault  = "<?xml version='1.0'?>\n<methodResponse>\n<fault>\n<value><struct>\n<member>\n<name>faultCode</name>\n<value><int>10</int></value>\n</member>\n" +
		"<member>\n<name>faultString</name>\n<value><string>BAD_NAME: nope:x</string></value>\n</member>\n</struct></value>\n</fault>\n</methodResponse>\n"
	goResult = "<methodResponse><params><param><value><boolean>1</boolean></value></param></params></methodResponse>"
	goFault  = "<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>-32500</int></value></member>" +
		"<member><name>faultString</name><value><string>Application Error: BAD_NAME no process named nope:x</string></value></member></struct></value></fault></methodResponse>"
	goNoMethod = `rpc: can't find service "supervisor.getAllConfigInfo"`
)

// result is a methodResponse with value, and fault one with these members.
func result(value string) string {
	return "<?xml version='1.0'?><methodResponse><params><param>" + value + "</param></params></methodResponse>"
}

func fault(members string) string {
	return "<methodResponse><fault><value><struct>" + members + "</struct></value></fault></methodResponse>"
}

func member(name, value string) string {
	return "<member><name>" + name + "</name><value>" + value + "</value></member>"
}

// response is an HTTP answer with body.
func response(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

func TestXMLRPC(t *testing.T) {
	up := listen(t, "tcp4", "127.0.0.1:0", answer(response(pythonResult)))
	faulty := listen(t, "tcp4", "127.0.0.1:0", answer(response(pythonFault)))
	wrong := listen(t, "tcp4", "127.0.0.1:0", answer(response("<html></html>")))
	broken := listen(t, "tcp4", "127.0.0.1:0", answer("HTTP/1.1 500 No\r\n\r\n"+pythonResult))
	noMethod := listen(t, "tcp4", "127.0.0.1:0", answer("HTTP/1.1 400 Bad Request\r\n\r\n"+goNoMethod))
	huge := listen(t, "tcp4", "127.0.0.1:0", answer("HTTP/1.1 200 OK\r\n\r\n"+result(strings.Repeat(" ", httpcheck.MaxBody))))
	vague := listen(t, "tcp4", "127.0.0.1:0", answer("HTTP/1.1 200 OK\r\n\r\n<methodResponse>"+strings.Repeat(" ", httpcheck.MaxBody)))
	broke := listen(t, "tcp4", "127.0.0.1:0", answer("HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n"+pythonResult))
	silent := listen(t, "tcp4", "127.0.0.1:0", func(conn net.Conn) { io.Copy(io.Discard, conn) })
	endless := listen(t, "tcp4", "127.0.0.1:0", func(conn net.Conn) {
		answer("HTTP/1.1 200 OK\r\n\r\n" + pythonResult)(conn)
		io.Copy(io.Discard, conn)
	})
	rude := listen(t, "tcp4", "127.0.0.1:0", hangUp)
	dir := t.TempDir()
	socket := filepath.Join(dir, "web.sock")
	listen(t, "unix", socket, answer(response(goResult)))
	listen(t, "unix", filepath.Join(dir, "faulty.sock"), answer(response(goFault)))

	at := func(port string) XMLRPCConfig { return XMLRPCConfig{URL: "/RPC2", Port: port} }
	in := func(dir string) XMLRPCConfig { return XMLRPCConfig{SocketDir: dir} }
	tests := []struct {
		name    string
		cfg     XMLRPCConfig
		process string
		status  Status
		err     error
		text    string // part of the error
		code    float64
	}{
		{"a result", at(up), "web", Healthy, nil, "", 200},
		{"port in the name", at(`web_(\d+)`), "web_" + up, Healthy, nil, "", 200},
		{"by name", XMLRPCConfig{URL: "x", Port: up, Host: "localhost"}, "web", Healthy, nil, "", 200},
		{"a fault", at(faulty), "web", Unhealthy, nil, `fault 10: "BAD_NAME: nope:x"`, 200},
		{"something else", at(wrong), "web", Unhealthy, supervisor.ErrNotXMLRPC, `the answer is not XML-RPC: its outermost element is "html"`, 200},
		{"500", at(broken), "web", Unhealthy, nil, "500 Internal Server Error", 500},
		{"no such method, of the Go supervisord", at(noMethod), "web", Unhealthy, nil, "400 Bad Request", 400},
		{"a long result", at(huge), "web", Healthy, nil, "", 200},
		{"a long answer that is nothing yet", at(vague), "web", Unhealthy, supervisor.ErrNotXMLRPC, "it is longer than 1048576 bytes", 200},
		{"a long answer that is not all there", at(broke), "web", Unhealthy, nil, "read the body: unexpected EOF", 200},
		{"refused", at(shutPort(t)), "web", Unhealthy, syscall.ECONNREFUSED, "connection refused", 0},
		{"too slow", XMLRPCConfig{URL: "/RPC2", Port: silent, Timeout: 50 * time.Millisecond}, "web", Unhealthy, context.DeadlineExceeded, "no answer within 50ms", 0},
		{"an answer without an end", XMLRPCConfig{URL: "/RPC2", Port: endless, Timeout: 50 * time.Millisecond}, "web", Unhealthy, context.DeadlineExceeded, "no end of the body within 50ms", 200},
		{"hung up", at(rude), "web", Unhealthy, nil, "", 0},
		{"no port in the name", XMLRPCConfig{URL: "/", Port: `web_(\d+)`, Retries: 9}, "web", Unknown, ErrNoPort, "does not match", 0},
		{"socket", XMLRPCConfig{SocketPath: socket}, "any/thing", Healthy, nil, "", 200},
		{"socket with unix://", XMLRPCConfig{SocketPath: "unix://" + socket}, "web", Healthy, nil, "", 200},
		{"no socket", XMLRPCConfig{SocketPath: socket + "x"}, "web", Unhealthy, syscall.ENOENT, "no such file", 0},
		{"socket of the name", in(dir), "web", Healthy, nil, "", 200},
		{"socket of another name", in(dir), "faulty", Unhealthy, nil, "fault -32500: ", 200},
		{"folder with a slash", in(dir + "/"), "web", Healthy, nil, "", 200},
		{"folder with unix://", in("unix://" + dir + "/"), "web", Healthy, nil, "", 200},
		{"no socket of the name", in(dir), "worker", Unhealthy, syscall.ENOENT, "worker.sock: connect: no such file", 0},
		{"a name with a slash", in(dir), "../" + filepath.Base(dir) + "/web", Unknown, nil, "cannot be part of a file name", 0},
		{"a name with a NUL", in(dir), "web\x00", Unknown, nil, `"web\x00" cannot be part of a file name`, 0},
		{"a name that is .", in(dir), ".", Unknown, nil, `"." cannot be part of a file name`, 0},
		{"a name that is ..", in(dir), "..", Unknown, nil, `".." cannot be part of a file name`, 0},
		{"no name", in(dir), "", Unknown, nil, `"" cannot be part of a file name`, 0},
		{"a name too long", in(dir), strings.Repeat("a", 200), Unknown, nil, fmt.Sprintf(" and the path of a socket at most %d", maxSocketPath), 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := NewXMLRPC(tt.cfg)
			if err != nil {
				t.Fatal(err)
			}
			r := c.Run(t.Context(), supervisor.Process{Group: "group", Name: tt.process})
			if r.Status != tt.status || tt.err != nil && !errors.Is(r.Err, tt.err) || !strings.Contains(text(r.Err), tt.text) {
				t.Errorf("got %v, %v, want %v, %v %s", r.Status, r.Err, tt.status, tt.err, tt.text)
			}
			if r.Status != Healthy && r.Err == nil {
				t.Error("there is no reason")
			}
			if got := r.Metrics["latency_seconds"]; (got > 0) != (tt.status != Unknown) {
				t.Errorf("latency_seconds is %v", got)
			}
			if got, there := r.Metrics["status_code"]; got != tt.code || there != (tt.code != 0) {
				t.Errorf("status_code is %v, %v, want %v", got, there, tt.code)
			}
		})
	}
}

func TestXMLRPCName(t *testing.T) {
	if got := new(XMLRPC).Name(); got != "xmlrpc" {
		t.Errorf("got %q", got)
	}
}

func TestXMLRPCTellsTheFault(t *testing.T) {
	port := listen(t, "tcp4", "127.0.0.1:0", answer(response(fault(member("faultCode", "<int>4</int>")+member("faultString", "\x1b[2J%s\n"+strings.Repeat("é", 400))))))
	c, err := NewXMLRPC(XMLRPCConfig{URL: "/", Port: port})
	if err != nil {
		t.Fatal(err)
	}
	r := c.Run(t.Context(), web)
	var f *XMLRPCFault
	if !errors.As(r.Err, &f) || f.Code != 4 || f.Text != "\uFFFD[2J%s\n"+strings.Repeat("é", 400) {
		t.Errorf("got %#v in %v", f, r.Err)
	}
	if want := `fault 4: "�[2J%s\n` + strings.Repeat("é", 193) + `"`; text(r.Err) != want {
		t.Errorf("got  %v\nwant %s", r.Err, want)
	}
	if got, want := (&XMLRPCFault{Code: -1, Text: "a\x1b\x00\xff\n"}).Error(), `fault -1: "a\x1b\x00\xff\n"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestXMLRPCRequest(t *testing.T) {
	const call = "\r\n\r\n" + `<?xml version="1.0" encoding="UTF-8"?><methodCall><methodName>status</methodName><params></params></methodCall>`
	const header = "Accept-Encoding: identity\r\nConnection: close\r\nContent-Length: 111\r\nContent-Type: text/xml\r\nUser-Agent: xmlrpc_check"
	requests := make(chan string, 1)
	record := func(conn net.Conn) {
		var request []byte
		for !bytes.HasSuffix(request, []byte("</methodCall>")) {
			some := make([]byte, 4096)
			n, err := conn.Read(some)
			if err != nil {
				break
			}
			request = append(request, some[:n]...)
		}
		requests <- string(request)
		io.WriteString(conn, response(goResult))
	}
	port := listen(t, "tcp4", "127.0.0.1:0", record)
	dir := t.TempDir()
	listen(t, "unix", filepath.Join(dir, "web_8001.sock"), record)

	tests := []struct {
		name string
		cfg  XMLRPCConfig
		want string
	}{
		{"to a port", XMLRPCConfig{URL: "/RPC2", Port: port}, "POST /RPC2 HTTP/1.1\r\nHost: 127.0.0.1:" + port + "\r\n" + header + call},
		{"with its own path", XMLRPCConfig{URL: "/a%2Fb?c=%s", Port: port}, "POST /a%2Fb?c=%s HTTP/1.1\r\nHost: 127.0.0.1:" + port + "\r\n" + header + call},
		{"to a socket", XMLRPCConfig{SocketPath: filepath.Join(dir, "web_8001.sock")}, "POST /RPC2 HTTP/1.1\r\nHost: localhost\r\n" + header + call},
		{"to a socket in a folder", XMLRPCConfig{SocketDir: dir}, "POST /RPC2 HTTP/1.1\r\nHost: localhost\r\n" + header + call},
		{"with its own method", XMLRPCConfig{SocketDir: dir, Method: "a_B.9:/-z"}, "POST /RPC2 HTTP/1.1\r\nHost: localhost\r\n" +
			strings.ReplaceAll(header, "111", "114") + strings.ReplaceAll(call, "status", "a_B.9:/-z")},
		{"with a login", XMLRPCConfig{SocketDir: dir, Username: "jo", Password: "pa%s"}, "POST /RPC2 HTTP/1.1\r\nHost: localhost\r\n" +
			strings.ReplaceAll(header, "Connection", "Authorization: Basic am86cGElcw==\r\nConnection") + call},
		{"with an empty password", XMLRPCConfig{SocketDir: dir, Username: "jo"}, "POST /RPC2 HTTP/1.1\r\nHost: localhost\r\n" +
			strings.ReplaceAll(header, "Connection", "Authorization: Basic am86\r\nConnection") + call},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := NewXMLRPC(tt.cfg)
			if err != nil {
				t.Fatal(err)
			}
			if r := c.Run(t.Context(), web); r.Status != Healthy {
				t.Fatalf("got %v, %v", r.Status, r.Err)
			}
			if got := <-requests; got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestXMLRPCCutShortIsUnknown(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	port := listen(t, "tcp4", "127.0.0.1:0", func(conn net.Conn) {
		cancel()
		io.Copy(io.Discard, conn)
	})
	c, err := NewXMLRPC(XMLRPCConfig{URL: "/", Port: port, Retries: 9})
	if err != nil {
		t.Fatal(err)
	}
	if r := c.Run(ctx, web); r.Status != Unknown || text(r.Err) != "cut short: context canceled" {
		t.Errorf("got %v, %v", r.Status, r.Err)
	}
}

func TestXMLRPCRetriesAllButFaults(t *testing.T) {
	const noResult = "the answer is not XML-RPC: there is neither a result nor a fault in it"
	tests := []struct {
		name    string
		answers []string // the last one again and again
		took    time.Duration
		status  Status
		want    string
	}{
		{"a result is not repeated", []string{response(goResult), ""}, 0, Healthy, ""},
		{"a fault is not repeated", []string{response(goFault), response(goResult)}, 0, Unhealthy, `fault -32500: "Application Error: BAD_NAME no process named nope:x"`},
		{"up to a fault", []string{"garbage", response(goFault), response(goResult)}, 3 * time.Second, Unhealthy, `fault -32500: "Application Error: BAD_NAME no process named nope:x" (after 2 tries)`},
		{"up to a result", []string{"HTTP/1.1 500 No\r\n\r\n", response("<a>"), response(goResult)}, 9 * time.Second, Healthy, ""},
		{"an empty body", []string{response("")}, 9 * time.Second, Unhealthy, noResult + " (after 3 tries)"},
		{"a fault that is none", []string{response(fault(""))}, 9 * time.Second, Unhealthy, `the answer is not XML-RPC: there is a fault in it with "" for its code (after 3 tries)`},
		{"a fault of another status", []string{"HTTP/1.0 404 No\r\n\r\n" + goFault}, 9 * time.Second, Unhealthy, "404 Not Found (after 3 tries)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				answers := tt.answers
				x, err := httpcheck.New(httpcheck.Config{
					Scheme: "http", Method: "POST", Timeout: time.Second, Judge: judgeMethodResponse,
					Dial: func(context.Context, string, string) (net.Conn, error) {
						ours, theirs := net.Pipe()
						go func(first string) {
							answer(first)(theirs)
							theirs.Close()
						}(answers[0])
						answers = answers[min(1, len(answers)-1):]
						return ours, nil
					},
				})
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				c := &XMLRPC{exchange: x, endpoint: endpoint{unixSocket: "/x"}, retries: 2}
				r := c.Run(t.Context(), web)
				if took := time.Since(start); r.Status != tt.status || text(r.Err) != tt.want || took != tt.took {
					t.Errorf("got %v, %v in %v, want %v, %s in %v", r.Status, r.Err, took, tt.status, tt.want, tt.took)
				}
			})
		})
	}
}

func TestJudgeMethodResponse(t *testing.T) {
	code, str := member("faultCode", "<int>4</int>"), member("faultString", "<string>x</string>")
	nested := func(depth int) string { // all elements but methodResponse and params
		return "<methodResponse><params>" + strings.Repeat("<a>", depth) + strings.Repeat("</a>", depth) + "</params></methodResponse>"
	}
	tests := []struct {
		name string
		body string
		want string // the error, after "the answer is not XML-RPC: " where it is no fault
	}{
		{"of Python's supervisord", pythonResult, ""},
		{"of the Go supervisord", goResult, ""},
		{"fault of Python's supervisord", pythonFault, `fault 10: "BAD_NAME: nope:x"`},
		{"fault of the Go supervisord", goFault, `fault -32500: "Application Error: BAD_NAME no process named nope:x"`},

		{"false", result("<value><boolean>0</boolean></value>"), ""},
		{"double", result("<value><double>1.5</double></value>"), ""},
		{"nil", result("<value><nil/></value>"), ""},
		{"nil of an extension", result("<value><ex:nil/></value>"), ""},
		{"no value", result(""), ""},
		{"value without a type", result("<value>up</value>"), ""},
		{"type that nobody knows", result("<value><zork>up</zork></value>"), ""},
		{"no params", "<methodResponse><params/></methodResponse>", ""},
		{"control characters", result("<value><string>a\x1b\x00b</string></value>"), ""},
		{"Latin-1", strings.Replace(result("<value>caf\xe9</value>"), "?>", " encoding='iso-8859-1'?>", 1), ""},
		{"bytes that are no UTF-8", result("<value>caf\xe9</value>"), ""},
		{"byte order mark, comments and space", "\uFEFF<?xml version='1.0'?>\n<!-- a --><!DOCTYPE x> " + goResult + "\n<!-- b -->\n", ""},
		{"namespace", "<r:methodResponse xmlns:r='x'><r:params/></r:methodResponse>", ""},
		{"fault in a comment", result("<!-- <fault>x</fault> -->"), ""},
		{"fault in a text", result("<value><string><![CDATA[<fault>x</fault>]]></string></value>"), ""},
		{"fault in a result", result("<fault>x</fault>"), ""},
		{"nested deeply", nested(998), ""},
		{"nested too deeply", nested(999), "it is nested deeper than 1000 elements"},

		{"fault with spaces", "<methodResponse >\n<fault >\n<value >\n<struct >\n" + member(" faultString\n", "\n<string> x\n</string>\n") + "</struct ></value ></fault ></methodResponse >", `there is a fault in it with "" for its code`},
		{"fault with spaces in its values", fault(member("faultCode", "\n<int> 4 </int>\n") + " " + member("faultString", "\n<string> x\n</string>\n")), `fault 4: "x"`},
		{"fault backwards", fault(str + code), `fault 4: "x"`},
		{"fault without types", fault(member("faultCode", "4") + member("faultString", "x")), `fault 4: "x"`},
		{"fault with a code that is a string", fault(member("faultCode", "<string>4</string>") + str), `fault 4: "x"`},
		{"fault with a text in pieces", fault(code + member("faultString", "<string>a<!-- b -->&lt;<![CDATA[&c]]></string>")), `fault 4: "a<&c"`},
		{"fault in Latin-1", "<?xml version='1.0' encoding='ISO-8859-1'?>" + fault(code+member("faultString", "<string>caf\xe9 closed</string>")), `fault 4: "caf� closed"`},
		{"fault in a namespace", "<r:methodResponse xmlns:r='x'><r:fault><value><struct>" + code + "</struct></value></r:fault></r:methodResponse>", `fault 4: ""`},
		{"fault with a structure for a text", fault(code + member("faultString", "<struct>"+member("faultCode", "<int>5</int>")+"</struct>")), `fault 4: ""`},
		{"fault without a text", fault(code), `fault 4: ""`},
		{"fault without a code", fault(str), `there is a fault in it with "" for its code`},
		{"fault with a code that is no number", fault(member("faultCode", "<int>four</int>") + str), `there is a fault in it with "four" for its code`},
		{"fault with a long code", fault(member("faultCode", strings.Repeat("9", 99)) + str), `there is a fault in it with "` + strings.Repeat("9", 40) + `" for its code`},
		{"fault that is a string", "<methodResponse><fault><value>x</value></fault></methodResponse>", `there is a fault in it with "" for its code`},
		{"fault alone", strings.TrimSuffix(strings.TrimPrefix(goFault, "<methodResponse>"), "</methodResponse>"), `its outermost element is "fault"`},
		{"fault without an end", strings.TrimSuffix(goFault, "</fault></methodResponse>"), "XML syntax error on line 1: unexpected EOF"},

		{"nothing", "", "there is neither a result nor a fault in it"},
		{"nothing in it", "<methodResponse/>", "there is neither a result nor a fault in it"},
		{"text", "OK", "there is text before or after it"},
		{"text after it", goResult + "x", "there is text before or after it"},
		{"HTML", "<html><methodResponse><params/></methodResponse></html>", `its outermost element is "html"`},
		{"a call", "<methodCall><methodName>status</methodName></methodCall>", `its outermost element is "methodCall"`},
		{"a long element", "<" + strings.Repeat("a", 99) + "/>", `its outermost element is "` + strings.Repeat("a", 40) + `"`},
		{"an element that does not belong there", "<methodResponse><zork/></methodResponse>", `there is an element "zork" in it`},
		{"a result and a fault", strings.Replace(goResult, "</methodResponse>", "<fault/></methodResponse>", 1), "there is a fault in it after the params"},
		{"two results", strings.Replace(goResult, "</methodResponse>", "<params/></methodResponse>", 1), "there is a params in it after the params"},
		{"two answers", goResult + goResult, "there is more after its end"},
		{"half an answer", strings.TrimSuffix(pythonResult, "</methodResponse>\n"), "XML syntax error on line 8: unexpected EOF"},
		{"elements that do not match", "<methodResponse><params></methodResponse></params>", "XML syntax error on line 1: element <params> closed by </methodResponse>"},
		{"an entity that is not XML's", result("<value>&copy;</value>"), "XML syntax error on line 1: invalid character entity &copy;"},
		{"XML 1.1", strings.Replace(result(""), "1.0", "1.1", 1), `xml: unsupported version "1.1"; only version 1.0 is supported`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := judgeMethodResponse([]byte(tt.body), true)
			want := tt.want
			f := (*XMLRPCFault)(nil)
			if isFault := errors.As(err, &f); !isFault && want != "" {
				want = "the answer is not XML-RPC: " + want
			} else if isFault == errors.Is(err, supervisor.ErrNotXMLRPC) && err != nil {
				t.Errorf("%v is not one of the two kinds of error", err)
			}
			if text(err) != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}

// Of a long answer only the beginning is there to be judged.
func TestJudgeTheBeginningOfAMethodResponse(t *testing.T) {
	const (
		tooLong = "the answer is not XML-RPC: it is longer than 1048576 bytes, and so far neither a result nor a fault with its code"
		begun   = "<methodResponse><fault><value><struct>"
	)
	code := member("faultCode", "<int>4</int>")
	tests := []struct{ name, body, want string }{
		{"in a text", "<methodResponse><params><param><value>caf", ""},
		{"in a character", "<methodResponse><params><param><value>caf\xc3", ""},
		{"in a tag", "<methodResponse><params><param><val", ""},
		{"in an end tag", "<methodResponse><params></par", ""},
		{"in an entity", "<methodResponse><params><param><value>&am", ""},
		{"in a comment", "<methodResponse><params><!-- a", ""},
		{"in a CDATA section", "<methodResponse><params><param><value><![CDATA[ a", ""},
		{"between elements", "<methodResponse><params>", ""},
		{"after the end", goResult + "\n", ""},
		{"in a tag in Latin-1", "<?xml version='1.0' encoding='iso-8859-1'?><methodResponse><params><param><value>caf\xe9</va", ""},
		{"after the code", begun + code, `fault 4: ""`},
		{"in the text of a fault", begun + code + "<member><name>faultString</name><value><string>a", `fault 4: ""`},
		{"after the text of a fault", begun + code + member("faultString", "a"), `fault 4: "a"`},

		{"nothing", "", tooLong},
		{"before the kind", "<methodResponse>", tooLong},
		{"in the kind", "<methodResponse><params", tooLong},
		{"before the code", begun + member("faultString", "a"), tooLong},
		{"in the code", begun + "<member><name>faultCode</name><value><int>4</int></value>", tooLong},
		{"a code that is no number", begun + member("faultCode", "four"), `the answer is not XML-RPC: there is a fault in it with "four" for its code`},
		{"not well-formed", "<methodResponse><params><a></b>", "the answer is not XML-RPC: XML syntax error on line 1: element <a> closed by </b>"},
		{"not well-formed after the code", begun + code + "<a></b>", "the answer is not XML-RPC: XML syntax error on line 1: element <a> closed by </b>"},
		{"HTML", "<html><", `the answer is not XML-RPC: its outermost element is "html"`},
		{"two answers", goResult + goResult[:20], "the answer is not XML-RPC: there is more after its end"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := judgeMethodResponse([]byte(tt.body), false)
			if text(err) != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
			if fault := (*XMLRPCFault)(nil); err != nil && errors.As(err, &fault) == errors.Is(err, supervisor.ErrNotXMLRPC) {
				t.Errorf("%v is not one of the two kinds of error", err)
			}
		})
	}
}

func TestNewXMLRPCRefuses(t *testing.T) {
	const password = "pa55word"
	at := func(url string) XMLRPCConfig { return XMLRPCConfig{URL: url, Port: "80"} }
	long := "/" + strings.Repeat("a", maxSocketPath)
	tests := []struct {
		name string
		cfg  XMLRPCConfig
		want string
	}{
		{"nothing", XMLRPCConfig{}, "xmlrpc: url: is required, or else socket-path or socket-dir"},
		{"a port alone", XMLRPCConfig{Port: "80"}, "xmlrpc: url: is required, or else socket-path or socket-dir"},
		{"URL and socket", XMLRPCConfig{URL: "/", Port: "80", SocketPath: "/x"}, "xmlrpc: socket-path: is of no use with url: give one of them"},
		{"URL and folder", XMLRPCConfig{URL: "/", Port: "80", SocketDir: "/x"}, "xmlrpc: socket-dir: is of no use with url: give one of them"},
		{"socket and folder", XMLRPCConfig{SocketPath: "/x", SocketDir: "/x"}, "xmlrpc: socket-dir: is of no use with socket-path: give one of them"},
		{"all three", XMLRPCConfig{URL: "/", SocketPath: "/x", SocketDir: "/x"}, "xmlrpc: socket-path: is of no use with url: give one of them"},
		{"URL without a port", XMLRPCConfig{URL: "/"}, "xmlrpc: port: is required: a number, or a regular expression with one group such as `web_(\\d+)`"},
		{"port 70000", XMLRPCConfig{URL: "/", Port: "70000"}, `xmlrpc: port: "70000" is not between 1 and 65535`},
		{"port and socket", XMLRPCConfig{SocketPath: "/x", Port: "80"}, "xmlrpc: port: is of no use with socket-path: give one of them"},
		{"port and folder", XMLRPCConfig{SocketDir: "/x", Port: "80"}, "xmlrpc: port: is of no use with socket-dir: give one of them"},
		{"host and folder", XMLRPCConfig{SocketDir: "/x", Host: "a"}, "xmlrpc: host: is of no use with socket-dir: give one of them"},
		{"host", XMLRPCConfig{URL: "/", Port: "80", Host: "a b"}, `xmlrpc: host: "a b" is neither a host name nor an IP address`},
		{"URL with a space", at("/a b"), `xmlrpc: url: ' ' cannot be sent: write it as %20`},
		{"URL with a password", at("http://jo:" + password + "@a/"), "xmlrpc: url: must not hold a user name or a password: they have settings of their own"},
		{"socket without a path", XMLRPCConfig{SocketPath: "unix://"}, `xmlrpc: socket-path: "unix://" is not a path`},
		{"folder without a path", XMLRPCConfig{SocketDir: "unix://"}, `xmlrpc: socket-dir: "unix://" is not a path`},
		{"socket with a NUL", XMLRPCConfig{SocketPath: "/a\x00"}, `xmlrpc: socket-path: "/a\x00" is not a path`},
		{"socket too long", XMLRPCConfig{SocketPath: long}, fmt.Sprintf("xmlrpc: socket-path: %q has %d bytes, and the path of a socket at most %d", long, maxSocketPath+1, maxSocketPath)},
		{"method with an element", XMLRPCConfig{SocketPath: "/x", Method: "a</methodName>"}, `xmlrpc: method: "a</methodName>" is not the name of a method, which has letters and digits of ASCII and _ . : / - only`},
		{"method with a space", XMLRPCConfig{SocketPath: "/x", Method: "a b"}, `xmlrpc: method: "a b" is not the name of a method, which has letters and digits of ASCII and _ . : / - only`},
		{"method with an ampersand", XMLRPCConfig{SocketPath: "/x", Method: "a&b"}, `xmlrpc: method: "a&b" is not the name of a method, which has letters and digits of ASCII and _ . : / - only`},
		{"method beyond ASCII", XMLRPCConfig{SocketPath: "/x", Method: "é"}, `xmlrpc: method: "é" is not the name of a method, which has letters and digits of ASCII and _ . : / - only`},
		{"negative timeout", XMLRPCConfig{SocketPath: "/x", Timeout: -time.Second}, "xmlrpc: timeout: -1s is not more than 0"},
		{"password without a username", XMLRPCConfig{SocketPath: "/x", Password: password}, "xmlrpc: password: needs a username"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewXMLRPC(tt.cfg)
			if text(err) != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
			if bad := (*ConfigError)(nil); !errors.As(err, &bad) {
				t.Errorf("%T is not a *ConfigError", err)
			}
			if strings.Contains(text(err), password) {
				t.Errorf("the password is in %q", err)
			}
		})
	}
}

// The longest path that is taken is one that the system takes.
func TestMaxSocketPath(t *testing.T) {
	dir, err := os.MkdirTemp("", "x") // shorter than t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	name := strings.Repeat("a", maxSocketPath-len(dir)-len("/.sock"))
	listen(t, "unix", filepath.Join(dir, name+".sock"), answer(response(goResult)))
	if l, err := net.Listen("unix", filepath.Join(dir, name+"a.sock")); err == nil {
		l.Close()
		t.Error("it takes a longer one")
	}
	c, err := NewXMLRPC(XMLRPCConfig{SocketDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]Status{name: Healthy, name + "a": Unknown} {
		if r := c.Run(t.Context(), supervisor.Process{Name: name}); r.Status != want {
			t.Errorf("%d bytes: got %v, %v, want %v", len(name), r.Status, r.Err, want)
		}
	}
}

// simpleFault matches documents whose fault kolo/xmlrpc sees, and nothing that
// it takes for one besides.
var simpleFault = regexp.MustCompile(`^(<\?xml version=['"]1\.0['"]\?>)?\s*<methodResponse>\s*<fault>\s*<value>\s*<struct>`)

// FuzzXMLRPCAnswer judges any bytes, with kolo/xmlrpc as the oracle where both
// see the same kind of document.
func FuzzXMLRPCAnswer(f *testing.F) {
	for _, body := range []string{
		"", "OK", pythonResult, pythonFault, goResult, goFault, goNoMethod, "<html>", "\uFEFF" + goResult,
		result("<value><double>1.5</double></value>"), result("<value><string>\x1b\xff</string></value>"), result("<value/>"),
		result("<!--<fault>x</fault>-->"), result("<value><![CDATA[<fault>]]></value>"), fault(""),
		fault(member("faultCode", "4") + member("faultString", "<string>&lt;a<!-- b --></string>")),
		fault(member("faultCode", "<int>4</int>") + member("faultString", "") + member("x", "<array><data/></array>")),
		"<?xml version='1.0' encoding='iso-8859-1'?>" + result("<value>\xe9</value>"),
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		err := judgeMethodResponse(body, true)
		if begun := judgeMethodResponse(body, false); err == nil && begun != nil {
			t.Errorf("a result is none when there is more of it: %v", begun)
		}
		if begun := judgeMethodResponse(body[:len(body)/2], false); err == nil && begun != nil && !errors.Is(begun, errCutOff) {
			t.Errorf("a half of a result is none: %v", begun)
		}
		var ours *XMLRPCFault
		isFault := errors.As(err, &ours)
		if err != nil && isFault == errors.Is(err, supervisor.ErrNotXMLRPC) {
			t.Errorf("%v is not one of the two kinds of error", err)
		}
		if isFault && strings.ContainsFunc(err.Error(), func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q is not printable", err)
		}
		if err == nil && !bytes.Contains(body, []byte("params")) {
			t.Error("there is no result")
		}
		if !simpleFault.Match(body) {
			return
		}
		theirs, known := koloFault(foreign.XML(bytes.TrimPrefix(body, []byte("\uFEFF"))))
		switch {
		case err == nil:
			t.Error("a fault is healthy")
		case isFault && known && ours.Code != theirs.Code:
			t.Errorf("the code is %d, want %d", ours.Code, theirs.Code)
		case isFault && known && !strings.HasPrefix(ours.Text, strings.TrimSpace(theirs.String)): // kolo reads up to a comment
			t.Errorf("the text is %q, want %q", ours.Text, theirs.String)
		}
	})
}

// koloFault returns the fault that kolo/xmlrpc decodes, if it can.
func koloFault(body []byte) (f xmlrpc.FaultError, known bool) {
	defer func() { known = known && recover() == nil }()
	known = errors.As(xmlrpc.Response(body).Err(), &f)
	return f, known
}
