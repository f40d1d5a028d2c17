// Package launchtest is the suite that every launch.Store passes, and one in
// memory for tests. It is imported by tests only.
package launchtest

import (
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/portico-fhir/portico/smart/launch"
)

// now is the time of the suite; stores keep seconds at least.
func now() time.Time { return time.Date(2031, 3, 4, 5, 6, 7, 0, time.UTC) }

func handle(fill byte, client string) launch.Handle {
	return launch.Handle{
		Digest: [32]byte{fill, 0xff, 0}, Source: "demo", Client: client, Expires: now().Add(launch.TTL),
		Context: launch.Context{
			Patient: "p", Encounter: "e", FHIRContext: []json.RawMessage{json.RawMessage(`{"reference":"ImagingStudy/i1"}`)},
			Intent: "é", NeedPatientBanner: true, StyleURL: "https://x/y", Tenant: "t", User: "Practitioner/d",
		},
	}
}

// RunStore runs the suite; open gives an empty store each time.
func RunStore(t *testing.T, open func(t *testing.T) launch.Store) {
	for name, run := range map[string]func(*testing.T, launch.Store){
		"a handle comes back whole, once":                     once,
		"an unknown handle is unknown":                        unknown,
		"an expired handle is unknown":                        expired,
		"a handle of one app is no other's, and stays good":   bound,
		"a handle of one EHR is no other's, and stays good":   source,
		"of many who use one handle at once exactly one wins": race,
		"a digest cannot be taken twice":                      duplicate,
	} {
		t.Run(name, func(t *testing.T) { run(t, open(t)) })
	}
}

func create(t *testing.T, s launch.Store, h launch.Handle) {
	t.Helper()
	if err := s.CreateLaunch(t.Context(), h); err != nil {
		t.Fatalf("CreateLaunch: %v", err)
	}
}

func wantUnknown(t *testing.T, s launch.Store, h launch.Handle, source, client string, at time.Time) {
	t.Helper()
	got, err := s.UseLaunch(t.Context(), h.Digest, source, client, at)
	if !errors.Is(err, launch.ErrUnknown) || got.Source != "" {
		t.Errorf("got %+v, %v; want launch.ErrUnknown", got, err)
	}
}

func wantGood(t *testing.T, s launch.Store, h launch.Handle, client string) {
	t.Helper()
	got, err := s.UseLaunch(t.Context(), h.Digest, h.Source, client, now())
	if err != nil {
		t.Fatalf("UseLaunch: %v", err)
	}
	if d := cmp.Diff(h, got, cmpopts.EquateApproxTime(0)); d != "" {
		t.Errorf("the handle changed (-want +got):\n%s", d)
	}
}

func once(t *testing.T, s launch.Store) {
	bare := launch.Handle{Digest: [32]byte{3}, Source: "demo", Expires: now().Add(time.Minute), Context: launch.Context{Patient: "p"}}
	for _, h := range []launch.Handle{handle(1, ""), handle(2, "app"), bare} {
		create(t, s, h)
		wantGood(t, s, h, "app")
		wantUnknown(t, s, h, "demo", "app", now())
	}
}

func unknown(t *testing.T, s launch.Store) {
	create(t, s, handle(1, ""))
	wantUnknown(t, s, handle(2, ""), "demo", "app", now())
}

func expired(t *testing.T, s launch.Store) {
	h := handle(1, "")
	create(t, s, h)
	wantUnknown(t, s, h, "demo", "app", h.Expires)
	if _, err := s.UseLaunch(t.Context(), h.Digest, "demo", "app", h.Expires.Add(-time.Second)); err != nil {
		t.Errorf("a second before its expiry it is good: %v", err)
	}
}

func bound(t *testing.T, s launch.Store) {
	h := handle(1, "app")
	create(t, s, h)
	wantUnknown(t, s, h, "demo", "another", now())
	wantUnknown(t, s, h, "demo", "", now())
	wantGood(t, s, h, "app")
}

func source(t *testing.T, s launch.Store) {
	h := handle(1, "")
	create(t, s, h)
	wantUnknown(t, s, h, "other", "app", now())
	wantUnknown(t, s, h, "", "app", now())
	wantGood(t, s, h, "app")
}

func race(t *testing.T, s launch.Store) {
	h := handle(1, "")
	create(t, s, h)
	errs := make([]error, 20)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { _, errs[i] = s.UseLaunch(t.Context(), h.Digest, "demo", "app", now()) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, launch.ErrUnknown):
			t.Errorf("a loser: %v", err)
		}
	}
	if won != 1 {
		t.Errorf("%d callers used the handle, want exactly 1", won)
	}
}

func duplicate(t *testing.T, s launch.Store) {
	h := handle(1, "")
	create(t, s, h)
	again := h
	again.Context.Patient = "another"
	if err := s.CreateLaunch(t.Context(), again); err == nil {
		t.Error("a second handle with the same digest was accepted")
	}
	wantGood(t, s, h, "app")
}
