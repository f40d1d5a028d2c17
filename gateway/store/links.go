package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portico-fhir/portico/gateway/enroll"
)

var _ enroll.Store = (*Store)(nil)

// ReplaceLinks implements enroll.Store.
func (s *Store) ReplaceLinks(ctx context.Context, p enroll.Person, source string, links []enroll.Link) error {
	err := s.inTx(ctx, func(tx txn) error {
		// Two that replace at once would otherwise leave some of each.
		if err := tx.alone(ctx, "links", p.Issuer, p.Subject, source); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM links WHERE person_issuer = ? AND person_subject = ? AND source = ?`,
			p.Issuer, p.Subject, source); err != nil {
			return err
		}
		for i, l := range links {
			if l.Source != source {
				return errors.New("a link is of another source")
			}
			// A second link to one patient breaks the primary key.
			if _, err := tx.ExecContext(ctx, `INSERT INTO links (person_issuer, person_subject, source, patient, position,
				relationship, fhir_user, label, until) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
				p.Issuer, p.Subject, source, l.Patient, i, string(l.Relationship), l.FHIRUser, l.Label, micros(l.Until)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store: replace links: %w", err)
	}
	return nil
}

// Links implements enroll.Store.
func (s *Store) Links(ctx context.Context, p enroll.Person, source string, now time.Time) ([]enroll.Link, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT patient, relationship, fhir_user, label, until FROM links
		WHERE person_issuer = ? AND person_subject = ? AND source = ? AND (until = 0 OR until > ?) ORDER BY position`,
		p.Issuer, p.Subject, source, micros(now))
	if err != nil {
		return nil, fmt.Errorf("store: links: %w", err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	var out []enroll.Link
	for rows.Next() {
		l := enroll.Link{Source: source}
		var until int64
		if err := rows.Scan(&l.Patient, &l.Relationship, &l.FHIRUser, &l.Label, &until); err != nil {
			return nil, fmt.Errorf("store: links: %w", err)
		}
		l.Until = fromMicros(until)
		out = append(out, l)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("store: links: %w", err)
	}
	return out, nil
}
