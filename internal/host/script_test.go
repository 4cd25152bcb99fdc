package host

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/supervisor-checks/supervisor-checks/internal/scripttest"
)

// asProgram in the environment has the test binary be supervisor_checks.
const asProgram = "HOST_TEST_IS_SUPERVISOR_CHECKS"

func TestMain(m *testing.M) {
	program := func() { os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr)) }
	if os.Getenv(asAnswers) != "" {
		answers()
		os.Exit(0)
	}
	if os.Getenv(asProgram) != "" {
		program()
	}
	testscript.Main(m, map[string]func(){"supervisor_checks": program})
}

// TestScripts runs each command, with all that it prints.
func TestScripts(t *testing.T) { scripttest.Run(t, "testdata/scripts") }
