package proc

import (
	"fmt"
	"os"
)

func descriptors(pid int) (int, error)  { return entries(pid, "fd") }
func countThreads(pid int) (int, error) { return entries(pid, "task") }

// entries counts those of a folder of a process.
func entries(pid int, folder string) (int, error) {
	dir, err := os.Open(fmt.Sprintf("/proc/%d/%s", pid, folder))
	if err != nil {
		return 0, reason(pid, err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return 0, reason(pid, err)
	}
	return len(names), nil
}
