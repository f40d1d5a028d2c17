package store_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/portico-fhir/portico/gateway/store"
	"github.com/portico-fhir/portico/internal/services"
)

// database is one of those that a store can be kept in.
type database struct {
	// options are those of a new, empty store.
	options func(t testing.TB) store.Options
}

func sqliteFile(t testing.TB) store.Options {
	return store.Options{Path: filepath.Join(t.TempDir(), "portico.sqlite")}
}

func postgresDatabase(t testing.TB) store.Options {
	return store.Options{Postgres: store.Postgres{URL: services.Database(t), MaxConnections: 6}}
}

// at gives the options of a file's path or a PostgreSQL URL, as a child process
// is told.
func at(place string) store.Options {
	if strings.HasPrefix(place, "postgres://") {
		return store.Options{Postgres: store.Postgres{URL: place}}
	}
	return store.Options{Path: place}
}

// forEachDatabase runs a test over SQLite and over PostgreSQL.
func forEachDatabase(t *testing.T, test func(t *testing.T, on database)) {
	t.Run("SQLite", func(t *testing.T) { test(t, database{sqliteFile}) })
	t.Run("PostgreSQL", func(t *testing.T) {
		services.Need(t)
		test(t, database{postgresDatabase})
	})
}

func (d database) open(t testing.TB) *store.Store {
	t.Helper()
	return openAt(t, d.options(t))
}

func (d database) replicas(t *testing.T) *replicas {
	o := d.options(t)
	return &replicas{each: [2]*store.Store{openAt(t, o), openAt(t, o)}}
}

func openAt(t testing.TB, o store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func open(t testing.TB) *store.Store {
	t.Helper()
	return openAt(t, sqliteFile(t))
}
