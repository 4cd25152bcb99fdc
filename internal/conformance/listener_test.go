package conformance

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/supervisor-checks/supervisor-checks/supervisor"
	"github.com/supervisor-checks/supervisor-checks/supervisor/supervisortest"
)

const (
	tcp     = "-n x -g web -p $PORT -r 0"
	refused = "-n x -g web -p $CLOSED -r 0"
)

// listenerCases are what all programs have in common: the conversation with
// supervisord, which processes are checked, how they are restarted. The TCP
// check stands for all.
var listenerCases = []test{
	// The conversation.
	{name: "TICK_5", program: "tcp", args: tcp, do: "TICK_5 TERM", want: healthy},
	{name: "TICK_3600", program: "tcp", args: tcp, do: "TICK_3600 TERM", want: healthy},
	{name: "three ticks", program: "tcp", args: tcp, do: "TICK_5 TICK_60 TICK_3600 TERM",
		want: expectation{finds: "healthy; healthy; healthy", says: "READY\nRESULT 2\nOKREADY\nRESULT 2\nOKREADY\nRESULT 2\nOKREADY\n", asks: 3}},
	{name: "no event", program: "tcp", args: tcp, do: "TERM", want: expectation{says: "READY\n", asks: -1}},
	{name: "an event of a process", program: "tcp", args: tcp, do: "PROCESS_STATE_EXITED TERM", want: nothing},
	{name: "an event of supervisord", program: "tcp", args: tcp, do: "SUPERVISOR_STATE_CHANGE_RUNNING TERM", want: nothing},
	{name: "an event that nobody knows", program: "tcp", args: tcp, do: "ZORK TERM", want: nothing},
	{name: "an event with characters of several bytes, and a tick", program: "tcp", args: tcp, do: "PROCESS_LOG_STDOUT@log TICK_60 TERM", want: expectation{finds: "; healthy"}},
	{name: "SIGINT", program: "tcp", args: tcp, do: "TICK_60 INT", want: healthy},
	{name: "SIGHUP", program: "tcp", args: tcp, do: "TICK_60 HUP", want: healthy},
	{name: "SIGQUIT", program: "tcp", args: tcp, do: "TICK_60 QUIT", want: healthy},
	{name: "SIGUSR1", program: "tcp", args: tcp, do: "TICK_60 USR1", want: healthy},
	{name: "SIGUSR2", program: "tcp", args: tcp, do: "TICK_60 USR2 TERM", differs: rowUSR2, python: expectation{finds: "healthy", exit: -1}, ours: healthy},
	{name: "what is no event", program: "tcp", args: tcp, do: "GARBAGE", want: expectation{exit: 1, says: "READY\n", asks: -1}},
	{name: "the end of standard input", program: "tcp", args: tcp, do: "TICK_60 EOF", differs: rowEOF,
		python: expectation{finds: "healthy", exit: 1}, ours: healthy},
	{name: "an old tick", program: "tcp", args: tcp, do: "TICK_60@old TERM", differs: rowOldTick, python: healthy, ours: nothing},
	{name: "an identifier with a colon", program: "tcp", args: tcp, do: "TICK_60@colon TERM", differs: rowIdentifier, python: crashes, ours: healthy},
	{name: "an identifier with a space", program: "tcp", args: tcp, do: "TICK_60@spaced TERM", differs: rowIdentifier, python: crashes, ours: healthy},
	{name: "SIGTERM during a check", program: "http", args: "-n x -g web -u / -p $PORT -r 0 -t 4", target: hangs, do: "TICK_60& TERM", differs: rowHoldsUp,
		python: expectation{finds: "unhealthy", says: "READY\nRESULT 2\nOK"},
		ours:   expectation{says: "READY\nRESULT 2\nOKREADY\n"}},
	{name: "SIGTERM during a restart", program: "http", args: "-n x -N web:slow -u / -p $PORT -r 0", target: status("500 x"), do: "TICK_60& STOPPING TERM", set: func(w *world) {
		w.server.Add(supervisortest.Program{Group: "web", Name: "slow", StopTakes: 4 * time.Second})
		w.also = append(w.also, "web:slow")
		w.steps["STOPPING"] = func() {
			ctx, cancel := context.WithTimeout(w.t.Context(), patience)
			defer cancel()
			w.server.Await(ctx, func() bool { return w.server.Process("web:slow").State == supervisor.Stopping })
		}
	}, differs: rowHoldsUp,
		python: expectation{finds: "slow unhealthy", says: "READY\nRESULT 2\nOK"},
		ours:   expectation{finds: "slow unhealthy", says: "READY\nRESULT 2\nOKREADY\n"}},

	// Where supervisord is.
	{name: "supervisord at a port", program: "tcp", args: tcp, set: func(w *world) { w.login("", "") }, want: healthy},
	{name: "supervisord at a port with a path", program: "tcp", args: tcp, set: func(w *world) {
		w.login("", "")
		w.setenv("SUPERVISOR_SERVER_URL", w.getenv("SUPERVISOR_SERVER_URL")+"/")
	}, want: healthy},
	{name: "supervisord with a login", program: "tcp", args: tcp, set: func(w *world) {
		w.login("me", "hunter2")
		w.setenv("SUPERVISOR_USERNAME", "me")
		w.setenv("SUPERVISOR_PASSWORD", "hunter2")
	}, want: healthy},
	{name: "supervisord with a login that is not ASCII", program: "tcp", args: tcp, set: func(w *world) {
		w.login("mé", "a:b")
		w.setenv("SUPERVISOR_USERNAME", "mé")
		w.setenv("SUPERVISOR_PASSWORD", "a:b")
	}, want: healthy},
	{name: "supervisord with a login that nobody told", program: "tcp", args: tcp, set: func(w *world) { w.login("me", "hunter2") }, differs: rowLost,
		python: crashes, ours: nothing},
	{name: "no URL of supervisord", program: "tcp", args: tcp, set: func(w *world) { w.setenv("SUPERVISOR_SERVER_URL", "") }, differs: rowNoURL,
		python: crashes, ours: expectation{exit: 2}},
	{name: "no supervisord there", program: "tcp", args: tcp, set: func(w *world) { w.setenv("SUPERVISOR_SERVER_URL", "unix://"+w.dir+"/missing") }, differs: rowLost,
		python: crashes, ours: nothing},
	{name: "supervisord shuts down", program: "tcp", args: tcp, set: func(w *world) { w.server.Shutdown() }, differs: rowLost, python: crashes, ours: nothing},
	{name: "supervisord's answer is lost", program: "tcp", args: tcp, set: loses("supervisor.getAllProcessInfo"), differs: rowLost, python: crashes, ours: nothing},

	// Which processes.
	{name: "other groups", program: "tcp", args: tcp, processes: "web:a api:b web2:c", want: expectation{finds: "a healthy", asks: 1}},
	{name: "a group that there is not", program: "tcp", args: "-n x -g api -p $CLOSED -r 0", want: nothing},
	{name: "what is not RUNNING", program: "tcp", args: refused, processes: "web:a stopped=web:b", want: expectation{finds: "a unhealthy"}},
	{name: "nothing is RUNNING", program: "tcp", args: refused, processes: "stopped=web:a stopped=web:b", want: nothing},
	{name: "what is STARTING", program: "tcp", args: refused, set: func(w *world) {
		w.server.Add(supervisortest.Program{Group: "web", Name: "slow", Stopped: true, StartTakes: time.Hour})
		w.server.Operator(supervisortest.OperatorStart, "web:slow")
	}, want: expectation{finds: "a unhealthy"}},
	{name: "a process of a group", program: "tcp", args: "-n x -N web:b -p $CLOSED -r 0", processes: "web:a web:b api:b", want: expectation{finds: "b unhealthy", leaves: "api:b RUNNING 1, web:b RUNNING 2"}},
	{name: "a process before a group", program: "tcp", args: "-n x -g web -N api:c -p $CLOSED -r 0", processes: "web:a api:c", want: expectation{finds: "c unhealthy"}},
	{name: "a process that is its own group", program: "tcp", args: "-n x -N solo -p $CLOSED -r 0", processes: "web:a solo", want: expectation{finds: "solo unhealthy"}},
	{name: "a process that is its own group, in full", program: "tcp", args: "-n x -N solo:solo -p $CLOSED -r 0", processes: "web:a solo", want: expectation{finds: "solo unhealthy"}},
	{name: "the group of one process", program: "tcp", args: "-n x -g solo -p $CLOSED -r 0", processes: "web:a solo", want: expectation{finds: "solo unhealthy"}},
	{name: "a name that is in a group", program: "tcp", args: "-n x -N a -p $CLOSED -r 0", want: nothing},
	{name: "a process that there is not", program: "tcp", args: "-n x -N web:z -p $CLOSED -r 0", want: nothing},
	{name: "names in other letters", program: "tcp", args: "-n x -g Web -p $CLOSED -r 0", want: nothing},
	{name: "a listener in the group", program: "tcp", args: tcp, processes: "web:a listener=web:l", want: expectation{finds: "a healthy, l healthy"}},
	{name: "neither a group nor a process", program: "tcp", args: "-n x -p $PORT -r 0", processes: "web:a api:b listener=l", differs: rowNoSelection,
		python: nothing, ours: expectation{finds: "a healthy, b healthy"}},
	{name: "two groups named", program: "tcp", args: "-n x -g web -g api -p $PORT -r 0", processes: "web:a api:b", differs: rowRepeats,
		python: expectation{finds: "b healthy"}, ours: expectation{finds: "a healthy, b healthy"}},
	{name: "two processes named", program: "tcp", args: "-n x -N web:a -N api:b -p $PORT -r 0", processes: "web:a api:b", differs: rowRepeats,
		python: expectation{finds: "b healthy"}, ours: expectation{finds: "a healthy, b healthy"}},
	{name: "all processes of a group", program: "tcp", args: "-n x -N web:* -p $PORT -r 0", processes: "web:a web:b", differs: rowWholeGroup,
		python: nothing, ours: expectation{finds: "a healthy, b healthy"}},
	{name: "all processes of a group, in short", program: "tcp", args: "-n x -N web: -p $PORT -r 0", processes: "web:a web:b", differs: rowWholeGroup,
		python: nothing, ours: expectation{finds: "a healthy, b healthy"}},
	{name: "names that are not ASCII", program: "tcp", args: "-n é -g wéb -p $CLOSED -r 0", processes: "wéb:ä", want: expectation{finds: "ä unhealthy"}},
	{name: "names that XML escapes", program: "tcp", args: "-n x -N r&d:<a> -p $CLOSED -r 0", processes: "r&d:<a>", want: expectation{finds: "<a> unhealthy"}},
	{name: "an empty group", program: "tcp", args: "-n x -g '' -p $PORT -r 0", differs: rowWholeGroup, python: nothing, ours: expectation{exit: 2}},
	{name: "an empty process", program: "tcp", args: "-n x -N '' -p $PORT -r 0", differs: rowWholeGroup, python: nothing, ours: expectation{exit: 2}},

	// Restarts.
	{name: "a process that takes time to stop and start", program: "tcp", args: "-n x -N web:slow -p $CLOSED -r 0", processes: "web:a", set: func(w *world) {
		w.server.Add(supervisortest.Program{Group: "web", Name: "slow", StopTakes: 200 * time.Millisecond, StartTakes: 200 * time.Millisecond})
		w.also = append(w.also, "web:slow")
	}, want: expectation{finds: "slow unhealthy"}},
	{name: "a process that an operator stops during its check", program: "http", args: "-n x -g web -u / -p $PORT -r 0", target: status("500 x"), set: once(func(w *world) {
		w.server.Operator(supervisortest.OperatorStop, "web:a")
	}), want: expectation{finds: "unhealthy", leaves: "web:a STOPPED 1"}},
	{name: "a process that is taken away during its check", program: "http", args: "-n x -g web -u / -p $PORT -r 0", target: status("500 x"), set: once(func(w *world) {
		w.server.Remove("web:a")
	}), want: expectation{finds: "unhealthy", leaves: "web:a STOPPED 0"}},
	{name: "a process that restarts during its check", program: "http", args: "-n x -g web -u / -p $PORT -r 0", target: status("500 x"), set: once(func(w *world) {
		w.server.Exit("web:a", true)
	}), differs: rowChanged,
		python: expectation{finds: "unhealthy", leaves: "web:a RUNNING 3"}, ours: expectation{finds: "unhealthy", leaves: "web:a RUNNING 2"}},
	{name: "a start that is refused", program: "tcp", args: refused, set: fails("supervisor.startProcess", supervisortest.Fate{Fault: &supervisor.Fault{Code: 50, Text: "SPAWN_ERROR: web:a"}}),
		differs: rowStopped, python: expectation{finds: "unhealthy", leaves: "web:a STOPPED 1"}, ours: unhealthy},
	{name: "a start that is lost", program: "tcp", args: refused, processes: "web:a", set: fails("supervisor.startProcess", supervisortest.Fate{LoseCall: true}),
		differs: rowStopped, python: expectation{finds: "unhealthy", leaves: "web:a STOPPED 1"}, ours: unhealthy},
	{name: "a start that fails", program: "tcp", args: "-n x -N web:bad -p $CLOSED -r 0", set: func(w *world) {
		w.server.Add(supervisortest.Program{Group: "web", Name: "bad", Fails: func(start int) bool { return start == 2 }})
		w.also = append(w.also, "web:bad")
	}, differs: rowStopped, python: expectation{finds: "bad unhealthy", leaves: "web:bad FATAL 2"}, ours: expectation{finds: "bad unhealthy", leaves: "web:bad RUNNING 3"}},
	{name: "a stop that is refused", program: "tcp", args: refused, set: fails("supervisor.stopProcess", supervisortest.Fate{Fault: &supervisor.Fault{Code: 30, Text: "FAILED"}}),
		differs: rowStopRefused, python: expectation{finds: "unhealthy", leaves: "web:a RUNNING 1"}, ours: unhealthy},
}

// fails lets the first call of a method meet its fate.
func fails(method string, fate supervisortest.Fate) func(*world) {
	return func(w *world) {
		w.server.Intercept(func(call supervisortest.Call) supervisortest.Fate {
			if call.Method == method && call.Number == 1 {
				return fate
			}
			return supervisortest.Fate{}
		})
	}
}

// loses lets every answer to a method be lost.
func loses(method string) func(*world) {
	return func(w *world) {
		w.server.Intercept(func(call supervisortest.Call) supervisortest.Fate {
			return supervisortest.Fate{LoseReply: call.Method == method}
		})
	}
}

// once lets something happen when the process is asked for the first time, before
// it answers.
func once(happens func(*world)) func(*world) {
	return func(w *world) {
		var first sync.Once
		answer := w.target.behaves
		w.target.behaves = func(n int, conn net.Conn) {
			first.Do(func() { happens(w) })
			answer(n, conn)
		}
	}
}
