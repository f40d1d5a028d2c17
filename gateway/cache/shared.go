package cache

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/portico-fhir/portico/internal/seal"
)

// prefix of all keys in Redis; what follows is a name.
const prefix = "portico:"

// shared is the tier in Redis. Values are sealed and bound to their key: one
// that was changed, put under another key or sealed by somebody else is none.
type shared struct {
	gate
	client redis.UniversalClient
	sealer *seal.Sealer
	n      *names

	longest int64 // more bytes than any entry has
}

func newShared(client redis.UniversalClient, ring *seal.Ring, n *names) (*shared, error) {
	s, err := ring.For("cache")
	if err != nil {
		return nil, err
	}
	return &shared{client: client, sealer: s, n: n}, nil
}

// failed notes that Redis did not answer, unless it was the caller who left.
func (s *shared) failed(ctx context.Context, err error) {
	if err == nil || errors.Is(err, redis.Nil) || errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	s.shut()
}

func entryKey(n name) string { return prefix + "a:" + n.text() }
func lockKey(n name) string  { return prefix + "l:" + n.text() }

// What a tier said, for Options.Count.
const (
	saidHit     = "hit"
	saidStale   = "stale"
	saidMiss    = "miss"
	saidStored  = "stored"
	saidShared  = "shared"
	saidRefused = "refused"
	saidError   = "error"
	saidBypass  = "bypass"
)

// get gives the entry of a name, nil when there is none that can be believed,
// and says which it is.
func (s *shared) get(ctx context.Context, n name) (*entry, string) {
	if !s.open() {
		return nil, saidBypass
	}
	ctx, cancel := context.WithTimeout(ctx, shareTimeout)
	defer cancel()
	key := entryKey(n)
	// What is too long to be ours is cut, and then it does not open: whoever can
	// write to Redis must not fill the memory here.
	sealed, err := s.client.GetRange(ctx, key, 0, s.longest).Bytes()
	if err == nil && len(sealed) == 0 {
		s.well()
		return nil, saidMiss
	}
	if err != nil {
		s.failed(ctx, err)
		return nil, saidError
	}
	s.well()
	plain, err := s.sealer.Open(sealed, key)
	if err != nil {
		return nil, saidRefused
	}
	e, err := decodeEntry(plain)
	if err != nil {
		return nil, saidRefused
	}
	return e, saidHit
}

func (s *shared) put(ctx context.Context, n name, e *entry, life time.Duration) string {
	if life < time.Millisecond || !s.open() {
		return saidBypass
	}
	ctx, cancel := context.WithTimeout(ctx, shareTimeout)
	defer cancel()
	key := entryKey(n)
	if err := s.client.Set(ctx, key, s.sealer.Seal(e.encode(), key), life).Err(); err != nil {
		s.failed(ctx, err)
		return saidError
	}
	s.well()
	return saidStored
}

// remove drops one name and says whether there was something; an error says that it
// may still be there.
func (s *shared) remove(ctx context.Context, n name) (had bool, err error) {
	if !s.open() {
		return false, errShut
	}
	ctx, cancel := context.WithTimeout(ctx, shareTimeout)
	defer cancel()
	removed, err := s.client.Del(ctx, entryKey(n)).Result()
	if err != nil {
		s.failed(ctx, err)
		return false, fmt.Errorf("cache: an entry could not be removed: %w", err)
	}
	s.well()
	return removed > 0, nil
}

var errShut = errors.New("cache: Redis is left alone after a failure")

// unlock deletes a lock only if it is still ours.
var unlock = redis.NewScript(`if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`)

// lock takes the right to fetch a name. held is false when another replica has
// it; when Redis does not answer everybody has it. release is never nil.
func (s *shared) lock(ctx context.Context, n name) (release func(), held bool) {
	nothing := func() {}
	if !s.open() {
		return nothing, true
	}
	within, cancel := context.WithTimeout(ctx, shareTimeout)
	defer cancel()
	key, token := lockKey(n), randomText()
	err := s.client.SetArgs(within, key, token, redis.SetArgs{Mode: "NX", TTL: lockLife}).Err()
	switch {
	case errors.Is(err, redis.Nil):
		return nothing, false
	case err != nil:
		s.failed(within, err)
		return nothing, true
	}
	return func() {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), shareTimeout)
		defer cancel()
		if err := unlock.Run(within, s.client, []string{key}, token).Err(); err != nil {
			s.failed(within, err)
		}
	}, true
}

// wait waits for what the holder of the lock fetches, no longer than lockWait
// and no longer than the lock is held. after is what the entry must be newer
// than.
func (s *shared) wait(ctx context.Context, n name, after time.Time) *entry {
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		// The lock is asked first: it is given back after the entry is there.
		locked, err := s.client.Exists(ctx, lockKey(n)).Result()
		if err != nil {
			return nil
		}
		if e, _ := s.get(ctx, n); e != nil && e.fetched.After(after) {
			return e
		}
		if locked == 0 {
			return nil
		}
	}
}
