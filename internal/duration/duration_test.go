package duration

import (
	"testing"
	"time"
)

func Test(t *testing.T) {
	for d, want := range map[time.Duration][2]string{
		0:                               {"0s", "0s"},
		1500 * time.Millisecond:         {"1.5s", "1.5s"},
		10 * time.Minute:                {"10m", "10m"},
		20*time.Minute + 10*time.Second: {"20m10s", "20m10s"},
		10 * time.Hour:                  {"10h", "10h"},
		10*time.Hour + 30*time.Minute:   {"10h30m", "10h30m"},
		10*time.Hour + time.Second:      {"10h0m1s", "10h0m1s"},
		-10 * time.Minute:               {"-10m", "-10m"},
		24 * time.Hour:                  {"24h", "1d"},
		36 * time.Hour:                  {"36h", "1d12h"},
		14 * 24 * time.Hour:             {"336h", "14d"},
	} {
		if got := [2]string{Short(d), Days(d)}; got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
