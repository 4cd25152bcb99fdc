// Package conformance holds our programs against those of the Python package
// supervisor_checks 0.8.1, whose place they take: both are run over one table of
// cases, each in a world of its own with a supervisord of package
// supervisortest, and what comes of it must be the same. What is not is listed
// in the README, with the reason; a case names the row, and fails as well when
// the difference is gone.
//
// Compared are the exit status, what an error of the command line is about, the
// bytes on standard output, what the checks find of which process, which
// processes are restarted and what becomes of them, and what watched processes
// are asked. Not compared is what may well differ:
//
//   - the words of errors and logs;
//   - the calls to supervisord, but for what they do: Python's stopProcess waits,
//     ours asks again;
//   - of a request, the order of its headers and the case of their names, and
//     "Connection: close", which only we say and both do, and "Content-Length: 0"
//     of a GET, which means as much as none;
//   - of an XML-RPC request, its User-Agent and Accept and how its XML is
//     written: the method counts;
//   - the additional options of ours, and --max-rss, as which ours knows --msx-rss
//     besides.
//
// supervisor_file_check cannot be compared: the released package has none. And
// supervisor_xmlrpc_check of it never starts, so that XML-RPC is compared by way
// of supervisor_complex_check.
package conformance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/supervisor-checks/supervisor-checks/internal/cli"
	"github.com/supervisor-checks/supervisor-checks/internal/scripttest"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// variable says where the programs of the Python package are.
const variable = "PYTHON_SUPERVISOR_CHECKS"

// patience is how long a case waits for what should come at once, or after the
// longest pauses of the Python package's.
const patience = 60 * time.Second

