// Package realservers runs real servers for tests, from Debian's packages, each in a
// folder of its own and on a free port, until the end of the test.
package realservers

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	startWithin = 60 * time.Second
	stopWithin  = 20 * time.Second
)

// Server is one that runs.
type Server struct {
	Address string // HOST:PORT
	Port    string
	Dir     string // of its files

	t     testing.TB
	start func()
	ready func(*Server) error
	cmd   *exec.Cmd
	log   bytes.Buffer
	ended chan struct{}
}

// find returns the path of a program, or skips the test.
func find(t testing.TB, program, debianPackage string, more ...string) string {
	t.Helper()
	for _, candidate := range append([]string{program}, more...) {
		if all, _ := filepath.Glob(candidate); len(all) > 0 {
			return all[len(all)-1]
		}
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	t.Skipf("NOT TESTED with a real server: there is no %s; apt-get install %s", program, debianPackage)
	return ""
}

// folder is one for a server, which runs as another user if we are root.
func folder(t testing.TB, as string) (dir string, credential *syscall.Credential) {
	t.Helper()
	dir, err := os.MkdirTemp("", "rs") // the path of a socket must be short, which t.TempDir is not
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if as == "" || os.Getuid() != 0 {
		return dir, nil
	}
	u, err := user.Lookup(as)
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	return dir, &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// freePort is one that nobody listens at just now.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// run starts a server, and returns when ready says that it is. The command gets a port
// that was free; where somebody else was faster it is started again with another.
func run(t testing.TB, dir string, credential *syscall.Credential, command func(port string) *exec.Cmd, ready func(s *Server) error) *Server {
	t.Helper()
	for tries := 1; ; tries++ {
		port := freePort(t)
		s := &Server{t: t, Dir: dir, Port: port, Address: net.JoinHostPort("127.0.0.1", port), ready: ready}
		s.start = func() {
			cmd, ended := command(port), make(chan struct{})
			cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = dir, &s.log, &s.log, time.Second
			cmd.SysProcAttr = ownGroup()
			cmd.SysProcAttr.Credential = credential
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			go func() { cmd.Wait(); close(ended) }()
			s.cmd, s.ended = cmd, ended
		}
		s.start()
		t.Cleanup(func() { s.Kill() })
		err := s.await(ready)
		if err == nil {
			return s
		}
		s.Kill()
		if tries == 3 {
			t.Fatalf("%s: %v\n%s", s.cmd.Path, err, s.log.String())
		}
	}
}

func (s *Server) await(ready func(*Server) error) error {
	for deadline := time.Now().Add(startWithin); ; time.Sleep(20 * time.Millisecond) {
		err := ready(s)
		if err == nil {
			return nil
		}
		select {
		case <-s.ended:
			return fmt.Errorf("it has ended: %w", err)
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("it is not ready after %v: %w", startWithin, err)
		}
	}
}

// listens is ready of a server that is when it accepts connections.
func listens(s *Server) error {
	conn, err := net.Dial("tcp", s.Address)
	if err == nil {
		conn.Close()
	}
	return err
}

// Kill ends it, and all of its processes, at once.
func (s *Server) Kill() {
	select {
	case <-s.ended:
		return
	default:
	}
	syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	select {
	case <-s.ended:
	case <-time.After(stopWithin):
		s.t.Errorf("%s does not end", s.cmd.Path)
	}
}

// Start starts it again after Kill, with the files and at the port it had.
func (s *Server) Start() {
	s.t.Helper()
	for deadline := time.Now().Add(startWithin); ; time.Sleep(20 * time.Millisecond) { // its processes may have to end first
		s.start()
		err := s.await(s.ready)
		if err == nil {
			return
		}
		s.Kill()
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: %v\n%s", s.cmd.Path, err, s.log.String())
		}
	}
}

// Hang has it, and all of its processes, do nothing more until Go: connections are
// accepted by the system still.
func (s *Server) Hang() {
	s.t.Helper()
	s.signal(syscall.SIGSTOP)
	for deadline := time.Now().Add(stopWithin); running(s.cmd.Process.Pid); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("%s does not hang", s.cmd.Path)
		}
	}
}

// running reports whether a thread of a process is not stopped.
func running(pid int) bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, path := range threads {
		text, _ := os.ReadFile(path)
		_, after, found := strings.Cut(string(text), ") ")
		if found && !strings.HasPrefix(after, "T") {
			return true
		}
	}
	return false
}

// Go ends Hang.
func (s *Server) Go() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	// PostgreSQL's children are in groups of their own.
	for _, pid := range append(children(s.cmd.Process.Pid), s.cmd.Process.Pid) {
		if err := syscall.Kill(pid, sig); err != nil && pid == s.cmd.Process.Pid {
			s.t.Fatal(err)
		}
	}
}

// children are the processes of a process, and theirs.
func children(pid int) (all []int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
	for _, word := range strings.Fields(string(text)) {
		if child, err := strconv.Atoi(word); err == nil {
			all = append(append(all, child), children(child)...)
		}
	}
	return all
}

