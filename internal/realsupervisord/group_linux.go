package realsupervisord

import "syscall"

// ownGroup puts supervisord into a process group of its own, and stops it when
// the test is killed.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
