package gateway_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-fhir/portico/gateway"
	"github.com/portico-fhir/portico/gateway/cache"
	"github.com/portico-fhir/portico/gateway/cache/cachetest"
)

// A clock that jumps ends what it says is over, brings nothing back that is wrong,
// and when it is right again all is as before.
func TestAClockThatJumpsGivesNothingWrong(t *testing.T) {
	var jump atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(jump.Load())) }
	kept, err := cache.New(cache.Options{Ring: cachetest.Ring(t, "k"), Now: now, TTL: func(string, string) time.Duration { return time.Hour }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kept.Close)
	h := openWith(t, 0, func(o *gateway.Options) { o.Cache, o.Now = kept, now }, twoRecords()...)
	first := h.get("/Communication?_count=1", alice)
	_, rest, paged := strings.Cut(first.body, `"relation":"next","url":"`)
	link, _, _ := strings.Cut(rest, `"`)
	if u, err := url.Parse(link); !paged || err != nil || u.RawQuery == "" {
		t.Fatalf("no next page: %s", first.body)
	}
	second := h.get(link, alice)
	if second.status != http.StatusOK {
		t.Fatalf("%d", second.status)
	}
	for _, tt := range []struct {
		name       string
		by         time.Duration
		want, page int
	}{
		{"a day on: the token is over", 24 * time.Hour, http.StatusUnauthorized, http.StatusUnauthorized},
		{"half an hour on", 30 * time.Minute, http.StatusOK, http.StatusOK},
		{"a day back", -24 * time.Hour, http.StatusOK, http.StatusOK},
		{"right again", 0, http.StatusOK, http.StatusOK},
	} {
		jump.Store(int64(tt.by))
		if r := h.get("/Communication?_count=1", alice); r.status != tt.want || tt.want == http.StatusOK && !strings.Contains(r.body, "communication-alice") && !strings.Contains(r.body, "said-by") {
			t.Errorf("%s: %d %s", tt.name, r.status, r.body)
		}
		if r := h.get(link, alice); r.status != tt.page {
			t.Errorf("%s, the next page: %d", tt.name, r.status)
		}
		if r := h.get("/Observation/observation-"+bobID, alice); r.status == http.StatusOK || strings.Contains(r.everything(), secret) {
			t.Errorf("%s: another's: %d", tt.name, r.status)
		}
	}
}
