package conformance

// tcpCases are those of supervisor_tcp_check.
var tcpCases = []test{
	{name: "open", program: "tcp", args: "-n x -g web -p $PORT -r 0", want: expectation{finds: "healthy", asks: 1}},
	{name: "refused", program: "tcp", args: "-n x -g web -p $CLOSED -r 0", want: expectation{finds: "unhealthy", asks: -1}},
	{name: "open, and says nothing", program: "tcp", args: "-n x -g web -p $PORT -r 0 -t 1", target: hangs, want: healthy},
	{name: "open, and resets", program: "tcp", args: "-n x -g web -p $PORT -r 0", target: resets, want: healthy},
	{name: "refused, and once more", program: "tcp", args: "-n x -g web -p $CLOSED -r 1", want: unhealthy},
	{name: "a port from the name", program: "tcp", args: `-n x -g web -p 'w(\d+)' -r 0`, processes: "web:w$PORT", want: expectation{finds: "healthy", asks: 1}},
	{name: "several processes", program: "tcp", args: `-n x -g web -p 'w(\d+)' -r 0`, processes: "web:w$PORT web:w$CLOSED web:w0$PORT",
		want: expectation{finds: "w$PORT healthy, w$CLOSED unhealthy, w0$PORT healthy", asks: 2}},
	{name: "more processes than are checked at once", program: "tcp", args: "-n x -g web -p $PORT -r 0",
		processes: "web:a web:b web:c web:d web:e web:f web:g web:h web:i web:j web:k web:l web:m web:n web:o web:p web:q web:r web:s web:t",
		want: expectation{asks: 20, finds: "a healthy, b healthy, c healthy, d healthy, e healthy, f healthy, g healthy, h healthy, i healthy, j healthy, " +
			"k healthy, l healthy, m healthy, n healthy, o healthy, p healthy, q healthy, r healthy, s healthy, t healthy"}},
	{name: "all of a group fail", program: "tcp", args: "-n x -g web -p $CLOSED -r 0", processes: "web:a web:b web:c", want: expectation{finds: "a unhealthy, b unhealthy, c unhealthy"}},
	{name: "no match", program: "tcp", args: `-n x -g web -p 'w(\d+)' -r 0`, differs: rowNoPort, python: unhealthy, ours: unknown},
	{name: "two groups", program: "tcp", args: `-n x -g web -p '(w)(\d+)' -r 0`, differs: rowNeverWorks, python: unhealthy, ours: refuses("argument -p/--port")},
	{name: "port 70000", program: "tcp", args: "-n x -g web -p 70000 -r 0", differs: rowNeverWorks, python: unhealthy, ours: refuses("argument -p/--port")},
	{name: "port -1", program: "tcp", args: "-n x -g web -p=-1 -r 0", differs: rowNeverWorks, python: unhealthy, ours: refuses("argument -p/--port")},
	{name: "no time", program: "tcp", args: "-n x -g web -p $PORT -r 0 -t 0", differs: rowNeverWorks, python: unhealthy, ours: refuses("argument -t/--timeout")},
	{name: "less than no time", program: "tcp", args: "-n x -g web -p $PORT -r 0 -t -1", differs: rowNeverWorks, python: unhealthy, ours: refuses("argument -t/--timeout")},
	{name: "a lookbehind", program: "tcp", args: `-n x -g web -p '.*(?<=w)(\d+)' -r 0`, processes: "web:w$PORT", differs: rowRE2, python: healthy, ours: refuses("argument -p/--port")},
}
