// Package foreign makes what others have written fit for where we write it.
package foreign

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Line returns s as part of one line of a log or a table: what would end the
// line, move the cursor or cannot be seen is escaped as in Go. Of more than most
// bytes the beginning is left, and "…"; 0 means all.
func Line(s string, most int) string {
	if most > 0 && len(s) > most {
		for !utf8.RuneStart(s[most]) && most > 0 {
			most--
		}
		s = s[:most] + "…"
	}
	quoted := strconv.Quote(s)
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(quoted[1 : len(quoted)-1])
}

// XML replaces what XML 1.0 (https://www.w3.org/TR/xml/#charsets) does not allow
// in a document, such as the control characters that processes write.
func XML(document []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if r >= 0x20 && r != 0xFFFE && r != 0xFFFF || r == '\t' || r == '\n' || r == '\r' {
			return r
		}
		return utf8.RuneError
	}, document)
}
