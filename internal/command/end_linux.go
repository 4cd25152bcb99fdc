package command

import (
	"os/exec"

	"golang.org/x/sys/unix"
)

// end returns when a program has ended. Until reap is called, which returns what Wait does,
// its process group keeps its number, even if nobody is left in it.
func end(cmd *exec.Cmd) (reap func() error) {
	for {
		err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return cmd.Wait
		}
	}
}
