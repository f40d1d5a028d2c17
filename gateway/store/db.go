package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/portico-fhir/portico/internal/fault"
)

// Statements are written once, in what SQLite and PostgreSQL have in common.
// This file is where they become one or the other; where the two differ in more
// than a spelling stands in sqlite.go, postgres.go and migrate.go.

// db is a pool of connections to either database.
type db struct {
	pool     *sql.DB
	postgres bool
	reads    bool     // what is asked changes nothing, so it may be asked again
	parsed   sync.Map // *sql.Stmt by query, for SQLite
	texts    sync.Map // by query, as PostgreSQL wants it
}

// txn is a transaction of either database.
type txn struct {
	tx *sql.Tx
	on *db
}

const (
	// statementTime bounds a statement, waiting for a connection included.
	statementTime = 15 * time.Second
	// attempts is how often what the database rolled back is begun.
	attempts = 4
)

// errText refuses what PostgreSQL cannot hold: text with a zero byte, or not in
// UTF-8. It comes from outside, and nothing that is kept is like it.
var errText = fault.New(fault.Invalid, "A value is not text in UTF-8.")

// bind gives the statement and its arguments as the database wants them.
func (d *db) bind(reads bool, query string, args []any) (string, []any, error) {
	if !d.postgres {
		return query, args, nil
	}
	for i, arg := range args {
		if list, ok := arg.([]string); ok && slices.ContainsFunc(list, unkeepable) {
			return "", nil, errText
		}
		s, ok := arg.(string)
		switch {
		case !ok || !unkeepable(s):
		case reads: // as in SQLite: it is looked for, and not found
			args = slices.Clone(args)
			args[i] = "\uffff" + hex.EncodeToString([]byte(s))
		default:
			return "", nil, errText
		}
	}
	if known, ok := d.texts.Load(query); ok {
		text, _ := known.(string)
		return text, args, nil
	}
	text := numbered(query)
	d.texts.Store(query, text) // as many as the code has
	return text, args, nil
}

func unkeepable(s string) bool { return !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 }

// numbered puts $1, $2 ... in place of each question mark; no statement has one
// of another meaning.
func numbered(query string) string {
	var out strings.Builder
	n := 0
	for part := range strings.SplitSeq(query, "?") {
		if n > 0 {
			out.WriteString("$" + strconv.Itoa(n))
		}
		out.WriteString(part)
		n++
	}
	return out.String()
}

// ExecContext runs one statement as a transaction of its own.
func (d *db) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	query, args, err := d.bind(d.reads, query, args)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, statementTime)
	defer cancel()
	var result sql.Result
	err = again(ctx, func() error {
		result, err = d.pool.ExecContext(ctx, query, args...)
		return err
	})
	return result, classify(err)
}

// row is the answer of QueryRowContext, which asks when it is scanned.
type row struct {
	err    error
	ask    func(ctx context.Context) *sql.Row
	ctx    context.Context //nolint:containedctx // as in sql.Row: it ends with Scan
	repeat bool            // once more when the connection broke
	within bool            // a transaction, which is begun again as a whole
}

// Scan asks and reads. A read that broke with its connection is asked once more.
func (r *row) Scan(targets ...any) error {
	if r.err != nil {
		return r.err
	}
	ctx, cancel := context.WithTimeout(r.ctx, statementTime)
	defer cancel()
	ask := func() error { return r.ask(ctx).Scan(targets...) }
	var err error
	if r.within {
		err = ask()
	} else {
		err = again(ctx, ask)
	}
	if r.repeat && isBroken(err) {
		err = ask()
	}
	return classify(err)
}

// QueryRowContext asks for one row.
func (d *db) QueryRowContext(ctx context.Context, query string, args ...any) *row {
	query, args, err := d.bind(d.reads, query, args)
	return &row{err: err, ctx: ctx, repeat: d.reads, ask: func(ctx context.Context) *sql.Row {
		if s := d.parse(ctx, query); s != nil { //nolint:sqlclosecheck // it ends with the pool
			return s.QueryRowContext(ctx, args...)
		}
		return d.pool.QueryRowContext(ctx, query, args...)
	}}
}

