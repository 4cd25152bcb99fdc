package health

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
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
	folder   string
	owner    string // of those that are ours, also after a restart
	readOnly bool   // nothing is written or removed
}

// sync writes a file for each that is dead, removes ours of what is healthy, and of what
// nobody knows any more unless that may come, and returns the names of the files of
// others that there are then, nil when that is not known.
func (d *deadFiles) sync(reasons map[string]string, healthy []string, mayCome bool) (others []string, err error) {
	texts := make(map[string][]string) // by the names of files
	for _, name := range slices.Sorted(maps.Keys(reasons)) {
		texts[fileName(name)] = append(texts[fileName(name)], reasons[name])
	}
	well := make(map[string]bool)
	for _, name := range healthy {
		well[fileName(name)] = true
	}
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if d.readOnly {
			break
		}
		problems = append(problems, d.write(d.path(name), strings.Join(texts[name], "; ")))
	}
	entries, err := os.ReadDir(d.folder)
	if err != nil {
		return nil, errors.Join(append(problems, err)...)
	}
	others = []string{}
	for _, e := range entries {
		name, is := strings.CutSuffix(e.Name(), deadSuffix)
		if !is || name == "" || strings.HasPrefix(name, ".") || texts[name] != nil {
			continue
		}
		if _, ours, err := d.read(d.path(name)); err == nil && ours && (well[name] || !mayCome) {
			if d.readOnly {
				continue
			}
			if err = os.Remove(d.path(name)); err == nil {
				continue
			}
			problems = append(problems, err)
		}
		others = append(others, name)
	}
	return others, errors.Join(problems...)
}

// maxFileName is how many bytes a name of a file may have before its suffix.
const maxFileName = 200

// fileName is a name that cannot leave the folder, or hide in it.
func fileName(name string) string {
	plain := strings.TrimLeft(strings.Map(func(r rune) rune {
		if r == '/' || r < ' ' || r == 0x7f {
			return '_'
		}
		return r
	}, name), ".")
	if len(plain) > maxFileName {
		plain = fmt.Sprintf("%s-%x", strings.ToValidUTF8(plain[:maxFileName-9], ""), crc32.ChecksumIEEE([]byte(name)))
	}
	return cmp.Or(plain, "_")
}

func (d *deadFiles) path(name string) string { return filepath.Join(d.folder, name+deadSuffix) }

// mark is the last line of a file of ours.
func (d *deadFiles) mark() string { return "written by supervisor-checks: " + d.owner + "\n" }

// write writes a file, unless there is one: ours that says so already, or that of
// somebody else.
func (d *deadFiles) write(path, reason string) error {
	text := strings.ToValidUTF8(reason[:min(len(reason), maxDead)], "?") + "\n" + d.mark()
	before, ours, err := d.read(path)
	if _, is := os.Lstat(path); is == nil && (err != nil || !ours || before == text) {
		return nil // somebody else's says enough
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
