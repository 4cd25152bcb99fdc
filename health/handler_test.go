package health_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"
	"time"

	"context"

	"github.com/supervisor-checks/supervisor-checks/health"
	"github.com/supervisor-checks/supervisor-checks/probes"
)

// processes are sources of checks of supervised processes.
type processes []health.Result

func (p processes) Check(context.Context) []health.Result { return p }

// philaeResult is what go-philae's client reads, with errors that are strings.
type philaeResult struct {
	Healthy bool `json:"healthy"`
	Probes  []*struct {
		Name     string        `json:"name"`
		Healthy  bool          `json:"healthy"`
		Comment  string        `json:"comment"`
		Error    *string       `json:"error"`
		Duration time.Duration `json:"duration"`
	} `json:"probes"`
	Error *string `json:"error"`
}

var varies = regexp.MustCompile(`"(duration|age_seconds)":[0-9.e-]+|took [^"]*`)

func get(t *testing.T, method, url string) (status int, header http.Header, body string) {
	t.Helper()
	req, _ := http.NewRequestWithContext(t.Context(), method, url, nil)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, varies.ReplaceAllString(string(text), "$1")
}

func TestHandler(t *testing.T) {
	serve := func(sources ...health.Source) string {
		mux := http.NewServeMux()
		h := health.Handler(sources...)
		mux.Handle("/_health", h)
		mux.Handle("/_health/", h)
		mux.Handle("/stripped/", http.StripPrefix("/stripped", h))
		server := httptest.NewServer(mux)
		t.Cleanup(server.Close)
		return server.URL
	}
	prober := func(samples ...probes.Probe) *health.Prober {
		p := prober(t, health.ProberConfig{})
		for _, s := range samples {
			add(t, p, s)
		}
		return p
	}
	good, bad := probes.Sample("good", 0, true), probes.Sample("bad", 0, false)
	mixed := serve(prober(good, bad), processes{
		{Name: "http", Process: "web:a", Status: health.Unhealthy, Err: errors.New("500 \"x\""), At: time.Now()},
		{Name: "http", Process: "web:b", Status: health.Healthy, At: time.Now()},
	})
	for _, tt := range []struct {
		name, method, url string
		status            int
		body              string
	}{
		{"nothing to look at", "GET", serve(prober()) + "/_health", 200, `{"healthy":true,"status":"healthy","probes":[],"error":null,duration}` + "\n"},
		{"healthy", "GET", serve(prober(good)) + "/_health", 200, `{"healthy":true,"status":"healthy","probes":[{"name":"good","healthy":true,"status":"healthy","comment":"","error":null,duration,age_seconds}],"error":null,duration}` + "\n"},
		{"unhealthy", "GET", mixed + "/_health", 503, `{"healthy":false,"status":"unhealthy","probes":[{"name":"good","healthy":true,"status":"healthy","comment":"","error":null,duration,age_seconds},` +
			`{"name":"bad","healthy":false,"status":"unhealthy","comment":"","error":"this is how it looks when something cannot be used",duration,age_seconds}],` +
			`"checks":[{"process":"web:a","name":"http","healthy":false,"status":"unhealthy","comment":"","error":"500 \"x\"",duration,age_seconds},{"process":"web:b","name":"http","healthy":true,"status":"healthy","comment":"","error":null,duration,age_seconds}],` +
			`"error":"bad: this is how it looks when something cannot be used; web:a http: 500 \"x\"",duration}` + "\n"},
		{"stale", "GET", serve(processes{{Name: "http", Process: "web:a", Status: health.Stale}}) + "/_health", 503, `{"healthy":false,"status":"stale","probes":[],"checks":[{"process":"web:a","name":"http","healthy":false,"status":"stale","comment":"","error":"stale",duration}],"error":"web:a http: stale",duration}` + "\n"},
		{"HEAD", "HEAD", mixed + "/_health", 503, ""},
		{"one", "GET", mixed + "/_health/good", 200, `{"name":"good","healthy":true,"status":"healthy","comment":"","error":null,duration,age_seconds}` + "\n"},
		{"one that is not", "GET", mixed + "/_health/bad", 503, `{"name":"bad","healthy":false,"status":"unhealthy","comment":"","error":"this is how it looks when something cannot be used",duration,age_seconds}` + "\n"},
		{"HEAD of one", "HEAD", mixed + "/_health/good", 200, ""},
		{"one that nobody knows", "GET", mixed + "/_health/none", 404, "there is no probe of that name, and no process that should run\n"},
		{"a process", "GET", mixed + "/_health/web:b", 200, `{"healthy":true,"status":"healthy","probes":[],"checks":[{"process":"web:b","name":"http","healthy":true,"status":"healthy","comment":"","error":null,duration,age_seconds}],"error":null,duration}` + "\n"},
		{"a process that is not", "GET", mixed + "/_health/web:a", 503, `{"healthy":false,"status":"unhealthy","probes":[],"checks":[{"process":"web:a","name":"http","healthy":false,"status":"unhealthy","comment":"","error":"500 \"x\"",duration,age_seconds}],"error":"web:a http: 500 \"x\"",duration}` + "\n"},
		{"a prefix that was stripped", "GET", mixed + "/stripped/good", 200, `{"name":"good","healthy":true,"status":"healthy","comment":"","error":null,duration,age_seconds}` + "\n"},
		{"another method", "POST", mixed + "/_health", 405, "only GET and HEAD are of use here\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, header, body := get(t, tt.method, tt.url)
			if status != tt.status || body != tt.body {
				t.Errorf("%d %s\nwant %d %s", status, body, tt.status, tt.body)
			}
			if status < 400 && (header.Get("Content-Type") != "application/json" || header.Get("Cache-Control") != "no-store") {
				t.Errorf("%v", header)
			}
		})
	}
	resp, err := http.Get(mixed + "/_health")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var read philaeResult
	if err := json.NewDecoder(resp.Body).Decode(&read); err != nil || read.Healthy || len(read.Probes) != 2 || *read.Probes[1].Error == "" {
		t.Errorf("as a client of go-philae reads it: %+v, error %v", read, err)
	}

	// And as our own probe does.
	p, err := probes.NewPhilae(probes.PhilaeConfig{HTTPConfig: probes.HTTPConfig{URL: mixed}})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Check(t.Context()); err == nil || err.Error() != "bad is down (this is how it looks when something cannot be used)" {
		t.Errorf("error %v", err)
	}
}
