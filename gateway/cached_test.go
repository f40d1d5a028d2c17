package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-fhir/portico/gateway"
	"github.com/portico-fhir/portico/gateway/audit"
	"github.com/portico-fhir/portico/gateway/cache"
	"github.com/portico-fhir/portico/gateway/cache/cachetest"
	"github.com/portico-fhir/portico/internal/demo/ehr"
	"github.com/portico-fhir/portico/smart/token"
)

// withCache gives a house whose gateway keeps answers, a count of what the EHR
// is asked, and the cache.
func withCache(t testing.TB, hold int, resources ...string) (*house, *atomic.Int64, *cache.Cache) {
	t.Helper()
	return withCacheOf(t, hold, cache.Options{TTL: func(string, string) time.Duration { return time.Hour }}, resources...)
}

func withCacheOf(t testing.TB, hold int, o cache.Options, resources ...string) (*house, *atomic.Int64, *cache.Cache) {
	t.Helper()
	o.Ring = cachetest.Ring(t, "k")
	kept, err := cache.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kept.Close)
	h := openWith(t, hold, func(o *gateway.Options) {
		o.Cache = kept
		o.Sources[0].Write = everyWrite()
	}, resources...)
	asked := &atomic.Int64{}
	h.ehr.MisbehaveWhen(0, func(*http.Request) bool { asked.Add(1); return false })
	return h, asked, kept
}

func (h *house) event() audit.Event {
	h.t.Helper()
	events := h.sink.take()
	if len(events) != 1 {
		h.t.Fatalf("%d events", len(events))
	}
	e := events[0]
	e.ID, e.RequestID, e.Time = "", "", time.Time{}
	return e
}

func TestAnAnswerKeptIsTheSameAnswerAndTheSameEvent(t *testing.T) {
	h, asked, _ := withCache(t, 0, twoRecords()...)
	for name, row := range map[string]struct{ method, path, form string }{
		"read":             {"GET", "/Observation/observation-alice", ""},
		"search":           {"GET", "/Observation?_revinclude=Provenance:target", ""},
		"search with POST": {"POST", "/Condition/_search", "_id=condition-alice"},
		"masked":           {"GET", "/Appointment/group-visit", ""},
		"directory":        {"GET", "/Practitioner/dr", ""},
		"reached":          {"GET", "/Binary/bin-alice", ""},
		"nothing found":    {"GET", "/Observation?_id=none", ""},
		"count":            {"GET", "/Observation?_summary=count", ""},
		"everything":       {"GET", "/Patient/alice/$everything?_type=Observation,Condition", ""},
	} {
		t.Run(name, func(t *testing.T) {
			first := h.send(row.method, row.path, alice, row.form)
			if first.status != http.StatusOK {
				t.Fatalf("%d %s", first.status, first.body)
			}
			was, before := h.event(), asked.Load()
			second := h.send(row.method, row.path, alice, row.form)
			if second.body != first.body || second.status != first.status || second.header.Get("ETag") != first.header.Get("ETag") {
				t.Errorf("first\n%s\nthen\n%s", first.everything(), second.everything())
			}
			if e := h.event(); fmt.Sprint(e) != fmt.Sprint(was) {
				t.Errorf("first event\n%+v\nthen\n%+v", was, e)
			}
			if asked.Load() != before {
				t.Error("the EHR was asked again")
			}
			if got := second.header.Get("Cache-Status"); !strings.HasPrefix(got, "portico; hit; ttl=") {
				t.Errorf("Cache-Status %q", got)
			}
			if got := first.header.Get("Cache-Status"); !strings.HasPrefix(got, "portico; fwd=uri-miss") && name != "count" { // the searches of which may be there
				t.Errorf("Cache-Status %q at first", got)
			}
		})
	}
}

func TestAHitIsStillConditional(t *testing.T) {
	h, _, _ := withCache(t, 0, `{"resourceType":"Observation","id":"o","meta":{"versionId":"3"},"subject":{"reference":"Patient/alice"}}`)
	for range 2 {
		if r := h.get("/Observation/o", alice, "If-None-Match", `W/"3"`); r.status != http.StatusNotModified || r.body != "" {
			t.Errorf("%d %s", r.status, r.body)
		}
		if e := h.event(); e.Status != http.StatusNotModified {
			t.Errorf("the event says %d", e.Status)
		}
		if r := h.get("/Observation/o", alice, "If-None-Match", `W/"2"`); r.status != http.StatusOK {
			t.Errorf("%d", r.status)
		}
		h.sink.take()
		if r := h.send(http.MethodHead, "/Observation/o", alice, ""); r.status != http.StatusOK || r.body != "" || r.header.Get("ETag") != `W/"3"` {
			t.Errorf("HEAD: %+v", r)
		}
		h.sink.take()
	}
}

