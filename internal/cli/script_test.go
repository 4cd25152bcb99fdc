package cli

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/supervisor-checks/supervisor-checks/internal/scripttest"
)

func TestMain(m *testing.M) {
	program := func(run func([]string, io.Reader, io.Writer, io.Writer) int) func() {
		return func() {
			sockets = []string{filepath.Join(os.Getenv("WORK"), scripttest.SocketName)} // not a real supervisord's
			os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
		}
	}
	testscript.Main(m, map[string]func(){
		"supervisor_complex_check": program(Complex),
		"supervisor_cpu_check":     program(CPU),
		"supervisor_file_check":    program(File),
		"supervisor_http_check":    program(HTTP),
		"supervisor_memory_check":  program(Memory),
		"supervisor_notify":        program(Notify),
		"supervisor_script_check":  program(Script),
		"supervisor_tcp_check":     program(TCP),
		"supervisor_xmlrpc_check":  program(XMLRPC),
	})
}

func TestHTTP(t *testing.T)    { scripttest.Run(t, "testdata/http") }
func TestTCP(t *testing.T)     { scripttest.Run(t, "testdata/tcp") }
func TestFile(t *testing.T)    { scripttest.Run(t, "testdata/file") }
func TestNotify(t *testing.T)  { scripttest.Run(t, "testdata/notify") }
func TestXMLRPC(t *testing.T)  { scripttest.Run(t, "testdata/xmlrpc") }
func TestMemory(t *testing.T)  { scripttest.Run(t, "testdata/memory") }
func TestCPU(t *testing.T)     { scripttest.Run(t, "testdata/cpu") }
func TestScript(t *testing.T)  { scripttest.Run(t, "testdata/script") }
func TestComplex(t *testing.T) { scripttest.Run(t, "testdata/complex") }
