package main

import (
	"database/sql"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/portico-fhir/portico/gateway/store"
	"github.com/portico-fhir/portico/internal/services"
	"github.com/portico-fhir/portico/smart/token"
)

const tenYears = 10 * 365 * 24 * time.Hour

// One of two replicas has a clock that jumps, under load: nobody notices, but the
// operator.
func TestAReplicaWhoseClockJumpsChangesNothing(t *testing.T) {
	c, at := newMovableCluster(t)
	begun := time.Now()
	db, err := sql.Open("pgx", at)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	who := c.two(t)
	kept := c.connect(t, 0, "alice")
	ends := latest(t, db)
	_, keys := fetch(t, c.each[0].url()+"/oauth/jwks", "")
	l := startLoad(who, c.fhir(0), c.fhir(1))
	for _, by := range []time.Duration{2 * time.Hour, 0, -2 * time.Hour, tenYears, 0} {
		t.Run(fmt.Sprintf("by %v", by), func(t *testing.T) {
			c.jump(t, 0, by)
			c.saysOfItsClock(t, by != 0)
			l.more(t, 30)
			c.connectsAcross(t)
			if kept = c.refresh(t, 0, kept.Refresh); kept.Status != http.StatusOK {
				t.Errorf("a refresh: %+v", kept)
			}
		})
	}
	if f := l.stop(t, "clock of one replica jumps", 0); f.Refused+f.Closed+f.Lost > 0 {
		t.Errorf("somebody noticed: %+v", f)
	}
	t.Run("it is started when it is ten years ahead", func(t *testing.T) {
		_ = c.each[0].end(syscall.SIGKILL)
		c.jump(t, 0, tenYears)
		c.each[0].start()
		c.saysOfItsClock(t, true)
		c.recovered(t, who, c.fhir(0), c.fhir(1))
		c.connectsAcross(t)
	})
	if _, now := fetch(t, c.each[1].url()+"/oauth/jwks", ""); now != keys {
		t.Errorf("the keys were\n%s\nand are\n%s", keys, now)
	}
	passed := time.Since(begun)
	for table, end := range latest(t, db) {
		if ends[table].IsZero() || end.After(ends[table].Add(passed)) {
			t.Errorf("%s: something is good until %v; before the jumps, until %v", table, end, ends[table])
		}
	}
	var first, last int64
	if err := db.QueryRow(`SELECT min(time), max(time) FROM audit_events`).Scan(&first, &last); err != nil {
		t.Fatal(err)
	}
	if time.UnixMicro(first).Before(begun.Add(-time.Minute)) || time.UnixMicro(last).After(time.Now().Add(time.Minute)) {
		t.Errorf("the audit is from %v to %v", time.UnixMicro(first), time.UnixMicro(last))
	}
	l.checkAudited(t, auditedRequests(t, "pgx", at))
}

func newMovableCluster(t *testing.T) (*cluster, string) {
	t.Helper()
	r := services.StartRedis(t)
	at := services.StartPostgres(t, services.PostgresOptions{Durable: true}).Database(t)
	t.Setenv("PORTICO_TEST_STORE", at)
	return newClusterOf(t, movable, "{postgres: {url: {env: PORTICO_TEST_STORE}}}", withRedis(r)), at
}

// saysOfItsClock waits until the first replica says that a clock is wrong, or no
// more.
func (c *cluster) saysOfItsClock(t *testing.T, wrong bool) {
	t.Helper()
	eventually(t, "/readyz", func() error {
		status, body := fetch(t, c.each[0].url()+"/readyz", "")
		if status != http.StatusOK || strings.Contains(body, "degraded clock: wrong") != wrong {
			return fmt.Errorf("%d %q", status, body)
		}
		return nil
	})
}

// connectsAcross signs somebody in at both replicas, lets each use what the other
// made, and ends it.
func (c *cluster) connectsAcross(t *testing.T) {
	t.Helper()
	for i := range 2 {
		k := c.connect(t, i, "walter")
		next := c.refresh(t, 1-i, k.Refresh)
		for at := range 2 {
			if s := c.status(t, at, next); s != http.StatusOK {
				t.Errorf("made at %d, asked at %d: %d", i, at, s)
			}
		}
		if got := c.post(t, i, "/oauth/revoke", url.Values{"client_id": {"my-app"}, "token": {next.Refresh}}); got.Status != http.StatusOK {
			t.Errorf("revoke at %d: %+v", i, got)
		}
		for at := range 2 {
			if s := c.status(t, at, next); s != http.StatusUnauthorized {
				t.Errorf("revoked at %d, asked at %d: %d", i, at, s)
			}
		}
	}
}

// latest is how long anything of each kind is good.
func latest(t *testing.T, db *sql.DB) map[string]time.Time {
	t.Helper()
	out := map[string]time.Time{}
	for _, table := range []string{"grants", "codes", "access_tokens", "refresh_tokens", "sessions", "answers"} {
		var end int64
		if err := db.QueryRow(`SELECT COALESCE(max(expires), 0) FROM ` + table).Scan(&end); err != nil {
			t.Fatal(err)
		}
		out[table] = time.UnixMicro(end)
	}
	return out
}

// What a replica deletes does not come back when its clock is set right.
func TestAClockThatIsAheadDeletesNothing(t *testing.T) {
	s, err := store.Open(t.Context(), store.Options{Postgres: store.Postgres{URL: services.Database(t)}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := time.Now()
	good := token.Grant{ID: "good", Client: "app", Created: now, Expires: now.Add(time.Hour)}
	over := token.Grant{ID: "over", Client: "app", Created: now.Add(-2 * time.Hour), Expires: now.Add(-time.Hour)}
	for _, g := range []token.Grant{good, over} {
		if err := s.CreateGrant(t.Context(), g, token.Code{Digest: token.DigestOf(g.ID), Expires: g.Expires}); err != nil {
			t.Fatal(err)
		}
	}
	old := token.Key{ID: "old", Alg: token.RS256, PKCS8: []byte{1}, Created: now, Retired: now.Add(time.Hour)}
	if err := s.AddKey(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ own, agreed time.Time }{
		"this machine's":    {now.Add(tenYears), now},
		"what was agreed":   {now, now.Add(tenYears)},
		"both of a replica": {now.Add(tenYears), now.Add(tenYears)},
	} {
		if err := sweepOnce(t.Context(), s, tt.own, tt.agreed); err != nil {
			t.Fatal(err)
		}
		keys, err := s.Keys(t.Context())
		if err != nil || len(keys) != 1 {
			t.Errorf("%s: %d keys, %v", name, len(keys), err)
		}
	}
	if _, _, err := s.UseCode(t.Context(), token.DigestOf("over"), now.Add(-90*time.Minute)); err == nil {
		t.Error("what is over was not deleted")
	}
	if _, _, err := s.UseCode(t.Context(), token.DigestOf("good"), now); err != nil {
		t.Errorf("what is good was deleted: %v", err)
	}
}
