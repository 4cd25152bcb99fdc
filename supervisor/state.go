package supervisor

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// StateDir chooses the folder for what must outlive a listener. A dir that is
// not "" is taken or refused; else it is the first that can be used of
// $STATE_DIRECTORY (systemd's), /run/supervisor-checks for root,
// .local/state/supervisor-checks in the home that the user's passwd entry names
// ($HOME is another's under supervisord), and supervisor-checks-UID in the
// temporary folder. It is made if it is missing, must be ours, and nobody else
// may write there.
func StateDir(dir string) (string, error) { return chooseDir(dir, "/run/supervisor-checks") }

// DataDir chooses the folder for what must outlive a boot of the machine, too. It is
// that of StateDir, but for root /var/lib/supervisor-checks where nothing else is said.
func DataDir(dir string) (string, error) { return chooseDir(dir, "/var/lib/supervisor-checks") }

// DataDirs are the folders that DataDir chooses from, for who only reads there.
func DataDirs(dir string) []string {
	if dir != "" {
		return []string{dir}
	}
	return candidates("/var/lib/supervisor-checks")
}

func chooseDir(dir, ofRoot string) (string, error) {
	if dir != "" {
		if err := claim(dir, 0o022); err != nil {
			err = fmt.Errorf("the state folder cannot be used: %w", err)
			if errors.Is(err, fs.ErrPermission) {
				err = fmt.Errorf("%w: %s", err, folderAdvice())
			}
			return "", err
		}
		return dir, nil
	}
	var refused error
	for _, candidate := range candidates(ofRoot) {
		err := claim(candidate, 0o022)
		if err == nil {
			return candidate, nil
		}
		if refused != nil {
			err = fmt.Errorf("%w; %w", refused, err)
		}
		refused = err
	}
	return "", fmt.Errorf("no state folder can be used: %w: %s", refused, folderAdvice())
}

// candidates are the folders to choose from where none is given.
func candidates(ofRoot string) []string {
	var all []string
	if systemd, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":"); systemd != "" {
		all = append(all, systemd)
	}
	uid := strconv.Itoa(os.Geteuid())
	if uid == "0" {
		all = append(all, ofRoot)
	} else if u, err := user.LookupId(uid); err == nil && u.HomeDir != "" {
		all = append(all, filepath.Join(u.HomeDir, ".local/state/supervisor-checks"))
	}
	all = append(all, filepath.Join(os.TempDir(), "supervisor-checks-"+uid))
	return all
}

// folderAdvice is what to do about a folder that is not ours.
func folderAdvice() string {
	return fmt.Sprintf("pass --state-dir with a folder that user %[1]s owns, made with `install -d -o %[1]s -m 700 FOLDER`", whoAmI())
}

// foreignError is that of a folder which belongs to another user.
type foreignError struct {
	dir   string
	owner uint32
}

func (e *foreignError) Error() string {
	return fmt.Sprintf("%s belongs to user %d, not to user %d, who runs this", e.dir, e.owner, os.Geteuid())
}

func (e *foreignError) Is(target error) bool { return target == fs.ErrPermission }

// claim makes a folder, or makes sure that it is ours and that nobody else has
// the forbidden permissions.
func claim(dir string, forbidden fs.FileMode) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return &fs.PathError{Op: "lstat", Path: dir, Err: err}
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return fmt.Errorf("%s is not a folder", dir)
	case int(st.Uid) != os.Geteuid():
		return &foreignError{dir, st.Uid}
	case fs.FileMode(st.Mode)&forbidden != 0:
		return fmt.Errorf("%s may be used by others: chmod 700 it", dir)
	}
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return &fs.PathError{Op: "access", Path: dir, Err: err}
	}
	return nil
}

