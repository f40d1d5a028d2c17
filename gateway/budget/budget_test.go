package budget_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/portico-fhir/portico/gateway/budget"
	"github.com/portico-fhir/portico/gateway/budget/budgettest"
	"github.com/portico-fhir/portico/internal/rate"
	"github.com/portico-fhir/portico/internal/services"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var secret = bytes.Repeat([]byte("s"), 32)

func connect(t *testing.T, addr string) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1, DialerRetries: 1})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func newRedis(t *testing.T, c *redis.Client) *budget.Redis {
	t.Helper()
	b, err := budget.NewRedis(c, secret)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMemory(t *testing.T) {
	budgettest.Run(t, func(*testing.T) budget.Budget { return budget.NewMemory(nil) })
}

func TestRedis(t *testing.T) {
	server := services.StartRedis(t)
	client := connect(t, server.Addr)
	budgettest.Run(t, func(t *testing.T) budget.Budget {
		if err := client.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		return newRedis(t, client)
	})
}

func TestReplicasShareWhatIsInRedisAndRedisNamesNobody(t *testing.T) {
	server := services.StartRedis(t)
	one, other := newRedis(t, connect(t, server.Addr)), newRedis(t, connect(t, server.Addr))
	l := rate.Limit{PerSecond: 0.001, Burst: 4}
	got := 0
	for range 10 {
		for _, b := range []budget.Budget{one, other} {
			if wait, err := b.Take(t.Context(), "north/pat-4711", l); err != nil {
				t.Fatal(err)
			} else if wait == 0 {
				got++
			}
		}
	}
	if got != 4 {
		t.Errorf("%d tokens for two replicas", got)
	}
	client := connect(t, server.Addr)
	keys, err := client.Keys(t.Context(), "*").Result()
	if err != nil || len(keys) != 1 || strings.Contains(fmt.Sprint(keys), "4711") || strings.Contains(fmt.Sprint(keys), "north") {
		t.Errorf("%v, %v", keys, err)
	}
	if ttl, err := client.PTTL(t.Context(), keys[0]).Result(); err != nil || ttl <= 0 || ttl > 4001*time.Second {
		t.Errorf("it stays for %v, %v", ttl, err)
	}
}

func TestWithoutRedisEachReplicaCountsByItselfAndWithItTogetherAgain(t *testing.T) {
	server := services.StartRedis(t)
	b := budget.NewFallback(newRedis(t, connect(t, server.Addr)), budget.NewMemory(nil), slog.New(slog.DiscardHandler))
	l := rate.Limit{PerSecond: 0.001, Burst: 2}
	count := func(key string) (n int) {
		for range 6 {
			wait, err := b.Take(t.Context(), key, l)
			if err != nil {
				t.Fatal(err)
			}
			if wait == 0 {
				n++
			}
		}
		return n
	}
	if n := count("a"); n != 2 {
		t.Errorf("with Redis: %d", n)
	}
	server.Kill(t)
	if n := count("b"); n != 2 {
		t.Errorf("without Redis: %d", n)
	}
	server.Start(t)
	client := connect(t, server.Addr)
	for end := time.Now().Add(20 * time.Second); ; {
		if _, err := b.Take(t.Context(), "c", l); err != nil {
			t.Fatal(err)
		}
		if keys, err := client.Keys(t.Context(), "*").Result(); err == nil && len(keys) > 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("never asked again")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// broken cannot tell.
type broken struct{ asked int }

func (b *broken) Take(context.Context, string, rate.Limit) (time.Duration, error) {
	b.asked++
	return 0, errors.New("down")
}

// Reserve implements budget.Budget.
func (b *broken) Reserve(context.Context, string, rate.Limit, time.Duration) (time.Duration, bool, error) {
	b.asked++
	return 0, false, errors.New("down")
}

func TestABrokenFirstIsSaidOnceAndNotAskedWithEachRequest(t *testing.T) {
	var log bytes.Buffer
	first := &broken{}
	b := budget.NewFallback(first, budget.NewMemory(nil), slog.New(slog.NewTextHandler(&log, nil)))
	for range 100 {
		if _, err := b.Take(t.Context(), "a", rate.Limit{PerSecond: 1, Burst: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if first.asked > 10 || strings.Count(log.String(), "\n") != 1 {
		t.Errorf("asked %d times, said %s", first.asked, log.String())
	}
}

func TestABudgetInRedisNeedsASecret(t *testing.T) {
	if _, err := budget.NewRedis(connect(t, "127.0.0.1:1"), []byte("short")); err == nil {
		t.Error("accepted")
	}
}
