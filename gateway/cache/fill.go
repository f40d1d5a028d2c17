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
}

// lifeOf is how long an entry can be of any use.
func (c *Cache) lifeOf(ttl time.Duration) time.Duration {
	return ttl + max(c.o.StaleWhileRevalidate, c.o.StaleIfError)
}

// lookup gives the newest entry that is known here, nil when there is none that
// could be of use. Redis is asked only when memory has nothing fresh.
func (c *Cache) lookup(ctx context.Context, j *job) *entry {
	e := c.memory.entry(j.name)
	if e != nil && j.v.age(e) < j.ttl {
		return e
	}
	if c.shared != nil {
		if other := c.shared.get(ctx, j.name); other != nil && (e == nil || other.fetched.After(e.fetched)) {
			e = other
			c.keep(j, e)
		}
	}
	if e == nil || j.v.age(e) >= c.lifeOf(j.ttl) {
		return nil
	}
	return e
}

// keep puts an entry into memory.
func (c *Cache) keep(j *job, e *entry) bool {
	left := c.lifeOf(j.ttl) - j.v.age(e)
	if left <= 0 || int64(len(e.body)) > c.o.MaxBody {
		return false
	}
	return c.memory.put(j.name, &item{of: j.v.of, epoch: j.v.epoch, seen: j.v.seen, entry: e, life: left})
}

// share puts an entry into Redis.
func (c *Cache) share(ctx context.Context, j *job, e *entry) {
	if c.shared != nil {
		c.shared.put(ctx, j.name, e, c.lifeOf(j.ttl)-j.v.age(e))
	}
}

// revalidate fetches again behind a request that was given something stale. What
// is on its way already is not fetched twice, on this replica or another.
func (c *Cache) revalidate(j *job) {
	c.mu.Lock()
	_, flying := c.flights[j.name]
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

// dropEverywhere forgets one name, of which the upstream says that nothing is
// there any more.
func (c *Cache) dropEverywhere(ctx context.Context, n name) {
	c.memory.remove(n)
	if c.shared != nil {
		c.shared.remove(ctx, n)
	}
}
