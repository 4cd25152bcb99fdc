//go:build !linux

package proc

import (
	"errors"
	"fmt"
	"time"

	"github.com/shirou/gopsutil/v3/mem"
	"github.com/shirou/gopsutil/v3/process"
)

func read(pid int, _ *buffer) (Stat, error) {
	p, err := find(pid)
	if err != nil {
		return Stat{}, err
	}
	parent, err := p.Ppid()
	if err != nil {
		return Stat{}, fmt.Errorf("read the parent of process %d: %w", pid, err)
	}
	start, err := p.CreateTime()
	if err != nil {
		return Stat{}, fmt.Errorf("read the start time of process %d: %w", pid, err)
	}
	times, err := p.Times()
	if err != nil {
		return Stat{}, fmt.Errorf("read the processor time of process %d: %w", pid, err)
	}
	return Stat{
		PID:    pid,
		Parent: int(parent),
		Start:  uint64(start),
		CPU:    time.Duration((times.User + times.System) * float64(time.Second)),
	}, nil
}

func find(pid int) (*process.Process, error) {
	p, err := process.NewProcess(int32(pid))
	if errors.Is(err, process.ErrorProcessNotRunning) {
		err = ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	return p, nil
}

func rss(pid int, _ *buffer) (uint64, error) {
	p, err := find(pid)
	if err != nil {
		return 0, err
	}
	memory, err := p.MemoryInfo()
	if err != nil {
		return 0, fmt.Errorf("read the memory of process %d: %w", pid, err)
	}
	return memory.RSS, nil
}

func clock() (uint64, error) { return uint64(time.Now().UnixMilli()), nil }

func pids() ([]int, error) {
	all, err := process.Pids()
	found := make([]int, len(all))
	for i, pid := range all {
		found[i] = int(pid)
	}
	return found, err
}

func readShares(int) (Shares, error) {
	return Shares{}, errors.New("this system does not tell how much of its memory a process shares; use rss")
}

func memoryLimit(int) (Limit, error) {
	memory, err := mem.VirtualMemory()
	if err != nil {
		return Limit{}, fmt.Errorf("read the size of the memory: %w", err)
	}
	return Limit{Bytes: memory.Total}, nil
}
