package prober_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/supervisor-checks/supervisor-checks/internal/cloudprober"
	"github.com/supervisor-checks/supervisor-checks/prober"
)

// took has the probe take 123.4567 ms, on the clock of a bubble.
func took(err error) func(context.Context) error {
	return func(ctx context.Context) error {
		time.Sleep(123_456_700)
		return err
	}
}

func TestRun(t *testing.T) {
	const metric = "login_latency_msec"
	works := prober.Prober{Metric: metric, Probe: took(nil)}
	fails := prober.Prober{Metric: metric, Probe: took(errors.New("no\nway | out"))}
	counts := prober.Prober{Metric: metric, Probe: func(ctx context.Context) error {
		prober.Add(ctx, "rows", 1)
		prober.Add(ctx, "rows_total", 7)
		prober.Add(ctx, "rows", 2.5)
		prober.Add(ctx, metric, 0)
		for _, name := range []string{"a b", "", "a{b=c}", "total", `"a"`} {
			prober.Add(ctx, name, 1)
		}
		prober.Add(ctx, "inf", math.Inf(1))
		return took(nil)(ctx)
	}}
	failsAndCounts := prober.Prober{Metric: metric, Probe: func(ctx context.Context) error {
		prober.Add(ctx, "rows", 1)
		return errors.New("no way")
	}}
	developOnly := prober.Prober{Metric: metric, Probe: took(nil), DevelopOnly: true, Production: true}
	const notes = `login_latency: "a b 1" is no metric: "b 1" is no number (as in 1.5 or -3e2), "text", map:… or dist:…
login_latency: " 1" is no metric: it has a name and no value
login_latency: "a{b=c}" is no name for a metric
login_latency: "total 1" is no metric: cloudprober has a metric of that name itself
login_latency: ""a" 1" is no metric: there is a character in its name that is of no name
login_latency: "inf +Inf" is no metric: "+Inf" is no number (as in 1.5 or -3e2), "text", map:… or dist:…
`
	for _, tt := range []struct {
		name           string
		prober         prober.Prober
		args           string
		exit           int
		stdout, stderr string
	}{
		{"works", works, "", 0, "login_latency_msec 123.457\n", ""},
		{"works, studio", works, "--output studio", 0, "login_latency_msec 123.457\n", ""},
		{"works, cloudprober", works, "--output=cloudprober", 0, "login_latency_msec 123.457\n", ""},
		{"works, nagios", works, "--output nagios", 0, "LOGIN_LATENCY OK - it works | 'login_latency'=123.457ms\n", ""},
		{"works, json", works, "--output json", 0, `{"status":"healthy","metrics":{"login_latency_msec":123.457}}` + "\n", ""},
		{"fails", fails, "", 1, "", `login_latency: no\nway | out` + "\n"},
		{"fails, cloudprober", fails, "--output cloudprober", 1, "", `login_latency: no\nway | out` + "\n"},
		{"fails, nagios", fails, "--output nagios", 2, `LOGIN_LATENCY CRITICAL - no\nway ¦ out` + "\n", `login_latency: no\nway | out` + "\n"},
		{"fails, json", fails, "--output json", 1, `{"status":"unhealthy","reason":"no\nway | out"}` + "\n", `login_latency: no\nway | out` + "\n"},
		{"counts", counts, "", 0, "login_latency_msec 123.457\n", notes},
		{"counts, cloudprober", counts, "--output cloudprober", 0, "login_latency_msec 123.457\nrows_total 7\nrows 2.5\n", notes},
		{"counts, nagios", counts, "--output nagios", 0, "LOGIN_LATENCY OK - it works | 'login_latency'=123.457ms 'rows'=7c 'rows'=2.5\n", notes},
		{"counts, json", counts, "--output json", 0, `{"status":"healthy","metrics":{"login_latency_msec":123.457,"rows":2.5,"rows_total":7}}` + "\n", notes},
		{"fails and counts", failsAndCounts, "", 1, "", "login_latency: no way\n"},
		{"fails and counts, cloudprober", failsAndCounts, "--output cloudprober", 1, "rows 1\n", "login_latency: no way\n"},
		{"in production", developOnly, "", 3, "", "login_latency: skipped: it is for development only, and this is production\n"},
		{"in production, cloudprober", developOnly, "--output cloudprober", 3, "", "login_latency: skipped: it is for development only, and this is production\n"},
		{"in production, nagios", developOnly, "--output nagios", 3, "LOGIN_LATENCY UNKNOWN - skipped: it is for development only, and this is production\n", "login_latency: skipped: it is for development only, and this is production\n"},
		{"in production, json", developOnly, "--output json", 3, `{"status":"skipped","reason":"skipped: it is for development only, and this is production"}` + "\n", "login_latency: skipped: it is for development only, and this is production\n"},
		{"for development, and not in production", prober.Prober{Metric: metric, Probe: took(nil), DevelopOnly: true}, "", 0, "login_latency_msec 123.457\n", ""},
		{"in production, for all", prober.Prober{Metric: metric, Probe: took(nil), Production: true}, "", 0, "login_latency_msec 123.457\n", ""},
		{"skips itself", prober.Prober{Metric: metric, Probe: took(fmt.Errorf("on Sundays: %w", prober.ErrSkipped))}, "", 3, "", "login_latency: on Sundays: skipped\n"},
		{"in seconds, with a name", prober.Prober{Name: "Login", Metric: "login_seconds", Probe: took(nil)}, "--output nagios", 0, "LOGIN OK - it works | 'login'=0.123457s\n", ""},
		{"without a unit", prober.Prober{Metric: "login", Probe: took(nil)}, "", 0, "login 123.457\n", ""},
		{"takes too long", prober.Prober{Metric: metric, Timeout: time.Second, Probe: func(ctx context.Context) error { <-ctx.Done(); return fmt.Errorf("ask: %w", ctx.Err()) }}, "", 1, "", "login_latency: it takes longer than 1s\n"},
		{"takes too long, and says more", prober.Prober{Metric: metric, Probe: func(ctx context.Context) error { <-ctx.Done(); return errors.New("at the door") }}, "", 1, "", "login_latency: it takes longer than 10s: at the door\n"},
		{"takes too long, and says that it works", prober.Prober{Metric: metric, Probe: func(ctx context.Context) error { <-ctx.Done(); return nil }}, "--timeout 1.5", 1, "", "login_latency: it takes longer than 1.5s\n"},
		{"knows no limit", prober.Prober{Metric: metric, Probe: func(ctx context.Context) error { time.Sleep(time.Hour); return nil }}, "--timeout 2m", 1, "", "login_latency: it takes longer than 2m0s, and it does not heed its context\n"},
		{"ends its goroutine", prober.Prober{Metric: metric, Probe: func(context.Context) error { runtime.Goexit(); return nil }}, "", 1, "", "login_latency: it ended without a result\n"},
		{"asks for an option", prober.Prober{Metric: metric, Probe: func(ctx context.Context) error {
			return errors.New(prober.Option(ctx, "target") + prober.Option(ctx, "other"))
		}}, "--option target=a=b", 1, "", "login_latency: a=b\n"},

		{"no metric", prober.Prober{Probe: took(nil)}, "", 2, "", "prober: this prober has no Metric: give it one in its source\n"},
		{"a bad metric", prober.Prober{Metric: "latency", Probe: took(nil)}, "", 2, "", `latency: the Metric of this prober: "latency 0" is no metric: cloudprober has a metric of that name itself` + "\n"},
		{"no probe", prober.Prober{Metric: "a"}, "", 2, "", "a: this prober has no Probe: give it one in its source\n"},
		{"no time", prober.Prober{Metric: "a", Probe: took(nil), Timeout: -1}, "", 2, "", "a: the Timeout of this prober is -1ns: it must not be less than 0\n"},
		{"no such option", works, "--bad", 2, "", "login_latency: flag provided but not defined: -bad (see --help)\n"},
		{"no such format", works, "--output xml", 2, "", `login_latency: invalid value "xml" for flag -output: it is one of cloudprober, json, nagios, studio (see --help)` + "\n"},
		{"no timeout", works, "--timeout 0", 2, "", `login_latency: invalid value "0" for flag -timeout: it is a number of seconds, or as 1.5s or 2m, and more than 0 (see --help)` + "\n"},
		{"an option without value", works, "--option =x", 2, "", `login_latency: invalid value "=x" for flag -option: it is NAME=VALUE (see --help)` + "\n"},
		{"arguments", works, "a b", 2, "", "login_latency: unrecognized arguments: a b (see --help)\n"},
		{"arguments, nagios", works, "--output nagios a", 3, "LOGIN_LATENCY UNKNOWN - unrecognized arguments: a (see --help)\n", "login_latency: unrecognized arguments: a (see --help)\n"},
		{"server with a format", works, "--server --output=nagios", 3, "LOGIN_LATENCY UNKNOWN - --output is of no use with --server, whose format is cloudprober's\n", "login_latency: --output is of no use with --server, whose format is cloudprober's\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var stdout, stderr bytes.Buffer
				exit := prober.Run(tt.prober, strings.Fields(tt.args), strings.NewReader(""), &stdout, &stderr)
				if exit != tt.exit {
					t.Errorf("exit status %d, want %d", exit, tt.exit)
				}
				if diff := cmp.Diff(tt.stdout, stdout.String()); diff != "" {
					t.Errorf("stdout (-want +got)\n%s", diff)
				}
				if diff := cmp.Diff(tt.stderr, stderr.String()); diff != "" {
					t.Errorf("stderr (-want +got)\n%s", diff)
				}
				time.Sleep(2 * time.Hour) // until the probe that knows no limit has ended
			})
		})
	}
}

