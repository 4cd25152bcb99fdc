package probes

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// NewEtcd returns a probe of an etcd member's health endpoint, /health: it has a leader,
// and no alarm. cfg.URL is where its clients, or its metrics, are served:
// http://127.0.0.1:2379. See
// https://etcd.io/docs/v3.4/op-guide/monitoring/#health-check.
func NewEtcd(cfg HTTPConfig) (*HTTP, error) {
	cfg, err := webDefaults("etcd", cfg, "/health")
	if err != nil {
		return nil, err
	}
	cfg.ExpectStatus = "200,503"
	return newHTTPWith("etcd", cfg, func(status int, body []byte) error {
		var h struct{ Health, Reason string }
		switch err := json.Unmarshal(body, &h); {
		case err != nil || h.Health == "":
			return fmt.Errorf("the answer is not that of etcd: %s", excerpt(body))
		case h.Health != "true":
			return errors.New(strings.TrimSuffix("it is not healthy: "+h.Reason, ": "))
		}
		return contradicts(status)
	})
}

// ElasticsearchConfig configures a probe of Elasticsearch, or OpenSearch.
type ElasticsearchConfig struct {
	// HTTPConfig is how it is asked: https://HOST:9200.
	HTTPConfig

	// Status is what the cluster must be at least, green or yellow. "" means that a
	// node which answers will do.
	Status string
}

// NewElasticsearch returns a probe of a node, which says what it is, and of the state of
// its cluster where that is asked for.
func NewElasticsearch(cfg ElasticsearchConfig) (*HTTP, error) {
	order := []string{"red", "yellow", "green"}
	path := "/"
	if cfg.Status != "" {
		path = "/_cluster/health"
	}
	if cfg.Status != "" && cfg.Status != "green" && cfg.Status != "yellow" {
		return nil, refuse("elasticsearch", "status", "%q is neither green nor yellow", cfg.Status)
	}
	h, err := webDefaults("elasticsearch", cfg.HTTPConfig, path)
	if err != nil {
		return nil, err
	}
	h.ExpectStatus = "200"
	return newHTTPWith("elasticsearch", h, func(_ int, body []byte) error {
		var is struct {
			Status  string `json:"status"`
			Version *struct{ Number string }
		}
		err := json.Unmarshal(body, &is)
		known := slices.Index(order, is.Status)
		switch {
		case err != nil, cfg.Status == "" && is.Version == nil, cfg.Status != "" && known < 0:
			return fmt.Errorf("the answer is not that of Elasticsearch: %s", excerpt(body))
		case known < slices.Index(order, cfg.Status):
			return fmt.Errorf("its cluster is %s, not %s", is.Status, cfg.Status)
		}
		return nil
	})
}

// NewNSQ returns a probe of nsqd, or nsqlookupd: cfg.URL is its HTTP address,
// http://127.0.0.1:4151, of which /ping is asked for.
func NewNSQ(cfg HTTPConfig) (*HTTP, error) {
	cfg, err := webDefaults("nsq", cfg, "/ping")
	if err != nil {
		return nil, err
	}
	cfg.ExpectStatus = "200"
	return newHTTPWith("nsq", cfg, saysOK("nsq"))
}

// DefaultDockerSocket is where Docker listens.
const DefaultDockerSocket = "/var/run/docker.sock"

// NewDocker returns a probe of a Docker daemon, of which /_ping is asked for. cfg.URL may
// also be what DOCKER_HOST is: unix:///PATH, or tcp://HOST:PORT, which is https where
// there is a TLS. Without a URL it is the one at cfg.UnixSocket, or at DefaultDockerSocket.
func NewDocker(cfg HTTPConfig) (*HTTP, error) {
	if socket, is := strings.CutPrefix(cfg.URL, "unix://"); is {
		if cfg.UnixSocket != "" || !strings.HasPrefix(socket, "/") {
			return nil, refuse("docker", "url", "is not unix:///PATH alone, without unix_socket")
		}
		cfg.URL, cfg.UnixSocket = "", socket
	}
	if host, is := strings.CutPrefix(cfg.URL, "tcp://"); is {
		scheme := "http://"
		if cfg.TLS != (TLS{}) {
			scheme = "https://"
		}
		cfg.URL = scheme + host
	}
	if cfg.URL == "" {
		cfg.URL, cfg.UnixSocket, cfg.Name = "http://docker", cmp.Or(cfg.UnixSocket, DefaultDockerSocket), cmp.Or(cfg.Name, "docker")
	}
	cfg, err := webDefaults("docker", cfg, "/_ping")
	if err != nil {
		return nil, err
	}
	cfg.ExpectStatus = "200"
	return newHTTPWith("docker", cfg, saysOK("docker"))
}

func saysOK(kind string) judge {
	return func(_ int, body []byte) error {
		if strings.TrimSpace(string(body)) != "OK" {
			return fmt.Errorf("it answers %s, not OK: is that %s?", excerpt(body), kind)
		}
		return nil
	}
}

