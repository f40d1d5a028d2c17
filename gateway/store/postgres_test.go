package store_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/portico-fhir/portico/gateway/audit"
	"github.com/portico-fhir/portico/gateway/audit/audittest"
	"github.com/portico-fhir/portico/gateway/enroll"
	"github.com/portico-fhir/portico/gateway/store"
	"github.com/portico-fhir/portico/internal/fault"
	"github.com/portico-fhir/portico/internal/services"
	"github.com/portico-fhir/portico/smart/token"
)

func TestAuditEventsInPostgreSQLCannotBeChangedOrDeleted(t *testing.T) {
	o := postgresDatabase(t)
	s := openAt(t, o)
	for i := range 3 {
		if err := s.Record(t.Context(), audittest.Event(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	db := openDB(t, "pgx", o.Postgres.URL)
	const columns = `id, time, request_id, source, client, person_issuer, person_subject, patient, grant_id, interaction, type,
		resource_id, query, outcome, status, released, masked, withheld`
	for name, statement := range map[string]string{
		"update":            `UPDATE audit_events SET patient = 'x' WHERE seq = 2`,
		"update of nothing": `UPDATE audit_events SET patient = patient WHERE seq = 99`,
		"delete":            `DELETE FROM audit_events WHERE seq = 3`,
		"delete of nothing": `DELETE FROM audit_events WHERE seq = 99`,
		"truncate":          `TRUNCATE audit_events`,
		"insert in between": `INSERT INTO audit_events (seq, ` + columns + `) SELECT 0, 'new', time, request_id, source, client, person_issuer, person_subject, 'x', grant_id, interaction, type, resource_id, query, outcome, status, released, masked, withheld FROM audit_events WHERE seq = 2`,
		"insert of an id":   `INSERT INTO audit_events (seq, ` + columns + `) SELECT 9, ` + columns + ` FROM audit_events WHERE seq = 2`,
		"upsert":            `INSERT INTO audit_events (seq, ` + columns + `) SELECT 2, ` + columns + ` FROM audit_events WHERE seq = 2 ON CONFLICT (seq) DO UPDATE SET patient = 'x'`,
	} {
		if _, err := db.Exec(statement); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := s.Events(t.Context(), audit.Filter{Patient: "p-1"}); err != nil || len(got) != 3 {
		t.Errorf("%d events left, %v", len(got), err)
	}
}

func TestNoErrorNamesTheCredentialOfPostgreSQL(t *testing.T) {
	secret := services.PostgresPassword
	port, err := services.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for name, url := range map[string]string{
		"nobody there":      fmt.Sprintf("postgres://portico:%s@127.0.0.1:%d/x?sslmode=disable", secret, port),
		"nobody answers":    fmt.Sprintf("postgres://portico:%s@%s/x?sslmode=disable&connect_timeout=1", secret, silent.Addr()),
		"no such port":      "postgres://portico:" + secret + "@localhost:99999/x",
		"an odd character":  "postgres://portico:" + secret + "%zz@localhost/x",
		"an odd password":   "postgres://portico:" + secret + "/x@y@localhost/x",
		"words":             "user=portico password=" + secret + " port=x",
		"an unknown option": "postgres://portico:" + secret + "@localhost/x?sslmode=maybe",
	} {
		t.Run(name, func(t *testing.T) {
			s, err := store.Open(t.Context(), store.Options{Postgres: store.Postgres{URL: url}})
			if err == nil {
				_ = s.Close()
				t.Fatal("opened")
			}
			if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "%zz") {
				t.Errorf("the password is in %q", strings.ReplaceAll(err.Error(), secret, "(password)"))
			}
		})
	}
}

func TestAWrongPasswordIsRefusedWithoutNamingIt(t *testing.T) {
	url := strings.Replace(services.Database(t), services.PostgresPassword, "guessed", 1)
	s, err := store.Open(t.Context(), store.Options{Postgres: store.Postgres{URL: url}})
	if err == nil {
		_ = s.Close()
		t.Fatal("opened")
	}
	if strings.Contains(err.Error(), "guessed") {
		t.Error("the password is in the error")
	}
}

func TestOpenWantsOnePlace(t *testing.T) {
	for name, o := range map[string]store.Options{
		"none": {}, "both": {Path: "x", Postgres: store.Postgres{URL: "postgres://localhost/x"}},
		"one connection": {Postgres: store.Postgres{URL: "postgres://localhost/x", MaxConnections: 1}},
	} {
		if s, err := store.Open(t.Context(), o); err == nil {
			_ = s.Close()
			t.Errorf("%s: opened", name)
		}
	}
}

func TestASchemaOfANewerVersionIsRefused(t *testing.T) {
	o := postgresDatabase(t)
	if err := openAt(t, o).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := openDB(t, "pgx", o.Postgres.URL).Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)`); err != nil {
		t.Fatal(err)
	}
	if s, err := store.Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("%v, %v", s, err)
	}
}

// PostgreSQL's manual, "Asynchronous Commit": only with synchronous_commit on is
// a commit on the disk when it returns. The URL asks for less, and does not get it.
func TestACommitOfPostgreSQLIsOnTheDiskWhenItReturns(t *testing.T) {
	o := postgresDatabase(t)
	o.Postgres.URL += "&synchronous_commit=off&default_transaction_isolation=serializable"
	s := openAt(t, o)
	for name, want := range map[string]string{"synchronous_commit": "on", "transaction_isolation": "read committed", "statement_timeout": "15s"} {
		if got, err := s.Setting(t.Context(), name); err != nil || got != want {
			t.Errorf("%s is %q, want %q (%v)", name, got, want, err)
		}
	}
}

// When PostgreSQL is away everything says so; when it is back everything goes on,
// with no call in between that fails for an old connection.
func TestPostgreSQLGoesAndComesBack(t *testing.T) {
	p := services.StartPostgres(t, services.PostgresOptions{Durable: true})
	s := openAt(t, at(p.Database(t)))
	now := time.Now()
	grant := token.Grant{ID: "g", Client: "app", Source: "demo", Patient: "p", Created: now, Expires: now.Add(time.Hour)}
	if err := errors.Join(
		s.CreateGrant(t.Context(), grant, token.Code{Digest: token.DigestOf("c"), Expires: now.Add(time.Hour)}),
		s.CreateAccess(t.Context(), "g", token.Access{Digest: token.DigestOf("a"), Issued: now, Expires: now.Add(time.Hour)}),
		s.Record(t.Context(), audittest.Event("before")),
	); err != nil {
		t.Fatal(err)
	}
	many(8, func() { _, _, _ = s.Access(t.Context(), token.DigestOf("a"), now) }) // fills the pool
	p.Kill(t)
	for name, call := range map[string]func() error{
		"read":    func() error { _, _, err := s.Access(t.Context(), token.DigestOf("a"), now); return err },
		"list":    func() error { _, err := s.Keys(t.Context()); return err },
		"write":   func() error { return s.RevokeGrant(t.Context(), "none", now) },
		"several": func() error { _, _, err := s.UseCode(t.Context(), token.DigestOf("c"), now); return err },
		"audit":   func() error { return s.Record(t.Context(), audittest.Event("during")) },
		"ping":    func() error { return s.Ping(t.Context()) },
	} {
		if err := call(); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("%s while it is away: %v", name, err)
		}
	}
	p.Start(t)
	many(8, func() {
		if _, _, err := s.Access(t.Context(), token.DigestOf("a"), now); err != nil {
			t.Errorf("read: %v", err)
		}
	})
	if _, _, err := s.UseCode(t.Context(), token.DigestOf("c"), now); err != nil {
		t.Errorf("write: %v", err)
	}
	if err := s.Record(t.Context(), audittest.Event("after")); err != nil {
		t.Errorf("audit: %v", err)
	}
}

// A read on a connection that the server ended a moment ago is asked again.
func TestAReadOutlivesTheEndOfItsConnection(t *testing.T) {
	o := postgresDatabase(t)
	o.Postgres.MaxConnections = 2 // one, and that of the audit
	s := openAt(t, o)
	db := openDB(t, "pgx", o.Postgres.URL)
	for i := range 5 {
		if _, err := s.Keys(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'portico' AND datname = current_database()`); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Keys(t.Context()); err != nil {
			t.Errorf("%d, a list: %v", i, err)
		}
		if _, err := db.Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'portico' AND datname = current_database()`); err != nil {
			t.Fatal(err)
		}
		if _, err := s.App(t.Context(), "none"); fault.KindOf(err) == fault.Unavailable {
			t.Errorf("%d, a row: %v", i, err)
		}
	}
}

// A connection that pgx found closed between its check and its use says so in
// words of its own.
func TestAConnectionThatIsClosedAlreadyIsTheDatabaseAway(t *testing.T) {
	conn, err := pgx.Connect(t.Context(), postgresDatabase(t).Postgres.URL)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close(t.Context())
	_, err = conn.Begin(t.Context())
	if err = store.Classified(fmt.Errorf("begin: %w", err)); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("%v is %v", err, fault.KindOf(err))
	}
}

func many(n int, do func()) {
	var wg sync.WaitGroup
	for range n {
		wg.Go(do)
	}
	wg.Wait()
}

func TestLinksThatAreReplacedAtOnceAreThoseOfOneOrTheOther(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, on database) {
		r := on.replicas(t)
		p := enroll.Person{Issuer: "i", Subject: "s"}
		for range 20 {
			var wg sync.WaitGroup
			for i, s := range r.each {
				wg.Go(func() {
					links := []enroll.Link{{Source: "demo", Patient: fmt.Sprint(i, "a")}, {Source: "demo", Patient: fmt.Sprint(i, "b")}}
					if err := s.ReplaceLinks(t.Context(), p, "demo", links); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			got, err := r.each[0].Links(t.Context(), p, "demo", time.Now())
			if err != nil || len(got) != 2 || got[0].Patient[0] != got[1].Patient[0] {
				t.Fatalf("%v, %v", got, err)
			}
		}
	})
}

func TestKeysThatAreRotatedAtOnceLeaveOneInUse(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, on database) {
		r := on.replicas(t)
		now := time.Now()
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				k := token.Key{ID: fmt.Sprint(i), Alg: "RS256", PKCS8: []byte{1}, Created: now}
				if err := r.each[i%2].RotateKey(t.Context(), k, now.Add(time.Minute)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		keys, err := r.each[0].Keys(t.Context())
		inUse := 0
		for _, k := range keys {
			if k.Retired.IsZero() {
				inUse++
			}
		}
		if err != nil || len(keys) != 10 || inUse != 1 {
			t.Errorf("%d keys, %d in use, %v", len(keys), inUse, err)
		}
	})
}

// Codes are used, replayed and swept by two replicas at once: nothing waits for
// each other for good, and each code is good once.
func TestSweepsOfSeveralReplicasGetInNobodysWay(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, on database) {
		r := on.replicas(t)
		now := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		var sweeps, uses sync.WaitGroup
		for _, s := range r.each {
			sweeps.Go(func() {
				for ctx.Err() == nil {
					if err := s.Sweep(ctx, now); err != nil && ctx.Err() == nil {
						t.Errorf("Sweep: %v", err)
					}
				}
			})
		}
		for i := range 20 {
			id := fmt.Sprint(i)
			over := token.Grant{ID: "over" + id, Expires: now.Add(-time.Second)}
			good := token.Grant{ID: id, Created: now, Expires: now.Add(time.Hour)}
			if err := errors.Join(
				r.CreateGrant(t.Context(), over, token.Code{Digest: token.DigestOf("over" + id), Expires: now.Add(-time.Second)}),
				r.CreateGrant(t.Context(), good, token.Code{Digest: token.DigestOf(id), Expires: now.Add(time.Hour)}),
			); err != nil {
				t.Fatal(err)
			}
			var won, replayed int
			var mu sync.Mutex
			for _, s := range r.each {
				uses.Go(func() {
					_, _, err := s.UseCode(t.Context(), token.DigestOf(id), now)
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err == nil:
						won++
					case errors.Is(err, token.ErrReplayed):
						replayed++
					default:
						t.Errorf("UseCode: %v", err)
					}
				})
			}
			uses.Wait()
			if won != 1 || replayed != 1 {
				t.Errorf("used %d times, replayed %d times", won, replayed)
			}
		}
		cancel()
		sweeps.Wait()
	})
}

func TestTheClockIsThatOfTheDatabase(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, on database) {
		s := on.open(t)
		before := time.Now()
		at, err := s.Clock(t.Context())
		if err != nil || at.Before(before.Add(-time.Minute)) || at.After(time.Now().Add(time.Minute)) {
			t.Errorf("%v, %v", at, err)
		}
	})
}
