package probes

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/httpcheck"
	"github.com/supervisor-checks/supervisor-checks/internal/jsoncheck"
)

// DefaultMaxRedirects is how many redirects HTTP follows when HTTPConfig.MaxRedirects
// is 0.
const DefaultMaxRedirects = 5

// JSON is what is to be at some places of a document in JSON: what Path finds, as RFC 9535
// has it ($.shards[*].state), of which there must be something, and each of it must be what
// Equals, NotEquals, LessThan, GreaterThan and Matches, a regular expression, say, or there
// must be nothing, with Absent.
type JSON = jsoncheck.Place

// HTTPConfig configures a probe of an HTTP server.
type HTTPConfig struct {
	// Name is what the probe is called. "" means the host of URL.
	Name string

	// URL is asked for: https://example.com/ping. It is required.
	URL string

	// UnixSocket is the path of a stream socket to dial instead of the host of URL.
	UnixSocket string

	// Method is that of the request. "" means GET.
	Method string

	// Header is sent in place of what is otherwise sent under these names, and Body
	// as it is.
	Header http.Header
	Body   string

	// Username and Password are sent as basic authentication, unless Username is "".
	Username, Password string

	// TLS is for https.
	TLS TLS

	// Timeout bounds all of it, redirects included. 0 means DefaultTimeout.
	Timeout time.Duration

	// MaxRedirects is how many redirects are followed whose status is not among
	// ExpectStatus. 0 means DefaultMaxRedirects, less than 0 none. What is secret is
	// sent to the host of URL alone, and nobody is followed whose certificate will not
	// do, or to where there is none that CertMinValidity could be asked of.
	MaxRedirects int

	// What the answer must be like. All of it must hold, and what does not is named.
	ExpectStatus    string            // "200-299,301"; "" means "200-299"
	ExpectBody      string            // a regular expression for the first MiB of the body
	ExpectHeader    map[string]string // a regular expression for a value of each
	ExpectJSON      []JSON            // what is at some places of a body in JSON
	MaxLatency      time.Duration     // 0 is no limit but Timeout
	CertMinValidity time.Duration     // for how long the server's certificates must still be valid
}

// HTTP asks an HTTP server, and judges its answer. Proxies in the environment are not
// used.
type HTTP struct {
	cfg       HTTPConfig
	criteria  func(status int, body []byte, whole bool) []error // nil for none
	turn      chan struct{}                                     // to judge a body
	first     hop
	redirects int
}

// hop is one request on the way to the answer.
type hop struct {
	network, address string
	exchange         *httpcheck.Exchange
	url              *url.URL
}

// NewHTTP returns the probe that cfg describes, or a *ConfigError.
func NewHTTP(cfg HTTPConfig) (*HTTP, error) { return newHTTPWith("http", cfg, nil) }

// judge judges the body of an answer whose status is one of those that are expected.
type judge func(status int, body []byte) error

