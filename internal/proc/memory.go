package proc

// RSS returns the resident memory of a process in bytes, 0 for a zombie. The
// error wraps ErrGone or ErrHidden where that is why.
func RSS(pid int) (uint64, error) { return rss(pid, new(buffer)) }

// Shares are what of the resident memory of a process is its own.
type Shares struct {
	PSS uint64 // its own, and its part of what it shares, in bytes
	USS uint64 // its own: what would be free if it ended, in bytes
}

// ReadShares tells how much of its memory a process shares. Linux only; there it
// takes the right to trace the process, as root and its own user have, and the
// kernel walks through all of its memory. A zombie has none. The error wraps
// ErrGone or ErrHidden where that is why.
func ReadShares(pid int) (Shares, error) { return readShares(pid) }

// Limit is how much memory a process can have.
type Limit struct {
	Bytes  uint64
	Cgroup bool // it is set for the control group, and is less than the machine has
}

// MemoryLimit returns the size of the machine's memory or, if that is less, the
// limit of the control group that the process is in, or of one around it.
func MemoryLimit(pid int) (Limit, error) { return memoryLimit(pid) }
