package cache

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// epochs say which entries of a patient may still be used: the epoch is part of
// every name, so that another one makes all of them unreachable. Epochs are
// random, not counted: one that was lost never comes back.
type epochs interface {
	// read gives the epoch of a patient now; ok is false when it cannot be
	// told, and then nothing that is kept may be used.
	read(ctx context.Context, of part) (epoch string, ok bool)
	// bump ends the epoch of a patient, or of a whole source.
	bump(ctx context.Context, of part) error
	// settle tries again what bump could not do.
	settle(ctx context.Context)
}

// maxEpochs bounds what is remembered in process; beyond it everything is over.
const maxEpochs = 100_000

// localEpochs are those of one process alone.
type localEpochs struct {
	mu    sync.Mutex
	begun string
	over  map[part]string
}

func newLocalEpochs() *localEpochs {
	return &localEpochs{begun: randomText(), over: map[part]string{}}
}

func (l *localEpochs) read(_ context.Context, of part) (string, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.begun + l.over[part{of.source, ""}] + "/" + l.over[of], true
}

func (l *localEpochs) bump(_ context.Context, of part) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.over) >= maxEpochs {
		l.begun = randomText()
		clear(l.over)
		return nil
	}
	l.over[of] = randomText()
	return nil
}

func (l *localEpochs) settle(context.Context) {}

// sharedEpochs are those in Redis, read once on each request: after a bump has
// returned, whoever reads sees it. What that costs is one round trip.
//
// An epoch begins with the run id of the Redis process that made it. One that
// another process made (before a restart from a dump, or before a failover that
// lost the last writes) may be older than a bump, so it is over.
type sharedEpochs struct {
	s *shared
	n *names

	mu      sync.Mutex
	pending map[part]bool // bumps that Redis has not taken yet
	all     bool          // too many to be remembered one by one
}

func newSharedEpochs(s *shared, n *names) *sharedEpochs {
	return &sharedEpochs{s: s, n: n, pending: map[part]bool{}}
}

// epochLife is how long Redis keeps an epoch; then it is another one.
const epochLife = 24 * time.Hour

// maxPending bounds the bumps remembered while Redis is down.
const maxPending = 10_000

// The keys of a script lie in one slot of a Cluster, which holds the epochs of one
// source. A server before version 5 would not let a script ask and then write.
const runID = `local run = string.match(redis.call('INFO','server'), 'run_id:(%x+)')
if not run then return redis.error_reply('no run_id') end
`

var readEpochs = redis.NewScript(runID + `local out = {}
for i, key in ipairs(KEYS) do
  local v = redis.call('GET', key)
  if not v or string.sub(v, 1, #run) ~= run or #v ~= #run + #ARGV[1] then
    v = run .. ARGV[1]
    redis.call('SET', key, v, 'PX', ARGV[2])
  end
  out[i] = v
end
return out`)

var bumpEpoch = redis.NewScript(runID + `redis.call('SET', KEYS[1], run .. ARGV[1], 'PX', ARGV[2])
return 1`)

// keys gives, for each key of the ring, the keys in Redis of the source's epoch
// and of the patient's.
func (e *sharedEpochs) keys(of part) [][2]string {
	out := make([][2]string, len(e.n.keys))
	for i, k := range e.n.keys {
		tag := prefix + "e:{" + mac(k, []string{"source epoch", of.source}).text() + "}"
		out[i] = [2]string{tag, tag + ":" + mac(k, []string{"patient epoch", of.source, of.patient}).text()}
	}
	return out
}

func (e *sharedEpochs) read(ctx context.Context, of part) (string, bool) {
	if e.waiting(of) {
		e.settle(ctx)
		if e.waiting(of) {
			return "", false
		}
	}
	if !e.s.open() {
		return "", false
	}
	ctx, cancel := context.WithTimeout(ctx, shareTimeout)
	defer cancel()
	epoch := ""
	fresh := randomText()
	for _, k := range e.keys(of) {
		got, err := readEpochs.Run(ctx, e.s.client, k[:], fresh, epochLife.Milliseconds()).StringSlice()
		if err != nil || len(got) != 2 {
			e.s.failed(ctx, err)
			return "", false
		}
		epoch += got[0] + got[1]
	}
	e.s.well()
	return epoch, true
}

func (e *sharedEpochs) bump(ctx context.Context, of part) error {
	err := e.tell(ctx, of)
	if err == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.pending[of] = true; len(e.pending) > maxPending {
		e.all = true
	}
	return errors.New("cache: the epoch could not be written: " + err.Error())
}

func (e *sharedEpochs) tell(ctx context.Context, of part) error {
	for _, k := range e.keys(of) {
		key := k[1]
		if of.patient == "" {
			key = k[0]
		}
		if err := bumpEpoch.Run(ctx, e.s.client, []string{key}, randomText(), epochLife.Milliseconds()).Err(); err != nil {
			return err
		}
	}
	e.s.well()
	return nil
}

// waiting says whether a bump that concerns a patient has not been told.
func (e *sharedEpochs) waiting(of part) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.all || e.pending[of] || e.pending[part{of.source, ""}]
}

func (e *sharedEpochs) settle(ctx context.Context) {
	e.mu.Lock()
	var todo []part
	for of := range e.pending {
		todo = append(todo, of)
	}
	e.mu.Unlock()
	for _, of := range todo {
		if !e.s.open() || e.tell(ctx, of) != nil {
			return
		}
		e.mu.Lock()
		delete(e.pending, of)
		e.all = e.all && len(e.pending) > 0
		e.mu.Unlock()
	}
}

// gate keeps requests from waiting for a Redis that does not answer: after a
// failure one request in a while tries, the others go without.
type gate struct{ until atomic.Pointer[time.Time] } // compared by the time that passes, whatever the clock says

// gateWait is how long Redis is left alone after a failure.
const gateWait = time.Second

func (g *gate) open() bool {
	until, now := g.until.Load(), time.Now()
	if until == nil {
		return true
	}
	next := now.Add(gateWait)
	return !now.Before(*until) && g.until.CompareAndSwap(until, &next)
}

func (g *gate) shut() {
	until := time.Now().Add(gateWait)
	g.until.Store(&until)
}

func (g *gate) well() {
	if g.until.Load() != nil {
		g.until.Store(nil)
	}
}
