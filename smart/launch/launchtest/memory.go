package launchtest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/portico-fhir/portico/smart/launch"
)

var _ launch.Store = (*Memory)(nil)

// Memory keeps handles in the process. Its zero value is ready.
type Memory struct {
	mu   sync.Mutex
	rows map[[32]byte]launch.Handle
}

// CreateLaunch implements launch.Store.
func (m *Memory) CreateLaunch(_ context.Context, h launch.Handle) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, taken := m.rows[h.Digest]; taken {
		return errors.New("launchtest: the digest is taken")
	}
	if m.rows == nil {
		m.rows = map[[32]byte]launch.Handle{}
	}
	m.rows[h.Digest] = h
	return nil
}

// UseLaunch implements launch.Store.
func (m *Memory) UseLaunch(_ context.Context, digest [32]byte, source, client string, now time.Time) (launch.Handle, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h, ok := m.rows[digest]
	if !ok || h.Source != source || (h.Client != "" && h.Client != client) || !now.Before(h.Expires) {
		return launch.Handle{}, launch.ErrUnknown
	}
	delete(m.rows, digest)
	return h, nil
}
