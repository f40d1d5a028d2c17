package cache_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/portico-fhir/portico/gateway/cache"
	"github.com/portico-fhir/portico/gateway/cache/cachetest"
	"github.com/portico-fhir/portico/internal/seal"
	"github.com/portico-fhir/portico/internal/services"
)

// all gives every key and value of a server.
func all(t testing.TB, c redis.UniversalClient) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	keys, err := c.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		v, err := c.Get(t.Context(), k).Bytes()
		if err != nil && !errors.Is(err, redis.Nil) {
			t.Fatal(err)
		}
		out[k] = v
	}
	return out
}

func entries(t testing.TB, c redis.UniversalClient, n int) map[string][]byte {
	t.Helper()
	var out map[string][]byte
	cachetest.Until(t, func() bool {
		out = map[string][]byte{}
		for k, v := range all(t, c) {
			if strings.HasPrefix(k, "portico:a:") {
				out[k] = v
			}
		}
		return len(out) >= n
	})
	return out
}

// Nothing that is in the records, in what was asked or in the names of sources
// can be read in Redis, in any plain way of writing it.
func TestRedisHoldsNothingInTheClear(t *testing.T) {
	s := services.StartRedis(t)
	c, own := connect(t, s), direct(t, s)
	b := cachetest.NewBench(t, cachetest.Tier{Redis: c})
	words := []string{"ann-4711", "Alder", "ehr", "https://ehr.example.org/page", "identifier=123", "Observation", "Bundle", "W/\"7\""}
	b.Up.Say(cachetest.Bundle("Alder, born 1980"))
	v := b.View("ann-4711")
	for _, ask := range []func() error{
		func() error { return drain(v.Search(t.Context(), "Observation", "patient=ann-4711&identifier=123")) },
		func() error { return drain(v.Next(t.Context(), "https://ehr.example.org/page?x=ann-4711")) },
	} {
		if err := ask(); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Cache.Invalidate(t.Context(), "ehr", "ann-4711"); err != nil {
		t.Fatal(err)
	}
	entries(t, own, 2)
	for k, value := range all(t, own) {
		seen := append([]byte(k+"\n"), value...)
		for _, word := range words {
			for _, form := range []string{word, hex.EncodeToString([]byte(word)), base64.StdEncoding.EncodeToString([]byte(word)), base64.RawURLEncoding.EncodeToString([]byte(word))} {
				if len(form) > 3 && bytes.Contains(bytes.ToLower(seen), bytes.ToLower([]byte(form))) {
					t.Errorf("%q is in Redis: %q", word, k)
				}
			}
		}
	}
}

// A value in Redis that is not the one put there under this key is none.
func TestForeignValuesInRedisAreIgnored(t *testing.T) {
	s := services.StartRedis(t)
	c, own := connect(t, s), direct(t, s)
	for name, spoil := range map[string]func(mine, theirs string, was map[string][]byte) []byte{
		"another patient's": func(_, theirs string, was map[string][]byte) []byte { return was[theirs] },
		"one bit changed": func(mine, _ string, was map[string][]byte) []byte {
			v := bytes.Clone(was[mine])
			v[len(v)/2] ^= 1
			return v
		},
		"cut":        func(mine, _ string, was map[string][]byte) []byte { return was[mine][:len(was[mine])-1] },
		"empty":      func(string, string, map[string][]byte) []byte { return nil },
		"not sealed": func(string, string, map[string][]byte) []byte { return []byte(cachetest.Bundle("forged")) },
		"sealed by another": func(mine, _ string, _ map[string][]byte) []byte {
			return otherRing(t).Seal([]byte("\x01forged forged forged forged"), mine)
		},
		"another format": func(mine, _ string, _ map[string][]byte) []byte {
			return ownRing(t).Seal([]byte("\x02forged forged forged forged"), mine)
		},
		"sealed, but nothing": func(mine, _ string, _ map[string][]byte) []byte { return ownRing(t).Seal(nil, mine) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := own.FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			writer := cachetest.NewBench(t, cachetest.Tier{Redis: c})
			writer.Up.Say(cachetest.Bundle("bob's"))
			fetch(t, writer, "bob")
			theirs := onlyKey(entries(t, own, 1))
			writer.Up.Say(cachetest.Bundle("ann's"))
			fetch(t, writer, "ann")
			was := entries(t, own, 2)
			mine := ""
			for k := range was {
				if k != theirs {
					mine = k
				}
			}
			if err := own.Set(t.Context(), mine, spoil(mine, theirs, was), time.Minute).Err(); err != nil {
				t.Fatal(err)
			}
			reader := cachetest.NewBench(t, cachetest.Tier{Redis: c})
			reader.Up.Say(cachetest.Bundle("asked anew"))
			body, _, err := reader.Get("ann")
			if err != nil || body != cachetest.Bundle("asked anew") {
				t.Errorf("got %q, %v", body, err)
			}
		})
	}
}

