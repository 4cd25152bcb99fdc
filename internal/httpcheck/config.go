package httpcheck

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/supervisor-checks/supervisor-checks/internal/tlsfiles"
)

// Config is what to send and what to expect.
type Config struct {
	Scheme   string // "http" or "https"
	Method   string
	URL      string // a path with its query, or an absolute URL; "" means "/"
	Header   http.Header
	Body     string
	JSON     json.RawMessage // takes the place of Body; nil means none
	Username string          // "" sends no basic authentication
	Password string

	UserAgent string        // unless Header has one
	Timeout   time.Duration // of the whole exchange; required

	ExpectStatus string // as ParseStatuses reads it
	ExpectBody   string // a regular expression; "" leaves the body unread

	// Judge, if set, gets the body of an answer with an expected status and says
	// what is wrong with it. Of one longer than MaxBody it gets as much as that, and
	// whole is false. Criteria get that of any answer. Both may take longer than
	// Timeout, which does not wait for them.
	Judge    func(body []byte, whole bool) error
	Criteria func(status int, body []byte, whole bool) []error

	ExpectHeader map[string]string // regular expressions, one value of each header must match

	// Locations has an answer say where a redirect leads whose status is not expected.
	// Nothing else is judged of it but the certificate, and with a bad one it leads
	// nowhere.
	Locations bool

	// Turn, of capacity 1, is filled while an answer is judged, also one that Do does not
	// wait for any more: of exchanges that share it one at a time. nil gives each address
	// one of its own.
	Turn chan struct{}

	CAFile     string // PEM, instead of the system's certificates
	Insecure   bool   // any certificate will do
	CertFile   string // PEM, what is shown to a server that asks
	KeyFile    string // and its key
	ServerName string // "" means the host of the Host header

	// CertMinValidity is for how long the server's certificate must still be valid, and
	// those above it up to one that is trusted. With Insecure it is that of the server
	// alone. 0 leaves it to the handshake.
	CertMinValidity time.Duration

	Dial func(ctx context.Context, network, address string) (net.Conn, error) // nil means a net.Dialer's
}

// FieldError says which setting of a Config is wrong. Its text never holds a
// secret.
type FieldError struct {
	Field string // as on a command line: "expect-status"
	Err   error
	With  []string // other settings that the text of Err names
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Err.Error() }

func (e *FieldError) Unwrap() error { return e.Err }

func refuse(field, format string, args ...any) error {
	return &FieldError{Field: field, Err: fmt.Errorf(format, args...)}
}

// New returns the exchange that cfg describes, or a *FieldError.
func New(cfg Config) (*Exchange, error) {
	x := &Exchange{timeout: cfg.Timeout, method: cfg.Method, body: cfg.Body, dial: cfg.Dial}
	if cfg.JSON != nil {
		x.body = string(cfg.JSON)
	}
	if x.dial == nil {
		x.dial = new(net.Dialer).DialContext
	}
	if !isToken(cfg.Method) {
		return nil, refuse("method", "%q is not an HTTP method", cfg.Method)
	}
	if cfg.Timeout <= 0 {
		return nil, refuse("timeout", "%v is not more than 0", cfg.Timeout)
	}
	var err error
	if x.target, x.host, err = parseTarget(cfg.URL, cfg.Method); err != nil {
		return nil, err
	}
	if err := x.setHeader(cfg); err != nil {
		return nil, err
	}
	if err := x.setTLS(cfg); err != nil {
		return nil, err
	}
	x.certMinValidity = cfg.CertMinValidity
	if x.statuses, err = ParseStatuses(cfg.ExpectStatus); err != nil {
		return nil, &FieldError{Field: "expect-status", Err: err}
	}
	if cfg.ExpectBody != "" {
		if x.pattern, err = regexp.Compile(cfg.ExpectBody); err != nil {
			return nil, &FieldError{Field: "expect-body", Err: err}
		}
	}
	x.judge, x.criteria, x.turn, x.locations = cfg.Judge, cfg.Criteria, cfg.Turn, cfg.Locations
	for _, name := range slices.Sorted(maps.Keys(cfg.ExpectHeader)) {
		pattern, err := regexp.Compile(cfg.ExpectHeader[name])
		switch {
		case !isToken(name):
			return nil, refuse("expect-header", "%q is not a header name", name)
		case err != nil:
			return nil, &FieldError{Field: "expect-header", Err: err}
		}
		x.headers = append(x.headers, headerPattern{http.CanonicalHeaderKey(name), pattern})
	}
	return x, nil
}

// headerPattern is what one value of a header must match.
type headerPattern struct {
	name    string
	pattern *regexp.Regexp
}

