package connect_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-fhir/portico/gateway/upstream/connect"
	"github.com/portico-fhir/portico/internal/fault"
)

// clock is time that passes when told.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Unix(1_700_000_000, 0)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// mint is a token endpoint that counts.
type mint struct {
	asked atomic.Int64
	mu    sync.Mutex
	life  time.Duration
	err   error
	block chan struct{}
}

func (m *mint) fetch(ctx context.Context) (connect.Issued, error) {
	n := m.asked.Add(1)
	m.mu.Lock()
	life, err, block := m.life, m.err, m.block
	m.mu.Unlock()
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
			return connect.Issued{}, ctx.Err()
		}
	}
	return connect.Issued{Value: fmt.Sprint("Bearer ", n), Lifetime: life}, err
}

func (m *mint) set(change func(*mint)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m)
}

func newTokens(t *testing.T, m *mint, c *clock) *connect.Tokens {
	t.Helper()
	tokens, err := connect.NewTokens(connect.TokensOptions{Fetch: m.fetch, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tokens.Close)
	return tokens
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatal("never: " + what)
		}
		time.Sleep(time.Millisecond)
	}
}

func want(t *testing.T, tokens *connect.Tokens, value string) {
	t.Helper()
	if got, err := tokens.Authorization(t.Context()); got != value || err != nil {
		t.Fatalf("%q, %v; want %q", got, err, value)
	}
}