func TestHelp(t *testing.T) {
	want, err := os.ReadFile("testdata/help.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, arg := range []string{"--help", "-h"} {
		var stdout, stderr bytes.Buffer
		p := prober.Prober{Metric: "login_latency_msec", Probe: took(nil), About: "Logs in.\n\nPASSWORD is the password.\n", Timeout: 10 * time.Minute}
		if exit := prober.Run(p, []string{arg}, nil, &stdout, &stderr); exit != 0 || stderr.Len() > 0 {
			t.Errorf("%s: exit status %d, stderr %q", arg, exit, stderr.String())
		}
		if diff := cmp.Diff(string(want), stdout.String()); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		for line := range strings.Lines(stdout.String()) {
			if len(line) > 101 {
				t.Errorf("a line of %d columns: %s", len(line)-1, line)
			}
		}
	}
}

func TestPanicIsAFailure(t *testing.T) {
	var stdout, stderr bytes.Buffer
	p := prober.Prober{Metric: "a_msec", Probe: func(context.Context) error { panic("oh\nno") }}
	if exit := prober.Run(p, nil, nil, &stdout, &stderr); exit != 1 || stdout.Len() > 0 {
		t.Errorf("exit status %d, stdout %q", exit, stdout.String())
	}
	if text := stderr.String(); !strings.Contains(text, "prober_test.go:") || !strings.HasSuffix(text, "\na: panic: oh\\nno\n") {
		t.Errorf("stderr %q", text)
	}
}

