// Package clienttest has what tests of apps need: a store in memory, and the
// suite that every store must pass. It must not be reachable from the product.
package clienttest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/portico-fhir/portico/smart/client"
)

// Memory keeps apps in memory.
type Memory struct {
	mu   sync.Mutex
	apps []client.App // oldest first
}

var _ client.Store = (*Memory)(nil)

func (m *Memory) find(id string) int {
	return slices.IndexFunc(m.apps, func(a client.App) bool { return a.ID == id })
}

// App implements client.Store.
func (m *Memory) App(_ context.Context, id string) (client.App, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := m.find(id); i >= 0 {
		return m.apps[i], nil
	}
	return client.App{}, client.ErrUnknown
}

// Apps implements client.Store.
func (m *Memory) Apps(_ context.Context, state client.State, limit int) ([]client.App, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []client.App
	for _, a := range m.apps {
		if (state == "" || a.State == state) && len(out) < limit {
			out = append(out, a)
		}
	}
	return out, nil
}

// CreateApp implements client.Store.
func (m *Memory) CreateApp(_ context.Context, a client.App) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.find(a.ID) >= 0 {
		return client.ErrTaken
	}
	a.Revision = 1
	m.apps = append(m.apps, a)
	return nil
}

// UpdateApp implements client.Store.
func (m *Memory) UpdateApp(_ context.Context, a client.App) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.find(a.ID)
	switch {
	case i < 0:
		return client.ErrUnknown
	case m.apps[i].Revision != a.Revision:
		return client.ErrChanged
	}
	a.Revision++
	m.apps[i] = a
	return nil
}

// DeleteApp implements client.Store.
func (m *Memory) DeleteApp(_ context.Context, id string, _ time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.find(id)
	if i < 0 {
		return client.ErrUnknown
	}
	m.apps = slices.Delete(m.apps, i, i+1)
	return nil
}
