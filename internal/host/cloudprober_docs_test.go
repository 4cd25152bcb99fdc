package host

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/cli"
	"github.com/supervisor-checks/supervisor-checks/internal/cloudprober"
	"github.com/supervisor-checks/supervisor-checks/internal/command"
	"github.com/supervisor-checks/supervisor-checks/internal/config"
	"github.com/supervisor-checks/supervisor-checks/internal/scripttest"
)

// externalProbe is one of cloudprober's configuration, as far as a test needs it.
type externalProbe struct {
	targets []string
	mode    string
	words   []string // of its command
	options []cloudprober.Option
}

// externalProbes reads those in the text format of protocol buffers.
func externalProbes(t *testing.T, text string) (all []externalProbe) {
	t.Helper()
	const quoted = `("(?:[^"\\]|\\.)*")`
	unquote := func(s string) string {
		s, err := strconv.Unquote(s)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for part := range strings.SplitSeq(text, "\nprobe {") {
		var p externalProbe
		p.mode = regexp.MustCompile(`mode: (\w+)`).FindStringSubmatch(part)[1]
		words, err := command.Split(unquote(regexp.MustCompile(`command: ` + quoted).FindStringSubmatch(part)[1]))
		if err != nil {
			t.Fatal(err)
		}
		p.words = words
		for _, target := range regexp.MustCompile(`endpoint { name: `+quoted+` }`).FindAllStringSubmatch(part, -1) {
			p.targets = append(p.targets, unquote(target[1]))
		}
		if p.targets == nil && strings.Contains(part, "dummy_targets {}") {
			p.targets = []string{""}
		}
		for _, o := range regexp.MustCompile(`options { name: `+quoted+` value: `+quoted+` }`).FindAllStringSubmatch(part, -1) {
			p.options = append(p.options, cloudprober.Option{Name: unquote(o[1]), Value: unquote(o[2])})
		}
		all = append(all, p)
	}
	return all
}

// TestDocsOfCloudprober does what docs/cloudprober.md shows, as cloudprober would.
func TestDocsOfCloudprober(t *testing.T) {
	page, err := os.ReadFile("../../docs/cloudprober.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := make(map[string][]string) // by language
	for _, b := range regexp.MustCompile("(?s)```(\\w+)\n(.*?)```\n").FindAllStringSubmatch(string(page), -1) {
		blocks[b[1]] = append(blocks[b[1]], b[2])
	}
	if len(blocks["yaml"]) != 2 || len(blocks["textproto"]) != 2 || strings.Count(string(page), "\n```") != 8 {
		t.Fatalf("there are other blocks than the test knows: %d, %d", len(blocks["yaml"]), len(blocks["textproto"]))
	}
	for _, text := range blocks["yaml"] {
		file, err := config.Read("page", []byte(text), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, made, err := file.Config(nil, nil)
		if err != nil {
			t.Error(err)
		}
		defer made.End(nil)
		if _, err := file.BuildProbes(nil); err != nil {
			t.Error(err)
		}
	}

	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/health" {
			http.NotFound(w, r)
		}
	}))
	defer site.Close()
	port := site.URL[strings.LastIndex(site.URL, ":")+1:]
	shut, free, err := scripttest.ClosedPort()
	if err != nil {
		t.Fatal(err)
	}
	defer free()
	socket := filepath.Join(t.TempDir(), "s")
	defer at(t, socket, "web_"+port, "web_"+shut).Close()
	t.Setenv("SUPERVISOR_SERVER_URL", "unix://"+socket)
	here := strings.NewReplacer("web_8001", "web_"+port, "web_8002", "web_"+shut, "/run/supervisor.sock", socket, ":5432", ":"+port, "max: 1GiB", "max: 1TiB").Replace

	// ONCE: a program for each run.
	once := externalProbes(t, blocks["textproto"][0])[0]
	var out, errs bytes.Buffer
	args := slices.Clone(once.words[1:])
	for i := range args {
		args[i] = here(args[i])
	}
	if status := cli.HTTP(args, strings.NewReader(""), &out, &errs); status != 0 || errs.Len() > 0 || filepath.Base(once.words[0]) != "supervisor_http_check" {
		t.Errorf("%q: exit status %d, %s", args, status, &errs)
	}
	if want := `check_healthy{process="web:web_` + port + `",check="http"} 1`; !strings.HasPrefix(out.String(), want) {
		t.Errorf("it prints\n%s", &out)
	}

	// SERVER: one for all.
	p := startProbeServer(t, here(blocks["yaml"][0]))
	var payload string
	for _, probe := range externalProbes(t, blocks["textproto"][1]) {
		if want := []string{"serve-probe", "--config", "/etc/supervisor-checks.yaml"}; probe.mode != "SERVER" || !slices.Equal(probe.words[1:], want) {
			t.Errorf("mode %s, command %q", probe.mode, probe.words)
		}
		for _, target := range probe.targets {
			options := slices.Clone(probe.options)
			for i := range options {
				options[i].Value = here(strings.ReplaceAll(options[i].Value, "@target@", target))
			}
			rep, err := p.Do(t.Context(), patience, options)
			if wrong := strings.HasSuffix(target, "8002"); err != nil || (rep.Error != "") != wrong { // where nobody listens
				t.Errorf("%v: %+v, %v", options, rep, err)
			}
			payload += rep.Payload
		}
	}
	for _, name := range []string{"check_healthy", "check_status", "check_duration_milliseconds", "status_code", "probe_healthy", "probe_status", "probe_duration_milliseconds"} {
		if !strings.Contains(payload, name+"{") || !bytes.Contains(page, []byte("`"+name)) {
			t.Errorf("%s is not in both, the page and\n%s", name, payload)
		}
	}
	p.Close()
	p.ends(time.Minute)
}
