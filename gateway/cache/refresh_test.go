package cache_test

import (
	"testing"
	"time"

	"github.com/portico-fhir/portico/gateway/cache"
	"github.com/portico-fhir/portico/gateway/cache/cachetest"
)

// Nothing is asked ahead for somebody whose token has ended, however lately it was
// used.
func TestNothingIsMadeAgainForATokenThatHasEnded(t *testing.T) {
	b := cachetest.NewBench(t, cachetest.Tier{}, func(o *cache.Options) {
		o.Refresh = cache.Refresh{Active: time.Hour, PerMinute: 1000}
	})
	fetch(t, b, "ann")
	b.Clock.Pass(cachetest.TokenLife)
	fetch(t, b, "bob") // whose token has not
	fetch(t, b, "eve")
	asked := len(b.Up.Asked())
	for _, who := range []string{"ann", "bob"} {
		if err := b.Cache.Invalidate(t.Context(), "ehr", who); err != nil {
			t.Fatal(err)
		}
	}
	cachetest.Until(t, func() bool { return len(b.Up.Asked()) == asked+1 })
	// The queue is worked through in order: when eve's is there, ann's was passed over.
	if err := b.Cache.Invalidate(t.Context(), "ehr", "eve"); err != nil {
		t.Fatal(err)
	}
	cachetest.Until(t, func() bool { return len(b.Up.Asked()) >= asked+2 })
	if n := len(b.Up.Asked()); n != asked+2 {
		t.Errorf("asked %d times, want %d", n, asked+2)
	}
}
