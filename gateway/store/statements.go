package store

import (
	"context"
	"database/sql"
)

// parse gives the statement as SQLite has parsed it once for each connection,
// which costs it more than finding a row; nil where it cannot, and for PostgreSQL,
// whose driver does the same unless the URL says that it must not. It is for
// statements that are constants of the code, and not for use within a transaction:
// that may hold the only connection. A transaction uses what is known.
func (d *db) parse(ctx context.Context, query string) *sql.Stmt {
	if d.postgres {
		return nil
	}
	if s := d.known(query); s != nil {
		return s
	}
	s, err := d.pool.PrepareContext(ctx, query)
	if err != nil {
		return nil // whoever asks without it is told why
	}
	if first, loaded := d.parsed.LoadOrStore(query, s); loaded {
		_ = s.Close() //nolint:sqlclosecheck // somebody was faster; the other is kept
		s, _ = first.(*sql.Stmt)
	}
	return s
}

func (d *db) known(query string) *sql.Stmt {
	found, _ := d.parsed.Load(query)
	s, _ := found.(*sql.Stmt)
	return s
}
