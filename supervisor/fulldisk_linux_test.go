package supervisor_test

import (
	"testing"

	"golang.org/x/sys/unix"
)

// fillUp makes a folder a file system without room.
func fillUp(t *testing.T, dir string) {
	t.Helper()
	if err := unix.Mount("none", dir, "tmpfs", 0, "nr_inodes=1,mode=700"); err != nil {
		t.Skipf("a full disk needs the right to mount one: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
}
