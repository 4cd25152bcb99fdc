// Package httpcheck makes one HTTP exchange and judges its answer. It knows
// nothing of processes: New fixes what is sent and what is expected, Do says
// where.
//
// It speaks HTTP/1.1 on a connection of its own, with net/http to read the
// answer, but not through http.Transport: that rewrites some targets ("//x"),
// may still be dialing when its caller has given up, and writes to the global
// log when a server talks first. So there are no redirects, no proxy from the
// environment and no compression either.
package httpcheck

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/supervisor-checks/supervisor-checks/internal/duration"
	"github.com/supervisor-checks/supervisor-checks/internal/tlsfiles"
)

const (
	// MaxBody is how many bytes of a body are judged.
	MaxBody = 1 << 20

	// maxHeader bounds the status line and the header of an answer, those of
	// its interim answers included.
	maxHeader = http.DefaultMaxHeaderBytes

	maxReason  = 300 // of an error text, in characters
	maxExcerpt = 100 // of a body in an error text, in bytes
)

// An Exchange is a request and what its answer must be like. It can be made any
// number of times, also at once. New makes one.
type Exchange struct {
	method  string
	target  string // second word of the request line
	host    string // Host header; "" takes it from the address
	header  http.Header
	body    string
	timeout time.Duration
	tls     *tlsfiles.Client // nil for plain HTTP

	certMinValidity time.Duration

	statuses Statuses
	headers  []headerPattern
	pattern  *regexp.Regexp // of the body, which is left unread without this and the next two
	criteria func(status int, body []byte, whole bool) []error
	judge    func(body []byte, whole bool) error // of an answer with an expected status

	locations bool // those of redirects are part of answers

	turn  chan struct{} // nil gives each address one of its own
	turns sync.Map      // these, by address

	dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// An Answer is what there is to say of an answer besides whether it will do.
type Answer struct {
	StatusCode int           // 0 when there was none
	Latency    time.Duration // from the dial to the verdict

	Location    string    // where a redirect leads, as Config.Locations says
	CertExpires time.Time // when the server's certificate ends, or one above it before that; zero without TLS
	Matches     *bool     // whether the body matches Config.ExpectBody; nil where that was not to be seen
	OwnExpired  bool      // the certificate that was shown to the server had ended
}

// Do makes the exchange with the server at address of network ("tcp" or
// "unix") and returns nil when the answer is as expected. One timeout bounds
// all of it. The text of an error is one printable line of bounded length; its
// cause can be found with errors.Is: syscall.ECONNREFUSED,
// context.DeadlineExceeded after the timeout, the cause of ctx when that ended
// it.
func (x *Exchange) Do(ctx context.Context, network, address string) (Answer, error) {
	start := time.Now()
	try, cancel := context.WithTimeout(ctx, x.timeout)
	defer cancel()
	var answer Answer
	var failed criteria
	awaited, err := x.exchange(try, network, address, &answer, &failed)
	answer.Latency = time.Since(start)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	// A dial may time out a little before try does, and http.ReadResponse may
	// hide a timeout behind the half line that it got.
	case awaited != "" && (errors.Is(err, os.ErrDeadlineExceeded) || try.Err() != nil):
		err = &reason{fmt.Sprintf("no %s within %v", awaited, x.timeout), context.DeadlineExceeded}
	}
	if failed != nil {
		if err != nil {
			failed = append(failed, err)
		}
		err = failed
	}
	return answer, Printable(err)
}

// criteria are those that an answer does not meet.
type criteria []error

func (c *criteria) add(format string, args ...any) { *c = append(*c, fmt.Errorf(format, args...)) }

func (c criteria) Error() string {
	var texts []string
	for _, err := range c {
		texts = append(texts, err.Error())
	}
	return strings.Join(texts, "; ")
}

func (c criteria) Unwrap() []error { return c }

