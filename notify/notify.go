// Package notify sends heartbeats: it lets a process that supervisord runs
// say that it still works, to a file check that watches it.
//
// A heartbeat is a change of the inode of a notification file, which holds
// nothing: checkers look at its ctime. Workers in other languages send one in
// the same way, NotificationFile of supervisor_checks among them:
//
//	open(path, O_RDONLY|O_CREAT|O_NOFOLLOW|O_CLOEXEC, 0)  once, with the path of Path
//	fchmod(fd, 0001), fchmod(fd, 0000)                    in turn, one for each beat
//
// Package notify uses the standard library only. It is for Unix.
package notify

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// ErrNotSupervised means that the environment lacks what supervisord sets for
// the processes it runs.
var ErrNotSupervised = errors.New("not run by supervisord: SUPERVISOR_GROUP_NAME or SUPERVISOR_PROCESS_NAME is not set")

// Identity returns the group and the name under which supervisord runs this
// process, or ErrNotSupervised. They come from the environment, so that the
// children of a supervised process have them as well.
func Identity() (group, name string, err error) {
	group, name = os.Getenv("SUPERVISOR_GROUP_NAME"), os.Getenv("SUPERVISOR_PROCESS_NAME")
	if group == "" || name == "" {
		return "", "", ErrNotSupervised
	}
	return group, name, nil
}

// Root returns the folder in which notification files are kept unless one is
// given: the first of $TMPDIR, $TEMP, $TMP, /tmp, /var/tmp, /usr/tmp and the
// working directory in which a file can be written. That is the rule of
// Python's tempfile.gettempdir, for workers in Python. When there is none it is
// /tmp.
//
// A checker finds the file only if it arrives at the same folder as the worker.
func Root() string {
	for _, dir := range []string{os.Getenv("TMPDIR"), os.Getenv("TEMP"), os.Getenv("TMP"), "/tmp", "/var/tmp", "/usr/tmp", "."} {
		if dir == "" {
			continue
		}
		if dir, err := filepath.Abs(dir); err == nil && writable(dir) {
			return dir
		}
	}
	return "/tmp"
}

// writable reports whether dir takes a file with something in it: a full disk
// takes empty ones only.
func writable(dir string) bool {
	f, err := os.CreateTemp(dir, "")
	if err != nil {
		return false
	}
	defer os.Remove(f.Name())
	defer f.Close()
	_, err = f.WriteString("full?")
	return err == nil
}

// Path returns the path of a notification file, ROOT/GROUP-NAME-PID, or "" when
// group or name holds a "/" or a NUL, which no file name can. "" for root means
// that of Root.
func Path(root, group, name string, pid int) string {
	if strings.ContainsAny(group+name, "/\x00") {
		return ""
	}
	if root == "" {
		root = Root()
	}
	return filepath.Join(root, group+"-"+name+"-"+strconv.Itoa(pid))
}

// A File is the notification file of this process. It can be used by several
// goroutines at once.
type File struct {
	path string // "" when not supervised

	mu   sync.Mutex
	file *os.File // nil once closed
	mode os.FileMode
}

// Open creates the notification file of this process in the folder root, ""
// meaning that of Root. That is the first heartbeat.
//
// Not run by supervisord there is nobody to notify: Open returns a File whose
// Notify does nothing, and no error. An error means that the file could not be
// created, or that something is in its place that is not a file of our own,
// which Open leaves alone. A file of our own, of a dead process that had the
// same pid, is replaced.
func Open(root string) (*File, error) {
	group, name, err := Identity()
	if err != nil {
		return &File{}, nil
	}
	path, err := requirePath(root, group, name, os.Getpid())
	if err != nil {
		return nil, err
	}
	file, err := create(path)
	if err != nil {
		return nil, err
	}
	return &File{path: path, file: file}, nil
}

// Notify sends a heartbeat. It returns one of:
//
//	(true, nil)   the heartbeat was sent
//	(false, nil)  not run by supervisord, or f is nil: there is nothing to do
//	(false, err)  it could not be sent; after Close err is os.ErrClosed
//
// Should the file have been cleaned away, or replaced by another File of this
// process, Notify creates it again.
func (f *File) Notify() (sent bool, err error) {
	if f == nil || f.path == "" {
		return false, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return false, fmt.Errorf("notify: %w", os.ErrClosed)
	}
	if !f.inPlace() {
		file, err := create(f.path)
		if err != nil {
			return false, err
		}
		f.file.Close()
		f.file, f.mode = file, 0
		return true, nil
	}
	// A file system may skip a chmod that changes nothing, so change something.
	mode := f.mode ^ 1
	if err := f.file.Chmod(mode); err != nil {
		return false, fmt.Errorf("notify: %w", err)
	}
	f.mode = mode
	return true, nil
}

// Close removes the file, unless it is no longer ours. Closing f again, or a
// nil f, does nothing.
func (f *File) Close() error {
	if f == nil || f.path == "" {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return nil
	}
	var removed error
	if f.inPlace() {
		removed = os.Remove(f.path)
	}
	closed := f.file.Close()
	f.file = nil
	return errors.Join(removed, closed)
}

// inPlace reports whether the file at f.path is the one that f holds open.
func (f *File) inPlace() bool {
	there, err := os.Lstat(f.path)
	if err != nil {
		return false
	}
	ours, err := f.file.Stat()
	return err == nil && os.SameFile(there, ours)
}

// Beat sends one heartbeat on behalf of the process pid, which supervisord runs
// as group and name. root is as for Open, and so are the errors. The file stays
// when the process ends.
func Beat(root, group, name string, pid int) error {
	path, err := requirePath(root, group, name, pid)
	if err != nil {
		return err
	}
	file, err := create(path)
	if err != nil {
		return err
	}
	return file.Close()
}

func requirePath(root, group, name string, pid int) (string, error) {
	path := Path(root, group, name, pid)
	if path == "" {
		return "", fmt.Errorf("notify: %q and %q cannot be part of a file name", group, name)
	}
	return path, nil
}

// create puts a new file in the place of path, at once: there is no moment in
// which a checker would find none. It follows no link and opens no file that
// somebody else made.
func create(path string) (*os.File, error) {
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("notify: %w", err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("notify: %s is not a regular file; remove it", path)
	case owner(info) != os.Geteuid():
		return nil, fmt.Errorf("notify: %s belongs to user %d; remove it", path, owner(info))
	}
	fresh := filepath.Join(filepath.Dir(path), ".notify-"+rand.Text())
	file, err := os.OpenFile(fresh, os.O_RDONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0) // Go adds O_CLOEXEC
	if err != nil {
		return nil, fmt.Errorf("notify: %w", err)
	}
	if err := os.Rename(fresh, path); err != nil {
		file.Close()
		os.Remove(fresh)
		return nil, fmt.Errorf("notify: %w", err)
	}
	return file, nil
}

func owner(info fs.FileInfo) int {
	return int(info.Sys().(*syscall.Stat_t).Uid)
}
