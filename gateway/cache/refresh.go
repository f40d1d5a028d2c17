package cache

import (
	"context"
	"sync"
	"time"

	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/reqctx"
)

// Refresh says whether what a patient's apps read lately is fetched again shortly
// before it expires, and after a change, so that the next request finds it. It
// fills and never gives: what it brings is judged like all that is kept, when
// somebody asks for it.
type Refresh struct {
	Active    time.Duration // how lately; 0: nothing is refreshed
	PerMinute int           // most of such fetches at one source; 0 means 60
	// Spare says whether a source can be asked now on behalf of a party
	// (reqctx.Party) without keeping anybody waiting; nil: always.
	Spare func(source, party string) bool
	Every time.Duration // how often it is looked what is due; 0 means a second
}

// refreshTimeout is how long one refresh may take: no longer than the lock for it
// lasts. An upstream that takes longer is not one to be asked without need.
const refreshTimeout = lockLife - 2*time.Second

// refresher looks what is due until the cache is closed.
func (c *Cache) refresher() {
	ticker := time.NewTicker(c.sessions.o.Every)
	defer ticker.Stop()
	for {
		select {
		case <-c.life.Done():
			return
		case <-ticker.C:
		case <-c.sessions.wake:
		}
		c.refreshDue()
	}
}

// RefreshDue fetches again what is due now, and waits for it.
func (c *Cache) RefreshDue() {
	if c.sessions != nil {
		c.refreshDue().Wait()
	}
}

// refreshDue begins to fetch again what is due, one at a time at each source.
func (c *Cache) refreshDue() *sync.WaitGroup {
	all := &sync.WaitGroup{}
	for source, list := range c.sessions.todo(c.o.Now()) {
		all.Add(1)
		c.work.Go(func() {
			defer all.Done()
			defer func() {
				c.sessions.mu.Lock()
				defer c.sessions.mu.Unlock()
				delete(c.sessions.busy, source)
			}()
			for _, one := range list {
				if !c.refresh(one) {
					return // the rest is tried again when it is looked the next time
				}
			}
		})
	}
	return all
}

// refresh fetches one question again, unless somebody else has. It says whether
// the source may be asked more.
func (c *Cache) refresh(one *recent) (more bool) {
	c.sessions.mu.Lock()
	turn, still, party := one.turn, one.still, one.party
	c.sessions.mu.Unlock()
	ctx, cancel := context.WithTimeout(reqctx.WithParty(c.life, party), refreshTimeout)
	defer cancel()
	if !c.sessions.o.Spare(one.of.source, party) {
		return false
	}
	if there, err := c.sessions.active(ctx, one, c.o.Now()); err != nil || !there {
		return err == nil
	}
	v := c.View(ctx, Request{Source: one.of.source, Patient: one.of.patient, Upstream: one.up})
	if one.held {
		v = v.Holding(still)
	}
	j, keeps := v.job(one.question)
	if v.off != "" || !keeps {
		return false
	}
	if c.known(ctx, j, one, turn) {
		return true
	}
	release, mine := c.turnOf(ctx, one.of.source)
	if !mine {
		return false
	}
	defer release()
	if c.known(ctx, j, one, turn) { // the replica that had the lock has done it
		return true
	}
	if _, ok := c.sessions.rate.AllowKey(one.of.source, c.o.Now()); !ok {
		return false
	}
	return c.fill(ctx, j, one, turn)
}

// turnOf takes the right to refresh at a source: one replica at a time does.
func (c *Cache) turnOf(ctx context.Context, source string) (release func(), mine bool) {
	if c.shared == nil {
		return func() {}, true
	}
	return c.shared.lock(ctx, c.names.of("refresh", source))
}

// known looks whether there is an answer that is not due yet.
func (c *Cache) known(ctx context.Context, j *job, one *recent, turn int) bool {
	e := c.memory.entry(j.name)
	if c.shared != nil && (e == nil || !c.lasts(j, e)) {
		if other, _ := c.shared.get(ctx, j.name); other != nil && (e == nil || other.fetched.After(e.fetched)) {
			e = other
			c.keep(j, e)
		}
	}
	if e == nil || !c.lasts(j, e) {
		j.newer = time.Time{}
		if e != nil {
			j.newer = e.fetched
		}
		return false
	}
	c.sessions.settled(one, turn, func(r *recent) { r.plan(e.fetched, j.ttl) })
	return true
}

// lasts says whether an answer will be fresh for a while.
func (c *Cache) lasts(j *job, e *entry) bool {
	return j.v.age(e) < j.ttl-lead(j.ttl)
}

// fill fetches. A held answer is kept only when something of it is still the
// patient's, which was confirmed of the one before.
func (c *Cache) fill(ctx context.Context, j *job, one *recent, turn int) (more bool) {
	f, _ := c.join(ctx, j, false)
	f.drain(ctx)
	f.mu.Lock()
	e, err := f.entry, f.err
	f.mu.Unlock()
	gone := err != nil && fault.KindOf(err) == fault.NotFound
	switch {
	case e != nil && (!j.v.hold || j.v.still(e.body)):
		if j.v.hold && c.keep(j, e) {
			c.share(ctx, j, e)
		}
		c.sessions.settled(one, turn, func(r *recent) { r.plan(e.fetched, j.ttl) })
		return true
	case gone, e != nil:
		c.sessions.forget(one)
		c.gone(ctx, j)
		return true
	case err == nil && c.life.Err() == nil && ctx.Err() == nil: // it is not one to keep
		c.sessions.forget(one)
		return true
	}
	// The upstream is in trouble; whoever needs it asks for it.
	c.sessions.settled(one, turn, func(r *recent) { r.due = c.o.Now().Add(lead(max(j.ttl, leastTTL))) })
	return false
}

// Remembered says of how many questions it is known that somebody there may ask
// them again.
func (c *Cache) Remembered() int {
	if c.sessions == nil {
		return 0
	}
	c.sessions.mu.Lock()
	defer c.sessions.mu.Unlock()
	return c.sessions.total
}
