package prober

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"

	"github.com/supervisor-checks/supervisor-checks/internal/foreign"
)

// maxBody is how many bytes of an answer a Session reads.
const maxBody = 8 << 20

// mostBody is how many bytes of an answer with another status its error shows.
const mostBody = 200

// ErrBody is wrapped by the error of a Session for an answer of more than 8 MiB.
var ErrBody = errors.New("the answer is too large")

// StatusError is an answer with another status than the expected one.
type StatusError struct {
	Request   string // as GET /projects, without a query
	Got, Want int    // statuses of HTTP
	Body      string // the beginning of what came with it; Error shows up to 200 bytes of it
}

func (e *StatusError) Error() string {
	text := fmt.Sprintf("%s: %d %s instead of %d", e.Request, e.Got, http.StatusText(e.Got), e.Want)
	if e.Body != "" {
		text += ": " + foreign.Line(e.Body, mostBody)
	}
	return text
}

// Session is a visit to one site: requests over HTTP that send the cookies which answers
// before them have set, as a browser does. Redirects are not followed, for they are answers
// to be judged. How long a request may take is up to its context.
type Session struct {
	base   *url.URL
	header http.Header
	client http.Client
}

// NewSession returns a session without cookies with the site at base, as
// http://127.0.0.1:8080 or https://example.com/studio. The header is sent with each
// request: a User-Agent, for example.
func NewSession(base string, header http.Header) (*Session, error) {
	u, err := url.Parse(base)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, errors.New("the base URL is none as http://HOST:PORT") // it may have a password
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("the base URL must end before a ? or #")
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	return &Session{base: u, header: header.Clone(), client: http.Client{
		Jar:           jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Login sends a form, and expects a redirect, 302, that sets a cookie and does not lead back
// to where the form was sent. The error says nothing of what is in the form.
func (s *Session) Login(ctx context.Context, path string, form url.Values) error {
	resp, _, err := s.send(ctx, http.MethodPost, path, "application/x-www-form-urlencoded", []byte(form.Encode()), http.StatusFound)
	if err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	to, err := resp.Location()
	switch {
	case err != nil:
		return fmt.Errorf("log in: POST %s: %w", withoutQuery(path), err)
	case to.Host == resp.Request.URL.Host && to.Path == resp.Request.URL.Path:
		return fmt.Errorf("log in: POST %s: the answer leads back to there: is the password right?", withoutQuery(path))
	case len(resp.Cookies()) == 0:
		return fmt.Errorf("log in: POST %s: the answer sets no cookie", withoutQuery(path))
	}
	return nil
}

// Get requests a path below the base URL, which may have a query, and returns the body of
// the answer. Its status must be want, or the error is a *StatusError.
func (s *Session) Get(ctx context.Context, path string, want int) ([]byte, error) {
	_, body, err := s.send(ctx, http.MethodGet, path, "", nil, want)
	return body, err
}

// Send is Get with another method, and with a body of that type.
func (s *Session) Send(ctx context.Context, method, path, contentType string, body []byte, want int) ([]byte, error) {
	_, answer, err := s.send(ctx, method, path, contentType, body, want)
	return answer, err
}

func (s *Session) send(ctx context.Context, method, path, contentType string, body []byte, want int) (*http.Response, []byte, error) {
	name := method + " " + withoutQuery(path)
	target := strings.TrimSuffix(s.base.String(), "/") + "/" + strings.TrimPrefix(path, "/")
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: this is no path or method of HTTP", name)
	}
	for key, values := range s.header {
		req.Header[key] = values
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		var e *url.Error
		if errors.As(err, &e) {
			err = e.Err // without the URL, in which there may be secrets
		}
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("%s: read the answer: %w", name, err)
	case resp.StatusCode != want:
		return nil, nil, &StatusError{name, resp.StatusCode, want, strings.TrimSpace(string(answer[:min(len(answer), 10*mostBody)]))}
	case len(answer) > maxBody:
		return nil, nil, fmt.Errorf("%s: %w", name, ErrBody)
	}
	return resp, answer, nil
}

// withoutQuery is a path for people, without what may be secret.
func withoutQuery(path string) string {
	path, _, _ = strings.Cut(path, "?")
	return foreign.Line(path, mostBody)
}
