package store

import (
	"context"
	"fmt"
	"time"

	"github.com/portico-fhir/portico/smart/authz"
	"github.com/portico-fhir/portico/smart/token"
)

var _ authz.AnsweredStore = (*Store)(nil)

// BeginAnswer implements authz.AnsweredStore: the primary key decides who was
// first.
func (s *Store) BeginAnswer(ctx context.Context, a authz.Answered, now time.Time) (bool, error) {
	first, err := changed(s.write.ExecContext(ctx, `INSERT INTO answers (request, browser, form, done, location, code, expires)
		VALUES (?, ?, ?, 0, ?, ?, ?)
		ON CONFLICT (request) DO UPDATE SET browser = excluded.browser, form = excluded.form, done = 0,
		location = excluded.location, code = excluded.code, expires = excluded.expires WHERE answers.expires <= ?`,
		a.Request, bytesOf(a.Browser), a.Form, []byte{}, make([]byte, len(a.Code)), micros(a.Expires), micros(now)))
	if err != nil {
		return false, fmt.Errorf("store: begin answer: %w", err)
	}
	return first, nil
}

// FinishAnswer implements authz.AnsweredStore.
func (s *Store) FinishAnswer(ctx context.Context, request string, location []byte, code token.Digest) error {
	statement, args := `UPDATE answers SET done = 1, location = ?, code = ? WHERE request = ?`, []any{location, code[:], request}
	if len(location) == 0 {
		statement, args = `DELETE FROM answers WHERE request = ?`, []any{request}
	}
	if _, err := s.write.ExecContext(ctx, statement, args...); err != nil {
		return fmt.Errorf("store: finish answer: %w", err)
	}
	return nil
}

// Answer implements authz.AnsweredStore.
func (s *Store) Answer(ctx context.Context, request string, now time.Time) (authz.Answered, error) {
	var (
		a             authz.Answered
		code          []byte
		done, expires int64
	)
	err := s.read.QueryRowContext(ctx, `SELECT request, browser, form, done, location, code, expires FROM answers
		WHERE request = ? AND expires > ?`, request, micros(now)).
		Scan(&a.Request, &a.Browser, &a.Form, &done, &a.Location, &code, &expires)
	if err != nil {
		return authz.Answered{}, fmt.Errorf("store: answer: %w", notFound(err))
	}
	copy(a.Code[:], code)
	a.Done, a.Expires = done != 0, fromMicros(expires)
	return a, nil
}

// ForgetAnswer implements authz.AnsweredStore.
func (s *Store) ForgetAnswer(ctx context.Context, code token.Digest) error {
	if _, err := s.write.ExecContext(ctx, `UPDATE answers SET location = ? WHERE code = ?`, []byte{}, code[:]); err != nil {
		return fmt.Errorf("store: forget answer: %w", err)
	}
	return nil
}
