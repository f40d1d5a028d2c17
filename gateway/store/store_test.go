package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/portico-fhir/portico/gateway/audit"
	"github.com/portico-fhir/portico/gateway/audit/audittest"
	"github.com/portico-fhir/portico/gateway/enroll"
	"github.com/portico-fhir/portico/gateway/enroll/enrolltest"
	"github.com/portico-fhir/portico/gateway/login"
	"github.com/portico-fhir/portico/gateway/login/logintest"
	"github.com/portico-fhir/portico/gateway/store"
	"github.com/portico-fhir/portico/smart/authz"
	"github.com/portico-fhir/portico/smart/authz/authztest"
	"github.com/portico-fhir/portico/smart/token"
	"github.com/portico-fhir/portico/smart/token/tokentest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTokenStore(t *testing.T) { forEachDatabase(t, testTokenStore) }

func testTokenStore(t *testing.T, on database) {
	tokentest.RunStore(t, func(t *testing.T) token.Store { return on.open(t) })
}

func TestKeyStore(t *testing.T) { forEachDatabase(t, testKeyStore) }

func testKeyStore(t *testing.T, on database) {
	tokentest.RunKeyStore(t, func(t *testing.T) token.KeyStore { return on.open(t) })
}

func TestPendingStore(t *testing.T) { forEachDatabase(t, testPendingStore) }

func testPendingStore(t *testing.T, on database) {
	authztest.RunPendingStore(t, func(t *testing.T) authz.PendingStore { return on.open(t) })
}

func TestSessionStore(t *testing.T) { forEachDatabase(t, testSessionStore) }

func testSessionStore(t *testing.T, on database) {
	logintest.RunSessionStore(t, func(t *testing.T) login.SessionStore { return on.open(t) })
}

func TestLinkStore(t *testing.T) { forEachDatabase(t, testLinkStore) }

func testLinkStore(t *testing.T, on database) {
	enrolltest.RunStore(t, func(t *testing.T) enroll.Store { return on.open(t) })
}

func TestAuditSink(t *testing.T) { forEachDatabase(t, testAuditSink) }

func testAuditSink(t *testing.T, on database) {
	audittest.RunSink(t, func(t *testing.T) audittest.Keeper { return on.open(t) })
}

// replicas spreads every call over two stores on one file, as two processes
// behind one load balancer would.
type replicas struct {
	mu   sync.Mutex
	n    int
	each [2]*store.Store
}

func (r *replicas) next() *store.Store {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
	return r.each[r.n%2]
}

func (r *replicas) CreateGrant(ctx context.Context, g token.Grant, c token.Code) error {
	return r.next().CreateGrant(ctx, g, c)
}

func (r *replicas) UseCode(ctx context.Context, d token.Digest, now time.Time) (token.Code, token.Grant, error) {
	return r.next().UseCode(ctx, d, now)
}

func (r *replicas) CreateAccess(ctx context.Context, grant string, a token.Access) error {
	return r.next().CreateAccess(ctx, grant, a)
}

func (r *replicas) Access(ctx context.Context, d token.Digest, now time.Time) (token.Access, token.Grant, error) {
	return r.next().Access(ctx, d, now)
}

func (r *replicas) RevokeGrant(ctx context.Context, id string, now time.Time) error {
	return r.next().RevokeGrant(ctx, id, now)
}
func (r *replicas) Keys(ctx context.Context) ([]token.Key, error) { return r.next().Keys(ctx) }
func (r *replicas) RotateKey(ctx context.Context, k token.Key, retire time.Time) error {
	return r.next().RotateKey(ctx, k, retire)
}
func (r *replicas) AddKey(ctx context.Context, k token.Key) error { return r.next().AddKey(ctx, k) }
func (r *replicas) CreatePending(ctx context.Context, p authz.Pending) error {
	return r.next().CreatePending(ctx, p)
}

func (r *replicas) Pending(ctx context.Context, id string, now time.Time) (authz.Pending, error) {
	return r.next().Pending(ctx, id, now)
}

func (r *replicas) ChoosePatient(ctx context.Context, id, patient string) error {
	return r.next().ChoosePatient(ctx, id, patient)
}

func (r *replicas) UsePending(ctx context.Context, id string, now time.Time) (authz.Pending, error) {
	return r.next().UsePending(ctx, id, now)
}

func (r *replicas) Record(ctx context.Context, e audit.Event) error { return r.next().Record(ctx, e) }

func (r *replicas) Events(ctx context.Context, f audit.Filter) ([]audit.Stored, error) {
	return r.next().Events(ctx, f)
}

func TestTwoReplicasBehaveAsOneStore(t *testing.T) {
	forEachDatabase(t, testTwoReplicasBehaveAsOneStore)
}