// Redis starts a Redis with a password, and TLS at the port where certificates are given.
func Redis(t testing.TB, password string, tls *Certificates) *Server {
	t.Helper()
	path := find(t, "redis-server", "redis-server")
	dir, _ := folder(t, "")
	return run(t, dir, nil, func(port string) *exec.Cmd {
		args := []string{"--save", "", "--appendonly", "no", "--requirepass", password, "--bind", "127.0.0.1", "--port", port}
		if tls != nil {
			args[len(args)-1] = "0"
			args = append(args, "--tls-port", port, "--tls-cert-file", tls.Cert, "--tls-key-file", tls.Key, "--tls-ca-cert-file", tls.CA, "--tls-auth-clients", "no")
		}
		return exec.Command(path, args...)
	}, listens)
}

// PostgreSQL starts a PostgreSQL whose user postgres has a password, with TLS where
// certificates are given.
func PostgreSQL(t testing.TB, password string, tls *Certificates) *Server {
	t.Helper()
	path := find(t, "postgres", "postgresql", "/usr/lib/postgresql/*/bin/postgres")
	dir, credential := folder(t, "postgres")
	secret := filepath.Join(dir, "password")
	write(t, secret, password+"\n", credential)
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(filepath.Dir(path), "initdb"), "-D", data, "-U", "postgres", "-A", "scram-sha-256", "--pwfile", secret, "-E", "UTF8", "--locale=C", "--no-sync")
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	settings := "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nfsync = off\n"
	if tls != nil {
		for name, from := range map[string]string{"server.crt": tls.Cert, "server.key": tls.Key} {
			text, err := os.ReadFile(from)
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(data, name), string(text), credential)
		}
		settings += "ssl = on\n"
	}
	f, err := os.OpenFile(filepath.Join(data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(settings)
	f.Close()
	return run(t, dir, credential, func(port string) *exec.Cmd { return exec.Command(path, "-D", data, "-p", port) }, func(s *Server) error {
		text, _ := os.ReadFile(filepath.Join(data, "postmaster.pid"))
		if pid, _, _ := strings.Cut(string(text), "\n"); pid != strconv.Itoa(s.cmd.Process.Pid) || !strings.Contains(string(text), "ready") { // but an older one was
			return fmt.Errorf("it is not ready")
		}
		return nil
	})
}

// MariaDB starts a MariaDB whose user probe has a password, with TLS where certificates
// are given.
func MariaDB(t testing.TB, password string, tls *Certificates) *Server {
	t.Helper()
	path := find(t, "mariadbd", "mariadb-server", "/usr/sbin/mariadbd")
	dir, credential := folder(t, "mysql")
	data := filepath.Join(dir, "data")
	install := exec.Command(find(t, "mariadb-install-db", "mariadb-server"), "--no-defaults", "--datadir="+data, "--tmpdir="+dir, "--auth-root-authentication-method=normal", "--skip-test-db")
	install.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("mariadb-install-db: %v\n%s", err, out)
	}
	start := filepath.Join(dir, "init.sql")
	write(t, start, "CREATE USER 'probe'@'%' IDENTIFIED BY '"+password+"';\n", credential)
	return run(t, dir, credential, func(port string) *exec.Cmd {
		args := []string{"--no-defaults", "--datadir=" + data, "--tmpdir=" + dir, "--socket=" + filepath.Join(dir, "s"), "--bind-address=127.0.0.1", "--port=" + port, "--init-file=" + start, "--skip-name-resolve", "--innodb-flush-log-at-trx-commit=0"}
		if tls != nil {
			args = append(args, "--ssl-cert="+tls.Cert, "--ssl-key="+tls.Key, "--ssl-ca="+tls.CA)
		}
		return exec.Command(path, args...)
	}, listens)
}

// Etcd starts a member of its own cluster.
func Etcd(t testing.TB) *Server {
	t.Helper()
	path := find(t, "etcd", "etcd-server")
	dir, _ := folder(t, "")
	peer := "http://127.0.0.1:" + freePort(t)
	return run(t, dir, nil, func(port string) *exec.Cmd {
		client := "http://127.0.0.1:" + port
		return exec.Command(path, "--data-dir", filepath.Join(dir, "data-"+port), "--listen-client-urls", client, "--advertise-client-urls", client,
			"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer, "--unsafe-no-fsync")
	}, listens)
}

// Nginx starts a web server that answers ok, with TLS where certificates are given.
func Nginx(t testing.TB, tls *Certificates) *Server {
	t.Helper()
	path := find(t, "nginx", "nginx-light", "/usr/sbin/nginx")
	dir, _ := folder(t, "")
	return run(t, dir, nil, func(port string) *exec.Cmd {
		listen := "listen 127.0.0.1:" + port + ";"
		if tls != nil {
			listen = fmt.Sprintf("listen 127.0.0.1:%s ssl; ssl_certificate %s; ssl_certificate_key %s;", port, tls.Cert, tls.Key)
		}
		conf := filepath.Join(dir, "nginx.conf")
		write(t, conf, fmt.Sprintf("daemon off; master_process off; pid %s/pid; error_log stderr;\nevents {}\nhttp { access_log off; server { %s location / { return 200 'ok\\n'; } location /down { return 503; } } }\n", dir, listen), nil)
		return exec.Command(path, "-p", dir, "-c", conf)
	}, listens)
}

// write writes a file for a server's user alone.
func write(t testing.TB, path, text string, owner *syscall.Credential) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if owner != nil {
		if err := os.Chown(path, int(owner.Uid), int(owner.Gid)); err != nil {
			t.Fatal(err)
		}
	}
}
