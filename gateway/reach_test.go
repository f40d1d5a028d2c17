package gateway_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/portico-fhir/portico/gateway"
	"github.com/portico-fhir/portico/gateway/cache"
	"github.com/portico-fhir/portico/gateway/cache/cachetest"
)

// What leads to a device is corrected at the EHR, and nobody says so. It opens the
// device no longer than a kept answer that shows it would be given.
func TestWhatLeadsSomewhereIsBelievedAsLongAsAKeptAnswer(t *testing.T) {
	const leads, no = `{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/alice"},"device":{"reference":"Device/meter"}}`,
		`{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/alice"}}`
	for name, tt := range map[string]struct {
		ttl   func(string, string) time.Duration // nil: no cache
		stale time.Duration
		after time.Duration // by then it is not believed, a second before it is
		told  bool
	}{
		"for its ttl": {ttl: func(string, string) time.Duration { return 20 * time.Second }, after: 20 * time.Second},
		"not for the device's own ttl": {ttl: func(_, typ string) time.Duration {
			if typ == "Device" {
				return time.Hour
			}
			return 20 * time.Second
		}, after: 20 * time.Second},
		"not while it is given as stale":  {ttl: func(string, string) time.Duration { return 20 * time.Second }, stale: time.Hour, after: 20 * time.Second},
		"not after a change that is told": {ttl: func(string, string) time.Duration { return time.Hour }, told: true},
		"a minute without a cache":        {after: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			clock := cachetest.NewClock()
			began := clock.Now()
			now := func() time.Time { return time.Now().Add(clock.Now().Sub(began)) }
			var kept *cache.Cache
			if tt.ttl != nil {
				var err error
				if kept, err = cache.New(cache.Options{Ring: cachetest.Ring(t, "k"), TTL: tt.ttl, StaleWhileRevalidate: tt.stale, StaleIfError: tt.stale, Now: now}); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(kept.Close)
			}
			h := openWith(t, 0, func(o *gateway.Options) { o.Cache, o.Now = kept, now }, reached(leads)...)
			want := func(status int, when string) {
				t.Helper()
				// As another app: what this one was given is kept for it alone.
				if r := h.get("/Device/meter", "alice@other:patient/Device.r+patient/Observation.rs"); r.status != status {
					t.Errorf("%s: %d", when, r.status)
				}
			}
			if r := h.get("/Observation", alice); r.status != http.StatusOK {
				t.Fatal(r.status)
			}
			if err := h.ehr.Load([]byte(no)); err != nil {
				t.Fatal(err)
			}
			if tt.told {
				want(http.StatusOK, "at first")
				if err := kept.Invalidate(context.Background(), "ehr", "alice"); err != nil {
					t.Fatal(err)
				}
				want(http.StatusNotFound, "when it was told")
				return
			}
			clock.Pass(tt.after - 5*time.Second)
			want(http.StatusOK, "before")
			clock.Pass(5 * time.Second)
			want(http.StatusNotFound, "afterwards")
			if r := h.get("/Device/meter", alice); r.status != http.StatusNotFound {
				t.Errorf("to the app that saw it: %d", r.status)
			}
		})
	}
}
