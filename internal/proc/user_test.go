package proc

import (
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
)

func TestUIDs(t *testing.T) {
	uids, err := UIDs(t.Context(), os.Getpid())
	if err != nil || !slices.Contains(uids, uint32(os.Geteuid())) {
		t.Errorf("got %v, %v, want them to contain %d", uids, err, os.Geteuid())
	}
}

func TestUIDsOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: it takes root to become another user")
	}
	other := exec.Command("sleep", "60")
	other.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12345}}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	uids, err := UIDs(t.Context(), other.Process.Pid)
	if err != nil || !slices.Contains(uids, 12345) || slices.Contains(uids, 0) {
		t.Errorf("got %v, %v, want 12345 alone", uids, err)
	}
	other.Process.Kill()
	other.Wait()
	if uids, err := UIDs(t.Context(), other.Process.Pid); err == nil {
		t.Errorf("got %v for a process that has ended", uids)
	}
}
