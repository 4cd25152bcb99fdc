package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// describeMost is how many threads, descriptors and descendants are listed.
const describeMost = 256

// Describe returns what a person would look at of a process that hangs, in
// texts: its status, its threads with what they wait for in the kernel, its
// descriptors, and its tree with the memory of each. What cannot be read says
// why.
func Describe(pid int) map[string]string {
	dir := "/proc/" + strconv.Itoa(pid)
	return map[string]string{
		"status":      readText(filepath.Join(dir, "status")),
		"command":     strings.ReplaceAll(strings.TrimRight(readText(filepath.Join(dir, "cmdline")), "\x00"), "\x00", " ") + "\n",
		"threads":     describeThreads(dir),
		"descriptors": describeDescriptors(dir),
		"tree":        describeTree(pid),
	}
}

func readText(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error() + "\n"
	}
	return string(text)
}

// describeThreads lists the threads of a process with their names, states, and where in
// the kernel they wait.
func describeThreads(dir string) string {
	var text strings.Builder
	err := each(filepath.Join(dir, "task"), func(name string) {
		thread := filepath.Join(dir, "task", name)
		state := "?"
		for line := range strings.Lines(readText(filepath.Join(thread, "status"))) {
			if value, is := strings.CutPrefix(line, "State:"); is {
				state = strings.TrimSpace(value)
			}
		}
		fmt.Fprintf(&text, "%s %s %s %s\n", name, strings.TrimSpace(readText(filepath.Join(thread, "comm"))), state,
			strings.TrimSpace(readText(filepath.Join(thread, "wchan"))))
	})
	return text.String() + err
}

// describeDescriptors lists the open files of a process.
func describeDescriptors(dir string) string {
	var text strings.Builder
	err := each(filepath.Join(dir, "fd"), func(name string) {
		to, err := os.Readlink(filepath.Join(dir, "fd", name))
		if err != nil {
			to = err.Error()
		}
		fmt.Fprintf(&text, "%s %s\n", name, to)
	})
	return text.String() + err
}

// each calls do for the numbered entries of a folder, in their order, and
// returns what is to be said besides.
func each(dir string, do func(name string)) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err.Error() + "\n"
	}
	slices.SortStableFunc(entries, func(a, b os.DirEntry) int { return len(a.Name()) - len(b.Name()) })
	for _, entry := range entries[:min(len(entries), describeMost)] {
		do(entry.Name())
	}
	if len(entries) > describeMost {
		return fmt.Sprintf("(%d more)\n", len(entries)-describeMost)
	}
	return ""
}

// describeTree lists a process and its descendants.
func describeTree(pid int) string {
	look, err := (&Table{RSS: true}).Tree(pid)
	if err != nil {
		return err.Error() + "\n"
	}
	var text strings.Builder
	for _, stat := range look.Tree[:min(len(look.Tree), describeMost)] {
		name := strings.TrimSpace(readText("/proc/" + strconv.Itoa(stat.PID) + "/comm"))
		fmt.Fprintf(&text, "%d %s, child of %d, %d KiB, %v of processor time\n", stat.PID, name, stat.Parent, stat.RSS/1024, stat.CPU)
	}
	if more := len(look.Tree) - describeMost; more > 0 {
		fmt.Fprintf(&text, "(%d more)\n", more)
	}
	return text.String()
}
