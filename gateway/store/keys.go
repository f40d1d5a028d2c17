package store

import (
	"context"
	"fmt"
	"time"

	"github.com/portico-fhir/portico/smart/token"
)

var _ token.KeyStore = (*Store)(nil)

// Keys implements token.KeyStore.
func (s *Store) Keys(ctx context.Context) ([]token.Key, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT id, alg, pkcs8, created, retired FROM signing_keys ORDER BY created DESC, id`)
	if err != nil {
		return nil, fmt.Errorf("store: keys: %w", err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	var out []token.Key
	for rows.Next() {
		var (
			k                token.Key
			created, retired int64
		)
		if err := rows.Scan(&k.ID, &k.Alg, &k.PKCS8, &created, &retired); err != nil {
			return nil, fmt.Errorf("store: keys: %w", err)
		}
		k.Created, k.Retired = fromMicros(created), fromMicros(retired)
		out = append(out, k)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("store: keys: %w", err)
	}
	return out, nil
}

// RotateKey implements token.KeyStore.
func (s *Store) RotateKey(ctx context.Context, k token.Key, retire time.Time) error {
	err := s.inTx(ctx, func(tx txn) error {
		// Of two that rotate at once the second retires the key of the first.
		if err := tx.alone(ctx, "signing keys", k.Alg); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE signing_keys SET retired = ? WHERE alg = ? AND (retired = 0 OR retired > ?)`,
			stamp(retire), k.Alg, stamp(retire)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO signing_keys (id, alg, pkcs8, created, retired) VALUES (?, ?, ?, ?, 0)`,
			k.ID, k.Alg, k.PKCS8, micros(k.Created))
		return err
	})
	if err != nil {
		return fmt.Errorf("store: rotate key: %w", err)
	}
	return nil
}

// AddKey implements token.KeyStore. The unique index on keys in use decides who
// was first.
func (s *Store) AddKey(ctx context.Context, k token.Key) error {
	if _, err := s.write.ExecContext(ctx, `INSERT INTO signing_keys (id, alg, pkcs8, created, retired)
		VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		k.ID, k.Alg, k.PKCS8, micros(k.Created), micros(k.Retired)); err != nil {
		return fmt.Errorf("store: add key: %w", err)
	}
	return nil
}
