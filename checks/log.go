package checks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/duration"
	"github.com/supervisor-checks/supervisor-checks/internal/foreign"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// DefaultLogWithin is for how long a line counts when LogConfig.Within is 0.
const DefaultLogWithin = 5 * time.Minute

// shownLine is how many bytes of a line are shown.
const shownLine = 200

// LogStream is which output of a process Log reads.
type LogStream string

// The logs there are of a process.
const (
	StdoutLog LogStream = "stdout"
	StderrLog LogStream = "stderr"
	BothLogs  LogStream = "both"
)

// LogConfig configures a check of a log.
type LogConfig struct {
	// Pattern is a regular expression that a line matches which counts:
	// `ERROR|panic:`. It is required.
	Pattern string

	// Times is how many such lines are too many. 0 means 1.
	Times int

	// Within is for how long a line counts, from the look that found it. 0 means
	// DefaultLogWithin.
	Within time.Duration

	// Stream is which log is read. "" means BothLogs: those that there are. Of two, one
	// that is no file, such as /dev/stdout, is left out.
	Stream LogStream

	// Now is the clock that says when a line was found. nil means time.Now.
	Now func() time.Time
}

// Log checks that a process does not write certain lines to its log too often: to
// the files that supervisord has for its output, on this machine.
type Log struct {
	cfg     LogConfig
	pattern *regexp.Regexp

	mu   sync.Mutex
	last map[string]*logged // by namespec
}

// logged is what is known of the logs of one run of a process.
type logged struct {
	run  supervisor.Process
	pace pace // guarded by Log.mu

	mu     sync.Mutex
	logs   []log
	found  []found // within the time, the oldest first
	newest string  // the last line that was found, and in which log
}

// log is one of them.
type log struct {
	stream LogStream
	path   string
	tail
}

// found is how many lines one look has found.
type found struct {
	at    time.Time
	lines int
}

// NewLog returns the check that cfg describes, or a *ConfigError.
func NewLog(cfg LogConfig) (*Log, error) {
	switch {
	case cfg.Pattern == "":
		return nil, refuse("log", "pattern", "is required: a regular expression such as `ERROR|panic:`")
	case cfg.Times < 0:
		return nil, refuse("log", "times", "%d is less than 0", cfg.Times)
	case cfg.Within < 0:
		return nil, refuse("log", "within", "%v is less than 0", cfg.Within)
	case cfg.Stream != "" && cfg.Stream != StdoutLog && cfg.Stream != StderrLog && cfg.Stream != BothLogs:
		return nil, refuse("log", "stream", "%q is none of stdout, stderr, both", string(cfg.Stream))
	}
	pattern, err := regexp.Compile(cfg.Pattern)
	if err != nil {
		return nil, refuse("log", "pattern", "%w", err)
	}
	if pattern.MatchString("") {
		return nil, refuse("log", "pattern", "`%s` matches an empty line: say what must be in it", cfg.Pattern)
	}
	cfg.Times = max(cfg.Times, 1)
	if cfg.Within == 0 {
		cfg.Within = DefaultLogWithin
	}
	if cfg.Stream == "" {
		cfg.Stream = BothLogs
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Log{cfg: cfg, pattern: pattern, last: make(map[string]*logged)}, nil
}

// Name returns "log".
func (c *Log) Name() string { return "log" }

func (c *Log) remembers() {}

// StartRound forgets processes that there are no more.
func (c *Log) StartRound(ctx context.Context, watched []supervisor.Process) context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	forget(c.last, watched)
	return ctx
}

// Run reads what has been appended to the logs of p since the last look, through
// rotation. Times lines that match, or more, within Within of now are Unhealthy,
// until they are older or p is another run. How many there are is the metric matches.
//
// A line counts from the look that found it, once it has ended; of a long one the
// first 64 KiB are looked at. Of more than 16 MiB at once the last are read; what was
// left out is the metric skipped_bytes. What nobody had read when a log was emptied, or
// a backup of it removed, is lost. A log of several processes counts for each of them.
//
// The metric lost_looks, if it is there, is how many looks at this run of the process did
// not find any more what the one before had read: the log has been renamed more often
// than backups of it are kept, or has been emptied or removed. Larger files, more backups
// or more frequent looks help against the former. The metric unread_logs is 1 where one
// of two is left out since it is no file.
//
// It is Unknown, with ErrNotYet, the first time that this run of the process is
// looked at. What is in the log by then is left out, for nobody knows which run wrote
// it, and one must not be restarted for what another did. The same goes for a look
// after a gap, when the last one is longer ago than four minutes and than four times
// the longest time between two of the last looks: what was written then, while nobody
// looked, is left out; what was found before counts as it would have. A process that
// does not run, or a log of it that we cannot read, is Unknown, too, unless there are
// too many lines in the other. The files are those of this machine, whichever
// supervisord says where they are. A link is followed when it is root's or our own.
func (c *Log) Run(ctx context.Context, p supervisor.Process) Result {
	if p.PID == 0 {
		return Unsure(errors.New("the process does not run"))
	}
	now := c.cfg.Now()
	c.mu.Lock()
	l := c.last[p.Namespec()]
	if before := l; l == nil || !l.run.SameRun(p) {
		l = &logged{run: p, logs: c.logs(p)}
		if before != nil {
			l.pace = before.pace.next()
		}
		c.last[p.Namespec()] = l
	}
	gap := l.pace.look(now)
	c.mu.Unlock()

	l.mu.Lock()
	defer l.mu.Unlock()
	skipped, unread, err := c.look(ctx, l, now, gap)
	matches, lost := 0, 0
	for _, f := range l.found {
		matches += f.lines
	}
	for _, log := range l.logs {
		lost += log.lost
	}
	r := Pass()
	switch {
	case matches >= c.cfg.Times:
		times := "once"
		if matches > 1 {
			times = fmt.Sprint(matches, " times")
		}
		r = Fail(fmt.Errorf("`%s` %s within %s, last in the %s", c.cfg.Pattern, times, duration.Short(c.cfg.Within), l.newest))
	case err != nil:
		r = Unsure(err)
	}
	r.Metrics = map[string]float64{"matches": float64(matches)}
	for metric, value := range map[string]int64{"skipped_bytes": skipped, "lost_looks": int64(lost), "unread_logs": int64(unread)} {
		if value > 0 {
			r.Metrics[metric] = float64(value)
		}
	}
	return r
}

