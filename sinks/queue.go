package sinks

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/recurring"
	"github.com/supervisor-checks/supervisor-checks/internal/spool"
	"github.com/supervisor-checks/supervisor-checks/record"
)

// Defaults of a QueueConfig.
const (
	DefaultLength     = 10_000
	DefaultBatch      = 500
	DefaultLinger     = 200 * time.Millisecond
	DefaultTimeout    = 30 * time.Second
	DefaultSpoolBytes = spool.DefaultMaxBytes
)

// Bounds of the pause after a Writer has failed, which doubles from one to the other.
const (
	minPause = 500 * time.Millisecond
	maxPause = 30 * time.Second
)

// syncTime is how often the disk is made to keep what was spooled.
const syncTime = time.Second

// QueueConfig configures a Queue.
type QueueConfig struct {
	// Name is what the sink is called, in the log and in records. It is required.
	Name string

	// To is where records go. It is required, and closed by Close.
	To Writer

	// Kinds, if not nil, are the kinds of records that are taken: others are none of its
	// business.
	Kinds []record.Kind

	// Folder is where records wait on disk, and where rejected.jsonl has those that To
	// will never take. "" means that they wait in memory only, and are told of only in
	// the log.
	Folder string

	// SpoolBytes bounds what waits on disk. 0 means DefaultSpoolBytes.
	SpoolBytes int64

	// Length is how many results of checks may wait in memory. 0 means DefaultLength.
	Length int

	// Batch is how many records To is given at most at once, and Linger how long the
	// first of a smaller batch waits for others. 0 means DefaultBatch, and
	// DefaultLinger.
	Batch  int
	Linger time.Duration

	// Timeout bounds one batch. 0 means DefaultTimeout.
	Timeout time.Duration

	// Log is told of trouble. nil means nobody.
	Log *slog.Logger
}

// Queue is a record.Sink before a Writer, which it does not wait for. Restarts,
// transitions and what else is not a result wait on disk, with what came before them;
// results alone only where there is no room in memory. So all are written in their order.
// What is on disk is written by the next Queue with that folder, if not by this one, perhaps
// for the second time. When the disk has no room the oldest results are dropped, and
// others last, which is counted, logged and recorded.
//
// A record counts as taken when Write returns, and is lost only when the program is
// killed while it is in memory.
type Queue struct {
	cfg   QueueConfig
	spool *spool.Spool // nil for none

	mu      sync.Mutex
	flying  []record.Record // that are being written, but for those from disk
	landing *spool.Entry    // the last of them, if they were put on disk meanwhile
	memory  backlog
	closed  bool
	stats   Stats
	untold  int // dropped, and not recorded yet
	trouble recurring.Trouble
	diskful recurring.Trouble
	poison  recurring.Trouble
	dirty   bool // something is spooled that the disk may not keep

	news   chan struct{}
	end    context.CancelFunc // of batches
	ending chan struct{}
	done   chan struct{}
}

// Stats are numbers since the beginning, and what waits now.
type Stats struct {
	Written, Spooled, Dropped, Rejected uint64
	Waiting                             int
}

// NewQueue returns a Queue, which writes what waits in its folder.
func NewQueue(cfg QueueConfig) (*Queue, error) {
	if cfg.Name == "" || cfg.To == nil {
		return nil, errors.New("a queue needs a name, and where records go")
	}
	cfg.Length, cfg.Batch, cfg.Linger = cmp.Or(cfg.Length, DefaultLength), cmp.Or(cfg.Batch, DefaultBatch), cmp.Or(cfg.Linger, DefaultLinger)
	cfg.Timeout = cmp.Or(cfg.Timeout, DefaultTimeout)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	q := &Queue{cfg: cfg, memory: backlog{batch: cfg.Batch}, news: make(chan struct{}, 1), ending: make(chan struct{}), done: make(chan struct{})}
	if cfg.Folder != "" {
		var err error
		if q.spool, err = spool.Open(filepath.Join(cfg.Folder, "spool"), spool.Config{MaxBytes: cfg.SpoolBytes}); err != nil {
			return nil, fmt.Errorf("sink %s: %w", cfg.Name, err)
		}
		if n := q.spool.Damaged(); n > 0 {
			cfg.Log.Error(fmt.Sprintf("sink %s: %d files of records that waited were damaged: some are lost", cfg.Name, n))
		}
	}
	ctx, end := context.WithCancel(context.Background())
	q.end = end
	go q.run(ctx)
	return q, nil
}

// Name is what the sink is called.
func (q *Queue) Name() string { return q.cfg.Name }

