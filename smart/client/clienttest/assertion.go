// Package clienttest is the suite that every client.AssertionStore passes, and
// an implementation in memory for tests. It is imported by tests only.
package clienttest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/portico-fhir/portico/smart/client"
)

// Used remembers assertions in the process. Its zero value is ready.
type Used struct {
	mu   sync.Mutex
	seen map[[2]string]bool
}

var _ client.AssertionStore = (*Used)(nil)

// UseAssertion implements client.AssertionStore.
func (u *Used) UseAssertion(_ context.Context, issuer, jti string, _ time.Time) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.seen == nil {
		u.seen = map[[2]string]bool{}
	}
	if u.seen[[2]string{issuer, jti}] {
		return client.ErrReplayed
	}
	u.seen[[2]string{issuer, jti}] = true
	return nil
}

// RunAssertionStore runs the suite; open gives an empty store each time.
func RunAssertionStore(t *testing.T, open func(t *testing.T) client.AssertionStore) {
	until := time.Date(2031, 3, 4, 5, 6, 7, 0, time.UTC)
	t.Run("an id is good once for each issuer", func(t *testing.T) {
		s := open(t)
		for _, c := range []struct {
			issuer, jti string
			again       bool
		}{
			{"a", "1", false}, {"a", "1", true}, {"a", "2", false}, {"b", "1", false}, {"b", "1", true},
			{"a", "\x00é1", false}, {"a", "\x00é1", true}, {"A", "1", false},
		} {
			err := s.UseAssertion(t.Context(), c.issuer, c.jti, until)
			if errors.Is(err, client.ErrReplayed) != c.again || (err != nil && !c.again) {
				t.Errorf("%q %q: %v, replayed %v", c.issuer, c.jti, err, c.again)
			}
		}
	})
	t.Run("of many who use one id at once exactly one wins", func(t *testing.T) {
		s := open(t)
		errs := make([]error, 50)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { errs[i] = s.UseAssertion(t.Context(), "a", fmt.Sprint(i/25), until) })
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else if !errors.Is(err, client.ErrReplayed) {
				t.Errorf("a loser got %v", err)
			}
		}
		if won != 2 {
			t.Errorf("%d won, want one for each of two ids", won)
		}
	})
}
