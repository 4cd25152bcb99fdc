package checks

import (
	"slices"
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	every := func(d time.Duration, times int) (distances []time.Duration) {
		return slices.Repeat([]time.Duration{d}, times)
	}
	const m, h = time.Minute, time.Hour
	for _, tt := range []struct {
		name      string
		distances []time.Duration
		gaps      []int // which of them are
	}{
		{"TICK_5", every(5*time.Second, 5), nil},
		{"TICK_60", every(m, 5), nil},
		{"TICK_3600", every(h, 5), []int{0}}, // it is not known yet
		{"a second apart", every(time.Second, 5), nil},
		{"TICK_5, and a window", []time.Duration{5 * time.Second, 5 * time.Second, 5 * m, 5 * time.Second}, []int{2}},
		{"TICK_60, and a window", []time.Duration{m, m, 2 * h, m}, []int{2}},
		{"TICK_60, and a window soon after the start", []time.Duration{2 * h, m}, []int{0}},
		{"TICK_60, and windows", slices.Concat(every(m, 9), every(2*h, 1), every(m, 9), every(2*h, 1)), []int{9, 19}},
		{"TICK_3600, and a window", []time.Duration{h, h, h, 8 * h, h}, []int{0, 3}},
		{"a longer period from now on", slices.Concat(every(m, 3), every(10*m, 4)), []int{3}},
		{"TICK_60, rounds left out", []time.Duration{m, 3 * m, m, 4 * m, 2 * m}, nil},
		{"TICK_3600, rounds left out", []time.Duration{h, 3 * h, h, 3 * h}, []int{0}},
		{"TICK_5, and slow in every second round", []time.Duration{5 * time.Second, 7 * m, 5 * time.Second, 7 * m, 5 * time.Second, 7 * m}, []int{1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var p pace
			now := time.Unix(1e9, 0)
			p.look(now)
			var gaps []int
			for i, distance := range tt.distances {
				now = now.Add(distance)
				switch gap := p.look(now); {
				case gap == distance:
					gaps = append(gaps, i)
				case gap != 0:
					t.Errorf("%d: a gap of %v after %v", i, gap, distance)
				}
			}
			if !slices.Equal(gaps, tt.gaps) {
				t.Errorf("got %v, want %v", gaps, tt.gaps)
			}
		})
	}
	p := pace{last: time.Unix(1e9, 0), distances: [3]time.Duration{h}}
	p = p.next()
	if first, second := p.look(time.Unix(1e9+1e6, 0)), p.look(time.Unix(1e9+1e6+3600, 0)); first != 0 || second != 0 {
		t.Errorf("another run: gaps of %v, %v", first, second)
	}
}