// newHTTPWith is NewHTTP for a kind of probe that is made of one of HTTP, with a judge of
// its own.
func newHTTPWith(kind string, cfg HTTPConfig, own judge) (*HTTP, error) {
	p := &HTTP{cfg: cfg, turn: make(chan struct{}, 1), redirects: max(cmp.Or(cfg.MaxRedirects, DefaultMaxRedirects), 0)}
	p.cfg.Timeout = cmp.Or(cfg.Timeout, DefaultTimeout)
	if p.cfg.Timeout < 0 {
		return nil, refuse(kind, "timeout", "%v is less than 0", cfg.Timeout)
	}
	if cfg.MaxLatency < 0 {
		return nil, refuse(kind, "max_latency", "%v is less than 0", cfg.MaxLatency)
	}
	if cfg.URL == "" {
		return nil, refuse(kind, "url", "is required: http://HOST/PATH or https://HOST/PATH")
	}
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, refuse(kind, "url", "is neither http://HOST/PATH nor https://HOST/PATH") // which may hold a password
	}
	p.cfg.Name = cmp.Or(cfg.Name, u.Host)
	p.cfg.ExpectStatus = cmp.Or(cfg.ExpectStatus, "200-299")
	document, err := jsoncheck.New("the body", cfg.ExpectJSON)
	if err != nil {
		return nil, refuse(kind, "expect_json", "%w", err)
	}
	if document != nil {
		p.criteria = func(_ int, body []byte, whole bool) []error {
			if !whole {
				return []error{errors.New("the body has more than a MiB of JSON, which is not looked at")}
			}
			return document(body)
		}
	}
	if own != nil {
		expected, err := httpcheck.ParseStatuses(p.cfg.ExpectStatus)
		if err != nil {
			return nil, refuse(kind, "expect_status", "%w", err)
		}
		p.criteria = func(status int, body []byte, _ bool) []error {
			if !expected.Contains(status) {
				return nil
			}
			if err := own(status, body); err != nil {
				return []error{err}
			}
			return nil
		}
	}
	p.first, err = p.hop(u, u)
	var bad *httpcheck.FieldError
	if errors.As(err, &bad) {
		return nil, &ConfigError{kind, field(bad.Field), bad.Err}
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// hop makes the request for a URL, on the way from another.
func (p *HTTP) hop(to, from *url.URL) (hop, error) {
	h := hop{network: "tcp", address: net.JoinHostPort(to.Hostname(), cmp.Or(to.Port(), map[string]string{"http": "80", "https": "443"}[to.Scheme])), url: to}
	cfg := httpcheck.Config{
		Scheme: to.Scheme, Method: cmp.Or(p.cfg.Method, http.MethodGet), URL: to.RequestURI(), UserAgent: "supervisor-checks", Timeout: p.cfg.Timeout,
		ExpectStatus: p.cfg.ExpectStatus, ExpectBody: p.cfg.ExpectBody, ExpectHeader: p.cfg.ExpectHeader, Criteria: p.criteria,
		CertMinValidity: p.cfg.CertMinValidity, Locations: p.redirects > 0, Turn: p.turn,
	}
	if to.Scheme == from.Scheme && to.Host == from.Host {
		cfg.Header, cfg.Body, cfg.Username, cfg.Password = p.cfg.Header, p.cfg.Body, p.cfg.Username, p.cfg.Password
		if p.cfg.UnixSocket != "" {
			h.network, h.address = "unix", p.cfg.UnixSocket
		}
	}
	given := cfg.Header
	cfg.Header = http.Header{"Host": {to.Host}}
	if to.User != nil && cfg.Username == "" { // whose name may be empty, as where a token is the password
		password, _ := to.User.Password()
		cfg.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(to.User.Username()+":"+password)))
	}
	for name, values := range given {
		cfg.Header[http.CanonicalHeaderKey(name)] = values
	}
	if to.Scheme == "https" || from.Scheme == "http" { // where it is refused
		t := p.cfg.TLS
		cfg.CAFile, cfg.CertFile, cfg.KeyFile, cfg.ServerName, cfg.Insecure = t.CAFile, t.CertFile, t.KeyFile, t.ServerName, t.Insecure
	}
	var err error
	h.exchange, err = httpcheck.New(cfg)
	return h, err
}

// Name returns the name.
func (p *HTTP) Name() string { return p.cfg.Name }

// Check makes the request. The error says what is wrong with the answer, or why there
// is none: errors.Is finds syscall.ECONNREFUSED or context.DeadlineExceeded.
func (p *HTTP) Check(ctx context.Context) error {
	_, err := p.Ask(ctx)
	return err
}

// Ask does what Check does, and tells of the last answer.
func (p *HTTP) Ask(ctx context.Context) (Answer, error) {
	answer := Answer{URL: p.plain(), Regex: p.cfg.ExpectBody}
	ctx, cancel := WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	begun := time.Now()
	err := p.follow(ctx, &answer)
	if took := time.Since(begun); p.cfg.MaxLatency > 0 && took > p.cfg.MaxLatency && !errors.Is(err, context.DeadlineExceeded) {
		slow := fmt.Errorf("it took %v, longer than %v", took.Round(time.Millisecond), p.cfg.MaxLatency)
		if err == nil {
			return answer, slow
		}
		return answer, fmt.Errorf("%w; %w", err, slow)
	}
	return answer, err
}

// plain is the URL without what may be secret.
func (p *HTTP) plain() string {
	u := url.URL{Scheme: p.first.url.Scheme, Host: p.first.url.Host, Path: p.first.url.Path, RawPath: p.first.url.RawPath}
	return u.String()
}

// follow makes the request, and those that the answers redirect to, and tells of the last
// answer.
func (p *HTTP) follow(ctx context.Context, last *Answer) error {
	at := p.first
	for redirects := 0; ; redirects++ {
		answer, err := at.exchange.Do(ctx, at.network, at.address)
		last.StatusCode, last.MatchesRegex = answer.StatusCode, answer.Matches
		switch {
		case answer.Location == "":
			return err
		case redirects == p.redirects:
			return fmt.Errorf("after %d redirects: %w", redirects, err)
		}
		to, unreadable := at.url.Parse(answer.Location)
		if unreadable != nil || to.Scheme != "http" && to.Scheme != "https" || to.Hostname() == "" {
			return fmt.Errorf("%w: it redirects to what is no address", err)
		}
		if to.Scheme == "http" && p.cfg.CertMinValidity > 0 {
			return fmt.Errorf("%w: it redirects to http, where there is no certificate", err)
		}
		if at, err = p.hop(to, p.first.url); err != nil {
			return err
		}
	}
}
