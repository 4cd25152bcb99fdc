package logout

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"os"
	"strings"
	"sync"
	"time"
)

// encoder makes a message of a line of the log.
type encoder interface {
	encode(slog.Record) []byte
	withAttrs([]slog.Attr) encoder
	withGroup(string) encoder
}

// severity is that of syslog (RFC 5424, table 2), which GELF has, too.
func severity(l slog.Level) int {
	switch {
	case l >= slog.LevelError:
		return 3
	case l >= slog.LevelWarn:
		return 4
	case l >= slog.LevelInfo:
		return 6
	}
	return 7
}

// gelf makes messages of GELF 1.1, https://go2docs.graylog.org/current/getting_in_log_data/gelf.html.
type gelf struct {
	host, group string
	fields      map[string]any // of all lines
}

func (g gelf) withAttrs(attrs []slog.Attr) encoder {
	with := gelf{g.host, g.group, make(map[string]any)}
	for name, value := range g.fields {
		with.fields[name] = value
	}
	for _, a := range attrs {
		add(with.fields, g.group, a)
	}
	return with
}

func (g gelf) withGroup(name string) encoder {
	if name == "" {
		return g
	}
	return gelf{g.host, g.group + name + "_", g.fields}
}

func (g gelf) encode(r slog.Record) []byte {
	message := make(map[string]any)
	for name, value := range g.fields {
		message[name] = value
	}
	r.Attrs(func(a slog.Attr) bool {
		add(message, g.group, a)
		return true
	})
	first, _, more := strings.Cut(r.Message, "\n")
	message["version"], message["host"], message["level"] = "1.1", g.host, severity(r.Level)
	message["short_message"] = cmp.Or(first, "-") // which may not be empty
	if more {
		message["full_message"] = r.Message
	}
	message["timestamp"] = json.Number(fmt.Sprintf("%d.%06d", r.Time.Unix(), r.Time.Nanosecond()/1000))
	text, err := json.Marshal(message)
	if err != nil { // which none of these types gives
		panic("logout: " + err.Error())
	}
	return text
}

// add adds an attribute as a field, a number or else a string, and a group as several.
func add(fields map[string]any, group string, a slog.Attr) {
	v := a.Value.Resolve()
	name := "_" + strings.Map(func(c rune) rune {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '.', c == '-':
			return c
		}
		return '_'
	}, group+a.Key)
	if name == "_id" { // which is Graylog's own
		name = "_id_"
	}
	switch f := v.Any().(type) {
	case []slog.Attr:
		if a.Key != "" {
			group += a.Key + "_"
		}
		for _, member := range f {
			add(fields, group, member)
		}
	case int64, uint64:
		fields[name] = f
	case float64:
		fields[name] = f
		if math.IsNaN(f) || math.IsInf(f, 0) { // which JSON does not have
			fields[name] = v.String()
		}
	case time.Time:
		fields[name] = f.Format(time.RFC3339Nano)
	case nil:
		if a.Key != "" {
			fields[name] = ""
		}
	default:
		fields[name] = v.String()
	}
}

// syslogText makes messages of syslog: that of RFC 5424, or the one that is usual on a
// socket of the same machine, which journald reads.
type syslogText struct {
	local   bool
	host    string
	handler slog.Handler // of what follows the header, into text
	text    *lockedBuffer
}

type lockedBuffer struct {
	sync.Mutex
	bytes.Buffer
}

func newSyslogText(local bool, host, format string) syslogText {
	text := new(lockedBuffer)
	if format == "json" {
		return syslogText{local, host, slog.NewJSONHandler(&text.Buffer, &slog.HandlerOptions{Level: slog.Level(math.MinInt)}), text}
	}
	return syslogText{local, host, slog.NewTextHandler(&text.Buffer, &slog.HandlerOptions{
		Level: slog.Level(math.MinInt),
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) { // the header has them
				return slog.Attr{}
			}
			return a
		},
	}), text}
}

func (s syslogText) withAttrs(attrs []slog.Attr) encoder {
	s.handler = s.handler.WithAttrs(attrs)
	return s
}

func (s syslogText) withGroup(name string) encoder {
	s.handler = s.handler.WithGroup(name)
	return s
}

const (
	program        = "supervisor_checks"
	facilityDaemon = 3
)

func (s syslogText) encode(r slog.Record) []byte {
	s.text.Lock()
	defer s.text.Unlock()
	s.text.Reset()
	priority := facilityDaemon<<3 | severity(r.Level)
	if s.local {
		fmt.Fprintf(s.text, "<%d>%s %s[%d]: ", priority, r.Time.Format(time.Stamp), program, os.Getpid())
	} else {
		fmt.Fprintf(s.text, "<%d>1 %s %s %s %d - - ", priority, r.Time.Format("2006-01-02T15:04:05.000000Z07:00"), s.host, program, os.Getpid())
	}
	s.handler.Handle(context.Background(), r) // a buffer takes everything
	return bytes.Clone(bytes.TrimSuffix(s.text.Bytes(), []byte("\n")))
}

// hostname is what this machine is called, as RFC 5424 allows it.
func hostname() string {
	name, _ := os.Hostname()
	name = strings.Map(func(c rune) rune {
		if c <= ' ' || c > '~' {
			return -1
		}
		return c
	}, name)
	return cmp.Or(name[:min(len(name), 255)], "-")
}
