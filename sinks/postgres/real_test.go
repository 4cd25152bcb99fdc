package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/supervisor-checks/supervisor-checks/internal/realservers"
	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/record/recordtest"
	"github.com/supervisor-checks/supervisor-checks/sinks"
	"github.com/supervisor-checks/supervisor-checks/sinks/postgres"
)

// database is an empty one.
type database struct {
	*testing.T
	server *realservers.Server
	dsn    string
	admin  *pgx.Conn // to it
}

var databases atomic.Int32

func newDatabase(t *testing.T, s *realservers.Server) *database {
	t.Helper()
	name := fmt.Sprintf("d%d", databases.Add(1))
	dsn := func(name string) string {
		return "postgres://postgres:sesame@" + s.Address + "/" + name + "?sslmode=disable"
	}
	first, err := pgx.Connect(t.Context(), dsn("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close(t.Context())
	if _, err := first.Exec(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	d := &database{T: t, server: s, dsn: dsn(name)}
	d.dial()
	return d
}

// dial connects to it.
func (d *database) dial() {
	d.Helper()
	var err error
	if d.admin, err = pgx.Connect(d.Context(), d.dsn); err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() { d.admin.Close(context.Background()) })
}

func (d *database) exec(sql string) {
	d.Helper()
	if _, err := d.admin.Exec(d.Context(), sql); err != nil {
		d.Fatal(err)
	}
}

// texts are what a query gives, whose rows are one text.
func (d *database) texts(sql string) []string {
	d.Helper()
	rows, err := d.admin.Query(d.Context(), sql)
	if err != nil {
		d.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		d.Fatal(err)
	}
	return all
}

func (d *database) sink(cfg postgres.Config) *postgres.Sink {
	d.Helper()
	if cfg.DSN == "" {
		cfg.DSN = d.dsn
	}
	s, err := postgres.New(cfg)
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() { s.Close() })
	return s
}

func (d *database) write(s *postgres.Sink, batch ...record.Record) {
	d.Helper()
	if err := s.WriteBatch(d.Context(), batch); err != nil {
		d.Fatal(err)
	}
}

// find returns what a filter wants.
func (d *database) find(filter sinks.Filter) (found []record.Record) {
	d.Helper()
	r, err := postgres.Open(postgres.Config{DSN: d.dsn})
	if err != nil {
		d.Fatal(err)
	}
	defer r.Close()
	if err := r.Find(d.Context(), filter, func(one record.Record) error {
		found = append(found, one)
		return nil
	}); err != nil {
		d.Fatal(err)
	}
	return found
}

// wantIDs requires that there is each of the records once, and nothing else.
func (d *database) wantIDs(want []string) {
	d.Helper()
	got := d.texts("SELECT id::text FROM records ORDER BY id")
	if want = slices.Sorted(slices.Values(want)); !slices.Equal(got, want) {
		d.Errorf("there are %d records, want the %d", len(got), len(want))
	}
}

// results are so many records of one process.
func results(count int) []record.Record {
	all := make([]record.Record, count)
	for i := range all {
		all[i] = record.Record{Kind: record.CheckResult, Host: "h", Process: fmt.Sprintf("web:web_%d", i%100), PID: 100 + i, Check: "http", Status: "healthy",
			Seconds: 0.012, Metrics: map[string]float64{"latency_seconds": 0.012}}
		all[i].Stamp()
	}
	return recordtest.Must(all...)
}

func idsOf(records []record.Record) (ids []string) {
	for _, r := range records {
		ids = append(ids, r.ID)
	}
	return ids
}

// ofEveryKind has a record of each kind, with what such a record can have.
func ofEveryKind() []record.Record {
	until, matches := time.Date(2026, 11, 26, 13, 0, 0, 0, time.UTC), false
	all := []record.Record{
		{Kind: record.CheckResult, Process: "web:a", PID: math.MaxInt64, Check: "http", Status: "unknown", Reason: "it's \"50\t%\" \\ \n<ü😀>", Seconds: 1e-9, Pending: true, Metrics: map[string]float64{"rss_bytes": 1 << 53, "x": 5e-324}},
		{Kind: record.Transition, Process: "web:a", PID: 1, Check: "http", Status: "unhealthy", Before: "healthy", Count: "2 of 3", Reason: "refused", Extra: map[string]json.RawMessage{"ahead": json.RawMessage(`{"of":["us",1.50,null]}`)}},
		{Kind: record.Restart, Process: "web:a", Action: record.Held, Wanted: "stopped", NewPID: 2, Why: "limit", Until: until, Evidence: &record.Evidence{Parts: map[string]string{"stderr": "panic"}, Folder: "/x"}},
		{Kind: record.Group, Group: "web", Action: record.Panicked, Why: "all fail"},
		{Kind: record.ProbeResult, Probe: "site", Status: "unhealthy", Seconds: 0.25, URL: "https://example.com:8443/path", StatusCode: 503, Regex: "o+k", MatchesRegex: &matches, Reason: "503"},
		{Kind: record.Listener, Action: record.Dropped, Sink: "db", Dropped: 7},
	}
	for i := range all {
		all[i].Host, all[i].Supervisord, all[i].Listener = "host", "supervisor", "checks"
		all[i].Stamp()
	}
	return recordtest.Must(all...)
}

func TestPostgreSQL(t *testing.T) {
	t.Parallel()
	certificates := realservers.NewCertificates(t, time.Hour)
	s := realservers.PostgreSQL(t, "sesame", certificates)
	for name, test := range map[string]func(d *database){
		"every kind": everyKind, "filters": filters, "duplicates": duplicates, "bad records": badRecords, "all are bad": allBad, "bad without a partition": badWithoutPartition,
		"schemas": schemas, "two migrate at once": migrateAtOnce, "retention": retention, "the view": view, "Uptimer's table": uptimers,
		"killed backends": killedBackends, "a reader that stops": stopReading, "plans": plans, "who may not": mayNot,
		"a lost server": lost, "a killed writer": killedWriter, "TLS": func(d *database) { encrypted(d, certificates.CA) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(newDatabase(t, s))
		})
	}
}

