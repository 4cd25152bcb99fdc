package cli

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/spf13/pflag"

	"github.com/supervisor-checks/supervisor-checks/notify"
)

// Notify is supervisor_notify.
func Notify(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return newNotify().run(args, streams{stdin, stdout, stderr})
}

func newNotify() *Program {
	p := newProgram("supervisor_notify [option ...]", "Sends one heartbeat.", `Sends one heartbeat for its parent, a script that supervisord runs, so that supervisor_file_check
knows that it still works. Call it from a loop of the script, at least twice in the time that the
check allows.

Exit status: 0 sent, 1 not sent, 2 wrong command line.`)
	p.Example = `while :; do
	one_piece_of_work
	supervisor_notify
done`
	var (
		root string
		pid  number
	)
	p.section("Heartbeat", func(f *pflag.FlagSet) {
		f.StringVarP(&root, "root-dir", "d", "", "`FOLDER` of the notification files (default the temporary folder)")
		f.Var(&pid, "pid", "process id, as supervisorctl shows it, of the process the heartbeat is for (default the parent)")
	})
	return p.does(func(context.Context, streams) (int, error) {
		if p.Flags().Changed("pid") && pid <= 0 {
			return 0, usageError{errors.New("argument --pid: a process id is more than 0")}
		}
		group, name, err := notify.Identity()
		switch {
		case err != nil:
			return 1, err
		case pid == 0 && os.Getppid() == 1:
			return 1, errors.New("there is nobody to send it for: the parent has ended, or is process 1; say --pid PID")
		case pid == 0:
			pid = number(os.Getppid())
		}
		return 0, notify.Beat(root, group, name, int(pid))
	})
}
