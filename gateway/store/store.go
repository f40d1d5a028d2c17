// Package store keeps what must outlive the process: grants, codes, tokens,
// signing keys, requests on their way through the pages, sessions, links and
// the audit, in SQLite or in PostgreSQL. It owns the schema and what "durable"
// and "atomic" mean in SQL; it must not know why something is kept. Each consumer
// states the small interface it needs, and one file here fulfils it.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// writeTimeout bounds work that goes on after its request was given up.
const writeTimeout = statementTime

// Options say where state is kept: one of the two.
type Options struct {
	Path     string   // of the SQLite file; it is created, its folder is not
	Postgres Postgres // in place of Path
}

// Store keeps everything in one SQLite file or one PostgreSQL database. Several
// stores over one of them, in one process or many, work as replicas do.
type Store struct {
	write  *db
	read   *db // sees everything that was committed before the query began
	append *db // for the audit
	schema *sql.DB
	at     string // for messages
	wanted int64  // the version of the schema that this Portico was made for
	audit  *auditWriter
}

// Open opens or creates the file, or opens the database, and brings its schema
// up to date.
func Open(ctx context.Context, o Options) (*Store, error) {
	s, err := connect(o)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := s.migrate(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("store: %s: %w", s.at, err), s.closeDBs())
	}
	s.audit = startAuditWriter(s.append)
	return s, nil
}

func connect(o Options) (*Store, error) {
	switch {
	case o.Path != "" && o.Postgres.URL != "":
		return nil, errors.New("state is kept in a file or in PostgreSQL, not in both")
	case o.Postgres.URL != "":
		return openPostgres(o.Postgres)
	case o.Path != "":
		return openSQLite(o.Path)
	default:
		return nil, errors.New("nothing says where to keep state")
	}
}

// Close waits until every event that was promised is written, and closes.
func (s *Store) Close() error {
	s.audit.close()
	return s.closeDBs()
}

// closeDBs closes each pool; one that is closed already does no harm.
func (s *Store) closeDBs() error {
	return errors.Join(s.read.pool.Close(), s.write.pool.Close(), s.append.pool.Close(), s.schema.Close())
}

// Ping says whether state can be read and written. What only begins to write can
// be done on a full disk too, so what counts is how the audit fared.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.audit.failing(); err != nil {
		return fmt.Errorf("store: the audit could not be written: %w", err)
	}
	if err := s.inTx(ctx, func(tx txn) error {
		var n int64
		return tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM signing_keys`).Scan(&n)
	}); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// Schema gives the version of the schema as it is now, which another Portico may
// have changed since Open, and the one that this Portico was made for.
func (s *Store) Schema(ctx context.Context) (now, wanted int64, err error) {
	if err := s.read.QueryRowContext(ctx, `SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&now); err != nil {
		return 0, 0, fmt.Errorf("store: schema: %w", err)
	}
	return now, s.wanted, nil
}

// Sweep deletes what is over at now. It never touches audit events, and keeps
// the used codes of grants that go on, so that a late replay is still noticed.
// Replicas that sweep at the same time take turns.
func (s *Store) Sweep(ctx context.Context, now time.Time) error {
	for _, statement := range []string{
		`DELETE FROM pending_requests WHERE expires <= ?`,
		`DELETE FROM answers WHERE expires <= ?`,
		`DELETE FROM sessions WHERE expires <= ?`,
		`DELETE FROM logout_tokens WHERE expires <= ?`,
		`DELETE FROM launches WHERE expires <= ?`,
		`DELETE FROM pushed_requests WHERE expires <= ?`,
		`DELETE FROM access_tokens WHERE expires <= ?`,
		`DELETE FROM codes WHERE used = 0 AND expires <= ?`,
		`DELETE FROM refresh_tokens WHERE expires <= ?`, // used ones are known until then
		`DELETE FROM client_assertions WHERE expires <= ?`,
		`DELETE FROM grants WHERE expires <= ?`, // with their codes and tokens
		`DELETE FROM links WHERE until <> 0 AND until <= ?`,
		`DELETE FROM refusals WHERE expires <= ?`,
	} {
		if err := s.delete(ctx, statement, micros(now)); err != nil {
			return err
		}
	}
	if err := s.sweepApps(ctx, now); err != nil {
		return err
	}
	return s.sweepDead(ctx, now)
}

// delete runs one statement of a sweep.
func (s *Store) delete(ctx context.Context, statement string, args ...any) error {
	err := s.inTx(ctx, func(tx txn) error {
		if err := tx.alone(ctx, "sweep"); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, statement, args...)
		return err
	})
	if err != nil {
		return fmt.Errorf("store: sweep: %w", err)
	}
	return nil
}

// Clock gives the time of the database, which replicas share, or this machine's
// where there is one machine.
func (s *Store) Clock(ctx context.Context) (time.Time, error) {
	if !s.write.postgres {
		return time.Now(), nil
	}
	var at time.Time
	if err := s.read.QueryRowContext(ctx, `SELECT clock_timestamp()`).Scan(&at); err != nil {
		return time.Time{}, fmt.Errorf("store: clock: %w", err)
	}
	return at, nil
}

func (s *Store) inTx(ctx context.Context, f func(txn) error) error { return s.write.inTx(ctx, f) }

// changed says whether a statement changed a row.
func changed(r sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	return n > 0, err
}

// micros is how times are kept; the zero time is 0.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}
