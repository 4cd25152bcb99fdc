package main

import (
	"io"
	"log"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/supervisor-checks/supervisor-checks/notify"
)

// worker serves /ping and sends heartbeats, until it is asked for /hang, /fail
// or /stop.
func worker(port string) {
	var hanging, failing, stopped atomic.Bool
	heartbeat, err := notify.Open("")
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		for ; ; time.Sleep(time.Second) {
			if stopped.Load() {
				continue
			}
			if _, err := heartbeat.Notify(); err != nil {
				log.Fatal(err)
			}
		}
	}()
	http.HandleFunc("/ping", func(w http.ResponseWriter, r *http.Request) {
		if hanging.Load() {
			select {}
		}
		if failing.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
		io.WriteString(w, "pong\n")
	})
	for path, flag := range map[string]*atomic.Bool{"/hang": &hanging, "/fail": &failing, "/stop": &stopped} {
		http.HandleFunc(path, func(http.ResponseWriter, *http.Request) { flag.Store(true) })
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:"+port, nil))
}