func onlyKey(m map[string][]byte) string {
	for k := range m {
		return k
	}
	return ""
}

func sealer(t testing.TB, fill string) *seal.Sealer {
	t.Helper()
	s, err := cachetest.Ring(t, fill).For("cache")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ownRing(t testing.TB) *seal.Sealer   { return sealer(t, "k") }
func otherRing(t testing.TB) *seal.Sealer { return sealer(t, "o") }

// A value that was put there before is not newer for being put there again.
func TestAReplayedValueIsAsOldAsItIs(t *testing.T) {
	s := services.StartRedis(t)
	c, own := connect(t, s), direct(t, s)
	writer := cachetest.NewBench(t, cachetest.Tier{Redis: c})
	fetch(t, writer, "ann")
	was := entries(t, own, 1)
	reader := cachetest.NewBench(t, cachetest.Tier{Redis: c})
	reader.Up.Say(cachetest.Bundle("second"))
	reader.Clock.Pass(cachetest.TTL + cachetest.Stale)
	for k, v := range was {
		if err := own.Set(t.Context(), k, v, time.Hour).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if body, _, err := reader.Get("ann"); err != nil || body != cachetest.Bundle("second") {
		t.Errorf("%q %v", body, err)
	}
	if err := reader.Cache.Invalidate(t.Context(), "ehr", "ann"); err != nil {
		t.Fatal(err)
	}
	reader.Up.Say(cachetest.Bundle("third"))
	if body, _, err := reader.Get("ann"); err != nil || body != cachetest.Bundle("third") {
		t.Errorf("after a change: %q %v", body, err)
	}
}

// One replica fetches, the other finds it; what one is told, both know; and at
// the same time they ask once.
func TestReplicasShare(t *testing.T) {
	s := services.StartRedis(t)
	a, b := cachetest.NewBench(t, cachetest.Tier{Redis: connect(t, s)}), cachetest.NewBench(t, cachetest.Tier{Redis: connect(t, s)})
	b.Up = a.Up
	fetch(t, a, "ann")
	entries(t, direct(t, s), 1)
	if body, status, err := b.Get("ann"); err != nil || body != cachetest.Bundle("first") || status.CacheStatus() != "portico; hit; ttl=60" {
		t.Errorf("%q %s %v", body, status.CacheStatus(), err)
	}
	for i := range 20 {
		text := fmt.Sprint("v", i)
		a.Up.Say(cachetest.Bundle(text))
		from, to := a, b
		if i%2 == 1 {
			from, to = b, a
		}
		if err := from.Cache.Invalidate(t.Context(), "ehr", "ann"); err != nil {
			t.Fatal(err)
		}
		if body, _, _ := to.Get("ann"); body != cachetest.Bundle(text) {
			t.Fatalf("after change %d the other replica gave %q", i, body)
		}
	}
	g := cachetest.NewGate()
	a.Up.Do(g.Then(cachetest.Bundle("once")))
	before := len(a.Up.Asked())
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			body, _, err := []*cachetest.Bench{a, b}[i%2].Get("zoe")
			if err != nil || body != cachetest.Bundle("once") {
				t.Errorf("%q %v", body, err)
			}
		})
	}
	<-g.Began
	cachetest.Until(t, func() bool { return a.Cache.Waiting()+b.Cache.Waiting() == 20 })
	g.Open()
	wg.Wait()
	if n := len(a.Up.Asked()) - before; n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// A Redis that comes back with what it had on disk has epochs from before the
// last changes, and must not be believed.
func TestAnOldDumpBringsNothingBack(t *testing.T) {
	s := services.StartRedis(t)
	c, own := connect(t, s), direct(t, s)
	b := cachetest.NewBench(t, cachetest.Tier{Redis: c})
	fetch(t, b, "ann")
	entries(t, own, 1)
	if err := own.Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	b.Up.Say(cachetest.Bundle("second"))
	if err := b.Cache.Invalidate(t.Context(), "ehr", "ann"); err != nil {
		t.Fatal(err)
	}
	s.Kill(t)
	s.Start(t)
	cachetest.Until(t, func() bool { return own.Ping(t.Context()).Err() == nil })
	if n := len(all(t, own)); n == 0 {
		t.Fatal("the dump was not read, so this shows nothing")
	}
	for _, bench := range []*cachetest.Bench{b, cachetest.NewBench(t, cachetest.Tier{Redis: c})} {
		bench.Up.Say(cachetest.Bundle("second"))
		if body, _, err := bench.Get("ann"); err != nil || body != cachetest.Bundle("second") {
			t.Errorf("%q %v", body, err)
		}
	}
}

