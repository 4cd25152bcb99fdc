package checks_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/supervisor-checks/supervisor-checks/checks"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// A custom check is a name and a function.
func ExampleFunc() {
	check := checks.Func("lock", func(ctx context.Context, p supervisor.Process) error {
		if _, err := os.Stat("/nowhere/" + p.Name + ".lock"); err != nil {
			return errors.New("it has lost its lock")
		}
		return nil
	})

	result := check.Run(context.Background(), supervisor.Process{Group: "web", Name: "web_1"})
	fmt.Println(check.Name(), result.Status, result.Err)
	// Output: lock unhealthy it has lost its lock
}

// What is wrong with a configuration is known before anything is checked.
func ExampleNewTCP() {
	_, err := checks.NewTCP(checks.TCPConfig{Port: "70000"})
	fmt.Println(err)

	var bad *checks.ConfigError
	if errors.As(err, &bad) {
		fmt.Println(bad.Check, bad.Field)
	}
	// Output:
	// tcp: port: "70000" is not between 1 and 65535
	// tcp port
}