// Write takes a record. It never fails, and never waits for anything but the disk.
func (q *Queue) Write(_ context.Context, r record.Record) error {
	if q.cfg.Kinds != nil && !slices.Contains(q.cfg.Kinds, r.Kind) {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed { // it is a result that was awaited still: there is nobody left to tell
		q.stats.Dropped++
		return nil
	}
	q.take(r)
	q.wake()
	return nil
}

// wake has the writer look. The lock is held.
func (q *Queue) wake() {
	select {
	case q.news <- struct{}{}:
	default:
	}
}

// take has a record wait. The lock is held.
func (q *Queue) take(r record.Record) {
	result := r.Kind == record.CheckResult || r.Kind == record.ProbeResult
	q.memory.add(r)
	switch {
	case q.spool == nil:
		if q.memory.len > q.cfg.Length {
			q.forget()
		}
	case !result, q.memory.len > q.cfg.Length:
		q.toDisk()
	}
}

// forget drops the oldest result in memory, or what else is the oldest. The lock is held.
func (q *Queue) forget() {
	q.memory.drop(func(r *record.Record) bool { return r.Kind == record.CheckResult || r.Kind == record.ProbeResult })
	q.drop(1, "there is no room in memory")
}

// toDisk has all that is in memory wait on disk. The lock is held.
func (q *Queue) toDisk() {
	var flying []record.Record
	if q.landing == nil {
		flying = q.flying
	}
	entries := make([]spool.Entry, 0, len(flying)+q.memory.len)
	last := -1 // of flying
	for i, r := range slices.AppendSeq(slices.Clone(flying), q.memory.all()) {
		if i == len(flying) {
			last = len(entries) - 1
		}
		text, err := r.AppendJSON(nil)
		if err != nil || len(text) > spool.MaxEntry {
			q.reject(r, cmp.Or(err, errors.New("it is too long")))
			continue
		}
		entries = append(entries, spool.Entry{Data: text, Matters: r.Kind != record.CheckResult && r.Kind != record.ProbeResult})
	}
	dropped, err := q.spool.Append(entries...)
	if n := dropped[0] + dropped[1]; n > 0 {
		q.drop(n, fmt.Sprintf("there is no room on disk beyond %d bytes", q.spool.Bytes()))
	}
	if err != nil { // then memory is what there is
		if tell, _ := q.diskful.Happens(time.Now(), err.Error()); tell {
			q.cfg.Log.Error(fmt.Sprintf("sink %s: records cannot wait on disk: %v", q.cfg.Name, err))
		}
		for q.memory.len > q.cfg.Length {
			q.forget()
		}
		return
	}
	if q.diskful.Ends() {
		q.cfg.Log.Info(fmt.Sprintf("sink %s: records can wait on disk again", q.cfg.Name))
	}
	if len(flying) > 0 && last >= 0 {
		q.landing = &entries[last]
	}
	q.stats.Spooled += uint64(len(entries))
	q.memory.clear()
	q.dirty = true
}

// drop counts what is dropped. The lock is held.
func (q *Queue) drop(count int, why string) {
	q.stats.Dropped += uint64(count)
	if q.untold == 0 {
		q.cfg.Log.Error(fmt.Sprintf("sink %s: records are dropped, the oldest results first: %s", q.cfg.Name, why))
	}
	q.untold += count
}

// tellDropped records how many were dropped since that was recorded last. The lock is
// held.
func (q *Queue) tellDropped() {
	if q.untold == 0 {
		return
	}
	r := record.Record{Kind: record.Listener, Action: record.Dropped, Sink: q.cfg.Name, Dropped: q.untold, Why: "there was no room"}
	r.Stamp()
	q.cfg.Log.Error(fmt.Sprintf("sink %s: %d records were dropped", q.cfg.Name, q.untold))
	q.untold = 0
	q.take(r)
}

// reject puts a record that will never be taken where a person finds it. The lock is held.
func (q *Queue) reject(r record.Record, why error) {
	q.stats.Rejected++
	path := filepath.Join(q.cfg.Folder, "rejected.jsonl")
	where := "it is lost"
	if q.cfg.Folder != "" {
		where = "it is in " + path
		if err := appendLine(path, struct {
			Why    string        `json:"why"`
			Record record.Record `json:"record"`
		}{why.Error(), r}); err != nil {
			where = fmt.Sprintf("it is lost, for it cannot be kept: %v", err)
		}
	}
	if tell, _ := q.poison.Happens(time.Now(), why.Error()); tell {
		q.cfg.Log.Error(fmt.Sprintf("sink %s will never take record %s, nor others like it: %v: %s", q.cfg.Name, r.ID, why, where))
	}
}

// maxRejected is about how many bytes there are of rejected records before they are put
// aside, in place of those before.
const maxRejected = 10 << 20

// appendLine adds a line of JSON to a file.
func appendLine(path string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if info, err := os.Stat(path); err == nil && info.Size() > maxRejected {
		if err := os.Rename(path, path+".1"); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	return errors.Join(err, f.Close())
}

// run writes what waits until Close.
func (q *Queue) run(ctx context.Context) {
	defer close(q.done)
	pause := minPause
	synced := time.NewTicker(syncTime)
	defer synced.Stop()
	for {
		batch, taken := q.next()
		if len(batch) == 0 {
			select {
			case <-q.news:
				q.linger()
			case <-synced.C:
				q.sync()
			case <-q.ending:
				return
			}
			continue
		}
		if ctx.Err() != nil { // the time of Close is over
			return
		}
		limited, cancel := context.WithTimeout(ctx, q.cfg.Timeout)
		err := q.cfg.To.WriteBatch(limited, batch)
		cancel()
		var rejected *RejectedError
		switch {
		case err == nil, errors.As(err, &rejected):
			pause = minPause
			q.wrote(batch, taken, rejected)
			continue
		}
		q.failed(err)
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-q.ending:
			return
		}
		pause = min(2*pause, maxPause)
		q.sync()
	}
}

// linger waits for more of a batch.
func (q *Queue) linger() {
	q.mu.Lock()
	enough := q.memory.len >= q.cfg.Batch
	q.mu.Unlock()
	if enough {
		return
	}
	select {
	case <-time.After(q.cfg.Linger):
	case <-q.ending:
	}
}

// next returns the oldest records, and where they are on disk; nil for those that are not
// there.
func (q *Queue) next() (batch []record.Record, taken *spool.Entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.landing != nil: // then disk has them
		q.flying, q.landing = nil, nil
	case q.flying != nil:
		return q.flying, nil
	}
	if q.spool == nil || q.spool.Empty() {
		q.flying = q.memory.take()
		return q.flying, nil
	}
	entries, err := q.spool.Next(q.cfg.Batch)
	if err != nil || len(entries) == 0 {
		if tell, _ := q.diskful.Happens(time.Now(), fmt.Sprint(err)); tell {
			q.cfg.Log.Error(fmt.Sprintf("sink %s: records that wait on disk cannot be read: %v", q.cfg.Name, err))
		}
		return nil, nil
	}
	for _, e := range entries {
		var r record.Record
		if err := json.Unmarshal(e.Data, &r); err != nil {
			q.stats.Rejected++
			q.cfg.Log.Error(fmt.Sprintf("sink %s: a record that waited on disk cannot be read: %v", q.cfg.Name, err))
			continue
		}
		batch = append(batch, r)
	}
	last := &entries[len(entries)-1]
	if len(batch) == 0 {
		q.landed(last)
		q.wake()
	}
	return batch, last
}

