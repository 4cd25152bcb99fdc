package prober_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/supervisor-checks/supervisor-checks/prober"
)

// A main function would call Main with it.
func ExampleRun() {
	queue := prober.Prober{
		Metric: "queue_latency_msec",
		Probe: func(ctx context.Context) error {
			prober.Add(ctx, "queue_length", 1024)
			return errors.New("the queue is full")
		},
	}
	status := prober.Run(queue, []string{"--output", "nagios"}, os.Stdin, os.Stdout, os.Stderr)
	fmt.Println("exit status", status)
	// Output:
	// QUEUE_LATENCY CRITICAL - the queue is full | 'queue_length'=1024
	// exit status 2
}

func ExampleMain() {
	prober.Main(prober.Prober{
		Metric:      "publish_latency_msec",
		About:       "Publishes an article, and waits until it can be read.",
		Timeout:     time.Minute,
		DevelopOnly: true, // it would be in the newspaper
		Production:  prober.On(os.Getenv("PRODUCTION")),
		Probe:       func(context.Context) error { return nil },
	})
}

func ExampleSession() {
	prober.Main(prober.Prober{
		Metric: "projects_latency_msec",
		Probe: func(ctx context.Context) error {
			s, err := prober.NewSession("http://127.0.0.1:8080", http.Header{"User-Agent": {"projects-prober"}})
			if err != nil {
				return err
			}
			if err := s.Login(ctx, "/login", url.Values{"username": {"a@a.com"}, "password": {os.Getenv("PASSWORD")}}); err != nil {
				return err
			}
			_, err = s.Get(ctx, "/projects", 200)
			return err
		},
	})
}
