package resilience

import (
	"sync/atomic"
	"time"

	"github.com/portico-fhir/portico/internal/rate"
)

// Spare says whether one more request of a party would keep nobody waiting: the
// EHR answers it, has not asked to be left alone, half of the places and of the
// party's stay free, of what may be sent at once half is left to this process, and
// no request had to wait for its turn lately, whoever else takes turns. It is for
// what nobody waits for.
func (t *Transport) Spare(party string) bool {
	now := t.o.Now()
	if left, _ := t.pause.left(now); left > 0 {
		return false
	}
	if !t.parties.well(party) {
		return false
	}
	return 2*(t.health.snapshot().InFlight+1) <= t.o.Concurrent && t.shares.spare(party) && !t.crowd.now(now)
}

// spare says whether half of a party's places stay free when it takes one more.
func (s *shares) spare(party string) bool {
	if party == "" {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := 0
	if mine := s.of[party]; mine != nil {
		taken = mine.users
	}
	return 2*(taken+1) <= s.most
}

// crowdedFor is how long a request that had to wait for its turn tells of others.
const crowdedFor = 2 * time.Second

// crowd is what is known of how near a source is to its rate.
type crowd struct {
	own    *rate.Bucket // as if nobody else took turns
	waited atomic.Int64 // until when the last wait counts, in nanoseconds
}

// note is told of each turn, and how long it had to be waited for.
func (c *crowd) note(now time.Time, wait time.Duration) {
	_, _ = c.own.Reserve(now, time.Hour)
	if wait > 0 {
		c.waited.Store(now.Add(crowdedFor).UnixNano())
	}
}

func (c *crowd) now(now time.Time) bool {
	return now.UnixNano() < c.waited.Load() || !c.own.HalfFull(now)
}
