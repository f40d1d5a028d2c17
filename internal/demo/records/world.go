package records

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"time"
)

// world is what all patients of one set share: the seed and the day.
type world struct {
	seed   uint64
	base   string      // of the server, "" when unknown
	today  time.Time   // midnight; everything that has happened lies before it
	coming []time.Time // working days from tomorrow on
	past   []time.Time // working days back from yesterday
}

const (
	comingDays = 40 // eight weeks
	pastDays   = 20 // four weeks
)

// arizona keeps one offset all the year, so a date needs no zone tables.
func arizona() *time.Location { return time.FixedZone("MST", -7*60*60) }

func newWorld(o Options) *world {
	y, m, d := o.Now.In(arizona()).Date()
	w := &world{seed: o.Seed, base: o.Base, today: time.Date(y, m, d, 0, 0, 0, 0, arizona())}
	for t := w.today.AddDate(0, 0, 1); len(w.coming) < comingDays; t = t.AddDate(0, 0, 1) {
		if working(t) {
			w.coming = append(w.coming, t)
		}
	}
	for t := w.today.AddDate(0, 0, -1); len(w.past) < pastDays; t = t.AddDate(0, 0, -1) {
		if working(t) {
			w.past = append(w.past, t)
		}
	}
	return w
}

// working says whether the clinics are open: not on weekends, and not on the
// holidays that never move.
func working(t time.Time) bool {
	switch _, month, day := t.Date(); {
	case month == time.January && day == 1, month == time.July && day == 4, month == time.December && day == 25:
		return false
	}
	return t.Weekday() != time.Saturday && t.Weekday() != time.Sunday
}

// weekday moves a day on which the clinics are closed to the open one before.
func weekday(t time.Time) time.Time {
	for !working(t) {
		t = t.AddDate(0, 0, -1)
	}
	return t
}

// dice is a stream of chance that belongs to one subject and one area, so that
// what one area draws never changes what another gets.
type dice struct{ *rand.Rand }

func (w *world) dice(area string, subject int) dice {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s/%d", area, subject)
	return dice{rand.New(rand.NewPCG(w.seed, h.Sum64()))} //nolint:gosec // reproducible sample data, nothing secret
}

func (d dice) chance(p float64) bool { return d.Float64() < p }

// between gives a whole number from low to high, both included.
func (d dice) between(low, high int) int { return low + d.IntN(high-low+1) }

func (d dice) uniform(low, high float64) float64 { return low + (high-low)*d.Float64() }

// normal is bounded to three deviations: no sample should be a sensation.
func (d dice) normal(mean, deviation float64) float64 {
	return mean + deviation*math.Max(-3, math.Min(3, d.NormFloat64()))
}

func (d dice) digits(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "0123456789"[d.IntN(10)]
	}
	return string(b)
}

func pick[T any](d dice, from []T) T { return from[d.IntN(len(from))] }

func clamp(v, low, high float64) float64 { return math.Max(low, math.Min(high, v)) }

func round(v float64, places int) float64 {
	f := math.Pow10(places)
	return math.Round(v*f) / f
}

func yearsBetween(from, to time.Time) float64 { return to.Sub(from).Hours() / 24 / 365.2425 }
