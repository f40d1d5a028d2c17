package logintest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portico-fhir/portico/gateway/login"
)

// start is the instant at which the sessions of the suite begin.
func start() time.Time { return time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC) }

func session(fill byte) login.Session {
	s := login.Session{
		Provider: "health", Issuer: "https://id.example.org", Subject: "s-1", Name: "Zoë “Z” O'Hara; 張",
		Sources: []string{"north", "south"},
		ACR:     "urn:mace:incommon:iap:silver", AMR: []string{"pwd", "otp"}, SID: "sid-" + string('a'+rune(fill)), IDToken: "sealed",
		AuthTime: start().Add(-time.Minute), Created: start(), Seen: start(), Expires: start().Add(8 * time.Hour),
	}
	for i := range s.Digest {
		s.Digest[i] = fill
	}
	return s
}

// RunSessionStore runs the suite; open gives an empty store each time.
func RunSessionStore(t *testing.T, open func(t *testing.T) login.SessionStore) {
	for name, test := range map[string]func(*testing.T, login.SessionStore){
		"an unknown digest is no session":                    unknown,
		"an expired session is gone":                         expired,
		"an idle session is gone and asking does not help":   idle,
		"a deleted session is gone and the others stay":      deleted,
		"a taken digest is refused and changes nothing":      taken,
		"a session comes back whole":                         whole,
		"use moves the idle limit and never backwards":       used,
		"a cancelled context is an error but not no session": cancelled,
		"many requests use one session at once":              concurrent,
		"a logout ends the sessions it means and no other":   ended,
		"a logout token counts once, whoever comes first":    usedLogout,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func create(t *testing.T, store login.SessionStore, s login.Session) {
	t.Helper()
	if err := store.CreateSession(t.Context(), s); err != nil {
		t.Fatalf("CreateSession: %v", err)
	}
}

func wantNone(t *testing.T, store login.SessionStore, digest [32]byte, now, idleSince time.Time) {
	t.Helper()
	got, err := store.Session(t.Context(), digest, now, idleSince)
	if !errors.Is(err, login.ErrNoSession) {
		t.Fatalf("Session gave error %v, want ErrNoSession", err)
	}
	if diff := cmp.Diff(login.Session{}, got); diff != "" {
		t.Errorf("something came with ErrNoSession:\n%s", diff)
	}
}

func wantSession(t *testing.T, store login.SessionStore, digest [32]byte, now, idleSince time.Time) login.Session {
	t.Helper()
	got, err := store.Session(t.Context(), digest, now, idleSince)
	if err != nil {
		t.Fatalf("Session: %v", err)
	}
	return got
}

func unknown(t *testing.T, store login.SessionStore) {
	wantNone(t, store, session(1).Digest, start(), time.Time{})
	create(t, store, session(1))
	near := session(1).Digest
	near[31] ^= 1
	wantNone(t, store, near, start(), time.Time{})
	wantNone(t, store, [32]byte{}, start(), time.Time{})
}

func expired(t *testing.T, store login.SessionStore) {
	s := session(1)
	create(t, store, s)
	wantSession(t, store, s.Digest, s.Expires.Add(-time.Second), time.Time{})
	wantNone(t, store, s.Digest, s.Expires, time.Time{})
	wantNone(t, store, s.Digest, s.Expires.Add(time.Hour), time.Time{})
}

func idle(t *testing.T, store login.SessionStore) {
	s := session(1)
	create(t, store, s)
	now := start().Add(time.Hour)
	wantNone(t, store, s.Digest, now, start())
	// Had the failed look-up marked the session as seen, this would find it.
	wantNone(t, store, s.Digest, now, start().Add(time.Minute))
	wantSession(t, store, s.Digest, now, start().Add(-time.Second))
}

func deleted(t *testing.T, store login.SessionStore) {
	create(t, store, session(1))
	create(t, store, session(2))
	for range 2 { // the second time it is already gone
		if err := store.DeleteSession(t.Context(), session(1).Digest); err != nil {
			t.Fatalf("DeleteSession: %v", err)
		}
	}
	wantNone(t, store, session(1).Digest, start(), time.Time{})
	wantSession(t, store, session(2).Digest, start(), time.Time{})
}

func taken(t *testing.T, store login.SessionStore) {
	create(t, store, session(1))
	other := session(1)
	other.Subject = "somebody-else"
	if err := store.CreateSession(t.Context(), other); err == nil {
		t.Error("a second session with the same digest was accepted")
	}
	if got := wantSession(t, store, session(1).Digest, start(), time.Time{}); got.Subject != session(1).Subject {
		t.Errorf("the session now belongs to %q", got.Subject)
	}
}

func whole(t *testing.T, store login.SessionStore) {
	bare := session(2)
	bare.Name, bare.Sources, bare.AMR, bare.AuthTime = "", nil, nil, time.Time{}
	for _, want := range []login.Session{session(1), bare} {
		create(t, store, want)
		got := wantSession(t, store, want.Digest, start(), time.Time{})
		if diff := cmp.Diff(want, got, cmp.Comparer(time.Time.Equal), equateEmpty()); diff != "" {
			t.Errorf("the session changed (-want +got):\n%s", diff)
		}
	}
}

// equateEmpty takes no sources and an empty list of them as the same.
func equateEmpty() cmp.Option {
	return cmp.FilterValues(func(a, b []string) bool { return len(a) == 0 && len(b) == 0 }, cmp.Ignore())
}

func used(t *testing.T, store login.SessionStore) {
	s := session(1)
	create(t, store, s)
	later := start().Add(20 * time.Minute)
	if got := wantSession(t, store, s.Digest, later, start().Add(-time.Second)); !got.Seen.Equal(later) {
		t.Errorf("Seen is %v, want %v", got.Seen, later)
	}
	wantSession(t, store, s.Digest, later.Add(time.Minute), start().Add(10*time.Minute))
	// A request that was overtaken by another does not make the session older.
	wantSession(t, store, s.Digest, start().Add(5*time.Minute), time.Time{})
	wantSession(t, store, s.Digest, later.Add(2*time.Minute), later)
}

func cancelled(t *testing.T, store login.SessionStore) {
	s := session(1)
	create(t, store, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := store.Session(ctx, s.Digest, start(), time.Time{})
	if err == nil || errors.Is(err, login.ErrNoSession) {
		t.Errorf("with a cancelled context Session gave %v", err)
	}
}

func concurrent(t *testing.T, store login.SessionStore) {
	s := session(1)
	create(t, store, s)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			now := start().Add(time.Duration(i) * time.Second)
			if _, err := store.Session(t.Context(), s.Digest, now, time.Time{}); err != nil {
				t.Errorf("Session: %v", err)
			}
		})
	}
	wg.Wait()
	wantSession(t, store, s.Digest, start().Add(time.Hour), start().Add(14*time.Second))
}

