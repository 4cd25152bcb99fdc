// Package spool keeps entries on disk, in their order, until somebody has taken them. What
// was appended survives a kill -9, and what a crash of the machine has damaged is noticed.
// It is bounded: when it is full the oldest entries go, those that matter last.
package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Defaults of a Config.
const (
	DefaultMaxBytes     = 64 << 20
	DefaultSegmentBytes = 1 << 20
)

// MaxEntry is how many bytes an entry may have.
const MaxEntry = 1 << 20

// Config configures a Spool.
type Config struct {
	// MaxBytes bounds all files together. 0 means DefaultMaxBytes.
	MaxBytes int64

	// SegmentBytes is how long a file may grow, which is removed as a whole. 0 means
	// DefaultSegmentBytes.
	SegmentBytes int64
}

// Entry is what is kept.
type Entry struct {
	Data    []byte
	Matters bool // it goes last when there is no room

	sequence uint64
}

// Spool keeps entries. Its methods must not be called at the same time.
type Spool struct {
	dir  string
	cfg  Config
	lock *os.File

	next  uint64   // sequence of the next entry
	taken uint64   // sequence of the first that has not been taken
	mark  *os.File // where that is written
	lanes [2]lane  // of entries that matter not, and of those that do
	lost  int      // entries, or what is left of them, that a crash has damaged
}

// lane is a list of segments, the oldest first. It is appended to the last one.
type lane struct {
	prefix   string
	segments []*segment
	file     *os.File // of the last segment; nil for none that is written to
}

// segment is a file of entries.
type segment struct {
	path        string
	first, last uint64 // sequences
	count       int    // of entries
	bytes       int64
}

// An entry in a file is its header, and its data. The checksum is of all that follows it.
const headerBytes = 4 + 4 + 8 // checksum, length of the data, sequence

var table = crc32.MakeTable(crc32.Castagnoli)

// ErrInUse is the error of a folder that another Spool has.
var ErrInUse = errors.New("another program spools there")

