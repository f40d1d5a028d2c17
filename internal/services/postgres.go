package services

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

const (
	postgresUser = "portico"
	// PostgresPassword is every server's; tests look for it where it must not be.
	PostgresPassword = "not-for-any-log" //nolint:gosec // G101: of servers that live for one test
)

// PostgresOptions say how a server is to be.
type PostgresOptions struct {
	Durable  bool // fsync is on, so that what was committed outlives a kill
	FullDisk bool // Fill can be used
}

// Postgres is a server with a port, a user and a folder of its own.
type Postgres struct {
	dir     string
	port    int
	options PostgresOptions
	as      *syscall.Credential
	run     *process
	made    atomic.Int64 // schemas
}

// shared is the one server of a test process.
var shared = sync.OnceValues(func() (*Postgres, error) { return startPostgres(PostgresOptions{}) })

// Database gives the URL of a new, empty schema at the server that all tests of
// this process share. A database of its own would cost a test ten times as much.
func Database(t testing.TB) string {
	t.Helper()
	Need(t)
	p, err := shared()
	if err != nil {
		t.Fatalf("start PostgreSQL: %v", err)
	}
	return p.Database(t)
}

// StartPostgres starts a server for this test alone.
func StartPostgres(t testing.TB, o PostgresOptions) *Postgres {
	t.Helper()
	Need(t)
	p, err := startPostgres(o)
	if err != nil {
		t.Fatalf("start PostgreSQL: %v", err)
	}
	t.Cleanup(func() {
		if p.run == nil {
			_ = os.RemoveAll(p.dir) // it was killed
			return
		}
		if err := p.run.stop(); err != nil {
			t.Errorf("stop PostgreSQL: %v", err)
		}
	})
	return p
}

func startPostgres(o PostgresOptions) (*Postgres, error) {
	dir, err := os.MkdirTemp("", "portico-postgres-")
	if err != nil {
		return nil, err
	}
	p := &Postgres{dir: dir, options: o}
	if err := p.prepare(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := p.start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return p, nil
}

// prepare makes the server's files. PostgreSQL refuses to run as root.
func (p *Postgres) prepare() error {
	var err error
	if p.as, err = unprivileged(); err != nil {
		return err
	}
	if p.as != nil {
		if err := os.Chown(p.dir, int(p.as.Uid), int(p.as.Gid)); err != nil {
			return err
		}
	}
	password := filepath.Join(p.dir, "password")
	if err := os.WriteFile(password, []byte(PostgresPassword), 0o644); err != nil { //nolint:gosec // G306: for the user above; the folder is closed to others
		return err
	}
	initdb, err := program("initdb")
	if err != nil {
		return err
	}
	//nolint:gosec // G204: a program of the system
	command := exec.CommandContext(context.Background(), initdb, "-D", filepath.Join(p.dir, "data"), "-U", postgresUser, "--pwfile", password,
		"--auth-local=trust", "--auth-host=scram-sha-256", "--no-sync", "--encoding=UTF8", "--locale=C")
	command.Dir, command.SysProcAttr = p.dir, &syscall.SysProcAttr{Credential: p.as}
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	p.port, err = FreePort()
	return err
}

func (p *Postgres) start() error {
	server, err := program("postgres")
	if err != nil {
		return err
	}
	command := []string{server, "-D", filepath.Join(p.dir, "data"), "-p", strconv.Itoa(p.port), "-k", p.dir, "-h", "127.0.0.1",
		"-c", "max_connections=200", "-c", "shared_buffers=32MB"}
	if !p.options.Durable {
		command = append(command, "-c", "fsync=off", "-c", "full_page_writes=off")
	}
	if p.options.FullDisk {
		with, err := p.shim()
		if err != nil {
			return err
		}
		command = append(with, command...)
	}
	if p.run, err = run(p.dir, "QUIT", p.as, command...); err != nil {
		return err
	}
	if err := until(func() error { return p.exec("SELECT 1") }); err != nil {
		said := logOf(p.dir)
		return errors.Join(fmt.Errorf("%w\n%s", err, said), p.run.stop())
	}
	return nil
}

// URL is how a database of the server is reached.
func (p *Postgres) URL(database string) string {
	return (&url.URL{
		Scheme: "postgres", User: url.UserPassword(postgresUser, PostgresPassword), Host: fmt.Sprintf("127.0.0.1:%d", p.port),
		Path: "/" + database, RawQuery: "sslmode=disable",
	}).String()
}

// Database makes an empty schema and gives its URL.
func (p *Postgres) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", p.made.Add(1))
	if err := p.exec("CREATE SCHEMA " + name); err != nil {
		t.Fatalf("make a schema: %v", err)
	}
	return p.URL("postgres") + "&search_path=" + name
}

func (p *Postgres) exec(statement string) error {
	db, err := sql.Open("pgx", p.URL("postgres"))
	if err != nil {
		return err
	}
	_, err = db.ExecContext(context.Background(), statement)
	return errors.Join(err, db.Close())
}

// Kill ends the server and all its processes at once; nothing is written any more.
func (p *Postgres) Kill(t testing.TB) {
	t.Helper()
	run := p.run
	p.run = nil
	if err := run.kill(); err != nil {
		t.Fatalf("kill PostgreSQL: %v", err)
	}
}

// Start starts the server again after Kill, at the same port; it returns when it
// answers.
func (p *Postgres) Start(t testing.TB) {
	t.Helper()
	if err := p.start(); err != nil {
		t.Fatalf("start PostgreSQL again: %v", err)
	}
}

// program finds a program of PostgreSQL: Debian keeps servers off the PATH.
func program(name string) (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if err == nil && len(found) > 0 {
		return slices.Max(found), nil
	}
	return exec.LookPath(name)
}

// unprivileged gives the user to run a server as: one's own unless that is root.
func unprivileged() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errU := strconv.ParseUint(u.Uid, 10, 32)
		gid, errG := strconv.ParseUint(u.Gid, 10, 32)
		if errU == nil && errG == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("services: this is root, and there is neither a user postgres nor nobody")
}