// Everything that decides an answer must make another question of it.
func TestWhatIsKeptIsForTheSameQuestionAlone(t *testing.T) {
	h, _, _ := withCache(t, 0, twoRecords()...)
	ask := func(method, path, bearer, form string, headers ...string) reply {
		return h.send(method, path, bearer, form, headers...)
	}
	base := ask("GET", "/Observation", alice, "")
	if !strings.Contains(base.body, "observation-alice") {
		t.Fatal(base.body)
	}
	for name, row := range map[string]struct {
		r      reply
		status int
		holds  bool
	}{
		"another patient":          {ask("GET", "/Observation", bobID+":patient/*.rs", ""), 200, false},
		"another app":              {ask("GET", "/Observation", "alice@other:patient/*.rs", ""), 200, true},
		"narrower scopes":          {ask("GET", "/Observation", "alice:patient/Condition.rs", ""), 403, false},
		"granular scopes":          {ask("GET", "/Observation", "alice:patient/Observation.rs?category=laboratory", ""), 200, false},
		"no token":                 {ask("GET", "/Observation", "", ""), 401, false},
		"a token that has expired": {ask("GET", "/Observation", "expired:patient/*.rs", ""), 401, false},
		"a token elsewhere":        {ask("GET", "/Observation", "elsewhere/alice:patient/*.rs", ""), 401, false},
		"XML":                      {ask("GET", "/Observation", alice, "", "Accept", "application/fhir+xml"), 406, false},
		"another method":           {ask("DELETE", "/Observation", alice, ""), 403, false},
		"an override":              {ask("GET", "/Observation", alice, "", "X-HTTP-Method-Override", "DELETE"), 400, false},
		"an unknown parameter":     {ask("GET", "/Observation?nonsense=1", alice, ""), 400, false},
		"the same, leniently":      {ask("GET", "/Observation?nonsense=1", alice, "", "Prefer", "handling=lenient"), 200, true},
		"and strictly again":       {ask("GET", "/Observation?nonsense=1", alice, ""), 400, false},
		"an encoded path":          {ask("GET", "/Observation%2fobservation-alice", alice, ""), 404, false},
	} {
		if row.r.status != row.status || strings.Contains(row.r.body, `"id":"observation-alice"`) != row.holds {
			t.Errorf("%s: %d %s", name, row.r.status, row.r.body)
		}
		// The record system need not be asked again for the same patient.
		sameRecord := row.status == http.StatusOK && name != "another patient"
		if strings.Contains(row.r.header.Get("Cache-Status"), "hit") && !sameRecord {
			t.Errorf("%s: %s", name, row.r.header.Get("Cache-Status"))
		}
	}
}

func TestAfterAChangeNothingOlderIsGiven(t *testing.T) {
	h, _, kept := withCache(t, 0, twoRecords()...)
	changed := func(value string) string {
		return `{"resourceType":"Observation","id":"observation-alice","subject":{"reference":"Patient/alice"},"valueString":"` + value + `"}`
	}
	for i := range 5 {
		value := fmt.Sprint("value-", i)
		if err := h.ehr.Load([]byte(changed(value))); err != nil {
			t.Fatal(err)
		}
		if err := kept.Invalidate(context.Background(), "ehr", "alice"); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/Observation/observation-alice", "/Observation", "/Observation?_id=observation-alice"} {
			for range 2 {
				if r := h.get(path, alice); !strings.Contains(r.body, value) {
					t.Fatalf("%s: %s", path, r.body)
				}
			}
		}
	}
}

func TestWhenTheEHRIsDownWhatIsKeptIsGivenAndMarked(t *testing.T) {
	clock := cachetest.NewClock()
	now := func() time.Time { return time.Now().Add(clock.Now().Sub(cachetest.NewClock().Now())) }
	over, _, _ := withCacheOf(t, 0, cache.Options{Now: now, StaleIfError: time.Hour, TTL: func(string, string) time.Duration { return time.Minute }}, twoRecords()...)
	first := over.get("/Observation", alice)
	clock.Pass(2 * time.Minute)
	over.ehr.Misbehave(ehr.HTMLError)
	for range 2 { // it is not kept as if it were fresh
		r := over.get("/Observation", alice)
		if r.status != http.StatusOK || r.body != first.body || r.header.Get("Warning") != `111 portico "Revalidation Failed"` || r.header.Get("Cache-Status") != "portico; fwd=stale" || r.header.Get("Age") == "" {
			t.Errorf("%d %v", r.status, r.header)
		}
	}
	clock.Pass(time.Hour)
	if r := over.get("/Observation", alice); r.status != http.StatusBadGateway {
		t.Errorf("beyond the bound: %d", r.status)
	}
}