func TestManyWhoNeedATokenAtOnceCauseOneRequest(t *testing.T) {
	m, c := &mint{life: time.Hour, block: make(chan struct{})}, newClock()
	tokens := newTokens(t, m, c)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if got, err := tokens.Authorization(t.Context()); got != "Bearer 1" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	until(t, "asked", func() bool { return m.asked.Load() == 1 })
	close(m.block)
	all.Wait()
	if n := m.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestATokenIsRenewedAheadOfItsEndAndNobodyWaitsForThat(t *testing.T) {
	m, c := &mint{life: 5 * time.Minute}, newClock()
	tokens := newTokens(t, m, c)
	want(t, tokens, "Bearer 1")
	c.pass(3 * time.Minute)
	want(t, tokens, "Bearer 1")
	if n := m.asked.Load(); n != 1 {
		t.Fatalf("asked %d times too early", n)
	}
	block := make(chan struct{})
	m.set(func(m *mint) { m.block = block })
	c.pass(90 * time.Second) // 30 s before its end
	for range 20 {
		want(t, tokens, "Bearer 1") // while the renewal hangs
	}
	until(t, "asked again", func() bool { return m.asked.Load() == 2 })
	close(block)
	until(t, "renewed", func() bool { got, _ := tokens.Authorization(t.Context()); return got == "Bearer 2" })
	if n := m.asked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
}

func TestATokenIsNeverUsedAfterItsEnd(t *testing.T) {
	m, c := &mint{life: time.Minute}, newClock()
	tokens := newTokens(t, m, c)
	want(t, tokens, "Bearer 1")
	m.set(func(m *mint) { m.err = errors.New("down") })
	c.pass(57 * time.Second)
	if got, err := tokens.Authorization(t.Context()); err == nil {
		t.Errorf("%q after its end", got)
	}
}

func TestWhileTheOldTokenIsGoodABrokenEndpointHurtsNobody(t *testing.T) {
	m, c := &mint{life: 10 * time.Minute}, newClock()
	tokens := newTokens(t, m, c)
	want(t, tokens, "Bearer 1")
	m.set(func(m *mint) { m.err = errors.New("down") })
	c.pass(9 * time.Minute)
	for range 10 {
		want(t, tokens, "Bearer 1")
	}
}

func TestABrokenEndpointIsAskedLessAndLess(t *testing.T) {
	const secret = "invalid_client for portico at https://login.example.org"
	m, c := &mint{err: errors.New(secret)}, newClock()
	tokens := newTokens(t, m, c)
	for second := range 300 {
		for range 5 {
			_, err := tokens.Authorization(t.Context())
			if fault.KindOf(err) != fault.Unavailable || fault.RetryAfterOf(err) < time.Second {
				t.Fatalf("second %d: %v after %v", second, err, fault.RetryAfterOf(err))
			}
			if strings.Contains(err.Error(), "login") || strings.Contains(err.Error(), "invalid_client") {
				t.Fatalf("the error says %v", err)
			}
		}
		c.pass(time.Second)
	}
	if n := m.asked.Load(); n < 5 || n > 14 { // 1, 2, 4, 8, 16, 32, 60, 60 … seconds apart, and up to a quarter more
		t.Errorf("1500 requests asked it %d times in five minutes", n)
	}
	m.set(func(m *mint) { m.err = nil })
	c.pass(2 * time.Minute)
	if _, err := tokens.Authorization(t.Context()); err != nil {
		t.Errorf("when it is back: %v", err)
	}
}

func TestTheEndpointsRetryAfterIsObeyed(t *testing.T) {
	m, c := &mint{err: fault.Later(fault.Unavailable, 90*time.Second, "")}, newClock()
	tokens := newTokens(t, m, c)
	for range 89 {
		_, _ = tokens.Authorization(t.Context())
		c.pass(time.Second)
	}
	if n := m.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestARefusedTokenIsReplacedOnceAndAnEHRThatRefusesAllIsNoHammer(t *testing.T) {
	m, c := &mint{life: time.Hour}, newClock()
	tokens := newTokens(t, m, c)
	want(t, tokens, "Bearer 1")
	// Many requests meet the refusal at once: one renewal serves them all.
	for range 10 {
		if !tokens.Refused("Bearer 1") {
			t.Fatal("no other token, although one may be had")
		}
	}
	want(t, tokens, "Bearer 2")
	if !tokens.Refused("Bearer 1") {
		t.Error("one who comes late is not told of the new token")
	}
	want(t, tokens, "Bearer 2")
	for range 10 {
		if tokens.Refused("Bearer 2") {
			t.Fatal("the next one so soon")
		}
		want(t, tokens, "Bearer 2")
	}
	if n := m.asked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
	c.pass(31 * time.Second)
	if !tokens.Refused("Bearer 2") {
		t.Error("never again")
	}
	want(t, tokens, "Bearer 3")
}

func TestACallerWhoGoesAwayDoesNotEndTheRenewal(t *testing.T) {
	m, c := &mint{life: time.Hour, block: make(chan struct{})}, newClock()
	tokens := newTokens(t, m, c)
	gone, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() { _, err := tokens.Authorization(gone); first <- err }()
	until(t, "asked", func() bool { return m.asked.Load() == 1 })
	cancel()
	if err := <-first; fault.KindOf(err) != fault.Unavailable {
		t.Error(err)
	}
	close(m.block)
	want(t, tokens, "Bearer 1")
}

func TestAnsweringNothingUsableIsAFailure(t *testing.T) {
	for name, issued := range map[string]connect.Issued{"nothing": {}, "one that has ended": {Value: "Bearer x", Lifetime: -1}} {
		tokens, err := connect.NewTokens(connect.TokensOptions{Fetch: func(context.Context) (connect.Issued, error) { return issued, nil }})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := tokens.Authorization(t.Context()); err == nil {
			t.Errorf("%s: %q", name, got)
		}
		tokens.Close()
	}
}

func TestClosingGivesUpARenewal(t *testing.T) {
	m, c := &mint{block: make(chan struct{})}, newClock()
	tokens := newTokens(t, m, c)
	ended := make(chan error, 1)
	go func() { _, err := tokens.Authorization(context.Background()); ended <- err }()
	until(t, "asked", func() bool { return m.asked.Load() == 1 })
	tokens.Close()
	if err := <-ended; err == nil {
		t.Error("a token after the end")
	}
}
