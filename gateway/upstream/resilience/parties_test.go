package resilience_test

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/portico-fhir/portico/gateway/upstream/resilience"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/reqctx"
)

// failsFor serves who has bad by fails, and everybody else well.
func failsFor(bad func(party string) bool, fails http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if bad(r.Header.Get("Party")) {
			fails(w, r)
			return
		}
		says(200)(w, r)
	}
}

func only(party string) func(string) bool { return func(p string) bool { return p == party } }

func TestAPartyThatProvokesFailuresStopsItselfAlone(t *testing.T) {
	for name, fails := range map[string]http.HandlerFunc{
		"errors":            says(500),
		"errors of a proxy": says(502),
		"hang-ups":          hangUp,
		"broken bodies": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half")
		},
		"time-outs": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		t.Run(name, func(t *testing.T) {
			var provoked atomic.Int64
			e := begin(t, resilience.Options{
				// Long enough for the ordinary ones on a busy machine.
				Next:    &http.Transport{ResponseHeaderTimeout: 500 * time.Millisecond, DisableKeepAlives: true},
				Breaker: resilience.Breaker{Requests: 4, Open: time.Hour},
			}, failsFor(only("hostile"), func(w http.ResponseWriter, r *http.Request) {
				provoked.Add(1)
				fails(w, r)
			}))
			for range 8 { // before anybody else has asked
				_, _, _ = e.getFor("hostile", http.MethodGet)
			}
			for i := range 12 {
				_, _, err := e.getFor("hostile", http.MethodGet)
				if fault.KindOf(err) != fault.Unavailable || fault.RetryAfterOf(err) < time.Second {
					t.Errorf("the hostile one: %v after %v", err, fault.RetryAfterOf(err))
				}
				for _, party := range []string{"ordinary", "new " + strconv.Itoa(i), ""} {
					if status, _, err := e.getFor(party, http.MethodGet); status != 200 || err != nil {
						t.Fatalf("%q: %d %v", party, status, err)
					}
				}
			}
			if n := provoked.Load(); n > 4 {
				t.Errorf("provoked %d times, want 4 at most", n)
			}
			if e.ways.Spare("hostile") || !e.ways.Spare("ordinary") {
				t.Errorf("to spare for the hostile one: %v", e.ways.Spare("hostile"))
			}
			if s := e.ways.State(); s.Breaker != "closed" || s.OpenFor != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestAnEHRThatFailsForEverybodyIsLeftAloneByEverybody(t *testing.T) {
	for name, parties := range map[string]int{"one app": 1, "two apps": 2, "many that ask seldom": 30} {
		t.Run(name, func(t *testing.T) {
			var well atomic.Bool
			e := begin(t, resilience.Options{Breaker: resilience.Breaker{Requests: 6, Open: 100 * time.Millisecond}},
				failsFor(func(string) bool { return !well.Load() }, says(500)))
			turn := func(i int) string { return "app " + strconv.Itoa(i%parties) }
			refused := false
			for i := range 12 {
				_, _, err := e.getFor(turn(i), http.MethodGet)
				refused = refused || fault.KindOf(err) == fault.Unavailable
			}
			if s := e.ways.State(); !refused || s.Breaker != "open" && s.Breaker != "half-open" || s.LastError != "status 500" {
				t.Errorf("refused: %v, %+v", refused, s)
			}
			well.Store(true)
			i := 0
			until(t, "closed again", func() bool {
				_, _, _ = e.getFor(turn(i), http.MethodGet)
				i++
				return e.ways.State().Breaker == "closed"
			})
			until(t, "everybody served", func() bool {
				for i := range parties {
					if status, _, _ := e.getFor(turn(i), http.MethodGet); status != 200 {
						return false
					}
				}
				return true
			})
		})
	}
}

func TestAnEHRThatCannotBeReachedIsLeftAloneWhoeverFindsOut(t *testing.T) {
	e := begin(t, resilience.Options{Breaker: resilience.Breaker{Requests: 4, Open: time.Hour}}, says(200))
	if status, _, err := e.getFor("ordinary", http.MethodGet); status != 200 {
		t.Fatal(err)
	}
	e.url = "http://127.0.0.1:1"
	for range 5 {
		_, _, _ = e.getFor("unlucky", http.MethodGet)
	}
	for _, party := range []string{"ordinary", "new", "", "unlucky"} {
		if _, _, err := e.getFor(party, http.MethodGet); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("%q: %v", party, err)
		}
	}
	if s := e.ways.State(); s.Breaker != "open" || s.LastError != "connect" {
		t.Errorf("%+v", s)
	}
}

// Whatever the order in which they ask: who is answered well is never refused
// because of one who is not, and an EHR that answers nobody is soon asked no more.
func TestBreakersInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dead := rapid.Bool().Draw(t, "the EHR is dead")
		asked := 0
		ways, err := resilience.New(resilience.Options{
			Breaker: resilience.Breaker{Requests: 5, Open: time.Hour},
			Next: roundTripper(func(r *http.Request) (*http.Response, error) {
				asked++
				status := http.StatusOK
				if dead || reqctx.Party(r.Context()) == "a" {
					status = http.StatusInternalServerError
				}
				return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody}, nil
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		for i, party := range rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 1, 60).Draw(t, "who asks") {
			req, err := http.NewRequestWithContext(reqctx.WithParty(context.Background(), party), http.MethodGet, "http://ehr.invalid", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := ways.RoundTrip(req)
			if err == nil {
				_ = resp.Body.Close()
			}
			if err != nil && !dead && party != "a" {
				t.Fatalf("%d, of %s: %v", i, party, err)
			}
		}
		if dead && asked > 10 {
			t.Fatalf("asked %d times", asked)
		}
	})
}
