package authztest

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/portico-fhir/portico/smart/authz"
	"github.com/portico-fhir/portico/smart/token"
)

var _ authz.AnsweredStore = (*Answers)(nil)

// Answers remembers answers in the process.
type Answers struct {
	mu   sync.Mutex
	rows map[string]authz.Answered
}

// BeginAnswer implements authz.AnsweredStore.
func (m *Answers) BeginAnswer(_ context.Context, a authz.Answered, now time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if had, ok := m.rows[a.Request]; ok && now.Before(had.Expires) {
		return false, nil
	}
	if m.rows == nil {
		m.rows = map[string]authz.Answered{}
	}
	m.rows[a.Request] = authz.Answered{Request: a.Request, Browser: a.Browser, Form: a.Form, Expires: a.Expires}
	return true, nil
}

// FinishAnswer implements authz.AnsweredStore.
func (m *Answers) FinishAnswer(_ context.Context, request string, location []byte, code token.Digest) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := m.rows[request]
	switch {
	case !ok:
	case len(location) == 0:
		delete(m.rows, request)
	default:
		a.Done, a.Location, a.Code = true, location, code
		m.rows[request] = a
	}
	return nil
}

// Answer implements authz.AnsweredStore.
func (m *Answers) Answer(_ context.Context, request string, now time.Time) (authz.Answered, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := m.rows[request]
	if !ok || !now.Before(a.Expires) {
		return authz.Answered{}, token.ErrNotFound
	}
	return a, nil
}

// ForgetAnswer implements authz.AnsweredStore.
func (m *Answers) ForgetAnswer(_ context.Context, code token.Digest) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, a := range m.rows {
		if a.Code == code {
			a.Location = nil
			m.rows[id] = a
		}
	}
	return nil
}

// RunAnsweredStore runs the suite; open gives an empty store.
func RunAnsweredStore(t *testing.T, open func(t *testing.T) authz.AnsweredStore) {
	sample := func() authz.Answered {
		return authz.Answered{Request: "r", Browser: []byte("\x00\xffb"), Form: "f", Expires: now().Add(time.Minute)}
	}
	begun := func(t *testing.T) authz.AnsweredStore {
		t.Helper()
		s := open(t)
		if first, err := s.BeginAnswer(t.Context(), sample(), now()); err != nil || !first {
			t.Fatalf("the first: %v, %v", first, err)
		}
		return s
	}
	want := func(t *testing.T, s authz.AnsweredStore, a authz.Answered) {
		t.Helper()
		got, err := s.Answer(t.Context(), a.Request, now())
		if diff := cmp.Diff(a, got, cmpopts.EquateApproxTime(0), cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
	location, code := []byte("\x00\xffl"), token.DigestOf("c")
	finish := func(t *testing.T, s authz.AnsweredStore) authz.Answered {
		t.Helper()
		if err := s.FinishAnswer(t.Context(), "r", location, code); err != nil {
			t.Fatal(err)
		}
		a := sample()
		a.Done, a.Location, a.Code = true, location, code
		return a
	}
	t.Run("of all who begin one is the first", func(t *testing.T) {
		s := open(t)
		var firsts atomic.Int64
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				first, err := s.BeginAnswer(t.Context(), sample(), now())
				if err != nil {
					t.Error(err)
				}
				if first {
					firsts.Add(1)
				}
			})
		}
		wg.Wait()
		if firsts.Load() != 1 {
			t.Errorf("%d were the first", firsts.Load())
		}
	})
	t.Run("what is begun is not done", func(t *testing.T) { want(t, begun(t), sample()) })
	t.Run("what is finished comes back as it was", func(t *testing.T) {
		s := begun(t)
		want(t, s, finish(t, s))
	})
	t.Run("what came to nothing can begin again", func(t *testing.T) {
		s := begun(t)
		if err := s.FinishAnswer(t.Context(), "r", nil, token.Digest{}); err != nil {
			t.Fatal(err)
		}
		_, err := s.Answer(t.Context(), "r", now())
		wantNotFound(t, "Answer", err)
		if first, err := s.BeginAnswer(t.Context(), sample(), now()); err != nil || !first {
			t.Errorf("%v, %v", first, err)
		}
	})
	t.Run("it ends when it says, and another can begin then", func(t *testing.T) {
		s := begun(t)
		finish(t, s)
		end := sample().Expires
		_, err := s.Answer(t.Context(), "r", end)
		wantNotFound(t, "Answer", err)
		next := sample()
		next.Form, next.Expires = "g", end.Add(time.Minute)
		if first, err := s.BeginAnswer(t.Context(), next, end); err != nil || !first {
			t.Errorf("%v, %v", first, err)
		}
		want(t, s, next)
	})
	t.Run("a code that was used is not in it any more", func(t *testing.T) {
		s := begun(t)
		a := finish(t, s)
		for _, c := range []string{"other", "c"} {
			if err := s.ForgetAnswer(t.Context(), token.DigestOf(c)); err != nil {
				t.Fatal(err)
			}
			if c == "c" {
				a.Location = nil
			}
			want(t, s, a)
		}
	})
}
