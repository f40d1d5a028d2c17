package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

const (
	// defaultConnections is for Postgres.MaxConnections 0.
	defaultConnections = 16
	// connectTime is how long a server may take to take a connection.
	connectTime = 5 * time.Second
	// connectionLife is after which a connection is made anew, so that replicas
	// spread over servers that came back.
	connectionLife = 30 * time.Minute
)

// Postgres says which database of a PostgreSQL server holds the state.
type Postgres struct {
	URL            string // a secret, for it may hold a password
	MaxConnections int    // of this process; defaultConnections when 0
}

// openPostgres opens one pool for everything and one connection for the audit,
// which must not wait behind anything else.
func openPostgres(o Postgres) (*Store, error) {
	config, err := postgresConfig(o.URL)
	if err != nil {
		return nil, err
	}
	most := o.MaxConnections
	if most == 0 {
		most = defaultConnections
	}
	if most < 2 {
		return nil, errors.New("PostgreSQL needs two connections at least")
	}
	pool, audit := stdlib.OpenDB(*config.Copy()), stdlib.OpenDB(*config.Copy())
	config.RuntimeParams["statement_timeout"], config.RuntimeParams["lock_timeout"] = "0", "0" // a large table takes its time
	schema := stdlib.OpenDB(*config)
	schema.SetMaxIdleConns(-1) // beyond the number that was asked for, so only while it is used
	pool.SetMaxOpenConns(most - 1)
	pool.SetMaxIdleConns(most - 1)
	audit.SetMaxOpenConns(1)
	for _, p := range []*sql.DB{pool, audit} {
		p.SetConnMaxLifetime(connectionLife)
	}
	return &Store{
		write: &db{pool: pool, postgres: true}, read: &db{pool: pool, postgres: true, reads: true}, append: &db{pool: audit, postgres: true},
		schema: schema, at: "PostgreSQL at " + config.Host,
	}, nil
}

// postgresConfig reads the URL and sets what must be so whatever the URL, the
// environment and the server say.
func postgresConfig(url string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		// The cause quotes the URL, and not every form of it without the password.
		return nil, errors.New("the URL of PostgreSQL cannot be read; it is postgres://user:password@host:port/database?sslmode=verify-full")
	}
	for name, value := range map[string]string{
		"synchronous_commit":                  "on", // a commit is on the disk when it returns
		"default_transaction_isolation":       "read committed",
		"statement_timeout":                   milliseconds(statementTime),
		"lock_timeout":                        milliseconds(busyTimeout),
		"idle_in_transaction_session_timeout": milliseconds(2 * statementTime),
		"application_name":                    "portico",
	} {
		config.RuntimeParams[name] = value
	}
	if config.ConnectTimeout == 0 || config.ConnectTimeout > connectTime {
		config.ConnectTimeout = connectTime
	}
	if config.ValidateConnect == nil {
		// Of several hosts, the one that can be written.
		config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	// A server that is gone without a word is noticed in about 20 seconds.
	dialer := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 3 * time.Second, Count: 3}}
	config.DialFunc = dialer.DialContext
	return config, nil
}

func milliseconds(d time.Duration) string { return fmt.Sprint(d.Milliseconds()) }

// alone lets one transaction at a time into what follows, whichever process it
// is of; the lock ends with the transaction. SQLite lets in one anyway. Each
// statement after it sees what the one before it committed.
func (t txn) alone(ctx context.Context, what ...string) error {
	if !t.on.postgres {
		return nil
	}
	h := fnv.New64a()
	for _, part := range what {
		_, _ = fmt.Fprintf(h, "%d:%s", len(part), part) // a hash takes everything
	}
	_, err := t.ExecContext(ctx, `SELECT pg_advisory_xact_lock(?)`, int64(h.Sum64())) //nolint:gosec // G115: any 64 bits are a name
	return err
}

// code gives PostgreSQL's word for an error (its manual, appendix A), "" for
// errors that are not its.
func code(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// isRolledBack says that the database itself undid all of it, since two got in
// each other's way.
func isRolledBack(err error) bool { return slices.Contains([]string{"40001", "40P01"}, code(err)) }

// isBroken says that the connection ended, so that nobody knows what happened.
func isBroken(err error) bool {
	if err == nil {
		return false
	}
	var network net.Error
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || errors.Is(err, pgconn.ErrConnClosed) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.As(err, &network) || strings.HasPrefix(code(err), "57P") || strings.HasPrefix(code(err), "08")
}

// isDown says that it is the database that cannot, whatever it is asked.
func isDown(err error) bool {
	var refused *pgconn.ConnectError
	if errors.As(err, &refused) || sqliteDown(err) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	switch c := code(err); {
	case c == "":
		return false
	case c == "25006", c == "55P03", isRolledBack(err): // read-only; a lock that did not come
		return true
	default: // resources, an operator, the system
		return slices.Contains([]string{"53", "57", "58"}, c[:2])
	}
}
