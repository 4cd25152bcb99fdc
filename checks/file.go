package checks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/supervisor-checks/supervisor-checks/internal/proc"
	"github.com/supervisor-checks/supervisor-checks/notify"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// ErrNoHeartbeat is wrapped by the error of a result when there is no
// notification file.
var ErrNoHeartbeat = errors.New("no heartbeat")

// FileConfig configures a heartbeat file check.
type FileConfig struct {
	// MaxAge is how old a heartbeat may be. It is required.
	MaxAge time.Duration

	// Path is the file to look at, for every process alike. "" means the
	// process's own notification file under Root.
	Path string

	// Root is the folder of the notification files. "" means notify.Root, as
	// our own environment gives it when the check is made.
	Root string

	// FailOnError makes a file that cannot be judged Unhealthy instead of
	// Unknown. That includes a missing one, once the process has been up for
	// longer than MaxAge.
	FailOnError bool

	// Now is the clock to compare with. nil means time.Now.
	Now func() time.Time
}

// File checks the heartbeat of a process: the time at which the inode of its
// notification file was last changed. Package notify says how to send one.
type File struct {
	cfg FileConfig
}

// NewFile returns the check that cfg describes, or a *ConfigError.
func NewFile(cfg FileConfig) (*File, error) {
	if cfg.MaxAge <= 0 {
		return nil, refuse("file", "max-age", "%v is not more than 0", cfg.MaxAge)
	}
	if cfg.Path == "" && cfg.Root == "" {
		cfg.Root = notify.Root()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &File{cfg}, nil
}

// Name returns "file".
func (c *File) Name() string { return "file" }

// Run compares the age of p's newest heartbeat, the metric age_seconds, with
// MaxAge. Older is Unhealthy; a heartbeat from the future is fresh.
//
// A file that cannot be judged is Unknown, or Unhealthy with FailOnError. It is
// missing (ErrNoHeartbeat), cannot be reached, is a symbolic link, or belongs to
// somebody else than p's user, root and ourselves. A missing file is Unknown for
// the first MaxAge of p's life even with FailOnError: p has had no time to send
// a heartbeat, and a restart would only give it as little again. Here
// supervisor_checks restarts.
//
// A process that does not run, whose name cannot be part of a file name, or
// whose user cannot be found out when it matters is always Unknown.
func (c *File) Run(ctx context.Context, p supervisor.Process) Result {
	if p.PID == 0 {
		return Unsure(errors.New("the process does not run"))
	}
	path := c.cfg.Path
	if path == "" {
		if path = notify.Path(c.cfg.Root, p.Group, p.Name, p.PID); path == "" {
			return Unsure(fmt.Errorf("%q cannot be part of a file name", p.Namespec()))
		}
	}
	changed, err := heartbeat(ctx, path, p.PID)
	if err != nil {
		tooEarly := errors.Is(err, ErrNoHeartbeat) && p.Uptime <= c.cfg.MaxAge
		if !c.cfg.FailOnError || tooEarly || errors.Is(err, ErrUnknown) {
			return Unsure(err)
		}
		return Fail(err)
	}
	age := max(c.cfg.Now().Sub(changed), 0)
	r := Pass()
	if age > c.cfg.MaxAge {
		r = Fail(fmt.Errorf("the last heartbeat is %v old, more than %v: %s", age.Round(time.Millisecond), c.cfg.MaxAge, path))
	}
	r.Metrics = map[string]float64{"age_seconds": age.Seconds()}
	return r
}

// heartbeat returns when the inode at path was last changed, after making sure
// that the process pid may be the one who did it.
func heartbeat(ctx context.Context, path string, pid int) (time.Time, error) {
	var st unix.Stat_t
	err := unix.Lstat(path, &st)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return time.Time{}, fmt.Errorf("%w: there is no %s: the process never sent one, sends it under another pid, or has another TMPDIR than this check (set it, or -d, to the same folder)", ErrNoHeartbeat, path)
	case err != nil:
		return time.Time{}, &os.PathError{Op: "lstat", Path: path, Err: err}
	case st.Mode&unix.S_IFMT == unix.S_IFLNK:
		return time.Time{}, fmt.Errorf("%s is a symbolic link, which anybody could have put there", path)
	}
	if st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		uids, err := proc.UIDs(ctx, pid)
		if err != nil {
			return time.Time{}, fmt.Errorf("%w whether user %d, who owns %s, is the user of the process: %w", ErrUnknown, st.Uid, path, err)
		}
		if !slices.Contains(uids, st.Uid) {
			return time.Time{}, fmt.Errorf("%s belongs to user %d, who is neither the user of the process nor root nor ourselves", path, st.Uid)
		}
	}
	return time.Unix(st.Ctim.Unix()), nil
}
