package tokentest

import (
	"context"
	"errors"
	"time"

	"github.com/portico-fhir/portico/smart/token"
)

var (
	_ token.RefreshStore = (*Memory)(nil)
	_ token.AccessStore  = (*Memory)(nil)
)

type refreshRow struct {
	refresh token.Refresh
	grant   *grantRow
	used    bool
}

func (r *refreshRow) good(now time.Time) bool {
	return r.grant.good(now) && now.Before(r.refresh.Expires)
}

// CreateRefresh implements token.RefreshStore.
func (m *Memory) CreateRefresh(_ context.Context, grant string, r token.Refresh) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	row, ok := m.grants[grant]
	if !ok || !row.good(r.Issued) {
		return token.ErrNotFound
	}
	if _, ok := m.refresh[r.Digest]; ok {
		return errors.New("tokentest: there is such a refresh token")
	}
	m.refresh[r.Digest] = &refreshRow{refresh: r, grant: row}
	return nil
}

// UseRefresh implements token.RefreshStore.
func (m *Memory) UseRefresh(_ context.Context, d token.Digest, now time.Time) (token.Grant, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	row, ok := m.refresh[d]
	switch {
	case !ok:
		return token.Grant{}, token.ErrNotFound
	case row.used:
		row.grant.revoked = true
		return row.grant.grant, token.ErrReplayed
	case !row.good(now):
		return token.Grant{}, token.ErrNotFound
	}
	row.used = true
	return row.grant.grant, nil
}

// Refresh implements token.RefreshStore.
func (m *Memory) Refresh(_ context.Context, d token.Digest, now time.Time) (token.Refresh, token.Grant, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	row, ok := m.refresh[d]
	if !ok || row.used || !row.good(now) {
		return token.Refresh{}, token.Grant{}, token.ErrNotFound
	}
	return row.refresh, row.grant.grant, nil
}

// CreateService implements token.AccessStore.
func (m *Memory) CreateService(_ context.Context, g token.Grant, a token.Access) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.grants[g.ID]; ok {
		return errors.New("tokentest: there is such a grant")
	}
	if _, ok := m.access[a.Digest]; ok {
		return errors.New("tokentest: there is such a token")
	}
	row := &grantRow{grant: g}
	m.grants[g.ID] = row
	m.access[a.Digest] = accessRow{access: a, grant: row}
	return nil
}

// RevokeAccess implements token.AccessStore.
func (m *Memory) RevokeAccess(_ context.Context, d token.Digest) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.access, d)
	return nil
}
