package conformance

import (
	"os"
	"path/filepath"
	"time"
)

// complexCases are those of supervisor_complex_check.
var complexCases = []test{
	{name: "one check", program: "complex", args: `-n x -g web -c '{"tcp": {"port": $PORT}}'`, want: expectation{finds: "a tcp healthy", asks: 1}},
	{name: "several checks", program: "complex", args: `-n x -g web -c '{"http": {"url": "/ping", "port": $PORT, "method": "GET"}, "tcp": {"port": $PORT}, "memory": {"max_rss": 100000000}}'`,
		set: as(alone), want: expectation{finds: "a http healthy, a tcp healthy, a memory healthy", asks: 2}},
	{name: "the first fails", program: "complex", args: `-n x -g web -c '{"tcp": {"port": $CLOSED, "num_retries": 0}, "http": {"url": "/ping", "port": $PORT, "method": "GET"}}'`,
		want: expectation{finds: "a tcp unhealthy", asks: -1}},
	{name: "the last fails", program: "complex", args: `-n x -g web -c '{"http": {"url": "/ping", "port": $PORT, "method": "GET"}, "tcp": {"port": $CLOSED, "num_retries": 0}}'`,
		want: expectation{finds: "a http healthy, a tcp unhealthy", asks: 1}},
	{name: "the first is unknown", program: "complex", args: `-n x -g web -c '{"memory": {"max_rss": 1}, "tcp": {"port": $CLOSED, "num_retries": 0}}'`,
		set: as(gone), want: expectation{finds: "a memory unknown, a tcp unhealthy"}},
	{name: "the first is unknown, and the other healthy", program: "complex", args: `-n x -g web -c '{"memory": {"max_rss": 1}, "tcp": {"port": $PORT}}'`,
		set: as(gone), want: expectation{finds: "a memory unknown, a tcp healthy"}},
	{name: "several processes", program: "complex", args: `-n x -g web -c '{"tcp": {"port": "w(\\d+)", "num_retries": 0}}'`, processes: "web:w$PORT web:w$CLOSED",
		want: expectation{finds: "w$PORT tcp healthy, w$CLOSED tcp unhealthy"}},
	{name: "long options", program: "complex", args: `--check-n x --process-name=web:a --check-c='{"tcp":{"port":$PORT}}'`, want: expectation{finds: "a tcp healthy"}},
	{name: "a check twice", program: "complex", args: `-n x -g web -c '{"tcp": {"port": $CLOSED}, "tcp": {"port": $PORT}}'`, want: expectation{finds: "a tcp healthy"}},
	{name: "a key twice", program: "complex", args: `-n x -g web -c '{"tcp": {"port": $CLOSED, "port": $PORT}}'`, want: expectation{finds: "a tcp healthy"}},
	{name: "a port in a string", program: "complex", args: `-n x -g web -c '{"tcp": {"port": "$PORT"}}'`, want: expectation{finds: "a tcp healthy"}},
	{name: "JSON in several lines", program: "complex", args: "-n x -g web -c '\n{\n\t\"tcp\": {\n\t\t\"port\": $PORT\n\t}\n}\n'", want: expectation{finds: "a tcp healthy"}},
	{name: "JSON in JSON", program: "complex", args: `-n x -g web -c '{"http": {"url": "/", "port": $PORT, "method": "POST", "headers": {"X-A": "b"}, "json": "hello"}}'`,
		want: expectation{finds: "a http healthy", sends: `"hello"`}},
	{name: "escapes", program: "complex", args: `-n x -g web -c '{"http":{"url":"\/p\u0069ng","port":$PORT,"method":"GET"}}'`, want: expectation{finds: "a http healthy", sends: "GET /ping HTTP/1.1"}},
	{name: "a whole number with a point", program: "complex", args: `-n x -g web -c '{"tcp": {"port": $PORT.0, "timeout": 5.0, "num_retries": 1.0}}'`, want: expectation{finds: "a tcp healthy"}},
	{name: "a fraction of a second", program: "complex", args: `-n x -g web -c '{"http": {"url": "/", "port": $PORT, "method": "GET", "timeout": 0.3, "num_retries": 0}}'`, target: hangs,
		want: expectation{finds: "a http unhealthy"}},
	{name: "retries", program: "complex", args: `-n x -g web -c '{"http": {"url": "/", "port": $PORT, "method": "GET", "num_retries": 1}}'`, target: answers("", ok),
		want: expectation{finds: "a http healthy", asks: 2}},
	{name: "retries, where nothing is said", program: "complex", args: `-n x -g web -c '{"http": {"url": "/", "port": $PORT, "method": "GET"}}'`, target: answers("", "", ok),
		want: expectation{finds: "a http healthy", asks: 3}},
	{name: "a request with everything", program: "complex", args: `-n x -g web -c '{"http": {"url": "/a?b=c", "port": $PORT, "method": "POST", "headers": {"X-A": "b", "X-N": 5}, "json": {"a": [1, 2]}, ` +
		`"body": "no", "username": "me", "password": "hunter2", "timeout": 5, "num_retries": 0}}'`,
		want: expectation{finds: "a http healthy", sends: `POST /a?b=c HTTP/1.1 | X-A: b | X-N: 5 | Content-Type: application/json | Authorization: Basic bWU6aHVudGVyMg== | {"a": [1, 2]}`}},
	{name: "an empty URL", program: "complex", args: `-n x -g web -c '{"http": {"url": "", "port": $PORT, "method": "GET"}}'`, want: expectation{finds: "a http healthy", sends: "GET / HTTP/1.1"}},
	{name: "a request with a body", program: "complex", args: `-n x -g web -c '{"http": {"url": "/", "port": $PORT, "method": "PUT", "body": "a=b"}}'`,
		want: expectation{finds: "a http healthy", sends: "PUT / HTTP/1.1 | a=b"}},
	{name: "null where there is a default", program: "complex", args: `-n x -g web -c '{"http": {"url": "/ping", "port": $PORT, "method": "GET", "headers": null, "json": null, "body": null, ` +
		`"username": null, "password": null, "timeout": null, "num_retries": null}}'`, want: expectation{finds: "a http healthy", sends: "GET /ping HTTP/1.1"}},
	{name: "memory of children", program: "complex", args: `-n x -g web -c '{"memory": {"max_rss": $OWN, "cumulative": true}}'`, set: as(withChild), want: expectation{finds: "a memory unhealthy"}},
	{name: "memory without that of children", program: "complex", args: `-n x -g web -c '{"memory": {"max_rss": $OWN, "cumulative": false}}'`, set: as(withChild), want: expectation{finds: "a memory healthy"}},
	{name: "memory of children, with a number for true", program: "complex", args: `-n x -g web -c '{"memory": {"max_rss": $BETWEEN, "cumulative": 1}}'`, set: as(withChild),
		want: expectation{finds: "a memory unhealthy"}},
	{name: "memory without that of children, with a number for false", program: "complex", args: `-n x -g web -c '{"memory": {"max_rss": $BETWEEN, "cumulative": 0.0}}'`, set: as(withChild),
		want: expectation{finds: "a memory healthy"}},
	{name: "a limit with a fraction", program: "complex", args: `-n x -g web -c '{"memory": {"max_rss": 100000000.5}}'`, set: as(alone), want: expectation{finds: "a memory healthy"}},
	{name: "a limit with an exponent", program: "complex", args: `-n x -g web -c '{"memory": {"max_rss": 1e8}}'`, set: as(alone), want: expectation{finds: "a memory healthy"}},
	{name: "processor time", program: "complex", args: `-n x -g web -c '{"cpu": {"max_cpu": 99.5, "interval": 60}}'`, set: as(gone), want: expectation{finds: "a cpu unknown"}},
	{name: "processor time without an interval", program: "complex", args: `-n x -g web -c '{"cpu": {"max_cpu": 1}}'`, set: as(spinner), do: "TICK_60 TICK_60 TERM", together: true,
		differs: rowCPU, python: expectation{finds: "a cpu healthy; a cpu healthy"}, ours: expectation{finds: "a cpu unknown; a cpu unknown"}},

	{name: "HTTP without a method", program: "complex", args: `-n x -g web -c '{"http": {"url": "/ping", "port": $PORT, "num_retries": 0}}'`,
		differs: rowNoMethod, python: expectation{finds: "a http unhealthy"}, ours: expectation{finds: "a http healthy", sends: "GET /ping HTTP/1.1"}},
	{name: "a method that is null", program: "complex", args: `-n x -g web -c '{"http": {"url": "/ping", "port": $PORT, "method": null, "num_retries": 0}}'`,
		differs: rowNoMethod, python: expectation{finds: "a http unhealthy"}, ours: expectation{finds: "a http healthy", sends: "GET /ping HTTP/1.1"}},
	{name: "a port that is null", program: "complex", args: `-n x -g web -c '{"tcp": {"port": null}}'`, differs: rowNeverWorks,
		python: expectation{finds: "a tcp unhealthy"}, ours: badConfig},
	{name: "a key that nobody knows", program: "complex", args: `-n x -g web -c '{"tcp": {"port": $PORT, "tiemout": 5}}'`, differs: rowUnknownKey,
		python: expectation{finds: "a tcp healthy"}, ours: badConfig},
	{name: "a truth that is a string", program: "complex", args: `-n x -g web -c '{"memory": {"max_rss": $BETWEEN, "cumulative": "false"}}'`, set: as(withChild), differs: rowUnknownKey,
		python: expectation{finds: "a memory unhealthy"}, ours: badConfig},
	{name: "a check that is null beside another", program: "complex", args: `-n x -g web -c '{"http": null, "tcp": {"port": $PORT}}'`, differs: rowNull,
		python: crashes, ours: expectation{finds: "a tcp healthy"}},
	{name: "a time that is a string", program: "complex", args: `-n x -g web -c '{"http": {"url": "/", "port": $PORT, "method": "GET", "timeout": "5", "num_retries": 0}}'`,
		differs: rowStringNumber, python: expectation{finds: "a http unhealthy"}, ours: expectation{finds: "a http healthy"}},
	{name: "a limit that is a truth", program: "complex", args: `-n x -g web -c '{"memory": {"max_rss": true}}'`, set: as(alone), differs: rowOtherKind,
		python: expectation{finds: "a memory unhealthy"}, ours: badConfig},
	{name: "a limit that is infinite", program: "complex", args: `-n x -g web -c '{"memory": {"max_rss": Infinity}}'`, set: as(alone), differs: rowOtherKind,
		python: expectation{finds: "a memory healthy"}, ours: badConfig},
	{name: "a truth that is a list", program: "complex", args: `-n x -g web -c '{"memory": {"max_rss": $BETWEEN, "cumulative": []}}'`, set: as(withChild), differs: rowOtherKind,
		python: expectation{finds: "a memory healthy"}, ours: badConfig},
	{name: "a timeout and retries that are truths", program: "complex", args: `-n x -g web -c '{"tcp": {"port": $PORT, "timeout": true, "num_retries": true}}'`, differs: rowOtherKind,
		python: expectation{finds: "a tcp healthy"}, ours: badConfig},
	{name: "retries with a fraction", program: "complex", args: `-n x -g web -c '{"tcp": {"port": $PORT, "num_retries": 1.5}}'`, differs: rowOtherKind,
		python: expectation{finds: "a tcp healthy"}, ours: badConfig},
	{name: "a login of numbers", program: "complex", args: `-n x -g web -c '{"http": {"url": "/", "port": $PORT, "method": "GET", "username": 5, "password": 6}}'`, differs: rowOtherKind,
		python: expectation{finds: "a http healthy", sends: "Authorization: Basic NTo2"}, ours: badConfig},
	{name: "no check", program: "complex", args: "-n x -g web -c '{}'", differs: rowNothing, python: nothing, ours: badConfig},
	{name: "no JSON", program: "complex", args: "-n x -g web -c ''", differs: rowBadConfig, python: crashes, ours: badConfig},
	{name: "half of JSON", program: "complex", args: `-n x -g web -c '{"tcp": '`, differs: rowBadConfig, python: crashes, ours: badConfig},
	{name: "a list", program: "complex", args: `-n x -g web -c '["tcp"]'`, differs: rowBadConfig, python: crashes, ours: badConfig},
	{name: "a check that nobody knows", program: "complex", args: `-n x -g web -c '{"udp": {"port": 1}}'`, differs: rowBadConfig, python: crashes, ours: badConfig},
	{name: "a check without keys", program: "complex", args: `-n x -g web -c '{"tcp": {}}'`, differs: rowBadConfig, python: crashes, ours: badConfig},
	{name: "a check that is null", program: "complex", args: `-n x -g web -c '{"tcp": null}'`, differs: rowBadConfig, python: crashes, ours: badConfig},
	{name: "HTTP without a URL", program: "complex", args: `-n x -g web -c '{"http": {"port": 1}}'`, differs: rowBadConfig, python: crashes, ours: badConfig},
	{name: "a URL that is a number", program: "complex", args: `-n x -g web -c '{"http": {"port": 1, "url": 5}}'`, differs: rowBadConfig, python: crashes, ours: badConfig},
	{name: "memory without a limit", program: "complex", args: `-n x -g web -c '{"memory": {}}'`, differs: rowBadConfig, python: crashes, ours: badConfig},
	{name: "memory with a limit that is null", program: "complex", args: `-n x -g web -c '{"memory": {"max_rss": null}}'`, differs: rowBadConfig, python: crashes, ours: badConfig},
	{name: "processor time without a limit", program: "complex", args: `-n x -g web -c '{"cpu": {"interval": 5}}'`, differs: rowBadConfig, python: crashes, ours: badConfig},
	{name: "a file", program: "complex", args: `-n x -g web -c '{"file": {"timeout": 60, "filepath": "$DIR/beat"}}'`, set: func(w *world) {
		if err := os.WriteFile(filepath.Join(w.dir, "beat"), nil, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}, differs: rowNoFile, python: crashes, ours: expectation{finds: "a file healthy"}},
}

var badConfig = refuses("argument -c/--check-config")

// call is supervisor_complex_check with the XML-RPC check, of which cases vary a
// part.
func call(settings string) string {
	return `-n x -g web -c '{"xmlrpc": {"num_retries": 0, ` + settings + `}}'`
}

// result is an answer to an XML-RPC call.
func result(value string) behaviour {
	return body("<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n<value>" + value + "</value>\n</param>\n</params>\n</methodResponse>\n")
}

func body(text string) behaviour {
	return answers("HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nConnection: close\r\n\r\n" + text)
}

const fault = "<?xml version='1.0'?>\n<methodResponse>\n<fault>\n<value><struct>\n<member>\n<name>faultCode</name>\n<value><int>4</int></value>\n</member>\n" +
	"<member>\n<name>faultString</name>\n<value><string>x</string></value>\n</member>\n</struct></value>\n</fault>\n</methodResponse>\n"

var (
	answered   = expectation{finds: "a xmlrpc healthy"}
	unanswered = expectation{finds: "a xmlrpc unhealthy"}
)

// xmlrpcCases are those of the XML-RPC check, by way of supervisor_complex_check.
var xmlrpcCases = []test{
	{name: "XML-RPC: a string", program: "complex", args: call(`"url": "/RPC2", "port": $PORT`), target: result("<string>up</string>"),
		want: expectation{finds: "a xmlrpc healthy", sends: "POST /RPC2 HTTP/1.1 | Host: 127.0.0.1:$PORT | Content-Type: text/xml | call status", asks: 1}},
	{name: "XML-RPC: false", program: "complex", args: call(`"url": "/RPC2", "port": $PORT`), target: result("<boolean>0</boolean>"), want: answered},
	{name: "XML-RPC: a number", program: "complex", args: call(`"url": "/RPC2", "port": $PORT`), target: result("<int>-1</int>"), want: answered},
	{name: "XML-RPC: a value without a type", program: "complex", args: call(`"url": "/RPC2", "port": $PORT`), target: result("up"), want: answered},
	{name: "XML-RPC: an array", program: "complex", args: call(`"url": "/RPC2", "port": $PORT`), target: result("<array><data><value><int>1</int></value></data></array>"), want: answered},
	{name: "XML-RPC: nothing", program: "complex", args: call(`"url": "/RPC2", "port": $PORT`), target: result("<nil/>"), want: answered},
	{name: "XML-RPC: a struct", program: "complex", args: call(`"url": "/RPC2", "port": $PORT`),
		target: result("<struct><member><name>faultCode</name><value><int>1</int></value></member></struct>"), want: answered},
	{name: "XML-RPC: no result", program: "complex", args: call(`"url": "/RPC2", "port": $PORT`), target: body("<methodResponse><params></params></methodResponse>"), want: answered},
	{name: "XML-RPC: neither a result nor a fault", program: "complex", args: call(`"url": "/RPC2", "port": $PORT`), target: body("<methodResponse></methodResponse>"), want: unanswered},
	{name: "XML-RPC: in chunks", program: "complex", args: call(`"url": "/RPC2", "port": $PORT`),
		target: answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n<methodResponse>\r\n" +
			"23\r\n<params><param><value>1</value></pa\r\n1e\r\nram></params></methodResponse>\r\n0\r\n\r\n"), want: answered},
	{name: "XML-RPC: a fault", program: "complex", args: call(`"url": "/RPC2", "port": $PORT`), target: body(fault), want: unanswered},
	{name: "XML-RPC: a fault is not retried", program: "complex", args: `-n x -g web -c '{"xmlrpc": {"url": "/RPC2", "port": $PORT, "num_retries": 1}}'`, target: body(fault),
		want: expectation{finds: "a xmlrpc unhealthy", asks: 1}},
	{name: "XML-RPC: an error is retried", program: "complex", args: `-n x -g web -c '{"xmlrpc": {"url": "/RPC2", "port": $PORT, "num_retries": 1}}'`,
		target: answers("HTTP/1.1 503 x\r\n\r\n"), want: expectation{finds: "a xmlrpc unhealthy", asks: 2}},
	{name: "XML-RPC: 500", program: "complex", args: call(`"url": "/RPC2", "port": $PORT`), target: status("500 x"), want: unanswered},
	{name: "XML-RPC: 404", program: "complex", args: call(`"url": "/RPC2", "port": $PORT`), target: status("404 x"), want: unanswered},
	{name: "XML-RPC: no body", program: "complex", args: call(`"url": "/RPC2", "port": $PORT`), target: answers(ok), want: unanswered},
	{name: "XML-RPC: a page", program: "complex", args: call(`"url": "/RPC2", "port": $PORT`), target: body("<!DOCTYPE html><html><body><p>Hello<br></body></html>"), want: unanswered},
	{name: "XML-RPC: half an answer", program: "complex", args: call(`"url": "/RPC2", "port": $PORT`), target: body("<?xml version='1.0'?><methodResponse><params>"), want: unanswered},
	{name: "XML-RPC: garbage", program: "complex", args: call(`"url": "/RPC2", "port": $PORT`), target: answers("garbage\r\n"), want: unanswered},
	{name: "XML-RPC: refused", program: "complex", args: call(`"url": "/RPC2", "port": $CLOSED`), want: unanswered},
	{name: "XML-RPC: a method with a dot", program: "complex", args: call(`"url": "/RPC2", "port": $PORT, "method": "system.listMethods"`), target: result("1"),
		want: expectation{finds: "a xmlrpc healthy", sends: "call system.listMethods"}},
	{name: "XML-RPC: a method with a hyphen", program: "complex", args: call(`"url": "/RPC2", "port": $PORT, "method": "a-b"`), target: result("1"),
		want: expectation{finds: "a xmlrpc healthy", sends: "call a-b"}},
	{name: "XML-RPC: a control character", program: "complex", args: call(`"url": "/RPC2", "port": $PORT`), target: result("<string>a\x1bb</string>"), differs: rowUndecodable,
		python: unanswered, ours: answered},
	{name: "XML-RPC: a number that is none", program: "complex", args: call(`"url": "/RPC2", "port": $PORT`), target: result("<int>x</int>"), differs: rowUndecodable,
		python: unanswered, ours: answered},
	{name: "XML-RPC: a boolean that is none", program: "complex", args: call(`"url": "/RPC2", "port": $PORT`), target: result("<boolean>true</boolean>"), differs: rowUndecodable,
		python: unanswered, ours: answered},
	{name: "XML-RPC: space before it", program: "complex", args: call(`"url": "/RPC2", "port": $PORT`),
		target: body("\n<?xml version='1.0'?><methodResponse><params><param><value>1</value></param></params></methodResponse>"), differs: rowUndecodable,
		python: unanswered, ours: answered},
	{name: "XML-RPC: credentials", program: "complex", args: call(`"url": "/RPC2", "port": $PORT, "username": "me", "password": "hunter2"`), target: result("1"),
		want: expectation{finds: "a xmlrpc healthy", sends: "Authorization: Basic bWU6aHVudGVyMg=="}},
	{name: "XML-RPC: a user without a password", program: "complex", args: call(`"url": "/RPC2", "port": $PORT, "username": "me"`), target: result("1"), differs: rowNoPassword,
		python: answered, ours: expectation{finds: "a xmlrpc healthy", sends: "Authorization: Basic bWU6"}},
	{name: "XML-RPC: a port from the name", program: "complex", args: call(`"url": "/RPC2", "port": "w(\\d+)"`), processes: "web:w$PORT", target: result("1"),
		want: expectation{finds: "w$PORT xmlrpc healthy", asks: 1}},
	{name: "XML-RPC: no match", program: "complex", args: call(`"url": "/RPC2", "port": "w(\\d+)"`), differs: rowNoPort, python: unanswered, ours: expectation{finds: "a xmlrpc unknown"}},
	{name: "XML-RPC: a socket", program: "complex", args: call(`"sock_path": "$DIR/sock"`), target: result("1"),
		want: expectation{finds: "a xmlrpc healthy", sends: "POST /RPC2 HTTP/1.1 | Host: localhost"}},
	{name: "XML-RPC: the URL of a socket", program: "complex", args: call(`"sock_path": "unix://$DIR/sock"`), target: result("1"), want: answered},
	{name: "XML-RPC: a socket that is not there", program: "complex", args: call(`"sock_path": "$DIR/missing"`), want: unanswered},
	{name: "XML-RPC: a folder of sockets", program: "complex", args: call(`"sock_dir": "$DIR"`), set: ownSocket, target: result("1"), want: expectation{finds: "a xmlrpc healthy", asks: 1}},
	{name: "XML-RPC: a folder of sockets with a slash", program: "complex", args: call(`"sock_dir": "$DIR/"`), set: ownSocket, target: result("1"), want: answered},
	{name: "XML-RPC: a folder without the socket", program: "complex", args: call(`"sock_dir": "$DIR"`), want: unanswered},
	{name: "XML-RPC: the URL of a folder", program: "complex", args: call(`"sock_dir": "unix://$DIR"`), set: ownSocket, target: result("1"), differs: rowSocketURL, python: unanswered, ours: answered},
	{name: "XML-RPC: a path", program: "complex", args: call(`"url": "/api", "port": $PORT`), target: result("1"), differs: rowPath,
		python: expectation{finds: "a xmlrpc healthy", sends: "POST /RPC2 HTTP/1.1"}, ours: expectation{finds: "a xmlrpc healthy", sends: "POST /api HTTP/1.1"}},
	{name: "XML-RPC: an answer that takes its time", program: "complex", args: call(`"url": "/RPC2", "port": $PORT, "timeout": 1`), target: late, differs: rowNoTimeout, python: answered, ours: unanswered},
	{name: "XML-RPC: a method that is null", program: "complex", args: call(`"url": "/RPC2", "port": $PORT, "method": null`), target: result("1"), differs: rowNull,
		python: unanswered, ours: expectation{finds: "a xmlrpc healthy", sends: "call status"}},
	{name: "XML-RPC: a URL and a socket that is null", program: "complex", args: call(`"url": "/RPC2", "port": $PORT, "sock_path": null`), target: result("1"), differs: rowNull,
		python: crashes, ours: answered},
	{name: "XML-RPC: an empty URL", program: "complex", args: call(`"url": "", "port": $PORT`), differs: rowNothing, python: answered, ours: badConfig},
	{name: "XML-RPC: an empty socket", program: "complex", args: call(`"sock_path": ""`), differs: rowNothing, python: answered, ours: badConfig},
	{name: "XML-RPC: an empty folder", program: "complex", args: call(`"sock_dir": ""`), differs: rowNothing, python: answered, ours: badConfig},
	{name: "XML-RPC: a socket and a port", program: "complex", args: call(`"sock_path": "$DIR/sock", "port": $CLOSED`), target: result("1"), differs: rowUnusedPort, python: answered, ours: badConfig},
	{name: "XML-RPC: a folder of sockets and a port", program: "complex", args: call(`"sock_dir": "$DIR", "port": $CLOSED`), set: ownSocket, target: result("1"), differs: rowUnusedPort,
		python: answered, ours: badConfig},
	{name: "XML-RPC: no server", program: "complex", args: call(`"method": "x"`), differs: rowBadConfig, python: crashes, ours: badConfig},
	{name: "XML-RPC: two servers", program: "complex", args: call(`"url": "/RPC2", "port": 1, "sock_path": "/x"`), differs: rowBadConfig, python: crashes, ours: badConfig},
	{name: "XML-RPC: a URL without a port", program: "complex", args: call(`"url": "/RPC2"`), differs: rowBadConfig, python: crashes, ours: badConfig},

	{name: "a URL", program: "xmlrpc", args: "-n x -g web -u /RPC2 -p $PORT -r 0", target: result("1"), differs: rowXMLRPC,
		python: crashes, ours: expectation{finds: "healthy", sends: "POST /RPC2 HTTP/1.1 | call status"}},
	{name: "a socket", program: "xmlrpc", args: "-n x -g web -s $DIR/sock -m ping -r 0", target: result("1"), differs: rowXMLRPC,
		python: crashes, ours: expectation{finds: "healthy", sends: "POST /RPC2 HTTP/1.1 | Host: localhost | call ping"}},
	{name: "a folder of sockets", program: "xmlrpc", args: "-n x -g web -S $DIR -r 0", set: ownSocket, target: body(fault), differs: rowXMLRPC, python: crashes, ours: unhealthy},
}

// ownSocket gives web:a a socket of its name.
func ownSocket(w *world) {
	if err := os.Symlink(filepath.Join(w.dir, "sock"), filepath.Join(w.dir, "a.sock")); err != nil {
		w.t.Fatal(err)
	}
}

// late is an answer that takes more than a second.
var late = trickles("HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n\r\n"+
	"<methodResponse><params><param><value>1</value></param></params></methodResponse>", 20*time.Millisecond)
