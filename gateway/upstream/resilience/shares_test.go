package resilience_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/portico-fhir/portico/gateway/upstream/resilience"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/reqctx"
)

func TestAPartyWithSlowReadersLeavesPlacesToTheOthers(t *testing.T) {
	e := begin(t, resilience.Options{Concurrent: 3, PerParty: 2, Wait: 10 * time.Millisecond}, says(200))
	open := func(party string) *http.Response {
		req, err := http.NewRequestWithContext(reqctx.WithParty(t.Context(), party), http.MethodGet, e.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := e.client.Do(req)
		if err != nil {
			t.Fatalf("%s: %v", party, err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		return resp
	}
	first, _ := open("greedy"), open("greedy")
	if _, _, err := e.getFor("greedy", http.MethodGet); fault.KindOf(err) != fault.TooMany || fault.RetryAfterOf(err) == 0 || e.asked.Load() != 2 {
		t.Errorf("a third of the greedy one: %v, asked %d times", err, e.asked.Load())
	}
	last := open("modest")
	for party, kind := range map[string]fault.Kind{"modest": fault.Unavailable, "greedy": fault.TooMany, "": fault.Unavailable} {
		if _, _, err := e.getFor(party, http.MethodGet); fault.KindOf(err) != kind {
			t.Errorf("%q when all is taken: %v", party, err)
		}
	}
	_ = last.Body.Close()
	if _, _, err := e.getFor("", http.MethodGet); err != nil {
		t.Errorf("what is nobody's: %v", err)
	}
	_ = first.Body.Close()
	if _, _, err := e.getFor("greedy", http.MethodGet); err != nil {
		t.Errorf("after a close: %v", err)
	}
}

func TestAPartyAloneWaitsForItsPlacesAndIsNotRefused(t *testing.T) {
	most, counted := atOnce()
	e := begin(t, resilience.Options{Concurrent: 8, PerParty: 2, Wait: 20 * time.Second}, counted)
	var all sync.WaitGroup
	for range 60 {
		all.Go(func() {
			if status, _, err := e.getFor("alone", http.MethodGet); status != 200 {
				t.Errorf("%d %v", status, err)
			}
		})
	}
	all.Wait()
	if most.Load() > 2 {
		t.Errorf("%d at once", most.Load())
	}
}

func TestWhoGoesAwayWhileWaitingForItsShareIsNotCounted(t *testing.T) {
	e := begin(t, resilience.Options{Concurrent: 4, PerParty: 1, Wait: 20 * time.Second}, says(200))
	hold, err := http.NewRequestWithContext(reqctx.WithParty(t.Context(), "a"), http.MethodGet, e.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	held, err := e.client.Do(hold)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Body.Close() }()
	ctx, cancel := context.WithCancel(reqctx.WithParty(t.Context(), "a"))
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url, nil)
			if err != nil {
				t.Error(err)
				return
			}
			if resp, err := e.ways.RoundTrip(req); err == nil {
				_ = resp.Body.Close()
				t.Error("it had a place")
			}
		})
	}
	cancel()
	all.Wait()
	if s := e.ways.State(); s.InFlight != 1 || s.Failures != 0 || s.LastError != "" {
		t.Errorf("%+v", s)
	}
	_ = held.Body.Close()
	if _, _, err := e.getFor("a", http.MethodGet); err != nil {
		t.Error(err)
	}
}
