package command_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/command"
)

// BenchmarkRun runs a trivial script in turn by Run and by fork and exec alone, and
// reports how much more Run takes: the metric "times".
func BenchmarkRun(b *testing.B) {
	path := filepath.Join(b.TempDir(), "script")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho fine\n"), 0o755); err != nil {
		b.Fatal(err)
	}
	var ours, bare time.Duration
	for b.Loop() {
		begun := time.Now()
		if err := exec.Command(path).Run(); err != nil {
			b.Fatal(err)
		}
		between := time.Now()
		c := command.Command{Args: []string{path}, KillRest: true, Apart: true, MaxOutput: 64 << 10, Timeout: time.Minute}
		if out, err := c.Run(b.Context()); err != nil || out.Stdout.String() != "fine\n" {
			b.Fatal(out, err)
		}
		bare, ours = bare+between.Sub(begun), ours+time.Since(between)
	}
	b.ReportMetric(float64(ours)/float64(bare), "times")
	b.ReportMetric(float64(bare.Microseconds())/float64(b.N), "bare-µs/op")
}
