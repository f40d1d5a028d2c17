package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/portico-fhir/portico/smart/authz"
	"github.com/portico-fhir/portico/smart/token"
)

var _ authz.PendingStore = (*Store)(nil)

const pendingColumns = `id, browser, client, source, redirect_uri, state, scopes, challenge, nonce, patient,
	signed_in_after, created, expires`

// CreatePending implements authz.PendingStore.
func (s *Store) CreatePending(ctx context.Context, p authz.Pending) error {
	if _, err := s.write.ExecContext(ctx, `INSERT INTO pending_requests (`+pendingColumns+`)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		p.ID, bytesOf(p.Browser), p.Client, p.Source, p.RedirectURI, bytesOf([]byte(p.State)), p.Scopes, p.Challenge, p.Nonce, p.Patient,
		micros(p.SignedInAfter), micros(p.Created), micros(p.Expires)); err != nil {
		return fmt.Errorf("store: create pending request: %w", err)
	}
	return nil
}

// Pending implements authz.PendingStore.
func (s *Store) Pending(ctx context.Context, id string, now time.Time) (authz.Pending, error) {
	p, err := scanPending(s.read.QueryRowContext(ctx, `SELECT `+pendingColumns+`
		FROM pending_requests WHERE id = ? AND expires > ?`, id, micros(now)))
	if err != nil {
		return authz.Pending{}, fmt.Errorf("store: pending request: %w", err)
	}
	return p, nil
}

// ChoosePatient implements authz.PendingStore.
func (s *Store) ChoosePatient(ctx context.Context, id, patient string) error {
	ok, err := changed(s.write.ExecContext(ctx, `UPDATE pending_requests SET patient = ? WHERE id = ?`, patient, id))
	if err == nil && !ok {
		err = token.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("store: choose patient: %w", err)
	}
	return nil
}

// UsePending implements authz.PendingStore.
func (s *Store) UsePending(ctx context.Context, id string, now time.Time) (authz.Pending, error) {
	p, err := scanPending(s.write.QueryRowContext(ctx, `DELETE FROM pending_requests WHERE id = ? AND expires > ?
		RETURNING `+pendingColumns, id, micros(now)))
	if err != nil {
		return authz.Pending{}, fmt.Errorf("store: use pending request: %w", err)
	}
	return p, nil
}

func scanPending(row *sql.Row) (authz.Pending, error) {
	var (
		p                       authz.Pending
		state                   []byte
		after, created, expires int64
	)
	if err := row.Scan(&p.ID, &p.Browser, &p.Client, &p.Source, &p.RedirectURI, &state, &p.Scopes, &p.Challenge, &p.Nonce,
		&p.Patient, &after, &created, &expires); err != nil {
		return authz.Pending{}, notFound(err)
	}
	p.State = string(state)
	p.SignedInAfter, p.Created, p.Expires = fromMicros(after), fromMicros(created), fromMicros(expires)
	return p, nil
}

// bytesOf makes no bytes an empty BLOB, since a nil slice would be NULL.
func bytesOf(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
