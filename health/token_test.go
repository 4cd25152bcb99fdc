package health_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/health"
)

// TestTokenFile takes another token as soon as it is in the file, and keeps the one
// before where there is none.
func TestTokenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	if _, err := health.TokenFile(path); err == nil {
		t.Error("a file that is not there")
	}
	at := time.Now()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		at = at.Add(time.Second)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	write("\nsesame\n")
	if _, err := health.TokenFile(path); err == nil || err.Error() != "the first line of "+path+" is empty" {
		t.Errorf("error %v", err)
	}
	write("sesame\r\nmore")
	token, err := health.TokenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	h := token.Require(health.Live())
	want := func(what, secret string, status int) {
		t.Helper()
		if got, text := ask(h, "GET", "Authorization", "Bearer "+secret); got != status || status == 401 && text != "show the token: Authorization: Bearer TOKEN\n" {
			t.Errorf("%s: %d %q, want %d", what, got, text, status)
		}
	}
	want("the token", "sesame", 200)
	want("none", "", 401)
	write("other")
	want("the one before", "sesame", 401)
	want("the new one", "other", 200)
	write("")
	want("the last one, while there is none", "other", 200)
	want("none", "", 401)
	os.Remove(path)
	want("the last one, while there is no file", "other", 200)
	if status, _ := ask((*health.Token)(nil).Require(health.Live()), "GET"); status != 200 {
		t.Errorf("without a token: %d", status)
	}
}
