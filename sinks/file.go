package sinks

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/spool"
	"github.com/supervisor-checks/supervisor-checks/record"
)

// Defaults of a FileConfig.
const (
	DefaultMaxBytes = 100 << 20
	DefaultKeep     = 5
)

// FileConfig configures a File.
type FileConfig struct {
	// Path is that of the file. It is required.
	Path string

	// MaxBytes is how long it may grow, and MaxAge how old, before it is renamed to
	// PATH.1 and another is begun. 0 means DefaultMaxBytes, and no limit of its age.
	MaxBytes int64
	MaxAge   time.Duration

	// Keep is how many older ones there are: PATH.1 is the newest of them. 0 means
	// DefaultKeep, less than 0 none.
	Keep int

	// Format is what lines are.
	Format Format

	// Now is the clock. nil means time.Now.
	Now func() time.Time
}

// File is a Writer of JSON lines: each record is an object in a line. What a batch has
// begun and not ended is taken back, so that no line is cut or doubled. A file that
// somebody has renamed or removed is begun anew.
type File struct {
	cfg   FileConfig
	file  *os.File
	bytes int64
	begun time.Time
	text  []byte
}

// NewFile returns the Writer that cfg describes. A file that cannot be opened is an error of
// WriteBatch, for that may pass.
func NewFile(cfg FileConfig) (*File, error) {
	if cfg.Path == "" {
		return nil, errors.New("a file needs a path")
	}
	if cfg.MaxBytes < 0 || cfg.MaxAge < 0 {
		return nil, fmt.Errorf("%d bytes, age %v: they must not be less than 0", cfg.MaxBytes, cfg.MaxAge)
	}
	cfg.MaxBytes, cfg.Keep = cmp.Or(cfg.MaxBytes, DefaultMaxBytes), cmp.Or(cfg.Keep, DefaultKeep)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &File{cfg: cfg}, nil
}

// open opens the file, or begins it, behind what is whole in it.
func (f *File) open() error {
	file, err := os.OpenFile(f.cfg.Path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file", f.cfg.Path)
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	f.file, f.bytes, f.begun = file, info.Size(), f.cfg.Now()
	last := []byte{'\n'}
	if f.bytes > 0 {
		if _, err := file.ReadAt(last, f.bytes-1); err != nil {
			return errors.Join(err, f.Close())
		}
		f.begun = beginning(file, info)
	}
	if last[0] != '\n' { // the machine has crashed while it was written
		if _, err := file.Write([]byte{'\n'}); err != nil {
			return errors.Join(err, f.Close())
		}
		f.bytes++
	}
	return nil
}

// beginning is when a file was begun: the time of its first record, or what is known
// besides.
func beginning(file *os.File, info fs.FileInfo) time.Time {
	first := struct{ Time time.Time }{info.ModTime()}
	json.NewDecoder(io.NewSectionReader(file, 0, spool.MaxEntry)).Decode(&first)
	return first.Time
}

// WriteBatch appends the records.
func (f *File) WriteBatch(_ context.Context, batch []record.Record) error {
	if err := f.ready(); err != nil {
		return err
	}
	var rejected *RejectedError
	f.text, rejected = lines(f.text[:0], f.cfg.Format, batch)
	n, err := f.file.Write(f.text)
	if err != nil {
		if truncateErr := f.file.Truncate(f.bytes); truncateErr != nil && n > 0 {
			err = errors.Join(err, truncateErr)
		}
		return err
	}
	f.bytes += int64(n)
	return orRejected(nil, rejected)
}

// ready has the file be the one at the path, and not too long or too old.
func (f *File) ready() error {
	if f.file != nil {
		there, err := os.Stat(f.cfg.Path)
		if ours, oursErr := f.file.Stat(); err != nil || oursErr != nil || !os.SameFile(there, ours) {
			f.Close()
		}
	}
	if f.file == nil {
		if err := f.open(); err != nil {
			return err
		}
	}
	if f.bytes == 0 || f.bytes < f.cfg.MaxBytes && (f.cfg.MaxAge == 0 || f.cfg.Now().Sub(f.begun) < f.cfg.MaxAge) {
		return nil
	}
	if err := f.rotate(); err != nil {
		return err
	}
	return f.open()
}

// rotate has the file be PATH.1, that be PATH.2, and so on.
func (f *File) rotate() error {
	if err := f.Close(); err != nil {
		return err
	}
	name := func(i int) string {
		if i == 0 {
			return f.cfg.Path
		}
		return fmt.Sprintf("%s.%d", f.cfg.Path, i)
	}
	keep := max(f.cfg.Keep, 0)
	if err := os.Remove(name(keep)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for i := keep; i > 0; i-- {
		if err := os.Rename(name(i-1), name(i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Close closes the file.
func (f *File) Close() error {
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	return err
}
