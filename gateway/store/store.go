// Package store keeps what must outlive the process: grants, codes, tokens,
// signing keys, requests on their way through the pages, sessions, links and
// the audit. It owns the schema and what "durable" and "atomic" mean in SQL; it
// must not know why something is kept. Each consumer states the small interface
// it needs, and one file here fulfils it.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	// busyTimeout is how long a statement waits for another process's write.
	busyTimeout = 10 * time.Second
	// writeTimeout bounds work that goes on after its request was given up.
	writeTimeout = 15 * time.Second
	readers      = 8
)

// Options say where state is kept.
type Options struct {
	Path string // of the SQLite file; it is created, its folder is not
}

// Store keeps everything in one SQLite file. Several stores over one file, in
// one process or many, work as replicas do.
type Store struct {
	write *sql.DB // one connection: SQLite has one writer, so waiting happens here, in order
	read  *sql.DB // sees everything that was committed before the query began
	audit *auditWriter
}

// Open opens or creates the file and brings its schema up to date.
func Open(ctx context.Context, o Options) (*Store, error) {
	path, err := prepare(o.Path)
	if err != nil {
		return nil, err
	}
	write, err := sql.Open("sqlite", dsn(path, false))
	if err != nil {
		return nil, fmt.Errorf("store: open %s: %w", path, err)
	}
	write.SetMaxOpenConns(1)
	read, err := sql.Open("sqlite", dsn(path, true))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("store: open %s: %w", path, err), write.Close())
	}
	read.SetMaxOpenConns(readers)
	read.SetMaxIdleConns(readers)
	s := &Store{write: write, read: read}
	if err := migrate(ctx, write); err != nil {
		return nil, errors.Join(fmt.Errorf("store: %s: %w", path, err), s.closeDBs())
	}
	if s.audit, err = startAuditWriter(ctx, write); err != nil {
		return nil, errors.Join(fmt.Errorf("store: %s: %w", path, err), s.closeDBs())
	}
	return s, nil
}

// prepare creates an empty file that only this user can read; SQLite gives its
// journal files the same permissions.
func prepare(path string) (string, error) {
	if path == "" || strings.HasPrefix(path, ":") || strings.HasPrefix(path, "file:") {
		return "", errors.New("store: Path must name a file: what is promised to be durable cannot live in memory")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("store: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator names the file
	if err != nil {
		return "", fmt.Errorf("store: %w", err)
	}
	if err := f.Close(); err != nil {
		return "", fmt.Errorf("store: %w", err)
	}
	return path, nil
}

// dsn is a URI, so that no character of the path means anything. Transactions
// begin as writers: one that began as a reader could fail when it first writes.
func dsn(path string, queryOnly bool) string {
	q := url.Values{
		"_txlock":       {"immediate"},
		"_busy_timeout": {fmt.Sprint(busyTimeout.Milliseconds())},
		"_journal_mode": {"WAL"},
		"_synchronous":  {"FULL"}, // a commit is on the disk when it returns
		"_foreign_keys": {"1"},
	}
	if queryOnly {
		q.Set("_query_only", "1")
		q.Set("_txlock", "deferred")
	}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String()
}

// migrate brings the schema up to date. Replicas may start together: whoever
// loses the race finds, on trying again, that there is nothing left to do.
func migrate(ctx context.Context, db *sql.DB) error {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	for attempt := range 10 {
		if err = migrateOnce(ctx, db, dir); err == nil || ctx.Err() != nil || errors.Is(err, errNewer) {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(attempt+1) * 20 * time.Millisecond):
		}
	}
	return err
}

var errNewer = errors.New("the file was written by a newer Portico; use that one, or another file")

func migrateOnce(ctx context.Context, db *sql.DB, dir fs.FS) error {
	p, err := goose.NewProvider(goose.DialectSQLite3, db, dir)
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	if current > target {
		return errNewer
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("bring the schema up to date: %w", err)
	}
	return nil
}

// Close waits until every event that was promised is written, and closes.
func (s *Store) Close() error {
	s.audit.close()
	return s.closeDBs()
}

func (s *Store) closeDBs() error { return errors.Join(s.read.Close(), s.write.Close()) }

// Ping says whether the file can be read and written.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.inTx(ctx, func(tx *sql.Tx) error {
		var n int64
		return tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM signing_keys`).Scan(&n)
	}); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// Sweep deletes what is over at now. It never touches audit events, and keeps
// the used codes of grants that go on, so that a late replay is still noticed.
func (s *Store) Sweep(ctx context.Context, now time.Time) error {
	for _, statement := range []string{
		`DELETE FROM pending_requests WHERE expires <= ?`,
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
		if _, err := s.write.ExecContext(ctx, statement, micros(now)); err != nil {
			return fmt.Errorf("store: sweep: %w", err)
		}
	}
	if err := s.sweepApps(ctx, now); err != nil {
		return fmt.Errorf("store: sweep: %w", err)
	}
	return s.sweepDead(ctx, now)
}

func (s *Store) inTx(ctx context.Context, f func(*sql.Tx) error) error { return inTx(ctx, s.write, f) }

// inTx runs f in one write transaction.
func inTx(ctx context.Context, db *sql.DB, f func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := f(tx); err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// ignoreDone drops the complaint that a transaction whose context ended has
// been rolled back already.
func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

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