// ours is the folder of our programs; self is the test binary, which can be a
// watched process.
var ours, self string

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "spin" {
		spin()
	}
	if program, is := programs[filepath.Base(os.Args[0])]; is {
		os.Exit(program(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(withPrograms(m))
}

// programs are ours. This test is each of them under its name, so that go test
// knows when they change.
var programs = map[string]func([]string, io.Reader, io.Writer, io.Writer) int{
	"supervisor_complex_check": cli.Complex,
	"supervisor_cpu_check":     cli.CPU,
	"supervisor_http_check":    cli.HTTP,
	"supervisor_memory_check":  cli.Memory,
	"supervisor_tcp_check":     cli.TCP,
	"supervisor_xmlrpc_check":  cli.XMLRPC,
}

func withPrograms(m *testing.M) int {
	var err error
	if self, err = os.Executable(); err != nil {
		panic(err)
	}
	if os.Getenv(variable) == "" {
		return m.Run()
	}
	if ours, err = os.MkdirTemp("", "conformance-bin-"); err != nil {
		panic(err)
	}
	defer os.RemoveAll(ours)
	defer endSpinning()
	for name := range programs {
		if err := os.Symlink(self, filepath.Join(ours, name)); err != nil {
			panic(err)
		}
	}
	return m.Run()
}

// test is a row of the table.
type test struct {
	name    string
	program string // "http" is supervisor_http_check

	// args is the command line in a shell's words, with only single quotes. In it
	// and elsewhere $PORT is the port of the watched process, $CLOSED one that
	// refuses, and $DIR a folder with its socket "sock".
	args string

	processes string       // of supervisord, as world.supervisord reads them; "" means web:a
	target    behaviour    // of all processes; nil answers 200
	set       func(*world) // changes more of the world

	// together lets both programs begin each step at the same time.
	together bool

	// do is what happens, in the steps of session.do. "" is a tick and SIGTERM.
	do string

	want expectation // of both programs

	differs      string // first cell of the row in the README
	python, ours expectation
}

// expectation is an outcome as it is written in the table.
type expectation struct {
	exit    int
	refuses string // what the error of the command line is about; exit is 2 then, unless given

	// finds are the findings of the checks: "healthy, unhealthy" are the first
	// process's, "a healthy, b unhealthy" those of several, and "a http healthy"
	// names the check, too; those of another tick come after a semicolon.
	finds string

	// leaves is what becomes of processes: "web:a STOPPED 1" has been started once
	// and is stopped now. Of those that it does not name, those that run are as they
	// were, or restarted once for each time a check found them unhealthy.
	leaves string

	says string // on standard output; "" is an answer to each event

	// sends are lines of the requests, between " | "; "" is anything. Or else asks is
	// how often the process is asked, -1 for never.
	sends string
	asks  int

	pauses string // seconds between the requests, "3 6"; "" is anything

	shows string // options that --help shows
}

// outcome is what came of a program.
type outcome struct {
	Exit    int
	Refused string
	Found   []string // sorted: "a http healthy"
	Left    []string // "web:a RUNNING 2"
	Said    string
	Asked   []string // sorted
	Pauses  string
	Shown   []string
}

func TestProgramsDoWhatThoseOfThePythonPackageDo(t *testing.T) {
	python := os.Getenv(variable)
	if python == "" {
		t.Skip("NOT TESTED against supervisor_checks: make conformance installs it and sets " + variable)
	}
	if testing.Short() {
		t.Skip("NOT TESTED against supervisor_checks, which takes its time")
	}
	for _, c := range table {
		c.processes = cmp.Or(c.processes, "web:a")
		c.do = cmp.Or(c.do, "TICK_60 TERM")
		t.Run(c.program+"/"+c.name, func(t *testing.T) {
			t.Parallel()
			wantPython, wantOurs := c.want, c.want
			if c.differs != "" {
				wantPython, wantOurs = c.python, c.ours
			}
			var before, now *session
			var both sync.WaitGroup
			meet := new(meeting)
			both.Go(func() { before = run(t, c, python, wantPython, nil, meet) })
			both.Go(func() { now = run(t, c, ours, wantOurs, []string{"--log-level", "debug"}, meet) })
			both.Wait()
			for _, s := range []struct {
				whose string
				*session
			}{{"the Python package's", before}, {"our", now}} {
				for _, problem := range s.problems {
					t.Errorf("%s program %s", s.whose, problem)
				}
			}
			diff := gocmp.Diff(before.got, now.got)
			switch {
			case c.differs == "" && diff != "":
				t.Errorf("the programs differ; if they should, the README's table says so, and why (-Python's +ours)\n%s", diff)
			case c.differs != "" && diff == "":
				t.Errorf("the programs do the same, so that this is not true any more: %s", c.differs)
			}
			if t.Failed() {
				t.Logf("Python's did %+v, and logged\n%s", before.got, before.stderr)
				t.Logf("ours did %+v, and logged\n%s", now.got, now.stderr)
			}
		})
	}
}

// session is a run of one program.
type session struct {
	test
	want           expectation
	world          *world
	python         bool
	cmd            *exec.Cmd
	stdin          io.WriteCloser
	stdout, stderr *scripttest.Transcript
	ended          chan struct{}
	limit          <-chan struct{}

	events   int // that were sent
	problems []string
	got      outcome
}

func (s *session) problem(format string, args ...any) {
	s.problems = append(s.problems, fmt.Sprintf(format, args...))
}

// meeting is where two wait for each other, as often as they like.
type meeting struct {
	mu     sync.Mutex
	first  chan struct{} // closed when the second has come; nil before the first has
	absent bool          // one will not come any more
}

func (m *meeting) await() {
	m.mu.Lock()
	first := m.first
	switch {
	case m.absent:
		m.mu.Unlock()
		return
	case first != nil:
		m.first = nil
		m.mu.Unlock()
		close(first)
		return
	}
	m.first = make(chan struct{})
	first = m.first
	m.mu.Unlock()
	<-first
}

func (m *meeting) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.absent = true
	if m.first != nil {
		close(m.first)
		m.first = nil
	}
}

// run runs a program through a case.
func run(t *testing.T, c test, bin string, want expectation, additional []string, meet *meeting) *session {
	defer meet.leave()
	limit, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s := &session{
		test: c, want: want, world: newWorld(t, c), python: additional == nil,
		stdout: scripttest.NewTranscript(), stderr: scripttest.NewTranscript(),
		ended: make(chan struct{}), limit: limit.Done(),
	}
	args, err := words(c.args)
	if err != nil {
		s.problem("cannot be run: %v", err)
		return s
	}
	for i, arg := range args {
		args[i] = s.world.expand(arg)
	}
	s.cmd = exec.Command(filepath.Join(bin, "supervisor_"+c.program+"_check"), append(additional, args...)...)
	s.cmd.Dir, s.cmd.Env = s.world.dir, s.world.env
	s.cmd.Stdout, s.cmd.Stderr = s.stdout, s.stderr
	if s.stdin, err = s.cmd.StdinPipe(); err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		s.problem("cannot be run: %v", err)
		return s
	}
	go func() {
		s.cmd.Wait()
		close(s.ended)
	}()
	for _, step := range strings.Fields(c.do) {
		if c.together {
			meet.await()
		}
		if err := s.do(step); err != nil {
			if err != scripttest.ErrEnded {
				s.problem("does not come to the end of %s: %v", step, err)
			}
			break
		}
	}
	select {
	case <-s.ended:
	case <-s.limit:
		s.problem("does not end")
		s.cmd.Process.Kill()
		<-s.ended
	}
	s.stdin.Close()
	s.awaitRest()
	s.observe()
	s.judge()
	return s
}

