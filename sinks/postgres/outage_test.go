package postgres_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/realservers"
	"github.com/supervisor-checks/supervisor-checks/internal/testdisk"
	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/sinks"
	"github.com/supervisor-checks/supervisor-checks/sinks/postgres"
)

// newQueue is one before a Sink, that has a folder.
func newQueue(t *testing.T, dsn, folder string) *sinks.Queue {
	t.Helper()
	to, err := postgres.New(postgres.Config{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	q, err := sinks.NewQueue(sinks.QueueConfig{Name: "db", To: to, Folder: folder, Length: 100, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// drain waits until a queue has written all, which none of it may be dropped or rejected of.
func drain(t *testing.T, q *sinks.Queue) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); q.Stats().Waiting > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after two minutes: %+v", q.Stats())
		}
	}
	if s := q.Stats(); s.Dropped > 0 || s.Rejected > 0 {
		t.Errorf("%+v", s)
	}
}

// stamped is a result, or of each ten a restart.
func stamped(i int) record.Record {
	r := record.Record{Kind: record.CheckResult, Process: "web", Check: "http", Status: "healthy"}
	if i%10 == 0 {
		r = record.Record{Kind: record.Restart, Process: "web", Action: record.Running}
	}
	r.Stamp()
	return r
}

// TestOutage kills the server while a queue writes, for a second or as long as OUTAGE says.
func TestOutage(t *testing.T) {
	t.Parallel()
	outage, err := time.ParseDuration(os.Getenv("OUTAGE"))
	if err != nil {
		outage = time.Second
	}
	s := realservers.PostgreSQL(t, "sesame", nil)
	d := newDatabase(t, s)
	q := newQueue(t, d.dsn, t.TempDir())
	var ids []string
	write := func() {
		r := stamped(len(ids))
		q.Write(t.Context(), r)
		ids = append(ids, r.ID)
	}
	for len(ids) < 2000 || q.Stats().Written < 500 {
		write()
	}
	s.Kill()
	for end := time.Now().Add(outage); time.Now().Before(end); time.Sleep(2 * time.Millisecond) { // of which there is room for minutes
		write()
	}
	s.Start()
	for range 500 {
		write()
	}
	drain(t, q)
	if err := q.Close(); err != nil {
		t.Error(err)
	}
	t.Logf("%d records: %+v", len(ids), q.Stats())
	d.dial()
	d.wantIDs(ids)
}

// TestFullDisk has the server run out of space in the middle of a batch, which is nothing
// that is wrong with the records.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	s := realservers.PostgreSQL(t, "sesame", nil)
	dir := filepath.Join(s.Dir, "small")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	owner, err := os.Stat(s.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if u := owner.Sys().(*syscall.Stat_t); os.Chown(dir, int(u.Uid), int(u.Gid)) != nil {
		t.Fatal("it cannot be the server's")
	}
	grow := testdisk.Small(t, dir, 4<<20)
	t.Cleanup(s.Kill) // before that ends
	d := newDatabase(t, s)
	d.exec("CREATE TABLESPACE small LOCATION '" + dir + "'")
	dsn := d.dsn + "&default_tablespace=small"
	sink := d.sink(postgres.Config{DSN: dsn})
	var ids []string
	batch := results(2000)
	for err = nil; err == nil && len(ids) < 100_000; batch = results(2000) {
		if err = sink.WriteBatch(t.Context(), batch); err != nil {
			break
		}
		ids = append(ids, idsOf(batch)...)
	}
	if err == nil || !strings.Contains(err.Error(), "No space left on device") {
		t.Fatalf("after %d records: %v", len(ids), err)
	}
	d.wantIDs(ids)
	q := newQueue(t, dsn, t.TempDir())
	for _, r := range batch {
		q.Write(t.Context(), r)
	}
	for deadline := time.Now().Add(10 * time.Second); q.Stats().Spooled == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing waits on disk")
		}
	}
	grow(256 << 20)
	drain(t, q)
	if err := q.Close(); err != nil {
		t.Error(err)
	}
	d.wantIDs(append(ids, idsOf(batch)...))
}

