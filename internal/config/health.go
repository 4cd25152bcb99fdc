package config

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/supervisor-checks/supervisor-checks/health"
)

// Health is how others are told of the health of processes and dependencies.
type Health struct {
	Listen    string `key:"listen" need:"true" doc:"HOST:PORT. Without a HOST it is 127.0.0.1: write 0.0.0.0 to be seen from elsewhere."`
	CertFile  string `key:"cert_file" doc:"The server's certificate, in PEM, for TLS. It is read again when it has changed."`
	KeyFile   string `key:"key_file" doc:"Its key, in PEM."`
	TokenFile string `key:"token_file" doc:"A file that has the token in its first line which who asks for /_health or /metrics must show: Authorization: Bearer TOKEN."`
	Gate      *Gate  `key:"gate" doc:"An answer for load balancers."`
}

func (h *Health) check(report func(key, format string, args ...any)) {
	if (h.CertFile == "") != (h.KeyFile == "") {
		report("", "cert_file and key_file belong together: give both, or none")
	} else if h.CertFile != "" {
		if _, err := tls.LoadX509KeyPair(h.CertFile, h.KeyFile); err != nil {
			report("cert_file", "%v", err)
		}
	}
	if _, port, err := net.SplitHostPort(h.Listen); err != nil {
		report("listen", "%q is not HOST:PORT, or :PORT", h.Listen)
	} else if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		report("listen", "%q is not a port", port)
	}
	if _, err := h.Token(); err != nil {
		report("token_file", "%v", err)
	}
}

// paths are those that are taken.
var paths = []string{health.Path, "/metrics", "/livez", "/readyz"}

func (g *Gate) check(report func(key, format string, args ...any)) {
	switch {
	case g.Path == "":
	case !strings.HasPrefix(g.Path, "/") || strings.ContainsAny(g.Path, "{}?# \t\n") || path.Clean(g.Path) != g.Path:
		report("path", "%q is not a path such as /gate", g.Path)
	case slices.Contains(paths, g.Path) || strings.HasPrefix(g.Path, health.Path+"/"):
		report("path", "%s is taken: that of a gate must be another than %s", g.Path, strings.Join(paths, ", "))
	}
	for key, status := range map[string]*Count{"denied_status": g.DeniedStatus, "dead_status": g.DeadStatus, "open_status": g.OpenStatus} {
		if status != nil && (*status < http.StatusOK || *status > 599) {
			report(key, "%d is no status of an answer: they are from 200 to 599", *status)
		}
	}
	if g.Folder != "" {
		if info, err := os.Stat(g.Folder); err == nil && !info.IsDir() { // which is made where it is not there
			report("folder", "%s is no folder", g.Folder)
		}
	}
	if _, err := tokenOf(g.TokenFile); err != nil {
		report("token_file", "%v", err)
	}
}

// Gate is an answer for load balancers.
type Gate struct {
	Path         string   `key:"path" doc:"/gate where it is not given."`
	Name         string   `key:"name" doc:"Of this server, in the answer, and in .dead files. The host's where it is not given: in a container, which gets another one each time, give one."`
	TokenFile    string   `key:"token_file" doc:"A file that has the token in its first line which who asks must show: Authorization: Bearer TOKEN."`
	Folder       string   `key:"folder" doc:"Where NAME.dead files are, which is made where it is not there: one by anybody takes the host out of rotation, and one is written for what is not healthy."`
	Probes       []string `key:"probes" doc:"The probes that count. All where it is not given."`
	DeniedStatus *Count   `key:"denied_status" doc:"Of who shows no token. 511 where it is not given; 401 is the modern choice."`
	DeniedText   string   `key:"denied_text" doc:"Auth ERR where it is not given."`
	DeadStatus   *Count   `key:"dead_status" doc:"Of a host that is not to be used. 503 where it is not given."`
	DeadText     string   `key:"dead_text" doc:"The line for each that is dead, with {name}: The {name} is DEAD! where it is not given."`
	OpenStatus   *Count   `key:"open_status" doc:"Of a host that can be used. 200 where it is not given."`
	OpenText     string   `key:"open_text" doc:"OK where it is not given."`
	Head         string   `key:"head" doc:"The first line of these two, with {name}: Server: {name} reports: where it is not given."`
}

// GateConfig is that of a gate, but for its sources.
func (g *Gate) GateConfig() (cfg health.GateConfig, err error) {
	cfg = health.GateConfig{Name: g.Name, Folder: g.Folder, DeniedStatus: int(orZero(g.DeniedStatus)), DeniedText: g.DeniedText,
		DeadStatus: int(orZero(g.DeadStatus)), OpenStatus: int(orZero(g.OpenStatus)), OpenText: g.OpenText}
	for _, line := range []struct {
		from string
		to   *string
	}{{g.DeadText, &cfg.DeadText}, {g.Head, &cfg.Head}} {
		if line.from != "" {
			*line.to = strings.TrimSuffix(line.from, "\n") + "\n"
		}
	}
	if cfg.Token, err = tokenOf(g.TokenFile); err != nil {
		return cfg, fmt.Errorf("health.gate.token_file: %w", err)
	}
	return cfg, nil
}

// Token is what those who ask must show; nil for none.
func (h *Health) Token() (*health.Token, error) { return tokenOf(h.TokenFile) }

func tokenOf(path string) (*health.Token, error) {
	if path == "" {
		return nil, nil
	}
	return health.TokenFile(path)
}
