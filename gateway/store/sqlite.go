package store

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// busyTimeout is how long a statement waits for another process's write.
	busyTimeout = 10 * time.Second
	readers     = 8
)

// openSQLite opens one connection that writes, since SQLite has one writer and
// waiting for it happens here in order, and some that read.
func openSQLite(path string) (*Store, error) {
	path, err := prepare(path)
	if err != nil {
		return nil, err
	}
	write, err := sql.Open("sqlite", dsn(path, false))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	write.SetMaxOpenConns(1)
	read, err := sql.Open("sqlite", dsn(path, true))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), write.Close())
	}
	read.SetMaxOpenConns(readers)
	read.SetMaxIdleConns(readers)
	writer := &db{pool: write}
	return &Store{write: writer, read: &db{pool: read, reads: true}, append: writer, schema: write, at: path}, nil
}

// prepare creates an empty file that only this user can read; SQLite gives its
// journal files the same permissions.
func prepare(path string) (string, error) {
	if strings.HasPrefix(path, ":") || strings.HasPrefix(path, "file:") {
		return "", errors.New("Path must name a file: what is promised to be durable cannot live in memory") //nolint:staticcheck // ST1005: the name of an option
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator names the file
	if err != nil {
		return "", err
	}
	return path, f.Close()
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

// sqliteDown says whether an error of SQLite is about the file and not about
// the statement.
func sqliteDown(err error) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code() & 0xff { // the rest says more of the same
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT,
		sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOTADB:
		return true
	default:
		return false
	}
}
