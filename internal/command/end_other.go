//go:build !linux

package command

import "os/exec"

// end returns when a program has ended, and with reap, what Wait has returned then.
func end(cmd *exec.Cmd) (reap func() error) {
	err := cmd.Wait()
	return func() error { return err }
}
