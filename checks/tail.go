package checks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

const (
	maxLine    = 64 << 10 // bytes of a line that are looked at
	maxLook    = 16 << 20 // bytes of a log that are read at once
	maxBackups = 100      // older files X.1, X.2, … of a log X
	maxMissing = 5        // of them in a row: while they are renamed, one or the other seems to be
	markSize   = 32
)

// tail reads what is appended to a log, in whichever file it is by now.
//
// supervisord renames a log X that is full to X.1, an X.1 that there is to X.2 and so
// on, and goes on in a new X, in the middle of a line if need be. Without backups it
// makes X empty, as others do who have made a copy; clearing a log removes it, and
// the new one often has the inode of the old one. So a file is the one that was read
// when inode, length and the last bytes that were read say so.
type tail struct {
	file   os.FileInfo // the one that has been read last; nil before the first look
	offset int64       // up to where
	mark   []byte      // the last bytes before offset
	line   []byte      // the line that has not ended yet
	lost   int         // how often that file, with what had been appended, was gone
}

// unchanged reports whether there is nothing to read, for the price of a stat.
func (t *tail) unchanged(path string) bool {
	info, err := os.Stat(path)
	return err == nil && os.SameFile(info, t.file) && info.Size() == t.offset
}

// toEnd leaves out all that is in the log.
func (t *tail) toEnd(path string) error {
	f, info, err := openLog(path)
	if err != nil {
		return err
	}
	defer f.Close()
	*t = tail{file: info, offset: info.Size(), lost: t.lost}
	return t.setMark(f)
}

// read calls match with each line that has ended since the last look, without its
// end, and returns how many bytes were left out, the first ones, because there were
// more than most.
func (t *tail) read(ctx context.Context, path string, most int64, match func(line []byte)) (skipped int64, err error) {
	f, n, err := t.find(path)
	surplus := int64(0)
	if err == nil {
		surplus = t.unread(path, n) - most
	}
	for err == nil {
		next, m := t.next(path, n) // before this one is read: who writes to the next writes to it no more
		var left int64
		left, err = t.rest(ctx, f, surplus-skipped, match)
		f.Close()
		skipped += left
		if err != nil || next == nil {
			break
		}
		var info os.FileInfo
		f, info, err = openLog(backup(path, m))
		switch {
		case errors.Is(err, os.ErrNotExist):
			return skipped, nil // they are being renamed: the next look finds them
		case err == nil && os.SameFile(info, next):
			n, t.file, t.offset, t.mark = m, info, 0, nil
		case err == nil:
			f.Close()
			return skipped, nil
		}
	}
	return skipped, err
}

// find opens the file that has been read last, which is the nth backup of the log by
// now. Where it is gone or has been emptied, the log is read from its beginning.
func (t *tail) find(path string) (f *os.File, n int, err error) {
	for missing := 0; n <= maxBackups && missing < maxMissing; n++ {
		info, err := os.Stat(backup(path, n))
		if err == nil && os.SameFile(info, t.file) {
			if f, info, err = openLog(backup(path, n)); err == nil {
				if t.isIn(f, info) {
					return f, n, nil
				}
				f.Close()
			}
		}
		switch {
		case err == nil:
			missing = 0
		case errors.Is(err, os.ErrNotExist):
			missing++
		default:
			return nil, 0, err
		}
	}
	f, info, err := openLog(path)
	if err == nil {
		*t = tail{file: info, lost: t.lost + 1}
	}
	return f, 0, err
}

// unread returns about how many bytes there are to be read, in the nth backup of the
// log, which has been read last, and in those after it.
func (t *tail) unread(path string, n int) int64 {
	sum := -t.offset
	for i := range n + 1 {
		if info, err := os.Stat(backup(path, i)); err == nil && info.Mode().IsRegular() {
			sum += info.Size()
		}
	}
	return sum
}

// next returns the file after the one that has been read last, the nth backup, once
// there is something in it, and which backup that is. It may not be there, or be
// empty, for files can be removed and be renamed unused. They are looked at in the
// direction in which they move, so that none is left out.
func (t *tail) next(path string, n int) (next os.FileInfo, m int) {
	for i := range n {
		if info, err := os.Stat(backup(path, i)); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
			next, m = info, i
		}
	}
	if now, err := os.Stat(backup(path, n)); err != nil || !os.SameFile(now, t.file) {
		return nil, 0
	}
	return next, m
}

