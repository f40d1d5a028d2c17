package resilience_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-fhir/portico/gateway/upstream/resilience"
	"github.com/portico-fhir/portico/internal/rate"
	"github.com/portico-fhir/portico/internal/reqctx"
)

// What nobody waits for must not be asked when somebody could wait because of it.
func TestASourceHasRoomToSpareOnlyWhenNobodyWouldWait(t *testing.T) {
	want := func(t *testing.T, e *ehr, spare bool, when string) {
		t.Helper()
		if e.ways.Spare("app") != spare {
			t.Errorf("%s: %v", when, !spare)
		}
	}
	t.Run("places", func(t *testing.T) {
		e := begin(t, resilience.Options{Concurrent: 4}, says(200))
		open := func() *http.Response {
			resp, err := e.client.Get(e.url)
			if err != nil {
				t.Fatal(err)
			}
			return resp
		}
		one := open()
		want(t, e, true, "one of four is taken")
		two := open()
		want(t, e, false, "half of them are")
		_ = one.Body.Close()
		want(t, e, true, "one is given back")
		_ = two.Body.Close()
	})
	t.Run("places of the party", func(t *testing.T) {
		e := begin(t, resilience.Options{Concurrent: 40, PerParty: 3}, says(200))
		want(t, e, true, "two stay free")
		req, err := http.NewRequestWithContext(reqctx.WithParty(t.Context(), "app"), http.MethodGet, e.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := e.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		want(t, e, false, "one of three would")
		if !e.ways.Spare("another") || !e.ways.Spare("") {
			t.Error("one party's places are not another's")
		}
		_ = resp.Body.Close()
		want(t, e, true, "it is given back")
		small := begin(t, resilience.Options{Concurrent: 40, PerParty: 1}, says(200))
		want(t, small, false, "there is one alone")
	})
	t.Run("rate", func(t *testing.T) {
		c := &clock{t: time.Now()}
		e := begin(t, resilience.Options{Now: c.now, Rate: rate.Limit{PerSecond: 1, Burst: 3}}, says(200))
		for _, spare := range []bool{true, true, false} { // of three
			want(t, e, spare, "on the way down")
			if _, _, err := e.get(http.MethodGet); err != nil {
				t.Fatal(err)
			}
		}
		c.pass(time.Second)
		want(t, e, false, "a second later")
		c.pass(time.Second)
		want(t, e, true, "when it has filled again")
	})
	t.Run("the turns of others", func(t *testing.T) {
		c, others := &clock{t: time.Now()}, &turns{wait: time.Millisecond}
		e := begin(t, resilience.Options{Now: c.now, Turns: others, Wait: time.Second, Rate: rate.Limit{PerSecond: 100, Burst: 100}}, says(200))
		want(t, e, true, "at first")
		_, _, _ = e.get(http.MethodGet)
		want(t, e, false, "after a request that had to wait")
		c.pass(2 * time.Second)
		want(t, e, true, "a while later")
	})
	t.Run("pause and breaker", func(t *testing.T) {
		c := &clock{t: time.Now()}
		var bad atomic.Int64
		e := begin(t, resilience.Options{Now: c.now, Breaker: resilience.Breaker{Requests: 2, Open: time.Hour}}, func(w http.ResponseWriter, r *http.Request) {
			switch bad.Load() {
			case 1:
				says(429, "Retry-After", "30")(w, r)
			case 2:
				says(500)(w, r)
			default:
				says(200)(w, r)
			}
		})
		want(t, e, true, "at first")
		bad.Store(1)
		_, _, _ = e.get(http.MethodGet)
		want(t, e, false, "when it asks to be left alone")
		c.pass(31 * time.Second)
		want(t, e, true, "afterwards")
		bad.Store(2)
		for range 3 {
			_, _, _ = e.get(http.MethodGet)
		}
		want(t, e, false, "when it is left alone: "+e.ways.State().Breaker)
	})
}
