package notify

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ctime is in a file of its own for its import: the package itself has the
// standard library only.
func ctime(t *testing.T, path string) time.Time {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return time.Unix(st.Ctim.Unix())
}
