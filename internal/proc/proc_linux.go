package proc

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// clockTick is the unit of times in /proc: USER_HZ is 100 on every architecture
// that Go knows.
const clockTick = time.Second / 100

// maxTicks is what a time of user or system may be: a Duration holds both.
const maxTicks = math.MaxInt64 / uint64(clockTick) / 2

func read(pid int, space *buffer) (Stat, error) {
	line, err := readFile(pid, "stat", space)
	if err != nil {
		return Stat{}, err
	}
	stat, err := parseStat(line)
	if err != nil {
		return Stat{}, fmt.Errorf("read /proc/%d/stat: %w", pid, err)
	}
	return stat, nil
}

// readFile reads a file of a process, without what package os does to files
// that can be waited for. What it returns is in space.
func readFile(pid int, name string, space *buffer) ([]byte, error) {
	path := "/proc/" + strconv.Itoa(pid) + "/" + name
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	for err == unix.EINTR {
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return nil, reason(pid, &os.PathError{Op: "open", Path: path, Err: err})
	}
	defer unix.Close(fd)
	n, err := unix.Read(fd, space[:])
	for err == unix.EINTR {
		n, err = unix.Read(fd, space[:])
	}
	if err != nil {
		return nil, reason(pid, &os.PathError{Op: "read", Path: path, Err: err})
	}
	return space[:n], nil
}

// reason tells a process that has ended from one that is hidden: with hidepid=2
// it is just as absent from /proc, but a signal could be sent to it.
func reason(pid int, err error) error {
	switch {
	case errors.Is(err, unix.ESRCH), errors.Is(err, unix.ENOENT) && unix.Kill(pid, 0) == unix.ESRCH:
		return fmt.Errorf("process %d: %w", pid, ErrGone)
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("process %d: %w", pid, ErrHidden)
	}
	return err
}

// parseStat reads a line of /proc/PID/stat, as man 5 proc describes it.
func parseStat(line []byte) (Stat, error) {
	open, end := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')') // of a name that may have some itself
	if open < 1 || line[open-1] != ' ' || end < open || !stateFollows(line[end+1:]) {
		return Stat{}, fmt.Errorf("it has no name in brackets: %.100q", line)
	}
	pid, err := strconv.Atoi(string(line[:open-1]))
	if err != nil || pid <= 0 {
		return Stat{}, fmt.Errorf("it does not begin with a process id: %.100q", line)
	}
	stat := Stat{PID: pid}
	const firstNumber = 4 // the name is the second field, the state the third
	rest := line[end+4:]
	for field := firstNumber; field <= 22; field++ {
		text := rest
		if space := bytes.IndexByte(rest, ' '); space >= 0 {
			text, rest = rest[:space], rest[space+1:]
		} else {
			rest = nil
		}
		var into *time.Duration
		most := uint64(math.MaxInt64)
		switch field {
		case 4:
			most = math.MaxInt32
		case 14, 15:
			into, most = &stat.CPU, maxTicks
		case 16, 17:
			into, most = &stat.ChildrenCPU, maxTicks
		case 22:
		default:
			continue
		}
		n, ok := parseDigits(text, most)
		if !ok {
			return Stat{}, fmt.Errorf("its field %d is no number: %.20q", field, text)
		}
		switch field {
		case 4:
			stat.Parent = int(n)
		case 22:
			stat.Start = n
		default:
			*into += time.Duration(n) * clockTick
		}
	}
	return stat, nil
}

// stateFollows reports whether text begins with a state: " S ".
func stateFollows(text []byte) bool {
	return len(text) >= 3 && text[0] == ' ' && text[1] != ' ' && text[2] == ' '
}

// parseDigits reads a number that is not negative, and not more than most.
func parseDigits(text []byte, most uint64) (uint64, bool) {
	var n uint64
	for _, c := range text {
		digit := uint64(c - '0')
		if c < '0' || c > '9' || n > most/10 || 10*n > most-digit {
			return 0, false
		}
		n = 10*n + digit
	}
	return n, len(text) > 0
}

// clock returns the present moment in the unit of Stat.Start.
func clock() (uint64, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return 0, fmt.Errorf("read the time since the system began: %w", os.NewSyscallError("clock_gettime", err))
	}
	return uint64(now.Nano() / int64(clockTick)), nil
}

// pids returns the process ids of those that /proc shows.
func pids() ([]int, error) {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer proc.Close()
	names, err := proc.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	found := make([]int, 0, len(names))
	for _, name := range names {
		if pid, ok := parseDigits([]byte(name), math.MaxInt32); ok {
			found = append(found, int(pid))
		}
	}
	return found, nil
}
