package store_test

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// shape is what a schema promises, in one sorted line for each column, key,
// index, reference and trigger.
type shape []string

func lines(t *testing.T, db *sql.DB, query string, args ...any) shape {
	t.Helper()
	found, err := db.Query(query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	var out shape
	for found.Next() {
		var line string
		if err := found.Scan(&line); err != nil {
			t.Fatal(err)
		}
		out = append(out, line)
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func openDB(t *testing.T, driver, at string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func sqliteShape(t *testing.T, db *sql.DB) shape {
	var out shape
	for _, table := range lines(t, db, `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'goose_db_version'`) {
		out = append(out, lines(t, db, `SELECT ? || ' column ' || name || ' ' || type || ' null=' || ("notnull" = 0) || ' default=' || coalesce(dflt_value, '') FROM pragma_table_info(?)`, table, table)...)
		out = append(out, lines(t, db, `SELECT ? || ' key ' || group_concat(name, ',' ORDER BY pk) FROM pragma_table_info(?) WHERE pk > 0`, table, table)...)
		out = append(out, lines(t, db, `SELECT ? || ' references ' || "table" || ' ' || "from" || '->' || "to" || ' ' || on_delete FROM pragma_foreign_key_list(?)`, table, table)...)
		out = append(out, lines(t, db, `SELECT ? || ' index unique=' || l."unique" || ' partial=' || l.partial || ' ' ||
			(SELECT group_concat(i.name, ',' ORDER BY i.seqno) FROM pragma_index_info(l.name) i)
			FROM pragma_index_list(?) l WHERE l.origin <> 'pk'`, table, table)...)
	}
	out = append(out, lines(t, db, `SELECT tbl_name || ' trigger ' || name FROM sqlite_master WHERE type = 'trigger'`)...)
	slices.Sort(out)
	return out
}

func postgresShape(t *testing.T, db *sql.DB) shape {
	out := lines(t, db, `SELECT table_name || ' column ' || column_name || ' ' || data_type || ' null=' || (is_nullable = 'YES')::int || ' default=' || coalesce(column_default, '')
		FROM information_schema.columns WHERE table_schema = current_schema() AND table_name <> 'goose_db_version'`)
	out = append(out, lines(t, db, `SELECT c.relname || CASE WHEN i.indisprimary THEN ' key ' ELSE ' index unique=' || i.indisunique::int || ' partial=' || (i.indpred IS NOT NULL)::int || ' ' END ||
			(SELECT string_agg(a.attname, ',' ORDER BY k.n) FROM unnest(i.indkey) WITH ORDINALITY k(at, n) JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.at)
		FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace = current_schema()::regnamespace AND c.relname <> 'goose_db_version'`)...)
	out = append(out, lines(t, db, `SELECT c.relname || ' references ' || f.relname || ' ' || a.attname || '->' || b.attname || ' ' || CASE k.confdeltype WHEN 'c' THEN 'CASCADE' ELSE k.confdeltype::text END
		FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_class f ON f.oid = k.confrelid
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.conkey[1] JOIN pg_attribute b ON b.attrelid = f.oid AND b.attnum = k.confkey[1]
		WHERE k.contype = 'f' AND c.relnamespace = current_schema()::regnamespace`)...)
	out = append(out, lines(t, db, `SELECT c.relname || ' trigger ' || t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
		WHERE NOT t.tgisinternal AND c.relnamespace = current_schema()::regnamespace`)...)
	for i, line := range out {
		line = strings.NewReplacer(" text ", " TEXT ", " bytea ", " BLOB ", " bigint ", " BIGINT ", "''::text", "''").Replace(line)
		out[i] = line
	}
	slices.Sort(out)
	return out
}

func TestBothDatabasesHaveTheSameTablesColumnsAndConstraints(t *testing.T) {
	p := postgresDatabase(t)
	o := sqliteFile(t)
	openAt(t, p)
	openAt(t, o)
	lite := sqliteShape(t, openDB(t, "sqlite", o.Path))
	big := postgresShape(t, openDB(t, "pgx", p.Postgres.URL))
	if len(lite) < 100 {
		t.Errorf("only %d lines were found", len(lite))
	}
	if diff := cmp.Diff(lite, big); diff != "" {
		t.Errorf("-SQLite +PostgreSQL:\n%s", diff)
	}
}

// Numbers are what goose writes down, so both must have the same.
func TestBothDatabasesHaveTheSameHistory(t *testing.T) {
	p, o := postgresDatabase(t), sqliteFile(t)
	openAt(t, p)
	openAt(t, o)
	const history = `SELECT version_id FROM goose_db_version ORDER BY version_id`
	lite := fmt.Sprint(lines(t, openDB(t, "sqlite", o.Path), history))
	big := fmt.Sprint(lines(t, openDB(t, "pgx", p.Postgres.URL), history))
	if lite != big || !strings.HasPrefix(lite, "[0 1 2 3 4 5 6") {
		t.Errorf("SQLite %s, PostgreSQL %s", lite, big)
	}
}

func TestTextsAreComparedByteByByteInBoth(t *testing.T) {
	p := postgresDatabase(t)
	openAt(t, p)
	for _, line := range lines(t, openDB(t, "pgx", p.Postgres.URL), `SELECT table_name || '.' || column_name || ' ' || coalesce(collation_name, 'of the database')
		FROM information_schema.columns WHERE table_schema = current_schema() AND data_type = 'text' AND table_name <> 'goose_db_version'`) {
		if !strings.HasSuffix(line, " C") {
			t.Error(line)
		}
	}
}
