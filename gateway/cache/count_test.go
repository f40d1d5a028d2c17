package cache_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portico-fhir/portico/gateway/cache"
	"github.com/portico-fhir/portico/gateway/cache/cachetest"
	"github.com/portico-fhir/portico/internal/services"
)

// heard collects what Count is told.
type heard struct {
	mu   sync.Mutex
	what map[string]int
}

func (c *heard) count(o *cache.Options) {
	o.Count = func(source, tier, result string) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.what == nil {
			c.what = map[string]int{}
		}
		c.what[fmt.Sprint(source, " ", tier, " ", result)]++
	}
}

// come waits until what was told since the last time is as wanted.
func (c *heard) come(t *testing.T, want ...string) {
	t.Helper()
	all := map[string]int{}
	for _, w := range want {
		all["ehr "+w]++
	}
	var got map[string]int
	defer func() {
		if t.Failed() {
			t.Logf("told %v, want %v", got, all)
		}
	}()
	cachetest.Until(t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		if got = maps.Clone(c.what); !maps.Equal(c.what, all) {
			return false
		}
		c.what = nil
		return true
	})
}

func TestWhatEachTierSaidIsCounted(t *testing.T) {
	s := services.StartRedis(t)
	c := connect(t, s)
	var here, there heard
	a, b := cachetest.NewBench(t, cachetest.Tier{Redis: c}, here.count), cachetest.NewBench(t, cachetest.Tier{Redis: connect(t, s)}, there.count)
	fetch(t, a, "ann")
	here.come(t, "memory miss", "redis miss", "memory stored", "redis stored")
	fetch(t, a, "ann")
	here.come(t, "memory hit")
	fetch(t, b, "ann")
	there.come(t, "memory miss", "redis hit", "memory stored")
	b.Clock.Pass(cachetest.TTL + cachetest.Stale)
	fetch(t, b, "ann")
	there.come(t, "memory stale", "redis stale", "memory stored", "redis stored")
	for k := range entries(t, c, 1) {
		if err := c.Set(t.Context(), k, "forged", time.Minute).Err(); err != nil {
			t.Fatal(err)
		}
	}
	b.Clock.Pass(cachetest.TTL + cachetest.IfError)
	fetch(t, b, "ann")
	there.come(t, "memory miss", "redis refused", "memory stored", "redis stored")
	s.Kill(t)
	fetch(t, a, "bob")
	here.come(t) // the epoch cannot be told, so no tier is asked
}

func TestAFetchOfSomebodyElsesIsCounted(t *testing.T) {
	var here heard
	b := cachetest.NewBench(t, cachetest.Tier{}, here.count)
	g := cachetest.NewGate()
	b.Up.Do(g.Then(cachetest.Bundle("once")))
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { _, _, _ = b.Get("ann") })
	}
	<-g.Began
	cachetest.Until(t, func() bool { return b.Cache.Waiting() == 3 })
	g.Open()
	wg.Wait()
	here.come(t, strings.Split("memory miss,memory miss,memory miss,memory shared,memory shared,memory stored", ",")...)
	v := b.View("ann")
	if err := drain(v.Search(context.Background(), "Observation", "patient=ann")); err != nil {
		t.Fatal(err)
	}
	v.Keep(cache.Released{Bytes: []byte("x")}, "q")
	if b.View("ann").Released("q") == nil {
		t.Fatal("not kept")
	}
	here.come(t, "memory hit", "memory hit")
}
