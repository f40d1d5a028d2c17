package store

import (
	"context"
	"fmt"
	"time"

	"github.com/portico-fhir/portico/smart/authz"
)

var _ authz.DecisionStore = (*Store)(nil)

// KeepDecision implements authz.DecisionStore.
func (s *Store) KeepDecision(ctx context.Context, d authz.Decision) error {
	if _, err := s.write.ExecContext(ctx, `INSERT INTO decisions
		(client, source, patient, person_issuer, person_subject, asked, agreed, grant_id, expires)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (person_issuer, person_subject, client, source, patient) DO UPDATE SET
		asked = excluded.asked, agreed = excluded.agreed, grant_id = excluded.grant_id, expires = excluded.expires`,
		d.Client, d.Source, d.Patient, d.PersonIssuer, d.PersonSubject, d.Asked, d.Agreed, d.Grant, micros(d.Expires)); err != nil {
		return fmt.Errorf("store: keep decision: %w", err)
	}
	return nil
}

// Decision implements authz.DecisionStore.
func (s *Store) Decision(ctx context.Context, like authz.Decision, now time.Time) (authz.Decision, error) {
	var expires int64
	d := like
	err := s.read.QueryRowContext(ctx, `SELECT d.asked, d.agreed, d.grant_id, d.expires
		FROM decisions d JOIN grants g ON g.id = d.grant_id
		WHERE d.person_issuer = ? AND d.person_subject = ? AND d.client = ? AND d.source = ? AND d.patient = ?
		AND d.expires > ? AND g.expires > ? AND g.revoked = 0`,
		like.PersonIssuer, like.PersonSubject, like.Client, like.Source, like.Patient, micros(now), micros(now)).
		Scan(&d.Asked, &d.Agreed, &d.Grant, &expires)
	if err != nil {
		return authz.Decision{}, fmt.Errorf("store: decision: %w", notFound(err))
	}
	d.Expires = fromMicros(expires)
	return d, nil
}
