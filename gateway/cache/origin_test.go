package cache_test

import (
	"strings"
	"testing"

	"github.com/portico-fhir/portico/gateway/cache"
	"github.com/portico-fhir/portico/gateway/cache/cachetest"
	"github.com/portico-fhir/portico/internal/services"
)

// What one server answered is never given as another's that has its id now: after a
// restart with another configuration, or by replicas of which one has the new one.
func TestASourceThatIsAnotherServerNowBeginsEmpty(t *testing.T) {
	s := services.StartRedis(t)
	at := func(origin string) *cachetest.Bench {
		return cachetest.NewBench(t, cachetest.Tier{Redis: connect(t, s)}, func(o *cache.Options) { o.Origin = func(string) string { return origin } })
	}
	before, same, other := at("https://test.example.org"), at("https://test.example.org"), at("https://live.example.org")
	before.Up.Say(cachetest.Bundle("somebody in the test server"))
	fetch(t, before, "1")
	entries(t, direct(t, s), 1)
	if _, status, err := same.Get("1"); err != nil || !strings.Contains(status.CacheStatus(), "hit") {
		t.Errorf("%s %v", status.CacheStatus(), err)
	}
	other.Up.Say(cachetest.Bundle("somebody else"))
	if body, _, err := other.Get("1"); err != nil || body != cachetest.Bundle("somebody else") {
		t.Errorf("%q %v", body, err)
	}
	// A change is heard of by both.
	other.Up.Say(cachetest.Bundle("changed"))
	if err := before.Cache.Invalidate(t.Context(), "ehr", "1"); err != nil {
		t.Fatal(err)
	}
	if body, _, err := other.Get("1"); err != nil || body != cachetest.Bundle("changed") {
		t.Errorf("%q %v", body, err)
	}
}