// What is absent, foreign or withheld is not kept, so that asking twice tells
// nothing either.
func TestForeignAndMissingCostTheSameWithACache(t *testing.T) {
	h, asked, _ := withCache(t, 0, twoRecords()...)
	cost := func(path string) int64 {
		before := asked.Load()
		if r := h.get(path, alice); r.status != http.StatusNotFound || r.header.Get("Cache-Status") != "" {
			t.Errorf("%s: %d %s", path, r.status, r.header.Get("Cache-Status"))
		}
		return asked.Load() - before
	}
	for _, path := range []string{"/Observation/observation-", "/Device/device-", "/Binary/bin-", "/Provenance/prov-", "/Appointment/appointment-", "/Patient/", "/PaymentNotice/pay-"} {
		cost(path + "none") // what proofs search is kept, whoever comes first
		id := mark
		if !strings.Contains("/Binary/bin-/Provenance/prov-/PaymentNotice/pay-", path) {
			id = bobID
		}
		cost(path + id)
		for range 3 {
			if foreign, missing := cost(path+id), cost(path+"none"); foreign != missing || missing == 0 && path != "/Patient/" {
				t.Errorf("%s: %d requests, a missing one %d", path, foreign, missing)
			}
		}
	}
}

func TestNothingOfAnotherPatientLeavesFromTheCache(t *testing.T) {
	foreign := ehr.IgnorePatient | ehr.IgnoreID | ehr.ForeignRows | ehr.ExtraIncludes
	h, _, kept := withCache(t, 0, twoRecords()...)
	for which, mode := range []ehr.Mode{0, foreign, foreign | ehr.NoSearchMode | ehr.AbsoluteURLs | ehr.WrongTotal, ehr.ForeignRead, ehr.DisguisedRead | ehr.DuplicateKeys} {
		h.ehr.Misbehave(mode)
		if err := kept.Invalidate(context.Background(), "ehr", ""); err != nil {
			t.Fatal(err)
		}
		for i, a := range attacks() {
			if (i+which)%3 != 0 {
				continue
			}
			h.send(a.method, a.path, bobID+":patient/*.rs", a.form) // bob's own, kept for him
			for range 2 {
				r := h.send(a.method, a.path, alice, a.form)
				if what := betrays(h, mode, r); what != "" {
					t.Errorf("mode %d: %s %s [%s] gives away %s:\n%s", mode, a.method, a.path, a.form, what, r.everything())
				}
			}
		}
	}
}

// What an app has changed, it and every other app of those it concerns see at
// once.
func TestAChangeThroughPorticoIsSeenAtOnce(t *testing.T) {
	h, _, _ := withCache(t, 0, append(twoRecords(), hers)...)
	paths := []string{"/Observation/hers", "/Observation", "/Observation?_id=hers", "/Observation?_summary=count"}
	for i := range 4 {
		before := map[string]string{}
		for _, p := range paths {
			for range 2 {
				before[p] = h.get(p, "alice@other:patient/*.rs").body
			}
		}
		read := h.get("/Observation/hers", writer)
		r := h.send(http.MethodPut, "/Observation/hers", writer, obs(fmt.Sprintf(`,"id":"hers","valueString":"changed-%d"`, i)), "Content-Type", fhirBody, "If-Match", read.header.Get("ETag"))
		if r.status != http.StatusOK {
			t.Fatalf("%d %s", r.status, r.body)
		}
		for _, p := range paths[:3] {
			if got := h.get(p, "alice@other:patient/*.rs"); !strings.Contains(got.body, fmt.Sprint("changed-", i)) {
				t.Errorf("%s still says\n%s", p, got.body)
			}
		}
		if r := h.create("Observation", obs(`,"valueString":"new"`)); r.status != http.StatusCreated {
			t.Fatalf("%d %s", r.status, r.body)
		}
		for _, p := range paths[1:2] {
			if got := h.get(p, "alice@other:patient/*.rs"); got.body == before[p] {
				t.Errorf("%s does not know what is new:\n%s", p, got.body)
			}
		}
	}
}

// present are sessions of people who are there, until they are told otherwise.
type present struct{ gone atomic.Bool }

func (p *present) Active(context.Context, token.Digest) (bool, error) { return !p.gone.Load(), nil }