// exchange does the work of Do, and says of the answer what is known of it. With an error awaited is what did not come, or
// "" when all came and was judged.
func (x *Exchange) exchange(ctx context.Context, network, address string, known *Answer, failed *criteria) (awaited string, err error) {
	conn, err := x.dial(ctx, network, address)
	if err != nil {
		return "connection", err
	}
	defer conn.Close()
	// The end of ctx fails whatever the connection is doing then, so that a
	// server cannot stretch the time by sending a little at a time.
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	host := x.hostHeader(network, address)
	if x.tls != nil {
		cfg := x.tls.Config()
		if cfg.GetClientCertificate != nil {
			cfg.GetClientCertificate = func(asked *tls.CertificateRequestInfo) (pair *tls.Certificate, _ error) {
				pair, known.OwnExpired = x.tls.Show(asked)
				return pair, nil
			}
		}
		if cfg.ServerName == "" {
			cfg.ServerName = (&url.URL{Host: host}).Hostname()
		}
		secured := tls.Client(conn, cfg)
		if err := secured.HandshakeContext(ctx); err != nil {
			return "TLS handshake", fmt.Errorf("TLS handshake: %w", err)
		}
		var tooSoon error
		if known.CertExpires, tooSoon = ValidFor(secured.ConnectionState(), x.certMinValidity); tooSoon != nil {
			*failed = append(*failed, tooSoon)
		}
		conn = secured
	}

	// A server may answer and close before it has read the whole request.
	_, writeErr := io.WriteString(conn, x.request(host))
	limited := &io.LimitedReader{R: conn, N: maxHeader}
	answer := bufio.NewReader(limited)
	head, resp, err := readHead(answer, x.method)
	switch {
	case err == nil && limited.N > 0:
	case writeErr != nil:
		return "answer", fmt.Errorf("send the request: %w", writeErr)
	case limited.N == 0:
		return "answer", fmt.Errorf("the header of the answer is longer than %d bytes", maxHeader)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "answer", fmt.Errorf("the server closed the connection without an answer: %w", err)
	default:
		return "answer", fmt.Errorf("read the answer: %w", err)
	}
	known.StatusCode = resp.StatusCode
	expected := x.statuses.Contains(resp.StatusCode)
	leads := x.locations && resp.StatusCode/100 == 3 && !expected && *failed == nil
	if !expected {
		failed.add("%s", strings.TrimSpace(fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode))))
	}
	judged := x.pattern != nil || x.criteria != nil || x.judge != nil && expected
	if !judged && x.headers == nil && !leads {
		return "", nil
	}
	limited.N = math.MaxInt64 // MaxBody is the bound from here on
	again := bufio.NewReader(io.MultiReader(bytes.NewReader(head), answer))
	if resp, err = http.ReadResponse(again, resp.Request); err != nil {
		return "end of the header", fmt.Errorf("read the header: %w", err)
	}
	if leads {
		if known.Location = resp.Header.Get("Location"); known.Location != "" {
			return "", nil
		}
	}
	from := network + " " + address
	if x.headers != nil {
		found, err := x.inTurn(ctx, from, func() criteria { return x.headerVerdict(resp.Header) })
		*failed = append(*failed, found...)
		if err != nil {
			return "verdict on the header", err
		}
	}
	if !judged {
		return "", nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxBody+1)) // one more tells whether that is all
	if err != nil {
		return "end of the body", fmt.Errorf("read the body: %w", err)
	}
	var matches *bool
	found, err := x.inTurn(ctx, from, func() criteria {
		found, does := x.verdict(resp.StatusCode, body[:min(len(body), MaxBody)], len(body) <= MaxBody)
		matches = does
		return found
	})
	if err == nil { // else it may be at that still
		known.Matches = matches
	}
	*failed = append(*failed, found...)
	return "verdict on the body", err
}

// inTurn returns what judge does, or an error when ctx ends before. Then judge is left
// behind: of what shares a turn the next one waits for it, so that there is one at most.
func (x *Exchange) inTurn(ctx context.Context, address string, judge func() criteria) (criteria, error) {
	turn := x.turn
	if turn == nil {
		own, _ := x.turns.LoadOrStore(address, make(chan struct{}, 1))
		turn = own.(chan struct{})
	}
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var found criteria
	var panicked any
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { <-turn }()
		defer func() {
			if v := recover(); v != nil {
				panicked = fmt.Errorf("%v\n%s", v, debug.Stack())
			}
		}()
		found = judge()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if panicked != nil {
		panic(panicked)
	}
	return found, ctx.Err()
}

// headerVerdict returns what is wrong with the header of an answer.
func (x *Exchange) headerVerdict(header http.Header) (found criteria) {
	for _, h := range x.headers {
		if values := header[h.name]; !slices.ContainsFunc(values, h.pattern.MatchString) {
			found.add("the header %s does not match %#q: %q", h.name, h.pattern, cut(strings.Join(values, ", ")))
		}
	}
	return found
}

// verdict returns what is wrong with the body of an answer, and whether it matches the
// pattern if there is one.
func (x *Exchange) verdict(status int, body []byte, whole bool) (found criteria, matches *bool) {
	if x.pattern != nil {
		does := x.pattern.Match(body)
		if matches = &does; !does {
			found.add("the body does not match %#q: %q", x.pattern, body[:min(len(body), maxExcerpt)])
		}
	}
	if x.criteria != nil {
		found = append(found, x.criteria(status, body, whole)...)
	}
	if x.judge != nil && x.statuses.Contains(status) {
		if err := x.judge(body, whole); err != nil {
			found = append(found, err)
		}
	}
	return found, matches
}

