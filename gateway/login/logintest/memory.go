// Package logintest has the suite that every login.SessionStore passes and a
// store in memory for tests. It knows no database.
package logintest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/portico-fhir/portico/gateway/login"
)

// Memory keeps sessions in memory. The zero value is ready for use.
type Memory struct {
	mu       sync.Mutex
	sessions map[[32]byte]login.Session
	used     map[[32]byte]bool
}

var _ login.SessionStore = (*Memory)(nil)

// CreateSession implements login.SessionStore.
func (m *Memory) CreateSession(ctx context.Context, s login.Session) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, taken := m.sessions[s.Digest]; taken {
		return errors.New("logintest: the digest is taken")
	}
	if m.sessions == nil {
		m.sessions = make(map[[32]byte]login.Session)
	}
	s.Sources, s.AMR = slices.Clone(s.Sources), slices.Clone(s.AMR)
	m.sessions[s.Digest] = s
	return nil
}

// Session implements login.SessionStore.
func (m *Memory) Session(ctx context.Context, digest [32]byte, now, idleSince time.Time) (login.Session, error) {
	if err := ctx.Err(); err != nil {
		return login.Session{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s, found := m.sessions[digest]
	if !found || !now.Before(s.Expires) || !s.Seen.After(idleSince) {
		return login.Session{}, login.ErrNoSession
	}
	if now.After(s.Seen) {
		s.Seen = now
	}
	m.sessions[digest] = s
	s.Sources = slices.Clone(s.Sources)
	return s, nil
}

// DeleteSession implements login.SessionStore.
func (m *Memory) DeleteSession(ctx context.Context, digest [32]byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sessions, digest)
	return nil
}

// EndSessions implements login.SessionStore.
func (m *Memory) EndSessions(ctx context.Context, e login.Ending) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.used[e.Token] {
		return 0, login.ErrLogoutUsed
	}
	if m.used == nil {
		m.used = make(map[[32]byte]bool)
	}
	m.used[e.Token] = true
	n := 0
	for digest, s := range m.sessions {
		if e.Means(s) {
			delete(m.sessions, digest)
			n++
		}
	}
	return n, nil
}

// Len says how many sessions are kept.
func (m *Memory) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.sessions)
}

// Each shows every session that is kept.
func (m *Memory) Each(show func(login.Session)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.sessions {
		show(s)
	}
}