// A change made while Redis was down is told when it is back, to replicas that
// never lost it.
func TestAChangeWhileRedisIsDownIsToldLater(t *testing.T) {
	s := services.StartRedis(t)
	a, b := cachetest.NewBench(t, cachetest.Tier{Redis: connect(t, s)}), cachetest.NewBench(t, cachetest.Tier{Redis: connect(t, s)})
	fetch(t, a, "ann")
	fetch(t, b, "ann")
	s.Kill(t)
	if err := a.Cache.Invalidate(t.Context(), "ehr", "ann"); err == nil {
		t.Error("it says that everybody knows")
	}
	for _, bench := range []*cachetest.Bench{a, b} {
		bench.Up.Say(cachetest.Bundle("second"))
		if body, status, err := bench.Get("ann"); err != nil || body != cachetest.Bundle("second") || status.CacheStatus() != "portico; fwd=bypass" {
			t.Errorf("%q %s %v", body, status.CacheStatus(), err)
		}
	}
	s.Start(t)
	for _, bench := range []*cachetest.Bench{a, b} {
		cachetest.Until(t, func() bool {
			body, status, err := bench.Get("ann")
			if err != nil || body != cachetest.Bundle("second") {
				t.Fatalf("%q %v", body, err)
			}
			return strings.Contains(status.CacheStatus(), "hit")
		})
	}
}

// Requests go on while Redis is killed and started again, and none is wrong.
func TestRedisRestartsUnderLoad(t *testing.T) {
	s := services.StartRedis(t)
	b := cachetest.NewBench(t, cachetest.Tier{Redis: connect(t, s)})
	var version, asked, hits atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for who := range 8 {
		patient := fmt.Sprint("patient-", who)
		up := &cachetest.Upstream{Says: cachetest.Bundle(patient)}
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				v := b.Cache.View(context.Background(), cache.Request{Source: "ehr", Patient: patient, Upstream: up})
				a, err := v.Search(context.Background(), "Observation", "same")
				if err != nil {
					t.Errorf("failed: %v", err)
					return
				}
				raw, err := io.ReadAll(a.Body)
				_ = a.Body.Close()
				if err != nil || string(raw) != cachetest.Bundle(patient) {
					t.Errorf("%s got %q, %v", patient, raw, err)
					return
				}
				asked.Add(1)
				if strings.Contains(v.Status().CacheStatus(), "hit") {
					hits.Add(1)
				}
				if version.Add(1)%50 == 0 {
					_ = b.Cache.Invalidate(context.Background(), "ehr", patient)
				}
			}
		})
	}
	served := func(n int64) { at := asked.Load(); cachetest.Until(t, func() bool { return asked.Load() > at+n }) }
	for range 3 {
		served(200)
		s.Kill(t)
		served(50)
		s.Start(t)
		at := hits.Load()
		cachetest.Until(t, func() bool { return hits.Load() > at }) // it is used again
	}
	close(stop)
	wg.Wait()
	t.Logf("%d requests, %d hits", asked.Load(), hits.Load())
}

// Replicas in the middle of a rotation of the seal key hear of one another's
// changes, and cannot read one another's entries with the wrong one.
func TestReplicasWithOverlappingRingsHearOfChanges(t *testing.T) {
	s := services.StartRedis(t)
	ring := func(fills ...string) func(*cache.Options) {
		return func(o *cache.Options) {
			var keys [][]byte
			for _, f := range fills {
				keys = append(keys, []byte(strings.Repeat(f, seal.KeySize)))
			}
			r, err := seal.NewRing(keys[0], keys[1:]...)
			if err != nil {
				t.Fatal(err)
			}
			o.Ring = r
		}
	}
	before := cachetest.NewBench(t, cachetest.Tier{Redis: connect(t, s)}, ring("a"))
	after := cachetest.NewBench(t, cachetest.Tier{Redis: connect(t, s)}, ring("b", "a"))
	for i := range 4 {
		text := cachetest.Bundle(fmt.Sprint("v", i))
		before.Up.Say(text)
		after.Up.Say(text)
		from, to := before, after
		if i%2 == 1 {
			from, to = after, before
		}
		if err := from.Cache.Invalidate(t.Context(), "ehr", "ann"); err != nil {
			t.Fatal(err)
		}
		if body, _, err := to.Get("ann"); err != nil || body != text {
			t.Errorf("%d: %q %v", i, body, err)
		}
	}
}

