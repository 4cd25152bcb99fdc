package proc

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

var pageSize = uint64(os.Getpagesize())

// rss reads /proc/PID/statm: the same number in stat can be wrong by megabytes
// on a machine with many processors.
//
// A process whose first thread has ended seems to have none; its other threads,
// which use the same memory, know.
func rss(pid int, space *buffer) (uint64, error) {
	bytes, err := readStatm(pid, "statm", space)
	if err != nil || bytes > 0 {
		return bytes, err
	}
	for _, thread := range threads(pid) {
		if bytes, err := readStatm(pid, "task/"+thread+"/statm", space); err == nil && bytes > 0 {
			return bytes, nil
		}
	}
	return 0, nil
}

// threads returns the thread ids of a process, none if it has ended.
func threads(pid int) []string {
	entries, _ := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
	ids := make([]string, len(entries))
	for i, entry := range entries {
		ids[i] = entry.Name()
	}
	return ids
}

func readStatm(pid int, name string, space *buffer) (uint64, error) {
	line, err := readFile(pid, name, space)
	if err != nil {
		return 0, err
	}
	bytes, err := parseStatm(line)
	if err != nil {
		return 0, fmt.Errorf("read /proc/%d/%s: %w", pid, name, err)
	}
	return bytes, nil
}

// parseStatm reads the resident pages from a line of /proc/PID/statm, as man 5
// proc describes it.
func parseStatm(line []byte) (uint64, error) {
	_, rest, _ := bytes.Cut(line, []byte(" "))
	pages, _, ended := bytes.Cut(rest, []byte(" "))
	n, ok := parseDigits(pages, math.MaxUint64/pageSize)
	if !ok || !ended {
		return 0, fmt.Errorf("its second field is no number: %.100q", line)
	}
	return n * pageSize, nil
}

// readShares reads /proc/PID/smaps_rollup, which of a zombie says what it says of
// a process that has ended. As with rss, other threads than the first may know.
func readShares(pid int) (Shares, error) {
	shares, err := readRollup(pid)
	if !errors.Is(err, ErrGone) {
		return shares, err
	}
	if _, err := Read(pid); err != nil {
		return Shares{}, err
	}
	for _, thread := range threads(pid) {
		id, _ := strconv.Atoi(thread)
		if shares, err := readRollup(id); err == nil {
			return shares, nil
		}
	}
	return Shares{}, nil
}

// readRollup reads the shares of a process as one of its threads knows them.
func readRollup(pid int) (Shares, error) {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return Shares{}, reason(pid, err)
	}
	rollup, err := p.ProcSMapsRollup()
	if err != nil {
		return Shares{}, reason(pid, fmt.Errorf("read the shares of process %d: %w", pid, err))
	}
	return Shares{PSS: rollup.Pss, USS: rollup.PrivateClean + rollup.PrivateDirty}, nil
}

func memoryLimit(pid int) (Limit, error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return Limit{}, fmt.Errorf("read the size of the memory: %w", os.NewSyscallError("sysinfo", err))
	}
	limit := Limit{Bytes: uint64(info.Totalram) * uint64(info.Unit)}
	groups, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if errors.Is(err, unix.ENOENT) {
		if _, gone := Read(pid); gone != nil {
			return Limit{}, gone
		}
		return limit, nil // a kernel without control groups
	}
	if err != nil {
		return Limit{}, reason(pid, err)
	}
	if set, found := cgroupLimit("/sys/fs/cgroup", string(groups)); found && set < limit.Bytes {
		limit = Limit{Bytes: set, Cgroup: true}
	}
	return limit, nil
}

// cgroupLimit returns the least limit of memory that holds for the control
// groups which a /proc/PID/cgroup lists, in either version of them. Folders that
// are not there are passed over: a container sees its own group as the root.
func cgroupLimit(root, groups string) (least uint64, found bool) {
	for line := range strings.Lines(groups) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) < 3 {
			continue
		}
		top, file := root, "memory.max"
		switch {
		case fields[0] == "0" && fields[1] == "":
		case strings.Contains(","+fields[1]+",", ",memory,"):
			top, file = path.Join(root, "memory"), "memory.limit_in_bytes"
		default:
			continue
		}
		for group := path.Clean("/" + fields[2]); ; group = path.Dir(group) {
			text, err := os.ReadFile(path.Join(top, group, file))
			limit, notSet := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64) // or "max"
			if err == nil && notSet == nil && (!found || limit < least) {
				least, found = limit, true
			}
			if group == "/" {
				break
			}
		}
	}
	return least, found
}
