package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/portico-fhir/portico/smart/client"
)

var _ client.Store = (*Store)(nil)

const appColumns = `id, state, origin, revision, created, decided, decided_by, why, registration, secret_hash, metadata`

// appMetadata is the column of that name. Fields are added, never given another
// meaning: old rows are read with it.
type appMetadata struct {
	Name            string   `json:"name"`
	Owner           string   `json:"owner,omitempty"`
	URL             string   `json:"url,omitempty"`
	Auth            string   `json:"auth"`
	RedirectURIs    []string `json:"redirect_uris,omitempty"`
	AnyLoopbackPort bool     `json:"any_loopback_port,omitempty"`
	Scopes          string   `json:"scopes,omitempty"`
	Sources         []string `json:"sources,omitempty"`
	Logo            string   `json:"logo,omitempty"`
	Contacts        []string `json:"contacts,omitempty"`
	Terms           string   `json:"terms,omitempty"`
	Policy          string   `json:"policy,omitempty"`
	LaunchURIs      []string `json:"launch_uris,omitempty"`
	AccessTTL       int64    `json:"access_ttl_us,omitempty"`
	GrantTTL        int64    `json:"grant_ttl_us,omitempty"`
	JWKS            string   `json:"jwks,omitempty"`
	JWKSURI         string   `json:"jwks_uri,omitempty"`
	IDTokenAlg      string   `json:"id_token_alg,omitempty"`
	Software        string   `json:"software_issuer,omitempty"`
	SoftwareID      string   `json:"software_id,omitempty"`
	SoftwareVersion string   `json:"software_version,omitempty"`
}

func metadataOf(a client.App) (string, error) {
	text, err := json.Marshal(appMetadata{
		Name: a.Name, Owner: a.Owner, URL: a.URL, Auth: string(a.Auth), RedirectURIs: a.RedirectURIs,
		AnyLoopbackPort: a.AnyLoopbackPort, Scopes: a.Scopes, Sources: a.Sources, Logo: a.Logo, Contacts: a.Contacts,
		Terms: a.Terms, Policy: a.Policy, LaunchURIs: a.LaunchURIs, AccessTTL: a.AccessTTL.Microseconds(),
		GrantTTL: a.GrantTTL.Microseconds(), JWKS: string(a.JWKS), JWKSURI: a.JWKSURI, IDTokenAlg: a.IDTokenAlg,
		Software: a.Software, SoftwareID: a.SoftwareID, SoftwareVersion: a.SoftwareVersion,
	})
	return string(text), err
}

func (m appMetadata) fill(a *client.App) {
	a.Name, a.Owner, a.URL, a.Auth, a.RedirectURIs = m.Name, m.Owner, m.URL, client.Auth(m.Auth), m.RedirectURIs
	a.AnyLoopbackPort, a.Scopes, a.Sources, a.Logo, a.Contacts = m.AnyLoopbackPort, m.Scopes, m.Sources, m.Logo, m.Contacts
	a.Terms, a.Policy, a.LaunchURIs = m.Terms, m.Policy, m.LaunchURIs
	a.AccessTTL, a.GrantTTL = time.Duration(m.AccessTTL)*time.Microsecond, time.Duration(m.GrantTTL)*time.Microsecond
	if m.JWKS != "" {
		a.JWKS = []byte(m.JWKS)
	}
	a.JWKSURI, a.IDTokenAlg = m.JWKSURI, m.IDTokenAlg
	a.Software, a.SoftwareID, a.SoftwareVersion = m.Software, m.SoftwareID, m.SoftwareVersion
}

// scanner is a row or rows.
type scanner interface{ Scan(targets ...any) error }

func scanApp(row scanner) (client.App, error) {
	var (
		a                client.App
		created, decided int64
		metadata         string
		m                appMetadata
	)
	if err := row.Scan(&a.ID, &a.State, &a.Origin, &a.Revision, &created, &decided, &a.DecidedBy, &a.Why,
		&a.Registration, &a.SecretHash, &metadata); err != nil {
		return client.App{}, err
	}
	if err := json.Unmarshal([]byte(metadata), &m); err != nil {
		return client.App{}, fmt.Errorf("the metadata of app %q: %w", a.ID, err)
	}
	m.fill(&a)
	a.Created, a.Decided = fromMicros(created), fromMicros(decided)
	if len(a.Registration) == 0 {
		a.Registration = nil
	}
	return a, nil
}

