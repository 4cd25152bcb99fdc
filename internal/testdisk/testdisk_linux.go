package testdisk

import (
	"testing"

	"golang.org/x/sys/unix"
)

// Full has a folder be a file system without room until the returned func is called, or
// the end of the test. Where nothing may be mounted the test is skipped.
func Full(t *testing.T, dir string) (end func()) {
	t.Helper()
	return mount(t, dir, 0)
}

// ReadOnly has a folder be an empty file system that cannot be written to, likewise.
func ReadOnly(t *testing.T, dir string) (end func()) {
	t.Helper()
	return mount(t, dir, unix.MS_RDONLY)
}

func mount(t *testing.T, dir string, flags uintptr) (end func()) {
	t.Helper()
	if err := unix.Mount("none", dir, "tmpfs", flags, "nr_inodes=1,mode=700"); err != nil {
		t.Skipf("NOT TESTED: a disk for this needs the right to mount one: %v", err)
	}
	end = func() { unix.Unmount(dir, unix.MNT_DETACH) }
	t.Cleanup(end)
	return end
}
