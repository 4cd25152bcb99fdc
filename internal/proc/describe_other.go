//go:build !linux

package proc

import "fmt"

// Describe returns what a person would look at of a process that hangs, in
// texts. On this system that is its tree with the memory of each.
func Describe(pid int) map[string]string {
	look, err := (&Table{RSS: true}).Tree(pid)
	if err != nil {
		return map[string]string{"tree": err.Error() + "\n"}
	}
	text := ""
	for _, stat := range look.Tree {
		text += fmt.Sprintf("%d, child of %d, %d KiB, %v of processor time\n", stat.PID, stat.Parent, stat.RSS/1024, stat.CPU)
	}
	return map[string]string{"tree": text}
}
