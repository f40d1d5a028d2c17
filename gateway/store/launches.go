package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/portico-fhir/portico/smart/launch"
)

var _ launch.Store = (*Store)(nil)

// CreateLaunch implements launch.Store.
func (s *Store) CreateLaunch(ctx context.Context, h launch.Handle) error {
	said, err := json.Marshal(h.Context)
	if err != nil {
		return fmt.Errorf("store: create launch: %w", err)
	}
	if _, err := s.write.ExecContext(ctx, `INSERT INTO launches (digest, source, client, context, expires) VALUES (?, ?, ?, ?, ?)`,
		h.Digest[:], h.Source, h.Client, string(said), micros(h.Expires)); err != nil {
		return fmt.Errorf("store: create launch: %w", err)
	}
	return nil
}

// UseLaunch implements launch.Store: of all who try, in whatever process, one
// deletes the row.
func (s *Store) UseLaunch(ctx context.Context, digest [32]byte, source, client string, now time.Time) (launch.Handle, error) {
	var (
		h       = launch.Handle{Digest: digest}
		said    []byte
		expires int64
	)
	err := s.write.QueryRowContext(ctx, `DELETE FROM launches
		WHERE digest = ? AND source = ? AND (client = '' OR client = ?) AND expires > ?
		RETURNING source, client, context, expires`, digest[:], source, client, micros(now)).
		Scan(&h.Source, &h.Client, &said, &expires)
	if errors.Is(err, sql.ErrNoRows) {
		return launch.Handle{}, launch.ErrUnknown
	}
	if err == nil {
		err = json.Unmarshal(said, &h.Context)
	}
	if err != nil {
		return launch.Handle{}, fmt.Errorf("store: use launch: %w", err)
	}
	h.Expires = fromMicros(expires)
	return h, nil
}
