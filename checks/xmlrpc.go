package checks

import (
	"bytes"
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/kolo/xmlrpc"

	"github.com/supervisor-checks/supervisor-checks/internal/foreign"
	"github.com/supervisor-checks/supervisor-checks/internal/httpcheck"
	"github.com/supervisor-checks/supervisor-checks/supervisor"
)

const (
	// DefaultXMLRPCTimeout is how long a try of XMLRPC may take when
	// XMLRPCConfig.Timeout is 0.
	DefaultXMLRPCTimeout = 15 * time.Second

	// DefaultXMLRPCMethod is what XMLRPC calls when XMLRPCConfig.Method is "".
	DefaultXMLRPCMethod = "status"
)

// XMLRPCConfig configures an XML-RPC check. One of URL, SocketPath and SocketDir
// is required, and no more than one.
type XMLRPCConfig struct {
	// URL is the path of the XML-RPC server at Host and Port: "/RPC2". It is
	// sent as that of HTTPConfig.
	URL string

	// Port is a port number, or a regular expression with one group that
	// finds the number in the process name: `web_(\d+)` finds 8001 in
	// "web_8001". It is required with URL. The syntax is that of package
	// regexp.
	Port string

	// Host is the name or IP address of the host to dial. "" means 127.0.0.1.
	Host string

	// SocketPath is the path of a stream socket, with or without "unix://"
	// before it. /RPC2 is asked there, with localhost as Host header.
	SocketPath string

	// SocketDir is the folder of such sockets, with or without "unix://": that
	// of the process called NAME, in whatever group, is NAME.sock.
	SocketDir string

	// Method is the name of the method to call. It gets no parameters. ""
	// means DefaultXMLRPCMethod.
	Method string

	// Username and Password are sent as basic authentication, unless Username
	// is "". The password may be empty.
	Username, Password string

	// Timeout bounds one try, from the name lookup to the end of the answer. 0
	// means DefaultXMLRPCTimeout.
	Timeout time.Duration

	// Retries is how often a failed try is repeated within one run, after
	// pauses of 3 s, 6 s, 9 s … 0 or less means never. A fault is not repeated.
	Retries int
}

// XMLRPC checks that a process answers an XML-RPC call with anything but a
// fault.
type XMLRPC struct {
	endpoint  endpoint
	socketDir string // instead
	exchange  *httpcheck.Exchange
	retries   int
}

