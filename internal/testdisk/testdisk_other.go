//go:build !linux

package testdisk

import "testing"

// Full has a folder be a file system without room until the returned func is called, or
// the end of the test. Where nothing may be mounted the test is skipped.
func Full(t *testing.T, _ string) (end func()) {
	t.Skip("NOT TESTED: disks for this are Linux's tmpfs")
	return nil
}

// ReadOnly has a folder be an empty file system that cannot be written to, likewise.
func ReadOnly(t *testing.T, dir string) (end func()) { return Full(t, dir) }

// Small has a folder be an empty file system of so many bytes, of the folder's owner,
// likewise. grow gives it another size.
func Small(t *testing.T, dir string, _ int64) (grow func(bytes int64)) {
	Full(t, dir)
	return nil
}