// logs returns those of p that are to be read.
func (c *Log) logs(p supervisor.Process) (logs []log) {
	for _, l := range []log{{stream: StdoutLog, path: p.StdoutLog}, {stream: StderrLog, path: p.StderrLog}} {
		twice := len(logs) > 0 && logs[0].path == l.path
		if l.path != "" && !twice && (c.cfg.Stream == l.stream || c.cfg.Stream == BothLogs) {
			logs = append(logs, l)
		}
	}
	return logs
}

// look reads what is new, after a gap in the looks or 0. unread is how many logs it has
// left out.
func (c *Log) look(ctx context.Context, l *logged, now time.Time, gap time.Duration) (skipped int64, unread int, err error) {
	lines := 0
	switch {
	case len(l.logs) > 0:
	case c.cfg.Stream == StderrLog:
		return 0, 0, errors.New("supervisord keeps no stderr log of it: give it a stderr_logfile or, with redirect_stderr, read that of stdout")
	default:
		return 0, 0, errors.New("supervisord keeps no log of it in a file: give it a stdout_logfile")
	}
	for i := range l.logs {
		log := &l.logs[i]
		var newest []byte
		left, problem := log.look(ctx, gap, func(line []byte) {
			if c.pattern.Match(line) {
				newest = append(newest[:0], line[:min(len(line), 2*shownLine)]...)
				lines++
			}
		})
		if newest != nil {
			l.newest = fmt.Sprintf("%s log: \"%s\"", log.stream, foreign.Line(string(newest), shownLine))
		}
		skipped += left
		if errors.Is(problem, errNoFile) && unread < len(l.logs)-1 {
			unread++
			continue
		}
		if err == nil || errors.Is(err, ErrNotYet) && problem != nil {
			err = problem
		}
	}
	if lines > 0 {
		l.found = append(l.found, found{now, lines})
		l.found = c.thinned(l.found)
	}
	l.found = slices.DeleteFunc(l.found, func(f found) bool { return now.Sub(f.at) > c.cfg.Within })
	return skipped, unread, err
}

// thinned bounds how many looks are remembered, to which one has been added. The last
// Times of them say alone whether there are too many lines. Of those before them, which
// are only counted besides, what was found within a hundredth of the time is one.
func (c *Log) thinned(all []found) []found {
	i := len(all) - c.cfg.Times - 1 // the one that is no more among the last
	slot := max(c.cfg.Within/100, 1)
	if i > 0 && all[i].at.Truncate(slot).Equal(all[i-1].at.Truncate(slot)) {
		all[i].lines += all[i-1].lines
		all = slices.Delete(all, i-1, i)
	}
	return all
}

// look calls match with each line that is new, and returns how many bytes were left
// out. After a gap it leaves out all.
func (l *log) look(ctx context.Context, gap time.Duration, match func(line []byte)) (skipped int64, err error) {
	switch {
	case !filepath.IsAbs(l.path): // the Go supervisord says AUTO, Python's what its configuration says
		return 0, fmt.Errorf("its %s log is %q, which is no full path: give it a %[1]s_logfile that begins with /", l.stream, l.path)
	case l.file == nil:
		if err = l.toEnd(l.path); err == nil {
			return 0, fmt.Errorf("%w: its log is read from now on", ErrNotYet)
		}
	case gap > 0:
		l.file = nil // also where it cannot be had now
		if err = l.toEnd(l.path); err == nil {
			return 0, fmt.Errorf("%w: its log is read from now on, after %s without a look", ErrNotYet, duration.Short(gap.Round(time.Second)))
		}
	case !l.unchanged(l.path):
		skipped, err = l.read(ctx, l.path, maxLook, match)
	}
	switch {
	case errors.Is(err, errNoFile):
		err = fmt.Errorf("its %s log is %s, which %w: give it a %[1]s_logfile", l.stream, l.path, err)
	case errors.Is(err, errForeignLink):
		err = fmt.Errorf("its %s log is %s, which %w: give it a %[1]s_logfile that is the file itself", l.stream, l.path, err)
	case errors.Is(err, os.ErrNotExist):
		err = fmt.Errorf("its %s log is not there: %w: run this where supervisord runs, in the same container", l.stream, err)
	case errors.Is(err, os.ErrPermission):
		err = fmt.Errorf("its %s log may not be read: %w: run this as root, or as the user who owns it", l.stream, err)
	case err != nil:
		err = fmt.Errorf("its %s log cannot be read: %w", l.stream, err)
	}
	return skipped, err
}
