package prober_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/supervisor-checks/supervisor-checks/prober"
)

// site lets in who logs in with sesame.
func site(t *testing.T) *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /app/login", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.FormValue("password") == "sesame":
			http.SetCookie(w, &http.Cookie{Name: "session", Value: "s1"})
			http.Redirect(w, r, "/app/", http.StatusFound)
		case r.FormValue("password") == "back":
			http.SetCookie(w, &http.Cookie{Name: "flash", Value: "no"})
			http.Redirect(w, r, "/app/login?again=1", http.StatusFound)
		case r.FormValue("password") == "nowhere":
			w.WriteHeader(http.StatusFound)
		case r.FormValue("password") == "no cookie":
			http.Redirect(w, r, "/app/", http.StatusFound)
		default:
			io.WriteString(w, "  <h1>wrong\n password</h1>")
		}
	})
	mux.HandleFunc("/app/projects", func(w http.ResponseWriter, r *http.Request) {
		if c, err := r.Cookie("session"); err != nil || c.Value != "s1" {
			http.Redirect(w, r, "/app/login", http.StatusFound)
			return
		}
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(map[string]int{"GET": 200, "POST": 201}[r.Method])
		io.WriteString(w, strings.Join([]string{r.Method, r.URL.RawQuery, r.Header.Get("User-Agent"), r.Header.Get("X-Studio-Internal-Prober"), r.Header.Get("Content-Type"), string(body)}, " "))
	})
	mux.HandleFunc("/app/large", func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, 9<<20)) })
	mux.HandleFunc("/app/short", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "7")
		w.Write([]byte("a"))
	})
	mux.HandleFunc("/app/hangs", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

func session(t *testing.T, base string) *prober.Session {
	s, err := prober.NewSession(base, http.Header{"User-Agent": {"Studio-Internal-Prober=login"}, "X-Studio-Internal-Prober": {"login"}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSession(t *testing.T) {
	for _, slash := range []string{"", "/"} {
		s := session(t, site(t).URL+"/app"+slash)
		if _, err := s.Get(t.Context(), "/projects", 302); err != nil {
			t.Errorf("before the login: %v", err)
		}
		if err := s.Login(t.Context(), "/login", url.Values{"password": {"sesame"}}); err != nil {
			t.Fatal(err)
		}
		got, err := s.Get(t.Context(), "projects?x=y", 200)
		if want := "GET x=y Studio-Internal-Prober=login login  "; string(got) != want || err != nil {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
		got, err = s.Send(t.Context(), "POST", "/projects", "application/json", []byte("{}"), 201)
		if want := "POST  Studio-Internal-Prober=login login application/json {}"; string(got) != want || err != nil {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
}

func TestSessionFails(t *testing.T) {
	s := session(t, site(t).URL+"/app")
	login := func(password string) func(context.Context) error {
		return func(ctx context.Context) error {
			return s.Login(ctx, "/login?secret=1", url.Values{"password": {password}})
		}
	}
	get := func(path string) func(context.Context) error {
		return func(ctx context.Context) error { _, err := s.Get(ctx, path, 200); return err }
	}
	for _, tt := range []struct {
		name string
		do   func(context.Context) error
		want string
	}{
		{"wrong password", login("open"), `log in: POST /login: 200 OK instead of 302: <h1>wrong\n password</h1>`},
		{"wrong password, redirected", login("back"), "log in: POST /login: the answer leads back to there: is the password right?"},
		{"a redirect to nowhere", login("nowhere"), "log in: POST /login: http: no Location header in response"},
		{"no cookie", login("no cookie"), "log in: POST /login: the answer sets no cookie"},
		{"another status", get("/none?token=secret"), "GET /none: 404 Not Found instead of 200: 404 page not found"},
		{"a redirect is not followed", get("/projects"), `GET /projects: 302 Found instead of 200: <a href="/app/login">Found</a>.`},
		{"too large", get("/large"), "GET /large: the answer is too large"},
		{"cut", get("/short"), "GET /short: read the answer: unexpected EOF"},
		{"no path", get("/\x00"), `GET /\x00: this is no path or method of HTTP`},
		{"not in time", func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, 1)
			defer cancel()
			return get("/hangs?token=secret")(ctx)
		}, "GET /hangs: context deadline exceeded"},
	} {
		if err := tt.do(t.Context()); err == nil || err.Error() != tt.want {
			t.Errorf("%s: got  %v\nwant %s", tt.name, err, tt.want)
		}
	}
	var status *prober.StatusError
	if err := get("/none")(t.Context()); !errors.As(err, &status) || status.Got != 404 || status.Want != 200 {
		t.Errorf("got %#v, want a StatusError", err)
	}
	if err := get("/large")(t.Context()); !errors.Is(err, prober.ErrBody) {
		t.Errorf("got %v, want ErrBody", err)
	}
}

func TestBadBase(t *testing.T) {
	for base, want := range map[string]string{
		"":                        "the base URL is none as http://HOST:PORT",
		"127.0.0.1:8080":          "the base URL is none as http://HOST:PORT",
		"ftp://a":                 "the base URL is none as http://HOST:PORT",
		"http://":                 "the base URL is none as http://HOST:PORT",
		"http://u:sesame@a:b":     "the base URL is none as http://HOST:PORT",
		"http://127.0.0.1/?a=b":   "the base URL must end before a ? or #",
		"http://127.0.0.1/#there": "the base URL must end before a ? or #",
	} {
		if _, err := prober.NewSession(base, nil); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", base, err, want)
		}
	}
}
