package cachetest

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/portico-fhir/portico/gateway/cache"
	"github.com/portico-fhir/portico/internal/fault"
)

func hit(b *Bench) {
	s := b.want("ann", "first", 1)
	if got := s.CacheStatus(); got != "portico; fwd=uri-miss; stored" || s.Age() != "" || s.Warning() != "" {
		b.T.Errorf("a miss says %q, age %q, warning %q", got, s.Age(), s.Warning())
	}
	b.Up.Say(Bundle("second"))
	b.Clock.Pass(20 * time.Second)
	v := b.View("ann")
	a, err := v.Search(context.Background(), "Observation", "patient=ann")
	if err != nil {
		b.T.Fatal(err)
	}
	raw, err := io.ReadAll(a.Body)
	if err != nil || string(raw) != Bundle("first") || a.ETag != `W/"7"` || !a.LastModified.Equal(Modified()) {
		b.T.Errorf("%s %v %q %v", raw, err, a.ETag, a.LastModified)
	}
	if s := v.Status(); s.CacheStatus() != "portico; hit; ttl=40" || s.Age() != "20" || s.Warning() != "" {
		b.T.Errorf("a hit says %q, age %q, warning %q", s.CacheStatus(), s.Age(), s.Warning())
	}
}

func staleWhile(b *Bench) {
	b.want("ann", "first", 1)
	b.Up.Say(Bundle("second"))
	b.Clock.Pass(TTL)
	s := b.want("ann", "first", -1)
	if got := s.CacheStatus(); got != "portico; hit; ttl=0" || s.Age() != "60" || s.Warning() != `110 portico "Response is Stale"` {
		b.T.Errorf("%q, age %q, warning %q", got, s.Age(), s.Warning())
	}
	Until(b.T, func() bool {
		body, _, err := b.Get("ann")
		return err == nil && body == Bundle("second")
	})
	if n := len(b.Up.Asked()); n != 2 {
		b.T.Errorf("asked %d times", n)
	}
	b.Clock.Pass(TTL + Stale)
	b.Up.Say(Bundle("third"))
	if s := b.want("ann", "third", 3); s.CacheStatus() != "portico; fwd=stale; stored" {
		b.T.Error(s.CacheStatus())
	}
}

func staleIfError(b *Bench) {
	b.want("ann", "first", 1)
	b.Clock.Pass(TTL + Stale)
	for _, kind := range []fault.Kind{fault.Upstream, fault.UpstreamTimeout, fault.Unavailable} {
		b.Up.Do(Failing(kind))
		s := b.want("ann", "first", -1)
		if s.CacheStatus() != "portico; fwd=stale" || s.Age() != "70" || !strings.HasPrefix(s.Warning(), "111 ") {
			b.T.Errorf("%q, age %q, warning %q", s.CacheStatus(), s.Age(), s.Warning())
		}
	}
	b.Up.Do(Broken(`{"resourceType":"Bundle"`))
	b.want("ann", "first", -1)
	for _, kind := range []fault.Kind{fault.Invalid, fault.Unsupported, fault.TooMany, fault.Internal} {
		b.Up.Do(Failing(kind))
		if body, _, err := b.Get("ann"); fault.KindOf(err) != kind {
			b.T.Errorf("%v was hidden by %q", kind, body)
		}
	}
	b.Up.Do(Down)
	if body, _, err := b.Get("ann", "no-cache"); err == nil {
		b.T.Errorf("no-cache gave %q", body)
	}
	_ = b.Cache.Invalidate(context.Background(), "ehr", "ann")
	if body, _, err := b.Get("ann"); err == nil {
		b.T.Errorf("after a change something stale was given: %q", body)
	}
}

func maxAge(b *Bench) {
	b.want("ann", "first", 1)
	b.Clock.Pass(20 * time.Second)
	b.Up.Say(Bundle("second"))
	b.want("ann", "first", 1, "max-age=20")
	b.want("ann", "first", 1, "only-if-cached")
	s := b.want("ann", "second", 2, "max-age=19")
	if s.CacheStatus() != "portico; fwd=request; stored" {
		b.T.Error(s.CacheStatus())
	}
	b.want("ann", "second", 2)
	b.want("ann", "second", 3, "max-age=what")
}

// held is also what keeps foreign and missing resources alike.
func held(b *Bench) {
	read := func(confirm bool) {
		b.T.Helper()
		v := b.View("ann").Holding(nil)
		a, err := v.Read(context.Background(), "Observation", "o")
		if err != nil {
			b.T.Fatal(err)
		}
		if _, err := io.ReadAll(a.Body); err != nil {
			b.T.Fatal(err)
		}
		_ = a.Body.Close()
		if confirm {
			v.Confirm()
		}
	}
	b.Up.Say(`{"resourceType":"Observation","id":"o"}`)
	for n, row := range []struct {
		confirm bool
		asked   int
	}{{false, 1}, {false, 2}, {true, 3}, {false, 3}, {true, 3}} {
		read(row.confirm)
		if got := len(b.Up.Asked()); got != row.asked {
			b.T.Fatalf("%d: asked %d times, want %d", n, got, row.asked)
		}
	}
}

func released(b *Bench) {
	ask := func(key, control string) *cache.Released {
		return b.View("ann", control).Released(key)
	}
	keep := func(key string) {
		v := b.View("ann")
		a, err := v.Search(context.Background(), "Observation", "patient=ann")
		if err != nil {
			b.T.Fatal(err)
		}
		_, _ = io.ReadAll(a.Body)
		_ = a.Body.Close()
		v.Keep(cache.Released{Bytes: []byte("bytes of " + key)}, key)
	}
	keep("a")
	if r := ask("a", ""); r == nil || string(r.Bytes) != "bytes of a" {
		b.T.Fatalf("not kept: %v", r)
	}
	if ask("b", "") != nil || b.View("bob").Released("a") != nil || ask("a", "no-cache") != nil || ask("a", "no-store") != nil {
		b.T.Error("given for another question, to another patient, or against the app's will")
	}
	b.Clock.Pass(20 * time.Second)
	if ask("a", "max-age=19") != nil || ask("a", "max-age=20") == nil {
		b.T.Error("max-age")
	}
	b.Clock.Pass(40 * time.Second)
	if ask("a", "") != nil {
		b.T.Error("given when it was no longer fresh")
	}
	keep("a") // from something stale
	if ask("a", "") != nil {
		b.T.Error("kept although it was stale")
	}
	_ = b.Cache.Invalidate(context.Background(), "ehr", "ann")
	keep("a")
	if ask("a", "") == nil {
		b.T.Error("not kept anew")
	}
	_ = b.Cache.Invalidate(context.Background(), "ehr", "ann")
	if ask("a", "") != nil {
		b.T.Error("given after a change")
	}
	v := b.View("ann")
	v.Keep(cache.Released{Bytes: []byte("of nothing")}, "c")
	if ask("c", "") != nil {
		b.T.Error("kept although nothing was asked for it")
	}
}

func gone(b *Bench) {
	b.want("ann", "first", 1)
	b.Up.Do(Failing(fault.NotFound))
	if _, _, err := b.Get("ann", "no-cache"); fault.KindOf(err) != fault.NotFound {
		b.T.Fatal(err)
	}
	if body, _, err := b.Get("ann"); fault.KindOf(err) != fault.NotFound {
		b.T.Errorf("what is gone is still given: %q", body)
	}
}
