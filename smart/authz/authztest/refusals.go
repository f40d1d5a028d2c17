package authztest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/portico-fhir/portico/smart/authz"
)

// Refusals keeps refusals in memory.
type Refusals struct {
	mu  sync.Mutex
	all []authz.Refusal // the newest first
}

var _ authz.RefusalStore = (*Refusals)(nil)

// NoteRefusal implements authz.RefusalStore.
func (m *Refusals) NoteRefusal(_ context.Context, r authz.Refusal) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.ContainsFunc(m.all, func(x authz.Refusal) bool { return x.Reference == r.Reference }) {
		return nil
	}
	m.all = slices.Insert(m.all, 0, r)
	kept := 0
	m.all = slices.DeleteFunc(m.all, func(x authz.Refusal) bool {
		if x.Client == r.Client {
			kept++
		}
		return x.Client == r.Client && kept > authz.MaxRefusals
	})
	return nil
}

// Refusals implements authz.RefusalStore.
func (m *Refusals) Refusals(_ context.Context, client string, now time.Time) ([]authz.Refusal, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []authz.Refusal
	for _, r := range m.all {
		if r.Client == client && now.Before(r.Expires) {
			out = append(out, r)
		}
	}
	return out, nil
}

// RunRefusalStore holds a store to what authz.RefusalStore says.
func RunRefusalStore(t *testing.T, open func(t *testing.T) authz.RefusalStore) {
	s, at := open(t), time.Date(2031, 3, 4, 5, 6, 7, 0, time.UTC)
	note := func(reference, client string, n int) {
		t.Helper()
		r := authz.Refusal{
			Reference: reference, Client: client, At: at.Add(time.Duration(n) * time.Second), Place: "token", Code: "invalid_grant",
			Reason: "because", Expires: at.Add(time.Hour),
		}
		if err := s.NoteRefusal(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	for i := range authz.MaxRefusals + 5 {
		note(fmt.Sprint("r", i), "a", i)
	}
	note("other", "b", 0)
	note("other", "a", 999) // taken
	list, err := s.Refusals(t.Context(), "a", at)
	if err != nil || len(list) != authz.MaxRefusals || list[0].Reference != fmt.Sprint("r", authz.MaxRefusals+4) || list[len(list)-1].Reference != "r5" {
		t.Errorf("%d refusals, %v: %+v", len(list), err, list[:min(len(list), 2)])
	}
	list, err = s.Refusals(t.Context(), "b", at)
	want := authz.Refusal{Reference: "other", Client: "b", At: at, Place: "token", Code: "invalid_grant", Reason: "because", Expires: at.Add(time.Hour)}
	if err != nil || len(list) != 1 || list[0] != want {
		t.Errorf("got %+v, %v; want %+v", list, err, want)
	}
	if list, err = s.Refusals(t.Context(), "b", at.Add(time.Hour)); err != nil || len(list) != 0 {
		t.Errorf("after its end: %+v, %v", list, err)
	}
}
