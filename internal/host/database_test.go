package host

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/config"
	"github.com/supervisor-checks/supervisor-checks/internal/realservers"
	"github.com/supervisor-checks/supervisor-checks/record"
)

// TestHistoryInPostgreSQL has records go there, and be read back by the name of the sink, by
// its kind and by its address.
func TestHistoryInPostgreSQL(t *testing.T) {
	s := realservers.PostgreSQL(t, "sesame", nil)
	dsn := fmt.Sprintf("postgres://postgres:sesame@%s/postgres?sslmode=disable", s.Address)
	file := "watch: [{processes: web, checks: [{tcp: {port: 80}}]}]\nhistory: off\nsinks: [{name: db, postgres: {dsn: '" + dsn + "'}}]\n"
	if status, out, errs := does(t, file, "history", "--from", "db"); status != 1 || !strings.Contains(errs, "run supervisor_checks migrate-db, or a listener with this sink") {
		t.Errorf("before there are tables: exit status %d, %s%s", status, out, errs)
	}
	if status, out, errs := does(t, file, "migrate-db"); status != 0 || out != "The schema has version 1 now; it had 0.\n" {
		t.Errorf("migrate-db: exit status %d, %s%s", status, out, errs)
	}
	if status, out, errs := does(t, file, "migrate-db", "--to", dsn); status != 0 || out != "The schema is up to date, with version 1.\n" {
		t.Errorf("again: exit status %d, %s%s", status, out, errs)
	}
	if status, _, errs := does(t, file, "migrate-db", "--to", "./x.db"); status != 2 || !strings.Contains(errs, "the sink ./x.db is not in PostgreSQL") {
		t.Errorf("another database: exit status %d, %s", status, errs)
	}

	read, err := config.Read("f", []byte(file), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	to, err := read.Sinks[0].Writer()
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	now := time.Now()
	batch := []record.Record{
		{Kind: record.CheckResult, Host: "a", Process: "web", Check: "tcp", Status: "unhealthy", Reason: "refused", Time: now.Add(-3 * time.Minute)},
		{Kind: record.Transition, Host: "a", Process: "web", Check: "tcp", Status: "unhealthy", Before: "healthy", Reason: "refused", Time: now.Add(-3 * time.Minute)},
		{Kind: record.CheckResult, Host: "a", Process: "web", Check: "tcp", Status: "healthy", Time: now.Add(-2 * time.Minute)},
		{Kind: record.ProbeResult, Host: "b", Probe: "db", Status: "healthy", Time: now.Add(-time.Minute)},
	}
	for i := range batch {
		batch[i].Stamp()
	}
	if err := to.WriteBatch(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	want := "TIME                  WHAT\n" + moment(batch[1].Time) + "  web unhealthy: tcp: refused\n"
	for _, from := range []string{"db", "postgres", dsn} {
		if status, out, errs := does(t, file, "history", "--from", from, "--process", "w*"); status != 0 || out != want {
			t.Errorf("from %s: exit status %d, %s%s\nwant %s", from, status, out, errs, want)
		}
	}
	status, out, errs := does(t, file, "summary", "--from", "db", "--output", "csv", "--until", moment(now))
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if status != 0 || err != nil || len(rows) != 3 {
		t.Fatalf("summary: exit status %d, %s%s", status, out, errs)
	}
	if web, db := strings.Join(rows[1][:5], ","), strings.Join(rows[2][:5], ","); web != "web,,a,,healthy" || db != ",db,b,,healthy" || rows[1][10] != "1" || rows[1][12] != "60" {
		t.Errorf("summary: %q", rows)
	}
}

// TestSinksThatAreNotThere says what could be named instead.
func TestSinksThatAreNotThere(t *testing.T) {
	const file = "watch: [{processes: web, checks: [{tcp: {port: 80}}]}]\n"
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"migrate-db"}, `the file has no sink that is called "postgres", or is of that kind: name one with --to`},
		{[]string{"history", "--from", "db"}, `the file has no sink that is called "db"`},
	} {
		if status, _, errs := does(t, file, tt.args...); status != 2 || !strings.Contains(errs, tt.want) {
			t.Errorf("%v: exit status %d, %s", tt.args, status, errs)
		}
	}
	var out, errs bytes.Buffer
	if status := Main([]string{"history", "--from", filepath.Join(t.TempDir(), "no.db")}, &out, &errs); status != 1 || !strings.Contains(errs.String(), "no such file") {
		t.Errorf("exit status %d, %s", status, &errs)
	}
}