func cut(s string) string { return s[:min(len(s), maxExcerpt)] }

// ValidFor returns when the certificate of a server ends, and an error where that is in
// less than least, which 0 leaves to the handshake.
func ValidFor(state tls.ConnectionState, least time.Duration) (ends time.Time, err error) {
	ends = expiry(state)
	left, until := time.Until(ends), ends.UTC().Format("2006-01-02 15:04 MST")
	switch {
	case least <= 0 || left >= least:
	case left < 0:
		err = fmt.Errorf("the certificate of the server was valid until %s", until)
	default:
		err = fmt.Errorf("the certificate of the server is valid for %s more, until %s, less than %s", duration.Days(left.Truncate(time.Minute)), until, duration.Days(least))
	}
	return ends, err
}

// expiry returns when the certificate of a server ends, or one above it before that. Of
// several ways up to one that is trusted the one that lasts counts, whatever else the
// server sends; without any it is the end of the server's own.
func expiry(state tls.ConnectionState) (end time.Time) {
	for _, chain := range state.VerifiedChains {
		first := chain[0].NotAfter
		for _, c := range chain {
			if c.NotAfter.Before(first) {
				first = c.NotAfter
			}
		}
		if first.After(end) {
			end = first
		}
	}
	if len(state.VerifiedChains) == 0 && len(state.PeerCertificates) > 0 {
		end = state.PeerCertificates[0].NotAfter
	}
	return end
}

// request returns the bytes of the request.
func (x *Exchange) request(host string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", x.method, x.target, host)
	x.header.Write(&b)
	b.WriteString("\r\n")
	b.WriteString(x.body)
	return b.String()
}

// hostHeader returns the Host header: of the user, else of an absolute URL,
// else the address, without the port where that is the scheme's own.
func (x *Exchange) hostHeader(network, address string) string {
	if x.host != "" {
		return x.host
	}
	if network == "unix" {
		return "localhost"
	}
	usual := "80"
	if x.tls != nil {
		usual = "443"
	}
	host, port, _ := net.SplitHostPort(address)
	host, _, _ = strings.Cut(host, "%") // a zone means something to this machine only
	joined := net.JoinHostPort(host, port)
	if port == usual {
		return strings.TrimSuffix(joined, ":"+port)
	}
	return joined
}

// readHead reads the status line and the header of the final response. The
// header may be anything: only a body that is judged takes one that makes sense,
// and it ends with the connection at the latest.
func readHead(r *bufio.Reader, method string) (head []byte, resp *http.Response, err error) {
	for {
		head, err = readToBlankLine(r)
		if err != nil {
			return nil, nil, err
		}
		status, _, _ := bytes.Cut(head, []byte("\n"))
		alone := io.MultiReader(bytes.NewReader(bytes.TrimSuffix(status, []byte("\r"))), strings.NewReader("\r\n\r\n"))
		resp, err = http.ReadResponse(bufio.NewReader(alone), &http.Request{Method: method})
		if err != nil {
			return nil, nil, err
		}
		if resp.ProtoMajor != 1 {
			return nil, nil, fmt.Errorf("it is in %s, not HTTP/1", resp.Proto)
		}
		interim := resp.StatusCode >= 100 && resp.StatusCode <= 199
		if !interim || resp.StatusCode == http.StatusSwitchingProtocols {
			return head, resp, nil
		}
	}
}

// readToBlankLine reads lines up to an empty one, with that, or to the end.
func readToBlankLine(r *bufio.Reader) ([]byte, error) {
	var lines []byte
	for {
		line, err := r.ReadBytes('\n')
		lines = append(lines, line...)
		switch {
		case err == io.EOF && len(lines) > 0, err == nil && len(bytes.TrimRight(line, "\r\n")) == 0:
			return lines, nil
		case err != nil:
			return nil, err
		}
	}
}

// A reason is an error whose text differs from that of its cause.
type reason struct {
	text  string
	cause error
}

func (r *reason) Error() string { return r.text }

func (r *reason) Unwrap() error { return r.cause }

// Printable returns err with a text fit for a log, one line of bounded length, whatever a
// server put into it: errors of net/http and crypto/tls quote what they read. It wraps err.
func Printable(err error) error {
	if err == nil {
		return nil
	}
	text := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, err.Error())
	if cut := []rune(text); len(cut) > maxReason {
		text = string(cut[:maxReason]) + "…"
	}
	if text == err.Error() {
		return err
	}
	return &reason{text, err}
}
