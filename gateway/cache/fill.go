package cache

import (
	"context"
	"time"
)

// job is one question of one patient at one epoch, and how to ask it.
type job struct {
	v     *View
	q     question
	ttl   time.Duration
	name  name
	fetch fetcher
	newer time.Time // another replica's fetch must be newer than that
}

func (j *job) course() course { return course{name: j.name, party: j.v.party} }

// lifeOf is how long an entry can be of any use.
func (c *Cache) lifeOf(ttl time.Duration) time.Duration {
	return ttl + max(c.o.StaleWhileRevalidate, c.o.StaleIfError)
}

// lookup gives the newest entry that is known here, nil when there is none that
// could be of use. Redis is asked only when memory has nothing fresh.
func (c *Cache) lookup(ctx context.Context, j *job) *entry {
	e := c.memory.entry(j.name)
	c.count(j, "memory", c.worth(j, e, saidHit))
	if e != nil && j.v.age(e) < j.ttl {
		return e
	}
	if c.shared != nil {
		other, said := c.shared.get(ctx, j.name)
		c.count(j, "redis", c.worth(j, other, said))
		if other != nil && (e == nil || other.fetched.After(e.fetched)) {
			e = other
			c.keep(j, e)
		}
	}
	if e == nil || j.v.age(e) >= c.lifeOf(j.ttl) {
		return nil
	}
	return e
}

// worth says of an entry that a tier had whether it is fresh, stale or over, and
// passes on what was said when it had none.
func (c *Cache) worth(j *job, e *entry, said string) string {
	switch {
	case e == nil && said == saidHit, e != nil && j.v.age(e) >= c.lifeOf(j.ttl):
		return saidMiss
	case e != nil && j.v.age(e) >= j.ttl:
		return saidStale
	}
	return said
}

func (c *Cache) count(j *job, tier, said string) { c.o.Count(j.v.of.source, tier, said) }

// keep puts an entry into memory.
func (c *Cache) keep(j *job, e *entry) bool {
	left := c.lifeOf(j.ttl) - j.v.age(e)
	if left <= 0 || int64(len(e.body)) > c.o.MaxBody {
		return false
	}
	kept := c.memory.put(j.name, &item{of: j.v.of, epoch: j.v.epoch, seen: j.v.seen, entry: e, life: left})
	if kept {
		c.count(j, "memory", saidStored)
	}
	return kept
}

// share puts an entry into Redis.
func (c *Cache) share(ctx context.Context, j *job, e *entry) {
	if c.shared != nil {
		c.count(j, "redis", c.shared.put(ctx, j.name, e, c.lifeOf(j.ttl)-j.v.age(e)))
	}
}

// revalidate fetches again behind a request that was given something stale. What
// is on its way already is not fetched twice, on this replica or another.
func (c *Cache) revalidate(j *job) {
	c.mu.Lock()
	_, flying := c.flights[j.course()]
	c.mu.Unlock()
	if flying || c.life.Err() != nil {
		return
	}
	f, joined := c.join(c.life, j, false)
	if joined {
		f.leave(nil)
		return
	}
	c.work.Go(func() { f.drain(c.life) })
}

// gone forgets what the upstream says is not there any more, or nothing of the
// patient's. Where something was kept of it, here or for all replicas, or where
// nobody can say whether, more may have been made of it or be on its way to be kept:
// then all that is kept of the patient is over, as after any other change.
func (c *Cache) gone(ctx context.Context, j *job) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bumpTimeout)
	defer cancel()
	had := c.memory.remove(j.name) || c.flying(j)
	if c.shared != nil {
		there, err := c.shared.remove(ctx, j.name)
		had = had || there || err != nil
	}
	if had {
		_ = c.Invalidate(ctx, j.v.of.source, j.v.of.patient) // has said what went wrong, and goes on trying
	}
}

// flying says whether the same is being fetched for somebody else, who may have
// asked before it was gone.
func (c *Cache) flying(j *job) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for to, f := range c.flights {
		if to.name == j.name && f.j != j {
			return true
		}
	}
	return false
}
