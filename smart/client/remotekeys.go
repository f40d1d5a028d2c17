package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/portico-fhir/portico/internal/fetch"
)

// How long keys fetched from a URL are believed.
const (
	// maxKeysAge bounds what Cache-Control may say: a key that was taken out of
	// the set must stop working some day soon.
	maxKeysAge = time.Hour
	// defaultKeysAge is for servers that say nothing.
	defaultKeysAge = 5 * time.Minute
	// missPause is how often an unknown kid may make us look again: anybody can
	// send one.
	missPause = 30 * time.Second
	// failurePause spares a server that is down, and ours.
	failurePause = 10 * time.Second
	// maxKeySets bounds the memory for all clients together.
	maxKeySets = 4096
)

// Fetcher gets documents from outside; *fetch.Fetcher does.
type Fetcher interface {
	Get(ctx context.Context, url string, types ...string) (fetch.Document, error)
}

// Keys finds keys by value and by URL. Those by URL are kept no longer than
// their server says (SMART App Launch 2.2, requirement 341), and are fetched by
// one caller at a time per client.
type Keys struct {
	fetch Fetcher
	now   func() time.Time

	mu   sync.Mutex
	sets map[string]*keySet // by client id
}

var _ KeySource = (*Keys)(nil)

// keySet is what is known of one client's URL. Whoever holds turn may look at
// the rest and fetch.
type keySet struct {
	turn chan struct{}

	url     string
	keys    []jose.JSONWebKey
	fetched time.Time // when keys were last asked for
	until   time.Time // how long they may be believed
	err     error     // of the last attempt
}

// NewKeys makes a key source; a nil fetcher refuses keys by URL.
func NewKeys(f Fetcher, now func() time.Time) *Keys {
	if now == nil {
		now = time.Now
	}
	return &Keys{fetch: f, now: now, sets: map[string]*keySet{}}
}

// Keys implements KeySource.
func (s *Keys) Keys(ctx context.Context, c Client, kid string) ([]jose.JSONWebKey, error) {
	switch {
	case kid == "":
		return nil, ErrNoKey
	case len(c.JWKS) > 0:
		keys, err := ParseJWKS(c.JWKS)
		if err != nil {
			return nil, fmt.Errorf("the keys of client %q: %w", c.ID, err)
		}
		return found(withKID(keys, kid))
	case c.JWKSURI == "":
		return nil, ErrNoKey
	case s.fetch == nil:
		return nil, fmt.Errorf("%w: keys by URL are switched off", fetch.ErrRefused)
	}
	asked := s.now()
	set := s.set(c.ID)
	select {
	case set.turn <- struct{}{}:
		defer func() { <-set.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the keys of a client: %w", ctx.Err())
	}
	return s.look(ctx, set, c, kid, asked)
}

func found(keys []jose.JSONWebKey) ([]jose.JSONWebKey, error) {
	if len(keys) == 0 {
		return nil, ErrNoKey
	}
	return keys, nil
}

// look answers from what is known, and asks the URL when that may be wrong.
func (s *Keys) look(ctx context.Context, set *keySet, c Client, kid string, asked time.Time) ([]jose.JSONWebKey, error) {
	now := s.now()
	if set.url != c.JWKSURI {
		set.url, set.keys, set.err, set.fetched, set.until = c.JWKSURI, nil, nil, time.Time{}, time.Time{}
	}
	if !set.fetched.IsZero() {
		have := withKID(set.keys, kid)
		switch age := now.Sub(set.fetched); {
		case set.err != nil && age < failurePause:
			return nil, set.err
		case set.err != nil:
		case len(have) > 0 && (now.Before(set.until) || set.fetched.After(asked)):
			// What another caller fetched while this one waited was not kept:
			// it is the answer to both.
			return have, nil
		case len(have) == 0 && age < missPause:
			return nil, ErrNoKey
		}
	}
	s.ask(ctx, set)
	if set.err != nil {
		return nil, set.err
	}
	return found(withKID(set.keys, kid))
}

// ask fetches the set. It goes on when the caller leaves: others wait for it,
// and the fetcher bounds how long it takes.
func (s *Keys) ask(ctx context.Context, set *keySet) {
	document, err := s.fetch.Get(context.WithoutCancel(ctx), set.url, "application/json", "application/jwk-set+json")
	now := s.now()
	set.keys, set.err, set.fetched, set.until = nil, nil, now, now
	if err != nil {
		set.err = fmt.Errorf("fetch the keys of a client: %w", err)
		return
	}
	keys, err := ParseJWKS(document.Body)
	if err != nil {
		set.err = fmt.Errorf("%w: the keys of a client: %w", fetch.ErrFailed, err)
		return
	}
	keep := defaultKeysAge
	if document.Said {
		keep = min(document.Fresh, maxKeysAge)
	}
	set.keys, set.until = keys, now.Add(keep)
}

// set finds or makes the entry of a client.
func (s *Keys) set(id string) *keySet {
	s.mu.Lock()
	defer s.mu.Unlock()
	if set, ok := s.sets[id]; ok {
		return set
	}
	if len(s.sets) >= maxKeySets {
		for other := range s.sets { // any one: it costs its client one fetch
			delete(s.sets, other)
			break
		}
	}
	set := &keySet{turn: make(chan struct{}, 1)}
	s.sets[id] = set
	return set
}

// Reason says in words fit for the client's developer why its keys could not be
// had. What is behind a URL is not theirs to learn from us.
func Reason(err error) string {
	switch {
	case errors.Is(err, fetch.ErrRefused):
		return "its jwks_uri may not be fetched: it must be an https URL of a server on the public internet, and must not redirect to another"
	case errors.Is(err, fetch.ErrFailed):
		return "its jwks_uri gave no usable key set: it must answer 200 within 5 s with application/json, at most 256 kB, with public RSA or EC keys that each have a kid"
	case errors.Is(err, ErrNoKey):
		return "no key of its key set has the kid of the assertion"
	default:
		return Unreadable
	}
}

// Unreadable is what Reason says of what it does not know.
const Unreadable = "its keys cannot be read"
