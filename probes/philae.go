package probes

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
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
	if u, err := url.Parse(h.URL); err == nil && u.Host != "" && strings.Trim(u.Path, "/") == "" {
		h.URL = u.JoinPath("/_health").String()
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

// What is shown of a service that is not healthy.
const (
	maxDown   = 10  // probes that are named
	maxCauses = 8   // of an error, each that of the one before
	maxText   = 200 // of one of their texts, in bytes
)

func judgePhilae(status int, body []byte) error {
	var h philaeHealth
	if err := json.Unmarshal(body, &h); err != nil || h.Healthy == nil {
		return errors.New("the answer is not that of a health endpoint")
	}
	var down []string
	more := 0
	for _, p := range h.Probes {
		if p.Healthy {
			continue
		}
		if len(down) == maxDown {
			more++
			continue
		}
		why := message(p.Error, maxCauses)
		if why == "" && p.Comment != "error" {
			why = cut(p.Comment)
		}
		if why != "" {
			why = " (" + why + ")"
		}
		down = append(down, cut(p.Name)+" is down"+why)
	}
	if more > 0 {
		down = append(down, fmt.Sprintf("and %d more are", more))
	}
	switch {
	case down != nil:
		return errors.New(strings.Join(down, ", "))
	case !*h.Healthy:
		return errors.New(cmp.Or(message(h.Error, maxCauses), "it is not healthy, and does not say why"))
	}
	return contradicts(status)
}

// contradicts is the error of an answer whose body alone is that of what is healthy.
func contradicts(status int) error {
	if status != http.StatusOK {
		return fmt.Errorf("it answers %d %s, and says that it is healthy", status, http.StatusText(status))
	}
	return nil
}

// message is what an error in JSON says to a person: the string that it is or, of a Go
// struct, what its messages are, down to the cause, but no more than that many.
func message(text json.RawMessage, most int) string {
	var s string
	if bytes.HasPrefix(text, []byte(`"`)) && json.Unmarshal(text, &s) == nil {
		return cut(s)
	}
	var nested struct {
		Message    string          `json:"Message_"`
		Cause      json.RawMessage `json:"Cause_"`
		Underlying json.RawMessage `json:"Underlying_"`
		Err        json.RawMessage
	}
	if most == 0 || len(text) == 0 || json.Unmarshal(text, &nested) != nil {
		return ""
	}
	var parts []string
	for _, part := range []string{cut(nested.Message), message(nested.Cause, most-1), message(nested.Underlying, most-1), message(nested.Err, most-1)} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ": ")
}

func cut(s string) string { return s[:min(len(s), maxText)] }

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
	if u, err := url.Parse(cfg.URL); err == nil { // and else it is refused later
		cfg.URL = u.JoinPath(path).String()
	}
	return cfg, nil
}

func excerpt(body []byte) string { return fmt.Sprintf("%q", body[:min(len(body), 100)]) }
