package store

import (
	"context"
	"fmt"
	"time"

	"github.com/portico-fhir/portico/smart/token"
)

var _ token.Connections = (*Store)(nil)

// Connections implements token.Connections.
func (s *Store) Connections(ctx context.Context, issuer, subject string, now time.Time) ([]token.Grant, error) {
	at := micros(now)
	rows, err := s.read.QueryContext(ctx, `SELECT `+grantColumns+` FROM grants g
		WHERE g.person_issuer = ? AND g.person_subject = ? AND g.revoked = 0 AND g.expires > ?
		AND (EXISTS (SELECT 1 FROM access_tokens a WHERE a.grant_id = g.id AND a.expires > ?)
			OR EXISTS (SELECT 1 FROM refresh_tokens r WHERE r.grant_id = g.id AND r.used = 0 AND r.expires > ?))
		ORDER BY g.created DESC LIMIT ?`, issuer, subject, at, at, at, token.MaxConnections)
	if err != nil {
		return nil, fmt.Errorf("store: connections: %w", err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	var out []token.Grant
	for rows.Next() {
		var row grantRow
		if err := rows.Scan(row.targets()...); err != nil {
			return nil, fmt.Errorf("store: connections: %w", err)
		}
		out = append(out, row.grant())
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("store: connections: %w", err)
	}
	return out, nil
}
