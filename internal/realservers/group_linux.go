package realservers

import "syscall"

// ownGroup puts a server into a process group of its own, and ends it when the test is
// killed.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
