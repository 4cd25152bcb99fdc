package runner

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// TestMatches compares globs with regular expressions that mean the same.
func TestMatches(t *testing.T) {
	word := func(letters string) string {
		var b strings.Builder
		runes := []rune(letters)
		for range rand.N(7) {
			b.WriteRune(runes[rand.N(len(runes))])
		}
		return b.String()
	}
	matched := 0
	for range 20_000 {
		glob, text := word("aé*?"), word("aé.\xff")
		expression := regexp.MustCompile(`(?s)^` + strings.NewReplacer("*", ".*", "?", ".").Replace(glob) + `$`)
		got, want := matches(glob, text, anyRune), expression.MatchString(text)
		if got != want {
			t.Fatalf("%q matches %q: %v, want %v", glob, text, got, want)
		}
		if got {
			matched++
		}
	}
	if matched < 1000 {
		t.Errorf("only %d matched", matched)
	}
}
