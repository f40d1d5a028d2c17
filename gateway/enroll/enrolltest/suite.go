package enrolltest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portico-fhir/portico/gateway/enroll"
)

// now is the instant at which the suite asks.
func now() time.Time { return time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC) }

const source = "north"

func person() enroll.Person {
	return enroll.Person{Issuer: "https://id.example.org", Subject: "s-1", Name: "Zoë O'Hara"}
}

func link(patient string) enroll.Link {
	return enroll.Link{
		Source: source, Patient: patient, Relationship: enroll.Self,
		FHIRUser: "Patient/" + patient, Label: "Zoë “Z” O'Hara; 張",
	}
}

// RunStore runs the suite; open gives an empty store each time.
func RunStore(t *testing.T, open func(t *testing.T) enroll.Store) {
	for name, test := range map[string]func(*testing.T, enroll.Store){
		"nobody has links at first":                             none,
		"a similar person has none of another's links":          similar,
		"a link of another source is refused, nothing changes":  foreign,
		"two links to one patient are refused, nothing changes": twice,
		"an ended link is not given":                            ended,
		"links come back whole and in order":                    whole,
		"replacing leaves nothing of the old links":             replaced,
		"replacing leaves other people and sources alone":       apart,
		"a cancelled context is an error":                       cancelled,
		"replacing at once leaves one set, not a mixture":       concurrent,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func replace(t *testing.T, store enroll.Store, p enroll.Person, source string, links ...enroll.Link) {
	t.Helper()
	if err := store.ReplaceLinks(t.Context(), p, source, links); err != nil {
		t.Fatalf("ReplaceLinks: %v", err)
	}
}

func want(t *testing.T, store enroll.Store, p enroll.Person, source string, links ...enroll.Link) {
	t.Helper()
	got, err := store.Links(t.Context(), p, source, now())
	if err != nil {
		t.Fatalf("Links: %v", err)
	}
	if len(got) == 0 && len(links) == 0 {
		return
	}
	if diff := cmp.Diff(links, got, cmp.Comparer(sameInstant)); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
}

// sameInstant also holds zero apart from every other instant.
func sameInstant(a, b time.Time) bool { return a.Equal(b) && a.IsZero() == b.IsZero() }

func none(t *testing.T, store enroll.Store) {
	want(t, store, person(), source)
	want(t, store, enroll.Person{}, "")
}

func similar(t *testing.T, store enroll.Store) {
	replace(t, store, enroll.Person{Issuer: "a", Subject: "bc"}, source, link("p1"))
	for _, p := range []enroll.Person{
		{Issuer: "ab", Subject: "c"}, {Issuer: "a", Subject: "BC"}, {Issuer: "A", Subject: "bc"},
		{Issuer: "a", Subject: "bc "}, {Issuer: "a", Subject: "b%"}, {Issuer: "a"}, {Subject: "bc"},
		{Issuer: "bc", Subject: "a"}, {Issuer: "a", Subject: "bc\x00"},
	} {
		want(t, store, p, source)
	}
	want(t, store, enroll.Person{Issuer: "a", Subject: "bc"}, "North")
	want(t, store, enroll.Person{Issuer: "a", Subject: "bc", Name: "renamed"}, source, link("p1"))
}

func foreign(t *testing.T, store enroll.Store) {
	replace(t, store, person(), source, link("p1"))
	other := link("p3")
	other.Source = "south"
	if err := store.ReplaceLinks(t.Context(), person(), source, []enroll.Link{link("p2"), other}); err == nil {
		t.Error("a link of another source was accepted")
	}
	want(t, store, person(), source, link("p1"))
	want(t, store, person(), "south")
}

func twice(t *testing.T, store enroll.Store) {
	replace(t, store, person(), source, link("p1"))
	proxy := link("p2")
	proxy.Relationship, proxy.FHIRUser = enroll.Proxy, "RelatedPerson/r1"
	if err := store.ReplaceLinks(t.Context(), person(), source, []enroll.Link{link("p2"), proxy}); err == nil {
		t.Error("two links to one patient were accepted")
	}
	want(t, store, person(), source, link("p1"))
}

func ended(t *testing.T, store enroll.Store) {
	past, present, future := link("past"), link("present"), link("future")
	past.Until = now().Add(-time.Hour)
	present.Until = now()
	future.Until = now().Add(time.Second)
	replace(t, store, person(), source, past, present, future, link("endless"))
	want(t, store, person(), source, future, link("endless"))
}

func whole(t *testing.T, store enroll.Store) {
	proxy := enroll.Link{
		Source: source, Patient: "b-child.1", Relationship: enroll.Proxy, FHIRUser: "RelatedPerson/r.1-A",
		Label: "", Until: now().Add(240 * time.Hour),
	}
	links := []enroll.Link{link("z"), proxy, link("a"), link("A")}
	replace(t, store, person(), source, links...)
	want(t, store, person(), source, links...)
}

func replaced(t *testing.T, store enroll.Store) {
	replace(t, store, person(), source, link("p1"), link("p2"))
	replace(t, store, person(), source, link("p3"), link("p2"))
	want(t, store, person(), source, link("p3"), link("p2"))
	replace(t, store, person(), source)
	want(t, store, person(), source)
}

func apart(t *testing.T, store enroll.Store) {
	south := link("p1")
	south.Source = "south"
	neighbour := enroll.Person{Issuer: person().Issuer, Subject: "s-2"}
	replace(t, store, person(), source, link("p1"))
	replace(t, store, person(), "south", south)
	replace(t, store, neighbour, source, link("p1"))
	replace(t, store, person(), source)
	want(t, store, person(), source)
	want(t, store, person(), "south", south)
	want(t, store, neighbour, source, link("p1"))
}

func cancelled(t *testing.T, store enroll.Store) {
	replace(t, store, person(), source, link("p1"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := store.Links(ctx, person(), source, now()); err == nil {
		t.Error("Links took a cancelled context")
	}
	if err := store.ReplaceLinks(ctx, person(), source, nil); err == nil {
		t.Error("ReplaceLinks took a cancelled context")
	}
	want(t, store, person(), source, link("p1"))
}

func concurrent(t *testing.T, store enroll.Store) {
	sets := [][]enroll.Link{{link("a1"), link("a2"), link("a3")}, {link("b1"), link("b2"), link("b3")}}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			if err := store.ReplaceLinks(t.Context(), person(), source, sets[i%2]); err != nil {
				t.Errorf("ReplaceLinks: %v", err)
			}
			got, err := store.Links(t.Context(), person(), source, now())
			if err != nil || (!cmp.Equal(got, sets[0]) && !cmp.Equal(got, sets[1])) {
				t.Errorf("a mixture of %d links (error %v)", len(got), err)
			}
		})
	}
	wg.Wait()
}