// intent is a restart that has begun: enough for another listener to finish it.
type intent struct {
	Group string `json:"group"`
	Name  string `json:"name"`

	// The run that is to end.
	PID     int   `json:"pid"`
	Started int64 `json:"started"`

	At       int64  `json:"at"`                 // supervisord's clock when it may last have begun to stop it
	StopWait int    `json:"stop_wait"`          // seconds until supervisord kills the process
	Stopping bool   `json:"stopping,omitempty"` // our stop was seen to have its effect on that run or, by the Go supervisord, accepted
	Before   bool   `json:"before,omitempty"`   // supervisord has not been told to stop it yet, but it may end by itself
	Unseen   bool   `json:"unseen,omitempty"`   // it has not been looked at since supervisord was told to stop it, or was about to be
	Starting bool   `json:"starting"`           // it has stopped, and is being started
	Daemon   int    `json:"supervisord_pid"`    // of the supervisord that ran it
	Boot     string `json:"boot_id,omitempty"`  // of the system, where it has one
}

func (i intent) namespec() string { return Process{Group: i.Group, Name: i.Name}.Namespec() }

// sameRun reports whether p has not been started anew since the intent.
func (i intent) sameRun(p Process) bool {
	return instant(i.Started).Equal(p.Started) && (p.PID == i.PID || p.PID == 0)
}

// limit is the latest time at which supervisord has stopped a process that it
// was told to stop for the intent.
func (i intent) limit() time.Time {
	const slack = 2 * time.Second // of a clock that counts seconds, and of killing
	return instant(i.At).Add(time.Duration(i.StopWait)*time.Second + slack)
}

// stoppedBy reports whether the intent can be why p has stopped. It may have
// met a run that began in the moment before it.
func (i intent) stoppedBy(p Process) bool {
	return (i.sameRun(p) || p.State != Exited && i.met(p)) && p.PID == 0 && !p.Stopped.After(i.limit())
}

// met reports whether p is a run that the stop of the intent may have met in
// place of its own: it began in the moment between our look and our stop.
func (i intent) met(p Process) bool {
	const moment = time.Second // of a clock that counts seconds
	return !i.Starting && !i.Stopping && !i.sameRun(p) && !p.Started.IsZero() && !p.Started.After(instant(i.At).Add(moment))
}

// journal keeps the intents of one supervisord, a file each, beside a lock file
// each. Whoever holds the lock of a process owns its intent, so an intent whose
// lock is free is one that a listener left behind when it was killed.
type journal struct{ dir string }

// Journal files end in the version of their format. A newer version has
// another end, so that neither takes the other's for its own.
const (
	intentSuffix = ".intent.v1.json"
	lockSuffix   = ".lock"
	placeSuffix  = ".place"
)

// openJournal opens the journal, within a state folder, of the supervisord with
// that address and identifier.
func openJournal(stateDir, address, identifier string) (*journal, error) {
	sum := sha256.Sum256([]byte(address + "\x00" + identifier))
	j := &journal{filepath.Join(stateDir, fmt.Sprintf("%s-%x", fileName(identifier), sum[:4]))}
	if err := claim(j.dir, 0o077); err != nil {
		return nil, fmt.Errorf("open the journal of restarts: %w", err)
	}
	return j, nil
}

// fileName makes any name fit for a file: the same for the same name, another
// for another.
func fileName(name string) string {
	const enough = 100
	escaped := url.QueryEscape(name)
	if escaped == "" || escaped[0] == '.' || len(escaped) > enough {
		sum := sha256.Sum256([]byte(name))
		escaped = fmt.Sprintf("%x+%.60s", sum[:8], strings.TrimLeft(escaped, "."))
	}
	return escaped
}

// lock takes the lock of one process, or returns ErrBusy. It lasts until
// release, which removes its file, or the end of this process, however that
// comes.
func (j *journal) lock(namespec string) (release func(), err error) {
	return lockFile(filepath.Join(j.dir, fileName(namespec)+lockSuffix))
}

func lockFile(path string) (release func(), err error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
		if errors.Is(err, fs.ErrNotExist) { // somebody has cleaned up
			if err = claim(filepath.Dir(path), 0o077); err == nil {
				f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrJournal, err)
		}
		var st unix.Stat_t
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
			err = unix.Fstat(int(f.Fd()), &st)
		}
		switch {
		case errors.Is(err, unix.EWOULDBLOCK):
			f.Close()
			return nil, ErrBusy
		case err != nil:
			f.Close()
			return nil, fmt.Errorf("%w: lock %s: %w", ErrJournal, f.Name(), err)
		case st.Nlink > 0:
			return func() {
				os.Remove(f.Name())
				f.Close()
			}, nil
		}
		f.Close() // who held it has removed it since it was opened
	}
}

