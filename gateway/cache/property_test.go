package cache_test

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/redis/go-redis/v9"

	"github.com/portico-fhir/portico/gateway/cache"
	"github.com/portico-fhir/portico/gateway/cache/cachetest"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/services"
)

// world is what the upstreams say: for each source and patient a number that
// grows with each change, told in every answer.
type world struct {
	mu      sync.Mutex
	version map[string]int
	down    bool
}

func (w *world) say(source, patient, what string) (*upstream.Answer, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down {
		return nil, fault.New(fault.Unavailable, "down")
	}
	key := source + "/" + patient
	return cachetest.Whole(cachetest.Bundle(fmt.Sprintf("<%s %s v%d>", key, what, w.version[key]))), nil
}

func (w *world) change(source, patient string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.version[source+"/"+patient]++
	return w.version[source+"/"+patient]
}

// of is the world as one patient of one source sees it.
func (w *world) of(source, patient string) upstream.Reader {
	u := &cachetest.Upstream{}
	u.Do(func(_ context.Context, asked string) (*upstream.Answer, error) { return w.say(source, patient, asked) })
	return u
}

var stories atomic.Int64

var told = regexp.MustCompile(`<([a-z0-9]+)/([a-z0-9]+) (.*) v(\d+)>`)

// replica is one of the gateways that share Redis.
type replica struct{ c *cache.Cache }

// run plays a random story and holds each answer against what may be said: that
// of this patient, of no version before the last invalidation that succeeded,
// and of none that is to come.
func run(t *rapid.T, replicas []replica, clock *cachetest.Clock, redisUp func(bool)) {
	w := &world{version: map[string]int{}}
	least := map[string]int{}
	story := strconv.FormatInt(stories.Add(1), 10) // the caches outlive it
	sources, patients := []string{"north" + story, "south" + story}, []string{"ann", "bob", "ann2"}
	queries := []string{"patient=ann", "patient=bob", "_count=1"}
	steps := rapid.IntRange(5, 60).Draw(t, "steps")
	for range steps {
		source, patient := rapid.SampledFrom(sources).Draw(t, "source"), rapid.SampledFrom(patients).Draw(t, "patient")
		r := rapid.SampledFrom(replicas).Draw(t, "replica")
		key := source + "/" + patient
		switch rapid.IntRange(0, 11).Draw(t, "what") {
		case 0, 1: // a change through Portico
			v := w.change(source, patient)
			if err := r.c.Invalidate(context.Background(), source, patient); err == nil {
				least[key] = v
			}
		case 2: // a change behind its back
			w.change(source, patient)
		case 3:
			if err := r.c.Invalidate(context.Background(), source, ""); err == nil {
				for _, p := range patients {
					least[source+"/"+p] = w.version[source+"/"+p]
				}
			}
		case 4:
			clock.Pass(time.Duration(rapid.IntRange(1, 120).Draw(t, "seconds")) * time.Second)
		case 5:
			w.mu.Lock()
			w.down = !w.down
			w.mu.Unlock()
		case 6:
			redisUp(rapid.Bool().Draw(t, "redis"))
		default:
			control := rapid.SampledFrom([]string{"", "", "", "no-cache", "no-store", "max-age=5", "only-if-cached"}).Draw(t, "control")
			v := r.c.View(context.Background(), cache.Request{Source: source, Patient: patient, Upstream: w.of(source, patient), Control: cache.ParseControl([]string{control}, nil)})
			if kept := v.Released(queries[0]); kept != nil {
				judge(t, w, least, source, patient, string(kept.Bytes))
			}
			body, err := ask(t, v, rapid.SampledFrom(queries).Draw(t, "query"))
			if err != nil {
				if !w.down && control != "only-if-cached" {
					t.Fatalf("failed: %v", err)
				}
				continue
			}
			judge(t, w, least, source, patient, body)
			v.Keep(cache.Released{Bytes: []byte(body)}, queries[0])
		}
	}
}

func ask(t *rapid.T, v *cache.View, query string) (string, error) {
	held := rapid.Bool().Draw(t, "held")
	if held {
		v = v.Holding(nil)
	}
	var a *upstream.Answer
	var err error
	if rapid.Bool().Draw(t, "next") {
		a, err = v.Next(context.Background(), "https://ehr.example.org/fhir?page="+query)
	} else {
		a, err = v.Search(context.Background(), "Observation", query)
	}
	if err != nil {
		return "", err
	}
	raw, err := io.ReadAll(a.Body)
	_ = a.Body.Close()
	if held {
		v.Confirm()
	}
	return string(raw), err
}

func judge(t *rapid.T, w *world, least map[string]int, source, patient, body string) {
	m := told.FindStringSubmatch(body)
	if m == nil {
		t.Fatalf("not an answer: %q", body)
	}
	version, err := strconv.Atoi(m[4])
	key := source + "/" + patient
	if err != nil || m[1] != source || m[2] != patient {
		t.Fatalf("%s got an answer of %s/%s", key, m[1], m[2])
	}
	if version < least[key] || version > w.version[key] {
		t.Fatalf("%s got version %d, the last invalidation was at %d and the upstream has %d", key, version, least[key], w.version[key])
	}
}

func replicasOf(t testing.TB, n int, clients []redis.UniversalClient, clock *cachetest.Clock) []replica {
	t.Helper()
	var out []replica
	for i := range n {
		o := cache.Options{
			Ring: cachetest.Ring(t, "k"), TTL: func(_, typ string) time.Duration {
				return map[string]time.Duration{"Observation": time.Minute}[typ] + time.Second
			}, StaleIfError: 5 * time.Minute, StaleWhileRevalidate: 20 * time.Second, Now: clock.Now, Memory: 1 << 20,
		}
		if clients != nil {
			o.Redis = clients[i]
		}
		c, err := cache.New(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		out = append(out, replica{c})
	}
	return out
}

func TestAnAnswerIsThePatientsOwnAndNotOlderThanTheLastChange(t *testing.T) {
	clock := cachetest.NewClock()
	alone := replicasOf(t, 1, nil, clock)
	rapid.Check(t, func(t *rapid.T) { run(t, alone, clock, func(bool) {}) })
}

func TestTheSameOverReplicasThatShareRedis(t *testing.T) {
	s := services.StartRedis(t)
	clock := cachetest.NewClock()
	replicas := replicasOf(t, 2, []redis.UniversalClient{connect(t, s), connect(t, s)}, clock)
	flush := connect(t, s)
	rapid.Check(t, func(t *rapid.T) {
		run(t, replicas, clock, func(up bool) {
			if !up { // what Redis forgets is no older answer either
				_ = flush.FlushAll(context.Background()).Err()
			}
		})
	})
}

// In this one Redis is killed and started again in the middle, and what one
// replica could not tell is told when it is back.
func TestTheSameWhileRedisComesAndGoes(t *testing.T) {
	s := services.StartRedis(t)
	clock := cachetest.NewClock()
	replicas := replicasOf(t, 2, []redis.UniversalClient{connect(t, s), connect(t, s)}, clock)
	up, flips := true, 0
	rapid.Check(t, func(r *rapid.T) {
		run(r, replicas, clock, func(want bool) {
			if want == up || flips > 30 && up {
				return
			}
			flips++
			if up = want; up {
				s.Start(t)
			} else {
				s.Kill(t)
			}
		})
	})
	if !up {
		s.Start(t)
	}
	if flips < 4 {
		t.Errorf("Redis came and went %d times only", flips)
	}
}
