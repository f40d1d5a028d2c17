package authztest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/portico-fhir/portico/smart/authz"
	"github.com/portico-fhir/portico/smart/token"
)

var _ authz.PendingStore = (*Memory)(nil)

// Memory keeps pending requests in the process. Its zero value is ready.
type Memory struct {
	mu   sync.Mutex
	rows map[string]authz.Pending
}

// CreatePending implements authz.PendingStore.
func (m *Memory) CreatePending(_ context.Context, p authz.Pending) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.rows[p.ID]; ok {
		return errors.New("authztest: there is such a request")
	}
	if m.rows == nil {
		m.rows = map[string]authz.Pending{}
	}
	m.rows[p.ID] = p
	return nil
}

// Pending implements authz.PendingStore.
func (m *Memory) Pending(_ context.Context, id string, now time.Time) (authz.Pending, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, ok := m.rows[id]
	if !ok || !now.Before(p.Expires) {
		return authz.Pending{}, token.ErrNotFound
	}
	return p, nil
}

// ChoosePatient implements authz.PendingStore.
func (m *Memory) ChoosePatient(_ context.Context, id, patient string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, ok := m.rows[id]
	if !ok {
		return token.ErrNotFound
	}
	p.Patient = patient
	m.rows[id] = p
	return nil
}

// UsePending implements authz.PendingStore.
func (m *Memory) UsePending(_ context.Context, id string, now time.Time) (authz.Pending, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, ok := m.rows[id]
	if !ok || !now.Before(p.Expires) {
		return authz.Pending{}, token.ErrNotFound
	}
	delete(m.rows, id)
	return p, nil
}

// Count tells how many requests are kept, for tests to look at.
func (m *Memory) Count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.rows)
}
