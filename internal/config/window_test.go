package config

import (
	"testing"
	"time"
)

func TestWindow(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	at := func(text string) time.Time {
		when, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return when.In(berlin)
	}
	for _, tt := range []struct {
		name, at, length, zone, time string
		want                         bool
	}{
		{"before", "0 2 * * *", "90m", "", "2026-11-26T01:59:59+01:00", false},
		{"its first second", "0 2 * * *", "90m", "", "2026-11-26T02:00:00+01:00", true},
		{"its last second", "0 2 * * *", "90m", "", "2026-11-26T03:29:59+01:00", true},
		{"after", "0 2 * * *", "90m", "", "2026-11-26T03:30:00+01:00", false},
		{"over midnight", "0 23 * * *", "2h", "", "2026-11-26T00:59:59+01:00", true},
		{"over midnight, after", "0 23 * * *", "2h", "", "2026-11-26T01:00:00+01:00", false},
		{"a day of the week", "0 2 * * 4", "1h", "", "2026-11-26T02:30:00+01:00", true}, // a Thursday
		{"another day of the week", "0 2 * * 3", "1h", "", "2026-11-26T02:30:00+01:00", false},
		{"days long", "0 18 * * FRI", "60h", "", "2026-11-29T12:00:00+01:00", true},
		{"days long, after", "0 18 * * FRI", "60h", "", "2026-11-30T06:00:00+01:00", false},
		{"a list and a range", "0,30 1-3 * * *", "10m", "", "2026-11-26T02:35:00+01:00", true},
		{"steps", "*/20 * * * *", "5m", "", "2026-11-26T12:44:59+01:00", true},
		{"steps, between", "*/20 * * * *", "5m", "", "2026-11-26T12:45:00+01:00", false},
		{"one that begins while another goes on", "0 * * * *", "2h", "", "2026-11-26T12:59:59+01:00", true},
		{"the time of another place", "0 2 * * *", "90m", "UTC", "2026-11-26T03:15:00+01:00", true},
		{"the time of another place, before", "0 2 * * *", "90m", "UTC", "2026-11-26T02:15:00+01:00", false},
		{"the night in which an hour is there twice", "0 1 * * *", "3h", "", "2026-10-25T02:59:00+01:00", true},
		{"the night in which an hour is there twice, after", "0 1 * * *", "3h", "", "2026-10-25T03:00:00+01:00", false}, // three hours have passed since
		{"that begins in the first of them", "30 2 * * *", "1h", "", "2026-10-25T02:10:00+01:00", true},
		{"that begins in the second of them", "30 2 * * *", "1h", "", "2026-10-25T03:10:00+01:00", true},
		{"the night that lacks an hour", "0 1 * * *", "2h", "", "2026-03-29T03:59:00+02:00", true},
		{"the night that lacks an hour, after", "0 1 * * *", "2h", "", "2026-03-29T04:00:00+02:00", false},
		{"that begins in the hour that is lacking", "30 2 * * *", "2h", "", "2026-03-29T03:00:00+02:00", true},
		{"that begins in the hour that is lacking, before", "30 2 * * *", "2h", "", "2026-03-29T01:59:59+01:00", false},
		{"that begins in the hour that is lacking, at its end", "30 2 * * *", "2h", "", "2026-03-29T04:59:59+02:00", true},
		{"that begins in the hour that is lacking, after", "30 2 * * *", "2h", "", "2026-03-29T05:00:00+02:00", false},
		{"that begins in the hour that is lacking, seen from elsewhere", "30 2 * * *", "2h", "America/New_York", "2026-03-08T08:59:59+01:00", true},
		{"once a year", "0 0 1 1 *", "24h", "", "2026-06-01T00:00:00+02:00", false},
		{"a day that only leap years have", "0 0 29 2 *", "24h", "", "2028-02-29T12:00:00+01:00", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			schedule, err := parseSchedule(tt.at)
			if err != nil {
				t.Fatal(err)
			}
			length, err := parseDuration(tt.length)
			if err != nil {
				t.Fatal(err)
			}
			w := Window{At: Schedule(schedule), For: Positive(length)}
			if tt.zone != "" {
				if w.Zone, err = parseZone(tt.zone); err != nil {
					t.Fatal(err)
				}
			}
			holds := windows([]Window{{At: "0 0 1 1 *", For: 1}, w})
			for range 2 {
				if got := holds(at(tt.time)); got != tt.want {
					t.Errorf("%v at %s, want %v", got, tt.time, tt.want)
				}
			}
		})
	}
	if windows(nil) != nil {
		t.Error("there are windows where there are none")
	}
}

// FuzzSchedule finds out of anything that passes for a schedule whether a time is in
// its window, without a panic and soon.
func FuzzSchedule(f *testing.F) {
	for _, s := range []string{"0 2 * * *", "*/5 1-3 L 1,2 5L", "0 0 31 2 *", "@daily", "0 0 15W * *", "0 0 * * 1#5", "5/7 * * * ?"} {
		f.Add(s, int64(1_800_000_000))
	}
	f.Fuzz(func(t *testing.T, s string, at int64) {
		schedule, err := parseSchedule(s)
		if err != nil {
			return
		}
		begun := time.Now()
		now := time.Unix(at%4e9, 0)
		Window{At: Schedule(schedule), For: Positive(time.Hour)}.holds(now)
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("%q takes %v", s, took)
		}
	})
}
