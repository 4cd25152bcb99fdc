package bench

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/prober"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// beProber has this program be a prober of cloudprober in SERVER mode.
const beProber = "BENCH_PROBER"

func serveProbes() int {
	p := prober.Prober{Metric: "took_msec", Probe: func(context.Context) error { return nil }}
	return prober.Run(p, []string{"--server"}, os.Stdin, os.Stdout, os.Stderr)
}

// scripts measures what a script costs, against its start and end without us; and a look by
// one that stays, against that by one which is started.
func scripts(f *figures, _ string) {
	const looks = 20
	path := filepath.Join(f.t.TempDir(), "script")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho took 1\n"), 0o755); err != nil {
		f.t.Fatal(err)
	}
	check := func(cfg checks.ScriptConfig) func() time.Duration {
		c := must(checks.NewScript(cfg))
		f.t.Cleanup(func() { c.Close() })
		return func() time.Duration {
			begun := time.Now()
			for range looks {
				if r := c.Run(f.t.Context(), supervisor.Process{Group: "web", Name: "web_1"}); r.Status != checks.Healthy {
					f.t.Fatal(r.Err)
				}
			}
			return time.Since(begun) / looks
		}
	}
	started := check(checks.ScriptConfig{Command: []string{path}, Protocol: "cloudprober"})
	bare := func() time.Duration {
		begun := time.Now()
		for range looks {
			if err := exec.Command(path).Run(); err != nil {
				f.t.Fatal(err)
			}
		}
		return time.Since(begun) / looks
	}
	ours, theirs := alternate(repetitions, started, bare)
	f.compared("a look by a trivial script, against fork and exec alone", ours, theirs, 1.3)
	server := check(checks.ScriptConfig{Command: []string{must(os.Executable())}, Env: []string{beProber + "=1"}, Protocol: "cloudprober-server"})
	ours, theirs = alternate(repetitions, server, started)
	f.compared("a look by one in SERVER mode, against one that is started", ours, theirs, 1.0/20)
}
