package host

import (
	"bufio"
	"bytes"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/config"
)

// The log goes where the file says, at the level that it says.
func TestLogOutput(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := config.Read("f", []byte("log: {format: gelf, level: warn, output: 'tcp://"+l.Addr().String()+"'}\nwatch: [{processes: web, checks: [{tcp: {port: 80}}]}]\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	log, closeLog, err := newLog(&stderr, file.Log)
	if err != nil {
		t.Fatal(err)
	}
	log.Info("not this one")
	log.Error("web is restarted", "process", "web")
	closeLog()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	text, err := bufio.NewReader(conn).ReadString(0)
	if err != nil || !strings.Contains(text, `"_process":"web"`) || !strings.Contains(text, `"short_message":"web is restarted"`) || stderr.Len() > 0 {
		t.Errorf("%s, error %v, on standard error\n%s", text, err, &stderr)
	}
}
