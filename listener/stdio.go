package listener

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Stdio moves the protocol to descriptors that nobody else knows, and returns
// them. From then on the process's standard output is its standard error and
// its standard input is empty, for itself and for the programs it starts: a
// stray print would put the listener out of service for good, and a program
// that reads would swallow events.
func Stdio() (in, out *os.File, err error) {
	if in, err = private(unix.Stdin, "supervisord's events"); err != nil {
		return nil, nil, err
	}
	if out, err = private(unix.Stdout, "the answers to supervisord"); err != nil {
		return nil, nil, err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	defer null.Close()
	if err := unix.Dup2(int(null.Fd()), unix.Stdin); err != nil {
		return nil, nil, fmt.Errorf("empty the standard input: %w", err)
	}
	if err := unix.Dup2(unix.Stderr, unix.Stdout); err != nil {
		return nil, nil, fmt.Errorf("point standard output at standard error: %w", err)
	}
	return in, out, nil
}

func private(fd int, name string) (*os.File, error) {
	private, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("keep descriptor %d for %s: %w", fd, name, err)
	}
	var stat unix.Stat_t
	if fd == unix.Stdin && unix.Fstat(private, &stat) == nil && stat.Mode&unix.S_IFMT == unix.S_IFIFO {
		unix.SetNonblock(private, true) // nobody else reads from that pipe; a terminal is the shell's too
	}
	return os.NewFile(uintptr(private), name), nil
}
