// Package decimal reads whole numbers as Python's int() does, because the
// command lines and port expressions of supervisor_checks were read by it:
// always decimal ("010" is ten), with surrounding space, a sign, single
// underscores between digits and any script's decimal digits allowed.
package decimal

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// Parse returns the number that s spells, or an error that quotes s.
func Parse(s string) (int, error) {
	var b strings.Builder
	t := strings.TrimSpace(s)
	if t != "" && (t[0] == '+' || t[0] == '-') {
		b.WriteByte(t[0])
		t = t[1:]
	}
	afterDigit := false
	for _, r := range t {
		switch d := digit(r); {
		case d >= 0:
			b.WriteByte(byte('0' + d))
			afterDigit = true
		case r == '_' && afterDigit:
			afterDigit = false // and so no second underscore, nor one at the end
		default:
			return 0, fmt.Errorf("%q is not a whole number", s)
		}
	}
	if !afterDigit {
		return 0, fmt.Errorf("%q is not a whole number", s)
	}
	n, err := strconv.Atoi(b.String())
	if err != nil {
		return 0, fmt.Errorf("%q is too large", s)
	}
	return n, nil
}

// digit returns the value of a decimal digit of any script, or -1. Unicode
// encodes the ten digits of a script in a row, and some such rows without a
// gap between them.
func digit(r rune) int {
	if r <= unicode.MaxASCII {
		if r < '0' || r > '9' {
			return -1
		}
		return int(r - '0')
	}
	for _, row := range unicode.Nd.R16 {
		if rune(row.Lo) <= r && r <= rune(row.Hi) {
			return int(r-rune(row.Lo)) % 10
		}
	}
	for _, row := range unicode.Nd.R32 {
		if rune(row.Lo) <= r && r <= rune(row.Hi) {
			return int(r-rune(row.Lo)) % 10
		}
	}
	return -1
}
