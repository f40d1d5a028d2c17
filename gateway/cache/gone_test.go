package cache_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/portico-fhir/portico/gateway/cache"
	"github.com/portico-fhir/portico/gateway/cache/cachetest"
	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/services"
)

// around lets a test do something in place of a command to Redis.
type around struct {
	mu   sync.Mutex
	does map[string]func(next func() error) error
}

func (a *around) set(command string, does func(next func() error) error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.does = map[string]func(func() error) error{command: does}
}

func (*around) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (a *around) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		a.mu.Lock()
		does := a.does[cmd.Name()]
		a.mu.Unlock()
		if does == nil {
			return next(ctx, cmd)
		}
		err := does(func() error { return next(ctx, cmd) })
		if err != nil {
			cmd.SetErr(err)
		}
		return err
	}
}

func (*around) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// What the upstream says is gone, no replica gives again: not from its own memory,
// nor as it left, nor where Redis did not take the removal, nor what was on its way
// there.
func TestWhatIsGoneIsGivenByNobody(t *testing.T) {
	for name, row := range map[string]func(t *testing.T, a *around, one *cachetest.Bench){
		"all is well": func(*testing.T, *around, *cachetest.Bench) {},
		"Redis does not take the removal": func(_ *testing.T, a *around, _ *cachetest.Bench) {
			a.set("del", func(func() error) error { return errors.New("no") })
		},
		"who asked has gone by then": func(_ *testing.T, _ *around, one *cachetest.Bench) {
			one.Up.Do(func(ctx context.Context, _ string) (*upstream.Answer, error) {
				<-ctx.Done()
				return nil, fault.New(fault.NotFound, "no")
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := services.StartRedis(t)
			hooked, a := connect(t, s), &around{}
			hooked.AddHook(a)
			one, other := cachetest.NewBench(t, cachetest.Tier{Redis: hooked}), cachetest.NewBench(t, cachetest.Tier{Redis: connect(t, s)})
			fetch(t, one, "ann")
			entries(t, direct(t, s), 1)
			fetch(t, other, "ann")
			v := other.View("ann")
			if err := drain(v.Search(t.Context(), "Observation", "patient=ann")); err != nil {
				t.Fatal(err)
			}
			v.Keep(cache.Released{Bytes: []byte("as it left")}, "q")
			one.Up.Do(cachetest.Failing(fault.NotFound))
			other.Up.Do(cachetest.Failing(fault.NotFound))
			row(t, a, one)
			ctx, cancel := context.WithCancel(t.Context())
			if name == "who asked has gone by then" {
				cancel()
			}
			_, err := one.View("ann", "no-cache").Search(ctx, "Observation", "patient=ann")
			cancel()
			if err == nil {
				t.Fatal("it is given")
			}
			var body string
			cachetest.Until(t, func() bool { // the flight may outlive who asked
				body, _, err = other.Get("ann")
				return fault.KindOf(err) == fault.NotFound
			})
			if other.View("ann").Released("q") != nil {
				t.Error("given as it left")
			}
			one.Up.Do(cachetest.Failing(fault.NotFound))
			if body, _, err = one.Get("ann"); err == nil {
				t.Errorf("still given: %q", body)
			}
		})
	}
}

// An answer may be written to Redis after the one that says that it is gone.
func TestWhatIsOnItsWayToRedisIsNotGivenOnceItIsGone(t *testing.T) {
	s := services.StartRedis(t)
	hooked, a := connect(t, s), &around{}
	hooked.AddHook(a)
	began, goOn, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	one, other := cachetest.NewBench(t, cachetest.Tier{Redis: hooked}), cachetest.NewBench(t, cachetest.Tier{Redis: connect(t, s)})
	fetchHeld := func() {
		v := one.View("ann").Holding(nil)
		answer, err := v.Search(t.Context(), "Observation", "q")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		a.set("set", func(next func() error) error {
			close(began)
			<-goOn
			defer close(done)
			return next()
		})
		v.Confirm()
	}
	fetchHeld()
	<-began
	one.Up.Do(cachetest.Failing(fault.NotFound))
	other.Up.Do(cachetest.Failing(fault.NotFound))
	v := one.View("ann", "no-cache").Holding(nil)
	if _, err := v.Search(t.Context(), "Observation", "q"); fault.KindOf(err) != fault.NotFound {
		t.Fatal(err)
	}
	v.Deny(t.Context())
	close(goOn)
	<-done
	if _, err := other.View("ann").Holding(nil).Search(t.Context(), "Observation", "q"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("given although it is gone: %v", err)
	}
}

// What was asked before it was gone may be answered after.
func TestWhatWasAskedBeforeItWasGoneIsNotKept(t *testing.T) {
	b, g := cachetest.NewBench(t, cachetest.Tier{}), cachetest.NewGate()
	b.Up.Do(g.Then(cachetest.Bundle("first")))
	early := make(chan string)
	go func() {
		body, _, _ := b.Get("ann")
		early <- body
	}()
	<-g.Began
	b.Up.Do(cachetest.Failing(fault.NotFound))
	if _, _, err := b.Get("ann", "no-cache"); fault.KindOf(err) != fault.NotFound {
		t.Fatal(err)
	}
	g.Open()
	if body := <-early; body != cachetest.Bundle("first") {
		t.Errorf("who asked before it was gone got %q", body)
	}
	if body, _, err := b.Get("ann"); err == nil {
		t.Errorf("given although it is gone: %q", body)
	}
}
