// Package duration writes times as people do.
package duration

import (
	"fmt"
	"strings"
	"time"
)

// Short writes a time without zeros at its end: "10m" for 10m0s.
func Short(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = strings.TrimSuffix(text, zero[1:])
		}
	}
	return text
}

// Days is Short with days: "14d", "1d12h". Less than none it has none of.
func Days(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < day:
		return Short(d)
	case d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	}
	return fmt.Sprintf("%dd%s", d/day, Short(d%day))
}