// What is fetched ahead is nobody's access: it leaves no event, and it is judged
// when somebody asks.
func TestWhatIsFetchedAheadIsNobodysAccess(t *testing.T) {
	clock, there := cachetest.NewClock(), &present{}
	began := clock.Now()
	now := func() time.Time { return time.Now().Add(clock.Now().Sub(began)) }
	kept, err := cache.New(cache.Options{
		Ring: cachetest.Ring(t, "k"), Now: now, TTL: func(string, string) time.Duration { return 4 * time.Minute },
		Refresh: cache.Refresh{Active: time.Hour, PerMinute: 1000, Every: time.Hour},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kept.Close)
	h := openWith(t, 0, func(o *gateway.Options) { o.Cache, o.Sessions = kept, there }, append(twoRecords(), observation("moves", "alice", "x"))...)
	var asked atomic.Int64
	h.ehr.MisbehaveWhen(0, func(*http.Request) bool { asked.Add(1); return false })
	paths := []string{"/Observation/observation-alice", "/Condition", "/Patient/alice", "/Observation/moves", "/Practitioner/dr"}
	for _, p := range paths {
		if r := h.get(p, alice); r.status != http.StatusOK {
			t.Fatalf("%s: %d", p, r.status)
		}
	}
	h.get("/Observation/observation-"+bobID, alice)
	h.get("/Observation/none", alice)
	h.sink.take()
	for i := range 4 {
		clock.Pass(3*time.Minute + time.Second)
		text := fmt.Sprint("changed-", i)
		if err := h.ehr.Load([]byte(observation("observation-alice", "alice", text))); err != nil {
			t.Fatal(err)
		}
		if i == 2 { // the EHR corrects whose it is, and says nothing
			if err := h.ehr.Load([]byte(observation("moves", bobID, secret))); err != nil {
				t.Fatal(err)
			}
			paths = slices.DeleteFunc(paths, func(p string) bool { return p == "/Observation/moves" })
		}
		before, most := asked.Load(), 6
		kept.RefreshDue()
		if i == 2 { // that ended all that was kept of her: what came before it is fetched once more
			most = 11
			kept.RefreshDue()
		}
		if got := int(asked.Load() - before); got < len(paths) || got > most {
			t.Errorf("%d: asked %d times for %d answers", i, got, len(paths))
		}
		if events := h.sink.take(); len(events) != 0 {
			t.Fatalf("%d: recorded as access: %+v", i, events)
		}
		before = asked.Load()
		clock.Pass(time.Minute) // by now what was there before has expired
		for _, p := range paths {
			r := h.get(p, alice)
			if r.status != http.StatusOK || !strings.Contains(r.header.Get("Cache-Status"), "; hit") || strings.Contains(p, "observation-alice") && !strings.Contains(r.body, text) {
				t.Errorf("%d %s: %d %s", i, p, r.status, r.header.Get("Cache-Status"))
			}
		}
		if n := len(h.sink.take()); n != len(paths) || asked.Load() != before {
			t.Errorf("%d: %d events for %d requests, the EHR was asked %d times", i, n, len(paths), asked.Load()-before)
		}
	}
	foreign, missing := h.get("/Observation/moves", alice), h.get("/Observation/none", alice)
	if foreign.status != 404 || foreign.body != missing.body || strings.Contains(foreign.everything(), secret) {
		t.Errorf("what is somebody else's by now: %d %s", foreign.status, foreign.body)
	}
	there.gone.Store(true)
	clock.Pass(3 * time.Minute)
	before := asked.Load()
	if kept.RefreshDue(); asked.Load() != before || kept.Remembered() != 0 {
		t.Errorf("asked %d times for somebody who has gone", asked.Load()-before)
	}
}

// Once the EHR has said that something is not the patient's any more, nothing that
// was kept of it is given again: to no app, in no answer.
func TestWhatTheEHRTakesBackIsForgotten(t *testing.T) {
	h, _, _ := withCache(t, 0, append(twoRecords(), observation("moves", "alice", "hers"))...)
	apps := []string{alice, "alice@other:patient/*.rs"}
	for _, app := range apps {
		for _, p := range []string{"/Observation/moves", "/Observation"} {
			if r := h.get(p, app); !strings.Contains(r.body, "moves") {
				t.Fatalf("%s: %d %s", p, r.status, r.body)
			}
		}
	}
	narrow := "alice@narrow:patient/Observation.rs?category=none"
	if r := h.send(http.MethodGet, "/Observation/moves", narrow, "", "Cache-Control", "no-cache"); r.status != http.StatusNotFound {
		t.Fatal(r.status)
	}
	if r := h.get("/Observation", alice); !strings.Contains(r.header.Get("Cache-Status"), "hit") {
		t.Errorf("what one app may not see ended what is kept: %s", r.header.Get("Cache-Status"))
	}
	if err := h.ehr.Load([]byte(observation("moves", bobID, secret))); err != nil {
		t.Fatal(err)
	}
	if r := h.send(http.MethodGet, "/Observation/moves", alice, "", "Cache-Control", "no-cache"); r.status != http.StatusNotFound {
		t.Fatal(r.status)
	}
	for _, app := range apps {
		for _, p := range []string{"/Observation/moves", "/Observation"} {
			if r := h.get(p, app); strings.Contains(r.body, "moves") {
				t.Errorf("%s: %d %s", p, r.status, r.body)
			}
		}
	}
}
