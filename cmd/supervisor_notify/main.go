// Command supervisor_notify sends a heartbeat; see --help.
package main

import (
	"os"

	"github.com/supervisor-checks/supervisor-checks/internal/cli"
)

func main() { os.Exit(cli.Notify(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
