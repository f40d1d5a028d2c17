// Package cachetest is the suite that a gateway/cache passes whatever becomes of
// Redis: there is none, there is one, it is dead.
package cachetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/portico-fhir/portico/gateway/upstream"
	"github.com/portico-fhir/portico/internal/fault"
)

// Upstream is one that does as it is told.
type Upstream struct {
	mu    sync.Mutex
	asked []string // "Read Observation o1", in order
	// Answer makes the answer to what was asked; nil: Says.
	Answer func(ctx context.Context, asked string) (*upstream.Answer, error)
	Says   string // the body that a nil Answer gives
}

var _ upstream.Reader = (*Upstream)(nil)

// Asked gives what was asked so far.
func (u *Upstream) Asked() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]string(nil), u.asked...)
}

// Say changes what is answered from now on.
func (u *Upstream) Say(body string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.Answer, u.Says = nil, body
}

// Do changes how it is answered from now on.
func (u *Upstream) Do(answer func(ctx context.Context, asked string) (*upstream.Answer, error)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.Answer = answer
}

func (u *Upstream) ask(ctx context.Context, asked string) (*upstream.Answer, error) {
	u.mu.Lock()
	u.asked = append(u.asked, asked)
	answer, says := u.Answer, u.Says
	u.mu.Unlock()
	if answer != nil {
		return answer(ctx, asked)
	}
	return Whole(says), nil
}

// Read implements upstream.Reader.
func (u *Upstream) Read(ctx context.Context, typ, id string) (*upstream.Answer, error) {
	return u.ask(ctx, "Read "+typ+" "+id)
}

// Search implements upstream.Reader.
func (u *Upstream) Search(ctx context.Context, typ, query string) (*upstream.Answer, error) {
	return u.ask(ctx, "Search "+typ+" "+query)
}

// Next implements upstream.Reader.
func (u *Upstream) Next(ctx context.Context, url string) (*upstream.Answer, error) {
	return u.ask(ctx, "Next "+url)
}

// Capabilities implements upstream.Reader.
func (u *Upstream) Capabilities(context.Context) (*upstream.Capabilities, error) {
	return &upstream.Capabilities{}, nil
}

// Modified is when what Whole gives was last changed.
func Modified() time.Time { return time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC) }

// Whole is an answer with everything an answer has.
func Whole(body string) *upstream.Answer {
	return &upstream.Answer{Body: io.NopCloser(strings.NewReader(body)), ETag: `W/"7"`, LastModified: Modified()}
}

// Bundle is a searchset that says text.
func Bundle(text string) string {
	return fmt.Sprintf(`{"resourceType":"Bundle","type":"searchset","entry":[{"resource":{"resourceType":"Observation","id":"o","note":[{"text":%q}]}}]}`, text)
}

// Down is an upstream that cannot be reached.
func Down(context.Context, string) (*upstream.Answer, error) {
	return nil, fault.New(fault.Unavailable, "down")
}

// Failing answers with one kind of fault.
func Failing(kind fault.Kind) func(context.Context, string) (*upstream.Answer, error) {
	return func(context.Context, string) (*upstream.Answer, error) { return nil, fault.New(kind, "no") }
}

// Broken is an answer that breaks off after some bytes.
func Broken(begin string) func(context.Context, string) (*upstream.Answer, error) {
	return func(context.Context, string) (*upstream.Answer, error) {
		return &upstream.Answer{Body: io.NopCloser(io.MultiReader(strings.NewReader(begin), failing{}))}, nil
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("broken off") }

// Gate holds answers back until it is opened.
type Gate struct {
	Began chan struct{} // gets one for each request that waits
	open  chan struct{}
	once  sync.Once
}

// NewGate makes a closed one.
func NewGate() *Gate { return &Gate{Began: make(chan struct{}, 1000), open: make(chan struct{})} }

// Open lets everybody through.
func (g *Gate) Open() { g.once.Do(func() { close(g.open) }) }

// Then answers with body once the gate is open, or gives up with its context.
func (g *Gate) Then(body string) func(context.Context, string) (*upstream.Answer, error) {
	return func(ctx context.Context, _ string) (*upstream.Answer, error) {
		g.Began <- struct{}{}
		select {
		case <-ctx.Done():
			return nil, fault.New(fault.Unavailable, "given up")
		case <-g.open:
			return Whole(body), nil
		}
	}
}

// Clock is a clock that moves when it is told.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock begins at some time.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

// Now gives the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Pass moves on.
func (c *Clock) Pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
