// Command prober is a prober of the Studio project in Go: it logs in, as a user does, and
// asks for the projects.
package main

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"os"

	"github.com/supervisor-checks/supervisor-checks/prober"
)

func main() {
	prober.Main(prober.Prober{
		Metric: "login_latency_msec",
		About: "Logs in to Studio at PROBER_STUDIO_BASE_URL as PROBER_STUDIO_USERNAME with " +
			"PROBER_STUDIO_PASSWORD.\nIt does not where PROBER_STUDIO_PRODUCTION_MODE_ON is, for it makes a session there.",
		DevelopOnly: true,
		Production:  prober.On(os.Getenv("PROBER_STUDIO_PRODUCTION_MODE_ON")),
		Probe:       login,
	})
}

func login(ctx context.Context) error {
	base := cmp.Or(prober.Option(ctx, "base_url"), os.Getenv("PROBER_STUDIO_BASE_URL"), "http://127.0.0.1:8080")
	studio, err := prober.NewSession(base, http.Header{"User-Agent": {"Studio-Internal-Prober=login"}, "X-Studio-Internal-Prober": {"login"}})
	if err != nil {
		return err
	}
	if err := studio.Login(ctx, "/login", url.Values{
		"username": {cmp.Or(os.Getenv("PROBER_STUDIO_USERNAME"), "a@a.com")},
		"password": {cmp.Or(os.Getenv("PROBER_STUDIO_PASSWORD"), "a")},
	}); err != nil {
		return err
	}
	page, err := studio.Get(ctx, "/projects", http.StatusOK)
	prober.Add(ctx, "projects_page_bytes", float64(len(page)))
	return err
}
