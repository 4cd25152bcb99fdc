package bench

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/runner"
)

// A host of a thousand processes, of fifty kinds.
const (
	hostProcesses = 1000
	hostKinds     = 50
)

// kind is the pattern of the processes of a kind: web_7, web_57, web_107 and so on.
func kind(i int) string { return fmt.Sprintf("web:web_*_%d", i) }

// pairs calls do for the first kind and the second, the third and the fourth, and so on,
// with their patterns and whether they are asked by TCP.
func pairs(do func(i int, byTCP bool, kinds []string)) {
	for i := 0; i < hostKinds; i += 2 {
		do(i, i%4 == 2, []string{kind(i), kind(i + 1)})
	}
}

// byTCP reports whether a process of the host is asked by TCP.
func byTCP(process int) bool { return process%hostKinds%4 >= 2 }

// runFile starts supervisor_checks with a file, for the supervisord at url, and returns
// when it is ready.
func runFile(t *testing.T, programs, url, file string) *program {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "checks.yaml")
	if err := os.WriteFile(path, []byte("server: {url: '"+url+"'}\nstate_dir: "+dir+"/state\n"+file), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(programs, "supervisor_checks"), "run", "--config", path)
	cmd.Env = []string{}
	return start(t, cmd)
}

// mixed are 50 rules: half of them ask, and half look at memory.
func mixed(httpPort, tcpPort string) string {
	var b strings.Builder
	b.WriteString("watch:\n")
	pairs(func(i int, byTCP bool, kinds []string) {
		ask := fmt.Sprintf("http: {port: %s, url: /, timeout: 15s}", httpPort)
		if byTCP {
			ask = fmt.Sprintf("tcp: {port: %s, timeout: 15s}", tcpPort)
		}
		fmt.Fprintf(&b, "  - processes: [%s]\n    checks:\n      - %s\n      - memory: {max: %dGiB}\n", strings.Join(kinds, ", "), ask, 1000+i)
	})
	return b.String()
}

// oneFile measures what a listener for a whole host costs.
func oneFile(f *figures, programs string) {
	long := longFile(2000)
	d := newDaemon(f.t, 10, nil)
	var all []time.Duration
	for range 20 {
		begun := time.Now()
		p := runFile(f.t, programs, d.url(), long)
		all = append(all, time.Since(begun))
		p.end()
	}
	f.absolute(fmt.Sprintf("start of `supervisor_checks run` with a file of %d lines to its first READY", strings.Count(long, "\n")), quantile(all, 0.5).Seconds()*1000, "ms", 100)

	trees := newTrees(f.t, 200)
	pid := func(i int) int { return trees[i%len(trees)][0] }
	host := newDaemonOf(f.t, hostProcesses, func(i int) string { return fmt.Sprintf("web_%d_%d", i, i%hostKinds) }, pid)
	httpPort, served := web(f.t, 0)
	tcpPort := accept(f.t)
	const ticks = 20
	asked := int32(0) // by HTTP
	for i := range hostProcesses {
		if !byTCP(i) {
			asked++
		}
	}
	p := runFile(f.t, programs, host.url(), mixed(httpPort, tcpPort))
	for range ticks {
		p.round(served, asked)
	}
	p.roundTime()
	time.Sleep(5 * time.Second) // as long as the shortest tick leaves it idle
	f.absolute(fmt.Sprintf("idle resident memory of `supervisor_checks run` after %d rounds of %d processes with %d rules", ticks, hostProcesses, hostKinds), p.resident(), "MiB", 44)
	p.end()

	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 15 * time.Second}
	ours, theirs := alternate(repetitions, mixedRound(f.t, host, httpPort, tcpPort), bare(host, hostProcesses, func(i int) {
		if byTCP(i) {
			must(net.DialTimeout("tcp", "127.0.0.1:"+tcpPort, 15*time.Second)).Close()
		} else {
			must(client.Get("http://127.0.0.1:" + httpPort + "/")).Body.Close()
		}
		resident(pid(i))
	}))
	f.compared(fmt.Sprintf("a round of %d processes with %d rules, HTTP or TCP and memory", hostProcesses, hostKinds), ours, theirs, 1.5)

	one := runFile(f.t, programs, host.url(), "watch:\n  - processes: web:*\n    checks: [memory: {max: 1000GiB, cumulative: true}]\n")
	var rules strings.Builder
	for i := range hostKinds {
		fmt.Fprintf(&rules, "  - processes: %s\n    checks: [memory: {max: %dGiB, cumulative: true}]\n", kind(i), 1000+i)
	}
	many := runFile(f.t, programs, host.url(), "watch:\n"+rules.String())
	a, b := alternate(repetitions, one.roundTime, many.roundTime)
	one.end()
	many.end()
	f.flat(fmt.Sprintf("processor time of a round of %d processes in which all is well, for each of them, with %d rules that share a look at the process table, against one rule", hostProcesses, hostKinds),
		b/hostProcesses, a/hostProcesses)
}

// roundTime sends a tick, and returns the processor time that the program takes for what
// comes of it.
func (p *program) roundTime() time.Duration {
	p.t.Helper()
	before := p.processorTime()
	p.tick()
	for last, same := before, 0; same < 10; time.Sleep(5 * time.Millisecond) {
		now := p.processorTime()
		same++
		if now != last {
			last, same = now, 0
		}
	}
	return p.processorTime() - before
}

// processorTime is what all of its threads have taken.
func (p *program) processorTime() (sum time.Duration) {
	p.t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.cmd.Process.Pid))
	if err != nil || len(threads) == 0 {
		p.t.Fatalf("no threads, error %v", err)
	}
	for _, path := range threads {
		var ns int64
		if _, err := fmt.Sscan(string(must(os.ReadFile(path))), &ns); err != nil {
			p.t.Fatal(err)
		}
		sum += time.Duration(ns)
	}
	return sum
}

// longFile has so many lines, and rather more checks than entries.
func longFile(lines int) string {
	var b strings.Builder
	b.WriteString("watch:\n")
	for i := 0; strings.Count(b.String(), "\n") < lines; i++ {
		fmt.Fprintf(&b, `  - processes: ["web%[1]d:*", "!web%[1]d:canary"]
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
`, i)
	}
	return b.String()
}

// mixedRound is round with the rules of mixed.
func mixedRound(t *testing.T, d *daemon, httpPort, tcpPort string) func() time.Duration {
	var running sync.WaitGroup
	var watches []runner.Watch
	pairs(func(i int, byTCP bool, kinds []string) {
		var ask checks.Check = must(checks.NewHTTP(checks.HTTPConfig{Port: httpPort, URL: "/"}))
		if byTCP {
			ask = must(checks.NewTCP(checks.TCPConfig{Port: tcpPort}))
		}
		memory := must(checks.NewMemory(checks.MemoryConfig{Max: uint64(1000+i) << 30}))
		watches = append(watches, runner.Watch{Processes: kinds, Rules: []runner.Rule{{Check: &counted{ask, &running}}, {Check: &counted{memory, &running}}}})
	})
	return roundOf(t, d, 2*hostProcesses, runner.Config{Watches: watches}, &running)
}
