package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/internal/setting"
)

// parseComposite reads the value of supervisor_complex_check's -c: a JSON object
// of checks with their configurations, such as {"tcp": {"port": 80}}. The checks
// are in its order. Of a name that is given twice the last one counts, in the
// place of the first, as in Python. A check or a key whose value is null is as
// good as absent. No value of a password is part of an error.
func parseComposite(document string) ([]checks.Check, error) {
	if err := json.Unmarshal([]byte(document), new(json.RawMessage)); err != nil {
		return nil, fmt.Errorf("not valid JSON, in %s: %w", place(document, err), err)
	}
	members, err := Members([]byte(document))
	if err != nil {
		return nil, err
	}
	var all []checks.Check
	for _, m := range members {
		configure, is := composites[m.Name]
		if !is {
			return nil, fmt.Errorf("there is no check %q; there are %s", m.Name, names(composites))
		}
		if string(m.Value) == "null" {
			continue
		}
		c, err := configure().read(m.Value)
		var refused *checks.ConfigError
		if errors.As(err, &refused) {
			err = compositeError(refused)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Name, err)
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("there is no check in it; there are %s", names(composites))
	}
	return all, nil
}

// place tells where in a document its error is, without quoting it, for it may
// hold a password.
func place(document string, err error) string {
	var syntax *json.SyntaxError
	read := 0
	if errors.As(err, &syntax) {
		read = max(0, int(syntax.Offset)-1) // the last byte that was read is the wrong one
	}
	before := document[:read]
	line := strings.Count(before, "\n")
	return fmt.Sprintf("line %d, column %d", line+1, utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])+1)
}

// composite is how a check is made of a JSON object.
type composite struct {
	keys     keys
	required []string // keys that must be there, and choices between such: "port or unix_socket"
	make     func() (checks.Check, error)
}

// read makes the check of its object. It is for make to refuse one that has
// nothing of a choice.
func (c composite) read(object json.RawMessage) (checks.Check, error) {
	if err := readKeys(object, c.keys, c.required); err != nil {
		return nil, err
	}
	return c.make()
}

// describe lists the keys, those that are required first.
func (c composite) describe() string {
	required := strings.Join(c.required, ", ")
	others := maps.Clone(c.keys)
	for _, word := range strings.Fields(strings.ReplaceAll(required, ",", "")) {
		delete(others, word)
	}
	return required + " (required); " + names(others)
}

// composites are the checks by their names.
var composites = map[string]func() composite{
	"cpu":    compositeCPU,
	"file":   compositeFile,
	"http":   compositeHTTP,
	"memory": compositeMemory,
	"tcp":    compositeTCP,
	"xmlrpc": compositeXMLRPC,
}

// compositeKey is the key for a field of a check's configuration.
func compositeKey(field string) string {
	switch field {
	case "max-age":
		return "timeout"
	case "max-cpu-percent":
		return "max_cpu"
	case "retries":
		return "num_retries"
	case "socket-path":
		return "sock_path"
	case "socket-dir":
		return "sock_dir"
	}
	return strings.ReplaceAll(field, "-", "_")
}

// compositeError returns err with the keys for the fields that it names.
func compositeError(err *checks.ConfigError) error {
	return fmt.Errorf("%s: %s", compositeKey(err.Field), reworded(err, compositeKey))
}

func compositeHTTP() composite {
	var (
		cfg     checks.HTTPConfig
		timeout = duration(checks.DefaultHTTPTimeout)
		retries = number(defaultRetries)
		login   compositeLogin
	)
	return composite{login.in(keys{
		"url":           stringKey(&cfg.URL), // "" is the root, as with -u ''
		"port":          textKey(&cfg.Port),
		"host":          wordKey(&cfg.Host),
		"unix_socket":   wordKey(&cfg.UnixSocket),
		"scheme":        wordKey(&cfg.Scheme),
		"method":        wordKey(&cfg.Method),
		"headers":       func(v json.RawMessage) (err error) { cfg.Header, err = checks.ParseHeaders(string(v)); return err },
		"body":          stringKey(&cfg.Body),
		"json":          func(v json.RawMessage) error { cfg.JSON = v; return nil },
		"timeout":       durationKey(&timeout),
		"num_retries":   valueKey(&retries),
		"expect_status": textKey(&cfg.ExpectStatus),
		"expect_body":   wordKey(&cfg.ExpectBody),
		"ca_file":       wordKey(&cfg.CAFile),
		"insecure":      boolKey(&cfg.Insecure),
	}), []string{"url", "port or unix_socket"}, func() (checks.Check, error) {
		var err error
		if cfg.Username, cfg.Password, err = login.read(); err != nil {
			return nil, err
		}
		cfg.Timeout, cfg.Retries = time.Duration(timeout), int(retries)
		return checks.NewHTTP(cfg)
	}}
}

