package host

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/supervisor-checks/supervisor-checks/internal/config"
	"github.com/supervisor-checks/supervisor-checks/internal/realservers"
	"github.com/supervisor-checks/supervisor-checks/record"
)

// TestQuestionsOfTheDocs asks what docs/history.md shows in SQL, of both databases.
func TestQuestionsOfTheDocs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/history.md")
	if err != nil {
		t.Fatal(err)
	}
	postgres := realservers.PostgreSQL(t, "sesame", nil)
	file := filepath.Join(t.TempDir(), "history.db")
	dsn := fmt.Sprintf("postgres://postgres:sesame@%s/postgres?sslmode=disable", postgres.Address)
	read, err := config.Read("f", []byte("sinks: [{name: a, sqlite: {path: '"+file+"'}}, {name: b, postgres: {dsn: '"+dsn+"'}}]"), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	ago := func(minutes int, r record.Record) record.Record {
		r.Time, r.Host, r.Listener = time.Now().Add(-time.Duration(minutes)*time.Minute), "web7", "checks"
		r.Stamp()
		return r
	}
	const web = "web:web_8001"
	latency := map[string]float64{"latency_seconds": 0.25}
	batch := []record.Record{
		ago(40, record.Record{Kind: record.CheckResult, Process: web, Check: "http", Status: "healthy", Metrics: latency}),
		ago(30, record.Record{Kind: record.CheckResult, Process: web, Check: "http", Status: "unhealthy", Reason: "503", Metrics: latency}),
		ago(30, record.Record{Kind: record.Transition, Process: web, Check: "http", Status: "unhealthy", Before: "healthy", Reason: "503"}),
		ago(30, record.Record{Kind: record.Restart, Process: web, Check: "http", Action: record.Running, PID: 1, NewPID: 2}),
		ago(30, record.Record{Kind: record.Restart, Process: web, Check: "http", Action: record.Verified, Seconds: 2}),
		ago(25, record.Record{Kind: record.CheckResult, Process: web, Check: "http", Status: "healthy", Metrics: latency}),
		ago(25, record.Record{Kind: record.ProbeResult, Probe: "site", Status: "healthy", URL: "https://example.com/", StatusCode: 200}),
		ago(20, record.Record{Kind: record.Listener, Action: record.Dropped, Sink: "b", Dropped: 3}),
	}
	for i := range read.Sinks {
		to, err := read.Sinks[i].Writer()
		if err == nil {
			err = to.WriteBatch(t.Context(), batch)
			to.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	questions := regexp.MustCompile("```sql\n-- (SQLite|PostgreSQL): (.*)\n((?s:.*?))```\n").FindAllStringSubmatch(string(text), -1)
	if fences := strings.Count(string(text), "```sql"); len(questions) != fences || fences < 8 {
		t.Errorf("%d of %d questions can be asked", len(questions), fences)
	}
	for _, q := range questions {
		answers, err := ask(t, map[string][2]string{"SQLite": {"sqlite", file}, "PostgreSQL": {"pgx", dsn}}[q[1]], q[3])
		if err != nil || answers == 0 {
			t.Errorf("%s: %s: %d answers, error %v", q[1], q[2], answers, err)
		}
	}
}

// ask asks a database, by its driver and where it is, and returns how many rows there are.
func ask(t *testing.T, where [2]string, question string) (answers int, err error) {
	db, err := sql.Open(where[0], where[1])
	if err != nil {
		return 0, err
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), question)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		answers++
	}
	return answers, rows.Err()
}
