package health

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// deadSuffix is what the names of files end in that say that something is dead.
const deadSuffix = ".dead"

// maxDead is how many bytes there are of such a file.
const maxDead = 4 << 10

// deadFiles are those in a folder.
type deadFiles struct {
	folder string
	owner  string // of those that are ours, also after a restart

	told string // trouble that was told last
}

// sync writes a file for each that is dead, removes ours of all others, and returns the
// names of those that are there then, nil when that is not known.
func (d *deadFiles) sync(reasons map[string]string) (names []string, err error) {
	var problems []error
	called := make(map[string]string) // by the names of their files
	for _, name := range sortedKeys(reasons) {
		called[fileName(name)] = name
		problems = append(problems, d.write(name, reasons[name]))
	}
	entries, err := os.ReadDir(d.folder)
	if err != nil {
		return nil, errors.Join(append(problems, err)...)
	}
	names = []string{}
	for _, e := range entries {
		name, is := strings.CutSuffix(e.Name(), deadSuffix)
		if !is || name == "" || strings.HasPrefix(name, ".") {
			continue
		}
		if dead, is := called[name]; is {
			names = append(names, dead)
			continue
		}
		if _, ours, err := d.read(d.path(name)); err == nil && ours {
			if err = os.Remove(d.path(name)); err == nil {
				continue
			}
			problems = append(problems, err)
		}
		names = append(names, name)
	}
	return names, errors.Join(problems...)
}

func sortedKeys(m map[string]string) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// fileName is a name that cannot leave the folder, or hide in it.
func fileName(name string) string {
	return strings.TrimLeft(strings.Map(func(r rune) rune {
		if r == '/' || r < ' ' || r == 0x7f {
			return '_'
		}
		return r
	}, name), ".")
}

func (d *deadFiles) path(name string) string {
	return filepath.Join(d.folder, fileName(name)+deadSuffix)
}

// mark is the last line of a file of ours.
func (d *deadFiles) mark() string { return "written by supervisor-checks: " + d.owner + "\n" }

// write writes a file, unless there is one: ours that says so already, or that of
// somebody else.
func (d *deadFiles) write(name, reason string) error {
	text := strings.ToValidUTF8(reason[:min(len(reason), maxDead)], "?") + "\n" + d.mark()
	path := d.path(name)
	before, ours, err := d.read(path)
	switch {
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return nil // somebody else's, which says enough
	case err == nil && (!ours || before == text):
		return nil
	}
	f, err := os.CreateTemp(d.folder, ".dead-*")
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, text)
	if chmodErr := f.Chmod(0o644); err == nil {
		err = chmodErr
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// read returns what is in a file, and whether it is ours. Links are not followed, and
// what is no file is not read.
func (d *deadFiles) read(path string) (text string, ours bool, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", false, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", false, fmt.Errorf("%s is no file", path)
	}
	all, err := io.ReadAll(io.LimitReader(f, 2*maxDead))
	return string(all), strings.HasSuffix(string(all), "\n"+d.mark()), err
}

// tell tells of trouble when it begins, changes and ends.
func (d *deadFiles) tell(err error, trouble func(error)) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != d.told {
		d.told = text
		trouble(err)
	}
}