func compositeTCP() composite {
	var (
		cfg     checks.TCPConfig
		timeout = duration(checks.DefaultTCPTimeout)
		retries = number(defaultRetries)
	)
	return composite{keys{
		"port":        textKey(&cfg.Port),
		"host":        wordKey(&cfg.Host),
		"unix_socket": wordKey(&cfg.UnixSocket),
		"timeout":     durationKey(&timeout),
		"num_retries": valueKey(&retries),
	}, []string{"port or unix_socket"}, func() (checks.Check, error) {
		cfg.Timeout, cfg.Retries = time.Duration(timeout), int(retries)
		return checks.NewTCP(cfg)
	}}
}

func compositeXMLRPC() composite {
	var (
		cfg     checks.XMLRPCConfig
		timeout = duration(checks.DefaultXMLRPCTimeout)
		retries = number(defaultRetries)
		login   compositeLogin
	)
	return composite{login.in(keys{
		"url":         wordKey(&cfg.URL),
		"port":        textKey(&cfg.Port),
		"host":        wordKey(&cfg.Host),
		"sock_path":   wordKey(&cfg.SocketPath),
		"sock_dir":    wordKey(&cfg.SocketDir),
		"method":      wordKey(&cfg.Method),
		"timeout":     durationKey(&timeout),
		"num_retries": valueKey(&retries),
	}), []string{"url and port, or sock_path, or sock_dir"}, func() (checks.Check, error) {
		var err error
		if cfg.Username, cfg.Password, err = login.read(); err != nil {
			return nil, err
		}
		cfg.Timeout, cfg.Retries = time.Duration(timeout), int(retries)
		return checks.NewXMLRPC(cfg)
	}}
}

func compositeMemory() composite {
	var (
		cfg    checks.MemoryConfig
		limit  limit
		metric string
	)
	return composite{keys{
		"max_rss":    limitKey(&limit),
		"cumulative": boolKey(&cfg.Cumulative),
		"metric":     wordKey(&metric),
	}, []string{"max_rss"}, func() (checks.Check, error) {
		cfg.Max, cfg.MaxPercent, cfg.Metric = limit.bytes, limit.percent, checks.MemoryMetric(metric)
		return checks.NewMemory(cfg)
	}}
}

func compositeCPU() composite {
	var (
		cfg     checks.CPUConfig
		percent percentage
		over    = interval(time.Hour)
	)
	return composite{keys{
		"max_cpu":    valueKey(&percent),
		"interval":   durationKey(&over),
		"cumulative": boolKey(&cfg.Cumulative),
	}, []string{"max_cpu"}, func() (checks.Check, error) {
		cfg.MaxPercent, cfg.Interval = float64(percent), time.Duration(over)
		return checks.NewCPU(cfg)
	}}
}

func compositeFile() composite {
	var (
		cfg checks.FileConfig
		age duration
	)
	return composite{keys{
		"timeout":       durationKey(&age),
		"fail_on_error": boolKey(&cfg.FailOnError),
		"filepath":      wordKey(&cfg.Path),
		"root_dir":      wordKey(&cfg.Root),
	}, []string{"timeout"}, func() (checks.Check, error) {
		cfg.MaxAge = time.Duration(age)
		return checks.NewFile(cfg)
	}}
}

// compositeLogin has the keys of a login with the processes.
type compositeLogin struct{ username, password, file string }

func (l *compositeLogin) in(k keys) keys {
	k["username"], k["password"], k["password_file"] = stringKey(&l.username), stringKey(&l.password), wordKey(&l.file)
	return k
}

func (l *compositeLogin) read() (username, password string, err error) {
	switch {
	case l.username == "" && l.password+l.file != "":
		return "", "", errors.New("password: there is no username that it belongs to")
	case l.password != "" && l.file != "":
		return "", "", errors.New("password_file: not together with password")
	case l.file == "":
		return l.username, l.password, nil
	}
	if password, err = setting.Secret(l.file); err != nil {
		return "", "", fmt.Errorf("password_file: %w", err)
	}
	return l.username, password, nil
}

// keys are the keys of an object, each with what reads its value.
type keys map[string]func(json.RawMessage) error