// place takes one of the places of a group that listeners share, for a process. A
// process that has an intent counts even if nobody has its place any more, because
// its listener was killed, but not for longer than it may take.
func (j *journal) place(group, namespec string, most int, takes time.Duration) (release func(), err error) {
	others := make(map[string]bool)
	for n := range most {
		path := filepath.Join(j.dir, fmt.Sprintf("%s.%d%s", fileName(group), n, placeSuffix))
		free, err := lockFile(path)
		switch {
		case errors.Is(err, ErrBusy):
			holder, _ := os.ReadFile(path) // empty when it has just been taken
			others[cmp.Or(string(holder), path)] = true
		case err != nil:
			return nil, err
		case release == nil:
			release = free
			if err := os.WriteFile(path, []byte(namespec), 0o600); err != nil {
				free()
				return nil, fmt.Errorf("%w: %w", ErrJournal, err)
			}
		default:
			free()
		}
	}
	intents, _ := j.list()
	for _, i := range intents {
		if i.Group == group && i.namespec() != namespec && time.Since(instant(i.At)) < takes {
			others[i.namespec()] = true
		}
	}
	if len(others) < most && release != nil {
		return release, nil
	}
	if release != nil {
		release()
	}
	return nil, fmt.Errorf("%w: %s", ErrNoPlace, strings.Join(slices.Sorted(maps.Keys(others)), ", "))
}

func (j *journal) path(namespec string) string {
	return filepath.Join(j.dir, fileName(namespec)+intentSuffix)
}

// write puts an intent in its place, whole or not at all. It need not reach the
// disk: an intent does not outlive the system, only this process.
func (j *journal) write(i intent) error {
	data, err := json.Marshal(i)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrJournal, err)
	}
	path := j.path(i.namespec())
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		os.Remove(path + ".new")
		return fmt.Errorf("%w: %w", ErrJournal, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("%w: %w", ErrJournal, err)
	}
	return nil
}

// clear removes the intent of a process, if there is one.
func (j *journal) clear(namespec string) error {
	if err := os.Remove(j.path(namespec)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrJournal, err)
	}
	return nil
}

// list returns the intents, and an error for each file that holds none that we
// can use; such a file is left alone.
func (j *journal) list() (intents []intent, unusable []error) {
	entries, err := os.ReadDir(j.dir)
	if err != nil {
		return nil, []error{fmt.Errorf("%w: %w", ErrJournal, err)}
	}
	for _, entry := range entries {
		path := filepath.Join(j.dir, entry.Name())
		switch {
		case strings.HasSuffix(path, intentSuffix):
			i, err := readIntent(path)
			if err != nil {
				unusable = append(unusable, fmt.Errorf("%w: %s: %w", ErrJournal, path, err))
				continue
			}
			intents = append(intents, i)
		case strings.Contains(path, ".intent.v") && strings.HasSuffix(path, ".json"):
			unusable = append(unusable, fmt.Errorf("%w: %s is of a newer version; the restart in it is left to that", ErrJournal, path))
		}
	}
	return intents, unusable
}

func readIntent(path string) (i intent, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return intent{}, err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return intent{}, err
	}
	if int(st.Uid) != os.Geteuid() {
		return intent{}, fmt.Errorf("it belongs to user %d, not to user %d, who runs this", st.Uid, os.Geteuid())
	}
	if err := json.NewDecoder(f).Decode(&i); err != nil {
		return intent{}, fmt.Errorf("it is torn: %w; if a process it names is stopped, start it", err)
	}
	if filepath.Base(path) != fileName(i.namespec())+intentSuffix {
		return intent{}, fmt.Errorf("it is about %q, as its name is not", i.namespec())
	}
	return i, nil
}

// bootID returns the id of this run of the system, or "" where it has none.
func bootID() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id))
}