func testTwoReplicasBehaveAsOneStore(t *testing.T, on database) {
	t.Run("tokens", func(t *testing.T) {
		tokentest.RunStore(t, func(t *testing.T) token.Store { return on.replicas(t) })
	})
	t.Run("keys", func(t *testing.T) {
		tokentest.RunKeyStore(t, func(t *testing.T) token.KeyStore { return on.replicas(t) })
	})
	t.Run("pending", func(t *testing.T) {
		authztest.RunPendingStore(t, func(t *testing.T) authz.PendingStore { return on.replicas(t) })
	})
	t.Run("audit", func(t *testing.T) {
		audittest.RunSink(t, func(t *testing.T) audittest.Keeper { return on.replicas(t) })
	})
}

func TestReplicasThatStartTogetherAllStart(t *testing.T) {
	forEachDatabase(t, testReplicasThatStartTogetherAllStart)
}

func testReplicasThatStartTogetherAllStart(t *testing.T, on database) {
	o := on.options(t)
	stores := make([]*store.Store, 6)
	errs := make([]error, len(stores))
	var wg sync.WaitGroup
	for i := range stores {
		wg.Go(func() { stores[i], errs[i] = store.Open(context.Background(), o) })
	}
	wg.Wait()
	for i, s := range stores {
		if errs[i] != nil {
			t.Errorf("Open: %v", errs[i])
			continue
		}
		if err := s.Record(t.Context(), audittest.Event(fmt.Sprint(i))); err != nil {
			t.Errorf("Record: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

func TestEverythingIsThereAfterReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b?#%41ü.sqlite") // characters that mean something in a URI
	s := openAt(t, store.Options{Path: path})
	now := time.Unix(2_000_000_000, 0)
	grant := token.Grant{ID: "g", Client: "app", Source: "demo", Patient: "p", Created: now, Expires: now.Add(time.Hour)}
	code := token.Code{Digest: token.DigestOf("c"), Expires: now.Add(time.Minute)}
	if err := errors.Join(
		s.CreateGrant(t.Context(), grant, code),
		s.CreateAccess(t.Context(), "g", token.Access{Digest: token.DigestOf("a"), Issued: now, Expires: now.Add(time.Hour)}),
		s.AddKey(t.Context(), token.Key{ID: "k", Alg: "RS256", PKCS8: []byte{1}, Created: now}),
		s.Record(t.Context(), audittest.Event("1")),
		s.Close(),
	); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatalf("the file is not where it was asked for: %v", err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("permissions %v: others can read it", info.Mode().Perm())
	}
	s = openAt(t, store.Options{Path: path})
	if _, _, err := s.Access(t.Context(), token.DigestOf("a"), now); err != nil {
		t.Errorf("access token: %v", err)
	}
	if keys, err := s.Keys(t.Context()); err != nil || len(keys) != 1 {
		t.Errorf("keys: %d, %v", len(keys), err)
	}
	if err := s.Record(t.Context(), audittest.Event("2")); err != nil {
		t.Fatal(err)
	}
	got, err := s.Events(t.Context(), audit.Filter{})
	if err != nil || len(got) != 2 || got[1].Seq != 2 {
		t.Errorf("events: %v, %v", got, err)
	}
}

func TestSecretsAreNotInTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "portico.sqlite")
	s := openAt(t, store.Options{Path: path})
	now := time.Unix(2_000_000_000, 0)
	grant := token.Grant{ID: "g", Expires: now.Add(time.Hour)}
	if err := errors.Join(
		s.CreateGrant(t.Context(), grant, token.Code{Digest: token.DigestOf("very-secret-code"), Expires: now.Add(time.Hour)}),
		s.CreateAccess(t.Context(), "g", token.Access{Digest: token.DigestOf("very-secret-token"), Issued: now, Expires: now.Add(time.Hour)}),
	); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte("very-secret")) {
			t.Errorf("a secret is in %s", suffix)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage")
	if err := os.WriteFile(garbage, bytes.Repeat([]byte("not a database "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	newer := filepath.Join(dir, "newer.sqlite")
	if err := openAt(t, store.Options{Path: newer}).Close(); err != nil {
		t.Fatal(err)
	}
	raw(t, newer, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)`)
	for name, path := range map[string]string{
		"no path": "", "memory": ":memory:", "a URI": "file:x?mode=memory", "a folder": dir,
		"a folder that is not there": filepath.Join(dir, "no", "x.sqlite"),
		"a file of something else":   garbage, "a file of a newer version": newer,
	} {
		t.Run(name, func(t *testing.T) {
			if s, err := store.Open(t.Context(), store.Options{Path: path}); err == nil {
				t.Error("opened")
				_ = s.Close()
			}
		})
	}
}

// raw runs a statement past the store.
func raw(t *testing.T, path, statement string) {
	t.Helper()
	if err := rawErr(path, statement); err != nil {
		t.Fatal(err)
	}
}

func rawErr(path, statement string) error {
	db, err := sql.Open("sqlite", path+"?_busy_timeout=5000")
	if err != nil {
		return err
	}
	_, err = db.Exec(statement)
	return errors.Join(err, db.Close())
}

func TestSweepDeletesWhatIsOverAndNothingElse(t *testing.T) {
	forEachDatabase(t, testSweepDeletesWhatIsOverAndNothingElse)
}

func testSweepDeletesWhatIsOverAndNothingElse(t *testing.T, on database) {
	s := on.open(t)
	now := time.Unix(2_000_000_000, 0)
	past, future := now.Add(-time.Second), now.Add(time.Hour)
	grant := func(id string, expires time.Time) {
		t.Helper()
		err := s.CreateGrant(t.Context(), token.Grant{ID: id, Expires: expires}, token.Code{Digest: token.DigestOf("code-" + id), Expires: now.Add(-time.Minute)})
		if err != nil {
			t.Fatal(err)
		}
	}
	grant("live", future)
	grant("over", past)
	early := now.Add(-time.Hour)
	if _, _, err := s.UseCode(t.Context(), token.DigestOf("code-live"), early); err != nil {
		t.Fatal(err)
	}
	person := enroll.Person{Issuer: "i", Subject: "s"}
	if err := errors.Join(
		s.CreateAccess(t.Context(), "live", token.Access{Digest: token.DigestOf("live"), Issued: early, Expires: future}),
		s.CreateAccess(t.Context(), "live", token.Access{Digest: token.DigestOf("over"), Issued: early, Expires: past}),
		s.CreateAccess(t.Context(), "over", token.Access{Digest: token.DigestOf("orphan"), Issued: early, Expires: future}),
		s.CreatePending(t.Context(), authz.Pending{ID: "live", Expires: future}),
		s.CreatePending(t.Context(), authz.Pending{ID: "over", Expires: past}),
		s.CreateSession(t.Context(), login.Session{Digest: [32]byte{1}, Seen: now, Expires: future}),
		s.CreateSession(t.Context(), login.Session{Digest: [32]byte{2}, Seen: now, Expires: past}),
		s.ReplaceLinks(t.Context(), person, "demo", []enroll.Link{
			{Source: "demo", Patient: "endless"}, {Source: "demo", Patient: "live", Until: future}, {Source: "demo", Patient: "over", Until: past},
		}),
		s.Record(t.Context(), audittest.Event("1")),
	); err != nil {
		t.Fatal(err)
	}
	if err := s.Sweep(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Access(t.Context(), token.DigestOf("live"), now); err != nil {
		t.Errorf("a good token is gone: %v", err)
	}
	// Asked for a time at which all were good, what was swept is not found.
	for _, d := range []string{"over", "orphan"} {
		if _, _, err := s.Access(t.Context(), token.DigestOf(d), early); !errors.Is(err, token.ErrNotFound) {
			t.Errorf("token %s: %v", d, err)
		}
	}
	if _, err := s.Pending(t.Context(), "live", early); err != nil {
		t.Error(err)
	}
	if _, err := s.Pending(t.Context(), "over", early); !errors.Is(err, token.ErrNotFound) {
		t.Errorf("pending: %v", err)
	}
	if _, err := s.Session(t.Context(), [32]byte{1}, early, time.Time{}); err != nil {
		t.Error(err)
	}
	if _, err := s.Session(t.Context(), [32]byte{2}, early, time.Time{}); !errors.Is(err, login.ErrNoSession) {
		t.Errorf("session: %v", err)
	}
	if links, err := s.Links(t.Context(), person, "demo", early); err != nil || len(links) != 2 {
		t.Errorf("links: %v, %v", links, err)
	}
	if events, err := s.Events(t.Context(), audit.Filter{}); err != nil || len(events) != 1 {
		t.Errorf("events: %v, %v", events, err)
	}
	if _, _, err := s.UseCode(t.Context(), token.DigestOf("code-live"), now); !errors.Is(err, token.ErrReplayed) {
		t.Errorf("the replay of a used code was not noticed after a sweep: %v", err)
	}
}

func TestPing(t *testing.T) { forEachDatabase(t, testPing) }

func testPing(t *testing.T, on database) {
	s := on.open(t)
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); err == nil {
		t.Error("a closed store answers")
	}
}
