// Package recurring decides when something that happens again and again is worth a line.
package recurring

import (
	"strings"
	"time"
)

// Reminder is how often something is told again that goes on.
const Reminder = time.Hour

// Trouble is told of when it begins, when it changes, and hourly. Numbers do not count as
// a change, for they count the seconds or the tries.
type Trouble struct {
	shape string
	told  time.Time
}

// Happens reports whether to tell of it, and whether only as a reminder.
func (t *Trouble) Happens(now time.Time, text string) (tell, again bool) {
	shape := strings.Map(func(c rune) rune {
		if '0' <= c && c <= '9' {
			return -1
		}
		return c
	}, text)
	again = shape == t.shape && !t.told.IsZero()
	if again && now.Sub(t.told) < Reminder {
		return false, true
	}
	t.shape, t.told = shape, now
	return true, again
}

// Ends reports whether it had been told of, and forgets it.
func (t *Trouble) Ends() bool {
	had := !t.told.IsZero()
	*t = Trouble{}
	return had
}
