package sinks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/spool"
	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/record/recordtest"
	"github.com/supervisor-checks/supervisor-checks/sinks"
)

// memory is a Writer that does what a test says.
type memory struct {
	mu      sync.Mutex
	taken   []record.Record
	batches []int
	closed  bool
	fate    func(batch []record.Record) error // nil takes all
}

func (m *memory) WriteBatch(_ context.Context, batch []record.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.batches = append(m.batches, len(batch))
	var err error
	if m.fate != nil {
		err = m.fate(batch)
	}
	var rejected *sinks.RejectedError
	switch {
	case errors.As(err, &rejected):
		no := make(map[int]bool)
		for _, r := range rejected.Records {
			no[r.Index] = true
		}
		for i, r := range batch {
			if !no[i] {
				m.taken = append(m.taken, r)
			}
		}
	case err == nil:
		m.taken = append(m.taken, batch...)
	}
	return err
}

func (m *memory) Close() error {
	m.closed = true
	return nil
}

func (m *memory) does(fate func([]record.Record) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fate = fate
}

// names are the processes of what was taken, in its order.
func (m *memory) names() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for _, r := range m.taken {
		name := r.Process
		if r.Action == record.Dropped {
			name = fmt.Sprint("dropped ", r.Dropped)
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

// buffer is a log that can be read.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// queue is a Queue before a memory.
type queue struct {
	*testing.T
	*memory
	*sinks.Queue
	log *buffer
}

func newQueue(t *testing.T, cfg sinks.QueueConfig) *queue {
	t.Helper()
	return newQueueTo(t, new(memory), cfg)
}

func newQueueTo(t *testing.T, m *memory, cfg sinks.QueueConfig) *queue {
	t.Helper()
	q := &queue{T: t, memory: m, log: new(buffer)}
	cfg.Name, cfg.To = "x", q.memory
	cfg.Log = slog.New(slog.NewTextHandler(q.log, nil))
	var err error
	if q.Queue, err = sinks.NewQueue(cfg); err != nil {
		t.Fatal(err)
	}
	return q
}

func (q *queue) Close() {
	q.Helper()
	if err := q.Queue.Close(); err != nil {
		q.Error(err)
	}
}

func result(name string) record.Record {
	r := record.Record{Kind: record.CheckResult, Process: name, Check: "http", Status: "healthy"}
	r.Stamp()
	return recordtest.Must(r)[0]
}

func restart(name string) record.Record {
	r := record.Record{Kind: record.Restart, Process: name, Action: record.Stopping}
	r.Stamp()
	return recordtest.Must(r)[0]
}

func (q *queue) put(records ...record.Record) {
	q.Helper()
	for _, r := range records {
		if err := q.Write(q.Context(), r); err != nil {
			q.Error(err)
		}
	}
}

func (q *queue) want(names string) {
	q.Helper()
	synctest.Wait()
	if got := q.names(); got != names {
		q.Errorf("taken %q, want %q; the log:\n%s", got, names, q.log)
	}
}

func (q *queue) says(parts ...string) {
	q.Helper()
	rest := q.log.String()
	for _, part := range parts {
		_, after, is := strings.Cut(rest, part)
		if !is {
			q.Errorf("the log does not say %q in its turn:\n%s", part, q.log)
			return
		}
		rest = after
	}
}

var errAway = errors.New("connection refused")

func away([]record.Record) error { return errAway }

// TestQueueKeepsTheOrder writes in batches what comes in, in its order, wherever it waits.
func TestQueueKeepsTheOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t, sinks.QueueConfig{Folder: t.TempDir(), Batch: 3, Length: 4})
		q.put(result("a"), result("b"), restart("c"), result("d"), result("e"))
		time.Sleep(time.Second)
		q.want("a b c d e")
		q.does(away)
		q.put(result("f"), result("g"))
		time.Sleep(time.Second)
		q.put(result("h"), restart("i"), result("j"), result("k"), result("l"), result("m"), result("n"), result("o"), result("p"))
		time.Sleep(2 * time.Minute)
		q.want("a b c d e")
		if s := q.Stats(); s.Waiting != 11 || s.Written != 5 || s.Dropped != 0 {
			t.Errorf("%+v", s)
		}
		q.does(nil)
		time.Sleep(time.Minute)
		q.want("a b c d e f g h i j k l m n o p")
		q.says("does not take records, which wait: connection refused", "takes records again")
		if n := strings.Count(q.log.String(), "\n"); n != 2 {
			t.Errorf("%d lines:\n%s", n, q.log)
		}
		q.put(result("q"))
		time.Sleep(time.Second)
		q.want("a b c d e f g h i j k l m n o p q")
		q.Close()
		if s := q.Stats(); s.Waiting != 0 || s.Written != 17 || !q.closed {
			t.Errorf("%+v, closed %v", s, q.closed)
		}
		for _, n := range q.batches {
			if n > 3 {
				t.Errorf("a batch of %d", n)
			}
		}
	})
}

