package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/portico-fhir/portico/smart/client"
)

var _ client.AssertionStore = (*Store)(nil)

// UseAssertion implements client.AssertionStore. The primary key decides who was
// first. Only the digest of the jti is kept: a client chooses its length.
func (s *Store) UseAssertion(ctx context.Context, issuer, jti string, expires time.Time) error {
	id := sha256.Sum256([]byte(jti))
	fresh, err := changed(s.write.ExecContext(ctx, `INSERT INTO client_assertions (issuer, id, expires) VALUES (?, ?, ?)
		ON CONFLICT DO NOTHING`, issuer, id[:], micros(expires)))
	if err == nil && !fresh {
		err = client.ErrReplayed
	}
	if err != nil {
		return fmt.Errorf("store: use assertion: %w", err)
	}
	return nil
}
