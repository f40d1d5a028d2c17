package store

import (
	"context"
	"fmt"

	"github.com/portico-fhir/portico/smart/token"
)

var _ token.AccessStore = (*Store)(nil)

// CreateService implements token.AccessStore.
func (s *Store) CreateService(ctx context.Context, g token.Grant, a token.Access) error {
	err := s.inTx(ctx, func(tx txn) error {
		if err := insertGrant(ctx, tx, g); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO access_tokens (digest, grant_id, scopes, issued, expires) VALUES (?, ?, ?, ?, ?)`,
			a.Digest[:], g.ID, a.Scopes, micros(a.Issued), micros(a.Expires))
		return err
	})
	if err != nil {
		return fmt.Errorf("store: create service: %w", err)
	}
	return nil
}

// RevokeAccess implements token.AccessStore.
func (s *Store) RevokeAccess(ctx context.Context, d token.Digest) error {
	if _, err := s.write.ExecContext(ctx, `DELETE FROM access_tokens WHERE digest = ?`, d[:]); err != nil {
		return fmt.Errorf("store: revoke access token: %w", err)
	}
	return nil
}