// App implements client.Store.
func (s *Store) App(ctx context.Context, id string) (client.App, error) {
	a, err := scanApp(s.read.QueryRowContext(ctx, `SELECT `+appColumns+` FROM apps WHERE id = ?`, id))
	if errors.Is(err, sql.ErrNoRows) {
		err = client.ErrUnknown
	}
	if err != nil {
		return client.App{}, fmt.Errorf("store: app: %w", err)
	}
	return a, nil
}

// Apps implements client.Store.
func (s *Store) Apps(ctx context.Context, state client.State, limit int) ([]client.App, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT `+appColumns+` FROM apps WHERE ? = '' OR state = ?
		ORDER BY created, id LIMIT ?`, string(state), string(state), limit)
	if err != nil {
		return nil, fmt.Errorf("store: apps: %w", err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	var out []client.App
	for rows.Next() {
		a, err := scanApp(rows)
		if err != nil {
			return nil, fmt.Errorf("store: apps: %w", err)
		}
		out = append(out, a)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("store: apps: %w", err)
	}
	return out, nil
}

// CreateApp implements client.Store.
func (s *Store) CreateApp(ctx context.Context, a client.App) error {
	metadata, err := metadataOf(a)
	if err != nil {
		return fmt.Errorf("store: create app: %w", err)
	}
	ok, err := changed(s.write.ExecContext(ctx, `INSERT INTO apps (`+appColumns+`)
		VALUES (?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		a.ID, string(a.State), string(a.Origin), micros(a.Created), micros(a.Decided), a.DecidedBy, a.Why,
		bytesOf(a.Registration), a.SecretHash, metadata))
	if err == nil && !ok {
		err = client.ErrTaken
	}
	if err != nil {
		return fmt.Errorf("store: create app: %w", err)
	}
	return nil
}

// UpdateApp implements client.Store.
func (s *Store) UpdateApp(ctx context.Context, a client.App) error {
	metadata, err := metadataOf(a)
	if err != nil {
		return fmt.Errorf("store: update app: %w", err)
	}
	ok, err := changed(s.write.ExecContext(ctx, `UPDATE apps SET state = ?, origin = ?, revision = revision + 1, created = ?,
		decided = ?, decided_by = ?, why = ?, registration = ?, secret_hash = ?, metadata = ? WHERE id = ? AND revision = ?`,
		string(a.State), string(a.Origin), micros(a.Created), micros(a.Decided), a.DecidedBy, a.Why,
		bytesOf(a.Registration), a.SecretHash, metadata, a.ID, a.Revision))
	if err == nil && !ok {
		if _, err = s.App(ctx, a.ID); err == nil {
			err = client.ErrChanged
		}
	}
	if err != nil {
		return fmt.Errorf("store: update app: %w", err)
	}
	return nil
}

// DeleteApp implements client.Store.
func (s *Store) DeleteApp(ctx context.Context, id string, now time.Time) error {
	err := s.inTx(ctx, func(tx txn) error {
		ok, err := changed(tx.ExecContext(ctx, `DELETE FROM apps WHERE id = ?`, id))
		if err == nil && !ok {
			err = client.ErrUnknown
		}
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM refusals WHERE client = ?`, id); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE grants SET revoked = ? WHERE client = ? AND revoked = 0`, stamp(now), id)
		return err
	})
	if err != nil {
		return fmt.Errorf("store: delete app: %w", err)
	}
	return nil
}

// unreviewedFor is how long an app that registered itself waits for somebody to
// look at it.
const unreviewedFor = 60 * 24 * time.Hour

// sweepApps deletes apps that registered themselves long ago and about which
// nobody ever decided anything: otherwise they would fill the queue for good.
func (s *Store) sweepApps(ctx context.Context, now time.Time) error {
	return s.delete(ctx, `DELETE FROM apps WHERE state = ? AND origin = ? AND decided = created AND created <= ?`,
		string(client.Pending), string(client.ByItself), micros(now.Add(-unreviewedFor)))
}
