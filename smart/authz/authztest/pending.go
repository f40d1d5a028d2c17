// Package authztest is the suite that every authz.PendingStore passes, and one
// in memory for tests. It is imported by tests only.
package authztest

import (
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/portico-fhir/portico/smart/authz"
	"github.com/portico-fhir/portico/smart/launch"
	"github.com/portico-fhir/portico/smart/token"
)

// now is the time of the suite; stores keep seconds at least.
func now() time.Time { return time.Date(2031, 3, 4, 5, 6, 7, 0, time.UTC) }

func pending(id string) authz.Pending {
	return authz.Pending{
		ID: "request-" + id, Browser: []byte("\x00\xff browser " + id), Client: "app", Source: "demo",
		RedirectURI: "https://app.example/cb?x=1",
		// A client may send any bytes as state and wants exactly those back.
		State:  "a+b %41\x00\xff\xfe\r\n\"'\\ é " + id,
		Scopes: "openid patient/Observation.rs?category=http://x|y", Challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
		Nonce: "n é", Created: now(), Expires: now().Add(30 * time.Minute),
	}
}

// RunPendingStore runs the suite; open gives an empty store each time.
func RunPendingStore(t *testing.T, open func(t *testing.T) authz.PendingStore) {
	cases := []struct {
		name string
		run  func(t *testing.T, s authz.PendingStore)
	}{
		{"an unknown request is not found", unknown},
		{"an expired request is not found", expired},
		{"a request comes back as it went in, bytes and all", roundTrip},
		{"the chosen patient is noted, on that request alone", choose},
		{"a used request is gone", use},
		{"of many who use one request at once exactly one wins", race},
		{"an id cannot be taken twice", duplicate},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

func create(t *testing.T, s authz.PendingStore, id string) authz.Pending {
	t.Helper()
	p := pending(id)
	if err := s.CreatePending(t.Context(), p); err != nil {
		t.Fatalf("CreatePending: %v", err)
	}
	return p
}

func same(t *testing.T, want, got authz.Pending) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateApproxTime(0)); d != "" {
		t.Errorf("pending request (-want +got):\n%s", d)
	}
}

func wantNotFound(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, token.ErrNotFound) {
		t.Errorf("%s: err = %v, want token.ErrNotFound", what, err)
	}
}

func unknown(t *testing.T, s authz.PendingStore) {
	create(t, s, "1")
	_, err := s.Pending(t.Context(), "nobody", now())
	wantNotFound(t, "Pending", err)
	_, err = s.UsePending(t.Context(), "nobody", now())
	wantNotFound(t, "UsePending", err)
	wantNotFound(t, "ChoosePatient", s.ChoosePatient(t.Context(), "nobody", "p"))
}

func expired(t *testing.T, s authz.PendingStore) {
	p := create(t, s, "1")
	if _, err := s.Pending(t.Context(), p.ID, p.Expires.Add(-time.Second)); err != nil {
		t.Errorf("a second before its expiry it is good: %v", err)
	}
	_, err := s.Pending(t.Context(), p.ID, p.Expires)
	wantNotFound(t, "Pending", err)
	_, err = s.UsePending(t.Context(), p.ID, p.Expires)
	wantNotFound(t, "UsePending", err)
}

func roundTrip(t *testing.T, s authz.PendingStore) {
	p := create(t, s, "1")
	fresh := pending("2")
	fresh.SignedInAfter = now().Add(-time.Minute)
	age := int64(0)
	fresh.SignIn = authz.SignInDemand{Login: true, SelectAccount: true, MaxAge: &age, LoginHint: "a@b é", ACRValues: []string{"x", "y"}}
	fresh.Launch = &launch.Context{
		Patient: "p", Encounter: "e", FHIRContext: []json.RawMessage{json.RawMessage(`{"reference":"ImagingStudy/1"}`)}, Intent: "i",
		NeedPatientBanner: true, StyleURL: "https://x", Tenant: "t", User: "Practitioner/d",
	}
	if err := s.CreatePending(t.Context(), fresh); err != nil {
		t.Fatal(err)
	}
	for _, want := range []authz.Pending{p, fresh} {
		got, err := s.Pending(t.Context(), want.ID, now())
		if err != nil {
			t.Fatal(err)
		}
		same(t, want, got)
		if got.SignedInAfter.IsZero() != want.SignedInAfter.IsZero() {
			t.Errorf("SignedInAfter: zero must stay zero, and only zero")
		}
	}
}

func choose(t *testing.T, s authz.PendingStore) {
	p, other := create(t, s, "1"), create(t, s, "2")
	for _, patient := range []string{"first", "second"} {
		if err := s.ChoosePatient(t.Context(), p.ID, patient); err != nil {
			t.Fatal(err)
		}
		p.Patient = patient
		got, err := s.Pending(t.Context(), p.ID, now())
		if err != nil {
			t.Fatal(err)
		}
		same(t, p, got)
	}
	got, err := s.Pending(t.Context(), other.ID, now())
	if err != nil {
		t.Fatal(err)
	}
	same(t, other, got)
}

func use(t *testing.T, s authz.PendingStore) {
	p, other := create(t, s, "1"), create(t, s, "2")
	got, err := s.UsePending(t.Context(), p.ID, now())
	if err != nil {
		t.Fatal(err)
	}
	same(t, p, got)
	_, err = s.UsePending(t.Context(), p.ID, now())
	wantNotFound(t, "UsePending again", err)
	_, err = s.Pending(t.Context(), p.ID, now())
	wantNotFound(t, "Pending afterwards", err)
	wantNotFound(t, "ChoosePatient afterwards", s.ChoosePatient(t.Context(), p.ID, "p"))
	if _, err := s.Pending(t.Context(), other.ID, now()); err != nil {
		t.Errorf("the other request is hurt: %v", err)
	}
}

func race(t *testing.T, s authz.PendingStore) {
	p := create(t, s, "1")
	errs := make([]error, 20)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { _, errs[i] = s.UsePending(t.Context(), p.ID, now()) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		wantNotFound(t, "a loser", err)
	}
	if won != 1 {
		t.Errorf("%d callers used the request, want exactly 1", won)
	}
}

func duplicate(t *testing.T, s authz.PendingStore) {
	p := create(t, s, "1")
	again := pending("2")
	again.ID = p.ID
	if err := s.CreatePending(t.Context(), again); err == nil {
		t.Error("a second request with the same id was accepted")
	}
	got, err := s.Pending(t.Context(), p.ID, now())
	if err != nil {
		t.Fatal(err)
	}
	same(t, p, got)
}