func TestSearchesAreMadeAgainAfterAChange(t *testing.T) {
	b := cachetest.NewBench(t, cachetest.Tier{}, func(o *cache.Options) {
		o.Refresh = cache.Refresh{Active: time.Minute, PerMinute: 2}
	})
	fetch(t, b, "ann")
	fetch(t, b, "bob")
	b.Up.Say(cachetest.Bundle("second"))
	if err := b.Cache.Invalidate(t.Context(), "ehr", "ann"); err != nil {
		t.Fatal(err)
	}
	cachetest.Until(t, func() bool { return len(b.Up.Asked()) == 3 })
	cachetest.Until(t, func() bool {
		body, status, err := b.Get("ann")
		if err != nil || body != cachetest.Bundle("second") {
			t.Fatalf("%q %v", body, err)
		}
		return strings.Contains(status.CacheStatus(), "hit")
	})
	b.Clock.Pass(time.Minute)
	if err := b.Cache.Invalidate(t.Context(), "ehr", "ann"); err != nil {
		t.Fatal(err)
	}
	if n := len(b.Up.Asked()); n != 3 {
		t.Errorf("asked for somebody who has not been there for a while: %d", n)
	}
}

func TestMemoryIsBoundedAndFreedByAChange(t *testing.T) {
	b := cachetest.NewBench(t, cachetest.Tier{}, func(o *cache.Options) { o.Memory = 1 << 20 })
	for i := range 400 {
		patient := fmt.Sprint("p", i)
		v := b.View(patient)
		b.Up.Say(cachetest.Bundle(strings.Repeat("x", 10_000)))
		if err := drain(v.Search(t.Context(), "Observation", "q")); err != nil {
			t.Fatal(err)
		}
		v.Keep(cache.Released{Bytes: make([]byte, 10_000)}, "q")
	}
	if got := b.Cache.Bytes(); got > 1<<20+100_000 || got < 500_000 {
		t.Errorf("%d bytes are held of 1 MiB", got)
	}
	if err := b.Cache.Invalidate(t.Context(), "ehr", ""); err != nil {
		t.Fatal(err)
	}
	if got := b.Cache.Bytes(); got != 0 {
		t.Errorf("%d bytes are held of what nobody can be given", got)
	}
}

// The same when Redis was there all the time and only did not answer: other
// replicas go on with what they have until they are told.
func TestAChangeThatRedisDidNotTakeIsToldLater(t *testing.T) {
	s := services.StartRedis(t)
	a, b := cachetest.NewBench(t, cachetest.Tier{Redis: connect(t, s)}), cachetest.NewBench(t, cachetest.Tier{Redis: connect(t, s)})
	fetch(t, a, "ann")
	fetch(t, b, "ann")
	if err := direct(t, s).Do(t.Context(), "CLIENT", "PAUSE", "1500", "ALL").Err(); err != nil {
		t.Fatal(err)
	}
	if err := a.Cache.Invalidate(t.Context(), "ehr", "ann"); err == nil {
		t.Fatal("it says that everybody knows")
	}
	a.Up.Say(cachetest.Bundle("second"))
	if body, _, err := a.Get("ann"); err != nil || body != cachetest.Bundle("second") {
		t.Errorf("the one that knows gave %q, %v", body, err)
	}
	b.Up.Say(cachetest.Bundle("second"))
	cachetest.Until(t, func() bool {
		body, status, _ := b.Get("ann")
		return body == cachetest.Bundle("second") && strings.Contains(status.CacheStatus(), "hit")
	})
}

// fetch makes a request whose answer does not matter.
func fetch(t testing.TB, b *cachetest.Bench, patient string) {
	t.Helper()
	if _, _, err := b.Get(patient); err != nil {
		t.Fatal(err)
	}
}

// Who can write to Redis may put anything there, of any size: it is not read
// into memory to find out that it is not ours.
func TestHugeValuesInRedisAreNotReadWhole(t *testing.T) {
	s := services.StartRedis(t)
	c, own := connect(t, s), direct(t, s)
	for _, kind := range []string{"portico:a:", "portico:e:"} {
		if err := own.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		writer := cachetest.NewBench(t, cachetest.Tier{Redis: c})
		fetch(t, writer, "ann")
		entries(t, own, 1)
		for key, was := range all(t, own) {
			if !strings.HasPrefix(key, kind) {
				continue
			}
			if err := own.Set(t.Context(), key, string(was)+strings.Repeat("x", 64<<20), time.Minute).Err(); err != nil {
				t.Fatal(err)
			}
		}
		reader := cachetest.NewBench(t, cachetest.Tier{Redis: c})
		reader.Up.Say(cachetest.Bundle("asked anew"))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		body, _, err := reader.Get("ann")
		runtime.ReadMemStats(&after)
		if err != nil || body != cachetest.Bundle("asked anew") {
			t.Errorf("%s: %q, %v", kind, body, err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 16<<20 {
			t.Errorf("%s: %d MiB were taken", kind, took>>20)
		}
	}
}