func TestOutputThatCannotBeWritten(t *testing.T) {
	r, w := io.Pipe()
	r.Close()
	var stderr bytes.Buffer
	p := prober.Prober{Metric: "a_msec", Probe: func(context.Context) error { return nil }}
	for args, want := range map[string]int{"--output=studio": 1, "--output=nagios": 2, "--help": 1} {
		if exit := prober.Run(p, []string{args}, nil, w, &stderr); exit != want {
			t.Errorf("%s: exit status %d, want %d", args, exit, want)
		}
	}
	if got, want := stderr.String(), strings.Repeat("a: print what was found: io: read/write on closed pipe\n", 2); got != want {
		t.Errorf("stderr %q, want %q", got, want)
	}
}

// TestMain is the program of TestProgram, too.
func TestMain(m *testing.M) {
	if os.Getenv("PROBER_TEST_PROGRAM") != "" {
		prober.Main(prober.Prober{Metric: "a_msec", Probe: func(ctx context.Context) error {
			fmt.Println("hello")
			if prober.Option(ctx, "wait") == "" {
				return nil
			}
			syscall.Kill(os.Getpid(), syscall.SIGTERM)
			<-ctx.Done()
			fmt.Println("cleaned up")
			if prober.Option(ctx, "wait") == "for ever" {
				for range time.Tick(10 * time.Millisecond) {
					syscall.Kill(os.Getpid(), syscall.SIGTERM)
				}
			}
			return ctx.Err()
		}})
	}
	os.Exit(m.Run())
}

func TestProgram(t *testing.T) {
	for _, tt := range []struct{ name, option, state, stdout, stderr string }{
		{"works, and prints", "wait=", "exit status 0", `^a_msec [0-9.]+\n$`, `^hello\n$`},
		{"is told to end", "wait=yes", "exit status 1", `^$`, `^hello\ncleaned up\na: .*terminated.*\n$`},
		{"is told to end twice", "wait=for ever", "signal: terminated", `^$`, `^hello\ncleaned up\n$`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			cmd := exec.CommandContext(t.Context(), os.Args[0], "--timeout=1m", "--option", tt.option)
			cmd.Env = append(os.Environ(), "PROBER_TEST_PROGRAM=1")
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			cmd.Run()
			if got := cmd.ProcessState.String(); got != tt.state || !regexp.MustCompile(tt.stdout).Match(stdout.Bytes()) || !regexp.MustCompile(tt.stderr).Match(stderr.Bytes()) {
				t.Errorf("%s, stdout %q, stderr %q; want %s, %s, %s", got, stdout.String(), stderr.String(), tt.state, tt.stdout, tt.stderr)
			}
		})
	}
}

