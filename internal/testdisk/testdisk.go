// Package testdisk makes folders that cannot be written to, for tests.
package testdisk
