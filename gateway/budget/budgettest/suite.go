// Package budgettest holds implementations of budget.Budget to what it says.
package budgettest

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-fhir/portico/gateway/budget"
	"github.com/portico-fhir/portico/internal/rate"
)

// Run makes budgets with open and tries them. Time is real: limits are such that
// nothing depends on how fast the test is, or it is polled for.
func Run(t *testing.T, open func(t *testing.T) budget.Budget) {
	t.Helper()
	slow := rate.Limit{PerSecond: 0.001, Burst: 5}
	take := func(t *testing.T, b budget.Budget, key string, l rate.Limit) time.Duration {
		t.Helper()
		wait, err := b.Take(t.Context(), key, l)
		if err != nil {
			t.Fatal(err)
		}
		return wait
	}
	t.Run("a burst and no more", func(t *testing.T) {
		b := open(t)
		for i := range 5 {
			if wait := take(t, b, "a", slow); wait != 0 {
				t.Fatalf("%d waits %v", i, wait)
			}
		}
		for range 5 {
			if wait := take(t, b, "a", slow); wait < 900*time.Second || wait > 1000*time.Second {
				t.Fatalf("the sixth waits %v", wait)
			}
		}
	})
	t.Run("each key by itself", func(t *testing.T) {
		b := open(t)
		for _, key := range []string{"a", "b", "", "a\x00b", "Patient/ä"} {
			for range 5 {
				if wait := take(t, b, key, slow); wait != 0 {
					t.Fatalf("%q waits %v", key, wait)
				}
			}
			if take(t, b, key, slow) == 0 {
				t.Fatalf("%q has more than its burst", key)
			}
		}
	})
	t.Run("tokens come back", func(t *testing.T) {
		b := open(t)
		quick := rate.Limit{PerSecond: 50, Burst: 1}
		begun, got := time.Now(), 0
		for got < 10 && time.Since(begun) < 30*time.Second {
			if take(t, b, "a", quick) == 0 {
				got++
			} else {
				time.Sleep(time.Millisecond)
			}
		}
		if took := time.Since(begun); got < 10 || took < 170*time.Millisecond {
			t.Errorf("%d tokens in %v", got, took)
		}
	})
	t.Run("no limit", func(t *testing.T) {
		b := open(t)
		for range 1000 {
			if take(t, b, "a", rate.Limit{}) != 0 {
				t.Fatal("waits")
			}
		}
	})
	t.Run("a limit that is raised counts at once", func(t *testing.T) {
		b := open(t)
		for take(t, b, "a", slow) == 0 {
		}
		if wait := take(t, b, "a", rate.Limit{PerSecond: 1000, Burst: 5}); wait > 10*time.Millisecond {
			t.Errorf("waits %v", wait)
		}
	})
	t.Run("many at once get no more than the burst", func(t *testing.T) {
		b := open(t)
		var got atomic.Int64
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				for range 20 {
					if wait, err := b.Take(context.Background(), "a", slow); err == nil && wait == 0 {
						got.Add(1)
					}
				}
			})
		}
		all.Wait()
		if got.Load() != 5 {
			t.Errorf("%d tokens", got.Load())
		}
	})
	reservations(t, open)
}

// reservations tries tokens that are taken before they are there.
func reservations(t *testing.T, open func(t *testing.T) budget.Budget) {
	t.Helper()
	slow := rate.Limit{PerSecond: 0.001, Burst: 2} // a token is 1,000 s
	const token = 1000 * time.Second
	near := func(got, want time.Duration) bool { return got <= want && got > want-100*time.Second }
	reserve := func(t *testing.T, b budget.Budget, most time.Duration) (time.Duration, bool) {
		t.Helper()
		wait, ok, err := b.Reserve(t.Context(), "a", slow, most)
		if err != nil {
			t.Fatal(err)
		}
		return wait, ok
	}
	t.Run("what would have to be waited for too long is not taken", func(t *testing.T) {
		b := open(t)
		for range 2 {
			if wait, ok := reserve(t, b, 0); !ok || wait != 0 {
				t.Fatalf("of the burst: %v, %v", wait, ok)
			}
		}
		for range 20 {
			if wait, ok := reserve(t, b, token/2); ok || !near(wait, token) {
				t.Fatalf("%v, %v", wait, ok)
			}
		}
		if wait, ok := reserve(t, b, token); !ok || !near(wait, token) {
			t.Errorf("after the refusals: %v, %v", wait, ok)
		}
	})
	t.Run("each has a turn of its own, one after the other", func(t *testing.T) {
		b := open(t)
		for i, want := range []time.Duration{0, 0, token, 2 * token, 3 * token} {
			if wait, ok := reserve(t, b, 3*token); !ok || wait > want || want > 0 && !near(wait, want) {
				t.Fatalf("%d: %v, %v", i, wait, ok)
			}
		}
		if wait, ok := reserve(t, b, 3*token); ok || wait <= 3*token-100*time.Second {
			t.Errorf("the sixth: %v, %v", wait, ok)
		}
		// Who takes at once neither overtakes those who wait nor sends them away.
		if wait, err := b.Take(t.Context(), "a", slow); err != nil || wait <= 0 {
			t.Errorf("taken at once: %v, %v", wait, err)
		}
		if wait, ok := reserve(t, b, 4*token); !ok || !near(wait, 4*token) {
			t.Errorf("behind them: %v, %v", wait, ok)
		}
	})
	t.Run("many at once get different turns", func(t *testing.T) {
		b := open(t)
		var got atomic.Int64
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				for range 10 {
					if _, ok, err := b.Reserve(context.Background(), "a", slow, 5*token); err == nil && ok {
						got.Add(1)
					}
				}
			})
		}
		all.Wait()
		if got.Load() != 7 { // 2 at once and 5 to wait for
			t.Errorf("%d tokens", got.Load())
		}
	})
}
