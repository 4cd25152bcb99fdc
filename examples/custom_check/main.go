// Command custom_check is an event listener with a check of its own: it
// restarts a process of the group web for which there is a file NAME.stuck.
package main

import (
	"context"
	"errors"
	"log"
	"os"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/runner"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

func notStuck(_ context.Context, p supervisor.Process) error {
	if _, err := os.Stat(p.Name + ".stuck"); err == nil {
		return errors.New("it says that it is stuck")
	}
	return nil
}

func main() {
	config := runner.Config{Groups: []string{"web"}, Checks: []checks.Check{checks.Func("stuck", notStuck)}}
	if err := runner.Run(context.Background(), config); err != nil {
		log.Fatal(err)
	}
}
