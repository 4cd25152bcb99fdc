package conformance

import "slices"

// table is all that is compared.
var table = slices.Concat(httpCases, requestCases, spellingCases, tcpCases, listenerCases, memoryCases, cpuCases, complexCases, xmlrpcCases, usageCases)

// What most cases expect.
var (
	healthy   = expectation{finds: "healthy"}
	unhealthy = expectation{finds: "unhealthy"} // and restarted
	unknown   = expectation{finds: "unknown"}
	nothing   = expectation{asks: -1}
)

// refuses is the end of a program whose command line cannot be.
func refuses(what string) expectation { return expectation{refuses: what} }

// crashes is the end of a Python program with a traceback.
var crashes = expectation{exit: 1}

// Rows of the README.
const (
	rowNoPort       = "a port expression that does not match restarts the process each tick"
	rowNeverWorks   = "an expression that cannot be one, a port of 70000, a timeout of 0, a URL with a space, a header that is null or has a line break"
	rowRE2          = "expressions are Python's"
	rowStatusRetry  = "an unexpected HTTP status is not retried"
	rowTimeout      = "`-t` bounds each socket operation"
	rowPercent      = "`%` in a URL restarts the process"
	rowSlash        = "`-u ping` asks for `ping`"
	rowJSON         = "`-j` without `-H` sends no Content-Type, `-j {}` nothing"
	rowEncoding     = "JSON and bodies are re-encoded"
	rowNoPassword   = "`-U` without `-P`, or with an empty one, sends no credentials"
	rowNoSelection  = "neither `-g` nor `-N` checks nothing"
	rowRepeats      = "`-g` and `-N` given twice: the last one counts"
	rowTypeOfJSON   = "with `-j`, `-H` cannot set the Content-Type"
	rowFraction     = "a number with a fraction in `-H` restarts the process each tick"
	rowLetters      = "a header of `-H` in other letters, `user-agent`, is sent besides ours"
	rowMethod       = "`-m ''` and `-m 'GET x'` are sent"
	rowNoUser       = "`-P` without `-U` is ignored"
	rowManyHeaders  = "an answer with more than 100 headers restarts the process"
	rowOldTick      = "a tick that waited in supervisord's buffer is checked, however old"
	rowIdentifier   = "an `identifier=` of supervisord with a colon or a space ends the listener"
	rowNoURL        = "without `SUPERVISOR_SERVER_URL`: a traceback, status 1"
	rowChanged      = "a process that somebody restarted during its check is restarted again"
	rowUSR2         = "SIGUSR2 kills the listener"
	rowStopRefused  = "a process whose stop is refused is not restarted"
	rowWholeGroup   = "`-N group:*` and an empty `-g` or `-N` match nothing"
	rowLenient      = "`-t 1.5s`, `-m 100MB`, `-b -x` are refused"
	rowNoLimit      = "a limit of 0 or less, or an interval of less, is taken"
	rowCPU          = "the CPU check measures for three seconds, one process after the other"
	rowCPUState     = "the time over its CPU limit goes on when a process is restarted"
	rowNoMethod     = "`supervisor_complex_check`: `http` without a `method` restarts the process each tick"
	rowUnknownKey   = "`supervisor_complex_check`: an unknown key is passed over, and a string for `cumulative`, even `\"false\"`, is taken for true"
	rowUnusedPort   = "`supervisor_complex_check`: a `port` beside a `sock_path` or `sock_dir` is ignored"
	rowStringNumber = "`supervisor_complex_check`: `\"timeout\": \"5\"` restarts the process each tick"
	rowNothing      = "`supervisor_complex_check`: `{}`, or an `xmlrpc` whose `url`, `sock_path` or `sock_dir` is empty, checks nothing"
	rowBadConfig    = "`supervisor_complex_check`: a configuration that cannot be is a traceback, status 1"
	rowOtherKind    = "`supervisor_complex_check`: a value of another kind than its setting wants, such as `true` or `[]`, is taken, and `1.5` for `num_retries`"
	rowNull         = "`supervisor_complex_check`: `null` is a value"
	rowNoFile       = "`supervisor_complex_check` has no `file`"
	rowXMLRPC       = "`supervisor_xmlrpc_check` never starts"
	rowPath         = "the XML-RPC check asks `/RPC2`, whatever `url` says"
	rowUndecodable  = "an XML-RPC answer with a control character, space before it, or a number or boolean that is none restarts the process"
	rowNoTimeout    = "the XML-RPC check waits for ever"
	rowSocketURL    = "a `sock_dir` that begins with `unix://` finds no socket"
	rowInterim      = "an interim answer, such as 103, restarts the process"
	rowHoldsUp      = "checks hold up the event loop and SIGTERM"
	rowStopped      = "a restart that fails leaves the process stopped"
	rowLost         = "a refused call or a lost connection to supervisord ends the listener"
	rowEOF          = "a closed standard input is an error, status 1"
)
