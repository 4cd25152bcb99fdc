package sinks_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/record"
	"github.com/supervisor-checks/supervisor-checks/sinks"
)

func TestWebhook(t *testing.T) {
	status, signed := http.StatusNoContent, true
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mac := hmac.New(sha256.New, []byte("sesame"))
		mac.Write(body)
		signed = signed && r.Header.Get(sinks.SignatureHeader) == "sha256="+hex.EncodeToString(mac.Sum(nil))
		if r.Method != "POST" || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("X-Team") != "web" || r.Header.Get(sinks.VersionHeader) != "1" {
			t.Errorf("%s with %v", r.Method, r.Header)
		}
		var batch []record.Record
		if err := json.Unmarshal(body, &batch); err != nil {
			t.Error(err)
		}
		var names []string
		for _, one := range batch {
			names = append(names, one.Process)
		}
		got = append(got, strings.Join(names, " "))
		if status == http.StatusUnprocessableEntity && !strings.Contains(string(body), "bad") {
			w.WriteHeader(http.StatusOK)
			return
		}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
	}))
	defer server.Close()
	w, err := sinks.NewWebhook(sinks.WebhookConfig{URL: server.URL + "/x?key=hidden", Secret: "sesame", Header: http.Header{"X-Team": {"web"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	nan := result("nan")
	nan.Metrics = map[string]float64{"x": math.Inf(1)}
	for _, tt := range []struct {
		name     string
		status   int
		batch    []record.Record
		got      string // what the server was sent
		rejected []int
		err      string
	}{
		{"taken", 204, []record.Record{result("a"), restart("b")}, "a b", nil, ""},
		{"with one that cannot be written", 200, []record.Record{nan, result("a")}, "a", []int{0}, "unsupported value"},
		{"only one that cannot be written", 200, []record.Record{nan}, "", []int{0}, "unsupported value"},
		{"with one that is refused", 422, []record.Record{result("a"), result("bad"), result("c")}, "a bad c, a, bad, c", []int{1}, "it answers 422 Unprocessable Entity"},
		{"broken", 500, []record.Record{result("a")}, "a", nil, "it answers 500 Internal Server Error"},
		{"not let in", 401, []record.Record{result("a")}, "a", nil, "it answers 401 Unauthorized"},
		{"elsewhere", 301, []record.Record{result("a")}, "a", nil, "it answers 301 Moved Permanently"},
	} {
		status, got = tt.status, nil
		err := w.WriteBatch(t.Context(), tt.batch)
		var rejected *sinks.RejectedError
		var indices []int
		if errors.As(err, &rejected) {
			for _, r := range rejected.Records {
				indices = append(indices, r.Index)
			}
		}
		text := ""
		if err != nil {
			text = err.Error()
		}
		if strings.Join(got, ", ") != tt.got || len(indices) != len(tt.rejected) || len(indices) > 0 && indices[0] != tt.rejected[0] || !strings.Contains(text, tt.err) || tt.err == "" && err != nil {
			t.Errorf("%s: sent %q, rejected %v, error %v; want %q, %v, %s", tt.name, got, indices, err, tt.got, tt.rejected, tt.err)
		}
	}
	if !signed {
		t.Error("a signature is not that of the body")
	}
	server.Close()
	if err := w.WriteBatch(t.Context(), []record.Record{result("a")}); err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("without a server: %v", err)
	}
	for _, url := range []string{"", "ftp://x", "http://", "http://me:hidden@:x"} {
		if _, err := sinks.NewWebhook(sinks.WebhookConfig{URL: url}); err == nil || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: error %v", url, err)
		}
	}
}

// TestWebhookHangs has a server that says nothing.
func TestWebhookHangs(t *testing.T) {
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer server.Close()
	defer close(hang)
	w, err := sinks.NewWebhook(sinks.WebhookConfig{URL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := w.WriteBatch(ctx, []record.Record{result("a")}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}