// lost has WriteBatch return soon after its time, and the next go on over a new connection.
func lost(d *database) {
	front := realservers.NewFront(d.T, d.server.Address)
	sink := d.sink(postgres.Config{DSN: strings.Replace(d.dsn, d.server.Address, front.Address, 1)})
	all := results(3)
	d.write(sink, all[:1]...)
	front.Lose()
	ctx, cancel := context.WithTimeout(d.Context(), 300*time.Millisecond)
	defer cancel()
	begun := time.Now()
	err := sink.WriteBatch(ctx, all)
	if took := time.Since(begun); err == nil || took > 10*time.Second {
		d.Errorf("error %v after %v", err, took)
	}
	front.Find()
	d.write(sink, all...)
	front.Drop()
	if err := sink.WriteBatch(d.Context(), results(1)); err == nil {
		d.Error("no error over a connection that has ended")
	}
	d.wantIDs(idsOf(all))
}

// writesFor is set for the program that killedWriter runs, which is this one: the DSN.
const writesFor = "POSTGRES_TEST_WRITES_FOR"

// TestWriter is that program: it says each id before it is written, and again with an = when Write
// has returned, of a restart after a result.
func TestWriter(t *testing.T) {
	dsn := os.Getenv(writesFor)
	if dsn == "" {
		t.Skip("it is run by TestPostgreSQL")
	}
	q := newQueue(t, dsn, os.Getenv("POSTGRES_TEST_FOLDER"))
	for i := 1; ; i++ {
		pair := []record.Record{stamped(1), stamped(0)}
		fmt.Printf("+%s\n+%s\n", pair[0].ID, pair[1].ID)
		for _, r := range pair {
			q.Write(t.Context(), r)
		}
		fmt.Printf("=%s\n=%s\n", pair[0].ID, pair[1].ID)
		if i%20 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
}

// killedWriter kills a program that writes at random moments, three times or as often as KILLS
// says: what it has said to be written is in the database once another has run.
func killedWriter(d *database) {
	kills, err := strconv.Atoi(os.Getenv("KILLS"))
	if err != nil {
		kills = 3
	}
	folder := d.TempDir()
	begun, written := make(map[string]bool), make(map[string]bool)
	for range kills {
		cmd := exec.Command(os.Args[0], "-test.run=^TestWriter$", "-test.v")
		cmd.Env = append(os.Environ(), writesFor+"="+d.dsn, "POSTGRES_TEST_FOLDER="+folder)
		out, err := cmd.StdoutPipe()
		if err != nil {
			d.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			d.Fatal(err)
		}
		var killer sync.Once
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			line := lines.Text()
			if len(line) != 37 {
				continue
			}
			killer.Do(func() { // once it writes
				time.AfterFunc(time.Duration(rand.Int64N(int64(600*time.Millisecond))), func() { cmd.Process.Kill() })
			})
			switch line[0] {
			case '+':
				begun[line[1:]] = true
			case '=':
				written[line[1:]] = true
			}
		}
		cmd.Wait()
	}
	q := newQueue(d.T, d.dsn, folder)
	drain(d.T, q)
	if err := q.Close(); err != nil {
		d.Error(err)
	}
	there := make(map[string]bool)
	for _, id := range d.texts("SELECT id::text FROM records") {
		if there[id] || !begun[id] {
			d.Errorf("record %s is there, twice %v, begun %v", id, there[id], begun[id])
		}
		there[id] = true
	}
	lost := 0
	for id := range written {
		if !there[id] {
			lost++
		}
	}
	d.Logf("%d kills, %d records written, %d there, %d begun", kills, len(written), len(there), len(begun))
	if lost > 0 || len(written) < 10*kills {
		d.Errorf("of %d records %d are lost", len(written), lost)
	}
}
