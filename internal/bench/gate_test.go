package bench

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/health"
	"github.com/supervisor-checks/supervisor-checks/probes"
)

// gate measures what an answer of the gate costs, with a token, a folder and 200 probes
// behind it, against a handler that answers a constant.
func gate(f *figures, _ string) {
	const count, times, requests = 200, 20, 500
	p := health.NewProber(health.ProberConfig{})
	for i := range count {
		if err := p.Add(probes.Sample(fmt.Sprint("p", i), 0, true), health.Period(time.Second)); err != nil {
			f.t.Fatal(err)
		}
	}
	g, err := health.NewGate(health.GateConfig{Name: "x", Token: health.NewToken("sesame"), Sources: []health.Source{p}, Folder: f.t.TempDir()})
	if err != nil {
		f.t.Fatal(err)
	}
	go p.Run(f.t.Context())
	go g.Run(f.t.Context())
	constant := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.Write([]byte("Server: x reports:\nOK"))
	})
	open := asker(f.t, g)
	for open() != nil { // before it has looked
		time.Sleep(time.Millisecond)
	}
	each := func(ask func() error) func() time.Duration {
		return func() time.Duration {
			began := time.Now()
			for range requests {
				if err := ask(); err != nil {
					f.t.Fatal(err)
				}
			}
			return time.Since(began) / requests
		}
	}
	ours, bare := alternate(times, each(open), each(asker(f.t, constant)))
	f.flat("an answer of the gate, with 200 probes, against one that is constant", ours, bare)
}

// asker serves h, and returns what asks it.
func asker(t *testing.T, h http.Handler) func() error {
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return func() error {
		req, err := http.NewRequest(http.MethodGet, server.URL, nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer sesame")
		resp, err := server.Client().Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
}
