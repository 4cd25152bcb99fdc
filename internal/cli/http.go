package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/pflag"

	"github.com/supervisor-checks/supervisor-checks/checks"
)

// HTTP is supervisor_http_check.
func HTTP(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return newHTTP().run(args, streams{stdin, stdout, stderr})
}

func newHTTP() *Program {
	p := newCheckProgram("supervisor_http_check", "-u URL -p PORT",
		"Restarts processes that do not answer HTTP requests as they should.", `-u /ping -p 'web_(\d+)' -t 5`)
	var (
		cfg      checks.HTTPConfig
		timeout  = duration(checks.DefaultHTTPTimeout)
		retries  = number(defaultRetries)
		jsonBody = text{what: "JSON"}
		method   = text{what: "METHOD", value: "GET"}
		headers  string
		login    credentials
	)
	p.section("Request", func(f *pflag.FlagSet) {
		f.StringVarP(&cfg.URL, "url", "u", "", "`URL` to ask for: a path with its query (required)")
		required(f, "url")
		endpointOptions(f, &cfg.Port, &cfg.Host, &cfg.UnixSocket)
		f.StringVar(&cfg.Scheme, "scheme", "http", "`SCHEME`, http or https")
		f.VarP(&method, "method", "m", "method of the request")
		f.VarP(&jsonBody, "json", "j", "body of the request, sent with Content-Type: application/json")
		f.StringVarP(&cfg.Body, "body", "b", "", "`BODY` of the request, unless --json is given")
		f.StringVarP(&headers, "headers", "H", "", "headers of the request, as a `JSON` object")
		login.options(f)
		f.StringVar(&cfg.CAFile, "ca-file", "", "`FILE` of certificates to trust instead of the system's")
		f.BoolVar(&cfg.Insecure, "insecure", false, "accept any certificate")
		retryOptions(f, &timeout, &retries)
		words(f, "scheme", "http", "https")
		added(f, "scheme", "ca-file", "insecure")
	})
	p.section("Answer", func(f *pflag.FlagSet) {
		f.StringVar(&cfg.ExpectStatus, "expect-status", "200", "`STATUS` codes that are healthy, such as 200-299,301")
		f.StringVar(&cfg.ExpectBody, "expect-body", "", "`REGEX` that must match in the body's first MiB (default: the body is not read)")
		added(f, "expect-status", "expect-body")
	})
	return p.does(func() ([]checks.Check, error) {
		cfg.Timeout, cfg.Retries = time.Duration(timeout), int(retries)
		if cfg.Method = method.value; cfg.Method == "" {
			return nil, usageError{errors.New(`argument -m/--method: "" is not a method`)}
		}
		if jsonBody.given {
			cfg.JSON = json.RawMessage(jsonBody.value)
		}
		var err error
		if p.Flags().Changed("headers") {
			if cfg.Header, err = checks.ParseHeaders(headers); err != nil {
				return nil, usageError{fmt.Errorf("argument -H/--headers: %w", err)}
			}
		}
		if cfg.Username, cfg.Password, err = login.read(p.Flags()); err != nil {
			return nil, err
		}
		return only(checks.NewHTTP(cfg))
	})
}
