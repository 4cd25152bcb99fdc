package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/pflag"

	"github.com/supervisor-checks/supervisor-checks/checks"
)

// XMLRPC is supervisor_xmlrpc_check.
func XMLRPC(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return newXMLRPC().run(args, streams{stdin, stdout, stderr})
}

func newXMLRPC() *Program {
	p := newCheckProgram("supervisor_xmlrpc_check", "{-u URL -p PORT | -s PATH | -S FOLDER}",
		"Restarts processes that do not answer XML-RPC calls, or answer them with a fault.", `-u /RPC2 -p 'web_(\d+)'`)
	var (
		cfg     checks.XMLRPCConfig
		timeout = duration(checks.DefaultXMLRPCTimeout)
		retries = number(defaultRetries)
		method  = text{what: "METHOD", value: checks.DefaultXMLRPCMethod}
		login   credentials
	)
	p.section("Call", func(f *pflag.FlagSet) {
		f.StringVarP(&cfg.URL, "url", "u", "", "`URL` of the server: a path, such as /RPC2 (required, unless --socket-path or --socket-dir is given)")
		required(f, "url", "socket-path", "socket-dir")
		portOptions(f, &cfg.Port, &cfg.Host, "required with --url")
		f.StringVarP(&cfg.SocketPath, "socket-path", "s", "", "`PATH` of a socket to connect to instead; /RPC2 is asked there")
		f.StringVarP(&cfg.SocketDir, "socket-dir", "S", "", "`FOLDER` of such sockets instead: that of the process called NAME is NAME.sock")
		f.VarP(&method, "method", "m", "method to call, without parameters; any result of it will do")
		login.options(f)
		retryOptions(f, &timeout, &retries)
		added(f, "timeout")
	})
	return p.does(func() ([]checks.Check, error) {
		for _, name := range []string{"url", "socket-path", "socket-dir", "method"} {
			if option := p.Flags().Lookup(name); option.Changed && option.Value.String() == "" {
				return nil, usageError{fmt.Errorf("argument %s: must not be empty", optionName(option))}
			}
		}
		cfg.Timeout, cfg.Retries, cfg.Method = time.Duration(timeout), int(retries), method.value
		var err error
		if cfg.Username, cfg.Password, err = login.read(p.Flags()); err != nil {
			return nil, err
		}
		return only(checks.NewXMLRPC(cfg))
	})
}