func ended(t *testing.T, store login.SessionStore) {
	used := byte(0)
	for _, c := range []struct {
		name                 string
		issuer, subject, sid string
		gone                 []byte
	}{
		{"nothing meant", "https://id.example.org", "", "", nil},
		{"another issuer", "https://other.example.org", "s-1", "", nil},
		{"another subject", "https://id.example.org", "s-2", "", nil},
		{"another subject with the right sid", "https://id.example.org", "s-2", session(1).SID, nil},
		{"a sid", "https://id.example.org", "", session(1).SID, []byte{1}},
		{"a sid and a subject, with a session of no sid", "https://id.example.org", "s-1", session(2).SID, []byte{2, 3}},
		{"a subject", "https://id.example.org", "s-1", "", []byte{1, 2, 3}},
	} {
		used++
		for fill := byte(1); fill <= 3; fill++ {
			s := session(fill)
			if fill == 3 {
				s.SID = ""
			}
			if err := store.DeleteSession(t.Context(), s.Digest); err != nil {
				t.Fatal(err)
			}
			create(t, store, s)
		}
		n, err := store.EndSessions(t.Context(), login.Ending{
			Issuer: c.issuer, Subject: c.subject, SID: c.sid, Token: [32]byte{used}, Expires: start().Add(time.Minute),
		})
		if err != nil || n != len(c.gone) {
			t.Errorf("%s: ended %d sessions, %v; want %d", c.name, n, err, len(c.gone))
		}
		for fill := byte(1); fill <= 3; fill++ {
			_, err := store.Session(t.Context(), session(fill).Digest, start(), time.Time{})
			if gone := errors.Is(err, login.ErrNoSession); gone != slices.Contains(c.gone, fill) {
				t.Errorf("%s: session %d gone: %t", c.name, fill, gone)
			}
		}
	}
}

func usedLogout(t *testing.T, store login.SessionStore) {
	e := login.Ending{Issuer: "https://id.example.org", Subject: "s-1", Token: [32]byte{1}, Expires: start().Add(time.Minute)}
	var wg sync.WaitGroup
	errs := make([]error, 16)
	for i := range errs {
		wg.Go(func() { _, errs[i] = store.EndSessions(t.Context(), e) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, login.ErrLogoutUsed):
			t.Errorf("EndSessions: %v", err)
		}
	}
	if won != 1 {
		t.Errorf("%d callers were first, want 1", won)
	}
	create(t, store, session(1)) // signed in again since
	if _, err := store.EndSessions(t.Context(), e); !errors.Is(err, login.ErrLogoutUsed) {
		t.Errorf("a used token: %v", err)
	}
	wantSession(t, store, session(1).Digest, start(), time.Time{})
}
