// Command heartbeat_worker is a worker that says that it still works. Run by
// supervisord, it is watched by supervisor_file_check.
package main

import (
	"log"
	"time"

	"github.com/supervisor-checks/supervisor-checks/notify"
)

func main() {
	heartbeat, err := notify.Open("")
	if err != nil {
		log.Fatal(err)
	}
	defer heartbeat.Close()
	for {
		work()
		if _, err := heartbeat.Notify(); err != nil {
			log.Print(err)
		}
	}
}

func work() { time.Sleep(time.Second) }
