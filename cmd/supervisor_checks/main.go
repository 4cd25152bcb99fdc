// Command supervisor_checks is an event listener that does what a file says, and
// speaks to running listeners; see --help.
package main

import (
	"os"

	"github.com/supervisor-checks/supervisor-checks/internal/host"
)

func main() { os.Exit(host.Main(os.Args[1:], os.Stdout, os.Stderr)) }
