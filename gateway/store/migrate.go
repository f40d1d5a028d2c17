package store

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations
var migrations embed.FS

var errNewer = errors.New("it was written by a newer Portico; use that one, or another database")

// migrate brings the schema up to date. Replicas may start together: whoever
// loses the race finds, on trying again, that there is nothing left to do.
func (s *Store) migrate(ctx context.Context) error {
	var err error
	for attempt := range 10 {
		if err = s.migrateOnce(ctx); err == nil || ctx.Err() != nil || errors.Is(err, errNewer) || isDown(err) && s.write.postgres {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(attempt+1) * 20 * time.Millisecond):
		}
	}
	return err
}

func (s *Store) migrateOnce(ctx context.Context) error {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	dialect, options := goose.DialectSQLite3, []goose.ProviderOption(nil)
	if s.write.postgres {
		dir = forPostgres{dir}
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 600))
		if err != nil {
			return fmt.Errorf("migrations: %w", err)
		}
		dialect, options = goose.DialectPostgres, append(options, goose.WithSessionLocker(locker))
	}
	p, err := goose.NewProvider(dialect, s.schema, dir, options...)
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	s.wanted = target
	if current > target {
		return errNewer
	}
	if current == target {
		return nil
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("bring the schema up to date: %w", err)
	}
	return nil
}

var (
	comment  = regexp.MustCompile(`(?m)--( [^+].*|)$`)
	typeName = regexp.MustCompile(`\b(BLOB|TEXT)\b`)
	block    = regexp.MustCompile(`(?s)-- \+goose StatementBegin\s.*?-- \+goose StatementEnd`)
	trigger  = regexp.MustCompile(`CREATE TRIGGER (\w+)`)
)

// forPostgres gives the same migrations in PostgreSQL's words, so that there is
// one history and one text of each table: other names of two types, and in place
// of each trigger, whose bodies have nothing in common, the file of its name in
// the folder postgres. Texts are compared byte by byte, as SQLite does.
type forPostgres struct{ fs.FS }

// translated is a file with another text.
type translated struct {
	fs.File
	text *bytes.Reader
}

// Read implements fs.File.
func (t *translated) Read(b []byte) (int, error) { return t.text.Read(b) }

// Open implements fs.FS.
func (d forPostgres) Open(name string) (fs.File, error) {
	file, err := d.FS.Open(name)
	if err != nil || path.Ext(name) != ".sql" {
		return file, err
	}
	text, err := io.ReadAll(file)
	if err == nil {
		text, err = d.translate(text)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), file.Close())
	}
	return &translated{file, bytes.NewReader(text)}, nil
}

func (d forPostgres) translate(text []byte) ([]byte, error) {
	var missing error
	text = block.ReplaceAllFunc(text, func(found []byte) []byte {
		of := trigger.FindSubmatch(found)
		if of == nil {
			missing = errors.New("a block that is not a trigger")
			return found
		}
		there, err := fs.ReadFile(d.FS, "postgres/"+string(of[1])+".sql")
		if err != nil {
			missing = err
		}
		return bytes.Join([][]byte{[]byte("-- +goose StatementBegin"), there, []byte("-- +goose StatementEnd")}, []byte("\n"))
	})
	return postgresTypes(text), missing
}

// postgresTypes names the types outside comments as PostgreSQL does.
func postgresTypes(text []byte) []byte {
	text = comment.ReplaceAll(text, nil)
	return typeName.ReplaceAllFunc(text, func(name []byte) []byte {
		if string(name) == "BLOB" {
			return []byte("BYTEA")
		}
		return []byte(`TEXT COLLATE "C"`)
	})
}
