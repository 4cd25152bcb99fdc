// Package supervisor asks and steers a supervisord through its XML-RPC API
// (http://supervisord.org/api.html), Python's or the Go one
// (https://github.com/ochinchina/supervisord), and restarts its processes
// without ever losing one: see Restarter.
package supervisor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/kolo/xmlrpc"

	"github.com/supervisor-checks/supervisor-checks/internal/foreign"
)

// DefaultTimeout bounds one call when Config.Timeout is 0. No call that this
// package makes asks supervisord to wait for anything.
const DefaultTimeout = 15 * time.Second

// maxAnswer is the largest answer that is read. A thousand processes take one MiB.
const maxAnswer = 64 << 20

// Config tells how to reach a supervisord.
type Config struct {
	// URL is supervisord's address, as it hands it to its processes in
	// SUPERVISOR_SERVER_URL: "unix:///run/supervisor.sock" or
	// "http://127.0.0.1:9001". It is required. Without a path, /RPC2 is asked.
	URL string

	// Username and Password are those of supervisord's [unix_http_server] or
	// [inet_http_server] section. supervisord does not hand them to listeners.
	Username, Password string

	// Timeout bounds one call. 0 means DefaultTimeout.
	Timeout time.Duration

	// Dial, if set, connects to supervisord in place of what URL says.
	Dial func(context.Context) (net.Conn, error)
}

// Client calls one supervisord. Each call has a connection of its own, since
// supervisord drops idle ones without a word. Methods may be called
// concurrently, and return an *UnreachableError when there is no answer and a
// *Fault when the answer is no.
type Client struct {
	endpoint  string // what http.Request wants
	address   string // for people, without credentials
	username  string
	password  string
	timeout   time.Duration
	transport *http.Transport
}

// ErrNoURL is returned by NewClient when nobody said where supervisord is.
var ErrNoURL = errors.New("supervisord's address is not known: SUPERVISOR_SERVER_URL is not set; " +
	"if this is an event listener, give supervisord.conf a [unix_http_server] section with a file= and restart supervisord; " +
	"else pass --server-url unix:///run/supervisor.sock")

// NewClient returns a Client, or an error when cfg.URL is missing or is none.
func NewClient(cfg Config) (*Client, error) {
	if cfg.URL == "" {
		return nil, ErrNoURL
	}
	c := &Client{username: cfg.Username, password: cfg.Password, timeout: cfg.Timeout}
	if c.timeout == 0 {
		c.timeout = DefaultTimeout
	}
	dial := new(net.Dialer).DialContext
	if path, isUnix := strings.CutPrefix(cfg.URL, "unix://"); isUnix && strings.HasPrefix(path, "/") {
		c.address, c.endpoint = cfg.URL, "http://localhost/RPC2"
		dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
	} else {
		u, err := url.Parse(cfg.URL)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			shown := strconv.Quote(cfg.URL)
			if strings.Contains(shown, "@") {
				shown = "which is not shown since it may hold a password"
			}
			return nil, fmt.Errorf("the address of supervisord, %s, is neither unix:///PATH nor http://HOST:PORT", shown)
		}
		if u.User != nil && c.username == "" {
			c.username = u.User.Username()
			if password, given := u.User.Password(); given {
				c.password = password
			}
		}
		u.User = nil
		c.address = u.String()
		if u.Path == "" || u.Path == "/" {
			u.Path = "/RPC2"
		}
		c.endpoint = u.String()
	}
	if cfg.Dial != nil {
		dial = func(ctx context.Context, _, _ string) (net.Conn, error) { return cfg.Dial(ctx) }
	}
	c.transport = &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, c.timeout) // a Transport lets it outlive the call
			defer cancel()
			return dial(ctx, network, address)
		},
		DisableKeepAlives:  true,
		DisableCompression: true,
	}
	return c, nil
}

// Address returns supervisord's address, without credentials.
func (c *Client) Address() string { return c.address }

// UnreachableError says why supervisord gave no answer that can be used, and
// what to do about it.
type UnreachableError struct {
	Address string // without credentials
	Advice  string // what to set or to look at; "" when that is not known
	NotSent bool   // supervisord cannot have seen the call
	Err     error
}