// rows are an answer that is being read.
type rows struct {
	*sql.Rows
	cancel context.CancelFunc
}

// Close ends the reading.
func (r *rows) Close() error {
	defer r.cancel()
	return r.Rows.Close()
}

// Err is what ended the reading early.
func (r *rows) Err() error { return classify(r.Rows.Err()) }

// QueryContext asks for rows.
func (d *db) QueryContext(ctx context.Context, query string, args ...any) (*rows, error) {
	query, args, err := d.bind(d.reads, query, args)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, statementTime)
	found, err := d.pool.QueryContext(ctx, query, args...) //nolint:rowserrcheck // by rows.Err
	if d.reads && isBroken(err) {
		found, err = d.pool.QueryContext(ctx, query, args...) //nolint:rowserrcheck // as above
	}
	if err != nil {
		cancel()
		return nil, classify(err)
	}
	return &rows{Rows: found, cancel: cancel}, nil
}

// inTx runs f in one write transaction. What the database rolled back because
// two got in each other's way is run again, so f must begin from nothing.
func (d *db) inTx(ctx context.Context, f func(txn) error) error {
	ctx, cancel := context.WithTimeout(ctx, statementTime)
	defer cancel()
	return classify(again(ctx, func() error { return d.once(ctx, f) }))
}

func (d *db) once(ctx context.Context, f func(txn) error) error {
	tx, err := d.pool.BeginTx(ctx, nil)
	if isBroken(err) { // nothing was asked yet, so another connection may be
		tx, err = d.pool.BeginTx(ctx, nil)
	}
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := f(txn{tx, d}); err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// ignoreDone drops the complaint that a transaction whose context ended, or
// whose connection broke, has been rolled back already.
func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) || isBroken(err) {
		return nil
	}
	return err
}

// ExecContext runs one statement in the transaction.
func (t txn) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	query, args, err := t.on.bind(false, query, args)
	if err != nil {
		return nil, err
	}
	if s := t.on.known(query); s != nil {
		return t.tx.StmtContext(ctx, s).ExecContext(ctx, args...) //nolint:sqlclosecheck // the transaction closes it
	}
	return t.tx.ExecContext(ctx, query, args...)
}

// QueryRowContext asks for one row in the transaction.
func (t txn) QueryRowContext(ctx context.Context, query string, args ...any) *row {
	query, args, err := t.on.bind(false, query, args)
	return &row{err: err, ctx: ctx, within: true, ask: func(ctx context.Context) *sql.Row {
		if s := t.on.known(query); s != nil {
			return t.tx.StmtContext(ctx, s).QueryRowContext(ctx, args...) //nolint:sqlclosecheck // the transaction closes it
		}
		return t.tx.QueryRowContext(ctx, query, args...)
	}}
}

// QueryContext asks for rows in the transaction; what failed with them is of the
// transaction.
func (t txn) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	query, args, err := t.on.bind(false, query, args)
	if err != nil {
		return nil, err
	}
	return t.tx.QueryContext(ctx, query, args...)
}

// again runs what the database says it has rolled back, and nothing else: what
// may have happened is never done twice.
func again(ctx context.Context, do func() error) error {
	for attempt := 1; ; attempt++ {
		err := do()
		if err == nil || attempt == attempts || ctx.Err() != nil || !isRolledBack(err) {
			return err
		}
	}
}

// classify tells failures of the database from those of a statement: callers
// answer the first with 503.
func classify(err error) error {
	if err == nil || fault.KindOf(err) != fault.Internal || !(isBroken(err) || isDown(err)) {
		return err
	}
	return fault.Wrap(err, fault.Unavailable, "What is needed to answer cannot be read or written at the moment.")
}
