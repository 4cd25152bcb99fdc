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
	"os"
	"sync"
	"time"

	"golang.org/x/net/netutil"
)

// Limits of a Server.
const (
	maxHeader     = 16 << 10
	headerTimeout = 5 * time.Second
	answerTimeout = 30 * time.Second
	idleTimeout   = time.Minute
	endTimeout    = 2 * time.Second
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
		c := &certificate{cert: cfg.CertFile, key: cfg.KeyFile}
		if _, err := c.get(nil); err != nil {
			return err
		}
		limited = tls.NewListener(limited, &tls.Config{GetCertificate: c.get, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
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

// certificate is one in files that may change.
type certificate struct {
	cert, key string

	mu      sync.Mutex
	read    *tls.Certificate
	changed time.Time // of the file, when it was read
}

// get returns it, or the one before where the files cannot be read now.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	info, err := os.Stat(c.cert)
	if err == nil && c.read != nil && info.ModTime().Equal(c.changed) {
		return c.read, nil
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	switch {
	case err == nil:
		c.read = &pair
		if info != nil {
			c.changed = info.ModTime()
		}
	case c.read == nil:
		return nil, err
	}
	return c.read, nil
}

// Live answers that this program runs.
func Live() http.Handler { return text(func() (int, string) { return http.StatusOK, "ok\n" }) }

// Ready answers whether it has begun its work, as that is reported.
func Ready(is func() bool) http.Handler {
	return text(func() (int, string) {
		if !is() {
			return http.StatusServiceUnavailable, "not yet: there has been no round of checks\n"
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