// parseTarget returns what to ask for in the request line and, of an absolute
// URL, what to say in the Host header.
func parseTarget(rawURL, method string) (target, host string, err error) {
	for _, r := range rawURL {
		if r <= ' ' || r >= 0x7f {
			return "", "", refuse("url", "%q cannot be sent: write it as %s", r, url.PathEscape(string(r)))
		}
	}
	scheme, _, _ := strings.Cut(rawURL, "://")
	switch {
	case strings.EqualFold(scheme, "http"), strings.EqualFold(scheme, "https"):
		// The parser's own error may quote a part of a password.
		u, err := url.Parse(rawURL)
		if err != nil || u.Hostname() == "" {
			return "", "", refuse("url", "is not a valid absolute URL; a path alone, such as /ping, will do")
		}
		if u.User != nil {
			return "", "", refuse("url", "must not hold a user name or a password: they have settings of their own")
		}
		return rawURL, u.Host, nil
	case rawURL == "*" && method == http.MethodOptions, strings.HasPrefix(rawURL, "/"):
		return rawURL, "", nil
	}
	return "/" + rawURL, "", nil
}

// setHeader fills in x.header and x.host: ours, and over them those of cfg.
func (x *Exchange) setHeader(cfg Config) error {
	x.header = http.Header{
		"Accept-Encoding": {"identity"},
		"Connection":      {"close"},
		"User-Agent":      {cfg.UserAgent},
	}
	if cfg.JSON != nil {
		if err := json.Unmarshal(cfg.JSON, new(json.RawMessage)); err != nil {
			return refuse("json", "is not valid JSON: %w", err)
		}
		x.header.Set("Content-Type", "application/json")
	}
	if cfg.Username == "" && cfg.Password != "" {
		return refuse("password", "needs a username")
	}
	if cfg.Username != "" {
		token := base64.StdEncoding.EncodeToString([]byte(cfg.Username + ":" + cfg.Password))
		x.header.Set("Authorization", "Basic "+token)
	}
	length := strconv.Itoa(len(x.body))
	for _, name := range slices.Sorted(maps.Keys(cfg.Header)) {
		if !isToken(name) {
			return refuse("headers", "%q is not a header name", name)
		}
		values := slices.Clone(cfg.Header[name])
		for i, value := range values {
			values[i] = textproto.TrimString(value)
			if strings.ContainsFunc(values[i], func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
				return refuse("headers", "the value of %s holds a control character", name)
			}
		}
		switch canonical := http.CanonicalHeaderKey(name); canonical {
		case "Host":
			if len(values) != 1 || !isHost(values[0]) {
				return refuse("headers", "the value of Host is not a host with an optional port")
			}
			x.host = values[0]
		case "Content-Length":
			if !slices.Equal(values, []string{length}) {
				return refuse("headers", "Content-Length is set from the body, which has %s bytes", length)
			}
			x.header[canonical] = values
		case "Transfer-Encoding", "Trailer":
			return refuse("headers", "%s cannot be set: the body is sent in one piece", canonical)
		default:
			x.header[canonical] = values
		}
	}
	if x.body != "" || slices.Contains([]string{"POST", "PUT", "PATCH"}, x.method) {
		x.header.Set("Content-Length", length)
	}
	return nil
}

// isToken reports whether s is a token of RFC 9110, section 5.6.2: what methods
// and header names are made of.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

// isHost reports whether s can be sent as a Host header.
func isHost(s string) bool {
	u, err := url.Parse("//" + s)
	return err == nil && u.Host == s && u.Hostname() != "" &&
		!strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII })
}

// setTLS fills in x.tls.
func (x *Exchange) setTLS(cfg Config) error {
	if cfg.Scheme != "http" && cfg.Scheme != "https" {
		return refuse("scheme", "%q is neither http nor https", cfg.Scheme)
	}
	if cfg.Scheme == "http" {
		for _, o := range []struct {
			field string
			given bool
		}{
			{"ca-file", cfg.CAFile != ""}, {"insecure", cfg.Insecure}, {"cert-file", cfg.CertFile != ""}, {"key-file", cfg.KeyFile != ""},
			{"server-name", cfg.ServerName != ""}, {"cert-min-validity", cfg.CertMinValidity != 0},
		} {
			if o.given {
				return refuse(o.field, "needs the scheme https")
			}
		}
		return nil
	}
	if cfg.CertMinValidity < 0 {
		return refuse("cert-min-validity", "%v is less than 0", cfg.CertMinValidity)
	}
	client, err := tlsfiles.Files{CAFile: cfg.CAFile, CertFile: cfg.CertFile, KeyFile: cfg.KeyFile, ServerName: cfg.ServerName, Insecure: cfg.Insecure}.Open()
	var bad *tlsfiles.Error
	if errors.As(err, &bad) {
		refused := &FieldError{Field: bad.Field, Err: bad.Err}
		if bad.With != "" {
			refused.With = []string{bad.With}
		}
		return refused
	}
	x.tls = client
	return err
}