// indicators are those of statuspage.io, from good to bad.
var indicators = []string{"none", "maintenance", "minor", "major", "critical"}

// StatuspageConfig configures a probe of a status page at statuspage.io, of which there
// are many.
type StatuspageConfig struct {
	// HTTPConfig is how it is asked: https://www.githubstatus.com.
	HTTPConfig

	// Tolerate is what may be reported, and what is less than that: none, maintenance,
	// minor, major or critical. "" means none.
	Tolerate string
}

// NewStatuspage returns a probe of a status page: nothing worse is reported than is
// tolerated.
func NewStatuspage(cfg StatuspageConfig) (*HTTP, error) { return newStatuspage("statuspage", cfg) }

// NewGitHub returns a probe of what GitHub says of itself. cfg.URL may be left out.
func NewGitHub(cfg StatuspageConfig) (*HTTP, error) {
	cfg.URL, cfg.Name = cmp.Or(cfg.URL, "https://www.githubstatus.com"), cmp.Or(cfg.Name, "github")
	return newStatuspage("github", cfg)
}

func newStatuspage(kind string, cfg StatuspageConfig) (*HTTP, error) {
	most := slices.Index(indicators, cmp.Or(cfg.Tolerate, "none"))
	if most < 0 {
		return nil, refuse(kind, "tolerate", "%q is none of %s", cfg.Tolerate, strings.Join(indicators, ", "))
	}
	h, err := webDefaults(kind, cfg.HTTPConfig, "/api/v2/status.json")
	if err != nil {
		return nil, err
	}
	h.ExpectStatus = "200"
	return newHTTPWith(kind, h, func(_ int, body []byte) error {
		var page struct {
			Status struct{ Indicator, Description string }
		}
		err := json.Unmarshal(body, &page)
		is := slices.Index(indicators, page.Status.Indicator)
		switch {
		case err != nil, is < 0:
			return fmt.Errorf("the answer is not that of a status page: %s", excerpt(body))
		case is > most:
			return fmt.Errorf("it reports %s: %s", page.Status.Indicator, page.Status.Description)
		}
		return nil
	})
}

// DefaultStatusIOTolerate is the status code of status.io up to which a page is healthy:
// 300 is degraded performance, 400 a partial disruption.
const DefaultStatusIOTolerate = 399

// StatusIOConfig configures a probe of a status page at status.io.
type StatusIOConfig struct {
	// HTTPConfig is how it is asked. URL "" means https://api.status.io.
	HTTPConfig

	// Page is the id of the page, which its API has in the path. It is required.
	Page string

	// Tolerate is the greatest status code that is healthy: 100 operational, 200
	// planned maintenance, 300 degraded performance, 400 partial service disruption,
	// 500 service disruption, 600 security event. 0 means DefaultStatusIOTolerate.
	Tolerate int
}

// NewStatusIO returns a probe of a status page: overall, it reports nothing worse than is
// tolerated.
func NewStatusIO(cfg StatusIOConfig) (*HTTP, error) { return newStatusIO("statusio", cfg) }

// gitLabPage is that of GitLab.
const gitLabPage = "5b36dc6502d06804c08349f7"

// NewGitLab returns a probe of what GitLab says of itself. cfg.URL and cfg.Page may be
// left out.
func NewGitLab(cfg StatusIOConfig) (*HTTP, error) {
	cfg.Page, cfg.Name = cmp.Or(cfg.Page, gitLabPage), cmp.Or(cfg.Name, "gitlab")
	return newStatusIO("gitlab", cfg)
}

func newStatusIO(kind string, cfg StatusIOConfig) (*HTTP, error) {
	switch {
	case cfg.Page == "" || strings.ContainsAny(cfg.Page, "/?#%"):
		return nil, refuse(kind, "page", "%q is not the id of a page", cfg.Page)
	case cfg.Tolerate < 0:
		return nil, refuse(kind, "tolerate", "%d is less than 0", cfg.Tolerate)
	}
	cfg.URL = cmp.Or(cfg.URL, "https://api.status.io")
	h, err := webDefaults(kind, cfg.HTTPConfig, "/1.0/status/"+cfg.Page)
	if err != nil {
		return nil, err
	}
	most := cmp.Or(cfg.Tolerate, DefaultStatusIOTolerate)
	h.ExpectStatus = "200"
	return newHTTPWith(kind, h, func(_ int, body []byte) error {
		var page struct {
			Result struct {
				Overall struct {
					Status string
					Code   int `json:"status_code"`
				} `json:"status_overall"`
			}
		}
		err := json.Unmarshal(body, &page)
		overall := page.Result.Overall
		switch {
		case err != nil || overall.Code == 0:
			return fmt.Errorf("the answer is not that of status.io: %s", excerpt(body))
		case overall.Code > most:
			return fmt.Errorf("it reports %d: %s", overall.Code, overall.Status)
		}
		return nil
	})
}
