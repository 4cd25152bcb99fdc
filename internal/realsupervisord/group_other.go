//go:build !linux

package realsupervisord

import "syscall"

// ownGroup puts supervisord into a process group of its own.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
