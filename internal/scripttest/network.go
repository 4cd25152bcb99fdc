package scripttest

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"syscall"

	"github.com/supervisor-checks/supervisor-checks/supervisor/supervisortest"
)

// ClosedPort returns a port that refuses connections until it is freed: a socket holds
// it that does not listen.
func ClosedPort() (port string, free func(), err error) {
	syscall.ForkLock.RLock()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return "", nil, err
	}
	var address syscall.Sockaddr
	if err = syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err == nil {
		address, err = syscall.Getsockname(fd)
	}
	if err != nil {
		syscall.Close(fd)
		return "", nil, err
	}
	return strconv.Itoa(address.(*syscall.SockaddrInet4).Port), func() { syscall.Close(fd) }, nil
}

// NewLogin returns a port of a supervisord that asks for a login. Its Close ends it.
func NewLogin(supervisord *supervisortest.Server, user, password string) *httptest.Server {
	dial := supervisord.Config().Dial
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: "supervisord"}) },
		Transport: &http.Transport{
			DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
			DisableKeepAlives: true,
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }, // the call was lost
	}
	return httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		given, secret, _ := r.BasicAuth()
		if given != user || secret != password {
			http.Error(rw, "who are you?", http.StatusUnauthorized)
			return
		}
		proxy.ServeHTTP(rw, r)
	}))
}
