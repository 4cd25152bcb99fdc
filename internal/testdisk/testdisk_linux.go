package testdisk

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// Full has a folder be a file system without room until the returned func is called, or
// the end of the test. Where nothing may be mounted the test is skipped.
func Full(t *testing.T, dir string) (end func()) {
	t.Helper()
	return mount(t, dir, 0, "nr_inodes=1")
}

// Small has a folder be an empty file system of so many bytes, of the folder's owner,
// likewise. grow gives it another size.
func Small(t *testing.T, dir string, bytes int64) (grow func(bytes int64)) {
	t.Helper()
	var owner unix.Stat_t
	if err := unix.Stat(dir, &owner); err != nil {
		t.Fatal(err)
	}
	mount(t, dir, 0, fmt.Sprintf("uid=%d,gid=%d,size=%d", owner.Uid, owner.Gid, bytes))
	return func(bytes int64) {
		if err := unix.Mount("none", dir, "tmpfs", unix.MS_REMOUNT, fmt.Sprintf("size=%d", bytes)); err != nil {
			t.Error(err)
		}
	}
}

// ReadOnly has a folder be an empty file system that cannot be written to, likewise.
func ReadOnly(t *testing.T, dir string) (end func()) {
	t.Helper()
	return mount(t, dir, unix.MS_RDONLY, "nr_inodes=1")
}

func mount(t *testing.T, dir string, flags uintptr, options string) (end func()) {
	t.Helper()
	if err := unix.Mount("none", dir, "tmpfs", flags, "mode=700,"+options); err != nil {
		t.Skipf("NOT TESTED: a disk for this needs the right to mount one: %v", err)
	}
	end = func() { unix.Unmount(dir, unix.MNT_DETACH) }
	t.Cleanup(end)
	return end
}
