package checks

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

// TestForbiddenSocket checks a process whose socket is another user's. Root may
// open any socket, so for root the test runs itself as nobody.
func TestForbiddenSocket(t *testing.T) {
	const forbidden = "CHECKS_TEST_FORBIDDEN_FOLDER"
	dir := os.Getenv(forbidden)
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "checks"); err != nil { // shorter than t.TempDir
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		listen(t, "unix", filepath.Join(dir, "web.sock"), hangUp)
		if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(filepath.Join(dir, "web.sock"), 0)); err != nil {
			t.Fatal(err)
		}
		if os.Geteuid() == 0 {
			cmd := exec.Command(os.Args[0], "-test.run=^TestForbiddenSocket$", "-test.v")
			cmd.Env = append(os.Environ(), forbidden+"="+dir)
			out, err := cmd.CombinedOutput()
			switch {
			case err != nil:
				t.Errorf("as nobody: %v\n%s", err, out)
			case strings.Contains(string(out), "--- SKIP"):
				t.Skipf("NOT TESTED: %s", out)
			}
			return
		}
	} else if err := syscall.Setuid(65534); err != nil {
		t.Skipf("NOT TESTED: root cannot become nobody: %v", err)
	}
	me, err := user.LookupId(strconv.Itoa(os.Geteuid()))
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "web.sock")
	made := func(c Check, err error) Check {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	tcp, tcpErr := NewTCP(TCPConfig{UnixSocket: socket, Retries: 9})
	http, httpErr := NewHTTP(HTTPConfig{UnixSocket: socket, Retries: 9})
	path, pathErr := NewXMLRPC(XMLRPCConfig{SocketPath: socket, Retries: 9})
	folder, folderErr := NewXMLRPC(XMLRPCConfig{SocketDir: dir, Retries: 9})
	for _, c := range []Check{made(tcp, tcpErr), made(http, httpErr), made(path, pathErr), made(folder, folderErr)} {
		r := c.Run(t.Context(), supervisor.Process{Name: "web"})
		want := "cannot tell: dial unix " + socket + ": connect: permission denied: user " + me.Username + " may not open the socket: " +
			"let that user write to it, with chmod or chown of it and its folder, or set user= in the [eventlistener] section"
		if r.Status != Unknown || text(r.Err) != want || !errors.Is(r.Err, syscall.EACCES) {
			t.Errorf("%s: got %v, %v, want unknown, %s", c.Name(), r.Status, r.Err, want)
		}
	}
}
