package store

import (
	"context"
	"fmt"

	"github.com/portico-fhir/portico/gateway/audit"
)

// LimitPages makes the disk full for the writer, as far as SQLite can tell.
func (s *Store) LimitPages(ctx context.Context, n int) error {
	_, err := s.write.ExecContext(ctx, fmt.Sprintf(`PRAGMA max_page_count = %d`, n))
	return err
}

// ReadOnly makes the writer unable to write.
func (s *Store) ReadOnly(ctx context.Context, on bool) error {
	_, err := s.write.ExecContext(ctx, fmt.Sprintf(`PRAGMA query_only = %t`, on))
	return err
}

// Pragma gives a setting of the writer's connection.
func (s *Store) Pragma(ctx context.Context, name string) (string, error) {
	var value string
	err := s.write.QueryRowContext(ctx, `PRAGMA `+name).Scan(&value)
	return value, err
}

// Backlog fills the queue of a writer that never writes, and gives what the
// next event is told.
func Backlog() error {
	w := &auditWriter{wake: make(chan struct{}, 1), waiting: make([]waiting, maxWaiting)}
	return w.record(audit.Event{})
}

// Setting gives a setting of PostgreSQL as it is inside a transaction.
func (s *Store) Setting(ctx context.Context, name string) (string, error) {
	var value string
	err := s.inTx(ctx, func(tx txn) error { return tx.QueryRowContext(ctx, `SHOW `+name).Scan(&value) })
	return value, err
}

// Classified is what callers are told of an error of the database.
func Classified(err error) error { return classify(err) }

// Idle closes connections that nobody uses.
func (s *Store) Idle() {
	for _, d := range []*db{s.write, s.append} {
		d.pool.SetMaxIdleConns(0)
		d.pool.SetMaxIdleConns(4)
	}
}

// SecureConnection says whether PostgreSQL is spoken to by TLS.
func (s *Store) SecureConnection(ctx context.Context) (on bool, err error) {
	err = s.read.QueryRowContext(ctx, `SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()`).Scan(&on)
	return on, err
}
