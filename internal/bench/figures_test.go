package bench

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/supervisor-checks/supervisor-checks/internal/cli"
)

// figures are what make bench prints.
type figures struct {
	t    *testing.T
	rows []string
}

// row adds a figure to the table, and fails when it is not what it should be.
func (f *figures) row(what, ours, bare string, ratio, most float64, target string) {
	f.t.Helper()
	f.rows = append(f.rows, fmt.Sprintf("| %s | %s | %s | %s |", what, ours, bare, target))
	f.t.Logf("%s: %s, bare %s, want %s", what, ours, bare, target)
	if !(ratio > 0 && ratio <= most) { // nor is it NaN
		f.t.Errorf("%s: %s, want %s", what, ours, target)
	}
}

// absolute adds a figure that has a limit of its own.
func (f *figures) absolute(what string, value float64, unit string, most float64) {
	f.t.Helper()
	f.row(what, fmt.Sprintf("%.1f %s", value, unit), "", value, most, fmt.Sprintf("%v %s", most, unit))
}

// compared adds a figure that is measured against a bare loop.
func (f *figures) compared(what string, ours, bare time.Duration, most float64) {
	f.t.Helper()
	ratio := ours.Seconds() / bare.Seconds()
	f.row(what, fmt.Sprintf("%s, %.2f times", short(ours), ratio), short(bare), ratio, most, fmt.Sprintf("%v times", most))
}

// beyond adds a figure that may be so much more than what there is without work,
// on a machine that is never quite idle.
func (f *figures) beyond(what string, ours, bare, most time.Duration) {
	f.t.Helper()
	f.row(what, short(ours), short(bare), max(ours-bare, 1).Seconds(), most.Seconds(), fmt.Sprintf("%v more than bare", most))
}

// unlimited adds a figure that has no target.
func (f *figures) unlimited(what string, ours, bare time.Duration) {
	f.t.Helper()
	ratio := ours.Seconds() / bare.Seconds()
	f.row(what, fmt.Sprintf("%.1f s, %.2f times", ours.Seconds(), ratio), fmt.Sprintf("%.1f s", bare.Seconds()), ratio, math.Inf(1), "")
}

// flat adds the cost of one of many, which is to be that of one of a few.
func (f *figures) flat(what string, ofMany, ofFew time.Duration) {
	f.t.Helper()
	ratio := ofMany.Seconds() / ofFew.Seconds()
	f.row(what, fmt.Sprintf("%d µs, %.2f times", ofMany.Microseconds(), ratio), fmt.Sprintf("%d µs", ofFew.Microseconds()), ratio, 1.3, "1.3 times")
}

func short(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }

// TestFigures prints a table for the README. It takes some minutes, and a
// machine that has nothing else to do.
func TestFigures(t *testing.T) {
	if os.Getenv("FIGURES") == "" {
		t.Skip("NOT MEASURED: make bench does")
	}
	debug.SetGCPercent(cli.GCPercent)
	f := &figures{t: t}
	programs := build(t)
	for _, measure := range []func(*figures, string){startUp, residentMemory, answers, rounds, growth, growthOfTrees, oneFile, restarts, gate, scripts, records, postgreSQL, kafkaSink} {
		t.Run("", func(t *testing.T) { // which ends what it has started
			f.t = t
			measure(f, programs)
		})
	}
	fmt.Printf("\n%s, %d processors, %s\n\n", runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	fmt.Println("| what | measured | bare | at most |\n|---|---|---|---|")
	fmt.Println(strings.Join(f.rows, "\n"))
}

// alternate measures a and b in turn, after one of each that does not count, and
// returns their medians.
func alternate(times int, a, b func() time.Duration) (time.Duration, time.Duration) {
	a()
	b()
	var as, bs []time.Duration
	for range times {
		as = append(as, a())
		bs = append(bs, b())
	}
	return quantile(as, 0.5), quantile(bs, 0.5)
}

// quantile is that of the nearest rank.
func quantile(all []time.Duration, q float64) time.Duration {
	return slices.Sorted(slices.Values(all))[max(0, int(math.Ceil(q*float64(len(all))))-1)]
}

// tail is the 99th percentile of all, of which it has been taken in five stretches of
// time: the median of those. What is the machine's own comes in bursts, of which one
// is longer than the answers that are beyond it.
func tail(all []time.Duration) time.Duration {
	var tails []time.Duration
	for stretch := range slices.Chunk(all, len(all)/5) {
		tails = append(tails, quantile(stretch, 0.99))
	}
	return quantile(tails, 0.5)
}
