package cache_test

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/portico-fhir/portico/gateway/cache/cachetest"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/redisdb"
	"github.com/portico-fhir/portico/internal/services"
)

func TestMain(m *testing.M) {
	redisdb.Quiet()
	// The library goes on dialling for a while after its client was closed.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

func TestWithoutRedis(t *testing.T) {
	cachetest.Run(t, func(*testing.T) cachetest.Tier { return cachetest.Tier{} })
}

// connect opens a client for a test.
func connect(t testing.TB, s *services.Redis) redis.UniversalClient {
	t.Helper()
	c, err := redisdb.New(redisdb.Options{Addresses: []string{s.Addr}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// direct is the test's own way to a server: what the test itself does there may take
// its time, unlike what the cache asks.
func direct(t testing.TB, s *services.Redis) redis.UniversalClient {
	t.Helper()
	const long = 30 * time.Second
	c := redis.NewClient(&redis.Options{Addr: s.Addr, DialTimeout: long, ReadTimeout: long, WriteTimeout: long, PoolTimeout: long})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestWithRedis(t *testing.T) {
	s := services.StartRedis(t)
	c, own := connect(t, s), direct(t, s)
	cachetest.Run(t, func(t *testing.T) cachetest.Tier {
		if err := own.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		return cachetest.Tier{Redis: c}
	})
}

func TestWithDeadRedis(t *testing.T) {
	s := services.StartRedis(t)
	c := connect(t, s)
	s.Kill(t)
	cachetest.Run(t, func(*testing.T) cachetest.Tier { return cachetest.Tier{Redis: c, Dead: true} })
}

// drain reads an answer to its end.
func drain(a *upstream.Answer, err error) error {
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, a.Body)
	return errors.Join(err, a.Body.Close())
}
