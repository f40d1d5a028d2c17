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
}