// rest reads f to its end, but for surplus bytes of it, and returns how many it has left
// out.
func (t *tail) rest(ctx context.Context, f *os.File, surplus int64, match func(line []byte)) (skipped int64, err error) {
	info, err := f.Stat()
	if err != nil || info.Size() <= t.offset {
		return 0, err
	}
	if skipped = max(0, min(surplus, info.Size()-t.offset)); skipped > 0 {
		t.offset, t.line = t.offset+skipped, nil
	}
	end := info.Size()
	buf := make([]byte, min(end-t.offset, maxLine))
	for t.offset < end && err == nil {
		if err = context.Cause(ctx); err != nil {
			break
		}
		var n int
		n, err = f.ReadAt(buf[:min(int64(len(buf)), end-t.offset)], t.offset)
		t.lines(buf[:n], match)
		t.offset += int64(n)
	}
	if errors.Is(err, io.EOF) { // it has been emptied meanwhile
		err = nil
	}
	return skipped, errors.Join(err, t.setMark(f))
}

// lines takes lines out of what has been read, of which the first goes on from the
// end of what was read before. Zeros are left out: there are as many before what is
// written to a file that was emptied behind its writer's back.
func (t *tail) lines(text []byte, match func(line []byte)) {
	if bytes.IndexByte(text, 0) >= 0 {
		text = bytes.ReplaceAll(text, []byte{0}, nil)
	}
	for {
		line, rest, ended := bytes.Cut(text, []byte("\n"))
		if len(t.line) > 0 || !ended {
			t.line = append(t.line, line[:min(len(line), maxLine-len(t.line))]...)
			line = t.line
		}
		if !ended {
			return
		}
		match(bytes.TrimSuffix(line, []byte("\r")))
		text, t.line = rest, nil
	}
}

// setMark remembers the last bytes that have been read.
func (t *tail) setMark(f *os.File) error {
	t.mark = make([]byte, min(t.offset, markSize))
	_, err := f.ReadAt(t.mark, t.offset-int64(len(t.mark)))
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// isIn reports whether what has been read is in f.
func (t *tail) isIn(f *os.File, info os.FileInfo) bool {
	if !os.SameFile(info, t.file) {
		return false
	}
	there := make([]byte, len(t.mark))
	_, err := f.ReadAt(there, t.offset-int64(len(t.mark))) // an error where it is shorter
	return err == nil && bytes.Equal(there, t.mark)
}

// backup is the name of the nth file before the present one.
func backup(path string, n int) string {
	if n == 0 {
		return path
	}
	return fmt.Sprintf("%s.%d", path, n)
}

// errNoFile is the error for a log that is a pipe, a terminal or the like, or what we
// write ourselves, as /dev/stdout is.
var errNoFile = errors.New("is not a file of its own")

// errForeignLink is the error for a log that is a link to whatever somebody wants us to
// read, and to quote.
var errForeignLink = errors.New("is a link that belongs neither to root nor to us")

// openLog opens a log, and waits for nobody who would write to it.
func openLog(path string) (*os.File, os.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	itself, err := os.Lstat(path)
	if err != nil {
		return nil, nil, err
	}
	follow := syscall.O_NOFOLLOW // it may have become a link meanwhile
	if itself.Mode()&os.ModeSymlink != 0 {
		if stat, is := itself.Sys().(*syscall.Stat_t); !is || stat.Uid != 0 && int(stat.Uid) != os.Geteuid() {
			return nil, nil, errForeignLink
		}
		follow = 0
	}
	if !info.Mode().IsRegular() { // to open it could do something
		return nil, nil, errNoFile
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|follow, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err = f.Stat()
	if err == nil && (!info.Mode().IsRegular() || ours(info)) {
		err = errNoFile
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// ours reports whether a file is our own output.
func ours(info os.FileInfo) bool {
	for _, f := range []*os.File{os.Stdout, os.Stderr} {
		if own, err := f.Stat(); err == nil && os.SameFile(own, info) {
			return true
		}
	}
	return false
}
