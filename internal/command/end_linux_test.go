package command

import (
	"os/exec"
	"syscall"
	"testing"
)

// TestEndKeepsTheNumber has the number of a program that has ended be nobody else's until it
// is reaped.
func TestEndKeepsTheNumber(t *testing.T) {
	cmd := exec.Command("sh", "-c", "exit 7")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	reap := end(cmd)
	if err := syscall.Kill(-cmd.Process.Pid, 0); err != nil {
		t.Errorf("its group: %v", err)
	}
	if err := exitError(reap()); err == nil || err.Error() != "it exited with status 7" {
		t.Errorf("it has ended with %v", err)
	}
	if err := syscall.Kill(-cmd.Process.Pid, 0); err != syscall.ESRCH {
		t.Errorf("its group, when it is reaped: %v", err)
	}
}
