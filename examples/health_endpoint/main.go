// Command health_endpoint is a web service that says at /_health whether what it depends
// on can be used, with no supervisord anywhere.
package main

import (
	"errors"
	"log"
	"net/http"
	"os"

	"github.com/supervisor-checks/supervisor-checks/health"
	"github.com/supervisor-checks/supervisor-checks/probes/postgres"
	"github.com/supervisor-checks/supervisor-checks/probes/redis"
)

func main() {
	handler, err := service(os.Getenv("REDIS_URL"), os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", handler))
}

func service(redisURL, databaseURL string) (http.Handler, error) {
	cache, err := redis.New(redis.Config{Name: "cache", URL: redisURL})
	if err != nil {
		return nil, err
	}
	db, err := postgres.New(postgres.Config{Name: "db", DSN: databaseURL})
	if err != nil {
		return nil, err
	}
	prober := health.NewProber(health.ProberConfig{})
	if err := errors.Join(prober.Add(cache), prober.Add(db)); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/_health", health.Handler(prober))
	mux.Handle("/_health/", health.Handler(prober))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("hello\n")) })
	return mux, nil
}
