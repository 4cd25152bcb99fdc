package e2e

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/realservers"
	"github.com/supervisor-checks/supervisor-checks/internal/realsupervisord"
)

// TestHealth has a listener tell others how its processes and what they depend on are,
// while a worker goes bad, is taken out of service and restarted, and while Redis, which
// the workers depend on, hangs.
func TestHealth(t *testing.T) {
	t.Parallel()
	for _, path := range realsupervisord.Find(t) {
		t.Run(strings.Trim(strings.ReplaceAll(path, "/", "_"), "_"), func(t *testing.T) {
			t.Parallel()
			testHealth(t, path)
		})
	}
}

func testHealth(t *testing.T, supervisord string) {
	cache := realservers.Redis(t, "sesame", nil)
	file := filepath.Join(t.TempDir(), "checks.yaml")
	if err := os.WriteFile(file, []byte(`name: all
defaults: {failure_threshold: 1, max_unavailable: none, backoff: none}
watch:
  - processes: web:*
    checks: [{file: {max_age: 30s, root: ., fail_on_error: true}}]
    unless_down: cache
    drain: 6s
probes:
  - {name: cache, redis: {address: "${CACHE}", password: sesame}, period: 500ms, timeout: 500ms}
health:
  listen: ":0"
  gate: {name: here, folder: .}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	config := `
[group:web]
programs=a,b
[program:a]
command={self} worker
[program:b]
command={self} worker
` + listener("checks", "supervisor_checks run --config "+file, -2, "autorestart=true", "environment=CACHE=\""+cache.Address+"\"")
	h := newHost(t, supervisord, realsupervisord.Start(t, supervisord, fill(t, config)))
	told := regexp.MustCompile(`tells at (127\.0\.0\.1:\d+) how`)
	h.until("it can be asked", time.Minute, func() bool { return told.MatchString(h.log("checks")) })
	address := told.FindStringSubmatch(h.log("checks"))[1]
	ask := func(path string) (int, string) {
		resp, err := http.Get("http://" + address + path)
		if err != nil {
			return 0, err.Error()
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	answers := func(what, path string, status int, part string) {
		h.t.Helper()
		h.until(what, 40*time.Second, func() bool {
			code, body := ask(path)
			return code == status && strings.Contains(body, part)
		})
	}
	a, b := h.running("web:a"), h.running("web:b")
	answers("it is ready", "/readyz", 200, "ok")
	answers("all is healthy", "/_health", 200, `"healthy":true`)
	answers("the gate is open", "/gate", 200, "Server: here reports:\nOK")
	answers("it lives", "/livez", 200, "ok")
	answers("there are figures", "/metrics", 200, `supervisor_check_success{check="file",process="web:a"} 1`)

	h.spoil(a.PID, link)
	answers("the worker is drained", "/gate", 503, "The web:a.drain is DEAD!")
	if text, err := os.ReadFile(filepath.Join(h.Dir, "web:a.drain.dead")); err != nil || !strings.HasPrefix(string(text), "draining: file: ") {
		h.t.Errorf("the file has %q, error %v", text, err)
	}
	h.restarted(a, 40*time.Second)
	answers("it is in service again", "/gate", 200, "OK")

	cache.Hang()
	answers("Redis is missed", "/gate", 503, "The cache is DEAD!")
	h.spoil(b.PID, link)
	h.until("the worker is left alone", 40*time.Second, func() bool {
		return strings.Contains(h.log("checks"), "web:b not restarted now: cache is down, which it depends on")
	})
	h.says(`checks: it depends on cache, which is unhealthy: `, "explain")
	if now := h.process("web:b"); !now.SameRun(b) {
		h.t.Errorf("it was restarted: %+v", now)
	}
	cache.Go()
	h.restarted(b, 40*time.Second)
	answers("all is well again", "/gate", 200, "OK")
	answers("restarts are counted", "/metrics", 200, `supervisor_actions_total{action="running",process="web:b"} 1`)
}
