package config

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkRead reads a file of 2,000 lines, and makes checks of it.
func BenchmarkRead(b *testing.B) {
	var text strings.Builder
	text.WriteString("watch:\n")
	for i := range 153 {
		fmt.Fprintf(&text, `  - processes: ["web%[1]d:*", "!web%[1]d:canary"]
    checks:
      - http: {port: '.+_(\d+)', url: /ping, expect_status: 200-299, expect_body: 'ok|fine'}
        failure_threshold: 3/5
      - memory: {max: 400MiB, cumulative: true}
        action: alert
      - file: {max_age: 30s, fail_on_error: true}
      - tcp:
          port: 80
          timeout: 2s
    restart_limit: 5/10m
    max_unavailable: 25%%
    jitter: %[1]ds
`, i)
	}
	for b.Loop() {
		f, err := Read("f", []byte(text.String()), environment)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := f.Config(make(Made)); err != nil {
			b.Fatal(err)
		}
	}
}
