package command

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

// Process is a program that runs for long and is talked to.
type Process struct {
	// Stdin and Stdout are the other ends of its own. Stdin is closed when it has ended,
	// and Stdout has an end soon after that, whoever it has left behind. Both may be used
	// from several goroutines.
	Stdin  io.WriteCloser
	Stdout io.Reader

	command       Command
	pid           int
	stdin, stdout *os.File
	done          chan struct{}
	err           error
	closing       sync.Once

	mu     sync.Mutex
	reaped bool // its group's number may be another's
}

// maxLine is how many bytes of a line of a Process are kept.
const maxLine = 4 << 10

// Start starts the program, and returns when it runs. log is called for each line that it
// writes to its standard error, cut where it is longer than 4 KiB, from one goroutine. The
// error wraps ErrNotRun. What is left of its process group when it has ended is killed.
func (c Command) Start(log func(line string)) (*Process, error) {
	var files [6]*os.File // to it, from it, and from it again
	for i := 0; i < len(files); i += 2 {
		var err error
		if files[i], files[i+1], err = os.Pipe(); err != nil {
			closeAll(files[:i])
			return nil, fmt.Errorf("%w: %w", ErrNotRun, err)
		}
	}
	cmd := c.prepared()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = files[0], files[3], files[5]
	err := cmd.Start()
	closeAll([]*os.File{files[0], files[3], files[5]})
	if err != nil {
		closeAll([]*os.File{files[1], files[2], files[4]})
		return nil, c.notRun(err)
	}
	p := &Process{Stdin: files[1], Stdout: files[2], command: c, pid: cmd.Process.Pid, stdin: files[1], stdout: files[2], done: make(chan struct{})}
	logged := make(chan struct{})
	go func() {
		defer close(logged)
		defer files[4].Close()
		eachLine(files[4], log)
	}()
	go func() {
		reap := end(cmd)
		p.signal(syscall.SIGKILL) // those that it has left behind
		p.mu.Lock()
		p.reaped = true
		err := exitError(reap())
		p.mu.Unlock()
		p.stdin.Close()
		soon := time.Now().Add(drainTime)
		p.stdout.SetReadDeadline(soon)
		files[4].SetReadDeadline(soon)
		<-logged
		p.err = err
		close(p.done)
	}()
	return p, nil
}

// signal sends the process group a signal, as long as it is its own.
func (p *Process) signal(signal syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		signalGroup(p.pid, signal)
	}
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// eachLine calls log for each line.
func eachLine(from io.Reader, log func(string)) {
	r := bufio.NewReaderSize(from, maxLine)
	for begins := true; ; {
		line, more, err := r.ReadLine()
		if err != nil {
			return
		}
		if begins {
			log(valid(string(line)))
		}
		begins = !more
	}
}

// Done is closed when the program has ended, and all that it has written to its standard
// error was given to the log.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err is how the program has ended, once Done is closed: nil for the exit status 0, or an
// *ExitError.
func (p *Process) Err() error { return p.err }

// Close ends the program: it closes its standard input, sends its process group SIGTERM
// when it has not ended after half of Command.Grace, and kills the group after the rest of
// that. It returns when the program has ended.
func (p *Process) Close() {
	p.closing.Do(func() {
		p.stdin.Close()
		half := p.command
		half.Grace = max(1, half.grace()/2)
		if !within(half.Grace, p.done) {
			half.end(context.Background(), p.signal, p.done)
			p.signal(syscall.SIGKILL)
			within(killTime, p.done)
		}
		p.stdout.Close()
	})
}
