package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/portico-fhir/portico/smart/token"
)

var _ token.Store = (*Store)(nil)

const grantColumns = `g.id, g.client, g.source, g.patient, g.person_issuer, g.person_subject, g.fhir_user, g.scopes, g.context,
	g.auth_time, g.created, g.expires`

// grantRow scans the columns of grantColumns.
type grantRow struct {
	token.Grant
	authTime, created, expires int64
}

func (r *grantRow) targets() []any {
	return []any{
		&r.ID, &r.Client, &r.Source, &r.Patient, &r.PersonIssuer, &r.PersonSubject, &r.FHIRUser, &r.Scopes, &r.Context,
		&r.authTime, &r.created, &r.expires,
	}
}

func (r *grantRow) grant() token.Grant {
	g := r.Grant
	g.AuthTime, g.Created, g.Expires = fromMicros(r.authTime), fromMicros(r.created), fromMicros(r.expires)
	return g
}

// CreateGrant implements token.Store.
func (s *Store) CreateGrant(ctx context.Context, g token.Grant, c token.Code) error {
	err := s.inTx(ctx, func(tx txn) error {
		if err := insertGrant(ctx, tx, g); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO codes (digest, grant_id, redirect_uri, challenge, nonce, expires)
			VALUES (?, ?, ?, ?, ?, ?)`, c.Digest[:], g.ID, c.RedirectURI, c.Challenge, c.Nonce, micros(c.Expires))
		return err
	})
	if err != nil {
		return fmt.Errorf("store: create grant: %w", err)
	}
	return nil
}

func insertGrant(ctx context.Context, tx txn, g token.Grant) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO grants (id, client, source, patient, person_issuer, person_subject,
		fhir_user, scopes, context, auth_time, created, expires) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		g.ID, g.Client, g.Source, g.Patient, g.PersonIssuer, g.PersonSubject,
		g.FHIRUser, g.Scopes, g.Context, micros(g.AuthTime), micros(g.Created), micros(g.Expires))
	return err
}

// UseCode implements token.Store. Once begun it goes on when the client leaves:
// somebody who replays a code could otherwise stop its revocation by hanging up.
func (s *Store) UseCode(ctx context.Context, d token.Digest, now time.Time) (token.Code, token.Grant, error) {
	if err := ctx.Err(); err != nil {
		return token.Code{}, token.Grant{}, fmt.Errorf("store: use code: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	var (
		code     = token.Code{Digest: d}
		grant    token.Grant
		replayed bool
	)
	err := s.inTx(ctx, func(tx txn) error {
		found, err := takeCode(ctx, tx, &code, now)
		if err != nil {
			return err
		}
		// RFC 6749 §4.1.2: a code that is used more than once revokes what was
		// issued for it.
		grant, err = s.spent(ctx, tx, `codes`, d, found, now)
		replayed = err == nil && !found
		return err
	})
	switch {
	case err != nil:
		return token.Code{}, token.Grant{}, fmt.Errorf("store: use code: %w", err)
	case replayed:
		return token.Code{}, grant, fmt.Errorf("store: use code: %w", token.ErrReplayed)
	default:
		return code, grant, nil
	}
}

// spent gives the grant of a code or refresh token that was just used up, or
// had been before: won tells which. What was used before revokes the grant, in
// the same transaction. table is one of ours, never text from outside.
func (*Store) spent(ctx context.Context, tx txn, table string, d token.Digest, won bool, now time.Time) (token.Grant, error) {
	var row grantRow
	err := tx.QueryRowContext(ctx, `SELECT `+grantColumns+` FROM `+table+` t JOIN grants g ON g.id = t.grant_id
		WHERE t.digest = ? AND t.used <> 0`, d[:]).Scan(row.targets()...)
	if err != nil {
		return token.Grant{}, notFound(err)
	}
	grant := row.grant()
	if won {
		return grant, nil
	}
	_, err = tx.ExecContext(ctx, `UPDATE grants SET revoked = ? WHERE id = ? AND revoked = 0`, stamp(now), grant.ID)
	return grant, err
}

// takeCode uses up a good code of a good grant with one statement: of all who
// try, in whatever process, one finds it unused.
func takeCode(ctx context.Context, tx txn, code *token.Code, now time.Time) (bool, error) {
	var expires int64
	err := tx.QueryRowContext(ctx, `UPDATE codes SET used = ? WHERE digest = ? AND used = 0 AND expires > ?
		AND EXISTS (SELECT 1 FROM grants g WHERE g.id = codes.grant_id AND g.revoked = 0 AND g.expires > ?)
		RETURNING redirect_uri, challenge, nonce, expires`, stamp(now), code.Digest[:], micros(now), micros(now)).
		Scan(&code.RedirectURI, &code.Challenge, &code.Nonce, &expires)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	code.Expires = fromMicros(expires)
	return err == nil, err
}

// CreateAccess implements token.Store.
func (s *Store) CreateAccess(ctx context.Context, grant string, a token.Access) error {
	ok, err := changed(s.write.ExecContext(ctx, `INSERT INTO access_tokens (digest, grant_id, scopes, issued, expires)
		SELECT ?, g.id, ?, ?, ? FROM grants g WHERE g.id = ? AND g.revoked = 0 AND g.expires > ?`,
		a.Digest[:], a.Scopes, micros(a.Issued), micros(a.Expires), grant, micros(a.Issued)))
	if err == nil && !ok {
		err = token.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("store: create access token: %w", err)
	}
	return nil
}

// Access implements token.Store.
func (s *Store) Access(ctx context.Context, d token.Digest, now time.Time) (token.Access, token.Grant, error) {
	var (
		row             grantRow
		a               = token.Access{Digest: d}
		issued, expires int64
	)
	err := s.read.QueryRowContext(ctx, `SELECT t.scopes, t.issued, t.expires, `+grantColumns+`
		FROM access_tokens t JOIN grants g ON g.id = t.grant_id
		WHERE t.digest = ? AND t.expires > ? AND g.expires > ? AND g.revoked = 0`, d[:], micros(now), micros(now)).
		Scan(append([]any{&a.Scopes, &issued, &expires}, row.targets()...)...)
	if err != nil {
		return token.Access{}, token.Grant{}, fmt.Errorf("store: access token: %w", notFound(err))
	}
	a.Issued, a.Expires = fromMicros(issued), fromMicros(expires)
	return a, row.grant(), nil
}

// RevokeGrant implements token.Store.
func (s *Store) RevokeGrant(ctx context.Context, id string, now time.Time) error {
	if _, err := s.write.ExecContext(ctx, `UPDATE grants SET revoked = ? WHERE id = ? AND revoked = 0`, stamp(now), id); err != nil {
		return fmt.Errorf("store: revoke grant: %w", err)
	}
	return nil
}

// stamp marks a row as used or revoked at now. It is never 0, which means "not".
func stamp(now time.Time) int64 {
	if n := micros(now); n != 0 {
		return n
	}
	return 1
}

func notFound(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return token.ErrNotFound
	}
	return err
}