// NewXMLRPC returns the check that cfg describes, or a *ConfigError.
func NewXMLRPC(cfg XMLRPCConfig) (*XMLRPC, error) {
	c := &XMLRPC{retries: cfg.Retries}
	if err := c.setServer(cfg); err != nil {
		return nil, err
	}
	header, body, err := encodeCall(cmp.Or(cfg.Method, DefaultXMLRPCMethod))
	if err != nil {
		return nil, err
	}
	c.exchange, err = newExchange("xmlrpc", httpcheck.Config{
		Scheme:    "http",
		Method:    http.MethodPost,
		URL:       cmp.Or(cfg.URL, "/RPC2"),
		Header:    header,
		Body:      body,
		Username:  cfg.Username,
		Password:  cfg.Password,
		UserAgent: "xmlrpc_check",
		Timeout:   cmp.Or(cfg.Timeout, DefaultXMLRPCTimeout),
		Judge:     judgeMethodResponse,
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// setServer fills in where c connects to.
func (c *XMLRPC) setServer(cfg XMLRPCConfig) (err error) {
	var given []string
	for _, setting := range []struct{ field, value string }{
		{"url", cfg.URL}, {"socket-path", cfg.SocketPath}, {"socket-dir", cfg.SocketDir},
	} {
		if setting.value != "" {
			given = append(given, setting.field)
		}
	}
	switch {
	case len(given) == 0:
		return &ConfigError{
			Check: "xmlrpc", Field: "url", With: []string{"socket-path", "socket-dir"},
			Err: errors.New("is required, or else socket-path or socket-dir"),
		}
	case len(given) > 1:
		return refuseWith("xmlrpc", given[1], given[0])
	case cfg.URL != "":
		c.endpoint, err = newEndpoint("xmlrpc", cfg.Port, cfg.Host, "")
		return err
	case cfg.Port != "":
		return refuseWith("xmlrpc", "port", given[0])
	case cfg.Host != "":
		return refuseWith("xmlrpc", "host", given[0])
	}
	path, _ := strings.CutPrefix(cfg.SocketPath+cfg.SocketDir, "unix://") // one of them is ""
	switch {
	case path == "" || strings.Contains(path, "\x00"):
		return refuse("xmlrpc", given[0], "%q is not a path", cfg.SocketPath+cfg.SocketDir)
	case len(path) > maxSocketPath:
		return refuse("xmlrpc", given[0], "%q has %d bytes, and the path of a socket at most %d", path, len(path), maxSocketPath)
	case cfg.SocketDir != "":
		c.socketDir = path
	default:
		c.endpoint.unixSocket = path
	}
	return nil
}

// maxSocketPath is how many bytes the path of a socket may have, besides its
// NUL.
const maxSocketPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// encodeCall returns the request that calls method.
func encodeCall(method string) (header http.Header, body string, err error) {
	if strings.ContainsFunc(method, func(r rune) bool {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		digit := '0' <= r && r <= '9'
		return !letter && !digit && !strings.ContainsRune("_.:/-", r)
	}) {
		return nil, "", refuse("xmlrpc", "method", "%q is not the name of a method, which has letters and digits of ASCII and _ . : / - only", method)
	}
	request, err := xmlrpc.NewRequest("", method, []any{}) // its URL is not used
	if err != nil {
		return nil, "", err
	}
	call, err := io.ReadAll(request.Body)
	return http.Header{"Content-Type": request.Header["Content-Type"]}, string(call), err
}

// Name returns "xmlrpc".
func (c *XMLRPC) Name() string { return "xmlrpc" }

// Run makes the call. Any answer that is a methodResponse, and no fault, is
// Healthy, whatever its value; of one longer than 1 MiB the rest is not read. A fault is Unhealthy: errors.As finds an
// *XMLRPCFault. So are no connection, no answer in time, a status other than 200
// and what is not XML-RPC: errors.Is finds syscall.ECONNREFUSED,
// context.DeadlineExceeded or supervisor.ErrNotXMLRPC.
//
// A name without a port is Unknown, with ErrNoPort, and so is one that cannot be
// that of a socket: restarting p would not give it another. So is a socket that
// we may not open, and a run that ctx cut short. The metrics latency_seconds and,
// when there was an answer, status_code are of the last try.
func (c *XMLRPC) Run(ctx context.Context, p supervisor.Process) Result {
	network, address, err := c.address(p.Name)
	if err != nil {
		return Unsure(err)
	}
	var answer httpcheck.Answer
	err = retry(ctx, c.retries, func() (err error) {
		answer, err = c.exchange.Do(ctx, network, address)
		return mayOpen(network, err)
	})
	return exchanged(ctx, answer, err)
}

// address returns what to dial for the process called name.
func (c *XMLRPC) address(name string) (network, address string, err error) {
	if c.socketDir == "" {
		return c.endpoint.address(name)
	}
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return "", "", fmt.Errorf("%q cannot be part of a file name", name)
	}
	path := filepath.Join(c.socketDir, name+".sock")
	if len(path) > maxSocketPath {
		return "", "", fmt.Errorf("%q has %d bytes, and the path of a socket at most %d", path, len(path), maxSocketPath)
	}
	return "unix", path, nil
}

// XMLRPCFault is a server's refusal of an XML-RPC call.
type XMLRPCFault struct {
	Code int
	Text string // as the server sent it, but for the space around it
}

// Error returns both, of the text the first 200 characters, quoted:
// `fault 10: "BAD_NAME: web"`.
func (f *XMLRPCFault) Error() string { return fmt.Sprintf("fault %d: %.200q", f.Code, f.Text) }

// judgeMethodResponse returns nil for an answer that is well-formed XML and has
// a result, an *XMLRPCFault for a fault, and an error that wraps
// supervisor.ErrNotXMLRPC for everything else. What the result is, if anything,
// does not matter. Of an answer that is not whole what there is must be enough:
// the beginning of a result, or a fault as far as its code.
//
// It does not go through kolo/xmlrpc, which takes half a document for a whole
// one, "<fault>" in a comment for a fault and "<fault >" for none.
func judgeMethodResponse(body []byte, whole bool) error {
	document := io.Reader(bytes.NewReader(foreign.XML(bytes.TrimPrefix(body, []byte("\uFEFF")))))
	if !whole {
		document = io.MultiReader(document, cutOff{})
	}
	d := xml.NewDecoder(document)
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil } // it is UTF-8 by now
	var m methodResponse
	for {
		token, err := d.Token()
		switch {
		case err == io.EOF:
			return m.verdict()
		case err == errCutOff && (m.kind == "params" || m.kind == "fault" && m.code != ""):
			return m.verdict()
		case err != nil:
			return notXMLRPC("%w", err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			err = m.open(t.Name.Local)
		case xml.EndElement:
			m.close()
		case xml.CharData:
			err = m.text(t)
		}
		if err != nil {
			return err
		}
	}
}

// errCutOff is the end of what has been read of an answer that goes on.
var errCutOff = fmt.Errorf("it is longer than %d bytes, and so far neither a result nor a fault with its code", httpcheck.MaxBody)

// cutOff is such an end.
type cutOff struct{}

func (cutOff) Read([]byte) (int, error) { return 0, errCutOff }

func notXMLRPC(format string, args ...any) error {
	return fmt.Errorf("%w: %w", supervisor.ErrNotXMLRPC, fmt.Errorf(format, args...))
}

// maxNesting is how deep an answer may be nested. A reader needs memory for
// each level.
const maxNesting = 1000

// methodResponse is what is known of an answer while it is read.
type methodResponse struct {
	path        []string        // the elements that are open
	kind        string          // "params" or "fault"; "" before it is known
	name, value strings.Builder // of the member of the fault that is open
	code, str   string          // of the fault
}

var (
	faultMember = []string{"methodResponse", "fault", "value", "struct", "member"}
	memberName  = append(slices.Clip(faultMember), "name")
	memberValue = append(slices.Clip(faultMember), "value")
)

func (m *methodResponse) open(element string) error {
	switch depth := len(m.path); {
	case depth == 0 && element != "methodResponse":
		return notXMLRPC("its outermost element is %.40q", element)
	case depth == 0 && m.path != nil:
		return notXMLRPC("there is more after its end")
	case depth == 1 && element != "params" && element != "fault":
		return notXMLRPC("there is an element %.40q in it", element)
	case depth == 1 && m.kind != "":
		return notXMLRPC("there is a %s in it after the %s", element, m.kind)
	case depth == 1:
		m.kind = element
	case depth == maxNesting:
		return notXMLRPC("it is nested deeper than %d elements", maxNesting)
	}
	m.path = append(m.path, element)
	return nil
}

func (m *methodResponse) close() {
	if slices.Equal(m.path, faultMember) {
		switch m.name.String() {
		case "faultCode":
			m.code = strings.TrimSpace(m.value.String())
		case "faultString":
			m.str = strings.TrimSpace(m.value.String())
		}
		m.name.Reset()
		m.value.Reset()
	}
	m.path = m.path[:len(m.path)-1]
}

func (m *methodResponse) text(text []byte) error {
	typed := len(memberValue) + 1 // the length of the path to <value><string>
	switch {
	case len(m.path) == 0 && len(bytes.TrimSpace(text)) > 0:
		return notXMLRPC("there is text before or after it")
	case slices.Equal(m.path, memberName):
		m.name.Write(text)
	case slices.Equal(m.path[:min(len(m.path), len(memberValue))], memberValue) && len(m.path) <= typed:
		m.value.Write(text)
	}
	return nil
}

func (m *methodResponse) verdict() error {
	switch m.kind {
	case "params":
		return nil
	case "fault":
		code, err := strconv.Atoi(m.code)
		if err != nil {
			return notXMLRPC("there is a fault in it with %.40q for its code", m.code)
		}
		return &XMLRPCFault{Code: code, Text: m.str}
	}
	return notXMLRPC("there is neither a result nor a fault in it")
}
