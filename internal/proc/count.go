package proc

// Descriptors returns how many files, connections and the like a process has open. It
// takes the right to look at the process.
func Descriptors(pid int) (int, error) { return descriptors(pid) }

// Threads returns how many threads a process has.
func Threads(pid int) (int, error) { return countThreads(pid) }