// TestQueueOfKinds takes records of some kinds only.
func TestQueueOfKinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t, sinks.QueueConfig{Folder: t.TempDir(), Kinds: []record.Kind{record.Restart, record.Group}})
		q.put(result("a"), restart("b"))
		q.Close()
		q.want("b")
	})
}

// TestQueueEnds leaves on disk what cannot be written, for the next one.
func TestQueueEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		q := newQueue(t, sinks.QueueConfig{Folder: dir})
		q.does(away)
		q.put(result("a"), restart("b"), result("c"))
		begun := time.Now()
		q.Close()
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
		q.put(result("too late"))
		if s := q.Stats(); s.Dropped != 1 {
			t.Errorf("%+v", s)
		}
		again := newQueue(t, sinks.QueueConfig{Folder: dir})
		time.Sleep(time.Second)
		again.want("a b c")
		if _, err := sinks.NewQueue(sinks.QueueConfig{Name: "y", To: new(memory), Folder: dir}); err == nil || !strings.HasPrefix(err.Error(), "sink y: ") {
			t.Errorf("a second one in that folder: %v", err)
		}
		again.put(result("d"), result("e"))
		again.Close() // which writes what waits
		again.want("a b c d e")
	})
}

// TestQueueIsFull drops the oldest results, and restarts last, and records that.
func TestQueueIsFull(t *testing.T) {
	for _, folder := range []string{"", t.TempDir()} {
		synctest.Test(t, func(t *testing.T) {
			q := newQueue(t, sinks.QueueConfig{Folder: folder, Length: 10, Batch: 5, SpoolBytes: 10_000})
			q.does(away)
			const count = 200
			q.put(restart("first"))
			synctest.Wait() // that is in hand, and no result
			for i := range count {
				q.put(result(fmt.Sprint(i)))
			}
			time.Sleep(time.Minute)
			q.does(nil)
			time.Sleep(time.Minute)
			names := strings.Fields(strings.ReplaceAll(q.names(), "dropped ", "dropped:"))
			arrived, dropped := 0, 0
			for _, name := range names {
				if _, err := fmt.Sscanf(name, "dropped:%d", new(int)); err == nil {
					n := 0
					fmt.Sscanf(name, "dropped:%d", &n)
					dropped += n
				} else {
					arrived++
				}
			}
			s := q.Stats()
			if arrived+dropped != count+1 || int(s.Dropped) != dropped || dropped == 0 {
				t.Errorf("%d arrived, %d dropped, %+v", arrived, dropped, s)
			}
			if !strings.Contains(q.names(), "first") || !strings.Contains(q.names(), fmt.Sprint(count-1)) || strings.Contains(q.names(), " 20 ") {
				t.Errorf("what arrived is %s", q.names())
			}
			q.says("records are dropped, the oldest results first")
			q.Close()
		})
	}
}

// TestQueueRejects puts aside what will never be taken, and goes on.
func TestQueueRejects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		q := newQueue(t, sinks.QueueConfig{Folder: dir})
		q.does(func(batch []record.Record) error {
			var e sinks.RejectedError
			for i, r := range batch {
				if r.Process == "bad" {
					e.Records = append(e.Records, sinks.Rejected{Index: i, Err: errors.New("the port is 0")})
				}
			}
			if e.Records == nil {
				return nil
			}
			return &e
		})
		q.put(result("a"), result("bad"), restart("b"), restart("bad"))
		time.Sleep(time.Second)
		q.want("a b")
		q.says("will never take record ", "nor others like it: the port is 0: it is in "+dir)
		if n := strings.Count(q.log.String(), "\n"); n != 1 {
			t.Errorf("%d lines:\n%s", n, q.log)
		}
		if s := q.Stats(); s.Rejected != 2 || s.Written != 2 || s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
		text, err := os.ReadFile(filepath.Join(dir, "rejected.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		for _, line := range lines {
			var rejected struct {
				Why    string
				Record record.Record
			}
			if err := json.Unmarshal([]byte(line), &rejected); err != nil || rejected.Why != "the port is 0" || rejected.Record.Process != "bad" || rejected.Record.ID == "" {
				t.Errorf("%s: %+v, error %v", line, rejected, err)
			}
		}
		if len(lines) != 2 {
			t.Errorf("%q", lines)
		}
		q.Close()
	})
}

