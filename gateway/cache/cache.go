// Package cache keeps what the upstreams answered, for one patient at one source
// at a time: nothing is ever shared between patients, sources or what a record
// was before a change. It owns the two tiers (memory over Redis), the epochs that
// make all entries of a patient unusable at once, and the sharing of fetches. It
// must not know scopes: what it gives is judged again on each request, and what
// is kept as released is named by whoever keeps it.
//
// A failure of the cache itself never fails a request: whatever cannot be read
// is fetched.
package cache

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/portico-fhir/portico/internal/seal"
)

// Options configures a Cache.
type Options struct {
	Ring  *seal.Ring            // seals what is in Redis and names it
	Redis redis.UniversalClient // nil: this process alone
	// TTL says how long an answer is fresh, by source and resource type ("" when
	// the type is not known). 0 or less: it is not kept.
	TTL func(source, typ string) time.Duration
	// Origin says which server a source is, as it stands in the configuration of
	// this process: what was kept of another one under the same id, before a restart
	// or by a replica that has not been replaced yet, is not of this one. nil: "".
	Origin func(source string) string
	// StaleWhileRevalidate is how long after that an answer is still given while
	// it is fetched again; StaleIfError, while the upstream is down.
	StaleWhileRevalidate, StaleIfError time.Duration
	Memory                             int64 // bytes of the tier in memory; 0 means 64 MiB
	MaxBody                            int64 // bytes of the largest answer that is kept; 0 means 1 MiB
	Refresh                            Refresh
	// Count is told what a tier (memory, redis) said: hit, stale, miss, stored,
	// shared (somebody else's fetch), and of Redis refused (what is there cannot be
	// believed), error, or bypass (it is left alone for a moment). nil: nobody is.
	Count func(source, tier, result string)
	Now   func() time.Time
	Log   *slog.Logger // nil: nothing is logged
}

// The bounds of what Redis may cost.
const (
	lockLife      = 10 * time.Second       // of the lock of a fetch, when its holder dies
	lockWait      = 2 * time.Second        // for the fetch of another replica
	shareTimeout  = 500 * time.Millisecond // for one exchange with Redis
	bumpTimeout   = 2 * time.Second        // for an invalidation
	moreThanBody  = 512 << 10              // bytes of an entry beside its body: headers and the seal
	defaultMemory = 64 << 20
	defaultBody   = 1 << 20
)

// Cache keeps answers. It may be used by many goroutines.
type Cache struct {
	o        Options
	names    *names
	memory   *memory
	shared   *shared // nil: no Redis
	epochs   epochs
	sessions *sessions // nil: nothing is refreshed

	mu      sync.Mutex
	flights map[course]*flight

	work sync.WaitGroup // what goes on behind requests
	life context.Context
	end  context.CancelFunc
}

// New checks the options and makes a Cache.
func New(o Options) (*Cache, error) {
	if o.Ring == nil || o.TTL == nil {
		return nil, errors.New("cache: Ring and TTL are required")
	}
	if o.StaleIfError < 0 || o.StaleWhileRevalidate < 0 || o.Memory < 0 || o.MaxBody < 0 {
		return nil, errors.New("cache: durations and sizes must not be negative")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Origin == nil {
		o.Origin = func(string) string { return "" }
	}
	if o.Count == nil {
		o.Count = func(string, string, string) {}
	}
	if o.Memory == 0 {
		o.Memory = defaultMemory
	}
	if o.MaxBody == 0 {
		o.MaxBody = min(defaultBody, o.Memory/2)
	}
	n, err := newNames(o.Ring)
	if err != nil {
		return nil, err
	}
	m, err := newMemory(o.Memory)
	if err != nil {
		return nil, err
	}
	c := &Cache{o: o, names: n, memory: m, flights: map[course]*flight{}}
	c.life, c.end = context.WithCancel(context.Background())
	c.epochs = newLocalEpochs()
	if o.Redis != nil {
		if c.shared, err = newShared(o.Redis, o.Ring, n); err != nil {
			return nil, err
		}
		c.shared.longest = o.MaxBody + moreThanBody
		c.epochs = newSharedEpochs(c.shared, n)
		c.work.Go(c.retry)
	}
	if c.sessions = newSessions(o.Refresh); c.sessions != nil {
		c.work.Go(c.refresher)
	}
	return c, nil
}

// Close ends what goes on in the background and waits for it. The Redis client
// stays open: it is not the Cache's own.
func (c *Cache) Close() {
	c.end()
	c.work.Wait()
	c.memory.close()
}

// Invalidate makes everything kept of a patient at a source unusable, or of all
// patients there when patient is "", in O(1). Call it after the upstream has
// changed. Once it returns nil, no replica gives an answer fetched before. An
// error means that the others could not be told: this replica keeps nothing of
// the patient until it has told them, and goes on trying.
func (c *Cache) Invalidate(ctx context.Context, source, patient string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bumpTimeout)
	defer cancel()
	err := c.epochs.bump(ctx, part{source, patient})
	c.memory.forget(part{source, patient})
	if patient != "" {
		c.sessions.changed(part{source, patient})
	}
	if err != nil {
		c.o.Log.Warn("the cache could not tell other replicas of a change; it keeps trying", "source", source, "error", err)
	}
	return err
}

// retryEvery is how often invalidations that could not be told are tried again.
const retryEvery = time.Second

func (c *Cache) retry() {
	ticker := time.NewTicker(retryEvery)
	defer ticker.Stop()
	for {
		select {
		case <-c.life.Done():
			return
		case <-ticker.C:
			ctx, cancel := context.WithTimeout(c.life, bumpTimeout)
			c.epochs.settle(ctx)
			cancel()
		}
	}
}

// Bytes says how much memory holds now.
func (c *Cache) Bytes() uint64 {
	c.memory.items.CleanUp()
	return c.memory.items.WeightedSize()
}

// part is whose entries are kept apart: a patient at a source; all of a source
// when patient is "".
type part struct{ source, patient string }

func randomText() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}
