package tokentest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/portico-fhir/portico/smart/token"
)

var (
	_ token.Store    = (*Memory)(nil)
	_ token.KeyStore = (*Memory)(nil)
)

// Memory keeps grants, codes, tokens and keys in the process. Its zero value is
// not usable; call NewMemory.
type Memory struct {
	mu      sync.Mutex
	grants  map[string]*grantRow
	codes   map[token.Digest]*codeRow
	access  map[token.Digest]accessRow
	refresh map[token.Digest]*refreshRow
	keys    []token.Key
}

type grantRow struct {
	grant   token.Grant
	revoked bool
}

func (g *grantRow) good(now time.Time) bool { return !g.revoked && now.Before(g.grant.Expires) }

type codeRow struct {
	code  token.Code
	grant *grantRow
	used  bool
}

type accessRow struct {
	access token.Access
	grant  *grantRow
}

// NewMemory gives an empty store.
func NewMemory() *Memory {
	return &Memory{
		grants:  map[string]*grantRow{},
		codes:   map[token.Digest]*codeRow{},
		access:  map[token.Digest]accessRow{},
		refresh: map[token.Digest]*refreshRow{},
	}
}

// CreateGrant implements token.Store.
func (m *Memory) CreateGrant(_ context.Context, g token.Grant, c token.Code) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.grants[g.ID]; ok {
		return errors.New("tokentest: there is such a grant")
	}
	if _, ok := m.codes[c.Digest]; ok {
		return errors.New("tokentest: there is such a code")
	}
	row := &grantRow{grant: g}
	m.grants[g.ID] = row
	m.codes[c.Digest] = &codeRow{code: c, grant: row}
	return nil
}

// UseCode implements token.Store.
func (m *Memory) UseCode(_ context.Context, d token.Digest, now time.Time) (token.Code, token.Grant, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	row, ok := m.codes[d]
	if !ok {
		return token.Code{}, token.Grant{}, token.ErrNotFound
	}
	if row.used {
		row.grant.revoked = true
		return token.Code{}, row.grant.grant, token.ErrReplayed
	}
	if !row.grant.good(now) || !now.Before(row.code.Expires) {
		return token.Code{}, token.Grant{}, token.ErrNotFound
	}
	row.used = true
	return row.code, row.grant.grant, nil
}

// CreateAccess implements token.Store.
func (m *Memory) CreateAccess(_ context.Context, grant string, a token.Access) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	row, ok := m.grants[grant]
	if !ok || !row.good(a.Issued) {
		return token.ErrNotFound
	}
	m.access[a.Digest] = accessRow{access: a, grant: row}
	return nil
}

// Access implements token.Store.
func (m *Memory) Access(_ context.Context, d token.Digest, now time.Time) (token.Access, token.Grant, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	row, ok := m.access[d]
	if !ok || !row.grant.good(now) || !now.Before(row.access.Expires) {
		return token.Access{}, token.Grant{}, token.ErrNotFound
	}
	return row.access, row.grant.grant, nil
}

// RevokeGrant implements token.Store.
func (m *Memory) RevokeGrant(_ context.Context, id string, _ time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if row, ok := m.grants[id]; ok {
		row.revoked = true
	}
	return nil
}

// Grants gives all grants that are not revoked, for tests to look at.
func (m *Memory) Grants() []token.Grant {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []token.Grant
	for _, row := range m.grants {
		if !row.revoked {
			out = append(out, row.grant)
		}
	}
	return out
}

// Keys implements token.KeyStore.
func (m *Memory) Keys(context.Context) ([]token.Key, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := slices.Clone(m.keys)
	slices.SortStableFunc(out, func(a, b token.Key) int { return b.Created.Compare(a.Created) })
	return out, nil
}

// AddKey implements token.KeyStore.
func (m *Memory) AddKey(_ context.Context, k token.Key) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, have := range m.keys {
		if have.Alg == k.Alg && have.Retired.IsZero() {
			return nil
		}
	}
	m.keys = append(m.keys, k)
	return nil
}

// RotateKey implements token.KeyStore.
func (m *Memory) RotateKey(_ context.Context, k token.Key, retire time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, have := range m.keys {
		if have.ID == k.ID {
			return errors.New("tokentest: there is such a key")
		}
	}
	for i := range m.keys {
		if have := &m.keys[i]; have.Alg == k.Alg && (have.Retired.IsZero() || retire.Before(have.Retired)) {
			have.Retired = retire
		}
	}
	m.keys = append(m.keys, k)
	return nil
}

// RetireKeys marks every key as retired at t, for tests of rotation.
func (m *Memory) RetireKeys(t time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.keys {
		if m.keys[i].Retired.IsZero() {
			m.keys[i].Retired = t
		}
	}
}
