package notify_test

import (
	"log"

	"github.com/supervisor-checks/supervisor-checks/notify"
)

// A worker opens its notification file once and sends a heartbeat whenever it
// has got something done. Started by hand it runs all the same.
func Example() {
	heartbeat, err := notify.Open("")
	if err != nil {
		log.Printf("running without heartbeats: %v", err)
	}
	defer heartbeat.Close()

	for range 3 {
		// … work …
		if _, err := heartbeat.Notify(); err != nil {
			log.Print(err)
		}
	}
	// Output:
}