func everyKind(d *database) {
	want := ofEveryKind()
	d.write(d.sink(postgres.Config{}), want...)
	if diff := cmp.Diff(want, d.find(sinks.Filter{}), cmp.Comparer(func(a, b json.RawMessage) bool {
		return strings.ReplaceAll(string(a), " ", "") == strings.ReplaceAll(string(b), " ", "")
	})); diff != "" {
		d.Errorf("(-want +got)\n%s", diff)
	}
	got := d.texts("SELECT concat_ws('|', host, supervisord, listener, grp, process, pid, check_name, status, action, seconds, probe, url, status_code) FROM records ORDER BY time, id")
	if diff := cmp.Diff([]string{
		"host|supervisor|checks|web|web:a|9223372036854775807|http|unknown|1e-09",
		"host|supervisor|checks|web|web:a|1|http|unhealthy|0",
		"host|supervisor|checks|web|web:a|held|0",
		"host|supervisor|checks|web|panicked|0",
		"host|supervisor|checks|unhealthy|0.25|site|https://example.com:8443/path|503",
		"host|supervisor|checks|dropped|0",
	}, got); diff != "" {
		d.Errorf("columns (-want +got)\n%s", diff)
	}
}

func filters(d *database) {
	at := func(day int) time.Time { return time.Date(2026, 11, day, 12, 0, 0, 0, time.UTC) }
	all := []record.Record{
		{Kind: record.CheckResult, Time: at(1), Host: "a", Process: "web:one", Status: "healthy"},
		{Kind: record.ProbeResult, Time: at(2), Host: "c", Probe: "db"},
		{Kind: record.Group, Time: at(3), Host: "c", Group: "web"},
		{Kind: record.Transition, Time: at(8), Host: "b", Process: "web:two", Status: "unhealthy"},
		{Kind: record.Restart, Time: at(15), Host: "a", Process: "w_b:one", Action: record.Running},
		{Kind: record.Restart, Time: at(22), Host: "a", Process: `50%\x`, Action: record.Stopping},
		{Kind: record.Listener, Time: at(29), Host: "b", Action: record.Started},
	}
	for i := range all {
		all[i].Stamp()
	}
	shuffled := slices.Clone(all)
	slices.Reverse(shuffled)
	d.write(d.sink(postgres.Config{}), shuffled...)
	for _, tt := range []struct {
		name   string
		filter sinks.Filter
		want   string
	}{
		{"all", sinks.Filter{}, "1 2 3 8 15 22 29"},
		{"the newest", sinks.Filter{Limit: 2}, "22 29"},
		{"the newest of some", sinks.Filter{Limit: 1, Host: "b", Until: at(29)}, "8"},
		{"since", sinks.Filter{Since: at(15)}, "15 22 29"},
		{"until", sinks.Filter{Until: at(15)}, "1 2 3 8"},
		{"a host", sinks.Filter{Host: "a"}, "1 15 22"},
		{"a process", sinks.Filter{About: []string{"web:one"}}, "1 29"},
		{"a pattern", sinks.Filter{About: []string{"web:*"}}, "1 8 29"},
		{"a letter", sinks.Filter{About: []string{"w?b:one"}}, "1 15 29"},
		{"a line is no letter", sinks.Filter{About: []string{"w_b:*"}}, "15 29"},
		{"several", sinks.Filter{About: []string{"web:two", "5*"}}, "8 22 29"},
		{"signs", sinks.Filter{About: []string{`50%\*`}}, "22 29"},
		{"signs that are none", sinks.Filter{About: []string{`5%*`}}, "29"},
		{"a probe and a group", sinks.Filter{About: []string{"db", "web"}}, "2 3 29"},
		{"a pattern of others", sinks.Filter{About: []string{"d?"}}, "2 29"},
		{"kinds", sinks.Filter{Kinds: []record.Kind{record.Listener, record.Transition}}, "8 29"},
		{"statuses", sinks.Filter{Statuses: []string{"healthy", "unknown"}}, "1"},
		{"actions", sinks.Filter{Actions: []string{record.Running, record.Started}}, "15 29"},
	} {
		var days []string
		for _, r := range d.find(tt.filter) {
			days = append(days, fmt.Sprint(r.Time.Day()))
		}
		if got := strings.Join(days, " "); got != tt.want {
			d.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func duplicates(d *database) {
	s, all := d.sink(postgres.Config{}), results(300)
	d.write(s, all[:200]...)
	d.write(s, all[:200]...)
	d.write(s, append(slices.Clone(all[100:]), all[250:]...)...)
	d.write(d.sink(postgres.Config{}), all...)
	d.wantIDs(idsOf(all))
}

// poisons are what makes a record one that PostgreSQL does not take.
var poisons = map[string]func(*record.Record){
	"a zero in a column":      func(r *record.Record) { r.Process = "web\x00" },
	"a zero in JSON":          func(r *record.Record) { r.Why = "\x00" },
	"no UTF-8 in JSON":        func(r *record.Record) { r.Extra = map[string]json.RawMessage{"x": json.RawMessage("\"\xff\"")} },
	"half a letter in JSON":   func(r *record.Record) { r.Extra = map[string]json.RawMessage{"x": json.RawMessage(`"\ud800"`)} },
	"a number out of range":   func(r *record.Record) { r.Extra = map[string]json.RawMessage{"x": json.RawMessage("1e999999")} },
	"a status code too large": func(r *record.Record) { r.StatusCode = math.MaxInt64 },
	"a number that is none":   func(r *record.Record) { r.Seconds = math.NaN() },
	"a name too long for an index": func(r *record.Record) {
		var name strings.Builder
		for i := range 4000 {
			fmt.Fprintf(&name, "%x", i*i)
		}
		r.Process = name.String()
	},
	"no id":                    func(r *record.Record) { r.ID = "" },
	"no time":                  func(r *record.Record) { r.Time = time.Time{} },
	"a constraint of theirs":   func(r *record.Record) { r.PID = -1 },
	"a time beyond all others": func(r *record.Record) { r.Time = time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC) },
}

func badRecords(d *database) {
	s := d.sink(postgres.Config{})
	d.write(s, results(1)...)
	d.exec("ALTER TABLE records ADD CHECK (pid >= 0); TRUNCATE records")
	var want []string
	for _, name := range slices.Sorted(maps.Keys(poisons)) {
		batch := results(1000)
		const at = 337
		poisons[name](&batch[at])
		err := s.WriteBatch(d.Context(), batch)
		var rejected *sinks.RejectedError
		if !errors.As(err, &rejected) || len(rejected.Records) != 1 || rejected.Records[0].Index != at {
			d.Errorf("%s: error %v, want record %d to be rejected", name, err, at)
		}
		want = append(want, idsOf(slices.Delete(batch, at, at+1))...)
	}
	d.wantIDs(want)
}

func allBad(d *database) {
	s, batch := d.sink(postgres.Config{}), results(30)
	d.write(s, batch[10])
	for i := range batch {
		if i%10 != 0 {
			batch[i].Reason = "\x00"
		}
	}
	err := s.WriteBatch(d.Context(), batch)
	var rejected *sinks.RejectedError
	if !errors.As(err, &rejected) || len(rejected.Records) != 27 || !slices.IsSortedFunc(rejected.Records, func(a, b sinks.Rejected) int { return a.Index - b.Index }) {
		d.Errorf("error %v", err)
	}
	d.wantIDs([]string{batch[0].ID, batch[10].ID, batch[20].ID})
}

// badWithoutPartition has a bad record beside one whose partition somebody has dropped.
func badWithoutPartition(d *database) {
	s, batch := d.sink(postgres.Config{}), results(2)
	batch[1].Time = batch[0].Time.AddDate(0, 1, 0)
	d.write(s, batch...)
	d.exec("DROP TABLE " + d.texts("SELECT max(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'records'::regclass")[0] + "; TRUNCATE records")
	batch[0].Reason = "\x00"
	err := s.WriteBatch(d.Context(), batch)
	var rejected *sinks.RejectedError
	if !errors.As(err, &rejected) || len(rejected.Records) != 1 || rejected.Records[0].Index != 0 {
		d.Errorf("error %v", err)
	}
	d.wantIDs([]string{batch[1].ID})
}

// schemas holds sinks and readers against databases that have others than they know.
func schemas(d *database) {
	refused := func(what string, err error, says string) {
		d.Helper()
		if !errors.Is(err, sinks.ErrSchema) || !strings.Contains(err.Error(), says) {
			d.Errorf("%s: error %v, want one that says %q", what, err, says)
		}
	}
	reader, err := postgres.Open(postgres.Config{DSN: d.dsn})
	if err != nil {
		d.Fatal(err)
	}
	find := func() error {
		return reader.Find(d.Context(), sinks.Filter{}, func(record.Record) error { return nil })
	}
	refused("a reader of none", find(), "run supervisor_checks migrate-db")
	d.exec("CREATE TABLE records (somebody text)")
	s := d.sink(postgres.Config{})
	refused("another table of that name", s.WriteBatch(d.Context(), results(1)), `relation "records" already exists`)
	d.exec("DROP TABLE records")
	cfg := postgres.Config{DSN: d.dsn}
	if from, to, err := postgres.Migrate(d.Context(), cfg); from != 0 || to != 1 || err != nil {
		d.Errorf("from %d to %d, error %v", from, to, err)
	}
	if from, to, err := postgres.Migrate(d.Context(), cfg); from != 1 || to != 1 || err != nil {
		d.Errorf("again: from %d to %d, error %v", from, to, err)
	}
	all := results(2)
	d.write(s, all[0])
	d.exec("INSERT INTO supervisor_checks_version (version_id, is_applied) VALUES (2, true)")
	newer := d.sink(postgres.Config{})
	refused("a sink of a newer one", newer.WriteBatch(d.Context(), all), "it has version 2, and only 1 is known")
	refused("a reader of a newer one", find(), "update this program")
	_, _, err = postgres.Migrate(d.Context(), cfg)
	refused("to migrate a newer one", err, "update this program")
	d.exec("DELETE FROM supervisor_checks_version WHERE version_id = 2")
	d.write(newer, all...)
	if err := find(); err != nil {
		d.Error(err)
	}
	d.wantIDs(idsOf(all))
}

func migrateAtOnce(d *database) {
	for _, before := range []string{"", "DROP TABLE records CASCADE; DELETE FROM supervisor_checks_version WHERE version_id > 0"} {
		d.exec(before)
		all := results(6)
		var writers sync.WaitGroup
		for i := range all {
			s := d.sink(postgres.Config{})
			writers.Go(func() {
				if err := s.WriteBatch(d.Context(), all[i:i+1]); err != nil {
					d.Error(err)
				}
			})
		}
		writers.Wait()
		d.wantIDs(idsOf(all))
	}
}

// retention drops partitions of which all is too old, and what comes for them later has one again.
func retention(d *database) {
	partitions := func(want ...string) {
		d.Helper()
		got := d.texts("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'records'::regclass ORDER BY 1")
		if !slices.Equal(got, want) {
			d.Errorf("partitions %q, want %q", got, want)
		}
	}
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	at := func(month, day int) record.Record {
		r := record.Record{Kind: record.Listener, Action: record.Started, Time: time.Date(2026, time.Month(month), day, 0, 0, 0, 0, time.UTC)}
		r.Stamp()
		return r
	}
	other := d.sink(postgres.Config{})
	d.write(other, at(10, 26), at(11, 1), at(11, 2), at(11, 23), at(12, 27))
	partitions("records_20261026", "records_20261102", "records_20261123", "records_20261221")
	d.exec("CREATE TABLE records_by_hand PARTITION OF records FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')")
	s := d.sink(postgres.Config{Retention: 24 * 24 * time.Hour, Now: clock})
	d.write(s, at(11, 25))
	partitions("records_20261102", "records_20261123", "records_20261221", "records_by_hand")
	d.write(other, at(10, 27)) // which does not know
	now = now.Add(59 * time.Minute)
	d.write(s, at(11, 25))
	partitions("records_20261026", "records_20261102", "records_20261123", "records_20261221", "records_by_hand")
	now = now.Add(7 * 24 * time.Hour)

	tx, err := d.admin.Begin(d.Context()) // of a reader
	if err != nil {
		d.Fatal(err)
	}
	if _, err := tx.Exec(d.Context(), "SELECT FROM records"); err != nil {
		d.Fatal(err)
	}
	d.write(s, at(11, 25))
	tx.Rollback(d.Context())
	partitions("records_20261026", "records_20261102", "records_20261123", "records_20261221", "records_by_hand")
	now = now.Add(time.Hour)
	d.write(s, at(11, 25))
	partitions("records_20261123", "records_20261221", "records_by_hand")
	if n := len(d.find(sinks.Filter{})); n != 6 {
		d.Errorf("%d records, want 6", n)
	}
}

func view(d *database) {
	yes := true
	probes := []record.Record{
		{Status: "healthy", Seconds: 0.0126, URL: "https://Example.com:8443/a/b:1", StatusCode: 200, Regex: "ok", MatchesRegex: &yes},
		{Status: "unhealthy", Seconds: 5e300, URL: "http://[::1]:80/", Reason: "connection refused"},
		{Status: "healthy", URL: "https://example.com", StatusCode: 204},
		{Status: "healthy", Probe: "redis"},
	}
	want := []string{
		"ProbeEvent 0.2.0 https example.com 8443 /a/b:1 200 13  ok true",
		"ProbeEvent 0.2.0 http ::1 80 / 0 2147483647 connection refused - -",
		"ProbeEvent 0.2.0 https example.com 443  204 0  - -",
	}
	for i := range probes {
		probes[i].Kind = record.ProbeResult
		probes[i].Stamp()
	}
	d.write(d.sink(postgres.Config{}), probes...)
	for _, name := range []string{"probe_events", "supervisor_probe_events"} {
		got := d.texts(`SELECT concat_ws(' ', schema_title, schema_version, protocol, hostname, port, path, status_code, response_time_ms, error, coalesce(regex, '-'),
			CASE WHEN matches_regex THEN 'true' WHEN NOT matches_regex THEN 'false' ELSE '-' END) FROM ` + name + ` ORDER BY event_time, uuid`)
		if diff := cmp.Diff(want, got); diff != "" {
			d.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
	types := d.texts("SELECT string_agg(column_name || ' ' || udt_name, ', ' ORDER BY ordinal_position) FROM information_schema.columns WHERE table_name = 'probe_events'")
	if diff := cmp.Diff([]string{"uuid uuid, event_time timestamptz, schema_title text, schema_version text, protocol text, hostname text, port int4, path text, status_code int4, response_time_ms int4, error text, regex text, matches_regex bool"}, types); diff != "" {
		d.Errorf("columns (-want +got)\n%s", diff)
	}
}

// uptimers has a database of Uptimer keep its table.
func uptimers(d *database) {
	d.exec("CREATE TABLE probe_events (uuid uuid); INSERT INTO probe_events VALUES (gen_random_uuid())")
	var log strings.Builder
	if _, _, err := postgres.Migrate(d.Context(), postgres.Config{DSN: d.dsn, Log: slog.New(slog.NewTextHandler(&log, nil))}); err != nil {
		d.Fatal(err)
	}
	if !strings.Contains(log.String(), "there is a probe_events already") || strings.Count(log.String(), "\n") != 1 {
		d.Errorf("the log says\n%s", log.String())
	}
	d.write(d.sink(postgres.Config{}), ofEveryKind()...)
	if got := d.texts("SELECT (SELECT count(*) FROM probe_events) || ' ' || (SELECT count(*) FROM supervisor_probe_events)"); got[0] != "1 1" {
		d.Errorf("there are %q", got)
	}
}

// killedBackends ends connections in the middle of COPY: of a batch all or nothing is there,
// and each record once in the end.
func killedBackends(d *database) {
	s := d.sink(postgres.Config{})
	d.write(s, results(1)...)
	d.exec("TRUNCATE records")
	var ids []string
	killed := 0
	for deadline := time.Now().Add(time.Minute); killed < 3 && time.Now().Before(deadline); {
		batch, done := results(10_000), make(chan struct{})
		var err error
		go func() { err = s.WriteBatch(d.Context(), batch); close(done) }()
		for over := false; !over; {
			hit := d.texts("SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'copy%' AND state = 'active'")
			select {
			case <-done:
				over = true
			default:
				over = len(hit) > 0
			}
		}
		<-done
		var rejected *sinks.RejectedError
		if errors.As(err, &rejected) {
			d.Fatal(err)
		}
		there := []string{fmt.Sprint(len(ids)), fmt.Sprint(len(ids) + len(batch))}
		if err == nil {
			there = there[1:]
		} else {
			killed++
			d.write(s, batch[:len(batch)/2]...) // as the queue may have other batches
			d.write(s, batch...)
		}
		ids = append(ids, idsOf(batch)...)
		if n := d.texts("SELECT count(*)::text FROM records")[0]; err == nil && n != there[0] {
			d.Errorf("there are %s records, want %s", n, there[0])
		}
	}
	if killed < 3 {
		d.Errorf("only %d were killed within a minute", killed)
	}
	d.wantIDs(ids)
}

func stopReading(d *database) {
	d.write(d.sink(postgres.Config{}), results(5_000)...)
	r, err := postgres.Open(postgres.Config{DSN: d.dsn})
	if err != nil {
		d.Fatal(err)
	}
	enough, count := errors.New("enough"), 0
	if err := r.Find(d.Context(), sinks.Filter{}, func(record.Record) error {
		if count++; count == 3 {
			return enough
		}
		return nil
	}); err != enough || count != 3 {
		d.Errorf("error %v after %d", err, count)
	}
	ctx, cancel := context.WithCancel(d.Context())
	if err := r.Find(ctx, sinks.Filter{}, func(record.Record) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		d.Errorf("error %v", err)
	}
}

// plans asks whether what is asked for often is found by an index, and in its order.
func plans(d *database) {
	d.write(d.sink(postgres.Config{}), results(20_000)...)
	d.exec("ANALYZE records")
	for _, tt := range []struct{ where, want string }{
		{"process = 'web:web_7' AND host = 'h'", "process_host_time_idx"},
		{"kind = 'probe_result'", "kind_time_idx"},
		{"kind IN ('restart', 'transition')", "_time_idx"},
		{"true", "_pkey"},
	} {
		plan := strings.Join(d.texts("EXPLAIN SELECT record FROM records WHERE "+tt.where+" ORDER BY time DESC LIMIT 100"), "\n")
		if !strings.Contains(plan, tt.want) || strings.Contains(plan, "Sort") {
			d.Errorf("%s:\n%s", tt.where, plan)
		}
	}
}

// mayNot has a user that may do less than is needed, and one that may read.
func mayNot(d *database) {
	name := "guest" + fmt.Sprint(databases.Add(1))
	d.exec("CREATE ROLE " + name + " LOGIN PASSWORD 'sesame'")
	guest := strings.Replace(d.dsn, "postgres:sesame", name+":sesame", 1)
	s := d.sink(postgres.Config{DSN: guest})
	err := s.WriteBatch(d.Context(), results(1))
	if !errors.Is(err, sinks.ErrSchema) || !strings.Contains(err.Error(), "permission denied") || !strings.Contains(err.Error(), "migrate-db") {
		d.Errorf("error %v", err)
	}
	all := results(3)
	d.write(d.sink(postgres.Config{}), all...)
	var rejected *sinks.RejectedError
	if err := s.WriteBatch(d.Context(), all); err == nil || errors.As(err, &rejected) {
		d.Errorf("error %v", err)
	}
	d.exec("GRANT SELECT ON ALL TABLES IN SCHEMA public TO " + name)
	d.dsn = guest
	if n := len(d.find(sinks.Filter{})); n != 3 {
		d.Errorf("%d records", n)
	}
}
