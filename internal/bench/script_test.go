package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/internal/cloudprober"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// beServer has this program be a trivial external probe of cloudprober in SERVER mode.
const beServer = "BENCH_SERVER"

func serveProbes() {
	answer := func(context.Context, cloudprober.Request) (string, error) { return "took 1\n", nil }
	if err := cloudprober.Serve(context.Background(), os.Stdin, os.Stdout, os.Stderr, answer); err != nil {
		panic(err)
	}
}

// scripts measures what a script costs, against its start and end without us; and a round of
// looks by one that stays, all at once as a listener has them, against a round of such starts.
func scripts(f *figures, _ string) {
	const looks, processes = 300, 64
	path := filepath.Join(f.t.TempDir(), "script")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho took 1\n"), 0o755); err != nil {
		f.t.Fatal(err)
	}
	look := func(cfg checks.ScriptConfig) func(process int) {
		c := must(checks.NewScript(cfg))
		f.t.Cleanup(func() { c.Close() })
		return func(process int) {
			if r := c.Run(f.t.Context(), supervisor.Process{Group: "web", Name: fmt.Sprint("web_", process)}); r.Status != checks.Healthy {
				f.t.Error(r.Err)
			}
		}
	}
	one := func(look func(int)) func() time.Duration {
		return func() time.Duration {
			begun := time.Now()
			look(0)
			return time.Since(begun)
		}
	}
	round := func(look func(int)) func() time.Duration {
		return func() time.Duration {
			begun := time.Now()
			var all sync.WaitGroup
			for i := range processes {
				all.Go(func() { look(i) })
			}
			all.Wait()
			return time.Since(begun)
		}
	}
	started := look(checks.ScriptConfig{Command: []string{path}, Protocol: "cloudprober"})
	bare := func(int) {
		if err := exec.Command(path).Run(); err != nil {
			f.t.Fatal(err)
		}
	}
	ours, theirs := alternate(looks, one(started), one(bare))
	f.compared("a look by a trivial script, against fork and exec alone", ours, theirs, 1.3)
	asked := look(checks.ScriptConfig{Command: []string{must(os.Executable())}, Env: []string{beServer + "=1"}, Protocol: "cloudprober-server"})
	ours, theirs = alternate(repetitions, round(asked), round(started))
	f.compared(fmt.Sprintf("%d looks at once by one in SERVER mode, against as many that are started", processes), ours, theirs, 1.0/20)
}
