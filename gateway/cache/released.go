package cache

import (
	"bytes"
	"slices"
	"time"
)

// Released is an answer as it left: judged, rewritten, whole.
type Released struct {
	Bytes []byte
	Meta  any // what the gateway needs to say and write down the same again; small, and never changed
	// Before is when the question itself is no longer good; zero: it always is.
	Before time.Time

	fetched time.Time // the oldest of what it was made from
	until   time.Time
	from    []asked
}

const (
	// MaxReleased is the size of the largest answer that is kept as it left.
	MaxReleased = 256 << 10
	// releasedLife bounds how long one is given: the paging link in it must be
	// good for a while after that.
	releasedLife = 15 * time.Minute
)

// Released gives what was kept under parts in this epoch, nil when there is
// nothing or when the request wants something newer. parts must hold everything
// beside source and patient that decides the bytes.
func (v *View) Released(parts ...string) *Released {
	if v.off != "" {
		return nil
	}
	r := v.c.memory.released(v.releasedName(parts))
	now := v.c.o.Now()
	if r == nil || !now.Before(r.until) || now.Before(r.fetched) || !v.r.Control.accepts(now.Sub(r.fetched)) {
		return nil
	}
	v.tally.hit(r.fetched, r.until.Sub(r.fetched), false, false)
	v.c.sessions.touch(v, r.from)
	v.c.o.Count(v.of.source, "memory", saidHit)
	return r
}

// Keep keeps an answer for Released, as long as all that it was made from is
// fresh. One that was made while something failed or was old is not kept.
func (v *View) Keep(r Released, parts ...string) {
	if v.off != "" || len(r.Bytes) > MaxReleased {
		return
	}
	v.tally.mu.Lock()
	r.fetched, r.until, r.from = v.tally.first, v.tally.until, slices.Clone(v.tally.asked)
	bad := v.tally.troubled || !v.tally.s.asked
	v.tally.mu.Unlock()
	now := v.c.o.Now()
	for _, last := range []time.Time{now.Add(releasedLife), r.Before} {
		if !last.IsZero() && r.until.After(last) {
			r.until = last
		}
	}
	if bad || !now.Before(r.until) {
		return
	}
	r.Bytes = bytes.Clone(r.Bytes) // what it was cut from may be larger than what is counted
	v.c.memory.put(v.releasedName(parts), &item{of: v.of, epoch: v.epoch, seen: v.seen, released: &r, life: r.until.Sub(now)})
}

func (v *View) releasedName(parts []string) name {
	return v.c.names.of(append([]string{"released", v.of.source, v.of.patient, v.epoch}, parts...)...)
}