// TestQueueOfAnotherVersion passes over what waits on disk and cannot be read.
func TestQueueOfAnotherVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s, err := spool.Open(filepath.Join(dir, "spool"), spool.Config{})
		if err != nil {
			t.Fatal(err)
		}
		var entries []spool.Entry
		for _, text := range []string{`{"version":2}`, `{"version":2}`, `{"version":1,"process":"a"}`, `x`, `{"version":1,"process":"b"}`} {
			entries = append(entries, spool.Entry{Data: []byte(text)})
		}
		if _, err := s.Append(entries...); err != nil {
			t.Fatal(err)
		}
		s.Close()
		q := newQueue(t, sinks.QueueConfig{Folder: dir, Batch: 2})
		time.Sleep(time.Minute)
		q.want("a b")
		if s := q.Stats(); s.Rejected != 3 || s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
		q.says("cannot be read: record of version 2")
		q.Close()
	})
}

// TestQueueLosesNothing kills queues at random, which write to something that fails at
// random: all that must not be lost arrives, and in its order but for what is repeated.
func TestQueueLosesNothing(t *testing.T) {
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			source := rand.New(rand.NewPCG(seed, 7))
			var drawing sync.Mutex
			draw := func(n int) int {
				drawing.Lock()
				defer drawing.Unlock()
				return source.IntN(n)
			}
			var mu sync.Mutex
			var arrived []string
			seen := make(map[string]bool)
			fate := func(batch []record.Record) error {
				mu.Lock()
				defer mu.Unlock()
				switch draw(4) {
				case 0:
					return errAway
				case 1: // taken, and then the connection breaks
					for _, r := range batch[:draw(len(batch)+1)] {
						if !seen[r.ID] {
							seen[r.ID] = true
							arrived = append(arrived, r.Process)
						}
					}
					return errAway
				}
				for _, r := range batch {
					if !seen[r.ID] { // as a database knows
						seen[r.ID] = true
						arrived = append(arrived, r.Process)
					}
				}
				return nil
			}
			var produced []string
			dir := t.TempDir()
			number := 0
			for range 5 {
				q := newQueueTo(t, &memory{fate: fate}, sinks.QueueConfig{Folder: dir, Length: 5, Batch: 4, Linger: time.Millisecond})
				for range draw(60) {
					number++
					name := fmt.Sprint(number)
					if draw(3) == 0 {
						q.put(restart(name))
					} else {
						q.put(result(name))
					}
					produced = append(produced, name)
					time.Sleep(time.Duration(draw(300)) * time.Millisecond)
				}
				if draw(2) == 0 {
					q.Close()
					continue
				}
				// Killed: what is in memory is lost, which is results only.
				q.put(restart("end"))
				produced = append(produced, "end")
				synctest.Wait()
				copied := t.TempDir()
				if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
					t.Fatal(err)
				}
				q.does(away)
				dir = copied
				defer q.Close()
			}
			last := newQueueTo(t, &memory{fate: func(batch []record.Record) error {
				for fate(batch) != nil {
				}
				return nil
			}}, sinks.QueueConfig{Folder: dir})
			time.Sleep(time.Hour)
			last.Close()
			mu.Lock()
			defer mu.Unlock()
			if got, want := strings.Join(arrived, " "), strings.Join(produced, " "); got != want {
				t.Fatalf("seed %d: arrived\n%s\nwant\n%s", seed, got, want)
			}
		})
	}
}

func BenchmarkQueue(b *testing.B) {
	for name, r := range map[string]record.Record{"result": result("web:a"), "restart": restart("web:a")} {
		b.Run(name, func(b *testing.B) {
			q, err := sinks.NewQueue(sinks.QueueConfig{Name: "x", To: nothing{}, Folder: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			defer q.Close()
			b.ReportAllocs()
			for b.Loop() {
				q.Write(b.Context(), r)
			}
		})
	}
}

type nothing struct{}

func (nothing) WriteBatch(context.Context, []record.Record) error { return nil }
func (nothing) Close() error                                      { return nil }
