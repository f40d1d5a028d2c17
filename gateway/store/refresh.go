package store

import (
	"context"
	"fmt"
	"time"

	"github.com/portico-fhir/portico/smart/token"
)

var _ token.RefreshStore = (*Store)(nil)

// CreateRefresh implements token.RefreshStore.
func (s *Store) CreateRefresh(ctx context.Context, grant string, r token.Refresh) error {
	ok, err := changed(s.write.ExecContext(ctx, `INSERT INTO refresh_tokens (digest, grant_id, issued, expires)
		SELECT ?, g.id, ?, ? FROM grants g WHERE g.id = ? AND g.revoked = 0 AND g.expires > ?`,
		r.Digest[:], micros(r.Issued), micros(r.Expires), grant, micros(r.Issued)))
	if err == nil && !ok {
		err = token.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("store: create refresh token: %w", err)
	}
	return nil
}

// UseRefresh implements token.RefreshStore. Like UseCode it goes on when the
// client leaves.
func (s *Store) UseRefresh(ctx context.Context, d token.Digest, now time.Time) (token.Grant, error) {
	if err := ctx.Err(); err != nil {
		return token.Grant{}, fmt.Errorf("store: use refresh token: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	var (
		grant    token.Grant
		replayed bool
	)
	err := s.inTx(ctx, func(tx txn) error {
		// One statement decides: of all who try, in whatever process, one finds
		// the token unused.
		won, err := changed(tx.ExecContext(ctx, `UPDATE refresh_tokens SET used = ? WHERE digest = ? AND used = 0 AND expires > ?
			AND EXISTS (SELECT 1 FROM grants g WHERE g.id = refresh_tokens.grant_id AND g.revoked = 0 AND g.expires > ?)`,
			stamp(now), d[:], micros(now), micros(now)))
		if err != nil {
			return err
		}
		// RFC 9700 §4.14.2: who used it first, the app or a thief, nobody can
		// tell, so a second use ends the grant.
		grant, err = s.spent(ctx, tx, `refresh_tokens`, d, won, now)
		replayed = err == nil && !won
		return err
	})
	switch {
	case err != nil:
		return token.Grant{}, fmt.Errorf("store: use refresh token: %w", err)
	case replayed:
		return grant, fmt.Errorf("store: use refresh token: %w", token.ErrReplayed)
	default:
		return grant, nil
	}
}

// Refresh implements token.RefreshStore.
func (s *Store) Refresh(ctx context.Context, d token.Digest, now time.Time) (token.Refresh, token.Grant, error) {
	var (
		row             grantRow
		issued, expires int64
	)
	err := s.read.QueryRowContext(ctx, `SELECT r.issued, r.expires, `+grantColumns+`
		FROM refresh_tokens r JOIN grants g ON g.id = r.grant_id
		WHERE r.digest = ? AND r.used = 0 AND r.expires > ? AND g.expires > ? AND g.revoked = 0`, d[:], micros(now), micros(now)).
		Scan(append([]any{&issued, &expires}, row.targets()...)...)
	if err != nil {
		return token.Refresh{}, token.Grant{}, fmt.Errorf("store: refresh token: %w", notFound(err))
	}
	return token.Refresh{Digest: d, Issued: fromMicros(issued), Expires: fromMicros(expires)}, row.grant(), nil
}

// deadAfter is how old a grant without any token must be to be deleted: longer
// than any exchange that is under way.
const deadAfter = 24 * time.Hour

// sweepDead deletes grants without end that nothing can be done with any more,
// since their last refresh token was not used in time, and keys that neither
// sign nor verify.
func (s *Store) sweepDead(ctx context.Context, now time.Time) error {
	err := s.delete(ctx, `DELETE FROM grants WHERE created <= ?
		AND NOT EXISTS (SELECT 1 FROM codes WHERE codes.grant_id = grants.id AND codes.used = 0)
		AND NOT EXISTS (SELECT 1 FROM access_tokens WHERE access_tokens.grant_id = grants.id)
		AND NOT EXISTS (SELECT 1 FROM refresh_tokens WHERE refresh_tokens.grant_id = grants.id)`, micros(now.Add(-deadAfter)))
	if err != nil {
		return err
	}
	// A private key that is of no use can only be stolen.
	return s.delete(ctx, `DELETE FROM signing_keys WHERE retired <> 0 AND retired <= ?`, micros(now.Add(-deadAfter)))
}
