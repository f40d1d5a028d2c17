package store

import (
	"context"
	"fmt"
	"time"

	"github.com/portico-fhir/portico/smart/authz"
)

var _ authz.RefusalStore = (*Store)(nil)

// NoteRefusal implements authz.RefusalStore.
func (s *Store) NoteRefusal(ctx context.Context, r authz.Refusal) error {
	err := s.inTx(ctx, func(tx txn) error {
		ok, err := changed(tx.ExecContext(ctx, `INSERT INTO refusals (reference, client, at, place, code, reason, expires)
			VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			r.Reference, r.Client, micros(r.At), r.Place, r.Code, r.Reason, micros(r.Expires)))
		if err != nil || !ok {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM refusals WHERE client = ? AND reference NOT IN
			(SELECT reference FROM refusals WHERE client = ? ORDER BY at DESC, reference LIMIT ?)`, r.Client, r.Client, authz.MaxRefusals)
		return err
	})
	if err != nil {
		return fmt.Errorf("store: note refusal: %w", err)
	}
	return nil
}

// Refusals implements authz.RefusalStore.
func (s *Store) Refusals(ctx context.Context, client string, now time.Time) ([]authz.Refusal, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT reference, client, at, place, code, reason, expires FROM refusals
		WHERE client = ? AND expires > ? ORDER BY at DESC, reference`, client, micros(now))
	if err != nil {
		return nil, fmt.Errorf("store: refusals: %w", err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	var out []authz.Refusal
	for rows.Next() {
		var (
			r           authz.Refusal
			at, expires int64
		)
		if err := rows.Scan(&r.Reference, &r.Client, &at, &r.Place, &r.Code, &r.Reason, &expires); err != nil {
			return nil, fmt.Errorf("store: refusals: %w", err)
		}
		r.At, r.Expires = fromMicros(at), fromMicros(expires)
		out = append(out, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("store: refusals: %w", err)
	}
	return out, nil
}
