package health

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"os"
	"strings"
)

// Token is what those who ask must show: Authorization: Bearer TOKEN. A nil Token lets
// anybody ask.
type Token struct {
	sum func() [sha256.Size]byte
}

// NewToken returns a Token that does not change.
func NewToken(secret string) *Token {
	sum := sha256.Sum256([]byte(secret))
	return &Token{func() [sha256.Size]byte { return sum }}
}

// TokenFile returns the Token in the first line of a file, which is read again when it
// has changed. As long as it cannot be read, or is empty, the one before holds; the error
// says that there is none to begin with.
func TokenFile(path string) (*Token, error) {
	f := &fresh[[sha256.Size]byte]{path: path, read: func() (sum [sha256.Size]byte, err error) {
		text, err := os.ReadFile(path)
		if err != nil {
			return sum, err
		}
		secret, _, _ := strings.Cut(string(text), "\n")
		if secret = strings.TrimSuffix(secret, "\r"); secret == "" {
			return sum, fmt.Errorf("the first line of %s is empty", path)
		}
		return sha256.Sum256([]byte(secret)), nil
	}}
	if _, err := f.get(); err != nil {
		return nil, err
	}
	return &Token{func() [sha256.Size]byte {
		sum, _ := f.get() // there is one
		return sum
	}}, nil
}

// shown reports whether a request shows it, in a time that does not depend on how much
// of it is right.
func (t *Token) shown(r *http.Request) bool {
	if t == nil {
		return true
	}
	values := r.Header["Authorization"]
	if len(values) != 1 {
		return false
	}
	scheme, secret, _ := strings.Cut(values[0], " ")
	got, want := sha256.Sum256([]byte(secret)), t.sum()
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1 && strings.EqualFold(scheme, "Bearer")
}

// Require has a handler answer only those who show the token; others are told 401.
func (t *Token) Require(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !t.shown(r) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.Header().Set("Cache-Control", "no-store")
			http.Error(w, "show the token: Authorization: Bearer TOKEN", http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
}