func (e *UnreachableError) Error() string {
	text := fmt.Sprintf("no answer from supervisord at %s: %v", e.Address, e.Err)
	if e.Advice != "" {
		text += ": " + e.Advice
	}
	return text
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// Causes of an UnreachableError that are not errors of the operating system.
var (
	ErrUnauthorized = errors.New("401 Unauthorized")
	ErrNotXMLRPC    = errors.New("the answer is not XML-RPC")
	ErrNoInterface  = errors.New("it does not offer the supervisor interface")
)

// Fault is supervisord's refusal of a call.
type Fault struct {
	Code int // Python's supervisord has one of the Fault constants here, the Go one always -32500
	Text string
}

// Codes of faults that Python's supervisord gives (its xmlrpc.py, class Faults).
const (
	FaultUnknownMethod  = 1
	FaultShutdownState  = 6
	FaultBadName        = 10
	FaultNoFile         = 20
	FaultNotExecutable  = 21
	FaultFailed         = 30
	FaultSpawnError     = 50
	FaultAlreadyStarted = 60
	FaultNotRunning     = 70
)

// lineLength is how many bytes of foreign text there are in an error.
const lineLength = 500

func (f *Fault) Error() string {
	return fmt.Sprintf("supervisord refused: %s (fault %d)", foreign.Line(f.Text, lineLength), f.Code)
}

// IsFault reports whether err is, or wraps, a Fault with that code.
func IsFault(err error, code int) bool {
	var f *Fault
	return errors.As(err, &f) && f.Code == code
}

// IsGone reports whether err is supervisord's word that it has no such process.
func IsGone(err error) bool {
	var f *Fault
	if !errors.As(err, &f) {
		return false
	}
	return f.Code == FaultBadName ||
		f.Code == goFault && (strings.Contains(f.Text, "no process named") || strings.Contains(f.Text, "fail to find process"))
}

// goFault is the code of every fault of the Go supervisord.
const goFault = -32500

// errNoMethod is how the Go supervisord says that it has no such method.
var errNoMethod = errors.New("no such method")

// call makes one call and decodes its answer into result, unless that is nil.
func (c *Client) call(ctx context.Context, result any, method string, args ...any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, fmt.Errorf("it took longer than %v", c.timeout))
	defer cancel()
	req, err := xmlrpc.NewRequest(c.endpoint, method, args) // method is one of ours: it need not be escaped
	if err != nil {
		return fmt.Errorf("encode %s: %w", method, err)
	}
	if c.sendsCredentials() {
		req.SetBasicAuth(c.username, c.password)
	}
	resp, err := c.transport.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return c.unreachable(ctx, err)
	}
	defer resp.Body.Close()
	var body bytes.Buffer
	body.Grow(int(min(max(resp.ContentLength, 0), maxAnswer)) + bytes.MinRead) // else ReadFrom grows it at the end
	if _, err := body.ReadFrom(io.LimitReader(resp.Body, maxAnswer)); err != nil {
		return c.unreachable(ctx, fmt.Errorf("the answer broke off: %w", err))
	}
	if err := c.judge(resp, body.Bytes()); err != nil {
		return err
	}
	return c.decode(body.Bytes(), method, result)
}

func (c *Client) sendsCredentials() bool { return c.username != "" || c.password != "" }

// judge finds out whether an answer is one of supervisord's XML-RPC interface.
func (c *Client) judge(resp *http.Response, body []byte) error {
	fail := func(err error, advice string) error {
		return &UnreachableError{Address: c.address, Advice: advice, Err: err}
	}
	mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case resp.StatusCode == http.StatusUnauthorized && c.sendsCredentials():
		section := "[inet_http_server]"
		if strings.HasPrefix(c.address, "unix://") {
			section = "[unix_http_server]"
		}
		return fail(ErrUnauthorized, fmt.Sprintf("supervisord refuses user %q with the password that it was given: "+
			"compare them with username= and password= in %s of supervisord.conf", c.username, section))
	case resp.StatusCode == http.StatusUnauthorized:
		return fail(ErrUnauthorized, "supervisord does not hand its credentials to listeners: set SUPERVISOR_USERNAME and SUPERVISOR_PASSWORD "+
			"in environment= of the [eventlistener] section, or pass --server-username and --server-password-file")
	case resp.StatusCode == http.StatusBadRequest && strings.Contains(string(body), "can't find service"):
		return errNoMethod
	case resp.StatusCode >= 500:
		return fail(fmt.Errorf("HTTP %d", resp.StatusCode), "supervisord failed within; its own log says why")
	case resp.StatusCode != http.StatusOK:
		return fail(fmt.Errorf("%w: HTTP %d", ErrNotXMLRPC, resp.StatusCode), "is this supervisord's address?")
	case mediaType != "text/xml":
		return fail(fmt.Errorf("%w but %q", ErrNotXMLRPC, foreign.Line(mediaType, lineLength)), "is this supervisord's address, with no path or with /RPC2?")
	}
	return nil
}

// decode decodes the body of an answer that kolo/xmlrpc can be trusted with
// after two precautions: it stops at control characters, which supervisord
// sends as they are, and foreign bytes must not be able to make it panic.
func (c *Client) decode(body []byte, method string, result any) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &UnreachableError{Address: c.address, Err: fmt.Errorf("%w: %v", ErrNotXMLRPC, r)}
		}
	}()
	if infos, many := result.(*[]info); many {
		if scanned, ok := scanInfos(body); ok {
			*infos = scanned
			return nil
		}
	}
	response := xmlrpc.Response(foreign.XML(body))
	if err = response.Err(); err == nil && result != nil {
		err = response.Unmarshal(result)
	}
	var fault xmlrpc.FaultError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &fault):
		return &UnreachableError{Address: c.address, Err: fmt.Errorf("%w: %w", ErrNotXMLRPC, err)}
	case fault.Code == FaultUnknownMethod:
		return &UnreachableError{
			Address: c.address,
			Err:     fmt.Errorf("%w (%s)", ErrNoInterface, method),
			Advice: "add [rpcinterface:supervisor] with supervisor.rpcinterface_factory = " +
				"supervisor.rpcinterface:make_main_rpcinterface to supervisord.conf and restart supervisord",
		}
	}
	return &Fault{Code: fault.Code, Text: fault.String}
}

// unreachable adds to an error of the connection what to do about it.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	e := &UnreachableError{Address: c.address, Err: err}
	var op *net.OpError
	if errors.As(err, &op) {
		e.NotSent = op.Op == "dial"
		e.Err = op.Err // without the address once more
	}
	switch {
	case errors.Is(err, syscall.EACCES):
		e.Advice = fmt.Sprintf("user %s may not open the socket: set chmod= or chown= in [unix_http_server], "+
			"or user= in the [eventlistener] section", whoAmI())
	case errors.Is(err, syscall.ENOENT):
		e.Advice = "is supervisord running, and is this the file= of its [unix_http_server]?"
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Advice = "nobody listens there: is supervisord running, with [unix_http_server] or [inet_http_server]?"
	}
	return e
}

func whoAmI() string {
	uid := strconv.Itoa(os.Geteuid())
	if u, err := user.LookupId(uid); err == nil {
		return u.Username
	}
	return uid
}