// readKeys reads an object that may have those keys and must have the required
// ones, of which it passes over choices.
func readKeys(object json.RawMessage, k keys, required []string) error {
	members, err := Members(object)
	if err != nil {
		return err
	}
	given := make(map[string]bool)
	for _, m := range members {
		read, is := k[m.Name]
		if !is {
			return fmt.Errorf("there is no key %q; there are %s", m.Name, names(k))
		}
		if string(m.Value) == "null" {
			continue
		}
		if err := read(m.Value); err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
		given[m.Name] = true
	}
	for _, name := range required {
		if _, is := k[name]; is && !given[name] {
			return fmt.Errorf("%s: is required", name)
		}
	}
	return nil
}

// names lists the keys of a map.
func names[V any](m map[string]V) string {
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}

// wordKey reads a string that is not empty.
func wordKey(into *string) func(json.RawMessage) error {
	read := stringKey(into)
	return func(v json.RawMessage) error {
		if string(v) == `""` {
			return errors.New("must not be empty")
		}
		return read(v)
	}
}

// stringKey reads a string, which may be empty.
func stringKey(into *string) func(json.RawMessage) error {
	return func(v json.RawMessage) error {
		if v[0] != '"' {
			return errors.New("is not a string")
		}
		return json.Unmarshal(v, into)
	}
}

// textKey reads a string, or a number as it is written.
func textKey(into *string) func(json.RawMessage) error {
	return func(v json.RawMessage) (err error) {
		*into, err = Scalar(v)
		return err
	}
}

// valueKey reads a string or a number as the option of that type does.
func valueKey(into interface{ Set(string) error }) func(json.RawMessage) error {
	return func(v json.RawMessage) error {
		text, err := Scalar(v)
		if err != nil {
			return err
		}
		return into.Set(text)
	}
}

// durationKey reads a number of seconds, which may be a fraction, or a string as
// the option does.
func durationKey(into interface{ Set(string) error }) func(json.RawMessage) error {
	return fractionKey(into, "s")
}

// limitKey reads a number of KiB, which may be a fraction, or a string as the
// option does.
func limitKey(into *limit) func(json.RawMessage) error { return fractionKey(into, "KiB") }

// fractionKey reads what an option reads in whole numbers without a unit and in
// fractions only with one.
func fractionKey(into interface{ Set(string) error }, unit string) func(json.RawMessage) error {
	return func(v json.RawMessage) error {
		text, err := Scalar(v)
		if err != nil {
			return err
		}
		if v[0] != '"' && strings.Contains(text, ".") {
			text += unit
		}
		return into.Set(text)
	}
}

// boolKey reads true or false, or a number, which as in Python is false when it
// is 0.
func boolKey(into *bool) func(json.RawMessage) error {
	return func(v json.RawMessage) error {
		switch {
		case string(v) == "true", string(v) == "false":
			*into = string(v) == "true"
		case isNumber(v):
			n, _ := strconv.ParseFloat(string(v), 64) // infinite when it is too large
			*into = n != 0
		default:
			return errors.New("is neither true nor false")
		}
		return nil
	}
}

func isNumber(v json.RawMessage) bool { return v[0] == '-' || v[0] >= '0' && v[0] <= '9' }

// Scalar returns a string's characters, or a number as it is written, but for
// an exponent and for a fraction that is none: 80 for 80.0 and 8e1.
func Scalar(v json.RawMessage) (text string, err error) {
	switch {
	case v[0] == '"':
		err = json.Unmarshal(v, &text)
	case isNumber(v):
		text = string(v)
		if strings.ContainsAny(text, "eE") {
			n, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return "", fmt.Errorf("%q is too large", text)
			}
			text = strconv.FormatFloat(n, 'f', -1, 64)
		}
		if whole, fraction, _ := strings.Cut(text, "."); strings.Trim(fraction, "0") == "" {
			text = whole
		}
	default:
		err = errors.New("is neither a number nor a string")
	}
	return text, err
}

// Member is a name with its value in a JSON object.
type Member struct {
	Name  string
	Value json.RawMessage
}

// Members returns those of a valid JSON object in the order of their names, where
// those were first, with their last values.
func Members(object json.RawMessage) ([]Member, error) {
	dec := json.NewDecoder(bytes.NewReader(object))
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		return nil, errors.New("is not a JSON object")
	}
	var members []Member
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, err
		}
		var m Member
		m.Name, _ = name.(string) // there are no other keys
		if err := dec.Decode(&m.Value); err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(members, func(o Member) bool { return o.Name == m.Name }); i >= 0 {
			members[i] = m
			continue
		}
		members = append(members, m)
	}
	return members, nil
}
