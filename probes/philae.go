package probes

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// PhilaeConfig configures a probe of another service's health: of this toolkit's
// /_health, or of a go-philae's.
type PhilaeConfig struct {
	// HTTPConfig is how it is asked. URL without a path means /_health. What the
	// answer must be like is settled.
	HTTPConfig
}

// NewPhilae returns a probe that is healthy when a service says that it is. A service
// that is not answers with status 503, or, as go-philae does, with 200 all the same. The
// error names what is wrong there.
func NewPhilae(cfg PhilaeConfig) (*HTTP, error) {
	h := cfg.HTTPConfig
	if err := settled("philae", h); err != nil {
		return nil, err
	}
	if h.URL != "" && strings.Count(h.URL, "/") == 2 {
		h.URL += "/_health"
	}
	h.ExpectStatus = "200,503"
	return newHTTPWith("philae", h, judgePhilae)
}

// settled refuses criteria for probes that have their own.
func settled(kind string, cfg HTTPConfig) error {
	switch {
	case cfg.ExpectStatus != "":
		return refuse(kind, "expect_status", "is settled: an http probe can have others")
	case cfg.ExpectBody != "":
		return refuse(kind, "expect_body", "is settled: an http probe can have others")
	case cfg.ExpectHeader != nil:
		return refuse(kind, "expect_header", "is settled: an http probe can have others")
	case cfg.ExpectJSON != nil:
		return refuse(kind, "expect_json", "is settled: an http probe can have others")
	}
	return nil
}

// philaeHealth is what go-philae's handler answers. Its errors are whatever Go structs
// happen to be in them.
type philaeHealth struct {
	Healthy *bool           `json:"healthy"`
	Error   json.RawMessage `json:"error"`
	Probes  []struct {
		Name    string          `json:"name"`
		Healthy bool            `json:"healthy"`
		Comment string          `json:"comment"`
		Error   json.RawMessage `json:"error"`
	} `json:"probes"`
}

func judgePhilae(body []byte, _ bool) error {
	var h philaeHealth
	if err := json.Unmarshal(body, &h); err != nil || h.Healthy == nil {
		return errors.New("the answer is not that of a health endpoint")
	}
	if *h.Healthy {
		return nil
	}
	var down []string
	for _, p := range h.Probes {
		if p.Healthy {
			continue
		}
		why := message(p.Error)
		if why == "" && p.Comment != "error" {
			why = p.Comment
		}
		if why != "" {
			why = " (" + why + ")"
		}
		down = append(down, p.Name+" is down"+why)
	}
	if down == nil {
		return errors.New(cmp.Or(message(h.Error), "it is not healthy, and does not say why"))
	}
	return errors.New(strings.Join(down, ", "))
}

// message is what an error in JSON says to a person: the string that it is or, of a Go
// struct, what its messages are, down to the cause.
func message(text json.RawMessage) string {
	var s string
	if json.Unmarshal(text, &s) == nil {
		return s
	}
	var nested struct {
		Message    string          `json:"Message_"`
		Cause      json.RawMessage `json:"Cause_"`
		Underlying json.RawMessage `json:"Underlying_"`
		Err        json.RawMessage
	}
	if len(text) == 0 || json.Unmarshal(text, &nested) != nil {
		return ""
	}
	var parts []string
	for _, part := range []string{nested.Message, message(nested.Cause), message(nested.Underlying), message(nested.Err)} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ": ")
}

// webDefaults are those of probes that ask an API for one path.
func webDefaults(kind string, cfg HTTPConfig, path string) (HTTPConfig, error) {
	if err := settled(kind, cfg); err != nil {
		return cfg, err
	}
	if cfg.Method != "" && cfg.Method != http.MethodGet {
		return cfg, refuse(kind, "method", "is settled: GET")
	}
	if cfg.URL == "" {
		return cfg, refuse(kind, "url", "is required: http://HOST:PORT")
	}
	cfg.URL = strings.TrimSuffix(cfg.URL, "/") + path
	return cfg, nil
}

func excerpt(body []byte) string { return fmt.Sprintf("%q", body[:min(len(body), 100)]) }
