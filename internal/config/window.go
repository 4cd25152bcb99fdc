package config

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/adhocore/gronx"
)

// Window is a time that comes again and again.
type Window struct {
	At   Schedule `key:"at" need:"true" doc:"When it begins, as cron has it: minute, hour, day of the month, month and day of the week. 0 2 * * 1-5 is at two o'clock from Monday to Friday."`
	For  Positive `key:"for" need:"true" doc:"How long it lasts."`
	Zone Zone     `key:"zone" doc:"Of what place at is the time: Europe/Berlin, UTC. It is that of the machine where it is not given."`
}

// Schedule is when something begins, as cron has it.
type Schedule string

// Zone is a time zone; nil is that of the machine.
type Zone struct{ *time.Location }

func parseSchedule(s string) (string, error) {
	fields := strings.Fields(s)
	schedule := strings.Join(fields, " ")
	if len(fields) != 5 || !gronx.IsValid(schedule) {
		return "", fmt.Errorf("%q is not when something begins: write minute, hour, day of the month, month and day of the week, such as 30 2 * * *", s)
	}
	if _, err := gronx.PrevTickBefore(schedule, time.Now().UTC(), true); err != nil {
		return "", fmt.Errorf("%q never comes", s)
	}
	return schedule, nil
}

func parseZone(s string) (Zone, error) {
	place, err := time.LoadLocation(s)
	if err != nil {
		err = fmt.Errorf("%q is no time zone that this machine knows: write UTC, or one such as Europe/Berlin", s)
	}
	return Zone{place}, err
}

// holds reports whether a time is in the window. The second in which that ends is not.
func (w Window) holds(t time.Time) bool {
	if w.Zone.Location != nil {
		t = t.In(w.Zone.Location)
	}
	// What a clock has shown when it began is found without the hours that clocks
	// skip and repeat, once for each way in which they may have been set since.
	length := time.Duration(w.For)
	for _, set := range []time.Time{t, t.Add(-length)} {
		_, offset := set.Zone()
		shown, err := gronx.PrevTickBefore(string(w.At), t.UTC().Add(time.Duration(offset)*time.Second), true)
		if err != nil {
			return false // it never began
		}
		for _, begun := range shownAt(shown, t.Location()) {
			if !begun.After(t) && t.Sub(begun) < length {
				return true
			}
		}
	}
	return false
}

// shownAt returns when the clocks of a place show what shown does: once, twice where
// they are set back then, and for a time that they skip the moment in which they do,
// as cron starts at once what it has skipped.
func shownAt(shown time.Time, place *time.Location) (all []time.Time) {
	near := time.Date(shown.Year(), shown.Month(), shown.Day(), shown.Hour(), shown.Minute(), 0, 0, place)
	for _, at := range []time.Time{near.Add(-time.Hour), near, near.Add(time.Hour)} {
		if at.Hour() == shown.Hour() {
			all = append(all, at)
		}
	}
	if all == nil {
		_, skip := near.Add(-time.Hour).ZoneBounds()
		all = []time.Time{skip}
	}
	return all
}

// windows returns what reports whether a time is in one of them; nil for none. As
// many ask in one second, it remembers the last answer.
func windows(all []Window) func(time.Time) bool {
	if len(all) == 0 {
		return nil
	}
	type answer struct {
		second int64
		holds  bool
	}
	var last atomic.Pointer[answer]
	return func(t time.Time) bool {
		if a := last.Load(); a != nil && a.second == t.Unix() {
			return a.holds
		}
		a := &answer{second: t.Unix()}
		for _, w := range all {
			a.holds = a.holds || w.holds(t)
		}
		last.Store(a)
		return a.holds
	}
}