// words takes a command line apart.
func words(line string) ([]string, error) {
	var all []string
	var word strings.Builder
	quoted, begun := false, false
	for _, r := range line {
		switch {
		case r == '\'':
			quoted, begun = !quoted, true
		case r == ' ' && !quoted:
			if begun {
				all = append(all, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	if quoted {
		return nil, fmt.Errorf("a quote is not closed: %s", line)
	}
	if begun {
		all = append(all, word.String())
	}
	return all, nil
}

// signals are the steps that are signals.
var signals = map[string]syscall.Signal{
	"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "HUP": syscall.SIGHUP, "QUIT": syscall.SIGQUIT,
	"USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2,
}

// do does one step. It is a signal; EOF, the end of standard input; GARBAGE,
// which is no event; one of world.steps; or an event, whose end it waits for: Python's answers at
// the end of the round, ours at the beginning, but finds the same. After an
// event the step may say "@old", which was sent long ago; "@spaced", "@colon",
// from a supervisord with such an identifier; "@log", with a payload that is not
// ASCII; "&", of which the end is not awaited, only that the process is asked.
func (s *session) do(step string) error {
	if err := s.awaitReady(); err != nil {
		return err
	}
	if signal, known := signals[step]; known {
		if err := s.cmd.Process.Signal(signal); !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		return nil // an earlier one has ended it
	}
	if change, known := s.world.steps[step]; known {
		change()
		return nil
	}
	switch step {
	case "EOF":
		return s.stdin.Close()
	case "GARBAGE":
		_, err := io.WriteString(s.stdin, "all is well\n")
		return err
	}
	name, manner, _ := strings.Cut(step, "@")
	name, unawaited := strings.CutSuffix(name, "&")
	identifier, when, payload := "supervisor", time.Now(), ""
	switch manner {
	case "old":
		when = when.Add(-time.Hour)
	case "spaced":
		identifier = "my supervisor"
	case "colon":
		identifier = "my:supervisor"
	case "log":
		payload = "processname:a groupname:web pid:1 channel:stdout\nüber 5 °C"
	}
	if payload == "" {
		payload = fmt.Sprintf("when:%d", when.Unix())
	}
	s.events++
	if _, err := fmt.Fprintf(s.stdin, "ver:3.0 server:%s serial:%d pool:listener poolserial:%d eventname:%s len:%d\n%s",
		identifier, s.events, s.events, name, len([]rune(payload)), payload); err != nil {
		<-s.ended
		return scripttest.ErrEnded
	}
	if unawaited {
		s.events-- // as far as what follows is concerned
		return s.world.target.awaitRequest(1, s.limit)
	}
	if err := s.awaitReady(); err != nil {
		return err
	}
	if s.python {
		return nil
	}
	return s.awaitRound()
}

// awaitReady waits until the program has answered all events and is ready for
// another.
func (s *session) awaitReady() error {
	return s.stdout.Await(s.ended, s.limit, func(text string) bool { return strings.Count(text, "READY\n") > s.events })
}

// seconds writes pauses in seconds. On a machine that is busy one may be longer
// than it should, but by less than what it grows by from one retry to the next:
// then it is written as it should be.
func seconds(pauses []time.Duration, want string) string {
	wants := strings.Fields(want)
	var texts []string
	for i, pause := range pauses {
		text := strconv.Itoa(int(pause.Round(time.Second) / time.Second))
		if i < len(wants) {
			if least, err := strconv.Atoi(wants[i]); err == nil {
				if late := pause - time.Duration(least)*time.Second; late > -100*time.Millisecond && late < 3*time.Second {
					text = wants[i]
				}
			}
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, " ")
}

// awaitRound waits until our program has found in so many rounds what it should,
// and acted on it.
func (s *session) awaitRound() error {
	wantFound, wantRestarts := 0, 0
	for i, round := range strings.Split(s.want.finds, ";") {
		if i < s.events {
			found := s.findings(round)
			wantFound += len(found)
			for _, f := range found {
				if strings.HasSuffix(f, " unhealthy") {
					wantRestarts++
				}
			}
		}
	}
	if s.want.leaves != "" {
		wantRestarts = 0 // they may take another course
	}
	if wantFound == 0 {
		return s.awaitList()
	}
	if err := s.stderr.Await(s.ended, s.limit, func(text string) bool {
		return len(ourFinding.FindAllString(text, -1)) >= wantFound && len(ourRestart.FindAllString(text, -1)) >= wantRestarts
	}); err != nil {
		return err
	}
	return s.awaitLeft()
}

// awaitList waits until our program has asked for the list of processes as often
// as there were rounds, and once when it began, or has said why it cannot: when
// nothing is to be found, that is all there is to see.
func (s *session) awaitList() error {
	if !strings.HasPrefix(s.test.do, "TICK_") || strings.Contains(s.test.do, "@old") {
		return nil
	}
	listed := make(chan error, 2)
	go func() {
		listed <- s.awaitServer(s.ended, func() bool {
			lists := 0
			for _, call := range s.world.server.Calls() {
				if call.Method == "supervisor.getAllProcessInfo" || call.Method == "supervisor.getProcessInfo" {
					lists++
				}
			}
			return lists > s.events
		})
	}()
	go func() {
		listed <- s.stderr.Await(s.ended, s.limit, func(text string) bool { return strings.Contains(text, "level=ERROR") })
	}()
	return <-listed
}

// awaitLeft waits until the processes are as they should be left.
func (s *session) awaitLeft() error {
	if s.events < len(strings.Split(s.want.finds, ";")) {
		return nil
	}
	want := s.leaves()
	return s.awaitServer(s.ended, func() bool { return slices.Equal(s.left(), want) })
}

// awaitRest waits until what the program has begun has come to its end: Python's does not
// wait for a start.
func (s *session) awaitRest() {
	if err := s.awaitServer(nil, func() bool {
		return !slices.ContainsFunc(s.left(), func(p string) bool { return strings.Contains(p, " STARTING ") || strings.Contains(p, " STOPPING ") })
	}); err != nil {
		s.problem("leaves processes that neither run nor are stopped: %v", s.left())
	}
}

// awaitServer waits until condition is true of supervisord, or the program has ended.
func (s *session) awaitServer(ended <-chan struct{}, condition func() bool) error {
	ctx, cancel := context.WithCancel(s.world.t.Context())
	defer cancel()
	met := make(chan bool, 1)
	go func() { met <- s.world.server.Await(ctx, condition) }()
	select {
	case <-met:
		return nil
	case <-ended:
		return scripttest.ErrEnded
	case <-s.limit:
		return scripttest.ErrTimeout
	}
}

// findings expands one round of expectation.finds.
func (s *session) findings(round string) []string {
	var all []string
	for finding := range strings.SplitSeq(round, ",") {
		words := strings.Fields(s.world.expand(finding))
		_, first := supervisor.SplitNamespec(s.world.namespecs(s.processes)[0])
		switch len(words) {
		case 1:
			words = []string{first, s.program, words[0]}
		case 2:
			words = []string{words[0], s.program, words[1]}
		case 0:
			continue
		}
		all = append(all, strings.Join(words, " "))
	}
	return all
}

// left tells what has become of the processes.
func (s *session) left() []string {
	var all []string
	for _, namespec := range s.world.namespecs(s.processes) {
		p := s.world.server.Process(namespec)
		all = append(all, fmt.Sprintf("%s %v %d", namespec, p.State, s.world.server.Starts(namespec)))
	}
	return all
}

// leaves expands expectation.leaves.
func (s *session) leaves() []string {
	var all []string
	for _, namespec := range s.world.namespecs(s.processes) {
		state := namespec + " RUNNING 1"
		if strings.Contains(s.processes, "stopped="+namespec) {
			state = namespec + " STOPPED 0"
		}
		starts := 1
		for round := range strings.SplitSeq(s.want.finds, ";") {
			for _, f := range s.findings(round) {
				words := strings.Fields(f)
				if words[2] == "unhealthy" && (namespec == words[0] || strings.HasSuffix(namespec, ":"+words[0])) {
					starts++
					state = fmt.Sprintf("%s RUNNING %d", namespec, starts)
				}
			}
		}
		for given := range strings.SplitSeq(s.want.leaves, ",") {
			if given = strings.TrimSpace(s.world.expand(given)); strings.HasPrefix(given, namespec+" ") {
				state = given
			}
		}
		all = append(all, state)
	}
	return all
}

var (
	ourFinding    = regexp.MustCompile(`level=DEBUG msg="(?:\S+:)?(\S+) (healthy|unhealthy|unknown): (\w+)`)
	ourRestart    = regexp.MustCompile(` msg="\S+ is checked in rounds again"`) // which the log says last of one
	pythonFinding = regexp.MustCompile("(?m)Performing `(\\w+)` check for process name (\\S+)$|`(\\w+)` check (succeeded|failed|raised error) for process ([^\\s:]+?)[.:]?(?:\\s|$)")
	complaint     = regexp.MustCompile(`(?m)^\S+: error: (argument [^:]+(?:: expected one argument)?|ambiguous option: --[\w-]+|unrecognized arguments: \S+|the following arguments are required: .*)`)
	instead       = regexp.MustCompile(` or --[\w-]+`) // what ours takes in place of it
)

// observe collects what came of it.
func (s *session) observe() {
	w := s.world
	s.got = outcome{Exit: s.cmd.ProcessState.ExitCode(), Left: s.left(), Said: s.stdout.String()}
	log := s.stderr.String()
	if s.python {
		statuses := map[string]string{"succeeded": "healthy", "failed": "unhealthy", "raised error": "unknown"}
		begun := make(map[string]bool) // an error after "failed" is that of the restart
		for _, m := range pythonFinding.FindAllStringSubmatch(log, -1) {
			switch {
			case m[1] != "":
				begun[m[2]] = true
			case begun[m[5]]:
				s.got.Found = append(s.got.Found, m[5]+" "+m[3]+" "+statuses[m[4]])
				delete(begun, m[5])
			}
		}
	} else {
		for _, m := range ourFinding.FindAllStringSubmatch(log, -1) {
			s.got.Found = append(s.got.Found, m[1]+" "+m[3]+" "+m[2])
		}
	}
	if m := complaint.FindStringSubmatch(log); m != nil {
		s.got.Refused = instead.ReplaceAllString(typo.Replace(m[1]), "")
	}
	if strings.Contains(s.got.Said, "--help") {
		for _, option := range options(typo.Replace(s.got.Said)) {
			if s.python || slices.Contains(strings.Fields(s.want.shows), option) {
				s.got.Shown = append(s.got.Shown, option)
			}
		}
		slices.Sort(s.got.Shown)
		s.got.Said = ""
	}
	texts, pauses := w.target.end()
	for _, text := range texts {
		s.got.Asked = append(s.got.Asked, canonical(w.collapse(text)))
	}
	if s.want.pauses != "" {
		s.got.Pauses = seconds(pauses, s.want.pauses)
	}
	for i, found := range s.got.Found {
		s.got.Found[i] = w.collapse(found)
	}
	for i, left := range s.got.Left {
		s.got.Left[i] = w.collapse(left)
	}
	slices.Sort(s.got.Found)
	slices.Sort(s.got.Asked)
}

// typo is the Python package's in the name of an option, which ours shows under
// the right name.
var typo = strings.NewReplacer("--max-rss", "--msx-rss")

var helpOption = regexp.MustCompile(`(?m)^ +(?:(-\w)(?: \w+)?, )?(--[\w-]+)`)

// options returns the options that a help text shows: "-n/--check-name".
func options(help string) []string {
	var all []string
	for _, m := range helpOption.FindAllStringSubmatch(help, -1) {
		all = append(all, strings.TrimPrefix(m[1]+"/"+m[2], "/"))
	}
	return all
}

// canonical writes a request in the one way for all that mean the same.
func canonical(request string) string {
	head, body, whole := strings.Cut(request, "\r\n\r\n")
	if !whole {
		return request
	}
	lines := strings.Split(head, "\r\n")
	var headers []string
	xmlrpc := strings.Contains(body, "<methodCall>")
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		name = textproto.CanonicalMIMEHeaderKey(name)
		switch {
		case name == "Connection" && strings.TrimSpace(value) == "close":
			continue
		case name == "Content-Length" && strings.TrimSpace(value) == "0" && strings.HasPrefix(head, "GET "):
			continue
		case xmlrpc && (name == "User-Agent" || name == "Accept" || name == "Content-Length"):
			continue
		}
		headers = append(headers, name+":"+value)
	}
	slices.Sort(headers)
	if method := regexp.MustCompile(`<methodName>([^<]*)</methodName>`).FindStringSubmatch(body); xmlrpc && method != nil {
		body = "call " + method[1]
	}
	return lines[0] + "\n" + strings.Join(headers, "\n") + "\n\n" + body
}

// judge compares the outcome with what is expected.
func (s *session) judge() {
	var want outcome
	for round := range strings.SplitSeq(s.want.finds, ";") {
		for _, f := range s.findings(round) {
			want.Found = append(want.Found, s.world.collapse(f))
		}
	}
	slices.Sort(want.Found)
	for _, left := range s.leaves() {
		want.Left = append(want.Left, s.world.collapse(left))
	}
	want.Exit, want.Refused, want.Said = s.want.exit, s.want.refuses, s.want.says
	if s.want.shows != "" {
		want.Shown = strings.Fields(s.want.shows)
		slices.Sort(want.Shown)
	}
	switch {
	case want.Refused != "":
		want.Exit = cmp.Or(want.Exit, 2)
	case want.Said != "", want.Shown != nil:
	case want.Exit == 0:
		want.Said = "READY\n" + strings.Repeat("RESULT 2\nOKREADY\n", s.events)
	case want.Exit == 2:
	default:
		want.Said = s.got.Said // which is not what the case is about
	}
	want.Asked, want.Pauses = s.got.Asked, s.want.pauses
	if diff := gocmp.Diff(want, s.got); diff != "" {
		s.problem("does something else than expected (-want +got)\n%s", diff)
	}
	sent := make(map[string]bool)
	for line := range strings.Lines(strings.Join(s.got.Asked, "\n")) {
		sent[strings.TrimSpace(line)] = true
	}
	for line := range strings.SplitSeq(s.want.sends, " | ") {
		if line = strings.TrimSpace(line); line != "" && !sent[line] {
			s.problem("does not send the line %q, but\n%s", line, strings.Join(s.got.Asked, "\n"))
		}
	}
	if want := max(s.want.asks, 0); s.want.asks != 0 && len(s.got.Asked) != want {
		s.problem("asks the process %d times, want %d", len(s.got.Asked), want)
	}
}
