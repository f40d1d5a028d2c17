package rate_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/portico-fhir/portico/internal/rate"
)

func TestABucketGivesNoMoreThanItsBurstAndItsRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := rate.Limit{PerSecond: rapid.Float64Range(0.1, 100).Draw(t, "rate"), Burst: rapid.IntRange(1, 50).Draw(t, "burst")}
		b := rate.NewBucket(l)
		start := time.Unix(1_700_000_000, 0)
		now, given := start, 0
		for _, step := range rapid.SliceOf(rapid.Int64Range(0, int64(time.Second))).Draw(t, "steps") {
			now = now.Add(time.Duration(step))
			wait, ok := b.Take(now)
			if ok {
				given++
			} else if again, ok := b.Take(now.Add(wait)); !ok {
				t.Fatalf("not after the %v it said, but %v", wait, again)
			} else {
				now, given = now.Add(wait), given+1
			}
			if most := float64(l.Burst) + now.Sub(start).Seconds()*l.PerSecond + 1e-3; float64(given) > most {
				t.Fatalf("%d given, want %v at most", given, most)
			}
		}
	})
}

func TestALimitOfNothingIsNone(t *testing.T) {
	b := rate.NewBucket(rate.Limit{})
	for range 1000 {
		if _, ok := b.Take(time.Now()); !ok {
			t.Fatal("refused")
		}
	}
}

func TestAReservationBeyondWhatIsWaitedForTakesNothing(t *testing.T) {
	b, now := rate.NewBucket(rate.Limit{PerSecond: 1, Burst: 1}), time.Now()
	for i, want := range []time.Duration{0, time.Second, 2 * time.Second} {
		if wait, ok := b.Reserve(now, 2*time.Second); !ok || wait != want {
			t.Errorf("%d: %v, %v", i, wait, ok)
		}
	}
	for range 5 {
		if wait, ok := b.Reserve(now, 2*time.Second); ok || wait != 3*time.Second {
			t.Errorf("%v, %v", wait, ok)
		}
	}
}

func TestATableForgetsWhoNeedsNothingAndStaysBounded(t *testing.T) {
	table, now, l := rate.NewTable(10), time.Unix(1_700_000_000, 0), rate.Limit{PerSecond: 1, Burst: 1}
	for i := range 10 {
		if _, ok := table.Take(string(rune('a'+i)), l, now); !ok {
			t.Fatal(i)
		}
	}
	// All of memory is in use: strangers share one bucket.
	if _, ok := table.Take("x", l, now); !ok {
		t.Error("the first stranger")
	}
	if wait, ok := table.Take("y", l, now); ok || wait <= 0 {
		t.Error("the second stranger")
	}
	if _, ok := table.Take("a", l, now); ok {
		t.Error("one who is known was forgotten")
	}
	now = now.Add(2 * time.Second)
	for _, key := range []string{"x", "y", "z"} {
		if _, ok := table.Take(key, l, now); !ok {
			t.Errorf("%s waits although there is room again", key)
		}
	}
	// A clock that is set back locks nobody out for longer than a bucket lasts.
	if wait, _ := table.Take("x", l, now.Add(-time.Hour)); wait > time.Second {
		t.Errorf("waits %v", wait)
	}
}

func TestABucketSaysWhetherHalfOfItIsLeft(t *testing.T) {
	b, now := rate.NewBucket(rate.Limit{PerSecond: 1, Burst: 5}), time.Now()
	for i, want := range []bool{true, true, true, false, false} {
		if got := b.HalfFull(now); got != want {
			t.Errorf("after %d: %v", i, got)
		}
		b.Take(now)
	}
	if !b.HalfFull(now.Add(3 * time.Second)) {
		t.Error("not after a while")
	}
	one := rate.NewBucket(rate.Limit{PerSecond: 1, Burst: 1})
	if one.HalfFull(now) {
		t.Error("of one, that is all there is")
	}
	if !rate.NewBucket(rate.Limit{}).HalfFull(now) {
		t.Error("without a limit")
	}
}
