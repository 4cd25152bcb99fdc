package checks

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/httpcheck"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// DefaultHTTPTimeout is how long a try of HTTP may take when HTTPConfig.Timeout
// is 0.
const DefaultHTTPTimeout = 15 * time.Second

// HTTPConfig configures an HTTP check.
type HTTPConfig struct {
	// Port is a port number, or a regular expression with one group that
	// finds the number in the process name: `web_(\d+)` finds 8001 in
	// "web_8001". It is required, unless there is a UnixSocket. The syntax is
	// that of package regexp.
	Port string

	// Host is the name or IP address of the host to dial. "" means 127.0.0.1.
	Host string

	// UnixSocket is the path of a stream socket to dial instead of Host and
	// Port. The Host header is then localhost.
	UnixSocket string

	// Scheme is "http" or "https". "" means "http". With https the
	// certificate must be for the host of the Host header, which is Host
	// unless Header or URL says otherwise.
	Scheme string

	// URL is the path to ask for, with its query: "/ping?full=1". It is sent
	// as it is, after a "/" where it has none. An absolute URL is sent whole,
	// to the same Host and Port, with its own host in the Host header.
	URL string

	// Method is the method of the request, as it is sent. "" means "GET".
	Method string

	// Header is sent in place of what is otherwise sent under these names:
	// Host, User-Agent (http_check), Accept-Encoding (identity), Connection
	// (close), Authorization and Content-Type.
	Header http.Header

	// Body is sent as it is.
	Body string

	// JSON is sent as it is in place of Body, with the Content-Type
	// application/json. nil means none; "{}", "0" and "null" are sent.
	JSON json.RawMessage

	// Username and Password are sent as basic authentication, unless Username
	// is "". The password may be empty.
	Username, Password string

	// Timeout bounds one try, from the name lookup to the end of what is read.
	// 0 means DefaultHTTPTimeout.
	Timeout time.Duration

	// Retries is how often a failed try is repeated within one run, after
	// pauses of 3 s, 6 s, 9 s … 0 or less means never. An unexpected answer is
	// a failure like any other.
	Retries int

	// ExpectStatus lists the status codes that are healthy, and ranges of
	// them: "200-299,301". "" means "200".
	ExpectStatus string

	// ExpectBody is a regular expression that must match somewhere in the
	// first MiB of the body. "" leaves the body unread.
	ExpectBody string

	// CAFile is a file of certificates in PEM, which are trusted instead of
	// the system's. Only for https. What replaces it is used from then on, as with
	// the files below; while that cannot be read, what was there before.
	CAFile string

	// CertFile and KeyFile are a certificate in PEM, which those above it may
	// follow, and its key, for a server that wants to see one. Only for https.
	CertFile, KeyFile string

	// ServerName is the name that the server's certificate must be for, and that
	// it is asked for (SNI). "" means the host of the Host header. Only for https.
	ServerName string

	// CertMinValidity is for how long the server's certificate, and those above
	// it up to one that is trusted, must still be valid; with Insecure, the server's
	// alone. 0 means no longer than now, and with Insecure not even that. Only for
	// https.
	CertMinValidity time.Duration

	// Insecure accepts any certificate, also one that has expired. Only for https.
	Insecure bool
}

// HTTP checks what a process answers to an HTTP request. Redirects are not
// followed, proxies in the environment not used.
type HTTP struct {
	endpoint endpoint
	exchange *httpcheck.Exchange
	retries  int
	certFile string
}

// NewHTTP returns the check that cfg describes, or a *ConfigError.
func NewHTTP(cfg HTTPConfig) (*HTTP, error) {
	e, err := newEndpoint("http", cfg.Port, cfg.Host, cfg.UnixSocket)
	if err != nil {
		return nil, err
	}
	x, err := newExchange("http", httpcheck.Config{
		Scheme:       cmp.Or(cfg.Scheme, "http"),
		Method:       cmp.Or(cfg.Method, http.MethodGet),
		URL:          cfg.URL,
		Header:       cfg.Header,
		Body:         cfg.Body,
		JSON:         cfg.JSON,
		Username:     cfg.Username,
		Password:     cfg.Password,
		UserAgent:    "http_check",
		Timeout:      cmp.Or(cfg.Timeout, DefaultHTTPTimeout),
		ExpectStatus: cfg.ExpectStatus,
		ExpectBody:   cfg.ExpectBody,
		CAFile:       cfg.CAFile,
		Insecure:     cfg.Insecure,
		CertFile:     cfg.CertFile,
		KeyFile:      cfg.KeyFile,
		ServerName:   cfg.ServerName,

		CertMinValidity: cfg.CertMinValidity,
	})
	if err != nil {
		return nil, err
	}
	return &HTTP{endpoint: e, exchange: x, retries: cfg.Retries, certFile: cfg.CertFile}, nil
}

// Name returns "http".
func (c *HTTP) Name() string { return "http" }

// Run makes the request. No connection, no answer in time and an answer other
// than expected are Unhealthy: errors.Is finds syscall.ECONNREFUSED or
// context.DeadlineExceeded. A name without a port is Unknown, with ErrNoPort:
// restarting p would not give it one. So is a socket that we may not open, a run that
// ctx cut short, and what goes wrong after we have shown a certificate that had
// expired. The metrics latency_seconds and, when there was an
// answer, status_code are of the last try, as is cert_validity_seconds with https:
// for how long the certificate is still valid.
func (c *HTTP) Run(ctx context.Context, p supervisor.Process) Result {
	network, address, err := c.endpoint.address(p.Name)
	if err != nil {
		return Unsure(err)
	}
	var answer httpcheck.Answer
	err = retry(ctx, c.retries, func() (err error) {
		answer, err = c.exchange.Do(ctx, network, address)
		if err != nil && answer.OwnExpired {
			return fmt.Errorf("%w: %w: the certificate in %s has expired, which the server has asked for", ErrUnknown, err, c.certFile)
		}
		return mayOpen(network, err)
	})
	return exchanged(ctx, answer, err)
}

// newExchange returns an exchange for a check, or a *ConfigError.
func newExchange(check string, cfg httpcheck.Config) (*httpcheck.Exchange, error) {
	x, err := httpcheck.New(cfg)
	var bad *httpcheck.FieldError
	if errors.As(err, &bad) {
		err = &ConfigError{Check: check, Field: bad.Field, Err: bad.Err, With: bad.With}
	}
	return x, err
}

// exchanged is the result of an exchange that had ctx, got answer and ended with
// err.
func exchanged(ctx context.Context, answer httpcheck.Answer, err error) Result {
	r := outcome(ctx, err)
	r.Metrics = map[string]float64{"latency_seconds": answer.Latency.Seconds()}
	if answer.StatusCode != 0 {
		r.Metrics["status_code"] = float64(answer.StatusCode)
	}
	if !answer.CertExpires.IsZero() {
		r.Metrics["cert_validity_seconds"] = time.Until(answer.CertExpires).Seconds()
	}
	return r
}
