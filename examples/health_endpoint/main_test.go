package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/health"
	"github.com/supervisor-checks/supervisor-checks/internal/realservers"
)

// TestService has Redis end while the service runs.
func TestService(t *testing.T) {
	cache, db := realservers.Redis(t, "sesame", nil), realservers.PostgreSQL(t, "sesame", nil)
	handler, err := service("redis://:sesame@"+cache.Address, "postgres://postgres:sesame@"+db.Address+"/postgres")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()
	look := func(path string) (int, health.Answer) {
		resp, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var a health.Answer
		json.NewDecoder(resp.Body).Decode(&a)
		return resp.StatusCode, a
	}
	if status, a := look("/_health"); status != 200 || !a.Healthy || len(a.Probes) != 2 {
		t.Errorf("%d %+v", status, a)
	}
	cache.Kill()
	for deadline := time.Now().Add(10 * time.Second); ; {
		status, a := look("/_health")
		if status == 503 && !a.Healthy && a.Probes[1].Healthy && a.Probes[0].Error != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d %+v", status, a)
		}
	}
	if status, _ := look("/"); status != 200 {
		t.Errorf("the service itself: %d", status)
	}
}