// wrote notes that a batch is where it belongs, but for what is rejected.
func (q *Queue) wrote(batch []record.Record, taken *spool.Entry, rejected *RejectedError) {
	q.mu.Lock()
	defer q.mu.Unlock()
	written := len(batch)
	if rejected != nil {
		for _, r := range rejected.Records {
			if r.Index >= 0 && r.Index < len(batch) {
				written--
				q.reject(batch[r.Index], r.Err)
			}
		}
	}
	q.stats.Written += uint64(written)
	if q.trouble.Ends() {
		q.cfg.Log.Info(fmt.Sprintf("sink %s takes records again", q.cfg.Name))
	}
	if taken == nil {
		taken = q.landing
		q.flying, q.landing = nil, nil
	}
	if taken != nil {
		q.landed(taken)
	}
	q.tellDropped() // now that there is room
}

// landed says that what is on disk up to an entry is not needed any more. The lock is held.
func (q *Queue) landed(last *spool.Entry) {
	if err := q.spool.Take(*last); err != nil {
		q.cfg.Log.Error(fmt.Sprintf("sink %s: records that were written may be written again: %v", q.cfg.Name, err))
	}
}

// failed notes that a batch was not written.
func (q *Queue) failed(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if tell, again := q.trouble.Happens(time.Now(), err.Error()); tell {
		still := ""
		if again {
			still = "still "
		}
		q.cfg.Log.Error(fmt.Sprintf("sink %s %sdoes not take records, which wait: %v", q.cfg.Name, still, err))
	}
}

// sync has the disk keep what was spooled.
func (q *Queue) sync() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.dirty {
		q.dirty = q.spool.Sync() != nil
	}
}

// Stats returns what there is to be said of it.
func (q *Queue) Stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.stats
	s.Waiting = q.memory.len
	if q.landing == nil {
		s.Waiting += len(q.flying)
	}
	if q.spool != nil {
		s.Waiting += q.spool.Len()
	}
	return s
}

// closeTime is how long Close goes on writing.
const closeTime = 500 * time.Millisecond

// Close writes what waits, for half a second, leaves the rest on disk, and closes the Writer.
func (q *Queue) Close() error {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return nil
	}
	q.closed = true
	q.mu.Unlock()
	timer := time.AfterFunc(closeTime, q.end)
	defer timer.Stop()
	close(q.ending)
	<-q.done
	q.end()

	q.mu.Lock()
	defer q.mu.Unlock()
	var err error
	if q.spool != nil {
		if len(q.flying)+q.memory.len > 0 {
			q.toDisk()
		}
		err = q.spool.Close()
		q.spool = nil
	} else if n := len(q.flying) + q.memory.len; n > 0 {
		q.cfg.Log.Error(fmt.Sprintf("sink %s: %d records are lost at the end", q.cfg.Name, n))
	}
	return errors.Join(err, q.cfg.To.Close())
}
