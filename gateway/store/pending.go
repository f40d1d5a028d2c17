package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/portico-fhir/portico/smart/authz"
	"github.com/portico-fhir/portico/smart/token"
)

var _ authz.PendingStore = (*Store)(nil)

const pendingColumns = `id, browser, client, source, redirect_uri, state, scopes, challenge, nonce, patient,
	signed_in_after, sign_in, launch, created, expires`

// CreatePending implements authz.PendingStore.
func (s *Store) CreatePending(ctx context.Context, p authz.Pending) error {
	demand, err := json.Marshal(p.SignIn)
	if err != nil {
		return fmt.Errorf("store: create pending request: %w", err)
	}
	launch, err := json.Marshal(p.Launch)
	if err != nil {
		return fmt.Errorf("store: create pending request: %w", err)
	}
	if _, err := s.write.ExecContext(ctx, `INSERT INTO pending_requests (`+pendingColumns+`)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		p.ID, bytesOf(p.Browser), p.Client, p.Source, p.RedirectURI, bytesOf([]byte(p.State)), p.Scopes, p.Challenge, p.Nonce, p.Patient,
		micros(p.SignedInAfter), string(demand), string(launch), micros(p.Created), micros(p.Expires)); err != nil {
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

func scanPending(row *row) (authz.Pending, error) {
	var (
		p                       authz.Pending
		state, demand, launch   []byte
		after, created, expires int64
	)
	if err := row.Scan(&p.ID, &p.Browser, &p.Client, &p.Source, &p.RedirectURI, &state, &p.Scopes, &p.Challenge, &p.Nonce,
		&p.Patient, &after, &demand, &launch, &created, &expires); err != nil {
		return authz.Pending{}, notFound(err)
	}
	p.State = string(state)
	if err := fromJSON(demand, &p.SignIn); err != nil {
		return authz.Pending{}, err
	}
	if err := fromJSON(launch, &p.Launch); err != nil {
		return authz.Pending{}, err
	}
	p.SignedInAfter, p.Created, p.Expires = fromMicros(after), fromMicros(created), fromMicros(expires)
	return p, nil
}

// fromJSON reads a column of JSON; empty leaves v as it is.
func fromJSON(text []byte, v any) error {
	if len(text) == 0 {
		return nil
	}
	return json.Unmarshal(text, v)
}

// bytesOf makes no bytes an empty BLOB, since a nil slice would be NULL.
func bytesOf(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
