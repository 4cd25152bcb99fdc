package config

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/setting"
	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/record/uptimer"
	"github.com/supervisor-checks/supervisor-checks/sinks"
)

// Sink is where records go.
type Sink struct {
	SinkKind

	Name  string        `key:"name" need:"true" doc:"What it is called in the log: letters, digits, - and _."`
	Kinds []record.Kind `key:"kinds" doc:"Only records of these kinds: check_result, transition, restart, group, probe_result, listener. All where it is not given."`
	Spool *Size         `key:"spool" doc:"How much may wait on disk while it takes nothing. 64MiB where it is not given."`
}

// SinkKind is a sink of one of the kinds there are.
type SinkKind struct {
	SQLite   *SinkSQLite   `key:"sqlite" doc:"A database in a file, of SQLite."`
	Postgres *SinkPostgres `key:"postgres" doc:"A PostgreSQL, in whose schema tables are made where there are none."`
	File     *SinkFile     `key:"file" doc:"A file of JSON lines."`
	Kafka    *SinkKafka    `key:"kafka" doc:"A topic of Kafka."`
	Webhook  *SinkWebhook  `key:"webhook" doc:"A server that is sent records by HTTP."`
}

// opener is a sink that can be read back.
type opener interface {
	open(context.Context) (sinks.Reader, error)
}

// Open opens a sink for reading.
func (s *Sink) Open(ctx context.Context) (sinks.Reader, error) {
	var databases []string
	for _, f := range fieldsOf(reflect.TypeFor[SinkKind]()) {
		if reflect.TypeFor[SinkKind]().FieldByIndex(f.index).Type.Implements(reflect.TypeFor[opener]()) {
			databases = append(databases, f.key)
		}
	}
	for _, one := range s.given() {
		if o, is := one.(opener); is {
			return o.open(ctx)
		}
	}
	return nil, fmt.Errorf("the sink %s is not one that can be read back, as %s can", s.Name, strings.Join(databases, " and "))
}

// writer is what a sink is made of.
type writer interface {
	write() (sinks.Writer, error)
	check(report func(key, format string, args ...any))
}

var sinkName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func (s *Sink) check(report func(key, format string, args ...any)) {
	if !sinkName.MatchString(s.Name) && s.Name != "" {
		report("name", "%q has other characters than letters, digits, - and _", s.Name)
	}
	for i, kind := range s.Kinds {
		if !slices.Contains(record.Kinds, kind) {
			report(fmt.Sprintf("kinds[%d]", i), "%q is no kind of record", kind)
		}
	}
	if s.Spool != nil && s.Spool.Bytes < 1<<20 {
		report("spool", "is less than 1MiB")
	}
	switch given := s.given(); len(given) {
	case 0:
		report("", "there is no sink; there are %s", strings.Join(s.keys(), ", "))
	case 1:
	default:
		report("", "has several sinks, %s: begin a new entry with a - for each", strings.Join(slices.Sorted(maps.Keys(given)), ", "))
	}
}

// given are the sinks that are given, by their keys.
func (k *SinkKind) given() map[string]writer {
	all := make(map[string]writer)
	v := reflect.ValueOf(k).Elem()
	for _, f := range fieldsOf(v.Type()) {
		if one := v.FieldByIndex(f.index); !one.IsNil() {
			all[f.key] = one.Interface().(writer)
		}
	}
	return all
}

func (k *SinkKind) keys() (keys []string) {
	for _, f := range fieldsOf(reflect.TypeFor[SinkKind]()) {
		keys = append(keys, f.key)
	}
	return keys
}

// format is what is written.
func (f RecordFormat) format() sinks.Format {
	if f != "uptimer" {
		return nil
	}
	return func(b []byte, r *record.Record) ([]byte, error) {
		event, err := uptimer.Encode(r)
		if errors.Is(err, uptimer.ErrNone) {
			return b, nil
		}
		return append(b, event...), err
	}
}

// SinkFile is a file of JSON lines.
type SinkFile struct {
	Path     string       `key:"path" need:"true" doc:"Where it is, or /dev/stderr. As long as it cannot be opened records wait."`
	Format   RecordFormat `key:"format" doc:"records, as docs/schema has them; or uptimer for what probes of URLs find, and nothing else, as the events of Uptimer 0.2. records where it is not given."`
	MaxBytes *Size        `key:"max_bytes" doc:"How long it may grow before it is renamed to PATH.1. 100MiB where it is not given."`
	MaxAge   *Positive    `key:"max_age" doc:"How old it may grow before that: 1d. There is no limit where it is not given."`
	Keep     *Count       `key:"keep" doc:"How many older ones are kept. 5 where it is not given."`
}

