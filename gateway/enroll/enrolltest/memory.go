// Package enrolltest has the suite that every enroll.Store passes and a store
// in memory for tests. It knows no database.
package enrolltest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/portico-fhir/portico/gateway/enroll"
)

// Memory keeps links in memory. The zero value is ready for use.
type Memory struct {
	mu    sync.Mutex
	links map[key][]enroll.Link
}

type key struct{ issuer, subject, source string }

var _ enroll.Store = (*Memory)(nil)

// ReplaceLinks implements enroll.Store.
func (m *Memory) ReplaceLinks(ctx context.Context, p enroll.Person, source string, links []enroll.Link) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	patients := make(map[string]bool, len(links))
	for _, l := range links {
		if l.Source != source || patients[l.Patient] {
			return errors.New("enrolltest: links of another source or twice for one patient")
		}
		patients[l.Patient] = true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.links == nil {
		m.links = make(map[key][]enroll.Link)
	}
	m.links[key{p.Issuer, p.Subject, source}] = slices.Clone(links)
	return nil
}

// Links implements enroll.Store.
func (m *Memory) Links(ctx context.Context, p enroll.Person, source string, now time.Time) ([]enroll.Link, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var live []enroll.Link
	for _, l := range m.links[key{p.Issuer, p.Subject, source}] {
		if l.Until.IsZero() || now.Before(l.Until) {
			live = append(live, l)
		}
	}
	return live, nil
}
