// Command supervisor_script_check is an event listener of supervisord; see --help.
package main

import (
	"os"

	"github.com/supervisor-checks/supervisor-checks/internal/cli"
)

func main() { os.Exit(cli.Script(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
