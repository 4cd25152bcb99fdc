// Command supervisor_checks speaks to running listeners; see --help.
package main

import (
	"os"

	"github.com/supervisor-checks/supervisor-checks/internal/host"
)

func main() { os.Exit(host.Main(os.Args[1:], os.Stdout, os.Stderr)) }
