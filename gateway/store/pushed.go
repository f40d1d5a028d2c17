package store

import (
	"context"
	"fmt"
	"time"

	"github.com/portico-fhir/portico/smart/authz"
	"github.com/portico-fhir/portico/smart/token"
)

var _ authz.PushedStore = (*Store)(nil)

// CreatePushed implements authz.PushedStore.
func (s *Store) CreatePushed(ctx context.Context, p authz.Pushed) error {
	if _, err := s.write.ExecContext(ctx, `INSERT INTO pushed_requests (digest, client, params, expires) VALUES (?, ?, ?, ?)`,
		p.Digest[:], p.Client, p.Params, micros(p.Expires)); err != nil {
		return fmt.Errorf("store: create pushed request: %w", err)
	}
	return nil
}

// UsePushed implements authz.PushedStore: of all who try, in whatever process,
// one deletes the row.
func (s *Store) UsePushed(ctx context.Context, d token.Digest, client string, now time.Time) (authz.Pushed, error) {
	p := authz.Pushed{Digest: d}
	var expires int64
	err := s.write.QueryRowContext(ctx, `DELETE FROM pushed_requests WHERE digest = ? AND client = ? AND expires > ?
		RETURNING client, params, expires`, d[:], client, micros(now)).Scan(&p.Client, &p.Params, &expires)
	if err != nil {
		return authz.Pushed{}, fmt.Errorf("store: use pushed request: %w", notFound(err))
	}
	p.Expires = fromMicros(expires)
	return p, nil
}
