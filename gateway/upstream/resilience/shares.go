package resilience

import (
	"context"
	"sync"
	"time"

	"github.com/portico-fhir/portico/internal/fault"
)

// shares bounds how many of the places one party holds, so that there are some for
// the others. A party is known while it holds one or waits for one.
type shares struct {
	most int

	mu sync.Mutex
	of map[string]*share
}

type share struct {
	places chan struct{} // holds one for each place taken; who waits is served in order
	users  int           // who hold a place or wait for one
}

func newShares(most int) *shares { return &shares{most: most, of: map[string]*share{}} }

// enter waits for a place of the party's share; leave gives it back. What is
// nobody's has no bound.
func (s *shares) enter(ctx context.Context, party string, most time.Duration) (leave func(), err error) {
	if party == "" {
		return func() {}, nil
	}
	mine := s.join(party)
	leave = func() { <-mine.places; s.part(party) }
	select {
	case mine.places <- struct{}{}:
		return leave, nil
	default:
	}
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case mine.places <- struct{}{}:
		return leave, nil
	case <-timer.C:
		err = fault.Later(fault.TooMany, time.Second, "This app has as many requests at the record system as one app may have at once.")
	case <-ctx.Done():
		err = ctx.Err()
	}
	s.part(party)
	return nil, err
}

func (s *shares) join(party string) *share {
	s.mu.Lock()
	defer s.mu.Unlock()
	mine := s.of[party]
	if mine == nil {
		mine = &share{places: make(chan struct{}, s.most)}
		s.of[party] = mine
	}
	mine.users++
	return mine
}

// part forgets a party that nobody stands for any more.
func (s *shares) part(party string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if mine := s.of[party]; mine.users > 1 {
		mine.users--
		return
	}
	delete(s.of, party)
}
