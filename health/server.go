package health

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

// Limits of a Server.
const (
	maxHeader     = 16 << 10
	headerTimeout = 5 * time.Second
	answerTimeout = 30 * time.Second
	idleTimeout   = time.Minute
	endTimeout    = 250 * time.Millisecond
)

// DefaultMaxConnections is how many connections a server takes at once when
// ServerConfig.MaxConnections is 0.
const DefaultMaxConnections = 256

// ServerConfig configures Serve.
type ServerConfig struct {
	// Address is HOST:PORT. A HOST that is left out is 127.0.0.1: to be seen from
	// elsewhere write 0.0.0.0 or [::].
	Address string

	// Handler answers.
	Handler http.Handler

	// CertFile and KeyFile are the server's certificate and its key, in PEM. They are
	// read again when they have changed. "" means no TLS.
	CertFile, KeyFile string

	// MaxConnections is how many there may be at once. 0 means DefaultMaxConnections.
	MaxConnections int

	// Log is told of what goes wrong. nil means nobody.
	Log *slog.Logger
}

// Serve serves until ctx is done. ready, if not nil, is told the address when it can be
// asked. The error says why it cannot begin.
func Serve(ctx context.Context, cfg ServerConfig, ready func(net.Addr)) error {
	host, port, err := net.SplitHostPort(cfg.Address)
	if err != nil {
		return fmt.Errorf("%q is not HOST:PORT", cfg.Address)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(cmp.Or(host, "127.0.0.1"), port))
	if err != nil {
		return err
	}
	defer l.Close()
	log := cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	server := &http.Server{
		Handler: cfg.Handler, MaxHeaderBytes: maxHeader, ReadHeaderTimeout: headerTimeout, ReadTimeout: answerTimeout, WriteTimeout: answerTimeout, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	limited := netutil.LimitListener(l, cmp.Or(cfg.MaxConnections, DefaultMaxConnections))
	if cfg.CertFile != "" || cfg.KeyFile != "" {
		pair := &fresh[*tls.Certificate]{path: cfg.CertFile, read: func() (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
			return &pair, err
		}}
		if _, err := pair.get(); err != nil {
			return err
		}
		get := func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.get() }
		limited = tls.NewListener(limited, &tls.Config{GetCertificate: get, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
	}
	if ready != nil {
		ready(l.Addr())
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(limited) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	if server.Shutdown(end) != nil {
		server.Close()
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Live answers that this program runs.
func Live() http.Handler { return text(func() (int, string) { return http.StatusOK, "ok\n" }) }

// Ready answers whether it does its work, as that is reported.
func Ready(is func() bool) http.Handler {
	return text(func() (int, string) {
		if !is() {
			return http.StatusServiceUnavailable, "there was no round of checks just now\n"
		}
		return http.StatusOK, "ok\n"
	})
}

func text(answer func() (int, string)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, body := answer()
		w.Header()["Content-Type"], w.Header()["Cache-Control"] = plainText, noStore
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			w.Write([]byte(body)) // who has gone away is told nothing
		}
	})
}