// Open opens the spool in a folder, which is made if it is not there.
func Open(dir string, cfg Config) (*Spool, error) {
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = DefaultMaxBytes
	}
	if cfg.SegmentBytes == 0 {
		cfg.SegmentBytes = DefaultSegmentBytes
	}
	cfg.SegmentBytes = min(cfg.SegmentBytes, max(cfg.MaxBytes/4, 1)) // so that a part can go
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	s := &Spool{dir: dir, cfg: cfg, lock: lock, next: 1, taken: 1, lanes: [2]lane{{prefix: "a-"}, {prefix: "b-"}}}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrInUse
		}
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	if err := s.recover(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// recover finds out what is there.
func (s *Spool) recover() (err error) {
	if s.mark, err = os.OpenFile(filepath.Join(s.dir, "taken"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	var mark [12]byte
	if _, err := s.mark.ReadAt(mark[:], 0); err == nil && binary.LittleEndian.Uint32(mark[:]) == crc32.Checksum(mark[4:], table) {
		s.taken = binary.LittleEndian.Uint64(mark[4:])
	}
	for i := range s.lanes {
		l := &s.lanes[i]
		paths, err := filepath.Glob(filepath.Join(s.dir, l.prefix+"*"))
		if err != nil {
			return err
		}
		slices.Sort(paths)
		for _, path := range paths {
			first, err := strconv.ParseUint(strings.TrimPrefix(filepath.Base(path), l.prefix), 16, 64)
			if err != nil {
				continue // which is not ours
			}
			seg := &segment{path: path, first: first, last: first}
			damaged, err := seg.read(s.taken, func(e Entry) bool {
				seg.last, seg.count = e.sequence, seg.count+1
				return true
			})
			if err != nil {
				return err
			}
			if damaged {
				s.lost++
			}
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			seg.bytes = info.Size()
			s.next = max(s.next, seg.last+1)
			if seg.count == 0 {
				if err := os.Remove(path); err != nil {
					return err
				}
				continue
			}
			l.segments = append(l.segments, seg)
		}
	}
	s.next = max(s.next, s.taken)
	return nil
}

// read calls f for each entry from a sequence on, until it returns false. It reports
// whether there is something after the last one that is none.
func (seg *segment) read(from uint64, f func(Entry) bool) (damaged bool, err error) {
	all, err := os.ReadFile(seg.path)
	if err != nil {
		return false, err
	}
	for before := uint64(0); len(all) > 0; {
		if len(all) < headerBytes {
			return true, nil
		}
		sum, length, sequence := binary.LittleEndian.Uint32(all), int64(binary.LittleEndian.Uint32(all[4:])), binary.LittleEndian.Uint64(all[8:])
		end := headerBytes + length
		if length > MaxEntry || end > int64(len(all)) || crc32.Checksum(all[4:end], table) != sum || sequence <= before {
			return true, nil
		}
		before = sequence
		if sequence >= from && !f(Entry{Data: all[headerBytes:end:end], sequence: sequence}) {
			return false, nil
		}
		all = all[end:]
	}
	return false, nil
}

// Damaged is how many files had something in them, when the spool was opened, that a crash
// has damaged: what came after that is lost.
func (s *Spool) Damaged() int { return s.lost }

// Append adds entries, which can be given to Take from then on, and returns how many older ones had to go for that, of both kinds.
// With an error none, or only some, were added.
func (s *Spool) Append(entries ...Entry) (dropped [2]int, err error) {
	var texts [2][]byte
	for i := 0; i < len(entries); {
		// As many as fit into the segments that are written to.
		var counts [2]int
		var firsts, lasts [2]uint64
		for ; i < len(entries); i++ {
			e := &entries[i]
			if len(e.Data) > MaxEntry {
				return dropped, fmt.Errorf("an entry of %d bytes: %d are allowed", len(e.Data), MaxEntry)
			}
			n := index(e.Matters)
			if room := s.room(n); counts[n] > 0 && int64(len(texts[n])+headerBytes+len(e.Data)) > room {
				break
			}
			if counts[n] == 0 {
				firsts[n] = s.next
			}
			e.sequence = s.next
			texts[n] = encode(texts[n], s.next, e.Data)
			counts[n], lasts[n] = counts[n]+1, s.next
			s.next++
		}
		for n := range texts {
			if counts[n] == 0 {
				continue
			}
			gone, err := s.write(n, firsts[n], lasts[n], counts[n], texts[n])
			dropped[0], dropped[1] = dropped[0]+gone[0], dropped[1]+gone[1]
			if err != nil {
				return dropped, err
			}
			texts[n] = texts[n][:0]
		}
	}
	return dropped, nil
}

func index(matters bool) int {
	if matters {
		return 1
	}
	return 0
}

func encode(text []byte, sequence uint64, data []byte) []byte {
	at := len(text)
	text = append(text, make([]byte, headerBytes)...)
	text = append(text, data...)
	binary.LittleEndian.PutUint32(text[at+4:], uint32(len(data)))
	binary.LittleEndian.PutUint64(text[at+8:], sequence)
	binary.LittleEndian.PutUint32(text[at:], crc32.Checksum(text[at+4:], table))
	return text
}

// room is how many bytes fit into the segment that a lane is written to.
func (s *Spool) room(n int) int64 {
	if l := &s.lanes[n]; l.file != nil {
		return s.cfg.SegmentBytes - l.segments[len(l.segments)-1].bytes
	}
	return s.cfg.SegmentBytes
}

// write writes entries to the segment of a lane, or to a new one.
func (s *Spool) write(n int, first, last uint64, count int, text []byte) (dropped [2]int, err error) {
	l := &s.lanes[n]
	dropped = s.makeRoom(int64(len(text)))
	if l.file != nil && int64(len(text)) > s.room(n) {
		l.file.Close()
		l.file = nil
	}
	if l.file == nil {
		seg := &segment{path: filepath.Join(s.dir, fmt.Sprintf("%s%016x", l.prefix, first)), first: first}
		if l.file, err = os.OpenFile(seg.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600); err != nil {
			return dropped, err
		}
		l.segments = append(l.segments, seg)
	}
	seg := l.segments[len(l.segments)-1]
	if _, err := l.file.Write(text); err != nil {
		err = errors.Join(err, l.file.Truncate(seg.bytes)) // so that what follows can be read
		l.file.Close()
		l.file = nil
		if seg.count == 0 {
			os.Remove(seg.path)
			l.segments = l.segments[:len(l.segments)-1]
		}
		return dropped, err
	}
	seg.last, seg.count, seg.bytes = last, seg.count+count, seg.bytes+int64(len(text))
	return dropped, nil
}

// Bytes is how long all files are together.
func (s *Spool) Bytes() (sum int64) {
	for i := range s.lanes {
		for _, seg := range s.lanes[i].segments {
			sum += seg.bytes
		}
	}
	return sum
}

// makeRoom removes the oldest segments until so many bytes have room, those of entries
// that matter last.
func (s *Spool) makeRoom(bytes int64) (dropped [2]int) {
	for n := range s.lanes {
		for len(s.lanes[n].segments) > 0 && s.Bytes()+bytes > s.cfg.MaxBytes {
			dropped[n] += s.left(s.lanes[n].segments[0])
			s.removeFirst(n)
		}
	}
	return dropped
}

// left is how many entries of a segment have not been taken.
func (s *Spool) left(seg *segment) (count int) {
	if seg.first >= s.taken {
		return seg.count
	}
	seg.read(s.taken, func(Entry) bool {
		count++
		return true
	})
	return count
}

func (s *Spool) removeFirst(n int) {
	l := &s.lanes[n]
	os.Remove(l.segments[0].path)
	if l.segments = l.segments[1:]; len(l.segments) == 0 && l.file != nil {
		l.file.Close()
		l.file = nil
	}
}

// Len is how many entries there are that have not been taken.
func (s *Spool) Len() (count int) {
	for i := range s.lanes {
		for _, seg := range s.lanes[i].segments {
			count += s.left(seg)
		}
	}
	return count
}

// Empty reports whether all entries have been taken.
func (s *Spool) Empty() bool {
	for i := range s.lanes {
		if segments := s.lanes[i].segments; len(segments) > 0 && segments[len(segments)-1].last >= s.taken {
			return false
		}
	}
	return true
}

// Next returns the oldest entries that have not been taken, in their order, as many as
// there may be.
func (s *Spool) Next(most int) (entries []Entry, err error) {
	for n := range s.lanes {
		found := 0
		for _, seg := range s.lanes[n].segments {
			if seg.last < s.taken {
				continue
			}
			if _, err := seg.read(s.taken, func(e Entry) bool {
				e.Matters = n == 1
				entries = append(entries, e)
				found++
				return found < most
			}); err != nil {
				return nil, err
			}
			if found >= most {
				break
			}
		}
	}
	slices.SortFunc(entries, func(a, b Entry) int {
		if a.sequence < b.sequence {
			return -1
		}
		return 1
	})
	return entries[:min(len(entries), most)], nil
}

// Take says that the entries up to one are not needed any more.
func (s *Spool) Take(upTo Entry) error {
	if upTo.sequence < s.taken {
		return nil
	}
	s.taken = upTo.sequence + 1
	var mark [12]byte
	binary.LittleEndian.PutUint64(mark[4:], s.taken)
	binary.LittleEndian.PutUint32(mark[:], crc32.Checksum(mark[4:], table))
	if _, err := s.mark.WriteAt(mark[:], 0); err != nil {
		return err
	}
	for n := range s.lanes {
		for len(s.lanes[n].segments) > 0 && s.lanes[n].segments[0].last < s.taken {
			s.removeFirst(n)
		}
	}
	return nil
}

// Sync has the disk keep what was appended, against a crash of the machine.
func (s *Spool) Sync() error {
	var problems []error
	for i := range s.lanes {
		if f := s.lanes[i].file; f != nil {
			problems = append(problems, f.Sync())
		}
	}
	return errors.Join(problems...)
}

// Close closes the files, which stay.
func (s *Spool) Close() error {
	err := s.Sync()
	for i := range s.lanes {
		if f := s.lanes[i].file; f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	if s.mark != nil {
		err = errors.Join(err, s.mark.Close())
	}
	err = errors.Join(err, s.lock.Close())
	if errors.Is(err, fs.ErrClosed) {
		return nil
	}
	return err
}
