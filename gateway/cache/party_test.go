package cache_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/portico-fhir/portico/gateway/cache"
	"github.com/portico-fhir/portico/gateway/cache/cachetest"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/reqctx"
)

// searchFor makes one search of ann's on behalf of a party.
func searchFor(t *testing.T, b *cachetest.Bench, party string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(reqctx.WithParty(t.Context(), party), 20*time.Second)
	defer cancel()
	v := b.Cache.View(ctx, cache.Request{Source: "ehr", Patient: "ann", Upstream: b.Up, Token: cache.Token{ID: party, Until: b.Clock.Now().Add(time.Hour), Active: func(context.Context) (bool, error) { return true, nil }}})
	return drain(v.Search(ctx, "Observation", "patient=ann"))
}

func TestWhatOnePartyIsRefusedIsNotRefusedToAnother(t *testing.T) {
	b := cachetest.NewBench(t, cachetest.Tier{})
	asked, refuse := make(chan struct{}), make(chan struct{})
	b.Up.Do(func(ctx context.Context, _ string) (*upstream.Answer, error) {
		if reqctx.Party(ctx) != "greedy" {
			return cachetest.Whole(cachetest.Bundle("x")), nil
		}
		close(asked)
		<-refuse
		return nil, fault.New(fault.TooMany, "too many")
	})
	refused := make(chan error, 1)
	go func() { refused <- searchFor(t, b, "greedy") }()
	<-asked
	if err := searchFor(t, b, "modest"); err != nil {
		t.Errorf("while the other waits: %v", err)
	}
	close(refuse)
	if err := <-refused; fault.KindOf(err) != fault.TooMany {
		t.Error(err)
	}
}

func TestWhatIsFetchedBehindARequestIsItsPartys(t *testing.T) {
	b := cachetest.NewBench(t, cachetest.Tier{}, func(o *cache.Options) {
		o.Refresh = cache.Refresh{Active: time.Hour, PerMinute: 1000}
	})
	var mu sync.Mutex
	var parties []string
	b.Up.Do(func(ctx context.Context, _ string) (*upstream.Answer, error) {
		mu.Lock()
		defer mu.Unlock()
		parties = append(parties, reqctx.Party(ctx))
		return cachetest.Whole(cachetest.Bundle("x")), nil
	})
	said := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(parties)
	}
	if err := searchFor(t, b, "one"); err != nil {
		t.Fatal(err)
	}
	b.Clock.Pass(cachetest.TTL) // stale: given, and fetched behind
	if err := searchFor(t, b, "other"); err != nil {
		t.Fatal(err)
	}
	cachetest.Until(t, func() bool { return said() == 2 })
	if err := b.Cache.Invalidate(t.Context(), "ehr", "ann"); err != nil {
		t.Fatal(err)
	}
	cachetest.Until(t, func() bool { return said() == 3 })
	if parties[0] != "one" || parties[1] != "other" || parties[2] != "other" {
		t.Errorf("asked for %q", parties)
	}
}
