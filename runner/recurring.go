package runner

import (
	"strings"
	"time"
)

// reminder is how often something is told again that goes on.
const reminder = time.Hour

// recurring decides when something that happens again and again is worth a
// line: when it begins, when it changes, and hourly. Numbers do not count as a
// change, for they count the seconds or the tries.
type recurring struct {
	shape string
	told  time.Time
}

// happens reports whether to tell of it, and whether only as a reminder.
func (r *recurring) happens(now time.Time, text string) (tell, again bool) {
	shape := strings.Map(func(c rune) rune {
		if '0' <= c && c <= '9' {
			return -1
		}
		return c
	}, text)
	again = shape == r.shape && !r.told.IsZero()
	if again && now.Sub(r.told) < reminder {
		return false, true
	}
	r.shape, r.told = shape, now
	return true, again
}

// ends reports whether it had been told of, and forgets it.
func (r *recurring) ends() bool {
	had := !r.told.IsZero()
	*r = recurring{}
	return had
}
