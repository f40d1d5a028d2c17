package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/portico-fhir/portico/gateway/login"
	"github.com/portico-fhir/portico/smart/authz"
)

var _ login.SessionStore = (*Store)(nil)

const sessionColumns = `digest, provider, issuer, subject, name, sources, acr, amr, sid, id_token, auth_time, created, seen, expires`

// CreateSession implements login.SessionStore.
func (s *Store) CreateSession(ctx context.Context, v login.Session) error {
	sources, err := json.Marshal(v.Sources)
	if err != nil {
		return fmt.Errorf("store: create session: %w", err)
	}
	methods, err := json.Marshal(v.AMR)
	if err != nil {
		return fmt.Errorf("store: create session: %w", err)
	}
	if _, err := s.write.ExecContext(ctx, `INSERT INTO sessions (`+sessionColumns+`)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		v.Digest[:], v.Provider, v.Issuer, v.Subject, v.Name, string(sources), v.ACR, string(methods), v.SID, v.IDToken,
		micros(v.AuthTime), micros(v.Created), micros(v.Seen), micros(v.Expires)); err != nil {
		return fmt.Errorf("store: create session: %w", err)
	}
	return nil
}

// Session implements login.SessionStore: whether a session is good, and that it
// was seen, is one statement.
func (s *Store) Session(ctx context.Context, digest [32]byte, now, idleSince time.Time) (login.Session, error) {
	var (
		v                                login.Session
		key, sources, methods            []byte
		authTime, created, seen, expires int64
	)
	err := s.write.QueryRowContext(ctx, `UPDATE sessions SET seen = CASE WHEN seen < ? THEN ? ELSE seen END
		WHERE digest = ? AND expires > ? AND seen > ? RETURNING `+sessionColumns,
		micros(now), micros(now), digest[:], micros(now), micros(idleSince)).
		Scan(&key, &v.Provider, &v.Issuer, &v.Subject, &v.Name, &sources, &v.ACR, &methods, &v.SID, &v.IDToken, &authTime, &created, &seen, &expires)
	if errors.Is(err, sql.ErrNoRows) {
		return login.Session{}, login.ErrNoSession
	}
	if err == nil {
		err = json.Unmarshal(sources, &v.Sources)
	}
	if err == nil {
		err = fromJSON(methods, &v.AMR) // empty in those of an older Portico
	}
	if err != nil {
		return login.Session{}, fmt.Errorf("store: session: %w", err)
	}
	v.Digest = digest
	v.AuthTime, v.Created, v.Seen, v.Expires = fromMicros(authTime), fromMicros(created), fromMicros(seen), fromMicros(expires)
	return v, nil
}

// DeleteSession implements login.SessionStore.
func (s *Store) DeleteSession(ctx context.Context, digest [32]byte) error {
	if _, err := s.write.ExecContext(ctx, `DELETE FROM sessions WHERE digest = ?`, digest[:]); err != nil {
		return fmt.Errorf("store: delete session: %w", err)
	}
	return nil
}

// EndSessions implements login.SessionStore: the primary key of logout_tokens
// decides who was first. The condition is that of login.Ending.Means.
func (s *Store) EndSessions(ctx context.Context, e login.Ending) (int, error) {
	var n int64
	err := s.inTx(ctx, func(tx txn) error {
		first, err := changed(tx.ExecContext(ctx, `INSERT INTO logout_tokens (digest, expires) VALUES (?, ?)
			ON CONFLICT DO NOTHING`, e.Token[:], micros(e.Expires)))
		switch {
		case err != nil:
			return err
		case !first:
			return login.ErrLogoutUsed
		}
		result, err := tx.ExecContext(ctx, `DELETE FROM sessions WHERE issuer = ? AND (
			(? = '' AND ? <> '' AND subject = ?) OR
			(? <> '' AND sid = ? AND (? = '' OR subject = ?)) OR
			(? <> '' AND ? <> '' AND sid = '' AND subject = ?))`,
			e.Issuer, e.SID, e.Subject, e.Subject,
			e.SID, e.SID, e.Subject, e.Subject,
			e.SID, e.Subject, e.Subject)
		if err != nil {
			return err
		}
		n, err = result.RowsAffected()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("store: end sessions: %w", err)
	}
	return int(n), nil
}

var _ authz.Sessions = (*Store)(nil)

// Online implements authz.Sessions.
func (s *Store) Online(ctx context.Context, issuer, subject string, now time.Time) (bool, error) {
	var n int64
	err := s.read.QueryRowContext(ctx, `SELECT COUNT(*) FROM sessions WHERE issuer = ? AND subject = ? AND expires > ?`,
		issuer, subject, micros(now)).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("store: sessions of a person: %w", err)
	}
	return n > 0, nil
}