func TestServer(t *testing.T) {
	p := prober.Prober{Metric: "login_latency_msec", Probe: func(ctx context.Context) error {
		prober.Add(ctx, "rows", 7)
		prober.Add(ctx, "total", 7)
		switch target := prober.Option(ctx, "target"); target {
		case "slow":
			<-ctx.Done()
			return ctx.Err()
		case "skipped":
			return prober.ErrSkipped
		case "sundays":
			return fmt.Errorf("on Sundays: %w", prober.ErrSkipped)
		case "bad":
			return errors.New("no " + prober.Option(ctx, "what"))
		}
		return nil
	}}
	type answer struct{ failure, payload string }
	for timeout, answers := range map[string]map[string]answer{
		"1m": {
			"good":    {"", "login_latency_msec X\nrows 7\n"},
			"":        {"no way", "rows 7\n"},
			"skipped": {"skipped", "rows 7\n"},
			"sundays": {"skipped: on Sundays: skipped", "rows 7\n"},
		},
		"50ms": {"slow": {"it takes longer than 50ms", "rows 7\n"}},
	} {
		requestsR, requestsW := io.Pipe()
		repliesR, repliesW := io.Pipe()
		var stderr bytes.Buffer
		exit := make(chan int, 1)
		go func() {
			exit <- prober.Run(p, []string{"--server", "--option", "target=bad", "--option", "what=way", "--timeout", timeout}, requestsR, repliesW, &stderr)
			repliesW.Close()
		}()
		client := cloudprober.NewClient(repliesR, requestsW)
		var wg sync.WaitGroup
		for target, want := range answers {
			wg.Go(func() {
				var options []cloudprober.Option
				if target != "" {
					options = append(options, cloudprober.Option{Name: "target", Value: target})
				}
				got, err := client.Do(t.Context(), time.Minute, options)
				payload := regexp.MustCompile(`msec [0-9.e-]+\n`).ReplaceAllString(got.Payload, "msec X\n")
				if got.Error != want.failure || payload != want.payload || err != nil {
					t.Errorf("%q: got %+v, %v; want %+v", target, got, err, want)
				}
			})
		}
		wg.Wait()
		client.Close()
		if got := <-exit; got != 0 {
			t.Errorf("exit status %d, want 0", got)
		}
		note := "login_latency: \"total 7\" is no metric: cloudprober has a metric of that name itself\n"
		if got, want := stderr.String(), strings.Repeat(note, len(answers)); got != want {
			t.Errorf("stderr %q, want %q", got, want)
		}
	}
}

func TestServerInProduction(t *testing.T) {
	var request, stdout, stderr bytes.Buffer
	cloudprober.WriteRequest(&request, cloudprober.Request{ID: 7, TimeLimit: time.Minute})
	p := prober.Prober{Metric: "a_msec", Probe: took(nil), DevelopOnly: true, Production: true}
	exit := prober.Run(p, []string{"--server"}, &request, &stdout, &stderr)
	var want bytes.Buffer
	cloudprober.WriteReply(&want, cloudprober.Reply{ID: 7, Error: "skipped: it is for development only, and this is production"})
	if exit != 0 || stdout.String() != want.String() || stderr.Len() > 0 {
		t.Errorf("exit status %d, stdout %q, stderr %q; want %q", exit, stdout.String(), stderr.String(), want.String())
	}
}

func TestServerOfGarbage(t *testing.T) {
	var stdout, stderr bytes.Buffer
	exit := prober.Run(prober.Prober{Metric: "a_msec", Probe: took(nil)}, []string{"--server"}, strings.NewReader("Content-Length: x\n"), &stdout, &stderr)
	if want := "a: read a request: not a frame of cloudprober: its length is \"x\", not a number up to 16777216\n"; exit != 1 || stderr.String() != want {
		t.Errorf("exit status %d, stderr %q; want 1, %q", exit, stderr.String(), want)
	}
}

func TestOn(t *testing.T) {
	for value, want := range map[string]bool{
		"": false, " ": false, "0": false, "no": false, "No": false, "n": false, "False": false, "f": false, "OFF": false, " false\n": false, "none": false,
		"1": true, "true": true, "True": true, "yes": true, "on": true, "production": true,
	} {
		if got := prober.On(value); got != want {
			t.Errorf("On(%q) = %v, want %v", value, got, want)
		}
	}
}

// Outside of a probe there is nothing to add to, and there are no options.
func TestWithoutAProbe(t *testing.T) {
	prober.Add(t.Context(), "rows", 1)
	if got := prober.Option(t.Context(), "target"); got != "" {
		t.Errorf("got %q", got)
	}
}
