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
	"strings"
	"time"
	"unicode"

	"github.com/supervisor-checks/supervisor-checks/internal/duration"
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
	tls     *tls.Config  // nil for plain HTTP
	pair    *keyPair     // nil for none to be shown
	roots   *authorities // nil for the system's

	certMinValidity time.Duration

	statuses Statuses
	judge    func(body []byte, whole bool) error // nil leaves the body unread

	dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// An Answer is what there is to say of an answer besides whether it will do.
type Answer struct {
	StatusCode int           // 0 when there was none
	Latency    time.Duration // from the dial to the verdict

	CertExpires time.Time // when the server's certificate ends, or one above it before that; zero without TLS
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
	awaited, err := x.exchange(try, network, address, &answer)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	// A dial may time out a little before try does, and http.ReadResponse may
	// hide a timeout behind the half line that it got.
	case awaited != "" && (errors.Is(err, os.ErrDeadlineExceeded) || try.Err() != nil):
		err = &reason{fmt.Sprintf("no %s within %v", awaited, x.timeout), context.DeadlineExceeded}
	default:
		err = printable(err)
	}
	answer.Latency = time.Since(start)
	return answer, err
}

// exchange does the work of Do, and says of the answer what is known of it. With an
// error awaited is what did not come, or "" when all came and was judged.
func (x *Exchange) exchange(ctx context.Context, network, address string, known *Answer) (awaited string, err error) {
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
		cfg := x.tls.Clone()
		if x.pair != nil {
			cfg.GetClientCertificate = func(asked *tls.CertificateRequestInfo) (pair *tls.Certificate, _ error) {
				pair, known.OwnExpired = x.pair.show(asked)
				return pair, nil
			}
		}
		if x.roots != nil {
			cfg.RootCAs, _ = x.roots.load()
		}
		if cfg.ServerName == "" {
			cfg.ServerName = (&url.URL{Host: host}).Hostname()
		}
		secured := tls.Client(conn, cfg)
		if err := secured.HandshakeContext(ctx); err != nil {
			return "TLS handshake", fmt.Errorf("TLS handshake: %w", err)
		}
		known.CertExpires = expiry(secured.ConnectionState())
		if left := time.Until(known.CertExpires); left < x.certMinValidity && x.certMinValidity > 0 {
			until := known.CertExpires.UTC().Format("2006-01-02 15:04 MST")
			if left < 0 {
				return "", fmt.Errorf("the certificate of the server was valid until %s", until)
			}
			return "", fmt.Errorf("the certificate of the server is valid for %s more, until %s, less than %s", duration.Days(left.Truncate(time.Minute)), until, duration.Days(x.certMinValidity))
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
	if !x.statuses.Contains(resp.StatusCode) {
		return "", errors.New(strings.TrimSpace(fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode))))
	}
	if x.judge == nil {
		return "", nil
	}
	limited.N = math.MaxInt64 // MaxBody is the bound from here on
	again := bufio.NewReader(io.MultiReader(bytes.NewReader(head), answer))
	if resp, err = http.ReadResponse(again, resp.Request); err != nil {
		return "end of the header", fmt.Errorf("read the header: %w", err)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxBody+1)) // one more tells whether that is all
	if err != nil {
		return "end of the body", fmt.Errorf("read the body: %w", err)
	}
	return "", x.judge(body[:min(len(body), MaxBody)], len(body) <= MaxBody)
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

// printable returns err with a text fit for a log, whatever the server put
// into it: errors of net/http and crypto/tls quote what they read.
func printable(err error) error {
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
