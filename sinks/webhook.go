package sinks

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/supervisor-checks/supervisor-checks/record"
)

// Headers of what a Webhook sends.
const (
	// SignatureHeader has "sha256=" and, in hex, the HMAC-SHA256 of the body with the
	// secret, as GitHub's web hooks have it in X-Hub-Signature-256.
	SignatureHeader = "X-Supervisor-Checks-Signature"

	// VersionHeader has the version of the records.
	VersionHeader = "X-Supervisor-Checks-Version"
)

// WebhookConfig configures a Webhook.
type WebhookConfig struct {
	// URL is where records are sent: https://HOST/PATH. It is required.
	URL string

	// Secret, if not "", is what the body is signed with.
	Secret string

	// Header is sent besides.
	Header http.Header

	// Format is what is in the array.
	Format Format

	// TLS, if not nil, is for https.
	TLS *tls.Config
}

// Webhook is a Writer that sends batches by HTTP POST, as an array of records in JSON. An
// answer of 2xx says that they were taken; 400, 413 and 422 say that something is wrong
// with them, and then each is sent by itself to find out which it is; anything else says
// that they are to be sent again. Who takes them must know those by their id that come
// for the second time. Redirects are not followed.
type Webhook struct {
	cfg    WebhookConfig
	client *http.Client
}

// NewWebhook returns the Writer that cfg describes.
func NewWebhook(cfg WebhookConfig) (*Webhook, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, errors.New("the URL of a web hook is neither http://HOST/PATH nor https://HOST/PATH") // which may hold a password
	}
	transport := &http.Transport{TLSClientConfig: cfg.TLS, MaxResponseHeaderBytes: 64 << 10, IdleConnTimeout: time.Minute}
	return &Webhook{cfg, &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// WriteBatch sends the records.
func (w *Webhook) WriteBatch(ctx context.Context, batch []record.Record) error {
	var rejected RejectedError
	body := []byte{'['}
	for i := range batch {
		text, err := w.cfg.Format.Append(body, &batch[i])
		switch {
		case err != nil:
			rejected.Records = append(rejected.Records, Rejected{i, err})
		case len(text) > len(body):
			body = append(text, ',')
		}
	}
	if len(body) > 1 {
		switch refused, err := w.send(ctx, append(body[:len(body)-1], ']')); {
		case err != nil && !refused:
			return err
		case err != nil && len(batch) == 1:
			rejected.Records = append(rejected.Records, Rejected{0, err})
		case err != nil:
			return Singly(ctx, w, batch)
		}
	}
	if rejected.Records != nil {
		return &rejected
	}
	return nil
}

// send sends a body. refused says that the error is about what is in it.
func (w *Webhook) send(ctx context.Context, body []byte) (refused bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.cfg.URL, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	for name, values := range w.cfg.Header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "supervisor-checks")
	req.Header.Set(VersionHeader, strconv.Itoa(record.Version))
	if w.cfg.Secret != "" {
		mac := hmac.New(sha256.New, []byte(w.cfg.Secret))
		mac.Write(body)
		req.Header.Set(SignatureHeader, "sha256="+hex.EncodeToString(mac.Sum(nil)))
	}
	resp, err := w.client.Do(req)
	if err != nil {
		var exchange *url.Error
		if errors.As(err, &exchange) { // whose text has the URL
			err = exchange.Err
		}
		return false, err
	}
	defer resp.Body.Close()
	const most = 64 << 10
	io.Copy(io.Discard, io.LimitReader(resp.Body, most)) // so that the connection can be used again
	switch resp.StatusCode {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return true, fmt.Errorf("it answers %s", resp.Status)
	}
	if resp.StatusCode/100 != 2 {
		return false, fmt.Errorf("it answers %s", resp.Status)
	}
	return false, nil
}

// Close closes idle connections.
func (w *Webhook) Close() error {
	w.client.CloseIdleConnections()
	return nil
}