func (f *SinkFile) check(report func(key, format string, args ...any)) {
	switch {
	case f.Path == standardError:
		if f.MaxBytes != nil || f.MaxAge != nil || f.Keep != nil {
			report("path", "%s has no length or age: leave max_bytes, max_age and keep out", f.Path)
		}
	case strings.HasPrefix(f.Path, "/dev/std") || strings.HasPrefix(f.Path, "/dev/fd/") || strings.HasPrefix(f.Path, "/proc/self/fd/"):
		report("path", "%s is no file: standard output belongs to supervisord; %s is for standard error, where the log is, too", f.Path, standardError)
	}
	if f.MaxBytes != nil && f.MaxBytes.Bytes == 0 {
		report("max_bytes", "is not a number of bytes, such as 100MiB")
	}
}

// standardError is the path that stands for it.
const standardError = "/dev/stderr"

func (f *SinkFile) write() (sinks.Writer, error) {
	if f.Path == standardError {
		return sinks.NewStream(os.Stderr, f.Format.format()), nil
	}
	cfg := sinks.FileConfig{Path: f.Path, MaxAge: time.Duration(orZero(f.MaxAge)), Keep: int(orZero(f.Keep)), Format: f.Format.format()}
	if f.MaxBytes != nil {
		cfg.MaxBytes = int64(f.MaxBytes.Bytes)
	}
	return sinks.NewFile(cfg)
}

// SinkWebhook is a server that is sent records by HTTP.
type SinkWebhook struct {
	URL         string              `key:"url" need:"true" secret:"true" doc:"http://HOST/PATH or https://HOST/PATH. It is sent arrays of records in JSON, and takes them by answering 2xx."`
	SecretFile  string              `key:"secret_file" doc:"A file that has the secret in its first line with which bodies are signed: X-Supervisor-Checks-Signature: sha256=HEX, of their HMAC-SHA256."`
	Headers     map[string][]string `key:"headers" secret:"true" doc:"Sent besides."`
	HeadersFile string              `key:"headers_file" doc:"A file of more of them, for those that are secret: a line for each, Name: value."`
	Format      RecordFormat        `key:"format" doc:"records, as docs/schema has them; or uptimer for what probes of URLs find, and nothing else, as the events of Uptimer 0.2. records where it is not given."`
	TLS         *TLSFiles           `key:"tls" doc:"For https."`
}

func (w *SinkWebhook) check(report func(key, format string, args ...any)) {
	if w.URL == "" {
		return // which is said already
	}
	if made, err := w.write(); err != nil {
		var wrong *keyError
		if errors.As(err, &wrong) {
			report(wrong.key, "%v", wrong.error)
		} else {
			report("url", "%v", err)
		}
	} else {
		made.Close()
	}
}

func (w *SinkWebhook) write() (sinks.Writer, error) {
	cfg := sinks.WebhookConfig{URL: w.URL, Format: w.Format.format()}
	var refused *keyError
	if cfg.Header, refused = headers(w.Headers, w.HeadersFile); refused != nil {
		return nil, refused
	}
	var err error
	if files := w.TLS.files(); files != nil {
		if cfg.TLS, err = sinkTLS("webhook", *files); err != nil {
			return nil, err
		}
	}
	if w.SecretFile != "" {
		if cfg.Secret, err = setting.Secret(w.SecretFile); err == nil && cfg.Secret == "" {
			err = fmt.Errorf("the first line of %s is empty", w.SecretFile)
		}
		if err != nil {
			return nil, &keyError{"secret_file", err}
		}
	}
	return sinks.NewWebhook(cfg)
}

// checkSinks reports sinks that have one name.
func (f *File) checkSinks(report func(key, format string, args ...any)) {
	names := make(map[string]bool)
	for i, s := range f.Sinks {
		switch {
		case names[s.Name]:
			report(fmt.Sprintf("sinks[%d].name", i), "there is a sink called %q already", s.Name)
		case s.Name == "history":
			report(fmt.Sprintf("sinks[%d].name", i), "history is what the key of that name is about")
		}
		names[s.Name] = true
	}
}

// Writer makes a Writer alone.
func (s *Sink) Writer() (w sinks.Writer, err error) {
	for key, one := range s.given() {
		if w, err = one.write(); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
	}
	return w, nil
}

// FindSink returns the sink of that name, or the only one of that kind.
func (f *File) FindSink(name string) (*Sink, error) {
	var found []*Sink
	for i := range f.Sinks {
		s := &f.Sinks[i]
		if s.Name == name {
			return s, nil
		}
		if s.given()[name] != nil {
			found = append(found, s)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("the file has no sink that is called %q, or is of that kind", name)
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("the file has %d sinks of the kind %s: give the name of one", len(found), name)
}

// Build makes a Writer, and a queue for it whose files are in a folder.
func (s *Sink) Build(folder string, log *slog.Logger) (*sinks.Queue, error) {
	cfg := sinks.QueueConfig{Name: s.Name, Kinds: s.Kinds, Folder: folder, Log: log}
	if s.Spool != nil {
		cfg.SpoolBytes = int64(s.Spool.Bytes)
	}
	var err error
	if cfg.To, err = s.Writer(); err != nil {
		return nil, err
	}
	q, err := sinks.NewQueue(cfg)
	if err != nil {
		cfg.To.Close()
	}
	return q, err
}
