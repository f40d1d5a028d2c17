package cache

import "time"

// FreshUntil says until when all is fresh that was given so far: then the first of
// it is not any more. Zero when something was stale, or nothing was given.
func (v *View) FreshUntil() time.Time {
	v.tally.mu.Lock()
	defer v.tally.mu.Unlock()
	if v.off != "" || v.tally.s.stale || v.tally.s.failed {
		return time.Time{}
	}
	return v.tally.until
}

// FreshFor is how long an answer of a type stays fresh, 0 when nothing is kept now.
func (v *View) FreshFor(typ string) time.Duration {
	if v.off != "" {
		return 0
	}
	return v.c.o.TTL(v.r.Source, typ)
}

// RestsOn says that what is made of the answers is good no longer than until.
func (v *View) RestsOn(until time.Time) {
	v.tally.mu.Lock()
	defer v.tally.mu.Unlock()
	if v.tally.until.IsZero() || until.Before(v.tally.until) {
		v.tally.until = until
	}
}

// Epoch gives the epoch of the request, "" when it could not be told.
func (v *View) Epoch() string { return v.epoch }
